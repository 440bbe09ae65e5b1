/* SPDX-License-Identifier: MIT */
/* The budgets above an interest's window: of a connection, of its uid, of the broker (section 8 of the design).
 * Deliveries and replies are charged to who is to get them, calls to who makes them. */
#ifndef RAMAL_BUDGET_H
#define RAMAL_BUDGET_H

#include "control.h"

struct core;
struct message;
struct peer;

/* Does charge fit into max beside what is used? One that is larger than all of it does while nothing is used. */
static inline bool budget_open(uint64_t used, uint64_t charge, uint64_t max) {
        return used == 0 || (used <= max && charge <= max - used);
}
/* What the bodies of queued deliveries and calls may use of the broker's memory. The rest is kept for replies. */
uint64_t budget_queues_max(const struct core *);

/* Which one stands in the way of queueing a delivery for that peer, once `less` bytes are out of its queues and `freed`
 * out of the broker's? WHY_NONE: none. */
Ramal__V1__Why budget_bound(const struct peer *, const struct message *, uint64_t less, uint64_t freed);
/* The same beside `more` for the connection and `account_more` for its uid, which are to be queued as well. */
Ramal__V1__Why budget_bound_beside(const struct peer *, const struct message *, uint64_t more, uint64_t account_more);
/* Of queueing a call of that peer, or a reply to it. */
Ramal__V1__Why budget_bound_call(const struct peer *caller, const struct message *);
Ramal__V1__Why budget_bound_reply(const struct peer *caller, const struct message *);

void budget_add(struct peer *, size_t charge);
void budget_remove(struct peer *, size_t charge);
/* What is charged is on its way and does not wait any more; or waits again. */
void budget_sent(struct peer *);
void budget_unsent(struct peer *);
/* A call waits for its callee and is charged to its caller. */
void budget_add_call(struct peer *callee, struct peer *caller, size_t charge);
void budget_remove_call(struct peer *callee, struct peer *caller, size_t charge);
void budget_add_reply(struct peer *caller, size_t charge);
void budget_remove_reply(struct peer *caller, size_t charge);

#endif
