/* SPDX-License-Identifier: MIT */
/* Overflow rule `block` (rules 3 and 4): publishers of the same uid are held back by their publish credit, all others
 * meet `drop_old`, its own connection `drop_new`. A queue that does not move for stall_max holds nobody back any
 * more. */
#ifndef RAMAL_BLOCK_H
#define RAMAL_BLOCK_H

#include "answer.h"
#include "queue.h"
#include "state.h"

struct account;
struct interest;

/* What an interest with that rule has until it stalls. */
struct block {
        struct interest *interest;
        struct timer stall;      /* armed while something is held */
        struct rml_list held;    /* struct delivery.block_link: what may not be dropped, in the order of the queue */
        struct rml_list loose;   /* the same of strangers: of other users, and the broker's own */
        uint64_t held_count, held_bytes;
};

/* Returns 0 or -ENOMEM. */
int block_new(struct interest *);
/* Its queue is empty, or it holds nobody back any more. */
void block_free(struct interest *);

/* Is that a sender of whom nothing is dropped here: of the same uid? */
bool block_keeps(const struct interest *, const struct account *sender);
/* Is the message's sender one that this interest holds back? Then nothing of it is dropped here. */
bool block_holds(const struct interest *, const struct message *);
/* The bound (of a `block` interest of the sender's own uid) for which a publish is refused. */
void block_refuse(struct peer *from, Ramal__V1__Why why, struct refusal *);
/* The delivery of such a message is about to be queued: its sender's credit is taken, for the first of them. */
void block_hold(struct delivery *, struct message *);
/* It has left the queue, or is not held any more: the credit comes back with the last of them. */
void block_let_go(struct delivery *);

/* To be called for each delivery that enters or leaves the queue. front: one that was moved here. */
void block_enter(struct interest *, struct delivery *, bool front);
void block_leave(struct interest *, struct delivery *);
/* The oldest one that may be dropped for a message that is not held, or NULL: none, or it would not help. */
struct delivery *block_loose(const struct interest *, const struct message *);

/* The timer: demotes the interest if the oldest held message has waited for too long. */
void block_stalled(struct block *);

#endif
