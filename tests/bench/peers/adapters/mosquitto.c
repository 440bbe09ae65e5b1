/* SPDX-License-Identifier: MIT */
/* mosquitto.c - MQTT 3.1.1 QoS 0 through libmosquitto, without its thread: a
 * publish then writes to the socket itself, and after one poll() packets are read
 * until the socket is empty (mosquitto_loop would do one select per packet).
 * Subject dots become slashes. Requests: the payload is prefixed with the topic
 * for the reply (MQTT 5's response topic, without the property machinery). */
#define _GNU_SOURCE
#include "../peer.h"
#include <errno.h>
#include <mosquitto.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct peer_conn {
        struct mosquitto *m;
        int fd, connected, subacks, serving, got;
        char reply[48], hot[64], topic[64];
        peer_cb cb;
        void *user;
        unsigned char *t;
        size_t tcap;
        void *rb; /* a synchronous call in progress */
        long rn;
        size_t rcap;
};

static const char *topic(peer_conn *c, const char *s) {
        if (!strcmp(s, c->hot))
                return c->topic;
        snprintf(c->hot, sizeof c->hot, "%s", s);
        snprintf(c->topic, sizeof c->topic, "%s", s);
        for (char *p = c->topic; *p; p++)
                if (*p == '.')
                        *p = '/';
        return c->topic;
}
static void on_connect(struct mosquitto *m, void *ud, int rc) {
        ((peer_conn *)ud)->connected = rc ? -1 : 1;
}
static void on_suback(struct mosquitto *m, void *ud, int mid, int n, const int *q) {
        ((peer_conn *)ud)->subacks++;
}
static void on_message(struct mosquitto *mq, void *ud, const struct mosquitto_message *mm) {
        peer_conn *c = ud;
        c->got++;
        if (c->rb) {
                c->rn = mm->payloadlen;
                if ((size_t)mm->payloadlen <= c->rcap)
                        memcpy(c->rb, mm->payload, (size_t)mm->payloadlen);
                return;
        }
        peer_msg m = {mm->payload, (size_t)mm->payloadlen, NULL};
        if (c->serving) {
                const unsigned char *p = m.data;
                m.ctx = (void *)m.data;
                m.data = p + 1 + p[0];
                m.len -= 1u + p[0];
        }
        if (c->cb)
                c->cb(c->user, &m);
}
static int out(peer_conn *c) { /* write what libmosquitto has queued */
        while (mosquitto_want_write(c->m)) {
                if (mosquitto_loop_write(c->m, 1) != MOSQ_ERR_SUCCESS)
                        return -1;
                if (!mosquitto_want_write(c->m))
                        break;
                struct pollfd p = {c->fd, POLLOUT, 0};
                poll(&p, 1, 100);
        }
        return 0;
}
static int in(peer_conn *c, int ms, int max) {
        struct pollfd p = {c->fd, POLLIN, 0};
        c->got = 0;
        if (poll(&p, 1, ms) <= 0)
                return 0;
        for (int i = 0; i < max; i++) {
                errno = 0;
                if (mosquitto_loop_read(c->m, 1) != MOSQ_ERR_SUCCESS)
                        return -1;
                if (errno == EAGAIN)
                        break;
        }
        return c->got;
}
static int lib;
static peer_conn *mconnect(const char *addr, enum peer_role role) {
        char host[64];
        if (!lib++)
                mosquitto_lib_init();
        peer_conn *c = calloc(1, sizeof *c);
        c->m = mosquitto_new(NULL, true, c);
        mosquitto_connect_callback_set(c->m, on_connect);
        mosquitto_subscribe_callback_set(c->m, on_suback);
        mosquitto_message_callback_set(c->m, on_message);
        int rc = MOSQ_ERR_SUCCESS;
        if (addr_is_unix(addr)) {
                for (int i = 0; i < 5000; i++) { /* a full backlog says EAGAIN */
                        rc = mosquitto_connect(c->m, addr_path(addr), 0, 600);
                        if (rc == MOSQ_ERR_SUCCESS)
                                break;
                        usleep(500);
                }
        } else {
                int port = addr_tcp(addr, host, sizeof host);
                mosquitto_int_option(c->m, MOSQ_OPT_TCP_NODELAY, 1);
                rc = mosquitto_connect(c->m, host, port, 600);
        }
        if (rc != MOSQ_ERR_SUCCESS) {
                fprintf(stderr, "mosquitto: %s\n", mosquitto_strerror(rc));
                return NULL;
        }
        c->fd = mosquitto_socket(c->m);
        for (int i = 0; i < 1000 && !c->connected; i++)
                if (out(c) || in(c, 100, 1) < 0)
                        return NULL;
        return c->connected == 1 ? c : NULL;
}
static void mclose(peer_conn *c) {
        mosquitto_destroy(c->m);
        free(c->t);
        free(c);
}
static int acked(peer_conn *c, int want) {
        for (int i = 0; i < 1000 && c->subacks < want; i++)
                if (out(c) || in(c, 100, 1000) < 0)
                        return -1;
        return c->subacks >= want ? 0 : -1;
}
static int sub1(peer_conn *c, const char *s) {
        int want = c->subacks + 1;
        if (mosquitto_subscribe(c->m, NULL, topic(c, s), 0) != MOSQ_ERR_SUCCESS)
                return -1;
        return acked(c, want);
}
static int msubscribe(peer_conn *c, const char *s, peer_cb cb, void *user) {
        c->cb = cb;
        c->user = user;
        return sub1(c, s);
}
static int mmany(peer_conn *c, const char *prefix, unsigned from, unsigned n) {
        char s[64];
        int want = c->subacks;
        for (unsigned i = 0; i < n; i++) {
                snprintf(s, sizeof s, "%s%u", prefix, from + i);
                if (mosquitto_subscribe(c->m, NULL, topic(c, s), 0) != MOSQ_ERR_SUCCESS)
                        return -1;
                want++;
                if ((i & 127) == 127 && acked(c, want))
                        return -1;
        }
        return acked(c, want);
}
static int mpublish(peer_conn *c, const char *s, const void *buf, size_t len) {
        if (mosquitto_publish(c->m, NULL, topic(c, s), (int)len, buf, 0, false) != MOSQ_ERR_SUCCESS)
                return -1;
        return mosquitto_want_write(c->m) ? out(c) : 0;
}
static int mflush(peer_conn *c) {
        return out(c);
}
static int prefixed(peer_conn *c, const char *s, const char *to, const void *buf, size_t len) {
        size_t n = strlen(to);
        if (c->tcap < len + n + 1)
                c->t = realloc(c->t, c->tcap = len + n + 1);
        c->t[0] = (unsigned char)n;
        memcpy(c->t + 1, to, n);
        memcpy(c->t + 1 + n, buf, len);
        /* inside a callback the library only queues; loop() writes it afterwards */
        return mosquitto_publish(c->m, NULL, topic(c, s), (int)(len + n + 1), c->t, 0, false) == MOSQ_ERR_SUCCESS ? 0
                                                                                                                  : -1;
}
static int inbox(peer_conn *c) {
        if (c->reply[0])
                return 0;
        snprintf(c->reply, sizeof c->reply, "inbox/%d", (int)getpid());
        return sub1(c, c->reply);
}
static long mcall(peer_conn *c, const char *s, const void *buf, size_t len, void *rb, size_t rcap) {
        if (inbox(c))
                return -1;
        c->rb = rb;
        c->rcap = rcap;
        c->rn = -1;
        if (prefixed(c, s, c->reply, buf, len) || out(c))
                return -1;
        for (int i = 0; i < 100 && c->rn < 0; i++)
                if (in(c, 100, 1) < 0)
                        break;
        c->rb = NULL;
        return c->rn;
}
static int mrequest(peer_conn *c, const char *s, const void *buf, size_t len, peer_cb cb, void *user) {
        c->cb = cb;
        c->user = user;
        if (inbox(c))
                return -1;
        return prefixed(c, s, c->reply, buf, len);
}
static int mserve(peer_conn *c, const char *s, peer_cb cb, void *user) {
        c->serving = 1;
        return msubscribe(c, s, cb, user);
}
static int mreply(peer_conn *c, const peer_msg *q, const void *buf, size_t len) {
        char to[256];
        const unsigned char *p = q->ctx;
        memcpy(to, p + 1, p[0]);
        to[p[0]] = 0;
        return mosquitto_publish(c->m, NULL, to, (int)len, buf, 0, false) == MOSQ_ERR_SUCCESS ? 0 : -1;
}
static int mloop(peer_conn *c, int ms) {
        if (out(c))
                return -1;
        int k = in(c, ms, 256);
        if (k < 0 || out(c))
                return -1;
        return k;
}
const peer_adapter peer = {.name = "mosquitto",
                           .win_msgs = 8192,
                           .win_bytes = 8u << 20,
                           .connect = mconnect,
                           .close = mclose,
                           .subscribe = msubscribe,
                           .subscribe_many = mmany,
                           .publish = mpublish,
                           .flush = mflush,
                           .call = mcall,
                           .request = mrequest,
                           .serve = mserve,
                           .reply = mreply,
                           .loop = mloop};
