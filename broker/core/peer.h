/* SPDX-License-Identifier: MIT */
/* A connection as the core sees it: who it is, what it owns, what waits for it. */
#ifndef RAMAL_PEER_H
#define RAMAL_PEER_H

#include "account.h"
#include "encode.h"
#include "input.h"
#include "state.h"

enum peer_state {
        PEER_HELLO,    /* nothing came yet */
        PEER_AUTH,     /* challenged */
        PEER_OPEN,
        PEER_DRAINING, /* BYE{drain}: takes nothing new */
        PEER_LEAVING,  /* owns nothing any more; the rest is flushed */
        PEER_CLOSED,   /* its socket is to be closed */
};

/* How the interests of a peer go, all of them: departure.h. */
enum departure {
        DEPARTURE_DRAINS, /* BYE{drain}: they deliver what they have */
        DEPARTURE_ENDS,   /* BYE */
        DEPARTURE_DIES,   /* any other end: what is queued is flushed, or goes to others */
        DEPARTURE_STOPS,  /* the whole broker ends */
        DEPARTURE_FREES,  /* nothing can be flushed any more */
};

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
        bool reserved;                 /* in a place that is kept for who only looks */
        bool inspect;                  /* only looks: the broker's own API and nothing else */
        uint32_t uid, gid, pid;
        uint32_t *groups;
        size_t group_count;
        struct rml_span identity;      /* how it proved itself if it is not local: static text */
        struct rml_span sender;        /* the field, as its messages bear it: in here */
        uint8_t sender_field[RML_SENDER_BYTES_MAX];
        char *app, *library, *address;
        uint64_t accepted_ns;
        struct account *account;
        uint8_t client_nonce[32], nonce[32];

        struct input input;            /* what it sent and nobody has looked at */
        uint64_t id_last;              /* Frame.id */
        uint64_t publishes;            /* PUBLISH frames so far */
        struct timer timer;            /* HELLO, half-read frame, flush */
        uint64_t flush_ns;             /* when LEAVING or DRAINING ends */
        uint64_t bye_id;               /* Frame.id of BYE, to be answered last */
        bool bye;

        struct rml_table interests;    /* struct interest.node, by sid */
        struct rml_list interest_list; /* all, those that only flush included */
        struct rml_list grouped_list;  /* members of groups: struct interest.grouped_link */
        struct rml_list name_list;     /* names that it claimed: struct interest.name_link */
        struct rml_list departing_link; /* core->departing: its interests have not gone all of them */
        enum departure departure;
        size_t departures;             /* so many have not */
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
        size_t queued_bytes, queued_count; /* all that waits for it, and what it costs */
        struct spent spent;            /* what is charged to it */
        size_t strangers;              /* other uids that have something waiting for it */
        uint64_t in_flight;            /* deliveries not confirmed, of all its interests */
        size_t unread_answers;         /* bytes that the broker itself answered and nobody took */

        struct rml_list held;          /* struct body.held_link: its publishes in `block` queues */
        uint64_t credit_used;          /* their bytes */
        uint64_t credit_untold;        /* of its publish credit: came back and was not told */
        bool credit_due;               /* and is to be told when there is room */
        uint64_t pass, pass_cost;      /* core->pass of the last route that was judged; what it would have to queue */

        struct rml_list link, dirty_link, closed_link, reading_link, presence_link;
        struct rml_table_node node;
};

struct peer *peer_find(const struct core *, uint64_t id);
/* Has something to send or to commit. */
void peer_touch(struct peer *);
/* Whether its socket is to be read may have changed: the edge looks at it again. */
void peer_reading_changed(struct peer *);
/* Commits what may be committed (at most 256 KiB or one message ahead of the socket). */
void peer_commit(struct peer *);
/* May n bytes be committed now, without waiting behind anything else? */
bool peer_clear(const struct peer *, size_t n);
bool peer_has_room(const struct peer *, size_t n);
/* One more, to be filled in by the caller. NULL without memory. */
struct mark *peer_mark(struct peer *);
void peer_forget_marks(struct peer *, const struct interest *);

/* How a peer ends (rule 11). */
enum peer_end { PEER_END_EOF, PEER_END_BROKEN, PEER_END_BYE, PEER_END_LOST, PEER_END_STOP };
void peer_end(struct peer *, enum peer_end, const char *how);
/* Malformed or worse: GOAWAY, then as above. */
void peer_goaway(struct peer *, Ramal__V1__Code reason, const char *text, uint64_t offset);
void peer_say_goaway(struct peer *, Ramal__V1__Code reason, const char *text, uint64_t offset, uint64_t grace_ns);
void peer_drain(struct peer *, uint64_t bye_id, uint64_t drain_ns);
/* Its interests have gone, later than its end. */
void peer_departed(struct peer *, enum departure how);
/* Nothing is left to flush: close. */
void peer_check_flushed(struct peer *);
void peer_timer(struct peer *);
void peer_arm(struct peer *);

#endif
