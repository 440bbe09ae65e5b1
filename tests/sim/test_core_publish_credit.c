/* SPDX-License-Identifier: MIT */
/* Rule 4: publish credit. Its bytes are taken while a publish waits in a `block` queue, and told when they are back. */
#include "expect.h"

#include <string.h>

#define CREDIT 1000u

static struct world *world_with_credit(uint64_t bytes) {
        struct core_limits limits;
        core_limits_default(&limits);
        limits.publish_credit_bytes = bytes;
        struct world *w = world_new(1, &limits);
        w->split = true;
        return w;
}

/* Takes one message at a time, and holds back whoever publishes to `pattern`. */
static struct fake *blocking(struct world *w, const char *pattern) {
        struct fake *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = pattern, .credit_messages = 1, .overflow = OVERFLOW_RULE(BLOCK));
        return to;
}

static uint64_t held(const struct world *w) {
        struct core_charges charges;
        core_charges(w->core, &charges);
        return charges.publish_credit_bytes;
}

/* The next frame is CREDIT, of so many bytes. */
#define expect_credit(fake, bytes) assert_int_equal(GOT(expect((fake), RML_CREDIT), Credit)->publish_bytes, (bytes))

static size_t publish(struct fake *from, size_t len) {
        fake_publish_bytes(from, "a", len);
        return from->last_len;
}

static void test_publish_credit_comes_back_at_once_where_nobody_blocks(void **state) {
        (void)state;
        struct world *w = world_with_credit(CREDIT);
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        uint64_t sent = 0, told = 0;
        subscribed(to, .sid = 1, .pattern = "a", .credit_messages = 1);
        for (unsigned i = 0; i < 100; i++) {
                sent += publish(from, i);
                world_turn(w);
        }
        fake_ping(from);
        for (world_turn(w); from->cursor && from->cursor->kind == RML_CREDIT;) {
                uint64_t bytes = GOT(fake_next(from), Credit)->publish_bytes;
                assert_true(bytes >= CREDIT / 2 || from->cursor->kind == RML_PONG);
                told += bytes;
        }
        expect(from, RML_PONG);
        assert_int_equal(told, sent);
        assert_int_equal(held(w), 0);
        world_free(w);
}

static void test_publish_credit_is_taken_while_a_block_queue_has_it(void **state) {
        (void)state;
        struct world *w = world_with_credit(CREDIT);
        struct fake *from = fake_join(w, WORLD_UID), *to = blocking(w, "a");
        size_t first = publish(from, 0); /* written at once: never in the queue */
        assert_int_equal(held(w), 0);
        size_t n = publish(from, 390);
        publish(from, 390);
        assert_int_equal(held(w), 2 * n);
        publish(from, 390);
        const Ramal__V1__Status *status = expect_status(from, 0, WOULD_BLOCK);
        assert_int_equal(status->publish, 4);
        assert_string_equal(status->limit, "limits.publish_credit_bytes");
        assert_int_equal(status->value, CREDIT);
        expect_ledger(to, 1, .matched = 3, .queued = 2, .in_flight = 1);
        expect_deliver(to, 1, 1, NULL);
        fake_confirm(to, 1, 1);
        expect_deliver(to, 1, 2, NULL);
        expect_credit(from, first + n); /* told with it: what came back before */
        publish(from, 390);
        assert_int_equal(held(w), 2 * n);
        expect_nothing(from);
        world_free(w);
}

static void test_publish_credit_admits_one_larger_than_all_of_it(void **state) {
        (void)state;
        struct world *w = world_with_credit(CREDIT);
        struct fake *from = fake_join(w, WORLD_UID), *to = blocking(w, "a");
        publish(from, 0);
        size_t large = publish(from, 5 * CREDIT);
        assert_int_equal(held(w), large);
        publish(from, 0);
        expect_status(from, 0, WOULD_BLOCK);
        expect_deliver(to, 1, 1, NULL);
        fake_confirm(to, 1, 1);
        expect_deliver(to, 1, 2, NULL);
        expect(from, RML_CREDIT);
        assert_int_equal(held(w), 0);
        world_free(w);
}

