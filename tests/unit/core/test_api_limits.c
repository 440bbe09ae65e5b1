/* SPDX-License-Identifier: MIT */
/* $SYS.api.limits: which limits are in force for whom, and who uses how much. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "api_calls.h"

#define AT(name) (UINT64_C(1) << offsetof(struct core_limits, name) / sizeof(uint64_t))

static Ramal__Api__V1__LimitsReply *limits_of(const struct fake *fake) {
        Ramal__Api__V1__LimitsRequest request;

        ramal__api__v1__limits_request__init(&request);
        request.peer = fake->id;
        return REPLY(LimitsReply, limits_reply, "limits", &request.base);
}

static const Ramal__Api__V1__Limit *limit(const Ramal__Api__V1__LimitsReply *limits, const char *key) {
        for (size_t i = 0; i < limits->n_limits; i++)
                if (strcmp(limits->limits[i]->key, key) == 0)
                        return limits->limits[i];
        fail_msg("no %s", key);
        return NULL;
}

/* One of another uid with something of everything. */
static struct fake *busy(void) {
        struct fake *other = fake_join(world, WORLD_ALLOWED_UID), *reader = fake_join(world, WORLD_ALLOWED_UID);
        static char text[2000];

        SUBSCRIBE(other, .sid = 1, .pattern = "n", .name = true);
        SUBSCRIBE(other, .sid = 2, .pattern = "p", .credit_messages = 1);
        SUBSCRIBE(me, .sid = 1, .pattern = "s", .serve = true, .credit_messages = 1);
        SUBSCRIBE(reader, .sid = 1, .pattern = "q");
        for (unsigned i = 0; i < 4; i++)
                fake_publish_bytes(me, "p", 1000);
        memset(text, 'x', sizeof(text) - 1);
        for (unsigned i = 0; i < 3; i++)
                fake_call(other, "s", text, 0);
        world_turn(world);
        reader->hold = true;
        fake_publish_bytes(reader, "q", 100000);
        fake_release_part(reader, 50000);
        return other;
}

static void test_limits_tells_the_use_of_connection_and_uid(void **state) {
        (void)state;
        struct fake *other = busy();
        other->stuck = true;
        fake_ping(other);
        Ramal__Api__V1__LimitsReply *limits = limits_of(other);
        static const struct {
                const char *key;
                uint64_t least, most;
        } used[] = {
                {"limits.interests", 2, 2},
                {"limits.names", 1, 1},
                {"limits.calls", 3, 3},
                {"limits.uid_interests", 3, 3},
                {"limits.uid_names", 1, 1},
                {"limits.uid_calls", 3, 3},
                {"limits.uid_connections", 2, 2},
                {"limits.uid_input_bytes", 100000, 100100},
                {"limits.unread_answers_bytes", 1, 100},
                {"limits.uid_unread_answers_bytes", 1, 100},
                {"limits.connection_bytes", 4000, 5000}, /* of deliveries and calls the fuller one */
                {"limits.uid_bytes", 4000, 5000},
                {"limits.broker_bytes", 7000, 9000},
                {"limits.reserve_bytes", 0, 0},
                {"limits.reserved_connections", 0, 0},
                {"limits.own_connections", 0, 0},
                {"limits.own_interests", 0, 0},
        };

        for (size_t i = 0; i < RML_COUNT(used); i++)
                assert_in_range(limit(limits, used[i].key)->used, used[i].least, used[i].most);
        done(limits);
        limits = limits_of(me);
        assert_int_equal(limit(limits, "limits.own_connections")->used, 1);
        assert_int_equal(limit(limits, "limits.own_interests")->used, 1);
        assert_true(limit(limits, "limits.own_interests")->counted);
        assert_int_equal(limit(limits, "limits.uid_interests")->used, 0); /* not its own limit */
        assert_false(limit(limits, "limits.uid_interests")->counted);
        assert_false(limit(limits, "limits.turn_frames")->counted);
        done(limits);
}

static void test_limits_tells_what_each_user_holds(void **state) {
        (void)state;
        busy();
        fake_join_tcp(world);
        fake_lost(fake_join(world, 0)); /* who is gone is not told */
        world_turn(world);
        Ramal__Api__V1__LimitsReply *limits = limits_of(me);
        assert_int_equal(limits->n_users, 3);
        const Ramal__Api__V1__User *own = limits->users[0], *other = limits->users[1], *token = limits->users[2];
        assert_true(own->local && own->own);
        assert_int_equal(own->uid, WORLD_UID);
        assert_int_equal(own->connections, 1);
        assert_true(other->local && !other->own);
        assert_int_equal(other->uid, WORLD_ALLOWED_UID);
        assert_int_equal(other->connections, 2);
        assert_int_equal(other->interests, 3);
        assert_int_equal(other->names, 1);
        assert_int_equal(other->calls, 3);
        assert_in_range(other->queued_bytes, 3000, 3600);
        assert_in_range(other->call_bytes, 4000, 4600);
        assert_int_equal(other->reply_bytes, 0);
        assert_in_range(other->input_bytes, 100000, 100100);
        assert_int_equal(other->unread_bytes, 0);
        assert_false(token->local || token->own);
        assert_int_equal(token->connections, 1);
        done(limits);
}

