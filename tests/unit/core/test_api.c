/* SPDX-License-Identifier: MIT */
/* The broker's own API, through core.h alone. who: test_api_who.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "api_calls.h"

/* ---- list and names ---- */

static void test_list_shows_peers_in_order_of_arrival_with_identity_and_names(void **state) {
        struct fake *other = fake_join_as(world, WORLD_ALLOWED_UID, "other"), *tcp = fake_join_tcp(world);
        struct fake *silent = fake_local(world, WORLD_UID);
        Ramal__Api__V1__ListReply *list;

        (void)state;
        SUBSCRIBE(other, .sid = 1, .pattern = "an.other", .name = true);
        SUBSCRIBE(me, .sid = 1, .pattern = "an.other.two", .name = true); /* inside another user's: refused */
        SUBSCRIBE(other, .sid = 2, .pattern = "mine", .name = true);
        SUBSCRIBE(other, .sid = 3, .pattern = "a.>");
        world_advance(world, MS(5));
        list = REPLY(ListReply, list_reply, "list", NULL);
        assert_int_equal(list->n_peers, 4);
        assert_int_equal(list->peers[0]->id, me->id);
        assert_string_equal(list->peers[0]->app, "caller");
        assert_int_equal(list->peers[0]->n_names, 0);
        const Ramal__Api__V1__Peer *line = list->peers[1];
        assert_int_equal(line->id, other->id);
        assert_string_equal(line->app, "other");
        assert_string_equal(line->library, "world");
        assert_true(line->local && line->welcomed);
        assert_int_equal(line->uid, WORLD_ALLOWED_UID);
        assert_int_equal(line->gid, WORLD_ALLOWED_UID);
        assert_int_equal(line->pid, 101);
        assert_int_equal(line->n_groups, 1);
        assert_int_equal(line->groups[0], WORLD_ALLOWED_UID);
        assert_string_equal(line->identity, "");
        assert_string_equal(line->address, "unix:@world");
        assert_int_equal(line->age_us, 5000);
        assert_int_equal(line->interests, 3);
        assert_int_equal(line->n_names, 2);
        assert_string_equal(line->names[0], "an.other");
        assert_string_equal(line->names[1], "mine");
        line = list->peers[2];
        assert_int_equal(line->id, tcp->id);
        assert_false(line->local);
        assert_int_equal(line->pid, 0);
        assert_string_equal(line->identity, "token");
        assert_int_equal(list->peers[3]->id, core_peer_id(silent->peer));
        assert_false(list->peers[3]->welcomed);
        assert_string_equal(list->peers[3]->app, "");
        done(list);
}

static void test_list_omits_a_peer_that_is_gone_and_still_flushed(void **state) {
        struct fake *slow = fake_join(world, WORLD_UID);
        Ramal__Api__V1__ListReply *list;

        (void)state;
        slow->stuck = true;
        SUBSCRIBE(slow, .sid = 1, .pattern = "a");
        fake_publish(me, "a", "kept");
        fake_eof(slow);
        list = REPLY(ListReply, list_reply, "list", NULL);
        assert_non_null(slow->peer);
        assert_int_equal(list->n_peers, 1);
        done(list);
}

