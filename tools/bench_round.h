/* SPDX-License-Identifier: MIT */
/* A round that is under way. */
#ifndef RAMAL_TOOLS_BENCH_ROUND_H
#define RAMAL_TOOLS_BENCH_ROUND_H

#include "bench_relay.h"
#include "bench_run.h"

struct round_sums {
        uint64_t sent, got, gaps, wrong, refused;
};

struct round {
        struct bench *bench;
        struct bench_job job;
        struct bench_shared *shared;
        struct bench_relay relay;
        pid_t pids[BENCH_WORKERS_MAX];
        enum bench_role roles[BENCH_WORKERS_MAX];
        unsigned count;
        uint64_t begun_ns, begun_messages, begun_cpu; /* when the measuring began */
        uint64_t alone_interests;                     /* how many there are without the holder's */
        struct round_sums audited;                    /* what the results have had already */
        bool measuring, cpu_known;
};

/* ---- its processes: bench_crew.c ---- */

/* Starts all that the point needs, each with a worker of its own: receivers first, bench_task_take_room() relies on
 * that. Returns 0, or the exit status after having said what is wrong. */
int bench_crew_start(struct round *round);
/* Returns 0, or the exit status after having said who is not there any more. */
int bench_crew_check(struct round *round);
/* Ends those that are left, one way or the other, and the relay. */
void bench_crew_end(struct round *round);

/* ---- orders ---- */

void bench_round_order(struct round *round, enum bench_phase phase, uint64_t limit);

#endif
