/* SPDX-License-Identifier: MIT */
/* What the tests of libramal against a real ramald share. */
#ifndef TEST_CLIENT_H
#define TEST_CLIENT_H

#include <ramal/ramal.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ramald.h"

#define WAIT_MS 10000 /* the longest that anything waits */

/* An open connection to it; a failure ends the test and says why. */
static inline ramal_conn *open_with(const struct ramald *ramald, ramal_options options) {
        ramal_error error;
        ramal_conn *conn;

        options.size = sizeof(options);
        if (!options.address)
                options.address = ramald->address;
        if (ramal_open(&options, ramal_in_ms(WAIT_MS), &conn, &error) < 0)
                fail_msg("open: %s", error.message);
        return conn;
}

static inline ramal_conn *open_conn(const struct ramald *ramald) {
        return open_with(ramald, (ramal_options){.app = "test"});
}

/* Runs callbacks until the condition holds. */
#define WAIT_UNTIL(conn, condition)                                                                                    \
        do {                                                                                                           \
                uint64_t until_ = ramal_in_ms(WAIT_MS);                                                                \
                while (!(condition)) {                                                                                 \
                        int waited_ = ramal_wait(conn, until_);                                                        \
                        if (waited_ < 0 || ramal_now() >= until_)                                                      \
                                fail_msg("%s: %d", #condition, waited_);                                               \
                }                                                                                                      \
        } while (0)

/* Each test has a broker of its own, in *state, and leaves no descriptor behind. */
struct bus {
        struct ramald ramald;
        size_t descriptors;
};

static inline int bus_start(void **state, const char *const *arguments) {
        struct bus *bus = calloc(1, sizeof(*bus));

        if (!bus)
                return -1;
        bus->descriptors = open_descriptors();
        ramald_start(&bus->ramald, arguments);
        *state = bus;
        return 0;
}

static inline int setup(void **state) {
        return bus_start(state, NULL);
}

static inline int teardown(void **state) {
        struct bus *bus = *state;
        size_t before = bus->descriptors;

        ramald_stop(&bus->ramald);
        free(bus);
        if (open_descriptors() == before)
                return 0;
        fprintf(stderr, "descriptors were left open\n");
        return -1;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

#endif
