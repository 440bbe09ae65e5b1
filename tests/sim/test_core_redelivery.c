/* SPDX-License-Identifier: MIT */
/* Redelivery (rule 2): what a member of a group had in flight when it died goes to another member, once, marked. */
#include <stdio.h>
#include <string.h>

#include "expect.h"

/* Two members and a sender: a is given 1 and 2 of four messages, b nothing. */
struct crew {
        struct world *w;
        struct fake *from, *a, *b;
};

static struct crew crew(const struct sub *a) {
        struct crew c = {.w = world_start()};
        c.from = fake_join(c.w, WORLD_UID);
        c.a = fake_join(c.w, WORLD_UID);
        c.b = fake_join(c.w, WORLD_UID);
        fake_subscribe(c.a, a);
        expect(c.a, RML_SUBSCRIBED);
        SUBSCRIBE(c.b, .sid = 1, .pattern = "t", .group = "g", .credit_messages = 10);
        expect(c.b, RML_SUBSCRIBED);
        for (const char *text = "1\0002\0003\0004\0"; *text; text += 2)
                fake_publish(c.from, "t", text);
        return c;
}
static const struct sub two_at_a_time = {.sid = 1, .pattern = "t", .group = "g", .policy = POLICY(PRIMARY),
                                         .credit_messages = 2};

/* The next delivery, past notices. */
static void expect_flagged(struct fake *fake, uint64_t seq, const char *payload, uint32_t flags) {
        const struct got *got;
        world_turn(fake->world);
        do {
                got = fake_next(fake);
                assert_non_null(got);
        } while (got->kind == RML_INTEREST);
        assert_int_equal(got->kind, RML_DELIVER);
        assert_int_equal(got->data.payload.len, strlen(payload));
        assert_memory_equal(got->data.payload.data, payload, strlen(payload));
        assert_int_equal(got->data.flags, flags);
        assert_int_equal(got->data.seq, seq);
}

static void expect_no_more(struct fake *fake) {
        world_turn(fake->world);
        for (const struct got *got; (got = fake_next(fake));)
                assert_int_equal(got->kind, RML_INTEREST);
}

static void test_redelivery_what_was_in_flight_comes_before_what_was_queued(void **state) {
        (void)state;
        struct crew c = crew(&two_at_a_time);
        expect_deliver(c.a, 1, 1, "1");
        expect_deliver(c.a, 1, 2, "2");
        fake_lost(c.a);
        expect_ledger(c.b, 1, .matched = 4, .queued = 4);
        /* Numbered as they came: newest first, so that they keep their order. */
        expect_flagged(c.b, 4, "1", FLAG(REDELIVERED));
        expect_flagged(c.b, 3, "2", FLAG(REDELIVERED));
        expect_flagged(c.b, 2, "3", FLAG(MOVED));
        expect_flagged(c.b, 1, "4", FLAG(MOVED));
        expect_ledger(c.b, 1, .matched = 4, .in_flight = 4);
        fake_confirm(c.b, 1, 1); /* in the order of commit: all of them */
        expect_ledger(c.b, 1, .matched = 4, .confirmed = 4);
        fake_publish(c.from, "t", "5");
        expect_flagged(c.b, 5, "5", 0);
        world_free(c.w);
}

static void test_redelivery_not_of_what_was_confirmed(void **state) {
        (void)state;
        struct crew c = crew(&two_at_a_time);
        expect_deliver(c.a, 1, 1, "1");
        fake_confirm(c.a, 1, 1);
        world_turn(c.w); /* so 3 is sent as well */
        fake_lost(c.a);
        expect_flagged(c.b, 3, "2", FLAG(REDELIVERED));
        expect_flagged(c.b, 2, "3", FLAG(REDELIVERED));
        expect_flagged(c.b, 1, "4", FLAG(MOVED));
        expect_no_more(c.b);
        world_free(c.w);
}

static void test_redelivery_is_once(void **state) {
        (void)state;
        struct crew c = crew(&two_at_a_time);
        struct fake *last = fake_join(c.w, WORLD_UID);
        SUBSCRIBE(last, .sid = 1, .pattern = "t", .group = "g");
        expect(last, RML_SUBSCRIBED);
        world_turn(c.w);
        fake_lost(c.a);
        world_turn(c.w); /* b has 1 and 2 again, and 3 and 4 for the first time: all in flight */
        expect_ledger(c.b, 1, .matched = 4, .in_flight = 4);
        fake_lost(c.b);
        expect_flagged(last, 2, "3", FLAG(REDELIVERED));
        expect_flagged(last, 1, "4", FLAG(REDELIVERED));
        expect_no_more(last);
        world_free(c.w);
}

