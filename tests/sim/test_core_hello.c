/* SPDX-License-Identifier: MIT */
/* Who is not let in, and what that one is told; and what is told about all of them. */
#include "expect.h"

#include <errno.h>
#include <string.h>

static Ramal__V1__Hello hello(void) {
        Ramal__V1__Hello m;
        ramal__v1__hello__init(&m);
        m.version_min = m.version_max = RML_VERSION;
        return m;
}

static void expect_denied(struct fake *fake, const Ramal__V1__Hello *m, Ramal__V1__Code code, const char *says) {
        uint64_t id = fake_control(fake, RML_HELLO, true, &m->base);
        const struct got *got = expect(fake, RML_STATUS);
        const Ramal__V1__Status *status = GOT(got, Status);
        assert_int_equal(got->id, id);
        assert_int_equal(status->code, code);
        assert_non_null(strstr(status->text, says));
        expect_closed(fake);
}

static void test_hello_with_a_long_label_is_invalid(void **state) {
        (void)state;
        char text[300];
        struct world *w = world_start();
        memset(text, 'x', sizeof(text));
        text[256] = 0;
        Ramal__V1__Hello app = hello(), library = hello();
        app.app = library.library = text;
        expect_denied(fake_local(w, WORLD_UID), &app, CODE(INVALID), "255");
        expect_denied(fake_local(w, WORLD_UID), &library, CODE(INVALID), "255");
        text[255] = 0;
        struct fake *fake = fake_local(w, WORLD_UID);
        fake_control(fake, RML_HELLO, true, &app.base);
        expect(fake, RML_WELCOME);
        world_free(w);
}

/* The broker packs it once for each account and puts the peer before that: whoever comes later reads the same, and
 * nobody what another user is told. */
static void test_hello_welcome_differs_by_peer_and_user_alone(void **state) {
        (void)state;
        struct world *w = world_start();
        const uint32_t uids[] = {WORLD_UID, WORLD_ALLOWED_UID, 0, WORLD_UID, WORLD_ALLOWED_UID, 0};
        uint8_t packed[RML_COUNT(uids)][1024];
        size_t len[RML_COUNT(uids)];
        for (size_t i = 0; i < RML_COUNT(uids); i++) {
                struct fake *fake = fake_local(w, uids[i]);
                fake_hello(fake, "app");
                const struct got *got = expect(fake, RML_WELCOME);
                Ramal__V1__Welcome m = *GOT(got, Welcome);
                assert_int_equal(m.peer, core_peer_id(fake->peer));
                assert_int_equal(m.base.n_unknown_fields, 0);
                m.peer = 0;
                len[i] = protobuf_c_message_get_packed_size(&m.base);
                assert_in_range(len[i], 1, sizeof(packed[i]));
                protobuf_c_message_pack(&m.base, packed[i]);
        }
        for (size_t i = 0; i < 3; i++) {
                assert_int_equal(len[i], len[i + 3]);
                assert_memory_equal(packed[i], packed[i + 3], len[i]);
        }
        assert_true(len[0] != len[1] || memcmp(packed[0], packed[1], len[0]) != 0); /* other limits */
        world_free(w);
}

static void test_hello_that_resumes_is_for_later(void **state) {
        (void)state;
        uint8_t resume[4] = {1, 2, 3, 4};
        struct world *w = world_start();
        Ramal__V1__Hello m = hello();
        m.resume = (ProtobufCBinaryData){.data = resume, .len = sizeof(resume)};
        expect_denied(fake_local(w, WORLD_UID), &m, CODE(UNSUPPORTED), "hello.resume");
        world_free(w);
}

static void test_hello_by_tcp_needs_nonce_and_proof_of_their_length(void **state) {
        (void)state;
        struct core_origin origin = {.address = "tcp:127.0.0.1:1"};
        uint8_t nonce[RML_NONCE_BYTES] = {1};
        struct world *w = world_start();
        Ramal__V1__Hello m = hello();
        m.nonce = (ProtobufCBinaryData){.data = nonce, .len = sizeof(nonce) - 1};
        expect_denied(fake_connect(w, &origin, NULL), &m, CODE(DENIED), "token");
        struct fake *fake = fake_connect(w, &origin, NULL);
        fake_hello_as(fake, "tcp", false, nonce);
        expect(fake, RML_CHALLENGE);
        Ramal__V1__Auth auth = RAMAL__V1__AUTH__INIT;
        auth.proof = (ProtobufCBinaryData){.data = nonce, .len = RML_PROOF_BYTES - 1};
        expect_status(fake, fake_control(fake, RML_AUTH, true, &auth.base), DENIED);
        expect_closed(fake);
        world_free(w);
}

/* The edge had no descriptor but a kept one; it is not the number of connections. */
static void test_hello_on_a_kept_place_only_looks(void **state) {
        (void)state;
        struct core_origin origin = {.local = true, .uid = WORLD_UID, .pid = 1, .address = "unix:@world", .reserved = true};
        struct world *w = world_start();
        Ramal__V1__Hello m = hello();
        expect_denied(fake_connect(w, &origin, NULL), &m, CODE(OVER_LIMIT), "LimitNOFILE");
        struct fake *fake = fake_connect(w, &origin, NULL);
        fake_hello_as(fake, "looks", true, NULL);
        expect(fake, RML_WELCOME);
        struct core_charges charges;
        core_charges(w->core, &charges);
        assert_int_equal(charges.reserved, 1);
        world_free(w);
}

