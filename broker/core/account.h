/* SPDX-License-Identifier: MIT */
/* Who pays: one account for each uid, and one for all peers that proved the token. Everything that a connection holds
 * is counted there too. */
#ifndef RAMAL_ACCOUNT_H
#define RAMAL_ACCOUNT_H

#include "base/list.h"
#include "base/table.h"
#include "quota.h"

/* Charged to a connection or a uid while it waits. Each kind may use the whole bound: who has too many deliveries
 * waiting still gets its replies. */
struct spent {
        size_t deliveries; /* for it */
        size_t calls;      /* its own, at whoever serves them */
        size_t replies;    /* to its calls */
};

/* The last line of log about one limit. */
struct brake {
        uint64_t at_ns, suppressed;
};

struct account {
        struct rml_table_node node;
        struct rml_list idle_link;  /* core->idle_accounts: nobody refers to it, only its rates are remembered */
        bool local;                 /* false: the one of all token peers, equal to no uid */
        bool own;                   /* the broker's own uid */
        uint32_t uid;
        const struct core_limits *limits; /* the general ones, or its own */
        const struct quota *quota;  /* its own; NULL: none */
        size_t refs;                /* peers, bodies and shares */
        size_t peers;               /* connections */
        size_t connections;         /* the same, but those in a reserved place */
        size_t interests, names, calls;
        struct spent spent;
        size_t blocks;              /* `block` interests that hold its publishers back */
        size_t strangers;           /* other uids that have something waiting for it */
        uint64_t input_bytes;       /* declared lengths of half-read frames above 64 KiB */
        struct rml_list starved;    /* peers that wait to go on with such a frame: struct peer.starved_link */
        size_t unread_answers;
        struct rml_list muffled;    /* peers that are not read until that is less: struct peer.muffled_link */
        uint8_t *welcome;           /* what all of its connections are told at first (hello.c); NULL: none came yet */
        size_t welcome_len;
        uint64_t connect_full_ns;   /* when it may make a whole burst of new connections again */
        uint64_t braked_ns;         /* when the last of its brakes is let go */
        struct brake brakes[QUOTA_COUNT + 1];
};

/* Finds or makes it. One reference is the caller's. NULL without memory. */
struct account *account_get(struct core *, bool local, uint32_t uid);
struct account *account_ref(struct account *);              /* accepts NULL */
void account_unref(struct core *, struct account *);        /* the same */
/* All that nobody refers to. */
void accounts_deinit(struct core *);

/* How much may wait for it, of deliveries or calls: their body of all may use less than that of replies. */
uint64_t account_bytes_max(const struct core *, const struct account *);
uint64_t account_replies_max(const struct core *, const struct account *);
/* Which limit that is. */
size_t account_bytes_quota(const struct account *);
/* And that of its connections. */
size_t account_connections_quota(const struct account *);
/* One more connection now? (uid_connect_rate.) account_connected(): there is. */
bool account_may_connect(const struct core *, const struct account *);
void account_connected(const struct core *, struct account *);
/* Two peers of one kernel-attested uid? Token peers never are. */
bool account_same(const struct account *, const struct account *);

#endif
