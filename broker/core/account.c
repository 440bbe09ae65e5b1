/* SPDX-License-Identifier: MIT */
#include "account.h"

#include <stdlib.h>

#include "state.h"

static uint64_t account_hash(const struct core *core, bool local, uint32_t uid) {
        return rml_hash_u64(&core->config.seed, local, uid);
}

struct account *account_join(struct core *core, bool local, uint32_t uid) {
        uint64_t hash = account_hash(core, local, local ? uid : 0);
        struct account *account = NULL;

        for (struct rml_table_node *node = rml_table_find(&core->accounts, hash); node; node = rml_table_find_next(node)) {
                account = rml_container_of(node, struct account, node);
                if (account->local == local && (!local || account->uid == uid))
                        break;
                account = NULL;
        }
        if (!account) {
                account = calloc(1, sizeof(*account));
                if (!account)
                        return NULL;
                account->local = local;
                account->uid = local ? uid : 0;
                account->own = local && uid == core->config.own_uid;
                rml_table_put(&core->accounts, &account->node, hash);
        }
        account->connections++;
        return account;
}

void account_leave(struct core *core, struct account *account) {
        if (--account->connections)
                return;
        rml_check(account->queued_bytes == 0);
        rml_table_remove(&core->accounts, &account->node);
        free(account);
}

uint64_t account_bytes_max(const struct core *core, const struct account *account) {
        const struct core_limits *limits = &core->config.limits;

        if (!account->own)
                return limits->uid_bytes;
        return limits->broker_bytes > limits->reserve_bytes ? limits->broker_bytes - limits->reserve_bytes : 0;
}

uint64_t account_connections_max(const struct core *core, const struct account *account) {
        return account->own ? core->config.limits.own_connections : core->config.limits.uid_connections;
}

bool account_same(const struct account *a, const struct account *b) {
        return a == b && a->local;
}
