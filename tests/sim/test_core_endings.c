/* SPDX-License-Identifier: MIT */
/* Rule 11: how connections end, and how the broker does. */
#include "expect.h"

static void test_endings_eof_flushes_what_is_queued_without_regard_to_credit(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "t", .credit_messages = 1);
        fake_publish(from, "t", "1");
        fake_publish(from, "t", "2");
        fake_publish(from, "t", "3");
        expect_deliver(to, 1, 1, "1");
        fake_eof(to);
        fake_publish(from, "t", "4"); /* too late: the interest is gone */
        expect_deliver(to, 1, 2, "2");
        expect_deliver(to, 1, 3, "3");
        expect_closed(to);
        world_free(w);
}

static void test_endings_eof_waits_for_the_terminals_of_its_calls(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *server = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID);
        subscribed(server, .sid = 1, .pattern = "do", .serve = true);
        uint64_t id = fake_call(a, "do", "q", 0);
        fake_eof(a);
        uint64_t token = expect_call(server, 1, "q");
        world_advance(w, MS(4000));
        expect_nothing(a);
        assert_false(a->closed);
        fake_reply(server, token, "a");
        expect_reply(a, id, 1, "a", false);
        expect_closed(a);
        expect_nothing(server);
        world_free(w);
}

static void test_endings_eof_cancels_calls_that_last_too_long(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *server = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID);
        subscribed(server, .sid = 1, .pattern = "do", .serve = true);
        uint64_t id = fake_call(a, "do", "q", 0);
        fake_eof(a);
        uint64_t token = expect_call(server, 1, "q");
        assert_true(core_deadline(w->core) <= WORLD_START_NS + w->limits.flush_timeout_ns);
        world_advance(w, w->limits.flush_timeout_ns);
        expect_cancel(server, token, GONE);
        expect_status(a, id, CANCELLED); /* told as well, while it can be written */
        expect_closed(a);
        world_free(w);
}

static void test_endings_eof_of_a_stuck_reader_is_closed_in_the_end(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "t");
        to->stuck = true;
        for (int i = 0; i < 50; i++)
                fake_publish_bytes(from, "t", 20000);
        fake_eof(to);
        world_turn(w);
        assert_false(to->closed);
        world_advance(w, w->limits.flush_timeout_ns + MS(200));
        world_turn(w);
        world_turn(w);
        assert_true(to->closed);
        world_free(w);
}

static void test_endings_death_frees_names_and_interests_at_once(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        expect_subscribed(a, SUBSCRIBE(a, .sid = 1, .pattern = "n", .serve = true, .name = true), OWNER, 0);
        subscribed(a, .sid = 2, .pattern = "t");
        fake_lost(a);
        expect_subscribed(b, SUBSCRIBE(b, .sid = 1, .pattern = "n", .serve = true, .name = true, .no_queue = true),
                          OWNER, 0);
        fake_publish_receipt(b, "t", "x");
        assert_int_equal(GOT(expect(b, RML_ACCEPTED), Accepted)->receivers, 0);
        world_free(w);
}

static void test_endings_bye_is_answered_last_and_closes(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "t");
        to->stuck = true;
        fake_publish(from, "t", "1");
        world_turn(w);
        uint64_t id = fake_bye(to, false, 0);
        assert_false(core_peer_reading(to->peer));
        fake_publish(from, "t", "2");
        to->stuck = false;
        expect_deliver(to, 1, 1, "1");
        expect_status(to, id, OK);
        expect_closed(to);
        world_free(w);
}

static void test_endings_bye_waits_for_own_calls(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *server = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID);
        subscribed(server, .sid = 1, .pattern = "do", .serve = true);
        uint64_t id = fake_call(a, "do", "q", 0);
        uint64_t bye = fake_bye(a, false, 0);
        fake_reply(server, expect_call(server, 1, "q"), "a");
        expect_reply(a, id, 1, "a", false);
        expect_status(a, bye, OK);
        expect_closed(a);
        world_free(w);
}

static void test_endings_bye_of_a_server_ends_its_calls(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *caller = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "do", .serve = true, .credit_messages = 1);
        uint64_t first = fake_call(caller, "do", "1", 0), second = fake_call(caller, "do", "2", 0);
        expect_call(a, 1, "1");
        uint64_t bye = fake_bye(a, false, 0);
        bool told[2] = {false, false};
        for (int i = 0; i < 2; i++) {
                const struct got *got = expect(caller, RML_STATUS);
                assert_int_equal(GOT(got, Status)->code, CODE(RESPONDER_GONE));
                assert_int_equal(GOT(got, Status)->may_have_run, got->id == first);
                told[got->id == second] = true;
        }
        assert_true(told[0] && told[1]);
        expect_gap(a, 1, 2, 2, 1, ENDED);
        expect_status(a, bye, OK);
        expect_closed(a);
        world_free(w);
}