/* A redelivered one that still waits when its second member dies was never sent there: it moves, and stays marked. */
static void test_redelivery_that_still_waits_moves_on(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *m[3];
        for (int i = 0; i < 3; i++) {
                m[i] = fake_join(w, WORLD_UID);
                SUBSCRIBE(m[i], .sid = 1, .pattern = "t", .group = "g", .policy = POLICY(PRIMARY),
                          .credit_messages = 1);
                expect(m[i], RML_SUBSCRIBED);
        }
        fake_publish(from, "t", "1");
        fake_publish(from, "t", "2");
        expect_deliver(m[0], 1, 1, "1");
        m[1]->stuck = true;
        fake_lost(m[0]);
        expect_ledger(m[1], 1, .matched = 2, .queued = 2);
        fake_lost(m[1]);
        expect_flagged(m[2], 2, "1", FLAG(REDELIVERED) | FLAG(MOVED));
        fake_confirm(m[2], 1, 2);
        expect_flagged(m[2], 1, "2", FLAG(MOVED));
        world_free(w);
}

/* Where no credit was asked, the socket confirms: what it had not taken is redelivered. */
static void test_redelivery_of_what_the_socket_had_not_taken(void **state) {
        (void)state;
        struct crew c = {.w = world_start()};
        c.from = fake_join(c.w, WORLD_UID);
        c.a = fake_join(c.w, WORLD_UID);
        c.b = fake_join(c.w, WORLD_UID);
        expect_subscribed(c.a, SUBSCRIBE(c.a, .sid = 1, .pattern = "t", .group = "g", .policy = POLICY(PRIMARY)), OWNER,
                          0);
        expect_subscribed(c.b, SUBSCRIBE(c.b, .sid = 1, .pattern = "t", .group = "g"), QUEUED, 1);
        fake_publish(c.from, "t", "1");
        expect_deliver(c.a, 1, 1, "1");
        c.a->stuck = true;
        fake_publish(c.from, "t", "2");
        fake_publish(c.from, "t", "3");
        expect_ledger(c.a, 1, .matched = 3, .in_flight = 2, .confirmed = 1);
        fake_lost(c.a);
        expect_flagged(c.b, 2, "2", FLAG(REDELIVERED));
        expect_flagged(c.b, 1, "3", FLAG(REDELIVERED));
        expect_no_more(c.b);
        world_free(c.w);
}

/* At the end of input the dying one is still written to: it may read what others get as well. */
static void test_redelivery_at_end_of_input_while_the_output_is_flushed(void **state) {
        (void)state;
        struct crew c = {.w = world_start()};
        c.from = fake_join(c.w, WORLD_UID);
        c.a = fake_join(c.w, WORLD_UID);
        c.b = fake_join(c.w, WORLD_UID);
        SUBSCRIBE(c.a, .sid = 1, .pattern = "t", .group = "g", .policy = POLICY(PRIMARY));
        expect(c.a, RML_SUBSCRIBED);
        SUBSCRIBE(c.a, .sid = 2, .pattern = "only"); /* a plain one, behind it in the same output */
        expect(c.a, RML_SUBSCRIBED);
        SUBSCRIBE(c.b, .sid = 1, .pattern = "t", .group = "g");
        expect(c.b, RML_SUBSCRIBED);
        c.a->stuck = true;
        fake_publish(c.from, "t", "1");
        fake_publish(c.from, "only", "2");
        fake_publish(c.from, "t", "3");
        fake_eof(c.a);
        expect_ledger(c.a, 1, .matched = 2, .unconfirmed = 2);
        expect_ledger(c.a, 2, .matched = 1, .in_flight = 1);
        expect_flagged(c.b, 2, "1", FLAG(REDELIVERED));
        expect_flagged(c.b, 1, "3", FLAG(REDELIVERED));
        c.a->stuck = false;
        expect_deliver(c.a, 1, 1, "1");
        expect_deliver(c.a, 2, 1, "2");
        expect_deliver(c.a, 1, 2, "3");
        expect_closed(c.a);
        world_free(c.w);
}

