/* SPDX-License-Identifier: MIT */
/* Rules 3 and 4: `block` holds publishers of its own uid back, loses nothing of theirs, and dead-locks nobody. */
#include "expect.h"

#include <stdio.h>
#include <string.h>

#include "api.pb-c.h"

#define BLOCK OVERFLOW_RULE(BLOCK)
#define DEMOTED_AFTER MS(5000)

static uint64_t held(const struct world *w) {
        struct core_charges charges;
        core_charges(w->core, &charges);
        return charges.publish_credit_bytes;
}

static struct world *world_with(uint64_t connection_bytes, uint64_t credit) {
        struct core_limits limits;
        core_limits_default(&limits);
        if (connection_bytes)
                limits.connection_bytes = connection_bytes;
        if (credit)
                limits.publish_credit_bytes = credit;
        return world_new(1, &limits);
}

/* Takes one message at a time, and has a window for two. */
static struct fake *blocking(struct world *w, uint32_t uid, const char *pattern) {
        struct fake *to = fake_join(w, uid);
        subscribed(to, .sid = 1, .pattern = pattern, .credit_messages = 1, .window_messages = 2, .overflow = BLOCK);
        return to;
}

static void publish(struct fake *from, const char *subject, unsigned first, unsigned last) {
        for (unsigned i = first; i <= last; i++) {
                char text[16];
                snprintf(text, sizeof(text), "%u", i);
                fake_publish(from, subject, text);
        }
}

/* It gets, one by one, the messages `first` to `last`, numbered alike. */
static void expect_all(struct fake *to, unsigned first, unsigned last) {
        for (unsigned i = first; i <= last; i++) {
                char text[16];
                snprintf(text, sizeof(text), "%u", i);
                expect_deliver(to, 1, i, text);
                fake_confirm(to, 1, i);
        }
}

/* CREDIT frames that came, and PONGs: bytes of the former. */
static uint64_t credits(struct fake *fake) {
        uint64_t bytes = 0;
        world_turn(fake->world);
        while (fake->cursor && fake->cursor->kind == RML_CREDIT)
                bytes += GOT(fake_next(fake), Credit)->publish_bytes;
        return bytes;
}

static void test_block_takes_what_credit_let_through_over_its_window(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = blocking(w, WORLD_UID, "a");
        publish(from, "a", 1, 500);
        expect_ledger(to, 1, .matched = 500, .queued = 499, .in_flight = 1);
        expect_all(to, 1, 500);
        expect_ledger(to, 1, .matched = 500, .confirmed = 500);
        expect_nothing(to);
        world_free(w);
}

static void test_block_refuses_whole_at_the_connections_bound(void **state) {
        (void)state;
        struct world *w = world_with(4096, 0);
        struct fake *from = fake_join(w, WORLD_UID), *to = blocking(w, WORLD_UID, "a");
        struct fake *other = fake_join(w, WORLD_UID);
        subscribed(other, .sid = 1, .pattern = ">");
        fake_publish_bytes(from, "a", 100);
        fake_publish_bytes(from, "a", 3500);
        expect_deliver(other, 1, 1, NULL);
        expect_deliver(other, 1, 2, NULL);
        char large[500] = {0};
        memset(large, 'x', sizeof(large) - 1);
        uint64_t id = fake_publish_receipt(from, "a", large);
        const Ramal__V1__Status *status = expect_status(from, id, WOULD_BLOCK);
        assert_int_equal(status->publish, 3);
        assert_string_equal(status->limit, "limits.connection_bytes");
        assert_int_equal(status->value, 4096);
        expect_nothing(other);
        expect_ledger(to, 1, .matched = 2, .queued = 1, .in_flight = 1);
        /* Its bytes came back at once. */
        fake_ping(from);
        expect(from, RML_CREDIT);
        expect(from, RML_PONG);
        fake_publish(from, "b", "");
        expect_deliver(other, 1, 3, "");
        world_free(w);
}

