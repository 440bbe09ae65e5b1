/* SPDX-License-Identifier: MIT */
/* Rule 7: every call ends exactly once, whichever way it ends. */
#include "expect.h"

#include <string.h>

struct scene {
        struct world *w;
        struct fake *caller, *server;
};

/* A caller, and a server of "do" that takes one call at a time. */
static struct scene scene(void) {
        struct scene s = {.w = world_start()};
        s.caller = fake_join(s.w, WORLD_UID);
        s.server = fake_join(s.w, WORLD_UID);
        subscribed(s.server, .sid = 1, .pattern = "do", .serve = true, .credit_messages = 1);
        return s;
}

/* Nothing more comes of it, and nothing is left of it. */
static void finish(struct scene *s) {
        struct core_charges charges;
        expect_nothing(s->caller);
        core_charges(s->w->core, &charges);
        assert_int_equal(charges.calls, 0);
        world_free(s->w);
}

static void test_calls_end_by_reply(void **state) {
        (void)state;
        struct scene s = scene();
        uint64_t id = fake_call(s.caller, "do", "q", 0);
        uint64_t token = expect_call(s.server, 1, "q");
        fake_reply(s.server, token, "a");
        const struct got *got = expect_reply(s.caller, id, 1, "a", false);
        assert_int_equal(got->data.code, 0);
        fake_reply(s.server, token, "again"); /* C38: dropped and counted */
        expect_nothing(s.server);
        finish(&s);
}

static void test_calls_delivery_bears_subject_sender_and_time_left(void **state) {
        (void)state;
        struct scene s = scene();
        fake_call(s.caller, "do", "q", 5000);
        world_advance(s.w, MS(0) + 500);
        const struct got *got = expect(s.server, RML_DELIVER);
        assert_int_equal(got->data.sender.peer, s.caller->id);
        assert_true(got->data.sender.local);
        assert_int_equal(got->data.sender.uid, WORLD_UID);
        assert_int_equal(got->id, 0);
        assert_memory_equal(got->data.subject.data, "do", 2);
        assert_true(got->data.time_left_us > 4990 && got->data.time_left_us <= 5000);
        world_free(s.w);
}

static void test_calls_end_by_application_error(void **state) {
        (void)state;
        struct scene s = scene();
        uint64_t id = fake_call(s.caller, "do", "q", 0);
        fake_reply_error(s.server, expect_call(s.server, 1, "q"), 42, "no such thing");
        const struct got *got = expect_reply(s.caller, id, 1, "", false);
        assert_int_equal(got->data.code, 42);
        assert_int_equal(got->data.text.len, strlen("no such thing"));
        finish(&s);
}

static void test_calls_to_nobody_are_answered_at_once(void **state) {
        (void)state;
        struct scene s = scene();
        expect_status(s.caller, fake_call(s.caller, "nobody", "q", 0), NO_RESPONDER);
        subscribed(s.server, .sid = 2, .pattern = "news"); /* subscribers do not answer calls */
        expect_status(s.caller, fake_call(s.caller, "news", "q", 0), NO_RESPONDER);
        finish(&s);
}

static void test_calls_of_a_bad_subject_are_refused(void **state) {
        (void)state;
        struct scene s = scene();
        expect_status(s.caller, fake_call(s.caller, "do.*", "q", 0), BAD_SUBJECT);
        expect_status(s.caller, fake_call(s.caller, "", "q", 0), BAD_SUBJECT);
        expect_status(s.caller, fake_call(s.caller, "a.\xff", "q", 0), BAD_SUBJECT);
        finish(&s);
}

static void test_calls_committed_to_one_that_dies_may_have_run(void **state) {
        (void)state;
        struct scene s = scene();
        uint64_t first = fake_call(s.caller, "do", "1", 0), second = fake_call(s.caller, "do", "2", 0);
        expect_call(s.server, 1, "1");
        fake_lost(s.server);
        for (int i = 0; i < 2; i++) {
                const struct got *got = expect(s.caller, RML_STATUS);
                assert_int_equal(GOT(got, Status)->code, CODE(RESPONDER_GONE));
                assert_true(got->id == first || got->id == second);
                assert_int_equal(GOT(got, Status)->may_have_run, got->id == first);
        }
        finish(&s);
}

