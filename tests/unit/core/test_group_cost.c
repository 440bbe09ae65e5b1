/* SPDX-License-Identifier: MIT */
/* What groups cost when somebody makes them large: steps are counted, not time. A step is a member that is looked at
 * for a message, or told where it stands. */
#include <stdio.h>
#include <stdlib.h>

#include "core/group.h"
#include "core/interest.h"
#include "core/state.h"
#include "expect.h"

#define MEMBERS 1000u
#define PASSED_MAX 256u /* as in policy.c */

static size_t steps;

bool __real_interest_has_room(const struct interest *, const struct message *, Ramal__V1__Why *);
bool __wrap_interest_has_room(const struct interest *, const struct message *, Ramal__V1__Why *);
struct rml_heap_node *__real_rml_heap_next(const struct rml_heap *, const struct rml_heap_node *);
struct rml_heap_node *__wrap_rml_heap_next(const struct rml_heap *, const struct rml_heap_node *);
void __real_interest_say(struct interest *, Ramal__V1__State, uint64_t, Ramal__V1__Why);
void __wrap_interest_say(struct interest *, Ramal__V1__State, uint64_t, Ramal__V1__Why);

bool __wrap_interest_has_room(const struct interest *interest, const struct message *message, Ramal__V1__Why *why) {
        steps++;
        return __real_interest_has_room(interest, message, why);
}

struct rml_heap_node *__wrap_rml_heap_next(const struct rml_heap *heap, const struct rml_heap_node *node) {
        steps++;
        return __real_rml_heap_next(heap, node);
}

void __wrap_interest_say(struct interest *interest, Ramal__V1__State state, uint64_t queued, Ramal__V1__Why why) {
        steps++;
        __real_interest_say(interest, state, queued, why);
}

static struct core_ledger ledger(const struct fake *fake, uint64_t sid) {
        struct core_ledger l;
        assert_int_equal(core_interest_ledger(fake->peer, sid, &l), 0);
        return l;
}

/* Many interests of one peer, with sids from 1 on. */
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

/* ---- choosing -------------------------------------------------------------------------------------------------- */

static void test_group_cost_members_that_are_full_are_not_looked_at(void **state) {
        (void)state;
        static const Ramal__V1__Policy policies[] = {POLICY(LEAST_PENDING), POLICY(ROUND_ROBIN)};
        for (unsigned p = 0; p < RML_COUNT(policies); p++) {
                struct world *w = world_start();
                struct fake *from = fake_join(w, WORLD_UID);
                struct fake *all = crowd(w, MEMBERS, &(struct sub){.pattern = "t", .group = "g", .policy = policies[p],
                                                                   .window_messages = 1, .credit_messages = 1,
                                                                   .overflow = OVERFLOW_RULE(DROP_NEW)});
                steps = 0;
                for (unsigned i = 0; i < MEMBERS; i++)
                        fake_publish(from, "t", "x");
                assert_in_range(steps, MEMBERS, 8 * MEMBERS);
                for (unsigned i = 1; i <= MEMBERS; i++)
                        assert_int_equal(ledger(all, i).in_flight, 1);
                /* All are full: each drops one in its turn. */
                steps = 0;
                for (unsigned i = 0; i < MEMBERS; i++)
                        fake_publish(from, "t", "x");
                assert_in_range(steps, 0, 8 * MEMBERS);
                for (unsigned i = 1; i <= MEMBERS; i++)
                        assert_int_equal(ledger(all, i).dropped, 1);
                /* One has room again: it is found among them. */
                fake_confirm(all, 7, 1);
                steps = 0;
                fake_publish(from, "t", "x");
                assert_in_range(steps, 1, 8);
                assert_int_equal(ledger(all, 7).matched, 3);
                assert_int_equal(ledger(all, 7).dropped, 1);
                world_free(w);
        }
}

