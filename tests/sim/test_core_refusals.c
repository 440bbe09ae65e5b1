/* SPDX-License-Identifier: MIT */
/* Rules 4 and 6: what is refused, how that is told, and that nobody is disconnected for it. */
#include "expect.h"

#include <string.h>

static void test_refusals_of_publishes_name_their_number_and_merge(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID);
        fake_publish(a, "fine", "x");
        a->stuck = true;
        for (int i = 0; i < 3; i++)
                fake_publish(a, "a.*", "x");
        fake_publish(a, "$SYS.peer.1", "x");
        fake_publish(a, "fine", "x");
        fake_publish(a, "a..b", "x");
        a->stuck = false;
        uint64_t told = 0;
        Ramal__V1__Code codes[8] = {0};
        while (told < 5) {
                const struct got *got = expect(a, RML_STATUS);
                const Ramal__V1__Status *status = GOT(got, Status);
                assert_int_equal(got->id, 0);
                assert_true(strlen(status->text) > 0);
                assert_in_range(status->publish + (status->count ? status->count : 1), 1, 8);
                for (uint64_t i = 0; i < (status->count ? status->count : 1); i++, told++)
                        codes[status->publish + i] = status->code;
        }
        expect_nothing(a);
        assert_int_equal(codes[1], CODE(OK));
        for (int i = 2; i <= 4; i++)
                assert_int_equal(codes[i], CODE(BAD_SUBJECT));
        assert_int_equal(codes[5], CODE(DENIED));
        assert_int_equal(codes[6], CODE(OK));
        assert_int_equal(codes[7], CODE(BAD_SUBJECT));
        world_free(w);
}

/* As long as they wait, a million refusals are one frame. */
static void test_refusals_of_a_flood_take_no_memory(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        struct world *w = world_new(1, &limits);
        struct fake *a = fake_join(w, WORLD_UID);
        a->stuck = true;
        uint64_t sent = 0, told = 0, frames = 0;
        while (sent < 100000 && core_peer_reading(a->peer)) {
                fake_publish(a, ">", "x");
                sent++;
        }
        assert_int_equal(sent, 100000);
        a->stuck = false;
        world_turn(w);
        for (const struct got *got; (got = fake_next(a)); frames++)
                told += GOT(got, Status)->count ? GOT(got, Status)->count : 1;
        assert_int_equal(told, sent);
        assert_true(frames < 10000);
        world_free(w);
}

static void test_refusals_of_a_publish_with_receipt_are_its_one_answer(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID);
        uint64_t id = fake_publish_receipt(a, "a.>", "x");
        expect_status(a, id, BAD_SUBJECT);
        expect_nothing(a);
        world_free(w);
}

static void test_refusals_unheard_is_no_error(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID);
        fake_publish(a, "nobody.listens", "x");
        expect_nothing(a);
        uint64_t id = fake_publish_receipt(a, "nobody.listens", "x");
        const struct got *got = expect(a, RML_ACCEPTED);
        assert_int_equal(got->id, id);
        assert_int_equal(GOT(got, Accepted)->receivers, 0);
        world_free(w);
}

static void test_refusals_receipt_counts_the_receivers(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "t");
        subscribed(b, .sid = 1, .pattern = "t");
        subscribed(b, .sid = 2, .pattern = ">");
        subscribed(b, .sid = 3, .pattern = "t", .serve = true);
        fake_publish_receipt(a, "t", "x");
        expect_deliver(a, 1, 1, "x");
        assert_int_equal(GOT(expect(a, RML_ACCEPTED), Accepted)->receivers, 3);
        world_free(w);
}

