/* SPDX-License-Identifier: MIT */
/* Replies of the API and how large they may be: at every size either all of it is told, or that it is too large. And what
 * who tells of the budgets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "api_calls.h"
#include "core/api_arena.h"

#define PEERS 4
#define POLICY(name) RAMAL__V1__POLICY__POLICY_##name

/* Somebody of each sort: names and who waits for them, groups of each policy, subscribers, servers. */
static void fill(struct fake **peers) {
        static const Ramal__V1__Policy policies[] = {POLICY(LEAST_PENDING), POLICY(ROUND_ROBIN), POLICY(PRIMARY),
                                                     POLICY(RANDOM), POLICY(KEY)};
        for (int i = 0; i < PEERS; i++) {
                peers[i] = fake_join_as(world, i == 3 ? WORLD_ALLOWED_UID : WORLD_UID, "somebody with a rather long name");
                SUBSCRIBE(peers[i], .sid = 1, .pattern = "all.*");
                SUBSCRIBE(peers[i], .sid = 2, .pattern = "name.of.all", .serve = true, .name = true);
                SUBSCRIBE(peers[i], .sid = 3, .pattern = "do.>", .serve = true, .group = "all");
                SUBSCRIBE(peers[i], .sid = 5, .pattern = "do.*", .serve = true, .group = "all"); /* it is told once */
                SUBSCRIBE(peers[i], .sid = 4, .pattern = "do.it", .serve = true, .group = "it");
                for (unsigned g = 0; g < RML_COUNT(policies); g++) {
                        char group[8];
                        snprintf(group, sizeof(group), "g%u", g);
                        SUBSCRIBE(peers[i], .sid = 10 + g, .pattern = "all.>", .group = group, .policy = policies[g]);
                }
        }
        world_turn(world);
}

static void test_replies_are_whole_or_too_large_at_every_size(void **state) {
        static const char *const methods[] = {"list", "names", "limits", "who", "do", "status", "peer"};
        size_t told[RML_COUNT(methods)] = {0}, refusals[RML_COUNT(methods)] = {0};
        struct fake *peers[PEERS];
        (void)state;
        for (uint64_t size = 8; size < 20000; size += size < 600 ? 24 : size / 8) {
                struct core_limits limits;
                core_limits_default(&limits);
                limits.payload_bytes = size;
                with_limits(&limits);
                fill(peers);
                for (size_t i = 0; i < RML_COUNT(methods); i++) {
                        Ramal__Api__V1__WhoRequest who;
                        Ramal__Api__V1__StatusRequest status;
                        const ProtobufCMessage *request = NULL;
                        char subject[32];
                        ramal__api__v1__who_request__init(&who);
                        ramal__api__v1__status_request__init(&status);
                        snprintf(subject, sizeof(subject), "$SYS.api.%s", i == 4 ? "who" : i == 6 ? "status" : methods[i]);
                        who.subject = (char *)(uintptr_t)(i == 3 ? "all.a" : "do.it");
                        status.peer = peers[0]->id;
                        if (i == 3 || i == 4)
                                request = &who.base;
                        else if (i == 6)
                                request = &status.base;
                        if (request && protobuf_c_message_get_packed_size(request) > size)
                                continue;
                        const struct got *got = call(me, subject, request);
                        if (got->kind == RML_REPLY) {
                                assert_true(got->data.payload.len <= size);
                                told[i]++;
                        } else {
                                refused(got, RAMAL__V1__CODE__CODE_TOO_LARGE);
                                assert_int_equal(told[i], 0); /* what has fitted, fits into more */
                                refusals[i]++;
                        }
                }
        }
        for (size_t i = 0; i < RML_COUNT(methods); i++)
                assert_true(told[i] > 0 && refusals[i] > 0);
}

static char *why_of(Ramal__Api__V1__WhoReply **ret, const char *subject) {
        Ramal__Api__V1__WhoRequest request;
        ramal__api__v1__who_request__init(&request);
        request.subject = (char *)(uintptr_t)subject;
        *ret = REPLY(WhoReply, who_reply, "who", &request.base);
        return (*ret)->n_publish ? (*ret)->publish[0]->why : (*ret)->call[0]->why;
}

