/* SPDX-License-Identifier: MIT */
#include "fake.h"

#include "client/conn_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct served {
        ramal_req *req; /* kept for later */
        unsigned requests, cancelled, writable;
        ramal_why why;
        int result;
        bool reply_at_once, fail, drop_in_cancel;
};

static void on_cancel(ramal_req *req, ramal_why why, void *user) {
        struct served *served = user;

        served->cancelled++;
        served->why = why;
        if (served->drop_in_cancel)
                served->req = ramal_req_drop(req);
}

static void on_writable(ramal_req *req, void *user) {
        (void)req;
        ((struct served *)user)->writable++;
}

static void on_request(ramal_conn *conn, ramal_req *req, void *user) {
        struct served *served = user;
        size_t len;

        assert_ptr_equal(ramal_req_conn(req), conn);
        served->requests++;
        if (served->reply_at_once) {
                const void *data = ramal_msg_data(ramal_req_msg(req), &len);
                served->result = ramal_reply(req, data, len);
        } else if (served->fail) {
                served->result = ramal_fail(req, 7, "no %s", "paper");
        } else {
                served->req = req;
                ramal_req_on_cancel(req, on_cancel, served);
                ramal_req_on_writable(req, on_writable, served);
        }
}

static ramal_conn *serve(struct fake *fake, struct served *served) {
        fake_start(fake);
        ramal_conn *conn = fake_open(fake, NULL);

        assert_int_equal(ramal_serve(conn, "svc.>", on_request, served, NULL), 0);
        fake_expect(fake, RML_SUBSCRIBE);
        assert_true(fake_control(fake, Subscribe)->serve);
        fake_subscribed(fake, 1, RAMAL__V1__STATE__STATE_ACTIVE, 0);
        fake_settle(conn);
        return conn;
}

static void stop(struct fake *fake, ramal_conn *conn) {
        fake_hang_up(fake);
        ramal_close(conn);
        fake_stop(fake);
}

static void send_cancel(struct fake *fake, ramal_conn *conn, uint64_t token, Ramal__V1__Why why) {
        Ramal__V1__Cancel cancel = RAMAL__V1__CANCEL__INIT;

        cancel.token = token;
        cancel.why = why;
        fake_send(fake, RML_CANCEL, 0, &cancel.base);
        fake_settle(conn);
}

static void send_credit(struct fake *fake, ramal_conn *conn, uint64_t token, uint64_t seq) {
        Ramal__V1__Credit credit = RAMAL__V1__CREDIT__INIT;

        credit.token = token;
        credit.seq = seq;
        fake_send(fake, RML_CREDIT, 0, &credit.base);
        fake_settle(conn);
}

static void test_serve_replies_at_once_and_confirms(void **state) {
        struct served served = {.reply_at_once = true};
        struct fake fake;
        ramal_conn *conn = serve(&fake, &served);

        (void)state;
        fake_request(&fake, 1, 1, 11, 0, "svc.x", "ping");
        fake_settle(conn);
        fake_expect(&fake, RML_REPLY);
        assert_int_equal(fake.frame.id, 0);
        assert_int_equal(fake.data.token, 11);
        assert_int_equal(fake.data.flags, 0);
        assert_memory_equal(fake.data.payload.data, "ping", 4);
        assert_null(fake.data.subject.data);
        fake_expect(&fake, RML_CREDIT);
        assert_int_equal(fake_control(&fake, Credit)->sid, 1);
        assert_int_equal(fake_control(&fake, Credit)->seq, 1);
        stop(&fake, conn);
}

static void test_serve_replies_later_from_a_message_of_its_own(void **state) {
        struct served served = {.requests = 0};
        struct fake fake;
        ramal_conn *conn = serve(&fake, &served);

        (void)state;
        fake_request(&fake, 1, 1, 11, 1000000, "svc.x", "first");
        fake_settle(conn);
        ramal_req *first = served.req;
        fake_request(&fake, 1, 2, 12, 0, "svc.y", "second");
        fake_settle(conn);
        assert_string_equal(ramal_msg_subject(ramal_req_msg(first)), "svc.x");
        assert_memory_equal(ramal_msg_data(ramal_req_msg(first), NULL), "first", 5);
        assert_in_range(ramal_req_deadline(first) - ramal_now(), 1, 1000 * RML_NS_PER_MS);
        assert_true(ramal_req_deadline(served.req) == RAMAL_NEVER);
        fake_expect(&fake, RML_CREDIT); /* independent of the reply */
        fake_expect(&fake, RML_CREDIT);
        assert_int_equal(ramal_reply(served.req, "2", 1), 0);
        assert_int_equal(ramal_reply(first, "1", 1), 0);
        fake_expect(&fake, RML_REPLY);
        assert_int_equal(fake.data.token, 12);
        fake_expect(&fake, RML_REPLY);
        assert_int_equal(fake.data.token, 11);
        stop(&fake, conn);
}

