/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* accept4 */
#include "fake.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void fake_start(struct fake *fake) {
        struct sockaddr_un sun = {.sun_family = AF_UNIX};
        socklen_t len = sizeof(sa_family_t);

        memset(fake, 0, sizeof(*fake));
        fake->sock = -1;
        fake->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fake->listener >= 0);
        /* Without a name the kernel chooses an abstract one. */
        assert_int_equal(bind(fake->listener, (struct sockaddr *)&sun, len), 0);
        assert_int_equal(listen(fake->listener, 8), 0);
        len = sizeof(sun);
        assert_int_equal(getsockname(fake->listener, (struct sockaddr *)&sun, &len), 0);
        size_t name = len - offsetof(struct sockaddr_un, sun_path) - 1;
        snprintf(fake->address, sizeof(fake->address), "unix:@%.*s", (int)name, sun.sun_path + 1);
}

static void forget_frame(struct fake *fake) {
        rml_control_free(&fake->control);
        memset(&fake->control, 0, sizeof(fake->control));
        fake->kept = rml_blob_unref(fake->kept);
}

void fake_hang_up(struct fake *fake) {
        forget_frame(fake);
        if (fake->sock >= 0)
                close(fake->sock);
        fake->sock = -1;
        rml_framer_deinit(&fake->framer);
        fake->input.len = 0;
}

void fake_stop(struct fake *fake) {
        fake_hang_up(fake);
        if (fake->listener >= 0)
                close(fake->listener);
        fake->listener = -1;
}

static bool readable(int fd, int ms) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

        return poll(&poll_fd, 1, ms) == 1;
}

void fake_settle(ramal_conn *conn) {
        while (readable(ramal_conn_fd(conn), 0))
                if (ramal_dispatch(conn, 0) < 0)
                        return;
}

void fake_accept(struct fake *fake, ramal_conn *conn) {
        uint64_t until = ramal_in_ms(FAKE_MS);

        while (!readable(fake->listener, 0)) {
                assert_true(ramal_now() < until);
                if (readable(ramal_conn_fd(conn), 1))
                        ramal_dispatch(conn, 0);
        }
        fake->sock = accept4(fake->listener, NULL, NULL, SOCK_CLOEXEC);
        assert_true(fake->sock >= 0);
        rml_framer_init(&fake->framer, UINT32_MAX);
}

void fake_welcome(struct fake *fake, ramal_conn *conn) {
        Ramal__V1__Welcome welcome = RAMAL__V1__WELCOME__INIT;
        Ramal__V1__Limits limits = RAMAL__V1__LIMITS__INIT;
        char server[] = "fake 1";

        fake_accept(fake, conn);
        fake_settle(conn);
        fake_expect(fake, RML_HELLO);
        limits.payload_bytes = 8 << 20;
        limits.frame_bytes = (8 << 20) + 65536;
        limits.publish_credit_bytes = fake->publish_credit;
        welcome.peer = 7;
        welcome.epoch = 99;
        welcome.version = 1;
        welcome.server = server;
        welcome.limits = &limits;
        fake_send(fake, RML_WELCOME, fake->frame.id, &welcome.base);
        fake_settle(conn);
        assert_int_equal(ramal_conn_state(conn), RAMAL_CONNECTED);
}

ramal_conn *fake_open(struct fake *fake, const ramal_options *given) {
        ramal_options options = {.size = sizeof(options)};
        ramal_error error;
        ramal_conn *conn;

        if (given)
                options = *given;
        options.address = fake->address;
        assert_int_equal(ramal_open_async(&options, &conn, &error), 0);
        fake_welcome(fake, conn);
        return conn;
}

/* ---- reading ---- */

static bool next_raw(struct fake *fake, struct rml_raw *raw) {
        for (;;) {
                int r = rml_framer_next(&fake->framer, &fake->input, raw);
                assert_true(r >= 0);
                if (r > 0)
                        return true;
                if (!readable(fake->sock, FAKE_MS))
                        return false;
                ssize_t n = recv(fake->sock, fake->in, sizeof(fake->in), 0);
                if (n <= 0)
                        return false;
                fake->input = (struct rml_span){fake->in, (size_t)n};
        }
}

void fake_expect(struct fake *fake, enum rml_kind kind) {
        struct rml_fault fault = {0, ""};
        struct rml_raw raw;
        char name[24], wanted[24];

        forget_frame(fake);
        if (!next_raw(fake, &raw))
                fail_msg("no %s came", rml_kind_name(kind, wanted));
        /* Its own memory: the next read must not change it. */
        fake->kept = rml_blob_new(raw.len);
        assert_non_null(fake->kept);
        fake->frame_len = raw.len;
        memcpy(fake->kept->bytes, raw.data, raw.len);
        if (rml_scan_frame((struct rml_span){fake->kept->bytes, raw.len}, &fake->frame, &fault) < 0)
                fail_msg("malformed: %s", fault.reason);
        if (fake->frame.kind == RML_PING && kind != RML_PING) {
                fake_expect(fake, kind);
                return;
        }
        if (fake->frame.kind != kind)
                fail_msg("%s came, not %s", rml_kind_name(fake->frame.kind, name), rml_kind_name(kind, wanted));
        int r = kind < 16 ? rml_scan_data(&fake->frame, RML_FROM_CLIENT, &fake->data, &fault)
                          : rml_control_unpack(&fake->frame, &fake->control, &fault);
        if (r < 0)
                fail_msg("malformed %s: %s", rml_kind_name(kind, name), fault.reason);
}

