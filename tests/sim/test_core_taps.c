/* SPDX-License-Identifier: MIT */
/* Taps: who may, what they see, and that nobody else notices them. */
#include "expect.h"

#define TAPPED FLAG(TAPPED)

static const struct got *seen(struct fake *tap, uint64_t seq, const char *payload, uint32_t flags) {
        const struct got *got = expect_deliver(tap, 1, seq, payload);

        assert_int_equal(got->data.flags, TAPPED | flags);
        return got;
}

static void test_taps_see_publishes_without_counting_as_receivers(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *tap = fake_join(w, WORLD_UID), *from = fake_join(w, WORLD_UID);
        subscribed(tap, .sid = 1, .pattern = "a.>", .tap = true);
        uint64_t id = fake_publish_receipt(from, "a.b", "x");
        const struct got *got = expect(from, RML_ACCEPTED);
        assert_int_equal(got->id, id);
        assert_int_equal(GOT(got, Accepted)->receivers, 0);
        got = seen(tap, 1, "x", 0);
        assert_int_equal(got->data.sender.peer, from->id);
        assert_int_equal(got->data.token, 0);
        fake_publish(from, "b", "not mine");
        expect_nothing(tap);
        world_free(w);
}

static void test_taps_see_a_call_and_its_replies_by_its_subject(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *tap = fake_join(w, WORLD_UID), *server = fake_join(w, WORLD_UID), *caller = fake_join(w, WORLD_UID);
        subscribed(tap, .sid = 1, .pattern = "do", .tap = true);
        subscribed(server, .sid = 1, .pattern = "do", .serve = true);
        uint64_t id = fake_call(caller, "do", "q", 0);
        uint64_t token = expect_call(server, 1, "q");
        assert_int_equal(seen(tap, 1, "q", FLAG(CALL))->data.token, token);
        fake_reply_more(server, token, "1");
        fake_reply(server, token, "2");
        expect_reply(caller, id, 1, "1", true);
        expect_reply(caller, id, 2, "2", false);
        const struct got *got = seen(tap, 2, "1", FLAG(ANSWER) | FLAG(MORE));
        assert_int_equal(got->data.token, token);
        assert_int_equal(got->data.sender.peer, server->id);
        seen(tap, 3, "2", FLAG(ANSWER));
        world_free(w);
}

static void test_taps_alone_answer_no_call(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *tap = fake_join(w, WORLD_UID), *caller = fake_join(w, WORLD_UID);
        subscribed(tap, .sid = 1, .pattern = "do", .tap = true);
        expect_status(caller, fake_call(caller, "do", "q", 0), NO_RESPONDER);
        expect_nothing(tap); /* it went to nobody */
        world_free(w);
}

static void test_taps_cannot_answer_the_calls_that_they_see(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *tap = fake_join(w, WORLD_UID), *server = fake_join(w, WORLD_UID), *caller = fake_join(w, WORLD_UID);
        subscribed(tap, .sid = 1, .pattern = "do", .tap = true);
        subscribed(server, .sid = 1, .pattern = "do", .serve = true);
        uint64_t id = fake_call(caller, "do", "q", 0), token = expect_call(server, 1, "q");
        fake_reply(tap, seen(tap, 1, "q", FLAG(CALL))->data.token, "forged");
        expect_nothing(caller);
        fake_reply(server, token, "true");
        expect_reply(caller, id, 1, "true", false);
        world_free(w);
}

static void test_taps_are_the_right_of_root_and_of_the_brokers_user(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *root = fake_join(w, 0), *other = fake_join(w, WORLD_ALLOWED_UID), *token = fake_join_tcp(w);
        subscribed(root, .sid = 1, .pattern = ">", .tap = true);
        expect_status(other, SUBSCRIBE(other, .sid = 1, .pattern = ">", .tap = true), DENIED);
        expect_status(token, SUBSCRIBE(token, .sid = 1, .pattern = ">", .tap = true), DENIED);
        expect_status(root, SUBSCRIBE(root, .sid = 2, .pattern = "a", .tap = true, .serve = true), INVALID);
        expect_status(root, SUBSCRIBE(root, .sid = 2, .pattern = "a", .tap = true, .group = "g"), INVALID);
        expect_status(root, SUBSCRIBE(root, .sid = 2, .pattern = "a", .tap = true, .overflow = OVERFLOW_RULE(EVICT)), INVALID);
        /* What is said to one peer alone is seen too. */
        subscribed(root, .sid = 3, .pattern = "$PEER.>", .tap = true);
        world_free(w);
}

static void test_taps_that_do_not_read_slow_nobody_and_are_told(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.interest_messages = 10;
        struct world *w = world_new(1, &limits);
        struct fake *tap = fake_join(w, WORLD_UID), *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(tap, .sid = 1, .pattern = "a", .tap = true, .credit_messages = 1);
        subscribed(to, .sid = 1, .pattern = "a");
        for (unsigned i = 0; i < 50; i++)
                fake_publish(from, "a", "x");
        for (unsigned i = 0; i < 50; i++)
                expect_deliver(to, 1, i + 1, "x");
        seen(tap, 1, "x", 0);
        fake_confirm(tap, 1, 1);
        expect_gap(tap, 1, 2, 40, 39, WINDOW);
        seen(tap, 41, "x", 0);
        expect_ledger(tap, 1, .matched = 50, .confirmed = 1, .in_flight = 1, .queued = 9, .dropped = 39);
        world_free(w);
}

static void test_taps_come_and_go_during_calls(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *tap = fake_join(w, WORLD_UID), *server = fake_join(w, WORLD_UID), *caller = fake_join(w, WORLD_UID);
        subscribed(server, .sid = 1, .pattern = "do", .serve = true);
        uint64_t early = fake_call(caller, "do", "1", 0), token = expect_call(server, 1, "1");
        subscribed(tap, .sid = 1, .pattern = "do", .tap = true);
        fake_reply(server, token, "r"); /* of a call that it has not seen */
        expect_reply(caller, early, 1, "r", false);
        expect_nothing(tap);
        uint64_t late = fake_call(caller, "do", "2", 0);
        token = expect_call(server, 1, "2");
        seen(tap, 1, "2", FLAG(CALL));
        expect_status(tap, fake_unsubscribe(tap, 1), OK);
        fake_reply(server, token, "r");
        expect_reply(caller, late, 1, "r", false);
        expect_nothing(tap);
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_taps_see_publishes_without_counting_as_receivers),
                cmocka_unit_test(test_taps_see_a_call_and_its_replies_by_its_subject),
                cmocka_unit_test(test_taps_alone_answer_no_call),
                cmocka_unit_test(test_taps_cannot_answer_the_calls_that_they_see),
                cmocka_unit_test(test_taps_are_the_right_of_root_and_of_the_brokers_user),
                cmocka_unit_test(test_taps_that_do_not_read_slow_nobody_and_are_told),
                cmocka_unit_test(test_taps_come_and_go_during_calls),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
