/* SPDX-License-Identifier: MIT */
/* The only door to the rules of the bus. The core is pure: no clock, no socket, no log, no global. Time, seed and
 * limits come in; bytes to send, whom to close, what to log and the next deadline are pulled out. The same calls give
 * the same bytes, which is how tests/sim checks it.
 *
 * One turn of the caller:  core_time(now)
 *                          core_peer_input() for each readable socket, core_peer_eof() / core_peer_lost()
 *                          core_expire()                                  (after all input: a turn reads first)
 *                          while ((p = core_next_reading())) watch its socket as core_peer_reading() says
 *                          while ((p = core_next_dirty())) { core_peer_output(); send; core_peer_sent(); }
 *                          while ((p = core_next_closed())) { close the socket; core_peer_free(p); }
 *                          while (core_next_event(&e)) log it
 *                          sleep until core_deadline()
 */
#ifndef RAMAL_CORE_H
#define RAMAL_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "blob.h"
#include "base/table.h"

struct core;
struct peer;

#define CORE_NEVER UINT64_MAX
#define CORE_GROUPS_MAX 64u

/* Section 8 of the design; the keys of [limits] in the configuration have the same names (times without _ns). */
struct core_limits {
        uint64_t payload_bytes;          /* largest payload */
        uint64_t interest_bytes;         /* window of an interest */
        uint64_t interest_messages;
        uint64_t connection_bytes;       /* queued for one connection */
        uint64_t uid_bytes;              /* queued for all connections of another uid */
        uint64_t broker_bytes;           /* queued in all */
        uint64_t reserve_bytes;          /* of broker_bytes, not for the broker's own uid */
        uint64_t uid_connections;        /* of another uid */
        uint64_t own_connections;        /* of the broker's own uid */
        uint64_t unauthenticated;        /* TCP connections that have not proved the token yet */
        uint64_t calls;                  /* in flight per connection */
        uint64_t interests;              /* per connection of another uid */
        uint64_t own_interests;          /* per connection of the own uid */
        uint64_t names;                  /* per connection of another uid */
        uint64_t publish_credit_bytes;
        uint64_t hello_timeout_ns;       /* from accept to HELLO (and AUTH) */
        uint64_t frame_timeout_ns;       /* a half-read frame without 64 KiB of progress */
        uint64_t flush_timeout_ns;       /* what an ending connection gets to take its rest */
        uint64_t unread_answers_bytes;   /* of the broker's own answers, then its input waits */
        uint64_t stall_max_ns;           /* a `block` queue whose oldest message waits longer is demoted */
        uint64_t turn_frames;            /* of one connection in one turn; the rest waits for the next */
        uint64_t turn_bytes;             /* the same in bytes: kept by the edge, which reads */
        uint64_t reserved_connections;   /* beyond own_connections, for peers that only look (HELLO.inspect) */
        /* All connections of another uid together. The broker's own uid is bound by own_* and by the broker's sums. */
        uint64_t uid_interests;
        uint64_t uid_names;
        uint64_t uid_calls;
        uint64_t uid_input_bytes;        /* declared lengths of half-read frames above 64 KiB */
        uint64_t uid_unread_answers_bytes;
        uint64_t uid_connect_rate;       /* new connections a second; a burst is uid_connections */
};
void core_limits_default(struct core_limits *);

/* Facts about the process that only its edge knows, for $SYS.api.status. */
struct core_facts {
        uint32_t pid;
        uint64_t cpu_us, memory_bytes;
        const char *const *listening; /* addresses, NULL-terminated; borrowed until the next call */
};

/* Proof of the shared token (TCP). Deterministic stand-ins in tests. */
struct core_prover {
        /* Fills nonce and proof (32 bytes each) for the client's nonce. */
        void (*challenge)(void *user, const uint8_t *client_nonce, uint8_t *nonce, uint8_t *proof);
        /* Is `proof` the client's for both nonces? In constant time. */
        bool (*check)(void *user, const uint8_t *client_nonce, const uint8_t *nonce, const uint8_t *proof);
};

