/* SPDX-License-Identifier: MIT */
/* The connection to the broker, and the loop.
 *
 * Threads. One thread at a time owns a connection and all that belongs to it; a program may have many. Two
 * functions may be called from anywhere: ramal_post(), and ramal_stop(), which may even be called from a signal
 * handler. The library starts no thread, has no global state, installs no signal handler, prints nothing and never
 * exits.
 *
 * Callbacks run only inside ramal_dispatch(), ramal_wait(), ramal_run() and, where the program is not in a callback
 * already, the functions that block; never inside the call that registered them, and never one inside another. A
 * function that blocks inside a callback lets all other messages wait meanwhile (they are kept, in order). Anything may
 * be cancelled inside any callback, the one that runs included; once a cancel function has returned, its callback will
 * not run. All functions may be called inside a callback, even ramal_close(), but for ramal_dispatch(), ramal_wait(),
 * ramal_run() and ramal_drain(): these answer -EDEADLK there, and ramal_publish_block() may.
 *
 * Time. Deadlines are absolute CLOCK_MONOTONIC nanoseconds: ramal_in_ms(250). RAMAL_NEVER waits for ever, 0 does
 * not wait.
 *
 * Fork. A connection stays with the process that opened it; in a child every function answers -ECHILD (or does
 * nothing), and ramal_close() only frees. A child that is made inside a callback must not return from it.
 *
 * Structures that begin with `size` may grow at their end. Set it to sizeof the structure (the macros do); forgotten,
 * it is -EINVAL. What an older program does not have reads as zero, which is the default of every field. An older
 * library does not see the fields that it does not know: ramal_version(). */
#ifndef RAMAL_CONN_H
#define RAMAL_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"

RAMAL_BEGIN

typedef struct ramal_conn ramal_conn;
typedef struct ramal_sub ramal_sub; /* see pubsub.h */

#define RAMAL_NEVER UINT64_MAX

/* CLOCK_MONOTONIC in nanoseconds. Any thread. */
RAMAL_API uint64_t ramal_now(void);
/* ramal_now() + ms milliseconds; RAMAL_NEVER where that is too far. Any thread. */
RAMAL_API uint64_t ramal_in_ms(uint64_t ms);

/* ---- events of the connection ---- */

typedef enum ramal_state {
        RAMAL_CONNECTING = 0, /* on the way, at first or again */
        RAMAL_CONNECTED = 1,  /* the broker has let us in */
        RAMAL_STOPPING = 2,   /* connected still, but the broker announced that it stops */
        RAMAL_CLOSED = 3      /* over: it will not be tried again; ramal_close() it */
} ramal_state;

/* Valid during the callback. */
typedef struct ramal_state_change {
        ramal_state state;
        ramal_state before;
        const ramal_error *error; /* why; NULL where all is well */
        uint64_t unconfirmed;     /* CONNECTED -> CONNECTING or CLOSED: so many publishes were taken and may not
                                   * have reached the broker. They are not sent again */
        uint64_t retry_at;        /* CONNECTING: when the next attempt is made */
} ramal_state_change;
typedef void (*ramal_state_fn)(ramal_conn *conn, const ramal_state_change *change, void *user);

/* Something that we asked for was refused, and there is nobody else to tell. Valid during the callback. */
typedef struct ramal_refusal {
        uint64_t publish; /* the publish that was refused, by its number (ramal_conn_published()); 0: not a publish */
        uint64_t count;   /* so many consecutive ones from there on were, for the same reason */
        ramal_sub *sub;   /* the interest that was refused (it has ended: do not keep the pointer), NULL: not an
                           * interest */
        const char *pattern;      /* of the interest, else "" */
        const ramal_error *error; /* code, status, message, limit, value */
} ramal_refusal;
typedef void (*ramal_refused_fn)(ramal_conn *conn, const ramal_refusal *refusal, void *user);