/* A name is refused with its holder: cut between characters, and without a uid where there is none. */
static void test_hello_labels_stand_in_refusals(void **state) {
        (void)state;
        struct world *w = world_start();
        char label[128] = "x";
        for (unsigned i = 0; i < 60; i++)
                strcat(label, "\xc3\xa9");
        struct fake *holder = fake_join_as(w, WORLD_UID, label), *tcp = fake_join_tcp(w), *other = fake_join(w, WORLD_UID);
        SUBSCRIBE(holder, .sid = 1, .pattern = "n", .serve = true, .name = true);
        expect(holder, RML_SUBSCRIBED);
        SUBSCRIBE(tcp, .sid = 1, .pattern = "t", .serve = true, .name = true);
        const Ramal__V1__Status *status = expect_status(
                other, SUBSCRIBE(other, .sid = 1, .pattern = "n", .serve = true, .name = true, .no_queue = true), EXISTS);
        assert_non_null(strstr(status->text, "uid 1000"));
        assert_true(rml_utf8_valid(rml_span_of(status->text)));
        assert_null(strstr(status->text, label));
        status = expect_status(other, SUBSCRIBE(other, .sid = 2, .pattern = "t.x", .serve = true), EXISTS);
        assert_non_null(strstr(status->text, "by token"));
        /* Its own, a second time; and what is below another's. */
        status = expect_status(holder, SUBSCRIBE(holder, .sid = 2, .pattern = "n", .serve = true, .name = true), EXISTS);
        assert_non_null(strstr(status->text, "already"));
        subscribed(holder, .sid = 3, .pattern = "m.>", .serve = true);
        status = expect_status(other, SUBSCRIBE(other, .sid = 3, .pattern = "m", .serve = true, .name = true), EXISTS);
        assert_non_null(strstr(status->text, "all below this name"));
        world_free(w);
}

/* Nobody is freed, and who comes from nowhere is let in. */
static void test_hello_without_an_address(void **state) {
        (void)state;
        struct core_origin origin = {.local = true, .uid = WORLD_UID, .pid = 1};
        struct world *w = world_start();
        assert_null(core_free(NULL));
        assert_null(core_peer_free(NULL));
        struct fake *fake = fake_connect(w, &origin, NULL);
        fake_hello(fake, "nowhere");
        expect(fake, RML_WELCOME);
        world_free(w);
}

/* Nobody has time to say good-bye. */
static void test_hello_to_a_broker_that_stops_at_once(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *in = fake_join(w, WORLD_UID), *out = fake_local(w, WORLD_UID);
        core_stop(w->core, 1);
        assert_int_equal(core_deadline(w->core), w->now + 1);
        world_turn(w);
        assert_true(out->closed);
        expect(in, RML_GOAWAY);
        world_advance(w, 1);
        expect_closed(in);
        assert_true(core_stopped(w->core));
        world_free(w);
}

/* More than is kept between two looks is counted. */
static void test_hello_events_that_nobody_takes_are_counted(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.own_interests = 1;
        struct world *w = world_new(1, &limits);
        struct fake *full = fake_join(w, WORLD_UID);
        subscribed(full, .sid = 1, .pattern = "a");
        char text[300];
        memset(text, 'x', sizeof(text));
        text[299] = 0;
        Ramal__V1__Hello m = hello();
        m.app = text;
        for (unsigned i = 0; i < 300; i++)
                fake_control(fake_local(w, WORLD_UID), RML_HELLO, true, &m.base);
        SUBSCRIBE(full, .sid = 2, .pattern = "b"); /* a limit is met when there is no room to tell it */
        struct core_event event;
        uint64_t lost, told = 0, all = 0;
        while (core_next_event(w->core, &event, &lost)) {
                told++;
                all += 1 + lost;
                assert_int_equal(event.kind, CORE_EVENT_DENIED);
        }
        assert_int_equal(told, 256);
        assert_int_equal(all + lost, 301);
        world_free(w);
}

/* Who has no rate, or no end of places, is still let in one after the other. */
static void test_hello_rates_at_their_ends(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.uid_connect_rate = 0; /* one a second */
        limits.uid_connections = 2;
        struct world *w = world_new(1, &limits);
        struct fake *a = fake_join(w, WORLD_ALLOWED_UID);
        fake_lost(a);
        world_turn(w);
        fake_lost(fake_join(w, WORLD_ALLOWED_UID));
        world_turn(w);
        struct core_origin origin = {.local = true, .uid = WORLD_ALLOWED_UID, .pid = 1, .address = "unix:@world"};
        int error = 0;
        assert_null(fake_connect(w, &origin, &error));
        assert_int_equal(error, -EDQUOT);
        world_advance(w, MS(1000));
        fake_join(w, WORLD_ALLOWED_UID);
        world_free(w);
        limits.uid_connections = UINT64_MAX;
        w = world_new(1, &limits);
        for (unsigned i = 0; i < 5; i++)
                fake_join(w, WORLD_ALLOWED_UID);
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_hello_with_a_long_label_is_invalid),
                cmocka_unit_test(test_hello_welcome_differs_by_peer_and_user_alone),
                cmocka_unit_test(test_hello_that_resumes_is_for_later),
                cmocka_unit_test(test_hello_by_tcp_needs_nonce_and_proof_of_their_length),
                cmocka_unit_test(test_hello_on_a_kept_place_only_looks),
                cmocka_unit_test(test_hello_labels_stand_in_refusals),
                cmocka_unit_test(test_hello_without_an_address),
                cmocka_unit_test(test_hello_to_a_broker_that_stops_at_once),
                cmocka_unit_test(test_hello_events_that_nobody_takes_are_counted),
                cmocka_unit_test(test_hello_rates_at_their_ends),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
