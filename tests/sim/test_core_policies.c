/* SPDX-License-Identifier: MIT */
/* The group policies `random` and `key`; the others are in test_core_groups.c. */
#include <stdio.h>
#include <string.h>

#include "expect.h"

static struct core_ledger ledger(const struct fake *fake, uint64_t sid) {
        struct core_ledger l;
        assert_int_equal(core_interest_ledger(fake->peer, sid, &l), 0);
        return l;
}

static uint64_t matched(const struct fake *fake) {
        return ledger(fake, 1).matched;
}

static void publish_key(struct fake *from, const char *subject, const char *key, const char *text) {
        struct say say = {.subject = subject, .key = key, .payload = text, .len = strlen(text)};
        fake_data(from, RML_PUBLISH, false, &say);
}

/* Members of one group, sid 1 each. */
static void crew(struct world *w, struct fake **members, size_t count, struct sub sub) {
        sub.sid = 1;
        sub.pattern = sub.pattern ? sub.pattern : "t";
        sub.group = "g";
        for (size_t i = 0; i < count; i++) {
                members[i] = fake_join(w, WORLD_UID);
                fake_subscribe(members[i], &sub);
                expect(members[i], RML_SUBSCRIBED);
        }
}

/* Who of them was given one more? */
static size_t chosen(struct fake **members, size_t count, uint64_t *before) {
        size_t who = count;
        for (size_t i = 0; i < count; i++) {
                uint64_t now = matched(members[i]);
                if (now == before[i])
                        continue;
                assert_int_equal(now, before[i] + 1);
                assert_int_equal(who, count);
                who = i;
                before[i] = now;
        }
        assert_true(who < count);
        return who;
}

/* ---- random ---------------------------------------------------------------------------------------------------- */

static void test_policies_random_gives_each_about_as_many(void **state) {
        (void)state;
        enum { MEMBERS = 8, MESSAGES = 8000 };
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *m[MEMBERS];
        uint64_t before[MEMBERS] = {0}, runs = 0;
        size_t last = MEMBERS;
        crew(w, m, 5, (struct sub){.policy = POLICY(RANDOM)});
        crew(w, m + 5, 3, (struct sub){.pattern = "*", .policy = POLICY(RANDOM)}); /* over both patterns */
        for (unsigned i = 0; i < MESSAGES; i++) {
                fake_publish(from, "t", "x");
                size_t now = chosen(m, MEMBERS, before);
                runs += now == last;
                last = now;
                if (i % 100 == 0)
                        world_turn(w);
        }
        for (size_t i = 0; i < MEMBERS; i++) /* 1000 each; six standard deviations are 178 */
                assert_in_range(matched(m[i]), 1000 - 178, 1000 + 178);
        assert_in_range(runs, 1000 - 178, 1000 + 178); /* and it does not take turns */
        world_free(w);
}

static void test_policies_random_is_the_same_in_the_same_run(void **state) {
        (void)state;
        enum { MEMBERS = 5, MESSAGES = 200 };
        size_t first[MESSAGES];
        for (int run = 0; run < 2; run++) {
                struct world *w = world_new(7, NULL);
                struct fake *from = fake_join(w, WORLD_UID), *m[MEMBERS];
                uint64_t before[MEMBERS] = {0};
                crew(w, m, MEMBERS, (struct sub){.policy = POLICY(RANDOM)});
                for (unsigned i = 0; i < MESSAGES; i++) {
                        fake_publish(from, "t", "x");
                        size_t now = chosen(m, MEMBERS, before);
                        if (run)
                                assert_int_equal(now, first[i]);
                        first[i] = now;
                }
                world_free(w);
        }
}