typedef void (*ramal_conn_fn)(ramal_conn *conn, void *user);

/* ---- opening ---- */

typedef enum ramal_bus {
        RAMAL_BUS_DEFAULT = 0, /* RAMAL_ADDRESS, else the user's bus, else the system's */
        RAMAL_BUS_USER = 1,
        RAMAL_BUS_SYSTEM = 2
} ramal_bus;

/* All zero but `size` is a good choice for everything. Texts are copied. */
typedef struct ramal_options {
        size_t size;                 /* sizeof(ramal_options): the structure may grow */
        const char *address;         /* "unix:/path", "unix:@abstract", "tcp:host:port"; NULL: see `bus` */
        ramal_bus bus;               /* where the bus is when nobody gives an address */
        const char *app;             /* label for people, at most 255 bytes; NULL: the program's name */
        const char *token_file;      /* for TCP; NULL: `token` beside the Unix socket of the default bus */
        size_t out_bytes_max;        /* bytes taken and not sent, before -EAGAIN; 0: 4 MiB */
        uint64_t connect_timeout_ns; /* for one attempt, from connect to welcome; 0: 5 s; RAMAL_NEVER: no limit */
        bool no_reconnect;           /* a lost connection is RAMAL_CLOSED */
        bool wait_broker;            /* where no broker answers, ramal_open() keeps trying until its deadline, and
                                      * ramal_open_async() for ever; else the first failure is the result */
        uint64_t backoff_min_ns;     /* pause before the second attempt, doubled for each further one, less a random
                                      * part of up to half; 0: 50 ms. It goes on growing over connections that the
                                      * broker ended for a fault of ours */
        uint64_t backoff_max_ns;     /* 0: 5 s */
        bool no_spin;                /* never yield the processor instead of sleeping: see ramal_wait(). The same for
                                      * every connection of a program: RAMAL_SPIN=off in its environment */
        ramal_state_fn on_state;
        ramal_refused_fn on_refused; /* publishes without receipt, and interests without on_state, that were refused.
                                      * NULL: the next ramal_dispatch(), _wait(), _run() or _sync() returns the errno */
        ramal_conn_fn on_writable;   /* after -EAGAIN, or -EDEADLK of ramal_publish_block(): there is room again for
                                      * what did not fit, in the output (and half of out_bytes_max is free) and in the
                                      * publish credit. Not while ramal_publish_block() waits: afterwards */
        void *user;                  /* given to the three */
        bool inspect;                /* to look at the broker and nothing else: requests to $SYS.api and
                                      * ramal_sync(); all else is refused (-EACCES). ramald keeps a few places for such
                                      * connections where all others are taken */
} ramal_options;

#ifndef __cplusplus
/* ramal_open(RAMAL_OPTIONS(.app = "clock", .no_reconnect = true), ...) */
#define RAMAL_OPTIONS(...) (&(ramal_options){ .size = sizeof(ramal_options), __VA_ARGS__ })
#endif

/* Connects and says hello; returns when the broker has let us in, or at the deadline. Blocks; callbacks do not run
 * yet.
 * options: borrowed for the call; NULL: all defaults.  ret: owned, ramal_close().  err: may be NULL.
 * Returns 0; -ECONNREFUSED (no broker; the message lists what was tried and how to start one), -EACCES (it does not
 * let us in, or the token is wrong), -EPERM (the server is neither root's, nor ours, nor the directory owner's; or
 * it does not know the token), -ENOKEY, -ETIMEDOUT, -EINVAL (the address), -EPROTO (not a ramal broker, or of
 * another version), -ENOMEM, -EMFILE, -EOPNOTSUPP (an address of a kind that this library was built without). A
 * host that cannot be resolved counts as no broker.
 * Threads: any; the caller becomes the owner. */
RAMAL_API int ramal_open(const ramal_options *options, uint64_t deadline, ramal_conn **ret, ramal_error *err);

