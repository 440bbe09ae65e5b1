/* SPDX-License-Identifier: MIT */
#include "bench_histogram.h"

#include <stddef.h>

static size_t bucket_of(uint64_t value) {
        if (value < BENCH_HISTOGRAM_STEPS)
                return (size_t)value;
        unsigned shift = 63 - 6 - (unsigned)__builtin_clzll(value);
        /* value >> shift is 64 to 127. */
        return (size_t)shift * BENCH_HISTOGRAM_STEPS + (size_t)(value >> shift);
}

static uint64_t middle_of(size_t bucket) {
        if (bucket < 2 * BENCH_HISTOGRAM_STEPS)
                return bucket;
        unsigned shift = (unsigned)(bucket / BENCH_HISTOGRAM_STEPS) - 1;
        uint64_t low = (uint64_t)(bucket % BENCH_HISTOGRAM_STEPS + BENCH_HISTOGRAM_STEPS) << shift;
        return low + ((UINT64_C(1) << shift) >> 1);
}

void bench_histogram_add(struct bench_histogram *histogram, uint64_t value) {
        if (histogram->total == 0 || value < histogram->least)
                histogram->least = value;
        if (value > histogram->most)
                histogram->most = value;
        histogram->counts[bucket_of(value)]++;
        histogram->total++;
}

void bench_histogram_merge(struct bench_histogram *histogram, const struct bench_histogram *other) {
        if (other->total == 0)
                return;
        if (histogram->total == 0 || other->least < histogram->least)
                histogram->least = other->least;
        if (other->most > histogram->most)
                histogram->most = other->most;
        histogram->total += other->total;
        for (size_t i = 0; i < BENCH_HISTOGRAM_BUCKETS; i++)
                histogram->counts[i] += other->counts[i];
}

uint64_t bench_histogram_at(const struct bench_histogram *histogram, double part) {
        uint64_t below = 0;
        /* 0.07 * 100 is a little more than 7. */
        double rank = part * (double)histogram->total * (1 - 1e-12);
        for (size_t i = 0; i < BENCH_HISTOGRAM_BUCKETS; i++) {
                below += histogram->counts[i];
                if (below == 0 || (double)below < rank)
                        continue;
                uint64_t value = middle_of(i);
                if (value < histogram->least)
                        return histogram->least;
                return value > histogram->most ? histogram->most : value;
        }
        return histogram->most;
}
