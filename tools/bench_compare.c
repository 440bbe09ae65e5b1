/* SPDX-License-Identifier: MIT */
/* An earlier run, as --json has saved it, beside this one. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "bench_report.h"
#include "table.h"
#include "units.h"

struct bench_earlier {
        json_t *root;
};

static const struct table_column columns[] = {
        {"ROW", TABLE_SHRINK}, {"CPUS", 0},          {"RATE/S", TABLE_RIGHT}, {"NOW", TABLE_RIGHT},
        {"x", TABLE_RIGHT},    {"P50", TABLE_RIGHT}, {"NOW", TABLE_RIGHT},    {"x", TABLE_RIGHT},
        {"P99", TABLE_RIGHT},  {"NOW", TABLE_RIGHT}, {"x", TABLE_RIGHT},      {"CPU", TABLE_RIGHT},
        {"NOW", TABLE_RIGHT},  {"x", TABLE_RIGHT},
};

static const char *const size_keys[] = {"size", "subscribers", "publishers", "in_flight", "connections", "interests"};
enum { SIZE_KEYS = sizeof(size_keys) / sizeof(*size_keys), CELL = 48 };

int bench_earlier_read(const struct ctl *ctl, const char *path, enum bench_scenario scenario,
                       struct bench_earlier **ret) {
        json_error_t error;
        json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
        if (!root)
                return ctl_fail(ctl, EXIT_DATA, "--compare %s: %s", path, error.text);
        const char *name = json_string_value(json_object_get(root, "bench"));
        int status = 0;
        if (!name || !json_is_array(json_object_get(root, "rows")))
                status = ctl_fail(ctl, EXIT_DATA, "--compare %s: not what 'ramal bench --json' prints", path);
        else if (strcmp(name, bench_scenarios[scenario].name) != 0)
                status = ctl_fail(ctl, EXIT_DATA, "--compare %s: that was %s, this is %s", path, name,
                                  bench_scenarios[scenario].name);
        struct bench_earlier *earlier = status == 0 ? malloc(sizeof(*earlier)) : NULL;
        if (!earlier) {
                json_decref(root);
                return status ? status : ctl_fail(ctl, EXIT_LATER, "no memory");
        }
        earlier->root = root;
        *ret = earlier;
        return 0;
}

void bench_earlier_free(struct bench_earlier *earlier) {
        if (!earlier)
                return;
        json_decref(earlier->root);
        free(earlier);
}

/* ---- rows ---- */

static const json_t *find_row(const struct bench_earlier *earlier, const struct bench_point *point) {
        const uint64_t sizes[SIZE_KEYS] = {point->size,      point->subscribers, point->publishers,
                                           point->in_flight, point->connections, point->interests};
        const json_t *rows = json_object_get(earlier->root, "rows");
        for (size_t i = 0; i < json_array_size(rows); i++) {
                const json_t *row = json_array_get(rows, i);
                const char *cpus = json_string_value(json_object_get(row, "cpus"));
                const char *scenario = json_string_value(json_object_get(row, "scenario"));
                bool same = cpus && strcmp(cpus, point->pin.name) == 0 && scenario &&
                            strcmp(scenario, bench_scenarios[point->scenario].name) == 0;
                for (size_t k = 0; same && k < SIZE_KEYS; k++)
                        same = (uint64_t)json_integer_value(json_object_get(row, size_keys[k])) == sizes[k];
                if (same)
                        return row;
        }
        return NULL;
}

static void describe(const struct bench_point *point, char text[160]) {
        const uint64_t sizes[SIZE_KEYS] = {point->size,      point->subscribers, point->publishers,
                                           point->in_flight, point->connections, point->interests};
        size_t used = (size_t)snprintf(text, 160, "%s", bench_scenarios[point->scenario].name);
        for (size_t k = 0; k < SIZE_KEYS && used < 160; k++)
                if (sizes[k] > 0)
                        used += (size_t)snprintf(text + used, 160 - used, " %s %" PRIu64, size_keys[k], sizes[k]);
}

