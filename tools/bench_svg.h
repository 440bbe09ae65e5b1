/* SPDX-License-Identifier: MIT */
/* Draws the result of a run. */
#ifndef RAMAL_TOOLS_BENCH_SVG_H
#define RAMAL_TOOLS_BENCH_SVG_H

#include <stdio.h>

#include "bench_run.h"

/* The latencies; of a run over a list, what grows with it: rate and processor time. Returns 0 or a negative errno. */
int bench_svg_draw(const struct bench *bench, FILE *out);

/* ---- the parts ---- */

enum { BENCH_CHART_LINES = 4, BENCH_CHART_POINTS = 160 };

struct bench_line {
        const char *name;
        size_t count;
        double x[BENCH_CHART_POINTS], y[BENCH_CHART_POINTS];
};

/* Both axes are logarithmic; what is not above 0 is left out. */
struct bench_chart {
        const char *title, *x_label, *y_label;
        bool percentiles; /* x is 1 / (1 - part): ticks say 50 %, 90 %, 99 % */
        bool bytes;       /* x is an amount of bytes */
        bool times;       /* y is nanoseconds */
        size_t count;
        struct bench_line lines[BENCH_CHART_LINES];
};

/* A whole document of `count` charts, one below the other. */
int bench_svg_charts(FILE *out, const struct bench_chart *charts, size_t count);

#endif
