/* SPDX-License-Identifier: MIT */
/* What the whole core shares: struct core, its timers and its counters. Included by the core's own files only. */
#ifndef RAMAL_STATE_H
#define RAMAL_STATE_H

#include "base/heap.h"
#include "base/list.h"
#include "base/table.h"
#include "core.h"
#include "outbox.h"
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
};

enum timer_kind { TIMER_PEER, TIMER_CALL };
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
        uint64_t now_ns, started_ns;
        uint64_t ordinal;       /* of whatever is put into a queue: one order for all */
        uint64_t pass;          /* of routing: marks the groups that were served */
        uint64_t peer_last, token_last;
        size_t interest_count, tap_count, name_count, call_count, queued_count, bodies_bytes, queued_bytes;
        size_t unauthenticated;

        struct topics *topics;
        struct rml_list peers;         /* struct peer.link, in order of arrival */
        struct rml_table peers_by_id;
        struct rml_table accounts;     /* struct account.node */
        struct rml_table groups;       /* named groups: struct group.node */
        struct rml_table names;        /* well-known names: struct group.node */
        struct rml_table gangs;        /* of all groups: struct gang.node */
        struct rml_table calls_by_token, calls_by_id;
        struct rml_heap timers;        /* struct timer */
        struct chunk_pool pool;

        struct rml_list dirty;         /* peers with something to send or to commit */
        struct rml_list closed;        /* peers whose socket is to be closed */
        struct rml_list resumed;       /* peers whose input waited and may go on */
        struct rml_list evicted;       /* interests to end once routing is over */
        struct rml_list changed_names; /* groups whose owner or queue changed: to be published */
        struct rml_list untold_groups; /* `primary` groups whose members are to be told where they stand */
        struct rml_list changed_peers; /* peers whose coming or going is to be published */

        struct counters counters;
        struct core_event events[EVENTS_MAX];
        size_t event_first, event_count;
        uint64_t events_lost;
        bool settling, stopping;
        uint64_t stop_ns, stop_began_ns, stop_look_ns; /* its end, its begin, when to look at all peers again */
};

void timer_set(struct core *, struct timer *, uint64_t at_ns); /* earlier or later: moves it */
void timer_clear(struct core *, struct timer *);

/* Does what had to wait until a message was routed: evictions, presence. */
void core_settle(struct core *);

uint64_t core_add_ns(uint64_t a, uint64_t b); /* saturates at CORE_NEVER */

#endif
