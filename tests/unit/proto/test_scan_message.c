/* SPDX-License-Identifier: MIT */
/* Control messages against their descriptors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api.pb-c.h"
#include "build.h"
#include "scan.h"

#define BYTES(...) ((struct rml_span){(const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})})

static int scan_copy(const ProtobufCMessageDescriptor *type, struct rml_span message, struct rml_fault *fault) {
        uint8_t *bytes = malloc(message.len > 0 ? message.len : 1);

        if (message.len > 0)
                memcpy(bytes, message.data, message.len);
        int r = rml_scan_message(type, (struct rml_span){bytes, message.len}, fault);
        free(bytes);
        return r;
}

static void expect_good(const ProtobufCMessageDescriptor *type, struct rml_span message) {
        struct rml_fault fault = {0, ""};

        if (scan_copy(type, message, &fault) != 0)
                fail_msg("%s at %zu", fault.reason, fault.offset);
}

static void expect_fault(const ProtobufCMessageDescriptor *type, struct rml_span message, size_t at, const char *what) {
        struct rml_fault fault = {SIZE_MAX, ""};

        assert_int_equal(scan_copy(type, message, &fault), -EBADMSG);
        if (!strstr(fault.reason, what))
                fail_msg("'%s' is not about '%s'", fault.reason, what);
        assert_int_equal(fault.offset, at);
}

#define SUBSCRIBE (&ramal__v1__subscribe__descriptor)
#define STATUS (&ramal__v1__status__descriptor)
#define WELCOME (&ramal__v1__welcome__descriptor)
#define WILL (&ramal__v1__will__descriptor)
#define HELLO (&ramal__v1__hello__descriptor)

static void test_scan_message_what_protobuf_c_packs_is_good(void **state) {
        (void)state;
        char *features[] = {(char[]){"a"}, (char[]){"b"}};
        Ramal__V1__Limits limits = RAMAL__V1__LIMITS__INIT;
        Ramal__V1__Welcome welcome = RAMAL__V1__WELCOME__INIT;
        uint8_t bytes[256];

        limits.frame_bytes = UINT64_MAX;
        limits.subject_tokens = 32;
        welcome.peer = 300;
        welcome.limits = &limits;
        welcome.features = features;
        welcome.n_features = 2;
        welcome.server = (char[]){"ramald"};
        size_t len = ramal__v1__welcome__pack(&welcome, bytes);
        assert_in_range(len, 20, sizeof(bytes));
        expect_good(WELCOME, (struct rml_span){bytes, len});
        expect_good(WELCOME, (struct rml_span){NULL, 0});
        /* and cut off it is good only between fields */
        struct rml_fault fault;
        unsigned good = 0;
        for (size_t i = 1; i < len; i++)
                good += scan_copy(WELCOME, (struct rml_span){bytes, i}, &fault) == 0;
        assert_int_equal(good, 4);
}

static void test_scan_message_fault_B20_B21_twice_is_malformed(void **state) {
        (void)state;
        expect_fault(SUBSCRIBE, BYTES(0x08, 1, 0x08, 1), 2, "twice");
        expect_fault(SUBSCRIBE, BYTES(0x12, 1, 'a', 0x12, 1, 'b'), 3, "twice");
        expect_fault(WELCOME, BYTES(0x2a, 0, 0x2a, 0), 2, "twice");
        expect_good(WELCOME, BYTES(0x32, 1, 'a', 0x32, 1, 'b'));
}

static void test_scan_message_fields_out_of_order_are_malformed(void **state) {
        (void)state;
        expect_fault(SUBSCRIBE, BYTES(0x12, 1, 'a', 0x08, 1), 3, "ascending");
        expect_fault(WELCOME, BYTES(0x2a, 4, 0x10, 1, 0x08, 1), 4, "ascending");
        expect_fault(SUBSCRIBE, BYTES(0xa2, 0x06, 0, 0x08, 1), 3, "ascending"); /* an unknown one in front */
}

static void test_scan_message_fault_B18_wrong_wire_types_are_malformed(void **state) {
        (void)state;
        expect_fault(SUBSCRIBE, BYTES(0x0a, 1, 'a'), 0, "wrong wire type");
        expect_fault(SUBSCRIBE, BYTES(0x10, 1), 0, "wrong wire type");
        expect_fault(SUBSCRIBE, BYTES(0x09, 0, 0, 0, 0, 0, 0, 0, 0), 0, "wrong wire type");
        expect_fault(WELCOME, BYTES(0x28, 1), 0, "wrong wire type");
        expect_fault(WELCOME, BYTES(0x30, 1), 0, "wrong wire type");
}