bool fake_has_frame(struct fake *fake) {
        return fake->input.len > 0 || readable(fake->sock, 0);
}

/* ---- speaking ---- */

void fake_bytes(struct fake *fake, const void *data, size_t len) {
        const uint8_t *at = data;

        while (len > 0) {
                ssize_t n = send(fake->sock, at, len, MSG_NOSIGNAL);
                assert_true(n > 0);
                at += n;
                len -= (size_t)n;
        }
}

void fake_send(struct fake *fake, enum rml_kind kind, uint64_t id, const ProtobufCMessage *message) {
        uint8_t *out = malloc(rml_control_size(kind, id, message));

        assert_non_null(out);
        fake_bytes(fake, out, rml_control_pack(out, kind, id, message));
        free(out);
}

void fake_data(struct fake *fake, enum rml_kind kind, uint64_t id, const struct rml_hop *hop, const char *subject,
               const char *payload) {
        const struct rml_span none = {NULL, 0};
        size_t len = payload ? strlen(payload) : 0;
        uint8_t *out = malloc(2048 + len), tail[1024];

        assert_non_null(out);
        size_t tail_len = rml_put_tail_head(tail, subject ? rml_span_of(subject) : none, none, none, len);
        size_t n = rml_put_head(out, kind, id, hop, tail_len + len);
        memcpy(out + n, tail, tail_len);
        n += tail_len;
        if (len > 0)
                memcpy(out + n, payload, len);
        fake_bytes(fake, out, n + len);
        free(out);
}

static const struct rml_sender somebody = {.peer = 3, .local = true, .uid = 1000, .gid = 100, .pid = 4242};

void fake_deliver(struct fake *fake, uint64_t sid, uint64_t seq, const char *subject, const char *payload) {
        struct rml_hop hop = {.sid = sid, .seq = seq, .sender = &somebody};

        fake_data(fake, RML_DELIVER, 0, &hop, subject, payload);
}

void fake_request(struct fake *fake, uint64_t sid, uint64_t seq, uint64_t token, uint64_t time_left_us,
                  const char *subject, const char *payload) {
        struct rml_hop hop = {
                .sid = sid,
                .token = token,
                .seq = seq,
                .time_left_us = time_left_us,
                .flags = RAMAL__V1__DATA_FLAG__DATA_FLAG_CALL,
                .sender = &somebody,
        };

        fake_data(fake, RML_DELIVER, 0, &hop, subject, payload);
}

void fake_reply(struct fake *fake, uint64_t id, uint64_t seq, bool more, const char *payload) {
        struct rml_hop hop = {.seq = seq, .sender = &somebody};

        if (more)
                hop.flags = RAMAL__V1__DATA_FLAG__DATA_FLAG_MORE;
        fake_data(fake, RML_REPLY, id, &hop, NULL, payload);
}

void fake_status(struct fake *fake, uint64_t id, Ramal__V1__Code code, const char *text) {
        Ramal__V1__Status status;
        char copy[256];

        ramal__v1__status__init(&status);
        snprintf(copy, sizeof(copy), "%s", text);
        status.code = code;
        status.text = copy;
        fake_send(fake, RML_STATUS, id, &status.base);
}

void fake_subscribed(struct fake *fake, uint64_t sid, Ramal__V1__State state, uint64_t queued) {
        Ramal__V1__Subscribed subscribed = RAMAL__V1__SUBSCRIBED__INIT;

        subscribed.sid = sid;
        subscribed.state = state;
        subscribed.queued = queued;
        fake_send(fake, RML_SUBSCRIBED, fake->frame.id, &subscribed.base);
}

void fake_credit(struct fake *fake, uint64_t publish_bytes) {
        Ramal__V1__Credit credit = RAMAL__V1__CREDIT__INIT;

        credit.publish_bytes = publish_bytes;
        fake_send(fake, RML_CREDIT, 0, &credit.base);
}

void fake_pong(struct fake *fake) {
        Ramal__V1__Pong pong = RAMAL__V1__PONG__INIT;

        fake_expect(fake, RML_PING);
        fake_send(fake, RML_PONG, fake->frame.id, &pong.base);
}

void fake_gap(struct fake *fake, uint64_t sid, uint64_t first, uint64_t last, uint64_t count) {
        Ramal__V1__Gap gap = RAMAL__V1__GAP__INIT;

        gap.sid = sid;
        gap.first = first;
        gap.last = last;
        gap.count = count;
        gap.bytes = 10 * count;
        gap.why = RAMAL__V1__WHY__WHY_WINDOW;
        fake_send(fake, RML_GAP, 0, &gap.base);
}
