/* SPDX-License-Identifier: MIT */
/* An interest: what it asked for, what waits for it, and its ledger (rules 2, 3 and 5). */
#ifndef RAMAL_INTEREST_H
#define RAMAL_INTEREST_H

#include "flight.h"
#include "gap.h"
#include "message.h"
#include "peer.h"

struct block;
struct call;
struct delivery;
struct gang;
struct seat;

struct interest {
        struct peer *peer;
        uint64_t sid;
        struct rml_table_node node;    /* peer->interests */
        struct rml_list link;          /* peer->interest_list */
        union {
                struct topic_slot slot; /* of a plain one */
                struct {               /* of others */
                        struct rml_list grouped_link; /* peer->grouped_list */
                        struct rml_list name_link;    /* peer->name_list */
                };
        };
        struct gang *gang;             /* NULL for a plain one */
        struct rml_heap_node turn;     /* in gang->members, or if `full` in gang->full: who is next */
        union {
                struct seat *seat;     /* `key`: its point on gang->ring */
                size_t place;          /* `random`: in gang->crowd */
        };
        struct rml_list member_link;   /* in group->members: who came first */
        uint64_t rank;                 /* order within a `primary` group */
        uint64_t since;                /* ordinal of SUBSCRIBED: what is moved here does not overtake that */
        char *pattern;
        Ramal__V1__Overflow overflow;
        bool serve, name, allow_replace, no_queue;
        bool tap;                      /* sees and does not receive */
        bool grouped;                  /* in flight counts in the window too */
        bool full;                     /* its window takes nothing more (a group's member; never of a `primary` one) */
        bool detached;                 /* gone for routing: only flushes */
        bool evicting;                 /* to be ended once routing is over */
        bool unordered;                /* a moved message is in flight: numbers do not ascend */
        bool exact;                    /* one was: a number may be above later ones, and confirms only itself */
        bool demoted;                  /* its rule was `block`, and is `drop_old` */
        uint8_t stray;                 /* CREDITs for nothing while unordered, in the millisecond stray_ms: bounds */
        uint32_t stray_ms;             /* the searching */
        uint32_t confirmed_last;       /* low half of the number confirmed last */
        Ramal__V1__State told;         /* the last state it was told */
        uint64_t told_queued;
        struct answer *notice;         /* an INTEREST that waits to be sent */
        uint64_t window_bytes, window_messages;
        uint64_t credit_bytes, credit_messages; /* 0 and 0: not asked */

        struct rml_list queue;         /* struct delivery.link */
        size_t queued_bytes, in_flight_bytes;
        struct flight_ring flights;
        struct rml_list kept;          /* of a group's subscriber: what is in flight (struct delivery), oldest first */
        uint64_t astray;               /* so many marks in the output are of what others got after its death */
        struct rml_heap_node ready;    /* in peer->ready */
        struct rml_table subjects;     /* under `latest`: queued deliveries */
        struct block *block;           /* under `block`, until it stalls */
        struct gap *gaps;
        size_t strangers;              /* other uids that have something waiting here, or calls open: struct share */
        struct core_ledger ledger;     /* ledger.matched is the last number given */
        struct rml_list calls;         /* committed here, not answered: struct call.interest_link */
        uint64_t open_calls;           /* so many */
        struct rml_list evict_link;
};

/* What a client asked for, checked. */
struct interest_wish {
        uint64_t sid;
        const char *pattern;
        bool serve, name, replace, allow_replace, no_queue, tap;
        const char *group; /* NULL = none */
        Ramal__V1__Policy policy;
        Ramal__V1__Overflow overflow;
        uint64_t window_bytes, window_messages, credit_bytes, credit_messages;
};

/* Makes one that is in no index yet. NULL without memory. */
struct interest *interest_new(struct peer *, const struct interest_wish *);
struct interest *interest_find(const struct peer *, uint64_t sid);
/* One that never was in an index. */
void interest_discard(struct interest *);

/* May a plain one be offered anything? What is in a route may be about to leave it. */
static inline bool interest_hears(const struct interest *interest) {
        return interest->peer->state == PEER_OPEN && !interest->peer->lost && !interest->evicting;
}
/* Queued + in flight + unanswered: what least_pending compares. */
uint64_t interest_pending(const struct interest *);
/* Would its window and the budgets above it take a message of that size, without dropping anything? On false, *why
 * names the bound. */
bool interest_has_room(const struct interest *, const struct message *, Ramal__V1__Why *why);

/* Would interest_offer() write a publish to the output at once, as things stand? */
bool interest_writes(const struct interest *, const struct message *);
/* Gives it a message that matched: commits, queues, or drops by its rule. Only a call can fail: -ENOMEM, and then it
 * never matched; or -EDQUOT, too many of its caller's wait already. */
int interest_offer(struct interest *, struct message *, struct call *);

/* A queued call ended before it was committed. */
void interest_unqueue(struct interest *, struct delivery *, Ramal__V1__Why why);

/* A member that was replaced: its uncommitted messages go to the others of its group. */
void interest_move_all(struct interest *);

/* What was in flight to a member that died goes to others of its group, before what was queued; in its own ledger it is
 * unconfirmed. After interest_move_all(). */
void interest_redeliver(struct interest *);

/* Ways to end. What is queued goes to other members of its group where there are any.
 * UNSUBSCRIBE, BYE, eviction, a lost name: queued is dropped with a GAP, in flight counts as confirmed. */
void interest_end(struct interest *, Ramal__V1__Why why);
/* Leaves every index and keeps what is queued and stays here, to be flushed. */
enum interest_going {
        GOING_DRAINS, /* delivers it all itself, unless it dies meanwhile */
        GOING_STOPS,  /* with the whole broker: nobody is there to take anything over */
        GOING_LEAVES, /* what is queued goes to others */
        GOING_DIES,   /* that, and what is in flight */
};
void interest_detach(struct interest *, enum interest_going);
/* The connection is gone: in flight is unconfirmed, the queue dropped. */
struct interest *interest_free(struct interest *);

void interest_say(struct interest *, Ramal__V1__State state, uint64_t queued, Ramal__V1__Why why);

#endif