/* [limits uid N]: what one uid has instead of the limits of all. */
struct core_uid_limits {
        uint32_t uid;
        uint64_t overridden; /* bit i: the i-th uint64_t of `limits` was given, the others follow the general ones */
        struct core_limits limits; /* complete */
};

struct core_config {
        struct core_limits limits;
        const struct core_uid_limits *uid_limits; /* copied */
        size_t uid_limit_count;
        struct rml_seed seed;   /* of the hash tables: secret */
        uint64_t epoch;         /* of this run, non-zero */
        const char *server;     /* "ramald 0.1.0", borrowed for the core's life */
        uint32_t own_uid;       /* who may do more than others, beside uid 0 */
        const uint32_t *allow_uids;   /* others that may connect; copied */
        size_t allow_uid_count;
        const uint32_t *allow_gids;   /* and groups */
        size_t allow_gid_count;
        const struct core_prover *prover; /* NULL: no TCP; borrowed for the core's life */
        void (*facts)(void *user, struct core_facts *ret); /* may be NULL */
        void *user;             /* of prover and facts */
};

/* Who connected. Attested by the kernel for local ones. */
struct core_origin {
        bool local;             /* a Unix socket: uid, gid, pid are known */
        uint32_t uid, gid, pid;
        uint32_t groups[CORE_GROUPS_MAX];
        size_t group_count;
        const char *address;    /* for people; copied */
        bool reserved;          /* came in on a descriptor that was kept: only for who looks (HELLO.inspect) */
};

/* Which limit kept a connection out. */
struct core_refusal {
        const char *limit;      /* its key, static or valid as long as the core */
        uint64_t value;
};

/* Returns owned, or NULL without memory. */
struct core *core_new(const struct core_config *, uint64_t now_ns);
/* All peers must be freed before. Checks (in debug builds) that every charge has returned to zero. */
struct core *core_free(struct core *);

/* The clock, CLOCK_MONOTONIC nanoseconds; never goes back. */
void core_time(struct core *, uint64_t now_ns);
/* The caller was kept from running (SIGSTOP, a suspended machine) until now: patience with peers begins anew, for they
 * could not be heard. Call it after core_time(). Deadlines of calls and messages stand. */
void core_absent(struct core *);
void core_expire(struct core *);
/* Instead of core_expire() while not all input has been read that came meanwhile: only input that waits for its turn
 * goes on. Returns true if there was any. */
bool core_catch_up(struct core *);
uint64_t core_deadline(const struct core *); /* CORE_NEVER = none */

/* A connection was accepted. Returns 0; -ENOMEM; -EDQUOT when its uid, or the unauthenticated, have too many or come
 * too fast (nothing was created: close it), *refusal says by which limit; -ESHUTDOWN after core_stop(). user: the
 * caller's own. refusal may be NULL. */
int core_peer_add(struct core *, const struct core_origin *, void *user, struct peer **ret,
                  struct core_refusal *refusal);
void *core_peer_user(const struct peer *);
uint64_t core_peer_id(const struct peer *);

/* Bytes that it sent; all are taken. */
void core_peer_input(struct peer *, const uint8_t *data, size_t len);
/* Where the next bytes of a long half-read frame belong, so that they need not be copied there; NULL: give them to
 * core_peer_input(). Valid until the next call on the core. Then core_peer_filled() says how many were put there. */
uint8_t *core_peer_room(struct peer *, size_t *room);
void core_peer_filled(struct peer *, size_t len);
/* Its input ended; it may still read. */
void core_peer_eof(struct peer *);
/* Nothing can be sent any more. It comes out of core_next_closed(). */
void core_peer_lost(struct peer *);
/* Should its socket be read now? (Not while it leaves the broker's own answers unread, nor after its end.) Others'
 * calls may change it too; what is fed meanwhile is kept. */
