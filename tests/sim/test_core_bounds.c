/* SPDX-License-Identifier: MIT */
/* What is bounded by the protocol itself, whoever sends it: each bound, and what is told about it. */
#include "expect.h"

#include <stdio.h>
#include <string.h>

static uint8_t bulk[70000];

/* `count` headers with values of `len` bytes, as they stand on the wire. */
static struct rml_span headers(size_t count, size_t len) {
        static uint8_t out[40000];
        size_t n = 0;
        memset(bulk, 'x', sizeof(bulk));
        for (size_t i = 0; i < count; i++)
                n += rml_put_header(out + n, rml_span_of("name"), (struct rml_span){bulk, len});
        return (struct rml_span){out, n};
}

static const char *longest(size_t len) {
        static char text[70000];
        memset(text, 'x', len);
        text[len] = 0;
        return text;
}

static void test_bounds_of_a_publish_are_told_by_name(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "t");
        const struct {
                struct say say;
                Ramal__V1__Code code;
                const char *says;
                uint64_t value;
        } rows[] = {
                {{.subject = "t", .headers = headers(65, 1)}, CODE(TOO_LARGE), "headers", 64},
                {{.subject = "t", .type = longest(33000)}, CODE(TOO_LARGE), "together", 32 << 10},
                {{.subject = "t", .key = longest(17000)}, CODE(TOO_LARGE), "hop header", 16 << 10},
                {{.subject = "t", .key = longest(256)}, CODE(INVALID), "key", 255},
        };
        for (size_t i = 0; i < RML_COUNT(rows); i++) {
                struct say say = rows[i].say;
                /* The texts lie in one place. */
                if (say.type)
                        longest(33000);
                else if (say.key)
                        longest(i == 2 ? 17000 : 256);
                say.flags = FLAG(RECEIPT);
                const Ramal__V1__Status *status =
                        GOT(expect(from, (fake_data(from, RML_PUBLISH, true, &say), RML_STATUS)), Status);
                assert_int_equal(status->code, rows[i].code);
                assert_non_null(strstr(status->text, rows[i].says));
                assert_int_equal(status->value, rows[i].value);
        }
        struct say say = {.subject = "t", .headers = headers(1, 8200)};
        fake_data(from, RML_PUBLISH, false, &say);
        assert_non_null(strstr(expect_status(from, 0, TOO_LARGE)->text, "headers are too long"));
        expect_nothing(to);
        fake_publish(from, "t", "goes on");
        expect_deliver(to, 1, 1, "goes on");
        world_free(w);
}

/* The caller hears of it at once, and the server that its answer is not wanted. */
static void test_bounds_of_a_reply_end_the_call(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *caller = fake_join(w, WORLD_UID), *server = fake_join(w, WORLD_UID);
        subscribed(server, .sid = 1, .pattern = "do", .serve = true);
        uint64_t id = fake_call(caller, "do", "q", 0);
        struct say say = {.token = expect_call(server, 1, "q"), .headers = headers(65, 1)};
        fake_data(server, RML_REPLY, false, &say);
        expect_status(caller, id, TOO_LARGE);
        expect_cancel(server, say.token, TOO_LARGE);
        id = fake_call(caller, "do", "q", 0);
        fake_reply(server, expect_call(server, 1, "q"), "a");
        expect_reply(caller, id, 1, "a", false);
        world_free(w);
}

static void test_bounds_of_a_control_frame_end_the_connection(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID);
        Ramal__V1__Subscribe m;
        ramal__v1__subscribe__init(&m);
        m.sid = 1;
        m.pattern = (char *)(uintptr_t)longest(66000);
        fake_control(a, RML_SUBSCRIBE, true, &m.base);
        const Ramal__V1__Goaway *goaway = GOT(expect(a, RML_GOAWAY), Goaway);
        assert_int_equal(goaway->reason, CODE(MALFORMED));
        assert_non_null(strstr(goaway->text, "64 KiB"));
        expect_closed(a);
        world_free(w);
}

