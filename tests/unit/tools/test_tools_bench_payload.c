/* SPDX-License-Identifier: MIT */
/* A sink finds out what did not come as it was sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* A sink of payloads of one size, and a source of them. */
struct sink {
        struct bench_plan plan;
        struct bench_point point;
        struct bench_job job;
        struct bench_shared *shared;
        struct bench_task task;
        struct bench_track track;
        struct bench_payload payload;
};

static struct sink *sink_of(size_t size, unsigned sources) {
        struct sink *sink = calloc(1, sizeof(*sink));
        assert_non_null(sink);
        sink->shared = aligned_alloc(64, sizeof(*sink->shared));
        assert_non_null(sink->shared);
        memset(sink->shared, 0, sizeof(*sink->shared));
        sink->plan = (struct bench_plan){.batch = true, .count = 10};
        sink->point = (struct bench_point){.size = size, .publishers = sources, .subscribers = 1};
        sink->job = (struct bench_job){.plan = &sink->plan, .point = &sink->point};
        sink->task = (struct bench_task){&sink->job, sink->shared, &sink->shared->workers[0], 0, 1};
        assert_int_equal(bench_track_new(&sink->track, size, sources), 0);
        assert_int_equal(bench_payload_new(&sink->payload, size), 0);
        return sink;
}

static void sink_free(struct sink *sink) {
        bench_track_free(&sink->track);
        bench_payload_free(&sink->payload);
        free(sink->shared);
        free(sink);
}

static void receive(struct sink *sink, unsigned source, uint64_t number) {
        bench_payload_mark(&sink->payload, source, number, 0);
        bench_track_receive(&sink->track, &sink->task, sink->payload.bytes, sink->payload.size);
}

static void expect(const struct sink *sink, uint64_t messages, uint64_t missing, uint64_t wrong) {
        assert_true(sink->task.self->messages == messages);
        assert_true(sink->task.self->missing == missing);
        assert_true(sink->task.self->wrong == wrong);
}

static void test_bench_payload_of_any_size_is_followed(void **state) {
        static const size_t sizes[] = {1, 2, 5, 6, 7, 8, 9, 15, 16, 17, 64, 4096, 4097, 100000};
        (void)state;
        for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
                struct sink *sink = sink_of(sizes[i], 1);
                /* Beyond what one byte can say. */
                for (uint64_t number = 0; number < 1000; number++)
                        receive(sink, 0, number);
                expect(sink, 1000, 0, 0);
                sink_free(sink);
        }
}

static void test_bench_payload_hole_is_missing(void **state) {
        static const size_t sizes[] = {1, 7, 64, 5000};
        (void)state;
        for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
                struct sink *sink = sink_of(sizes[i], 1);
                receive(sink, 0, 0);
                receive(sink, 0, 1);
                receive(sink, 0, 5);
                expect(sink, 3, 3, 0);
                sink_free(sink);
        }
}

static void test_bench_payload_again_or_late_is_wrong(void **state) {
        struct sink *sink = sink_of(64, 1);
        (void)state;
        receive(sink, 0, 0);
        receive(sink, 0, 0);
        expect(sink, 1, 0, 1);
        receive(sink, 0, 2);
        receive(sink, 0, 1);
        expect(sink, 2, 1, 2);
        sink_free(sink);
}

static void test_bench_payload_each_source_has_numbers_of_its_own(void **state) {
        struct sink *sink = sink_of(8, 2);
        (void)state;
        receive(sink, 0, 0);
        receive(sink, 1, 0);
        receive(sink, 1, 1);
        receive(sink, 0, 1);
        expect(sink, 4, 0, 0);
        receive(sink, 2, 0);
        expect(sink, 4, 0, 1);
        sink_free(sink);
}

static void test_bench_payload_changed_byte_is_wrong(void **state) {
        static const size_t sizes[] = {9, 17, 64, 4096};
        (void)state;
        for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
                for (size_t at = sizes[i] < 16 ? 8 : 16; at < sizes[i]; at += at < 80 ? 1 : 97) {
                        struct sink *sink = sink_of(sizes[i], 1);
                        sink->payload.bytes[at] ^= 1;
                        receive(sink, 0, 0);
                        expect(sink, 0, 0, 1);
                        sink_free(sink);
                }
}

/* Of large ones the ends and the middle are looked at always, the whole now and then. */
static void test_bench_payload_large_one_changed_anywhere_is_found_in_time(void **state) {
        struct sink *sink = sink_of(1 << 20, 1);
        (void)state;
        sink->payload.bytes[300000] ^= 1;
        for (uint64_t number = 0; number < 64; number++)
                receive(sink, 0, number);
        assert_true(sink->task.self->wrong == 1);
        sink->payload.bytes[300000] ^= 1;
        sink->payload.bytes[(1 << 20) - 1] ^= 1;
        receive(sink, 0, 64);
        assert_true(sink->task.self->wrong == 2);
        sink_free(sink);
}

static void test_bench_payload_of_another_length_is_wrong(void **state) {
        struct sink *sink = sink_of(64, 1);
        (void)state;
        bench_payload_mark(&sink->payload, 0, 0, 0);
        bench_track_receive(&sink->track, &sink->task, sink->payload.bytes, 63);
        bench_track_receive(&sink->track, &sink->task, sink->payload.bytes, 0);
        expect(sink, 0, 0, 2);
        sink_free(sink);
}

static void test_bench_payload_stamp_is_a_latency_where_it_is_recorded(void **state) {
        struct sink *sink = sink_of(16, 1);
        (void)state;
        bench_payload_mark(&sink->payload, 0, 0, bench_now());
        bench_track_receive(&sink->track, &sink->task, sink->payload.bytes, 16);
        assert_true(sink->task.self->histogram.total == 0);
        sink->shared->record = true;
        bench_payload_mark(&sink->payload, 0, 1, bench_now());
        bench_track_receive(&sink->track, &sink->task, sink->payload.bytes, 16);
        assert_true(sink->task.self->histogram.total == 1);
        receive(sink, 0, 2);
        assert_true(sink->task.self->histogram.total == 1);
        expect(sink, 3, 0, 0);
        sink_free(sink);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bench_payload_of_any_size_is_followed),
                cmocka_unit_test(test_bench_payload_hole_is_missing),
                cmocka_unit_test(test_bench_payload_again_or_late_is_wrong),
                cmocka_unit_test(test_bench_payload_each_source_has_numbers_of_its_own),
                cmocka_unit_test(test_bench_payload_changed_byte_is_wrong),
                cmocka_unit_test(test_bench_payload_large_one_changed_anywhere_is_found_in_time),
                cmocka_unit_test(test_bench_payload_of_another_length_is_wrong),
                cmocka_unit_test(test_bench_payload_stamp_is_a_latency_where_it_is_recorded),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
