/* SPDX-License-Identifier: MIT */
/* Section 8 of the design: what is counted for each connection and each uid, which limit is in force for whom, and what a
 * refusal names. */
#include "expect.h"

#include <errno.h>
#include <string.h>

static bool next_limit_event(struct world *w, struct core_event *ret) {
        uint64_t lost;

        while (core_next_event(w->core, ret, &lost))
                if (ret->kind == CORE_EVENT_LIMIT)
                        return true;
        return false;
}

/* ---- limits of one uid ---- */

static void test_accounts_a_uid_has_limits_of_its_own(void **state) {
        (void)state;
        struct core_limits limits = world_defaults();
        struct core_uid_limits own = {.uid = WORLD_ALLOWED_UID, .limits = limits};
        own.limits.calls = 1;
        own.limits.names = 7;
        own.limits.payload_bytes = 100;
        own.limits.interest_messages = 9;
        own.overridden = 1u << offsetof(struct core_limits, calls) / 8 | 1u << offsetof(struct core_limits, names) / 8 |
                         1u << offsetof(struct core_limits, payload_bytes) / 8 |
                         1u << offsetof(struct core_limits, interest_messages) / 8;
        struct world *w = world_alone(1, &limits);
        w->uid_limits = &own;
        w->uid_limit_count = 1;
        world_begin(w);

        struct fake *server = fake_join(w, WORLD_UID), *a = fake_local(w, WORLD_ALLOWED_UID);
        fake_hello(a, "a");
        const Ramal__V1__Limits *said = GOT(expect(a, RML_WELCOME), Welcome)->limits;
        assert_int_equal(said->calls, 1);
        assert_int_equal(said->names, 7);
        assert_int_equal(said->payload_bytes, 100);
        assert_int_equal(said->frame_bytes, limits.payload_bytes + RML_FRAME_EXTRA_BYTES); /* what others send */
        assert_int_equal(said->interest_window_messages, 9);
        assert_int_equal(said->interests, limits.interests);

        subscribed(server, .sid = 1, .pattern = "s", .serve = true);
        fake_call(a, "s", "1", 0);
        const Ramal__V1__Status *status = expect_status(a, fake_call(a, "s", "2", 0), OVER_LIMIT);
        assert_string_equal(status->limit, "limits uid 2000.calls");
        assert_int_equal(status->value, 1);
        fake_publish_bytes(a, "t", 101);
        status = expect_status(a, 0, TOO_LARGE);
        assert_string_equal(status->limit, "limits uid 2000.payload_bytes");
        assert_int_equal(status->value, 100);
        fake_publish_bytes(server, "t", 101); /* for others all is as it was */
        expect_call(server, 1, "1");
        expect_nothing(server);
        world_free(w);
}

/* What is the broker's alone, or would break a promise to others, is nobody's own. */
static void test_accounts_a_uid_cannot_have_what_is_the_brokers(void **state) {
        (void)state;
        struct core_limits limits = world_defaults();
        limits.payload_bytes = 1000;
        limits.unauthenticated = 1;
        struct core_uid_limits own = {.uid = WORLD_ALLOWED_UID, .overridden = UINT64_MAX, .limits = limits};
        own.limits.payload_bytes = 2000;
        own.limits.broker_bytes = 1;
        struct world *w = world_alone(1, &limits);
        w->uid_limits = &own;
        w->uid_limit_count = 1;
        world_begin(w);
        struct fake *a = fake_join(w, WORLD_ALLOWED_UID);
        fake_publish_bytes(a, "t", 1001);
        const Ramal__V1__Status *status = expect_status(a, 0, TOO_LARGE);
        assert_string_equal(status->limit, "limits.payload_bytes");
        assert_int_equal(status->value, 1000);
        world_free(w);
}

/* ---- sums of a uid ---- */

