/* SPDX-License-Identifier: MIT */
/* Rule 8: a publish with an end is never delivered after it, and whoever misses it is told. */
#include "expect.h"

#include <string.h>

static void publish_for(struct fake *from, const char *subject, const char *text, uint64_t time_left_us) {
        struct say say = {.subject = subject, .payload = text, .len = strlen(text), .time_left_us = time_left_us};
        fake_data(from, RML_PUBLISH, false, &say);
}

static struct fake *slow(struct world *w) {
        struct fake *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a", .credit_messages = 1);
        return to;
}

static void test_expiry_takes_it_out_of_the_queue_in_time(void **state) {
        (void)state;
        struct world *w = world_new(1, NULL);
        struct fake *from = fake_join(w, WORLD_UID), *to = slow(w);
        publish_for(from, "a", "1", 1000);
        publish_for(from, "a", "2", 1000);
        publish_for(from, "a", "3", 3000);
        fake_publish(from, "a", "4");
        publish_for(from, "a", "5", 1000);
        assert_int_equal(expect_deliver(to, 1, 1, "1")->data.time_left_us, 1000);
        assert_int_equal(core_deadline(w->core), w->now + MS(1));
        world_advance(w, MS(1));
        world_turn(w);
        expect_ledger(to, 1, .matched = 5, .queued = 2, .in_flight = 1, .expired = 2);
        fake_confirm(to, 1, 1);
        expect_gap(to, 1, 2, 5, 2, EXPIRED);
        assert_int_equal(expect_deliver(to, 1, 3, "3")->data.time_left_us, 2000);
        fake_confirm(to, 1, 3);
        assert_int_equal(expect_deliver(to, 1, 4, "4")->data.time_left_us, 0);
        assert_int_equal(core_deadline(w->core), CORE_NEVER);
        world_free(w);
}

static void test_expiry_is_told_alone_when_nothing_follows(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = slow(w);
        fake_publish(from, "a", "1");
        publish_for(from, "a", "2", 1000);
        expect_deliver(to, 1, 1, "1");
        fake_confirm(to, 1, 1);
        expect_deliver(to, 1, 2, "2");
        publish_for(from, "a", "3", 1);
        world_advance(w, MS(1));
        expect_nothing(to);
        fake_confirm(to, 1, 2);
        expect_gap(to, 1, 3, 3, 1, EXPIRED);
        expect_ledger(to, 1, .matched = 3, .confirmed = 2, .expired = 1);
        world_free(w);
}

/* A turn reads before it expires: what comes to be committed meanwhile is judged there. */
static void test_expiry_is_judged_at_commit_too(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = slow(w);
        fake_publish(from, "a", "1");
        publish_for(from, "a", "2", 1000);
        publish_for(from, "a", "3", 2000);
        expect_deliver(to, 1, 1, "1");
        world_advance(w, MS(1));
        fake_confirm(to, 1, 1);
        world_collect_dirty(w); /* no core_expire() yet */
        fake_take(to, SIZE_MAX);
        expect_gap(to, 1, 2, 2, 1, EXPIRED);
        assert_int_equal(expect_deliver(to, 1, 3, "3")->data.time_left_us, 1000);
        world_free(w);
}

static void test_expiry_time_left_is_rounded_up(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = slow(w);
        fake_publish(from, "a", "1");
        publish_for(from, "a", "2", 1000);
        expect_deliver(to, 1, 1, "1");
        world_advance(w, MS(1) - 1);
        fake_confirm(to, 1, 1);
        assert_int_equal(expect_deliver(to, 1, 2, "2")->data.time_left_us, 1);
        world_free(w);
}

static void test_expiry_beyond_all_time_is_none(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = slow(w);
        publish_for(from, "a", "1", UINT64_MAX);
        publish_for(from, "a", "2", UINT64_MAX / 1000);
        assert_int_equal(expect_deliver(to, 1, 1, "1")->data.time_left_us, 0);
        world_advance(w, MS(1000));
        fake_confirm(to, 1, 1);
        expect_deliver(to, 1, 2, "2");
        world_free(w);
}

static void test_expiry_of_a_replacement_is_the_newer_ones(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "*", .credit_messages = 1, .window_messages = 2,
                   .overflow = OVERFLOW_RULE(LATEST));
        fake_publish(from, "a", "1");
        publish_for(from, "a", "2", 1000);
        publish_for(from, "b", "3", 1000);
        fake_publish(from, "a", "4");          /* replaces 2, and stays */
        publish_for(from, "b", "5", 3000);     /* replaces 3 */
        expect_deliver(to, 1, 1, "1");
        world_advance(w, MS(2));
        world_turn(w);
        expect_ledger(to, 1, .matched = 5, .queued = 2, .in_flight = 1, .replaced = 2);
        world_advance(w, MS(1));
        fake_confirm(to, 1, 1);
        expect_gap(to, 1, 3, 5, 2, EXPIRED);   /* itself, and what it stood for */
        assert_int_equal(expect_deliver(to, 1, 2, "4")->data.replaced, 1);
        expect_ledger(to, 1, .matched = 5, .in_flight = 1, .confirmed = 1, .expired = 1, .replaced = 2);
        world_free(w);
}

