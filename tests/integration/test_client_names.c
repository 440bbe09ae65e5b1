/* SPDX-License-Identifier: MIT */
#include "client.h"

#include <pthread.h>
#include <unistd.h>

struct names {
        char text[512];
        uint64_t owner;
        unsigned changes;
};

static void add(struct names *names, const char *word) {
        size_t used = strlen(names->text);

        snprintf(names->text + used, sizeof(names->text) - used, "%s%s", used ? " " : "", word);
}

static void on_state(ramal_conn *conn, const ramal_sub_change *change, void *user) {
        static const char *const words[] = {"asked", "active", "owner", "queued", "ended"};

        (void)conn;
        add(user, words[change->state]);
        if (change->before == RAMAL_SUB_OWNER && change->state != RAMAL_SUB_OWNER)
                add(user, "(lost)");
}

static void on_owner(ramal_conn *conn, const char *name, uint64_t owner, void *user) {
        struct names *names = user;

        (void)conn;
        assert_string_equal(name, "org.clock");
        names->owner = owner;
        names->changes++;
}

static void answer(ramal_conn *conn, ramal_req *req, void *user) {
        (void)conn;
        ramal_reply(req, user, strlen(user));
}

static ramal_sub *claim(ramal_conn *conn, unsigned flags, const char *reply, struct names *names, int expected) {
        /* A function that serves takes what it likes as its user. */
        void *text = (void *)(uintptr_t)reply;
        ramal_error error;
        ramal_sub *sub;

        assert_int_equal(ramal_claim_with(conn,
                                          RAMAL_INTEREST(.pattern = "org.clock", .name_flags = flags,
                                                         .on_state = on_state, .user = names),
                                          answer, text, &sub),
                         0);
        assert_int_equal(ramal_sub_confirm(sub, ramal_in_ms(WAIT_MS), &error), expected);
        return sub;
}

static void expect_answer(ramal_conn *conn, const char *subject, const char *reply) {
        ramal_error error;
        ramal_msg *msg;

        if (ramal_request(conn, subject, NULL, 0, ramal_in_ms(WAIT_MS), &msg, &error) < 0)
                fail_msg("%s: %s", subject, error.message);
        assert_memory_equal(ramal_msg_data(msg, NULL), reply, strlen(reply));
        ramal_msg_unref(msg);
}

static void test_names_owner_answers_and_the_next_takes_over(void **state) {
        struct bus *bus = *state;
        ramal_conn *first = open_conn(&bus->ramald), *second = open_conn(&bus->ramald);
        struct names one = {.owner = 0}, two = {.owner = 0};

        claim(first, 0, "first", &one, 0);
        ramal_sub *sub = claim(second, 0, "second", &two, 0);
        assert_int_equal(ramal_sub_state_of(sub), RAMAL_SUB_QUEUED);
        expect_answer(first, "org.clock", "first"); /* its own: outside of a callback */
        expect_answer(first, "org.clock.now", "first");
        ramal_close(first);
        WAIT_UNTIL(second, ramal_sub_state_of(sub) == RAMAL_SUB_OWNER);
        expect_answer(second, "org.clock.now", "second");
        assert_string_equal(one.text, "owner");
        assert_string_equal(two.text, "queued owner");
        ramal_close(second);
}

static void test_names_flags_decide_who_gives_way(void **state) {
        struct bus *bus = *state;
        ramal_conn *first = open_conn(&bus->ramald), *second = open_conn(&bus->ramald),
                   *third = open_conn(&bus->ramald);
        struct names one = {.owner = 0}, two = {.owner = 0}, three = {.owner = 0};

        ramal_sub *sub = claim(first, RAMAL_NAME_ALLOW_REPLACE, "first", &one, 0);
        ramal_sub_cancel(claim(second, RAMAL_NAME_NO_QUEUE, "second", &two, -EEXIST));
        claim(second, RAMAL_NAME_REPLACE, "second", &two, 0);
        WAIT_UNTIL(first, ramal_sub_state_of(sub) == RAMAL_SUB_QUEUED);
        assert_string_equal(one.text, "owner queued (lost)");
        /* The second does not allow it. */
        claim(third, RAMAL_NAME_REPLACE, "third", &three, 0);
        assert_string_equal(three.text, "queued");
        ramal_close(second);
        WAIT_UNTIL(first, ramal_sub_state_of(sub) == RAMAL_SUB_OWNER);
        ramal_sub_cancel(sub);
        ramal_flush(first, ramal_in_ms(WAIT_MS));
        WAIT_UNTIL(third, strstr(three.text, "owner") != NULL);
        ramal_close(first);
        ramal_close(third);
}

