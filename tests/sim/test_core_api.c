/* SPDX-License-Identifier: MIT */
/* The broker's own API, and presence. */
#include "expect.h"

#include <stdio.h>
#include <string.h>

#include "api.pb-c.h"

/* Calls a method and unpacks the answer: free it with protobuf_c_message_free_unpacked(). */
static ProtobufCMessage *ask(struct fake *fake, const char *subject, const ProtobufCMessage *request,
                             const ProtobufCMessageDescriptor *reply) {
        uint8_t payload[512];
        size_t len = protobuf_c_message_get_packed_size(request);
        assert_true(len <= sizeof(payload));
        protobuf_c_message_pack(request, payload);
        struct say say = {.subject = subject, .payload = payload, .len = len};
        uint64_t id = fake_data(fake, RML_CALL, true, &say);
        const struct got *got = expect(fake, RML_REPLY);
        assert_int_equal(got->id, id);
        assert_int_equal(got->data.code, 0);
        assert_false(got->data.flags & FLAG(MORE));
        assert_int_equal(got->data.type.len, strlen(reply->name));
        assert_memory_equal(got->data.type.data, reply->name, got->data.type.len);
        assert_int_equal(rml_scan_message(reply, got->data.payload, &(struct rml_fault){0}), 0);
        ProtobufCMessage *message =
                protobuf_c_message_unpack(reply, NULL, got->data.payload.len, got->data.payload.data);
        assert_non_null(message);
        return message;
}