static void test_names_are_sorted_with_owner_and_queue(void **state) {
        struct fake *second = fake_join(world, WORLD_UID), *third = fake_join(world, WORLD_UID);
        struct fake *other = fake_join(world, WORLD_ALLOWED_UID);
        Ramal__Api__V1__ListReply *list;
        Ramal__Api__V1__NamesReply *names = REPLY(NamesReply, names_reply, "names", NULL);

        (void)state;
        assert_int_equal(names->n_names, 0);
        done(names);
        SUBSCRIBE(me, .sid = 1, .pattern = "z.last", .name = true);
        SUBSCRIBE(second, .sid = 1, .pattern = "z.last", .name = true);
        SUBSCRIBE(third, .sid = 1, .pattern = "z.last", .name = true);
        SUBSCRIBE(other, .sid = 1, .pattern = "a.first", .name = true);
        names = REPLY(NamesReply, names_reply, "names", NULL);
        assert_int_equal(names->n_names, 2);
        assert_string_equal(names->names[0]->name, "a.first");
        assert_int_equal(names->names[0]->uid, WORLD_ALLOWED_UID);
        assert_int_equal(names->names[0]->n_queue, 0);
        assert_string_equal(names->names[1]->name, "z.last");
        assert_int_equal(names->names[1]->owner, me->id);
        assert_true(names->names[1]->local);
        assert_int_equal(names->names[1]->uid, WORLD_UID);
        assert_int_equal(names->names[1]->n_queue, 2);
        assert_int_equal(names->names[1]->queue[0], second->id);
        assert_int_equal(names->names[1]->queue[1], third->id);
        done(names);
        list = REPLY(ListReply, list_reply, "list", NULL);
        assert_int_equal(list->peers[0]->n_names, 1);
        assert_int_equal(list->peers[1]->n_names, 0); /* it only stands in line */
        done(list);
}

/* ---- status ---- */

static Ramal__Api__V1__StatusReply *status(uint64_t peer) {
        Ramal__Api__V1__StatusRequest request;

        ramal__api__v1__status_request__init(&request);
        request.peer = peer;
        return REPLY(StatusReply, status_reply, "status", &request.base);
}

static uint64_t counter(const char *name) {
        Ramal__Api__V1__StatusReply *got = status(0);
        uint64_t value = UINT64_MAX;

        for (size_t i = 0; i < got->n_counters; i++)
                if (strcmp(got->counters[i]->name, name) == 0)
                        value = got->counters[i]->value;
        done(got);
        assert_int_not_equal(value, UINT64_MAX);
        return value;
}

static void test_status_shows_the_broker_and_its_counters(void **state) {
        Ramal__Api__V1__StatusReply *got;

        (void)state;
        SUBSCRIBE(me, .sid = 1, .pattern = "a", .name = true);
        world_advance(world, MS(3));
        got = status(0);
        assert_non_null(got->broker);
        assert_null(got->peer);
        assert_int_equal(got->n_interests, 0);
        assert_string_equal(got->broker->version, "ramald test");
        assert_int_equal(got->broker->epoch, 8);
        assert_int_equal(got->broker->uptime_us, 3000);
        assert_int_equal(got->broker->peers, 1);
        assert_int_equal(got->broker->interests, 1);
        assert_int_equal(got->broker->names, 1);
        assert_int_equal(got->broker->pid, 42);
        assert_int_equal(got->broker->memory_bytes, 4096);
        assert_int_equal(got->broker->n_listening, 1);
        assert_string_equal(got->broker->listening[0], "unix:@world");
        done(got);
        uint64_t before = counter("unheard");
        fake_publish(me, "nobody", "x");
        assert_int_equal(counter("unheard"), before + 1);
        assert_int_equal(counter("connections"), 1);
}