/* Each of them is more than a client may say, and ends its connection. */
static void test_bounds_of_what_clients_may_say(void **state) {
        (void)state;
        struct world *w = world_start();
        const struct {
                uint64_t sid, call, token, publish_bytes;
        } credits[] = {{0, 0, 0, 0}, {1, 1, 0, 0}, {1, 0, 1, 0}, {1, 0, 0, 1}};
        const struct {
                uint64_t call, token;
                Ramal__V1__Why why;
        } cancels[] = {{0, 0, WHY(NONE)}, {1, 1, WHY(NONE)}, {1, 0, WHY(GONE)}};
        for (size_t i = 0; i < RML_COUNT(credits) + RML_COUNT(cancels); i++) {
                struct fake *a = fake_join(w, WORLD_UID);
                if (i < RML_COUNT(credits)) {
                        Ramal__V1__Credit m = RAMAL__V1__CREDIT__INIT;
                        m.sid = credits[i].sid;
                        m.call = credits[i].call;
                        m.token = credits[i].token;
                        m.publish_bytes = credits[i].publish_bytes;
                        fake_control(a, RML_CREDIT, false, &m.base);
                } else {
                        Ramal__V1__Cancel m = RAMAL__V1__CANCEL__INIT;
                        m.call = cancels[i - RML_COUNT(credits)].call;
                        m.token = cancels[i - RML_COUNT(credits)].token;
                        m.why = cancels[i - RML_COUNT(credits)].why;
                        fake_control(a, RML_CANCEL, false, &m.base);
                }
                assert_int_equal(GOT(expect(a, RML_GOAWAY), Goaway)->reason, CODE(MALFORMED));
                expect_closed(a);
        }
        /* An id without RECEIPT, and the other way round. */
        for (int with_id = 0; with_id < 2; with_id++) {
                struct fake *a = fake_join(w, WORLD_UID);
                struct say say = {.subject = "t", .flags = with_id ? 0 : FLAG(RECEIPT)};
                fake_data(a, RML_PUBLISH, with_id, &say);
                assert_int_equal(GOT(expect(a, RML_GOAWAY), Goaway)->reason, CODE(MALFORMED));
                expect_closed(a);
        }
        world_free(w);
}

static void test_bounds_of_a_tap_are_that_it_only_listens(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID);
        expect_status(a, SUBSCRIBE(a, .sid = 1, .pattern = ">", .tap = true, .serve = true), INVALID);
        expect_status(a, SUBSCRIBE(a, .sid = 1, .pattern = "n", .tap = true, .name = true), INVALID);
        expect_status(a, SUBSCRIBE(a, .sid = 1, .pattern = ">", .tap = true, .group = "g"), INVALID);
        expect_status(a, SUBSCRIBE(a, .sid = 1, .pattern = ">", .tap = true, .overflow = OVERFLOW_RULE(EVICT)), INVALID);
        subscribed(a, .sid = 1, .pattern = ">", .tap = true);
        world_free(w);
}

static void test_bounds_of_unsubscribe_are_told_as_later(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID);
        Ramal__V1__Unsubscribe drain = RAMAL__V1__UNSUBSCRIBE__INIT, in_time = RAMAL__V1__UNSUBSCRIBE__INIT;
        subscribed(a, .sid = 1, .pattern = "t");
        drain.sid = in_time.sid = 1;
        drain.drain = true;
        in_time.drain_us = 1;
        expect_status(a, fake_control(a, RML_UNSUBSCRIBE, true, &drain.base), UNSUPPORTED);
        expect_status(a, fake_control(a, RML_UNSUBSCRIBE, true, &in_time.base), UNSUPPORTED);
        Ramal__V1__Subscribe at;
        ramal__v1__subscribe__init(&at);
        at.sid = 2;
        at.pattern = (char *)(uintptr_t)"t";
        at.start_at = 5;
        expect_status(a, fake_control(a, RML_SUBSCRIBE, true, &at.base), UNSUPPORTED);
        world_free(w);
}

