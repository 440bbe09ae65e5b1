/* SPDX-License-Identifier: MIT */
/* Who dies, or says BYE, and had much: what it had is cleared away, and goes to others, in parts, and all comes as if it
 * had gone at once. Told by counts. */
#include "expect.h"

#include <stdio.h>
#include <string.h>

enum { FRAMES = 25, PART = 4 * FRAMES, QUEUED = 1000, MORE = PART / 16 + 2 };

static struct world *world_of_small_turns(void) {
        struct core_limits limits = world_defaults();
        limits.turn_frames = FRAMES;
        return world_new(1, &limits);
}

static void numbered(struct fake *from, const char *subject, unsigned first, unsigned count) {
        for (unsigned i = first; i < first + count; i++) {
                char text[16];
                snprintf(text, sizeof(text), "%u", i);
                fake_publish(from, subject, text);
                if (i % 20 == 0) /* a turn takes no more of one connection */
                        world_turn(from->world);
        }
        world_turn(from->world);
}

static void pass_over(struct fake *fake) {
        while (fake_next(fake))
                ;
}

static struct core_ledger ledger(const struct fake *fake, uint64_t sid) {
        struct core_ledger ret;
        assert_int_equal(core_interest_ledger(fake->peer, sid, &ret), 0);
        return ret;
}

/* The next delivery, past notices, without a turn. */
static void next_is(struct fake *fake, uint64_t sid, unsigned number, uint32_t flags) {
        const struct got *got;
        char text[16];
        do {
                got = fake_next(fake);
                assert_non_null(got);
        } while (got->kind == RML_INTEREST);
        assert_int_equal(got->kind, RML_DELIVER);
        assert_int_equal(got->data.sid, sid);
        snprintf(text, sizeof(text), "%u", number);
        assert_int_equal(got->data.payload.len, strlen(text));
        assert_memory_equal(got->data.payload.data, text, strlen(text));
        assert_int_equal(got->data.flags, flags);
}

static void nothing_more(struct fake *fake) {
        for (const struct got *got; (got = fake_next(fake));)
                assert_int_equal(got->kind, RML_INTEREST);
}

/* A member with QUEUED messages, of which it has had one, and who is next. */
struct crew {
        struct world *w;
        struct fake *from, *owner, *heir;
};

static struct crew crew(Ramal__V1__Policy policy) {
        struct crew c = {.w = world_of_small_turns()};
        c.from = fake_join(c.w, WORLD_UID);
        c.owner = fake_join(c.w, WORLD_UID);
        c.heir = fake_join(c.w, WORLD_UID);
        SUBSCRIBE(c.owner, .sid = 1, .pattern = "t", .group = "g", .policy = policy, .credit_messages = 1);
        world_turn(c.w);
        numbered(c.from, "t", 1, QUEUED);
        SUBSCRIBE(c.heir, .sid = 1, .pattern = "t", .group = "g", .policy = policy);
        SUBSCRIBE(c.heir, .sid = 2, .pattern = "u");
        world_turn(c.w);
        pass_over(c.owner);
        pass_over(c.heir);
        return c;
}

static void test_departure_moves_a_bounded_number_in_each_turn(void **state) {
        (void)state;
        struct crew c = crew(POLICY(PRIMARY));
        fake_lost(c.owner);
        unsigned turns = 0;
        for (uint64_t matched = 0, now; matched < QUEUED; matched = now, turns++) {
                assert_true(world_due(c.w));
                assert_non_null(c.owner->peer);
                world_one_turn(c.w);
                now = ledger(c.heir, 1).matched;
                assert_in_range(now - matched, matched ? 1 : 0, PART + MORE);
        }
        assert_in_range(turns, QUEUED / (PART + MORE), QUEUED / PART + 2);
        world_turn(c.w);
        assert_null(c.owner->peer);
        assert_int_equal(ledger(c.heir, 1).matched, QUEUED);
        world_free(c.w);
}

