/* SPDX-License-Identifier: MIT */
/* What five files of /proc say at one moment. */
#ifndef HOSTMON_READING_H
#define HOSTMON_READING_H

#include <stdbool.h>

#include "cpu.h"
#include "disk.h"
#include "load.h"
#include "memory.h"
#include "net.h"

struct reading {
        uint64_t time_us; /* CLOCK_REALTIME, for people */
        uint64_t now_ns;  /* CLOCK_MONOTONIC, for rates */
        bool has_cpu, has_memory, has_load;
        struct cpu cpu;
        struct memory memory;
        struct load load;
        size_t net_count, disk_count;
        struct net net[NET_MAX];
        struct disk disk[DISK_MAX];
};

enum source { SOURCE_CPU, SOURCE_MEMORY, SOURCE_LOAD, SOURCE_NET, SOURCE_DISK, SOURCES };

/* Where readings come from. */
struct proc {
        const char *directory;
        int complaint[SOURCES]; /* what was said last about each file: a negative errno, 0: nothing */
        char text[1u << 18];    /* of one file; what is longer is cut */
};

void proc_init(struct proc *proc, const char *directory);

/* Reads all files. A file that is not there or makes no sense is left out, and stderr is told once, until it comes
 * back. Returns how many files could be used. */
int proc_read(struct proc *proc, struct reading *ret);

#endif
