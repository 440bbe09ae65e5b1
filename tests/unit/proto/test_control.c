/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "control.h"
#include "bounds.h"
#include "subject.h"

#define KIND_FIRST 16u
#define KIND_LAST 36u

static int unpack(struct rml_span frame, struct rml_control *ret, struct rml_fault *fault) {
        struct rml_frame scanned;
        int r = rml_scan_frame(frame, &scanned, fault);

        return r < 0 ? r : rml_control_unpack(&scanned, ret, fault);
}

static void test_control_every_kind_packs_and_unpacks(void **state) {
        (void)state;
        for (uint32_t kind = KIND_FIRST; kind <= KIND_LAST; kind++) {
                const ProtobufCMessageDescriptor *type = rml_control_descriptor(kind);
                assert_non_null(type);
                ProtobufCMessage *message = calloc(1, type->sizeof_message);
                protobuf_c_message_init(type, message);
                for (uint64_t id = 0; id < 400; id += 399) {
                        size_t size = rml_control_size((enum rml_kind)kind, id, message);
                        uint8_t *bytes = malloc(size);
                        struct rml_control control;
                        struct rml_fault fault;
                        assert_int_equal(rml_control_pack(bytes, (enum rml_kind)kind, id, message), size);
                        assert_int_equal(rml_get_prefix(bytes), size - RML_PREFIX_BYTES);
                        struct rml_span frame = {bytes + RML_PREFIX_BYTES, size - RML_PREFIX_BYTES};
                        assert_int_equal(unpack(frame, &control, &fault), 0);
                        assert_int_equal(control.kind, kind);
                        assert_int_equal(control.id, id);
                        assert_ptr_equal(control.message->descriptor, type);
                        rml_control_free(&control);
                        assert_null(control.message);
                        rml_control_free(&control);
                        free(bytes);
                }
                free(message);
        }
}

/* CREDIT is written and read by hand: the same bytes, and the same numbers, as by the general way. */
static void test_control_credit_is_as_protobuf_c_has_it(void **state) {
        (void)state;
        static const uint64_t values[] = {0,          0,     0,     1,          127,        128,       16383,
                                          16384,      77777, 1u << 28, UINT32_MAX, (UINT64_C(1) << 62) + 5,
                                          INT64_MAX,  UINT64_MAX};
        uint32_t random = 1;

        for (unsigned run = 0; run < 5000; run++) {
                Ramal__V1__Credit credit = RAMAL__V1__CREDIT__INIT;
                uint64_t *numbers[] = {&credit.sid, &credit.call, &credit.token, &credit.seq, &credit.publish_bytes};
                uint8_t bytes[128], body[64];
                struct rml_control control;
                struct rml_fault fault;

                for (size_t i = 0; i < RML_COUNT(numbers); i++) {
                        random = random * 1664525 + 1013904223;
                        *numbers[i] = values[(random >> 16) % RML_COUNT(values)];
                }
                size_t size = rml_control_size(RML_CREDIT, 0, &credit.base);
                assert_int_equal(rml_control_pack(bytes, RML_CREDIT, 0, &credit.base), size);
                size_t len = protobuf_c_message_pack(&credit.base, body);
                assert_memory_equal(bytes + size - len, body, len);
                assert_int_equal(size, RML_PREFIX_BYTES + 2 + 1 + len);
                assert_int_equal(unpack((struct rml_span){bytes + RML_PREFIX_BYTES, size - RML_PREFIX_BYTES}, &control,
                                        &fault),
                                 0);
                const Ramal__V1__Credit *got = (const Ramal__V1__Credit *)control.message;
                assert_int_equal(got->sid, credit.sid);
                assert_int_equal(got->call, credit.call);
                assert_int_equal(got->token, credit.token);
                assert_int_equal(got->seq, credit.seq);
                assert_int_equal(got->publish_bytes, credit.publish_bytes);
                rml_control_free(&control);
        }
}

