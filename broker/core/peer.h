/* SPDX-License-Identifier: MIT */
/* A connection as the core sees it: who it is, what it owns, what waits for it. */
#ifndef RAMAL_PEER_H
#define RAMAL_PEER_H

#include "account.h"
#include "encode.h"
#include "input.h"
#include "papers.h"
#include "state.h"
#include "subject.h"

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

/* Where in the output something ends: what is to happen when the socket has taken it. Deliveries of one interest that
 * follow each other and are alike, in length and in charge, are one mark: so the way back costs as much for a thousand
 * of them as for one. */
enum mark_kind { MARK_DELIVERY, MARK_REPLY, MARK_ANSWER };
struct mark {
        uint64_t end;             /* outbox.put at its end */
        enum mark_kind kind;
        uint32_t bytes;           /* DELIVERY: charge of each; ANSWER: length */
        union {
                struct { /* DELIVERY */
                        struct interest *interest; /* NULL once it is gone */
                        uint32_t count, len;       /* so many, each so long in the output */
                };
                struct { /* REPLY */
                        uint64_t token, seq;
                };
        };
};
struct mark_ring {
        struct mark *items, *last; /* last: the newest, NULL while there is none */
        uint32_t first, count, room; /* room is a power of two or 0 */
};

/* Where a connection has to prove that it knows the token, from HELLO to AUTH. */
struct challenge {
        uint8_t client_nonce[32], nonce[32];
};

struct peer {
        struct core *core;
        uint64_t id;
        void *user;
        enum peer_state state;
        bool local, in, lost, publish_gone; /* in: was welcomed; lost: nothing can be sent, or told, any more */
        bool reserved;                 /* in a place that is kept for who only looks */
        bool inspect;                  /* only looks: the broker's own API and nothing else */
        bool bye;
        bool credit_due;               /* credit_untold is to be told when there is room */
        uint32_t uid, gid, pid;
        struct papers *papers;
        struct rml_span sender;        /* the field, as its messages bear it: in its papers */
        uint64_t accepted_ns;
        struct account *account;
        struct challenge *challenge;   /* NULL: none waits for its answer */

        struct input input;            /* what it sent and nobody has looked at */
        uint64_t id_last;              /* Frame.id */
        uint64_t publishes;            /* PUBLISH frames so far */
        struct timer timer;            /* HELLO, half-read frame, flush */
        uint64_t flush_ns;             /* when LEAVING or DRAINING ends */
        uint64_t bye_id;               /* Frame.id of BYE, to be answered last */

        struct rml_table interests;    /* struct interest.node, by sid */
        struct rml_list interest_list; /* all, those that only flush included */
        struct rml_list grouped_list;  /* members of groups: struct member.grouped_link */
        struct member *names;          /* that it claimed, the first: a ring by name_link; or NULL */
        struct rml_list departing_link; /* core->departing: its interests have not gone all of them */
        struct rml_list waiting_link;  /* struct group.waiting: what is next for it has to wait (group_holds()) */
        enum departure departure;
        uint32_t departures;           /* so many have not */
        uint32_t movers;               /* so many of its interests have still something for others of their groups */
        uint32_t interest_count, name_count;
        uint32_t call_count, served_count;
        uint32_t queued_count;         /* all that waits for it */
        struct rml_list calls;         /* its own: struct call.caller_link */
        struct rml_list served;        /* committed to it: struct call.callee_link */
        struct rml_list credits;       /* calls whose stream credit it is to be told */

        struct outbox outbox;
        struct mark_ring marks;
        struct rml_heap ready;         /* what may be committed: ordered by acceptance */
        struct rml_list answers;       /* struct answer.link; the first one is in there as well */
        size_t queued_bytes;           /* what all that waits for it costs */
        struct spent spent;            /* what is charged to it */
        size_t strangers;              /* other uids that have something waiting for it */
        uint64_t in_flight;            /* deliveries not confirmed, of all its interests */
        size_t unread_answers;         /* bytes that the broker itself answered and nobody took */

        struct rml_list held;          /* struct body.held_link: its publishes in `block` queues */
        uint64_t credit_used;          /* their bytes */
        uint64_t credit_untold;        /* of its publish credit: came back and was not told */
        uint64_t pass, pass_cost;      /* core->pass of the last route that was judged; what it would have to queue */

        struct rml_list link, reading_link, presence_link;
        union {
                struct rml_list dirty_link;
                struct rml_list closed_link; /* once it is CLOSED */
        };
        struct rml_table_node node;
};

/* How it proved itself if it is not local. */
static inline struct rml_span peer_identity(const struct peer *peer) {
        return peer->local ? (struct rml_span){NULL, 0} : rml_span_of("token");
}
struct peer *peer_find(const struct core *, uint64_t id);
/* Has something to send or to commit. */
static inline void peer_touch(struct peer *peer) {
        if (!rml_list_linked(&peer->dirty_link) && peer->state != PEER_CLOSED)
                rml_list_push_back(&peer->core->dirty, &peer->dirty_link);
}
static inline void input_sends(struct peer *peer, uint64_t bytes) {
        if (bytes >= INPUT_OUTPUT_BYTES)
                input_sends_much(peer, bytes);
        else
                peer->core->output += bytes;
}
/* Whether its socket is to be read may have changed: the edge looks at it again. */
void peer_reading_changed(struct peer *);
/* Commits what may be committed (at most 256 KiB or one message ahead of the socket). */
void peer_commit(struct peer *);
#define PEER_AHEAD_MAX (256u << 10) /* committed ahead of the socket */
static inline bool peer_has_room(const struct peer *peer, size_t n) {
        return peer->outbox.bytes == 0 || peer->outbox.bytes + n <= PEER_AHEAD_MAX;
}
/* It ends, and not all that may be queued for it is ready yet: order is kept by waiting. */
bool peer_waits(const struct peer *);
/* May n bytes be committed now, without waiting behind anything else? */
static inline bool peer_clear(const struct peer *peer, size_t n) {
        return !rml_heap_top(&peer->ready) && peer_has_room(peer, n) &&
               (peer->state != PEER_LEAVING || !peer_waits(peer));
}

#define MARKS_MIN 16u
void marks_free(struct peer *);
/* Room for one more mark. Returns false without memory. */
bool marks_grow(struct peer *);
static inline bool marks_room(const struct mark_ring *ring) {
        return ring->count < ring->room;
}
static inline bool marks_reserve(struct peer *peer) {
        return marks_room(&peer->marks) || marks_grow(peer);
}
/* One more, to be filled in by the caller: after marks_reserve(). */
static inline struct mark *marks_put(struct mark_ring *ring) {
        return ring->last = &ring->items[(ring->first + ring->count++) & (ring->room - 1)];
}
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
