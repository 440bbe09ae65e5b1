/* SPDX-License-Identifier: MIT */
/* The options of `ramal bench`, and the plan that they make. */
#ifndef RAMAL_TOOLS_BENCH_PLAN_H
#define RAMAL_TOOLS_BENCH_PLAN_H

#include "bench.h"
#include "ctl.h"

enum bench_option {
        BENCH_OPT_SIZE,
        BENCH_OPT_COUNT,
        BENCH_OPT_DURATION,
        BENCH_OPT_ROUNDS,
        BENCH_OPT_SUBSCRIBERS,
        BENCH_OPT_PUBLISHERS,
        BENCH_OPT_IN_FLIGHT,
        BENCH_OPT_CONNECTIONS,
        BENCH_OPT_INTERESTS,
        BENCH_OPT_WINDOW,
        BENCH_OPT_PIN,
        BENCH_OPT_NO_BATCH,
        BENCH_OPT_NO_SPIN,
        BENCH_OPT_NO_RELAY,
        BENCH_OPT_PRIVATE,
        BENCH_OPT_RAMALD,
        BENCH_OPT_TCP,
        BENCH_OPT_SVG,
        BENCH_OPT_COMPARE,
        BENCH_OPTIONS
};
extern const struct option_def bench_options[BENCH_OPTIONS];

/* Reads the command line. plan: bench_plan_free() it in any case. Returns 0, or the exit status after having
 * said what is wrong. */
int bench_plan_read(const struct ctl *ctl, struct bench_plan *plan);
/* Can the broker take these payloads? Returns as above. */
int bench_plan_check(const struct ctl *ctl, const struct bench_plan *plan, uint64_t payload_max);
void bench_plan_free(struct bench_plan *plan);

/* "16,64,1k" to numbers. size: k, m, g are units of 1024. Returns how many there are, at most `max`; 0: it is no such
 * list. */
size_t bench_plan_list(const char *text, bool size, uint64_t *numbers, size_t max);
/* "0" or "0,1,1" (broker, sources, sinks) or "any". Returns false where it is none of these. */
bool bench_plan_pin(const char *text, struct bench_pin *pin);

#endif
