/* SPDX-License-Identifier: MIT */
/* Who is let in: HELLO, uids and groups, the token, limits of connections, time-outs. */
#include "expect.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void test_connect_welcome_tells_id_epoch_and_limits(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_local(w, WORLD_UID);
        uint64_t id = fake_hello(a, "app");
        const struct got *got = expect(a, RML_WELCOME);
        const Ramal__V1__Welcome *m = GOT(got, Welcome);
        assert_int_equal(got->id, id);
        assert_int_equal(m->peer, core_peer_id(a->peer));
        assert_int_equal(m->epoch, 2);
        assert_int_equal(m->version, RML_VERSION);
        assert_string_equal(m->server, "ramald test");
        assert_int_equal(m->limits->payload_bytes, w->limits.payload_bytes);
        assert_int_equal(m->limits->frame_bytes, w->limits.payload_bytes + RML_FRAME_EXTRA_BYTES);
        assert_int_equal(m->limits->publish_credit_bytes, w->limits.publish_credit_bytes);
        assert_int_equal(m->limits->calls, w->limits.calls);
        assert_true(m->n_features > 0);
        assert_int_equal(w->events[CORE_EVENT_WELCOME], 1);
        world_free(w);
}

static void test_connect_ids_are_never_used_again(void **state) {
        (void)state;
        struct world *w = world_start();
        uint64_t last = 0;
        for (int i = 0; i < 20; i++) {
                struct fake *a = fake_join(w, WORLD_UID);
                assert_true(a->id > last);
                last = a->id;
                fake_lost(a);
                world_turn(w);
        }
        world_free(w);
}

static void test_connect_other_uids_are_denied_unless_allowed(void **state) {
        (void)state;
        struct world *w = world_start();
        fake_join(w, 0); /* root may always */
        fake_join(w, WORLD_ALLOWED_UID);
        struct core_origin by_group = {.local = true,
                                       .uid = WORLD_OTHER_UID,
                                       .gid = 1,
                                       .groups = {7, WORLD_ALLOWED_GID},
                                       .group_count = 2,
                                       .address = "x"};
        struct fake *b = fake_connect(w, &by_group, NULL);
        fake_hello(b, "by group");
        expect(b, RML_WELCOME);

        struct fake *a = fake_local(w, WORLD_OTHER_UID);
        uint64_t id = fake_hello(a, "stranger");
        assert_non_null(strstr(expect_status(a, id, DENIED)->text, "--allow-uid"));
        expect_closed(a);
        assert_int_equal(w->events[CORE_EVENT_DENIED], 1);
        world_free(w);
}

static void test_connect_versions_must_overlap(void **state) {
        (void)state;
        struct world *w = world_start();
        static const struct {
                uint32_t min, max;
                bool in;
        } cases[] = {{1, 1, true}, {1, 9, true}, {0, 1, true}, {2, 9, false}, {0, 0, false}, {9, 1, false}};
        for (size_t i = 0; i < RML_COUNT(cases); i++) {
                struct fake *a = fake_local(w, WORLD_UID);
                Ramal__V1__Hello hello;
                ramal__v1__hello__init(&hello);
                hello.version_min = cases[i].min;
                hello.version_max = cases[i].max;
                uint64_t id = fake_control(a, RML_HELLO, true, &hello.base);
                if (cases[i].in) {
                        expect(a, RML_WELCOME);
                } else {
                        expect_status(a, id, UNSUPPORTED);
                        expect_closed(a);
                }
        }
        world_free(w);
}

static void test_connect_first_frame_must_be_hello(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_local(w, WORLD_UID), *b = fake_local(w, WORLD_UID);
        fake_ping(a);
        assert_int_equal(GOT(expect(a, RML_GOAWAY), Goaway)->reason, CODE(MALFORMED));
        expect_closed(a);
        fake_publish(b, "t", "x");
        assert_int_equal(GOT(expect(b, RML_GOAWAY), Goaway)->reason, CODE(MALFORMED));
        expect_closed(b);
        world_free(w);
}

