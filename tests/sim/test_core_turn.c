/* SPDX-License-Identifier: MIT */
/* The broker shares its turn: of each connection a bounded number of frames, then it is the next one's. */
#include "expect.h"

#include <stdio.h>
#include <string.h>

static unsigned received(struct fake *fake) {
        unsigned count = 0;

        while (fake_next(fake))
                count++;
        return count;
}

/* All at once, as one read. */
static void send_at_once(struct fake *fake, const char *subject, unsigned count) {
        fake->hold = true;
        for (unsigned i = 0; i < count; i++)
                fake_publish(fake, subject, "x");
        fake_release(fake, SIZE_MAX);
}

static void test_turn_takes_so_many_frames_and_leaves_the_rest_for_the_next(void **state) {
        (void)state;
        struct core_limits limits = world_defaults();
        limits.turn_frames = 100;
        struct world *w = world_new(1, &limits);
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "t");
        send_at_once(from, "t", 100); /* just as many: nothing is left */
        assert_true(core_peer_reading(from->peer));
        assert_false(world_due(w));
        world_one_turn(w);
        assert_int_equal(received(to), 100);
        send_at_once(from, "t", 350);
        assert_false(core_peer_reading(from->peer));
        assert_false(core_peer_needs_output(from->peer)); /* it goes on by itself */
        assert_true(world_due(w));
        for (unsigned left = 350; left; left -= left < 100 ? left : 100) {
                world_one_turn(w);
                assert_int_equal(received(to), left < 100 ? left : 100);
        }
        assert_true(core_peer_reading(from->peer));
        assert_false(world_due(w));
        world_free(w);
}

/* Behind time the edge reads all that came before anything expires: what waits for its turn goes on, nothing else. */
static void test_turn_that_catches_up_goes_on_and_expires_nothing(void **state) {
        (void)state;
        struct core_limits limits = world_defaults();
        limits.turn_frames = 100;
        struct world *w = world_new(1, &limits);
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "t");
        assert_false(core_catch_up(w->core));
        send_at_once(from, "t", 250);
        struct core_ledger ledger;
        static const uint64_t matched[] = {100, 200, 250}; /* it has had this turn already */
        for (unsigned i = 0; i < RML_COUNT(matched); i++) {
                assert_true(core_catch_up(w->core));
                assert_int_equal(core_interest_ledger(to->peer, 1, &ledger), 0);
                assert_int_equal(ledger.matched, matched[i]);
        }
        assert_false(core_catch_up(w->core));
        world_turn(w);
        assert_int_equal(received(to), 250);
        world_free(w);
}

/* What comes meanwhile stands behind what waits. */
static void test_turn_keeps_the_order_of_what_comes_meanwhile(void **state) {
        (void)state;
        struct core_limits limits = world_defaults();
        limits.turn_frames = 3;
        struct world *w = world_new(1, &limits);
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "t");
        from->hold = true;
        for (unsigned i = 0; i < 10; i++)
                fake_publish(from, "t", (char[]){(char)('a' + i), 0});
        fake_release_part(from, from->held_len - 5); /* and a frame that is cut */
        fake_release_part(from, 2);
        world_one_turn(w);
        fake_release(from, 1);
        fake_publish(from, "t", "k");
        fake_eof(from); /* its end comes last */
        for (unsigned i = 0; i < 11; i++) {
                const char text[] = {(char)('a' + i), 0};
                expect_deliver(to, 1, i + 1, text);
        }
        world_turn(w);
        assert_null(from->peer);
        world_free(w);
}

/* The promise: a call is served after at most one turn's budget of every other connection. Told by counting, not by a clock. */
static void test_turn_serves_a_call_after_at_most_one_budget_of_every_other(void **state) {
        (void)state;
        enum { FLOODERS = 5, BUDGET = 50 };
        struct core_limits limits = world_defaults();
        limits.turn_frames = BUDGET;
        struct world *w = world_new(1, &limits);
        struct fake *server = fake_join(w, WORLD_UID), *caller = fake_join(w, WORLD_UID), *from[FLOODERS];
        subscribed(server, .sid = 1, .pattern = "t");
        subscribed(server, .sid = 2, .pattern = "s", .serve = true);
        for (unsigned i = 0; i < FLOODERS; i++)
                from[i] = fake_join(w, WORLD_UID);
        for (unsigned round = 0; round < 20; round++) {
                unsigned before = 0;
                /* They are ready first, and those that are read have more than a turn takes. */
                for (unsigned i = 0; i < FLOODERS; i++)
                        if (core_peer_reading(from[i]->peer))
                                send_at_once(from[i], "t", 20 * BUDGET);
                uint64_t id = fake_call(caller, "s", "q", 0);
                world_one_turn(w);
                const struct got *got;
                while ((got = fake_next(server)) && got->data.sid == 1)
                        before++;
                assert_non_null(got); /* in this very turn */
                assert_in_range(before, 0, FLOODERS * BUDGET);
                received(server);
                fake_reply(server, got->data.token, "r");
                world_one_turn(w);
                assert_int_equal(fake_next(caller)->id, id);
                received(server);
        }
        world_free(w);
}

