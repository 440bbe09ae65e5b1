/* SPDX-License-Identifier: MIT */
/* Whole routes by verb and subject. A ring of bytes in which a new record overwrites the oldest ones, and an index of
 * hashes into it: the memory is fixed, nothing is allocated after the start, and whatever strangers ask for, a miss
 * costs one record written. Dropping everything is one store. */
#ifndef RAMAL_TOPICS_CACHE_H
#define RAMAL_TOPICS_CACHE_H

#include <string.h>

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
        uint64_t head;    /* where the next record goes; never 0 */
        uint64_t oldest;  /* what was written before is overwritten or out of date */
        uint64_t recent[TOPIC_VERBS]; /* the record that was found or put last */
};

/* Returns 0 or -ENOMEM. */
int topics_cache_init(struct topics_cache *, size_t bytes);
void topics_cache_deinit(struct topics_cache *);

/* hash: of the subject, under a seed of the verb's own. Returns NULL if it is not there. A route is valid until the
 * next put or drop. */
const struct topic_route *topics_cache_find(struct topics_cache *, uint64_t hash, enum topic_verb,
                                            struct rml_span subject);
/* Takes a copy of what was not found, if it is short enough. */
void topics_cache_put(struct topics_cache *, uint64_t hash, enum topic_verb, struct rml_span subject,
                      const struct topic_route *route);
/* What lies in the ring: this, the route, and the subject's bytes. */
struct topics_record {
        uint32_t subject_len;
        uint32_t verb;
};
/* Subjects are short: memcmp() costs more to be called. */
static inline bool topics_cache_same(const uint8_t *a, const uint8_t *b, size_t len) {
        uint64_t x, y;

        if (len < sizeof(x)) {
                while (len && a[len - 1] == b[len - 1])
                        len--;
                return !len;
        }
        for (; len > sizeof(x); len -= sizeof(x), a += sizeof(x), b += sizeof(x)) {
                memcpy(&x, a, sizeof(x));
                memcpy(&y, b, sizeof(y));
                if (x != y)
                        return false;
        }
        /* The last eight; some of them may have been looked at. */
        memcpy(&x, a + len - sizeof(x), sizeof(x));
        memcpy(&y, b + len - sizeof(y), sizeof(y));
        return x == y;
}

static inline const struct topics_record *topics_cache_at(const struct topics_cache *cache, uint64_t place) {
        return (const void *)(cache->ring + ((size_t)place & (cache->ring_size - 1)));
}
/* Its route, if that is its subject. */
static inline const struct topic_route *topics_cache_read(const struct topics_record *record, struct rml_span subject) {
        const struct topic_route *route = (const void *)(record + 1);

        return record->subject_len == subject.len &&
                               topics_cache_same((const void *)&route->slots[route->count], subject.data, subject.len)
                       ? route
                       : NULL;
}
/* Is it the same subject as the last time? Then its route, and no hash is needed. */
static inline const struct topic_route *topics_cache_again(const struct topics_cache *cache, enum topic_verb verb,
                                                           struct rml_span subject) {
        uint64_t place = cache->recent[verb];

        return place >= cache->oldest ? topics_cache_read(topics_cache_at(cache, place), subject) : NULL;
}

/* Forgets everything. */
void topics_cache_drop(struct topics_cache *);

#endif
