/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "build.h"
#include "scan.h"
#include "scan_expect.h"

static void test_scan_frame_id_and_kind_are_read(void **state) {
        (void)state;
        const uint8_t bytes[] = {0x08, 0xac, 0x02, 0x82, 0x02, 0x02, 'h', 'i'};
        struct rml_frame frame;
        struct rml_fault fault;

        assert_int_equal(rml_scan_frame((struct rml_span){bytes, sizeof(bytes)}, &frame, &fault), 0);
        assert_int_equal(frame.id, 300);
        assert_int_equal(frame.kind, RML_PING);
        assert_ptr_equal(frame.body.data, bytes + 6);
        assert_int_equal(frame.body.len, 2);
        assert_int_equal(frame.body_offset, 6);

        assert_int_equal(rml_scan_frame((struct rml_span){bytes + 3, sizeof(bytes) - 3}, &frame, &fault), 0);
        assert_int_equal(frame.id, 0);
        assert_int_equal(frame.body_offset, 3);
}

static void test_scan_frame_unknown_kind_passes(void **state) {
        (void)state;
        struct build build = {.len = 0};
        struct rml_frame frame;
        struct rml_fault fault;

        build_text(&build, (1u << 29) - 1, "later");
        assert_int_equal(rml_scan_frame(build_span(&build), &frame, &fault), 0);
        assert_int_equal(frame.kind, (1u << 29) - 1);
        build.len = 0;
        build_text(&build, 15, "later");
        assert_int_equal(rml_scan_frame(build_span(&build), &frame, &fault), 0);
        assert_int_equal(frame.kind, 15);
}

static void test_scan_frame_without_message_is_malformed(void **state) {
        (void)state;
        expect_fault(BODY(0x08, 0x01), RML_FROM_CLIENT, 2, "no message");
        struct rml_fault fault;
        struct rml_frame frame;
        assert_int_equal(rml_scan_frame((struct rml_span){NULL, 0}, &frame, &fault), -EBADMSG);
        assert_int_equal(fault.offset, 0);
}

static void test_scan_frame_fault_C41_id_zero_is_malformed_id_max_is_not(void **state) {
        (void)state;
        expect_fault(BODY(0x08, 0x00, 0x12, 0x00), RML_FROM_CLIENT, 0, "id is 0");
        expect_good(BODY(0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x12, 0x00),
                    RML_FROM_CLIENT);
}

static void test_scan_frame_fault_A13_trailing_bytes_are_malformed(void **state) {
        (void)state;
        expect_fault(BODY(0x12, 0x00, 0x00), RML_FROM_CLIENT, 2, "follows");
        expect_fault(BODY(0x08, 0x01, 0x12, 0x00, 'x'), RML_FROM_CLIENT, 4, "follows");
        /* the id behind the message */
        expect_fault(BODY(0x12, 0x00, 0x08, 0x01), RML_FROM_CLIENT, 2, "follows");
}

static void test_scan_frame_fault_B27_B28_two_members_of_the_oneof_are_malformed(void **state) {
        (void)state;
        expect_fault(BODY(0x12, 0x00, 0x12, 0x00), RML_FROM_CLIENT, 2, "follows"); /* the same twice */
        expect_fault(BODY(0x12, 0x00, 0x1a, 0x00), RML_FROM_CLIENT, 2, "follows"); /* PUBLISH and CALL */
        expect_fault(BODY(0x08, 0x01, 0x82, 0x02, 0x00, 0x92, 0x02, 0x00), RML_FROM_CLIENT, 5,
                     "follows"); /* PING, BYE */
}

static void test_scan_frame_fault_B20_two_ids_are_malformed(void **state) {
        (void)state;
        expect_fault(BODY(0x08, 0x01, 0x08, 0x02, 0x12, 0x00), RML_FROM_CLIENT, 2, "two ids");
}

static void test_scan_frame_fault_B18_wrong_wire_types_are_malformed(void **state) {
        (void)state;
        expect_fault(BODY(0x0a, 0x01, 0x05), RML_FROM_CLIENT, 0, "id is no number");
        expect_fault(BODY(0x10, 0x05), RML_FROM_CLIENT, 0, "no message");                   /* varint */
        expect_fault(BODY(0x11, 1, 2, 3, 4, 5, 6, 7, 8), RML_FROM_CLIENT, 0, "no message"); /* fixed64 */
        expect_fault(BODY(0x08, 0x01, 0x15, 1, 2, 3, 4), RML_FROM_CLIENT, 2, "no message"); /* fixed32 */
}

static void test_scan_frame_fault_B17_groups_and_unknown_wire_types_are_malformed(void **state) {
        (void)state;
        expect_fault(BODY(0x13, 0x14), RML_FROM_CLIENT, 0, "group");
        expect_fault(BODY(0x14), RML_FROM_CLIENT, 0, "group");
        expect_fault(BODY(0x16, 0x00), RML_FROM_CLIENT, 0, "wire type");
        expect_fault(BODY(0x17, 0x00), RML_FROM_CLIENT, 0, "wire type");
}

