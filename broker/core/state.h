/* SPDX-License-Identifier: MIT */
/* What the whole core shares: struct core, its timers and its counters. Included by the core's own files only. */
#ifndef RAMAL_STATE_H
#define RAMAL_STATE_H

#include "base/heap.h"
#include "base/list.h"
#include "base/table.h"
#include "core.h"
#include "outbox.h"
#include "quota.h"
#include "shelf.h"
#include "topics.h"

/* Sums since the start, as $SYS.api.status tells them. One line each in api.c's table. */
struct counters {
        uint64_t publishes, calls, replies, deliveries, delivered_bytes;
        uint64_t unheard;          /* publishes that nobody matched */
        uint64_t refused;          /* publishes and calls answered with a STATUS */
        uint64_t dropped, expired, replaced, moved, unconfirmed;
        uint64_t late_replies;     /* to calls that are over, or not the sender's */
        uint64_t stray_credits;    /* for something that is not there */
        uint64_t unpublished;      /* presence events that there was no memory for */
        uint64_t connections, denied, goaways;
        uint64_t connections_refused; /* by a limit, before HELLO */
        uint64_t over_share;       /* messages of a sender that was over its fair share */
        uint64_t pauses;           /* times that a connection was not read, for it left the broker's answers unread */
        uint64_t frame_waits;      /* half-read frames that had to wait for others of their uid */
        uint64_t would_block;      /* publishes refused for want of publish credit, or of room in a `block` queue */
        uint64_t stalls;           /* `block` interests that were demoted */
        uint64_t redelivered;      /* messages that went to another member of a group after the first one died */
};

enum timer_kind { TIMER_PEER, TIMER_CALL, TIMER_STALL, TIMER_EXPIRY };
struct timer {
        struct rml_heap_node node;
        enum timer_kind kind;
};

#define EVENTS_MAX 256u
/* A peer that was told to go, and has been quiet for so long, has said all that it had to. */
#define STOP_QUIET_NS UINT64_C(50000000)

struct core {
        struct core_config config; /* allow lists are our own copies */
        uint32_t *allow_uids, *allow_gids;
        struct quota *quotas;   /* limits of single uids */
        size_t quota_count;
        uint64_t now_ns, started_ns;
        uint64_t patient_ns;    /* core_absent(): idle times count from here at the earliest */
        uint64_t ordinal;       /* of whatever is put into a queue: one order for all */
        uint64_t pass;          /* of routing: marks the groups that were served */
        uint64_t peer_last, token_last;
        size_t interest_count, tap_count, name_count, call_count, queued_count, bodies_bytes, queued_bytes;
        size_t credit_bytes;    /* publish credit that is held, of all peers */
        size_t unauthenticated, reserved; /* connections: not proved yet; in a reserved place */
        uint64_t input_bytes;   /* declared lengths of half-read frames above 64 KiB */
        size_t unread_answers;
        uint64_t turn;

        struct topics *topics;
        struct rml_list peers;         /* struct peer.link, in order of arrival */
        struct rml_table peers_by_id;
        struct rml_table accounts;     /* struct account.node */
        struct rml_list idle_accounts; /* struct account.idle_link */
        size_t idle_account_count;
        struct rml_table shares;       /* struct share.node */
        struct rml_list spare_shares;  /* struct share.queue */
        size_t spare_share_count;
        struct rml_table groups;       /* named groups: struct group.node */
        struct rml_table names;        /* well-known names: struct group.node */
        struct rml_table gangs;        /* of all groups: struct gang.node */
        struct rml_table pins;         /* struct pin.node: keys in progress */
        struct rml_table terms;        /* struct terms.node */
        struct rml_table calls_by_token, calls_by_id;
        struct rml_heap timers;        /* struct timer */
        struct chunk_pool pool;
        struct shelf shelf;            /* deliveries, bodies and calls */
        struct mark *spare_marks[64];  /* the items of rings that are empty now: MARKS_MIN each */
        size_t spare_mark_count;

        struct rml_list dirty;         /* peers with something to send or to commit */
        struct rml_list closed;        /* peers whose socket is to be closed */
        struct rml_list resumed;       /* struct input.resumed_link: peers whose input waited and may go on */
        struct rml_list departing;     /* struct peer.departing_link */
        struct rml_list moving;        /* struct group.moving_link */
        uint64_t output;               /* bytes for others that frames have made since core_turn_output() */
        size_t departures_left;        /* so much more may go at once in this turn */
        struct rml_list readings;      /* peers whose core_peer_reading() may have changed */
        struct rml_list evicted;       /* interests to end once routing is over */
        struct rml_list changed_names; /* groups whose owner or queue changed: to be published */
        struct rml_list untold_groups; /* `primary` groups whose members are to be told where they stand */
        struct rml_list changed_peers; /* peers whose coming or going is to be published */

        struct counters counters;
        struct core_event events[EVENTS_MAX];
        size_t event_first, event_count;
        uint64_t events_lost;
        bool settling, unsettled, stopping; /* unsettled: core_settle() has something to do */
        uint64_t stop_ns, stop_began_ns, stop_look_ns; /* its end, its begin, when to look at all peers again */
};

void timer_set(struct core *, struct timer *, uint64_t at_ns); /* earlier or later: moves it */
void timer_clear(struct core *, struct timer *);

/* Does what had to wait until a message was routed: evictions, presence. After each frame: nearly always there is
 * nothing. */
void core_settle_now(struct core *);
static inline void core_settle(struct core *core) {
        if (core->unsettled)
                core_settle_now(core);
}
/* Something is put into one of those lists: evicted, changed_peers, changed_names. */
static inline void core_settle_later(struct core *core, struct rml_list *list, struct rml_list *link) {
        rml_list_push_back(list, link);
        core->unsettled = true;
}

uint64_t core_add_ns(uint64_t a, uint64_t b); /* saturates at CORE_NEVER */

#endif