static void test_serve_fails_with_code_and_text(void **state) {
        struct served served = {.fail = true};
        struct fake fake;
        ramal_conn *conn = serve(&fake, &served);

        (void)state;
        fake_request(&fake, 1, 1, 11, 0, "svc.x", NULL);
        fake_settle(conn);
        fake_expect(&fake, RML_REPLY);
        assert_int_equal(fake.data.code, 7);
        assert_int_equal(fake.data.text.len, 8);
        assert_memory_equal(fake.data.text.data, "no paper", 8);
        stop(&fake, conn);
}

static void test_serve_failure_text_stays_utf8_when_cut(void **state) {
        struct served served = {.requests = 0};
        struct fake fake;
        ramal_conn *conn = serve(&fake, &served);
        char text[1200];

        (void)state;
        for (size_t i = 0; i + 3 <= sizeof(text); i += 3)
                memcpy(text + i, "\xe2\x82\xac", 3); /* euro signs */
        text[sizeof(text) - 1] = '\0';
        text[sizeof(text) - 2] = text[sizeof(text) - 3] = 'x';
        fake_request(&fake, 1, 1, 11, 0, "svc.x", NULL);
        fake_settle(conn);
        fake_expect(&fake, RML_CREDIT);
        assert_int_equal(ramal_fail(served.req, 0, "a%s", text), 0);
        fake_expect(&fake, RML_REPLY); /* the scan of the fake refuses what is no UTF-8 */
        assert_int_equal(fake.data.code, 1);
        assert_in_range(fake.data.text.len, 1018, 1023);
        fake_request(&fake, 1, 2, 12, 0, "svc.x", NULL);
        fake_settle(conn);
        fake_expect(&fake, RML_CREDIT);
        assert_int_equal(ramal_fail(served.req, 5, "\xff\xfe"), 0);
        fake_expect(&fake, RML_REPLY);
        assert_int_equal(fake.data.code, 5);
        assert_int_equal(fake.data.text.len, 0);
        stop(&fake, conn);
}

static void test_serve_learns_that_nobody_waits(void **state) {
        struct served served = {.requests = 0};
        struct fake fake;
        ramal_conn *conn = serve(&fake, &served);

        (void)state;
        fake_request(&fake, 1, 1, 11, 0, "svc.x", NULL);
        fake_settle(conn);
        fake_expect(&fake, RML_CREDIT);
        assert_false(ramal_req_cancelled(served.req));
        send_cancel(&fake, conn, 99, RAMAL__V1__WHY__WHY_GONE); /* of nobody */
        assert_int_equal(served.cancelled, 0);
        send_cancel(&fake, conn, 11, RAMAL__V1__WHY__WHY_EXPIRED);
        assert_int_equal(served.cancelled, 1);
        assert_int_equal(served.why, RAMAL_WHY_EXPIRED);
        send_cancel(&fake, conn, 11, RAMAL__V1__WHY__WHY_EXPIRED);
        assert_int_equal(served.cancelled, 1);
        assert_true(ramal_req_cancelled(served.req));
        assert_int_equal(ramal_reply_more(served.req, "x", 1), -ECANCELED);
        assert_int_equal(ramal_reply(served.req, "x", 1), -ECANCELED);
        assert_false(fake_has_frame(&fake));
        stop(&fake, conn);
}

static void test_serve_may_drop_in_the_cancel_callback(void **state) {
        struct served served = {.drop_in_cancel = true};
        struct fake fake;
        ramal_conn *conn = serve(&fake, &served);

        (void)state;
        fake_request(&fake, 1, 1, 11, 0, "svc.x", NULL);
        fake_settle(conn);
        send_cancel(&fake, conn, 11, RAMAL__V1__WHY__WHY_CANCELLED);
        assert_int_equal(served.cancelled, 1);
        assert_null(served.req);
        stop(&fake, conn);
}

