/* SPDX-License-Identifier: MIT */
/* Gives memory back to the system that a burst has needed and nobody needs any more: malloc() keeps it, for one small
 * thing that lies behind it is enough for that. */
#ifndef RAMAL_MEMORY_H
#define RAMAL_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

struct memory {
        uint64_t most;   /* that was held since the last time */
        uint64_t due_ns; /* UINT64_MAX = nothing to give back */
};

void memory_init(struct memory *);
/* held: bytes that are queued now. freed: other things have been freed, as of a connection that is gone. */
void memory_note(struct memory *, uint64_t held, bool freed, uint64_t now_ns);
uint64_t memory_deadline(const struct memory *);
void memory_expire(struct memory *, uint64_t now_ns);

#endif
