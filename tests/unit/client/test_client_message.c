/* SPDX-License-Identifier: MIT */
#include "fake.h"

#include "client/conn_private.h"

#include <stdlib.h>

static const uint8_t *bytes(const char *text) {
        return (const uint8_t *)text;
}

/* A received message with two headers. encoded: room for them. */
static struct rml_data sample(uint8_t encoded[128]) {
        struct rml_data data = {.seq = 42, .replaced = 3, .flags = RAMAL_MSG_MOVED | 64, .has_sender = true};
        size_t len = rml_put_header(encoded, rml_span_of("trace"), rml_span_of("abc"));

        len += rml_put_header(encoded + len, rml_span_of("empty"), (struct rml_span){NULL, 0});
        data.subject = (struct rml_span){bytes("a.b|"), 3};
        data.type = (struct rml_span){bytes("T|"), 1};
        data.payload = (struct rml_span){bytes("payload|"), 7};
        data.headers = (struct rml_span){encoded, len};
        data.header_count = 2;
        data.sender = (struct rml_sender){.peer = 5, .local = true, .uid = 10, .gid = 20, .pid = 30};
        return data;
}

static void check_sample(const ramal_msg *msg) {
        size_t len;

        assert_string_equal(ramal_msg_subject(msg), "a.b");
        assert_string_equal(ramal_msg_type(msg), "T");
        assert_memory_equal(ramal_msg_data(msg, &len), "payload", 7);
        assert_int_equal(len, 7);
        assert_int_equal(ramal_msg_seq(msg), 42);
        assert_int_equal(ramal_msg_replaced(msg), 3);
        assert_int_equal(ramal_msg_flags(msg), RAMAL_MSG_MOVED);
        const ramal_sender *sender = ramal_msg_sender(msg);
        assert_int_equal(sender->peer, 5);
        assert_true(sender->local);
        assert_int_equal(sender->uid, 10);
        assert_int_equal(sender->gid, 20);
        assert_int_equal(sender->pid, 30);
        assert_string_equal(sender->identity, "");
        assert_memory_equal(ramal_msg_header(msg, "trace", &len), "abc", 3);
        assert_int_equal(len, 3);
        assert_non_null(ramal_msg_header(msg, "empty", &len));
        assert_int_equal(len, 0);
        assert_null(ramal_msg_header(msg, "trac", &len));
        assert_null(ramal_msg_header(msg, "tracer", NULL));
        assert_int_equal(ramal_msg_header_count(msg), 2);
}

static void test_message_borrowed_shows_all_fields(void **state) {
        uint8_t encoded[128];
        struct rml_data data = sample(encoded);
        struct rml_msg_view view;

        (void)state;
        check_sample(rml_msg_view(&view, &data, 0));
        check_sample(&view.msg); /* the texts are made only once */
}

static void test_message_kept_outlives_the_buffer(void **state) {
        uint8_t *encoded = malloc(128);
        struct rml_data data = sample(encoded);
        struct rml_msg_view view;

        (void)state;
        ramal_msg *kept = ramal_msg_ref(rml_msg_view(&view, &data, 0));
        assert_ptr_not_equal(kept, &view.msg);
        memset(&view, 0xee, sizeof(view));
        memset(encoded, 0xee, 128);
        free(encoded);
        check_sample(kept);
        assert_ptr_equal(ramal_msg_ref(kept), kept);
        assert_null(ramal_msg_unref(kept));
        check_sample(kept);
        ramal_msg_unref(kept);
}

static void test_message_headers_walk_in_order(void **state) {
        uint8_t encoded[128];
        struct rml_data data = sample(encoded);
        struct rml_msg_view view;
        ramal_header header;
        size_t cursor = 0;

        (void)state;
        ramal_msg *msg = rml_msg_view(&view, &data, 0);
        assert_true(ramal_msg_header_next(msg, &cursor, &header));
        assert_int_equal(header.name_len, 5);
        assert_memory_equal(header.name, "trace", 5);
        assert_true(ramal_msg_header_next(msg, &cursor, &header));
        assert_memory_equal(header.name, "empty", 5);
        assert_int_equal(header.value_len, 0);
        assert_non_null(header.value);
        assert_false(ramal_msg_header_next(msg, &cursor, &header));
        assert_false(ramal_msg_header_next(msg, &cursor, &header));
}

