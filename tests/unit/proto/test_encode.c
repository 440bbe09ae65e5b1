/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "encode.h"
#include "bounds.h"
#include "rng.h"
#include "subject.h"

static void test_encode_varint_is_canonical_and_of_the_length_told(void **state) {
        (void)state;
        for (unsigned bit = 0; bit < 64; bit++) {
                uint64_t values[] = {UINT64_C(1) << bit, (UINT64_C(1) << bit) - 1, (UINT64_C(1) << bit) + 1};
                for (unsigned i = 0; i < 3; i++) {
                        uint8_t bytes[10];
                        size_t len = rml_put_varint(bytes, values[i]);
                        assert_int_equal(len, rml_varint_len(values[i]));
                        uint64_t back = 0;
                        for (size_t at = 0; at < len; at++) {
                                assert_int_equal(bytes[at] >= 0x80, at + 1 < len);
                                back |= (uint64_t)(bytes[at] & 0x7f) << (7 * at);
                        }
                        assert_true(back == values[i]);
                        assert_true(len == 1 || bytes[len - 1] != 0);
                }
        }
        assert_int_equal(rml_varint_len(0), 1);
        assert_int_equal(rml_varint_len(UINT64_MAX), 10);
}

static void test_encode_prefix_is_big_endian(void **state) {
        (void)state;
        uint8_t bytes[4];

        rml_put_prefix(bytes, 0x01020384);
        assert_memory_equal(bytes, "\x01\x02\x03\x84", 4);
        assert_int_equal(rml_get_prefix(bytes), 0x01020384);
        rml_put_prefix(bytes, UINT32_MAX);
        assert_true(rml_get_prefix(bytes) == UINT32_MAX);
}

static void test_encode_smallest_publish_is_as_the_manual_says(void **state) {
        (void)state;
        const struct rml_hop hop = {.sid = 0};
        uint8_t out[RML_HEAD_BYTES_MAX + RML_TAIL_HEAD_BYTES_MAX + 3], tail[RML_TAIL_HEAD_BYTES_MAX + 3];
        size_t len = rml_put_tail_head(tail, rml_span_of("a.b"), rml_span_of(""), rml_span_of(""), 2);

        assert_int_equal(len, 7);
        assert_memory_equal(tail,
                            "\x5a\x03"
                            "a.b\x7a\x02",
                            7);
        assert_int_equal(rml_put_head(out, RML_PUBLISH, 0, &hop, 9), 6);
        assert_memory_equal(out, "\0\0\0\x0b\x12\x09", 6);
        assert_int_equal(rml_put_head(out, RML_PUBLISH, 1, &hop, 9), 8);
        assert_memory_equal(out, "\0\0\0\x0d\x08\x01\x12\x09", 8);
}

static struct rml_span text_of(const uint8_t *letters, size_t len) {
        return (struct rml_span){letters, len};
}

/* What is written is scanned to the same values, and nothing is longer than promised. */
static void round_trip(struct rng *rng, const uint8_t *letters) {
        static const uint64_t sizes[] = {1, 2, 200, 20000, UINT64_C(1) << 40, UINT64_MAX};
#define NUMBER() rng_below(rng, sizes[rng_below(rng, 6)])
        static const size_t lens[] = {0, 1, 100, 127, 128, 300, 16300};
#define TEXT() text_of(letters, lens[rng_below(rng, 7)])
        struct rml_sender sender = {.peer = NUMBER(), .local = rng_below(rng, 2), .identity = TEXT()};
        if (sender.local) {
                sender.uid = (uint32_t)NUMBER();
                sender.gid = (uint32_t)NUMBER();
                sender.pid = (uint32_t)NUMBER();
        }
        const struct rml_hop hop = {
                .sid = NUMBER(),
                .token = NUMBER(),
                .time_left_us = NUMBER(),
                .seq = NUMBER(),
                .replaced = NUMBER(),
                .flags = (uint32_t)NUMBER(),
                .code = (uint32_t)NUMBER(),
                .sender = rng_below(rng, 4) ? &sender : NULL,
                .text = TEXT(),
                .key = TEXT(),
                .stream_credit = NUMBER(),
        };
        struct rml_span subject = text_of(letters, rng_below(rng, 256)), type = TEXT();
        size_t payload = lens[rng_below(rng, 7)];
        uint64_t id = NUMBER();
        enum rml_kind kind = (enum rml_kind)(RML_PUBLISH + rng_below(rng, 4));

        uint8_t headers[64];
        size_t headers_len = rml_put_header(headers, rml_span_of("name"), rml_span_of("value"));
        assert_int_equal(headers_len, rml_header_len(4, 5));
        headers_len += rml_put_header(headers + headers_len, rml_span_of("n"), rml_span_of(""));
        assert_int_equal(headers_len, rml_header_len(4, 5) + rml_header_len(1, 0));

        size_t tail_max = RML_TAIL_HEAD_BYTES_MAX + subject.len + type.len + headers_len;
        uint8_t *tail = malloc(tail_max + payload);
        size_t tail_len = rml_put_tail_head(tail, subject, type, text_of(headers, headers_len), payload);
        assert_true(tail_len <= tail_max);
        if (payload > 0)
                memcpy(tail + tail_len, letters, payload);
        tail_len += payload;

        size_t head_max = RML_HEAD_BYTES_MAX + hop.text.len + hop.key.len + sender.identity.len;
        uint8_t *frame = malloc(head_max + tail_len);
        size_t head = rml_put_head(frame, kind, id, &hop, tail_len);
        assert_true(head <= head_max);
        memcpy(frame + head, tail, tail_len);
        assert_int_equal(rml_get_prefix(frame), head + tail_len - RML_PREFIX_BYTES);

        struct rml_frame scanned;
        struct rml_data data;
        struct rml_fault fault = {0, ""};
        struct rml_span whole = {frame + RML_PREFIX_BYTES, head + tail_len - RML_PREFIX_BYTES};
        assert_int_equal(rml_scan_frame(whole, &scanned, &fault), 0);
        assert_true(scanned.id == id && scanned.kind == kind);
        if (rml_scan_data(&scanned, RML_FROM_BROKER, &data, &fault) != 0)
                fail_msg("%s at %zu", fault.reason, fault.offset);
        assert_true(data.sid == hop.sid && data.token == hop.token && data.time_left_us == hop.time_left_us);
        assert_true(data.seq == hop.seq && data.replaced == hop.replaced && data.flags == hop.flags);
        assert_true(data.code == hop.code && data.stream_credit == hop.stream_credit);
        assert_true(rml_span_equal(data.text, hop.text) && rml_span_equal(data.key, hop.key));
        assert_int_equal(data.has_sender, hop.sender != NULL);
        if (hop.sender) {
                assert_true(data.sender.peer == sender.peer && data.sender.local == sender.local);
                assert_true(data.sender.uid == sender.uid && data.sender.gid == sender.gid);
                assert_true(data.sender.pid == sender.pid && rml_span_equal(data.sender.identity, sender.identity));
        }
        assert_true(rml_span_equal(data.tail, text_of(tail, tail_len)));
        assert_true(rml_span_equal(data.subject, subject) && rml_span_equal(data.type, type));
        assert_true(rml_span_equal(data.headers, text_of(headers, headers_len)));
        assert_int_equal(data.header_count, 2);
        assert_int_equal(data.payload.len, payload);
        free(frame);
        free(tail);
}

