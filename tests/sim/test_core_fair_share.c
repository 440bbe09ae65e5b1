/* SPDX-License-Identifier: MIT */
/* What other uids may use of a receiver: a fair share, and over it they lose what is theirs, never what is others'. */
#include "expect.h"

#include <string.h>

#define COST(len) ((len) + 144u + 16u) /* what a message of that payload costs in a queue, at most */

/* Many come at once here. */
static struct core_limits defaults(void) {
        struct core_limits limits = world_defaults();

        limits.uid_connect_rate = 1000000;
        return limits;
}

static struct core_ledger ledger(const struct fake *fake, uint64_t sid) {
        struct core_ledger ret;

        assert_int_equal(core_interest_ledger(fake->peer, sid, &ret), 0);
        return ret;
}

/* One of a group that may connect: as many uids as a test needs. */
static struct fake *stranger(struct world *w, uint32_t uid) {
        struct core_origin origin = {.local = true, .uid = uid, .gid = WORLD_ALLOWED_GID, .pid = 1, .address = "x"};
        struct fake *fake = fake_connect(w, &origin, NULL);

        assert_non_null(fake);
        fake_hello(fake, "stranger");
        expect(fake, RML_WELCOME);
        return fake;
}

static struct fake *reader(struct world *w, Ramal__V1__Overflow overflow) {
        struct fake *fake = fake_join(w, WORLD_UID);

        subscribed(fake, .sid = 1, .pattern = "t", .overflow = overflow, .credit_messages = 1);
        return fake;
}

static void flood(struct fake *from, const char *subject, unsigned count, size_t len) {
        for (unsigned i = 0; i < count; i++)
                fake_publish_bytes(from, subject, len);
}

/* Takes all that comes to sid 1, confirming each. Returns how many deliveries began with that letter. */
static unsigned take_all(struct fake *fake, char letter, uint64_t *missing) {
        unsigned count = 0;

        for (world_turn(fake->world); fake->cursor; world_turn(fake->world)) {
                const struct got *got = fake_next(fake);

                if (got->kind == RML_GAP)
                        *missing += GOT(got, Gap)->count;
                if (got->kind != RML_DELIVER)
                        continue;
                count += got->data.payload.len && got->data.payload.data[0] == (uint8_t)letter;
                fake_confirm(fake, 1, got->data.seq);
        }
        return count;
}

/* ---- deliveries ---- */

static void test_fair_share_of_one_stranger_is_half(void **state) {
        (void)state;
        struct core_limits limits = defaults();
        limits.connection_bytes = 1000000;
        struct world *w = world_new(1, &limits);
        struct fake *to = reader(w, OVERFLOW_RULE(DROP_OLD)), *from = stranger(w, 5001), *own = fake_join(w, WORLD_UID);
        flood(from, "t", 2000, 1000);
        assert_in_range(world_charges(w).queued_bytes, 500000 - COST(1000), 500000);
        /* The own uid may use all that remains, and loses nothing. */
        uint64_t before = world_charges(w).queued_messages;
        uint64_t mine = (1000000 - world_charges(w).queued_bytes) / COST(1000);
        flood(own, "t", (unsigned)mine, 1000);
        assert_int_equal(world_charges(w).queued_messages, before + mine);
        /* Now nothing remains: the stranger's next ones cost it its own, one for one. */
        flood(from, "t", 10, 1000);
        assert_int_equal(ledger(to, 1).queued, before + mine);
        world_free(w);
}

/* n strangers get between 1/n and 1/n² each. */
static void test_fair_share_of_many_strangers_leaves_room_for_each(void **state) {
        (void)state;
        struct core_limits limits = defaults();
        limits.connection_bytes = 1000000;
        struct world *w = world_new(1, &limits);
        struct fake *to = reader(w, OVERFLOW_RULE(DROP_NEW)), *from[4];
        uint64_t before = 0, got[4];
        for (unsigned i = 0; i < 4; i++)
                from[i] = stranger(w, 5001 + i);
        for (unsigned i = 0; i < 4; i++) {
                flood(from[i], "t", 2000, 100);
                got[i] = world_charges(w).queued_bytes - before;
                before = world_charges(w).queued_bytes;
                assert_in_range(got[i], 1000000 / ((i + 1) * (i + 1)) / 8, 1000000 / (i + 1));
                assert_true(i == 0 || got[i] < got[i - 1]);
        }
        assert_true(before < 1000000);
        /* Who floods before others does not keep them out, and more does not give it more. */
        flood(from[0], "t", 2000, 100);
        assert_int_equal(world_charges(w).queued_bytes, before);
        assert_int_equal(ledger(to, 1).matched, 4 * 2000 + 2000);
        world_free(w);
}