static void test_calls_not_committed_move_when_their_member_dies(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *caller = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        expect_subscribed(a,
                          SUBSCRIBE(a, .sid = 1, .pattern = "do", .serve = true, .group = "g",
                                    .policy = POLICY(PRIMARY), .credit_messages = 1),
                          OWNER, 0);
        expect_subscribed(b, SUBSCRIBE(b, .sid = 1, .pattern = "do", .serve = true, .group = "g"), QUEUED, 1);
        uint64_t first = fake_call(caller, "do", "1", 0), second = fake_call(caller, "do", "2", 0);
        expect_call(a, 1, "1");
        fake_lost(a);
        assert_true(expect_status(caller, first, RESPONDER_GONE)->may_have_run);
        world_turn(w);
        const struct got *got = fake_next(b);
        assert_non_null(got);
        if (got->kind == RML_INTEREST)
                got = expect(b, RML_DELIVER);
        assert_true(got->data.flags & FLAG(MOVED));
        fake_reply(b, got->data.token, "done");
        expect_reply(caller, second, 1, "done", false);
        world_free(w);
}

static void test_calls_deadline_before_commit_is_never_delivered(void **state) {
        (void)state;
        struct scene s = scene();
        fake_call(s.caller, "do", "1", 0);
        uint64_t id = fake_call(s.caller, "do", "2", 2000);
        uint64_t token = expect_call(s.server, 1, "1");
        world_advance(s.w, MS(1));
        expect_nothing(s.caller);
        assert_true(core_deadline(s.w->core) <= WORLD_START_NS + MS(2));
        world_advance(s.w, MS(2));
        expect_status(s.caller, id, DEADLINE);
        fake_confirm(s.server, 1, 1);
        expect_gap(s.server, 1, 2, 2, 1, EXPIRED);
        expect_nothing(s.server);
        fake_reply(s.server, token, "a");
        expect(s.caller, RML_REPLY);
        finish(&s);
}

static void test_calls_deadline_after_commit_tells_both(void **state) {
        (void)state;
        struct scene s = scene();
        uint64_t id = fake_call(s.caller, "do", "1", 2000);
        uint64_t token = expect_call(s.server, 1, "1");
        world_advance(s.w, MS(3));
        expect_status(s.caller, id, DEADLINE);
        expect_cancel(s.server, token, EXPIRED);
        fake_reply(s.server, token, "too late"); /* C39 */
        expect_nothing(s.server);
        finish(&s);
}

/* A turn reads all sockets before it expires anything. */
static void test_calls_reply_in_the_turn_of_the_deadline_wins(void **state) {
        (void)state;
        struct scene s = scene();
        uint64_t id = fake_call(s.caller, "do", "1", 2000);
        uint64_t token = expect_call(s.server, 1, "1");
        world_advance(s.w, MS(3));
        fake_reply(s.server, token, "just in time");
        expect_reply(s.caller, id, 1, "just in time", false);
        finish(&s);
}

static void test_calls_cancelled_before_commit_are_never_delivered(void **state) {
        (void)state;
        struct scene s = scene();
        uint64_t first = fake_call(s.caller, "do", "1", 0), second = fake_call(s.caller, "do", "2", 0);
        uint64_t token = expect_call(s.server, 1, "1");
        fake_cancel(s.caller, second);
        expect_status(s.caller, second, CANCELLED);
        fake_confirm(s.server, 1, 1);
        expect_gap(s.server, 1, 2, 2, 1, CANCELLED);
        fake_reply(s.server, token, "a");
        expect_reply(s.caller, first, 1, "a", false);
        finish(&s);
}