static void test_scan_frame_fault_B14_B15_numbers_are_canonical(void **state) {
        (void)state;
        /* unterminated, in the id, in a tag, in a length */
        expect_fault(BODY(0x08), RML_FROM_CLIENT, 1, "cut off");
        expect_fault(BODY(0x08, 0x80), RML_FROM_CLIENT, 1, "cut off");
        expect_fault(BODY(0x82), RML_FROM_CLIENT, 0, "cut off");
        expect_fault(BODY(0x12), RML_FROM_CLIENT, 1, "cut off");
        expect_fault(BODY(0x12, 0xff), RML_FROM_CLIENT, 1, "cut off");
        /* 11 bytes, 65 bits */
        expect_fault(BODY(0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0x12, 0x00),
                     RML_FROM_CLIENT, 1, "64 bits");
        expect_fault(BODY(0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0x12, 0x00),
                     RML_FROM_CLIENT, 1, "64 bits");
        /* longer than need be: id, tag, length */
        expect_fault(BODY(0x08, 0x81, 0x00, 0x12, 0x00), RML_FROM_CLIENT, 1, "longer");
        expect_fault(BODY(0x08, 0x81, 0x80, 0x00, 0x12, 0x00), RML_FROM_CLIENT, 1, "longer");
        expect_fault(BODY(0x88, 0x00, 0x01, 0x12, 0x00), RML_FROM_CLIENT, 0, "longer");
        expect_fault(BODY(0x92, 0x00, 0x00), RML_FROM_CLIENT, 0, "longer");
        expect_fault(BODY(0x12, 0x80, 0x00), RML_FROM_CLIENT, 1, "longer");
}

static void test_scan_frame_fault_B16_impossible_field_numbers_are_malformed(void **state) {
        (void)state;
        static const uint64_t numbers[] = {
                0, 19000, 19500, 19999, UINT64_C(1) << 29, UINT64_C(1) << 32, UINT64_C(1) << 60};

        for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
                struct build build = {.len = 0};
                build_varint(&build, numbers[i] << 3 | 2);
                build_varint(&build, 0);
                expect_fault(build_span(&build), RML_FROM_CLIENT, 0, "no field of this number");
        }
        static const uint32_t good[] = {18999, 20000, (1u << 29) - 1};
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
                struct build build = {.len = 0};
                build_text(&build, good[i], "");
                expect_good(build_span(&build), RML_FROM_CLIENT);
        }
}

static void test_scan_frame_fault_B23_lengths_past_the_end_are_malformed(void **state) {
        (void)state;
        expect_fault(BODY(0x12, 0x01), RML_FROM_CLIENT, 0, "behind its message");
        expect_fault(BODY(0x12, 0x03, 'a', 'b'), RML_FROM_CLIENT, 0, "behind its message");
        expect_fault(BODY(0x12, 0x80, 0x01, 'a', 'b'), RML_FROM_CLIENT, 0, "behind its message");
        /* 2^63, 2^64-1, and what would wrap around a 32-bit sum */
        expect_fault(BODY(0x12, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01), RML_FROM_CLIENT, 0,
                     "behind");
        expect_fault(BODY(0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01), RML_FROM_CLIENT, 0,
                     "behind");
        expect_fault(BODY(0x12, 0xff, 0xff, 0xff, 0xff, 0x0f), RML_FROM_CLIENT, 0, "behind");
        /* fixed ones too */
        expect_fault(BODY(0x11, 1, 2, 3, 4, 5, 6, 7), RML_FROM_CLIENT, 0, "behind");
        expect_fault(BODY(0x15, 1, 2, 3), RML_FROM_CLIENT, 0, "behind");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_scan_frame_id_and_kind_are_read),
                cmocka_unit_test(test_scan_frame_unknown_kind_passes),
                cmocka_unit_test(test_scan_frame_without_message_is_malformed),
                cmocka_unit_test(test_scan_frame_fault_C41_id_zero_is_malformed_id_max_is_not),
                cmocka_unit_test(test_scan_frame_fault_A13_trailing_bytes_are_malformed),
                cmocka_unit_test(test_scan_frame_fault_B27_B28_two_members_of_the_oneof_are_malformed),
                cmocka_unit_test(test_scan_frame_fault_B20_two_ids_are_malformed),
                cmocka_unit_test(test_scan_frame_fault_B18_wrong_wire_types_are_malformed),
                cmocka_unit_test(test_scan_frame_fault_B17_groups_and_unknown_wire_types_are_malformed),
                cmocka_unit_test(test_scan_frame_fault_B14_B15_numbers_are_canonical),
                cmocka_unit_test(test_scan_frame_fault_B16_impossible_field_numbers_are_malformed),
                cmocka_unit_test(test_scan_frame_fault_B23_lengths_past_the_end_are_malformed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