static void test_accounts_interests_of_a_uid_are_bounded_together(void **state) {
        (void)state;
        struct core_limits limits = world_defaults();
        limits.uid_interests = 3;
        limits.uid_names = 1;
        struct world *w = world_new(1, &limits);
        struct fake *a = fake_join(w, WORLD_ALLOWED_UID), *b = fake_join(w, WORLD_ALLOWED_UID), *own = fake_join(w, WORLD_UID);
        expect_subscribed(a, SUBSCRIBE(a, .sid = 1, .pattern = "n", .serve = true, .name = true), OWNER, 0);
        const Ramal__V1__Status *status =
                expect_status(b, SUBSCRIBE(b, .sid = 1, .pattern = "m", .serve = true, .name = true), OVER_LIMIT);
        assert_string_equal(status->limit, "limits.uid_names");
        assert_int_equal(status->value, 1);
        subscribed(a, .sid = 2, .pattern = "t");
        subscribed(b, .sid = 2, .pattern = "t");
        status = expect_status(b, SUBSCRIBE(b, .sid = 3, .pattern = "t"), OVER_LIMIT);
        assert_string_equal(status->limit, "limits.uid_interests");
        assert_int_equal(status->value, 3);
        expect_status(a, fake_unsubscribe(a, 2), OK);
        subscribed(b, .sid = 3, .pattern = "t");
        for (unsigned i = 1; i <= 5; i++)
                subscribed(own, .sid = i, .pattern = "t");
        world_free(w);
}

static void test_accounts_calls_of_a_uid_are_bounded_together(void **state) {
        (void)state;
        struct core_limits limits = world_defaults();
        limits.uid_calls = 2;
        struct world *w = world_new(1, &limits);
        struct fake *a = fake_join(w, WORLD_ALLOWED_UID), *b = fake_join(w, WORLD_ALLOWED_UID), *own = fake_join(w, WORLD_UID);
        subscribed(own, .sid = 1, .pattern = "s", .serve = true);
        uint64_t id = fake_call(a, "s", "1", 0);
        fake_call(b, "s", "2", 0);
        const Ramal__V1__Status *status = expect_status(b, fake_call(b, "s", "3", 0), OVER_LIMIT);
        assert_string_equal(status->limit, "limits.uid_calls");
        assert_int_equal(status->value, 2);
        fake_reply(own, expect_call(own, 1, "1"), "r");
        expect_reply(a, id, 1, "r", false);
        fake_call(b, "s", "4", 0);
        expect_nothing(b);
        for (unsigned i = 0; i < 5; i++)
                fake_call(own, "s", "own", 0);
        world_free(w);
}

/* ---- connections ---- */

static void test_accounts_another_uid_connects_at_a_rate(void **state) {
        (void)state;
        struct core_limits limits = world_defaults();
        limits.uid_connections = 3;
        limits.uid_connect_rate = 10;
        struct world *w = world_new(1, &limits);
        struct core_origin other = {.local = true, .uid = WORLD_ALLOWED_UID, .address = "x"};
        struct core_refusal refusal = {0};
        struct peer *peer;
        for (unsigned i = 0; i < 3; i++)
                fake_lost(fake_join(w, WORLD_ALLOWED_UID));
        world_turn(w);
        assert_int_equal(world_charges(w).accounts, 0); /* nobody of it is there; its rate is not forgotten */
        assert_int_equal(core_peer_add(w->core, &other, NULL, &peer, &refusal), -EDQUOT);
        assert_string_equal(refusal.limit, "limits.uid_connect_rate");
        assert_int_equal(refusal.value, 10);
        world_advance(w, MS(99));
        assert_int_equal(core_peer_add(w->core, &other, NULL, &peer, &refusal), -EDQUOT);
        world_advance(w, MS(1));
        fake_lost(fake_join(w, WORLD_ALLOWED_UID));
        assert_int_equal(core_peer_add(w->core, &other, NULL, &peer, &refusal), -EDQUOT);
        world_advance(w, MS(1000));
        for (unsigned i = 0; i < 3; i++)
                fake_lost(fake_join(w, WORLD_ALLOWED_UID)); /* never more than a burst */
        assert_int_equal(core_peer_add(w->core, &other, NULL, &peer, &refusal), -EDQUOT);
        for (unsigned i = 0; i < 20; i++)
                fake_lost(fake_join(w, WORLD_UID));
        world_free(w);
}

/* However many uids come by. */
static void test_accounts_of_those_who_left_are_bounded(void **state) {
        (void)state;
        struct core_limits limits = world_defaults();
        limits.uid_connect_rate = 1;
        struct world *w = world_new(1, &limits);
        struct core_origin origin = {.local = true, .address = "x"};
        for (unsigned i = 0; i < 5000; i++) {
                struct peer *peer;
                origin.uid = 100000 + i;
                assert_int_equal(core_peer_add(w->core, &origin, NULL, &peer, NULL), 0);
                core_peer_lost(peer);
                assert_ptr_equal(core_next_closed(w->core), peer);
                core_peer_free(peer);
        }
        assert_int_equal(world_charges(w).accounts, 0);
        world_free(w);
}