static void test_publish_credit_refusals_are_merged_and_take_nothing(void **state) {
        (void)state;
        struct world *w = world_with_credit(CREDIT);
        struct fake *from = fake_join(w, WORLD_UID), *to = blocking(w, "a");
        size_t first = publish(from, 0), n = publish(from, 900);
        for (unsigned i = 0; i < 50; i++)
                publish(from, 100);
        const Ramal__V1__Status *status = expect_status(from, 0, WOULD_BLOCK);
        assert_int_equal(status->publish, 3);
        assert_int_equal(status->count, 50);
        assert_int_equal(held(w), n);
        expect_ledger(to, 1, .matched = 2, .queued = 1, .in_flight = 1);
        fake_lost(to);
        expect_credit(from, first + n);
        expect_nothing(from);
        world_free(w);
}

static void test_publish_credit_refusal_of_a_receipt_bears_its_id(void **state) {
        (void)state;
        struct world *w = world_with_credit(CREDIT);
        struct fake *from = fake_join(w, WORLD_UID);
        blocking(w, "a");
        publish(from, 0);
        publish(from, 900);
        uint64_t id = fake_publish_receipt(from, "a",
                "a receipt is for a publish like any other, and is refused like any other: 100 bytes and more of it");
        assert_int_equal(expect_status(from, id, WOULD_BLOCK)->publish, 3);
        world_free(w);
}

static void test_publish_credit_of_two_queues_comes_back_with_the_last(void **state) {
        (void)state;
        struct world *w = world_with_credit(CREDIT);
        struct fake *from = fake_join(w, WORLD_UID), *one = blocking(w, "a"), *two = blocking(w, ">");
        size_t first = publish(from, 0), n = publish(from, 100);
        assert_int_equal(held(w), n);
        expect_deliver(one, 1, 1, NULL);
        fake_confirm(one, 1, 1);
        expect_deliver(one, 1, 2, NULL);
        assert_int_equal(held(w), n);
        expect_nothing(from);
        expect_deliver(two, 1, 1, NULL);
        fake_confirm(two, 1, 1);
        expect_deliver(two, 1, 2, NULL);
        assert_int_equal(held(w), 0);
        expect_credit(from, first + n);
        world_free(w);
}

static void test_publish_credit_of_a_refused_publish_comes_back(void **state) {
        (void)state;
        struct world *w = world_with_credit(1 << 20);
        struct fake *from = fake_join(w, WORLD_UID);
        uint64_t sent = 0;
        fake_publish(from, "a.*", "");
        sent += from->last_len;
        fake_publish(from, "$SYS.no", "");
        sent += from->last_len;
        struct say later = {.subject = "a", .flags = FLAG(RETAIN)};
        fake_data(from, RML_PUBLISH, false, &later);
        sent += from->last_len;
        expect_status(from, 0, BAD_SUBJECT);
        expect_status(from, 0, DENIED);
        expect_status(from, 0, UNSUPPORTED);
        expect_nothing(from); /* not worth a frame of its own */
        fake_ping(from);
        expect_credit(from, sent);
        expect(from, RML_PONG);
        fake_ping(from);
        expect(from, RML_PONG);
        world_free(w);
}

static void test_publish_credit_of_a_dead_publisher_is_nobodys(void **state) {
        (void)state;
        struct world *w = world_with_credit(CREDIT);
        struct fake *from = fake_join(w, WORLD_UID), *to = blocking(w, "a");
        publish(from, 0);
        publish(from, 100);
        publish(from, 200);
        fake_bye(from, false, 0);
        expect_status(from, 2, OK);
        expect_closed(from);
        assert_int_equal(held(w), 0);
        expect_ledger(to, 1, .matched = 3, .queued = 2, .in_flight = 1);
        for (uint64_t seq = 1; seq <= 3; seq++) {
                expect_deliver(to, 1, seq, NULL);
                fake_confirm(to, 1, seq);
        }
        expect_ledger(to, 1, .matched = 3, .confirmed = 3);
        world_free(w);
}

