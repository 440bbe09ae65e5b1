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

/* What was asked for in numbers: one for all interests of the core that asked for the same. */
struct terms {
        struct rml_table_node node; /* core->terms */
        size_t refs;
        uint64_t window_bytes, window_messages;
        uint64_t credit_bytes, credit_messages; /* 0 and 0: not asked */
};

/* What waits for an interest, and what it lost. A plain one has it from the first message that had to wait on, and as
 * long as there is anything in it. */
struct backlog {
        struct interest *interest;
        struct rml_list queue;         /* struct delivery.link */
        uint64_t queued;               /* so many */
        size_t queued_bytes;
        struct rml_heap_node ready;    /* in peer->ready */
        struct gap *gaps;
        struct rml_table subjects;     /* under `latest`: queued deliveries */
        struct block *block;           /* under `block`, until it stalls */
        bool demoted;                  /* its rule was `block`, and is `drop_old` */
        size_t strangers;              /* other uids that have something waiting here, or calls open: struct share */
        struct rml_list evict_link;    /* core->evicted */
        uint64_t expired, dropped, replaced, moved, unconfirmed; /* of the ledger */
};

/* Most interests are plain ones that are idle, and there may be a million of them: this is what each of them costs,
 * with its pattern, which follows. What is needed to hand it a message that is written at once stands first. */
struct interest {
        struct peer *peer;
        uint64_t sid;
        uint64_t matched;              /* of the ledger: the last number given */
        struct backlog *backlog;       /* NULL: nothing waits, and nothing was lost */
        struct terms *terms;
        struct flights *flights;       /* where credit was asked; NULL: none was used */
        size_t in_flight_bytes;
        uint32_t in_flight;
        uint8_t overflow;              /* Ramal__V1__Overflow */
        bool serve : 1;
        bool tap : 1;                  /* sees and does not receive */
        bool grouped : 1;              /* a struct member: in flight counts in the window too */
        bool detached : 1;             /* gone for routing: only flushes */
        bool evicting : 1;             /* to be ended once routing is over */
        bool asked : 1;                /* for receive credit: terms->credit_* */
        uint64_t confirmed;
        struct rml_table_node node;    /* peer->interests */
        struct rml_list link;          /* peer->interest_list */
        struct topic_slot slot;        /* of a plain one */
};

/* One that serves, claims a name or shares with others: a member of a group. Nothing of it may fail halfway, so it has
 * its backlog from the start. */
struct member {
        struct interest interest;
        struct backlog backlog;
        struct rml_list grouped_link;  /* peer->grouped_list */
        struct rml_list name_link;     /* peer->names */
        struct gang *gang;
        struct rml_heap_node turn;     /* in gang->members, or if `full` in gang->full: who is next */
        union {
                struct seat *seat;     /* `key`: its point on gang->ring */
                size_t place;          /* `random`: in gang->crowd */
        };
        struct rml_list member_link;   /* in group->members: who came first */
        uint64_t rank;                 /* order within a `primary` group */
        uint64_t since;                /* ordinal of SUBSCRIBED: what is moved here does not overtake that */
        bool name, allow_replace, no_queue;
        bool full;                     /* its window takes nothing more (never of a `primary` one) */
        bool moves, redelivers;        /* it left its group and has something for the others; what was in flight, too */
        Ramal__V1__State told;         /* the last state it was told */
        uint64_t told_queued;
        struct answer *notice;         /* an INTEREST that waits to be sent */
        struct rml_list kept;          /* of a subscriber: what is in flight (struct delivery), oldest first */
        uint64_t astray;               /* so many marks in the output are of what others got after its death */
        struct rml_list calls;         /* committed here, not answered: struct call.interest_link */
        uint64_t open_calls;           /* so many */
};

/* Whose slot is it, of a plain one? */
static inline struct interest *slot_interest(struct topic_slot *slot) {
        return rml_container_of(slot, struct interest, slot);
}

/* Only of one that is `grouped`. */
static inline struct member *member_of(const struct interest *interest) {
        rml_check(interest->grouped);
        return (struct member *)(uintptr_t)interest; /* its first part */
}
/* NULL for a plain one. */
static inline struct gang *interest_gang(const struct interest *interest) {
        return interest->grouped ? member_of(interest)->gang : NULL;
}
static inline bool interest_is_name(const struct interest *interest) {
        return interest->grouped && member_of(interest)->name;
}
static inline const char *interest_pattern(const struct interest *interest) {
        return interest->slot.pattern;
}
static inline uint64_t interest_queued(const struct interest *interest) {
        return interest->backlog ? interest->backlog->queued : 0;
}
static inline size_t interest_queued_bytes(const struct interest *interest) {
        return interest->backlog ? interest->backlog->queued_bytes : 0;
}
static inline struct block *interest_block(const struct interest *interest) {
        return interest->backlog ? interest->backlog->block : NULL;
}
/* Does anything have to go before the next message? */
static inline bool interest_waits(const struct interest *interest) {
        return interest->backlog && (interest->backlog->queued || interest->backlog->gaps);
}
/* Its numbers, as rule 2 names them. */
void interest_ledger(const struct interest *, struct core_ledger *ret);
/* Makes it if it is not there. NULL without memory. */
struct backlog *interest_backlog(struct interest *);
/* Gives it back if there is nothing in it. */
void interest_unburden(struct interest *);

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
/* Did the receiver ask for credit? Else its socket confirms, and the ring of flights stays empty. */
static inline bool credit_asked(const struct interest *interest) {
        return interest->asked;
}
/* Would the receiver's credit let a message of that size through? One that is larger than all of it goes when nothing
 * is in flight. */
static inline bool credit_open(const struct interest *interest, size_t charge) {
        const struct terms *terms = interest->terms;

        if (!credit_asked(interest) || interest->in_flight == 0 || interest->peer->state == PEER_LEAVING)
                return true;
        if (terms->credit_messages && interest->in_flight >= terms->credit_messages)
                return false;
        return !terms->credit_bytes || (interest->in_flight_bytes < terms->credit_bytes &&
                                        charge <= terms->credit_bytes - interest->in_flight_bytes);
}
/* A group's subscriber keeps what is in flight, charged as what is queued, for the others in case that it dies. */
static inline bool flight_kept(const struct interest *interest) {
        return interest_gang(interest) && !interest->serve;
}
/* Does nothing wait before it, and is there room for it: receive credit and in the output? */
static inline bool interest_free_way(const struct interest *interest, const struct message *message) {
        return !interest_waits(interest) && credit_open(interest, message->charge) &&
               peer_clear(interest->peer, RML_HEAD_BYTES_MAX + message->tail.len);
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
/* Leaves its group and the index, as `how` says, before one of the others is called. What is much work goes on in
 * later turns (move.h): the interest is one of peer->movers until that is done. */
void interest_withdraw(struct interest *, enum interest_going);
/* The connection is gone: in flight is unconfirmed, the queue dropped. */
struct interest *interest_free(struct interest *);

void interest_say(struct interest *, Ramal__V1__State state, uint64_t queued, Ramal__V1__Why why);

#endif