static void test_group_cost_random_does_not_look_for_room_among_the_full(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID);
        struct fake *all = crowd(w, MEMBERS, &(struct sub){.pattern = "t", .group = "g", .policy = POLICY(RANDOM),
                                                           .window_messages = 1, .credit_messages = 1,
                                                           .overflow = OVERFLOW_RULE(DROP_NEW)});
        steps = 0;
        for (unsigned i = 0; i < MEMBERS; i++)
                fake_publish(from, "t", "x");
        assert_in_range(steps, MEMBERS, 4 * MEMBERS);
        for (unsigned i = 1; i <= MEMBERS; i++)
                assert_int_equal(ledger(all, i).in_flight, 1);
        steps = 0;
        for (unsigned i = 0; i < MEMBERS; i++)
                fake_publish(from, "t", "x");
        assert_in_range(steps, 0, 4 * MEMBERS);
        fake_confirm(all, 7, 1);
        uint64_t before = ledger(all, 7).matched;
        steps = 0;
        fake_publish(from, "t", "x");
        assert_in_range(steps, 1, 4);
        assert_int_equal(ledger(all, 7).matched, before + 1);
        world_free(w);
}

static void test_group_cost_servers_that_are_full_are_not_looked_at(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID);
        struct fake *all = crowd(w, MEMBERS, &(struct sub){.pattern = "s", .group = "g", .serve = true,
                                                           .window_messages = 1, .credit_messages = 1});
        for (unsigned i = 0; i < MEMBERS; i++)
                fake_call(from, "s", "", 0);
        steps = 0;
        uint64_t id = fake_call(from, "s", "", 0);
        assert_in_range(steps, 1, 8);
        const Ramal__V1__Status *status = expect_status(from, id, OVER_LIMIT);
        assert_true(status->limit && *status->limit);
        fake_confirm(all, 9, 1);
        fake_call(from, "s", "", 0);
        assert_int_equal(ledger(all, 9).matched, 2);
        world_free(w);
}

/* Their windows would take something, but not this. The patterns of a group share the bound. */
static void test_group_cost_members_without_room_for_one_message_are_passed_over_within_bounds(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID);
        static const char *const patterns[] = {"t.x", "t.*", "*.x", "t.>"};
        struct fake *all[RML_COUNT(patterns)];
        for (unsigned k = 0; k < RML_COUNT(patterns); k++)
                all[k] = crowd(w, MEMBERS, &(struct sub){.pattern = patterns[k], .group = "g", .window_bytes = 1000,
                                                         .credit_messages = 1, .overflow = OVERFLOW_RULE(DROP_NEW)});
        for (unsigned i = 0; i < RML_COUNT(patterns) * MEMBERS; i++)
                fake_publish_bytes(from, "t.x", 800);
        steps = 0;
        fake_publish_bytes(from, "t.x", 800);
        assert_in_range(steps, PASSED_MAX, 3 * PASSED_MAX);
        fake_publish(from, "t.x", "fits");
        uint64_t matched = 0, dropped = 0;
        for (unsigned k = 0; k < RML_COUNT(patterns); k++)
                for (unsigned i = 1; i <= MEMBERS; i++) {
                        matched += ledger(all[k], i).matched;
                        dropped += ledger(all[k], i).dropped;
                }
        assert_int_equal(matched, RML_COUNT(patterns) * MEMBERS + 2);
        assert_int_equal(dropped, 1);
        world_free(w);
}

/* As long as there are not more than the bound, whoever has room is found behind them. */
static void test_group_cost_the_one_with_room_is_found_behind_many(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID);
        struct sub sub = {.pattern = "t", .group = "g", .policy = POLICY(ROUND_ROBIN), .window_bytes = 1000,
                          .credit_messages = 1, .overflow = OVERFLOW_RULE(DROP_NEW)};
        struct fake *tight = crowd(w, PASSED_MAX - 1, &sub);
        for (unsigned i = 1; i < PASSED_MAX; i++)
                fake_publish_bytes(from, "t", 800);
        struct fake *wide = fake_join(w, WORLD_UID);
        subscribed(wide, .sid = 1, .pattern = "t", .group = "g", .credit_messages = 1);
        for (unsigned i = 1; i <= 20; i++) {
                fake_publish_bytes(from, "t", 800);
                assert_int_equal(ledger(wide, 1).matched, i);
        }
        for (unsigned i = 1; i < PASSED_MAX; i++)
                assert_int_equal(ledger(tight, i).matched, 1);
        world_free(w);
}