static void test_policies_random_passes_over_the_full_and_the_tight(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *full[2], *tight[2], *wide[2];
        crew(w, full, 2, (struct sub){.policy = POLICY(RANDOM), .window_messages = 1, .credit_messages = 1});
        crew(w, tight, 2, (struct sub){.policy = POLICY(RANDOM), .window_bytes = 1000, .credit_messages = 1});
        crew(w, wide, 2, (struct sub){.policy = POLICY(RANDOM), .credit_messages = 1});
        while (!matched(full[0]) || !matched(full[1]) || !matched(tight[0]) || !matched(tight[1]))
                fake_publish_bytes(from, "t", 700); /* each of these then has no room for a second one */
        uint64_t wide_before[2] = {matched(wide[0]), matched(wide[1])};
        for (int i = 0; i < 200; i++)
                fake_publish_bytes(from, "t", 700);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(matched(full[i]), 1);
                assert_int_equal(matched(tight[i]), 1);
                assert_in_range(matched(wide[i]) - wide_before[i], 50, 150);
        }
        world_free(w);
}

/* All are full: the rule of somebody decides. */
static void test_policies_random_overflows_where_all_are_full(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *m[3];
        uint64_t dropped = 0;
        crew(w, m, 3, (struct sub){.policy = POLICY(RANDOM), .window_messages = 1, .credit_messages = 1,
                                   .overflow = OVERFLOW_RULE(DROP_NEW)});
        for (int i = 0; i < 63; i++)
                fake_publish(from, "t", "x");
        for (int i = 0; i < 3; i++) {
                assert_in_range(ledger(m[i], 1).dropped, 5, 40);
                assert_int_equal(ledger(m[i], 1).in_flight, 1);
                dropped += ledger(m[i], 1).dropped;
        }
        assert_int_equal(dropped, 60);
        world_free(w);
}

static void test_policies_random_of_servers(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *m[2];
        crew(w, m, 2,
             (struct sub){.policy = POLICY(RANDOM), .serve = true, .window_messages = 5, .credit_messages = 5});
        for (int i = 0; i < 10; i++)
                fake_call(from, "t", "x", 0);
        assert_int_equal(matched(m[0]), 5);
        assert_int_equal(matched(m[1]), 5);
        expect_status(from, fake_call(from, "t", "x", 0), OVER_LIMIT);
        world_free(w);
}

/* Members come and go: whoever is there may be drawn, nobody else. */
static void test_policies_random_follows_who_comes_and_goes(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID);
        struct rng rng;
        bool in[41] = {false};
        rng.state = 5;
        for (unsigned round = 0; round < 2000; round++) {
                uint64_t sid = 1 + rng_below(&rng, 40);
                if (in[sid])
                        fake_unsubscribe(a, sid);
                else
                        SUBSCRIBE(a, .sid = sid, .pattern = sid % 3 ? "t" : "*", .group = "g", .policy = POLICY(RANDOM),
                                  .credit_messages = 3, .window_messages = 1 + sid % 4);
                in[sid] = !in[sid];
                fake_publish(from, "t", "x");
                world_turn(w);
                for (struct got *got; (got = fake_next(a));)
                        if (got->kind == RML_DELIVER) {
                                assert_true(in[got->data.sid]);
                                if (rng_chance(&rng, 2))
                                        fake_confirm(a, got->data.sid, got->data.seq);
                        }
        }
        world_free(w);
}

/* ---- key ------------------------------------------------------------------------------------------------------- */

enum { KEYS = 400 };
static const char *key_text(unsigned key, char text[16]) {
        snprintf(text, 16, "key-%u", key);
        return text;
}

/* Where each key goes now; everything is confirmed. */
static void owners(struct fake *from, struct fake **members, size_t count, size_t who[KEYS]) {
        uint64_t before[16];
        char text[16];
        for (size_t i = 0; i < count; i++)
                before[i] = matched(members[i]);
        for (unsigned k = 0; k < KEYS; k++) {
                publish_key(from, "t", key_text(k, text), "x");
                who[k] = chosen(members, count, before);
        }
        world_turn(from->world); /* the socket confirms */
}