/* Two interests of one connection, room for one of them: neither gets it. */
static void test_block_counts_all_of_one_connection_together(void **state) {
        (void)state;
        struct world *w = world_with(3000, 0);
        struct fake *from = fake_join(w, WORLD_UID), *to = blocking(w, WORLD_UID, "a");
        subscribed(to, .sid = 2, .pattern = ">", .credit_messages = 1, .overflow = BLOCK);
        fake_publish(from, "a", "");
        expect_deliver(to, 1, 1, "");
        expect_deliver(to, 2, 1, "");
        fake_publish_bytes(from, "a", 1100);
        fake_publish_bytes(from, "a", 1100);
        expect_status(from, 0, WOULD_BLOCK);
        expect_ledger(to, 1, .matched = 2, .queued = 1, .in_flight = 1);
        expect_ledger(to, 2, .matched = 2, .queued = 1, .in_flight = 1);
        /* One interest alone has room. */
        fake_publish_bytes(from, "b", 10);
        expect_ledger(to, 2, .matched = 3, .queued = 2, .in_flight = 1);
        world_free(w);
}

/* What flows does not enter the queue: the bound of its connection is nothing to it. */
static void test_block_lets_through_what_needs_no_queue(void **state) {
        (void)state;
        struct world *w = world_with(4096, 0);
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a", .overflow = BLOCK);
        subscribed(to, .sid = 2, .pattern = "b", .credit_messages = 1);
        for (unsigned i = 0; i < 10; i++)
                fake_publish_bytes(from, "b", 1000);
        world_turn(w);
        fake_skip(to);
        for (uint64_t i = 1; i <= 20; i++) {
                fake_publish_bytes(from, "a", 1000);
                expect_deliver(to, 1, i, NULL);
        }
        expect_nothing(from);
        world_free(w);
}

static void test_block_is_drop_new_for_its_own_connection(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *self = blocking(w, WORLD_UID, "a");
        publish(self, "a", 1, 5);
        expect_deliver(self, 1, 1, "1");
        fake_confirm(self, 1, 1);
        expect_gap(self, 1, 4, 5, 2, WINDOW);
        expect_deliver(self, 1, 2, "2");
        fake_confirm(self, 1, 2);
        expect_deliver(self, 1, 3, "3");
        assert_int_equal(held(w), 0);
        world_free(w);
}

static void test_block_drops_strangers_among_themselves(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = blocking(w, WORLD_UID, "a");
        struct fake *stranger = fake_join(w, WORLD_ALLOWED_UID);
        publish(from, "a", 1, 2);
        publish(stranger, "a", 3, 4);      /* 3 makes room for 4 */
        publish(from, "a", 5, 6);
        publish(stranger, "a", 7, 7);      /* what is held fills the window: it goes itself */
        expect_ledger(to, 1, .matched = 7, .queued = 4, .in_flight = 1, .dropped = 2);
        expect_deliver(to, 1, 1, "1");
        fake_confirm(to, 1, 1);
        expect_gap(to, 1, 3, 7, 2, WINDOW);
        for (unsigned seq = 2; seq <= 6; seq++) {
                char text[2] = {(char)('0' + seq), 0};
                if (seq == 3)
                        continue;
                expect_deliver(to, 1, seq, text);
                fake_confirm(to, 1, seq);
        }
        expect_ledger(to, 1, .matched = 7, .confirmed = 5, .dropped = 2);
        world_free(w);
}

static void test_block_is_drop_old_for_the_brokers_own(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *to = blocking(w, WORLD_UID, "$SYS.peer.*");
        world_turn(w);
        fake_skip(to);
        for (unsigned i = 0; i < 6; i++)
                fake_lost(fake_join(w, WORLD_UID));
        struct core_ledger ledger;
        world_turn(w);
        assert_int_equal(core_interest_ledger(to->peer, 1, &ledger), 0);
        assert_int_equal(ledger.queued, 2);
        assert_int_equal(ledger.dropped, ledger.matched - 3);
        assert_true(ledger.dropped > 5);
        world_free(w);
}

