/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "build.h"
#include "scan.h"
#include "scan_expect.h"
#include "subject.h"

static void test_scan_data_every_field_is_read(void **state) {
        (void)state;
        struct build local = {.len = 0}, sender = {.len = 0}, ext = {.len = 0};
        struct build header = {.len = 0}, other = {.len = 0}, body = {.len = 0}, frame = {.len = 0};
        build_uint(&local, 1, UINT32_MAX);
        build_uint(&local, 2, 100);
        build_uint(&local, 3, 4711);
        build_uint(&sender, 1, 1ull << 40);
        build_message(&sender, 2, &local);
        build_text(&sender, 3, "token");
        build_text(&ext, 1, "k");
        for (uint32_t i = 2; i <= 9; i++)
                build_uint(&ext, i, i == 4 || i == 5 || i == 7 ? 1 : 100 + i);
        build_text(&header, 1, "n");
        build_text(&header, 2, "vv");
        build_text(&other, 1, "empty");

        static const uint64_t numbers[] = {0, UINT64_MAX, 12, 65, 300, 1, 0, 77, 9};
        for (uint32_t i = 1; i <= 8; i++) {
                if (i == 6)
                        build_message(&body, 6, &sender);
                else
                        build_uint(&body, i, numbers[i]);
        }
        build_text(&body, 9, "text");
        build_message(&body, 10, &ext);
        size_t hop = body.len;
        build_text(&body, 11, "a.b");
        build_text(&body, 12, "T");
        size_t before_headers = body.len;
        build_message(&body, 13, &header);
        build_message(&body, 13, &other);
        size_t headers = body.len - before_headers;
        build_text(&body, 14, "");
        size_t envelope = body.len - hop;
        build_text(&body, 15, "payload");
        build_message(&frame, RML_DELIVER, &body);

        struct rml_frame scanned;
        struct rml_data data;
        struct rml_fault fault;
        assert_int_equal(rml_scan_frame(build_span(&frame), &scanned, &fault), 0);
        assert_int_equal(rml_scan_data(&scanned, RML_FROM_BROKER, &data, &fault), 0);
        assert_true(data.sid == UINT64_MAX && data.token == 12 && data.flags == 65 && data.time_left_us == 300);
        assert_true(data.seq == 1 && data.replaced == 77 && data.code == 9);
        assert_true(data.has_sender && data.sender.peer == 1ull << 40 && data.sender.local);
        assert_true(data.sender.uid == UINT32_MAX && data.sender.gid == 100 && data.sender.pid == 4711);
        assert_true(rml_span_equal(data.sender.identity, rml_span_of("token")));
        assert_true(rml_span_equal(data.text, rml_span_of("text")));
        assert_true(rml_span_equal(data.key, rml_span_of("k")));
        assert_true(data.stream_credit == 102 && data.revision == 103 && data.nfds == 106);
        assert_true(data.must_not_exist && data.owned && data.everyone && data.origin == 108 && data.hops == 109);
        assert_int_equal(data.hop_len, hop);
        assert_ptr_equal(data.tail.data, scanned.body.data + hop);
        assert_int_equal(data.tail.len, body.len - hop);
        assert_int_equal(data.envelope_len, envelope);
        assert_true(rml_span_equal(data.subject, rml_span_of("a.b")));
        assert_true(rml_span_equal(data.type, rml_span_of("T")));
        assert_ptr_equal(data.headers.data, scanned.body.data + before_headers);
        assert_int_equal(data.headers.len, headers);
        assert_int_equal(data.header_count, 2);
        assert_int_equal(data.header_bytes, strlen("nvvempty"));
        assert_true(rml_span_equal(data.payload, rml_span_of("payload")));

        struct rml_span rest = data.headers, name, value;
        assert_true(rml_header_next(&rest, &name, &value));
        assert_true(rml_span_equal(name, rml_span_of("n")) && rml_span_equal(value, rml_span_of("vv")));
        assert_true(rml_header_next(&rest, &name, &value));
        assert_true(rml_span_equal(name, rml_span_of("empty")) && value.len == 0);
        assert_false(rml_header_next(&rest, &name, &value));
}

