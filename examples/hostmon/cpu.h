/* SPDX-License-Identifier: MIT */
/* /proc/stat: what the processors did, in clock ticks. */
#ifndef HOSTMON_CPU_H
#define HOSTMON_CPU_H

#include "text.h"

struct cpu {
        unsigned cpus;
        uint64_t user, nice, system, idle, iowait, irq, softirq, steal;
};

/* Returns 0, or -EBADMSG where there is no usable line "cpu". */
int cpu_parse(struct text text, struct cpu *ret);

/* How busy all processors together were between two readings, 0 to 100. */
double cpu_busy_percent(const struct cpu *before, const struct cpu *now);

#endif