static void test_names_watch_tells_the_present_and_every_change(void **state) {
        struct bus *bus = *state;
        ramal_conn *watcher = open_conn(&bus->ramald), *owner = open_conn(&bus->ramald);
        struct names early = {.owner = 99}, late = {.owner = 99}, ignored = {.owner = 0};
        uint64_t number = ramal_conn_peer(owner);
        ramal_sub *sub;

        assert_int_equal(ramal_watch_name(watcher, "org.clock", on_owner, &early, &sub), 0);
        WAIT_UNTIL(watcher, early.changes == 1);
        assert_int_equal(early.owner, 0);
        claim(owner, 0, "x", &ignored, 0);
        WAIT_UNTIL(watcher, early.changes == 2);
        assert_int_equal(early.owner, number);
        assert_int_equal(ramal_watch_name(watcher, "org.clock", on_owner, &late, NULL), 0);
        WAIT_UNTIL(watcher, late.changes == 1);
        assert_int_equal(late.owner, number);
        ramal_sub_cancel(sub);
        ramal_close(owner);
        WAIT_UNTIL(watcher, late.changes == 2);
        assert_int_equal(late.owner, 0);
        assert_int_equal(early.changes, 2);
        assert_int_equal(ramal_watch_name(watcher, "no name", on_owner, &late, NULL), -EINVAL);
        ramal_close(watcher);
}

struct late_owner {
        const struct ramald *ramald;
        uint64_t peer;
};

/* Asks the broker until somebody listens to what it says about the name. */
static void await_watcher(ramal_conn *conn, const char *name) {
        char who[64]; /* ramal.api.v1.WhoRequest{subject}: tag, length, text */
        int n = snprintf(who + 2, sizeof(who) - 2, "$SYS.name.%s", name);
        uint64_t deadline = ramal_in_ms(WAIT_MS);
        size_t len = 0;

        who[0] = 0x0a;
        who[1] = (char)n;
        while (!len) {
                ramal_msg *reply;

                assert_int_equal(ramal_request(conn, "$SYS.api.who", who, (size_t)n + 2, deadline, &reply, NULL), 0);
                ramal_msg_data(reply, &len); /* empty: nobody */
                ramal_msg_unref(reply);
        }
}

static void *claim_late(void *user) {
        struct late_owner *late = user;
        struct names names = {.owner = 0};
        ramal_conn *conn = open_conn(late->ramald);

        await_watcher(conn, "org.clock");
        late->peer = ramal_conn_peer(conn);
        claim(conn, 0, "x", &names, 0);
        return conn;
}

static void test_names_wait_returns_when_somebody_comes(void **state) {
        struct bus *bus = *state;
        ramal_conn *conn = open_conn(&bus->ramald);
        struct late_owner late = {.ramald = &bus->ramald};
        uint64_t owner = 0;
        ramal_error error;
        pthread_t thread;
        void *other;

        assert_int_equal(ramal_wait_name(conn, "org.clock", ramal_in_ms(30), &owner, &error), -ETIMEDOUT);
        assert_non_null(strstr(error.message, "org.clock: nobody owns that name"));
        assert_int_equal(pthread_create(&thread, NULL, claim_late, &late), 0);
        assert_int_equal(ramal_wait_name(conn, "org.clock", ramal_in_ms(WAIT_MS), &owner, &error), 0);
        pthread_join(thread, &other);
        assert_int_equal(owner, late.peer);
        /* It is there already. */
        assert_int_equal(ramal_wait_name(conn, "org.clock", ramal_in_ms(WAIT_MS), &owner, &error), 0);
        assert_int_equal(owner, late.peer);
        assert_int_equal(ramal_wait_name(conn, "a.*", ramal_in_ms(WAIT_MS), &owner, &error), -EINVAL);
        ramal_close(other);
        ramal_close(conn);
}

struct waiter {
        ramal_conn *conn;
        uint64_t owner;
        int result;
};

static void *wait_for_name(void *user) {
        struct waiter *waiter = user;
        ramal_error error;

        waiter->result = ramal_wait_name(waiter->conn, "org.late", ramal_in_ms(WAIT_MS), &waiter->owner, &error);
        return NULL;
}

/* What happened while the connection was away is not missed: the name is taken before the waiter is back. */
static void test_names_wait_outlives_a_broker(void **state) {
        struct bus *bus = *state;
        struct waiter waiter = {.conn = open_with(&bus->ramald, (ramal_options){.backoff_min_ns = 800000000})};
        ramal_conn *asker = open_conn(&bus->ramald);
        struct names names = {.owner = 0};
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, wait_for_name, &waiter), 0);
        await_watcher(asker, "org.late");
        ramal_close(asker);
        ramald_kill(&bus->ramald);
        ramald_restart(&bus->ramald);
        ramal_conn *owner = open_conn(&bus->ramald);
        ramal_sub *sub = NULL;
        assert_int_equal(ramal_claim(owner, "org.late", 0, answer, &names, &sub), 0);
        assert_int_equal(ramal_sub_confirm(sub, ramal_in_ms(WAIT_MS), NULL), 0);
        pthread_join(thread, NULL);
        assert_int_equal(waiter.result, 0);
        assert_int_equal(waiter.owner, ramal_conn_peer(owner));
        ramal_close(waiter.conn);
        ramal_close(owner);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_names_owner_answers_and_the_next_takes_over),
                TEST(test_names_flags_decide_who_gives_way),
                TEST(test_names_watch_tells_the_present_and_every_change),
                TEST(test_names_wait_returns_when_somebody_comes),
                TEST(test_names_wait_outlives_a_broker),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
