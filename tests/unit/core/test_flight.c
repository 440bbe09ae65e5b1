/* SPDX-License-Identifier: MIT */
/* What is in flight is found by its number, however far apart the numbers are: a reader that stood still for an hour
 * has two messages in flight between which billions were dropped. */
#include "core/interest.h"
#include "expect.h"

#define MANY UINT64_C(3000000000) /* more than half of 32 bits */

/* As if so many had come and gone. */
static void count_on(const struct fake *fake, uint64_t sid, uint64_t n) {
        struct interest *interest = interest_find(fake->peer, sid);
        assert_non_null(interest);
        interest->matched += n;
        interest->confirmed += n;
}

static uint64_t in_flight(const struct fake *fake, uint64_t sid) {
        struct core_ledger l;
        assert_int_equal(core_interest_ledger(fake->peer, sid, &l), 0);
        return l.in_flight;
}

static void test_flight_numbers_billions_apart_are_confirmed_in_order(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "t", .credit_messages = 8);
        for (unsigned i = 0; i < 2; i++)
                fake_publish(from, "t", "x");
        count_on(to, 1, MANY);
        fake_publish(from, "t", "x");
        count_on(to, 1, MANY);
        for (unsigned i = 0; i < 2; i++)
                fake_publish(from, "t", "x");
        assert_int_equal(in_flight(to, 1), 5);
        fake_confirm(to, 1, 1);
        world_turn(w);
        assert_int_equal(in_flight(to, 1), 4);
        fake_confirm(to, 1, MANY + 3);
        world_turn(w);
        assert_int_equal(in_flight(to, 1), 2);
        fake_confirm(to, 1, 2 * MANY + 5);
        world_turn(w);
        assert_int_equal(in_flight(to, 1), 0);
        fake_skip(to);
        world_free(w);
}

static void test_flight_number_of_another_four_billion_confirms_nothing(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "t", .credit_messages = 8);
        count_on(to, 1, UINT64_C(1) << 32);
        for (unsigned i = 0; i < 2; i++)
                fake_publish(from, "t", "x");
        fake_confirm(to, 1, 1); /* the same low half as the first one in flight */
        world_turn(w);
        assert_int_equal(in_flight(to, 1), 2);
        fake_confirm(to, 1, (UINT64_C(1) << 32) + 2);
        world_turn(w);
        assert_int_equal(in_flight(to, 1), 0);
        fake_skip(to);
        world_free(w);
}

/* A large ring is given back when it is empty, and grows again. */
static void test_flight_many_are_confirmed_at_once_twice(void **state) {
        enum { COUNT = 3000 };

        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "t", .credit_messages = COUNT);
        for (unsigned round = 1; round <= 2; round++) {
                for (unsigned i = 0; i < COUNT; i++) {
                        fake_publish(from, "t", "x");
                        if (i % 500 == 0)
                                world_turn(w);
                }
                world_turn(w);
                assert_int_equal(in_flight(to, 1), COUNT);
                assert_non_null(interest_find(to->peer, 1)->flights);
                fake_confirm(to, 1, (uint64_t)round * COUNT);
                world_turn(w);
                assert_int_equal(in_flight(to, 1), 0);
                assert_null(interest_find(to->peer, 1)->flights);
        }
        fake_skip(to);
        world_free(w);
}

/* Out of order they are searched for one by one: numbers that are not there a few times in a millisecond, no more. */
static void test_flight_strays_are_not_searched_for_without_end(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *one = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        SUBSCRIBE(one, .sid = 1, .pattern = "t", .group = "g", .policy = POLICY(PRIMARY), .credit_messages = 100);
        world_turn(w);
        for (unsigned i = 0; i < 50; i++)
                fake_publish(from, "t", "x");
        SUBSCRIBE(to, .sid = 1, .pattern = "t", .group = "g", .policy = POLICY(PRIMARY), .credit_messages = 100);
        world_turn(w);
        fake_lost(one); /* all 50 are redelivered: out of the order of their numbers */
        world_turn(w);
        assert_int_equal(in_flight(to, 1), 50);
        uint64_t seqs[50];
        for (unsigned i = 0; i < 50;) {
                const struct got *got = fake_next(to);
                assert_non_null(got);
                if (got->kind == RML_DELIVER)
                        seqs[i++] = got->data.seq;
        }
        for (unsigned i = 0; i < 2; i++)
                fake_confirm(to, 1, seqs[i]);
        world_turn(w);
        assert_int_equal(in_flight(to, 1), 48);
        for (unsigned i = 0; i < 20; i++)
                fake_confirm(to, 1, seqs[0]); /* confirmed before the last one */
        fake_confirm(to, 1, seqs[9]);
        assert_int_equal(in_flight(to, 1), 48); /* not looked for any more */
        world_advance(w, 2000000);
        fake_confirm(to, 1, seqs[9]);
        world_turn(w);
        assert_int_equal(in_flight(to, 1), 40);
        fake_skip(to);
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_flight_numbers_billions_apart_are_confirmed_in_order),
                cmocka_unit_test(test_flight_number_of_another_four_billion_confirms_nothing),
                cmocka_unit_test(test_flight_many_are_confirmed_at_once_twice),
                cmocka_unit_test(test_flight_strays_are_not_searched_for_without_end),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