static void test_scan_data_empty_body_has_nothing(void **state) {
        (void)state;
        struct build frame = {.len = 0};
        struct rml_frame scanned;
        struct rml_data data;
        struct rml_fault fault;

        build_text(&frame, RML_PUBLISH, "");
        assert_int_equal(rml_scan_frame(build_span(&frame), &scanned, &fault), 0);
        memset(&data, 0xff, sizeof(data));
        assert_int_equal(rml_scan_data(&scanned, RML_FROM_CLIENT, &data, &fault), 0);
        assert_int_equal(data.hop_len, 0);
        assert_int_equal(data.tail.len, 0);
        assert_int_equal(data.envelope_len, 0);
        assert_null(data.subject.data);
        assert_null(data.payload.data);
        assert_false(data.has_sender);
        assert_int_equal(data.header_count, 0);
        assert_int_equal(data.hops, 0);
        assert_false(data.everyone);
}

static void test_scan_data_cut_is_at_the_first_end_to_end_field(void **state) {
        (void)state;
        struct build frame = {.len = 0};
        struct rml_frame scanned;
        struct rml_data data;
        struct rml_fault fault;

        /* flags, then only a payload */
        build_bytes(&frame, RML_PUBLISH, (const uint8_t[]){0x18, 0x02, 0x7a, 0x02, 'h', 'i'}, 6);
        assert_int_equal(rml_scan_frame(build_span(&frame), &scanned, &fault), 0);
        assert_int_equal(rml_scan_data(&scanned, RML_FROM_CLIENT, &data, &fault), 0);
        assert_int_equal(data.hop_len, 2);
        assert_int_equal(data.tail.len, 4);
        assert_int_equal(data.envelope_len, 0);
        assert_int_equal(data.flags, 2);

        /* a hop header and no tail at all */
        frame.len = 0;
        build_bytes(&frame, RML_REPLY, (const uint8_t[]){0x10, 0x07}, 2);
        assert_int_equal(rml_scan_frame(build_span(&frame), &scanned, &fault), 0);
        assert_int_equal(rml_scan_data(&scanned, RML_FROM_CLIENT, &data, &fault), 0);
        assert_int_equal(data.hop_len, 2);
        assert_int_equal(data.tail.len, 0);
        assert_int_equal(data.token, 7);
}

static void test_scan_data_explicit_zeros_are_accepted(void **state) {
        (void)state;
        expect_body_good(RML_PUBLISH, RML_FROM_CLIENT,
                         BODY(0x18, 0, 0x20, 0, 0x52, 2, 0x20, 0, 0x5a, 0, 0x62, 0, 0x7a, 0));
        expect_body_good(RML_DELIVER, RML_FROM_BROKER,
                         BODY(0x08, 0, 0x10, 0, 0x18, 0, 0x28, 0, 0x32, 4, 0x08, 0, 0x12, 0));
}

static void test_scan_data_fault_B26_broker_only_fields_from_a_client_are_malformed(void **state) {
        (void)state;
        static const uint32_t kinds[] = {RML_PUBLISH, RML_CALL, RML_REPLY, RML_DELIVER};

        for (size_t i = 0; i < 4; i++) {
                expect_body_fault(kinds[i], RML_FROM_CLIENT, BODY(0x08, 1), 0, "client"); /* sid */
                expect_body_fault(kinds[i], RML_FROM_CLIENT, BODY(0x08, 0), 0, "client"); /* even when it is 0 */
                expect_body_fault(kinds[i], RML_FROM_CLIENT, BODY(0x28, 1), 0, "client"); /* seq */
                expect_body_fault(kinds[i], RML_FROM_CLIENT, BODY(0x32, 2, 0x08, 7), 0, "client"); /* sender */
                expect_body_fault(kinds[i], RML_FROM_CLIENT, BODY(0x32, 0), 0, "client");
                expect_body_fault(kinds[i], RML_FROM_CLIENT, BODY(0x38, 1), 0, "client"); /* replaced */
        }
        /* MOVED, REDELIVERED, RETAINED, CALL, alone and among good ones */
        expect_body_fault(RML_PUBLISH, RML_FROM_CLIENT, BODY(0x18, 8), 0, "flag");
        expect_body_fault(RML_PUBLISH, RML_FROM_CLIENT, BODY(0x18, 16 | 2), 0, "flag");
        expect_body_fault(RML_CALL, RML_FROM_CLIENT, BODY(0x18, 32), 0, "flag");
        expect_body_fault(RML_REPLY, RML_FROM_CLIENT, BODY(0x18, 64 | 4), 0, "flag");
}