static void test_endings_drain_delivers_what_is_queued_and_takes_nothing_new(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "t", .credit_messages = 1);
        fake_publish(from, "t", "1");
        fake_publish(from, "t", "2");
        expect_deliver(to, 1, 1, "1");
        uint64_t bye = fake_bye(to, true, 2000000);
        fake_publish(from, "t", "3");
        fake_confirm(to, 1, 1); /* it goes on confirming */
        expect_deliver(to, 1, 2, "2");
        expect_nothing(to);
        fake_confirm(to, 1, 2);
        expect_status(to, bye, OK);
        expect_closed(to);
        world_free(w);
}

static void test_endings_drain_lets_served_calls_finish(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *caller = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "do", .serve = true);
        uint64_t id = fake_call(caller, "do", "1", 0);
        uint64_t token = expect_call(a, 1, "1");
        uint64_t bye = fake_bye(a, true, 0);
        expect_status(caller, fake_call(caller, "do", "2", 0), NO_RESPONDER);
        expect_nothing(a);
        fake_reply(a, token, "done");
        expect_reply(caller, id, 1, "done", false);
        expect_status(a, bye, OK);
        expect_closed(a);
        world_free(w);
}

static void test_endings_drain_is_over_in_time(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *caller = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "do", .serve = true, .credit_messages = 1);
        uint64_t first = fake_call(caller, "do", "1", 0), second = fake_call(caller, "do", "2", 0);
        expect_call(a, 1, "1");
        uint64_t bye = fake_bye(a, true, 1000);
        expect_nothing(a);
        world_advance(w, MS(1));
        expect_gap(a, 1, 2, 2, 1, ENDED);
        expect_status(a, bye, OK);
        expect_closed(a);
        for (int i = 0; i < 2; i++) {
                const struct got *got = expect(caller, RML_STATUS);
                assert_int_equal(GOT(got, Status)->code, CODE(RESPONDER_GONE));
                assert_int_equal(GOT(got, Status)->may_have_run, got->id == first);
                assert_true(got->id == first || got->id == second);
        }
        world_free(w);
}

static void test_endings_malformed_input_is_told_with_its_offset(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .pattern = "t");
        uint64_t before = a->fed;
        static const uint8_t zero_length[] = {0, 0, 0, 0};
        fake_publish(b, "t", "flushed before the end");
        fake_raw(a, zero_length, sizeof(zero_length));
        bool delivered = false, told = false;
        world_turn(w);
        for (const struct got *got; (got = fake_next(a));) {
                if (got->kind == RML_DELIVER) {
                        delivered = true;
                        continue;
                }
                assert_int_equal(got->kind, RML_GOAWAY);
                assert_int_equal(GOT(got, Goaway)->reason, CODE(MALFORMED));
                assert_true(GOT(got, Goaway)->offset >= before && GOT(got, Goaway)->offset <= before + 4);
                told = true;
        }
        assert_true(delivered && told);
        assert_true(a->closed);
        world_free(w);
}

/* C34, C29, C40, and ids where none belong. */
static void test_endings_of_clients_that_break_the_protocol(void **state) {
        (void)state;
        static const uint8_t deliver[] = {0, 0, 0, 2, 0x2a, 0},              /* a frame only the broker sends */
                old_id[] = {0, 0, 0, 5, 0x08, 1, 0x82, 0x02, 0},             /* PING with the id of HELLO */
                no_id[] = {0, 0, 0, 3, 0x82, 0x02, 0},                       /* PING without */
                hello[] = {0, 0, 0, 6, 0x08, 9, 0x82, 0x01, 0, 0},           /* trailing byte */
                two[] = {0, 0, 0, 8, 0x08, 9, 0x82, 0x02, 0, 0x82, 0x02, 0}; /* two members of the oneof */
        static const struct rml_span cases[] = {{deliver, sizeof(deliver)},
                                                {old_id, sizeof(old_id)},
                                                {no_id, sizeof(no_id)},
                                                {hello, sizeof(hello)},
                                                {two, sizeof(two)}};
        struct world *w = world_start();
        for (size_t i = 0; i < RML_COUNT(cases); i++) {
                struct fake *a = fake_join(w, WORLD_UID);
                fake_raw(a, cases[i].data, cases[i].len);
                assert_int_equal(GOT(expect(a, RML_GOAWAY), Goaway)->reason, CODE(MALFORMED));
                expect_closed(a);
        }
        struct fake *a = fake_join(w, WORLD_UID);
        fake_hello(a, "again");
        assert_int_equal(GOT(expect(a, RML_GOAWAY), Goaway)->reason, CODE(MALFORMED));
        expect_closed(a);
        assert_int_equal(w->events[CORE_EVENT_GOAWAY], RML_COUNT(cases) + 1);
        world_free(w);
}

