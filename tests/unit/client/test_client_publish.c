/* SPDX-License-Identifier: MIT */
#include "fake.h"

#include "client/conn_private.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

struct seen {
        unsigned calls;
        uint64_t publish, count, receivers, unconfirmed;
        int code;
        ramal_code status;
        ramal_state state;
        char limit[64];
};

static void on_refused(ramal_conn *conn, const ramal_refusal *refusal, void *user) {
        struct seen *seen = user;

        (void)conn;
        seen->calls++;
        seen->publish = refusal->publish;
        seen->count = refusal->count;
        seen->code = refusal->error->code;
        seen->status = refusal->error->status;
        memcpy(seen->limit, refusal->error->limit, sizeof(seen->limit));
}

static void on_receipt(ramal_conn *conn, const ramal_receipt *receipt, void *user) {
        struct seen *seen = user;

        (void)conn;
        seen->calls++;
        seen->publish = receipt->publish;
        seen->receivers = receipt->receivers;
        seen->code = receipt->error ? receipt->error->code : 0;
}

static void on_state(ramal_conn *conn, const ramal_state_change *change, void *user) {
        struct seen *seen = user;

        (void)conn;
        seen->state = change->state;
        seen->unconfirmed += change->unconfirmed;
}

static void on_writable(ramal_conn *conn, void *user) {
        (void)conn;
        ++*(unsigned *)user;
}