static struct fake *look(struct world *w, uint32_t uid, int *error) {
        struct core_origin origin = {.local = true, .uid = uid, .gid = 1, .pid = 1, .address = "x"};

        return fake_connect(w, &origin, error);
}

/* All connections are taken: who looks still gets in, and may look. */
static void test_accounts_the_last_places_are_for_who_looks(void **state) {
        (void)state;
        struct core_limits limits = world_defaults();
        limits.own_connections = 1;
        limits.uid_connections = 1;
        limits.reserved_connections = 2;
        struct world *w = world_new(1, &limits);
        struct fake *user = fake_join(w, WORLD_UID), *a, *b;
        int r;

        a = look(w, WORLD_UID, &r);
        uint64_t id = fake_hello(a, "user");
        const Ramal__V1__Status *status = expect_status(a, id, OVER_LIMIT);
        assert_string_equal(status->limit, "limits.own_connections");
        assert_int_equal(status->value, 1);
        expect_closed(a);

        a = look(w, WORLD_UID, &r);
        fake_hello_as(a, "looks", true, NULL);
        expect(a, RML_WELCOME);
        id = fake_call(a, "$SYS.api.list", "", 0);
        assert_int_equal(expect(a, RML_REPLY)->id, id);
        expect_status(a, fake_call(a, "s", "", 0), DENIED);
        expect_status(a, SUBSCRIBE(a, .sid = 1, .pattern = "t"), DENIED);
        expect_status(a, SUBSCRIBE(a, .sid = 1, .pattern = ">", .tap = true), DENIED);
        fake_publish(a, "t", "x");
        assert_int_equal(expect_status(a, 0, DENIED)->publish, 1);
        id = fake_ping(a);
        expect(a, RML_CREDIT); /* of what was refused */
        assert_int_equal(expect(a, RML_PONG)->id, id);

        b = look(w, 0, &r); /* root may always look: its own connections are not used up */
        fake_hello(b, "root");
        expect(b, RML_WELCOME);
        assert_int_equal(world_charges(w).reserved, 1);
        look(w, 0, &r);
        assert_int_equal(world_charges(w).reserved, 2);
        assert_null(look(w, WORLD_UID, &r));
        assert_int_equal(r, -EDQUOT);
        fake_join(w, WORLD_ALLOWED_UID);
        assert_null(look(w, WORLD_ALLOWED_UID, &r)); /* others have none */

        world_advance(w, MS(1000)); /* and who says nothing does not keep one */
        world_turn(w);
        assert_int_equal(world_charges(w).reserved, 1);
        fake_lost(user); /* a place that is free again is one for everybody */
        world_turn(w);
        fake_join(w, WORLD_UID);
        fake_bye(a, false, 0);
        world_turn(w);
        assert_int_equal(world_charges(w).reserved, 0);
        world_free(w);
}

/* No descriptor was left but those that are kept: only for those who may look. */
static void test_accounts_a_kept_descriptor_is_for_who_looks(void **state) {
        (void)state;
        struct world *w = world_new(1, NULL);
        struct core_origin origin = {.local = true, .uid = WORLD_ALLOWED_UID, .address = "x", .reserved = true};
        struct core_refusal refusal = {0};
        struct peer *peer;
        int r;
        assert_int_equal(core_peer_add(w->core, &origin, NULL, &peer, &refusal), -EDQUOT);
        assert_string_equal(refusal.limit, "limits.reserved_connections");
        assert_int_equal(refusal.value, 4);
        origin.uid = WORLD_UID;
        struct fake *a = fake_connect(w, &origin, &r);
        assert_int_equal(world_charges(w).reserved, 1);
        fake_hello_as(a, "looks", true, NULL);
        expect(a, RML_WELCOME);
        world_free(w);
}

/* ---- half-read frames ---- */

static void begin(struct fake *fake, size_t len) {
        fake->hold = true;
        fake_publish_bytes(fake, "t", len);
        fake_release_part(fake, 60000);
}