static void test_fair_share_drops_only_what_is_the_strangers(void **state) {
        (void)state;
        struct core_limits limits = defaults();
        limits.connection_bytes = 100000;
        struct world *w = world_new(1, &limits);
        struct fake *to = reader(w, OVERFLOW_RULE(DROP_OLD)), *from = stranger(w, 5001), *own = fake_join(w, WORLD_UID);
        static char text[1000];
        memset(text, 'o', sizeof(text) - 1);
        for (unsigned i = 0; i < 30; i++)
                fake_publish(own, "t", text);
        memset(text, 's', sizeof(text) - 1);
        for (unsigned i = 0; i < 500; i++) {
                text[1] = (char)('0' + i % 10);
                fake_publish(from, "t", text);
        }
        /* The newest of its own stay. */
        struct core_ledger now = ledger(to, 1);
        assert_int_equal(now.matched, 530);
        assert_in_range(now.queued, 40, 80);
        world_turn(w);
        const struct got *last = NULL;
        uint64_t missing = 0, mine = 0, theirs = 0;
        for (; to->cursor; world_turn(w)) {
                const struct got *got = fake_next(to);
                if (got->kind == RML_GAP) {
                        assert_int_equal(GOT(got, Gap)->why, WHY(CONNECTION));
                        missing += GOT(got, Gap)->count;
                        continue;
                }
                mine += got->data.payload.data[0] == 'o';
                theirs += got->data.payload.data[0] == 's';
                last = got;
                fake_confirm(to, 1, got->data.seq);
        }
        assert_int_equal(mine, 30);
        assert_int_equal(last->data.payload.data[1], '9');
        assert_int_equal(mine + theirs + missing, 530);
        assert_int_equal(world_charges(w).shares, 0);
        world_free(w);
}

static void test_fair_share_is_over_all_connections_of_the_receiver(void **state) {
        (void)state;
        struct core_limits limits = defaults();
        limits.uid_bytes = 100000;
        struct world *w = world_new(1, &limits);
        struct fake *from = fake_join(w, WORLD_UID), *to[4];
        for (unsigned i = 0; i < 4; i++) {
                to[i] = fake_join(w, WORLD_ALLOWED_UID);
                subscribed(to[i], .sid = 1, .pattern = "t", .credit_messages = 1, .overflow = OVERFLOW_RULE(DROP_NEW));
        }
        flood(from, "t", 100, 1000);
        assert_in_range(world_charges(w).queued_bytes, 50000 - COST(1000), 50000);
        flood(to[0], "t", 100, 1000); /* the own uid has the rest */
        assert_in_range(world_charges(w).queued_bytes, 100000 - COST(1000), 100000);
        world_free(w);
}

static void test_fair_share_under_the_other_rules(void **state) {
        (void)state;
        static const Ramal__V1__Overflow rules[] = {OVERFLOW_RULE(DROP_NEW), OVERFLOW_RULE(LATEST), OVERFLOW_RULE(EVICT),
                                                    OVERFLOW_RULE(BLOCK)};
        for (size_t i = 0; i < RML_COUNT(rules); i++) {
                struct core_limits limits = defaults();
                limits.connection_bytes = 20000;
                struct world *w = world_new(1, &limits);
                struct fake *to = fake_join(w, WORLD_UID), *from = stranger(w, 5001), *own = fake_join(w, WORLD_UID);
                uint64_t missing = 0;
                subscribed(to, .sid = 1, .pattern = "*", .overflow = rules[i], .credit_messages = 1);
                fake_publish(own, "a", "o");
                fake_publish(own, "a", "o");
                flood(from, "b", 50, 1000);
                flood(from, "c", 50, 1000);
                fake_publish(own, "d", "o"); /* never hurt by it */
                struct core_ledger now = ledger(to, 1);
                assert_true(now.queued <= 12);
                assert_int_equal(now.matched, 103);
                if (rules[i] == OVERFLOW_RULE(LATEST))
                        assert_true(now.replaced > 0);
                assert_int_equal(take_all(to, 'o', &missing), 3);
                now = ledger(to, 1);
                assert_int_equal(now.confirmed + now.dropped + now.replaced, 103);
                assert_int_equal(missing, now.dropped);
                world_free(w);
        }
}

