/* SPDX-License-Identifier: MIT */
/* peer.h - the one interface every broker under test is reached through.
 *
 * An adapter is one C file in adapters/ that defines `const peer_adapter peer`.
 * The driver (driver.c) is linked once with each adapter and holds all of the
 * scenario logic, payload checks, windows and clocks.
 */
#ifndef PEER_H
#define PEER_H
#include <stddef.h>
#include <stdint.h>

typedef struct peer_conn peer_conn;

enum peer_role {
        ROLE_PUB,       /* publishes as fast as it can: batch                      */
        ROLE_SUB,       /* receives published messages                             */
        ROLE_REQ,       /* one outstanding request: latency matters                */
        ROLE_RESP,      /* answers one request at a time: latency matters          */
        ROLE_REQ_PIPE,  /* many outstanding requests: throughput matters           */
        ROLE_RESP_PIPE, /* answers pipelined requests                              */
        ROLE_IDLE       /* connected + subscribed, never gets a message            */
};

typedef struct peer_msg {
        const void *data; /* payload, valid only during the callback               */
        size_t len;
        void *ctx; /* adapter's own: where a reply goes, ...                */
} peer_msg;

typedef void (*peer_cb)(void *user, const peer_msg *m);

typedef struct peer_adapter {
        const char *name;

        /* Flow control. 0/0: the peer blocks the publisher itself and loses nothing.
     * Else the driver keeps (sent - slowest sink's received) below
     * min(win_msgs, win_bytes / size), out of band, through shared memory: the
     * broker sees no acks. */
        unsigned win_msgs;
        size_t win_bytes;

        /* addr: "unix:PATH" or "tcp:HOST:PORT". Returns NULL on failure. */
        peer_conn *(*connect)(const char *addr, enum peer_role role);
        void (*close)(peer_conn *c);

        /* Confirmed by the broker on return where the protocol allows it.
     * cb may run on a library thread. All return 0, or <0 on failure. */
        int (*subscribe)(peer_conn *c, const char *subject, peer_cb cb, void *user);
        /* n subscriptions prefix<from> .. prefix<from+n-1> that never get a message;
     * NULL: scenario not applicable */
        int (*subscribe_many)(peer_conn *c, const char *prefix, unsigned from, unsigned n);
        /* returns when the broker knows all earlier subscriptions of c; may be NULL */
        int (*sync)(peer_conn *c);

        /* May buffer; the payload may be reused on return. */
        int (*publish)(peer_conn *c, const char *subject, const void *buf, size_t len);
        /* Hands everything buffered to the socket (or the library's own thread). */
        int (*flush)(peer_conn *c);

        /* Synchronous request; returns the reply's length or <0. */
        long (*call)(peer_conn *c, const char *subject, const void *buf, size_t len, void *rbuf, size_t rcap);
        /* Asynchronous request; cb gets each reply (same cb and user on every call). */
        int (*request)(peer_conn *c, const char *subject, const void *buf, size_t len, peer_cb cb, void *user);
        int (*serve)(peer_conn *c, const char *subject, peer_cb cb, void *user);
        int (*reply)(peer_conn *c, const peer_msg *req, const void *buf, size_t len);

        /* Writes what is buffered, waits up to timeout_ms for input, delivers all of
     * it, writes what the callbacks buffered. Libraries with threads just sleep. */
        int (*loop)(peer_conn *c, int timeout_ms);
} peer_adapter;

extern const peer_adapter peer;

/* util.c */
int addr_is_unix(const char *addr);
const char *addr_path(const char *addr);              /* after "unix:"   */
int addr_tcp(const char *addr, char *host, size_t n); /* returns the port */
int dial(const char *addr);                           /* blocking socket  */
int listen_on(const char *addr, int backlog);
int write_all(int fd, const void *buf, size_t len);
long spin_recv(int fd, void *buf, size_t len); /* read(), after RAW_SPIN_US of polling */
#endif
