/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "memory.h"

#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#define WORTH_BYTES (UINT64_C(2) << 20)
/* What was freed stays ours until then. By itself the allocator would give large pieces back at once, and the kernel
 * would have to clear new pages for the next large message: that costs more than to copy it. */
#define KEPT_BYTES (32 << 20)
#define DELAY_NS UINT64_C(1000000000) /* no more often than that, and not in the middle of a burst */

void memory_init(struct memory *memory) {
        *memory = (struct memory){.due_ns = UINT64_MAX};
#ifdef __GLIBC__
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES);
        mallopt(M_TRIM_THRESHOLD, 2 * KEPT_BYTES);
        /* Else small pieces are collected and put together all at once, in the midst of somebody's turn. */
        mallopt(M_MXFAST, 0);
#endif
}

void memory_note(struct memory *memory, uint64_t held, bool freed, uint64_t now) {
        if (held > memory->most)
                memory->most = held;
        if (memory->due_ns == UINT64_MAX && (freed || memory->most - held >= WORTH_BYTES)) {
                memory->most = held;
                memory->due_ns = now + DELAY_NS;
        }
}

uint64_t memory_deadline(const struct memory *memory) {
        return memory->due_ns;
}

void memory_expire(struct memory *memory, uint64_t now) {
        if (now < memory->due_ns)
                return;
        memory->due_ns = UINT64_MAX;
#ifdef __GLIBC__
        malloc_trim(0);
#endif
}