static void test_scan_data_fields_of_other_kinds_are_malformed_from_a_client(void **state) {
        (void)state;
        expect_body_good(RML_PUBLISH, RML_FROM_CLIENT, BODY(0x18, 3, 0x20, 5, 0x52, 0));
        expect_body_good(RML_CALL, RML_FROM_CLIENT, BODY(0x20, 5, 0x52, 2, 0x10, 9));
        expect_body_good(RML_REPLY, RML_FROM_CLIENT, BODY(0x10, 1, 0x18, 4, 0x40, 5, 0x4a, 1, 'x', 0x52, 0));
        expect_body_fault(RML_PUBLISH, RML_FROM_CLIENT, BODY(0x10, 1), 0, "client"); /* token */
        expect_body_fault(RML_CALL, RML_FROM_CLIENT, BODY(0x10, 1), 0, "client");
        expect_body_fault(RML_PUBLISH, RML_FROM_CLIENT, BODY(0x40, 1), 0, "client");        /* code */
        expect_body_fault(RML_CALL, RML_FROM_CLIENT, BODY(0x4a, 1, 'x'), 0, "client");      /* text */
        expect_body_fault(RML_REPLY, RML_FROM_CLIENT, BODY(0x10, 1, 0x20, 5), 2, "client"); /* time_left_us */
        expect_body_fault(RML_PUBLISH, RML_FROM_CLIENT, BODY(0x18, 4), 0, "flag");          /* MORE */
        expect_body_fault(RML_CALL, RML_FROM_CLIENT, BODY(0x18, 2), 0, "flag");             /* RECEIPT */
        expect_body_fault(RML_REPLY, RML_FROM_CLIENT, BODY(0x18, 1), 0, "flag");            /* RETAIN */
        /* flags that nobody knows are for the receiver to refuse */
        expect_body_good(RML_PUBLISH, RML_FROM_CLIENT, BODY(0x18, 0x82, 0x04)); /* 512 + 2 */
        expect_body_good(RML_CALL, RML_FROM_CLIENT, BODY(0x18, 0x80, 0x04));
        expect_body_fault(RML_PUBLISH, RML_FROM_CLIENT, BODY(0x18, 0x80, 0x01), 0, "flag"); /* TAPPED */
        expect_body_fault(RML_REPLY, RML_FROM_CLIENT, BODY(0x18, 0x80, 0x02), 0, "flag");   /* ANSWER */
        /* the broker may set all */
        expect_body_good(RML_DELIVER, RML_FROM_BROKER,
                         BODY(0x08, 1, 0x10, 2, 0x18, 0x78, 0x20, 9, 0x28, 3, 0x32, 0, 0x38, 1));
}

static void test_scan_data_fault_B20_singular_fields_twice_are_malformed(void **state) {
        (void)state;
        for (uint32_t field = 1; field <= 15; field++) {
                struct build body = {.len = 0};
                bool number = field <= 8 && field != 6;
                for (int i = 0; i < 2; i++) {
                        if (number)
                                build_uint(&body, field, 1);
                        else if (field == 13)
                                build_bytes(&body, 13, "\x0a\x01n", 3);
                        else
                                build_text(&body, field, "");
                }
                if (field == 13)
                        expect_body_good(RML_DELIVER, RML_FROM_BROKER, build_span(&body));
                else
                        expect_body_fault(RML_DELIVER, RML_FROM_BROKER, build_span(&body), body.len / 2, "twice");
        }
}

