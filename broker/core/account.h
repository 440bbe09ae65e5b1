/* SPDX-License-Identifier: MIT */
/* Who pays: one account for each uid, and one for all peers that proved the token. */
#ifndef RAMAL_ACCOUNT_H
#define RAMAL_ACCOUNT_H

#include "base/table.h"
#include "core.h"

struct account {
        struct rml_table_node node;
        bool local;       /* false: the one of all token peers, equal to no uid */
        bool own;         /* the broker's own uid */
        uint32_t uid;
        size_t connections;
        size_t queued_bytes;
};

/* Finds or makes it, and counts one connection. NULL without memory. */
struct account *account_join(struct core *, bool local, uint32_t uid);
void account_leave(struct core *, struct account *);
/* Its bound on queued bytes, and the configuration key that sets it. */
uint64_t account_bytes_max(const struct core *, const struct account *);
uint64_t account_connections_max(const struct core *, const struct account *);
/* Two peers of one kernel-attested uid? Token peers never are. */
bool account_same(const struct account *, const struct account *);

#endif
