/* SPDX-License-Identifier: MIT */
/* Well-known names: owned, waited for, replaced; who may serve where another holds a name; $PEER. */
#include "expect.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CLAIM(fake, sid_, ...)                                                                                         \
        SUBSCRIBE((fake), .sid = (sid_), .serve = true, .name = true, .pattern = "n.a", __VA_ARGS__)

static void test_names_owner_gets_the_name_and_what_is_below(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID);
        expect_subscribed(a, CLAIM(a, 1, 0), OWNER, 0);
        fake_call(from, "n.a", "1", 0);
        fake_call(from, "n.a.get.all", "2", 0);
        uint64_t other = fake_call(from, "n.ab", "3", 0);
        expect_call(a, 1, "1");
        expect_call(a, 1, "2");
        expect_status(from, other, NO_RESPONDER);
        fake_publish(from, "n.a", "publishes are not for servers");
        expect_nothing(a);
        world_free(w);
}

static void test_names_others_wait_in_line_and_move_up(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID), *c = fake_join(w, WORLD_UID),
                    *d = fake_join(w, WORLD_UID);
        expect_subscribed(a, CLAIM(a, 1, 0), OWNER, 0);
        expect_subscribed(b, CLAIM(b, 1, 0), QUEUED, 1);
        expect_subscribed(c, CLAIM(c, 1, 0), QUEUED, 2);
        expect_subscribed(d, CLAIM(d, 1, 0), QUEUED, 3);
        expect_status(b, fake_unsubscribe(b, 1), OK);
        expect_notice(c, 1, QUEUED, 1, NONE);
        expect_notice(d, 1, QUEUED, 2, NONE);
        expect_nothing(a);
        fake_lost(a);
        expect_notice(c, 1, OWNER, 0, NONE);
        expect_notice(d, 1, QUEUED, 1, NONE);
        world_free(w);
}

static void test_names_no_queue_is_now_or_not_at_all(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        expect_subscribed(a, CLAIM(a, 1, .no_queue = true), OWNER, 0);
        expect_status(b, CLAIM(b, 1, .no_queue = true), EXISTS);
        expect_status(b, CLAIM(b, 2, .no_queue = true, .replace = true), EXISTS); /* a does not allow it */
        expect_subscribed(b, CLAIM(b, 1, 0), QUEUED, 1);                          /* the sid is still free */
        world_free(w);
}

static void test_names_replace_takes_it_from_an_owner_that_allows(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID), *c = fake_join(w, WORLD_UID);
        expect_subscribed(a, CLAIM(a, 1, .allow_replace = true), OWNER, 0);
        expect_subscribed(c, CLAIM(c, 1, 0), QUEUED, 1);
        expect_subscribed(b, CLAIM(b, 1, .replace = true), OWNER, 0);
        expect_notice(a, 1, LOST, 1, REPLACED);
        expect_notice(c, 1, QUEUED, 2, NONE);
        /* replace is not remembered: b keeps it, a is next. */
        fake_lost(b);
        expect_notice(a, 1, OWNER, 0, NONE);
        expect_notice(c, 1, QUEUED, 1, NONE);
        world_free(w);
}

static void test_names_replaced_owner_with_no_queue_leaves(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        expect_subscribed(a, CLAIM(a, 1, .allow_replace = true, .no_queue = true, .credit_messages = 1), OWNER, 0);
        uint64_t first = fake_call(from, "n.a", "1", 0);
        uint64_t second = fake_call(from, "n.a", "2", 0);
        uint64_t token = expect_call(a, 1, "1");
        expect_subscribed(b, CLAIM(b, 1, .replace = true), OWNER, 0);
        expect_gap(a, 1, 2, 2, 1, MOVED);
        expect_notice(a, 1, ENDED, 0, REPLACED);
        /* The call committed to it stays its own; the other one has moved. */
        const struct got *got = expect(b, RML_DELIVER);
        assert_true(got->data.flags & FLAG(MOVED));
        assert_memory_equal(got->data.payload.data, "2", 1);
        fake_reply(a, token, "one");
        expect_reply(from, first, 1, "one", false);
        fake_reply(b, got->data.token, "two");
        expect_reply(from, second, 1, "two", false);
        assert_int_equal(core_interest_ledger(a->peer, 1, &(struct core_ledger){0}), -ENOENT);
        world_free(w);
}