static void test_block_is_drop_old_between_token_peers(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join_tcp(w), *to = fake_join_tcp(w);
        subscribed(to, .sid = 1, .pattern = "a", .credit_messages = 1, .window_messages = 2, .overflow = BLOCK);
        publish(from, "a", 1, 5);
        expect_deliver(to, 1, 1, "1");
        fake_confirm(to, 1, 1);
        expect_gap(to, 1, 2, 3, 2, WINDOW);
        expect_deliver(to, 1, 4, "4");
        world_free(w);
}

static void test_block_keeps_what_a_dead_publisher_sent(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = blocking(w, WORLD_UID, "a");
        struct fake *stranger = fake_join(w, WORLD_ALLOWED_UID);
        publish(from, "a", 1, 9);
        fake_lost(from);
        world_turn(w);
        publish(stranger, "a", 10, 12);
        expect_all(to, 1, 1);
        expect_gap(to, 1, 10, 12, 3, WINDOW);
        expect_all(to, 2, 9);
        world_free(w);
}

static void test_block_returns_credit_however_it_ends(void **state) {
        (void)state;
        enum { UNSUBSCRIBE, BYE, LOST, EOF_, WAYS };
        for (int way = 0; way < WAYS; way++) {
                struct world *w = world_start();
                struct fake *from = fake_join(w, WORLD_UID), *to = blocking(w, WORLD_UID, "a");
                publish(from, "a", 1, 10);
                assert_true(held(w) > 0);
                if (way == UNSUBSCRIBE)
                        fake_unsubscribe(to, 1);
                else if (way == BYE)
                        fake_bye(to, false, 0);
                else if (way == LOST)
                        fake_lost(to);
                else
                        fake_eof(to);
                assert_true(credits(from) > 0);
                assert_int_equal(held(w), 0);
                world_free(w);
        }
}

static void test_block_stalls_and_is_drop_old_until_it_subscribes_again(void **state) {
        (void)state;
        struct world *w = world_with(0, 1000);
        struct fake *watcher = fake_join(w, WORLD_UID), *from = fake_join(w, WORLD_UID);
        struct fake *to = blocking(w, WORLD_UID, "a");
        subscribed(watcher, .sid = 1, .pattern = "$SYS.stall.*");
        publish(from, "a", 1, 10);
        world_turn(w);
        uint64_t bytes = held(w);
        world_advance(w, DEMOTED_AFTER - 1);
        assert_int_equal(credits(from), 0);
        assert_int_equal(core_deadline(w->core), w->now + 1);
        world_advance(w, 1);
        world_turn(w);
        assert_true(credits(from) >= bytes);
        assert_int_equal(held(w), 0);
        assert_int_equal(w->events[CORE_EVENT_STALL], 1);
        assert_int_equal(core_deadline(w->core), CORE_NEVER);

        Ramal__Api__V1__StallEvent *event = (void *)protobuf_c_message_unpack(
                &ramal__api__v1__stall_event__descriptor, NULL, watcher->cursor->data.payload.len,
                watcher->cursor->data.payload.data);
        assert_non_null(event);
        assert_int_equal(event->peer->id, to->id);
        assert_int_equal(event->sid, 1);
        assert_string_equal(event->pattern, "a");
        assert_int_equal(event->queued_messages, 9);
        assert_int_equal(event->waited_us, 5000000);
        protobuf_c_message_free_unpacked(&event->base, NULL);

        /* Nothing is lost yet; the next one that does not fit the window drops the oldest. */
        expect_deliver(to, 1, 1, "1");
        expect_notice(to, 1, DEMOTED, 0, STALLED);
        publish(from, "a", 11, 12);
        fake_confirm(to, 1, 1);
        expect_gap(to, 1, 2, 10, 9, WINDOW);
        expect_deliver(to, 1, 11, "11");
        assert_int_equal(held(w), 0);

        subscribed(to, .sid = 2, .pattern = "b", .credit_messages = 1, .window_messages = 2, .overflow = BLOCK);
        publish(from, "b", 1, 5);
        assert_true(held(w) > 0);
        expect_ledger(to, 2, .matched = 5, .queued = 4, .in_flight = 1);
        world_free(w);
}

