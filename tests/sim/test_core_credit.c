/* SPDX-License-Identifier: MIT */
/* Rule 5: receive credit and confirmation. */
#include "expect.h"

static void test_credit_messages_bound_what_is_in_flight(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a", .credit_messages = 2);
        for (int i = 0; i < 5; i++)
                fake_publish(from, "a", "x");
        expect_deliver(to, 1, 1, "x");
        expect_deliver(to, 1, 2, "x");
        expect_nothing(to);
        fake_confirm(to, 1, 1);
        expect_deliver(to, 1, 3, "x");
        expect_nothing(to);
        world_free(w);
}

static void test_credit_bytes_bound_what_is_in_flight(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        fake_publish_bytes(from, "a", 100);
        subscribed(to, .sid = 1, .pattern = "a", .credit_bytes = 2 * from->last_len + 1);
        for (int i = 0; i < 5; i++)
                fake_publish_bytes(from, "a", 100);
        expect_deliver(to, 1, 1, NULL);
        expect_deliver(to, 1, 2, NULL);
        expect_nothing(to);
        fake_confirm(to, 1, 2);
        expect_deliver(to, 1, 3, NULL);
        expect_deliver(to, 1, 4, NULL);
        expect_nothing(to);
        world_free(w);
}

static void test_credit_a_message_larger_than_all_of_it_goes_alone(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a", .credit_bytes = 10);
        fake_publish_bytes(from, "a", 1000);
        fake_publish(from, "a", "x");
        expect_deliver(to, 1, 1, NULL);
        expect_nothing(to);
        fake_confirm(to, 1, 1);
        expect_deliver(to, 1, 2, "x");
        world_free(w);
}

static void test_credit_confirms_cumulatively(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a", .credit_messages = 10);
        for (int i = 0; i < 5; i++)
                fake_publish(from, "a", "x");
        world_turn(w);
        expect_ledger(to, 1, .matched = 5, .in_flight = 5);
        fake_confirm(to, 1, 3);
        expect_ledger(to, 1, .matched = 5, .in_flight = 2, .confirmed = 3);
        fake_confirm(to, 1, 2); /* again: nothing more */
        expect_ledger(to, 1, .matched = 5, .in_flight = 2, .confirmed = 3);
        fake_confirm(to, 1, 5);
        expect_ledger(to, 1, .matched = 5, .confirmed = 5);
        world_free(w);
}

static void test_credit_of_what_was_never_sent_is_ignored(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a", .credit_messages = 1);
        fake_publish(from, "a", "x");
        fake_publish(from, "a", "y");
        expect_deliver(to, 1, 1, "x");
        fake_confirm(to, 1, 99);
        fake_confirm(to, 7, 1);
        fake_confirm(to, 1, 0);
        expect_nothing(to);
        expect_ledger(to, 1, .matched = 2, .queued = 1, .in_flight = 1);
        world_free(w);
}

/* After a member died its messages stand before older numbers: the confirmation follows the order of commit. */
static void test_credit_confirms_in_order_of_commit_and_not_of_number(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "a", .group = "g", .credit_messages = 1, .policy = POLICY(ROUND_ROBIN));
        subscribed(b, .sid = 1, .pattern = "a", .group = "g", .credit_messages = 1, .policy = POLICY(ROUND_ROBIN));
        for (int i = 0; i < 6; i++)
                fake_publish(from, "a", (const char *[]){"1", "2", "3", "4", "5", "6"}[i]);
        const struct got *first = expect(a, RML_DELIVER);
        const struct got *other = expect(b, RML_DELIVER);
        assert_int_equal(first->data.seq, 1);
        assert_int_equal(other->data.seq, 1);
        expect_ledger(b, 1, .matched = 3, .queued = 2, .in_flight = 1);
        fake_lost(a);
        world_turn(w);
        expect_ledger(b, 1, .matched = 6, .queued = 5, .in_flight = 1);
        fake_confirm(b, 1, 1);
        /* One that is redelivered and two that were moved, in order, then its own two. */
        uint64_t seqs[5];
        bool even = other->data.payload.data[0] == '2';
        const char *payloads = even ? "13546" : "24635";
        for (int i = 0; i < 5; i++) {
                const struct got *got = expect(b, RML_DELIVER);
                assert_memory_equal(got->data.payload.data, &payloads[i], 1);
                assert_int_equal(got->data.flags, i == 0 ? FLAG(REDELIVERED) : i < 3 ? FLAG(MOVED) : 0);
                seqs[i] = got->data.seq;
                expect_nothing(b);
                for (int again = 0; again < 40; again++)
                        fake_confirm(b, 1, i ? seqs[i - 1] : 1); /* changes nothing, now or later */
                fake_confirm(b, 1, seqs[i]);
        }
        assert_int_equal(seqs[0] + seqs[1] + seqs[2], 4 + 5 + 6);
        assert_int_equal(seqs[3], 2);
        assert_int_equal(seqs[4], 3);
        expect_ledger(b, 1, .matched = 6, .confirmed = 6);
        world_free(w);
}

