/* SPDX-License-Identifier: MIT */
/* Whatever a run came to, its drawing is a drawing. (That it is XML, a real parser says in test_cmd_bench.py.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "bench_svg.h"

/* Draws it, and sees to it that every number in it is one. The caller frees what it returns. */
static char *draw(const struct bench_chart *charts, size_t count) {
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        assert_non_null(out);
        assert_int_equal(bench_svg_charts(out, charts, count), 0);
        assert_int_equal(fclose(out), 0);
        assert_null(strstr(text, "nan"));
        assert_null(strstr(text, "inf"));
        assert_non_null(strstr(text, "</svg>\n"));
        return text;
}

static struct bench_chart *chart_of(const double *values, size_t count) {
        struct bench_chart *chart = calloc(1, sizeof(*chart));
        assert_non_null(chart);
        *chart = (struct bench_chart){.title = "title", .x_label = "x", .y_label = "y", .count = 1};
        chart->lines[0].name = "line";
        chart->lines[0].count = count;
        for (size_t i = 0; i < count; i++) {
                chart->lines[0].x[i] = values[2 * i];
                chart->lines[0].y[i] = values[2 * i + 1];
        }
        return chart;
}

static void test_bench_svg_of_nothing(void **state) {
        struct bench_chart *chart = chart_of(NULL, 0);
        (void)state;
        free(draw(chart, 1));
        chart->count = 0;
        chart->percentiles = true;
        free(draw(chart, 1));
        free(chart);
        free(draw(NULL, 0));
}

static void test_bench_svg_of_one_point_has_it(void **state) {
        const double values[] = {8, 1000};
        struct bench_chart *chart = chart_of(values, 1);
        (void)state;
        char *text = draw(chart, 1);
        assert_non_null(strstr(text, "<circle"));
        assert_non_null(strstr(text, ">8</text>"));
        free(text);
        free(chart);
}

static void test_bench_svg_leaves_out_what_no_logarithm_has(void **state) {
        const double values[] = {0, 5, 5, 0, -1, 5, 10, 5, 20, -3, 40, 50};
        struct bench_chart *chart = chart_of(values, 6);
        size_t circles = 0;
        (void)state;
        char *text = draw(chart, 1);
        for (const char *at = text; (at = strstr(at, "<circle")); at++)
                circles++;
        assert_int_equal(circles, 2);
        free(text);
        free(chart);
}

static void test_bench_svg_points_lie_inside_the_frame(void **state) {
        const double values[] = {1, 1, 1000, 1e12, 1e6, 3};
        struct bench_chart *chart = chart_of(values, 3);
        (void)state;
        char *text = draw(chart, 1);
        for (const char *at = text; (at = strstr(at, "cx=\"")); at++) {
                double x = strtod(at + 4, NULL), y = strtod(strstr(at, "cy=\"") + 4, NULL);
                assert_true(x >= 84 && x <= 736);
                assert_true(y >= 64 && y <= 358);
        }
        free(text);
        free(chart);
}

static void test_bench_svg_texts_are_escaped(void **state) {
        const double values[] = {1, 1, 2, 2};
        struct bench_chart *chart = chart_of(values, 2);
        (void)state;
        chart->title = "<b>&\033";
        char *text = draw(chart, 1);
        assert_non_null(strstr(text, "&lt;b&gt;&amp;</text>"));
        assert_null(strchr(text, '\033'));
        free(text);
        free(chart);
}

static void test_bench_svg_axes_have_units(void **state) {
        const double values[] = {64, 2000, 65536, 3000000};
        struct bench_chart *chart = chart_of(values, 2);
        (void)state;
        chart->bytes = chart->times = true;
        char *text = draw(chart, 1);
        assert_non_null(strstr(text, ">64 B<"));
        assert_non_null(strstr(text, ">64 KiB<"));
        assert_non_null(strstr(text, ">10 \xc2\xb5s<"));
        assert_non_null(strstr(text, ">1 ms<"));
        free(text);
        chart->bytes = false;
        chart->percentiles = true;
        chart->lines[0].x[0] = 1;
        chart->lines[0].x[1] = 1000;
        text = draw(chart, 1);
        assert_non_null(strstr(text, ">50 %<"));
        assert_non_null(strstr(text, ">99.9 %<"));
        assert_null(strstr(text, ">99.99 %<"));
        free(text);
        free(chart);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bench_svg_of_nothing),
                cmocka_unit_test(test_bench_svg_of_one_point_has_it),
                cmocka_unit_test(test_bench_svg_leaves_out_what_no_logarithm_has),
                cmocka_unit_test(test_bench_svg_points_lie_inside_the_frame),
                cmocka_unit_test(test_bench_svg_texts_are_escaped),
                cmocka_unit_test(test_bench_svg_axes_have_units),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