static void test_publish_credit_waits_for_room_in_the_output(void **state) {
        (void)state;
        struct world *w = world_with_credit(1 << 20);
        struct fake *from = fake_join(w, WORLD_UID), *to = blocking(w, "a");
        subscribed(from, .sid = 7, .pattern = "fill");
        from->stuck = true;
        fake_publish_bytes(to, "fill", 300 << 10);
        size_t first = publish(from, 0), n = publish(from, 100);
        publish(from, 100);
        for (uint64_t seq = 1; seq <= 3; seq++) {
                expect_deliver(to, 1, seq, NULL);
                fake_confirm(to, 1, seq);
        }
        from->stuck = false;
        expect_deliver(from, 7, 1, NULL);
        expect_credit(from, first + 2 * n);
        expect_nothing(from);
        world_free(w);
}

static void test_publish_credit_of_others_is_not_touched(void **state) {
        (void)state;
        struct world *w = world_with_credit(CREDIT);
        struct fake *to = blocking(w, "a"), *stranger = fake_join(w, WORLD_ALLOWED_UID), *token = fake_join_tcp(w);
        subscribed(token, .sid = 1, .pattern = "t", .credit_messages = 1, .overflow = OVERFLOW_RULE(BLOCK));
        struct fake *other = fake_join_tcp(w);
        for (unsigned i = 0; i < 30; i++) {
                publish(stranger, 100);
                publish(to, 100); /* itself */
                fake_publish_bytes(other, "t", 100);
        }
        assert_int_equal(held(w), 0);
        expect_ledger(to, 1, .matched = 60, .queued = 59, .in_flight = 1);
        expect_ledger(token, 1, .matched = 30, .queued = 29, .in_flight = 1);
        world_free(w);
}

static void test_publish_credit_of_a_uid_has_its_own_name(void **state) {
        (void)state;
        struct core_uid_limits own = {
                .uid = WORLD_UID,
                .overridden = UINT64_C(1) << (offsetof(struct core_limits, publish_credit_bytes) / sizeof(uint64_t)),
        };
        core_limits_default(&own.limits);
        own.limits.publish_credit_bytes = CREDIT;
        struct world *w = world_alone(1, NULL);
        w->uid_limits = &own;
        w->uid_limit_count = 1;
        world_begin(w);
        struct fake *from = fake_join(w, WORLD_UID);
        blocking(w, "a");
        publish(from, 0);
        publish(from, 900);
        publish(from, 100);
        const Ramal__V1__Status *status = expect_status(from, 0, WOULD_BLOCK);
        assert_string_equal(status->limit, "limits uid 1000.publish_credit_bytes");
        assert_int_equal(status->value, CREDIT);
        world_free(w);
}

/* Whoever ignores its credit is refused each time, and is not read any more once it reads no answers. */
static void test_publish_credit_flood_costs_what_its_answers_do(void **state) {
        (void)state;
        struct world *w = world_with_credit(CREDIT);
        w->split = false;
        struct fake *from = fake_join(w, WORLD_UID);
        blocking(w, "a");
        publish(from, 0);
        publish(from, 900);
        from->stuck = true;
        bool paused = false;
        for (unsigned i = 0; i < 20000 && !paused; i++) {
                for (unsigned k = 0; k < 20; k++)
                        publish(from, 100);
                world_turn(w);
                paused = !core_peer_reading(from->peer);
        }
        assert_true(paused);
        struct core_charges charges;
        core_charges(w->core, &charges);
        assert_int_equal(charges.queued_messages, 1);
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_publish_credit_comes_back_at_once_where_nobody_blocks),
                cmocka_unit_test(test_publish_credit_is_taken_while_a_block_queue_has_it),
                cmocka_unit_test(test_publish_credit_admits_one_larger_than_all_of_it),
                cmocka_unit_test(test_publish_credit_refusals_are_merged_and_take_nothing),
                cmocka_unit_test(test_publish_credit_refusal_of_a_receipt_bears_its_id),
                cmocka_unit_test(test_publish_credit_of_two_queues_comes_back_with_the_last),
                cmocka_unit_test(test_publish_credit_of_a_refused_publish_comes_back),
                cmocka_unit_test(test_publish_credit_of_a_dead_publisher_is_nobodys),
                cmocka_unit_test(test_publish_credit_waits_for_room_in_the_output),
                cmocka_unit_test(test_publish_credit_of_others_is_not_touched),
                cmocka_unit_test(test_publish_credit_of_a_uid_has_its_own_name),
                cmocka_unit_test(test_publish_credit_flood_costs_what_its_answers_do),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