/* The same without waiting: the connection is in RAMAL_CONNECTING, and on_state tells what becomes of it. Interests
 * and names may be asked for at once; publishes and requests answer -ENOTCONN until it is RAMAL_CONNECTED. Does not
 * block for unix: and numeric addresses; a host name is resolved here (that blocks), and reconnecting uses the
 * result.
 * Returns 0; -EINVAL, -ENOKEY, -EOPNOTSUPP, -ENOMEM, -EMFILE; with a host that cannot be resolved -ECONNREFUSED. */
RAMAL_API int ramal_open_async(const ramal_options *options, ramal_conn **ret, ramal_error *err);

/* Sends what was taken, for at most one second, says goodbye, and frees the connection with everything that hangs
 * on it: all ramal_sub, ramal_call and ramal_req pointers of it are invalid then, and none of their callbacks run.
 * Calls that it was serving end as RESPONDER_GONE. NULL is allowed.  Blocks, for at most that second.
 * Returns how many messages (publishes, calls, replies) were not sent; ramal_sync() before tells more.
 * Inside a callback: allowed; the memory lives until the outermost dispatch returns, which answers -ESHUTDOWN. */
RAMAL_API uint64_t ramal_close(ramal_conn *conn);

/* Blocks until all that was taken, and what is to be confirmed, is in the socket. Callbacks do not run; what comes
 * meanwhile is kept for the next dispatch. Where the latest publish was refused for want of publish credit it also
 * waits until the broker has said something, or the deadline: so it may be called between two attempts. But who holds
 * others back (RAMAL_OVERFLOW_BLOCK) and does not run callbacks may be waiting for itself: see ramal_publish_block().
 * Returns 0; -ETIMEDOUT, -ENOTCONN, -ECONNRESET, -ESHUTDOWN, -EINTR, -ECHILD. */
RAMAL_API int ramal_flush(ramal_conn *conn, uint64_t deadline);

/* One round trip: blocks until the broker has dealt with all that was sent before. All refusals of it have been
 * reported by then, all interests are confirmed or refused. Callbacks run.
 * Returns 0; as ramal_flush(); or, once, the errno of a refusal that nobody is told of otherwise (see
 * ramal_conn_error()). */
RAMAL_API int ramal_sync(ramal_conn *conn, uint64_t deadline);

/* The graceful end: the interests take nothing new, what is queued for them is delivered, calls being served may
 * finish (callbacks run), calls of our own are waited for; then the connection is RAMAL_CLOSED, and ramal_close()
 * has nothing left to do. What came for ramal_sub_next() can still be taken then. At the deadline (at most 1 hour) the
 * rest is given up.
 * Returns 0 when all was done; -ETIMEDOUT; -EDEADLK inside a callback; as ramal_flush(). After -EINTR it may be called
 * again. */
RAMAL_API int ramal_drain(ramal_conn *conn, uint64_t deadline);

/* ---- the loop ---- */

/* One descriptor, the same for the life of the connection: wait until it is readable (POLLIN), then call
 * ramal_dispatch(). Do not read, write or close it. Like a file at its end it stays readable once the connection is
 * RAMAL_CLOSED. It is made when it is first asked for.
 * Returns the descriptor; -ECHILD after fork; -EMFILE, -ENFILE, -ENOMEM, -ENOSPC, the first time: ask again. */
RAMAL_API int ramal_conn_fd(const ramal_conn *conn);

/* Does what can be done now, without blocking: reads once, runs at most `budget` callbacks (0: as many as there
 * are), sends what they published. What is left keeps ramal_conn_fd() readable.
 * Returns how many things happened: callbacks that ran, and what has none (something came that waits to be taken by
 * ramal_sub_next() or ramal_call_next(), the state of an interest or of the connection changed); -ESHUTDOWN when
 * the connection is RAMAL_CLOSED and nothing is left to run; -EDEADLK inside a callback; -ECHILD; or, once, the errno
 * of a refusal that nobody is told of otherwise (see ramal_conn_error()). */
