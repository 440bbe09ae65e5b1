/* SPDX-License-Identifier: MIT */
/* How often each value came, in buckets that are as much wider as the values in them are larger: 64 between one power
 * of two and the next. So what it tells of a value is off by at most 1 in 128, whatever its size; values below 128 are
 * exact. It has no pointer: it may lie in memory that processes share, one writer each. */
#ifndef RAMAL_TOOLS_BENCH_HISTOGRAM_H
#define RAMAL_TOOLS_BENCH_HISTOGRAM_H

#include <stdint.h>

enum { BENCH_HISTOGRAM_STEPS = 64, BENCH_HISTOGRAM_BUCKETS = 59 * BENCH_HISTOGRAM_STEPS };

/* All zero: empty. */
struct bench_histogram {
        uint64_t total, least, most;
        uint64_t counts[BENCH_HISTOGRAM_BUCKETS];
};

void bench_histogram_add(struct bench_histogram *histogram, uint64_t value);
/* Adds all that is in `other`. */
void bench_histogram_merge(struct bench_histogram *histogram, const struct bench_histogram *other);
/* The value that a part (0 to 1) of all values does not exceed: the middle of its bucket, but never outside of what
 * came. 0 where nothing did. */
uint64_t bench_histogram_at(const struct bench_histogram *histogram, double part);

#endif
