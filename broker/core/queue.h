/* SPDX-License-Identifier: MIT */
/* What waits for an interest: its window, the budgets above it, and the overflow rules (rule 3). */
#ifndef RAMAL_QUEUE_H
#define RAMAL_QUEUE_H

#include "base/list.h"
#include "base/table.h"
#include "interest.h"
#include "message.h"

struct call;
struct expiry;
struct interest;
struct peer;
struct pin;

/* A message that waits. */
struct delivery {
        struct rml_list link;          /* in the interest's queue */
        union {
                struct rml_table_node subject; /* in its table of subjects, under `latest`: if `newest` */
                struct rml_list same;          /* else: in the ring of older ones of its subject */
                struct rml_list block_link;    /* in one of struct block's lists, under `block` */
        };
        struct delivery *older;        /* of the newest of its subject: the next one, or NULL */
        struct body *body;
        struct call *call;             /* NULL for a publish */
        uint64_t ordinal, seq;
        uint64_t replaced, replaced_last; /* so many stood here before; the newest number that it stands for */
        uint64_t token;                /* of a tapped one, with its flags */
        uint32_t flags;
        bool moved : 1, redelivered : 1;
        bool newest : 1;               /* of its subject here */
        bool held : 1;                 /* counts in body->blocks */
        bool stays : 1;                /* its interest has left its group, and nobody there takes it (move.c) */
        uint64_t since_ns;             /* when it began to wait */
        struct rml_list share_link;    /* of another uid's: in what that has queued here */
        struct pin *pin;               /* its key stays with this member; NULL: it has none */
        struct expiry *expiry;         /* its timer; NULL: it does not expire */
};

static inline struct delivery *queue_front(const struct interest *interest) {
        struct rml_list *first = interest->backlog ? rml_list_first(&interest->backlog->queue) : NULL;

        return first ? rml_list_entry(first, struct delivery, link) : NULL;
}
void queue_put(struct interest *, struct delivery *, bool front);
/* Takes a delivery out of the queue; the caller counts it elsewhere and frees it. */
void queue_unlink(struct interest *, struct delivery *);
void delivery_free(struct delivery *);

/* `latest`: it takes the place of a queued one of its subject and sender, if its sender's share and the bounds let
 * it. */
bool queue_replace_own(struct interest *, struct message *);
/* Which bound stands in the way of queueing it? Of a call: in the window. WHY_NONE: none. */
Ramal__V1__Why queue_bound(const struct interest *, const struct message *);
/* The same for one that comes from another member of the group: a `block` queue takes it over its window. */
Ramal__V1__Why queue_bound_moved(const struct interest *to, const struct message *);
/* Drops a queued message, and tells the caller of a call that nobody will answer. */
void queue_drop(struct interest *, struct delivery *, Ramal__V1__Why why);
/* Drops one that was numbered and is not queued. */
void queue_drop_new(struct interest *, uint64_t seq, size_t charge, Ramal__V1__Why why);

#endif