static void test_expiry_goes_on_at_another_member(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *one = fake_join(w, WORLD_UID), *two = fake_join(w, WORLD_UID);
        subscribed(one, .sid = 1, .pattern = "a", .group = "g", .credit_messages = 1);
        fake_publish(from, "a", "1");
        publish_for(from, "a", "2", 2000);
        world_turn(w);
        subscribed(two, .sid = 1, .pattern = "a", .group = "g", .credit_messages = 1);
        fake_publish(from, "a", "3");
        expect_deliver(two, 1, 1, "3");
        fake_bye(one, false, 0);
        world_advance(w, MS(2));
        world_turn(w);
        expect_ledger(two, 1, .matched = 2, .in_flight = 1, .expired = 1);
        fake_confirm(two, 1, 1);
        expect_gap(two, 1, 2, 2, 1, EXPIRED);
        world_free(w);
}

static void test_expiry_is_nothing_to_a_tap(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *tap = fake_join(w, WORLD_UID), *to = slow(w);
        subscribed(tap, .sid = 9, .pattern = "a", .tap = true, .credit_messages = 1);
        fake_publish(from, "a", "1");
        publish_for(from, "a", "2", 1000);
        expect_deliver(tap, 9, 1, "1");
        expect_deliver(to, 1, 1, "1");
        world_advance(w, MS(2));
        fake_confirm(tap, 9, 1);
        expect_deliver(tap, 9, 2, "2");
        fake_confirm(to, 1, 1);
        expect_gap(to, 1, 2, 2, 1, EXPIRED);
        world_free(w);
}

/* However many end at one time, a turn does a bounded number of them, and the next one follows at once. */
static void test_expiry_of_many_takes_several_turns(void **state) {
        (void)state;
        struct world *w = world_start();
        w->split = false;
        struct fake *from = fake_join(w, WORLD_UID), *to = slow(w);
        fake_publish(from, "a", "");
        for (unsigned i = 0; i < 5000; i++)
                publish_for(from, "a", "", 1000);
        world_turn(w);
        world_advance(w, MS(1));
        world_expire(w);
        struct core_ledger ledger;
        core_interest_ledger(to->peer, 1, &ledger);
        assert_true(ledger.expired > 0 && ledger.expired < 5000);
        assert_true(world_due(w));
        world_turn(w);
        expect_ledger(to, 1, .matched = 5001, .in_flight = 1, .expired = 5000);
        world_free(w);
}

static void test_expiry_of_the_last_one_ends_a_drain(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a", .credit_messages = 1);
        fake_publish(from, "a", "1");
        publish_for(from, "a", "2", 1000);
        expect_deliver(to, 1, 1, "1");
        uint64_t id = fake_bye(to, true, 60000000);
        world_advance(w, MS(1));
        expect_nothing(to);
        fake_confirm(to, 1, 1);
        expect_gap(to, 1, 2, 2, 1, EXPIRED);
        expect_status(to, id, OK);
        expect_closed(to);
        world_free(w);
}

static void test_expiry_returns_publish_credit(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a", .credit_messages = 1, .overflow = OVERFLOW_RULE(BLOCK));
        fake_publish(from, "a", "1");
        size_t sent = from->last_len;
        publish_for(from, "a", "2", 1000);
        sent += from->last_len;
        world_advance(w, MS(1));
        assert_int_equal(GOT(expect(from, RML_CREDIT), Credit)->publish_bytes, sent);
        world_advance(w, MS(10000)); /* and there is nothing left to stall */
        expect_deliver(to, 1, 1, "1");
        expect_nothing(to);
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_expiry_takes_it_out_of_the_queue_in_time),
                cmocka_unit_test(test_expiry_is_told_alone_when_nothing_follows),
                cmocka_unit_test(test_expiry_is_judged_at_commit_too),
                cmocka_unit_test(test_expiry_time_left_is_rounded_up),
                cmocka_unit_test(test_expiry_beyond_all_time_is_none),
                cmocka_unit_test(test_expiry_of_a_replacement_is_the_newer_ones),
                cmocka_unit_test(test_expiry_goes_on_at_another_member),
                cmocka_unit_test(test_expiry_is_nothing_to_a_tap),
                cmocka_unit_test(test_expiry_of_many_takes_several_turns),
                cmocka_unit_test(test_expiry_of_the_last_one_ends_a_drain),
                cmocka_unit_test(test_expiry_returns_publish_credit),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