static void test_policies_key_goes_to_the_same_member(void **state) {
        (void)state;
        enum { MEMBERS = 5 };
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *m[MEMBERS];
        size_t first[KEYS], again[KEYS], share[MEMBERS] = {0};
        crew(w, m, 3, (struct sub){.policy = POLICY(KEY)});
        crew(w, m + 3, 2, (struct sub){.pattern = ">", .policy = POLICY(KEY)});
        owners(from, m, MEMBERS, first);
        for (int i = 0; i < 3; i++) {
                owners(from, m, MEMBERS, again);
                assert_memory_equal(first, again, sizeof(first));
        }
        for (unsigned k = 0; k < KEYS; k++)
                share[first[k]]++;
        for (size_t i = 0; i < MEMBERS; i++)
                assert_in_range(share[i], KEYS / MEMBERS / 4, KEYS / MEMBERS * 2);
        world_free(w);
}

static void test_policies_key_moves_few_when_members_come_and_go(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *m[6];
        size_t four[KEYS], five[KEYS], left[KEYS], moved = 0;
        crew(w, m, 4, (struct sub){.policy = POLICY(KEY)});
        owners(from, m, 4, four);
        crew(w, m + 4, 1, (struct sub){.policy = POLICY(KEY)});
        owners(from, m, 5, five);
        for (unsigned k = 0; k < KEYS; k++)
                if (five[k] != four[k]) {
                        assert_int_equal(five[k], 4); /* only to who came */
                        moved++;
                }
        assert_in_range(moved, KEYS / 20, KEYS / 2);
        fake_lost(m[4]);
        owners(from, m, 4, left);
        assert_memory_equal(left, four, sizeof(four)); /* and back */
        world_free(w);
}

static void test_policies_key_none_goes_to_who_has_least_to_do(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *m[2];
        crew(w, m, 2, (struct sub){.policy = POLICY(KEY), .credit_messages = 50});
        for (int i = 0; i < 10; i++)
                publish_key(from, "t", "one", "x");
        struct fake *busy = matched(m[0]) ? m[0] : m[1], *idle = busy == m[0] ? m[1] : m[0];
        assert_int_equal(matched(busy), 10);
        for (int i = 0; i < 10; i++)
                fake_publish(from, "t", "x");
        assert_int_equal(matched(busy), 10);
        assert_int_equal(matched(idle), 10);
        world_free(w);
}

/* A key in progress stays where it is when members join; when all of it is confirmed it goes where it belongs. */
static void test_policies_key_in_progress_stays_when_members_join(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *m[16];
        uint64_t before[16] = {0};
        char text[16];
        unsigned went = 0;
        crew(w, m, 1, (struct sub){.policy = POLICY(KEY), .credit_messages = KEYS * 4});
        for (unsigned k = 0; k < KEYS; k++)
                publish_key(from, "t", key_text(k, text), "x");
        world_turn(w);
        fake_skip(m[0]);
        crew(w, m + 1, 15, (struct sub){.policy = POLICY(KEY), .credit_messages = KEYS});
        for (unsigned k = 0; k < KEYS; k++)
                publish_key(from, "t", key_text(k, text), "x");
        assert_int_equal(matched(m[0]), 2 * KEYS);
        fake_confirm(m[0], 1, KEYS); /* the first of each; one of each is still in flight */
        for (unsigned k = 0; k < KEYS; k++)
                publish_key(from, "t", key_text(k, text), "x");
        assert_int_equal(matched(m[0]), 3 * KEYS);
        world_turn(w);
        fake_confirm(m[0], 1, 3 * KEYS);
        before[0] = matched(m[0]);
        for (unsigned k = 0; k < KEYS; k++) {
                publish_key(from, "t", key_text(k, text), "x");
                went += chosen(m, 16, before) != 0;
        }
        assert_in_range(went, KEYS / 2, KEYS - 1);
        world_free(w);
}

