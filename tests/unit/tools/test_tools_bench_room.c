/* SPDX-License-Identifier: MIT */
/* Publishers together never have more under way than the window, or than a broker would hold for one connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { CONNECTION_BYTES = 16 << 20, FRAME_AND_QUEUE = 192 };

struct flow {
        struct bench_plan plan;
        struct bench_point point;
        struct bench_job job;
        struct bench_shared *shared;
        struct bench_task task;
};

static struct flow *flow_of(uint64_t window, uint64_t size, uint64_t publishers, uint64_t subscribers) {
        struct flow *flow = calloc(1, sizeof(*flow));
        assert_non_null(flow);
        flow->shared = aligned_alloc(64, sizeof(*flow->shared));
        assert_non_null(flow->shared);
        memset(flow->shared, 0, sizeof(*flow->shared));
        flow->plan = (struct bench_plan){.window = window};
        flow->point = (struct bench_point){.size = size, .publishers = publishers, .subscribers = subscribers};
        flow->job = (struct bench_job){.plan = &flow->plan, .point = &flow->point};
        flow->task = (struct bench_task){&flow->job, flow->shared, &flow->shared->workers[subscribers], 0, 1};
        return flow;
}

static void flow_free(struct flow *flow) {
        free(flow->shared);
        free(flow);
}

/* Takes all that there is, as publishers do that never wait for each other. */
static uint64_t take_all(struct flow *flow, bool waits) {
        uint64_t all = 0, room;
        while (all < 1000000 && (room = bench_task_take_room(&flow->task, waits)) > 0)
                all += room;
        return all;
}

static void test_bench_room_is_the_window_and_no_message_more(void **state) {
        static const uint64_t windows[] = {1, 3, 32, 33, 1000};
        (void)state;
        for (size_t i = 0; i < sizeof(windows) / sizeof(*windows); i++)
                for (uint64_t publishers = 1; publishers < 4; publishers++) {
                        struct flow *flow = flow_of(windows[i], 16, publishers, 1);
                        assert_true(take_all(flow, false) == windows[i]);
                        flow_free(flow);
                }
}

static void test_bench_room_follows_the_slowest_subscriber(void **state) {
        (void)state;
        struct flow *flow = flow_of(100, 16, 1, 3);
        assert_true(take_all(flow, false) == 100);
        flow->shared->workers[0].messages = 100;
        flow->shared->workers[1].messages = 40;
        assert_true(take_all(flow, false) == 0);
        /* What is known to be missing will not come. */
        flow->shared->workers[2].messages = 20;
        flow->shared->workers[2].missing = 10;
        assert_true(take_all(flow, false) == 30);
        flow_free(flow);
}

static void test_bench_room_comes_back_to_who_waits_when_half_is_free(void **state) {
        (void)state;
        struct flow *flow = flow_of(100, 16, 2, 1);
        assert_true(take_all(flow, false) == 100);
        flow->shared->workers[0].messages = 50;
        assert_true(bench_task_take_room(&flow->task, true) == 0);
        flow->shared->workers[0].messages = 51;
        assert_true(bench_task_take_room(&flow->task, true) > 0);
        flow_free(flow);
}

static void test_bench_room_that_was_not_used_is_others(void **state) {
        (void)state;
        struct flow *flow = flow_of(40, 16, 2, 1);
        assert_true(take_all(flow, false) == 40);
        bench_task_return_room(&flow->task, 7);
        assert_true(take_all(flow, false) == 7);
        flow_free(flow);
}

static void test_bench_room_is_never_what_the_broker_would_refuse(void **state) {
        static const uint64_t sizes[] = {1, 16, 64, 4096, 60000, 65536, 1 << 20, 3 << 20, 7 << 20, 8 << 20};
        static const uint64_t windows[] = {0, 16384};
        (void)state;
        for (size_t w = 0; w < sizeof(windows) / sizeof(*windows); w++)
                for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
                        struct flow *flow = flow_of(windows[w], sizes[i], 90, 1);
                        uint64_t all = take_all(flow, false);
                        assert_true(all > 0 && all * (sizes[i] + FRAME_AND_QUEUE) < CONNECTION_BYTES);
                        flow_free(flow);
                }
}

static void test_bench_room_over_the_relay_without_a_window_has_no_end(void **state) {
        static const struct bench_relay *const any = (const void *)&any;
        (void)state;
        struct flow *flow = flow_of(0, 1 << 20, 2, 1);
        flow->job.relay = any;
        assert_true(take_all(flow, false) == 1000000);
        flow_free(flow);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bench_room_is_the_window_and_no_message_more),
                cmocka_unit_test(test_bench_room_follows_the_slowest_subscriber),
                cmocka_unit_test(test_bench_room_comes_back_to_who_waits_when_half_is_free),
                cmocka_unit_test(test_bench_room_that_was_not_used_is_others),
                cmocka_unit_test(test_bench_room_is_never_what_the_broker_would_refuse),
                cmocka_unit_test(test_bench_room_over_the_relay_without_a_window_has_no_end),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