static void test_serve_dropped_request_answers_the_caller(void **state) {
        struct served served = {.requests = 0};
        struct fake fake;
        ramal_conn *conn = serve(&fake, &served);

        (void)state;
        fake_request(&fake, 1, 1, 11, 0, "svc.x", NULL);
        fake_settle(conn);
        fake_expect(&fake, RML_CREDIT);
        assert_null(ramal_req_drop(served.req));
        fake_expect(&fake, RML_REPLY);
        assert_true(fake.data.code == RAMAL_REMOTE_DROPPED);
        assert_null(ramal_req_drop(NULL));
        stop(&fake, conn);
}

static void test_serve_stream_waits_for_the_caller(void **state) {
        struct served served = {.requests = 0};
        struct fake fake;
        ramal_conn *conn = serve(&fake, &served);
        char *piece = calloc(1, 60000);
        unsigned sent = 0;
        int r;

        (void)state;
        fake_request(&fake, 1, 1, 11, 0, "svc.x", NULL);
        fake_settle(conn);
        fake_expect(&fake, RML_CREDIT);
        while ((r = ramal_reply_more(served.req, piece, 60000)) == 0)
                sent++;
        assert_int_equal(r, -EAGAIN);
        assert_int_equal(sent, 4); /* 256 KiB */
        for (unsigned i = 0; i < sent; i++) {
                fake_expect(&fake, RML_REPLY);
                assert_int_equal(fake.data.flags, RAMAL__V1__DATA_FLAG__DATA_FLAG_MORE);
        }
        send_credit(&fake, conn, 11, 1);
        assert_int_equal(served.writable, 0); /* more than half is still under way */
        send_credit(&fake, conn, 11, 3);
        assert_int_equal(served.writable, 1);
        send_credit(&fake, conn, 11, UINT64_MAX);
        assert_int_equal(served.writable, 1);
        assert_int_equal(ramal_reply_more(served.req, piece, 60000), 0);
        fake_expect(&fake, RML_REPLY);
        assert_int_equal(ramal_reply(served.req, "end", 3), 0);
        fake_expect(&fake, RML_REPLY);
        assert_int_equal(fake.data.flags, 0);
        free(piece);
        stop(&fake, conn);
}

static void test_serve_stream_piece_longer_than_the_window_goes_alone(void **state) {
        struct served served = {.requests = 0};
        struct fake fake;
        ramal_conn *conn = serve(&fake, &served);
        char *piece = calloc(1, 300000);

        (void)state;
        fake_request(&fake, 1, 1, 11, 0, "svc.x", NULL);
        fake_settle(conn);
        fake_expect(&fake, RML_CREDIT);
        assert_int_equal(ramal_reply_more(served.req, piece, 300000), 0);
        assert_int_equal(ramal_reply_more(served.req, piece, 1), -EAGAIN);
        while (ramal_conn_unsent(conn) > 0 && !fake_has_frame(&fake))
                fake_settle(conn);
        free(piece);
        ramal_req_drop(served.req);
        stop(&fake, conn);
}

static void test_serve_reply_too_long_is_an_error_for_both(void **state) {
        struct served served = {.requests = 0};
        struct fake fake;
        ramal_conn *conn = serve(&fake, &served);
        char *piece = calloc(1, (8 << 20) + 1);

        (void)state;
        fake_request(&fake, 1, 1, 11, 0, "svc.x", NULL);
        fake_settle(conn);
        fake_expect(&fake, RML_CREDIT);
        assert_int_equal(ramal_reply_more(served.req, piece, (8 << 20) + 1), -EMSGSIZE);
        assert_int_equal(ramal_reply(served.req, piece, (8 << 20) + 1), -EMSGSIZE);
        fake_expect(&fake, RML_REPLY);
        assert_true(fake.data.code == RAMAL_REMOTE_BAD_REPLY);
        free(piece);
        stop(&fake, conn);
}

static void test_serve_request_of_a_lost_connection_is_cancelled(void **state) {
        struct served served = {.requests = 0};
        struct fake fake;
        ramal_conn *conn = serve(&fake, &served);

        (void)state;
        fake_request(&fake, 1, 1, 11, 0, "svc.x", "kept");
        fake_settle(conn);
        fake_hang_up(&fake);
        fake_settle(conn);
        assert_int_equal(served.cancelled, 1);
        assert_int_equal(served.why, RAMAL_WHY_GONE);
        /* The new connection has a call of the same token: the old request must not answer it. */
        fake_welcome(&fake, conn);
        fake_expect(&fake, RML_SUBSCRIBE);
        fake_subscribed(&fake, 1, RAMAL__V1__STATE__STATE_ACTIVE, 0);
        ramal_req *old = served.req;
        fake_request(&fake, 1, 1, 11, 0, "svc.x", "new");
        fake_settle(conn);
        fake_expect(&fake, RML_CREDIT);
        assert_ptr_not_equal(served.req, old);
        assert_memory_equal(ramal_msg_data(ramal_req_msg(old), NULL), "kept", 4);
        assert_int_equal(ramal_reply(old, "x", 1), -ECONNRESET);
        assert_false(fake_has_frame(&fake));
        send_cancel(&fake, conn, 11, RAMAL__V1__WHY__WHY_CANCELLED);
        assert_int_equal(served.cancelled, 2);
        stop(&fake, conn);
}