/* Only a number in its shortest form is a peer's. */
static void test_bounds_of_a_unicast_subject(void **state) {
        (void)state;
        static const char *const bad[] = {"$PEER.x",  "$PEER.01",  "$PEER.0",
                                          "$PEER.18446744073709551616", "$PEER.99999999999999999999",
                                          "$PEER.123456789012345678901", "$PEER"};
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID);
        for (size_t i = 0; i < RML_COUNT(bad); i++) {
                fake_publish_receipt(a, bad[i], "x");
                world_turn(w);
                const struct got *got = fake_next(a); /* refused, or heard by nobody */
                assert_true(got->kind == RML_STATUS || (got->kind == RML_ACCEPTED && !GOT(got, Accepted)->receivers));
                got = expect(a, (SUBSCRIBE(a, .sid = 1, .pattern = bad[i]), RML_STATUS));
                assert_int_not_equal(GOT(got, Status)->code, CODE(OK));
        }
        world_free(w);
}

/* More interests than a turn ends, some of them in groups and with something to be delivered still. */
static void test_bounds_of_a_turn_let_many_interests_drain(void **state) {
        (void)state;
        struct world *w = world_new(1, NULL);
        struct fake *from = fake_join(w, WORLD_UID), *many = fake_join(w, WORLD_UID);
        for (uint64_t i = 0; i < 6000; i++) {
                char pattern[32];
                snprintf(pattern, sizeof(pattern), "t.%llu", (unsigned long long)i);
                SUBSCRIBE(many, .sid = 1 + i, .pattern = pattern, .group = i % 100 ? NULL : "g", .credit_messages = 1);
        }
        world_turn(w);
        fake_skip(many);
        for (int i = 0; i < 2; i++) {
                fake_publish(from, "t.0", "grouped");
                fake_publish(from, "t.1", "plain");
        }
        fake_bye(many, true, 1000000);
        fake_publish(from, "t.0", "too late");
        fake_publish(from, "t.5001", "too late as well");
        unsigned delivered = 0;
        world_turn(w);
        for (const struct got *got; (got = fake_next(many));)
                if (got->kind == RML_DELIVER) {
                        delivered++;
                        fake_confirm(many, got->data.sid, got->data.seq);
                        world_turn(w);
                }
        assert_in_range(delivered, 4, 5); /* what is taken apart later, may still have got one */
        world_turn(w);
        assert_true(many->closed);
        world_free(w);
}

/* One message is always admitted to nothing; the rest is told. */
static void test_bounds_of_a_broker_that_is_all_reserve(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.broker_bytes = limits.reserve_bytes;
        struct world *w = world_new(1, &limits);
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "t", .credit_messages = 1);
        fake_publish(from, "t", "1");
        fake_publish(from, "t", "2");
        fake_publish(from, "t", "3");
        expect_deliver(to, 1, 1, "1");
        fake_confirm(to, 1, 1);
        expect_gap(to, 1, 2, 2, 1, UID); /* the own user has all that there is */
        expect_deliver(to, 1, 3, "3");
        world_free(w);
}

/* What is larger than a payload may be is not said, not even by the broker. */
static void test_bounds_of_a_payload_hold_for_presence_too(void **state) {
        (void)state;
        struct core_limits limits;
        core_limits_default(&limits);
        limits.payload_bytes = 1;
        struct world *w = world_new(1, &limits);
        struct fake *watch = fake_join(w, WORLD_UID);
        subscribed(watch, .sid = 1, .pattern = "$SYS.peer.>");
        fake_lost(fake_join(w, WORLD_UID));
        expect_nothing(watch);
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bounds_of_a_publish_are_told_by_name),
                cmocka_unit_test(test_bounds_of_a_reply_end_the_call),
                cmocka_unit_test(test_bounds_of_a_control_frame_end_the_connection),
                cmocka_unit_test(test_bounds_of_what_clients_may_say),
                cmocka_unit_test(test_bounds_of_a_tap_are_that_it_only_listens),
                cmocka_unit_test(test_bounds_of_unsubscribe_are_told_as_later),
                cmocka_unit_test(test_bounds_of_a_unicast_subject),
                cmocka_unit_test(test_bounds_of_a_turn_let_many_interests_drain),
                cmocka_unit_test(test_bounds_of_a_broker_that_is_all_reserve),
                cmocka_unit_test(test_bounds_of_a_payload_hold_for_presence_too),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