/* What is not as plain as that goes the general way, and its faults are found. */
static void test_control_credit_that_is_not_plain_is_judged_as_ever(void **state) {
        (void)state;
        static const struct {
                const char *body;
                size_t len;
                int result;
                uint64_t sid;
        } rows[] = {
                {"\x08\x05", 2, 0, 5},
                {"\x08\x05\x20", 3, -EBADMSG, 0},                 /* cut off */
                {"\x08\x85", 2, -EBADMSG, 0},                     /* in the midst of a number */
                {"\x08\x85\x00", 3, -EBADMSG, 0},                 /* not canonical */
                {"\x20\x01\x08\x05", 4, -EBADMSG, 0},             /* not ascending */
                {"\x08\x05\x08\x06", 4, -EBADMSG, 0},             /* twice */
                {"\x0a\x00", 2, -EBADMSG, 0},                     /* another wire type */
                {"\x08\x05\x30\x01", 4, 0, 5},                    /* an unknown field */
                {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, 0, UINT64_MAX},
                {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, -EBADMSG, 0}, /* more than 64 bits */
        };

        for (size_t i = 0; i < RML_COUNT(rows); i++) {
                struct build frame = {.len = 0};
                struct rml_control control;
                struct rml_fault fault;

                build_bytes(&frame, RML_CREDIT, rows[i].body, rows[i].len);
                assert_int_equal(unpack(build_span(&frame), &control, &fault), rows[i].result);
                if (rows[i].result == 0)
                        assert_int_equal(((const Ramal__V1__Credit *)control.message)->sid, rows[i].sid);
                rml_control_free(&control);
        }
}

/* The schema and rml_kind are two lists of the same. */
static void test_control_kinds_are_those_of_the_schema(void **state) {
        (void)state;
        const ProtobufCMessageDescriptor *frame = &ramal__v1__frame__descriptor;
        char buf[24];

        assert_int_equal(frame->n_fields, 1 + 4 + KIND_LAST - KIND_FIRST + 1);
        for (unsigned i = 0; i < frame->n_fields; i++) {
                const ProtobufCFieldDescriptor *field = &frame->fields[i];
                if (field->id == 1)
                        continue;
                char name[24] = "";
                for (size_t at = 0; field->name[at]; at++)
                        name[at] = (char)(field->name[at] >= 'a' ? field->name[at] - 'a' + 'A' : field->name[at]);
                assert_string_equal(rml_kind_name(field->id, buf), name);
                if (field->id < KIND_FIRST)
                        assert_null(rml_control_descriptor(field->id));
                else
                        assert_ptr_equal(rml_control_descriptor(field->id), field->descriptor);
        }
}

static void test_control_unknown_kind_has_a_name_and_no_descriptor(void **state) {
        (void)state;
        char buf[24];
        struct build build = {.len = 0};
        struct rml_control control;
        struct rml_fault fault;

        assert_null(rml_control_descriptor(77));
        assert_string_equal(rml_kind_name(77, buf), "kind 77");
        assert_string_equal(rml_kind_name(UINT32_MAX, buf), "kind 4294967295");
        build_text(&build, 77, "");
        assert_int_equal(unpack(build_span(&build), &control, &fault), -EINVAL);
        build.len = 0;
        build_text(&build, RML_PUBLISH, "");
        assert_int_equal(unpack(build_span(&build), &control, &fault), -EINVAL);
        rml_control_free(&control);
}

static void test_control_fields_come_through(void **state) {
        (void)state;
        Ramal__V1__Subscribe subscribe = RAMAL__V1__SUBSCRIBE__INIT;
        uint8_t bytes[200];
        struct rml_control control;
        struct rml_fault fault;

        subscribe.sid = 9;
        subscribe.pattern = (char[]){"a.*.>"};
        subscribe.group = (char[]){"g"};
        subscribe.policy = RAMAL__V1__POLICY__POLICY_KEY;
        subscribe.no_queue = 1;
        subscribe.credit_bytes = UINT64_MAX;
        subscribe.tap = 1;
        size_t size = rml_control_pack(bytes, RML_SUBSCRIBE, 3, &subscribe.base);
        struct rml_span frame = {bytes + RML_PREFIX_BYTES, size - RML_PREFIX_BYTES};
        assert_int_equal(unpack(frame, &control, &fault), 0);
        const Ramal__V1__Subscribe *got = (const Ramal__V1__Subscribe *)control.message;
        assert_true(got->sid == 9 && got->policy == RAMAL__V1__POLICY__POLICY_KEY && got->no_queue && !got->replace);
        assert_true(got->credit_bytes == UINT64_MAX && got->tap && !got->sender);
        assert_string_equal(got->pattern, "a.*.>");
        assert_string_equal(got->group, "g");
        rml_control_free(&control);
}

static void test_control_fault_offset_counts_from_the_frame(void **state) {
        (void)state;
        /* id 5, SUBSCRIBE, sid twice */
        const uint8_t bytes[] = {0x08, 0x05, 0xa2, 0x01, 0x04, 0x08, 0x01, 0x08, 0x01};
        struct rml_control control;
        struct rml_fault fault;

        assert_int_equal(unpack((struct rml_span){bytes, sizeof(bytes)}, &control, &fault), -EBADMSG);
        assert_int_equal(fault.offset, 7);
        assert_non_null(strstr(fault.reason, "twice"));
        assert_null(control.message);
}