bool core_peer_reading(const struct peer *);
/* Not read, and nothing but its socket taking more output could change that: where nothing can be sent to it any more,
 * it is lost. (Input that only waits for its next turn, or for others, goes on by itself.) */
bool core_peer_needs_output(const struct peer *);
/* Peers whose core_peer_reading() or core_peer_needs_output() may have changed by a call that was not about them, since
 * they last came out of here. */
struct peer *core_next_reading(struct core *);

/* Bytes for its socket, in order: writes at most `max` spans, returns how many. They are valid until the next call on
 * the core. */
size_t core_peer_output(struct peer *, struct rml_span *spans, size_t max);
/* The socket took so many of them. More may come out of core_peer_output() then. */
void core_peer_sent(struct peer *, size_t bytes);
bool core_peer_has_output(const struct peer *);

/* Bytes that what came in is worth in what goes out, since it was asked last. Who sends as much in each turn keeps up:
 * of one connection it is about 1 MiB in a turn at most, and who has made more waits as many turns. */
uint64_t core_turn_output(struct core *);
/* Peers that have new output since they last came out of here. */
struct peer *core_next_dirty(struct core *);
/* Peers whose socket is to be closed now. Each comes out once; core_peer_free() it. */
struct peer *core_next_closed(struct core *);
struct peer *core_peer_free(struct peer *);

/* No new peers; GOAWAY to all; what is left at the end of grace_ns is closed. core_stopped(): everybody is gone. */
void core_stop(struct core *, uint64_t grace_ns);
bool core_stopped(const struct core *);

/* Things worth a line of log. */
enum core_event_kind {
        CORE_EVENT_WELCOME,  /* a peer came in */
        CORE_EVENT_GONE,     /* and left; text: how */
        CORE_EVENT_DENIED,   /* was not let in; text: why */
        CORE_EVENT_GOAWAY,   /* was sent away; text: why, offset */
        CORE_EVENT_LIMIT,    /* met a limit; text: which; at most one a second for each uid and limit */
        CORE_EVENT_STALL,    /* one of its `block` interests was demoted; text: the pattern */
};
struct core_event {
        enum core_event_kind kind;
        uint64_t peer;
        bool local;
        uint32_t uid, pid;
        char app[64];
        char address[128]; /* as given to core_peer_add() */
        char text[160];
        char limit[64];    /* LIMIT: its key, or empty */
        uint64_t value;    /* and its value */
        uint64_t suppressed; /* so many like it, of the same uid and limit, were not told since the last */
};
/* Returns false when there is none left. Events beyond 256 between two calls are counted, not kept: *lost. */
bool core_next_event(struct core *, struct core_event *ret, uint64_t *lost);

/* Sums for tests: every one must be 0 when nobody is connected. */
struct core_charges {
        uint64_t peers, interests, names, calls, queued_messages, queued_bytes, bodies_bytes, timers;
        uint64_t publish_credit_bytes; /* held in `block` queues */
        uint64_t input_bytes;          /* declared lengths of half-read frames above 64 KiB */
        uint64_t unread_bytes;         /* of the broker's own answers */
        uint64_t shares;               /* what other uids have waiting somewhere, or open there */
        uint64_t reserved;             /* connections in a reserved place */
        uint64_t accounts;             /* uids that somebody refers to */
};
void core_charges(const struct core *, struct core_charges *ret);
/* Bytes of memory that queued messages take, shared bodies once. */
uint64_t core_held(const struct core *);
/* Frees what it keeps for the next messages. */
void core_trim(struct core *);

/* The ledger of one interest (rule 2), for tests and $SYS.api.status. Returns -ENOENT. */
struct core_ledger {
        uint64_t matched, queued, in_flight, confirmed, expired, dropped, replaced, moved, unconfirmed;
};
int core_interest_ledger(const struct peer *, uint64_t sid, struct core_ledger *ret);

#endif