static void test_message_empty_reads_as_empty_not_null(void **state) {
        struct rml_data data = {.seq = 1};
        struct rml_msg_view view;
        size_t len = 9;

        (void)state;
        ramal_msg *msg = rml_msg_view(&view, &data, 0);
        ramal_msg *kept = ramal_msg_ref(msg);
        for (int i = 0; i < 2; i++, msg = kept) {
                assert_non_null(ramal_msg_data(msg, &len));
                assert_int_equal(len, 0);
                assert_string_equal(ramal_msg_subject(msg), "");
                assert_string_equal(ramal_msg_type(msg), "");
                assert_int_equal(ramal_msg_header_count(msg), 0);
        }
        ramal_msg_unref(kept);
}

static void test_message_without_uid_never_reads_as_root(void **state) {
        struct rml_data data = {.has_sender = true};
        struct rml_msg_view view;

        (void)state;
        data.sender.peer = 4;
        data.sender.identity = rml_span_of("token");
        ramal_msg *msg = rml_msg_view(&view, &data, 0);
        ramal_msg *kept = ramal_msg_ref(msg);
        for (int i = 0; i < 2; i++, msg = kept) {
                const ramal_sender *sender = ramal_msg_sender(msg);
                assert_false(sender->local);
                assert_true(sender->uid == (uid_t)-1);
                assert_true(sender->gid == (gid_t)-1);
                assert_string_equal(sender->identity, "token");
        }
        ramal_msg_unref(kept);
}

static void test_message_long_type_is_cut_alike(void **state) {
        char type[400];
        struct rml_data data = {.seq = 1};
        struct rml_msg_view view;

        (void)state;
        memset(type, 'x', sizeof(type));
        data.type = (struct rml_span){bytes(type), sizeof(type)};
        ramal_msg *kept = ramal_msg_ref(rml_msg_view(&view, &data, 0));
        assert_int_equal(strlen(ramal_msg_type(&view.msg)), 255);
        assert_int_equal(strlen(ramal_msg_type(kept)), 255);
        ramal_msg_unref(kept);
}

static void test_message_expires_when_its_time_left_is_over(void **state) {
        const uint64_t arrived = 1000000;
        struct rml_data data = {.seq = 1};
        struct rml_msg_view view;

        (void)state;
        assert_true(ramal_msg_expires(rml_msg_view(&view, &data, arrived)) == RAMAL_NEVER);
        data.time_left_us = 7;
        assert_int_equal(ramal_msg_expires(rml_msg_view(&view, &data, arrived)), arrived + 7000);
        ramal_msg *kept = ramal_msg_ref(&view.msg);
        assert_int_equal(ramal_msg_expires(kept), arrived + 7000);
        ramal_msg_unref(kept);
        /* It has just come. */
        uint64_t before = ramal_now();
        rml_msg_view(&view, &data, 0);
        assert_in_range(ramal_msg_expires(&view.msg), before + 7000, ramal_now() + 7000);
        /* Longer than time is, and not for ever. */
        data.time_left_us = UINT64_MAX;
        assert_true(ramal_msg_expires(rml_msg_view(&view, &data, arrived)) == RAMAL_NEVER - 1);
}

static void test_message_flags_tell_where_it_was_before(void **state) {
        struct rml_data data = {.flags = RAMAL__V1__DATA_FLAG__DATA_FLAG_REDELIVERED};
        struct rml_msg_view view;

        (void)state;
        assert_int_equal(ramal_msg_flags(rml_msg_view(&view, &data, 0)), RAMAL_MSG_REDELIVERED);
        data.flags = RAMAL__V1__DATA_FLAG__DATA_FLAG_CALL;
        assert_int_equal(ramal_msg_flags(rml_msg_view(&view, &data, 0)), 0);
}

static void test_message_null_is_allowed_where_it_frees(void **state) {
        (void)state;
        assert_null(ramal_msg_ref(NULL));
        assert_null(ramal_msg_unref(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_message_borrowed_shows_all_fields),
                cmocka_unit_test(test_message_kept_outlives_the_buffer),
                cmocka_unit_test(test_message_headers_walk_in_order),
                cmocka_unit_test(test_message_empty_reads_as_empty_not_null),
                cmocka_unit_test(test_message_without_uid_never_reads_as_root),
                cmocka_unit_test(test_message_long_type_is_cut_alike),
                cmocka_unit_test(test_message_expires_when_its_time_left_is_over),
                cmocka_unit_test(test_message_flags_tell_where_it_was_before),
                cmocka_unit_test(test_message_null_is_allowed_where_it_frees),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
