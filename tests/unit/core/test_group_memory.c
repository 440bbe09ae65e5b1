/* SPDX-License-Identifier: MIT */
/* Groups while memory runs out, at each allocation in turn: what is promised may be refused or dropped, with notice,
 * but the books balance and nothing is left behind. */
#include <stdio.h>
#include <string.h>

#include "core/state.h"
#include "expect.h"
#include "oom.h"

enum { MEMBERS = 4, SIDS = 3 };

static void check_ledgers(const struct fake *fake) {
        for (uint64_t sid = 1; fake->peer && sid <= SIDS; sid++) {
                struct core_ledger l;
                if (core_interest_ledger(fake->peer, sid, &l) < 0)
                        continue;
                assert_int_equal(l.matched, l.queued + l.in_flight + l.confirmed + l.expired + l.dropped + l.replaced +
                                                    l.moved + l.unconfirmed);
        }
}

static void say(struct fake *from, enum rml_kind kind, const char *key, size_t len) {
        static const char payload[5000];
        struct say message = {.subject = kind == RML_CALL ? "s" : "t", .key = key, .payload = payload, .len = len};
        if (from->peer && !from->closed)
                fake_data(from, kind, kind == RML_CALL, &message);
}

/* Members join, are given messages and calls with and without keys, confirm some, drain, die one after the other.
 * Returns how many allocations there were while some could fail. */
static uint64_t scenario(Ramal__V1__Policy policy, uint64_t good, uint64_t bad) {
        struct world *w = world_new(3, NULL);
        struct fake *from = fake_join(w, WORLD_UID), *m[MEMBERS];
        uint64_t before, made;
        char key[16];
        w->split = false;
        for (int i = 0; i < MEMBERS; i++)
                m[i] = fake_join(w, WORLD_UID);
        w->inside = oom_inside;
        before = oom_allocations();
        oom_plan(good, bad);
        for (int i = 0; i < MEMBERS; i++) {
                SUBSCRIBE(m[i], .sid = 1, .pattern = "t", .group = "g", .policy = policy, .credit_messages = 3);
                SUBSCRIBE(m[i], .sid = 2, .pattern = "s", .serve = true, .group = "g", .policy = policy,
                          .credit_messages = 2);
                /* Here the socket confirms. */
                SUBSCRIBE(m[i], .sid = 3, .pattern = i % 2 ? "*" : "t", .group = "h", .policy = policy);
        }
        for (unsigned round = 0; round < MEMBERS; round++) {
                for (unsigned i = 0; i < 12; i++) {
                        snprintf(key, sizeof(key), "%u", i % 5);
                        say(from, RML_PUBLISH, i % 3 ? key : NULL, i % 4 ? 10 : 5000);
                        say(from, RML_CALL, i % 2 ? key : NULL, 10);
                }
                m[(round + 1) % MEMBERS]->stuck = round % 2;
                world_turn(w);
                for (int i = 0; i < MEMBERS; i++) {
                        check_ledgers(m[i]);
                        if (m[i]->peer && !m[i]->closed && round == 1)
                                fake_confirm(m[i], 1, 2);
                }
                if (m[round]->peer && !m[round]->closed) {
                        if (round == 1)
                                fake_bye(m[round], true, 1000);
                        else if (round == 2)
                                fake_eof(m[round]);
                        else
                                fake_lost(m[round]);
                }
                world_turn(w);
        }
        oom_off();
        made = oom_allocations() - before;
        for (int i = 0; i < MEMBERS; i++)
                m[i]->stuck = false;
        world_turn(w);
        world_advance(w, MS(10000));
        world_turn(w);
        assert_int_equal(w->core->pins.count, 0);
        w->inside = NULL;
        world_free(w); /* all charges are zero */
        return made;
}

static void run(Ramal__V1__Policy policy) {
        uint64_t all = scenario(policy, OOM_EVER, 0);
        assert_true(all > 200);
        for (uint64_t good = 0; good < all; good += 1 + good / 150) {
                uint64_t failures = oom_failures();
                scenario(policy, good, 1);
                assert_true(oom_failures() > failures);
                scenario(policy, good, OOM_EVER);
        }
}

static void test_group_memory_key(void **state) {
        (void)state;
        run(POLICY(KEY));
}

static void test_group_memory_random(void **state) {
        (void)state;
        run(POLICY(RANDOM));
}

static void test_group_memory_primary(void **state) {
        (void)state;
        run(POLICY(PRIMARY));
}

static void test_group_memory_least_pending(void **state) {
        (void)state;
        run(POLICY(LEAST_PENDING));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_group_memory_key),
                cmocka_unit_test(test_group_memory_random),
                cmocka_unit_test(test_group_memory_primary),
                cmocka_unit_test(test_group_memory_least_pending),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