static void test_scan_data_fault_B20_B21_fields_in_parts_are_read_once(void **state) {
        (void)state;
        const struct bad table[] = {
                {"twice", 4, BODY(0x32, 6, 0x12, 0, 0x12, 0, 0x1a, 0)},      /* sender.local */
                {"twice", 4, BODY(0x32, 4, 0x08, 1, 0x08, 1)},               /* sender.peer */
                {"twice", 4, BODY(0x32, 4, 0x1a, 0, 0x1a, 0)},               /* sender.identity */
                {"twice", 6, BODY(0x32, 6, 0x12, 4, 0x08, 0, 0x08, 0)},      /* sender.local.uid */
                {"twice", 4, BODY(0x52, 4, 0x0a, 0, 0x0a, 0)},               /* hop_ext.key */
                {"twice", 4, BODY(0x52, 4, 0x38, 1, 0x38, 1)},               /* hop_ext.everyone */
                {"twice", 5, BODY(0x6a, 6, 0x0a, 1, 'n', 0x0a, 1, 'm')},     /* header.name */
                {"twice", 7, BODY(0x6a, 7, 0x0a, 1, 'n', 0x12, 0, 0x12, 0)}, /* header.value */
        };
        EXPECT_BAD(RML_DELIVER, RML_FROM_BROKER, table);
}

static void test_scan_data_fields_out_of_order_are_malformed(void **state) {
        (void)state;
        const struct bad table[] = {
                {"ascending", 2, BODY(0x10, 1, 0x08, 1)},
                {"ascending", 2, BODY(0x5a, 0, 0x18, 0)}, /* hop behind the cut */
                {"ascending", 2, BODY(0x7a, 0, 0x5a, 0)}, /* something behind the payload */
                {"ascending", 7, BODY(0x6a, 3, 0x0a, 1, 'n', 0x72, 0, 0x6a, 3, 0x0a, 1, 'm')},
                {"ascending", 4, BODY(0x32, 4, 0x12, 0, 0x08, 1)},          /* in sender */
                {"ascending", 6, BODY(0x32, 6, 0x12, 4, 0x10, 1, 0x08, 1)}, /* in local */
                {"ascending", 4, BODY(0x52, 4, 0x10, 1, 0x0a, 0)},          /* in hop_ext */
                {"ascending", 4, BODY(0x6a, 5, 0x12, 0, 0x0a, 1, 'n')},     /* in a header */
                {"follows", 2, BODY(0x7a, 0, 0x82, 0x01, 0)},               /* 16 */
                {"follows", 0, BODY(0x80, 0x01, 0)},
        };
        EXPECT_BAD(RML_DELIVER, RML_FROM_BROKER, table);
}

static void test_scan_data_fault_B18_wrong_wire_types_are_malformed(void **state) {
        (void)state;
        for (uint32_t field = 1; field <= 15; field++) {
                for (uint32_t wire = 0; wire <= 5; wire++) {
                        bool number = field <= 8 && field != 6;
                        if (wire == 3 || wire == 4 || wire == (number ? 0 : 2))
                                continue;
                        struct build body = {.len = 0};
                        build_varint(&body, field << 3 | wire);
                        build_raw(&body, "\0\0\0\0\0\0\0\0", wire == 1 ? 8 : wire == 5 ? 4 : 1);
                        expect_body_fault(RML_DELIVER, RML_FROM_BROKER, build_span(&body), 0, "wrong wire type");
                }
        }
        const struct bad table[] = {
                {"wrong wire type", 2, BODY(0x32, 2, 0x0a, 0)},          /* sender.peer as bytes */
                {"wrong wire type", 2, BODY(0x32, 2, 0x10, 0)},          /* sender.local as a number */
                {"wrong wire type", 4, BODY(0x32, 4, 0x12, 2, 0x0a, 0)}, /* uid as bytes */
                {"wrong wire type", 2, BODY(0x52, 2, 0x08, 0)},          /* key as a number */
                {"wrong wire type", 2, BODY(0x52, 2, 0x12, 0)},          /* stream_credit as bytes */
                {"wrong wire type", 2, BODY(0x6a, 2, 0x08, 0)},          /* header.name as a number */
                {"wrong wire type", 5, BODY(0x6a, 8, 0x0a, 1, 'n', 0x15, 0, 0, 0, 0)},
        };
        EXPECT_BAD(RML_DELIVER, RML_FROM_BROKER, table);
}

