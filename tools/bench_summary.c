/* SPDX-License-Identifier: MIT */
#include "bench_report.h"

#include <stdlib.h>
#include <string.h>

const double bench_percentiles[BENCH_PERCENTILES] = {0.5, 0.9, 0.99, 0.999, 1};
const char *const bench_percentile_names[BENCH_PERCENTILES] = {"p50", "p90", "p99", "p999", "max"};

const char *bench_base_name(enum bench_scenario scenario) {
        return scenario == BENCH_INTERESTS ? "alone" : "relay";
}

/* ---- medians ---- */

struct numbers {
        double values[BENCH_ROUNDS_MAX];
        size_t count;
};

static void note(struct numbers *numbers, double value) {
        if (numbers->count < BENCH_ROUNDS_MAX)
                numbers->values[numbers->count++] = value;
}

static int compare(const void *a, const void *b) {
        double x = *(const double *)a, y = *(const double *)b;
        return (x > y) - (x < y);
}

static double median(struct numbers *numbers) {
        size_t n = numbers->count;
        if (n == 0)
                return 0;
        qsort(numbers->values, n, sizeof(*numbers->values), compare);
        return n % 2 ? numbers->values[n / 2] : (numbers->values[n / 2 - 1] + numbers->values[n / 2]) / 2;
}

/* ---- one side ---- */

static double rate_of(const struct bench_measure *measure) {
        return measure->elapsed_ns ? (double)measure->messages * 1e9 / (double)measure->elapsed_ns : 0;
}

/* Of a message; of an idle broker, of a second. */
static double cpu_of(const struct bench *bench, enum bench_scenario scenario, const struct bench_measure *measure) {
        if (scenario == BENCH_IDLE)
                return (double)measure->cpu_ns * 1e9 / (double)bench->plan.duration_ns;
        return measure->messages ? (double)measure->cpu_ns / (double)measure->messages : 0;
}

/* Rounds that were broken off count only where there is no other. */
static bool wanted(const struct bench_rounds *rounds, enum bench_side side, uint64_t count, uint64_t i) {
        if (!rounds->measures[side][i].there)
                return false;
        for (uint64_t n = 0; n < count; n++)
                if (rounds->measures[side][n].there && !rounds->measures[side][n].partial)
                        return !rounds->measures[side][i].partial;
        return true;
}

struct medians {
        struct numbers rate, cpu, memory, latency[BENCH_PERCENTILES];
};

static void add(const struct bench *bench, enum bench_scenario scenario, const struct bench_measure *measure,
                struct bench_summary *sum, struct medians *medians) {
        sum->rounds++;
        sum->partial |= measure->partial;
        sum->messages += measure->messages;
        sum->sent += measure->sent;
        sum->lost += measure->lost;
        sum->gaps += measure->gaps;
        sum->wrong += measure->wrong;
        sum->refused += measure->refused;
        sum->held = measure->held > sum->held ? measure->held : sum->held;
        if (measure->held && (double)measure->grown / (double)measure->held > sum->each)
                sum->each = (double)measure->grown / (double)measure->held;
        note(&medians->rate, rate_of(measure));
        if (measure->memory)
                note(&medians->memory, (double)measure->memory);
        if (measure->cpu_known)
                note(&medians->cpu, cpu_of(bench, scenario, measure));
        for (size_t i = 0; measure->latency.total > 0 && i < BENCH_PERCENTILES; i++)
                note(&medians->latency[i], (double)bench_histogram_at(&measure->latency, bench_percentiles[i]));
        bench_histogram_merge(&sum->latency, &measure->latency);
}

void bench_summarize(const struct bench *bench, size_t point, enum bench_side side, struct bench_summary *ret) {
        const struct bench_rounds *rounds = &bench->results[point];
        const struct bench_point *what = &bench->plan.points[point];
        struct medians medians;
        memset(&medians, 0, sizeof(medians));
        memset(ret, 0, sizeof(*ret));
        for (uint64_t i = 0; i < bench->plan.rounds; i++)
                if (wanted(rounds, side, bench->plan.rounds, i))
                        add(bench, what->scenario, &rounds->measures[side][i], ret, &medians);
        ret->rate = median(&medians.rate);
        ret->bytes = ret->rate * (double)what->size;
        ret->memory = (uint64_t)median(&medians.memory);
        ret->cpu_known = medians.cpu.count > 0;
        ret->cpu_ns = median(&medians.cpu);
        ret->has_latency = ret->latency.total > 0;
        for (size_t i = 0; i < BENCH_PERCENTILES; i++)
                ret->latency_ns[i] = median(&medians.latency[i]);
        ret->latency_ns[BENCH_PERCENTILES - 1] = (double)ret->latency.most;
}

/* ---- the two ---- */

void bench_ratio_of(const struct bench *bench, size_t point, struct bench_ratio *ret) {
        const struct bench_rounds *rounds = &bench->results[point];
        enum bench_scenario scenario = bench->plan.points[point].scenario;
        struct numbers rate = {.count = 0}, p50 = {.count = 0}, cpu = {.count = 0};
        for (uint64_t i = 0; i < bench->plan.rounds; i++) {
                const struct bench_measure *bus = &rounds->measures[BENCH_SIDE_BUS][i];
                const struct bench_measure *base = &rounds->measures[BENCH_SIDE_BASE][i];
                if (!wanted(rounds, BENCH_SIDE_BUS, bench->plan.rounds, i) ||
                    !wanted(rounds, BENCH_SIDE_BASE, bench->plan.rounds, i))
                        continue;
                double other = rate_of(base), spent = cpu_of(bench, scenario, base);
                uint64_t usual = bench_histogram_at(&base->latency, 0.5);
                if (other > 0)
                        note(&rate, rate_of(bus) / other);
                if (usual > 0 && bus->latency.total > 0)
                        note(&p50, (double)bench_histogram_at(&bus->latency, 0.5) / (double)usual);
                if (spent > 0 && bus->cpu_known)
                        note(&cpu, cpu_of(bench, scenario, bus) / spent);
        }
        *ret = (struct bench_ratio){median(&rate), median(&p50), median(&cpu)};
}

bool bench_measured(const struct bench *bench) {
        for (size_t p = 0; p < bench->plan.point_count; p++)
                for (int side = 0; side < BENCH_SIDES; side++)
                        for (uint64_t i = 0; i < bench->plan.rounds; i++)
                                if (bench->results[p].measures[side][i].there)
                                        return true;
        return false;
}

uint64_t bench_lost(const struct bench *bench) {
        uint64_t total = 0;
        for (size_t p = 0; p < bench->plan.point_count; p++)
                for (int side = 0; side < BENCH_SIDES; side++)
                        for (uint64_t i = 0; i < bench->plan.rounds; i++) {
                                const struct bench_measure *one = &bench->results[p].measures[side][i];
                                /* What came wrong did not come right, and is in `lost` as well. */
                                total += one->lost > one->wrong ? one->lost : one->wrong;
                        }
        return total;
}