/* A11: other protocols on our port. And 4 KiB before WELCOME. */
static void test_connect_strange_first_bytes_are_sent_away_at_once(void **state) {
        (void)state;
        struct world *w = world_start();
        static const uint8_t long_hello[] = {0, 0, 0x10, 1}, tls[] = {0x16, 3, 1, 2, 0};
        static const struct rml_span cases[] = {{(const uint8_t *)"GET / HTTP/1.1\r\n", 16},
                                                {long_hello, 4},
                                                {tls, 5},
                                                {(const uint8_t *)"SSH-2.0-x\r\n", 11}};
        for (size_t i = 0; i < RML_COUNT(cases); i++) {
                struct fake *a = fake_local(w, WORLD_UID);
                fake_raw(a, cases[i].data, cases[i].len);
                assert_int_equal(GOT(expect(a, RML_GOAWAY), Goaway)->reason, CODE(TOO_LARGE));
                expect_closed(a);
        }
        world_free(w);
}

static void test_connect_hello_must_come_in_time(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_local(w, WORLD_UID);
        static const uint8_t begun[] = {0, 0, 0, 20, 1};
        assert_int_equal(core_deadline(w->core), w->now + w->limits.hello_timeout_ns);
        world_advance(w, w->limits.hello_timeout_ns - 1);
        fake_raw(a, begun, sizeof(begun)); /* beginning it late does not help */
        world_turn(w);
        assert_false(a->closed);
        world_advance(w, 1);
        assert_int_equal(GOT(expect(a, RML_GOAWAY), Goaway)->reason, CODE(TIMEOUT));
        expect_closed(a);
        world_free(w);
}

static void test_connect_hello_in_time_stops_the_clock(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID);
        assert_int_equal(core_deadline(w->core), CORE_NEVER);
        world_advance(w, 10 * w->limits.hello_timeout_ns);
        expect_nothing(a);
        assert_false(a->closed);
        world_free(w);
}

static void test_connect_tcp_proves_the_token(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join_tcp(w), *b = fake_join(w, WORLD_UID);
        subscribed(b, .sid = 1, .pattern = "t");
        fake_publish(a, "t", "x");
        const struct got *got = expect_deliver(b, 1, 1, "x");
        assert_false(got->data.sender.local);
        assert_int_equal(got->data.sender.peer, a->id);
        assert_memory_equal(got->data.sender.identity.data, "token", 5);
        world_free(w);
}

static void test_connect_tcp_with_a_wrong_proof_is_denied(void **state) {
        (void)state;
        struct world *w = world_start();
        struct core_origin origin = {.address = "tcp:127.0.0.1:1"};
        struct fake *a = fake_connect(w, &origin, NULL);
        uint8_t nonce[RML_NONCE_BYTES] = {1}, proof[RML_PROOF_BYTES] = {2};
        Ramal__V1__Hello hello;
        ramal__v1__hello__init(&hello);
        hello.version_min = hello.version_max = RML_VERSION;
        hello.nonce = (ProtobufCBinaryData){.data = nonce, .len = sizeof(nonce)};
        fake_control(a, RML_HELLO, true, &hello.base);
        expect(a, RML_CHALLENGE);
        Ramal__V1__Auth auth = RAMAL__V1__AUTH__INIT;
        auth.proof = (ProtobufCBinaryData){.data = proof, .len = sizeof(proof)};
        expect_status(a, fake_control(a, RML_AUTH, true, &auth.base), DENIED);
        expect_closed(a);
        world_free(w);
}

static void test_connect_tcp_without_a_nonce_is_denied(void **state) {
        (void)state;
        struct world *w = world_start();
        struct core_origin origin = {.address = "tcp:127.0.0.1:1"};
        struct fake *a = fake_connect(w, &origin, NULL);
        expect_status(a, fake_hello(a, "no nonce"), DENIED);
        expect_closed(a);
        world_free(w);
}