/* ASK(fake, who, Who, request): the reply of $SYS.api.who, a Ramal__Api__V1__WhoReply. */
#define ASK(fake, method, Type, request)                                                                               \
        (Ramal__Api__V1__##Type##Reply *)(void *)ask((fake), "$SYS.api." #method, &(request).base,                     \
                                                     &ramal__api__v1__##method##_reply__descriptor)
#define DONE(reply) protobuf_c_message_free_unpacked(&(reply)->base, NULL)

static void test_api_list_shows_the_peers(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join_as(w, WORLD_UID, "first"), *b = fake_join_as(w, WORLD_ALLOWED_UID, "second");
        struct fake *silent = fake_local(w, WORLD_UID);
        subscribed(b, .sid = 1, .pattern = "t", .credit_messages = 1);
        expect_subscribed(b, SUBSCRIBE(b, .sid = 2, .pattern = "n.a", .serve = true, .name = true), OWNER, 0);
        fake_publish(a, "t", "1");
        fake_publish(a, "t", "2");
        world_turn(w);
        world_advance(w, MS(3));
        const Ramal__Api__V1__ListRequest request = RAMAL__API__V1__LIST_REQUEST__INIT;
        Ramal__Api__V1__ListReply *reply = ASK(a, list, List, request);
        bool seen = false;
        for (size_t i = 0; i < reply->n_peers; i++) {
                const Ramal__Api__V1__Peer *peer = reply->peers[i];
                if (peer->id != b->id)
                        continue;
                seen = true;
                assert_string_equal(peer->app, "second");
                assert_string_equal(peer->library, "world");
                assert_string_equal(peer->address, "unix:@world");
                assert_true(peer->local && peer->welcomed);
                assert_int_equal(peer->uid, WORLD_ALLOWED_UID);
                assert_int_equal(peer->interests, 2);
                assert_int_equal(peer->queued_messages, 1);
                assert_true(peer->queued_bytes > 0);
                assert_int_equal(peer->age_us, 3000);
                assert_int_equal(peer->n_names, 1);
                assert_string_equal(peer->names[0], "n.a");
        }
        assert_true(seen);
        (void)silent;
        DONE(reply);
        world_free(w);
}

static void test_api_names_shows_owner_and_queue(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        expect_subscribed(a, SUBSCRIBE(a, .sid = 1, .pattern = "n.b", .serve = true, .name = true), OWNER, 0);
        expect_subscribed(a, SUBSCRIBE(a, .sid = 2, .pattern = "n.a", .serve = true, .name = true), OWNER, 0);
        expect_subscribed(b, SUBSCRIBE(b, .sid = 1, .pattern = "n.a", .serve = true, .name = true), QUEUED, 1);
        const Ramal__Api__V1__NamesRequest request = RAMAL__API__V1__NAMES_REQUEST__INIT;
        Ramal__Api__V1__NamesReply *reply = ASK(b, names, Names, request);
        assert_int_equal(reply->n_names, 2);
        assert_string_equal(reply->names[0]->name, "n.a");
        assert_int_equal(reply->names[0]->owner, a->id);
        assert_int_equal(reply->names[0]->uid, WORLD_UID);
        assert_int_equal(reply->names[0]->n_queue, 1);
        assert_int_equal(reply->names[0]->queue[0], b->id);
        assert_string_equal(reply->names[1]->name, "n.b");
        assert_int_equal(reply->names[1]->n_queue, 0);
        DONE(reply);
        world_free(w);
}

/* What it says is what happens. */
static void test_api_who_tells_what_the_next_message_does(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID), *c = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "t.x");
        subscribed(b, .sid = 1, .pattern = "t.*", .group = "g");
        subscribed(c, .sid = 1, .pattern = "t.>", .group = "g");
        subscribed(b, .sid = 2, .pattern = "t.x", .serve = true);
        subscribed(c, .sid = 2, .pattern = "t.*", .serve = true);
        for (int round = 0; round < 4; round++) {
                char subject[] = "t.x";
                Ramal__Api__V1__WhoRequest request;
                ramal__api__v1__who_request__init(&request);
                request.subject = subject;
                Ramal__Api__V1__WhoReply *reply = ASK(a, who, Who, request);
                assert_int_equal(reply->n_publish, 3);
                assert_int_equal(reply->n_call, 2);
                assert_true(reply->call[0]->chosen && reply->call[0]->peer == b->id);
                assert_false(reply->call[1]->chosen);
                fake_publish(a, "t.x", "x");
                world_turn(w);
                for (size_t i = 0; i < reply->n_publish; i++) {
                        const Ramal__Api__V1__Receiver *r = reply->publish[i];
                        struct fake *to = r->peer == a->id ? a : r->peer == b->id ? b : c;
                        assert_int_equal(r->sid, 1);
                        assert_true(strlen(r->why) > 0);
                        bool got = to->cursor != NULL;
                        assert_int_equal(r->chosen, got);
                        if (got)
                                assert_int_equal(fake_next(to)->kind, RML_DELIVER);
                }
                DONE(reply);
        }
        world_free(w);
}

static void test_api_who_of_a_bad_subject_is_refused(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID);
        /* WhoRequest { subject: "t.*" } */
        expect_status(a, fake_call(a, "$SYS.api.who", "\x0a\x03t.*", 0), BAD_SUBJECT);
        world_free(w);
}

static void test_api_status_of_a_peer_is_its_ledger(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        subscribed(b, .sid = 7, .pattern = "t", .credit_messages = 2, .window_messages = 3,
                   .overflow = OVERFLOW_RULE(DROP_NEW));
        for (int i = 0; i < 7; i++)
                fake_publish(a, "t", "x");
        world_turn(w);
        fake_confirm(b, 7, 1);
        world_turn(w);
        Ramal__Api__V1__StatusRequest request = RAMAL__API__V1__STATUS_REQUEST__INIT;
        request.peer = b->id;
        Ramal__Api__V1__StatusReply *reply = ASK(a, status, Status, request);
        assert_int_equal(reply->peer->id, b->id);
        assert_int_equal(reply->n_interests, 1);
        const Ramal__Api__V1__InterestStatus *i = reply->interests[0];
        struct core_ledger l;
        assert_int_equal(core_interest_ledger(b->peer, 7, &l), 0);
        assert_int_equal(i->sid, 7);
        assert_string_equal(i->pattern, "t");
        assert_string_equal(i->overflow, "drop_new");
        assert_string_equal(i->state, "active");
        assert_int_equal(i->matched, 7);
        assert_int_equal(i->confirmed, 1);
        assert_int_equal(i->dropped, 2);
        assert_int_equal(i->queued, l.queued);
        assert_int_equal(i->in_flight, l.in_flight);
        assert_int_equal(i->queued + i->in_flight, 4);
        assert_int_equal(i->window_messages, 3);
        assert_int_equal(i->credit_messages, 2);
        assert_null(reply->broker);
        DONE(reply);
        world_free(w);
}

