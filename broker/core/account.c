/* SPDX-License-Identifier: MIT */
#include "account.h"

#include <stdlib.h>

#include "budget.h"
#include "state.h"

/* Accounts that only remember how fast their uid connected, and was told of in the log: beyond so many the oldest are
 * forgotten. */
#define IDLE_MAX 1024u
#define SECOND_NS UINT64_C(1000000000)

static uint64_t account_hash(const struct core *core, bool local, uint32_t uid) {
        return rml_hash_u64(&core->config.seed, local, uid);
}

static struct account *account_new(struct core *core, bool local, uint32_t uid, uint64_t hash) {
        struct account *account = calloc(1, sizeof(*account));

        if (!account)
                return NULL;
        account->local = local;
        account->uid = uid;
        account->own = local && uid == core->config.own_uid;
        account->quota = local ? quota_find(core, uid) : NULL;
        account->limits = account->quota ? &account->quota->limits : &core->config.limits;
        rml_list_init(&account->idle_link);
        rml_list_init(&account->starved);
        rml_list_init(&account->muffled);
        rml_table_put(&core->accounts, &account->node, hash);
        return account;
}

static void account_free(struct core *core, struct account *account) {
        rml_check(!account->refs && !account->connections && !account->interests && !account->names &&
                  !account->calls && !account->spent.deliveries && !account->spent.calls && !account->spent.replies &&
                  !account->strangers && !account->blocks && !account->input_bytes && !account->unread_answers);
        if (rml_list_linked(&account->idle_link)) {
                rml_list_remove(&account->idle_link);
                core->idle_account_count--;
        }
        rml_table_remove(&core->accounts, &account->node);
        free(account->welcome);
        free(account);
}

struct account *account_get(struct core *core, bool local, uint32_t uid) {
        uint64_t hash = account_hash(core, local, local ? uid : 0);

        for (struct rml_table_node *node = rml_table_find(&core->accounts, hash); node;
             node = rml_table_find_next(node)) {
                struct account *account = rml_container_of(node, struct account, node);

                if (account->local != local || (local && account->uid != uid))
                        continue;
                if (rml_list_linked(&account->idle_link)) {
                        rml_list_remove(&account->idle_link);
                        core->idle_account_count--;
                }
                return account_ref(account);
        }
        return account_ref(account_new(core, local, local ? uid : 0, hash));
}

struct account *account_ref(struct account *account) {
        if (account)
                account->refs++;
        return account;
}

static bool account_forgettable(const struct core *core, const struct account *account) {
        return account->connect_full_ns <= core->now_ns && account->braked_ns <= core->now_ns;
}

void account_unref(struct core *core, struct account *account) {
        struct rml_list *first;

        if (!account || --account->refs)
                return;
        if (account_forgettable(core, account)) {
                account_free(core, account);
                return;
        }
        rml_list_push_back(&core->idle_accounts, &account->idle_link);
        core->idle_account_count++;
        while ((first = rml_list_first(&core->idle_accounts))) {
                struct account *oldest = rml_list_entry(first, struct account, idle_link);

                if (core->idle_account_count <= IDLE_MAX && !account_forgettable(core, oldest))
                        break;
                account_free(core, oldest);
        }
}

void accounts_deinit(struct core *core) {
        struct rml_list *first;

        while ((first = rml_list_first(&core->idle_accounts)))
                account_free(core, rml_list_entry(first, struct account, idle_link));
        rml_check(core->accounts.count == 0);
        rml_table_deinit(&core->accounts);
}

/* ---- bounds ---- */

uint64_t account_bytes_max(const struct core *core, const struct account *account) {
        return account->own ? budget_queues_max(core) : account->limits->uid_bytes;
}

uint64_t account_replies_max(const struct core *core, const struct account *account) {
        return account->own ? core->config.limits.broker_bytes : account->limits->uid_bytes;
}

size_t account_bytes_quota(const struct account *account) {
        return account->own ? QUOTA(broker_bytes) : QUOTA(uid_bytes);
}

size_t account_connections_quota(const struct account *account) {
        return account->own ? QUOTA(own_connections) : QUOTA(uid_connections);
}

/* A bucket of uid_connections that fills at uid_connect_rate a second, kept as the time when it will be full. */
bool account_may_connect(const struct core *core, const struct account *account) {
        uint64_t each = account->limits->uid_connect_rate ? SECOND_NS / account->limits->uid_connect_rate : SECOND_NS;
        uint64_t burst = account->limits->uid_connections, room;

        if (account->own || account->connect_full_ns <= core->now_ns)
                return true;
        if (__builtin_mul_overflow(burst ? burst : 1, each, &room))
                return true;
        return room >= each && account->connect_full_ns - core->now_ns <= room - each;
}

void account_connected(const struct core *core, struct account *account) {
        uint64_t each = account->limits->uid_connect_rate ? SECOND_NS / account->limits->uid_connect_rate : SECOND_NS;

        if (account->own)
                return;
        if (account->connect_full_ns < core->now_ns)
                account->connect_full_ns = core->now_ns;
        account->connect_full_ns = core_add_ns(account->connect_full_ns, each);
}

bool account_same(const struct account *a, const struct account *b) {
        return a == b && a->local;
}
