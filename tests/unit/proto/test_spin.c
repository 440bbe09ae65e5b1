/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "spin.h"

#define US UINT64_C(1000)
#define BUDGET (50 * US)

static void sleep_often(struct rml_spin *spin, unsigned n, uint64_t ns) {
        for (unsigned i = 0; i < n; i++)
                rml_spin_slept(spin, ns, true);
}

static void found(struct rml_spin *spin, unsigned yields) {
        rml_spin_ended(spin, true, yields, 5 * US);
}

static void failed(struct rml_spin *spin) {
        rml_spin_ended(spin, false, 30, BUDGET);
}

/* So many short sleeps until it is armed; 0: not within five thousand. */
static unsigned sleeps_to_arm(struct rml_spin *spin) {
        for (unsigned i = 0; i < 5000; i++) {
                if (rml_spin_budget(spin) > 0)
                        return i;
                rml_spin_slept(spin, 100 * US, true);
        }
        return 0;
}

static void test_spin_three_short_sleeps_in_a_row_arm_it(void **state) {
        struct rml_spin spin;
        (void)state;
        rml_spin_init(&spin, BUDGET);
        assert_int_equal(rml_spin_budget(&spin), 0);
        sleep_often(&spin, 2, 299 * US);
        assert_int_equal(rml_spin_budget(&spin), 0);
        sleep_often(&spin, 1, 300 * US); /* not short */
        sleep_often(&spin, 2, 299 * US);
        assert_int_equal(rml_spin_budget(&spin), 0);
        rml_spin_slept(&spin, 10 * US, false); /* a deadline is no answer */
        sleep_often(&spin, 2, 299 * US);
        assert_int_equal(rml_spin_budget(&spin), 0);
        sleep_often(&spin, 1, 299 * US);
        assert_int_equal(rml_spin_budget(&spin), BUDGET);
}

static void test_spin_budget_of_zero_is_never_armed(void **state) {
        struct rml_spin spin;
        (void)state;
        rml_spin_init(&spin, 0);
        sleep_often(&spin, 1000, US);
        assert_int_equal(rml_spin_budget(&spin), 0);
}

static void test_spin_that_pays_stays_armed(void **state) {
        struct rml_spin spin;
        (void)state;
        rml_spin_init(&spin, BUDGET);
        sleep_often(&spin, 3, US);
        for (int i = 0; i < 1000; i++) {
                found(&spin, 1);
                assert_int_equal(rml_spin_budget(&spin), BUDGET);
        }
        failed(&spin);
        assert_int_equal(rml_spin_budget(&spin), 0);
        assert_int_equal(sleeps_to_arm(&spin), 3);
}

/* A request a millisecond: whoever waits for its reply sleeps shortly each time, and spins in vain each time. */
static void test_spin_in_vain_is_tried_ever_more_seldom(void **state) {
        static const unsigned needed[] = {3, 6, 12, 24, 48, 96, 96, 96};
        struct rml_spin spin;
        unsigned vain = 0;
        (void)state;
        rml_spin_init(&spin, BUDGET);
        for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
                assert_int_equal(sleeps_to_arm(&spin), needed[i]);
                failed(&spin);
        }
        for (int i = 0; i < 96000; i++) {
                if (rml_spin_budget(&spin) > 0) {
                        failed(&spin);
                        vain++;
                }
                rml_spin_slept(&spin, 100 * US, true);
        }
        assert_in_range(vain, 900, 1000);
}

static void test_spin_few_finds_do_not_pay_for_a_failure(void **state) {
        struct rml_spin spin;
        (void)state;
        rml_spin_init(&spin, BUDGET);
        assert_int_equal(sleeps_to_arm(&spin), 3);
        for (int i = 0; i < 3; i++)
                found(&spin, 1);
        failed(&spin);
        assert_int_equal(sleeps_to_arm(&spin), 6);
        for (int i = 0; i < 4; i++) {
                found(&spin, 1);
                assert_int_equal(rml_spin_budget(&spin), BUDGET);
        }
        failed(&spin);
        assert_int_equal(sleeps_to_arm(&spin), 3); /* four do, and the failure is forgotten */
}

