/* SPDX-License-Identifier: MIT */
/* redis.c - Redis pub/sub through hiredis.
 * Publishers: PUBLISH formatted by hiredis into its output buffer, written from
 * 64 KiB on, replies switched off (CLIENT REPLY OFF); payloads from 32 KiB on go
 * to the socket by writev. Subscribers: 16 KiB reads
 * (256 KiB for big payloads) fed to hiredis' reader. Requests: two connections per client (a RESP2
 * subscriber cannot publish); the payload is prefixed with the reply channel. */
#define _GNU_SOURCE
#include "../peer.h"
#include <errno.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define RCHUNK (256 * 1024) /* big payloads */
#define RSMALL (16 * 1024)  /* hiredis' own size: its reader moves the rest down after every 1 KiB consumed */
#define WMAX (64 * 1024)
struct peer_conn {
        redisContext *pub, *sub;
        size_t wn;
        char *rbuf, reply[48];
        size_t last;
        int have_reply;
        peer_cb cb;
        void *user;
        unsigned char *t;
        size_t tcap;
};

static redisContext *open1(const char *addr) {
        char host[64];
        redisContext *r;
        if (addr_is_unix(addr)) {
                for (int i = 0; i < 5000; i++) { /* EAGAIN: the unix listener's backlog is full */
                        r = redisConnectUnix(addr_path(addr));
                        if (r && !r->err)
                                break;
                        if (r)
                                redisFree(r);
                        r = NULL;
                        usleep(500);
                }
        } else {
                int port = addr_tcp(addr, host, sizeof host);
                r = redisConnect(host, port);
        }
        if (!r || r->err)
                return NULL;
        r->reader->maxbuf = 0; /* keep the read buffer */
        return r;
}
static int wflush(redisContext *r) {
        int done = 0;
        while (!done)
                if (redisBufferWrite(r, &done) != REDIS_OK)
                        return -1;
        return 0;
}
static peer_conn *rconnect(const char *addr, enum peer_role role) {
        peer_conn *c = calloc(1, sizeof *c);
        if (role != ROLE_PUB && !(c->sub = open1(addr)))
                return NULL;
        if (role != ROLE_SUB && role != ROLE_IDLE) {
                if (!(c->pub = open1(addr)))
                        return NULL;
                redisAppendCommand(c->pub, "CLIENT REPLY OFF");
                if (wflush(c->pub))
                        return NULL;
        }
        if (role != ROLE_IDLE)
                c->rbuf = malloc(RCHUNK);
        return c;
}
static void rclose(peer_conn *c) {
        if (c->pub)
                redisFree(c->pub);
        if (c->sub)
                redisFree(c->sub);
        free(c->rbuf);
        free(c->t);
        free(c);
}
static int subscribe1(peer_conn *c, const char *s) {
        redisReply *r = redisCommand(c->sub, "SUBSCRIBE %s", s);
        if (!r)
                return -1;
        freeReplyObject(r);
        return 0;
}
static int rsubscribe(peer_conn *c, const char *s, peer_cb cb, void *user) {
        c->cb = cb;
        c->user = user;
        return subscribe1(c, s);
}
static int rmany(peer_conn *c, const char *prefix, unsigned from, unsigned n) {
        redisReply *r;
        for (unsigned i = 0; i < n;) {
                unsigned k = 0;
                for (; k < 256 && i < n; k++, i++)
                        redisAppendCommand(c->sub, "SUBSCRIBE %s%u", prefix, from + i);
                while (k--) {
                        if (redisGetReply(c->sub, (void **)&r) != REDIS_OK)
                                return -1;
                        freeReplyObject(r);
                }
        }
        return 0;
}
static int rflush(peer_conn *c) {
        if (!c->wn)
                return 0;
        c->wn = 0;
        return wflush(c->pub);
}
/* hiredis would copy a big payload twice and move the rest after every partial
 * write: hand header and payload to the socket instead */