static void test_refusals_of_subscriptions(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID);
        expect_status(a, SUBSCRIBE(a, .sid = 0, .pattern = "t"), INVALID);
        expect_status(a, SUBSCRIBE(a, .sid = 1, .pattern = ""), BAD_SUBJECT);
        expect_status(a, SUBSCRIBE(a, .sid = 1, .pattern = "a..b"), BAD_SUBJECT);
        expect_status(a, SUBSCRIBE(a, .sid = 1, .pattern = "a.>.b"), BAD_SUBJECT);
        expect_status(a, SUBSCRIBE(a, .sid = 1, .pattern = "a b"), BAD_SUBJECT);
        expect_status(a, SUBSCRIBE(a, .sid = 1, .pattern = "a.\xc0\x80"), BAD_SUBJECT);
        expect_status(a, SUBSCRIBE(a, .sid = 1, .pattern = "a", .group = "g.*"), BAD_SUBJECT);
        subscribed(a, .sid = 1, .pattern = "t");
        expect_status(a, SUBSCRIBE(a, .sid = 1, .pattern = "u"), EXISTS); /* C44 */
        expect_status(a, fake_unsubscribe(a, 9), NOT_FOUND);              /* C43, C47 */
        expect_nothing(a);
        world_free(w);
}

/* What comes later is refused by name, not ignored. */
static void test_refusals_of_what_comes_later(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID);
        expect_status(a, SUBSCRIBE(a, .sid = 1, .pattern = "t", .start = RAMAL__V1__START__START_LAST), UNSUPPORTED);
        const Ramal__V1__Status *status =
                expect_status(a, SUBSCRIBE(a, .sid = 1, .pattern = "t", .no_local = true), UNSUPPORTED);
        assert_non_null(strstr(status->text, "no_local"));
        struct say retain = {.subject = "t", .flags = FLAG(RETAIN)};
        fake_data(a, RML_PUBLISH, false, &retain);
        assert_int_equal(expect_status(a, 0, UNSUPPORTED)->publish, 1);
        Ramal__V1__Describe describe;
        ramal__v1__describe__init(&describe);
        expect_status(a, fake_control(a, RML_DESCRIBE, true, &describe.base), UNSUPPORTED);
        Ramal__V1__Will will = RAMAL__V1__WILL__INIT;
        expect_status(a, fake_control(a, RML_WILL, true, &will.base), UNSUPPORTED);
        world_free(w);
}

/* B27: an enum value that nobody knows. */
static void test_refusals_of_unknown_enums(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID);
        static const struct sub unknown[] = {
                {.sid = 1, .pattern = "t", .overflow = (Ramal__V1__Overflow)77},
                {.sid = 1, .pattern = "t", .group = "g", .policy = (Ramal__V1__Policy)77},
                {.sid = 1, .pattern = "t", .start = (Ramal__V1__Start)77},
        };
        for (size_t i = 0; i < RML_COUNT(unknown); i++) {
                uint64_t id = fake_subscribe(a, &unknown[i]);
                const struct got *got = expect(a, RML_STATUS);
                assert_int_equal(got->id, id);
                assert_true(GOT(got, Status)->code == CODE(UNSUPPORTED) || GOT(got, Status)->code == CODE(INVALID));
        }
        world_free(w);
}

static void test_refusals_of_unknown_kinds(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID);
        /* Frame {id = 5, field 99 = ""}, and one without an id. */
        static const uint8_t with_id[] = {0, 0, 0, 5, 0x08, 5, 0x9a, 0x06, 0}, without[] = {0, 0, 0, 3, 0x9a, 0x06, 0};
        fake_raw(a, with_id, sizeof(with_id));
        expect_status(a, 5, UNSUPPORTED);
        fake_raw(a, without, sizeof(without));
        a->next_id = 6;
        assert_int_equal(expect(a, RML_PONG)->id, (fake_ping(a), 6));
        world_free(w);
}

static void test_refusals_of_a_payload_too_large(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.payload_bytes = 1000;
        struct world *w = world_new(1, &limits);
        struct fake *a = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "t");
        fake_publish_bytes(a, "t", 1000);
        expect_deliver(a, 1, 1, NULL);
        fake_publish_bytes(a, "t", 1001);
        const Ramal__V1__Status *status = expect_status(a, 0, TOO_LARGE);
        assert_int_equal(status->publish, 2);
        assert_int_equal(status->value, 1000);
        assert_string_equal(status->limit, "limits.payload_bytes");
        expect_nothing(a);
        world_free(w);
}

