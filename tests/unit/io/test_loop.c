/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/check.h"
#include "io/loop.h"

#define MS UINT64_C(1000000)
#define PAIRS 8

/* A socket pair of which one end is a source. */
struct end {
        struct loop_source source;
        struct loop *loop;
        int ours, theirs;
        unsigned calls, events;
        struct end *others; /* whom to remove when called */
        size_t other_count;
};

static void on_event(void *user, unsigned events) {
        struct end *end = user;
        end->calls++;
        end->events = events;
        for (size_t i = 0; i < end->other_count; i++)
                loop_remove(end->loop, &end->others[i].source);
}

static void end_open(struct end *end, struct loop *loop, unsigned events) {
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
        *end = (struct end){.loop = loop, .ours = fds[0], .theirs = fds[1]};
        assert_int_equal(loop_add(loop, &end->source, end->ours, events, on_event, end), 0);
}

static void end_close(struct end *end) {
        loop_remove(end->loop, &end->source);
        close(end->ours);
        if (end->theirs >= 0)
                close(end->theirs);
}

static int turn(struct loop *loop, uint64_t wait_ns) {
        uint64_t now;
        int n = loop_wait(loop, loop_now() + wait_ns, &now);
        assert_false(loop_dispatch(loop));
        return n;
}

static struct loop *new_loop(uint64_t spin_ns) {
        struct loop *loop = NULL;
        assert_int_equal(loop_new(spin_ns, &loop), 0);
        return loop;
}

static void test_loop_readable_source_is_called_until_it_is_read(void **state) {
        struct loop *loop = new_loop(0);
        struct end end;
        char byte;
        (void)state;
        end_open(&end, loop, LOOP_READ);
        assert_int_equal(turn(loop, 0), 0);
        assert_int_equal(write(end.theirs, "x", 1), 1);
        assert_int_equal(turn(loop, 100 * MS), 1);
        assert_int_equal(turn(loop, 100 * MS), 1); /* level-triggered */
        assert_int_equal(end.calls, 2);
        assert_int_equal(end.events, LOOP_READ);
        assert_int_equal(read(end.ours, &byte, 1), 1);
        assert_int_equal(turn(loop, 0), 0);
        end_close(&end);
        loop_free(loop);
}

static void test_loop_changed_source_is_asked_for_other_events(void **state) {
        struct loop *loop = new_loop(0);
        struct end end;
        (void)state;
        end_open(&end, loop, LOOP_READ);
        assert_int_equal(loop_change(loop, &end.source, LOOP_READ | LOOP_WRITE), 0);
        assert_int_equal(turn(loop, 100 * MS), 1);
        assert_int_equal(end.events, LOOP_WRITE);
        assert_int_equal(loop_change(loop, &end.source, 0), 0);
        assert_int_equal(write(end.theirs, "x", 1), 1);
        assert_int_equal(turn(loop, 0), 0);
        end_close(&end);
        loop_free(loop);
}

static void test_loop_hang_up_comes_unasked(void **state) {
        struct loop *loop = new_loop(0);
        struct end end;
        (void)state;
        end_open(&end, loop, 0);
        close(end.theirs);
        end.theirs = -1;
        assert_int_equal(turn(loop, 100 * MS), 1);
        assert_int_equal(end.events, LOOP_HANGUP);
        end_close(&end);
        loop_free(loop);
}

/* Whichever of them is called first, the others of the same batch are never called again. */
static void test_loop_callback_may_remove_everything(void **state) {
        struct loop *loop = new_loop(0);
        struct end ends[PAIRS];
        unsigned calls = 0;
        (void)state;
        for (int i = 0; i < PAIRS; i++)
                end_open(&ends[i], loop, LOOP_READ);
        for (int i = 0; i < PAIRS; i++) {
                ends[i].others = ends;
                ends[i].other_count = PAIRS;
                assert_int_equal(write(ends[i].theirs, "x", 1), 1);
        }
        assert_int_equal(turn(loop, 100 * MS), PAIRS);
        for (int i = 0; i < PAIRS; i++)
                calls += ends[i].calls;
        assert_int_equal(calls, 1);
        assert_int_equal(turn(loop, 0), 0);
        for (int i = 0; i < PAIRS; i++)
                end_close(&ends[i]);
        loop_free(loop);
}