/* What comes meanwhile is the heir's, and stands behind: here, and of this sender in all that this connection gets. */
static void test_departure_keeps_the_order_of_what_comes_meanwhile(void **state) {
        (void)state;
        struct crew c = crew(POLICY(PRIMARY));
        fake_lost(c.owner);
        unsigned last = QUEUED;
        for (unsigned i = 0; i < 6; i++) {
                fake_publish(c.from, "t", (char[]){'1', '0', '0', (char)('1' + i), 0});
                fake_publish(c.from, "u", "7");
                world_one_turn(c.w);
                nothing_more(c.heir);
                last++;
        }
        world_turn(c.w);
        next_is(c.heir, 1, 1, FLAG(REDELIVERED));
        for (unsigned i = 2; i <= QUEUED; i++)
                next_is(c.heir, 1, i, FLAG(MOVED));
        for (unsigned i = QUEUED + 1; i <= last; i++) {
                next_is(c.heir, 1, i, 0);
                next_is(c.heir, 2, 7, 0);
        }
        nothing_more(c.heir);
        expect_ledger(c.heir, 1, .matched = last, .confirmed = last);
        world_free(c.w);
}

static void test_departure_of_the_heir_in_the_midst_of_it_keeps_the_order(void **state) {
        (void)state;
        struct crew c = crew(POLICY(PRIMARY));
        struct fake *third = fake_join(c.w, WORLD_UID), *last = fake_join(c.w, WORLD_UID);
        SUBSCRIBE(third, .sid = 1, .pattern = "t", .group = "g", .policy = POLICY(PRIMARY));
        SUBSCRIBE(last, .sid = 1, .pattern = "t", .group = "g", .policy = POLICY(PRIMARY));
        world_turn(c.w);
        fake_lost(c.owner);
        world_one_turn(c.w);
        world_one_turn(c.w);
        fake_publish(c.from, "t", "1001");
        fake_lost(c.heir);
        world_one_turn(c.w);
        fake_publish(c.from, "t", "1002");
        world_one_turn(c.w);
        fake_bye(third, false, 0);
        fake_publish(c.from, "t", "1003");
        world_turn(c.w);
        expect(last, RML_SUBSCRIBED);
        next_is(last, 1, 1, FLAG(REDELIVERED));
        for (unsigned i = 2; i <= QUEUED + 2; i++)
                next_is(last, 1, i, FLAG(MOVED));
        next_is(last, 1, QUEUED + 3, 0);
        nothing_more(last);
        world_free(c.w);
}

/* In the midst of what was in flight, too: one of those that die is after the other. */
static void test_departure_redelivers_in_order_whoever_dies_meanwhile(void **state) {
        (void)state;
        enum { FLIGHT = 300 };
        struct world *w = world_of_small_turns();
        struct fake *from = fake_join(w, WORLD_UID), *all[3];
        for (unsigned i = 0; i < 3; i++)
                all[i] = fake_join(w, WORLD_UID);
        for (unsigned i = 0; i < 2; i++) {
                SUBSCRIBE(all[i], .sid = 1, .pattern = "t", .group = "g", .policy = POLICY(PRIMARY),
                          .credit_messages = 10 * FLIGHT);
                world_turn(w);
                numbered(from, "t", 1 + i * FLIGHT, i ? 0 : FLIGHT);
        }
        SUBSCRIBE(all[2], .sid = 1, .pattern = "t", .group = "g", .policy = POLICY(PRIMARY));
        world_turn(w);
        pass_over(all[2]);
        fake_lost(all[0]);
        world_one_turn(w);
        world_one_turn(w);
        uint64_t second = ledger(all[1], 1).matched; /* so many had come so far */
        assert_in_range(second, PART, 2 * (PART + MORE));
        fake_lost(all[1]);
        world_turn(w);
        for (unsigned i = 1; i <= FLIGHT; i++)
                next_is(all[2], 1, i, FLAG(REDELIVERED) | (i > FLIGHT - second ? FLAG(MOVED) : 0));
        nothing_more(all[2]);
        assert_int_equal(world_charges(w).queued_messages, 0);
        world_free(w);
}

