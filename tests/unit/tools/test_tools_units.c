/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "units.h"

static void expect_time(const char *text, int result, uint64_t expected) {
        uint64_t ns = 0;
        assert_int_equal(units_parse_time(text, &ns), result);
        assert_true(ns == expected);
}

static void test_units_times_have_a_unit(void **state) {
        (void)state;
        expect_time("5s", 0, 5000000000);
        expect_time("200ms", 0, 200000000);
        expect_time("1.5s", 0, 1500000000);
        expect_time("0.001us", 0, 1);
        expect_time("2m", 0, 120000000000);
        expect_time("1h", 0, 3600000000000);
        expect_time("0.5h", 0, 1800000000000);
        expect_time("never", 0, UINT64_MAX);
}

static void test_units_bad_times_are_refused(void **state) {
        static const char *const bad[] = {"",    "5",  "s",   "-5s", "5 s", "5x",  "5.s",
                                          ".5s", "0s", "0ms", "5s ", "+5s", "1e3s"};
        (void)state;
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
                expect_time(bad[i], -EINVAL, 0);
        expect_time("18446744073709551615s", -ERANGE, 0);
        expect_time("99999999999999999999s", -ERANGE, 0);
}

static void test_units_sizes_are_powers_of_1024(void **state) {
        static const struct {
                const char *text;
                uint64_t bytes;
        } good[] = {{"1", 1},          {"4096", 4096}, {"64K", 65536},    {"8M", 8388608},
                    {"8MiB", 8388608}, {"1.5K", 1536}, {"1G", 1073741824}};
        uint64_t bytes;
        (void)state;
        for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
                assert_int_equal(units_parse_size(good[i].text, &bytes), 0);
                assert_true(bytes == good[i].bytes);
        }
        assert_int_equal(units_parse_size("0", &bytes), -EINVAL);
        assert_int_equal(units_parse_size("1T", &bytes), -EINVAL);
        assert_int_equal(units_parse_size("-1", &bytes), -EINVAL);
        assert_int_equal(units_parse_size("99999999999999G", &bytes), -ERANGE);
}

static void test_units_counts_are_digits(void **state) {
        uint64_t count;
        (void)state;
        assert_int_equal(units_parse_count("18446744073709551615", &count), 0);
        assert_true(count == UINT64_MAX);
        assert_int_equal(units_parse_count("18446744073709551616", &count), -ERANGE);
        assert_int_equal(units_parse_count("0", &count), 0);
        assert_int_equal(units_parse_count("", &count), -EINVAL);
        assert_int_equal(units_parse_count("1x", &count), -EINVAL);
        assert_int_equal(units_parse_count(" 1", &count), -EINVAL);
}

static void test_units_are_printed_for_people(void **state) {
        char text[UNITS_TEXT];
        (void)state;
        assert_string_equal(units_time(text, 83000), "83.0 us");
        assert_string_equal(units_time(text, 1240000), "1.24 ms");
        assert_string_equal(units_time(text, 999), "1.00 us");
        assert_string_equal(units_time(text, UINT64_C(125000000000)), "125 s");
        assert_string_equal(units_age(text, 8000000), "8s");
        assert_string_equal(units_age(text, 312000000), "5m 12s");
        assert_string_equal(units_age(text, UINT64_C(273600000000)), "3d 4h");
        assert_string_equal(units_size(text, 812), "812 B");
        assert_string_equal(units_size(text, 3482), "3.40 KiB");
        assert_string_equal(units_size(text, 8388608), "8.00 MiB");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_units_times_have_a_unit),
                cmocka_unit_test(test_units_bad_times_are_refused),
                cmocka_unit_test(test_units_sizes_are_powers_of_1024),
                cmocka_unit_test(test_units_counts_are_digits),
                cmocka_unit_test(test_units_are_printed_for_people),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
