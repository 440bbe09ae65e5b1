/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <unistd.h>

#include "io/signals.h"

static void note(void *user, int signal) {
        unsigned *seen = user;
        *seen |= 1u << signal;
}

static void test_signals_arrive_in_the_loop(void **state) {
        struct loop *loop = NULL;
        struct signals signals;
        unsigned seen = 0;
        uint64_t now;
        (void)state;
        assert_int_equal(loop_new(0, &loop), 0);
        assert_int_equal(signals_init(&signals, loop, note, &seen), 0);
        raise(SIGTERM);
        raise(SIGINT);
        raise(SIGHUP);
        raise(SIGPIPE);
        raise(SIGXFSZ);
        assert_int_equal(seen, 0);
        assert_int_equal(loop_wait(loop, loop_now() + 1000000000, &now), 1);
        loop_dispatch(loop);
        assert_int_equal(seen, 1u << SIGTERM | 1u << SIGINT | 1u << SIGHUP);
        signals_deinit(&signals);
        loop_free(loop);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_signals_arrive_in_the_loop),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
