/* SPDX-License-Identifier: MIT */
/* ramal.c - ramald through libramal, on its public API alone. Publishes are collected between cork and uncork and sent
 * 64 KiB at a time; subscribers and services use callbacks. Nothing is lost within the window: a gap counts as a
 * failure. */
#define _GNU_SOURCE
#include "../peer.h"
#include <errno.h>
#include <ramal/ramal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAXCB 4

struct peer_conn {
        ramal_conn *conn;
        int corked;
        struct slot {
                peer_conn *owner;
                peer_cb cb;
                void *user;
        } slots[MAXCB];
        unsigned nslots;
        struct slot reply;
};

static void on_gap(ramal_conn *c, const ramal_gap *gap, void *user) {
        (void)c;
        (void)user;
        fprintf(stderr, "ramal: %llu messages missing on %s\n", (unsigned long long)gap->count, gap->pattern);
        abort();
}
static void on_msg(ramal_conn *c, const ramal_msg *msg, void *user) {
        struct slot *s = user;
        peer_msg m = {NULL, 0, NULL};
        (void)c;
        m.data = ramal_msg_data(msg, &m.len);
        s->cb(s->user, &m);
}
static void on_request(ramal_conn *c, ramal_req *req, void *user) {
        struct slot *s = user;
        peer_msg m = {NULL, 0, req};
        (void)c;
        m.data = ramal_msg_data(ramal_req_msg(req), &m.len);
        s->cb(s->user, &m);
}
static void on_reply(ramal_conn *c, int result, const ramal_msg *reply, const ramal_error *error, void *user) {
        struct slot *s = user;
        peer_msg m = {NULL, 0, NULL};
        (void)c;
        if (result < 0) {
                fprintf(stderr, "ramal: %s\n", error->message);
                return;
        }
        m.data = ramal_msg_data(reply, &m.len);
        s->cb(s->user, &m);
}

static peer_conn *aconnect(const char *addr, enum peer_role role) {
        peer_conn *c = calloc(1, sizeof *c);
        ramal_error err;
        (void)role;
        if (!c)
                return NULL;
        if (ramal_open(RAMAL_OPTIONS(.address = addr, .app = "bench", .no_reconnect = true, .out_bytes_max = 64u << 20,
                                     .token_file = getenv("RAMAL_BENCH_TOKEN"),
                                     .no_spin = getenv("RAMAL_BENCH_NO_SPIN") != NULL),
                       ramal_in_ms(5000), &c->conn, &err) < 0) {
                fprintf(stderr, "ramal: %s\n", err.message);
                free(c);
                return NULL;
        }
        return c;
}
static void aclose(peer_conn *c) {
        ramal_close(c->conn);
        free(c);
}
static int asubscribe(peer_conn *c, const char *subject, peer_cb cb, void *user) {
        if (c->nslots == MAXCB)
                return -1;
        struct slot *s = &c->slots[c->nslots++];
        ramal_sub *sub;
        *s = (struct slot){c, cb, user};
        if (ramal_subscribe_with(c->conn, RAMAL_INTEREST(.pattern = subject, .on_gap = on_gap), on_msg, s, &sub) < 0)
                return -1;
        return ramal_sub_confirm(sub, ramal_in_ms(5000), NULL);
}
static int asubscribe_many(peer_conn *c, const char *prefix, unsigned from, unsigned n) {
        char subject[64];
        struct slot *s = &c->slots[0];
        ramal_cork(c->conn);
        for (unsigned i = from; i < from + n; i++) {
                snprintf(subject, sizeof subject, "%s%u", prefix, i);
                if (ramal_subscribe(c->conn, subject, on_msg, s, NULL) < 0)
                        return -1;
                if (i % 512 == 0) { /* the broker does not read whoever leaves its answers unread */
                        if (ramal_uncork(c->conn) < 0 || ramal_sync(c->conn, ramal_in_ms(30000)) < 0)
                                return -1;
                        ramal_cork(c->conn);
                }
        }
        return ramal_uncork(c->conn);
}
static int async_(peer_conn *c) {
        return ramal_sync(c->conn, ramal_in_ms(30000));
}
static int aflush(peer_conn *c) {
        if (c->corked) {
                c->corked = 0;
                if (ramal_uncork(c->conn) < 0)
                        return -1;
        }
        return ramal_flush(c->conn, ramal_in_ms(30000));
}
static int apublish(peer_conn *c, const char *subject, const void *buf, size_t len) {
        if (!c->corked) {
                ramal_cork(c->conn);
                c->corked = 1;
        }
        for (;;) {
                int r = ramal_publish(c->conn, subject, buf, len);
                if (r != -EAGAIN)
                        return r;
                if (ramal_flush(c->conn, ramal_in_ms(30000)) < 0)
                        return -1;
        }
}
static long acall(peer_conn *c, const char *subject, const void *buf, size_t len, void *rbuf, size_t rcap) {
        ramal_msg *reply;
        size_t n;
        if (ramal_request(c->conn, subject, buf, len, ramal_in_ms(5000), &reply, NULL) < 0)
                return -1;
        const void *data = ramal_msg_data(reply, &n);
        if (n > rcap) {
                ramal_msg_unref(reply);
                return -1;
        }
        memcpy(rbuf, data, n);
        ramal_msg_unref(reply);
        return (long)n;
}
static int arequest(peer_conn *c, const char *subject, const void *buf, size_t len, peer_cb cb, void *user) {
        c->reply = (struct slot){c, cb, user};
        if (!c->corked) {
                ramal_cork(c->conn);
                c->corked = 1;
        }
        return ramal_request_async(c->conn, subject, buf, len, ramal_in_ms(30000), on_reply, &c->reply, NULL);
}
static int aserve(peer_conn *c, const char *subject, peer_cb cb, void *user) {
        struct slot *s = &c->slots[c->nslots++];
        ramal_sub *sub;
        *s = (struct slot){c, cb, user};
        if (ramal_serve(c->conn, subject, on_request, s, &sub) < 0)
                return -1;
        return ramal_sub_confirm(sub, ramal_in_ms(5000), NULL);
}
static int areply(peer_conn *c, const peer_msg *req, const void *buf, size_t len) {
        (void)c;
        return ramal_reply(req->ctx, buf, len);
}
static int aloop(peer_conn *c, int timeout_ms) {
        if (c->corked) {
                c->corked = 0;
                if (ramal_uncork(c->conn) < 0)
                        return -1;
        }
        return ramal_wait(c->conn, ramal_in_ms((uint64_t)timeout_ms));
}
const peer_adapter peer = {.name = "ramal",
                           .win_msgs = 16384,
                           .win_bytes = 4u << 20,
                           .connect = aconnect,
                           .close = aclose,
                           .subscribe = asubscribe,
                           .subscribe_many = asubscribe_many,
                           .sync = async_,
                           .publish = apublish,
                           .flush = aflush,
                           .call = acall,
                           .request = arequest,
                           .serve = aserve,
                           .reply = areply,
                           .loop = aloop};