static void test_scan_message_fault_B14_to_B17_and_B23(void **state) {
        (void)state;
        expect_fault(SUBSCRIBE, BYTES(0x08, 0x80), 1, "cut off");
        expect_fault(SUBSCRIBE, BYTES(0x08, 0x80, 0x00), 1, "longer");
        expect_fault(SUBSCRIBE, BYTES(0x88, 0x00, 0x01), 0, "longer");
        expect_fault(SUBSCRIBE, BYTES(0x00), 0, "no field");
        expect_fault(SUBSCRIBE, BYTES(0xc2, 0xa3, 0x09, 0), 0, "no field"); /* 19000 */
        expect_fault(SUBSCRIBE, BYTES(0x0b, 0x0c), 0, "group");
        expect_fault(SUBSCRIBE, BYTES(0xf3, 0x01, 0xf4, 0x01), 0, "group"); /* an unknown one */
        expect_fault(SUBSCRIBE, BYTES(0x12, 2, 'a'), 0, "behind");
        expect_fault(WELCOME, BYTES(0x2a, 2, 0x08, 0x80, 0x01), 3, "cut off");
}

static void test_scan_message_fault_B19_unknown_fields_are_limited(void **state) {
        (void)state;
        struct build build = {.len = 0};

        for (unsigned i = 0; i < 16; i++)
                build_uint(&build, 100, i);
        expect_good(SUBSCRIBE, build_span(&build));
        size_t at = build.len;
        build_uint(&build, 100, 0);
        expect_fault(SUBSCRIBE, build_span(&build), at, "too many unknown");

        static const uint8_t zeros[2000];
        build.len = 0;
        build_bytes(&build, 100, zeros, 1024 - 4);
        expect_good(SUBSCRIBE, build_span(&build));
        build.len = 0;
        build_bytes(&build, 100, zeros, 1024 - 3);
        expect_fault(SUBSCRIBE, build_span(&build), 0, "too many unknown");
        /* every message has its own allowance; all wire types but groups pass */
        expect_good(WELCOME, BYTES(0x2a, 16, 0xa1, 0x06, 0, 0, 0, 0, 0, 0, 0, 0, 0xad, 0x06, 0, 0, 0, 0));
}

static void test_scan_message_fault_B24_bad_utf8_closes_but_in_subjects(void **state) {
        (void)state;
        expect_fault(HELLO, BYTES(0x1a, 1, 0xff), 0, "UTF-8");
        expect_fault(HELLO, BYTES(0x1a, 3, 'a', 0, 'b'), 0, "UTF-8");
        expect_fault(WELCOME, BYTES(0x32, 1, 'a', 0x32, 2, 0xc0, 0x80), 3, "UTF-8");
        expect_good(HELLO, BYTES(0x2a, 1, 0xff)); /* bytes, no text */
        expect_good(SUBSCRIBE, BYTES(0x12, 2, 0xff, 0));
        expect_good(SUBSCRIBE, BYTES(0x22, 1, 0xff));
        expect_good(SUBSCRIBE, BYTES(0x8a, 0x01, 3, 0x0a, 1, 0xff));
        expect_good(WILL, BYTES(0x0a, 3, 0x5a, 1, 0xff));
        expect_fault(WILL, BYTES(0x0a, 3, 0x62, 1, 0xff), 2, "UTF-8");
}

static void test_scan_message_fault_B27_unknown_enum_values_pass_negative_ones_do_not(void **state) {
        (void)state;
        expect_good(SUBSCRIBE, BYTES(0x28, 99));
        expect_good(SUBSCRIBE, BYTES(0x28, 0xff, 0xff, 0xff, 0xff, 0x07));
        expect_fault(SUBSCRIBE, BYTES(0x28, 0x80, 0x80, 0x80, 0x80, 0x08), 0, "does not fit");
        expect_fault(SUBSCRIBE, BYTES(0x28, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01), 0,
                     "does not fit");
}