static void test_redelivery_to_nobody_leaves_it_in_flight(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "t", .group = "g");
        a->stuck = true;
        fake_publish(from, "t", "1");
        fake_publish(from, "t", "2");
        assert_true(world_charges(w).queued_bytes > 0);
        fake_eof(a);
        expect_ledger(a, 1, .matched = 2, .in_flight = 2);
        assert_int_equal(world_charges(w).queued_bytes, 0); /* nobody would want it */
        fake_take(a, SIZE_MAX);
        world_free(w);
}

/* There are others in the group, but none for this subject. */
static void test_redelivery_needs_a_pattern_that_matches(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "t.*", .group = "g", .credit_messages = 9);
        subscribed(b, .sid = 1, .pattern = "t.x", .group = "g", .credit_messages = 9);
        fake_publish(from, "t.y", "y");
        fake_publish(from, "t.x", "x");
        fake_publish(from, "t.y", "z");
        world_turn(w);
        fake_eof(a);
        expect_ledger(b, 1, .matched = 1, .in_flight = 1);
        world_turn(w);
        assert_int_equal(world_charges(w).interests, 1);
        world_free(w);
}

static void test_redelivery_is_not_for_those_who_leave(void **state) {
        (void)state;
        for (int how = 0; how < 3; how++) {
                struct crew c = crew(&two_at_a_time);
                expect_deliver(c.a, 1, 1, "1");
                if (how == 0)
                        fake_unsubscribe(c.a, 1);
                else if (how == 1)
                        fake_bye(c.a, false, 0);
                else
                        fake_bye(c.a, true, MS(1) / 1000); /* its time is over before it confirms */
                world_turn(c.w);
                world_advance(c.w, MS(2));
                expect_flagged(c.b, 2, "3", FLAG(MOVED));
                expect_flagged(c.b, 1, "4", FLAG(MOVED));
                expect_no_more(c.b);
                world_free(c.w);
        }
}

/* It would have finished; what it did not is not lost. */
static void test_redelivery_of_a_member_that_dies_while_it_drains(void **state) {
        (void)state;
        struct crew c = crew(&two_at_a_time);
        expect_deliver(c.a, 1, 1, "1");
        fake_bye(c.a, true, 0);
        world_turn(c.w);
        fake_publish(c.from, "t", "5");
        expect_flagged(c.b, 1, "5", 0);
        fake_confirm(c.a, 1, 1); /* so 3 is sent as well */
        world_turn(c.w);
        fake_lost(c.a);
        expect_flagged(c.b, 4, "2", FLAG(REDELIVERED));
        expect_flagged(c.b, 3, "3", FLAG(REDELIVERED));
        expect_flagged(c.b, 2, "4", FLAG(MOVED));
        expect_no_more(c.b);
        world_free(c.w);
}

/* A group that was given up by all, and began anew with the same name, is another one. */
static void test_redelivery_only_within_the_group_it_was_sent_to(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_ALLOWED_UID);
        subscribed(a, .sid = 1, .pattern = "t", .group = "g", .credit_messages = 1);
        fake_publish(from, "t", "1");
        fake_publish(from, "t", "2");
        expect_deliver(a, 1, 1, "1");
        fake_bye(a, true, 0);
        world_turn(w);
        subscribed(b, .sid = 1, .pattern = "t", .group = "g", .policy = POLICY(ROUND_ROBIN));
        fake_lost(a);
        expect_nothing(b);
        fake_publish(from, "t", "3");
        expect_deliver(b, 1, 1, "3");
        world_free(w);
}

static void test_redelivery_never_of_calls(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "s", .group = "g", .serve = true, .credit_messages = 9);
        uint64_t id = fake_call(from, "s", "1", 0);
        expect_call(a, 1, "1");
        subscribed(b, .sid = 1, .pattern = "s", .group = "g", .serve = true);
        fake_lost(a);
        assert_true(expect_status(from, id, RESPONDER_GONE)->may_have_run);
        expect_nothing(b);
        world_free(w);
}