static void test_loop_source_may_be_added_again(void **state) {
        struct loop *loop = new_loop(0);
        struct end end;
        (void)state;
        end_open(&end, loop, LOOP_READ);
        loop_remove(loop, &end.source);
        loop_remove(loop, &end.source); /* no-op */
        assert_int_equal(write(end.theirs, "x", 1), 1);
        assert_int_equal(turn(loop, 0), 0);
        assert_int_equal(loop_add(loop, &end.source, end.ours, LOOP_READ, on_event, &end), 0);
        assert_int_equal(turn(loop, 100 * MS), 1);
        assert_int_equal(end.calls, 1);
        end_close(&end);
        loop_free(loop);
}

static void test_loop_descriptor_that_cannot_be_watched_is_an_error(void **state) {
        struct loop *loop = new_loop(0);
        struct loop_source source = {0};
        (void)state;
        assert_int_equal(loop_add(loop, &source, -1, LOOP_READ, on_event, NULL), -EBADF);
        assert_false(source.added);
        loop_free(loop);
}

static void test_loop_deadline_ends_the_wait_and_not_before(void **state) {
        struct loop *loops[] = {new_loop(0), new_loop(50 * MS / 1000)};
        (void)state;
        for (size_t i = 0; i < RML_COUNT(loops); i++) {
                uint64_t now = 0, before = loop_now();
                assert_int_equal(loop_wait(loops[i], before + 3 * MS + 1, &now), 0);
                assert_true(now >= before + 3 * MS + 1);
                loop_dispatch(loops[i]);
                before = loop_now();
                assert_int_equal(loop_wait(loops[i], before - 1, &now), 0); /* already over: no wait */
                loop_dispatch(loops[i]);
                loop_free(loops[i]);
        }
}

/* Spinning or not, an event is found. */
static void test_loop_busy_loop_still_finds_events(void **state) {
        struct loop *loop = new_loop(50 * MS / 1000);
        struct end end;
        char byte;
        (void)state;
        end_open(&end, loop, LOOP_READ);
        for (int i = 0; i < 100; i++) {
                assert_int_equal(write(end.theirs, "x", 1), 1);
                assert_int_equal(turn(loop, 1000 * MS), 1);
                assert_int_equal(read(end.ours, &byte, 1), 1);
        }
        assert_int_equal(end.calls, 100);
        assert_int_equal(turn(loop, MS), 0);
        end_close(&end);
        loop_free(loop);
}

static int alarm_fd;

static void on_alarm(int signal) {
        (void)signal;
        if (write(alarm_fd, "x", 1) != 1)
                abort();
}

/* SIGSTOP and SIGCONT interrupt the wait, too, and much may have come between them. */
static void test_loop_interrupted_wait_still_finds_events(void **state) {
        const struct sigaction action = {.sa_handler = on_alarm};
        const struct itimerval soon = {.it_value = {.tv_usec = 5000}};
        struct loop *loop = new_loop(0);
        struct end end;
        (void)state;
        end_open(&end, loop, LOOP_READ);
        alarm_fd = end.theirs;
        assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
        assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
        assert_int_equal(turn(loop, 10000 * MS), 1); /* the handler runs once the wait is over */
        assert_int_equal(end.calls, 1);
        end_close(&end);
        loop_free(loop);
}

/* Takes the place of the system's. */
static unsigned yields;

int sched_yield(void) {
        yields++;
        return 0;
}

/* Somebody waits for what is due: neither is the processor given away before it, nor was that a sleep in vain. */
static void test_loop_what_is_due_is_not_spun_before(void **state) {
        struct loop *loop = new_loop(100 * MS);
        struct end end;
        uint64_t now;
        char byte;
        (void)state;
        end_open(&end, loop, LOOP_READ);
        assert_int_equal(write(end.theirs, "x", 1), 1);
        for (int i = 0; i < 3; i++)
                assert_int_equal(turn(loop, 100 * MS), 1);
        assert_int_equal(read(end.ours, &byte, 1), 1);
        yields = 0;
        assert_int_equal(loop_wait(loop, loop_now(), &now), 0);
        loop_dispatch(loop);
        assert_int_equal(yields, 0);
        assert_int_equal(turn(loop, MS), 0); /* and it is armed still */
        assert_true(yields > 0);
        end_close(&end);
        loop_free(loop);
}