/* The room that all its own would make is not enough: they stay, the new one goes. */
static void test_fair_share_does_not_empty_a_queue_for_nothing(void **state) {
        (void)state;
        struct core_limits limits = defaults();
        limits.connection_bytes = 100000;
        struct world *w = world_new(1, &limits);
        struct fake *to = reader(w, OVERFLOW_RULE(DROP_OLD)), *from = stranger(w, 5001), *own = fake_join(w, WORLD_UID);
        flood(own, "t", 20, 1000);
        flood(from, "t", 10, 1000);
        struct core_ledger before = ledger(to, 1);
        fake_publish_bytes(from, "t", 60000);
        struct core_ledger now = ledger(to, 1);
        assert_int_equal(now.queued, before.queued);
        assert_int_equal(now.dropped, before.dropped + 1);
        world_free(w);
}

static void test_fair_share_admits_a_large_one_to_an_empty_queue(void **state) {
        (void)state;
        struct core_limits limits = defaults();
        limits.connection_bytes = 1000;
        limits.uid_bytes = 1000;
        struct world *w = world_new(1, &limits);
        struct fake *to = reader(w, OVERFLOW_RULE(DROP_OLD)), *from = stranger(w, 5001);
        fake_publish(from, "t", "1");
        fake_publish_bytes(from, "t", 50000);
        expect_ledger(to, 1, .matched = 2, .queued = 1, .in_flight = 1);
        fake_publish_bytes(from, "t", 50000); /* instead of the first */
        expect_ledger(to, 1, .matched = 3, .queued = 1, .in_flight = 1, .dropped = 1);
        world_free(w);
}

/* Numbers near the end of what 64 bits hold. */
static void test_fair_share_of_endless_limits(void **state) {
        (void)state;
        struct core_limits limits = defaults();
        limits.connection_bytes = limits.uid_bytes = limits.broker_bytes = limits.interest_bytes = UINT64_MAX;
        limits.interest_messages = UINT64_MAX;
        struct world *w = world_new(1, &limits);
        struct fake *to = reader(w, OVERFLOW_RULE(DROP_OLD)), *from = stranger(w, 5001);
        subscribed(to, .sid = 2, .pattern = "s", .serve = true, .credit_messages = 1);
        flood(from, "t", 500, 1000);
        for (unsigned i = 0; i < 20; i++)
                fake_call(from, "s", "q", 0);
        expect_ledger(to, 1, .matched = 500, .queued = 499, .in_flight = 1);
        assert_int_equal(ledger(to, 2).queued, 19);
        world_free(w);
}

/* What a group's member has in flight is charged to it, and to its sender's share. */
static void test_fair_share_counts_what_a_group_keeps(void **state) {
        (void)state;
        struct core_limits limits = defaults();
        limits.connection_bytes = 100000;
        struct world *w = world_new(1, &limits);
        struct fake *to = fake_join(w, WORLD_UID), *from = stranger(w, 5001), *own = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "t", .group = "g", .credit_messages = 1000);
        flood(from, "t", 200, 1000);
        assert_in_range(world_charges(w).queued_bytes, 50000 - COST(1000), 50000);
        struct core_ledger before = ledger(to, 1);
        flood(own, "t", 30, 1000);
        assert_int_equal(ledger(to, 1).in_flight + ledger(to, 1).queued, before.in_flight + before.queued + 30);
        assert_int_equal(ledger(to, 1).dropped, before.dropped);
        fake_lost(to);
        world_turn(w);
        assert_int_equal(world_charges(w).shares, 0);
        world_free(w);
}

/* Its flood shows in the log, with its name on it. */
static void test_fair_share_tells_who_was_over_it(void **state) {
        (void)state;
        struct core_limits limits = defaults();
        limits.connection_bytes = 10000;
        struct world *w = world_new(1, &limits);
        struct fake *to = reader(w, OVERFLOW_RULE(DROP_OLD)), *from = stranger(w, 5001);
        struct core_event event = {0};
        uint64_t lost;
        flood(from, "t", 100, 1000);
        unsigned of_sender = 0, of_receiver = 0;
        while (core_next_event(w->core, &event, &lost)) {
                if (event.kind != CORE_EVENT_LIMIT)
                        continue;
                of_sender += event.uid == 5001;
                of_receiver += event.uid == WORLD_UID; /* that it does not keep up is told as well */
                assert_string_equal(event.limit, "limits.connection_bytes");
                assert_int_equal(event.value, 10000);
        }
        assert_int_equal(of_sender, 1);
        assert_int_equal(of_receiver, 1);
        assert_non_null(to->peer);
        world_free(w);
}

