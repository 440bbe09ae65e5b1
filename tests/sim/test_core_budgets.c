/* SPDX-License-Identifier: MIT */
/* What one peer can make the broker hold: everything that waits is counted with what it costs beside its bytes, and
 * everything that is counted is bounded. */
#include "expect.h"

#include <string.h>

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
        assert_true(world_charges(w).queued_bytes <= limits.connection_bytes);
        assert_true(world_charges(w).queued_messages <= limits.connection_bytes / 128);
        world_free(w);
}

/* One of a uid's processes stands still, with everything that it may hold; another of the same uid loses nothing. */
static void test_budgets_stuck_process_does_not_hurt_its_siblings(void **state) {
        (void)state;
        static const Ramal__V1__Overflow rules[] = {RAMAL__V1__OVERFLOW__OVERFLOW_DROP_OLD,
                                                    RAMAL__V1__OVERFLOW__OVERFLOW_DROP_NEW,
                                                    RAMAL__V1__OVERFLOW__OVERFLOW_LATEST};
        for (unsigned rule = 0; rule < RML_COUNT(rules); rule++) {
                struct core_limits limits;
                core_limits_default(&limits);
                limits.interest_bytes = 1 << 20;
                limits.connection_bytes = 2 << 20;
                limits.uid_bytes = 8 << 20;
                struct world *w = world_new(1, &limits);
                struct fake *from = fake_join(w, WORLD_ALLOWED_UID), *stuck = fake_join(w, WORLD_ALLOWED_UID),
                            *sibling = fake_join(w, WORLD_ALLOWED_UID), *server = fake_join(w, WORLD_ALLOWED_UID),
                            *caller = fake_join(w, WORLD_ALLOWED_UID);
                for (unsigned i = 1; i <= 4; i++) /* together more than its connection may hold */
                        subscribed(stuck, .sid = i, .pattern = "t", .overflow = rules[rule]);
                subscribed(sibling, .sid = 1, .pattern = "t");
                subscribed(server, .sid = 1, .pattern = "s", .serve = true);
                stuck->stuck = true;
                for (unsigned i = 0; i < 5000; i++) {
                        fake_publish_bytes(from, "t", 1000);
                        if (i % 500 == 499) {
                                world_turn(w);
                                uint64_t id = fake_call(caller, "s", "q", 0);
                                fake_reply(server, expect_call(server, 1, "q"), "r");
                                expect_reply(caller, id, 1, "r", false);
                        }
                }
                world_turn(w);
                struct core_ledger l;
                assert_int_equal(core_interest_ledger(sibling->peer, 1, &l), 0);
                assert_int_equal(l.matched, 5000);
                assert_int_equal(l.confirmed, 5000);
                uint64_t dropped = 0;
                for (unsigned i = 1; i <= 4; i++) {
                        assert_int_equal(core_interest_ledger(stuck->peer, i, &l), 0);
                        dropped += l.dropped + l.replaced;
                }
                assert_true(dropped > 4 * 3000);
                world_free(w);
        }
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
                assert_true(world_charges(w).bodies_bytes <= limits.broker_bytes);
        }
        for (unsigned i = 0; i < 8; i++) {
                to[i]->stuck = false;
                world_turn(w);
        }
        expect_deliver(to[0], 1, 1, NULL);
        expect_gap(to[7], 1, 1, 1, 1, BROKER);
        assert_int_equal(world_charges(w).bodies_bytes, 0);
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
        assert_true(world_charges(w).queued_bytes <= limits.uid_bytes);
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

static const char *filled(size_t len) {
        static char text[100001];
        assert_true(len < sizeof(text));
        memset(text, 'x', len);
        text[len] = '\0';
        return text;
}

