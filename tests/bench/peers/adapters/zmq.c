/* SPDX-License-Identifier: MIT */
/* zmq.c - libzmq against brokers/zmq_broker.c: PUB -> XSUB/XPUB proxy -> SUB, and
 * DEALER -> ROUTER/DEALER proxy -> REP. HWM 0 everywhere (a PUB drops at its high
 * water mark), so the driver's window bounds what is in flight. One frame
 * "subject\0payload". */
#define _GNU_SOURCE
#include "../peer.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

struct peer_conn {
        void *s;
        enum peer_role role;
        char probe[64];
        const char *addr;
        peer_cb cb;
        void *user;
};
static void *ctx;

static void endpoint(char *ep, size_t n, const char *addr, int i) {
        static const char *ext[] = {"xsub", "xpub", "router", "dealer"};
        char host[64];
        if (addr_is_unix(addr))
                snprintf(ep, n, "ipc://%s.%s", addr_path(addr), ext[i]);
        else {
                int port = addr_tcp(addr, host, sizeof host);
                snprintf(ep, n, "tcp://%s:%d", host, port + i);
        }
}
static void *sock(const char *addr, int type, int i) {
        char ep[256];
        int zero = 0;
        if (!ctx) {
                ctx = zmq_ctx_new();
                zmq_ctx_set(ctx, ZMQ_MAX_SOCKETS, 16000);
        }
        void *s = zmq_socket(ctx, type);
        if (!s)
                return NULL;
        zmq_setsockopt(s, ZMQ_SNDHWM, &zero, sizeof zero);
        zmq_setsockopt(s, ZMQ_RCVHWM, &zero, sizeof zero);
        zmq_setsockopt(s, ZMQ_LINGER, &zero, sizeof zero);
        endpoint(ep, sizeof ep, addr, i);
        return zmq_connect(s, ep) ? NULL : s;
}
static peer_conn *zconnect(const char *addr, enum peer_role role) {
        peer_conn *c = calloc(1, sizeof *c);
        c->role = role;
        c->addr = addr;
        switch (role) {
        case ROLE_PUB:
                c->s = sock(addr, ZMQ_PUB, 0);
                break;
        case ROLE_SUB:
        case ROLE_IDLE:
                c->s = sock(addr, ZMQ_SUB, 1);
                break;
        case ROLE_REQ:
        case ROLE_REQ_PIPE:
                c->s = sock(addr, ZMQ_DEALER, 2);
                break;
        case ROLE_RESP:
        case ROLE_RESP_PIPE:
                c->s = sock(addr, ZMQ_REP, 3);
                break;
        }
        if (!c->s) {
                free(c);
                return NULL;
        }
        return c;
}
static void zclose(peer_conn *c) {
        zmq_close(c->s);
        free(c);
}
static int zsubscribe(peer_conn *c, const char *s, peer_cb cb, void *user) {
        c->cb = cb;
        c->user = user;
        snprintf(c->probe, sizeof c->probe, "%s", s);
        return zmq_setsockopt(c->s, ZMQ_SUBSCRIBE, s, strlen(s) + 1);
}
static int zpublish(peer_conn *c, const char *s, const void *buf, size_t len) {
        zmq_msg_t m;
        size_t n = strlen(s) + 1;
        zmq_msg_init_size(&m, n + len);
        char *p = zmq_msg_data(&m);
        memcpy(p, s, n);
        memcpy(p + n, buf, len);
        return zmq_msg_send(&m, c->s, 0) < 0 ? -1 : 0;
}
/* the broker confirms nothing: publish to the connection's last subject until it arrives */
static int zsync(peer_conn *c) {
        static peer_conn *pub;
        zmq_pollitem_t p = {c->s, 0, ZMQ_POLLIN, 0};
        char b[1100];
        if (!pub && !(pub = zconnect(c->addr, ROLE_PUB)))
                return -1;
        for (int i = 0; i < 20000; i++) {
                if (zpublish(pub, c->probe, "sync", 4))
                        return -1;
                if (zmq_poll(&p, 1, 1 + (i > 5) * 4) > 0) {
                        while (zmq_recv(c->s, b, sizeof b, ZMQ_DONTWAIT) >= 0) {
                        }
                        return 0;
                }
        }
        return -1;
}
static int zmany(peer_conn *c, const char *prefix, unsigned from, unsigned n) {
        char s[64];
        for (unsigned i = 0; i < n; i++) {
                snprintf(s, sizeof s, "%s%u", prefix, from + i);
                if (zsubscribe(c, s, NULL, NULL))
                        return -1;
        }
        return 0;
}
static int zflush(peer_conn *c) {
        return 0; /* the I/O thread has it */
}
static int dealer_send(peer_conn *c, const void *buf, size_t len) {
        if (zmq_send(c->s, "", 0, ZMQ_SNDMORE) < 0)
                return -1;
        return zmq_send(c->s, buf, len, 0) < 0 ? -1 : 0;
}
static long zcall(peer_conn *c, const char *s, const void *buf, size_t len, void *rb, size_t rcap) {
        if (dealer_send(c, buf, len))
                return -1;
        if (zmq_recv(c->s, rb, rcap, 0) != 0)
                return -1;
        return zmq_recv(c->s, rb, rcap, 0);
}
static int zrequest(peer_conn *c, const char *s, const void *buf, size_t len, peer_cb cb, void *user) {
        c->cb = cb;
        c->user = user;
        return dealer_send(c, buf, len);
}
static int zserve(peer_conn *c, const char *s, peer_cb cb, void *user) {
        c->cb = cb;
        c->user = user;
        return 0;
}
static int zreply(peer_conn *c, const peer_msg *q, const void *buf, size_t len) {
        return zmq_send(c->s, buf, len, 0) < 0 ? -1 : 0;
}
static int zloop(peer_conn *c, int ms) {
        zmq_msg_t m;
        zmq_pollitem_t p = {c->s, 0, ZMQ_POLLIN, 0};
        int k = 0;
        zmq_msg_init(&m);
        for (;;) {
                if (zmq_msg_recv(&m, c->s, ZMQ_DONTWAIT) < 0) {
                        if (errno != EAGAIN && errno != EINTR)
                                return -1;
                        if (k || zmq_poll(&p, 1, ms) <= 0)
                                break;
                        continue;
                }
                const char *d = zmq_msg_data(&m);
                size_t n = zmq_msg_size(&m);
                if (zmq_msg_more(&m))
                        continue; /* the dealer's empty delimiter */
                if (c->role == ROLE_SUB) {
                        size_t h = strlen(d) + 1;
                        d += h;
                        n -= h;
                }
                peer_msg pm = {d, n, NULL};
                c->cb(c->user, &pm);
                if (++k >= 1024)
                        break;
        }
        zmq_msg_close(&m);
        return k;
}
const peer_adapter peer = {.name = "zmq",
                           .win_msgs = 4096,
                           .win_bytes = 8u << 20,
                           .connect = zconnect,
                           .close = zclose,
                           .subscribe = zsubscribe,
                           .subscribe_many = zmany,
                           .sync = zsync,
                           .publish = zpublish,
                           .flush = zflush,
                           .call = zcall,
                           .request = zrequest,
                           .serve = zserve,
                           .reply = zreply,
                           .loop = zloop};
