/* SPDX-License-Identifier: MIT */
/* Queue groups (design, section 2): every plain interest and exactly one member of each group. */
#include "expect.h"

static uint64_t matched(const struct fake *fake, uint64_t sid) {
        struct core_ledger ledger;
        assert_int_equal(core_interest_ledger(fake->peer, sid, &ledger), 0);
        return ledger.matched;
}

static void test_groups_one_member_of_each_group_and_every_plain_interest(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "t", .group = "g");
        subscribed(b, .sid = 1, .pattern = "t", .group = "g");
        subscribed(b, .sid = 2, .pattern = "t", .group = "h");
        subscribed(b, .sid = 3, .pattern = "t");
        for (unsigned i = 1; i <= 10; i++) {
                uint64_t id = fake_publish_receipt(from, "t", "x");
                const struct got *got = expect(from, RML_ACCEPTED);
                assert_int_equal(got->id, id);
                assert_int_equal(GOT(got, Accepted)->receivers, 3);
                assert_int_equal(matched(a, 1) + matched(b, 1), i);
                assert_int_equal(matched(b, 2), i);
                assert_int_equal(matched(b, 3), i);
        }
        assert_int_equal(matched(a, 1), 5); /* ties in rotation */
        world_free(w);
}

/* The group is its name: members under different patterns are one group. */
static void test_groups_span_patterns(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "t.x", .group = "g");
        subscribed(b, .sid = 1, .pattern = "t.*", .group = "g");
        for (int i = 0; i < 6; i++)
                fake_publish(from, "t.x", "x");
        fake_publish(from, "t.y", "y");
        world_turn(w);
        assert_int_equal(matched(a, 1) + matched(b, 1), 7);
        assert_int_equal(matched(a, 1), 3);
        world_free(w);
}

static void test_groups_least_pending_avoids_the_one_that_lags(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "t", .group = "g", .credit_messages = 100);
        subscribed(b, .sid = 1, .pattern = "t", .group = "g", .credit_messages = 100);
        for (int i = 0; i < 10; i++) {
                fake_publish(from, "t", "x");
                world_turn(w);
                if (b->cursor) { /* b confirms at once, a never */
                        fake_confirm(b, 1, fake_next(b)->data.seq);
                        fake_skip(b);
                }
        }
        assert_true(matched(a, 1) <= 2);
        assert_true(matched(b, 1) >= 8);
        world_free(w);
}

static void test_groups_round_robin_goes_around_whatever_is_pending(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *m[3];
        for (int i = 0; i < 3; i++) {
                m[i] = fake_join(w, WORLD_UID);
                subscribed(m[i], .sid = 1, .pattern = "t", .group = "g", .policy = POLICY(ROUND_ROBIN),
                           .credit_messages = i == 0 ? 1 : 0);
        }
        for (int i = 0; i < 12; i++)
                fake_publish(from, "t", "x");
        for (int i = 0; i < 3; i++)
                assert_int_equal(matched(m[i], 1), 4);
        world_free(w);
}

static void test_groups_primary_gives_all_to_the_head_and_the_next_takes_over(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *m[3];
        for (unsigned i = 0; i < 3; i++) {
                m[i] = fake_join(w, WORLD_UID);
                uint64_t id = SUBSCRIBE(m[i], .sid = 1, .pattern = "t", .group = "g", .policy = POLICY(PRIMARY));
                if (i == 0)
                        expect_subscribed(m[i], id, OWNER, 0);
                else
                        expect_subscribed(m[i], id, QUEUED, i);
        }
        fake_publish(from, "t", "1");
        expect_deliver(m[0], 1, 1, "1");
        fake_lost(m[0]);
        expect_notice(m[1], 1, OWNER, 0, NONE);
        expect_notice(m[2], 1, QUEUED, 1, NONE);
        fake_publish(from, "t", "2");
        expect_deliver(m[1], 1, 1, "2");
        expect_nothing(m[2]);
        world_free(w);
}

static void test_groups_first_member_fixes_the_policy(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        expect_subscribed(a, SUBSCRIBE(a, .sid = 1, .pattern = "t", .group = "g", .policy = POLICY(PRIMARY)), OWNER, 0);
        expect_subscribed(b, SUBSCRIBE(b, .sid = 1, .pattern = "t", .group = "g", .policy = POLICY(ROUND_ROBIN)),
                          QUEUED, 1);
        for (int i = 0; i < 4; i++)
                fake_publish(from, "t", "x");
        assert_int_equal(matched(a, 1), 4);
        world_free(w);
}

