/* SPDX-License-Identifier: MIT */
/* From the result of a run to its charts. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_report.h"
#include "bench_svg.h"

static void add_point(struct bench_line *line, double x, double y) {
        if (line->count >= BENCH_CHART_POINTS)
                return;
        line->x[line->count] = x;
        line->y[line->count++] = y;
}

/* ---- latencies ---- */

static void plot_latency(struct bench_line *line, const struct bench_histogram *latency) {
        for (double rest = 1; rest * (double)latency->total >= 1; rest /= 1.15)
                add_point(line, 1 / rest, (double)bench_histogram_at(latency, 1 - rest));
}

static void plot_latencies(const struct bench *bench, struct bench_chart *chart, char names[][64]) {
        struct bench_summary sum;
        for (size_t i = 0; i < bench->plan.point_count; i++)
                for (int side = 0; side < BENCH_SIDES && chart->count < BENCH_CHART_LINES; side++) {
                        const struct bench_point *point = &bench->plan.points[i];
                        bench_summarize(bench, i, (enum bench_side)side, &sum);
                        if (!sum.has_latency)
                                continue;
                        snprintf(names[chart->count], 64, "%s%s%.16s",
                                 side == BENCH_SIDE_BUS ? "ramal" : bench_base_name(point->scenario),
                                 bench->plan.point_count > 1 ? ", CPU " : "",
                                 bench->plan.point_count > 1 ? point->pin.name : "");
                        chart->lines[chart->count].name = names[chart->count];
                        plot_latency(&chart->lines[chart->count++], &sum.latency);
                }
}

/* ---- lists ---- */

static double swept_value(const struct bench_plan *plan, const struct bench_point *point) {
        const char *name = plan->swept;
        if (strcmp(name, "size") == 0)
                return (double)point->size;
        if (strcmp(name, "subscribers") == 0)
                return (double)point->subscribers;
        if (strcmp(name, "publishers") == 0)
                return (double)point->publishers;
        if (strcmp(name, "in-flight") == 0)
                return (double)point->in_flight;
        return strcmp(name, "connections") == 0 ? (double)point->connections : (double)point->interests;
}

enum growth { GROWS_RATE, GROWS_CPU, GROWS_EACH, GROWTHS };
enum { TITLE = 96 };

static double growth_of(const struct bench_summary *sum, enum growth growth) {
        switch (growth) {
        case GROWS_RATE:
                return sum->rate;
        case GROWS_CPU:
                return sum->cpu_known ? sum->cpu_ns : 0;
        default:
                return sum->each;
        }
}

static void plot_growth(const struct bench *bench, struct bench_chart *chart, enum growth growth) {
        struct bench_summary sum;
        for (int side = 0; side < BENCH_SIDES; side++) {
                struct bench_line *line = &chart->lines[chart->count];
                line->name = side == BENCH_SIDE_BUS ? "ramal" : bench_base_name(bench->plan.scenario);
                for (size_t i = 0; i < bench->plan.point_count; i++) {
                        bench_summarize(bench, i, (enum bench_side)side, &sum);
                        if (sum.rounds > 0 && growth_of(&sum, growth) > 0)
                                add_point(line, swept_value(&bench->plan, &bench->plan.points[i]),
                                          growth_of(&sum, growth));
                }
                chart->count += line->count > 0;
        }
}

static size_t plot_list(const struct bench *bench, struct bench_chart *charts, const char *x_label,
                        char titles[GROWTHS][TITLE]) {
        const struct bench_scenario_def *def = &bench_scenarios[bench->plan.scenario];
        bool idle = bench->plan.scenario == BENCH_IDLE, holds = idle || bench->plan.scenario == BENCH_INTERESTS;
        size_t count = 0;
        for (enum growth growth = idle ? GROWS_CPU : GROWS_RATE; growth <= (holds ? GROWS_EACH : GROWS_CPU); growth++) {
                struct bench_chart *chart = &charts[count++];
                snprintf(titles[growth], TITLE, "ramal bench %s: %s", def->name,
                         growth == GROWS_RATE  ? "rate"
                         : growth == GROWS_CPU ? "processor time of the broker"
                                               : "memory of the broker");
                chart->title = titles[growth];
                chart->x_label = x_label;
                chart->bytes = strcmp(bench->plan.swept, "size") == 0;
                chart->times = growth == GROWS_CPU;
                chart->y_label = growth == GROWS_RATE                    ? def->unit
                                 : growth == GROWS_EACH && idle          ? "bytes for each connection"
                                 : growth == GROWS_EACH                  ? "bytes for each interest"
                                 : idle                                  ? "processor time a second"
                                 : bench->plan.scenario == BENCH_CONNECT ? "processor time of a connection"
                                                                         : "processor time of a message";
                plot_growth(bench, chart, growth);
        }
        return count;
}

int bench_svg_draw(const struct bench *bench, FILE *out) {
        const struct bench_scenario_def *def = &bench_scenarios[bench->plan.scenario];
        char names[BENCH_CHART_LINES][64], title[128], rate[64], x_label[64];
        char titles[GROWTHS][TITLE];
        size_t count = 1;
        struct bench_chart *charts = calloc(GROWTHS, sizeof(*charts));
        if (!charts)
                return -ENOMEM;
        snprintf(title, sizeof(title), "ramal bench %s: %s", def->name, def->summary);
        snprintf(rate, sizeof(rate), "%s a second", def->unit);
        if (bench->plan.swept) {
                snprintf(x_label, sizeof(x_label), "%s",
                         strcmp(bench->plan.swept, "size") == 0        ? "payload, bytes"
                         : strcmp(bench->plan.swept, "in-flight") == 0 ? "calls in flight"
                                                                       : bench->plan.swept);
                count = plot_list(bench, charts, x_label, titles);
                for (size_t i = 0; i < count; i++)
                        if (charts[i].y_label == def->unit)
                                charts[i].y_label = rate;
        } else {
                charts[0] = (struct bench_chart){.title = title,
                                                 .x_label = "part of all, up to",
                                                 .y_label = "latency",
                                                 .percentiles = true,
                                                 .times = true};
                plot_latencies(bench, &charts[0], names);
        }
        int r = bench_svg_charts(out, charts, count);
        free(charts);
        return r;
}