/* What a dead member had of a key goes, in order, to one other member, and so does what comes after it. */
static void test_policies_key_of_a_dead_member_moves_as_a_whole(void **state) {
        (void)state;
        enum { MEMBERS = 4, PER_KEY = 6, FEW = 30 };
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *m[MEMBERS];
        char text[16], payload[32];
        unsigned next[FEW] = {0}, sent[FEW] = {0};
        size_t at[FEW];
        crew(w, m, MEMBERS, (struct sub){.policy = POLICY(KEY), .credit_messages = 20});
        for (unsigned i = 0; i < FEW * PER_KEY; i++) {
                unsigned k = i % FEW;
                snprintf(payload, sizeof(payload), "%u %u", k, sent[k]++);
                publish_key(from, "t", key_text(k, text), payload);
        }
        world_turn(w);
        for (unsigned k = 0; k < FEW; k++)
                at[k] = MEMBERS;
        fake_lost(m[1]);
        for (unsigned i = 0; i < FEW; i++) { /* new ones follow the old */
                snprintf(payload, sizeof(payload), "%u %u", i, sent[i]++);
                publish_key(from, "t", key_text(i, text), payload);
        }
        for (unsigned idle = 0; idle < 3; idle++) {
                world_turn(w);
                for (size_t i = 0; i < MEMBERS; i++)
                        for (struct got *got; i != 1 && (got = fake_next(m[i]));) {
                                unsigned k, n;
                                memcpy(payload, got->data.payload.data, got->data.payload.len);
                                payload[got->data.payload.len] = '\0';
                                assert_int_equal(sscanf(payload, "%u %u", &k, &n), 2);
                                assert_true(k < FEW && n < PER_KEY + 1);
                                assert_int_equal(n, next[k]); /* in order, all of it */
                                next[k]++;
                                assert_true(at[k] == MEMBERS || at[k] == i); /* at one member */
                                at[k] = i;
                                fake_confirm(m[i], 1, got->data.seq);
                                idle = 0;
                        }
        }
        for (unsigned k = 0; k < FEW; k++)
                assert_int_equal(next[k], PER_KEY + 1);
        world_free(w);
}

/* The one that has the key gets it, full or not: its rule decides. */
static void test_policies_key_is_not_passed_on_by_a_full_member(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *m[2];
        crew(w, m, 2, (struct sub){.policy = POLICY(KEY), .window_messages = 3, .credit_messages = 1,
                                   .overflow = OVERFLOW_RULE(DROP_NEW)});
        for (int i = 0; i < 10; i++)
                publish_key(from, "t", "one", "x");
        struct fake *it = matched(m[0]) ? m[0] : m[1], *other = it == m[0] ? m[1] : m[0];
        assert_int_equal(matched(other), 0);
        expect_ledger(it, 1, .matched = 10, .queued = 2, .in_flight = 1, .dropped = 7);
        world_free(w);
}

static void test_policies_key_of_calls(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *m[8];
        uint64_t before[8] = {0};
        crew(w, m, 1, (struct sub){.policy = POLICY(KEY), .serve = true, .window_messages = 2, .credit_messages = 9});
        struct say say = {.subject = "t", .key = "one", .payload = "x", .len = 1};
        uint64_t first = fake_data(from, RML_CALL, true, &say);
        uint64_t token = expect_call(m[0], 1, "x");
        fake_confirm(m[0], 1, 1); /* it has read it, and not answered */
        crew(w, m + 1, 7,
             (struct sub){.policy = POLICY(KEY), .serve = true, .window_messages = 2, .credit_messages = 9});
        before[0] = 1;
        for (int i = 0; i < 2; i++) {
                fake_data(from, RML_CALL, true, &say);
                assert_int_equal(chosen(m, 8, before), 0);
        }
        /* It is full, and nobody else has that key. */
        expect_status(from, fake_data(from, RML_CALL, true, &say), OVER_LIMIT);
        uint64_t second = expect_call(m[0], 1, "x"), third = expect_call(m[0], 1, "x");
        fake_reply(m[0], token, "done");
        expect_reply(from, first, 1, "done", false);
        fake_reply(m[0], second, "done");
        fake_reply(m[0], third, "done");
        /* Nothing of it is unanswered: some key that had to wait goes elsewhere now. */
        uint64_t elsewhere = 0;
        for (unsigned k = 0; k < 40; k++) {
                char text[16];
                say.key = key_text(k, text);
                fake_data(from, RML_CALL, true, &say);
        }
        for (int i = 1; i < 8; i++)
                elsewhere += matched(m[i]);
        assert_true(elsewhere > 0);
        fake_lost(m[0]);
        world_free(w);
}

