/* SPDX-License-Identifier: MIT */
/* Rule 1: from one sender to one connection, everything in the order that the broker accepted it. */
#include "expect.h"

static void test_order_publishes_to_one_connection_keep_it_across_interests(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *to = fake_join(w, WORLD_UID), *from = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a");
        subscribed(to, .sid = 2, .pattern = "b");
        fake_publish(from, "a", "1");
        fake_publish(from, "b", "2");
        fake_publish(from, "a", "3");
        expect_deliver(to, 1, 1, "1");
        expect_deliver(to, 2, 1, "2");
        expect_deliver(to, 1, 2, "3");
        expect_nothing(to);
        world_free(w);
}

/* More than fits ahead of the socket: what waits in two queues comes out in one order. */
static void test_order_a_stuck_reader_gets_all_in_order_later(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *to = fake_join(w, WORLD_UID), *from = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a");
        subscribed(to, .sid = 2, .pattern = "b");
        to->stuck = true;
        for (int i = 0; i < 100; i++)
                fake_publish_bytes(from, i % 2 ? "b" : "a", 10000);
        world_turn(w);
        struct core_ledger a, b;
        assert_int_equal(core_interest_ledger(to->peer, 1, &a), 0);
        assert_int_equal(core_interest_ledger(to->peer, 2, &b), 0);
        assert_int_equal(a.queued + a.in_flight, 50);
        assert_true(a.in_flight + b.in_flight <= (256 << 10) / 10000 + 1);
        assert_true(a.in_flight + b.in_flight >= 20);
        to->stuck = false;
        for (unsigned i = 0; i < 100; i++)
                expect_deliver(to, i % 2 ? 2 : 1, i / 2 + 1, NULL);
        expect_ledger(to, 1, .matched = 50, .confirmed = 50);
        world_free(w);
}

static void test_order_publishes_calls_and_replies_of_one_sender_keep_it(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "news");
        subscribed(a, .sid = 2, .pattern = "ask", .serve = true);
        subscribed(b, .sid = 1, .pattern = "do", .serve = true);
        uint64_t call = fake_call(a, "do", "do it", 0);
        uint64_t token = expect_call(b, 1, "do it");
        a->stuck = true;
        fake_publish(b, "news", "1");
        fake_call(b, "ask", "2", 0);
        fake_reply_more(b, token, "3");
        fake_publish(b, "news", "4");
        fake_reply(b, token, "5");
        fake_publish(b, "news", "6");
        a->stuck = false;
        expect_deliver(a, 1, 1, "1");
        expect_call(a, 2, "2");
        expect_reply(a, call, 1, "3", true);
        expect_deliver(a, 1, 2, "4");
        expect_reply(a, call, 2, "5", false);
        expect_deliver(a, 1, 3, "6");
        world_free(w);
}

static void test_order_an_interest_waiting_for_its_credit_keeps_its_own(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *to = fake_join(w, WORLD_UID), *from = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a", .credit_messages = 1);
        subscribed(to, .sid = 2, .pattern = "b");
        fake_publish(from, "a", "1");
        fake_publish(from, "a", "2");
        fake_publish(from, "a", "3");
        fake_publish(from, "b", "4");
        expect_deliver(to, 1, 1, "1");
        expect_deliver(to, 2, 1, "4");
        expect_nothing(to);
        fake_confirm(to, 1, 1);
        expect_deliver(to, 1, 2, "2");
        fake_confirm(to, 1, 2);
        expect_deliver(to, 1, 3, "3");
        world_free(w);
}

static void test_order_refusals_stand_where_the_publish_stood(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "a");
        a->stuck = true;
        fake_publish(a, "a", "1");
        fake_publish(a, "a.*", "bad");
        fake_publish(a, "a", "3");
        a->stuck = false;
        expect_deliver(a, 1, 1, "1");
        assert_int_equal(expect_status(a, 0, BAD_SUBJECT)->publish, 2);
        expect_deliver(a, 1, 2, "3");
        world_free(w);
}

static void test_order_a_pong_may_overtake_and_comes_once(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID);
        uint64_t id = fake_ping(a);
        assert_int_equal(expect(a, RML_PONG)->id, id);
        expect_nothing(a);
        world_free(w);
}

