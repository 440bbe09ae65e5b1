/* SPDX-License-Identifier: MIT */
/* Publish and subscribe, and what all interests (subscriptions, services, names) have in common.
 *
 * Subjects are dotted tokens, "host.web1.load": at most 32 tokens and 255 bytes, UTF-8 without white space and
 * control characters, no empty token, case matters. In a pattern "*" stands for one token and ">" at the end for
 * one or more. A first token that begins with "$" is the broker's own: $SYS.name.<name> and $SYS.peer.<id> tell who
 * is there.
 *
 * Unless it says otherwise every function here: must be called by the connection's owner; borrows its arguments for
 * the call; answers -ECHILD after fork and -ESHUTDOWN when the connection is RAMAL_CLOSED. */
#ifndef RAMAL_PUBSUB_H
#define RAMAL_PUBSUB_H

#include "conn.h"
#include "msg.h"

RAMAL_BEGIN

/* ---- publish ---- */

/* Sends a message to everybody whose subscription matches the subject. Never blocks. Outside of callbacks and cork
 * the message is handed to the kernel before the call returns; what its socket does not take goes with the next
 * dispatch.
 * data: `len` bytes, at most ramal_conn_payload_max(); copied.  May be NULL where len is 0.
 * Returns 0 when the message was taken. Nothing was taken with: -EAGAIN (too much is unsent: out_bytes_max; or the
 * publish credit is used up, because receivers with the overflow rule `block` have not taken what was published before:
 * in both cases on_writable tells when to go on), -ENOTCONN (there is no connection just now), -EMSGSIZE, -EINVAL (the
 * subject), -ENOMEM. A refusal by the broker comes later, to on_refused; that nobody listens is no error. */
RAMAL_API int ramal_publish(ramal_conn *conn, const char *subject, const void *data, size_t len);

/* What became of a publish with receipt. Valid during the callback. */
typedef struct ramal_receipt {
        uint64_t publish;         /* its number: ramal_conn_published() after the call */
        uint64_t receivers;       /* so many interests got it; 0 where nobody listens */
        const ramal_error *error; /* NULL: it was accepted. Else why not; -ECONNRESET: not known */
} ramal_receipt;
typedef void (*ramal_receipt_fn)(ramal_conn *conn, const ramal_receipt *receipt, void *user);

typedef struct ramal_publish_options {
        size_t size;                 /* sizeof(ramal_publish_options) */
        const char *type;            /* what the payload is, e.g. a protobuf type name */
        const ramal_header *headers; /* header_count of them */
        size_t header_count;
        ramal_receipt_fn on_receipt; /* asks for a receipt; called exactly once unless the connection is closed by us */
        void *user;                  /* given to on_receipt */
        const char *key;             /* RAMAL_POLICY_KEY chooses the member of a group by it; at most 255 bytes */
        uint64_t expires;            /* absolute, as a deadline: nobody gets the message after that. 0 or RAMAL_NEVER:
                                      * it does not expire. Whoever did not get it in time is told by on_gap */
} ramal_publish_options;

/* The same with everything that can be said about a message. options may be NULL. Returns as ramal_publish(); also
 * -EINVAL for headers, a type or a key that are no good, -ETIMEDOUT where it has expired already. */
RAMAL_API int ramal_publish_with(ramal_conn *conn, const char *subject, const void *data, size_t len,
                                 const ramal_publish_options *options);

/* The same, and waits where ramal_publish_with() would answer -EAGAIN or -ENOTCONN, until the message is taken or the
 * deadline has passed (0: does not wait). Blocks; callbacks run, and what they publish goes first. options may be NULL.
 *
 * Inside a callback it reads on meanwhile, but runs no others. So it does not wait for publish credit there while this
 * connection has a subscription with RAMAL_OVERFLOW_BLOCK itself (one that has not ended and is not demoted): others,
 * perhaps those whose reading would free our credit, may be held back by it until this callback returns. It asks the
 * broker once, and where that has none to give the answer is -EDEADLK: publish outside of callbacks, or when
 * on_writable comes. The library cannot see a circle that goes through another connection of this thread, nor one of
 * programs that take their messages with ramal_sub_next(); the broker ends these after its limits.stall_max, see
 * RAMAL_OVERFLOW_BLOCK.
 *
 * That a message was taken does not mean that the broker accepts it: where a `block` receiver holds back so many
 * publishers that its connection's or user's budget is full, it is refused (-EAGAIN, naming the limit), and nobody gets
 * it. As always on_refused or on_receipt say so; it may be published again.
 *
 * err: may be NULL.
 * Returns 0; as ramal_publish_with(), but for -EAGAIN; -ETIMEDOUT (nothing was taken), -EDEADLK, -ESHUTDOWN, -EINTR;
 * inside a callback also -ENOTCONN and -ECONNRESET (there is no connection any more). */
RAMAL_API int ramal_publish_block(ramal_conn *conn, const char *subject, const void *data, size_t len,
                                  const ramal_publish_options *options, uint64_t deadline, ramal_error *err);

