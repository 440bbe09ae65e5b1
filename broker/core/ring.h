/* SPDX-License-Identifier: MIT */
/* A ring of points: who stands at or next after a place on it? For the policy `key`. The points lie in a tree whose
 * shape depends on secret numbers only, not on the order of coming and going: whoever joins and leaves as it likes
 * cannot make it deep. Nodes are the caller's. */
#ifndef RAMAL_RING_H
#define RAMAL_RING_H

#include <stddef.h>
#include <stdint.h>

struct ring_node {
        struct ring_node *left, *right;
        uint64_t point, tie; /* where it stands; of two on one point the lower tie comes first */
        uint64_t weight;     /* the heavier one lies above */
};
struct ring {
        struct ring_node *root;
        size_t count;
};

/* (point, tie) must not be there yet. weight: as good as random, and unknown to those who choose the points. */
void ring_put(struct ring *, struct ring_node *, uint64_t point, uint64_t tie, uint64_t weight);
void ring_remove(struct ring *, struct ring_node *); /* it must be there */
/* The first one at `point` or after it, around the end. NULL if the ring is empty. */
struct ring_node *ring_at(const struct ring *, uint64_t point);
/* The next one after it; itself if there is no other. */
struct ring_node *ring_next(const struct ring *, const struct ring_node *);

#endif