/* All that proved the token are one uid of their own, equal to no other and not to each other. */
static void test_connect_tcp_peers_are_strangers_to_each_other(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join_tcp(w), *b = fake_join_tcp(w);
        char subject[64];
        snprintf(subject, sizeof(subject), "$PEER.%llu.x", (unsigned long long)b->id);
        fake_publish(a, subject, "x");
        expect_status(a, 0, DENIED);
        world_free(w);
}

static void test_connect_unauthenticated_ones_are_few(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.unauthenticated = 2;
        struct world *w = world_new(1, &limits);
        struct core_origin origin = {.address = "tcp:127.0.0.1:1"};
        int r;
        struct fake *a = fake_connect(w, &origin, NULL);
        assert_non_null(fake_connect(w, &origin, NULL));
        assert_null(fake_connect(w, &origin, &r));
        assert_int_equal(r, -EDQUOT);
        fake_join(w, WORLD_UID); /* local ones still enter */
        fake_lost(a);
        world_turn(w);
        fake_join_tcp(w);
        fake_join_tcp(w); /* those that are in do not count */
        world_free(w);
}

static void test_connect_each_uid_has_a_limit(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.uid_connections = 2;
        limits.own_connections = 3;
        limits.reserved_connections = 0;
        struct world *w = world_new(1, &limits);
        struct core_origin other = {.local = true, .uid = WORLD_ALLOWED_UID, .address = "x"},
                           own = {.local = true, .uid = WORLD_UID, .address = "x"};
        int r;
        fake_join(w, WORLD_ALLOWED_UID);
        struct fake *a = fake_join(w, WORLD_ALLOWED_UID);
        assert_null(fake_connect(w, &other, &r));
        assert_int_equal(r, -EDQUOT);
        fake_join(w, WORLD_UID);
        fake_join(w, WORLD_UID);
        fake_join(w, WORLD_UID);
        assert_null(fake_connect(w, &own, &r));
        assert_int_equal(r, -EDQUOT);
        fake_lost(a);
        world_turn(w);
        world_advance(w, MS(10)); /* uid_connect_rate */
        fake_join(w, WORLD_ALLOWED_UID);
        world_free(w);
}

/* Who comes and goes fast is not told of in the log more often than who stays. */
static void test_connect_again_does_not_bring_the_same_line_again(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.interests = 0;
        limits.uid_connect_rate = 1000;
        struct world *w = world_new(1, &limits);
        for (unsigned i = 0; i < 25; i++) {
                struct fake *a = fake_join(w, WORLD_ALLOWED_UID);
                SUBSCRIBE(a, .sid = 1, .pattern = "t");
                fake_lost(a);
                world_turn(w);
                world_advance(w, MS(100));
        }
        assert_int_equal(w->events[CORE_EVENT_LIMIT], 3);
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_connect_welcome_tells_id_epoch_and_limits),
                cmocka_unit_test(test_connect_ids_are_never_used_again),
                cmocka_unit_test(test_connect_other_uids_are_denied_unless_allowed),
                cmocka_unit_test(test_connect_versions_must_overlap),
                cmocka_unit_test(test_connect_first_frame_must_be_hello),
                cmocka_unit_test(test_connect_strange_first_bytes_are_sent_away_at_once),
                cmocka_unit_test(test_connect_hello_must_come_in_time),
                cmocka_unit_test(test_connect_hello_in_time_stops_the_clock),
                cmocka_unit_test(test_connect_tcp_proves_the_token),
                cmocka_unit_test(test_connect_tcp_with_a_wrong_proof_is_denied),
                cmocka_unit_test(test_connect_tcp_without_a_nonce_is_denied),
                cmocka_unit_test(test_connect_tcp_peers_are_strangers_to_each_other),
                cmocka_unit_test(test_connect_unauthenticated_ones_are_few),
                cmocka_unit_test(test_connect_each_uid_has_a_limit),
                cmocka_unit_test(test_connect_again_does_not_bring_the_same_line_again),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