static void test_limits_names_those_of_one_uid(void **state) {
        (void)state;
        struct core_uid_limits own = {.uid = WORLD_ALLOWED_UID, .overridden = AT(calls) | AT(hello_timeout_ns)};
        core_limits_default(&own.limits);
        own.limits.calls = 3;
        own.limits.hello_timeout_ns = 7;
        world_free(world);
        world = world_alone(7, NULL);
        world->uid_limits = &own;
        world->uid_limit_count = 1;
        world_begin(world);
        me = fake_join_as(world, WORLD_UID, "caller");
        struct fake *other = fake_join(world, WORLD_ALLOWED_UID);
        Ramal__Api__V1__LimitsReply *limits = limits_of(other);
        assert_int_equal(limit(limits, "limits uid 2000.calls")->value, 3);
        assert_int_equal(limit(limits, "limits uid 2000.hello_timeout")->value, 7);
        assert_int_equal(limit(limits, "limits.interests")->value, world->limits.interests);
        done(limits);
        limits = limits_of(me);
        assert_int_equal(limit(limits, "limits.calls")->value, world->limits.calls);
        done(limits);
}

/* Small ones are told at any time: whoever looks for the trouble is of that user, too. */
static void test_limits_a_large_answer_needs_room_among_what_its_user_leaves_unread(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.uid_unread_answers_bytes = 50000;
        with_limits(&limits);
        struct fake *first = fake_join(world, WORLD_ALLOWED_UID), *second = fake_join(world, WORLD_ALLOWED_UID);
        Ramal__Api__V1__WhoRequest who;
        ramal__api__v1__who_request__init(&who);
        who.subject = (char[]){"t"};
        for (unsigned i = 1; i <= 1000; i++)
                SUBSCRIBE(first, .sid = i, .pattern = "t");
        world_turn(world);
        fake_skip(first);
        struct got *got = call(second, "$SYS.api.who", &who.base); /* alone it may be larger than all of the bound */
        assert_int_equal(got->kind, RML_REPLY);
        assert_true(got->len > 20000);
        first->stuck = true;
        for (unsigned i = 0; i < 100; i++)
                fake_call(first, "$SYS.api.status", "", 0);
        got = call(second, "$SYS.api.who", &who.base);
        refused(got, RAMAL__V1__CODE__CODE_OVER_LIMIT);
        assert_string_equal(GOT(got, Status)->limit, "limits.uid_unread_answers_bytes");
        assert_int_equal(GOT(got, Status)->value, 50000);
        got = call(second, "$SYS.api.limits", NULL);
        assert_int_equal(got->kind, RML_REPLY);
        got = call(me, "$SYS.api.who", &who.base); /* another user's business */
        assert_int_equal(got->kind, RML_REPLY);
}

/* The fullest interest is looked for among the first 4096: an answer may not cost more the more of them there are. */
static void test_limits_looks_at_a_bounded_number_of_interests(void **state) {
        struct core_limits limits;

        (void)state;
        core_limits_default(&limits);
        with_limits(&limits);
        struct fake *reader = fake_join(world, WORLD_UID);
        for (uint64_t sid = 1; sid <= 5000; sid++) {
                char pattern[16];

                snprintf(pattern, sizeof(pattern), "many.%u", (unsigned)sid);
                SUBSCRIBE(reader, .sid = sid, .pattern = pattern, .credit_messages = 1);
        }
        world_turn(world);
        for (unsigned i = 0; i < 3; i++) {
                fake_publish_bytes(me, "many.4096", 100);
                fake_publish_bytes(me, "many.4097", 100);
                fake_publish_bytes(me, "many.4097", 100);
        }
        world_turn(world);
        Ramal__Api__V1__LimitsReply *used = limits_of(reader);
        assert_int_equal(limit(used, "limits.interest_messages")->used, 2); /* of 4096, not the 5 of 4097 */
        done(used);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                WORLD_TEST(test_limits_tells_the_use_of_connection_and_uid),
                WORLD_TEST(test_limits_tells_what_each_user_holds),
                WORLD_TEST(test_limits_names_those_of_one_uid),
                WORLD_TEST(test_limits_a_large_answer_needs_room_among_what_its_user_leaves_unread),
                WORLD_TEST(test_limits_looks_at_a_bounded_number_of_interests),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
