/* SPDX-License-Identifier: MIT */
/* raw.c - client of brokers/raw_relay.c: u32 length + payload.
 * RAW_SPIN_US=n in the environment polls the socket for n microseconds before it blocks. */
#define _GNU_SOURCE
#include "../peer.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#define WBUF (256 * 1024)
#define RCHUNK (256 * 1024)
struct peer_conn {
        int fd;
        enum peer_role role;
        unsigned char *w, *r;
        size_t wn, rn, rcap;
        peer_cb cb;
        void *user;
};

static peer_conn *rconnect(const char *addr, enum peer_role role) {
        peer_conn *c = calloc(1, sizeof *c);
        c->fd = dial(addr);
        if (c->fd < 0) {
                free(c);
                return NULL;
        }
        int sz = 4 << 20;
        setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &sz, sizeof sz);
        c->role = role;
        char k, r = role == ROLE_PUB                              ? 'P'
                    : role == ROLE_REQ || role == ROLE_REQ_PIPE   ? 'Q'
                    : role == ROLE_RESP || role == ROLE_RESP_PIPE ? 'R'
                                                                  : 'S';
        if (write_all(c->fd, &r, 1) || read(c->fd, &k, 1) != 1) {
                close(c->fd);
                free(c);
                return NULL;
        }
        if (role != ROLE_IDLE) {
                struct timeval tv = {0, 100000};
                if (role != ROLE_REQ)
                        setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
                c->w = malloc(WBUF);
                c->rcap = (2u << 20) + RCHUNK;
                c->r = malloc(c->rcap);
        }
        return c;
}
static void rclose(peer_conn *c) {
        close(c->fd);
        free(c->w);
        free(c->r);
        free(c);
}
static int rsubscribe(peer_conn *c, const char *s, peer_cb cb, void *user) {
        (void)s;
        c->cb = cb;
        c->user = user;
        return 0;
}
static int rflush(peer_conn *c) {
        int r = c->wn ? write_all(c->fd, c->w, c->wn) : 0;
        c->wn = 0;
        return r;
}
static int rpublish(peer_conn *c, const char *s, const void *buf, size_t len) {
        (void)s;
        uint32_t l = (uint32_t)len;
        if (c->wn + 4 + len > WBUF && rflush(c))
                return -1;
        if (len >= WBUF / 2) { /* big: header and payload straight from the caller */
                struct iovec v[2] = {{&l, 4}, {(void *)buf, len}};
                if (rflush(c))
                        return -1;
                ssize_t n = writev(c->fd, v, 2);
                if (n < 4)
                        return -1;
                return write_all(c->fd, (const char *)buf + (n - 4), len - (size_t)(n - 4));
        }
        memcpy(c->w + c->wn, &l, 4);
        memcpy(c->w + c->wn + 4, buf, len);
        c->wn += 4 + len;
        return 0;
}
static int rread(peer_conn *c) { /* one read, then all whole frames */
        ssize_t n = spin_recv(c->fd, c->r + c->rn, c->rcap - c->rn < RCHUNK ? c->rcap - c->rn : RCHUNK);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -1;
        if (n == 0)
                return -1;
        c->rn += (size_t)n;
        size_t at = 0;
        int k = 0;
        for (;;) {
                uint32_t l;
                if (c->rn - at < 4)
                        break;
                memcpy(&l, c->r + at, 4);
                if (c->rn - at - 4 < l)
                        break;
                peer_msg m = {c->r + at + 4, l, NULL};
                c->cb(c->user, &m);
                at += 4 + (size_t)l;
                k++;
        }
        if (at)
                memmove(c->r, c->r + at, c->rn - at);
        c->rn -= at;
        return k;
}
static int rloop(peer_conn *c, int ms) {
        (void)ms;
        if (rflush(c))
                return -1;
        int k = rread(c);
        if (k > 0 && rflush(c))
                return -1;
        return k;
}
static long rcall(peer_conn *c, const char *s, const void *buf, size_t len, void *rb, size_t rcap) {
        (void)s;
        unsigned char t[4 + 512];
        uint32_t l = (uint32_t)len;
        memcpy(t, &l, 4);
        memcpy(t + 4, buf, len);
        if (write_all(c->fd, t, 4 + len))
                return -1;
        size_t got = 0;
        for (;;) {
                ssize_t n = spin_recv(c->fd, t + got, sizeof t - got);
                if (n <= 0)
                        return -1;
                got += (size_t)n;
                if (got < 4)
                        continue;
                memcpy(&l, t, 4);
                if (got >= 4 + (size_t)l)
                        break;
        }
        if (l > rcap)
                return -1;
        memcpy(rb, t + 4, l);
        return (long)l;
}
static int rrequest(peer_conn *c, const char *s, const void *buf, size_t len, peer_cb cb, void *user) {
        c->cb = cb;
        c->user = user;
        return rpublish(c, s, buf, len);
}
static int rreply(peer_conn *c, const peer_msg *m, const void *buf, size_t len) {
        (void)m;
        return rpublish(c, NULL, buf, len);
}
const peer_adapter peer = {.name = "raw",
                           .connect = rconnect,
                           .close = rclose,
                           .subscribe = rsubscribe,
                           .publish = rpublish,
                           .flush = rflush,
                           .call = rcall,
                           .request = rrequest,
                           .serve = rsubscribe,
                           .reply = rreply,
                           .loop = rloop};