static void test_block_that_moves_does_not_stall(void **state) {
        (void)state;
        struct world *w = world_with(0, 0);
        struct fake *from = fake_join(w, WORLD_UID), *to = blocking(w, WORLD_UID, "a");
        publish(from, "a", 1, 1);
        for (unsigned i = 1; i < 20; i++) {
                publish(from, "a", i + 1, i + 1);
                expect_all(to, i, i);
                world_advance(w, DEMOTED_AFTER - MS(1));
                world_turn(w);
        }
        expect_all(to, 20, 20);
        expect_nothing(to);
        assert_int_equal(core_deadline(w->core), CORE_NEVER);
        world_free(w);
}

static void test_block_of_strangers_alone_does_not_stall(void **state) {
        (void)state;
        struct world *w = world_with(0, 0);
        struct fake *stranger = fake_join(w, WORLD_ALLOWED_UID), *to = blocking(w, WORLD_UID, "a");
        publish(stranger, "a", 1, 5);
        publish(to, "a", 6, 7);
        world_turn(w);
        assert_int_equal(core_deadline(w->core), CORE_NEVER);
        world_advance(w, 2 * DEMOTED_AFTER);
        expect_deliver(to, 1, 1, "1");
        expect_nothing(to);
        world_free(w);
}

/* ---- groups ---- */

static void join_group(struct fake *fake) {
        subscribed(fake, .sid = 1, .pattern = "a", .group = "g", .credit_messages = 1, .window_messages = 3,
                   .overflow = BLOCK, .policy = POLICY(ROUND_ROBIN));
}

static void test_block_in_a_group_moves_the_hold_with_the_message(void **state) {
        (void)state;
        struct world *w = world_with(0, 400);
        struct fake *from = fake_join(w, WORLD_UID), *one = fake_join(w, WORLD_UID), *two = fake_join(w, WORLD_UID);
        join_group(one);
        join_group(two);
        publish(from, "a", 1, 20); /* over both windows */
        world_turn(w);
        fake_skip(from);
        uint64_t bytes = held(w);
        expect_ledger(one, 1, .matched = 10, .queued = 9, .in_flight = 1);
        expect_ledger(two, 1, .matched = 10, .queued = 9, .in_flight = 1);
        fake_bye(one, false, 0);
        world_turn(w);
        assert_int_equal(held(w), bytes);
        expect_nothing(from);
        struct core_ledger ledger;
        core_interest_ledger(two->peer, 1, &ledger);
        assert_int_equal(ledger.dropped, 0);
        assert_int_equal(ledger.queued, 18);
        fake_lost(two);
        assert_true(credits(from) >= bytes);
        assert_int_equal(held(w), 0);
        world_free(w);
}

/* What is in flight has left the queue, though a group keeps it until it is confirmed. */
static void test_block_in_a_group_returns_credit_at_commit(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *one = fake_join(w, WORLD_UID);
        join_group(one);
        publish(from, "a", 1, 2);
        assert_true(held(w) > 0);
        expect_deliver(one, 1, 1, "1");
        fake_confirm(one, 1, 1);
        expect_deliver(one, 1, 2, "2");
        assert_int_equal(held(w), 0);
        assert_true(credits(from) > 0);
        expect_ledger(one, 1, .matched = 2, .in_flight = 1, .confirmed = 1);
        world_free(w);
}

