/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)
#define MIB (UINT64_C(1) << 20)

static void test_memory_small_changes_wake_nobody(void **state) {
        struct memory memory;

        (void)state;
        memory_init(&memory);
        for (unsigned i = 0; i < 1000; i++)
                memory_note(&memory, i % 2 * MIB, false, i);
        assert_true(memory_deadline(&memory) == UINT64_MAX);
}

static void test_memory_fall_is_given_back_once_and_a_second_later(void **state) {
        struct memory memory;

        (void)state;
        memory_init(&memory);
        memory_note(&memory, 10 * MIB, false, 1);
        memory_note(&memory, 9 * MIB, false, 2);
        assert_true(memory_deadline(&memory) == UINT64_MAX);
        memory_note(&memory, 8 * MIB, false, 3);
        assert_true(memory_deadline(&memory) == SECOND + 3);
        memory_note(&memory, 0, true, 4); /* the first one is soon enough */
        assert_true(memory_deadline(&memory) == SECOND + 3);
        memory_expire(&memory, SECOND + 2);
        assert_true(memory_deadline(&memory) == SECOND + 3);
        memory_expire(&memory, SECOND + 3);
        assert_true(memory_deadline(&memory) == UINT64_MAX);
}

static void test_memory_of_a_connection_that_is_gone_is_given_back(void **state) {
        struct memory memory;

        (void)state;
        memory_init(&memory);
        memory_note(&memory, 0, true, 7);
        assert_true(memory_deadline(&memory) == SECOND + 7);
        memory_expire(&memory, 2 * SECOND);
        memory_note(&memory, 0, false, 2 * SECOND);
        assert_true(memory_deadline(&memory) == UINT64_MAX);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_memory_small_changes_wake_nobody),
                cmocka_unit_test(test_memory_fall_is_given_back_once_and_a_second_later),
                cmocka_unit_test(test_memory_of_a_connection_that_is_gone_is_given_back),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
