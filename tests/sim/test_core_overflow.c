/* SPDX-License-Identifier: MIT */
/* Rule 3: what happens when an interest's window is full. */
#include "expect.h"

#include <errno.h>

static struct fake *reader(struct world *w, Ramal__V1__Overflow rule, uint64_t messages, uint64_t bytes) {
        struct fake *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = ">", .credit_messages = 1, .window_messages = messages,
                   .window_bytes = bytes, .overflow = rule);
        return to;
}

static void publish(struct fake *from, const char *subjects) {
        for (char subject[2] = {0}; (subject[0] = *subjects); subjects++)
                fake_publish(from, subject, subject);
}

static void test_overflow_drop_old_drops_from_the_front(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = reader(w, OVERFLOW_RULE(DROP_OLD), 2, 0);
        publish(from, "abcde");
        expect_deliver(to, 1, 1, "a");
        fake_confirm(to, 1, 1);
        expect_gap(to, 1, 2, 3, 2, WINDOW);
        expect_deliver(to, 1, 4, "d");
        fake_confirm(to, 1, 4);
        expect_deliver(to, 1, 5, "e");
        world_free(w);
}

static void test_overflow_drop_new_drops_the_new_one(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = reader(w, OVERFLOW_RULE(DROP_NEW), 2, 0);
        publish(from, "abcde");
        expect_deliver(to, 1, 1, "a");
        fake_confirm(to, 1, 1);
        expect_gap(to, 1, 4, 5, 2, WINDOW);
        expect_deliver(to, 1, 2, "b");
        fake_confirm(to, 1, 2);
        expect_deliver(to, 1, 3, "c");
        world_free(w);
}

static void test_overflow_latest_keeps_place_and_number(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = reader(w, OVERFLOW_RULE(LATEST), 2, 0);
        publish(from, "abc");
        fake_publish(from, "b", "b2");
        fake_publish(from, "b", "b3");
        expect_deliver(to, 1, 1, "a");
        expect_ledger(to, 1, .matched = 5, .queued = 2, .in_flight = 1, .replaced = 2);
        fake_confirm(to, 1, 1);
        assert_int_equal(expect_deliver(to, 1, 2, "b3")->data.replaced, 2);
        fake_confirm(to, 1, 2);
        assert_int_equal(expect_deliver(to, 1, 3, "c")->data.replaced, 0);
        world_free(w);
}

static void test_overflow_latest_of_a_new_subject_is_drop_old(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = reader(w, OVERFLOW_RULE(LATEST), 2, 0);
        publish(from, "abcd");
        expect_deliver(to, 1, 1, "a");
        fake_confirm(to, 1, 1);
        expect_gap(to, 1, 2, 2, 1, WINDOW);
        expect_deliver(to, 1, 3, "c");
        world_free(w);
}

/* While there is room nothing is replaced; then the newest of its subject is, so that the last one read is the last. */
static void test_overflow_latest_replaces_the_newest_of_its_subject(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = reader(w, OVERFLOW_RULE(LATEST), 3, 0);
        fake_publish(from, "z", "0");
        fake_publish(from, "a", "1");
        fake_publish(from, "a", "2");
        fake_publish(from, "a", "3");
        fake_publish(from, "a", "4");
        expect_deliver(to, 1, 1, "0");
        fake_confirm(to, 1, 1);
        expect_deliver(to, 1, 2, "1");
        fake_confirm(to, 1, 2);
        expect_deliver(to, 1, 3, "2");
        fake_confirm(to, 1, 3);
        assert_int_equal(expect_deliver(to, 1, 4, "4")->data.replaced, 1);
        world_free(w);
}