static void test_encode_written_heads_scan_to_the_same_values(void **state) {
        (void)state;
        static uint8_t letters[16300];
        struct rng rng = {42};

        memset(letters, 'x', sizeof(letters));
        for (unsigned i = 0; i < 5000; i++)
                round_trip(&rng, letters);
}

static void test_encode_longest_head_fits_its_bound(void **state) {
        (void)state;
        const struct rml_sender sender = {UINT64_MAX, true, UINT32_MAX, UINT32_MAX, UINT32_MAX, {NULL, 0}};
        const struct rml_hop hop = {
                .sid = UINT64_MAX,
                .token = UINT64_MAX,
                .time_left_us = UINT64_MAX,
                .seq = UINT64_MAX,
                .replaced = UINT64_MAX,
                .flags = UINT32_MAX,
                .code = UINT32_MAX,
                .sender = &sender,
                .stream_credit = UINT64_MAX,
        };
        uint8_t out[RML_HEAD_BYTES_MAX];
        size_t len = rml_put_head(out, RML_DELIVER, UINT64_MAX, &hop, 64u << 20);

        assert_in_range(len, 100, RML_HEAD_BYTES_MAX - 20); /* 15 are for longer lengths of the texts */
}

static void test_encode_sender_that_was_written_before_gives_the_same_head(void **state) {
        (void)state;
        const struct rml_sender senders[] = {
                {.peer = 0},
                {.peer = 7, .local = true, .uid = 1000, .gid = 1000, .pid = 70000},
                {.peer = UINT64_MAX, .local = true, .uid = UINT32_MAX, .gid = UINT32_MAX, .pid = UINT32_MAX},
                {.peer = 9, .identity = {(const uint8_t *)"token", 5}},
        };

        for (size_t i = 0; i < RML_COUNT(senders); i++) {
                uint8_t field[RML_SENDER_BYTES_MAX], one[RML_HEAD_BYTES_MAX + 16], other[RML_HEAD_BYTES_MAX + 16];
                struct rml_span written = {field, rml_put_sender(field, &senders[i])};
                /* From a length of one byte to one of three. */
                for (size_t tail = 60; tail < 40000; tail = tail * 3 / 2) {
                        size_t len = rml_put_head(one, RML_DELIVER, 0, &(struct rml_hop){.sid = 3, .sender = &senders[i]}, tail);

                        assert_int_equal(
                                rml_put_head(other, RML_DELIVER, 0, &(struct rml_hop){.sid = 3, .sender_field = written}, tail),
                                len);
                        assert_memory_equal(one, other, len);
                }
        }
}

static void test_encode_local_of_root_is_still_there(void **state) {
        (void)state;
        const struct rml_sender sender = {.peer = 1, .local = true};
        const struct rml_hop hop = {.sender = &sender};
        uint8_t out[RML_HEAD_BYTES_MAX];
        size_t len = rml_put_head(out, RML_DELIVER, 0, &hop, 0);

        assert_int_equal(len, 12);
        assert_memory_equal(out, "\0\0\0\x08\x2a\x06\x32\x04\x08\x01\x12\x00", 12);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_encode_varint_is_canonical_and_of_the_length_told),
                cmocka_unit_test(test_encode_prefix_is_big_endian),
                cmocka_unit_test(test_encode_smallest_publish_is_as_the_manual_says),
                cmocka_unit_test(test_encode_written_heads_scan_to_the_same_values),
                cmocka_unit_test(test_encode_longest_head_fits_its_bound),
                cmocka_unit_test(test_encode_sender_that_was_written_before_gives_the_same_head),
                cmocka_unit_test(test_encode_local_of_root_is_still_there),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