/* More sources than it takes from the kernel at once: it says that there may be more, and all get their turn. */
static void test_loop_full_batch_says_so(void **state) {
        enum { COUNT = 1100 };
        struct loop *loop = new_loop(0);
        struct end *ends = calloc(COUNT, sizeof(*ends));
        uint64_t now;
        int opened = 0, fds[2];
        (void)state;
        /* One readable pipe, watched through many copies of its descriptor. */
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(write(fds[1], "x", 1), 1);
        for (; opened < COUNT; opened++) {
                struct end *end = &ends[opened];
                *end = (struct end){.loop = loop, .theirs = -1, .ours = fcntl(fds[0], F_DUPFD_CLOEXEC, 0)};
                if (end->ours < 0)
                        break;
                assert_int_equal(loop_add(loop, &end->source, end->ours, LOOP_READ, on_event, end), 0);
        }
        if (opened == COUNT) { /* as many as a soft limit of 1024 lets us have would not fill a batch */
                assert_int_equal(loop_wait(loop, loop_now() + 100 * MS, &now), 1024);
                assert_true(loop_dispatch(loop));
                assert_true(loop_wait(loop, loop_now() + 100 * MS, &now) > 0);
                loop_dispatch(loop);
                for (int i = 0; i < opened; i++)
                        assert_true(ends[i].calls > 0);
        }
        for (int i = 0; i < opened; i++)
                end_close(&ends[i]);
        close(fds[0]);
        close(fds[1]);
        free(ends);
        loop_free(loop);
}

#define CROWD 2500u /* more than the kernel gives at once, twice */

struct crowd {
        struct loop_source sources[CROWD];
        unsigned calls[CROWD], highest;
};
struct one_of {
        struct crowd *crowd;
        unsigned number;
};

static void on_crowd(void *user, unsigned events) {
        const struct one_of *one = user;
        (void)events;
        unsigned calls = ++one->crowd->calls[one->number];
        if (calls > one->crowd->highest)
                one->crowd->highest = calls;
}

/* Everybody is always ready. Nobody is called twice before all others were; and when all were, the loop says so. */
static void test_loop_crowd_is_served_in_turn(void **state) {
        struct loop *loop = new_loop(0);
        struct crowd *crowd = calloc(1, sizeof(*crowd));
        struct one_of *ones = calloc(CROWD, sizeof(*ones));
        struct rlimit before, limit;
        uint64_t now;
        (void)state;
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        limit = before;
        limit.rlim_cur = limit.rlim_max;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        int ready = eventfd(1, EFD_CLOEXEC);
        for (unsigned i = 0; i < CROWD; i++) {
                ones[i] = (struct one_of){crowd, i};
                int fd = fcntl(ready, F_DUPFD_CLOEXEC, 3);
                assert_true(fd >= 0);
                assert_int_equal(loop_add(loop, &crowd->sources[i], fd, LOOP_READ, on_crowd, &ones[i]), 0);
        }
        unsigned turns = 0;
        bool more = true;
        while (more && turns < 10) {
                assert_true(loop_wait(loop, loop_now() + 1000 * MS, &now) > 0);
                unsigned before_turn = crowd->highest;
                more = loop_dispatch(loop);
                turns++;
                for (unsigned i = 0; i < CROWD && crowd->highest > before_turn && before_turn > 0; i++)
                        assert_true(crowd->calls[i] >= before_turn);
        }
        assert_false(more);
        assert_true(turns > 2);
        for (unsigned i = 0; i < CROWD; i++) {
                assert_in_range(crowd->calls[i], 1, 2);
                loop_remove(loop, &crowd->sources[i]);
                close(crowd->sources[i].fd);
        }
        close(ready);
        loop_free(loop);
        free(ones);
        free(crowd);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_loop_readable_source_is_called_until_it_is_read),
                cmocka_unit_test(test_loop_changed_source_is_asked_for_other_events),
                cmocka_unit_test(test_loop_hang_up_comes_unasked),
                cmocka_unit_test(test_loop_callback_may_remove_everything),
                cmocka_unit_test(test_loop_source_may_be_added_again),
                cmocka_unit_test(test_loop_descriptor_that_cannot_be_watched_is_an_error),
                cmocka_unit_test(test_loop_deadline_ends_the_wait_and_not_before),
                cmocka_unit_test(test_loop_busy_loop_still_finds_events),
                cmocka_unit_test(test_loop_what_is_due_is_not_spun_before),
                cmocka_unit_test(test_loop_interrupted_wait_still_finds_events),
                cmocka_unit_test(test_loop_full_batch_says_so),
                cmocka_unit_test(test_loop_crowd_is_served_in_turn),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
