/* SPDX-License-Identifier: MIT */
/* What the core has to tell, as lines of log: bounded, so that no client can fill a disk with its faults. */
#ifndef RAMAL_EVENTS_H
#define RAMAL_EVENTS_H

#include <stdint.h>

#include "core/core.h"
#include "log.h"

#define EVENTS_KINDS 6u

/* So many lines of a kind at once, and so many more a second. */
struct events_rate {
        uint64_t tokens, refilled_ns, suppressed;
};

struct events {
        struct log *log;
        struct events_rate rates[EVENTS_KINDS];
};

void events_init(struct events *, struct log *, uint64_t now_ns);
/* Writes what the core has. */
void events_write(struct events *, struct core *, uint64_t now_ns);
/* A connection that did not become a peer. */
void events_write_refused(struct events *, uint64_t now_ns, const char *address, const char *text);

#endif
