/* SPDX-License-Identifier: MIT */
/* Runs what a plan says. */
#ifndef RAMAL_TOOLS_BENCH_RUN_H
#define RAMAL_TOOLS_BENCH_RUN_H

#include "bench.h"
#include "bench_private.h"
#include "ctl.h"

/* What one round of one side came to. */
struct bench_measure {
        bool there;
        bool partial; /* it was broken off */
        uint64_t messages, elapsed_ns;
        uint64_t sent, lost, gaps, wrong, refused; /* of the whole round, warm-up included; not where it is partial */
        bool cpu_known;
        uint64_t cpu_ns; /* of the broker, or the relay, for these messages */
        uint64_t memory; /* private memory of the broker at the end, 0: unknown */
        uint64_t grown;  /* idle, interests: by so much it grew while they came */
        uint64_t held;   /* and so many came */
        struct bench_histogram latency;
};

/* The bus, and what it is compared with: the relay, or (interests) the bus before the interests came. */
enum bench_side { BENCH_SIDE_BUS, BENCH_SIDE_BASE, BENCH_SIDES };

struct bench_rounds {
        struct bench_measure *measures[BENCH_SIDES]; /* plan->rounds each */
};

struct bench {
        struct ctl *ctl;
        struct bench_plan plan;
        struct bench_private private;
        bool is_private;
        bool progress; /* stderr is a terminal */
        size_t at_point;
        uint64_t at_round;
        char address[256];
        const char *token_file;
        char version[64];
        pid_t broker_pid; /* 0: not on this machine */
        uint64_t payload_max;
        struct bench_rounds *results; /* of each point */
        char note[BENCH_TEXT];        /* what the reader of the result should know, or "" */
};

/* Runs all rounds of all points. What was measured stays in `results`, whatever happens. Returns 0, or the exit status
 * after having said what is wrong. */
int bench_run(struct bench *bench);
/* Does the bus, or the relay alone, run over TCP? */
bool bench_over_tcp(const struct bench *bench);
/* Runs one side of a point once. alone: interests: gets what is measured without them. */
int bench_round(struct bench *bench, const struct bench_point *point, bool relay, struct bench_measure *measure,
                struct bench_measure *alone);

/* What the broker tells of itself. */
struct bench_facts {
        uint64_t cpu_ns, memory, interests;
};
/* Returns 0, or the exit status after having said what is wrong. */
int bench_ask(struct bench *bench, struct bench_facts *facts);
void bench_hang_up(struct bench *bench);

#endif
