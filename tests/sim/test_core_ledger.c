/* SPDX-License-Identifier: MIT */
/* Rule 2: every message that matched is accounted for, and what is missing is told in the right place. */
#include "expect.h"

#include <errno.h>

/* A reader of one message at a time whose window holds two: the third that waits is one too many. */
static struct fake *slow_reader(struct world *w, struct fake *from) {
        struct fake *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a", .credit_messages = 1, .window_messages = 2);
        fake_publish(from, "a", "1");
        fake_publish(from, "a", "2");
        fake_publish(from, "a", "3");
        fake_publish(from, "a", "4");
        expect_deliver(to, 1, 1, "1");
        return to;
}

/* 2 did not fit, 3 and 4 waited when the interest ended: a frame each, in whatever order. */
static void expect_both_gaps(struct fake *to) {
        world_turn(to->world);
        bool ended_first = to->cursor && to->cursor->kind == RML_GAP && GOT(to->cursor, Gap)->why == WHY(ENDED);
        if (ended_first)
                expect_gap(to, 1, 3, 4, 2, ENDED);
        expect_gap(to, 1, 2, 2, 1, WINDOW);
        if (!ended_first)
                expect_gap(to, 1, 3, 4, 2, ENDED);
}

static void test_ledger_each_term_counts(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = slow_reader(w, from);
        expect_ledger(to, 1, .matched = 4, .queued = 2, .in_flight = 1, .dropped = 1);
        fake_confirm(to, 1, 1);
        expect_ledger(to, 1, .matched = 4, .queued = 2, .confirmed = 1, .dropped = 1);
        world_turn(w);
        expect_ledger(to, 1, .matched = 4, .queued = 1, .in_flight = 1, .confirmed = 1, .dropped = 1);
        assert_int_equal(core_interest_ledger(to->peer, 2, &(struct core_ledger){0}), -ENOENT);
        world_free(w);
}

static void test_ledger_gap_goes_before_the_next_delivery(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = slow_reader(w, from);
        expect_nothing(to);
        fake_confirm(to, 1, 1);
        expect_gap(to, 1, 2, 2, 1, WINDOW);
        expect_deliver(to, 1, 3, "3");
        world_free(w);
}

/* Two losses and a delivery between them: told together, before the delivery. */
static void test_ledger_gap_counts_all_losses_of_one_cause(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = slow_reader(w, from);
        fake_publish(from, "a", "5");
        fake_publish(from, "a", "6");
        fake_confirm(to, 1, 1);
        expect_gap(to, 1, 2, 4, 3, WINDOW);
        expect_deliver(to, 1, 5, "5");
        world_free(w);
}

static void test_ledger_gap_comes_alone_once_nothing_is_queued(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a", .credit_messages = 1, .window_messages = 1,
                   .overflow = OVERFLOW_RULE(DROP_NEW));
        fake_publish(from, "a", "1");
        fake_publish(from, "a", "2");
        fake_publish(from, "a", "3");
        expect_deliver(to, 1, 1, "1");
        fake_confirm(to, 1, 1);
        expect_gap(to, 1, 3, 3, 1, WINDOW);
        expect_deliver(to, 1, 2, "2");
        fake_publish(from, "a", "4");
        fake_publish(from, "a", "5");
        expect_nothing(to);
        fake_confirm(to, 1, 2);
        expect_gap(to, 1, 5, 5, 1, WINDOW);
        expect_deliver(to, 1, 4, "4");
        fake_confirm(to, 1, 4);
        expect_nothing(to);
        expect_ledger(to, 1, .matched = 5, .confirmed = 3, .dropped = 2);
        world_free(w);
}

/* A call that expires in the queue leaves nothing behind it: its GAP waits only for credit, and uses none. */
static void test_ledger_lone_gap_waits_for_credit_and_uses_none(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a", .serve = true, .credit_messages = 1);
        fake_call(from, "a", "1", 0);
        uint64_t second = fake_call(from, "a", "2", 1000);
        expect_call(to, 1, "1");
        world_advance(w, MS(2));
        world_turn(w);
        expect_status(from, second, DEADLINE);
        expect_nothing(to);
        expect_ledger(to, 1, .matched = 2, .in_flight = 1, .expired = 1);
        fake_confirm(to, 1, 1);
        expect_gap(to, 1, 2, 2, 1, EXPIRED);
        fake_call(from, "a", "3", 0);
        expect_call(to, 1, "3");
        expect_nothing(to);
        world_free(w);
}

static void test_ledger_gap_precedes_the_answer_to_unsubscribe(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = slow_reader(w, from);
        uint64_t id = fake_unsubscribe(to, 1);
        fake_publish(from, "a", "5");
        expect_both_gaps(to);
        expect_status(to, id, OK);
        expect_nothing(to);
        assert_int_equal(core_interest_ledger(to->peer, 1, &(struct core_ledger){0}), -ENOENT);
        world_free(w);
}

static void test_ledger_gap_precedes_the_answer_to_bye(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = slow_reader(w, from);
        uint64_t id = fake_bye(to, false, 0);
        expect_both_gaps(to);
        expect_status(to, id, OK);
        expect_closed(to);
        world_free(w);
}

/* What was committed before the answer to UNSUBSCRIBE comes before it; after it, none bears that sid. */
static void test_ledger_committed_deliveries_precede_the_answer_to_unsubscribe(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a");
        to->stuck = true;
        fake_publish(from, "a", "1");
        world_turn(w);
        uint64_t id = fake_unsubscribe(to, 1);
        fake_publish(from, "a", "2");
        to->stuck = false;
        expect_deliver(to, 1, 1, "1");
        expect_status(to, id, OK);
        expect_nothing(to);
        /* The sid is free again. */
        subscribed(to, .sid = 1, .pattern = "a");
        fake_publish(from, "a", "3");
        expect_deliver(to, 1, 1, "3");
        world_free(w);
}

static void test_ledger_a_dropped_latest_tells_all_that_it_stood_for(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = ">", .credit_messages = 1, .window_messages = 2,
                   .overflow = OVERFLOW_RULE(LATEST));
        fake_publish(from, "z", "1");
        fake_publish(from, "x", "2");
        fake_publish(from, "y", "3");
        fake_publish(from, "x", "4"); /* replaces 2 */
        fake_publish(from, "z", "5"); /* as drop_old: x goes, which stood for 2 and 4 */
        expect_deliver(to, 1, 1, "1");
        expect_ledger(to, 1, .matched = 5, .queued = 2, .in_flight = 1, .dropped = 1, .replaced = 1);
        fake_confirm(to, 1, 1);
        expect_gap(to, 1, 2, 4, 2, WINDOW);
        expect_deliver(to, 1, 3, "3");
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_ledger_each_term_counts),
                cmocka_unit_test(test_ledger_gap_goes_before_the_next_delivery),
                cmocka_unit_test(test_ledger_gap_counts_all_losses_of_one_cause),
                cmocka_unit_test(test_ledger_gap_comes_alone_once_nothing_is_queued),
                cmocka_unit_test(test_ledger_lone_gap_waits_for_credit_and_uses_none),
                cmocka_unit_test(test_ledger_gap_precedes_the_answer_to_unsubscribe),
                cmocka_unit_test(test_ledger_gap_precedes_the_answer_to_bye),
                cmocka_unit_test(test_ledger_committed_deliveries_precede_the_answer_to_unsubscribe),
                cmocka_unit_test(test_ledger_a_dropped_latest_tells_all_that_it_stood_for),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