/* Each key has one member, before and after, and its order. */
static void test_departure_keeps_the_order_of_each_key(void **state) {
        (void)state;
        enum { KEYS = 7, EACH = 60 };
        struct world *w = world_of_small_turns();
        struct fake *from = fake_join(w, WORLD_UID), *owner = fake_join(w, WORLD_UID), *others[3];
        SUBSCRIBE(owner, .sid = 1, .pattern = "t", .group = "g", .policy = POLICY(KEY), .credit_messages = 1);
        world_turn(w);
        for (unsigned round = 0; round < 3; round++) {
                for (unsigned i = 0; i < KEYS * EACH; i++) {
                        uint8_t payload[2] = {(uint8_t)(i % KEYS), (uint8_t)(round * EACH + i / KEYS)};
                        char key[2] = {(char)('a' + i % KEYS), 0};
                        fake_data(from, RML_PUBLISH, false,
                                  &(struct say){.subject = "t", .key = key, .payload = payload, .len = 2});
                        if (i % 20 == 0)
                                world_one_turn(w);
                }
                if (round == 0) {
                        for (unsigned i = 0; i < 3; i++) {
                                others[i] = fake_join(w, WORLD_UID);
                                SUBSCRIBE(others[i], .sid = 1, .pattern = "t", .group = "g", .policy = POLICY(KEY));
                        }
                        world_turn(w);
                        fake_lost(owner);
                        world_one_turn(w);
                }
                if (round == 1)
                        fake_lost(others[0]);
        }
        world_turn(w);
        unsigned next[KEYS] = {0}, at[KEYS] = {0};
        for (unsigned i = 1; i < 3; i++)
                for (const struct got *got; (got = fake_next(others[i]));) {
                        if (got->kind != RML_DELIVER)
                                continue;
                        unsigned key = got->data.payload.data[0], number = got->data.payload.data[1];
                        assert_true(!at[key] || at[key] == i);
                        at[key] = i;
                        assert_true(number >= next[key]);
                        next[key] = number + 1;
                }
        for (unsigned key = 0; key < KEYS; key++)
                assert_int_equal(next[key], 3 * EACH);
        world_free(w);
}

static void calls_of(struct fake *caller, const char *subject, uint64_t *ids, unsigned count) {
        for (unsigned i = 0; i < count; i++) {
                ids[i] = fake_call(caller, subject, "q", 0);
                if (i % 20 == 0)
                        world_turn(caller->world);
        }
        world_turn(caller->world);
}

/* With nobody left: one end for each, a bounded number in each turn. */
static void test_departure_ends_each_call_once_in_bounded_turns(void **state) {
        (void)state;
        struct world *w = world_of_small_turns();
        struct fake *caller = fake_join(w, WORLD_UID), *server = fake_join(w, WORLD_UID);
        static uint64_t ids[QUEUED];
        subscribed(server, .sid = 1, .pattern = "s", .serve = true, .credit_messages = 1);
        calls_of(caller, "s", ids, QUEUED);
        fake_lost(server);
        uint64_t none = fake_call(caller, "s", "q", 0); /* nobody serves this any more, though they are not all told */
        unsigned ended = 0;
        while (world_due(w)) {
                unsigned now = 0;
                world_one_turn(w);
                for (const struct got *got; (got = fake_next(caller)); now++) {
                        assert_int_equal(got->kind, RML_STATUS);
                        assert_int_equal(GOT(got, Status)->code,
                                         got->id == none ? CODE(NO_RESPONDER) : CODE(RESPONDER_GONE));
                }
                assert_in_range(now, 0, PART + MORE + 2);
                ended += now;
        }
        assert_int_equal(ended, QUEUED + 1);
        assert_int_equal(world_charges(w).calls, 0);
        world_free(w);
}

static void test_departure_hands_calls_on_before_those_that_come_meanwhile(void **state) {
        (void)state;
        struct world *w = world_of_small_turns();
        struct fake *caller = fake_join(w, WORLD_UID), *owner = fake_join(w, WORLD_UID), *heir = fake_join(w, WORLD_UID);
        static uint64_t ids[QUEUED];
        SUBSCRIBE(owner, .sid = 1, .pattern = "n", .name = true, .credit_messages = 1);
        SUBSCRIBE(heir, .sid = 1, .pattern = "n", .name = true);
        calls_of(caller, "n", ids, QUEUED);
        pass_over(owner);
        pass_over(heir);
        uint64_t bye = fake_bye(owner, false, 0);
        uint64_t late = fake_call(caller, "n", "late", 0);
        fake_cancel(caller, ids[500]); /* while it is in line */
        world_one_turn(w);
        nothing_more(heir);
        world_turn(w);
        expect_status(caller, ids[0], RESPONDER_GONE); /* it was handed to the first one */
        expect_status(caller, ids[500], CANCELLED);
        for (unsigned i = 1; i < QUEUED; i++)
                if (i != 500) {
                        fake_reply(heir, expect_call(heir, 1, "q"), "r");
                        expect_reply(caller, ids[i], 1, "r", false);
                }
        expect_notice(heir, 1, OWNER, 0, NONE);
        fake_reply(heir, expect_call(heir, 1, "late"), "r");
        expect_reply(caller, late, 1, "r", false);
        expect_gap(owner, 1, 2, QUEUED, QUEUED - 2, MOVED);
        expect_gap(owner, 1, 501, 501, 1, CANCELLED);
        expect_status(owner, bye, OK);
        expect_closed(owner);
        world_free(w);
}