static void test_serve_name_without_handler_answers_for_it(void **state) {
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        assert_int_equal(ramal_claim(conn, "org.x", RAMAL_NAME_REPLACE | RAMAL_NAME_NO_QUEUE, NULL, NULL, NULL), 0);
        fake_expect(&fake, RML_SUBSCRIBE);
        const Ramal__V1__Subscribe *asked = fake_control(&fake, Subscribe);
        assert_true(asked->name && asked->serve && asked->replace && asked->no_queue && !asked->allow_replace);
        assert_string_equal(asked->pattern, "org.x");
        fake_subscribed(&fake, 1, RAMAL__V1__STATE__STATE_OWNER, 0);
        fake_request(&fake, 1, 1, 11, 0, "org.x.y", NULL);
        fake_settle(conn);
        fake_expect(&fake, RML_REPLY);
        assert_true(fake.data.code == RAMAL_REMOTE_NO_HANDLER);
        stop(&fake, conn);
}

static void test_serve_request_on_its_way_to_a_cancelled_service_is_answered(void **state) {
        struct served served = {.requests = 0};
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);
        ramal_sub *sub;

        (void)state;
        assert_int_equal(ramal_serve(conn, "svc", on_request, &served, &sub), 0);
        fake_expect(&fake, RML_SUBSCRIBE);
        fake_request(&fake, 1, 1, 77, 0, "svc", "q");
        ramal_sub_cancel(sub);
        fake_settle(conn);
        assert_int_equal(served.requests, 0);
        fake_expect(&fake, RML_UNSUBSCRIBE);
        fake_expect(&fake, RML_REPLY);
        assert_int_equal(fake.data.token, 77);
        assert_true(fake.data.code == RAMAL_REMOTE_NO_HANDLER);
        stop(&fake, conn);
}

static void test_serve_stream_room_that_came_before_the_callback_is_told(void **state) {
        static char piece[200 << 10];
        struct served served = {.requests = 0};
        struct fake fake;
        ramal_conn *conn = serve(&fake, &served);

        (void)state;
        fake_request(&fake, 1, 1, 5, 0, "svc.a", "q");
        fake_settle(conn);
        fake_expect(&fake, RML_CREDIT);
        ramal_req_on_writable(served.req, NULL, NULL);
        assert_int_equal(ramal_reply_more(served.req, piece, sizeof(piece)), 0);
        assert_int_equal(ramal_reply_more(served.req, piece, sizeof(piece)), -EAGAIN);
        send_credit(&fake, conn, 5, 1);
        ramal_req_on_writable(served.req, on_writable, &served);
        fake_settle(conn);
        assert_int_equal(served.writable, 1);
        ramal_req_drop(served.req);
        stop(&fake, conn);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_serve_replies_at_once_and_confirms),
                cmocka_unit_test(test_serve_replies_later_from_a_message_of_its_own),
                cmocka_unit_test(test_serve_fails_with_code_and_text),
                cmocka_unit_test(test_serve_failure_text_stays_utf8_when_cut),
                cmocka_unit_test(test_serve_learns_that_nobody_waits),
                cmocka_unit_test(test_serve_may_drop_in_the_cancel_callback),
                cmocka_unit_test(test_serve_dropped_request_answers_the_caller),
                cmocka_unit_test(test_serve_stream_waits_for_the_caller),
                cmocka_unit_test(test_serve_stream_piece_longer_than_the_window_goes_alone),
                cmocka_unit_test(test_serve_reply_too_long_is_an_error_for_both),
                cmocka_unit_test(test_serve_request_of_a_lost_connection_is_cancelled),
                cmocka_unit_test(test_serve_name_without_handler_answers_for_it),
                cmocka_unit_test(test_serve_request_on_its_way_to_a_cancelled_service_is_answered),
                cmocka_unit_test(test_serve_stream_room_that_came_before_the_callback_is_told),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