/* What many are to get is more work than one frame, and counts as more. */
static void test_turn_is_shorter_for_what_many_are_to_get(void **state) {
        (void)state;
        enum { WIDE = 1600, FRAMES = 1000 };
        struct core_limits limits = world_defaults();
        limits.turn_frames = FRAMES;
        struct world *w = world_new(1, &limits);
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        for (unsigned i = 1; i <= WIDE; i++)
                SUBSCRIBE(to, .sid = i, .pattern = "t");
        world_turn(w);
        received(to);
        send_at_once(from, "t", 100);
        unsigned turns = 0;
        for (unsigned left = 100 * WIDE, now; left; left -= now, turns++) {
                world_one_turn(w);
                now = received(to);
                assert_in_range(now, WIDE, (FRAMES / (WIDE / 16) + 1) * WIDE);
        }
        assert_in_range(turns, 20, 30); /* what they are to be sent counts, too */
        world_free(w);
}

/* A large message for many is worth many turns: its sender's next one comes after them, those of others do not wait. */
static void test_turn_goes_by_for_each_part_of_a_large_message_for_many(void **state) {
        (void)state;
        enum { READERS = 40, LARGE = 1 << 20 };
        struct world *w = world_new(1, NULL);
        struct fake *from = fake_join(w, WORLD_UID), *other = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        for (unsigned i = 1; i <= READERS; i++)
                SUBSCRIBE(to, .sid = i, .pattern = "t");
        subscribed(other, .sid = 1, .pattern = "u");
        world_turn(w);
        received(to);
        core_turn_output(w->core);
        fake_publish_bytes(from, "t", LARGE);
        fake_publish(from, "u", "mine");
        assert_in_range(core_turn_output(w->core), LARGE, LARGE); /* of one turn */
        unsigned turns = 0;
        uint64_t output = LARGE;
        for (bool mine = false; !mine; turns++) {
                assert_true(world_due(w));
                fake_publish(other, "u", "other");
                world_one_turn(w);
                uint64_t now = core_turn_output(w->core);
                assert_in_range(now, 1, LARGE + 1000);
                output += now;
                mine = received(other) == 2;
        }
        assert_in_range(turns, READERS - 1, READERS + 2);
        assert_in_range(output, (uint64_t)READERS * LARGE, (uint64_t)(READERS + 1) * LARGE);
        world_free(w);
}

/* So is asking the broker for much. */
static void test_turn_is_shorter_for_who_asks_the_broker_for_much(void **state) {
        (void)state;
        struct core_limits limits = world_defaults();
        limits.turn_frames = 100;
        struct world *w = world_new(1, &limits);
        struct fake *from = fake_join(w, WORLD_UID);
        for (unsigned i = 0; i < 200; i++)
                fake_join(w, WORLD_UID);
        from->hold = true;
        for (unsigned i = 0; i < 50; i++)
                fake_call(from, "$SYS.api.list", "", 0);
        fake_release(from, SIZE_MAX);
        unsigned turns = 0;
        for (unsigned left = 50, now; left; left -= now, turns++) {
                world_one_turn(w);
                now = received(from);
                assert_in_range(now, 1, 10);
        }
        assert_true(turns >= 5);
        world_free(w);
}

