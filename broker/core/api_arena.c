/* SPDX-License-Identifier: MIT */
#include "api_arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

#define BLOCK_BYTES 4096u

struct arena_block {
        struct arena_block *next;
        size_t used, room;
        alignas(max_align_t) unsigned char bytes[];
};

void arena_init(struct arena *arena, size_t max) {
        *arena = (struct arena){.max = max};
}

void arena_deinit(struct arena *arena) {
        while (arena->blocks) {
                struct arena_block *block = arena->blocks;

                arena->blocks = block->next;
                free(block);
        }
        arena->bytes = 0;
}

static struct arena_block *block_new(struct arena *arena, size_t bytes) {
        size_t room = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        struct arena_block *block;

        if (room > SIZE_MAX - sizeof(*block))
                return NULL;
        block = calloc(1, sizeof(*block) + room);
        if (!block)
                return NULL;
        block->room = room;
        block->next = arena->blocks;
        arena->blocks = block;
        return block;
}

void *arena_alloc(struct arena *arena, size_t bytes) {
        const size_t unit = alignof(max_align_t);
        struct arena_block *block = arena->blocks;
        void *piece;

        if (bytes > arena->max || arena->max - bytes < arena->bytes) {
                arena->full = true;
                return NULL;
        }
        if (bytes > SIZE_MAX - unit)
                return NULL;
        bytes = bytes ? (bytes + unit - 1) / unit * unit : unit;
        if (!block || block->room - block->used < bytes)
                block = block_new(arena, bytes);
        if (!block)
                return NULL;
        piece = block->bytes + block->used;
        block->used += bytes;
        arena->bytes += bytes;
        return piece;
}

void *arena_array(struct arena *arena, size_t count, size_t size) {
        if (size && count > SIZE_MAX / size) {
                arena->full = true;
                return NULL;
        }
        return arena_alloc(arena, count * size);
}