static void test_block_redelivered_is_taken_over_the_window(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *one = fake_join(w, WORLD_UID), *two = fake_join(w, WORLD_UID);
        struct fake *stranger = fake_join(w, WORLD_ALLOWED_UID);
        join_group(one);
        join_group(two);
        publish(from, "a", 1, 20);
        world_turn(w);
        fake_lost(one);
        world_turn(w);
        publish(stranger, "a", 21, 25);
        /* 9 were queued at the dead one, 1 was in flight there. */
        expect_ledger(two, 1, .matched = 25, .queued = 19, .in_flight = 1, .dropped = 5);
        world_free(w);
}

static void test_block_moved_to_its_own_publisher_holds_nothing_back(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *one = fake_join(w, WORLD_UID);
        join_group(one);
        publish(from, "a", 1, 3);
        assert_true(held(w) > 0);
        join_group(from);
        fake_bye(one, false, 0);
        world_turn(w);
        assert_int_equal(held(w), 0);
        world_free(w);
}

static void test_block_moved_begins_to_wait_anew(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *one = fake_join(w, WORLD_UID), *two = fake_join(w, WORLD_UID);
        join_group(one);
        publish(from, "a", 1, 3);
        join_group(two);
        world_turn(w);
        fake_skip(from);
        world_advance(w, DEMOTED_AFTER - 1);
        fake_bye(one, false, 0);
        world_advance(w, 1);
        expect_deliver(two, 1, 2, "2"); /* numbered as it came: the newest first */
        expect_nothing(two);
        world_advance(w, DEMOTED_AFTER - 2);
        expect_nothing(two);
        world_advance(w, 1);
        expect_notice(two, 1, DEMOTED, 0, STALLED);
        world_free(w);
}

/* ---- nobody waits for ever ---- */

/* A client that keeps its credit: says all it has as long as it may, and asks by PING when it may not. */
struct actor {
        struct fake *fake;
        const char *to;
        unsigned said, heard;
        uint64_t used, last;
        bool asked;
};

#define ACT_CREDIT 500u
#define ACT_COUNT 300u

static void actor_hear(struct actor *actor) {
        const struct got *got;
        while ((got = fake_next(actor->fake))) {
                if (got->kind == RML_CREDIT) {
                        uint64_t bytes = GOT(got, Credit)->publish_bytes;
                        assert_true(bytes <= actor->used);
                        actor->used -= bytes;
                } else if (got->kind == RML_PONG) {
                        actor->asked = false;
                } else {
                        assert_int_equal(got->kind, RML_DELIVER);
                        actor->heard++;
                        fake_confirm(actor->fake, 1, got->data.seq);
                }
        }
}

static bool actor_say(struct actor *actor) {
        char text[16];
        bool moved = false;
        while (actor->said < ACT_COUNT && (!actor->used || actor->used + 30 <= ACT_CREDIT)) {
                snprintf(text, sizeof(text), "%u", actor->said++);
                fake_publish(actor->fake, actor->to, text);
                actor->used += actor->fake->last_len;
                moved = true;
        }
        if (actor->said < ACT_COUNT && !actor->asked)
                fake_ping(actor->fake);
        actor->asked = true;
        return moved;
}

/* Each publishes to the next one, through `block`: all of it arrives. */
static void ring_of(size_t n) {
        static const char *const subjects[] = {"r.0", "r.1", "r.2"};
        struct world *w = world_with(0, ACT_CREDIT);
        struct actor actors[3] = {0};
        for (size_t i = 0; i < n; i++) {
                actors[i].fake = fake_join(w, WORLD_UID);
                actors[i].to = subjects[(i + 1) % n];
                subscribed(actors[i].fake, .sid = 1, .pattern = subjects[i], .credit_messages = 2, .overflow = BLOCK);
        }
        for (unsigned turn = 0; turn < 2000; turn++) {
                for (size_t i = 0; i < n; i++)
                        actor_say(&actors[i]);
                world_turn(w);
                for (size_t i = 0; i < n; i++)
                        actor_hear(&actors[i]);
        }
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(actors[i].said, ACT_COUNT);
                assert_int_equal(actors[i].heard, ACT_COUNT);
        }
        world_turn(w);
        assert_int_equal(held(w), 0);
        world_free(w);
}

