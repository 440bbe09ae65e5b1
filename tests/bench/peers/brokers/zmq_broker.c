/* SPDX-License-Identifier: MIT */
/* zmq_broker.c - two ZeroMQ proxies in one process.
 *   zmq_broker ADDR   unix:PATH -> ipc://PATH.{xsub,xpub,router,dealer}
 *                     tcp:HOST:PORT -> ports PORT .. PORT+3 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

static void *ctx;
static const char *addr;
static void *sock(int type, int i) {
        static const char *ext[] = {"xsub", "xpub", "router", "dealer"};
        char ep[256];
        int zero = 0, backlog = 4096;
        void *s = zmq_socket(ctx, type);
        zmq_setsockopt(s, ZMQ_SNDHWM, &zero, sizeof zero);
        zmq_setsockopt(s, ZMQ_RCVHWM, &zero, sizeof zero);
        zmq_setsockopt(s, ZMQ_BACKLOG, &backlog, sizeof backlog);
        if (!strncmp(addr, "unix:", 5))
                snprintf(ep, sizeof ep, "ipc://%s.%s", addr + 5, ext[i]);
        else {
                const char *c = strrchr(addr, ':');
                snprintf(ep, sizeof ep, "tcp://%.*s:%d", (int)(c - addr - 4), addr + 4, atoi(c + 1) + i);
        }
        if (zmq_bind(s, ep)) {
                fprintf(stderr, "%s: %s\n", ep, zmq_strerror(zmq_errno()));
                exit(1);
        }
        return s;
}
static void *rr(void *a) {
        (void)a;
        zmq_proxy(sock(ZMQ_ROUTER, 2), sock(ZMQ_DEALER, 3), NULL);
        return NULL;
}
int main(int argc, char **argv) {
        pthread_t t;
        if (argc < 2)
                return 2;
        addr = argv[1];
        ctx = zmq_ctx_new();
        zmq_ctx_set(ctx, ZMQ_MAX_SOCKETS, 60000);
        pthread_create(&t, NULL, rr, NULL);
        zmq_proxy(sock(ZMQ_XSUB, 0), sock(ZMQ_XPUB, 1), NULL);
        return 0;
}