static void test_endings_a_half_read_frame_is_closed_in_time(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID), *slow = fake_join(w, WORLD_UID);
        static uint8_t bytes[70000] = {0, 0x10, 0, 0}; /* 1 MiB announced */
        fake_raw(a, bytes, 10);
        fake_raw(slow, bytes, 10);
        world_advance(w, w->limits.frame_timeout_ns - MS(1));
        fake_raw(slow, bytes + 10, 65536); /* progress */
        fake_raw(a, bytes + 10, 100);      /* hardly any */
        world_turn(w);
        assert_false(a->closed);
        world_advance(w, MS(2));
        assert_int_equal(GOT(expect(a, RML_GOAWAY), Goaway)->reason, CODE(TIMEOUT));
        expect_closed(a);
        expect_nothing(slow);
        assert_false(slow->closed);
        world_advance(w, w->limits.frame_timeout_ns);
        assert_int_equal(GOT(expect(slow, RML_GOAWAY), Goaway)->reason, CODE(TIMEOUT));
        world_free(w);
}

static void test_endings_stop_says_goaway_and_closes_who_is_idle(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *caller = fake_join(w, WORLD_UID), *server = fake_join(w, WORLD_UID),
                    *silent = fake_local(w, WORLD_UID);
        subscribed(server, .sid = 1, .pattern = "do", .serve = true);
        uint64_t id = fake_call(caller, "do", "q", 0);
        uint64_t token = expect_call(server, 1, "q");
        core_stop(w->core, MS(1000));
        const struct got *got = expect(caller, RML_GOAWAY);
        assert_int_equal(GOT(got, Goaway)->reason, CODE(OK));
        assert_int_equal(GOT(got, Goaway)->grace_us, 1000000);
        expect(server, RML_GOAWAY);
        assert_true(silent->closed);
        assert_false(core_stopped(w->core));
        struct core_origin origin = {.local = true, .uid = WORLD_UID, .address = "late"};
        int r;
        assert_null(fake_connect(w, &origin, &r));
        assert_true(r < 0);
        fake_reply(server, token, "a");
        expect_reply(caller, id, 1, "a", false);
        world_turn(w);
        assert_false(core_stopped(w->core)); /* somebody may still have something to say */
        world_advance(w, MS(120));
        world_turn(w);
        assert_true(core_stopped(w->core));
        world_free(w);
}

/* What was on its way when the broker began to stop is still read. */
static void test_endings_stop_hears_who_speaks_at_once(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a", .credit_messages = 10);
        core_stop(w->core, MS(1000));
        expect(to, RML_GOAWAY);
        fake_publish(from, "a", "late");
        expect_deliver(to, 1, 1, "late");
        world_advance(w, MS(120));
        world_turn(w);
        assert_false(to->closed); /* it has not confirmed yet */
        fake_confirm(to, 1, 1);
        world_advance(w, MS(120));
        world_turn(w);
        assert_true(core_stopped(w->core));
        world_free(w);
}

/* An INTEREST that waits to be sent does not take the news of the end to its own place, before the GAP. */
static void test_endings_gap_comes_before_ended_also_behind_an_older_notice(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *first = fake_join(w, WORLD_UID), *second = fake_join(w, WORLD_UID);
        expect_subscribed(first, SUBSCRIBE(first, .sid = 1, .pattern = "a", .group = "g", .policy = POLICY(PRIMARY)), OWNER, 0);
        expect_subscribed(second, SUBSCRIBE(second, .sid = 1, .pattern = "a", .group = "g", .credit_messages = 1,
                                            .window_messages = 2, .overflow = OVERFLOW_RULE(EVICT)), QUEUED, 1);
        subscribed(second, .sid = 2, .pattern = "fill");
        second->stuck = true;
        for (unsigned i = 0; i < 10; i++)
                fake_publish_bytes(from, "fill", 60000);
        expect_status(first, fake_unsubscribe(first, 1), OK); /* "owner" waits behind the output */
        for (unsigned i = 0; i < 5; i++)
                fake_publish(from, "a", "x");
        second->stuck = false;
        world_turn(w);
        bool told = false, ended = false;
        const struct got *got;
        while ((got = fake_next(second))) {
                told = told || got->kind == RML_GAP;
                if (got->kind == RML_INTEREST && GOT(got, Interest)->state == STATE(ENDED)) {
                        assert_true(told);
                        ended = true;
                }
        }
        assert_true(ended);
        world_free(w);
}

