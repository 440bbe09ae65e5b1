/* SPDX-License-Identifier: MIT */
/* The short ways of the scanner, for what nearly all frames are, find what the general ones do: the same values, the
 * same faults. Around the lengths where one more byte is needed to write them, and with other bytes in each place that
 * the short ways look at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "scan.h"

static const size_t subjects[] = {0, 1, 126, 127, 128};
static const size_t payloads[] = {0, 1, 123, 124, 125, 126, 127, 128, 129, 16380, 16383, 16384};
static const uint8_t others[] = {0x00, 0x01, 0x12, 0x5a, 0x7a, 0x7f, 0x80, 0x81, 0xff};

static uint8_t text[16384];

typedef void (*compare_fn)(struct rml_span);

/* In memory of just that length: the sanitizer looks on. */
static void compare_copy(compare_fn compare, struct rml_span span) {
        uint8_t *bytes = malloc(span.len > 0 ? span.len : 1);
        rml_check(bytes);
        if (span.len > 0)
                memcpy(bytes, span.data, span.len);
        compare((struct rml_span){bytes, span.len});
        free(bytes);
}

/* As it is, cut off, and with other bytes in one of its first places, or behind `mark`. */
static void compare_variants(compare_fn compare, struct build *build, size_t mark) {
        for (size_t cut = 0; cut <= 4 && cut <= build->len; cut++)
                compare_copy(compare, (struct rml_span){build->bytes, build->len - cut});
        for (size_t at = 0; at < build->len && at < mark + 4; at++) {
                if (at == 8 && mark > at)
                        at = mark;
                for (size_t i = 0; i < RML_COUNT(others); i++) {
                        uint8_t was = build->bytes[at];
                        build->bytes[at] = others[i];
                        compare_copy(compare, build_span(build));
                        build->bytes[at] = was;
                }
        }
}

static void compare_data(struct rml_span body) {
        static const uint32_t kinds[] = {RML_PUBLISH, RML_CALL, RML_REPLY, RML_DELIVER};
        for (size_t i = 0; i < RML_COUNT(kinds); i++) {
                const struct rml_frame frame = {.kind = kinds[i], .body = body, .body_offset = 3};
                enum rml_from from = kinds[i] == RML_DELIVER ? RML_FROM_BROKER : RML_FROM_CLIENT;
                struct rml_fault fault = {0, NULL}, other = {0, NULL};
                struct rml_data brief, whole;
                int r = rml_scan_data(&frame, from, &brief, &fault);
                assert_int_equal(r, rml_scan_data_slow(&frame, from, &whole, &other));
                if (r == 0) {
                        brief.bare = false; /* says which way it was */
                        assert_memory_equal(&brief, &whole, sizeof(brief));
                } else {
                        assert_int_equal(fault.offset, other.offset);
                        assert_string_equal(fault.reason, other.reason);
                }
        }
}

static void test_scan_short_data_is_what_the_general_scan_finds(void **state) {
        (void)state;
        size_t bare = 0;
        for (size_t s = 0; s < RML_COUNT(subjects); s++)
                for (size_t p = 0; p < RML_COUNT(payloads); p++) {
                        struct build body = {.len = 0};
                        build_bytes(&body, 11, text, subjects[s]);
                        size_t mark = body.len;
                        build_bytes(&body, 15, text, payloads[p]);
                        compare_variants(compare_data, &body, mark);

                        const struct rml_frame frame = {.kind = RML_PUBLISH, .body = build_span(&body)};
                        struct rml_data data;
                        struct rml_fault fault;
                        assert_int_equal(rml_scan_data(&frame, RML_FROM_CLIENT, &data, &fault), 0);
                        assert_int_equal(data.subject.len, subjects[s]);
                        assert_int_equal(data.payload.len, payloads[p]);
                        bare += data.bare;
                }
        assert_int_equal(bare, 4 * 11); /* all whose lengths fit one byte and two */
}

/* A frame that bears an id goes the general way: the kind and the body behind it are the same. */
static void compare_head(struct rml_span frame) {
        struct build with_id = {.len = 0};
        struct rml_frame brief, whole;
        struct rml_fault fault, other;
        size_t head = rml_scan_head(frame);

        build_uint(&with_id, 1, 7);
        size_t shift = with_id.len;
        build_raw(&with_id, frame.data, frame.len);
        int r = rml_scan_frame(build_span(&with_id), &whole, &other);
        if (frame.len > 0 && frame.data[0] >> 3 == 1)
                return; /* that would be its second id */
        assert_int_equal(rml_scan_frame(frame, &brief, &fault), r);
        if (head) {
                assert_int_equal(r, 0);
                assert_int_equal(head, whole.body_offset - shift);
        }
        if (r == 0) {
                assert_int_equal(brief.id, 0);
                assert_int_equal(brief.kind, whole.kind);
                assert_int_equal(brief.body_offset + shift, whole.body_offset);
                assert_int_equal(brief.body.len, whole.body.len);
                assert_ptr_equal(brief.body.data, frame.data + brief.body_offset);
        } else {
                assert_int_equal(fault.offset + shift, other.offset);
                assert_string_equal(fault.reason, other.reason);
        }
}

static void test_scan_short_head_is_what_the_general_scan_finds(void **state) {
        (void)state;
        static const size_t bodies[] = {0, 1, 2, 125, 126, 127, 128, 129, 130, 16382, 16383, 16384};
        size_t found = 0;
        for (uint32_t kind = 2; kind < 18; kind++)
                for (size_t i = 0; i < RML_COUNT(bodies); i++) {
                        struct build frame = {.len = 0};
                        build_bytes(&frame, kind, text, bodies[i]);
                        compare_variants(compare_head, &frame, 0);
                        found += rml_scan_head(build_span(&frame)) != 0;
                }
        assert_int_equal(found, 14 * 11); /* tags of one byte, lengths of at most two */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_scan_short_data_is_what_the_general_scan_finds),
                cmocka_unit_test(test_scan_short_head_is_what_the_general_scan_finds),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