static void test_groups_full_members_are_passed_over(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "t", .group = "g", .policy = POLICY(ROUND_ROBIN), .credit_messages = 1,
                   .window_messages = 1);
        subscribed(b, .sid = 1, .pattern = "t", .group = "g", .credit_messages = 100);
        for (int i = 0; i < 6; i++)
                fake_publish(from, "t", "x");
        assert_int_equal(matched(a, 1), 1);
        assert_int_equal(matched(b, 1), 5);
        world_free(w);
}

static void test_groups_messages_of_a_dead_member_go_to_the_front_of_another(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        expect_subscribed(
                a,
                SUBSCRIBE(a, .sid = 1, .pattern = "t", .group = "g", .policy = POLICY(PRIMARY), .credit_messages = 1),
                OWNER, 0);
        expect_subscribed(b, SUBSCRIBE(b, .sid = 1, .pattern = "t", .group = "g", .credit_messages = 10), QUEUED, 1);
        fake_publish(from, "t", "1");
        fake_publish(from, "t", "2");
        fake_publish(from, "t", "3");
        expect_deliver(a, 1, 1, "1");
        fake_lost(a);
        bool owner = false;
        for (int i = 0; i < 4; i++) { /* the notice stands somewhere among them */
                world_turn(w);
                const struct got *got = fake_next(b);
                assert_non_null(got);
                if (got->kind == RML_INTEREST) {
                        assert_int_equal(GOT(got, Interest)->state, STATE(OWNER));
                        owner = true;
                        continue;
                }
                assert_int_equal(got->kind, RML_DELIVER);
                assert_memory_equal(got->data.payload.data, &"123"[i - owner], 1);
                assert_int_equal(got->data.flags, i == (int)owner ? FLAG(REDELIVERED) : FLAG(MOVED));
        }
        assert_true(owner);
        expect_nothing(b);
        fake_publish(from, "t", "4");
        const struct got *got = expect(b, RML_DELIVER);
        assert_false(got->data.flags & FLAG(MOVED));
        assert_int_equal(got->data.seq, 4);
        world_free(w);
}

static void test_groups_what_waits_for_an_unsubscribing_member_moves(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        expect_subscribed(
                a,
                SUBSCRIBE(a, .sid = 1, .pattern = "t", .group = "g", .policy = POLICY(PRIMARY), .credit_messages = 1),
                OWNER, 0);
        expect_subscribed(b, SUBSCRIBE(b, .sid = 1, .pattern = "t", .group = "g"), QUEUED, 1);
        fake_publish(from, "t", "1");
        fake_publish(from, "t", "2");
        fake_publish(from, "t", "3");
        expect_deliver(a, 1, 1, "1");
        uint64_t id = fake_unsubscribe(a, 1);
        expect_gap(a, 1, 2, 3, 2, MOVED);
        expect_status(a, id, OK);
        world_turn(w);
        assert_int_equal(matched(b, 1), 2);
        world_free(w);
}

static void test_groups_of_publishes_and_of_calls_are_different(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "t", .group = "g");
        subscribed(a, .sid = 2, .pattern = "t", .group = "g", .serve = true);
        fake_publish(from, "t", "p");
        fake_call(from, "t", "c", 0);
        expect_deliver(a, 1, 1, "p");
        expect_call(a, 2, "c");
        expect_nothing(a);
        world_free(w);
}

static void test_groups_of_another_uid_need_a_right(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_ALLOWED_UID);
        subscribed(a, .sid = 1, .pattern = "t", .group = "g");
        expect_status(b, SUBSCRIBE(b, .sid = 1, .pattern = "t", .group = "g"), DENIED);
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_groups_one_member_of_each_group_and_every_plain_interest),
                cmocka_unit_test(test_groups_span_patterns),
                cmocka_unit_test(test_groups_least_pending_avoids_the_one_that_lags),
                cmocka_unit_test(test_groups_round_robin_goes_around_whatever_is_pending),
                cmocka_unit_test(test_groups_primary_gives_all_to_the_head_and_the_next_takes_over),
                cmocka_unit_test(test_groups_first_member_fixes_the_policy),
                cmocka_unit_test(test_groups_full_members_are_passed_over),
                cmocka_unit_test(test_groups_messages_of_a_dead_member_go_to_the_front_of_another),
                cmocka_unit_test(test_groups_what_waits_for_an_unsubscribing_member_moves),
                cmocka_unit_test(test_groups_of_publishes_and_of_calls_are_different),
                cmocka_unit_test(test_groups_of_another_uid_need_a_right),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
