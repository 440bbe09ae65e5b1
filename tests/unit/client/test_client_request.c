/* SPDX-License-Identifier: MIT */
#include "fake.h"

#include "client/conn_private.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

struct log {
        char text[512];
        unsigned calls;
        ramal_call *cancel;
        uint32_t remote;
        bool may_have_run;
};

static void on_reply(ramal_conn *conn, int result, const ramal_msg *reply, const ramal_error *error, void *user) {
        struct log *log = user;
        size_t used = strlen(log->text), len = 0;
        const char *data = reply ? ramal_msg_data(reply, &len) : "-";

        (void)conn;
        assert_true((result < 0) == (error != NULL));
        snprintf(log->text + used, sizeof(log->text) - used, "%s%d:%.*s", used ? " " : "", result, reply ? (int)len : 1,
                 data);
        log->calls++;
        log->remote = error ? error->remote : 0;
        log->may_have_run = error && error->may_have_run;
        if (log->cancel)
                log->cancel = ramal_call_cancel(log->cancel);
}

/* A call that the fake has received. Returns its id. */
static uint64_t call(struct fake *fake, ramal_conn *conn, ramal_reply_fn fn, void *user, uint64_t deadline,
                     ramal_call **ret) {
        assert_int_equal(ramal_request_async(conn, "svc.do", "q", 1, deadline, fn, user, ret), 0);
        fake_expect(fake, RML_CALL);
        return fake->frame.id;
}

static void test_request_carries_subject_time_and_stream_credit(void **state) {
        struct log log = {.calls = 0};
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        call(&fake, conn, on_reply, &log, ramal_in_ms(1000), NULL);
        assert_true(fake.frame.id > 0);
        assert_memory_equal(fake.data.subject.data, "svc.do", 6);
        assert_in_range(fake.data.time_left_us, 900000, 1000000);
        assert_int_equal(fake.data.stream_credit, 256 << 10);
        call(&fake, conn, on_reply, &log, RAMAL_NEVER, NULL);
        assert_int_equal(fake.data.time_left_us, 0);
        assert_int_equal(fake.data.key.len, 0);
        ramal_request_options options = {.size = sizeof(options), .key = "k1"};
        assert_int_equal(ramal_request_async_with(conn, "svc.do", "q", 1, &options, RAMAL_NEVER, on_reply, &log, NULL),
                         0);
        fake_expect(&fake, RML_CALL);
        assert_int_equal(fake.data.key.len, 2);
        assert_memory_equal(fake.data.key.data, "k1", 2);
        options.key = "\xff";
        assert_int_equal(ramal_request_async_with(conn, "svc.do", "q", 1, &options, RAMAL_NEVER, on_reply, &log, NULL),
                         -EINVAL);
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
        assert_int_equal(log.calls, 0); /* closed by us: no callback */
}