/* ---- patterns -------------------------------------------------------------------------------------------------- */

static int compare_hashes(const void *a, const void *b) {
        uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;
        return (one > other) - (one < other);
}

/* Its patterns are found by hash, and the same pattern in another group has another. */
static void test_group_cost_a_pattern_is_found_by_its_own_hash(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *fake = fake_join(w, WORLD_UID);
        char pattern[32], group[32];
        uint64_t hashes[2 * MEMBERS], sid = 0;
        for (unsigned i = 0; i < MEMBERS; i++) {
                snprintf(pattern, sizeof(pattern), "p.%u", i);
                SUBSCRIBE(fake, .sid = ++sid, .pattern = pattern, .group = "many");
                SUBSCRIBE(fake, .sid = ++sid, .pattern = pattern, .group = "many"); /* no second gang */
                snprintf(group, sizeof(group), "g%u", i);
                SUBSCRIBE(fake, .sid = ++sid, .pattern = "same", .group = group);
        }
        world_turn(w);
        assert_int_equal(w->core->gangs.count, RML_COUNT(hashes));
        size_t n = 0;
        for (struct rml_table_node *at = NULL; (at = rml_table_next(&w->core->gangs, at));)
                hashes[n++] = at->hash;
        qsort(hashes, n, sizeof(*hashes), compare_hashes);
        for (size_t i = 1; i < n; i++)
                assert_true(hashes[i] != hashes[i - 1]);
        for (uint64_t i = 1; i <= sid; i++)
                fake_unsubscribe(fake, i);
        assert_int_equal(w->core->gangs.count, 0);
        world_free(w);
}

/* ---- leaving --------------------------------------------------------------------------------------------------- */

static const struct sub in_line = {.pattern = "t", .group = "g", .policy = POLICY(PRIMARY)};

static void check_line(struct fake *fake, unsigned from, unsigned to) {
        for (unsigned i = from; i < to; i++) {
                if (i == from)
                        expect_notice(fake, i, OWNER, 0, NONE);
                else
                        expect_notice(fake, i, QUEUED, i - from, NONE);
        }
        expect_nothing(fake);
}

static void test_group_cost_a_connection_that_dies_tells_the_line_once(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *first = crowd(w, MEMBERS, &in_line), *second = crowd(w, MEMBERS, &in_line);
        steps = 0;
        fake_lost(first);
        world_turn(w);
        assert_in_range(steps, MEMBERS, 6 * MEMBERS);
        check_line(second, 1, MEMBERS + 1);
        world_free(w);
}

static void test_group_cost_many_that_unsubscribe_at_once_tell_the_line_once(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *first = crowd(w, MEMBERS, &in_line), *second = crowd(w, MEMBERS, &in_line);
        steps = 0;
        for (unsigned i = 1; i <= MEMBERS / 2; i++)
                fake_unsubscribe(first, i);
        for (unsigned i = 1; i <= MEMBERS; i++)
                fake_unsubscribe(second, MEMBERS + 1 - i);
        world_turn(w);
        assert_in_range(steps, MEMBERS / 2, 6 * MEMBERS);
        /* Each head was told that it is one; whoever stays was told its place once. */
        unsigned told = 0;
        for (const struct got *got; (got = fake_next(first));) {
                const Ramal__V1__Interest *notice = GOT(got, Interest);
                if (got->kind != RML_INTEREST || notice->sid <= MEMBERS / 2)
                        continue;
                assert_int_equal(notice->state, notice->sid == MEMBERS / 2 + 1 ? STATE(OWNER) : STATE(QUEUED));
                assert_int_equal(notice->queued, notice->sid - MEMBERS / 2 - 1);
                told++;
        }
        assert_int_equal(told, MEMBERS / 2);
        world_free(w);
}

