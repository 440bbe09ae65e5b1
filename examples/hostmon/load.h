/* SPDX-License-Identifier: MIT */
/* /proc/loadavg. */
#ifndef HOSTMON_LOAD_H
#define HOSTMON_LOAD_H

#include "text.h"

struct load {
        double one, five, fifteen;
        uint32_t running, threads;
};

/* Returns 0, or -EBADMSG where the three averages are not there. */
int load_parse(struct text text, struct load *ret);

#endif