static void test_endings_queued_call_of_a_server_that_dies_draining_ends(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *caller = fake_join(w, WORLD_UID), *server = fake_join(w, WORLD_UID);
        subscribed(server, .sid = 1, .pattern = "a", .serve = true, .credit_messages = 1);
        uint64_t first = fake_call(caller, "a", "1", 0), second = fake_call(caller, "a", "2", 0);
        expect_call(server, 1, "1");
        fake_bye(server, true, 60000000);
        fake_eof(server);
        bool may_have_run[2] = {true, false};
        for (unsigned i = 0; i < 2; i++) {
                const struct got *got = expect(caller, RML_STATUS);
                assert_int_equal(GOT(got, Status)->code, CODE(RESPONDER_GONE));
                assert_int_equal(GOT(got, Status)->may_have_run, may_have_run[got->id == second]);
                assert_true(got->id == first || got->id == second);
        }
        expect_nothing(caller);
        world_free(w);
}

static void test_endings_half_read_frame_is_closed_in_time_while_draining_too(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *to = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a", .credit_messages = 1);
        fake_publish(from, "a", "x");
        expect_deliver(to, 1, 1, "x");
        fake_bye(to, true, UINT64_MAX);
        fake_raw(to, "\0\0\1", 3);
        world_advance(w, MS(31000));
        world_turn(w);
        assert_int_equal(GOT(expect(to, RML_GOAWAY), Goaway)->reason, CODE(TIMEOUT));
        world_free(w);
}

static void test_endings_stop_closes_the_rest_at_the_end_of_the_grace(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *caller = fake_join(w, WORLD_UID), *server = fake_join(w, WORLD_UID);
        subscribed(server, .sid = 1, .pattern = "do", .serve = true);
        fake_call(caller, "do", "q", 0);
        expect_call(server, 1, "q");
        core_stop(w->core, MS(1000));
        world_turn(w);
        assert_true(core_deadline(w->core) <= w->now + MS(1000));
        world_advance(w, MS(999));
        world_turn(w);
        assert_false(core_stopped(w->core));
        world_advance(w, MS(1));
        world_turn(w);
        assert_true(core_stopped(w->core));
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_endings_eof_flushes_what_is_queued_without_regard_to_credit),
                cmocka_unit_test(test_endings_eof_waits_for_the_terminals_of_its_calls),
                cmocka_unit_test(test_endings_eof_cancels_calls_that_last_too_long),
                cmocka_unit_test(test_endings_eof_of_a_stuck_reader_is_closed_in_the_end),
                cmocka_unit_test(test_endings_death_frees_names_and_interests_at_once),
                cmocka_unit_test(test_endings_bye_is_answered_last_and_closes),
                cmocka_unit_test(test_endings_bye_waits_for_own_calls),
                cmocka_unit_test(test_endings_bye_of_a_server_ends_its_calls),
                cmocka_unit_test(test_endings_drain_delivers_what_is_queued_and_takes_nothing_new),
                cmocka_unit_test(test_endings_drain_lets_served_calls_finish),
                cmocka_unit_test(test_endings_drain_is_over_in_time),
                cmocka_unit_test(test_endings_malformed_input_is_told_with_its_offset),
                cmocka_unit_test(test_endings_of_clients_that_break_the_protocol),
                cmocka_unit_test(test_endings_a_half_read_frame_is_closed_in_time),
                cmocka_unit_test(test_endings_stop_says_goaway_and_closes_who_is_idle),
                cmocka_unit_test(test_endings_stop_hears_who_speaks_at_once),
                cmocka_unit_test(test_endings_gap_comes_before_ended_also_behind_an_older_notice),
                cmocka_unit_test(test_endings_queued_call_of_a_server_that_dies_draining_ends),
                cmocka_unit_test(test_endings_half_read_frame_is_closed_in_time_while_draining_too),
                cmocka_unit_test(test_endings_stop_closes_the_rest_at_the_end_of_the_grace),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
