/* SPDX-License-Identifier: MIT */
/* nats.c - NATS through libnats (TCP only: nats-server has no unix sockets).
 * Publishing and pipelined requests are buffered and written by the library's
 * flusher thread (which waits 1 ms for more to batch); the request roles use
 * SendAsap: one write per message, at once. A synchronous request is PublishRequest
 * to an inbox read with NextMsg: one thread hop less than natsConnection_Request
 * (NATS_REQUEST_API=1 in the environment uses that instead). */
#define _GNU_SOURCE
#include "../peer.h"
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct peer_conn {
        natsConnection *nc;
        natsSubscription *sub;
        char inbox[64];
        peer_cb cb;
        void *user;
};

static peer_conn *nconnect(const char *addr, enum peer_role role) {
        char host[64], url[128];
        natsOptions *o;
        if (addr_is_unix(addr))
                return NULL;
        int port = addr_tcp(addr, host, sizeof host);
        snprintf(url, sizeof url, "nats://%s:%d", host, port);
        peer_conn *c = calloc(1, sizeof *c);
        natsOptions_Create(&o);
        natsOptions_SetURL(o, url);
        natsOptions_SetAllowReconnect(o, false);
        if (role != ROLE_PUB && role != ROLE_SUB)
                natsOptions_SetSendAsap(o, true);
        natsStatus s = natsConnection_Connect(&c->nc, o);
        natsOptions_Destroy(o);
        if (s != NATS_OK) {
                fprintf(stderr, "nats: %s\n", natsStatus_GetText(s));
                free(c);
                return NULL;
        }
        return c;
}
static void nclose(peer_conn *c) {
        natsConnection_Destroy(c->nc);
        free(c);
}
static void on_nats(natsConnection *nc, natsSubscription *sub, natsMsg *m, void *ud) {
        peer_conn *c = ud;
        peer_msg pm = {natsMsg_GetData(m), (size_t)natsMsg_GetDataLength(m), (void *)natsMsg_GetReply(m)};
        c->cb(c->user, &pm);
        natsMsg_Destroy(m);
}
static int nsync(peer_conn *c) {
        return natsConnection_FlushTimeout(c->nc, 20000) == NATS_OK ? 0 : -1;
}
static int nsubscribe(peer_conn *c, const char *s, peer_cb cb, void *user) {
        c->cb = cb;
        c->user = user;
        if (natsConnection_Subscribe(&c->sub, c->nc, s, on_nats, c) != NATS_OK)
                return -1;
        natsSubscription_SetPendingLimits(c->sub, -1, -1);
        return nsync(c);
}
static int nmany(peer_conn *c, const char *prefix, unsigned from, unsigned n) {
        char s[128];
        natsSubscription *sub;
        for (unsigned i = 0; i < n; i++) { /* sync subscriptions: no thread each */
                snprintf(s, sizeof s, "%s%u", prefix, from + i);
                if (natsConnection_SubscribeSync(&sub, c->nc, s) != NATS_OK)
                        return -1;
        }
        return nsync(c);
}
static int npublish(peer_conn *c, const char *s, const void *buf, size_t len) {
        return natsConnection_Publish(c->nc, s, buf, (int)len) == NATS_OK ? 0 : -1;
}
static int nflush(peer_conn *c) {
        return 0; /* the flusher thread is already at it */
}
static void inbox_name(peer_conn *c) {
        natsInbox *in;
        natsInbox_Create(&in);
        snprintf(c->inbox, sizeof c->inbox, "%s", (char *)in);
        natsInbox_Destroy(in);
}
static long ncall(peer_conn *c, const char *s, const void *buf, size_t len, void *rb, size_t rcap) {
        natsMsg *m;
        static int api = -1;
        if (api < 0)
                api = getenv("NATS_REQUEST_API") != NULL;
        if (api) {
                if (natsConnection_Request(&m, c->nc, s, buf, (int)len, 5000) != NATS_OK)
                        return -1;
        } else {
                if (!c->sub) {
                        inbox_name(c);
                        if (natsConnection_SubscribeSync(&c->sub, c->nc, c->inbox) != NATS_OK || nsync(c))
                                return -1;
                }
                if (natsConnection_PublishRequest(c->nc, s, c->inbox, buf, (int)len) != NATS_OK)
                        return -1;
                if (natsSubscription_NextMsg(&m, c->sub, 5000) != NATS_OK)
                        return -1;
        }
        size_t n = (size_t)natsMsg_GetDataLength(m);
        if (n <= rcap)
                memcpy(rb, natsMsg_GetData(m), n);
        natsMsg_Destroy(m);
        return n <= rcap ? (long)n : -1;
}
static int nrequest(peer_conn *c, const char *s, const void *buf, size_t len, peer_cb cb, void *user) {
        if (!c->sub) {
                inbox_name(c);
                if (nsubscribe(c, c->inbox, cb, user))
                        return -1;
        }
        return natsConnection_PublishRequest(c->nc, s, c->inbox, buf, (int)len) == NATS_OK ? 0 : -1;
}
static int nreply(peer_conn *c, const peer_msg *q, const void *buf, size_t len) {
        return natsConnection_Publish(c->nc, q->ctx, buf, (int)len) == NATS_OK ? 0 : -1;
}
static int nloop(peer_conn *c, int ms) {
        struct timespec t = {0, (ms > 20 ? 20 : ms) * 1000000l};
        nanosleep(&t, NULL);
        return natsConnection_IsClosed(c->nc) ? -1 : 0;
}
/* idle connections: a subscription without a thread of its own */
static int nidle(peer_conn *c, const char *s, peer_cb cb, void *user) {
        if (strncmp(s, "idle.", 5))
                return nsubscribe(c, s, cb, user);
        return natsConnection_SubscribeSync(&c->sub, c->nc, s) == NATS_OK ? nsync(c) : -1;
}
const peer_adapter peer = {.name = "nats",
                           .win_msgs = 8192,
                           .win_bytes = 8u << 20,
                           .connect = nconnect,
                           .close = nclose,
                           .subscribe = nidle,
                           .subscribe_many = nmany,
                           .sync = nsync,
                           .publish = npublish,
                           .flush = nflush,
                           .call = ncall,
                           .request = nrequest,
                           .serve = nsubscribe,
                           .reply = nreply,
                           .loop = nloop};
