/* SPDX-License-Identifier: MIT */
/* Whole routes by verb and subject. A ring of bytes in which a new record overwrites the oldest ones, and an index of
 * hashes into it: the memory is fixed, nothing is allocated after the start, and whatever strangers ask for, a miss
 * costs one record written. Dropping everything is one store. */
#ifndef RAMAL_TOPICS_CACHE_H
#define RAMAL_TOPICS_CACHE_H

#include "topics.h"

#define TOPICS_CACHE_SLOTS_MAX 64u   /* a longer route costs little more to find than to walk */
#define TOPICS_CACHE_BYTES_MIN 4096u /* below that there is no cache */

struct topics_cache_entry {
        uint64_t hash;
        uint64_t at; /* 0 = empty */
};

/* Places in the ring are counted from its start for ever, so they also say how old a record is. */
struct topics_cache {
        struct topics_cache_entry *index; /* set behind set */
        uint8_t *ring;
        size_t sets;      /* a power of two; 0 = no cache */
        size_t ring_size; /* a power of two */
        uint64_t head;    /* where the next record goes */
        uint64_t oldest;  /* what was written before is overwritten or out of date */
};

/* Returns 0 or -ENOMEM. */
int topics_cache_init(struct topics_cache *, size_t bytes);
void topics_cache_deinit(struct topics_cache *);

/* hash: of the subject, under a seed of the verb's own. Returns NULL if it is not there. A route is valid until the
 * next put or drop. */
const struct topic_route *topics_cache_find(const struct topics_cache *, uint64_t hash, enum topic_verb,
                                            struct rml_span subject);
/* Takes a copy of what was not found, if it is short enough. */
void topics_cache_put(struct topics_cache *, uint64_t hash, enum topic_verb, struct rml_span subject,
                      const struct topic_route *route);
/* Forgets everything. */
void topics_cache_drop(struct topics_cache *);

#endif
