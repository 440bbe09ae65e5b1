/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "events.h"

#define SECOND UINT64_C(1000000000)
#define START (100 * SECOND)

/* What core_next_event() answers next, so many times. */
static struct {
        struct core_event event;
        unsigned times;
} telling;

bool __wrap_core_next_event(struct core *core, struct core_event *ret, uint64_t *lost);

bool __wrap_core_next_event(struct core *core, struct core_event *ret, uint64_t *lost) {
        (void)core;
        *lost = 0;
        if (telling.times == 0)
                return false;
        telling.times--;
        *ret = telling.event;
        return true;
}

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

static struct core_origin who(uint32_t uid) {
        return (struct core_origin){.local = true, .uid = uid, .address = "unix:/x"};
}

static void refuse(struct events *events, uint64_t now, uint32_t uid, int times) {
        struct core_origin origin = who(uid);
        for (int i = 0; i < times; i++)
                events_write_refused(events, now, &origin, "too many connections", NULL);
}

/* A turn of the server in which the core has nothing to say. */
static void quiet_turn(struct events *events, uint64_t now) {
        events_write(events, NULL, now);
}

/* And one in which it says the same thing so often. */
static void telling_turn(struct events *events, uint64_t now, unsigned times) {
        telling.times = times;
        events_write(events, NULL, now);
}

static void test_events_flood_of_one_user_is_bounded_and_counted(void **state) {
        struct lines *lines = lines_new();
        struct events *events = calloc(1, sizeof(*events));
        (void)state;
        events_init(events, &lines->log, START);
        refuse(events, START, 7, 1000);
        assert_int_equal(lines_count(lines), 10);

        /* A second later there is one more, and it tells of the others. */
        refuse(events, START + SECOND, 7, 1000);
        assert_int_equal(lines_count(lines), 1);
        assert_non_null(strstr(lines->text, "suppressed=990\n"));

        /* After a long quiet the whole burst is there again, and no more. */
        refuse(events, START + 1000 * SECOND, 7, 1000);
        assert_int_equal(lines_count(lines), 10);
        free(events);
        lines_free(lines);
}

static void test_events_flood_of_one_user_hides_no_other(void **state) {
        struct lines *lines = lines_new();
        struct events *events = calloc(1, sizeof(*events));
        struct core_origin origin = who(8);
        (void)state;
        events_init(events, &lines->log, START);
        refuse(events, START, 7, 1000);
        lines_count(lines);
        refuse(events, START, 8, 1);
        assert_int_equal(lines_count(lines), 1);
        assert_non_null(strstr(lines->text, "uid=8"));
        events_write_refused(events, START, &origin, "another cause", NULL);
        assert_int_equal(lines_count(lines), 1);
        free(events);
        lines_free(lines);
}

/* However many users there are, and more than there is room for. */
static void test_events_flood_of_many_users_is_bounded_and_counted(void **state) {
        struct lines *lines = lines_new();
        struct events *events = calloc(1, sizeof(*events));
        (void)state;
        events_init(events, &lines->log, START);
        for (uint32_t uid = 0; uid < 10 * EVENTS_SOURCES; uid++)
                refuse(events, START, uid, 2);
        assert_int_equal(lines_count(lines), 50);
        quiet_turn(events, START);
        assert_int_equal(lines_count(lines), 1); /* of the sources that had to make room */
        assert_non_null(strstr(lines->text, "event=events-lost count="));
        free(events);
        lines_free(lines);
}