static void test_publish_arrives_at_once_and_whole(void **state) {
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        assert_int_equal(ramal_publish(conn, "a.b", "hello", 5), 0);
        fake_expect(&fake, RML_PUBLISH);
        assert_int_equal(fake.frame.id, 0);
        assert_int_equal(fake.data.subject.len, 3);
        assert_memory_equal(fake.data.subject.data, "a.b", 3);
        assert_memory_equal(fake.data.payload.data, "hello", 5);
        assert_int_equal(ramal_conn_published(conn), 1);
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_publish_type_and_headers_arrive(void **state) {
        struct fake fake;
        ramal_header headers[] = {RAMAL_HEADER("k1", "v1"), {"longer", "v\0w", 3, 4}};
        ramal_publish_options options = {.size = sizeof(options), .type = "x.Y", .headers = headers, .header_count = 2};
        struct rml_span rest, name, value;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        assert_int_equal(ramal_publish_with(conn, "s", NULL, 0, &options), 0);
        fake_expect(&fake, RML_PUBLISH);
        assert_memory_equal(fake.data.type.data, "x.Y", 3);
        assert_int_equal(fake.data.header_count, 2);
        rest = fake.data.headers;
        assert_true(rml_header_next(&rest, &name, &value));
        assert_memory_equal(value.data, "v1", 2);
        assert_true(rml_header_next(&rest, &name, &value));
        assert_int_equal(name.len, 4);
        assert_memory_equal(name.data, "long", 4);
        assert_int_equal(value.len, 3);
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_publish_bad_arguments_take_nothing(void **state) {
        const char *subjects[] = {"", "a..b", ".a", "a.*", "a.>", ">", "a b", "a\x01", "a.\xff", NULL};
        ramal_header bad_name = {"", "x", 1, 0}, bad_utf8 = {"\xff", "x", 1, 0};
        char many[9000];
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        for (size_t i = 0; i < RML_COUNT(subjects); i++)
                assert_int_equal(ramal_publish(conn, subjects[i], "x", 1), -EINVAL);
        memset(many, 'x', sizeof(many));
        many[sizeof(many) - 1] = '\0';
        ramal_header large = {"n", many, sizeof(many), 0};
        const ramal_publish_options bad[] = {
                {.size = sizeof(bad[0]), .headers = &bad_name, .header_count = 1},
                {.size = sizeof(bad[0]), .headers = &bad_utf8, .header_count = 1},
                {.size = sizeof(bad[0]), .headers = &large, .header_count = 1},
                {.size = sizeof(bad[0]), .headers = NULL, .header_count = 1},
                {.size = sizeof(bad[0]), .headers = &large, .header_count = 65},
                {.size = sizeof(bad[0]), .type = "\xc0\x80"},
                {.size = sizeof(bad[0]), .type = many},
                {.size = sizeof(bad[0]), .key = many},
                {.size = sizeof(bad[0]), .key = "\xff"},
        };
        for (size_t i = 0; i < RML_COUNT(bad); i++)
                assert_int_equal(ramal_publish_with(conn, "ok", "x", 1, &bad[i]), -EINVAL);
        char *huge = calloc(1, (8 << 20) + 1);
        assert_int_equal(ramal_publish(conn, "ok", huge, (8 << 20) + 1), -EMSGSIZE);
        free(huge);
        assert_int_equal(ramal_conn_published(conn), 0);
        assert_false(fake_has_frame(&fake));
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_publish_key_and_expiry_arrive(void **state) {
        struct fake fake;
        char key[256];
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        memset(key, 'k', sizeof(key));
        key[255] = '\0';
        ramal_publish_options options = {.size = sizeof(options), .key = key, .expires = ramal_in_ms(1000)};
        assert_int_equal(ramal_publish_with(conn, "s", "x", 1, &options), 0);
        fake_expect(&fake, RML_PUBLISH);
        assert_int_equal(fake.data.key.len, 255);
        assert_memory_equal(fake.data.key.data, key, 255);
        assert_in_range(fake.data.time_left_us, 1, 1000000);

        options.key = "";
        options.expires = RAMAL_NEVER;
        assert_int_equal(ramal_publish_with(conn, "s", "x", 1, &options), 0);
        fake_expect(&fake, RML_PUBLISH);
        assert_int_equal(fake.data.key.len, 0);
        assert_int_equal(fake.data.time_left_us, 0);

        options.expires = ramal_now();
        assert_int_equal(ramal_publish_with(conn, "s", "x", 1, &options), -ETIMEDOUT);
        assert_int_equal(ramal_conn_published(conn), 2);
        assert_false(fake_has_frame(&fake));
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_publish_corked_is_sent_at_uncork_in_one_piece(void **state) {
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        ramal_cork(conn);
        ramal_cork(conn);
        for (int i = 0; i < 100; i++)
                assert_int_equal(ramal_publish(conn, "a", "x", 1), 0);
        assert_int_equal(ramal_uncork(conn), 0);
        assert_false(fake_has_frame(&fake)); /* still one cork */
        assert_true(ramal_conn_unsent(conn) > 0);
        assert_int_equal(ramal_uncork(conn), 0);
        assert_int_equal(ramal_conn_unsent(conn), 0);
        for (int i = 0; i < 100; i++)
                fake_expect(&fake, RML_PUBLISH);
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_publish_corked_batch_of_64_kib_is_sent(void **state) {
        struct fake fake;
        char payload[1000] = {0};
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        ramal_cork(conn);
        while (!fake_has_frame(&fake))
                assert_int_equal(ramal_publish(conn, "a", payload, sizeof(payload)), 0);
        assert_in_range(ramal_conn_published(conn), 64, 66);
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

/* A long payload is not copied to wait for the others: what waits goes with it, in order. */
static void test_publish_corked_long_payload_is_sent_with_what_waits(void **state) {
        struct fake fake;
        char *payload = calloc(1, 100000);
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        ramal_cork(conn);
        for (int i = 0; i < 10; i++)
                assert_int_equal(ramal_publish(conn, "a", "x", 1), 0);
        assert_int_equal(ramal_publish(conn, "long", payload, 20000), 0); /* there is room for it in the batch */
        assert_false(fake_has_frame(&fake));
        assert_int_equal(ramal_publish(conn, "longer", payload, 100000), 0);
        assert_int_equal(ramal_conn_unsent(conn), 0);
        assert_int_equal(ramal_publish(conn, "b", "x", 1), 0);
        for (int i = 0; i < 10; i++)
                fake_expect(&fake, RML_PUBLISH);
        fake_expect(&fake, RML_PUBLISH);
        assert_int_equal(fake.data.payload.len, 20000);
        fake_expect(&fake, RML_PUBLISH);
        assert_int_equal(fake.data.payload.len, 100000);
        assert_false(fake_has_frame(&fake));
        assert_int_equal(ramal_uncork(conn), 0);
        fake_expect(&fake, RML_PUBLISH);
        assert_int_equal(fake.data.subject.len, 1);
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
        free(payload);
}

/* The socket takes little; what is left waits, in order, and is bounded. */
static void test_publish_beyond_the_limit_is_refused_and_told_when_writable(void **state) {
        unsigned writable = 0;
        struct fake fake;
        char *payload = calloc(1, 100000);
        ramal_options options = {
                .size = sizeof(options), .out_bytes_max = 300000, .on_writable = on_writable, .user = &writable};
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, &options);
        unsigned taken = 0;
        int r;

        (void)state;
        assert_true(conn->wider); /* the socket is made larger once it is full */
        while ((r = ramal_publish(conn, "a", payload, 100000)) == 0) {
                payload[0]++;
                taken++;
        }
        assert_int_equal(r, -EAGAIN);
        assert_false(conn->wider);
        assert_int_equal(ramal_conn_published(conn), taken);
        assert_in_range(ramal_conn_unsent(conn), 100000, 300000);
        fake_settle(conn);
        assert_int_equal(writable, 0);
        for (unsigned i = 0; i < taken; i++) {
                fake_expect(&fake, RML_PUBLISH);
                assert_int_equal(fake.data.payload.len, 100000);
                assert_int_equal(fake.data.payload.data[0], (uint8_t)i);
                fake_settle(conn);
                while (i + 1 == taken && ramal_conn_unsent(conn) > 0)
                        fake_settle(conn);
        }
        assert_int_equal(writable, 1);
        assert_int_equal(ramal_publish(conn, "a", payload, 100000), 0);
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
        free(payload);
}

/* Those that arrived whole and those that were reported are all there are. */
static void check_unsent(unsigned small) {
        struct fake fake;
        char *payload = calloc(1, 100000);
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);
        unsigned taken = 0, arrived = 0;
        struct rml_raw raw;

        if (small > 0)
                ramal_cork(conn);
        while (ramal_publish(conn, "a", payload, taken % (small + 1) == small ? 100000 : 10) == 0)
                taken++;
        fake_settle(conn); /* its probe is unsent too, and is no message */
        uint64_t start = ramal_now();
        uint64_t unsent = ramal_close(conn);
        assert_in_range(ramal_now() - start, 900 * RML_NS_PER_MS, 3000 * RML_NS_PER_MS);
        for (;;) {
                int r = rml_framer_next(&fake.framer, &fake.input, &raw);
                if (r > 0) {
                        struct rml_frame frame;
                        struct rml_fault fault;
                        assert_int_equal(rml_scan_frame((struct rml_span){raw.data, raw.len}, &frame, &fault), 0);
                        arrived += frame.kind == RML_PUBLISH;
                        continue;
                }
                ssize_t n = recv(fake.sock, fake.in, sizeof(fake.in), 0);
                if (n <= 0)
                        break;
                fake.input = (struct rml_span){fake.in, (size_t)n};
        }
        assert_true(unsent > 0);
        assert_int_equal(arrived + unsent, taken);
        fake_stop(&fake);
        free(payload);
}

static void test_publish_unsent_messages_are_counted_at_close(void **state) {
        (void)state;
        check_unsent(0);
        check_unsent(3); /* small ones between the long ones, corked */
}

/* Its payload would have gone from where it lies. Its publisher was told, so it is none of those that were taken. */
static void test_publish_long_one_that_fails_is_not_counted_as_unsent(void **state) {
        struct fake fake;
        char *payload = calloc(1, 100000);
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        fake_hang_up(&fake);
        ramal_cork(conn);
        assert_int_equal(ramal_publish(conn, "a", "x", 1), 0);
        assert_int_equal(ramal_publish(conn, "a", "x", 1), 0);
        assert_int_equal(ramal_publish(conn, "long", payload, 100000), -ECONNRESET);
        assert_int_equal(ramal_conn_published(conn), 2);
        assert_int_equal(ramal_close(conn), 2);
        fake_stop(&fake);
        free(payload);
}

static void test_publish_refused_tells_number_count_and_limit(void **state) {
        struct seen seen = {0};
        struct fake fake;
        ramal_options options = {.size = sizeof(options), .on_refused = on_refused, .user = &seen};
        Ramal__V1__Status status;
        char text[] = "no", limit[] = "limits.calls";
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, &options);

        (void)state;
        ramal_publish(conn, "a", NULL, 0);
        ramal_publish(conn, "a", NULL, 0);
        ramal__v1__status__init(&status);
        status.code = RAMAL__V1__CODE__CODE_OVER_LIMIT;
        status.publish = 1;
        status.count = 2;
        status.text = text;
        status.limit = limit;
        status.value = 5;
        fake_send(&fake, RML_STATUS, 0, &status.base);
        fake_settle(conn);
        assert_int_equal(seen.calls, 1);
        assert_int_equal(seen.publish, 1);
        assert_int_equal(seen.count, 2);
        assert_int_equal(seen.code, -EDQUOT);
        assert_int_equal(seen.status, RAMAL_CODE_OVER_LIMIT);
        assert_string_equal(seen.limit, "limits.calls");
        assert_int_equal(ramal_conn_refused(conn), 2);
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_publish_refused_unheard_is_returned_once(void **state) {
        Ramal__V1__Status status;
        char text[] = "a rule says no";
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        ramal__v1__status__init(&status);
        status.code = RAMAL__V1__CODE__CODE_DENIED;
        status.publish = 1;
        status.text = text;
        ramal_publish(conn, "a", NULL, 0);
        fake_send(&fake, RML_STATUS, 0, &status.base);
        assert_int_equal(ramal_wait(conn, ramal_in_ms(FAKE_MS)), -EACCES);
        assert_string_equal(ramal_conn_error(conn)->message, "a rule says no");
        assert_int_equal(ramal_dispatch(conn, 0), 0);
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_publish_receipt_tells_receivers_or_why_not(void **state) {
        struct seen seen = {0};
        ramal_publish_options options = {.size = sizeof(options), .on_receipt = on_receipt, .user = &seen};
        Ramal__V1__Accepted accepted = RAMAL__V1__ACCEPTED__INIT;
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        ramal_publish(conn, "a", NULL, 0);
        fake_expect(&fake, RML_PUBLISH);
        assert_int_equal(ramal_publish_with(conn, "a", NULL, 0, &options), 0);
        fake_expect(&fake, RML_PUBLISH);
        assert_true(fake.frame.id > 0);
        assert_int_equal(fake.data.flags, RAMAL__V1__DATA_FLAG__DATA_FLAG_RECEIPT);
        accepted.receivers = 4;
        fake_send(&fake, RML_ACCEPTED, fake.frame.id, &accepted.base);
        fake_settle(conn);
        assert_int_equal(seen.calls, 1);
        assert_int_equal(seen.publish, 2);
        assert_int_equal(seen.receivers, 4);
        assert_int_equal(seen.code, 0);

        ramal_publish_with(conn, "a", NULL, 0, &options);
        fake_expect(&fake, RML_PUBLISH);
        fake_status(&fake, fake.frame.id, RAMAL__V1__CODE__CODE_DENIED, "no");
        fake_settle(conn);
        assert_int_equal(seen.calls, 2);
        assert_int_equal(seen.code, -EACCES);

        ramal_publish_with(conn, "a", NULL, 0, &options);
        fake_hang_up(&fake);
        fake_settle(conn);
        assert_int_equal(seen.calls, 3);
        assert_int_equal(seen.code, -ECONNRESET);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_publish_not_known_accepted_is_counted_at_a_loss(void **state) {
        struct seen seen = {0};
        Ramal__V1__Pong pong = RAMAL__V1__PONG__INIT;
        ramal_options options = {.size = sizeof(options), .on_state = on_state, .user = &seen};
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, &options);

        (void)state;
        for (int i = 0; i < 5; i++)
                ramal_publish(conn, "a", NULL, 0);
        /* The probe comes by itself; its answer proves the five accepted. */
        for (int i = 0; i < 5; i++)
                fake_expect(&fake, RML_PUBLISH);
        uint64_t until = ramal_in_ms(FAKE_MS);
        while (!fake_has_frame(&fake) && ramal_now() < until)
                ramal_wait(conn, ramal_in_ms(20));
        fake_expect(&fake, RML_PING);
        fake_send(&fake, RML_PONG, fake.frame.id, &pong.base);
        fake_settle(conn);
        for (int i = 0; i < 3; i++)
                ramal_publish(conn, "a", NULL, 0);
        assert_int_equal(seen.state, RAMAL_CONNECTED);
        fake_hang_up(&fake);
        fake_settle(conn);
        assert_int_equal(seen.state, RAMAL_CONNECTING);
        assert_int_equal(seen.unconfirmed, 3);
        assert_int_equal(ramal_publish(conn, "a", NULL, 0), -ENOTCONN);
        ramal_close(conn);
        fake_stop(&fake);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_publish_arrives_at_once_and_whole),
                cmocka_unit_test(test_publish_type_and_headers_arrive),
                cmocka_unit_test(test_publish_bad_arguments_take_nothing),
                cmocka_unit_test(test_publish_key_and_expiry_arrive),
                cmocka_unit_test(test_publish_corked_is_sent_at_uncork_in_one_piece),
                cmocka_unit_test(test_publish_corked_batch_of_64_kib_is_sent),
                cmocka_unit_test(test_publish_corked_long_payload_is_sent_with_what_waits),
                cmocka_unit_test(test_publish_beyond_the_limit_is_refused_and_told_when_writable),
                cmocka_unit_test(test_publish_unsent_messages_are_counted_at_close),
                cmocka_unit_test(test_publish_long_one_that_fails_is_not_counted_as_unsent),
                cmocka_unit_test(test_publish_refused_tells_number_count_and_limit),
                cmocka_unit_test(test_publish_refused_unheard_is_returned_once),
                cmocka_unit_test(test_publish_receipt_tells_receivers_or_why_not),
                cmocka_unit_test(test_publish_not_known_accepted_is_counted_at_a_loss),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
