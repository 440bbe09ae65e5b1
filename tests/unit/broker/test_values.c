/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>

#include "base/check.h"
#include "values.h"

#define SAME UINT64_MAX /* untouched */

struct number {
        const char *text;
        int r;
        uint64_t value;
};

static void check_numbers(int (*parse)(const char *, uint64_t *), const struct number *rows, size_t count) {
        for (size_t i = 0; i < count; i++) {
                uint64_t value = SAME;
                int r = parse(rows[i].text, &value);
                if (r != rows[i].r || value != rows[i].value)
                        fail_msg("'%s': %d, %ju", rows[i].text, r, (uintmax_t)value);
        }
}

static void test_values_count_reads_digits_alone(void **state) {
        static const struct number rows[] = {
                {"0", 0, 0},
                {"65536", 0, 65536},
                {"007", 0, 7},
                {"18446744073709551614", 0, UINT64_MAX - 1},
                {"18446744073709551616", -ERANGE, SAME},
                {"99999999999999999999999999", -ERANGE, SAME},
                {"", -EINVAL, SAME},
                {"-1", -EINVAL, SAME},
                {"+1", -EINVAL, SAME},
                {" 1", -EINVAL, SAME},
                {"1 ", -EINVAL, SAME},
                {"1K", -EINVAL, SAME},
                {"0x10", -EINVAL, SAME},
                {"1e3", -EINVAL, SAME},
        };
        (void)state;
        check_numbers(value_count, rows, RML_COUNT(rows));
}

static void test_values_bytes_reads_units_of_1024(void **state) {
        static const struct number rows[] = {
                {"0", 0, 0},
                {"0K", 0, 0},
                {"512", 0, 512},
                {"64K", 0, 65536},
                {"8M", 0, 8388608},
                {"1G", 0, 1073741824},
                {"17179869183G", 0, UINT64_C(17179869183) << 30},
                {"17179869184G", -ERANGE, SAME},
                {"18446744073709551616", -ERANGE, SAME},
                {"K", -EINVAL, SAME},
                {"8m", -EINVAL, SAME},
                {"8 M", -EINVAL, SAME},
                {"8MB", -EINVAL, SAME},
                {"1.5M", -EINVAL, SAME},
                {"-1M", -EINVAL, SAME},
        };
        (void)state;
        check_numbers(value_bytes, rows, RML_COUNT(rows));
}

static void test_values_time_needs_a_unit(void **state) {
        static const struct number rows[] = {
                {"0", 0, 0},
                {"0s", 0, 0},
                {"off", 0, 0},
                {"50us", 0, 50000},
                {"200ms", 0, 200000000},
                {"5s", 0, 5000000000},
                {"2min", 0, 120000000000},
                {"1h", 0, 3600000000000},
                {"5", -EINVAL, SAME},
                {"5S", -EINVAL, SAME},
                {"5m", -EINVAL, SAME},
                {"s", -EINVAL, SAME},
                {"offs", -EINVAL, SAME},
                {"5 s", -EINVAL, SAME},
                {"18446744074s", -ERANGE, SAME},
        };
        (void)state;
        check_numbers(value_time, rows, RML_COUNT(rows));
}

static void test_values_format_is_read_back(void **state) {
        static const uint64_t bytes[] = {0, 1, 1023, 1024, 65536, 8388608, 8388609, 1073741824, UINT64_C(5) << 30};
        static const uint64_t times[] = {0, 1000, 50000, 1000000, 200000000, 5000000000, 90000000000, 3600000000000};
        char text[32];
        uint64_t back;
        (void)state;
        for (size_t i = 0; i < RML_COUNT(bytes); i++) {
                assert_int_equal(value_bytes(value_format_bytes(bytes[i], text, sizeof(text)), &back), 0);
                assert_int_equal(back, bytes[i]);
        }
        for (size_t i = 0; i < RML_COUNT(times); i++) {
                assert_int_equal(value_time(value_format_time(times[i], text, sizeof(text)), &back), 0);
                assert_int_equal(back, times[i]);
        }
        assert_string_equal(value_format_bytes(8388608, text, sizeof(text)), "8M");
        assert_string_equal(value_format_time(5000000000, text, sizeof(text)), "5s");
}

static void test_values_mode_is_octal_permissions(void **state) {
        static const struct {
                const char *text;
                int r;
                mode_t mode;
        } rows[] = {{"0600", 0, 0600},
                    {"660", 0, 0660},
                    {"0777", 0, 0777},
                    {"0", 0, 0},
                    {"01777", -ERANGE, 7},
                    {"0800", -EINVAL, 7},
                    {"rw", -EINVAL, 7},
                    {"", -EINVAL, 7},
                    {"-600", -EINVAL, 7},
                    {"0x180", -EINVAL, 7},
                    {"7777777777777777777777777", -ERANGE, 7}};
        (void)state;
        for (size_t i = 0; i < RML_COUNT(rows); i++) {
                mode_t mode = 7;
                assert_int_equal(value_mode(rows[i].text, &mode), rows[i].r);
                assert_int_equal(mode, rows[i].mode);
        }
}

static void test_values_bool_knows_the_usual_words(void **state) {
        bool value = false;
        (void)state;
        assert_int_equal(value_bool("yes", &value), 0);
        assert_true(value);
        assert_int_equal(value_bool("off", &value), 0);
        assert_false(value);
        assert_int_equal(value_bool("1", &value), 0);
        assert_true(value);
        assert_int_equal(value_bool("Yes", &value), -EINVAL);
        assert_int_equal(value_bool("", &value), -EINVAL);
        assert_true(value);
}

static void test_values_ids_are_numbers_or_names(void **state) {
        uint32_t id = 7;
        (void)state;
        assert_int_equal(value_uid("root", &id), 0);
        assert_int_equal(id, 0);
        assert_int_equal(value_gid("64999", &id), 0);
        assert_int_equal(id, 64999);
        assert_int_equal(value_gid("root", &id), 0);
        assert_int_equal(id, 0);
        /* 2^32 - 1 means "nobody said" to the kernel. */
        assert_int_equal(value_uid("4294967295", &id), -ERANGE);
        assert_int_equal(value_uid("4294967296", &id), -ERANGE);
        assert_int_equal(value_uid("4294967294", &id), 0);
        assert_int_equal(value_uid("no such user here", &id), -ENOENT);
        assert_int_equal(value_gid("no such group here", &id), -ENOENT);
}

static void test_values_distance_counts_letters(void **state) {
        char longest[70] = {0};
        (void)state;
        assert_int_equal(value_distance("address", "address"), 0);
        assert_int_equal(value_distance("adress", "address"), 1);
        assert_int_equal(value_distance("", "tcp"), 3);
        assert_int_equal(value_distance("kitten", "sitting"), 3);
        for (size_t i = 0; i < sizeof(longest) - 1; i++)
                longest[i] = 'x';
        assert_int_equal(value_distance(longest, "x"), UINT_MAX);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_values_count_reads_digits_alone),
                cmocka_unit_test(test_values_bytes_reads_units_of_1024),
                cmocka_unit_test(test_values_time_needs_a_unit),
                cmocka_unit_test(test_values_format_is_read_back),
                cmocka_unit_test(test_values_mode_is_octal_permissions),
                cmocka_unit_test(test_values_bool_knows_the_usual_words),
                cmocka_unit_test(test_values_ids_are_numbers_or_names),
                cmocka_unit_test(test_values_distance_counts_letters),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