/* As full as it can be: what waits is as long as the budget. */
static void test_who_names_the_budget_that_is_full(void **state) {
        static const struct {
                size_t at;
                uint32_t uid;
                const char *says;
        } rows[] = {
                {offsetof(struct core_limits, connection_bytes), WORLD_UID, "connection's budget full"},
                {offsetof(struct core_limits, uid_bytes), WORLD_ALLOWED_UID, "user's budget full"},
                {offsetof(struct core_limits, broker_bytes), WORLD_UID, "user's budget full"}, /* its own has all */
                {offsetof(struct core_limits, broker_bytes), WORLD_ALLOWED_UID, "broker's budget full"},
        };
        (void)state;
        for (size_t i = 0; i < RML_COUNT(rows); i++) {
                struct core_limits limits;
                Ramal__Api__V1__WhoReply *got;
                core_limits_default(&limits);
                limits.reserve_bytes = 0;
                *(uint64_t *)(void *)((char *)&limits + rows[i].at) = 1000;
                with_limits(&limits);
                struct fake *slow = fake_join(world, rows[i].uid), *evicted = fake_join(world, rows[i].uid);
                SUBSCRIBE(slow, .sid = 1, .pattern = "full", .credit_messages = 1);
                fake_publish(me, "full", "under way");
                fake_publish_bytes(me, "full", 900); /* one is always admitted to nothing */
                world_turn(world);
                char *why = why_of(&got, "full");
                assert_non_null(strstr(why, "and would lose older ones"));
                assert_non_null(strstr(why, rows[i].says));
                done(got);
                SUBSCRIBE(evicted, .sid = 1, .pattern = "all", .overflow = RAMAL__V1__OVERFLOW__OVERFLOW_EVICT);
                why = why_of(&got, "all");
                assert_non_null(strstr(why, "subscribes"));
                done(got);
        }
}

/* The head of a `primary` group, one that is leaving, and one that waits behind it. */
static void test_who_names_the_head_and_who_is_leaving(void **state) {
        struct fake *head = fake_join(world, WORLD_UID), *next = fake_join(world, WORLD_UID);
        Ramal__Api__V1__WhoReply *got;
        (void)state;
        SUBSCRIBE(head, .sid = 1, .pattern = "p", .group = "g", .policy = POLICY(PRIMARY), .credit_messages = 1);
        SUBSCRIBE(next, .sid = 1, .pattern = "p", .group = "g", .policy = POLICY(PRIMARY));
        world_turn(world);
        assert_string_equal(why_of(&got, "p"), "head of group g (primary)");
        assert_string_equal(got->publish[1]->why, "stands in line in group g, 1 before it");
        done(got);
        fake_publish(me, "p", "1");
        fake_publish(me, "p", "2");
        world_turn(world);
        SUBSCRIBE(head, .sid = 2, .pattern = "p");
        fake_bye(head, true, 1000000);
        char *why = why_of(&got, "p");
        assert_int_equal(got->publish[0]->peer, next->id);
        assert_string_equal(why, "head of group g (primary)");
        assert_int_equal(got->n_publish, 1); /* who leaves takes nothing new */
        done(got);
}

/* Numbers that no request can bring, but a mistake could. */
static void test_arena_refuses_what_cannot_be_counted(void **state) {
        struct arena arena;
        (void)state;
        arena_init(&arena, SIZE_MAX);
        assert_null(arena_alloc(&arena, SIZE_MAX));
        assert_null(arena_alloc(&arena, SIZE_MAX - 16));
        assert_null(arena_array(&arena, SIZE_MAX / 2, 4));
        assert_non_null(arena_array(&arena, 5, 0));
        assert_non_null(arena_alloc(&arena, 0));
        arena_deinit(&arena);
        arena_init(&arena, 100);
        assert_non_null(arena_alloc(&arena, 60));
        assert_null(arena_alloc(&arena, 60));
        assert_true(arena.full);
        arena_deinit(&arena);
}

static void test_replies_of_a_broker_without_a_limit(void **state) {
        struct core_limits limits;
        (void)state;
        core_limits_default(&limits);
        limits.payload_bytes = RML_PAYLOAD_BYTES_CEILING + 1;
        with_limits(&limits);
        assert_int_equal(call(me, "$SYS.api.list", NULL)->kind, RML_REPLY);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                WORLD_TEST(test_replies_are_whole_or_too_large_at_every_size),
                WORLD_TEST(test_who_names_the_budget_that_is_full),
                WORLD_TEST(test_who_names_the_head_and_who_is_leaving),
                WORLD_TEST(test_replies_of_a_broker_without_a_limit),
                cmocka_unit_test(test_arena_refuses_what_cannot_be_counted),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