static void test_status_of_a_peer_tells_the_exact_ledgers(void **state) {
        struct fake *reader = fake_join(world, WORLD_UID);
        Ramal__Api__V1__StatusReply *got;
        struct core_ledger ledger;

        (void)state;
        SUBSCRIBE(reader, .sid = 9, .pattern = "p.>", .window_messages = 2, .credit_messages = 1, .credit_bytes = 1000);
        SUBSCRIBE(reader, .sid = 10, .pattern = "q", .serve = true, .group = "g",
                  .policy = RAMAL__V1__POLICY__POLICY_ROUND_ROBIN);
        for (int i = 0; i < 5; i++)
                fake_publish(me, "p.x", "hello");
        fake_call(me, "q", "?", 0);
        got = status(reader->id);
        assert_null(got->broker);
        assert_int_equal(got->n_counters, 0);
        assert_int_equal(got->peer->id, reader->id);
        assert_int_equal(got->peer->queued_messages, 2);
        assert_int_equal(got->n_interests, 2);
        const Ramal__Api__V1__InterestStatus *line = got->interests[0];
        assert_int_equal(core_interest_ledger(reader->peer, 9, &ledger), 0);
        assert_int_equal(line->sid, 9);
        assert_string_equal(line->pattern, "p.>");
        assert_string_equal(line->overflow, "drop_old");
        assert_string_equal(line->state, "active");
        assert_int_equal(line->matched, 5);
        assert_int_equal(line->queued, 2);
        assert_int_equal(line->in_flight, 1);
        assert_int_equal(line->dropped, 2);
        assert_int_equal(line->confirmed, 0);
        const uint64_t told[] = {line->matched, line->queued,   line->in_flight, line->confirmed,  line->expired,
                                 line->dropped, line->replaced, line->moved,     line->unconfirmed};
        assert_memory_equal(told, &ledger, sizeof(ledger));
        assert_int_equal(line->queued_bytes + 2 * 144, got->peer->queued_bytes); /* and what the two cost beside */
        assert_true(line->in_flight_bytes > 0);
        assert_int_equal(line->window_messages, 2);
        assert_int_equal(line->window_bytes, world->limits.interest_bytes);
        assert_int_equal(line->credit_messages, 1);
        assert_int_equal(line->credit_bytes, 1000);
        assert_false(line->name);
        line = got->interests[1];
        assert_true(line->serve);
        assert_string_equal(line->group, "g");
        assert_string_equal(line->policy, "round_robin");
        assert_string_equal(line->overflow, "");
        assert_int_equal(line->pending_calls, 1);
        done(got);
}

static void test_status_of_a_peer_tells_the_states_of_its_interests(void **state) {
        struct fake *server = fake_join(world, WORLD_UID), *second = fake_join(world, WORLD_UID);

        (void)state;
        SUBSCRIBE(server, .sid = 1, .pattern = "a.n", .name = true);
        SUBSCRIBE(second, .sid = 1, .pattern = "a.n", .name = true);
        SUBSCRIBE(second, .sid = 2, .pattern = "alone", .serve = true);
        SUBSCRIBE(second, .sid = 3, .pattern = "many", .credit_messages = 1);
        world_turn(world);
        Ramal__Api__V1__StatusReply *got = status(second->id);
        assert_string_equal(got->interests[0]->state, "queued");
        assert_string_equal(got->interests[0]->policy, "primary");
        assert_string_equal(got->interests[0]->group, "");
        assert_string_equal(got->interests[1]->state, "active");
        assert_string_equal(got->interests[1]->policy, "");
        done(got);
        /* It delivers what it has, and takes nothing more. */
        for (unsigned i = 0; i < 3; i++)
                fake_publish(me, "many", "x");
        fake_bye(second, true, 0);
        world_turn(world);
        got = status(second->id);
        const Ramal__Api__V1__InterestStatus *line = NULL;
        for (size_t i = 0; i < got->n_interests; i++)
                if (got->interests[i]->sid == 3)
                        line = got->interests[i];
        assert_non_null(line);
        assert_string_equal(line->state, "ended");
        assert_int_equal(line->queued, 2);
        done(got);
}

static void test_status_of_a_peer_that_is_not_there_is_not_found(void **state) {
        struct fake *silent = fake_local(world, WORLD_UID);
        Ramal__Api__V1__StatusRequest request;
        Ramal__Api__V1__StatusReply *got = status(core_peer_id(silent->peer));

        (void)state;
        assert_false(got->peer->welcomed); /* it is listed, so it can be asked for */
        done(got);
        ramal__api__v1__status_request__init(&request);
        request.peer = UINT64_MAX;
        refused(call(me, "$SYS.api.status", &request.base), RAMAL__V1__CODE__CODE_NOT_FOUND);
        refused(call_bytes(me, "$SYS.api.limits", "\x08\x63", 2), RAMAL__V1__CODE__CODE_NOT_FOUND);
}

/* ---- limits ---- */

