/* SPDX-License-Identifier: MIT */
#include "share.h"

#include <stdlib.h>

#include "budget.h"
#include "event.h"
#include "queue.h"

#define LEVELS 3u      /* interest, connection, uid */
#define SPARES_MAX 64u /* shares come and go with every message that waits */

/* ---- finding and making ---- */

static struct share *share_find(const struct core *core, const void *holder, const struct account *sender) {
        uint64_t hash = rml_hash_u64(&core->config.seed, (uintptr_t)holder, (uintptr_t)sender);

        for (struct rml_table_node *node = rml_table_find(&core->shares, hash); node;
             node = rml_table_find_next(node)) {
                struct share *share = rml_container_of(node, struct share, node);

                if (share->holder == holder && share->sender == sender)
                        return share;
        }
        return NULL;
}

/* Nothing fails after this: all that one message may need is there. */
static bool shares_prepare(struct core *core) {
        while (core->spare_share_count < LEVELS) {
                struct share *share = malloc(sizeof(*share));

                if (!share)
                        return false;
                rml_list_push_back(&core->spare_shares, &share->queue);
                core->spare_share_count++;
        }
        return true;
}

static struct share *share_need(struct core *core, const void *holder, size_t *strangers, struct account *sender,
                                struct share *above) {
        struct share *share = share_find(core, holder, sender);
        struct rml_list *spare;

        if (share)
                return share;
        spare = rml_list_first(&core->spare_shares);
        share = rml_list_entry(spare, struct share, queue);
        rml_list_remove(spare);
        core->spare_share_count--;
        *share =
                (struct share){.holder = holder, .strangers = strangers, .sender = account_ref(sender), .above = above};
        rml_list_init(&share->queue);
        rml_list_init(&share->kept);
        rml_table_put(&core->shares, &share->node,
                      rml_hash_u64(&core->config.seed, (uintptr_t)holder, (uintptr_t)sender));
        ++*strangers;
        return share;
}

static void share_free(struct core *core, struct share *share) {
        rml_check(!share->bytes && rml_list_empty(&share->queue) && rml_list_empty(&share->kept));
        rml_table_remove(&core->shares, &share->node);
        --*share->strangers;
        account_unref(core, share->sender);
        if (core->spare_share_count < SPARES_MAX) {
                rml_list_push_back(&core->spare_shares, &share->queue);
                core->spare_share_count++;
        } else {
                free(share);
        }
}

void shares_deinit(struct core *core) {
        struct rml_list *first;

        rml_check(core->shares.count == 0);
        while ((first = rml_list_first(&core->spare_shares))) {
                rml_list_remove(first);
                free(rml_list_entry(first, struct share, queue));
        }
        rml_table_deinit(&core->shares);
}

/* What is counted above an interest's window is what a message costs in all. */
static void share_add(struct share *share, size_t charge) {
        for (uint64_t bytes = charge; share; share = share->above, bytes = charge + MESSAGE_QUEUED_BYTES) {
                share->bytes += bytes;
                share->messages++;
        }
}

void share_leave(struct core *core, struct share *share, size_t charge) {
        for (uint64_t bytes = charge; share; bytes = charge + MESSAGE_QUEUED_BYTES) {
                struct share *above = share->above;

                rml_check(share->messages && share->bytes >= bytes);
                share->bytes -= bytes;
                if (!--share->messages)
                        share_free(core, share);
                share = above;
        }
}

/* ---- the formula ---- */

/* One of `actors` that share `max`, of which `used` is taken, asks for `cost` more than its `share`. So each gets
 * between 1/n and 1/n². Where nothing is used there is room for one, however large. */
static bool fair(uint64_t share, uint64_t cost, uint64_t actors, uint64_t used, uint64_t max) {
        uint64_t remaining = used < max ? max - used : 0, wanted;

        if (!used)
                return true;
        return !__builtin_add_overflow(share, cost, &wanted) && !__builtin_mul_overflow(wanted, actors + 1, &wanted) &&
               wanted - share <= remaining;
}

static bool level_open(const struct core *core, const void *holder, size_t strangers, const struct account *sender,
                       uint64_t cost, uint64_t used, uint64_t max, uint64_t less) {
        const struct share *share = share_find(core, holder, sender);
        uint64_t bytes = share ? share->bytes : 0;

        return fair(bytes > less ? bytes - less : 0, cost, strangers + !share, used > less ? used - less : 0, max);
}

Ramal__V1__Why share_bound(const struct interest *interest, const struct message *message, uint64_t less) {
        const struct peer *peer = interest->peer;
        const struct account *account = peer->account;
        uint64_t cost = (uint64_t)message->charge + MESSAGE_QUEUED_BYTES;

        if (!level_open(peer->core, peer, peer->strangers, message->account, cost, peer->spent.deliveries,
                        account->limits->connection_bytes, less))
                return RAMAL__V1__WHY__WHY_CONNECTION;
        if (!level_open(peer->core, account, account->strangers, message->account, cost, account->spent.deliveries,
                        account_bytes_max(peer->core, account), less))
                return RAMAL__V1__WHY__WHY_UID;
        return RAMAL__V1__WHY__WHY_NONE;
}