static void test_scan_data_fault_B14_B15_B16_B17_B23_within_the_body(void **state) {
        (void)state;
        const struct bad table[] = {
                {"cut off", 1, BODY(0x10)},
                {"cut off", 1, BODY(0x10, 0x80)},
                {"cut off", 1, BODY(0x5a)},
                {"more than 64", 1, BODY(0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f)},
                {"longer", 1, BODY(0x10, 0x80, 0x00)},
                {"longer", 0, BODY(0x90, 0x00, 0x01)},
                {"longer", 1, BODY(0x7a, 0x81, 0x00, 'x')},
                {"no field", 0, BODY(0x00, 0x00)},
                {"no field", 0, BODY(0x02, 0x00)},
                {"group", 0, BODY(0x13, 0x14)},
                {"wire type", 0, BODY(0x17)},
                {"behind", 0, BODY(0x7a, 0x01)},
                {"behind", 0, BODY(0x7a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f)},
                /* lengths inside must stay inside, whatever follows outside */
                {"behind", 2, BODY(0x32, 2, 0x1a, 1, 0x38, 1)},
                {"behind", 4, BODY(0x32, 4, 0x08, 1, 0x1a, 5, 0x38, 1)},
                {"behind", 2, BODY(0x52, 2, 0x0a, 4, 'a', 'b', 'c', 'd')},
                {"behind", 2, BODY(0x6a, 2, 0x0a, 1, 'n')},
                {"cut off", 3, BODY(0x52, 2, 0x10, 0x80, 0x01)},
        };
        EXPECT_BAD(RML_DELIVER, RML_FROM_BROKER, table);
}

static void test_scan_data_numbers_fit_their_type(void **state) {
        (void)state;
        const struct bad table[] = {
                {"32 bits", 0, BODY(0x18, 0x80, 0x80, 0x80, 0x80, 0x10)},                   /* flags = 2^32 */
                {"32 bits", 0, BODY(0x40, 0x80, 0x80, 0x80, 0x80, 0x10)},                   /* code */
                {"32 bits", 4, BODY(0x32, 8, 0x12, 6, 0x08, 0x80, 0x80, 0x80, 0x80, 0x10)}, /* uid: not 0 */
                {"32 bits", 2, BODY(0x52, 6, 0x30, 0x80, 0x80, 0x80, 0x80, 0x10)},          /* nfds */
                {"truth", 2, BODY(0x52, 2, 0x20, 2)},
                {"truth", 2, BODY(0x52, 2, 0x28, 2)},
                {"truth", 2, BODY(0x52, 3, 0x38, 0x80, 0x01)},
        };
        EXPECT_BAD(RML_DELIVER, RML_FROM_BROKER, table);
        expect_body_good(RML_DELIVER, RML_FROM_BROKER, BODY(0x40, 0xff, 0xff, 0xff, 0xff, 0x0f));
}

static void test_scan_data_fault_B24_bad_utf8_closes_but_in_a_subject(void **state) {
        (void)state;
        const struct bad table[] = {
                {"UTF-8", 0, BODY(0x4a, 1, 0xff)},                      /* text */
                {"UTF-8", 0, BODY(0x4a, 1, 0)},                         /* NUL */
                {"UTF-8", 0, BODY(0x62, 2, 0xc0, 0xaf)},                /* type, over-long */
                {"UTF-8", 2, BODY(0x32, 5, 0x1a, 3, 0xed, 0xa0, 0x80)}, /* identity, surrogate */
                {"UTF-8", 2, BODY(0x52, 3, 0x0a, 1, 0x80)},             /* key */
                {"UTF-8", 2, BODY(0x6a, 4, 0x0a, 2, 'n', 0x80)},        /* header name */
        };
        EXPECT_BAD(RML_DELIVER, RML_FROM_BROKER, table);
        /* the router answers BAD_SUBJECT */
        expect_body_good(RML_PUBLISH, RML_FROM_CLIENT, BODY(0x5a, 3, 'a', 0xff, 0));
        expect_body_good(RML_CALL, RML_FROM_CLIENT, BODY(0x5a, 0));
}