static void test_names_replaced_owner_keeps_its_calls_and_the_others_move(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        expect_subscribed(a, CLAIM(a, 1, .allow_replace = true, .credit_messages = 1), OWNER, 0);
        uint64_t first = fake_call(from, "n.a", "1", 0);
        fake_call(from, "n.a", "2", 0);
        uint64_t token = expect_call(a, 1, "1");
        expect_subscribed(b, CLAIM(b, 1, .replace = true), OWNER, 0);
        expect_call(b, 1, "2");
        expect_notice(a, 1, LOST, 1, REPLACED);
        expect_ledger(a, 1, .matched = 2, .in_flight = 1, .moved = 1);
        fake_confirm(a, 1, 1);
        expect_gap(a, 1, 2, 2, 1, MOVED);
        fake_reply(a, token, "late but mine");
        expect_reply(from, first, 1, "late but mine", false);
        world_free(w);
}

static void test_names_a_peer_may_hold_several(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID);
        expect_subscribed(a, CLAIM(a, 1, 0), OWNER, 0);
        expect_subscribed(a, SUBSCRIBE(a, .sid = 2, .serve = true, .name = true, .pattern = "n.b"), OWNER, 0);
        fake_call(from, "n.b", "b", 0);
        expect_call(a, 2, "b");
        world_free(w);
}

static void test_names_bad_ones_are_refused(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID);
        char longest[300];
        static const char *const bad[] = {"", "*", "a.>", "a..b", "a b", "$SYS.x", "$x"};
        for (unsigned i = 0; i < RML_COUNT(bad); i++) {
                uint64_t id = SUBSCRIBE(a, .sid = 1, .serve = true, .name = true, .pattern = bad[i]);
                const struct got *got = expect(a, RML_STATUS);
                assert_int_equal(got->id, id);
                assert_true(GOT(got, Status)->code == CODE(BAD_SUBJECT) || GOT(got, Status)->code == CODE(DENIED));
        }
        memset(longest, 'x', 201);
        longest[201] = 0;
        expect_status(a, SUBSCRIBE(a, .sid = 1, .serve = true, .name = true, .pattern = longest), BAD_SUBJECT);
        longest[200] = 0;
        expect_subscribed(a, SUBSCRIBE(a, .sid = 1, .serve = true, .name = true, .pattern = longest), OWNER, 0);
        world_free(w);
}

/* Inside a name that another uid holds nobody else serves, and no name is claimed above what another uid serves. */
static void test_names_of_another_uid_are_not_to_be_entered(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_ALLOWED_UID), *c = fake_join(w, WORLD_UID);
        char holder[32];
        expect_subscribed(a, CLAIM(a, 1, .allow_replace = true), OWNER, 0);
        snprintf(holder, sizeof(holder), "%llu", (unsigned long long)a->id);
        const Ramal__V1__Status *status =
                expect_status(b, SUBSCRIBE(b, .sid = 1, .serve = true, .pattern = "n.a.get"), EXISTS);
        assert_non_null(strstr(status->text, holder)); /* names the holder */
        expect_status(b, SUBSCRIBE(b, .sid = 1, .serve = true, .pattern = "n.a.>"), EXISTS);
        expect_status(b, SUBSCRIBE(b, .sid = 1, .serve = true, .name = true, .pattern = "n.a.b"), EXISTS);
        /* Of the same uid it may. And a wildcard is no literal beginning. */
        subscribed(c, .sid = 1, .serve = true, .pattern = "n.a.get");
        subscribed(b, .sid = 1, .serve = true, .pattern = "n.*.get");
        subscribed(b, .sid = 2, .serve = true, .pattern = "m.x.y");
        expect_status(a, SUBSCRIBE(a, .sid = 2, .serve = true, .name = true, .pattern = "m.x"), EXISTS);
        expect_subscribed(a, SUBSCRIBE(a, .sid = 2, .serve = true, .name = true, .pattern = "m.z"), OWNER, 0);
        world_free(w);
}

/* The most specific pattern is chosen: a server below a name comes before the name. */
static void test_names_more_specific_server_comes_first(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        expect_subscribed(a, CLAIM(a, 1, 0), OWNER, 0);
        subscribed(b, .sid = 1, .serve = true, .pattern = "n.a.get");
        fake_call(from, "n.a.get", "1", 0);
        fake_call(from, "n.a.set", "2", 0);
        expect_call(b, 1, "1");
        expect_call(a, 1, "2");
        world_free(w);
}