/* ---- calls ---- */

static void test_fair_share_of_a_window_leaves_room_for_other_callers(void **state) {
        (void)state;
        struct core_limits limits = defaults();
        struct world *w = world_new(1, &limits);
        struct fake *server = fake_join(w, WORLD_UID), *from = stranger(w, 5001), *other = stranger(w, 5002),
                    *own = fake_join(w, WORLD_UID);
        subscribed(server, .sid = 1, .pattern = "s", .serve = true, .window_messages = 100, .credit_messages = 1);
        unsigned taken = 0;
        for (unsigned i = 0; i < 200; i++)
                fake_call(from, "s", "q", 0);
        taken = 200;
        world_turn(w);
        for (const struct got *got; (got = fake_next(from)); taken--)
                assert_int_equal(GOT(got, Status)->code, CODE(OVER_LIMIT));
        assert_in_range(taken, 49, 51);
        fake_call(other, "s", "q", 0); /* there is room for the next user */
        expect_nothing(other);
        for (unsigned i = 0; i < 20; i++)
                fake_call(own, "s", "q", 0);
        expect_nothing(own);
        const Ramal__V1__Status *status = expect_status(from, fake_call(from, "s", "q", 0), OVER_LIMIT);
        assert_true(strlen(status->limit) > 0);
        world_free(w);
}

/* However large: into an empty window goes one. */
static void test_fair_share_admits_one_call_to_an_empty_window(void **state) {
        (void)state;
        struct core_limits limits = defaults();
        struct world *w = world_new(1, &limits);
        struct fake *server = fake_join(w, WORLD_UID), *from = stranger(w, 5001);
        subscribed(server, .sid = 1, .pattern = "s", .serve = true, .window_messages = 1, .window_bytes = 1);
        uint64_t id = fake_call(from, "s", "first", 0);
        fake_reply(server, expect_call(server, 1, "first"), "r");
        expect_reply(from, id, 1, "r", false);
        assert_int_equal(world_charges(w).shares, 0);
        world_free(w);
}

/* Its share is its calls that wait, and those that it has open there. */
static void test_fair_share_of_calls_ends_with_them(void **state) {
        (void)state;
        struct core_limits limits = defaults();
        struct world *w = world_new(1, &limits);
        struct fake *server = fake_join(w, WORLD_UID), *heir = fake_join(w, WORLD_UID), *from = stranger(w, 5001);
        subscribed(server, .sid = 1, .pattern = "s", .serve = true, .group = "g", .credit_messages = 2);
        uint64_t first = fake_call(from, "s", "1", 0), second = fake_call(from, "s", "2", 0), third = fake_call(from, "s", "3", 0);
        assert_int_equal(world_charges(w).shares, 1);
        fake_reply(server, expect_call(server, 1, "1"), "r");
        expect_reply(from, first, 1, "r", false);
        assert_int_equal(world_charges(w).shares, 1);
        subscribed(heir, .sid = 1, .pattern = "s", .serve = true, .group = "g");
        fake_lost(server);
        expect_status(from, second, RESPONDER_GONE);
        uint64_t token = expect_call(heir, 1, "3"); /* it took its share along */
        assert_int_equal(world_charges(w).shares, 1);
        expect_status(heir, fake_unsubscribe(heir, 1), OK); /* it may still be answered */
        assert_int_equal(world_charges(w).shares, 0);
        fake_reply(heir, token, "r");
        expect_reply(from, third, 1, "r", false);
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_fair_share_of_one_stranger_is_half),
                cmocka_unit_test(test_fair_share_of_many_strangers_leaves_room_for_each),
                cmocka_unit_test(test_fair_share_drops_only_what_is_the_strangers),
                cmocka_unit_test(test_fair_share_is_over_all_connections_of_the_receiver),
                cmocka_unit_test(test_fair_share_under_the_other_rules),
                cmocka_unit_test(test_fair_share_does_not_empty_a_queue_for_nothing),
                cmocka_unit_test(test_fair_share_admits_a_large_one_to_an_empty_queue),
                cmocka_unit_test(test_fair_share_of_endless_limits),
                cmocka_unit_test(test_fair_share_counts_what_a_group_keeps),
                cmocka_unit_test(test_fair_share_tells_who_was_over_it),
                cmocka_unit_test(test_fair_share_of_a_window_leaves_room_for_other_callers),
                cmocka_unit_test(test_fair_share_admits_one_call_to_an_empty_window),
                cmocka_unit_test(test_fair_share_of_calls_ends_with_them),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