/* The newest of a subject may go before the older ones, by its time: then the next older one is the newest. */
static void test_overflow_latest_replaces_what_is_the_newest_after_an_expiry(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = reader(w, OVERFLOW_RULE(LATEST), 3, 0);
        struct say say = {.subject = "a", .payload = "gone", .len = 4, .time_left_us = 1000};
        fake_publish(from, "z", "0");
        fake_publish(from, "b", "1");
        fake_publish(from, "a", "2");
        fake_data(from, RML_PUBLISH, false, &say);
        world_turn(w);
        world_advance(w, MS(2));
        world_turn(w);
        fake_publish(from, "c", "3");
        fake_publish(from, "a", "4");
        expect_deliver(to, 1, 1, "0");
        fake_confirm(to, 1, 1);
        expect_gap(to, 1, 4, 4, 1, EXPIRED);
        expect_deliver(to, 1, 2, "1");
        fake_confirm(to, 1, 2);
        assert_int_equal(expect_deliver(to, 1, 3, "4")->data.replaced, 1);
        fake_confirm(to, 1, 3);
        expect_deliver(to, 1, 5, "3");
        world_free(w);
}

static void test_overflow_evict_ends_the_interest_and_not_the_connection(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = reader(w, OVERFLOW_RULE(EVICT), 2, 0);
        subscribed(to, .sid = 2, .pattern = "d");
        publish(from, "abcd");
        expect_deliver(to, 1, 1, "a");
        /* Whatever the order between the two interests: each is told in full. */
        bool other = false, gap = false, ended = false;
        for (int i = 0; i < 3; i++) {
                world_turn(w);
                const struct got *got = fake_next(to);
                assert_non_null(got);
                if (got->kind == RML_DELIVER) {
                        assert_int_equal(got->data.sid, 2);
                        other = true;
                } else if (got->kind == RML_GAP) {
                        const Ramal__V1__Gap *m = GOT(got, Gap);
                        assert_int_equal(m->sid, 1);
                        assert_int_equal(m->first, 2);
                        assert_int_equal(m->last, 4);
                        assert_int_equal(m->count, 3);
                        assert_int_equal(m->why, WHY(EVICTED));
                        assert_false(ended);
                        gap = true;
                } else {
                        assert_int_equal(got->kind, RML_INTEREST);
                        assert_int_equal(GOT(got, Interest)->sid, 1);
                        assert_int_equal(GOT(got, Interest)->state, STATE(ENDED));
                        assert_int_equal(GOT(got, Interest)->why, WHY(EVICTED));
                        ended = true;
                }
        }
        assert_true(other && gap && ended);
        publish(from, "d");
        expect_deliver(to, 2, 2, "d");
        assert_int_equal(core_interest_ledger(to->peer, 1, &(struct core_ledger){0}), -ENOENT);
        world_free(w);
}

static void test_overflow_bytes_count_as_the_senders_frame(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID);
        fake_publish_bytes(from, "a", 100);
        uint64_t len = from->last_len;
        struct fake *to = reader(w, OVERFLOW_RULE(DROP_NEW), 0, 2 * len);
        for (int i = 0; i < 4; i++)
                fake_publish_bytes(from, "a", 100);
        expect_deliver(to, 1, 1, NULL);
        expect_ledger(to, 1, .matched = 4, .queued = 2, .in_flight = 1, .dropped = 1);
        fake_confirm(to, 1, 1);
        const struct got *got = expect(to, RML_GAP);
        assert_int_equal(GOT(got, Gap)->bytes, len);
        world_free(w);
}

static void test_overflow_larger_than_an_empty_window_is_admitted(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = reader(w, OVERFLOW_RULE(DROP_OLD), 0, 100);
        publish(from, "a");
        fake_publish_bytes(from, "b", 5000);
        publish(from, "c");
        expect_deliver(to, 1, 1, "a");
        expect_ledger(to, 1, .matched = 3, .queued = 1, .in_flight = 1, .dropped = 1);
        fake_publish_bytes(from, "d", 5000);
        expect_ledger(to, 1, .matched = 4, .queued = 1, .in_flight = 1, .dropped = 2);
        fake_confirm(to, 1, 1);
        expect_gap(to, 1, 2, 3, 2, WINDOW);
        expect_deliver(to, 1, 4, NULL);
        world_free(w);
}

