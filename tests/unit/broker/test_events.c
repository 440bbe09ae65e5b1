/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "events.h"

#define SECOND UINT64_C(1000000000)
#define START (100 * SECOND)

struct lines {
        struct log log;
        int fds[2];
        char text[65536];
};

static struct lines *lines_new(void) {
        struct lines *lines = calloc(1, sizeof(*lines));
        assert_int_equal(pipe2(lines->fds, O_CLOEXEC | O_NONBLOCK), 0);
        log_init(&lines->log, lines->fds[1], NULL, LOG_LEVEL_INFO);
        return lines;
}

/* How many lines there are, all of which stay in lines->text. */
static size_t lines_count(struct lines *lines) {
        size_t count = 0;
        ssize_t n = read(lines->fds[0], lines->text, sizeof(lines->text) - 1);
        lines->text[n > 0 ? n : 0] = '\0';
        for (const char *p = lines->text; (p = strchr(p, '\n')); p++)
                count++;
        return count;
}

static void lines_free(struct lines *lines) {
        log_deinit(&lines->log);
        close(lines->fds[0]);
        close(lines->fds[1]);
        free(lines);
}

static void test_events_flood_is_bounded_and_counted(void **state) {
        struct lines *lines = lines_new();
        struct events events;
        (void)state;
        events_init(&events, &lines->log, START);
        for (int i = 0; i < 1000; i++)
                events_write_refused(&events, START, "unix:/x", "too many connections");
        assert_int_equal(lines_count(lines), 50);

        /* A second later there are ten more, of which the first tells of the others. */
        for (int i = 0; i < 1000; i++)
                events_write_refused(&events, START + SECOND, "unix:/x", "too many connections");
        assert_int_equal(lines_count(lines), 10);
        assert_non_null(strstr(lines->text, "suppressed=950\n"));

        /* After a long quiet the whole burst is there again, and no more. */
        for (int i = 0; i < 1000; i++)
                events_write_refused(&events, START + 1000 * SECOND, "unix:/x", "too many connections");
        assert_int_equal(lines_count(lines), 50);
        lines_free(lines);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_events_flood_is_bounded_and_counted),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