static void test_names_second_serving_group_on_a_pattern_exists(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        subscribed(a, .sid = 1, .serve = true, .pattern = "s.x", .group = "g");
        expect_status(b, SUBSCRIBE(b, .sid = 1, .serve = true, .pattern = "s.x", .group = "h"), EXISTS);
        expect_status(b, SUBSCRIBE(b, .sid = 1, .serve = true, .pattern = "s.x"), EXISTS);
        subscribed(b, .sid = 1, .serve = true, .pattern = "s.x", .group = "g");
        subscribed(b, .sid = 2, .serve = true, .pattern = "s.*", .group = "h");
        world_free(w);
}

/* ---- $PEER ----------------------------------------------------------------------------------------------------- */

static const char *peer_subject(const struct fake *fake, const char *rest, char buf[64]) {
        snprintf(buf, 64, "$PEER.%llu%s", (unsigned long long)fake->id, rest);
        return buf;
}

static void test_unicast_reaches_its_peer_within_one_uid(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID);
        char s[64];
        subscribed(a, .sid = 1, .pattern = peer_subject(a, ".>", s));
        subscribed(a, .sid = 2, .pattern = s, .serve = true);
        fake_publish(from, peer_subject(a, ".x", s), "p");
        fake_call(from, s, "c", 0);
        expect_deliver(a, 1, 1, "p");
        expect_call(a, 2, "c");
        world_free(w);
}

static void test_unicast_only_the_peer_itself_may_listen(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_UID);
        char s[64];
        expect_status(b, SUBSCRIBE(b, .sid = 1, .pattern = peer_subject(a, ".>", s)), DENIED);
        expect_status(b, SUBSCRIBE(b, .sid = 1, .pattern = s, .serve = true), DENIED);
        expect_status(b, SUBSCRIBE(b, .sid = 1, .pattern = "$PEER.>"), DENIED);
        expect_status(b, SUBSCRIBE(b, .sid = 1, .pattern = "$PEER.*.x"), DENIED);
        expect_status(b, SUBSCRIBE(b, .sid = 1, .pattern = "$SYS.api.>", .serve = true), DENIED);
        world_free(w);
}

static void test_unicast_across_uids_only_to_one_that_calls_you(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *a = fake_join(w, WORLD_UID), *b = fake_join(w, WORLD_ALLOWED_UID);
        char s[64];
        subscribed(a, .sid = 1, .pattern = peer_subject(a, ".>", s));
        subscribed(b, .sid = 1, .pattern = "ask", .serve = true);
        fake_publish(b, peer_subject(a, ".x", s), "no");
        assert_int_equal(expect_status(b, 0, DENIED)->publish, 1);
        fake_call(a, "ask", "q", 0);
        uint64_t token = expect_call(b, 1, "q");
        fake_publish(b, s, "progress");
        expect_deliver(a, 1, 1, "progress");
        fake_reply(b, token, "done");
        fake_publish(b, s, "no more");
        assert_int_equal(expect_status(b, 0, DENIED)->publish, 3);
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names_owner_gets_the_name_and_what_is_below),
                cmocka_unit_test(test_names_others_wait_in_line_and_move_up),
                cmocka_unit_test(test_names_no_queue_is_now_or_not_at_all),
                cmocka_unit_test(test_names_replace_takes_it_from_an_owner_that_allows),
                cmocka_unit_test(test_names_replaced_owner_with_no_queue_leaves),
                cmocka_unit_test(test_names_replaced_owner_keeps_its_calls_and_the_others_move),
                cmocka_unit_test(test_names_a_peer_may_hold_several),
                cmocka_unit_test(test_names_bad_ones_are_refused),
                cmocka_unit_test(test_names_of_another_uid_are_not_to_be_entered),
                cmocka_unit_test(test_names_more_specific_server_comes_first),
                cmocka_unit_test(test_names_second_serving_group_on_a_pattern_exists),
                cmocka_unit_test(test_unicast_reaches_its_peer_within_one_uid),
                cmocka_unit_test(test_unicast_only_the_peer_itself_may_listen),
                cmocka_unit_test(test_unicast_across_uids_only_to_one_that_calls_you),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