/* A few frames could send a whole queue to and fro between two members. */
static void test_turn_is_shorter_for_who_moves_what_is_queued(void **state) {
        (void)state;
        enum { QUEUED = 300 };
        struct core_limits limits = world_defaults();
        limits.turn_frames = 100;
        struct world *w = world_new(1, &limits);
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "t", .group = "g", .credit_messages = 1);
        send_at_once(from, "t", QUEUED + 1);
        world_turn(w);
        received(to);
        subscribed(to, .sid = 2, .pattern = "t", .group = "g", .credit_messages = 1);
        to->hold = true;
        fake_unsubscribe(to, 1);
        SUBSCRIBE(to, .sid = 3, .pattern = "t", .group = "g", .credit_messages = 1);
        fake_unsubscribe(to, 2);
        fake_ping(to);
        fake_release(to, SIZE_MAX);
        world_one_turn(w);
        for (uint64_t sid = 2; sid <= 3; sid++) { /* one move in each turn */
                struct core_ledger ledger;

                assert_int_equal(core_interest_ledger(to->peer, sid, &ledger), 0);
                assert_int_equal(ledger.queued + ledger.in_flight, QUEUED + 2 - sid); /* what was in flight stays */
                assert_true(world_due(w));
                world_one_turn(w);
        }
        assert_true(core_peer_reading(to->peer));
        world_free(w);
}

/* Two of them at work, and each gets as much. */
static void test_turn_is_as_long_for_each(void **state) {
        (void)state;
        struct core_limits limits = world_defaults();
        limits.turn_frames = 10;
        struct world *w = world_new(1, &limits);
        struct fake *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a");
        subscribed(to, .sid = 2, .pattern = "b");
        send_at_once(a, "a", 1000);
        world_one_turn(w);
        assert_int_equal(received(to), 10);
        send_at_once(b, "b", 1000);
        world_one_turn(w);
        received(to);
        for (unsigned i = 0; i < 50; i++) {
                unsigned of[3] = {0};
                world_one_turn(w);
                for (const struct got *got; (got = fake_next(to));)
                        of[got->data.sid]++;
                assert_int_equal(of[1], 10);
                assert_int_equal(of[2], 10);
        }
        world_free(w);
}

/* Who has to wait for its answers to be read does not go on with its turn. */
static void test_turn_waits_for_answers_to_be_read(void **state) {
        (void)state;
        struct core_limits limits = world_defaults();
        limits.turn_frames = 10;
        limits.unread_answers_bytes = 1000;
        struct world *w = world_new(1, &limits);
        struct fake *a = fake_join(w, WORLD_UID);
        a->stuck = true;
        a->hold = true;
        for (unsigned i = 0; i < 1000; i++)
                fake_ping(a);
        fake_release(a, SIZE_MAX);
        world_turn(w); /* it comes to an end */
        assert_false(core_peer_reading(a->peer));
        assert_true(core_peer_needs_output(a->peer));
        assert_false(world_due(w));
        a->stuck = false;
        world_turn(w);
        assert_int_equal(received(a), 1000);
        assert_true(core_peer_reading(a->peer));
        world_free(w);
}

/* It ends in the midst of what waits: none of that is looked at, nothing is left. */
static void test_turn_ends_with_its_connection(void **state) {
        (void)state;
        struct core_limits limits = world_defaults();
        limits.turn_frames = 10;
        struct world *w = world_new(1, &limits);
        struct fake *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "t");
        send_at_once(a, "t", 100);
        fake_lost(a);
        world_turn(w);
        assert_int_equal(received(to), 10);
        b->hold = true;
        for (unsigned i = 0; i < 15; i++)
                fake_publish(b, "t", "x");
        fake_bye(b, false, 0);
        for (unsigned i = 0; i < 15; i++)
                fake_publish(b, "t", "x");
        fake_release(b, SIZE_MAX);
        world_turn(w);
        assert_int_equal(received(to), 15);
        assert_null(b->peer);
        world_free(w);
}

/* A zero does not stop the bus. */
static void test_turn_of_no_frames_is_one(void **state) {
        (void)state;
        struct core_limits limits = world_defaults();
        limits.turn_frames = 0;
        struct world *w = world_new(1, &limits);
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "t");
        send_at_once(from, "t", 5);
        world_one_turn(w);
        world_one_turn(w);
        assert_in_range(received(to), 1, 3);
        world_turn(w);
        received(to);
        assert_true(core_peer_reading(from->peer));
        world_free(w);
}

/* Whatever is due at one time does not keep the broker from reading. */
static void test_turn_expires_a_bounded_number(void **state) {
        (void)state;
        enum { CALLS = 12000 };
        struct core_limits limits = world_defaults();
        limits.calls = CALLS;
        struct world *w = world_new(1, &limits);
        struct fake *server = fake_join(w, WORLD_UID), *caller = fake_join(w, WORLD_UID);
        subscribed(server, .sid = 1, .pattern = "s", .serve = true, .credit_messages = 1);
        for (unsigned i = 0; i < CALLS; i++)
                fake_call(caller, "s", "q", 1000);
        world_one_turn(w);
        received(caller);
        world_advance(w, MS(1));
        unsigned ended = 0, turns = 0;
        while (world_due(w)) {
                world_one_turn(w);
                unsigned now = received(caller);
                assert_in_range(now, 0, 4096);
                ended += now;
                turns++;
        }
        assert_int_equal(ended, CALLS);
        assert_true(turns > 2);
        world_free(w);
}

