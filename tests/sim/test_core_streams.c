/* SPDX-License-Identifier: MIT */
/* Streamed replies and their credit (rules 5 and 7). */
#include "expect.h"

static uint64_t stream_call(struct fake *caller, uint64_t credit) {
        struct say say = {.subject = "do", .payload = "q", .len = 1, .stream_credit = credit};
        return fake_data(caller, RML_CALL, true, &say);
}

static uint64_t expect_credit(struct fake *server, uint64_t token) {
        const struct got *got = expect(server, RML_CREDIT);
        assert_int_equal(GOT(got, Credit)->token, token);
        return GOT(got, Credit)->seq;
}

static void test_streams_replies_are_numbered_and_end_once(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *caller = fake_join(w, WORLD_UID), *server = fake_join(w, WORLD_UID);
        subscribed(server, .sid = 1, .pattern = "do", .serve = true);
        uint64_t id = stream_call(caller, 1 << 20);
        uint64_t token = expect_call(server, 1, "q");
        fake_reply_more(server, token, "one");
        fake_reply_more(server, token, "two");
        fake_reply(server, token, "end");
        fake_reply_more(server, token, "beyond");
        expect_reply(caller, id, 1, "one", true);
        expect_reply(caller, id, 2, "two", true);
        expect_reply(caller, id, 3, "end", false);
        expect_nothing(caller);
        world_free(w);
}

static void test_streams_the_callers_credit_is_passed_on(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *caller = fake_join(w, WORLD_UID), *server = fake_join(w, WORLD_UID);
        subscribed(server, .sid = 1, .pattern = "do", .serve = true);
        uint64_t id = stream_call(caller, 1 << 20);
        const struct got *call = expect(server, RML_DELIVER);
        assert_int_equal(call->data.stream_credit, 1 << 20);
        uint64_t token = call->data.token;
        for (int i = 0; i < 3; i++)
                fake_reply_more(server, token, "x");
        for (unsigned i = 1; i <= 3; i++)
                expect_reply(caller, id, i, "x", true);
        expect_nothing(server); /* reading is no confirmation here */
        fake_confirm_replies(caller, id, 2);
        assert_int_equal(expect_credit(server, token), 2);
        fake_confirm_replies(caller, id, 1);  /* again */
        fake_confirm_replies(caller, id, 99); /* never sent */
        fake_confirm_replies(caller, 77, 1);  /* no such call */
        expect_nothing(server);
        fake_confirm_replies(caller, id, 3);
        assert_int_equal(expect_credit(server, token), 3);
        world_free(w);
}

static void test_streams_without_the_callers_credit_the_socket_confirms(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *caller = fake_join(w, WORLD_UID), *server = fake_join(w, WORLD_UID);
        subscribed(server, .sid = 1, .pattern = "do", .serve = true);
        uint64_t id = stream_call(caller, 0);
        uint64_t token = expect_call(server, 1, "q");
        caller->stuck = true;
        fake_reply_more(server, token, "x");
        fake_reply_more(server, token, "x");
        expect_nothing(server);
        caller->stuck = false;
        expect_reply(caller, id, 1, "x", true);
        expect_reply(caller, id, 2, "x", true);
        uint64_t seq = 0;
        while (seq < 2)
                seq = expect_credit(server, token);
        assert_int_equal(seq, 2);
        expect_nothing(server);
        world_free(w);
}

static void test_streams_are_cancelled_in_the_middle(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *caller = fake_join(w, WORLD_UID), *server = fake_join(w, WORLD_UID);
        subscribed(server, .sid = 1, .pattern = "do", .serve = true);
        uint64_t id = stream_call(caller, 1 << 20);
        uint64_t token = expect_call(server, 1, "q");
        fake_reply_more(server, token, "one");
        expect_reply(caller, id, 1, "one", true);
        fake_cancel(caller, id);
        expect_status(caller, id, CANCELLED);
        expect_cancel(server, token, CANCELLED);
        fake_reply_more(server, token, "two");
        expect_nothing(caller);
        world_free(w);
}

static void test_streams_of_a_server_that_dies_end_after_what_it_said(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *caller = fake_join(w, WORLD_UID), *server = fake_join(w, WORLD_UID);
        subscribed(server, .sid = 1, .pattern = "do", .serve = true);
        uint64_t id = stream_call(caller, 1 << 20);
        uint64_t token = expect_call(server, 1, "q");
        caller->stuck = true;
        fake_reply_more(server, token, "one");
        fake_reply_more(server, token, "two");
        fake_lost(server);
        caller->stuck = false;
        expect_reply(caller, id, 1, "one", true);
        expect_reply(caller, id, 2, "two", true);
        assert_true(expect_status(caller, id, RESPONDER_GONE)->may_have_run);
        world_free(w);
}

/* An application code ends the call, MORE or not. */
static void test_streams_an_application_code_ends_it(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *caller = fake_join(w, WORLD_UID), *server = fake_join(w, WORLD_UID);
        subscribed(server, .sid = 1, .pattern = "do", .serve = true);
        uint64_t id = stream_call(caller, 1 << 20);
        uint64_t token = expect_call(server, 1, "q");
        fake_reply_more(server, token, "one");
        fake_reply_error(server, token, 9, "broke off");
        fake_reply(server, token, "beyond");
        expect_reply(caller, id, 1, "one", true);
        assert_int_equal(expect_reply(caller, id, 2, "", false)->data.code, 9);
        expect_nothing(caller);
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_streams_replies_are_numbered_and_end_once),
                cmocka_unit_test(test_streams_the_callers_credit_is_passed_on),
                cmocka_unit_test(test_streams_without_the_callers_credit_the_socket_confirms),
                cmocka_unit_test(test_streams_are_cancelled_in_the_middle),
                cmocka_unit_test(test_streams_of_a_server_that_dies_end_after_what_it_said),
                cmocka_unit_test(test_streams_an_application_code_ends_it),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
