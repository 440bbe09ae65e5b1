/* SPDX-License-Identifier: MIT */
/* A record is its key, the route and the subject's bytes, one behind the other. A record never crosses the end of the
 * ring. It is alive while at >= oldest: `oldest` follows `head` at a ring's distance, and a drop sets it to `head`. As
 * `head` counts bytes written, it does not wrap around in any process's life. */
#include "topics_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"

#define ALIGNMENT 16u
#define WAYS 4u            /* entries of a set */
#define BYTES_PER_SET 256u /* of the ring: as many usual records */

_Static_assert(ALIGNMENT % _Alignof(struct topics_record) == 0, "a record may stand at any place");
_Static_assert(sizeof(struct topics_record) % _Alignof(struct topic_route) == 0, "a route may follow a record");

static size_t route_size(size_t count) {
        return sizeof(struct topic_route) + count * sizeof(struct topic_slot *);
}

int topics_cache_init(struct topics_cache *cache, size_t bytes) {
        size_t ring = TOPICS_CACHE_BYTES_MIN / 2;

        *cache = (struct topics_cache){.head = 1, .oldest = 1};
        if (bytes < TOPICS_CACHE_BYTES_MIN)
                return 0;
        /* The index takes a quarter of what the ring takes. */
        while (2 * ring <= bytes - bytes / 5)
                ring *= 2;
        cache->sets = ring / BYTES_PER_SET;
        cache->ring_size = ring;
        cache->head = cache->oldest = ring;
        cache->ring = malloc(ring);
        cache->index = calloc(WAYS * cache->sets, sizeof(*cache->index));
        if (!cache->ring || !cache->index) {
                topics_cache_deinit(cache);
                return -ENOMEM;
        }
        return 0;
}

void topics_cache_deinit(struct topics_cache *cache) {
        free(cache->index);
        free(cache->ring);
        *cache = (struct topics_cache){0};
}

static uint8_t *at(const struct topics_cache *cache, uint64_t place) {
        return cache->ring + ((size_t)place & (cache->ring_size - 1));
}

static struct topics_cache_entry *set_of(const struct topics_cache *cache, uint64_t hash) {
        return &cache->index[WAYS * ((size_t)hash & (cache->sets - 1))];
}

const struct topic_route *topics_cache_find(struct topics_cache *cache, uint64_t hash, enum topic_verb verb,
                                            struct rml_span subject) {
        const struct topics_cache_entry *set;

        /* An empty one is never in it, and its data may be NULL. */
        if (!cache->sets || !subject.len)
                return NULL;
        set = set_of(cache, hash);
        for (size_t i = 0; i < WAYS; i++) {
                if (set[i].hash == hash && set[i].at >= cache->oldest) {
                        const struct topics_record *record = topics_cache_at(cache, set[i].at);
                        const struct topic_route *route =
                                record->verb == (uint32_t)verb ? topics_cache_read(record, subject) : NULL;

                        if (route) {
                                cache->recent[verb] = set[i].at;
                                return route;
                        }
                }
        }
        return NULL;
}

/* Makes room for so many bytes in one piece. */
static uint64_t reserve(struct topics_cache *cache, size_t bytes) {
        size_t offset = (size_t)cache->head & (cache->ring_size - 1);
        uint64_t place;

        if (bytes > cache->ring_size - offset)
                cache->head += cache->ring_size - offset;
        place = cache->head;
        cache->head += bytes;
        if (cache->head - cache->oldest > cache->ring_size)
                cache->oldest = cache->head - cache->ring_size;
        return place;
}

void topics_cache_put(struct topics_cache *cache, uint64_t hash, enum topic_verb verb, struct rml_span subject,
                      const struct topic_route *route) {
        struct topics_cache_entry *set, *entry;
        struct topics_record *record;
        uint8_t *out;
        size_t bytes;

        if (!cache->sets || !subject.len || subject.len > RML_SUBJECT_BYTES_MAX ||
            route->count > TOPICS_CACHE_SLOTS_MAX)
                return;
        bytes = sizeof(struct topics_record) + route_size(route->count) + subject.len;
        bytes = (bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
        /* The oldest makes place, and an empty one is older than any. */
        set = entry = set_of(cache, hash);
        for (size_t i = 1; i < WAYS; i++) {
                if (set[i].at < entry->at)
                        entry = &set[i];
        }
        *entry = (struct topics_cache_entry){.hash = hash, .at = reserve(cache, bytes)};
        cache->recent[verb] = entry->at;
        record = (void *)at(cache, entry->at);
        *record = (struct topics_record){.subject_len = (uint32_t)subject.len, .verb = (uint32_t)verb};
        out = (uint8_t *)(record + 1);
        memcpy(out, route, route_size(route->count));
        memcpy(out + route_size(route->count), subject.data, subject.len);
}

void topics_cache_drop(struct topics_cache *cache) {
        cache->oldest = cache->head;
}
