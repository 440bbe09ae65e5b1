/* SPDX-License-Identifier: MIT */
#include "bench_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "json.h"
#include "table.h"
#include "units.h"

enum { CELL = 48 };

static const struct table_column columns[] = {
        {"SCENARIO", TABLE_OPTIONAL},
        {"SIZE", TABLE_RIGHT | TABLE_OPTIONAL},
        {"WITH", TABLE_SHRINK},
        {"CPUS", 0},
        {"OVER", 0},
        {"RATE/S", TABLE_RIGHT},
        {"MB/S", TABLE_RIGHT | TABLE_OPTIONAL},
        {"P50", TABLE_RIGHT},
        {"P90", TABLE_RIGHT},
        {"P99", TABLE_RIGHT},
        {"P99.9", TABLE_RIGHT},
        {"MAX", TABLE_RIGHT},
        {"CPU", TABLE_RIGHT},
        {"MEMORY", TABLE_RIGHT | TABLE_OPTIONAL},
        {"LOST", TABLE_RIGHT},
        {"x RATE", TABLE_RIGHT | TABLE_OPTIONAL},
        {"x P50", TABLE_RIGHT | TABLE_OPTIONAL},
        {"x CPU", TABLE_RIGHT | TABLE_OPTIONAL},
};

/* ---- cells ---- */

static const char *plain(char text[CELL], double number) {
        if (number >= 1e6)
                snprintf(text, CELL, "%.2f M", number / 1e6);
        else if (number >= 1e4)
                snprintf(text, CELL, "%.1f k", number / 1e3);
        else
                snprintf(text, CELL, "%.*f", number < 100 ? 1 : 0, number);
        return text;
}

static void cell_rate(struct table *table, double rate) {
        char text[CELL];
        table_text(table, rate > 0 ? plain(text, rate) : NULL);
}

static void cell_time(struct table *table, bool known, double ns) {
        char text[UNITS_TEXT];
        if (known && ns < 999.5) {
                snprintf(text, sizeof(text), "%.0f ns", ns);
                table_text(table, text);
        } else {
                table_text(table, known ? units_time(text, (uint64_t)ns) : NULL);
        }
}

static void cell_size(struct table *table, uint64_t bytes) {
        char text[UNITS_TEXT];
        table_text(table, bytes ? units_size(text, bytes) : NULL);
}

static void cell_ratio(struct table *table, double ratio) {
        char text[CELL];
        snprintf(text, sizeof(text), "%.2f", ratio);
        table_text(table, ratio > 0 ? text : NULL);
}

/* What a row has that others may not have: "8 subscribers". */
static void describe(const struct bench_point *point, char text[CELL]) {
        switch (point->scenario) {
        case BENCH_RTT:
                snprintf(text, CELL, "%" PRIu64 " caller%s", point->publishers, point->publishers == 1 ? "" : "s");
                break;
        case BENCH_CALLS:
                snprintf(text, CELL, "%" PRIu64 " x %" PRIu64 " in flight", point->publishers, point->in_flight);
                break;
        case BENCH_CONNECT:
                snprintf(text, CELL, "%" PRIu64 " at it", point->connections);
                break;
        case BENCH_IDLE:
                snprintf(text, CELL, "%" PRIu64 " connections", point->connections);
                break;
        case BENCH_INTERESTS:
                snprintf(text, CELL, "%" PRIu64 " more", point->interests);
                break;
        default:
                snprintf(text, CELL, "%" PRIu64 " to %" PRIu64, point->publishers, point->subscribers);
                break;
        }
}

/* ---- the table ---- */

static void add_row(const struct bench *bench, struct table *table, size_t index, enum bench_side side) {
        const struct bench_point *point = &bench->plan.points[index];
        struct bench_summary sum;
        struct bench_ratio ratio = {0};
        char with[CELL];
        bench_summarize(bench, index, side, &sum);
        if (sum.rounds == 0)
                return;
        if (side == BENCH_SIDE_BUS)
                bench_ratio_of(bench, index, &ratio);
        describe(point, with);
        table_text(table, bench_scenarios[point->scenario].name);
        cell_size(table, point->size);
        table_text(table, with);
        table_text(table, point->pin.name);
        table_text(table, side == BENCH_SIDE_BUS ? "ramal" : bench_base_name(point->scenario));
        cell_rate(table, sum.rate);
        cell_rate(table, sum.bytes / 1e6);
        for (size_t i = 0; i < BENCH_PERCENTILES; i++)
                cell_time(table, sum.has_latency, sum.latency_ns[i]);
        cell_time(table, sum.cpu_known, sum.cpu_ns);
        cell_size(table, sum.memory);
        table_number(table, sum.lost > sum.wrong ? sum.lost : sum.wrong);
        cell_ratio(table, ratio.rate);
        cell_ratio(table, ratio.p50);
        cell_ratio(table, ratio.cpu);
}

/* What has no column, for few rows have it. */
static void say_more(const struct bench *bench, size_t index) {
        const struct bench_point *point = &bench->plan.points[index];
        struct bench_summary sum;
        bench_summarize(bench, index, BENCH_SIDE_BUS, &sum);
        char cpu[UNITS_TEXT];
        if (sum.rounds == 0 || sum.held == 0)
                return;
        if (point->scenario == BENCH_IDLE)
                printf("%" PRIu64
                       " connections held: %.0f bytes of the broker's own memory each; while they are idle it "
                       "uses %s of processor time a second\n",
                       sum.held, sum.each, units_time(cpu, (uint64_t)sum.cpu_ns));
        else
                printf("%" PRIu64 " interests held: %.0f bytes of the broker's own memory each\n", sum.held, sum.each);
}