static void test_block_between_two_that_publish_to_each_other_flows(void **state) {
        (void)state;
        ring_of(2);
}

static void test_block_in_a_cycle_of_three_flows(void **state) {
        (void)state;
        ring_of(3);
}

/* All wait for their credit and hear nothing meanwhile: the stall ends it, and all that was not dropped is told. */
static void test_block_among_those_that_only_wait_ends_by_the_stall(void **state) {
        (void)state;
        struct world *w = world_with(0, ACT_CREDIT);
        struct fake *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "a", .credit_messages = 1, .overflow = BLOCK);
        subscribed(b, .sid = 1, .pattern = "b", .credit_messages = 1, .overflow = BLOCK);
        publish(a, "b", 1, 100);
        publish(b, "a", 1, 100);
        world_turn(w);
        assert_true(held(w) > 900);
        world_advance(w, DEMOTED_AFTER);
        world_turn(w);
        assert_int_equal(held(w), 0);
        assert_int_equal(w->events[CORE_EVENT_STALL], 2);
        world_free(w);
}

static void test_block_tap_sees_what_was_published_not_what_was_refused(void **state) {
        (void)state;
        struct world *w = world_with(4096, 0);
        struct fake *tap = fake_join(w, WORLD_UID), *from = fake_join(w, WORLD_UID), *to = blocking(w, WORLD_UID, "a");
        subscribed(tap, .sid = 9, .pattern = "a", .tap = true);
        fake_publish(from, "a", "1");
        fake_publish_bytes(from, "a", 3500);
        fake_publish_bytes(from, "a", 3000);
        fake_publish(from, "a", "4");
        expect_status(from, 0, WOULD_BLOCK);
        expect_deliver(tap, 9, 1, "1");
        expect_deliver(tap, 9, 2, NULL);
        expect_deliver(tap, 9, 3, "4");
        expect_nothing(tap);
        expect_ledger(to, 1, .matched = 3, .queued = 2, .in_flight = 1);
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_block_takes_what_credit_let_through_over_its_window),
                cmocka_unit_test(test_block_refuses_whole_at_the_connections_bound),
                cmocka_unit_test(test_block_counts_all_of_one_connection_together),
                cmocka_unit_test(test_block_lets_through_what_needs_no_queue),
                cmocka_unit_test(test_block_is_drop_new_for_its_own_connection),
                cmocka_unit_test(test_block_drops_strangers_among_themselves),
                cmocka_unit_test(test_block_is_drop_old_for_the_brokers_own),
                cmocka_unit_test(test_block_is_drop_old_between_token_peers),
                cmocka_unit_test(test_block_keeps_what_a_dead_publisher_sent),
                cmocka_unit_test(test_block_returns_credit_however_it_ends),
                cmocka_unit_test(test_block_stalls_and_is_drop_old_until_it_subscribes_again),
                cmocka_unit_test(test_block_that_moves_does_not_stall),
                cmocka_unit_test(test_block_of_strangers_alone_does_not_stall),
                cmocka_unit_test(test_block_in_a_group_moves_the_hold_with_the_message),
                cmocka_unit_test(test_block_in_a_group_returns_credit_at_commit),
                cmocka_unit_test(test_block_redelivered_is_taken_over_the_window),
                cmocka_unit_test(test_block_moved_to_its_own_publisher_holds_nothing_back),
                cmocka_unit_test(test_block_moved_begins_to_wait_anew),
                cmocka_unit_test(test_block_between_two_that_publish_to_each_other_flows),
                cmocka_unit_test(test_block_in_a_cycle_of_three_flows),
                cmocka_unit_test(test_block_among_those_that_only_wait_ends_by_the_stall),
                cmocka_unit_test(test_block_tap_sees_what_was_published_not_what_was_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