/* Where others want the processor, to yield is to lose it for milliseconds. */
static void test_spin_that_lost_the_processor_is_not_tried_again_soon(void **state) {
        static const unsigned needed[] = {24, 192, 1536, 3072, 3072};
        struct rml_spin spin;
        (void)state;
        rml_spin_init(&spin, BUDGET);
        sleep_often(&spin, 3, US);
        for (int i = 0; i < 100; i++)
                found(&spin, 1);
        for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
                rml_spin_ended(&spin, i % 2 == 0, 1, 1000 * US);
                assert_int_equal(rml_spin_budget(&spin), 0);
                assert_int_equal(sleeps_to_arm(&spin), needed[i]);
        }
        for (int i = 0; i < 40; i++) /* the others are gone: it is trusted again, by and by */
                found(&spin, 1);
        failed(&spin);
        assert_int_equal(sleeps_to_arm(&spin), 3);
        rml_spin_ended(&spin, true, 1, 60 * US); /* a little late is neither good nor bad */
        assert_int_equal(rml_spin_budget(&spin), BUDGET);
        assert_int_equal(spin.paid, 0);
}

/* Who asks for a long budget means it. */
static void test_spin_within_a_long_budget_is_not_late(void **state) {
        struct rml_spin spin;
        (void)state;
        rml_spin_init(&spin, 10000 * US);
        sleep_often(&spin, 3, US);
        rml_spin_ended(&spin, true, 1, 5000 * US);
        assert_int_equal(rml_spin_budget(&spin), 10000 * US);
        assert_int_equal(spin.paid, 1);
}

static void test_spin_yields_first_where_the_first_look_is_in_vain(void **state) {
        struct rml_spin spin;
        unsigned looked = 0;
        (void)state;
        rml_spin_init(&spin, BUDGET);
        assert_false(rml_spin_yields_first(&spin));
        found(&spin, 1);
        assert_false(rml_spin_yields_first(&spin));
        found(&spin, 0);
        found(&spin, 3);
        assert_false(rml_spin_yields_first(&spin));
        found(&spin, 1);
        assert_true(rml_spin_yields_first(&spin));
        for (int i = 0; i < 1700; i++) { /* it is tried now and then */
                looked += !rml_spin_yields_first(&spin);
                found(&spin, 1);
        }
        assert_in_range(looked, 90, 110);
        while (rml_spin_yields_first(&spin))
                found(&spin, 1);
        found(&spin, 0); /* it was there */
        found(&spin, 1);
        assert_false(rml_spin_yields_first(&spin));
}

static void test_spin_parse_reads_times_and_off(void **state) {
        static const struct {
                const char *text;
                int result;
                uint64_t ns;
        } rows[] = {
                {"off", 0, 0},           {"0", 0, 0},           {"0us", 0, 0},         {"50us", 0, 50000},
                {"1ms", 0, 1000000},     {"100ms", 0, 100000000}, {"100000us", 0, 100000000},
                {"101ms", -EINVAL, 7},   {"100001us", -EINVAL, 7}, {"", -EINVAL, 7},    {"50", -EINVAL, 7},
                {"us", -EINVAL, 7},      {"-1us", -EINVAL, 7},  {"50 us", -EINVAL, 7}, {"50us ", -EINVAL, 7},
                {"1s", -EINVAL, 7},      {"on", -EINVAL, 7},    {"99999999999999999999us", -EINVAL, 7},
        };
        (void)state;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                uint64_t ns = 7;
                assert_int_equal(rml_spin_parse(rows[i].text, &ns), rows[i].result);
                assert_int_equal(ns, rows[i].ns);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_spin_three_short_sleeps_in_a_row_arm_it),
                cmocka_unit_test(test_spin_budget_of_zero_is_never_armed),
                cmocka_unit_test(test_spin_that_pays_stays_armed),
                cmocka_unit_test(test_spin_in_vain_is_tried_ever_more_seldom),
                cmocka_unit_test(test_spin_few_finds_do_not_pay_for_a_failure),
                cmocka_unit_test(test_spin_that_lost_the_processor_is_not_tried_again_soon),
                cmocka_unit_test(test_spin_within_a_long_budget_is_not_late),
                cmocka_unit_test(test_spin_yields_first_where_the_first_look_is_in_vain),
                cmocka_unit_test(test_spin_parse_reads_times_and_off),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