static void test_calls_cancelled_after_commit_tell_both(void **state) {
        (void)state;
        struct scene s = scene();
        uint64_t id = fake_call(s.caller, "do", "1", 0);
        uint64_t token = expect_call(s.server, 1, "1");
        fake_cancel(s.caller, id);
        expect_status(s.caller, id, CANCELLED);
        expect_cancel(s.server, token, CANCELLED);
        fake_cancel(s.caller, id);       /* twice: nothing */
        fake_cancel(s.caller, id + 100); /* C42: unknown: nothing */
        finish(&s);
}

static void test_calls_of_a_caller_that_dies_are_cancelled(void **state) {
        (void)state;
        struct scene s = scene();
        struct fake *witness = fake_join(s.w, WORLD_UID);
        fake_call(s.caller, "do", "1", 0);
        fake_call(s.caller, "do", "2", 0);
        uint64_t token = expect_call(s.server, 1, "1");
        fake_lost(s.caller);
        expect_cancel(s.server, token, GONE);
        fake_reply(s.server, token, "to nobody");
        fake_confirm(s.server, 1, 1);
        expect_gap(s.server, 1, 2, 2, 1, GONE);
        expect_nothing(s.server);
        s.caller = witness;
        finish(&s);
}

static void test_calls_over_the_limit_of_the_connection_are_refused(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.calls = 2;
        struct world *w = world_new(1, &limits);
        struct fake *caller = fake_join(w, WORLD_UID), *server = fake_join(w, WORLD_UID);
        subscribed(server, .sid = 1, .pattern = "do", .serve = true);
        fake_call(caller, "do", "1", 0);
        fake_call(caller, "do", "2", 0);
        uint64_t id = fake_call(caller, "do", "3", 0);
        const Ramal__V1__Status *status = expect_status(caller, id, OVER_LIMIT);
        assert_string_equal(status->limit, "limits.calls");
        assert_int_equal(status->value, 2);
        world_free(w);
}

static void test_calls_to_full_servers_are_over_limit(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *caller = fake_join(w, WORLD_UID), *server = fake_join(w, WORLD_UID);
        subscribed(server, .sid = 1, .pattern = "do", .serve = true, .window_messages = 2, .credit_messages = 1);
        uint64_t first = fake_call(caller, "do", "1", 0);
        fake_call(caller, "do", "2", 0);
        expect_status(caller, fake_call(caller, "do", "3", 0), OVER_LIMIT);
        /* In flight counts until it is confirmed, answered or not. */
        fake_reply(server, expect_call(server, 1, "1"), "a");
        expect_reply(caller, first, 1, "a", false);
        expect_status(caller, fake_call(caller, "do", "4", 0), OVER_LIMIT);
        fake_confirm(server, 1, 1);
        fake_call(caller, "do", "5", 0);
        expect_nothing(caller);
        world_free(w);
}

static void test_calls_of_a_responder_that_unsubscribes(void **state) {
        (void)state;
        struct scene s = scene();
        uint64_t first = fake_call(s.caller, "do", "1", 0), second = fake_call(s.caller, "do", "2", 0);
        uint64_t token = expect_call(s.server, 1, "1");
        uint64_t id = fake_unsubscribe(s.server, 1);
        expect_gap(s.server, 1, 2, 2, 1, ENDED);
        expect_status(s.server, id, OK);
        assert_false(expect_status(s.caller, second, RESPONDER_GONE)->may_have_run);
        fake_reply(s.server, token, "kept");
        expect_reply(s.caller, first, 1, "kept", false);
        finish(&s);
}

static void test_calls_to_oneself_come_back_with_their_id(void **state) {
        (void)state;
        struct scene s = scene();
        uint64_t id = fake_call(s.server, "do", "me", 0);
        const struct got *got = expect(s.server, RML_DELIVER);
        assert_int_equal(got->id, id);
        fake_reply(s.server, got->data.token, "too");
        expect_reply(s.server, id, 1, "too", false);
        finish(&s);
}