/* As ramal_publish_with(), and waits for the receipt (options->on_receipt is not called). Blocks; callbacks run.
 * receivers: gets how many interests got it; may be NULL.
 * Returns 0; as ramal_publish_with(); what the broker refused it for (-EACCES, -EDQUOT, ...); -ETIMEDOUT,
 * -ECONNRESET, -EINTR. */
RAMAL_API int ramal_publish_wait(ramal_conn *conn, const char *subject, const void *data, size_t len,
                                 const ramal_publish_options *options, uint64_t deadline, uint64_t *receivers,
                                 ramal_error *err);

/* ---- interests ---- */

/* What happens to a message when the window of a subscription is full. */
typedef enum ramal_overflow {
        RAMAL_OVERFLOW_DROP_OLD = 0, /* the oldest ones make room */
        RAMAL_OVERFLOW_DROP_NEW = 1,
        RAMAL_OVERFLOW_LATEST = 2,   /* the newer one takes the place of the queued one of its subject */
        RAMAL_OVERFLOW_EVICT = 3,    /* the subscription ends */
        RAMAL_OVERFLOW_BLOCK = 4     /* publishers of the same user wait: what is queued uses up their publish credit.
                                      * Whom it must not hold back (other users, this very connection, the broker)
                                      * loses the oldest, or the new one where it is our own. When the oldest message
                                      * has waited for limits.stall_max (5 s), as we read slowly or not at all, the
                                      * subscription is *demoted*: as DROP_OLD, until it is asked for again */
} ramal_overflow;

/* Who of a group gets a message. The first member decides. */
typedef enum ramal_policy {
        RAMAL_POLICY_LEAST_PENDING = 0,
        RAMAL_POLICY_ROUND_ROBIN = 1,
        RAMAL_POLICY_PRIMARY = 2, /* the oldest member, as long as it lives */
        RAMAL_POLICY_RANDOM = 3,
        RAMAL_POLICY_KEY = 4      /* the same `key` goes to the same member, in order; without one as LEAST_PENDING */
} ramal_policy;

typedef enum ramal_sub_state {
        RAMAL_SUB_ASKED = 0,  /* not confirmed yet, or waiting for the connection to come back */
        RAMAL_SUB_ACTIVE = 1,
        RAMAL_SUB_OWNER = 2,  /* owns the name; or is the head of a `primary` group */
        RAMAL_SUB_QUEUED = 3, /* others come first */
        RAMAL_SUB_ENDED = 4   /* refused, evicted, or replaced with RAMAL_NAME_NO_QUEUE: nothing comes any more */
} ramal_sub_state;

/* Valid during the callback. */
typedef struct ramal_sub_change {
        ramal_sub *sub;
        const char *pattern;
        ramal_sub_state state;
        ramal_sub_state before;   /* OWNER before and not now: the name was lost */
        uint64_t queued;          /* QUEUED: so many come first */
        ramal_why why;
        const ramal_error *error; /* ENDED by a refusal: what the broker said; else NULL */
        bool demoted;             /* RAMAL_OVERFLOW_BLOCK is RAMAL_OVERFLOW_DROP_OLD now (why: RAMAL_WHY_STALLED): too
                                   * slow. To block again: cancel it and subscribe anew; a reconnect does it, too */
} ramal_sub_change;
typedef void (*ramal_sub_state_fn)(ramal_conn *conn, const ramal_sub_change *change, void *user);

/* `count` messages with numbers from first to last were not and will not be delivered. Comes in order with the
 * messages. Valid during the callback. */
typedef struct ramal_gap {
        ramal_sub *sub;
        const char *pattern;
        uint64_t first, last;
        uint64_t count; /* may be fewer than last - first + 1: others between them were delivered, or were replaced */
        uint64_t bytes; /* of their payloads and envelopes */
        ramal_why why;
} ramal_gap;
typedef void (*ramal_gap_fn)(ramal_conn *conn, const ramal_gap *gap, void *user);

enum ramal_name_flag {
        RAMAL_NAME_REPLACE = 1,       /* take the name from an owner that allows it */
        RAMAL_NAME_ALLOW_REPLACE = 2, /* others may take it from us */
        RAMAL_NAME_NO_QUEUE = 4       /* own it now or not at all (-EEXIST); and leave when replaced */
};

/* Everything that can be said about an interest. Zero is the default of each field. Texts are copied. */
typedef struct ramal_interest {
        size_t size;              /* sizeof(ramal_interest) */
        const char *pattern;      /* or the name, for ramal_claim_with() */
        const char *group;        /* each message goes to one member of it; NULL: none */
        ramal_policy policy;      /* of the group */
        uint64_t window_bytes;    /* what the broker queues; 0: its default (8 MiB); never above that */
        uint64_t window_messages; /* 0: its default (65 536) */
        ramal_overflow overflow;  /* subscriptions only */
        uint64_t credit_bytes;    /* at most so much is under way to us unconfirmed; 0: 4 MiB. A message counts as
                                   * confirmed when its callback has returned, or ramal_sub_next() was called again */
        uint64_t credit_messages; /* 0: no such limit */
        unsigned name_flags;      /* ramal_claim_with() only: sum of RAMAL_NAME_* */
        ramal_gap_fn on_gap;
        ramal_sub_state_fn on_state;
        void *user;               /* given to these two */
} ramal_interest;

