/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "encode.h"
#include "io/session.h"
#include "bounds.h"
#include "wire.h"

#define MS UINT64_C(1000000)
#define TURN_FRAMES 16u
#define MANY_PINGS 200u

/* What rml_wire_send() and rml_wire_recv() answer instead, so many times. */
static struct {
        ssize_t send_error, recv_error;
        unsigned sends, recvs;
} kernel;

ssize_t __real_rml_wire_send(int fd, const struct rml_span *spans, size_t n);
ssize_t __wrap_rml_wire_send(int fd, const struct rml_span *spans, size_t n);
ssize_t __real_rml_wire_recv(int fd, uint8_t *buf, size_t size);
ssize_t __wrap_rml_wire_recv(int fd, uint8_t *buf, size_t size);

ssize_t __wrap_rml_wire_send(int fd, const struct rml_span *spans, size_t n) {
        if (kernel.sends == 0)
                return __real_rml_wire_send(fd, spans, n);
        kernel.sends--;
        return kernel.send_error;
}

ssize_t __wrap_rml_wire_recv(int fd, uint8_t *buf, size_t size) {
        if (kernel.recvs == 0)
                return __real_rml_wire_recv(fd, buf, size);
        kernel.recvs--;
        return kernel.recv_error;
}

struct fixture {
        struct loop *loop;
        struct core *core;
        struct sessions sessions;
        uint64_t now;
};

static int set_up(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));
        struct core_config config = {.epoch = 1, .server = "test", .own_uid = 7};
        memset(&kernel, 0, sizeof(kernel));
        core_limits_default(&config.limits);
        config.limits.turn_frames = TURN_FRAMES;
        f->now = loop_now();
        f->core = core_new(&config, f->now);
        assert_int_equal(loop_new(0, &f->loop), 0);
        assert_int_equal(sessions_init(&f->sessions, f->core, f->loop, config.limits.turn_bytes), 0);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        struct fixture *f = *state;
        assert_int_equal(f->sessions.count, 0);
        sessions_deinit(&f->sessions);
        core_free(f->core);
        loop_free(f->loop);
        free(f);
        return 0;
}

/* A connection; returns the client's end. */
static int connect_one(struct fixture *f) {
        struct core_origin origin = {.local = true, .uid = 7, .address = "unix:/x"};
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(session_new(&f->sessions, fds[0], &origin, NULL), 0);
        return fds[1];
}

/* As the server's. Returns how many sources were ready. */
static int turn(struct fixture *f) {
        struct peer *peer;
        int n = loop_wait(f->loop, loop_now() + MS, &f->now);
        core_time(f->core, f->now);
        loop_dispatch(f->loop);
        core_expire(f->core);
        sessions_flush_writable(&f->sessions, f->now);
        for (;;) {
                if ((peer = core_next_dirty(f->core)))
                        session_flush(core_peer_user(peer));
                else if ((peer = core_next_closed(f->core)))
                        session_free(core_peer_user(peer));
                else if ((peer = core_next_reading(f->core)))
                        session_update(core_peer_user(peer));
                else
                        return n;
        }
}

/* Turns until nothing happens any more; never for ever. What a turn changed at its end the next one finds. */
static void settle(struct fixture *f) {
        int quiet = 0;
        for (int i = 0; i < 1000 && quiet < 2; i++)
                quiet = turn(f) == 0 && core_deadline(f->core) > f->now ? quiet + 1 : 0;
        if (quiet == 2)
                return;
        fail_msg("it spins");
}

/* length, Frame{id = 1, kind} with an empty message of a kind below 128 that needs two bytes of tag */
static size_t put_empty(uint8_t frame[16], unsigned id, unsigned kind) {
        size_t n = RML_PREFIX_BYTES;
        frame[n++] = 0x08;
        n += rml_put_varint(frame + n, id);
        n += rml_put_varint(frame + n, kind << 3 | 2);
        frame[n++] = 0;
        rml_put_prefix(frame, (uint32_t)(n - RML_PREFIX_BYTES));
        return n;
}