/* C37: a token is good only for the connection that it was given to. */
static void test_calls_replies_of_strangers_are_dropped(void **state) {
        (void)state;
        struct scene s = scene();
        struct fake *stranger = fake_join(s.w, WORLD_UID);
        uint64_t id = fake_call(s.caller, "do", "q", 0);
        uint64_t token = expect_call(s.server, 1, "q");
        fake_reply(stranger, token, "forged");
        fake_reply(stranger, token + 1, "forged");
        expect_nothing(stranger);
        expect_nothing(s.caller);
        fake_reply(s.server, token, "true");
        expect_reply(s.caller, id, 1, "true", false);
        finish(&s);
}

static void test_calls_an_answer_too_large_for_the_callers_budget_ends_over_limit(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.connection_bytes = 300000;
        struct world *w = world_new(1, &limits);
        struct fake *caller = fake_join(w, WORLD_UID), *server = fake_join(w, WORLD_UID);
        static uint8_t big[200000];
        subscribed(server, .sid = 1, .pattern = "do", .serve = true);
        uint64_t id = fake_call(caller, "do", "q", 0);
        uint64_t token = expect_call(server, 1, "q");
        caller->stuck = true;
        struct say say = {.token = token, .payload = big, .len = sizeof(big), .flags = FLAG(MORE)};
        for (int i = 0; i < 5; i++)
                fake_data(server, RML_REPLY, false, &say);
        expect_cancel(server, token, TOO_LARGE);
        caller->stuck = false;
        world_turn(w);
        const struct got *got, *last = NULL;
        while ((got = fake_next(caller)))
                last = got;
        assert_non_null(last);
        assert_int_equal(last->kind, RML_STATUS);
        assert_int_equal(last->id, id);
        assert_int_equal(GOT(last, Status)->code, CODE(OVER_LIMIT));
        world_free(w);
}

static void test_calls_end_of_input_of_the_server_ends_them(void **state) {
        (void)state;
        struct scene s = scene();
        uint64_t id = fake_call(s.caller, "do", "q", 0);
        expect_call(s.server, 1, "q");
        fake_eof(s.server);
        assert_true(expect_status(s.caller, id, RESPONDER_GONE)->may_have_run);
        expect_closed(s.server);
        finish(&s);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_calls_end_by_reply),
                cmocka_unit_test(test_calls_delivery_bears_subject_sender_and_time_left),
                cmocka_unit_test(test_calls_end_by_application_error),
                cmocka_unit_test(test_calls_to_nobody_are_answered_at_once),
                cmocka_unit_test(test_calls_of_a_bad_subject_are_refused),
                cmocka_unit_test(test_calls_committed_to_one_that_dies_may_have_run),
                cmocka_unit_test(test_calls_not_committed_move_when_their_member_dies),
                cmocka_unit_test(test_calls_deadline_before_commit_is_never_delivered),
                cmocka_unit_test(test_calls_deadline_after_commit_tells_both),
                cmocka_unit_test(test_calls_reply_in_the_turn_of_the_deadline_wins),
                cmocka_unit_test(test_calls_cancelled_before_commit_are_never_delivered),
                cmocka_unit_test(test_calls_cancelled_after_commit_tell_both),
                cmocka_unit_test(test_calls_of_a_caller_that_dies_are_cancelled),
                cmocka_unit_test(test_calls_over_the_limit_of_the_connection_are_refused),
                cmocka_unit_test(test_calls_to_full_servers_are_over_limit),
                cmocka_unit_test(test_calls_of_a_responder_that_unsubscribes),
                cmocka_unit_test(test_calls_to_oneself_come_back_with_their_id),
                cmocka_unit_test(test_calls_replies_of_strangers_are_dropped),
                cmocka_unit_test(test_calls_an_answer_too_large_for_the_callers_budget_ends_over_limit),
                cmocka_unit_test(test_calls_end_of_input_of_the_server_ends_them),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