/* They stand before the queue of their new interest, and hold nothing of it back. */
static void test_order_messages_moved_to_the_front_hold_nothing_back(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "g", .group = "g", .policy = POLICY(ROUND_ROBIN));
        subscribed(b, .sid = 1, .pattern = "g", .group = "g");
        subscribed(b, .sid = 2, .pattern = "p");
        a->stuck = b->stuck = true;
        fake_publish_bytes(from, "g", 300000); /* one for each: their outputs are full now */
        fake_publish_bytes(from, "g", 300000);
        fake_publish(from, "g", "a1");
        fake_publish(from, "g", "b1");
        fake_publish(from, "p", "p1");
        fake_publish(from, "g", "a2");
        fake_publish(from, "p", "p2");
        world_turn(w);
        fake_lost(a);
        b->stuck = false;
        expect_deliver(b, 1, 1, NULL);
        /* b1, p1, p2 of one sender in order, whatever has moved in between. */
        const char *order[] = {"b1", "p1", "p2"};
        size_t at = 0, moved = 0;
        while (at < 3 || moved < 3) {
                const struct got *got = expect(b, RML_DELIVER);
                if (got->data.flags & (FLAG(MOVED) | FLAG(REDELIVERED))) {
                        moved++;
                        continue;
                }
                assert_true(at < 3);
                assert_memory_equal(got->data.payload.data, order[at++], 2);
        }
        expect_nothing(b);
        world_free(w);
}

static void test_order_any_split_of_the_output_gives_the_same_frames(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *to = fake_join(w, WORLD_UID), *from = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a");
        to->stuck = true;
        for (int i = 0; i < 40; i++)
                fake_publish_bytes(from, "a", (size_t)i * 397);
        world_turn(w);
        while (fake_take(to, 1 + (size_t)rng_below(&w->rng, 977)))
                ;
        for (unsigned i = 0; i < 40; i++)
                assert_int_equal(expect_deliver(to, 1, i + 1, NULL)->data.payload.len, i * 397);
        expect_nothing(to);
        world_free(w);
}

/* The same frames of three peers in one turn, cut by `cut`: what everybody receives, as one hash. */
static uint64_t transcript(size_t cut) {
        struct world *w = world_new(1, NULL);
        struct fake *f[3];
        uint64_t hash = 0;
        for (int i = 0; i < 3; i++) {
                f[i] = fake_join(w, WORLD_UID);
                subscribed(f[i], .sid = 1, .pattern = ">", .window_messages = 4, .credit_messages = 3);
                subscribed(f[i], .sid = 2, .pattern = "a.*", .group = "g");
        }
        for (int i = 0; i < 3; i++) {
                f[i]->hold = true;
                for (int k = 0; k < 12; k++)
                        fake_publish_bytes(f[i], k % 3 ? "a.b" : "c", (size_t)k * 40);
                fake_publish(f[i], "bad.*", "x");
                SUBSCRIBE(f[i], .sid = 3, .pattern = "s", .serve = true);
                fake_call(f[i], "s", "q", 0);
                fake_confirm(f[i], 1, 2);
                fake_ping(f[i]);
                fake_release(f[i], cut);
        }
        world_turn(w);
        for (int i = 0; i < 3; i++)
                for (const struct got *got; (got = fake_next(f[i]));)
                        for (size_t k = 0; k < got->len; k++)
                                hash = (hash ^ got->bytes[k]) * 0x100000001b3u + 1;
        world_free(w);
        return hash;
}

static void test_order_any_split_of_the_input_gives_the_same_output(void **state) {
        (void)state;
        uint64_t whole = transcript(SIZE_MAX / 2);
        for (size_t cut = 1; cut < 700; cut += cut < 20 ? 1 : 97)
                assert_int_equal(transcript(cut), whole);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_order_publishes_to_one_connection_keep_it_across_interests),
                cmocka_unit_test(test_order_a_stuck_reader_gets_all_in_order_later),
                cmocka_unit_test(test_order_publishes_calls_and_replies_of_one_sender_keep_it),
                cmocka_unit_test(test_order_an_interest_waiting_for_its_credit_keeps_its_own),
                cmocka_unit_test(test_order_refusals_stand_where_the_publish_stood),
                cmocka_unit_test(test_order_a_pong_may_overtake_and_comes_once),
                cmocka_unit_test(test_order_messages_moved_to_the_front_hold_nothing_back),
                cmocka_unit_test(test_order_any_split_of_the_output_gives_the_same_frames),
                cmocka_unit_test(test_order_any_split_of_the_input_gives_the_same_output),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
