/* SPDX-License-Identifier: MIT */
/* Messages with an end (rule 8): what waits for longer leaves the queue by a timer of its own. Without memory for that
 * it is judged when it is committed. */
#ifndef RAMAL_EXPIRY_H
#define RAMAL_EXPIRY_H

#include "state.h"

struct delivery;
struct interest;

struct expiry {
        struct timer timer;
        struct interest *interest;
        struct delivery *delivery;
};

/* PUBLISH.time_left_us, not 0, as a point in time. */
uint64_t expiry_at(const struct core *, uint64_t time_left_us);
/* Is it over? */
bool expiry_past(const struct interest *, const struct delivery *);

/* It enters or leaves a queue. */
void expiry_set(struct interest *, struct delivery *);
void expiry_clear(struct interest *, struct delivery *);
void expiry_due(struct expiry *);

#endif
