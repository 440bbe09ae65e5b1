/* SPDX-License-Identifier: MIT */
/* Memory for one answer: taken piece by piece, given back at once. */
#ifndef RAMAL_API_ARENA_H
#define RAMAL_API_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct arena_block;

struct arena {
        struct arena_block *blocks;
        size_t bytes, max; /* given out; at most */
        bool full;         /* something was refused for `max`, not for want of memory */
};

void arena_init(struct arena *, size_t max);
/* All that it gave out becomes invalid. */
void arena_deinit(struct arena *);
/* Aligned for everything, all zero. NULL without memory, or beyond `max`. An empty one is valid and not NULL. */
void *arena_alloc(struct arena *, size_t bytes);
void *arena_array(struct arena *, size_t count, size_t size);

#endif
