/* SPDX-License-Identifier: MIT */
#include "budget.h"

#include "account.h"
#include "message.h"
#include "peer.h"

uint64_t budget_queues_max(const struct core *core) {
        const struct core_limits *limits = &core->config.limits;

        return limits->broker_bytes > limits->reserve_bytes ? limits->broker_bytes - limits->reserve_bytes : 0;
}

static Ramal__V1__Why bound(const struct peer *peer, const struct message *message, uint64_t used,
                            uint64_t account_used, uint64_t freed) {
        const struct core *core = peer->core;
        uint64_t cost = (uint64_t)message->charge + MESSAGE_QUEUED_BYTES, queues = budget_queues_max(core);

        if (!budget_open(used, cost, peer->account->limits->connection_bytes))
                return RAMAL__V1__WHY__WHY_CONNECTION;
        if (!budget_open(account_used, cost, account_bytes_max(core, peer->account)))
                return RAMAL__V1__WHY__WHY_UID;
        if (!message_fits(core, message, freed <= UINT64_MAX - queues ? queues + freed : UINT64_MAX))
                return RAMAL__V1__WHY__WHY_BROKER;
        return RAMAL__V1__WHY__WHY_NONE;
}

Ramal__V1__Why budget_bound(const struct peer *peer, const struct message *message, uint64_t less, uint64_t freed) {
        return bound(peer, message, peer->spent.deliveries - less, peer->account->spent.deliveries - less, freed);
}

Ramal__V1__Why budget_bound_beside(const struct peer *peer, const struct message *message, uint64_t more,
                                   uint64_t account_more) {
        return bound(peer, message, peer->spent.deliveries + more, peer->account->spent.deliveries + account_more, 0);
}

Ramal__V1__Why budget_bound_call(const struct peer *caller, const struct message *message) {
        return bound(caller, message, caller->spent.calls, caller->account->spent.calls, 0);
}

Ramal__V1__Why budget_bound_reply(const struct peer *caller, const struct message *message) {
        const struct core *core = caller->core;
        const struct account *account = caller->account;
        uint64_t cost = (uint64_t)message->charge + MESSAGE_QUEUED_BYTES, all = core->config.limits.broker_bytes;

        if (!budget_open(caller->spent.replies, cost, account->limits->connection_bytes))
                return RAMAL__V1__WHY__WHY_CONNECTION;
        if (!budget_open(account->spent.replies, cost, account_replies_max(core, account)))
                return RAMAL__V1__WHY__WHY_UID;
        return message_fits(core, message, all) ? RAMAL__V1__WHY__WHY_NONE : RAMAL__V1__WHY__WHY_BROKER;
}

/* It waits for that peer, whoever pays. */
static size_t wait_add(struct peer *peer, size_t charge) {
        size_t cost = charge + MESSAGE_QUEUED_BYTES;

        peer->queued_bytes += cost;
        peer->queued_count++;
        peer->core->queued_bytes += cost;
        peer->core->queued_count++;
        return cost;
}

static size_t wait_remove(struct peer *peer, size_t charge) {
        size_t cost = charge + MESSAGE_QUEUED_BYTES;

        rml_check(peer->queued_bytes >= cost && peer->queued_count && peer->core->queued_bytes >= cost);
        peer->queued_bytes -= cost;
        peer->queued_count--;
        peer->core->queued_bytes -= cost;
        peer->core->queued_count--;
        return cost;
}

void budget_add(struct peer *peer, size_t charge) {
        size_t cost = wait_add(peer, charge);

        peer->spent.deliveries += cost;
        peer->account->spent.deliveries += cost;
}

void budget_remove(struct peer *peer, size_t charge) {
        size_t cost = wait_remove(peer, charge);

        rml_check(peer->spent.deliveries >= cost && peer->account->spent.deliveries >= cost);
        peer->spent.deliveries -= cost;
        peer->account->spent.deliveries -= cost;
}

void budget_sent(struct peer *peer) {
        peer->queued_count--;
        peer->core->queued_count--;
}

void budget_unsent(struct peer *peer) {
        peer->queued_count++;
        peer->core->queued_count++;
}

void budget_add_call(struct peer *callee, struct peer *caller, size_t charge) {
        size_t cost = wait_add(callee, charge);

        caller->spent.calls += cost;
        caller->account->spent.calls += cost;
}

void budget_remove_call(struct peer *callee, struct peer *caller, size_t charge) {
        size_t cost = wait_remove(callee, charge);

        rml_check(caller->spent.calls >= cost && caller->account->spent.calls >= cost);
        caller->spent.calls -= cost;
        caller->account->spent.calls -= cost;
}

void budget_add_reply(struct peer *caller, size_t charge) {
        size_t cost = wait_add(caller, charge);

        caller->spent.replies += cost;
        caller->account->spent.replies += cost;
}

void budget_remove_reply(struct peer *caller, size_t charge) {
        size_t cost = wait_remove(caller, charge);

        rml_check(caller->spent.replies >= cost && caller->account->spent.replies >= cost);
        caller->spent.replies -= cost;
        caller->account->spent.replies -= cost;
}