/* A number that was confirmed already says nothing about lower ones that came later. */
static void test_credit_stale_after_a_move_confirms_nothing(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "a", .group = "g", .credit_messages = 1, .policy = POLICY(ROUND_ROBIN));
        subscribed(b, .sid = 1, .pattern = "a", .group = "g", .credit_messages = 1);
        for (int i = 0; i < 4; i++)
                fake_publish(from, "a", "x");
        world_turn(w);
        fake_skip(b);
        fake_lost(a);
        fake_confirm(b, 1, 1);
        expect_deliver(b, 1, 4, "x"); /* redelivered: what was in flight comes first */
        fake_confirm(b, 1, 4);
        const struct got *moved = expect(b, RML_DELIVER); /* 3, which stands before 2 */
        assert_int_equal(moved->data.seq, 3);
        fake_confirm(b, 1, 3);
        expect_deliver(b, 1, 2, "x");
        fake_confirm(b, 1, 3);
        expect_ledger(b, 1, .matched = 4, .in_flight = 1, .confirmed = 3);
        fake_confirm(b, 1, 2);
        expect_ledger(b, 1, .matched = 4, .confirmed = 4);
        world_free(w);
}

static void test_credit_not_asked_the_socket_confirms(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a");
        to->stuck = true;
        fake_publish_bytes(from, "a", 500);
        fake_publish_bytes(from, "a", 500);
        world_turn(w);
        expect_ledger(to, 1, .matched = 2, .in_flight = 2);
        fake_take(to, 500);
        expect_ledger(to, 1, .matched = 2, .in_flight = 2);
        fake_take(to, 100);
        expect_ledger(to, 1, .matched = 2, .in_flight = 1, .confirmed = 1);
        fake_take(to, 10000);
        expect_ledger(to, 1, .matched = 2, .confirmed = 2);
        fake_confirm(to, 1, 2); /* means nothing here */
        expect_ledger(to, 1, .matched = 2, .confirmed = 2);
        world_free(w);
}

/* A group's message is charged to the window until it is confirmed. */
static void test_credit_group_window_counts_what_is_in_flight(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a", .group = "g", .credit_messages = 100, .window_messages = 2,
                   .overflow = OVERFLOW_RULE(DROP_NEW));
        fake_publish(from, "a", "1");
        fake_publish(from, "a", "2");
        fake_publish(from, "a", "3");
        expect_deliver(to, 1, 1, "1");
        expect_deliver(to, 1, 2, "2");
        expect_ledger(to, 1, .matched = 3, .in_flight = 2, .dropped = 1);
        fake_confirm(to, 1, 1);
        expect_gap(to, 1, 3, 3, 1, WINDOW);
        fake_publish(from, "a", "4");
        expect_deliver(to, 1, 4, "4");
        expect_nothing(to);
        world_free(w);
}

/* Rule 2: 256 KiB or one message ahead of the socket. */
static void test_credit_output_ahead_of_the_socket_is_bounded(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a");
        to->stuck = true;
        fake_publish_bytes(from, "a", 1 << 20);
        fake_publish_bytes(from, "a", 1 << 20);
        world_turn(w);
        expect_ledger(to, 1, .matched = 2, .queued = 1, .in_flight = 1);
        to->stuck = false;
        expect_deliver(to, 1, 1, NULL);
        expect_deliver(to, 1, 2, NULL);
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_credit_messages_bound_what_is_in_flight),
                cmocka_unit_test(test_credit_bytes_bound_what_is_in_flight),
                cmocka_unit_test(test_credit_a_message_larger_than_all_of_it_goes_alone),
                cmocka_unit_test(test_credit_confirms_cumulatively),
                cmocka_unit_test(test_credit_of_what_was_never_sent_is_ignored),
                cmocka_unit_test(test_credit_confirms_in_order_of_commit_and_not_of_number),
                cmocka_unit_test(test_credit_stale_after_a_move_confirms_nothing),
                cmocka_unit_test(test_credit_not_asked_the_socket_confirms),
                cmocka_unit_test(test_credit_group_window_counts_what_is_in_flight),
                cmocka_unit_test(test_credit_output_ahead_of_the_socket_is_bounded),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