/* ---- who had many interests ---- */

enum { MANY = 9000, GO_MAX = 4096 };

/* With sids from 1 on, and the patterns "m.<sid>". */
static struct fake *join_with_many(struct world *w) {
        struct fake *fake = fake_join(w, WORLD_UID);
        for (unsigned i = 1; i <= MANY; i++) {
                char pattern[32];
                snprintf(pattern, sizeof(pattern), "m.%u", i);
                SUBSCRIBE(fake, .sid = i, .pattern = pattern, .credit_messages = 1);
        }
        world_turn(w);
        received(fake);
        return fake;
}

static uint64_t interests(const struct world *w) {
        struct core_charges charges;
        core_charges(w->core, &charges);
        return charges.interests;
}

/* How many receivers the broker counted, in this very turn. */
static uint64_t heard_by(struct fake *from, const char *subject) {
        uint64_t id = fake_publish_receipt(from, subject, "x");
        fake_take(from, SIZE_MAX);
        const struct got *got = fake_next(from);
        assert_non_null(got);
        assert_int_equal(got->id, id);
        return GOT(got, Accepted)->receivers;
}

static void test_turn_lets_a_bounded_number_of_interests_go(void **state) {
        (void)state;
        struct world *w = world_new(1, NULL);
        struct fake *from = fake_join(w, WORLD_UID), *all = fake_join(w, WORLD_UID), *many = join_with_many(w);
        subscribed(all, .sid = 1, .pattern = "m.*");
        assert_int_equal(heard_by(from, "m.9000"), 2);
        fake_lost(many);
        assert_int_equal(heard_by(from, "m.9000"), 1); /* at once */
        assert_int_equal(interests(w), MANY + 1);
        for (uint64_t left = MANY; left; left = interests(w) - 1) {
                assert_true(world_due(w));
                assert_non_null(many->peer);
                world_one_turn(w);
                assert_in_range(left - (interests(w) - 1), 1, GO_MAX);
                assert_int_equal(heard_by(from, "m.9000"), 1);
        }
        assert_null(many->peer);
        world_one_turn(w);
        assert_int_equal(received(all), 2 + (MANY + GO_MAX - 1) / GO_MAX);
        assert_false(world_due(w));
        world_free(w);
}

/* The end is the same as if they had gone at once: what waited for credit comes, in the order in which it was accepted. */
static void test_turn_flushes_in_order_when_many_interests_have_gone(void **state) {
        (void)state;
        struct world *w = world_new(1, NULL);
        struct fake *from = fake_join(w, WORLD_UID), *many = join_with_many(w);
        const char *const subjects[] = {"m.8999", "m.7", "m.7", "m.8999", "m.7", "m.8999"};
        for (unsigned i = 0; i < RML_COUNT(subjects); i++)
                fake_publish(from, subjects[i], (char[]){(char)('a' + i), 0});
        expect_deliver(many, 8999, 1, "a");
        expect_deliver(many, 7, 1, "b");
        fake_eof(many);
        world_one_turn(w);
        assert_null(fake_next(many));
        assert_non_null(many->peer);
        world_turn(w);
        expect_deliver(many, 7, 2, "c");
        expect_deliver(many, 8999, 2, "d");
        expect_deliver(many, 7, 3, "e");
        expect_deliver(many, 8999, 3, "f");
        expect_closed(many);
        world_free(w);
}

/* Its names and the calls that it serves are others' concern: they do not wait. */
static void test_turn_hands_names_on_at_once_whatever_else_its_owner_had(void **state) {
        (void)state;
        struct world *w = world_new(1, NULL);
        struct fake *heir = fake_join(w, WORLD_UID), *caller = fake_join(w, WORLD_UID), *many = join_with_many(w);
        expect_subscribed(many, SUBSCRIBE(many, .sid = MANY + 1, .pattern = "n", .name = true), OWNER, 0);
        expect_subscribed(heir, SUBSCRIBE(heir, .sid = 1, .pattern = "n", .name = true), QUEUED, 1);
        uint64_t first = fake_call(caller, "n", "to many", 0);
        expect_call(many, MANY + 1, "to many");
        fake_lost(many);
        uint64_t second = fake_call(caller, "n", "to its heir", 0);
        world_one_turn(w);
        assert_non_null(many->peer);
        expect_status(caller, first, RESPONDER_GONE);
        expect_notice(heir, 1, OWNER, 0, NONE);
        fake_reply(heir, expect_call(heir, 1, "to its heir"), "r");
        expect_reply(caller, second, 1, "r", false);
        world_free(w);
}