static void test_scan_data_fault_B32_payload_and_header_values_are_opaque(void **state) {
        (void)state;
        struct build body = {.len = 0}, header = {.len = 0};
        uint8_t every[256];

        for (size_t i = 0; i < sizeof(every); i++)
                every[i] = (uint8_t)(255 - i);
        build_text(&header, 1, "n");
        build_bytes(&header, 2, every, sizeof(every));
        build_message(&body, 13, &header);
        build_bytes(&body, 15, every, sizeof(every));
        expect_body_good(RML_PUBLISH, RML_FROM_CLIENT, build_span(&body));
}

static void test_scan_data_fault_B19_unknown_fields_only_in_the_hop_header(void **state) {
        (void)state;
        expect_body_good(RML_PUBLISH, RML_FROM_CLIENT, BODY(0x52, 6, 0x10, 1, 0xfa, 0x01, 1, 'x'));
        expect_body_good(RML_DELIVER, RML_FROM_BROKER, BODY(0x32, 4, 0x08, 1, 0x22, 0));
        expect_body_good(RML_DELIVER, RML_FROM_BROKER, BODY(0x32, 6, 0x12, 4, 0x08, 1, 0x20, 0));
        const struct bad table[] = {
                {"unknown", 2, BODY(0x72, 2, 0x08, 1)},                             /* ext */
                {"unknown", 5, BODY(0x6a, 5, 0x0a, 1, 'n', 0x18, 1)},               /* header */
                {"wire type", 2, BODY(0x52, 2, 0x5b, 0x5c)},                        /* an unknown group */
                {"no field", 4, BODY(0x52, 8, 0x10, 1, 0xc2, 0xa3, 0x09, 0, 0, 0)}, /* 19000 */
        };
        EXPECT_BAD(RML_PUBLISH, RML_FROM_CLIENT, table);

        /* sixteen pass, seventeen do not; 1024 bytes pass, one more does not */
        struct build ext = {.len = 0}, body = {.len = 0};
        for (uint32_t i = 0; i < 16; i++)
                build_uint(&ext, 10, 0);
        build_message(&body, 10, &ext);
        expect_body_good(RML_PUBLISH, RML_FROM_CLIENT, build_span(&body));
        build_uint(&ext, 10, 0);
        body.len = 0;
        build_message(&body, 10, &ext);
        expect_body_fault(RML_PUBLISH, RML_FROM_CLIENT, build_span(&body), 2 + 32, "too many unknown");

        static const uint8_t zeros[1100];
        for (size_t len = 1021; len <= 1022; len++) {
                ext.len = 0;
                body.len = 0;
                build_bytes(&ext, 10, zeros, len); /* a tag and two bytes of length */
                build_message(&body, 10, &ext);
                if (len == 1021)
                        expect_body_good(RML_PUBLISH, RML_FROM_CLIENT, build_span(&body));
                else
                        expect_body_fault(RML_PUBLISH, RML_FROM_CLIENT, build_span(&body), 3, "too many unknown");
        }
}

static void test_scan_data_header_names_have_1_to_255_bytes(void **state) {
        (void)state;
        char name[257];

        memset(name, 'n', sizeof(name));
        for (size_t len = 0; len <= 256; len++) {
                struct build header = {.len = 0}, body = {.len = 0};
                build_bytes(&header, 1, name, len);
                build_message(&body, 13, &header);
                if (len == 0 || len == 256)
                        expect_body_fault(RML_PUBLISH, RML_FROM_CLIENT, build_span(&body), 0, "header's name");
                else
                        expect_body_good(RML_PUBLISH, RML_FROM_CLIENT, build_span(&body));
        }
        expect_body_fault(RML_PUBLISH, RML_FROM_CLIENT, BODY(0x6a, 0), 0, "header's name");
        expect_body_fault(RML_PUBLISH, RML_FROM_CLIENT, BODY(0x6a, 3, 0x12, 1, 'v'), 0, "header's name");
}