static int publish_big(peer_conn *c, const char *s, const void *buf, size_t len) {
        char h[256];
        int hn = snprintf(h, sizeof h, "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen(s), s, len);
        struct iovec v[3] = {{h, (size_t)hn}, {(void *)buf, len}, {"\r\n", 2}};
        if (rflush(c))
                return -1;
        for (int i = 0; i < 3;) {
                ssize_t n = writev(c->pub->fd, v + i, 3 - i);
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return -1;
                }
                while (i < 3 && (size_t)n >= v[i].iov_len)
                        n -= (ssize_t)v[i++].iov_len;
                if (i < 3) {
                        v[i].iov_base = (char *)v[i].iov_base + n;
                        v[i].iov_len -= (size_t)n;
                }
        }
        return 0;
}
static int rpublish(peer_conn *c, const char *s, const void *buf, size_t len) {
        const char *av[3] = {"PUBLISH", s, buf};
        size_t al[3] = {7, strlen(s), len};
        if (len >= WMAX / 2)
                return publish_big(c, s, buf, len);
        if (redisAppendCommandArgv(c->pub, 3, av, al) != REDIS_OK)
                return -1;
        c->wn += len + 48;
        return c->wn >= WMAX ? rflush(c) : 0;
}
/* payload = [u8 n][n bytes reply channel][data] */
static int publish_prefixed(peer_conn *c, const char *s, const char *to, const void *buf, size_t len) {
        size_t n = strlen(to);
        if (c->tcap < len + n + 1)
                c->t = realloc(c->t, c->tcap = len + n + 1);
        c->t[0] = (unsigned char)n;
        memcpy(c->t + 1, to, n);
        memcpy(c->t + 1 + n, buf, len);
        return rpublish(c, s, c->t, len + n + 1);
}
static int inbox(peer_conn *c) {
        if (c->have_reply)
                return 0;
        snprintf(c->reply, sizeof c->reply, "_inbox.%d", (int)getpid());
        c->have_reply = 1;
        return subscribe1(c, c->reply);
}
static int serving;
static int deliver(peer_conn *c) { /* all complete replies in the reader */
        int k = 0;
        redisReply *r;
        while (redisReaderGetReply(c->sub->reader, (void **)&r) == REDIS_OK && r) {
                if (r->type == REDIS_REPLY_ARRAY && r->elements == 3 && r->element[0]->len == 7 && c->cb) {
                        peer_msg m = {r->element[2]->str, (size_t)r->element[2]->len, NULL};
                        if (serving) {
                                const unsigned char *p = m.data;
                                m.ctx = (void *)m.data;
                                m.data = p + 1 + p[0];
                                m.len -= 1u + p[0];
                        }
                        c->last = m.len;
                        c->cb(c->user, &m);
                        k++;
                }
                freeReplyObject(r);
        }
        return k;
}
static int rin(peer_conn *c) {
        ssize_t n = recv(c->sub->fd, c->rbuf, c->last > RSMALL ? RCHUNK : RSMALL, 0);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return 0;
        if (n <= 0)
                return -1;
        redisReaderFeed(c->sub->reader, c->rbuf, (size_t)n);
        return deliver(c);
}
static int rloop(peer_conn *c, int ms) {
        struct pollfd p = {c->sub->fd, POLLIN, 0};
        if (c->pub && rflush(c))
                return -1;
        if (poll(&p, 1, ms) <= 0)
                return 0;
        int k = rin(c);
        if (k > 0 && c->pub && rflush(c))
                return -1;
        return k;
}
static long rcall(peer_conn *c, const char *s, const void *buf, size_t len, void *rb, size_t rcap) {
        redisReply *r = NULL;
        if (inbox(c) || publish_prefixed(c, s, c->reply, buf, len) || rflush(c))
                return -1;
        if (redisGetReply(c->sub, (void **)&r) != REDIS_OK)
                return -1;
        size_t n = r->elements == 3 ? (size_t)r->element[2]->len : SIZE_MAX;
        if (n <= rcap)
                memcpy(rb, r->element[2]->str, n);
        freeReplyObject(r);
        return n <= rcap ? (long)n : -1;
}
static int rrequest(peer_conn *c, const char *s, const void *buf, size_t len, peer_cb cb, void *user) {
        c->cb = cb;
        c->user = user;
        if (inbox(c))
                return -1;
        return publish_prefixed(c, s, c->reply, buf, len);
}
static int rserve(peer_conn *c, const char *s, peer_cb cb, void *user) {
        serving = 1;
        return rsubscribe(c, s, cb, user);
}
static int rreply(peer_conn *c, const peer_msg *q, const void *buf, size_t len) {
        char to[256];
        const unsigned char *p = q->ctx;
        memcpy(to, p + 1, p[0]);
        to[p[0]] = 0;
        return rpublish(c, to, buf, len);
}
const peer_adapter peer = {.name = "redis",
                           .win_msgs = 4096,
                           .win_bytes = 8u << 20,
                           .connect = rconnect,
                           .close = rclose,
                           .subscribe = rsubscribe,
                           .subscribe_many = rmany,
                           .publish = rpublish,
                           .flush = rflush,
                           .call = rcall,
                           .request = rrequest,
                           .serve = rserve,
                           .reply = rreply,
                           .loop = rloop};