int bench_report_table(const struct bench *bench) {
        if (!bench_measured(bench))
                return EXIT_OK;
        struct table *table = table_new(columns, sizeof(columns) / sizeof(*columns));
        for (size_t i = 0; table && i < bench->plan.point_count; i++)
                for (int side = BENCH_SIDES - 1; side >= 0; side--)
                        add_row(bench, table, i, (enum bench_side)side);
        int status = api_print_table(bench->ctl, table);
        for (size_t i = 0; status == EXIT_OK && i < bench->plan.point_count; i++)
                say_more(bench, i);
        return status;
}

/* ---- JSON ---- */

static void json_real(struct json *json, const char *key, double number) {
        json_thousandths(json, key, (uint64_t)(number * 1000 + 0.5));
}

/* The whole distribution in few points, [percent, us]: as percentile plots want it, closer together towards the end. */
static void json_distribution(struct json *json, const struct bench_histogram *latency) {
        json_open_array(json, "distribution");
        for (double rest = 1; rest * (double)latency->total >= 1 && rest >= 1e-5; rest /= 1.25) {
                json_open_array(json, NULL);
                json_real(json, NULL, (1 - rest) * 100);
                json_thousandths(json, NULL, bench_histogram_at(latency, 1 - rest));
                json_end(json);
        }
        json_end(json);
}

static void json_side(const struct bench *bench, struct json *json, size_t index, enum bench_side side) {
        const struct bench_point *point = &bench->plan.points[index];
        struct bench_summary sum;
        bench_summarize(bench, index, side, &sum);
        if (sum.rounds == 0)
                return;
        json_open_object(json, side == BENCH_SIDE_BUS ? "ramal" : bench_base_name(point->scenario));
        json_number(json, "rounds", sum.rounds);
        json_bool(json, "partial", sum.partial);
        json_number(json, "messages", sum.messages);
        json_real(json, "rate", sum.rate);
        json_real(json, "bytes_per_s", sum.bytes);
        if (sum.has_latency) {
                json_open_object(json, "latency_us");
                for (size_t i = 0; i < BENCH_PERCENTILES; i++)
                        json_thousandths(json, bench_percentile_names[i], (uint64_t)sum.latency_ns[i]);
                json_end(json);
        }
        if (sum.cpu_known)
                json_real(json, point->scenario == BENCH_IDLE ? "cpu_ns_per_s" : "cpu_ns", sum.cpu_ns);
        if (sum.memory)
                json_number(json, "memory_bytes", sum.memory);
        if (sum.held) {
                json_number(json, "held", sum.held);
                json_real(json, "bytes_each", sum.each);
        }
        json_number(json, "sent", sum.sent);
        json_number(json, "lost", sum.lost);
        json_number(json, "gaps", sum.gaps);
        json_number(json, "wrong", sum.wrong);
        json_number(json, "refused", sum.refused);
        if (sum.has_latency)
                json_distribution(json, &sum.latency);
        json_end(json);
}

static void json_row(const struct bench *bench, struct json *json, size_t index) {
        const struct bench_point *point = &bench->plan.points[index];
        struct bench_ratio ratio;
        bench_ratio_of(bench, index, &ratio);
        json_open_object(json, NULL);
        json_text(json, "scenario", bench_scenarios[point->scenario].name);
        json_text(json, "cpus", point->pin.name);
        const struct {
                const char *key;
                uint64_t value;
        } sizes[] = {
                {"size", point->size},           {"subscribers", point->subscribers}, {"publishers", point->publishers},
                {"in_flight", point->in_flight}, {"connections", point->connections}, {"interests", point->interests}};
        for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
                if (sizes[i].value > 0)
                        json_number(json, sizes[i].key, sizes[i].value);
        json_side(bench, json, index, BENCH_SIDE_BUS);
        json_side(bench, json, index, BENCH_SIDE_BASE);
        if (ratio.rate > 0) {
                json_open_object(json, "ratio");
                json_real(json, "rate", ratio.rate);
                if (ratio.p50 > 0)
                        json_real(json, "p50", ratio.p50);
                if (ratio.cpu > 0)
                        json_real(json, "cpu", ratio.cpu);
                json_end(json);
        }
        json_end(json);
}

int bench_report_json(const struct bench *bench) {
        const struct bench_plan *plan = &bench->plan;
        struct json json = json_on(stdout);
        json_open_object(&json, NULL);
        json_text(&json, "bench", bench_scenarios[plan->scenario].name);
        json_text(&json, "version", RAMAL_VERSION);
        json_text(&json, "broker", bench->version);
        json_text(&json, "address", bench->is_private ? "private" : bench->address);
        json_bool(&json, "tcp", bench_over_tcp(bench));
        json_bool(&json, "batch", plan->batch);
        json_bool(&json, "spin", plan->spin);
        json_number(&json, "rounds", plan->rounds);
        if (plan->count)
                json_number(&json, "count", plan->count);
        else
                json_thousandths(&json, "duration_us", plan->duration_ns);
        json_number(&json, "window", plan->window);
        json_text(&json, "list", plan->swept);
        json_open_array(&json, "rows");
        for (size_t i = 0; i < plan->point_count; i++)
                json_row(bench, &json, i);
        json_end(&json);
        json_number(&json, "lost", bench_lost(bench));
        if (bench->note[0])
                json_text(&json, "note", bench->note);
        json_end(&json);
        return EXIT_OK;
}