static void test_scan_data_fault_B31_headers_are_counted(void **state) {
        (void)state;
        static struct build body, frame;
        struct build header = {.len = 0};
        struct rml_frame scanned;
        struct rml_data data;
        struct rml_fault fault;

        build_text(&header, 1, "nm");
        build_text(&header, 2, "val");
        for (unsigned i = 0; i < 5000; i++)
                build_message(&body, 13, &header);
        build_message(&frame, RML_PUBLISH, &body);
        assert_int_equal(rml_scan_frame(build_span(&frame), &scanned, &fault), 0);
        assert_int_equal(rml_scan_data(&scanned, RML_FROM_CLIENT, &data, &fault), 0);
        assert_int_equal(data.header_count, 5000);
        assert_int_equal(data.header_bytes, 25000);
        assert_int_equal(data.envelope_len, body.len);

        struct rml_span rest = data.headers, name, value;
        unsigned count = 0;
        while (rml_header_next(&rest, &name, &value))
                count++;
        assert_int_equal(count, 5000);
}

static void test_scan_data_fault_A05_cut_off_anywhere_is_malformed(void **state) {
        (void)state;
        const struct rml_span body =
                BODY(0x08, 0x01, 0x10, 0x80, 0x01, 0x32, 0x09, 0x08, 0x07, 0x12, 0x05, 0x08, 0xe8, 0x07, 0x10, 0x00,
                     0x5a, 0x01, 'a', 0x6a, 0x03, 0x0a, 0x01, 'n', 0x7a, 0x02, 'h', 'i');
        static struct build frame;
        struct rml_fault fault;

        wrap(&frame, RML_DELIVER, body);
        expect_good(build_span(&frame), RML_FROM_BROKER);
        /* Wherever the bytes end, no read goes past them: the sanitizer looks on. */
        for (size_t len = 1; len < frame.len; len++)
                assert_int_equal(scan_copy((struct rml_span){frame.bytes, len}, RML_FROM_BROKER, &fault), -EBADMSG);
}

static void test_scan_header_next_ends_on_foreign_bytes(void **state) {
        (void)state;
        struct rml_span name, value;

        struct rml_span rest = BODY(0x6a, 0x05, 'x');
        assert_false(rml_header_next(&rest, &name, &value));
        rest = BODY(0x7a, 0x01, 'x');
        assert_false(rml_header_next(&rest, &name, &value));
        rest = (struct rml_span){NULL, 0};
        assert_false(rml_header_next(&rest, &name, &value));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_scan_data_every_field_is_read),
                cmocka_unit_test(test_scan_data_empty_body_has_nothing),
                cmocka_unit_test(test_scan_data_cut_is_at_the_first_end_to_end_field),
                cmocka_unit_test(test_scan_data_explicit_zeros_are_accepted),
                cmocka_unit_test(test_scan_data_fault_B26_broker_only_fields_from_a_client_are_malformed),
                cmocka_unit_test(test_scan_data_fields_of_other_kinds_are_malformed_from_a_client),
                cmocka_unit_test(test_scan_data_fault_B20_singular_fields_twice_are_malformed),
                cmocka_unit_test(test_scan_data_fault_B20_B21_fields_in_parts_are_read_once),
                cmocka_unit_test(test_scan_data_fields_out_of_order_are_malformed),
                cmocka_unit_test(test_scan_data_fault_B18_wrong_wire_types_are_malformed),
                cmocka_unit_test(test_scan_data_fault_B14_B15_B16_B17_B23_within_the_body),
                cmocka_unit_test(test_scan_data_numbers_fit_their_type),
                cmocka_unit_test(test_scan_data_fault_B24_bad_utf8_closes_but_in_a_subject),
                cmocka_unit_test(test_scan_data_fault_B32_payload_and_header_values_are_opaque),
                cmocka_unit_test(test_scan_data_fault_B19_unknown_fields_only_in_the_hop_header),
                cmocka_unit_test(test_scan_data_header_names_have_1_to_255_bytes),
                cmocka_unit_test(test_scan_data_fault_B31_headers_are_counted),
                cmocka_unit_test(test_scan_data_fault_A05_cut_off_anywhere_is_malformed),
                cmocka_unit_test(test_scan_header_next_ends_on_foreign_bytes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