/* A call that waits goes to another member with its key, and the next one follows it. */
static void test_policies_key_of_calls_that_wait_moves_with_them(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *m[4];
        uint64_t before[4] = {0};
        crew(w, m, 1, (struct sub){.policy = POLICY(KEY), .serve = true, .credit_messages = 1});
        struct say say = {.subject = "t", .key = "one", .payload = "1", .len = 1};
        uint64_t first = fake_data(from, RML_CALL, true, &say);
        expect_call(m[0], 1, "1");
        crew(w, m + 1, 3, (struct sub){.policy = POLICY(KEY), .serve = true, .credit_messages = 1});
        say.payload = "2";
        fake_data(from, RML_CALL, true, &say);
        fake_lost(m[0]);
        expect_status(from, first, RESPONDER_GONE);
        size_t heir = 1 + chosen(m + 1, 3, before);
        expect_call(m[heir], 1, "2");
        crew(w, m, 1, (struct sub){.policy = POLICY(KEY), .serve = true, .credit_messages = 1});
        for (int i = 0; i < 3; i++) {
                fake_data(from, RML_CALL, true, &say);
                assert_int_equal(1 + chosen(m + 1, 3, before), heir);
        }
        world_free(w);
}

/* Keys are of the group and not of the subject: what follows on another subject goes to the same member, if it can. */
static void test_policies_key_in_progress_on_several_subjects(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *m[12];
        uint64_t before[12] = {0};
        char text[16];
        crew(w, m, 1, (struct sub){.pattern = "o.*", .policy = POLICY(KEY), .credit_messages = 500});
        for (unsigned k = 0; k < 50; k++)
                publish_key(from, "o.new", key_text(k, text), "x");
        crew(w, m + 1, 10, (struct sub){.pattern = "o.*", .policy = POLICY(KEY), .credit_messages = 500});
        before[0] = 50;
        for (unsigned k = 0; k < 50; k++) {
                publish_key(from, "o.paid", key_text(k, text), "x");
                assert_int_equal(chosen(m, 11, before), 0);
        }
        /* One that its pattern does not match goes elsewhere, and stays there in its turn. */
        crew(w, m + 11, 1, (struct sub){.pattern = "p.x", .policy = POLICY(KEY), .credit_messages = 500});
        publish_key(from, "p.x", "key-1", "x");
        assert_int_equal(chosen(m, 12, before), 11);
        publish_key(from, "o.new", "key-1", "x");
        assert_int_equal(chosen(m, 12, before), 0);
        fake_lost(m[0]);
        world_free(w);
}

static void test_policies_key_goes_elsewhere_while_its_member_drains(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *m[3];
        uint64_t before[3] = {0};
        crew(w, m, 3, (struct sub){.policy = POLICY(KEY), .credit_messages = 1});
        publish_key(from, "t", "one", "1");
        size_t first = chosen(m, 3, before);
        publish_key(from, "t", "one", "2");
        assert_int_equal(chosen(m, 3, before), first);
        expect_deliver(m[first], 1, 1, "1");
        fake_bye(m[first], true, 0);
        publish_key(from, "t", "one", "3");
        size_t second = chosen(m, 3, before);
        assert_true(second != first);
        expect_deliver(m[second], 1, 1, "3");
        fake_confirm(m[first], 1, 1);
        expect_deliver(m[first], 1, 2, "2"); /* what it had it delivers itself */
        world_free(w);
}