static void test_accounts_half_read_frames_of_a_uid_wait_for_each_other(void **state) {
        (void)state;
        struct core_limits limits = world_defaults();
        limits.uid_input_bytes = 1000000;
        struct world *w = world_new(1, &limits);
        struct fake *reader = fake_join(w, WORLD_UID), *from[4];
        subscribed(reader, .sid = 1, .pattern = "t");
        for (unsigned i = 0; i < 4; i++)
                from[i] = fake_join(w, WORLD_ALLOWED_UID);
        begin(from[0], 700000);
        begin(from[1], 600000);
        begin(from[2], 100000);
        fake_publish_bytes(from[3], "t", 50000); /* a small one does not wait */
        expect_deliver(reader, 1, 1, NULL);
        assert_true(core_peer_reading(from[0]->peer));
        assert_false(core_peer_reading(from[1]->peer));
        assert_false(core_peer_reading(from[2]->peer)); /* in order: it would fit */
        assert_false(core_peer_needs_output(from[1]->peer));
        assert_in_range(world_charges(w).input_bytes, 700000, 700100);

        /* The clock of the first one runs, that of the others stands still. */
        for (unsigned i = 0; i < 9; i++) {
                world_advance(w, MS(20000));
                fake_release_part(from[0], 70000);
                world_turn(w);
        }
        assert_non_null(from[1]->peer);
        fake_release(from[0], SIZE_MAX);
        expect_deliver(reader, 1, 2, NULL);
        assert_true(core_peer_reading(from[1]->peer));
        assert_true(core_peer_reading(from[2]->peer)); /* now both fit */
        fake_release(from[2], SIZE_MAX);
        fake_release(from[1], SIZE_MAX);
        expect_deliver(reader, 1, 3, NULL);
        expect_deliver(reader, 1, 4, NULL);
        assert_int_equal(world_charges(w).input_bytes, 0);
        world_free(w);
}

static void test_accounts_half_read_frames_are_let_go_with_their_connection(void **state) {
        (void)state;
        struct core_limits limits = world_defaults();
        limits.uid_input_bytes = 100;
        struct world *w = world_new(1, &limits);
        struct fake *from[4], *own = fake_join(w, WORLD_UID), *own2 = fake_join(w, WORLD_UID);
        for (unsigned i = 0; i < 4; i++)
                from[i] = fake_join(w, WORLD_ALLOWED_UID);
        for (unsigned i = 0; i < 4; i++)
                begin(from[i], 200000); /* each is larger than all: one is always admitted */
        begin(own, 200000);
        begin(own2, 200000); /* the own uid is bound by nothing of this */
        assert_true(core_peer_reading(own->peer) && core_peer_reading(own2->peer));
        assert_true(core_peer_reading(from[0]->peer));
        fake_eof(from[1]); /* it waits: it is not waited for */
        world_turn(w);
        assert_null(from[1]->peer);
        fake_lost(from[0]);
        world_turn(w);
        assert_true(core_peer_reading(from[2]->peer));
        assert_false(core_peer_reading(from[3]->peer));
        world_advance(w, MS(30000)); /* it does not go on */
        world_turn(w);
        expect(from[2], RML_GOAWAY);
        assert_true(core_peer_reading(from[3]->peer));
        fake_release(from[3], SIZE_MAX);
        uint64_t id = fake_ping(from[3]);
        expect(from[3], RML_CREDIT);
        assert_int_equal(expect(from[3], RML_PONG)->id, id);
        world_free(w);
}

/* ---- unread answers ---- */

static void test_accounts_unread_answers_of_a_uid_are_bounded_together(void **state) {
        (void)state;
        struct core_limits limits = world_defaults();
        limits.uid_unread_answers_bytes = 100000;
        struct world *w = world_new(1, &limits);
        struct fake *a[4], *small = fake_join(w, WORLD_ALLOWED_UID), *own = fake_join(w, WORLD_UID);
        unsigned pings[4] = {0}, pongs = 0, sum = 0;
        for (unsigned i = 0; i < 4; i++) {
                a[i] = fake_join(w, WORLD_ALLOWED_UID);
                a[i]->stuck = true;
        }
        for (bool more = true; more;) {
                more = false;
                for (unsigned i = 0; i < 4; i++)
                        if (core_peer_reading(a[i]->peer)) {
                                fake_ping(a[i]);
                                pings[i]++;
                                more = true;
                        }
        }
        assert_in_range(world_charges(w).unread_bytes, 100000, 110000); /* far less than 256 KiB each */
        for (unsigned i = 0; i < 4; i++) {
                assert_true(core_peer_needs_output(a[i]->peer));
                sum += pings[i];
        }
        for (unsigned i = 0; i < 100; i++)
                fake_ping(small); /* who reads is read */
        assert_true(core_peer_reading(small->peer));
        own->stuck = true;
        for (unsigned i = 0; i < 10000; i++)
                fake_ping(own);
        assert_true(core_peer_reading(own->peer));
        /* Two read: that is room for the others as well. */
        a[0]->stuck = a[1]->stuck = a[2]->stuck = false;
        world_turn(w);
        for (unsigned i = 0; i < 4; i++)
                assert_true(core_peer_reading(a[i]->peer));
        a[3]->stuck = false;
        world_turn(w);
        for (unsigned i = 0; i < 4; i++)
                while (fake_next(a[i]))
                        pongs++;
        assert_int_equal(pongs, sum);
        own->stuck = false;
        world_turn(w);
        assert_int_equal(world_charges(w).unread_bytes, 0);
        world_free(w);
}