RAMAL_API int ramal_dispatch(ramal_conn *conn, unsigned budget);

/* Blocks until something happened: as counted by ramal_dispatch(). Like every function that blocks it may yield the
 * processor for a while before it sleeps: for at most 50 us (RAMAL_SPIN in the environment: another time, or off), and
 * only where the latest waits were so short that this pays off. An idle or slow connection just sleeps.
 * Returns how many things happened; 0 at the deadline; -EINTR after ramal_stop(); as ramal_dispatch(). */
RAMAL_API int ramal_wait(ramal_conn *conn, uint64_t deadline);

/* Runs callbacks until ramal_stop(). Returns the status given there (not negative is advised); as ramal_dispatch(). */
RAMAL_API int ramal_run(ramal_conn *conn);

/* Makes ramal_run() return `status`. Until it has, ramal_wait() and every other blocking function answer -EINTR:
 * those that are waiting now, and those that are called later. May be called from any thread and from signal
 * handlers, as long as the connection is not being closed. */
RAMAL_API void ramal_stop(ramal_conn *conn, int status);

/* Has fn called by the thread that dispatches, soon and in the order of posting. The one other call for foreign
 * threads: the connection must not be closed meanwhile. What was posted and not run when it is closed, is not run.
 * Returns 0; -ENOMEM, -ECHILD. Not for signal handlers. */
RAMAL_API int ramal_post(ramal_conn *conn, ramal_conn_fn fn, void *user);

/* Between cork and uncork, as inside a callback, what is published is collected and sent together (at the outermost
 * uncork, by every function that blocks or dispatches, or whenever 64 KiB are there); anywhere else it is sent before
 * the call returns. They nest. ramal_uncork() returns 0, or what the attempt to send came to: -ECONNRESET, -ENOTCONN,
 * -ESHUTDOWN, -ECHILD. */
RAMAL_API void ramal_cork(ramal_conn *conn);
RAMAL_API int ramal_uncork(ramal_conn *conn);

/* ---- what is known ---- */

RAMAL_API ramal_state ramal_conn_state(const ramal_conn *conn);
/* Why the connection is not there, was refused something, or would not take an argument (-EINVAL): the last error of
 * it. Borrowed, valid until the next call. Never NULL. */
RAMAL_API const ramal_error *ramal_conn_error(const ramal_conn *conn);
/* Number of this connection, as others see it in ramal_sender.peer; 0 while not connected. */
RAMAL_API uint64_t ramal_conn_peer(const ramal_conn *conn);
/* Number of the broker's run: changes when it is started anew. 0 before the first welcome. */
RAMAL_API uint64_t ramal_conn_epoch(const ramal_conn *conn);
/* "ramald 0.1.0"; "" before the first welcome. Borrowed until the next reconnect. */
RAMAL_API const char *ramal_conn_server(const ramal_conn *conn);
/* Where it is connected to, or was last, canonical: "unix:/run/ramal/bus". Borrowed until the next reconnect. */
RAMAL_API const char *ramal_conn_address(const ramal_conn *conn);
/* Largest payload that the broker takes, in bytes. */
RAMAL_API size_t ramal_conn_payload_max(const ramal_conn *conn);
/* Bytes taken and not sent yet. */
RAMAL_API size_t ramal_conn_unsent(const ramal_conn *conn);
/* How many publishes this connection has taken since it was made; the number of the latest one. Starts again at 0
 * with each reconnect. */
RAMAL_API uint64_t ramal_conn_published(const ramal_conn *conn);
/* How many publishes were refused, in the life of the connection. */
RAMAL_API uint64_t ramal_conn_refused(const ramal_conn *conn);

/* For __attribute__((cleanup(ramal_closep))). */
static inline void ramal_closep(ramal_conn **conn) {
        (void)ramal_close(*conn);
}

RAMAL_END

#endif
