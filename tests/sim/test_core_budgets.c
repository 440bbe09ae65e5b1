/* SPDX-License-Identifier: MIT */
/* What one peer can make the broker hold: everything that waits is counted with what it costs beside its bytes, and
 * everything that is counted is bounded. */
#include "expect.h"

#include <string.h>

static struct core_charges charges(const struct world *w) {
        struct core_charges ret;

        core_charges(w->core, &ret);
        return ret;
}

static void test_budgets_small_messages_count_what_they_cost(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.connection_bytes = 1 << 20;
        struct world *w = world_new(1, &limits);
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a", .credit_messages = 1);
        for (unsigned i = 0; i < 20000; i++)
                fake_publish(from, "a", "");
        assert_true(charges(w).queued_bytes <= limits.connection_bytes);
        assert_true(charges(w).queued_messages <= limits.connection_bytes / 128);
        world_free(w);
}

static void test_budgets_large_messages_count_until_the_socket_has_them(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.broker_bytes = 4 << 20;
        limits.reserve_bytes = 0;
        struct world *w = world_new(1, &limits);
        struct fake *from = fake_join(w, WORLD_UID), *to[8];
        for (unsigned i = 0; i < 8; i++) {
                char subject[] = "a.0";
                subject[2] = (char)('0' + i);
                to[i] = fake_join(w, WORLD_UID);
                subscribed(to[i], .sid = 1, .pattern = subject);
                to[i]->stuck = true;
                fake_publish_bytes(from, subject, 1 << 20);
                world_turn(w);
                assert_true(charges(w).bodies_bytes <= limits.broker_bytes);
        }
        for (unsigned i = 0; i < 8; i++) {
                to[i]->stuck = false;
                world_turn(w);
        }
        expect_deliver(to[0], 1, 1, NULL);
        expect_gap(to[7], 1, 1, 1, 1, BROKER);
        assert_int_equal(charges(w).bodies_bytes, 0);
        world_free(w);
}

static void test_budgets_credit_without_end_is_bounded_by_the_window(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.interest_messages = 100;
        struct world *w = world_new(1, &limits);
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a", .credit_bytes = UINT64_MAX, .credit_messages = UINT64_MAX);
        for (unsigned i = 0; i < 150; i++)
                fake_publish(from, "a", "x");
        world_turn(w);
        expect_ledger(to, 1, .matched = 150, .in_flight = 100, .queued = 50);
        world_free(w);
}

static void test_budgets_replies_respect_those_of_the_caller(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.uid_bytes = 1 << 20;
        struct world *w = world_new(1, &limits);
        struct fake *server = fake_join(w, WORLD_UID), *caller = fake_join(w, WORLD_ALLOWED_UID);
        uint64_t token[8], refused = 0, id[8];
        static char text[300000];
        memset(text, 'x', sizeof(text) - 1);
        subscribed(server, .sid = 1, .pattern = "a", .serve = true);
        for (unsigned i = 0; i < 8; i++) {
                id[i] = fake_call(caller, "a", "q", 0);
                token[i] = expect_call(server, 1, "q");
        }
        caller->stuck = true;
        for (unsigned i = 0; i < 8; i++)
                fake_reply(server, token[i], text);
        assert_true(charges(w).queued_bytes <= limits.uid_bytes);
        caller->stuck = false;
        world_turn(w);
        for (unsigned i = 0; i < 8; i++) {
                const struct got *got = fake_next(caller);
                assert_non_null(got);
                assert_int_equal(got->id, id[i]);
                if (got->kind == RML_REPLY)
                        continue;
                assert_int_equal(GOT(got, Status)->code, CODE(OVER_LIMIT));
                assert_string_equal(GOT(got, Status)->limit, "limits.uid_bytes");
                refused++;
        }
        assert_true(refused >= 4 && refused < 8);
        world_free(w);
}

/* What waits for its own credit does not keep a reply out that could be written at once. */
static void test_budgets_reply_passes_a_subscription_that_waits_for_credit(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.connection_bytes = 64 << 10;
        struct world *w = world_new(1, &limits);
        struct fake *server = fake_join(w, WORLD_UID), *caller = fake_join(w, WORLD_UID);
        subscribed(server, .sid = 1, .pattern = "a", .serve = true);
        subscribed(caller, .sid = 1, .pattern = "fill", .credit_messages = 1);
        for (unsigned i = 0; i < 100; i++)
                fake_publish_bytes(server, "fill", 1000);
        world_turn(w);
        fake_skip(caller);
        uint64_t id = fake_call(caller, "a", "q", 0);
        fake_reply(server, expect_call(server, 1, "q"), "r");
        expect_reply(caller, id, 1, "r", false);
        world_free(w);
}

/* An answer that waits costs far more than its bytes: whoever reads none is paused by what it costs. */
static void test_budgets_unread_answers_count_what_they_cost(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.unread_answers_bytes = 64 << 10;
        struct world *w = world_new(1, &limits);
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "fill");
        to->stuck = true;
        for (unsigned i = 0; i < 6; i++)
                fake_publish_bytes(from, "fill", 60000); /* the output is full: answers queue */
        unsigned asked = 0;
        while (core_peer_reading(to->peer) && asked < 5000) {
                fake_publish_receipt(to, "nobody", "");
                asked++;
        }
        assert_true(asked < 1000);
        to->stuck = false;
        world_turn(w);
        assert_true(core_peer_reading(to->peer));
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_budgets_small_messages_count_what_they_cost),
                cmocka_unit_test(test_budgets_large_messages_count_until_the_socket_has_them),
                cmocka_unit_test(test_budgets_credit_without_end_is_bounded_by_the_window),
                cmocka_unit_test(test_budgets_replies_respect_those_of_the_caller),
                cmocka_unit_test(test_budgets_reply_passes_a_subscription_that_waits_for_credit),
                cmocka_unit_test(test_budgets_unread_answers_count_what_they_cost),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