/* ---- who sent what still waits ---- */

static void test_accounts_live_as_long_as_what_they_sent(void **state) {
        (void)state;
        struct core_limits limits = world_defaults();
        limits.uid_connect_rate = 1000000000;
        struct world *w = world_new(1, &limits);
        struct fake *from = fake_join(w, WORLD_ALLOWED_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "t", .credit_messages = 1);
        fake_publish(from, "t", "1");
        fake_publish(from, "t", "2");
        fake_lost(from);
        world_turn(w);
        assert_int_equal(world_charges(w).accounts, 2);
        assert_int_equal(world_charges(w).shares, 3);
        expect_deliver(to, 1, 1, "1");
        fake_confirm(to, 1, 1);
        expect_deliver(to, 1, 2, "2");
        assert_int_equal(world_charges(w).accounts, 1);
        assert_int_equal(world_charges(w).shares, 0);
        world_free(w);
}

/* ---- what is told ---- */

static void test_accounts_a_limit_that_was_met_is_told_once_a_second_for_its_uid(void **state) {
        (void)state;
        struct core_limits limits = world_defaults();
        limits.interests = 1;
        limits.names = 1;
        struct world *w = world_new(1, &limits);
        struct fake *a = fake_join(w, WORLD_ALLOWED_UID), *b = fake_join(w, WORLD_ALLOWED_UID);
        struct core_event event;
        subscribed(a, .sid = 1, .pattern = "t");
        subscribed(b, .sid = 1, .pattern = "t");
        for (unsigned i = 0; i < 50; i++) {
                SUBSCRIBE(a, .sid = 2, .pattern = "t");
                SUBSCRIBE(b, .sid = 2, .pattern = "t");
        }
        assert_true(next_limit_event(w, &event));
        assert_string_equal(event.limit, "limits.interests");
        assert_int_equal(event.value, 1);
        assert_int_equal(event.uid, WORLD_ALLOWED_UID);
        assert_int_equal(event.suppressed, 0);
        assert_false(next_limit_event(w, &event));
        world_advance(w, MS(1000));
        SUBSCRIBE(b, .sid = 2, .pattern = "t");
        assert_true(next_limit_event(w, &event));
        assert_int_equal(event.suppressed, 99);
        assert_int_equal(event.peer, b->id);
        assert_false(next_limit_event(w, &event));
        world_one_turn(w);
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_accounts_a_uid_has_limits_of_its_own),
                cmocka_unit_test(test_accounts_a_uid_cannot_have_what_is_the_brokers),
                cmocka_unit_test(test_accounts_interests_of_a_uid_are_bounded_together),
                cmocka_unit_test(test_accounts_calls_of_a_uid_are_bounded_together),
                cmocka_unit_test(test_accounts_another_uid_connects_at_a_rate),
                cmocka_unit_test(test_accounts_of_those_who_left_are_bounded),
                cmocka_unit_test(test_accounts_the_last_places_are_for_who_looks),
                cmocka_unit_test(test_accounts_a_kept_descriptor_is_for_who_looks),
                cmocka_unit_test(test_accounts_half_read_frames_of_a_uid_wait_for_each_other),
                cmocka_unit_test(test_accounts_half_read_frames_are_let_go_with_their_connection),
                cmocka_unit_test(test_accounts_unread_answers_of_a_uid_are_bounded_together),
                cmocka_unit_test(test_accounts_live_as_long_as_what_they_sent),
                cmocka_unit_test(test_accounts_a_limit_that_was_met_is_told_once_a_second_for_its_uid),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
