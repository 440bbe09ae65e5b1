/* SPDX-License-Identifier: MIT */
/* What waits for an interest: its window, the budgets above it, and the overflow rules (rule 3). */
#ifndef RAMAL_QUEUE_H
#define RAMAL_QUEUE_H

#include "base/list.h"
#include "base/table.h"
#include "message.h"

struct call;
struct interest;
struct peer;

/* A message that waits. */
struct delivery {
        struct rml_list link;          /* in the interest's queue */
        struct rml_table_node subject; /* in its table of subjects, under `latest` */
        struct body *body;
        struct call *call;             /* NULL for a publish */
        uint64_t ordinal, seq;
        uint64_t replaced, replaced_last; /* so many stood here before; the newest number that it stands for */
        uint64_t token;                /* of a tapped one, with its flags */
        uint32_t flags;
        bool moved;
};

struct delivery *queue_front(const struct interest *);
void queue_put(struct interest *, struct delivery *, bool front);
/* Takes a delivery out of the queue; the caller counts it elsewhere and frees it. */
void queue_unlink(struct interest *, struct delivery *);
void delivery_free(struct delivery *);

/* The budgets above the window, for deliveries and replies alike: which one stands in the way of queueing `message`
 * for that peer, once `less` bytes are out of its queues and `freed` out of the broker's? */
Ramal__V1__Why budget_bound(const struct peer *, const struct message *, uint64_t less, uint64_t freed);
void budget_add(struct peer *, size_t charge);
void budget_remove(struct peer *, size_t charge);

/* Which bound stands in the way of queueing it? WHY_NONE: none. */
Ramal__V1__Why queue_bound(const struct interest *, const struct message *);
/* Drops a queued message, and tells the caller of a call that nobody will answer. */
void queue_drop(struct interest *, struct delivery *, Ramal__V1__Why why);
/* Drops one that was numbered and is not queued. */
void queue_drop_new(struct interest *, uint64_t seq, size_t charge, Ramal__V1__Why why);

#endif
