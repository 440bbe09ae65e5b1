/* SPDX-License-Identifier: MIT */
/* What an interest is missing and was not told yet: one record for each reason, told as one GAP frame before the next
 * delivery, or before whatever ends the interest. */
#ifndef RAMAL_GAP_H
#define RAMAL_GAP_H

#include "scan.h"

struct delivery;
struct interest;

struct gap {
        struct gap *next;
        uint64_t first, last, count, bytes;
        Ramal__V1__Why why;
};

/* `count` messages with numbers up to `seq` will not come. */
void gap_add(struct interest *, uint64_t seq, uint64_t count, uint64_t bytes, Ramal__V1__Why why);
/* A queued message will not come, nor what it stood for under `latest`: its receiver would not learn of that else. */
void gap_add_delivery(struct interest *, const struct delivery *, Ramal__V1__Why why);
/* Writes them in front of the next delivery. Returns false without memory. */
bool gaps_write(struct interest *);
/* The same, in order with the answers that follow: when the interest ends. */
void gaps_answer(struct interest *);
void gaps_free(struct interest *);

#endif