#ifndef __cplusplus
#define RAMAL_INTEREST(...) (&(ramal_interest){ .size = sizeof(ramal_interest), __VA_ARGS__ })
#endif

/* msg: borrowed for the callback (ramal_msg_ref() keeps it). */
typedef void (*ramal_msg_fn)(ramal_conn *conn, const ramal_msg *msg, void *user);

/* Subscribes to all publishes whose subject matches. The request is sent at once, or when there is a connection,
 * and again after each reconnect; it does not wait for the broker's answer: on_state tells it, or
 * ramal_sub_confirm(). A refusal that nobody would be told of (neither on_state here nor on_refused in the options)
 * is returned by the next dispatch, wait or run.
 * fn: NULL: messages are taken with ramal_sub_next().
 * ret: the handle, valid until ramal_sub_cancel() or ramal_close(); NULL: the subscription lives as long as the
 * connection.
 * Returns 0; -EINVAL (the pattern, the group, a field), -ENOMEM. */
RAMAL_API int ramal_subscribe(ramal_conn *conn, const char *pattern, ramal_msg_fn fn, void *user, ramal_sub **ret);
/* user: given to fn; interest->user to the callbacks of the interest. */
RAMAL_API int ramal_subscribe_with(ramal_conn *conn, const ramal_interest *interest, ramal_msg_fn fn, void *user,
                                   ramal_sub **ret);

/* Ends an interest: a subscription, a service or a name. None of its callbacks run any more, messages that are on
 * the way are thrown away; requests that were handed out may still be answered, those on the way get
 * RAMAL_REMOTE_NO_HANDLER. NULL is allowed. Returns NULL. */
RAMAL_API ramal_sub *ramal_sub_cancel(ramal_sub *sub);

/* Blocks until the broker has confirmed or refused the interest; while there is no connection, until it is back.
 * Callbacks run.
 * err: may be NULL.
 * Returns 0 (ramal_sub_state_of() says whether it owns or waits); what it was refused for: -EACCES, -EEXIST, -EINVAL,
 * -EDQUOT, -EOPNOTSUPP, ...; -ENODATA (it has ended since), -ECANCELED (cancelled in a callback meanwhile); -ETIMEDOUT,
 * -ESHUTDOWN, -EINTR; inside a callback also -ENOTCONN and -ECONNRESET. */
RAMAL_API int ramal_sub_confirm(ramal_sub *sub, uint64_t deadline, ramal_error *err);

/* The next message of a subscription without callback, in order; gaps between messages call on_gap here. Blocks
 * until the deadline (0: not at all); the callbacks of others run meanwhile.
 * ret: owned by the caller, ramal_msg_unref().
 * Returns 0; -ETIMEDOUT; -ENODATA when the subscription has ended and all is taken; what it was refused for;
 * -ESHUTDOWN (also where it was cancelled in a callback meanwhile), -EINTR, -EINVAL (it has a callback), -ENOMEM (once:
 * one message or more could not be kept, and are counted by ramal_sub_dropped()); inside a callback also -ENOTCONN and
 * -ECONNRESET. */
RAMAL_API int ramal_sub_next(ramal_sub *sub, uint64_t deadline, ramal_msg **ret);

RAMAL_API ramal_sub_state ramal_sub_state_of(const ramal_sub *sub);
/* See ramal_sub_change. */
RAMAL_API bool ramal_sub_demoted(const ramal_sub *sub);
/* The pattern, or the name. Borrowed, valid as long as the handle. */
RAMAL_API const char *ramal_sub_pattern(const ramal_sub *sub);
/* Messages handed out so far, and messages missing so far: the sum of all ramal_gap.count, and what there was no memory
 * for. */
RAMAL_API uint64_t ramal_sub_delivered(const ramal_sub *sub);
RAMAL_API uint64_t ramal_sub_dropped(const ramal_sub *sub);

/* ---- waiting for a name ---- */

/* owner: number of the connection that owns the name, 0: nobody. */
typedef void (*ramal_owner_fn)(ramal_conn *conn, const char *name, uint64_t owner, void *user);

/* Follows a well-known name: fn is called once with the present owner and then at every change, without polling and
 * without a hole between the two; again after a reconnect.
 * ret: as ramal_subscribe(); ramal_sub_cancel() ends it.
 * Returns 0; -EINVAL (the name), -ENOMEM. */
RAMAL_API int ramal_watch_name(ramal_conn *conn, const char *name, ramal_owner_fn fn, void *user, ramal_sub **ret);

/* Blocks until somebody owns the name, over a loss of the connection too. Callbacks run.
 * owner: gets the number of its connection; may be NULL.
 * Returns 0; -ETIMEDOUT, -EINVAL, -EACCES, -EAGAIN (too much is unsent), -ESHUTDOWN, -EINTR, -ENOMEM; inside a callback
 * also -ENOTCONN and -ECONNRESET. */
RAMAL_API int ramal_wait_name(ramal_conn *conn, const char *name, uint64_t deadline, uint64_t *owner, ramal_error *err);

RAMAL_END

#endif