/* Without another event of the kind, too; and then nobody has to wake up any more. */
static void test_events_suppressed_are_told_in_the_end(void **state) {
        struct lines *lines = lines_new();
        struct events *events = calloc(1, sizeof(*events));
        (void)state;
        events_init(events, &lines->log, START);
        assert_int_equal(events_deadline(events), CORE_NEVER);
        refuse(events, START, 7, 13);
        assert_int_equal(lines_count(lines), 10);
        assert_int_equal(events_deadline(events), START + SECOND);
        quiet_turn(events, START + SECOND / 2);
        assert_int_equal(lines_count(lines), 0);
        quiet_turn(events, START + SECOND);
        assert_int_equal(lines_count(lines), 1);
        assert_non_null(strstr(lines->text, "event=refused uid=7 suppressed=3 cause=\"too many connections\"\n"));
        assert_int_equal(events_deadline(events), CORE_NEVER);
        quiet_turn(events, START + 2 * SECOND);
        assert_int_equal(lines_count(lines), 0);
        free(events);
        lines_free(lines);
}

static void test_events_line_names_process_and_limit(void **state) {
        struct lines *lines = lines_new();
        struct events *events = calloc(1, sizeof(*events));
        struct core_origin origin = who(7);
        struct core_refusal limit = {"limits.uid_connections", 256};
        char want[256];
        (void)state;
        events_init(events, &lines->log, START);
        origin.pid = (uint32_t)getpid();
        assert_int_equal(prctl(PR_SET_NAME, "a b\n"), 0); /* it may call itself what it likes */
        events_write_refused(events, START, &origin, "too many", &limit);
        assert_int_equal(lines_count(lines), 1);
        snprintf(want, sizeof(want),
                 "event=refused address=unix:/x uid=7 pid=%u process=\"a b\\n\" text=\"too many\" "
                 "limit=limits.uid_connections value=256\n",
                 origin.pid);
        if (!strstr(lines->text, want))
                fail_msg("%s has no %s", lines->text, want);

        /* One that is gone has no name, one of TCP has an address alone. */
        origin.pid = 0;
        events_write_refused(events, START, &origin, "too many", NULL);
        lines_count(lines);
        assert_non_null(strstr(lines->text, "event=refused address=unix:/x uid=7 pid=0 text=\"too many\"\n"));
        origin = (struct core_origin){.address = "tcp:127.0.0.1:1"};
        events_write_refused(events, START, &origin, "too many", NULL);
        lines_count(lines);
        assert_non_null(strstr(lines->text, "event=refused address=tcp:127.0.0.1:1 text=\"too many\"\n"));
        free(events);
        lines_free(lines);
}

/* What the core itself left out counts once, whether its event is written or left out as well. */
static void test_events_left_out_by_the_core_are_counted_once(void **state) {
        struct lines *lines = lines_new();
        struct events *events = calloc(1, sizeof(*events));
        (void)state;
        events_init(events, &lines->log, START);
        telling.event = (struct core_event){.kind = CORE_EVENT_LIMIT,
                                            .peer = 3,
                                            .local = true,
                                            .uid = 7,
                                            .app = "tiny",
                                            .text = "too many calls",
                                            .limit = "limits.calls",
                                            .value = 5,
                                            .suppressed = 100};
        telling_turn(events, START, 1);
        assert_int_equal(lines_count(lines), 1);
        assert_non_null(strstr(lines->text, "event=limit peer=3 app=tiny uid=7 pid=0 text=\"too many calls\" "
                                            "limit=limits.calls value=5 suppressed=100\n"));

        telling_turn(events, START, 11); /* nine of them are written */
        assert_int_equal(lines_count(lines), 9);
        telling_turn(events, START + SECOND, 1);
        assert_int_equal(lines_count(lines), 1);
        assert_non_null(strstr(lines->text, "suppressed=302\n"));
        quiet_turn(events, START + 3 * SECOND);
        assert_int_equal(lines_count(lines), 0);
        free(events);
        lines_free(lines);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_events_flood_of_one_user_is_bounded_and_counted),
                cmocka_unit_test(test_events_flood_of_one_user_hides_no_other),
                cmocka_unit_test(test_events_flood_of_many_users_is_bounded_and_counted),
                cmocka_unit_test(test_events_suppressed_are_told_in_the_end),
                cmocka_unit_test(test_events_line_names_process_and_limit),
                cmocka_unit_test(test_events_left_out_by_the_core_are_counted_once),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