/* A connection that is full of deliveries gets its replies all the same, also those that have to wait. */
static void test_budgets_replies_have_a_bound_of_their_own(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.connection_bytes = limits.uid_bytes = 400000;
        limits.uid_connect_rate = 1000;
        struct world *w = world_new(1, &limits);
        struct fake *server = fake_join(w, WORLD_UID), *caller = fake_join(w, WORLD_ALLOWED_UID),
                    *from = fake_join(w, WORLD_ALLOWED_UID);
        uint64_t id[6], token[6];
        subscribed(server, .sid = 1, .pattern = "s", .serve = true);
        subscribed(caller, .sid = 1, .pattern = "fill", .overflow = OVERFLOW_RULE(DROP_NEW));
        caller->stuck = true;
        for (unsigned i = 0; i < 12; i++)
                fake_publish(from, "fill", filled(100000));
        struct core_ledger ledger;
        assert_int_equal(core_interest_ledger(caller->peer, 1, &ledger), 0);
        assert_true(ledger.dropped > 5);
        for (unsigned i = 0; i < 6; i++) {
                id[i] = fake_call(caller, "s", "q", 0);
                token[i] = expect_call(server, 1, "q");
        }
        for (unsigned i = 0; i < 6; i++)
                fake_reply(server, token[i], filled(100000));
        assert_true(world_charges(w).queued_bytes > 400000);
        caller->stuck = false;
        world_turn(w);
        unsigned replied = 0, refused = 0;
        for (const struct got *got; (got = fake_next(caller));) {
                replied += got->kind == RML_REPLY;
                if (got->kind != RML_STATUS)
                        continue;
                assert_string_equal(GOT(got, Status)->limit, "limits.connection_bytes");
                refused++;
        }
        assert_int_equal(replied, 3);
        assert_int_equal(refused, 3);
        assert_true(id[5] > id[0]);
        world_free(w);
}

/* Deliveries and calls stop before the last of the broker's memory: that is for replies. */
static void test_budgets_the_reserve_is_for_replies(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.broker_bytes = 1000000;
        limits.reserve_bytes = 300000;
        struct world *w = world_new(1, &limits);
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID), *server = fake_join(w, WORLD_UID),
                    *busy = fake_join(w, WORLD_UID), *caller = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "fill", .credit_messages = 1, .overflow = OVERFLOW_RULE(DROP_NEW));
        subscribed(server, .sid = 1, .pattern = "s", .serve = true);
        subscribed(busy, .sid = 1, .pattern = "b", .serve = true, .credit_messages = 1);
        fake_call(caller, "b", "q", 0);
        uint64_t id = fake_call(caller, "s", "q", 0);
        for (unsigned i = 0; i < 20; i++)
                fake_publish(from, "fill", filled(50000));
        assert_in_range(world_charges(w).bodies_bytes, 640000, 700000);
        fake_publish(from, "fill", filled(100000));
        uint64_t call = fake_call(from, "b", filled(100000), 0);
        const Ramal__V1__Status *status = expect_status(from, call, OVER_LIMIT);
        assert_string_equal(status->limit, "limits.broker_bytes");
        assert_int_equal(status->value, 1000000);
        uint64_t token = expect_call(server, 1, "q");
        caller->stuck = true;
        fake_reply_more(server, token, filled(100000));
        fake_reply_more(server, token, filled(100000));
        fake_reply(server, token, "end");
        assert_true(world_charges(w).bodies_bytes > 700000);
        caller->stuck = false;
        for (unsigned i = 1; i <= 3; i++)
                expect_reply(caller, id, i, i == 3 ? "end" : filled(100000), i < 3);
        world_free(w);
}

/* A server that does not read costs its callers, not itself: and each of them no more than its own budget. */
static void test_budgets_calls_are_charged_to_their_caller(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.connection_bytes = 300000;
        struct world *w = world_new(1, &limits);
        struct fake *server = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        subscribed(server, .sid = 1, .pattern = "s", .serve = true, .credit_messages = 1);
        subscribed(server, .sid = 2, .pattern = "t", .credit_messages = 1);
        subscribed(b, .sid = 1, .pattern = "o", .serve = true);
        fake_call(a, "s", "first", 0);
        uint64_t id[5];
        for (unsigned i = 0; i < 5; i++)
                id[i] = fake_call(a, "s", filled(100000), 0);
        for (unsigned i = 2; i < 5; i++) {
                const Ramal__V1__Status *status = expect_status(a, id[i], OVER_LIMIT);
                assert_string_equal(status->limit, "limits.connection_bytes");
                assert_int_equal(status->value, 300000);
        }
        for (unsigned i = 0; i < 2; i++)
                fake_call(b, "s", filled(100000), 0);
        expect_nothing(b);
        uint64_t other = fake_call(a, "o", "q", 0); /* what need not wait is not charged */
        fake_reply(b, expect_call(b, 1, "q"), "r");
        expect_reply(a, other, 1, "r", false);
        for (unsigned i = 0; i < 3; i++)
                fake_publish(a, "t", filled(100000)); /* nor is the server's own budget used up */
        struct core_ledger ledger;
        assert_int_equal(core_interest_ledger(server->peer, 2, &ledger), 0);
        assert_int_equal(ledger.queued, 2);
        fake_cancel(a, id[0]);
        expect_status(a, id[0], CANCELLED);
        fake_call(a, "s", filled(100000), 0); /* it has room again */
        expect_nothing(a);
        world_free(w);
}