static void test_turn_answers_bye_when_many_interests_have_gone(void **state) {
        (void)state;
        struct world *w = world_new(1, NULL);
        struct fake *from = fake_join(w, WORLD_UID), *many = join_with_many(w);
        fake_publish(from, "m.3", "a");
        fake_publish(from, "m.3", "b");
        expect_deliver(many, 3, 1, "a");
        uint64_t bye = fake_bye(many, false, 0);
        world_one_turn(w);
        assert_null(fake_next(many));
        world_turn(w);
        expect_gap(many, 3, 2, 2, 1, ENDED);
        expect_status(many, bye, OK);
        expect_closed(many);
        world_free(w);
}

static void test_turn_drains_many_interests_that_take_nothing_new(void **state) {
        (void)state;
        struct world *w = world_new(1, NULL);
        struct fake *from = fake_join(w, WORLD_UID), *many = join_with_many(w), *lost = join_with_many(w);
        fake_publish(from, "m.3", "a");
        fake_publish(from, "m.3", "b");
        expect_deliver(many, 3, 1, "a");
        fake_bye(lost, true, 1000000);
        uint64_t bye = fake_bye(many, true, 1000000);
        assert_int_equal(heard_by(from, "m.3"), 0);
        world_one_turn(w);
        fake_lost(lost); /* in the midst of it */
        fake_confirm(many, 3, 1);
        expect_deliver(many, 3, 2, "b");
        fake_confirm(many, 3, 2);
        world_turn(w);
        expect_status(many, bye, OK);
        expect_closed(many);
        assert_null(lost->peer);
        world_free(w);
}

/* Others go as ever meanwhile, and it may be lost, or freed by its edge, before all is over. */
static void test_turn_may_lose_who_lets_many_interests_go(void **state) {
        (void)state;
        struct world *w = world_new(1, NULL);
        struct fake *from = fake_join(w, WORLD_UID), *few = fake_join(w, WORLD_UID);
        struct fake *many = join_with_many(w), *more = join_with_many(w);
        subscribed(few, .sid = 1, .pattern = "m.*");
        fake_publish(from, "m.1", "a");
        fake_eof(many);
        fake_eof(more);
        world_one_turn(w);
        fake_lost(many);
        world_one_turn(w);
        fake_lost(few);
        world_one_turn(w);
        assert_null(few->peer);
        assert_non_null(many->peer);
        more->peer = core_peer_free(more->peer);
        world_turn(w);
        assert_null(many->peer);
        assert_int_equal(interests(w), 0);
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_turn_takes_so_many_frames_and_leaves_the_rest_for_the_next),
                cmocka_unit_test(test_turn_keeps_the_order_of_what_comes_meanwhile),
                cmocka_unit_test(test_turn_serves_a_call_after_at_most_one_budget_of_every_other),
                cmocka_unit_test(test_turn_is_shorter_for_what_many_are_to_get),
                cmocka_unit_test(test_turn_goes_by_for_each_part_of_a_large_message_for_many),
                cmocka_unit_test(test_turn_is_shorter_for_who_asks_the_broker_for_much),
                cmocka_unit_test(test_turn_is_shorter_for_who_moves_what_is_queued),
                cmocka_unit_test(test_turn_is_as_long_for_each),
                cmocka_unit_test(test_turn_waits_for_answers_to_be_read),
                cmocka_unit_test(test_turn_ends_with_its_connection),
                cmocka_unit_test(test_turn_of_no_frames_is_one),
                cmocka_unit_test(test_turn_expires_a_bounded_number),
                cmocka_unit_test(test_turn_lets_a_bounded_number_of_interests_go),
                cmocka_unit_test(test_turn_flushes_in_order_when_many_interests_have_gone),
                cmocka_unit_test(test_turn_hands_names_on_at_once_whatever_else_its_owner_had),
                cmocka_unit_test(test_turn_answers_bye_when_many_interests_have_gone),
                cmocka_unit_test(test_turn_drains_many_interests_that_take_nothing_new),
                cmocka_unit_test(test_turn_may_lose_who_lets_many_interests_go),
                cmocka_unit_test(test_turn_that_catches_up_goes_on_and_expires_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
