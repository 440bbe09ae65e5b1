/* SPDX-License-Identifier: MIT */
/* $SYS.api.who: what it says is what routing then does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "api_calls.h"

static Ramal__Api__V1__WhoReply *who(const char *subject) {
        Ramal__Api__V1__WhoRequest request;
        char text[256];

        ramal__api__v1__who_request__init(&request);
        snprintf(text, sizeof(text), "%s", subject);
        request.subject = text;
        return REPLY(WhoReply, who_reply, "who", &request.base);
}

static void receiver(const Ramal__Api__V1__Receiver *line, const struct fake *fake, uint64_t sid, bool chosen,
                     const char *why) {
        assert_int_equal(line->peer, fake->id);
        assert_int_equal(line->sid, sid);
        assert_string_equal(line->why, why);
        assert_int_equal(line->chosen, chosen);
        assert_string_equal(line->app, "fake");
}

static void test_who_agrees_with_what_routing_then_does(void **state) {
        struct fake *one = fake_join(world, WORLD_UID), *two = fake_join(world, WORLD_UID);
        Ramal__Api__V1__WhoReply *got;
        uint64_t chosen;

        (void)state;
        SUBSCRIBE(one, .sid = 1, .pattern = "a.*");
        SUBSCRIBE(one, .sid = 2, .pattern = "a.b", .group = "g");
        SUBSCRIBE(two, .sid = 3, .pattern = "a.>", .group = "g"); /* the same group on another pattern */
        world_turn(world);
        fake_skip(one);
        fake_skip(two);
        for (int i = 0; i < 6; i++) {
                got = who("a.b");
                assert_int_equal(got->n_call, 0);
                assert_int_equal(got->n_publish, 3);
                receiver(got->publish[0], one, 1, true, "subscribes");
                assert_string_equal(got->publish[0]->pattern, "a.*");
                assert_string_equal(got->publish[0]->group, "");
                assert_string_equal(got->publish[0]->policy, "");
                chosen = got->publish[1]->sid;
                receiver(got->publish[1], chosen == 2 ? one : two, chosen, true, "next in group g (least_pending)");
                receiver(got->publish[2], chosen == 2 ? two : one, 5 - chosen, false,
                         "stands in line in group g, 1 before it");
                assert_string_equal(got->publish[2]->policy, "least_pending");
                done(got);

                fake_publish(me, "a.b", "x");
                world_turn(world);
                uint64_t sid = 0;
                for (struct got *frame; (frame = fake_next(one));)
                        if (frame->data.sid != 1)
                                sid = frame->data.sid;
                for (struct got *frame; (frame = fake_next(two));)
                        sid = frame->data.sid;
                assert_int_equal(sid, chosen);
        }
}

static void test_who_names_the_server_that_is_chosen_and_those_outdone(void **state) {
        struct fake *one = fake_join(world, WORLD_UID), *two = fake_join(world, WORLD_UID);
        Ramal__Api__V1__WhoReply *got;

        (void)state;
        SUBSCRIBE(one, .sid = 1, .pattern = "svc.>", .serve = true);
        SUBSCRIBE(two, .sid = 2, .pattern = "svc.*", .serve = true);
        got = who("svc.do");
        assert_int_equal(got->n_publish, 0);
        assert_int_equal(got->n_call, 2);
        receiver(got->call[0], two, 2, true, "serves it");
        receiver(got->call[1], one, 1, false, "passed over: svc.* is more specific");
        done(got);
        SUBSCRIBE(one, .sid = 3, .pattern = "nm", .name = true);
        SUBSCRIBE(two, .sid = 3, .pattern = "nm", .name = true);
        got = who("nm.method");
        assert_int_equal(got->n_call, 2);
        receiver(got->call[0], one, 3, true, "owner of the name nm");
        receiver(got->call[1], two, 3, false, "stands in line for the name nm, 1 before it");
        assert_string_equal(got->call[0]->policy, "primary");
        assert_string_equal(got->call[0]->pattern, "nm");
        assert_string_equal(got->call[0]->group, "");
        done(got);
}

static void test_who_shows_who_is_full(void **state) {
        struct fake *busy = fake_join(world, WORLD_UID), *idle = fake_join(world, WORLD_UID);
        Ramal__Api__V1__WhoReply *got;

        (void)state;
        SUBSCRIBE(busy, .sid = 1, .pattern = "w", .serve = true, .group = "g", .window_messages = 1,
                  .credit_messages = 1);
        fake_call(me, "w", "one", 0);
        fake_call(me, "w", "two", 0);
        got = who("w");
        assert_int_equal(got->n_call, 1);
        receiver(got->call[0], busy, 1, false, "passed over: window full");
        assert_true(got->call[0]->pending > 0);
        done(got);
        SUBSCRIBE(idle, .sid = 1, .pattern = "w", .serve = true, .group = "g");
        got = who("w");
        assert_int_equal(got->n_call, 2);
        receiver(got->call[0], idle, 1, true, "next in group g (least_pending)");
        receiver(got->call[1], busy, 1, false, "passed over: window full");
        done(got);

        SUBSCRIBE(busy, .sid = 2, .pattern = "p", .window_messages = 1, .credit_messages = 1);
        SUBSCRIBE(busy, .sid = 3, .pattern = "p", .window_messages = 1, .credit_messages = 1,
                  .overflow = RAMAL__V1__OVERFLOW__OVERFLOW_DROP_NEW);
        fake_publish(me, "p", "committed");
        fake_publish(me, "p", "queued");
        got = who("p");
        assert_int_equal(got->n_publish, 2);
        receiver(got->publish[0], busy, 2, true, "subscribes, and would lose older ones: window full, drop_old");
        receiver(got->publish[1], busy, 3, false, "subscribes, but would lose it: window full, drop_new");
        done(got);
}

