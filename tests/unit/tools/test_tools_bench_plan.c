/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bench_plan.h"

enum { ROOM = 4 };

static void test_bench_plan_lists_of_numbers(void **state) {
        uint64_t numbers[ROOM];
        (void)state;
        assert_true(bench_plan_list("7", false, numbers, ROOM) == 1);
        assert_true(numbers[0] == 7);
        assert_true(bench_plan_list("1,2,4,8", false, numbers, ROOM) == 4);
        assert_true(numbers[0] == 1 && numbers[1] == 2 && numbers[2] == 4 && numbers[3] == 8);
}

static void test_bench_plan_lists_of_sizes_have_units(void **state) {
        uint64_t numbers[ROOM];
        (void)state;
        assert_true(bench_plan_list("16,1k,64K,1m", true, numbers, ROOM) == 4);
        assert_true(numbers[0] == 16 && numbers[1] == 1024 && numbers[2] == 65536 && numbers[3] == 1048576);
        assert_true(bench_plan_list("1k", false, numbers, ROOM) == 0);
}

static void test_bench_plan_bad_lists_are_refused(void **state) {
        static const char *const bad[] = {"",          "0",
                                          "1,",        ",1",
                                          "1,,2",      "x",
                                          "1,x",       "-1",
                                          "1 ",        "1;2",
                                          "1,0",       "99999999999999999999",
                                          "1,2,3,4,5", "111111111111111111111111111111111"};
        uint64_t numbers[ROOM];
        (void)state;
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
                assert_true(bench_plan_list(bad[i], false, numbers, ROOM) == 0);
                assert_true(bench_plan_list(bad[i], true, numbers, ROOM) == 0);
        }
}

static void expect_pin(const char *text, int broker, int source, int sink) {
        struct bench_pin pin;
        assert_true(bench_plan_pin(text, &pin));
        assert_string_equal(pin.name, text);
        assert_int_equal(pin.cpu[BENCH_AT_BROKER], broker);
        assert_int_equal(pin.cpu[BENCH_AT_SOURCE], source);
        assert_int_equal(pin.cpu[BENCH_AT_SINK], sink);
}

static void test_bench_plan_pins_are_one_cpu_or_three_or_any(void **state) {
        static const char *const bad[] = {
                "",   "x",  "0,1",     "0,1,",    "0,1,2,3", ",0",
                "0,", "-1", "1000000", "0, 1, 1", "0,any,1", "99999999999999999999999999999999999999999999999999"};
        struct bench_pin pin;
        (void)state;
        expect_pin("any", -1, -1, -1);
        expect_pin("0", 0, 0, 0);
        expect_pin("3,1,2", 3, 1, 2);
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
                assert_false(bench_plan_pin(bad[i], &pin));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bench_plan_lists_of_numbers),
                cmocka_unit_test(test_bench_plan_lists_of_sizes_have_units),
                cmocka_unit_test(test_bench_plan_bad_lists_are_refused),
                cmocka_unit_test(test_bench_plan_pins_are_one_cpu_or_three_or_any),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