/* However many die at once. */
static void test_departure_of_many_moves_no_more_in_a_turn_than_that_of_one(void **state) {
        (void)state;
        enum { MEMBERS = 12, EACH = 80 };
        struct world *w = world_of_small_turns();
        struct fake *from = fake_join(w, WORLD_UID), *members[MEMBERS], *heir;
        for (unsigned i = 0; i < MEMBERS; i++) {
                members[i] = fake_join(w, WORLD_UID);
                SUBSCRIBE(members[i], .sid = 1, .pattern = "t", .group = "g", .credit_messages = 1);
        }
        world_turn(w);
        numbered(from, "t", 1, MEMBERS * EACH);
        heir = fake_join(w, WORLD_UID);
        SUBSCRIBE(heir, .sid = 1, .pattern = "t", .group = "g");
        world_turn(w);
        pass_over(heir);
        for (unsigned i = 0; i < MEMBERS; i++)
                fake_lost(members[i]);
        uint64_t before = ledger(heir, 1).matched;
        assert_in_range(before, 0, PART);
        while (world_due(w)) {
                world_one_turn(w);
                uint64_t now = ledger(heir, 1).matched;
                assert_in_range(now - before, 0, PART + MORE);
                before = now;
        }
        expect_ledger(heir, 1, .matched = MEMBERS * EACH, .confirmed = MEMBERS * EACH);
        for (unsigned i = 0; i < MEMBERS; i++)
                assert_null(members[i]->peer);
        world_free(w);
}

/* What nobody else has to get goes in parts as well. */
static void test_departure_drops_a_bounded_number_in_each_turn(void **state) {
        (void)state;
        struct world *w = world_of_small_turns();
        struct fake *from = fake_join(w, WORLD_UID), *lost = fake_join(w, WORLD_UID), *leaves = fake_join(w, WORLD_UID);
        struct fake *both[] = {lost, leaves};
        for (unsigned i = 0; i < 2; i++)
                SUBSCRIBE(both[i], .sid = 1, .pattern = "t", .credit_messages = 1);
        world_turn(w);
        numbered(from, "t", 1, QUEUED);
        pass_over(leaves);
        fake_lost(lost);
        uint64_t bye = fake_bye(leaves, false, 0);
        for (uint64_t left = world_charges(w).queued_messages, now; left; left = now) {
                world_one_turn(w);
                now = world_charges(w).queued_messages;
                assert_in_range(left - now, 1, PART);
        }
        world_turn(w);
        expect_gap(leaves, 1, 2, QUEUED, QUEUED - 1, ENDED);
        expect_status(leaves, bye, OK);
        expect_closed(leaves);
        assert_null(lost->peer);
        world_free(w);
}

/* Whose edge does not wait for that. */
static void test_departure_is_finished_for_who_is_freed_in_the_midst_of_it(void **state) {
        (void)state;
        struct crew c = crew(POLICY(LEAST_PENDING));
        fake_lost(c.owner);
        world_one_turn(c.w);
        c.owner->peer = core_peer_free(c.owner->peer);
        assert_int_equal(ledger(c.heir, 1).matched, QUEUED);
        world_turn(c.w);
        next_is(c.heir, 1, 1, FLAG(REDELIVERED));
        for (unsigned i = 2; i <= QUEUED; i++)
                next_is(c.heir, 1, i, FLAG(MOVED));
        world_free(c.w);
}

