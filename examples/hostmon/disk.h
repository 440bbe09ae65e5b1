/* SPDX-License-Identifier: MIT */
/* /proc/diskstats: the counters of the block devices. */
#ifndef HOSTMON_DISK_H
#define HOSTMON_DISK_H

#include "text.h"

#define DISK_NAME_BYTES 64u
#define DISK_MAX 128u

struct disk {
        char name[DISK_NAME_BYTES];
        uint64_t reads, read_bytes, writes, written_bytes, in_flight, busy_ms;
};

/* Fills at most `max`; devices that were never used, and lines that it does not understand, are left out. Returns how
 * many there are, which may be more than `max`. */
size_t disk_parse(struct text text, struct disk *ret, size_t max);

/* The one with that name, or NULL. */
const struct disk *disk_find(const struct disk *list, size_t n, const char *name);

#endif