/* In flight is charged like what is queued: to the window, the connection, the uid. */
static void test_redelivery_keeps_what_is_in_flight_charged(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.connection_bytes = 2000;
        struct world *w = world_new(1, &limits);
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "t", .group = "g", .credit_messages = 100);
        for (int i = 0; i < 3; i++)
                fake_publish_bytes(from, "t", 500);
        world_turn(w);
        fake_skip(a);
        assert_int_equal(world_charges(w).queued_messages, 0); /* nothing waits */
        assert_true(world_charges(w).queued_bytes >= 1500 && world_charges(w).bodies_bytes >= 1500);
        fake_publish_bytes(from, "t", 500); /* the fourth one does not fit the connection */
        expect_gap(a, 1, 4, 4, 1, CONNECTION);
        expect_ledger(a, 1, .matched = 4, .in_flight = 3, .dropped = 1);
        fake_confirm(a, 1, 2);
        fake_publish_bytes(from, "t", 500);
        expect(a, RML_DELIVER);
        fake_confirm(a, 1, 5);
        assert_int_equal(world_charges(w).queued_bytes, 0);
        assert_int_equal(world_charges(w).bodies_bytes, 0);
        world_free(w);
}

static void test_redelivery_of_a_large_message_shares_its_body(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "t", .group = "g", .credit_messages = 9);
        fake_publish_bytes(from, "t", 100000);
        size_t len = expect(a, RML_DELIVER)->data.payload.len;
        subscribed(b, .sid = 1, .pattern = "t", .group = "g", .credit_messages = 9);
        size_t before = world_charges(w).bodies_bytes;
        fake_lost(a);
        assert_int_equal(world_charges(w).bodies_bytes, before);
        const struct got *got = expect(b, RML_DELIVER);
        assert_int_equal(got->data.payload.len, len);
        assert_int_equal(got->data.flags, FLAG(REDELIVERED));
        fake_confirm(b, 1, 1);
        assert_int_equal(world_charges(w).bodies_bytes, 0);
        world_free(w);
}

/* The time that is left goes on. */
static void test_redelivery_of_a_message_with_an_end(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        SUBSCRIBE(a, .sid = 1, .pattern = "t", .group = "g", .policy = POLICY(PRIMARY), .credit_messages = 2);
        expect(a, RML_SUBSCRIBED);
        SUBSCRIBE(b, .sid = 1, .pattern = "t", .group = "g", .credit_messages = 1);
        expect(b, RML_SUBSCRIBED);
        for (int i = 0; i < 2; i++) {
                struct say say = {.subject = "t", .payload = i ? "2" : "1", .len = 1, .time_left_us = 10000};
                fake_data(from, RML_PUBLISH, false, &say);
        }
        assert_int_equal(expect_deliver(a, 1, 1, "1")->data.time_left_us, 10000);
        world_advance(w, MS(4));
        fake_lost(a);
        world_turn(w);
        struct got *got = fake_next(b);
        while (got && got->kind == RML_INTEREST)
                got = fake_next(b);
        assert_non_null(got);
        assert_int_equal(got->data.flags, FLAG(REDELIVERED));
        assert_int_equal(got->data.time_left_us, 6000);
        world_advance(w, MS(7)); /* the other one waits for credit, and too long */
        world_turn(w);
        expect_ledger(b, 1, .matched = 2, .in_flight = 1, .expired = 1);
        world_free(w);
}

