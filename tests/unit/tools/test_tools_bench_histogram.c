/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "bench_histogram.h"

static struct bench_histogram *fresh(void) {
        struct bench_histogram *histogram = calloc(1, sizeof(*histogram));
        assert_non_null(histogram);
        return histogram;
}

static void expect_near(uint64_t found, uint64_t value) {
        uint64_t off = found > value ? found - value : value - found;
        assert_true(off <= value / 128);
}

static void test_bench_histogram_empty_is_zero(void **state) {
        struct bench_histogram *histogram = fresh();
        (void)state;
        assert_true(bench_histogram_at(histogram, 0) == 0);
        assert_true(bench_histogram_at(histogram, 1) == 0);
        free(histogram);
}

static void test_bench_histogram_small_values_are_exact(void **state) {
        struct bench_histogram *histogram = fresh();
        (void)state;
        for (uint64_t value = 0; value < 100; value++)
                bench_histogram_add(histogram, value);
        for (uint64_t percent = 1; percent <= 100; percent++)
                assert_true(bench_histogram_at(histogram, (double)percent / 100) == percent - 1);
        free(histogram);
}

/* Alone a value is exact, as the least and the largest; between two others its bucket tells. */
static void expect_between(uint64_t value) {
        struct bench_histogram *histogram = fresh();
        bench_histogram_add(histogram, 0);
        bench_histogram_add(histogram, value);
        bench_histogram_add(histogram, UINT64_MAX);
        assert_true(bench_histogram_at(histogram, 0) == 0);
        expect_near(bench_histogram_at(histogram, 0.5), value);
        assert_true(bench_histogram_at(histogram, 1) >= UINT64_MAX - UINT64_MAX / 128);
        free(histogram);
}

static void test_bench_histogram_error_is_bound_at_every_magnitude(void **state) {
        (void)state;
        for (unsigned bit = 0; bit < 64; bit++) {
                uint64_t power = UINT64_C(1) << bit;
                expect_between(power);
                expect_between(power - 1);
                expect_between(power + power / 2);
                expect_between(power + power / 3);
                expect_between(power + (power - 1));
        }
}

static void test_bench_histogram_percentiles_of_known_data(void **state) {
        struct bench_histogram *histogram = fresh();
        (void)state;
        for (uint64_t i = 1; i <= 100000; i++)
                bench_histogram_add(histogram, i * 1000);
        assert_true(histogram->total == 100000);
        expect_near(bench_histogram_at(histogram, 0.5), 50000000);
        expect_near(bench_histogram_at(histogram, 0.9), 90000000);
        expect_near(bench_histogram_at(histogram, 0.99), 99000000);
        expect_near(bench_histogram_at(histogram, 0.999), 99900000);
        assert_true(bench_histogram_at(histogram, 0) >= 1000);
        assert_true(bench_histogram_at(histogram, 1) <= 100000000);
        assert_true(histogram->least == 1000 && histogram->most == 100000000);
        free(histogram);
}

static void test_bench_histogram_one_value_is_exact(void **state) {
        struct bench_histogram *histogram = fresh();
        (void)state;
        bench_histogram_add(histogram, 123456789);
        assert_true(bench_histogram_at(histogram, 0) == 123456789);
        assert_true(bench_histogram_at(histogram, 0.5) == 123456789);
        assert_true(bench_histogram_at(histogram, 1) == 123456789);
        free(histogram);
}

static void test_bench_histogram_merged_is_as_if_added_to_one(void **state) {
        struct bench_histogram *all = fresh(), *parts[3] = {fresh(), fresh(), fresh()}, *merged = fresh();
        uint64_t value = 1;
        (void)state;
        for (unsigned i = 0; i < 3000; i++) {
                value = value * 6364136223846793005U + 1442695040888963407U;
                uint64_t one = value >> (value % 60);
                bench_histogram_add(all, one);
                /* The last of them stays empty. */
                bench_histogram_add(parts[i % 2], one);
        }
        for (size_t i = 0; i < 3; i++)
                bench_histogram_merge(merged, parts[i]);
        assert_memory_equal(merged, all, sizeof(*all));
        for (size_t i = 0; i < 3; i++)
                free(parts[i]);
        free(merged);
        free(all);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bench_histogram_empty_is_zero),
                cmocka_unit_test(test_bench_histogram_small_values_are_exact),
                cmocka_unit_test(test_bench_histogram_error_is_bound_at_every_magnitude),
                cmocka_unit_test(test_bench_histogram_percentiles_of_known_data),
                cmocka_unit_test(test_bench_histogram_one_value_is_exact),
                cmocka_unit_test(test_bench_histogram_merged_is_as_if_added_to_one),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
