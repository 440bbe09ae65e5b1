/* SPDX-License-Identifier: MIT */
/* The sender of a message is read in a short way where it is written as the broker writes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "build.h"
#include "encode.h"
#include "scan.h"
#include "subject.h"

/* Bytes of a sender as the broker writes them; often one of them is another one, or missing. */
static size_t random_sender(uint32_t *random, uint8_t bytes[64]) {
        static const uint64_t values[] = {0, 1, 127, 128, 1000, 16383, 16384, 70000, 1u << 21, UINT32_MAX, 1ull << 40};
        static const uint8_t spoilt[] = {0x00, 0x08, 0x10, 0x12, 0x18, 0x1a, 0x20, 0x7f, 0x80, 0xff};
        struct rml_sender sender = {.local = true};
        uint32_t next[7];

        for (size_t i = 0; i < RML_COUNT(next); i++) {
                *random = *random * 1664525 + 1013904223;
                next[i] = *random >> 8;
        }
        sender.peer = values[next[0] % RML_COUNT(values)];
        sender.uid = (uint32_t)values[next[1] % 10];
        sender.gid = (uint32_t)values[next[2] % 10];
        sender.pid = (uint32_t)values[next[3] % 10];
        sender.local = next[4] % 8 > 0;
        if (next[4] % 16 == 1)
                sender.identity = rml_span_of("token");
        uint8_t field[RML_SENDER_BYTES_MAX];
        size_t len = rml_put_sender(field, &sender) - 2;
        memcpy(bytes, field + 2, len);
        if (len > 0 && next[5] % 2 == 0)
                bytes[next[6] % len] = spoilt[(next[6] >> 8) % RML_COUNT(spoilt)];
        return len > 0 && next[5] % 16 == 1 ? len - 1 : len;
}

/* With flags before it, it is read by the general way. */
static int scan_sender_in(uint8_t body[128], const uint8_t *bytes, size_t len, bool flags, struct rml_data *ret) {
        uint8_t *at = body;
        struct rml_fault fault;

        if (flags) {
                *at++ = 3 << 3;
                *at++ = 1;
        }
        *at++ = 6 << 3 | 2;
        *at++ = (uint8_t)len;
        memcpy(at, bytes, len);
        at += len;
        *at++ = 11 << 3 | 2;
        *at++ = 1;
        *at++ = 'a';
        const struct rml_frame frame = {.kind = RML_DELIVER, .body = {body, (size_t)(at - body)}};
        return rml_scan_data(&frame, RML_FROM_BROKER, ret, &fault);
}

static void test_scan_sender_is_read_alike_the_short_and_the_general_way(void **state) {
        (void)state;
        uint32_t random = 1;
        unsigned good = 0, bad = 0;

        for (unsigned i = 0; i < 100000; i++) {
                struct rml_data one, other;
                uint8_t bytes[64], body[2][128];
                size_t len = random_sender(&random, bytes);
                int r = scan_sender_in(body[0], bytes, len, false, &one);

                assert_int_equal(r, scan_sender_in(body[1], bytes, len, true, &other));
                good += r == 0;
                bad += r < 0;
                if (r < 0)
                        continue;
                assert_true(one.has_sender && other.has_sender);
                assert_true(one.sender.peer == other.sender.peer && one.sender.local == other.sender.local);
                assert_true(one.sender.uid == other.sender.uid && one.sender.gid == other.sender.gid);
                assert_true(one.sender.pid == other.sender.pid);
                assert_true(rml_span_equal(one.sender.identity, other.sender.identity));
                assert_true(rml_span_equal(one.subject, other.subject));
        }
        assert_true(good > 30000 && bad > 20000);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_scan_sender_is_read_alike_the_short_and_the_general_way),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
