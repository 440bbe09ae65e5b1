/* SPDX-License-Identifier: MIT */
/* A connection as the core sees it: who it is, what it owns, what waits for it. */
#ifndef RAMAL_PEER_H
#define RAMAL_PEER_H

#include "account.h"
#include "framer.h"
#include "encode.h"
#include "state.h"

enum peer_state {
        PEER_HELLO,    /* nothing came yet */
        PEER_AUTH,     /* challenged */
        PEER_OPEN,
        PEER_DRAINING, /* BYE{drain}: takes nothing new */
        PEER_LEAVING,  /* owns nothing any more; the rest is flushed */
        PEER_CLOSED,   /* its socket is to be closed */
};

#define PROGRESS_BYTES (64u << 10) /* of a half-read frame within frame_timeout_ns, or it is closed */

/* Where in the output something ends: what is to happen when the socket has taken it. */
enum mark_kind { MARK_DELIVERY, MARK_REPLY, MARK_ANSWER };
struct mark {
        uint64_t end;             /* outbox.put at its end */
        enum mark_kind kind;
        uint32_t bytes;           /* DELIVERY: charge; ANSWER: length */
        struct interest *interest; /* DELIVERY: NULL once it is gone */
        uint64_t token, seq;      /* REPLY */
};
struct mark_ring {
        struct mark *items;
        size_t first, count, room; /* room is a power of two or 0 */
};

struct peer {
        struct core *core;
        uint64_t id;
        void *user;
        enum peer_state state;
        bool local, in, lost, publish_gone; /* in: was welcomed; lost: nothing can be sent, or told, any more */
        bool paused;                   /* too many of our answers unread */
        uint32_t uid, gid, pid;
        uint32_t *groups;
        size_t group_count;
        struct rml_span identity;      /* how it proved itself if it is not local: static text */
        uint8_t sender_len;
        uint8_t sender_field[RML_SENDER_BYTES_MAX]; /* as its messages bear it */
        char *app, *library, *address;
        uint64_t accepted_ns;
        struct account *account;
        uint8_t client_nonce[32], nonce[32];

        struct rml_framer framer;
        uint8_t *stash;                /* input that waits while paused */
        size_t stash_len;
        uint64_t heard_ns;             /* when input came last */
        uint64_t progress_ns;          /* of the half-read frame */
        size_t progress_bytes;
        uint64_t id_last;              /* Frame.id */
        uint64_t publishes;            /* PUBLISH frames so far */
        struct timer timer;            /* HELLO, half-read frame, flush */
        uint64_t flush_ns;             /* when LEAVING or DRAINING ends */
        uint64_t bye_id;               /* Frame.id of BYE, to be answered last */
        bool bye, eof;                 /* eof: came while input waited */
        const char *limit_text;        /* the last limit that was logged, and when */
        uint64_t limit_ns;

        struct rml_table interests;    /* struct interest.node, by sid */
        struct rml_list interest_list; /* all, those that only flush included */
        size_t interest_count, name_count;
        struct rml_list calls;         /* its own: struct call.caller_link */
        size_t call_count;
        struct rml_list served;        /* committed to it: struct call.callee_link */
        size_t served_count;
        struct rml_list credits;       /* calls whose stream credit it is to be told */

        struct outbox outbox;
        struct mark_ring marks;
        struct rml_heap ready;         /* what may be committed: ordered by acceptance */
        struct rml_heap_node answers_ready;
        struct rml_list answers;       /* struct answer.link */
        size_t queued_bytes, queued_count; /* deliveries and replies that wait, and what they cost */
        uint64_t in_flight;            /* deliveries not confirmed, of all its interests */
        size_t unread_answers;         /* bytes that the broker itself answered and nobody took */

        struct rml_list link, dirty_link, closed_link, resumed_link, presence_link;
        struct rml_table_node node;
};

struct peer *peer_find(const struct core *, uint64_t id);
/* Has something to send or to commit. */
void peer_touch(struct peer *);
/* Commits what may be committed (at most 256 KiB or one message ahead of the socket). */
void peer_commit(struct peer *);
/* May n bytes be committed now, without waiting behind anything else? */
bool peer_clear(const struct peer *, size_t n);
bool peer_has_room(const struct peer *, size_t n);
int peer_mark(struct peer *, const struct mark *);
void peer_forget_marks(struct peer *, const struct interest *);

/* How a peer ends (rule 11). */
enum peer_end { PEER_END_EOF, PEER_END_BROKEN, PEER_END_BYE, PEER_END_LOST, PEER_END_STOP };
void peer_end(struct peer *, enum peer_end, const char *how);
/* Malformed or worse: GOAWAY, then as above. */
void peer_goaway(struct peer *, Ramal__V1__Code reason, const char *text, uint64_t offset);
void peer_say_goaway(struct peer *, Ramal__V1__Code reason, const char *text, uint64_t offset, uint64_t grace_ns);
void peer_drain(struct peer *, uint64_t bye_id, uint64_t drain_ns);
/* Nothing is left to flush: close. */
void peer_check_flushed(struct peer *);
void peer_timer(struct peer *);
void peer_arm(struct peer *);
void event_add(struct core *, enum core_event_kind, const struct peer *, const char *text);

#endif