static void test_refusals_over_the_limit_of_interests_and_names(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.interests = 2;
        limits.names = 1;
        struct world *w = world_new(1, &limits);
        struct fake *a = fake_join(w, WORLD_ALLOWED_UID), *own = fake_join(w, WORLD_UID);
        expect_subscribed(a, SUBSCRIBE(a, .sid = 1, .serve = true, .name = true, .pattern = "n.a"), OWNER, 0);
        const Ramal__V1__Status *status =
                expect_status(a, SUBSCRIBE(a, .sid = 2, .serve = true, .name = true, .pattern = "n.b"), OVER_LIMIT);
        assert_string_equal(status->limit, "limits.names");
        subscribed(a, .sid = 2, .pattern = "t");
        status = expect_status(a, SUBSCRIBE(a, .sid = 3, .pattern = "t"), OVER_LIMIT);
        assert_string_equal(status->limit, "limits.interests");
        assert_int_equal(status->value, 2);
        for (unsigned i = 1; i <= 5; i++)
                subscribed(own, .sid = i, .pattern = "t");
        world_free(w);
}

/* Rule 4: a stuck reader of the broker's own answers is not read, until it has read. */
static void test_refusals_unread_answers_pause_the_reading(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID);
        a->stuck = true;
        uint64_t pings = 0;
        while (core_peer_reading(a->peer) && pings < 1000000) {
                fake_ping(a);
                pings++;
        }
        assert_true(pings > 1000 && pings < 300000);
        /* What comes all the same is kept, and answered in its turn. */
        fake_ping(a);
        pings++;
        world_turn(w);
        a->stuck = false;
        world_collect_dirty(w);
        fake_take(a, SIZE_MAX);
        assert_true(world_due(w)); /* there is more to do at once */
        world_turn(w);
        assert_true(core_peer_reading(a->peer));
        uint64_t pongs = 0;
        for (world_turn(w); fake_next(a); pongs++)
                ;
        assert_int_equal(pongs, pings);
        world_free(w);
}

/* Whether to read changes with calls on this peer alone: its socket is watched no more after them. */
static void test_refusals_reading_goes_on_as_soon_as_the_answers_are_read(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        subscribed(b, .sid = 1, .pattern = "t");
        a->stuck = true;
        while (core_peer_reading(a->peer))
                fake_ping(a);
        fake_publish(a, "t", "1");
        expect_nothing(b);
        assert_false(core_peer_reading(a->peer));
        world_collect_dirty(w);
        fake_take(a, SIZE_MAX);
        assert_true(world_due(w));
        assert_ptr_equal(core_next_reading(w->core), a->peer); /* the edge is told to look again */
        fake_publish(a, "t", "2"); /* stands behind what waits already */
        world_turn(w);
        expect_deliver(b, 1, 1, "1");
        expect_deliver(b, 1, 2, "2");
        assert_true(core_peer_reading(a->peer));
        world_free(w);
}

/* Deliveries unread do not pause it. */
static void test_refusals_unread_deliveries_do_not_pause_the_reading(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "t");
        a->stuck = true;
        for (int i = 0; i < 100; i++) {
                fake_publish_bytes(a, "t", 20000);
                assert_true(core_peer_reading(a->peer));
        }
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_refusals_of_publishes_name_their_number_and_merge),
                cmocka_unit_test(test_refusals_of_a_flood_take_no_memory),
                cmocka_unit_test(test_refusals_of_a_publish_with_receipt_are_its_one_answer),
                cmocka_unit_test(test_refusals_unheard_is_no_error),
                cmocka_unit_test(test_refusals_receipt_counts_the_receivers),
                cmocka_unit_test(test_refusals_of_subscriptions),
                cmocka_unit_test(test_refusals_of_what_comes_later),
                cmocka_unit_test(test_refusals_of_unknown_enums),
                cmocka_unit_test(test_refusals_of_unknown_kinds),
                cmocka_unit_test(test_refusals_of_a_payload_too_large),
                cmocka_unit_test(test_refusals_over_the_limit_of_interests_and_names),
                cmocka_unit_test(test_refusals_unread_answers_pause_the_reading),
                cmocka_unit_test(test_refusals_reading_goes_on_as_soon_as_the_answers_are_read),
                cmocka_unit_test(test_refusals_unread_deliveries_do_not_pause_the_reading),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
