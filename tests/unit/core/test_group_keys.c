/* SPDX-License-Identifier: MIT */
/* Keys over many members: what each gets, what moves, what a message costs, and that nothing stays of a key that is
 * done. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/interest.h"
#include "core/pin.h"
#include "core/ring.h"
#include "core/state.h"
#include "expect.h"

enum { MEMBERS = 1000, KEYS = 20000 };

static size_t lookups;

struct ring_node *__real_ring_at(const struct ring *, uint64_t);
struct ring_node *__wrap_ring_at(const struct ring *, uint64_t);
struct ring_node *__real_ring_next(const struct ring *, const struct ring_node *);
struct ring_node *__wrap_ring_next(const struct ring *, const struct ring_node *);

struct ring_node *__wrap_ring_at(const struct ring *ring, uint64_t point) {
        lookups++;
        return __real_ring_at(ring, point);
}

struct ring_node *__wrap_ring_next(const struct ring *ring, const struct ring_node *node) {
        lookups++;
        return __real_ring_next(ring, node);
}

static struct fake *crowd(struct world *w, unsigned count, const struct sub *sub) {
        struct fake *fake = fake_join(w, WORLD_UID);
        for (unsigned i = 1; i <= count; i++) {
                struct sub one = *sub;
                one.sid = i;
                fake_subscribe(fake, &one);
        }
        world_turn(w);
        fake_skip(fake);
        return fake;
}

static void publish_key(struct fake *from, unsigned key) {
        char text[16];
        snprintf(text, sizeof(text), "k%u", key);
        struct say say = {.subject = "t", .key = text, .payload = "x", .len = 1};
        fake_data(from, RML_PUBLISH, false, &say);
}

static uint64_t matched(const struct fake *fake, uint64_t sid) {
        struct core_ledger ledger;
        return core_interest_ledger(fake->peer, sid, &ledger) == 0 ? ledger.matched : 0;
}

/* One message of each key; the socket confirms. */
static void all_keys(struct world *w, struct fake *from, struct fake *all) {
        for (unsigned k = 0; k < KEYS; k++) {
                publish_key(from, k);
                if (k % 1000 == 0) {
                        world_turn(w);
                        fake_skip(all);
                }
        }
        world_turn(w);
        fake_skip(all);
        assert_int_equal(w->core->pins.count, 0);
}

static const struct sub member = {.pattern = "t", .group = "g", .policy = POLICY(KEY)};

static void test_group_keys_are_shared_out_evenly(void **state) {
        (void)state;
        static const unsigned counts[] = {2, 3, 10, 100};
        for (size_t c = 0; c < RML_COUNT(counts); c++) {
                struct world *w = world_start();
                struct fake *from = fake_join(w, WORLD_UID), *all = crowd(w, counts[c], &member);
                uint64_t most = 0, least = KEYS;
                w->split = false;
                all_keys(w, from, all);
                for (unsigned i = 1; i <= counts[c]; i++) {
                        uint64_t n = matched(all, i);
                        most = n > most ? n : most;
                        least = n < least ? n : least;
                }
                assert_true(most <= KEYS / counts[c] * 4 / 3);
                /* Of many one may stand right behind another and have little. */
                assert_true(counts[c] > 10 || least >= KEYS / counts[c] / 2);
                world_free(w);
        }
}

/* Each message asks the ring a fixed number of times; for a key in progress it is not asked at all. */
static void test_group_keys_cost_the_same_with_many_members(void **state) {
        (void)state;
        static const unsigned counts[] = {1, 10, MEMBERS};
        for (size_t c = 0; c < RML_COUNT(counts); c++) {
                struct world *w = world_start();
                struct fake *from = fake_join(w, WORLD_UID);
                struct sub sub = member;
                sub.credit_messages = 100;
                crowd(w, counts[c], &sub);
                lookups = 0;
                for (unsigned k = 0; k < 100; k++)
                        publish_key(from, k);
                assert_in_range(lookups, 100, 100 * 21);
                assert_int_equal(w->core->pins.count, 100);
                lookups = 0;
                for (unsigned k = 0; k < 100; k++)
                        publish_key(from, k);
                assert_int_equal(lookups, 0);
                assert_int_equal(w->core->pins.count, 100);
                world_free(w);
        }
}

/* Whoever leaves takes its point along, and whoever comes takes over its share. */
static void test_group_keys_move_only_to_who_came_and_from_who_left(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *all = crowd(w, 50, &member);
        uint64_t before[52], total = 0;
        w->split = false;
        all_keys(w, from, all);
        for (unsigned i = 1; i <= 50; i++)
                before[i] = matched(all, i);
        fake_unsubscribe(all, 25);
        all_keys(w, from, all);
        for (unsigned i = 1; i <= 50; i++)
                if (i != 25) {
                        assert_true(matched(all, i) - before[i] >= before[i]); /* what it had, and a share of 25's */
                        total += matched(all, i) - 2 * before[i];
                        before[i] = matched(all, i) - before[i];
                }
        assert_int_equal(total, before[25]);
        struct sub sub = member;
        sub.sid = 51;
        fake_subscribe(all, &sub);
        world_turn(w);
        fake_skip(all);
        uint64_t already[51];
        for (unsigned i = 1; i <= 50; i++)
                already[i] = matched(all, i);
        all_keys(w, from, all);
        for (unsigned i = 1; i <= 50; i++)
                if (i != 25)
                        assert_true(matched(all, i) - already[i] <= before[i]);
        assert_in_range(matched(all, 51), KEYS / 50 / 3, KEYS / 50 * 2);
        world_free(w);
}

/* However it ends, nothing is left of a key. */
static void test_group_keys_leave_nothing_behind(void **state) {
        (void)state;
        for (int how = 0; how < 6; how++) {
                struct world *w = world_start();
                struct fake *from = fake_join(w, WORLD_UID);
                struct sub sub = member;
                sub.credit_messages = 3;
                sub.window_messages = 4;
                sub.overflow = how == 5 ? OVERFLOW_RULE(EVICT) : OVERFLOW_RULE(DROP_OLD);
                struct fake *all = crowd(w, 4, &sub), *other = fake_join(w, WORLD_UID);
                for (unsigned k = 0; k < 30; k++)
                        publish_key(from, k);
                if (how < 5)
                        assert_true(w->core->pins.count > 0);
                if (how == 1)
                        SUBSCRIBE(other, .sid = 1, .pattern = "t", .group = "g", .policy = POLICY(KEY));
                if (how == 2)
                        fake_bye(all, true, 0);
                if (how == 3)
                        fake_bye(all, false, 0);
                if (how == 4)
                        for (unsigned i = 1; i <= 4; i++)
                                fake_unsubscribe(all, i);
                world_turn(w);
                if (how < 2 && all->peer)
                        fake_lost(all);
                world_turn(w);
                assert_int_equal(w->core->pins.count, 0);
                world_free(w);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_group_keys_are_shared_out_evenly),
                cmocka_unit_test(test_group_keys_cost_the_same_with_many_members),
                cmocka_unit_test(test_group_keys_move_only_to_who_came_and_from_who_left),
                cmocka_unit_test(test_group_keys_leave_nothing_behind),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