static void test_overflow_a_window_is_never_above_the_default(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.interest_messages = 2;
        struct world *w = world_new(1, &limits);
        struct fake *from = fake_join(w, WORLD_UID), *to = reader(w, OVERFLOW_RULE(DROP_OLD), 1000, 0);
        publish(from, "abcde");
        expect_ledger(to, 1, .matched = 5, .queued = 2, .in_flight = 1, .dropped = 2);
        world_free(w);
}

/* The stuck reader of the issue, small: all that was sent is received or reported, and others notice nothing. */
static void test_overflow_stuck_reader_delivered_and_reported_is_all(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.interest_bytes = 1 << 20;
        struct world *w = world_new(1, &limits);
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID), *other = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a");
        subscribed(other, .sid = 1, .pattern = "a");
        to->stuck = true;
        for (unsigned i = 0; i < 5000; i++) {
                fake_publish_bytes(from, "a", 1024);
                expect_deliver(other, 1, i + 1, NULL);
        }
        struct core_charges charges;
        core_charges(w->core, &charges);
        assert_true(charges.queued_bytes <= (1 << 20) + 1024 * 160); /* and what each message costs beside */
        to->stuck = false;
        uint64_t delivered = 0, reported = 0;
        world_turn(w);
        for (const struct got *got; (got = fake_next(to));) {
                delivered += got->kind == RML_DELIVER;
                reported += got->kind == RML_GAP ? GOT(got, Gap)->count : 0;
        }
        assert_int_equal(delivered + reported, 5000);
        assert_true(delivered > 1000 && reported > 1000);
        world_free(w);
}

static void test_overflow_connection_bound_drops_in_the_interest_it_went_to(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.connection_bytes = 50000;
        struct world *w = world_new(1, &limits);
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a", .credit_messages = 1);
        subscribed(to, .sid = 2, .pattern = "b", .credit_messages = 1);
        for (int i = 0; i < 4; i++)
                fake_publish_bytes(from, "a", 10000); /* one goes, three wait */
        for (int i = 0; i < 4; i++)
                fake_publish_bytes(from, "b", 10000); /* one goes, one waits */
        expect_ledger(to, 1, .matched = 4, .queued = 3, .in_flight = 1);
        expect_ledger(to, 2, .matched = 4, .queued = 1, .in_flight = 1, .dropped = 2);
        expect_deliver(to, 1, 1, NULL);
        expect_deliver(to, 2, 1, NULL);
        fake_confirm(to, 2, 1);
        expect_gap(to, 2, 2, 3, 2, CONNECTION);
        expect_deliver(to, 2, 4, NULL);
        world_free(w);
}

static void test_overflow_uid_bound_counts_all_connections_of_another_uid(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.uid_bytes = 50000;
        struct world *w = world_new(1, &limits);
        struct fake *from = fake_join(w, WORLD_ALLOWED_UID), *a = fake_join(w, WORLD_ALLOWED_UID),
                    *b = fake_join(w, WORLD_ALLOWED_UID), *own = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "a", .credit_messages = 1);
        subscribed(b, .sid = 1, .pattern = "b", .credit_messages = 1);
        subscribed(own, .sid = 1, .pattern = "b", .credit_messages = 1);
        for (int i = 0; i < 4; i++)
                fake_publish_bytes(from, "a", 10000); /* one goes, three wait */
        for (int i = 0; i < 4; i++)
                fake_publish_bytes(from, "b", 10000);
        expect_ledger(a, 1, .matched = 4, .queued = 3, .in_flight = 1);
        expect_ledger(b, 1, .matched = 4, .queued = 1, .in_flight = 1, .dropped = 2);
        expect_ledger(own, 1, .matched = 4, .queued = 3, .in_flight = 1);
        expect_deliver(b, 1, 1, NULL);
        fake_confirm(b, 1, 1);
        expect_gap(b, 1, 2, 3, 2, UID);
        world_free(w);
}