static void test_policies_key_that_is_too_long_is_refused(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *a = fake_join(w, WORLD_UID);
        char key[257];
        memset(key, 'k', sizeof(key));
        key[256] = '\0';
        struct say say = {.subject = "t", .key = key, .payload = "x", .len = 1, .flags = FLAG(RECEIPT)};
        subscribed(a, .sid = 1, .pattern = "t");
        uint64_t id = fake_data(from, RML_PUBLISH, true, &say);
        expect_status(from, id, INVALID);
        say.flags = 0;
        id = fake_data(from, RML_CALL, true, &say);
        const Ramal__V1__Status *status = expect_status(from, id, INVALID);
        assert_int_equal(status->value, 255);
        key[255] = '\0';
        fake_data(from, RML_PUBLISH, false, &say); /* just short enough; and a plain interest does not mind */
        expect_deliver(a, 1, 1, "x");
        world_free(w);
}

/* `latest` puts a message of another key into the place of a queued one. */
static void test_policies_key_under_latest_is_that_of_the_newest(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *from = fake_join(w, WORLD_UID), *m[8];
        uint64_t before[8] = {0};
        char text[16];
        crew(w, m, 1, (struct sub){.policy = POLICY(KEY), .window_messages = 2, .credit_messages = 1,
                                   .overflow = OVERFLOW_RULE(LATEST)});
        for (unsigned k = 0; k < 30; k++)
                publish_key(from, "t", key_text(k, text), "x");
        expect_ledger(m[0], 1, .matched = 30, .queued = 1, .in_flight = 1, .replaced = 28);
        crew(w, m + 1, 7, (struct sub){.policy = POLICY(KEY), .credit_messages = 90});
        before[0] = 30;
        publish_key(from, "t", key_text(29, text), "x");
        assert_int_equal(chosen(m, 8, before), 0);
        publish_key(from, "t", key_text(0, text), "x");
        assert_int_equal(chosen(m, 8, before), 0); /* in flight */
        bool elsewhere = false;
        for (unsigned k = 1; k < 28; k++) {
                publish_key(from, "t", key_text(k, text), "x");
                elsewhere |= chosen(m, 8, before) != 0; /* these are gone, and free */
        }
        assert_true(elsewhere);
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_policies_random_gives_each_about_as_many),
                cmocka_unit_test(test_policies_random_is_the_same_in_the_same_run),
                cmocka_unit_test(test_policies_random_passes_over_the_full_and_the_tight),
                cmocka_unit_test(test_policies_random_overflows_where_all_are_full),
                cmocka_unit_test(test_policies_random_of_servers),
                cmocka_unit_test(test_policies_random_follows_who_comes_and_goes),
                cmocka_unit_test(test_policies_key_goes_to_the_same_member),
                cmocka_unit_test(test_policies_key_moves_few_when_members_come_and_go),
                cmocka_unit_test(test_policies_key_none_goes_to_who_has_least_to_do),
                cmocka_unit_test(test_policies_key_in_progress_stays_when_members_join),
                cmocka_unit_test(test_policies_key_of_a_dead_member_moves_as_a_whole),
                cmocka_unit_test(test_policies_key_is_not_passed_on_by_a_full_member),
                cmocka_unit_test(test_policies_key_of_calls),
                cmocka_unit_test(test_policies_key_of_calls_that_wait_moves_with_them),
                cmocka_unit_test(test_policies_key_in_progress_on_several_subjects),
                cmocka_unit_test(test_policies_key_goes_elsewhere_while_its_member_drains),
                cmocka_unit_test(test_policies_key_that_is_too_long_is_refused),
                cmocka_unit_test(test_policies_key_under_latest_is_that_of_the_newest),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