static void test_control_too_large_is_refused_unread(void **state) {
        (void)state;
        static struct build frame;
        static uint8_t zeros[RML_CONTROL_BYTES_MAX];
        struct rml_control control;
        struct rml_fault fault;

        build_varint(&frame, RML_AUTH << 3 | 2);
        build_varint(&frame, RML_CONTROL_BYTES_MAX);
        build_bytes(&frame, 1, zeros, RML_CONTROL_BYTES_MAX - 4);
        assert_int_equal(unpack(build_span(&frame), &control, &fault), 0);
        rml_control_free(&control);

        frame.len = 0;
        build_varint(&frame, RML_AUTH << 3 | 2);
        build_varint(&frame, RML_CONTROL_BYTES_MAX + 1);
        build_bytes(&frame, 1, zeros, RML_CONTROL_BYTES_MAX - 3);
        assert_int_equal(unpack(build_span(&frame), &control, &fault), -EMSGSIZE);
        assert_null(control.message);
}

/* A subject that is no UTF-8, or that ends earlier for C than on the wire, must not pass for another. */
static void test_control_fault_B24_bad_subjects_get_through_and_are_no_subjects(void **state) {
        (void)state;
        static const struct rml_span bad[] = {
                {(const uint8_t *)"a\0b", 3},
                {(const uint8_t *)"\0", 1},
                {(const uint8_t *)"\xff", 1},
                {(const uint8_t *)"a.\xed\xa0\x80", 5},
        };

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                struct build filter = {.len = 0}, body = {.len = 0}, frame = {.len = 0};
                struct rml_control control;
                struct rml_fault fault;
                build_bytes(&filter, 1, bad[i].data, bad[i].len);
                build_bytes(&body, 2, bad[i].data, bad[i].len);
                build_bytes(&body, 4, bad[i].data, bad[i].len);
                build_message(&body, 17, &filter);
                build_message(&frame, RML_SUBSCRIBE, &body);
                assert_int_equal(unpack(build_span(&frame), &control, &fault), 0);
                const Ramal__V1__Subscribe *subscribe = (const Ramal__V1__Subscribe *)control.message;
                assert_string_equal(subscribe->pattern, " ");
                assert_string_equal(subscribe->group, " ");
                assert_string_equal(subscribe->sender->name, " ");
                assert_non_null(rml_subject_check(rml_span_of(subscribe->pattern), RML_PATTERN));
                rml_control_free(&control);

                struct build data = {.len = 0};
                build_bytes(&data, 11, bad[i].data, bad[i].len);
                body.len = frame.len = 0;
                build_message(&body, 1, &data);
                build_message(&frame, RML_WILL, &body);
                assert_int_equal(unpack(build_span(&frame), &control, &fault), 0);
                assert_string_equal(((const Ramal__V1__Will *)control.message)->message->subject, " ");
                rml_control_free(&control);
        }
}

static void test_control_good_and_absent_subjects_stay(void **state) {
        (void)state;
        struct build body = {.len = 0}, frame = {.len = 0};
        struct rml_control control;
        struct rml_fault fault;

        build_text(&body, 2, "gr\xc3\xbcn.x");
        build_text(&body, 4, "");
        build_message(&frame, RML_SUBSCRIBE, &body);
        assert_int_equal(unpack(build_span(&frame), &control, &fault), 0);
        const Ramal__V1__Subscribe *subscribe = (const Ramal__V1__Subscribe *)control.message;
        assert_string_equal(subscribe->pattern, "gr\xc3\xbcn.x");
        assert_string_equal(subscribe->group, "");
        assert_null(subscribe->sender);
        rml_control_free(&control);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_control_every_kind_packs_and_unpacks),
                cmocka_unit_test(test_control_credit_is_as_protobuf_c_has_it),
                cmocka_unit_test(test_control_credit_that_is_not_plain_is_judged_as_ever),
                cmocka_unit_test(test_control_kinds_are_those_of_the_schema),
                cmocka_unit_test(test_control_unknown_kind_has_a_name_and_no_descriptor),
                cmocka_unit_test(test_control_fields_come_through),
                cmocka_unit_test(test_control_fault_offset_counts_from_the_frame),
                cmocka_unit_test(test_control_too_large_is_refused_unread),
                cmocka_unit_test(test_control_fault_B24_bad_subjects_get_through_and_are_no_subjects),
                cmocka_unit_test(test_control_good_and_absent_subjects_stay),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