/* The owner learns it before anything is sent to it as the owner. */
static void test_group_cost_the_new_owner_is_told_at_once(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID);
        struct fake *first = crowd(w, 3, &in_line), *second = crowd(w, 3, &in_line);
        fake_lost(first);
        fake_publish(from, "t", "new"); /* in the same turn */
        expect_notice(second, 1, OWNER, 0, NONE);
        expect_deliver(second, 1, 1, "new");
        expect_notice(second, 2, QUEUED, 1, NONE);
        expect_notice(second, 3, QUEUED, 2, NONE);
        world_free(w);
}

/* All members of a dying connection are out of the way before the first message moves, or is redelivered. */
static void test_group_cost_what_waits_for_a_dying_crowd_moves_without_searching(void **state) {
        (void)state;
        static const Ramal__V1__Policy policies[] = {POLICY(LEAST_PENDING), POLICY(ROUND_ROBIN), POLICY(PRIMARY),
                                                     POLICY(RANDOM), POLICY(KEY)};
        for (unsigned p = 0; p < RML_COUNT(policies); p++) {
                struct world *w = world_start();
                struct fake *from = fake_join(w, WORLD_UID);
                struct fake *crew = crowd(w, MEMBERS, &(struct sub){.pattern = "t", .group = "g", .policy = policies[p],
                                                                    .credit_messages = 1});
                struct fake *heir = fake_join(w, WORLD_UID);
                uint64_t queued = 0, all = 3 * MEMBERS, before;
                for (unsigned i = 0; i < all; i++) {
                        char key[16];
                        snprintf(key, sizeof(key), "%u", i);
                        struct say say = {.subject = "t", .key = policies[p] == POLICY(KEY) ? key : NULL};
                        fake_data(from, RML_PUBLISH, false, &say);
                }
                for (unsigned i = 1; i <= MEMBERS; i++) {
                        queued += ledger(crew, i).queued;
                        assert_in_range(ledger(crew, i).in_flight, 0, 1);
                }
                assert_true(queued >= 2 * MEMBERS);
                SUBSCRIBE(heir, .sid = 1, .pattern = "t", .group = "g");
                before = ledger(heir, 1).matched;
                steps = 0;
                fake_lost(crew);
                assert_int_equal(ledger(heir, 1).matched - before, all);
                assert_in_range(steps, 0, 4 * all);
                assert_int_equal(w->core->counters.moved, queued);
                assert_int_equal(w->core->counters.redelivered, all - queued);
                assert_int_equal(w->core->counters.unconfirmed, all - queued);
                fake_lost(heir);
                assert_int_equal(w->core->pins.count, 0);
                world_free(w);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_group_cost_members_that_are_full_are_not_looked_at),
                cmocka_unit_test(test_group_cost_random_does_not_look_for_room_among_the_full),
                cmocka_unit_test(test_group_cost_servers_that_are_full_are_not_looked_at),
                cmocka_unit_test(test_group_cost_members_without_room_for_one_message_are_passed_over_within_bounds),
                cmocka_unit_test(test_group_cost_the_one_with_room_is_found_behind_many),
                cmocka_unit_test(test_group_cost_a_pattern_is_found_by_its_own_hash),
                cmocka_unit_test(test_group_cost_a_connection_that_dies_tells_the_line_once),
                cmocka_unit_test(test_group_cost_many_that_unsubscribe_at_once_tell_the_line_once),
                cmocka_unit_test(test_group_cost_the_new_owner_is_told_at_once),
                cmocka_unit_test(test_group_cost_what_waits_for_a_dying_crowd_moves_without_searching),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