/* Many at once, of many connections: each message is somewhere, once. */
static void test_redelivery_balances_when_members_die_one_after_the_other(void **state) {
        (void)state;
        static const Ramal__V1__Policy policies[] = {POLICY(LEAST_PENDING), POLICY(ROUND_ROBIN), POLICY(RANDOM),
                                                     POLICY(KEY)};
        for (size_t p = 0; p < RML_COUNT(policies); p++) {
                enum { MEMBERS = 6, MESSAGES = 300 };
                struct world *w = world_start();
                struct fake *from = fake_join(w, WORLD_UID), *m[MEMBERS];
                unsigned seen[MESSAGES] = {0}, again[MESSAGES] = {0};
                for (int i = 0; i < MEMBERS; i++) {
                        m[i] = fake_join(w, WORLD_UID);
                        subscribed(m[i], .sid = 1, .pattern = "t", .group = "g", .policy = policies[p],
                                   .credit_messages = (uint64_t)(i + 1) * 7);
                }
                for (unsigned i = 0; i < MESSAGES; i++) {
                        char text[16], key[16];
                        snprintf(text, sizeof(text), "%u", i);
                        snprintf(key, sizeof(key), "%u", i % 40);
                        struct say say = {.subject = "t", .payload = text, .len = strlen(text),
                                          .key = policies[p] == POLICY(KEY) ? key : NULL};
                        fake_data(from, RML_PUBLISH, false, &say);
                }
                for (int i = 0; i < MEMBERS; i++) {
                        bool last = i == MEMBERS - 1; /* confirms, and gets all that is left */
                        world_turn(w);
                        for (struct got *got; (got = fake_next(m[i]));) {
                                if (got->kind != RML_DELIVER)
                                        continue;
                                unsigned n = 0;
                                for (size_t k = 0; k < got->data.payload.len; k++)
                                        n = n * 10 + got->data.payload.data[k] - '0';
                                assert_true(n < MESSAGES);
                                seen[n]++;
                                again[n] += !!(got->data.flags & FLAG(REDELIVERED));
                                if (last)
                                        fake_confirm(m[i], 1, got->data.seq);
                                if (last)
                                        world_turn(w);
                        }
                        if (!last)
                                fake_lost(m[i]);
                }
                for (unsigned i = 0; i < MESSAGES; i++) {
                        assert_in_range(seen[i], 1, 2);
                        assert_int_equal(again[i], seen[i] - 1);
                }
                world_free(w);
        }
}

/* What it takes over stands before what moved, though that could go at once: b asked for 1000 bytes and uses some. */
static void test_redelivery_waits_for_receive_credit(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        SUBSCRIBE(a, .sid = 1, .pattern = "t", .group = "g", .policy = POLICY(ROUND_ROBIN), .credit_messages = 1);
        expect(a, RML_SUBSCRIBED);
        fake_publish_bytes(from, "t", 2000);
        fake_publish(from, "t", "queued");
        SUBSCRIBE(b, .sid = 1, .pattern = "t", .group = "g", .policy = POLICY(ROUND_ROBIN), .credit_bytes = 1000);
        expect(b, RML_SUBSCRIBED);
        fake_publish(from, "t", "b has this");
        expect_flagged(b, 1, "b has this", 0);
        expect_ledger(a, 1, .matched = 2, .queued = 1, .in_flight = 1);
        fake_lost(a);
        expect_no_more(b);
        expect_ledger(b, 1, .matched = 3, .queued = 2, .in_flight = 1);
        fake_confirm(b, 1, 1);
        world_turn(w);
        expect_ledger(b, 1, .matched = 3, .queued = 1, .in_flight = 1, .confirmed = 1);
        assert_int_equal(expect(b, RML_DELIVER)->data.flags, FLAG(REDELIVERED));
        fake_confirm(b, 1, 3);
        expect_flagged(b, 2, "queued", FLAG(MOVED));
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_redelivery_what_was_in_flight_comes_before_what_was_queued),
                cmocka_unit_test(test_redelivery_not_of_what_was_confirmed),
                cmocka_unit_test(test_redelivery_is_once),
                cmocka_unit_test(test_redelivery_waits_for_receive_credit),
                cmocka_unit_test(test_redelivery_that_still_waits_moves_on),
                cmocka_unit_test(test_redelivery_of_what_the_socket_had_not_taken),
                cmocka_unit_test(test_redelivery_at_end_of_input_while_the_output_is_flushed),
                cmocka_unit_test(test_redelivery_to_nobody_leaves_it_in_flight),
                cmocka_unit_test(test_redelivery_needs_a_pattern_that_matches),
                cmocka_unit_test(test_redelivery_is_not_for_those_who_leave),
                cmocka_unit_test(test_redelivery_of_a_member_that_dies_while_it_drains),
                cmocka_unit_test(test_redelivery_only_within_the_group_it_was_sent_to),
                cmocka_unit_test(test_redelivery_never_of_calls),
                cmocka_unit_test(test_redelivery_keeps_what_is_in_flight_charged),
                cmocka_unit_test(test_redelivery_of_a_large_message_shares_its_body),
                cmocka_unit_test(test_redelivery_of_a_message_with_an_end),
                cmocka_unit_test(test_redelivery_balances_when_members_die_one_after_the_other),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