/* A shared body counts once in the broker's total. */
static void test_overflow_broker_bound_counts_a_shared_body_once(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.broker_bytes = 50000;
        limits.reserve_bytes = 0;
        struct world *w = world_new(1, &limits);
        struct fake *from = fake_join(w, WORLD_UID), *to[4];
        for (int i = 0; i < 4; i++) {
                to[i] = fake_join(w, WORLD_ALLOWED_UID);
                subscribed(to[i], .sid = 1, .pattern = "a", .credit_messages = 1);
        }
        fake_publish(from, "a", "first");
        for (int i = 0; i < 6; i++)
                fake_publish_bytes(from, "a", 10000);
        struct core_charges charges;
        core_charges(w->core, &charges);
        assert_true(charges.bodies_bytes <= 50000 && charges.bodies_bytes > 20000);
        assert_true(charges.queued_bytes > charges.bodies_bytes);
        expect_deliver(to[0], 1, 1, "first");
        fake_confirm(to[0], 1, 1);
        const struct got *got = expect(to[0], RML_GAP);
        assert_int_equal(GOT(got, Gap)->why, WHY(BROKER));
        world_free(w);
}

/* What is put in the place of a smaller one must fit there too. */
static void test_overflow_latest_stays_within_the_connection_bound(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.connection_bytes = 30000;
        struct world *w = world_new(1, &limits);
        struct fake *from = fake_join(w, WORLD_UID), *to = reader(w, OVERFLOW_RULE(LATEST), 4, 0);
        publish(from, "abcde");
        for (char subject[2] = "b"; subject[0] <= 'e'; subject[0]++)
                fake_publish_bytes(from, subject, 20000);
        struct core_charges charges;
        core_charges(w->core, &charges);
        assert_true(charges.queued_bytes <= 30000);
        expect_deliver(to, 1, 1, "a");
        uint64_t received = 1, reported = 0, replaced = 0;
        for (uint64_t seq = 1; seq;) {
                fake_confirm(to, 1, seq);
                world_turn(w);
                seq = 0;
                for (const struct got *got; (got = fake_next(to));) {
                        if (got->kind == RML_GAP) {
                                reported += GOT(got, Gap)->count;
                                continue;
                        }
                        received++;
                        replaced += got->data.replaced;
                        seq = got->data.seq;
                }
        }
        assert_int_equal(received + reported + replaced, 9);
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_overflow_drop_old_drops_from_the_front),
                cmocka_unit_test(test_overflow_drop_new_drops_the_new_one),
                cmocka_unit_test(test_overflow_latest_keeps_place_and_number),
                cmocka_unit_test(test_overflow_latest_of_a_new_subject_is_drop_old),
                cmocka_unit_test(test_overflow_latest_replaces_the_newest_of_its_subject),
                cmocka_unit_test(test_overflow_latest_replaces_what_is_the_newest_after_an_expiry),
                cmocka_unit_test(test_overflow_evict_ends_the_interest_and_not_the_connection),
                cmocka_unit_test(test_overflow_bytes_count_as_the_senders_frame),
                cmocka_unit_test(test_overflow_larger_than_an_empty_window_is_admitted),
                cmocka_unit_test(test_overflow_a_window_is_never_above_the_default),
                cmocka_unit_test(test_overflow_stuck_reader_delivered_and_reported_is_all),
                cmocka_unit_test(test_overflow_uid_bound_counts_all_connections_of_another_uid),
                cmocka_unit_test(test_overflow_broker_bound_counts_a_shared_body_once),
                cmocka_unit_test(test_overflow_latest_stays_within_the_connection_bound),
                cmocka_unit_test(test_overflow_connection_bound_drops_in_the_interest_it_went_to),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
