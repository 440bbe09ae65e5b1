/* SPDX-License-Identifier: MIT */
/* Promise P7: another broker has another epoch, and takes nothing that was meant for the one before it. */
#include "expect.h"

static void test_restart_the_epoch_is_another(void **state) {
        (void)state;
        struct world *w = world_start();
        uint64_t before = fake_join(w, WORLD_UID)->epoch;
        world_restart(w);
        assert_int_not_equal(fake_join(w, WORLD_UID)->epoch, before);
        world_free(w);
}

/* The server knows a call of the old broker; the new one has a call for it as well. Whatever numbers it uses. */
static void test_restart_a_reply_to_a_call_of_before_reaches_nobody(void **state) {
        enum { CALLS = 100 };
        uint64_t old[CALLS];
        (void)state;
        struct world *w = world_start();
        for (int time = 0; time < 2; time++) {
                struct fake *server = fake_join(w, WORLD_UID), *caller = fake_join(w, WORLD_UID);
                subscribed(server, .sid = 1, .pattern = "do", .serve = true);
                for (int i = 0; i < CALLS; i++) {
                        fake_call(caller, "do", "q", 0);
                        uint64_t token = expect_call(server, 1, "q");
                        for (int k = 0; time && k < CALLS; k++)
                                assert_int_not_equal(token, old[k]);
                        if (!time)
                                old[i] = token;
                }
                for (int i = 0; time && i < CALLS; i++)
                        fake_reply(server, old[i], "late");
                expect_nothing(caller);
                if (!time)
                        world_restart(w);
        }
        world_free(w);
}

/* Nor is what a connection confirmed or cancelled there anything here. */
static void test_restart_numbers_of_before_mean_nothing(void **state) {
        (void)state;
        struct world *w = world_start();
        struct fake *to = fake_join(w, WORLD_UID), *from = fake_join(w, WORLD_UID);
        subscribed(to, .sid = 1, .pattern = "a", .credit_messages = 1);
        fake_publish(from, "a", "1");
        expect_deliver(to, 1, 1, "1");
        world_restart(w);
        to = fake_join(w, WORLD_UID);
        fake_confirm(to, 1, 1);
        fake_confirm_replies(to, 2, 1);
        fake_cancel(to, 2);
        expect_nothing(to);
        uint64_t id = fake_unsubscribe(to, 1);
        expect_status(to, id, NOT_FOUND);
        world_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_restart_the_epoch_is_another),
                cmocka_unit_test(test_restart_a_reply_to_a_call_of_before_reaches_nobody),
                cmocka_unit_test(test_restart_numbers_of_before_mean_nothing),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