static void test_api_status_of_the_broker_and_of_nobody(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "t");
        world_advance(w, MS(5));
        const Ramal__Api__V1__StatusRequest request = RAMAL__API__V1__STATUS_REQUEST__INIT;
        Ramal__Api__V1__StatusReply *reply = ASK(a, status, Status, request);
        assert_string_equal(reply->broker->version, "ramald test");
        assert_int_equal(reply->broker->epoch, 2);
        assert_int_equal(reply->broker->uptime_us, 5000);
        assert_int_equal(reply->broker->peers, 1);
        assert_int_equal(reply->broker->interests, 1);
        assert_int_equal(reply->broker->pid, 42);
        assert_int_equal(reply->broker->n_listening, 1);
        assert_true(reply->n_counters > 5);
        DONE(reply);
        /* StatusRequest { peer: 99 } */
        expect_status(a, fake_call(a, "$SYS.api.status", "\x08\x63", 0), NOT_FOUND);
        world_free(w);
}

static void test_api_limits_are_the_ones_in_force(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.calls = 17;
        struct world *w = world_new(1, &limits);
        struct fake *a = fake_join(w, WORLD_ALLOWED_UID), *b = fake_join(w, WORLD_UID);
        subscribed(b, .sid = 1, .pattern = "do", .serve = true);
        subscribed(a, .sid = 1, .pattern = "t");
        fake_call(a, "do", "x", 0);
        fake_call(a, "do", "x", 0);
        const Ramal__Api__V1__LimitsRequest request = RAMAL__API__V1__LIMITS_REQUEST__INIT;
        Ramal__Api__V1__LimitsReply *reply = ASK(a, limits, Limits, request);
        bool calls = false, interests = false;
        for (size_t i = 0; i < reply->n_limits; i++) {
                const Ramal__Api__V1__Limit *l = reply->limits[i];
                assert_true(strlen(l->unit) && strlen(l->scope));
                if (strcmp(l->key, "limits.calls") == 0) {
                        calls = true;
                        assert_int_equal(l->value, 17);
                        assert_int_equal(l->used, 2);
                        assert_string_equal(l->scope, "connection");
                } else if (strcmp(l->key, "limits.interests") == 0) {
                        interests = true;
                        assert_int_equal(l->used, 1);
                }
        }
        assert_true(calls && interests);
        DONE(reply);
        world_free(w);
}

static void test_api_hostile_requests_are_refused(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID);
        expect_status(a, fake_call(a, "$SYS.api.nothing", "", 0), NO_RESPONDER);
        expect_status(a, fake_call(a, "$SYS.api.status", "\x08\x80\x80", 0), INVALID);
        expect_status(a, fake_call(a, "$SYS.api.who", "\x0a\x02\xff\xff", 0), INVALID);
        const struct got *got = (fake_call(a, "$SYS.other", "", 0), expect(a, RML_STATUS));
        assert_int_equal(GOT(got, Status)->code, CODE(DENIED));
        world_free(w);
}

/* ---- presence -------------------------------------------------------------------------------------------------- */