static void test_request_ends_once_with_its_reply(void **state) {
        struct log log = {.calls = 0};
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        uint64_t first = call(&fake, conn, on_reply, &log, ramal_in_ms(1000), NULL);
        uint64_t second = call(&fake, conn, on_reply, &log, ramal_in_ms(1000), NULL);
        fake_reply(&fake, second, 1, false, "two");
        fake_reply(&fake, first, 1, false, "one");
        fake_reply(&fake, first, 2, false, "late");
        fake_status(&fake, second, RAMAL__V1__CODE__CODE_DEADLINE, "late");
        fake_settle(conn);
        assert_string_equal(log.text, "0:two 0:one");
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_request_ends_with_what_the_broker_says(void **state) {
        static const struct {
                Ramal__V1__Code code;
                int error;
        } cases[] = {
                {RAMAL__V1__CODE__CODE_NO_RESPONDER, -ENOENT},
                {RAMAL__V1__CODE__CODE_DEADLINE, -ETIMEDOUT},
                {RAMAL__V1__CODE__CODE_RESPONDER_GONE, -EHOSTDOWN},
                {RAMAL__V1__CODE__CODE_DENIED, -EACCES},
                {RAMAL__V1__CODE__CODE_OVER_LIMIT, -EDQUOT},
                {(Ramal__V1__Code)99, -EPROTO},
                {RAMAL__V1__CODE__CODE_OK, -EPROTO}, /* no answer at all */
        };
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        for (size_t i = 0; i < RML_COUNT(cases); i++) {
                struct log log = {.calls = 0};
                char wanted[32];
                fake_status(&fake, call(&fake, conn, on_reply, &log, RAMAL_NEVER, NULL), cases[i].code, "why");
                fake_settle(conn);
                snprintf(wanted, sizeof(wanted), "%d:-", cases[i].error);
                assert_string_equal(log.text, wanted);
        }
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_request_remote_error_is_not_the_brokers(void **state) {
        struct log log = {.calls = 0};
        struct rml_hop hop = {.seq = 1, .code = 42, .text = rml_span_of("out of paper")};
        ramal_error error;
        ramal_msg *reply;
        ramal_call *pulled;
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        fake_data(&fake, RML_REPLY, call(&fake, conn, on_reply, &log, RAMAL_NEVER, NULL), &hop, NULL, "detail");
        fake_settle(conn);
        assert_string_equal(log.text, "-121:detail");
        assert_int_equal(log.remote, 42);
        fake_data(&fake, RML_REPLY, call(&fake, conn, NULL, NULL, RAMAL_NEVER, &pulled), &hop, NULL, "detail");
        assert_int_equal(ramal_call_next(pulled, ramal_in_ms(FAKE_MS), &reply, &error), -EREMOTEIO);
        assert_string_equal(error.message, "out of paper");
        assert_int_equal(error.remote, 42);
        assert_int_equal(error.status, RAMAL_CODE_OK);
        assert_memory_equal(ramal_msg_data(reply, NULL), "detail", 6);
        ramal_msg_unref(reply);
        ramal_call_cancel(pulled);
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

/* A broker that hangs holds nobody. */
static void test_request_ends_by_our_own_clock_and_tells_the_broker(void **state) {
        struct log log = {.calls = 0};
        ramal_error error;
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        uint64_t id = call(&fake, conn, on_reply, &log, ramal_in_ms(30), NULL);
        assert_int_equal(ramal_wait(conn, ramal_in_ms(FAKE_MS)), 1);
        assert_string_equal(log.text, "-110:-");
        fake_expect(&fake, RML_CANCEL);
        assert_int_equal(fake_control(&fake, Cancel)->call, id);

        uint64_t start = ramal_now();
        assert_int_equal(ramal_request(conn, "a", NULL, 0, ramal_in_ms(30), NULL, &error), -ETIMEDOUT);
        assert_in_range(ramal_now() - start, 29 * RML_NS_PER_MS, FAKE_MS * RML_NS_PER_MS);
        assert_int_equal(ramal_request(conn, "a", NULL, 0, ramal_now() - 1, NULL, &error), -ETIMEDOUT);
        fake_expect(&fake, RML_CALL);
        fake_expect(&fake, RML_CANCEL);
        assert_false(fake_has_frame(&fake)); /* the one without time left was not sent */
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

/* The timer of a foreign loop wakes it, also when an earlier one has ended meanwhile. */
static void test_request_deadline_makes_the_descriptor_readable(void **state) {
        struct log log = {.calls = 0};
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        fake_reply(&fake, call(&fake, conn, on_reply, &log, ramal_in_ms(20), NULL), 1, false, "r");
        fake_settle(conn);
        call(&fake, conn, on_reply, &log, ramal_in_ms(60), NULL);
        uint64_t until = ramal_in_ms(FAKE_MS);
        while (log.calls < 2 && ramal_now() < until) {
                struct pollfd poll_fd = {.fd = ramal_conn_fd(conn), .events = POLLIN};
                assert_int_equal(poll(&poll_fd, 1, FAKE_MS), 1);
                ramal_dispatch(conn, 0);
        }
        assert_string_equal(log.text, "0:r -110:-");
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_request_cancelled_runs_nothing_and_tells_the_broker(void **state) {
        struct log log = {.calls = 0};
        ramal_call *handle;
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        uint64_t id = call(&fake, conn, on_reply, &log, RAMAL_NEVER, &handle);
        assert_null(ramal_call_cancel(handle));
        fake_expect(&fake, RML_CANCEL);
        assert_int_equal(fake_control(&fake, Cancel)->call, id);
        fake_reply(&fake, id, 1, false, "late");
        fake_settle(conn);
        assert_int_equal(log.calls, 0);
        /* in its own callback, in the middle of a stream */
        id = call(&fake, conn, on_reply, &log, RAMAL_NEVER, &log.cancel);
        fake_reply(&fake, id, 1, true, "a");
        fake_reply(&fake, id, 2, true, "b");
        fake_settle(conn);
        assert_string_equal(log.text, "1:a");
        fake_expect(&fake, RML_CANCEL);
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_request_stream_is_confirmed_and_ends(void **state) {
        struct log log = {.calls = 0};
        ramal_error error;
        ramal_msg *reply;
        ramal_call *pulled;
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        uint64_t id = call(&fake, conn, on_reply, &log, RAMAL_NEVER, NULL);
        fake_reply(&fake, id, 1, true, "a");
        fake_reply(&fake, id, 2, true, "b");
        fake_settle(conn);
        fake_expect(&fake, RML_CREDIT);
        assert_int_equal(fake_control(&fake, Credit)->call, id);
        assert_int_equal(fake_control(&fake, Credit)->seq, 2);
        fake_reply(&fake, id, 3, false, "c");
        fake_settle(conn);
        assert_string_equal(log.text, "1:a 1:b 0:c");

        /* pulled: confirmed as they are taken */
        id = call(&fake, conn, NULL, NULL, RAMAL_NEVER, &pulled);
        fake_reply(&fake, id, 1, true, "a");
        fake_settle(conn);
        assert_false(fake_has_frame(&fake));
        assert_int_equal(ramal_call_next(pulled, ramal_in_ms(FAKE_MS), &reply, &error), RAMAL_MORE);
        ramal_msg_unref(reply);
        fake_expect(&fake, RML_CREDIT);
        assert_int_equal(ramal_call_next(pulled, 0, &reply, &error), -ETIMEDOUT);
        assert_false(ramal_call_ended(pulled));
        fake_reply(&fake, id, 2, false, "b");
        assert_int_equal(ramal_call_next(pulled, ramal_in_ms(FAKE_MS), &reply, &error), 0);
        assert_memory_equal(ramal_msg_data(reply, NULL), "b", 1);
        ramal_msg_unref(reply);
        assert_true(ramal_call_ended(pulled));
        assert_int_equal(ramal_call_next(pulled, 0, &reply, &error), -ENODATA);
        ramal_call_cancel(pulled);
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_request_stream_broken_off_gives_the_pieces_then_the_reason(void **state) {
        ramal_error error;
        ramal_msg *reply;
        ramal_call *pulled;
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        uint64_t id = call(&fake, conn, NULL, NULL, RAMAL_NEVER, &pulled);
        fake_reply(&fake, id, 1, true, "a");
        fake_status(&fake, id, RAMAL__V1__CODE__CODE_RESPONDER_GONE, "gone");
        fake_settle(conn);
        assert_int_equal(ramal_call_next(pulled, 0, &reply, &error), RAMAL_MORE);
        ramal_msg_unref(reply);
        assert_int_equal(ramal_call_next(pulled, 0, &reply, &error), -EHOSTDOWN);
        assert_null(reply);
        assert_int_equal(ramal_call_next(pulled, 0, &reply, &error), -ENODATA);
        ramal_call_cancel(pulled);
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_request_blocking_refuses_a_stream(void **state) {
        ramal_error error;
        ramal_msg *reply;
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        fake_reply(&fake, 2, 1, true, "a"); /* the next id */
        assert_int_equal(ramal_request(conn, "a", NULL, 0, ramal_in_ms(FAKE_MS), &reply, &error), -EPROTOTYPE);
        assert_null(reply);
        fake_expect(&fake, RML_CALL);
        assert_int_equal(fake.frame.id, 2);
        fake_expect(&fake, RML_CANCEL);
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_request_in_flight_ends_with_the_connection(void **state) {
        struct log log = {.calls = 0};
        ramal_error error;
        ramal_msg *reply;
        ramal_call *pulled;
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        call(&fake, conn, on_reply, &log, RAMAL_NEVER, NULL);
        call(&fake, conn, NULL, NULL, RAMAL_NEVER, &pulled);
        fake_hang_up(&fake);
        fake_settle(conn);
        assert_string_equal(log.text, "-104:-");
        assert_int_equal(ramal_call_next(pulled, ramal_in_ms(FAKE_MS), &reply, &error), -ECONNRESET);
        assert_int_equal(ramal_request(conn, "a", NULL, 0, ramal_in_ms(FAKE_MS), NULL, &error), -ENOTCONN);
        ramal_call_cancel(pulled);
        ramal_close(conn);
        fake_stop(&fake);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_request_carries_subject_time_and_stream_credit),
                cmocka_unit_test(test_request_ends_once_with_its_reply),
                cmocka_unit_test(test_request_ends_with_what_the_broker_says),
                cmocka_unit_test(test_request_remote_error_is_not_the_brokers),
                cmocka_unit_test(test_request_ends_by_our_own_clock_and_tells_the_broker),
                cmocka_unit_test(test_request_deadline_makes_the_descriptor_readable),
                cmocka_unit_test(test_request_cancelled_runs_nothing_and_tells_the_broker),
                cmocka_unit_test(test_request_stream_is_confirmed_and_ends),
                cmocka_unit_test(test_request_stream_broken_off_gives_the_pieces_then_the_reason),
                cmocka_unit_test(test_request_blocking_refuses_a_stream),
                cmocka_unit_test(test_request_in_flight_ends_with_the_connection),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
