/* SPDX-License-Identifier: MIT */
/* What a run came to: as a table, as JSON, beside an earlier one. */
#ifndef RAMAL_TOOLS_BENCH_REPORT_H
#define RAMAL_TOOLS_BENCH_REPORT_H

#include "bench_run.h"

enum { BENCH_PERCENTILES = 5 };
extern const double bench_percentiles[BENCH_PERCENTILES]; /* 0.5 to 0.999, and 1: the largest */
extern const char *const bench_percentile_names[BENCH_PERCENTILES];

/* The rounds of one side of a point in one. */
struct bench_summary {
        uint64_t rounds;                                     /* how many there are, 0: nothing was measured */
        bool partial;                                        /* none of them was complete */
        uint64_t messages, sent, lost, gaps, wrong, refused; /* sums */
        double rate;                                         /* a second; this and all below: medians */
        double bytes;                                        /* of payload, a second */
        double latency_ns[BENCH_PERCENTILES];                /* the largest is that of all rounds */
        bool has_latency, cpu_known;
        double cpu_ns; /* per message; idle: per second */
        uint64_t memory;
        uint64_t held; /* most of all rounds */
        double each;   /* bytes per held connection or interest; the largest, for memory that was given back in
                              * one round is used again in the next */
        struct bench_histogram latency; /* of all rounds */
};

/* How the bus stands to its base: the median over the rounds, each beside the one that ran next to it. 0: not known. */
struct bench_ratio {
        double rate, p50, cpu;
};

void bench_summarize(const struct bench *bench, size_t point, enum bench_side side, struct bench_summary *ret);
void bench_ratio_of(const struct bench *bench, size_t point, struct bench_ratio *ret);
/* What the second side is called: "relay", "alone". */
const char *bench_base_name(enum bench_scenario scenario);
/* Is there anything to report? */
bool bench_measured(const struct bench *bench);
/* Messages that did not come, or not right, in all rounds of all points. */
uint64_t bench_lost(const struct bench *bench);

/* These print to stdout and return the exit status. */
int bench_report_table(const struct bench *bench);
int bench_report_json(const struct bench *bench);

/* An earlier run. */
struct bench_earlier;
/* Returns 0, or the exit status after having said what is wrong. */
int bench_earlier_read(const struct ctl *ctl, const char *path, enum bench_scenario scenario,
                       struct bench_earlier **ret);
void bench_earlier_free(struct bench_earlier *earlier);
/* Rows are set beside each other by their sizes. */
int bench_report_compare(const struct bench *bench, const struct bench_earlier *earlier);

#endif