/* Messages that no other member's pattern matches stay with who had them, and come while it can be written to. */
static void test_departure_flushes_in_order_what_nobody_else_takes(void **state) {
        (void)state;
        struct world *w = world_of_small_turns();
        struct fake *from = fake_join(w, WORLD_UID), *owner = fake_join(w, WORLD_UID), *heir = fake_join(w, WORLD_UID);
        SUBSCRIBE(owner, .sid = 1, .pattern = "t.*", .group = "g", .policy = POLICY(PRIMARY), .credit_messages = 1);
        SUBSCRIBE(heir, .sid = 1, .pattern = "t.b", .group = "g", .policy = POLICY(PRIMARY));
        world_turn(w);
        for (unsigned i = 1; i <= 300; i++)
                numbered(from, i % 3 ? "t.a" : "t.b", i, 1);
        pass_over(owner);
        pass_over(heir);
        fake_eof(owner);
        world_turn(w);
        for (unsigned i = 3; i <= 300; i += 3)
                next_is(heir, 1, i, FLAG(MOVED));
        nothing_more(heir);
        for (unsigned i = 2; i <= 300; i++) {
                if (i % 3 == 0)
                        continue;
                const struct got *got;
                do
                        assert_non_null(got = fake_next(owner));
                while (got->kind == RML_GAP);
                char text[16];
                snprintf(text, sizeof(text), "%u", i);
                assert_int_equal(got->kind, RML_DELIVER);
                assert_memory_equal(got->data.payload.data, text, strlen(text));
        }
        world_free(w);
}

/* It cannot be told how they end, so they are over before anything moves: in parts or at once. */
static void test_departure_hands_on_no_call_of_the_dead_one(void **state) {
        (void)state;
        for (unsigned calls = 1; calls <= PART + 1; calls += PART) {
                struct world *w = world_of_small_turns();
                struct fake *owner = fake_join(w, WORLD_UID), *heir = fake_join(w, WORLD_UID);
                SUBSCRIBE(owner, .sid = 1, .pattern = "n", .name = true, .credit_messages = 1);
                SUBSCRIBE(heir, .sid = 1, .pattern = "n", .name = true);
                fake_call(heir, "n", "in flight", 0);
                world_turn(w);
                for (unsigned i = 0; i < calls; i++) {
                        fake_call(owner, "n", "own", 0);
                        world_turn(w);
                }
                uint64_t other = fake_call(heir, "n", "to be moved", 0);
                world_turn(w);
                assert_int_equal(ledger(owner, 1).queued, calls + 1);
                fake_lost(owner);
                world_turn(w);
                expect_ledger(heir, 1, .matched = 1, .confirmed = 1);
                const struct got *got;
                do
                        assert_non_null(got = fake_next(heir));
                while (got->kind != RML_DELIVER);
                assert_int_equal(got->id, other);
                world_free(w);
        }
}

/* Nobody is left to give more turns to it: what had not come yet comes now. */
static void test_departure_in_the_midst_of_a_stop_loses_nothing(void **state) {
        (void)state;
        struct crew c = crew(POLICY(PRIMARY));
        fake_lost(c.owner);
        world_one_turn(c.w);
        world_one_turn(c.w);
        assert_in_range(ledger(c.heir, 1).matched, 1, QUEUED - 1);
        core_stop(c.w->core, UINT64_C(1000000000));
        world_turn(c.w);
        expect(c.heir, RML_GOAWAY);
        next_is(c.heir, 1, 1, FLAG(REDELIVERED));
        for (unsigned i = 2; i <= QUEUED; i++)
                next_is(c.heir, 1, i, FLAG(MOVED));
        world_free(c.w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_departure_moves_a_bounded_number_in_each_turn),
                cmocka_unit_test(test_departure_keeps_the_order_of_what_comes_meanwhile),
                cmocka_unit_test(test_departure_of_the_heir_in_the_midst_of_it_keeps_the_order),
                cmocka_unit_test(test_departure_redelivers_in_order_whoever_dies_meanwhile),
                cmocka_unit_test(test_departure_keeps_the_order_of_each_key),
                cmocka_unit_test(test_departure_ends_each_call_once_in_bounded_turns),
                cmocka_unit_test(test_departure_hands_calls_on_before_those_that_come_meanwhile),
                cmocka_unit_test(test_departure_hands_on_no_call_of_the_dead_one),
                cmocka_unit_test(test_departure_of_many_moves_no_more_in_a_turn_than_that_of_one),
                cmocka_unit_test(test_departure_drops_a_bounded_number_in_each_turn),
                cmocka_unit_test(test_departure_is_finished_for_who_is_freed_in_the_midst_of_it),
                cmocka_unit_test(test_departure_flushes_in_order_what_nobody_else_takes),
                cmocka_unit_test(test_departure_in_the_midst_of_a_stop_loses_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
