/* SPDX-License-Identifier: MIT */
/* /proc/meminfo, in bytes. */
#ifndef HOSTMON_MEMORY_H
#define HOSTMON_MEMORY_H

#include "text.h"

struct memory {
        uint64_t total, free, available, buffers, cached, swap_total, swap_free;
};

/* Returns 0, or -EBADMSG where it does not say how much memory there is. Where the kernel does not say what is
 * available, it is estimated. */
int memory_parse(struct text text, struct memory *ret);

#endif
