/* SPDX-License-Identifier: MIT */
/* What the core has to tell, as lines of log: bounded for each cause and user, and in all, so that no client can fill a
 * disk with its faults, nor hide those of others. How many were left out is told with the next line of the same cause
 * and user, or alone once it may be. */
#ifndef RAMAL_EVENTS_H
#define RAMAL_EVENTS_H

#include <stdint.h>

#include "core/core.h"
#include "log.h"

#define EVENTS_KINDS 8u
#define EVENTS_SOURCES 64u
#define EVENTS_CAUSE_BYTES 64u

/* So many lines at once, and so many more in a time. */
struct events_rate {
        uint64_t tokens, refilled_ns;
};

/* A cause and a user. */
struct events_source {
        unsigned kind;
        bool local; /* false: all that came with the token */
        uint32_t uid;
        char cause[EVENTS_CAUSE_BYTES];
        struct events_rate rate;
        uint64_t suppressed, used_ns;
};

struct events {
        struct log *log;
        struct events_rate rates[EVENTS_KINDS];
        struct events_source sources[EVENTS_SOURCES]; /* the one that was not used for longest makes room */
        size_t source_count;
        uint64_t lost;    /* told by nobody yet: of the core's, and of sources that made room */
        uint64_t tell_ns; /* CORE_NEVER, or when to say what was suppressed */
};

void events_init(struct events *, struct log *, uint64_t now_ns);
/* Writes what the core has, and what was suppressed long enough. */
void events_write(struct events *, struct core *, uint64_t now_ns);
uint64_t events_deadline(const struct events *); /* CORE_NEVER = none */
/* A connection that did not become a peer. limit: what it met, or NULL. */
void events_write_refused(struct events *, uint64_t now_ns, const struct core_origin *, const char *text,
                          const struct core_refusal *limit);

#endif
