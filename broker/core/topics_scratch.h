/* SPDX-License-Identifier: MIT */
/* A route while it is put together. Its memory is used again for the next one. */
#ifndef RAMAL_TOPICS_SCRATCH_H
#define RAMAL_TOPICS_SCRATCH_H

#include "topics.h"

/* All zero = empty, without memory. */
struct topics_scratch {
        struct topic_route *route; /* NULL: there never was one */
        size_t room;               /* slots */
};

/* An empty route. Returns 0 or -ENOMEM. */
int topics_scratch_begin(struct topics_scratch *);
/* Each returns 0 or -ENOMEM. After topics_scratch_begin(). */
int topics_scratch_take(struct topics_scratch *, struct topic_slot *);
int topics_scratch_take_list(struct topics_scratch *, const struct rml_list *slots); /* struct topic_slot.link */
int topics_scratch_take_ring(struct topics_scratch *, struct topic_slot *);          /* all of one; NULL: none */
/* Puts what was taken from `first` on into the order of a route: gangs by kin, and by age. */
void topics_scratch_sort(struct topics_scratch *, size_t first);
/* Gives the memory back. */
void topics_scratch_drop(struct topics_scratch *);

#endif