/* Before, now, and the ratio of the two. */
static void three_cells(struct table *table, bool time, double before, double now) {
        char text[CELL];
        const double both[] = {before, now};
        for (size_t i = 0; i < 2; i++) {
                if (!(both[i] > 0))
                        text[0] = 0;
                else if (!time || both[i] < 1000)
                        snprintf(text, sizeof(text), "%.0f%s", both[i], time ? " ns" : "");
                else
                        units_time(text, (uint64_t)both[i]);
                table_text(table, text);
        }
        snprintf(text, sizeof(text), "%.2f", before > 0 ? now / before : 0);
        table_text(table, before > 0 && now > 0 ? text : NULL);
}

static double number_at(const json_t *side, const char *key) {
        return json_number_value(json_object_get(side, key));
}

static void add_row(struct table *table, const struct bench *bench, size_t index, const json_t *row) {
        const struct bench_point *point = &bench->plan.points[index];
        bool relay = bench->plan.scenario == BENCH_RELAY;
        const json_t *then = json_object_get(row, relay ? bench_base_name(point->scenario) : "ramal");
        const json_t *latency = json_object_get(then, "latency_us");
        struct bench_summary now;
        char text[160];
        bench_summarize(bench, index, relay ? BENCH_SIDE_BASE : BENCH_SIDE_BUS, &now);
        describe(point, text);
        table_text(table, text);
        table_text(table, point->pin.name);
        three_cells(table, false, number_at(then, "rate"), now.rate);
        three_cells(table, true, number_at(latency, "p50") * 1000, now.latency_ns[0]);
        three_cells(table, true, number_at(latency, "p99") * 1000, now.latency_ns[2]);
        three_cells(table, true, number_at(then, point->scenario == BENCH_IDLE ? "cpu_ns_per_s" : "cpu_ns"),
                    now.cpu_ns);
}

/* What was done another way makes the figures differ, too. */
static void say_differences(const struct bench *bench, const struct bench_earlier *earlier) {
        const struct bench_plan *plan = &bench->plan;
        const struct {
                const char *key;
                bool now;
        } ways[] = {{"tcp", bench_over_tcp(bench)}, {"batch", plan->batch}, {"spin", plan->spin}};
        for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
                const json_t *then = json_object_get(earlier->root, ways[i].key);
                if (json_is_boolean(then) && json_is_true(then) != ways[i].now)
                        ctl_say(bench->ctl, "--compare: the earlier run was %s %s, this one is %s it",
                                ways[i].now ? "without" : "with", ways[i].key, ways[i].now ? "with" : "without");
        }
        const json_t *window = json_object_get(earlier->root, "window");
        if (json_is_integer(window) && (uint64_t)json_integer_value(window) != plan->window)
                ctl_say(bench->ctl, "--compare: the earlier run had a window of %" PRIu64 ", this one of %" PRIu64,
                        (uint64_t)json_integer_value(window), plan->window);
}

int bench_report_compare(const struct bench *bench, const struct bench_earlier *earlier) {
        struct table *table = table_new(columns, sizeof(columns) / sizeof(*columns));
        size_t found = 0;
        for (size_t i = 0; table && i < bench->plan.point_count; i++) {
                const json_t *row = find_row(earlier, &bench->plan.points[i]);
                if (row)
                        add_row(table, bench, i, row);
                found += row != NULL;
        }
        if (found < bench->plan.point_count)
                ctl_say(bench->ctl, "--compare: the earlier run has %zu of these %zu rows", found,
                        bench->plan.point_count);
        if (found == 0) {
                table_free(table);
                return EXIT_OK;
        }
        say_differences(bench, earlier);
        /* With --json stdout is for the one object. */
        if (!bench->ctl->json) {
                fputs("\nthe earlier run, and this one:\n", stdout);
                return api_print_table(bench->ctl, table);
        }
        int r = table ? table_print(table, stderr, table_width(stderr)) : 0;
        table_free(table);
        return r < 0 ? ctl_error(bench->ctl, NULL, r, NULL) : EXIT_OK;
}