static void send_empty(int fd, unsigned id, unsigned kind) {
        uint8_t frame[16];
        size_t n = put_empty(frame, id, kind);
        assert_int_equal(send(fd, frame, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* HELLO{version_min = 1, version_max = 1} */
static void send_hello(int fd) {
        static const uint8_t hello[] = {0, 0, 0, 9, 0x08, 1, 0x82, 0x01, 4, 0x08, 1, 0x10, 1};
        assert_int_equal(send(fd, hello, sizeof(hello), MSG_NOSIGNAL), sizeof(hello));
}

/* Reads all that is there; returns how many bytes, and whether the end came. */
static size_t drain(int fd, bool *end) {
        static uint8_t buf[65536];
        size_t total = 0;
        ssize_t n;
        while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
                total += (size_t)n;
        *end = n == 0 || errno == ECONNRESET;
        return total;
}

static void test_session_hello_is_answered(void **state) {
        struct fixture *f = *state;
        bool end;
        int fd = connect_one(f);
        send_hello(fd);
        settle(f);
        assert_true(drain(fd, &end) > 20);
        assert_false(end);
        close(fd);
        settle(f);
}

static void test_session_garbage_is_answered_and_closed(void **state) {
        struct fixture *f = *state;
        bool end;
        int fd = connect_one(f);
        assert_int_equal(send(fd, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL), 18);
        settle(f);
        assert_true(drain(fd, &end) > 4);
        assert_true(end);
        close(fd);
        settle(f);
}

static void test_session_client_that_goes_is_freed_without_spinning(void **state) {
        struct fixture *f = *state;
        int fds[4];
        for (int i = 0; i < 4; i++)
                fds[i] = connect_one(f);
        settle(f);
        assert_int_equal(f->sessions.count, 4);
        send_hello(fds[1]);
        settle(f); /* its WELCOME stays unread, so that close() resets */
        assert_int_equal(send(fds[2], "\0\0", 2, MSG_NOSIGNAL), 2); /* in the middle of a frame */
        shutdown(fds[3], SHUT_RDWR);
        for (int i = 0; i < 4; i++)
                close(fds[i]);
        settle(f);
}

/* One that stops sending may still read what it was owed. */
static void test_session_half_closed_client_still_reads(void **state) {
        struct fixture *f = *state;
        bool end;
        int fd = connect_one(f);
        send_hello(fd);
        send_empty(fd, 2, 32); /* PING */
        shutdown(fd, SHUT_WR);
        settle(f);
        size_t n = drain(fd, &end);
        assert_true(n > 20);
        assert_true(end);
        close(fd);
        settle(f);
}

static void test_session_reads_no_more_than_its_turn(void **state) {
        struct fixture *f = *state;
        bool end;
        f->sessions.turn_bytes = 8;
        int fd = connect_one(f);
        send_hello(fd); /* 13 bytes */
        assert_int_equal(turn(f), 1);
        assert_int_equal(drain(fd, &end), 0);
        assert_int_equal(turn(f), 1);
        assert_true(drain(fd, &end) > 20);
        close(fd);
        settle(f);
}

/* Whatever a turn is, the answers are the same; one byte at a time, too. */
static void test_session_turn_of_any_size_answers_the_same(void **state) {
        static const uint64_t sizes[] = {1, 7, 100, SESSION_READ_BYTES, 3 * SESSION_READ_BYTES};
        struct fixture *f = *state;
        size_t answered = 0;
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                bool end;
                f->sessions.turn_bytes = sizes[i];
                int fd = connect_one(f);
                send_hello(fd);
                for (unsigned id = 2; id < 20; id++)
                        send_empty(fd, id, 32);
                settle(f);
                size_t n = drain(fd, &end);
                assert_false(end);
                assert_true(n > 100);
                /* Peer ids are below 128, so that every WELCOME is as long. */
                assert_true(i == 0 || n == answered);
                answered = n;
                close(fd);
                settle(f);
        }
}

/* More frames than a turn holds, and then the end of the connection: all are heard, and nobody spins meanwhile. */
static void test_session_client_that_leaves_before_its_turn_is_heard_to_the_end(void **state) {
        struct fixture *f = *state;
        int fd = connect_one(f), watcher = connect_one(f);
        bool end;
        send_hello(watcher);
        send_hello(fd);
        for (unsigned id = 2; id < MANY_PINGS; id++)
                send_empty(fd, id, 32);
        shutdown(fd, SHUT_WR);
        settle(f);
        assert_int_equal(f->sessions.count, 1); /* all was answered and sent */
        assert_true(drain(fd, &end) > MANY_PINGS * 6);
        assert_true(end);
        close(fd);

        fd = connect_one(f);
        send_hello(fd);
        for (unsigned id = 2; id < MANY_PINGS; id++)
                send_empty(fd, id, 32);
        close(fd); /* and nobody is there to be answered */
        settle(f);
        assert_int_equal(f->sessions.count, 1);
        close(watcher);
        settle(f);
        assert_int_equal(f->sessions.count, 0);
}

/* wakes: so often something may be ready meanwhile. */
static void until_fed(struct fixture *f, int wakes) {
        assert_int_not_equal(f->sessions.starved_ns, LOOP_NEVER);
        uint64_t end = loop_now() + 5000 * MS;
        while (f->sessions.starved_ns != LOOP_NEVER && loop_now() < end)
                wakes -= turn(f);
        assert_true(wakes >= 0); /* it does not spin on a ready socket */
        assert_int_equal(f->sessions.starved_ns, LOOP_NEVER);
}

/* The kernel's want of memory passes: neither direction of a connection is given up for it. */
static void test_session_kernel_without_memory_is_asked_again(void **state) {
        static const ssize_t errors[] = {-ENOBUFS, -ENOMEM};
        struct fixture *f = *state;
        for (size_t i = 0; i < 2; i++) {
                bool end;
                int fd = connect_one(f);
                kernel.recv_error = kernel.send_error = errors[i];
                kernel.recvs = 1;
                send_hello(fd);
                assert_int_equal(turn(f), 1);
                assert_int_equal(kernel.recvs, 0);
                until_fed(f, 0);
                kernel.sends = 1;
                assert_int_equal(turn(f), 1);
                assert_int_equal(kernel.sends, 0);
                assert_int_equal(drain(fd, &end), 0);
                until_fed(f, 0);
                assert_true(drain(fd, &end) > 20);
                assert_false(end);
                /* And one that leaves while it waits is freed. */
                kernel.recvs = 1;
                send_empty(fd, 2, 32);
                turn(f);
                close(fd);
                until_fed(f, 1); /* its end is told once */
                settle(f);
        }
}

static void test_session_without_room_in_the_core_is_not_added(void **state) {
        struct fixture *f = *state;
        struct core_origin origin = {.local = true, .uid = 8, .address = "unix:/x"};
        struct core_refusal refusal = {0};
        struct core_limits limits;
        int fds[2], r = 0, kept[1024];
        size_t count = 0;
        core_limits_default(&limits);
        while (r == 0 && count < 1024) {
                assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
                r = session_new(&f->sessions, fds[0], &origin, &refusal);
                kept[count++] = fds[1];
        }
        assert_int_equal(r, -EDQUOT);
        assert_int_equal(count - 1, limits.uid_connections);
        assert_string_equal(refusal.limit, "limits.uid_connections");
        assert_int_equal(refusal.value, limits.uid_connections);
        assert_int_equal(f->sessions.count, count - 1);
        close(fds[0]); /* still ours */
        for (size_t i = 0; i < count; i++)
                close(kept[i]);
        settle(f);
}

/* Who gets much goes on in the next turn; a little does not stand in line behind that. */
static void test_session_a_little_is_sent_when_the_turn_has_sent_enough(void **state) {
        enum { PINGS = 3000 };
        struct fixture *f = *state;
        struct peer *peer;
        static uint8_t pings[PINGS * 16];
        size_t n = 0;
        bool end;
        int few = connect_one(f), many = connect_one(f);
        send_hello(few);
        send_hello(many);
        settle(f);
        drain(few, &end);
        drain(many, &end);
        send_empty(few, 2, 32);
        for (unsigned id = 2; id < PINGS; id++)
                n += put_empty(pings + n, id, 32);
        assert_int_equal(send(many, pings, n, MSG_NOSIGNAL), (ssize_t)n);
        for (unsigned turns = 0; turns < PINGS / TURN_FRAMES + 2; turns++) {
                loop_wait(f->loop, loop_now(), &f->now);
                core_time(f->core, f->now);
                loop_dispatch(f->loop);
                core_expire(f->core);
        }
        f->sessions.flush_left = 0;
        while ((peer = core_next_dirty(f->core)))
                session_flush(core_peer_user(peer));
        assert_true(drain(few, &end) > 0);
        assert_int_equal(drain(many, &end), 0);
        assert_true(sessions_flush_later(&f->sessions));
        turn(f);
        assert_true(drain(many, &end) > 16u << 10);
        assert_false(sessions_flush_later(&f->sessions));
        close(few);
        close(many);
        settle(f);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_session_hello_is_answered),
                TEST(test_session_garbage_is_answered_and_closed),
                TEST(test_session_client_that_goes_is_freed_without_spinning),
                TEST(test_session_half_closed_client_still_reads),
                TEST(test_session_reads_no_more_than_its_turn),
                TEST(test_session_turn_of_any_size_answers_the_same),
                TEST(test_session_client_that_leaves_before_its_turn_is_heard_to_the_end),
                TEST(test_session_kernel_without_memory_is_asked_again),
                TEST(test_session_without_room_in_the_core_is_not_added),
                TEST(test_session_a_little_is_sent_when_the_turn_has_sent_enough),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
