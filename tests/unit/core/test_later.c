/* SPDX-License-Identifier: MIT */
/* What this release does not do yet: each field of it alone is named, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/check.h"
#include "later.h"

#define RETAIN RAMAL__V1__DATA_FLAG__DATA_FLAG_RETAIN
#define RECEIPT RAMAL__V1__DATA_FLAG__DATA_FLAG_RECEIPT
#define UNKNOWN_FLAG (1u << 30)

static void test_later_names_each_field_of_data_alone(void **state) {
        static const struct {
                struct rml_data data;
                const char *publish, *call;
        } cases[] = {
                {{.flags = RETAIN}, "publish.flags.retain", NULL},
                {{.flags = UNKNOWN_FLAG}, "publish.flags", "call.flags"},
                {{.flags = RECEIPT}, NULL, NULL},
                {{.revision = 1}, "publish.hop_ext.revision", NULL},
                {{.must_not_exist = true}, "publish.hop_ext.must_not_exist", NULL},
                {{.owned = true}, "publish.hop_ext.owned", NULL},
                {{.everyone = true}, NULL, "call.hop_ext.everyone"},
                {{.nfds = 1}, "publish.hop_ext.nfds", "call.hop_ext.nfds"},
                {{.origin = 1}, "publish.hop_ext.origin", "call.hop_ext.origin"},
                {{.hops = 1}, "publish.hop_ext.origin", "call.hop_ext.origin"},
                {{.seq = 1, .token = 1, .time_left_us = 1}, NULL, NULL},
        };

        (void)state;
        for (size_t i = 0; i < RML_COUNT(cases); i++) {
                const char *publish = later_in_data(RML_PUBLISH, &cases[i].data);
                const char *call = later_in_data(RML_CALL, &cases[i].data);

                assert_string_equal(publish ? publish : "-", cases[i].publish ? cases[i].publish : "-");
                assert_string_equal(call ? call : "-", cases[i].call ? cases[i].call : "-");
                assert_null(later_in_data(RML_REPLY, &cases[i].data)); /* the scan looks at those of a reply */
        }
}

static const char *in_subscribe(const Ramal__V1__Subscribe *message) {
        const char *field = later_in_control(RML_SUBSCRIBE, &message->base);

        return field ? field : "-";
}

static void test_later_names_each_field_of_subscribe_alone(void **state) {
        Ramal__V1__Sender sender = RAMAL__V1__SENDER__INIT;
        Ramal__V1__Subscribe message;

        (void)state;
        ramal__v1__subscribe__init(&message);
        assert_string_equal(in_subscribe(&message), "-");
        message.policy = RAMAL__V1__POLICY__POLICY_KEY;
        message.overflow = RAMAL__V1__OVERFLOW__OVERFLOW_BLOCK;
        assert_string_equal(in_subscribe(&message), "-");
        message.overflow++;
        assert_string_equal(in_subscribe(&message), "subscribe.overflow");
        message.policy++;
        assert_string_equal(in_subscribe(&message), "subscribe.policy");
        ramal__v1__subscribe__init(&message);
        message.start = RAMAL__V1__START__START_LAST;
        assert_string_equal(in_subscribe(&message), "subscribe.start");
        ramal__v1__subscribe__init(&message);
        message.start_at = 1;
        assert_string_equal(in_subscribe(&message), "subscribe.start");
        ramal__v1__subscribe__init(&message);
        message.sender = (void *)&sender;
        assert_string_equal(in_subscribe(&message), "subscribe.sender");
        ramal__v1__subscribe__init(&message);
        message.no_local = true;
        assert_string_equal(in_subscribe(&message), "subscribe.no_local");
}

static void test_later_names_what_other_control_frames_ask_for(void **state) {
        Ramal__V1__Unsubscribe unsubscribe = RAMAL__V1__UNSUBSCRIBE__INIT;
        Ramal__V1__Hello hello = RAMAL__V1__HELLO__INIT;
        uint8_t token[4] = {0};

        (void)state;
        assert_null(later_in_control(RML_UNSUBSCRIBE, &unsubscribe.base));
        unsubscribe.drain_us = 1;
        assert_string_equal(later_in_control(RML_UNSUBSCRIBE, &unsubscribe.base), "unsubscribe.drain");
        unsubscribe = (Ramal__V1__Unsubscribe)RAMAL__V1__UNSUBSCRIBE__INIT;
        unsubscribe.drain = true;
        assert_string_equal(later_in_control(RML_UNSUBSCRIBE, &unsubscribe.base), "unsubscribe.drain");
        assert_null(later_in_control(RML_HELLO, &hello.base));
        hello.resume = (ProtobufCBinaryData){sizeof(token), token};
        assert_string_equal(later_in_control(RML_HELLO, &hello.base), "hello.resume");
        assert_string_equal(later_in_control(RML_WILL, NULL), "will");
        assert_string_equal(later_in_control(RML_ACK, NULL), "ack");
        assert_null(later_in_control(RML_PING, NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_later_names_each_field_of_data_alone),
                cmocka_unit_test(test_later_names_each_field_of_subscribe_alone),
                cmocka_unit_test(test_later_names_what_other_control_frames_ask_for),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