bool share_open(const struct interest *interest, const struct message *message) {
        const struct core *core = interest->peer->core;
        const struct share *share = share_find(core, interest, message->account);
        uint64_t actors = interest->backlog->strangers + !share;
        uint64_t bytes = interest_queued_bytes(interest) + interest->in_flight_bytes;
        uint64_t messages = interest_queued(interest) + interest->in_flight;

        return !messages ||
               (fair(share ? share->bytes : 0, message->charge, actors, bytes, interest->terms->window_bytes) &&
                fair(share ? share->messages : 0, 1, actors, messages, interest->terms->window_messages));
}

/* ---- deliveries ---- */

/* NULL: it has none. What moves here without memory for it is bound by the budgets alone. */
static struct share *share_of(struct interest *interest, const struct delivery *delivery) {
        struct peer *peer = interest->peer;
        struct account *sender = delivery->body->account;
        struct share *share;

        if (delivery->call || !share_stranger(interest, sender) || !shares_prepare(peer->core))
                return NULL;
        share = share_need(peer->core, peer->account, &peer->account->strangers, sender, NULL);
        share = share_need(peer->core, peer, &peer->strangers, sender, share);
        share = share_need(peer->core, interest, &interest->backlog->strangers, sender, share);
        share_add(share, delivery->body->charge);
        return share;
}

void share_queued(struct interest *interest, struct delivery *delivery, bool front) {
        struct share *share = share_of(interest, delivery);

        if (share && front)
                rml_list_push_front(&share->queue, &delivery->share_link);
        else if (share)
                rml_list_push_back(&share->queue, &delivery->share_link);
}

void share_kept(struct interest *interest, struct delivery *delivery) {
        struct share *share = share_of(interest, delivery);

        if (share)
                rml_list_push_back(&share->kept, &delivery->share_link);
}

void share_unqueued(struct interest *interest, struct delivery *delivery) {
        if (!rml_list_linked(&delivery->share_link))
                return;
        rml_list_remove(&delivery->share_link);
        share_leave(interest->peer->core, share_find(interest->peer->core, interest, delivery->body->account),
                    delivery->body->charge);
}

/* Who sends too much hears nothing: the receiver's administrator reads of it. */
static void share_tell(const struct interest *interest, const struct message *message, Ramal__V1__Why why) {
        const struct account *account = interest->peer->account;
        size_t at = why == RAMAL__V1__WHY__WHY_CONNECTION ? QUOTA(connection_bytes) : account_bytes_quota(account);

        if (message->from)
                event_limit(message->from, "more waits for another user than this one's fair share",
                            quota_key(account, at), at, quota_value(account->limits, at));
}

bool share_admit(struct interest *interest, struct message *message, uint64_t seq) {
        struct core *core = interest->peer->core;
        Ramal__V1__Why why = shares_prepare(core) ? share_bound(interest, message, 0) : RAMAL__V1__WHY__WHY_BROKER;
        uint64_t cost = (uint64_t)message->charge + MESSAGE_QUEUED_BYTES, freed = 0, all;
        struct share *share;

        if (why == RAMAL__V1__WHY__WHY_NONE)
                return true;
        core->counters.over_share++;
        share_tell(interest, message, why);
        if (interest->overflow == RAMAL__V1__OVERFLOW__OVERFLOW_LATEST && queue_replace_own(interest, message))
                return false;
        share = share_find(core, interest, message->account);
        if (share && interest->overflow != RAMAL__V1__OVERFLOW__OVERFLOW_DROP_NEW) {
                all = share->bytes + share->messages * MESSAGE_QUEUED_BYTES;
                if (all < cost && share_bound(interest, message, all) != RAMAL__V1__WHY__WHY_NONE)
                        share = NULL; /* it would not fit instead of all of them: they stay */
                while (share && !rml_list_empty(&share->queue)) {
                        struct delivery *oldest =
                                rml_list_entry(rml_list_first(&share->queue), struct delivery, share_link);

                        freed += oldest->body->charge + MESSAGE_QUEUED_BYTES;
                        queue_drop(interest, oldest, why);
                        share = share_find(core, interest, message->account);
                        /* What was admitted once is not taken back because others came: it only does not grow. */
                        if (freed >= cost || share_bound(interest, message, 0) == RAMAL__V1__WHY__WHY_NONE)
                                return true;
                }
        }
        queue_drop_new(interest, seq, message->charge, why);
        return false;
}

/* ---- calls ---- */

struct share *share_enter(struct interest *interest, struct account *caller, size_t charge, bool *failed) {
        struct core *core = interest->peer->core;
        struct share *share;

        *failed = false;
        if (!share_stranger(interest, caller))
                return NULL;
        if (!shares_prepare(core)) {
                *failed = true;
                return NULL;
        }
        share = share_need(core, interest, &interest->backlog->strangers, caller, NULL);
        share_add(share, charge);
        return share;
}