static const Ramal__Api__V1__Limit *limit(const Ramal__Api__V1__LimitsReply *limits, const char *key) {
        for (size_t i = 0; i < limits->n_limits; i++)
                if (strcmp(limits->limits[i]->key, key) == 0)
                        return limits->limits[i];
        fail_msg("no %s", key);
        return NULL;
}

static void test_limits_tells_each_once_with_value_and_use(void **state) {
        struct fake *other = fake_join(world, WORLD_ALLOWED_UID);
        Ramal__Api__V1__LimitsRequest request;
        Ramal__Api__V1__LimitsReply *limits;

        (void)state;
        fake_join(world, WORLD_ALLOWED_UID);
        SUBSCRIBE(other, .sid = 1, .pattern = "n", .name = true);
        SUBSCRIBE(other, .sid = 2, .pattern = "p", .credit_messages = 1);
        for (int i = 0; i < 4; i++)
                fake_publish_bytes(me, "p", 1000);
        limits = REPLY(LimitsReply, limits_reply, "limits", NULL);
        assert_int_equal(limits->n_limits, sizeof(struct core_limits) / sizeof(uint64_t));
        for (size_t i = 0; i < limits->n_limits; i++) {
                assert_true(limits->limits[i]->unit[0] && limits->limits[i]->scope[0]);
                for (size_t j = 0; j < i; j++)
                        assert_string_not_equal(limits->limits[i]->key, limits->limits[j]->key);
        }
        assert_int_equal(limit(limits, "limits.payload_bytes")->value, world->limits.payload_bytes);
        assert_int_equal(limit(limits, "limits.hello_timeout")->value, world->limits.hello_timeout_ns);
        assert_string_equal(limit(limits, "limits.hello_timeout")->unit, "ns");
        assert_int_equal(limit(limits, "limits.own_connections")->used, 1);
        assert_int_equal(limit(limits, "limits.uid_connections")->used, 0);
        assert_true(limit(limits, "limits.broker_bytes")->used >= 3000);
        done(limits);

        ramal__api__v1__limits_request__init(&request);
        request.peer = other->id;
        limits = REPLY(LimitsReply, limits_reply, "limits", &request.base);
        assert_int_equal(limit(limits, "limits.uid_connections")->used, 2);
        assert_int_equal(limit(limits, "limits.own_connections")->used, 0);
        assert_int_equal(limit(limits, "limits.names")->used, 1);
        assert_int_equal(limit(limits, "limits.interests")->used, 2);
        assert_int_equal(limit(limits, "limits.interest_messages")->used, 3);
        assert_true(limit(limits, "limits.interest_bytes")->used >= 3000);
        assert_true(limit(limits, "limits.connection_bytes")->used >= 3000);
        assert_true(limit(limits, "limits.uid_bytes")->used >= 3000);
        assert_string_equal(limit(limits, "limits.uid_bytes")->scope, "uid");
        done(limits);
}

/* ---- refusals ---- */

static void test_unknown_method_has_no_responder(void **state) {
        (void)state;
        refused(call(me, "$SYS.api.nothing", NULL), RAMAL__V1__CODE__CODE_NO_RESPONDER);
        refused(call(me, "$SYS.api.list.more", NULL), RAMAL__V1__CODE__CODE_NO_RESPONDER);
        refused(call(me, "$SYS.api.*", NULL), RAMAL__V1__CODE__CODE_BAD_SUBJECT);
        refused(call(me, "$SYS.api.a..b", NULL), RAMAL__V1__CODE__CODE_BAD_SUBJECT);
}