static void test_scan_message_numbers_fit_their_type(void **state) {
        (void)state;
        expect_good(SUBSCRIBE, BYTES(0x18, 1));
        expect_fault(SUBSCRIBE, BYTES(0x18, 2), 0, "does not fit");
        expect_good(HELLO, BYTES(0x08, 0xff, 0xff, 0xff, 0xff, 0x0f));
        expect_fault(HELLO, BYTES(0x08, 0x80, 0x80, 0x80, 0x80, 0x10), 0, "does not fit");
        expect_good(STATUS, BYTES(0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01));
}

static void test_scan_message_unknown_fields_are_malformed_in_what_is_forwarded(void **state) {
        (void)state;
        expect_fault(WILL, BYTES(0x0a, 3, 0x80, 0x01, 0), 2, "forwarded");
        expect_fault(WILL, BYTES(0x0a, 4, 0x72, 2, 0x08, 0), 4, "forwarded");
        expect_fault(WILL, BYTES(0x0a, 4, 0x6a, 2, 0x18, 0), 4, "forwarded");
        expect_good(WILL, BYTES(0x0a, 4, 0x52, 2, 0x50, 0)); /* hop_ext is not */
}

static void test_scan_message_fault_B22_nesting_is_limited(void **state) {
        (void)state;
        /* None of ours nests so deep: a type that holds itself in field 1. */
        static const unsigned order[] = {0};
        static const ProtobufCIntRange ranges[] = {{1, 0}, {0, 1}};
        static ProtobufCFieldDescriptor field = {
                .name = "inner",
                .id = 1,
                .label = PROTOBUF_C_LABEL_NONE,
                .type = PROTOBUF_C_TYPE_MESSAGE,
        };
        static const ProtobufCMessageDescriptor nested = {
                .magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
                .name = "nested",
                .n_fields = 1,
                .fields = &field,
                .fields_sorted_by_name = order,
                .n_field_ranges = 1,
                .field_ranges = ranges,
        };
        struct build build = {.len = 0};

        field.descriptor = &nested;
        for (unsigned depth = 1; depth <= 20; depth++) {
                if (depth <= 8)
                        expect_good(&nested, build_span(&build));
                else
                        expect_fault(&nested, build_span(&build), 14, "nested too deep");
                struct build outer = {.len = 0};
                build_message(&outer, 1, &build);
                build = outer;
        }
}

static void test_scan_message_fault_B30_packed_numbers_are_checked(void **state) {
        (void)state;
        const ProtobufCMessageDescriptor *peer = &ramal__api__v1__peer__descriptor; /* groups = 15, repeated uint32 */

        expect_good(peer, BYTES(0x7a, 4, 1, 2, 0x80, 0x01));
        expect_good(peer, BYTES(0x7a, 0));
        expect_good(peer, BYTES(0x78, 1, 0x78, 2));
        expect_fault(peer, BYTES(0x7a, 2, 1, 0x80), 3, "cut off");
        expect_fault(peer, BYTES(0x7a, 3, 1, 0x80, 0x00), 3, "longer");
        expect_fault(peer, BYTES(0x7a, 5, 0x80, 0x80, 0x80, 0x80, 0x10), 2, "does not fit");

        uint32_t groups[] = {1, 65534, UINT32_MAX};
        Ramal__Api__V1__Peer message = RAMAL__API__V1__PEER__INIT;
        uint8_t bytes[64];
        message.groups = groups;
        message.n_groups = 3;
        size_t len = ramal__api__v1__peer__pack(&message, bytes);
        expect_good(peer, (struct rml_span){bytes, len});
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_scan_message_what_protobuf_c_packs_is_good),
                cmocka_unit_test(test_scan_message_fault_B20_B21_twice_is_malformed),
                cmocka_unit_test(test_scan_message_fields_out_of_order_are_malformed),
                cmocka_unit_test(test_scan_message_fault_B18_wrong_wire_types_are_malformed),
                cmocka_unit_test(test_scan_message_fault_B14_to_B17_and_B23),
                cmocka_unit_test(test_scan_message_fault_B19_unknown_fields_are_limited),
                cmocka_unit_test(test_scan_message_fault_B24_bad_utf8_closes_but_in_subjects),
                cmocka_unit_test(test_scan_message_fault_B27_unknown_enum_values_pass_negative_ones_do_not),
                cmocka_unit_test(test_scan_message_numbers_fit_their_type),
                cmocka_unit_test(test_scan_message_unknown_fields_are_malformed_in_what_is_forwarded),
                cmocka_unit_test(test_scan_message_fault_B22_nesting_is_limited),
                cmocka_unit_test(test_scan_message_fault_B30_packed_numbers_are_checked),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