/* What waits at another member now waits for the same caller's money. */
static void test_budgets_a_call_that_moves_stays_charged_to_its_caller(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.connection_bytes = 300000;
        struct world *w = world_new(1, &limits);
        struct fake *first = fake_join(w, WORLD_UID), *second = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_ALLOWED_UID);
        subscribed(first, .sid = 1, .pattern = "s", .serve = true, .group = "g", .credit_messages = 1);
        fake_call(a, "s", "first", 0);
        fake_call(a, "s", filled(100000), 0);
        fake_call(a, "s", filled(100000), 0);
        subscribed(second, .sid = 1, .pattern = "s", .serve = true, .group = "g", .credit_messages = 1);
        fake_lost(first);
        world_turn(w);
        expect_ledger(second, 1, .matched = 2, .queued = 1, .in_flight = 1);
        fake_lost(a);
        world_turn(w);
        expect_ledger(second, 1, .matched = 2, .in_flight = 1, .expired = 0, .dropped = 1);
        world_free(w);
}

/* A reply that finds the output free waits nowhere; its body is the broker's memory until the socket has taken it. */
static void test_budgets_replies_that_do_not_wait_are_the_brokers(void **state) {
        (void)state;
        enum { CALLERS = 6, BYTES = 100000 };
        struct core_limits limits;
        core_limits_default(&limits);
        limits.broker_bytes = 400000;
        limits.reserve_bytes = 0;
        struct world *w = world_new(1, &limits);
        struct fake *server = fake_join(w, WORLD_UID), *caller[CALLERS];
        subscribed(server, .sid = 1, .pattern = "s", .serve = true);
        uint64_t id[CALLERS];
        for (unsigned i = 0; i < CALLERS; i++) {
                caller[i] = fake_join(w, WORLD_UID);
                id[i] = fake_call(caller[i], "s", "q", 0);
                caller[i]->stuck = true;
                fake_reply(server, expect_call(server, 1, "q"), filled(BYTES));
                world_turn(w);
                assert_in_range(world_charges(w).bodies_bytes, BYTES, limits.broker_bytes);
                fake_skip(server); /* CANCEL, where it did not fit */
        }
        for (unsigned i = 0; i < CALLERS; i++)
                caller[i]->stuck = false;
        world_turn(w);
        expect_reply(caller[0], id[0], 1, filled(BYTES), false);
        const Ramal__V1__Status *status = expect_status(caller[CALLERS - 1], id[CALLERS - 1], OVER_LIMIT);
        assert_string_equal(status->limit, "limits.broker_bytes");
        assert_int_equal(status->value, 400000);
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_budgets_replies_have_a_bound_of_their_own),
                cmocka_unit_test(test_budgets_the_reserve_is_for_replies),
                cmocka_unit_test(test_budgets_replies_that_do_not_wait_are_the_brokers),
                cmocka_unit_test(test_budgets_calls_are_charged_to_their_caller),
                cmocka_unit_test(test_budgets_a_call_that_moves_stays_charged_to_its_caller),
                cmocka_unit_test(test_budgets_small_messages_count_what_they_cost),
                cmocka_unit_test(test_budgets_stuck_process_does_not_hurt_its_siblings),
                cmocka_unit_test(test_budgets_large_messages_count_until_the_socket_has_them),
                cmocka_unit_test(test_budgets_credit_without_end_is_bounded_by_the_window),
                cmocka_unit_test(test_budgets_replies_respect_those_of_the_caller),
                cmocka_unit_test(test_budgets_reply_passes_a_subscription_that_waits_for_credit),
                cmocka_unit_test(test_budgets_unread_answers_count_what_they_cost),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