static void test_hostile_requests_are_invalid(void **state) {
        static const char *const subjects[] = {"$SYS.api.list", "$SYS.api.names", "$SYS.api.who", "$SYS.api.status",
                                               "$SYS.api.limits"};
        static const uint8_t broken[] = {0xff, 0xff}, cut[] = {0x0a, 0x7f, 'a'}, group[] = {0x0b, 0x0c};
        uint8_t *unknown = calloc(1, RML_CONTROL_BYTES_MAX + 1);

        (void)state;
        assert_non_null(unknown);
        for (size_t i = 0; i < RML_COUNT(subjects); i++) {
                refused(call_bytes(me, subjects[i], broken, sizeof(broken)), RAMAL__V1__CODE__CODE_INVALID);
                refused(call_bytes(me, subjects[i], cut, sizeof(cut)), RAMAL__V1__CODE__CODE_INVALID);
                refused(call_bytes(me, subjects[i], group, sizeof(group)), RAMAL__V1__CODE__CODE_INVALID);
                refused(call_bytes(me, subjects[i], unknown, RML_CONTROL_BYTES_MAX + 1), RAMAL__V1__CODE__CODE_INVALID);
        }
        free(unknown);
}

static void test_a_reply_larger_than_a_payload_is_too_large(void **state) {
        struct core_limits limits;
        const struct got *got;

        (void)state;
        core_limits_default(&limits);
        limits.payload_bytes = 300;
        with_limits(&limits);
        done(REPLY(ListReply, list_reply, "list", NULL));
        got = call(me, "$SYS.api.limits", NULL);
        refused(got, RAMAL__V1__CODE__CODE_TOO_LARGE);
        assert_string_equal(GOT(got, Status)->limit, "limits.payload_bytes");
        assert_int_equal(GOT(got, Status)->value, 300);
}

static void test_a_large_reply_to_a_slow_caller_waits_and_arrives(void **state) {
        struct fake *slow = fake_join_as(world, WORLD_UID, "slow");
        uint64_t ids[3];
        char pattern[64];

        (void)state;
        for (unsigned i = 1; i <= 2000; i++) {
                snprintf(pattern, sizeof(pattern), "some.longer.pattern.number.%u", i);
                SUBSCRIBE(slow, .sid = i, .pattern = pattern);
                world_turn(world);
        }
        fake_skip(slow);
        slow->stuck = true;
        for (size_t i = 0; i < RML_COUNT(ids); i++) {
                uint8_t request[16];
                size_t n = 0;

                request[n++] = 0x08;
                n += rml_put_varint(request + n, slow->id);
                ids[i] = fake_data(slow, RML_CALL, true,
                                   &(struct say){.subject = "$SYS.api.status", .payload = request, .len = n});
        }
        world_turn(world);
        slow->stuck = false;
        world_turn(world);
        world_turn(world); /* the last call was not read before the replies of the others were */
        for (size_t i = 0; i < RML_COUNT(ids); i++) {
                struct got *got = fake_next(slow);

                assert_non_null(got);
                assert_int_equal(got->id, ids[i]);
                Ramal__Api__V1__StatusReply *reply_i =
                        (Ramal__Api__V1__StatusReply *)(void *)unpack(got, &ramal__api__v1__status_reply__descriptor);
                assert_int_equal(reply_i->n_interests, 2000);
                done(reply_i);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                WORLD_TEST(test_list_shows_peers_in_order_of_arrival_with_identity_and_names),
                WORLD_TEST(test_list_omits_a_peer_that_is_gone_and_still_flushed),
                WORLD_TEST(test_names_are_sorted_with_owner_and_queue),
                WORLD_TEST(test_status_shows_the_broker_and_its_counters),
                WORLD_TEST(test_status_of_a_peer_tells_the_exact_ledgers),
                WORLD_TEST(test_status_of_a_peer_tells_the_states_of_its_interests),
                WORLD_TEST(test_status_of_a_peer_that_is_not_there_is_not_found),
                WORLD_TEST(test_limits_tells_each_once_with_value_and_use),
                WORLD_TEST(test_unknown_method_has_no_responder),
                WORLD_TEST(test_hostile_requests_are_invalid),
                WORLD_TEST(test_a_reply_larger_than_a_payload_is_too_large),
                WORLD_TEST(test_a_large_reply_to_a_slow_caller_waits_and_arrives),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