static void test_who_names_all_that_random_may_choose(void **state) {
        struct fake *one = fake_join(world, WORLD_UID), *two = fake_join(world, WORLD_UID);
        Ramal__Api__V1__WhoReply *got;

        (void)state;
        SUBSCRIBE(one, .sid = 1, .pattern = "r", .group = "g", .policy = RAMAL__V1__POLICY__POLICY_RANDOM,
                  .window_messages = 1, .credit_messages = 1);
        SUBSCRIBE(two, .sid = 2, .pattern = "r", .group = "g");
        got = who("r");
        assert_int_equal(got->n_publish, 2);
        receiver(got->publish[0], one, 1, true, "any of 2 in group g (random)");
        receiver(got->publish[1], two, 2, true, "any of 2 in group g (random)");
        assert_string_equal(got->publish[0]->policy, "random");
        done(got);
        for (int i = 0; i < 30; i++) /* one is full soon */
                fake_publish(me, "r", "x");
        got = who("r");
        receiver(got->publish[got->publish[0]->peer == one->id ? 0 : 1], one, 1, false, "passed over: window full");
        receiver(got->publish[got->publish[0]->peer == one->id ? 1 : 0], two, 2, true,
                 "the only one with room in group g (random)");
        done(got);
        fake_unsubscribe(two, 2);
        got = who("r");
        assert_int_equal(got->n_publish, 1);
        receiver(got->publish[0], one, 1, true,
                 "next in group g (random), and would lose older ones: window full, drop_old");
        done(got);
}

static void test_who_says_that_it_depends_on_the_key(void **state) {
        struct fake *one = fake_join(world, WORLD_UID), *two = fake_join(world, WORLD_UID);
        Ramal__Api__V1__WhoReply *got;

        (void)state;
        SUBSCRIBE(one, .sid = 1, .pattern = "k", .serve = true, .group = "g", .policy = RAMAL__V1__POLICY__POLICY_KEY,
                  .window_messages = 1, .credit_messages = 1);
        fake_call(me, "k", "x", 0);
        SUBSCRIBE(two, .sid = 2, .pattern = "k", .serve = true, .group = "g");
        got = who("k");
        assert_int_equal(got->n_call, 2);
        assert_string_equal(got->call[0]->policy, "key");
        receiver(got->call[0], two, 2, true,
                 "has its share of the keys, and is next for what has none, in group g (key)");
        receiver(got->call[1], one, 1, false, "has its share of the keys in group g (key), but would refuse: window full");
        done(got);
        SUBSCRIBE(one, .sid = 3, .pattern = "k", .group = "g", .policy = RAMAL__V1__POLICY__POLICY_KEY,
                  .window_messages = 1, .credit_messages = 1);
        fake_publish(me, "k", "x");
        got = who("k");
        assert_int_equal(got->n_publish, 1);
        receiver(got->publish[0], one, 3, true,
                 "has its share of the keys, and is next for what has none, in group g (key), and would lose older ones: "
                 "window full, drop_old");
        done(got);
}

static void test_who_knows_what_the_broker_answers(void **state) {
        Ramal__Api__V1__WhoReply *got = who("$SYS.api.who");

        (void)state;
        assert_int_equal(got->n_publish, 0);
        assert_int_equal(got->n_call, 1);
        assert_int_equal(got->call[0]->peer, 0);
        assert_string_equal(got->call[0]->app, "ramald test");
        assert_string_equal(got->call[0]->why, "the broker itself answers");
        done(got);
        got = who("$SYS.api.nothing");
        assert_int_equal(got->n_call, 0);
        done(got);
}

static void test_who_refuses_what_is_no_subject(void **state) {
        static const char *const bad[] = {"", "a.*", "a.>", "a..b", " ", ".", "a b"};
        static const uint8_t not_utf8[] = {0x0a, 2, 'a', 0xff}, with_nul[] = {0x0a, 3, 'a', 0, 'b'};

        (void)state;
        for (size_t i = 0; i < RML_COUNT(bad); i++) {
                Ramal__Api__V1__WhoRequest request;
                char text[16];

                ramal__api__v1__who_request__init(&request);
                snprintf(text, sizeof(text), "%s", bad[i]);
                request.subject = text;
                refused(call(me, "$SYS.api.who", &request.base), RAMAL__V1__CODE__CODE_BAD_SUBJECT);
        }
        refused(call_bytes(me, "$SYS.api.who", not_utf8, sizeof(not_utf8)), RAMAL__V1__CODE__CODE_INVALID);
        refused(call_bytes(me, "$SYS.api.who", with_nul, sizeof(with_nul)), RAMAL__V1__CODE__CODE_INVALID);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                WORLD_TEST(test_who_agrees_with_what_routing_then_does),
                WORLD_TEST(test_who_names_the_server_that_is_chosen_and_those_outdone),
                WORLD_TEST(test_who_shows_who_is_full),
                WORLD_TEST(test_who_names_all_that_random_may_choose),
                WORLD_TEST(test_who_says_that_it_depends_on_the_key),
                WORLD_TEST(test_who_knows_what_the_broker_answers),
                WORLD_TEST(test_who_refuses_what_is_no_subject),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