static void expect_peer_event(struct fake *watcher, uint64_t id, bool gone) {
        char subject[64];
        const struct got *got = expect(watcher, RML_DELIVER);
        snprintf(subject, sizeof(subject), "$SYS.peer.%llu", (unsigned long long)id);
        assert_int_equal(got->data.subject.len, strlen(subject));
        assert_memory_equal(got->data.subject.data, subject, strlen(subject));
        assert_int_equal(got->data.sender.peer, 0);
        Ramal__Api__V1__PeerEvent *event =
                ramal__api__v1__peer_event__unpack(NULL, got->data.payload.len, got->data.payload.data);
        assert_non_null(event);
        assert_int_equal(event->gone, gone);
        assert_int_equal(event->peer->id, id);
        ramal__api__v1__peer_event__free_unpacked(event, NULL);
}

static void expect_name_event(struct fake *watcher, const char *name, uint64_t owner) {
        const struct got *got = expect(watcher, RML_DELIVER);
        Ramal__Api__V1__NameEvent *event =
                ramal__api__v1__name_event__unpack(NULL, got->data.payload.len, got->data.payload.data);
        assert_non_null(event);
        assert_string_equal(event->name->name, name);
        assert_int_equal(event->name->owner, owner);
        ramal__api__v1__name_event__free_unpacked(event, NULL);
}

static void test_presence_of_peers_is_published_when_they_come_and_go(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *watcher = fake_join(w, WORLD_UID);
        subscribed(watcher, .sid = 1, .pattern = "$SYS.peer.>");
        struct fake *silent = fake_local(w, WORLD_UID);
        expect_nothing(watcher);
        struct fake *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        expect_peer_event(watcher, a->id, false);
        expect_peer_event(watcher, b->id, false);
        fake_lost(a);
        expect_peer_event(watcher, a->id, true);
        expect_status(b, fake_bye(b, false, 0), OK);
        expect_peer_event(watcher, b->id, true);
        fake_lost(silent);
        expect_nothing(watcher);
        world_free(w);
}

static void test_presence_of_names_is_published_when_they_change_hands(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *watcher = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        subscribed(watcher, .sid = 1, .pattern = "$SYS.name.>");
        expect_subscribed(a, SUBSCRIBE(a, .sid = 1, .pattern = "n.a", .serve = true, .name = true), OWNER, 0);
        expect_name_event(watcher, "n.a", a->id);
        expect_subscribed(b, SUBSCRIBE(b, .sid = 1, .pattern = "n.a", .serve = true, .name = true), QUEUED, 1);
        expect_nothing(watcher);
        fake_lost(a);
        expect_name_event(watcher, "n.a", b->id);
        expect_notice(b, 1, OWNER, 0, NONE);
        expect_status(b, fake_unsubscribe(b, 1), OK);
        expect_name_event(watcher, "n.a", 0);
        expect_nothing(watcher);
        world_free(w);
}

/* A pattern that begins with a wildcard does not see the broker's own subjects. */
static void test_presence_does_not_flood_wildcards(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *watcher = fake_join(w, WORLD_UID);
        subscribed(watcher, .sid = 1, .pattern = ">");
        subscribed(watcher, .sid = 2, .pattern = "*.peer.*");
        fake_join(w, WORLD_UID);
        expect_nothing(watcher);
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_api_list_shows_the_peers),
                cmocka_unit_test(test_api_names_shows_owner_and_queue),
                cmocka_unit_test(test_api_who_tells_what_the_next_message_does),
                cmocka_unit_test(test_api_who_of_a_bad_subject_is_refused),
                cmocka_unit_test(test_api_status_of_a_peer_is_its_ledger),
                cmocka_unit_test(test_api_status_of_the_broker_and_of_nobody),
                cmocka_unit_test(test_api_limits_are_the_ones_in_force),
                cmocka_unit_test(test_api_hostile_requests_are_refused),
                cmocka_unit_test(test_presence_of_peers_is_published_when_they_come_and_go),
                cmocka_unit_test(test_presence_of_names_is_published_when_they_change_hands),
                cmocka_unit_test(test_presence_does_not_flood_wildcards),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
