/* SPDX-License-Identifier: MIT */
/* Losses, returns, and the ways to end. */
#include "client.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

struct seen {
        ramal_state state;
        unsigned losses, welcomes, messages, replies, owner_changes;
        uint64_t unconfirmed, owner;
        int result;
        ramal_req *req;
        ramal_why why;
};

static void on_state(ramal_conn *conn, const ramal_state_change *change, void *user) {
        struct seen *seen = user;

        (void)conn;
        seen->state = change->state;
        seen->welcomes += change->state == RAMAL_CONNECTED;
        seen->losses += change->before != RAMAL_CONNECTING && change->state == RAMAL_CONNECTING;
        seen->unconfirmed += change->unconfirmed;
}

static void on_msg(ramal_conn *conn, const ramal_msg *msg, void *user) {
        (void)conn, (void)msg;
        ((struct seen *)user)->messages++;
}

static void on_reply(ramal_conn *conn, int result, const ramal_msg *reply, const ramal_error *error, void *user) {
        struct seen *seen = user;

        (void)conn, (void)reply, (void)error;
        seen->result = result;
        seen->replies++;
}

static void on_owner(ramal_conn *conn, const char *name, uint64_t owner, void *user) {
        struct seen *seen = user;

        (void)conn, (void)name;
        seen->owner = owner;
        seen->owner_changes++;
}

static void echo(ramal_conn *conn, ramal_req *req, void *user) {
        (void)conn, (void)user;
        ramal_reply(req, NULL, 0);
}

static void on_cancel(ramal_req *req, ramal_why why, void *user) {
        struct seen *seen = user;

        seen->why = why;
        seen->req = ramal_req_drop(req);
}

static void keep(ramal_conn *conn, ramal_req *req, void *user) {
        (void)conn;
        ((struct seen *)user)->req = req;
        ramal_req_on_cancel(req, on_cancel, user);
}

static ramal_conn *open_seen(struct bus *bus, struct seen *seen) {
        return open_with(&bus->ramald, (ramal_options){.on_state = on_state, .user = seen, .backoff_max_ns = 50000000});
}

static void test_endings_killed_broker_comes_back_and_so_does_everything(void **state) {
        struct bus *bus = *state;
        struct seen seen = {.losses = 0}, service = {.losses = 0};
        ramal_conn *conn = open_seen(bus, &seen), *server = open_seen(bus, &service);
        ramal_error error;
        ramal_sub *claimed;

        ramal_subscribe(conn, "a", on_msg, &seen, NULL);
        ramal_claim(server, "org.x", 0, keep, &service, &claimed);
        ramal_serve(server, "svc", echo, NULL, NULL);
        assert_int_equal(ramal_watch_name(conn, "org.x", on_owner, &seen, NULL), 0);
        assert_int_equal(ramal_sync(conn, ramal_in_ms(WAIT_MS)), 0);
        assert_int_equal(ramal_sync(server, ramal_in_ms(WAIT_MS)), 0);
        WAIT_UNTIL(conn, seen.owner != 0);
        assert_int_equal(ramal_request_async(conn, "org.x", NULL, 0, RAMAL_NEVER, on_reply, &seen, NULL), 0);
        WAIT_UNTIL(server, service.req != NULL);
        for (int i = 0; i < 3; i++)
                ramal_publish(server, "nobody", NULL, 0);

        ramald_kill(&bus->ramald);
        WAIT_UNTIL(conn, seen.losses == 1 && seen.replies == 1);
        assert_int_equal(seen.result, -ECONNRESET);
        WAIT_UNTIL(server, service.losses == 1 && service.req == NULL);
        assert_int_equal(service.why, RAMAL_WHY_GONE);
        assert_int_equal(service.unconfirmed, 3);
        assert_int_equal(ramal_publish(conn, "a", NULL, 0), -ENOTCONN);
        assert_int_equal(ramal_request(conn, "svc", NULL, 0, ramal_in_ms(WAIT_MS), NULL, &error), -ENOTCONN);
        assert_int_equal(ramal_sub_state_of(claimed), RAMAL_SUB_ASKED);

        ramald_restart(&bus->ramald);
        WAIT_UNTIL(server, service.welcomes == 1 && ramal_sub_state_of(claimed) == RAMAL_SUB_OWNER);
        WAIT_UNTIL(conn, seen.welcomes == 1);
        assert_int_equal(ramal_sync(conn, ramal_in_ms(WAIT_MS)), 0);
        assert_int_equal(ramal_publish(server, "a", NULL, 0), 0);
        WAIT_UNTIL(conn, seen.messages == 1);
        WAIT_UNTIL(conn, seen.owner == ramal_conn_peer(server));
        assert_int_equal(ramal_request_async(conn, "svc", NULL, 0, ramal_in_ms(WAIT_MS), on_reply, &seen, NULL), 0);
        WAIT_UNTIL(server, ramal_sync(server, ramal_in_ms(WAIT_MS)) == 0);
        WAIT_UNTIL(conn, seen.replies == 2);
        assert_int_equal(seen.result, 0);
        ramal_close(conn);
        ramal_close(server);
}

static void test_endings_stopping_broker_says_so_first(void **state) {
        struct bus *bus = *state;
        struct seen seen = {.losses = 0};
        ramal_conn *conn =
                open_with(&bus->ramald, (ramal_options){.on_state = on_state, .user = &seen, .no_reconnect = true});

        kill(bus->ramald.pid, SIGTERM);
        WAIT_UNTIL(conn, seen.state == RAMAL_STOPPING || seen.state == RAMAL_CLOSED);
        /* Whoever closes now is no reason to wait for the grace time. */
        ramal_close(conn);
}

static void test_endings_broker_that_hangs_holds_nobody(void **state) {
        struct bus *bus = *state;
        ramal_conn *conn = open_conn(&bus->ramald);
        ramal_error error;

        ramald_freeze(&bus->ramald, true);
        uint64_t start = ramal_now();
        assert_int_equal(ramal_request(conn, "a", NULL, 0, ramal_in_ms(100), NULL, &error), -ETIMEDOUT);
        assert_int_equal(ramal_sync(conn, ramal_in_ms(100)), -ETIMEDOUT);
        assert_true(ramal_now() - start < 3000000000u);
        start = ramal_now();
        ramal_close(conn); /* at most a second */
        assert_true(ramal_now() - start < 3000000000u);
        assert_int_equal(ramal_open(RAMAL_OPTIONS(.address = bus->ramald.address), ramal_in_ms(100), &conn, &error),
                         -ETIMEDOUT);
        ramald_freeze(&bus->ramald, false);
}

static void test_endings_waits_for_a_broker_that_is_not_there_yet(void **state) {
        struct bus *bus = *state;
        struct seen seen = {.losses = 0};
        ramal_options options = {
                .size = sizeof(options),
                .address = bus->ramald.address,
                .wait_broker = true,
                .backoff_max_ns = 20000000,
                .on_state = on_state,
                .user = &seen,
        };
        ramal_error error;
        ramal_conn *conn;

        ramald_kill(&bus->ramald);
        assert_int_equal(ramal_open(&options, ramal_in_ms(60), &conn, &error), -ECONNREFUSED);
        assert_int_equal(ramal_open_async(&options, &conn, &error), 0);
        assert_int_equal(ramal_subscribe(conn, "a", on_msg, &seen, NULL), 0);
        ramal_wait(conn, ramal_in_ms(50));
        ramald_restart(&bus->ramald);
        WAIT_UNTIL(conn, seen.state == RAMAL_CONNECTED);
        assert_int_equal(ramal_sync(conn, ramal_in_ms(WAIT_MS)), 0);
        ramal_publish(conn, "a", NULL, 0);
        WAIT_UNTIL(conn, seen.messages == 1);
        ramal_close(conn);
}

/* What is queued is delivered, what is served is answered, and then it is over. */
static void test_endings_drain_delivers_what_is_queued(void **state) {
        struct bus *bus = *state;
        struct seen seen = {.losses = 0};
        ramal_conn *to = open_seen(bus, &seen), *from = open_conn(&bus->ramald);
        char payload[1000] = {0};

        ramal_subscribe_with(to, RAMAL_INTEREST(.pattern = "a", .credit_messages = 4), on_msg, &seen, NULL);
        ramal_serve(to, "svc", echo, NULL, NULL);
        assert_int_equal(ramal_sync(to, ramal_in_ms(WAIT_MS)), 0);
        for (int i = 0; i < 500; i++)
                assert_int_equal(ramal_publish(from, "a", payload, sizeof(payload)), 0);
        struct seen caller = {.losses = 0};
        ramal_request_async(from, "svc", NULL, 0, ramal_in_ms(WAIT_MS), on_reply, &caller, NULL);
        assert_int_equal(ramal_flush(from, ramal_in_ms(WAIT_MS)), 0);
        /* The broker has them all before it gets the BYE. */
        assert_int_equal(ramal_request(from, "nobody", NULL, 0, ramal_in_ms(WAIT_MS), NULL, NULL), -ENOENT);
        assert_int_equal(ramal_drain(to, ramal_in_ms(WAIT_MS)), 0);
        assert_int_equal(seen.messages, 500);
        assert_int_equal(seen.state, RAMAL_CLOSED);
        assert_int_equal(ramal_publish(to, "a", NULL, 0), -ESHUTDOWN);
        WAIT_UNTIL(from, caller.replies == 1);
        assert_int_equal(caller.result, 0);
        assert_int_equal(ramal_close(to), 0);
        ramal_close(from);
}

/* The program takes them when it likes; the broker need not wait for that. */
static void test_endings_drain_keeps_what_is_to_be_pulled(void **state) {
        struct bus *bus = *state;
        ramal_conn *conn = open_conn(&bus->ramald);
        unsigned taken = 0;
        ramal_sub *sub;
        ramal_msg *msg;

        ramal_subscribe_with(conn, RAMAL_INTEREST(.pattern = "a", .credit_messages = 4), NULL, NULL, &sub);
        assert_int_equal(ramal_sync(conn, ramal_in_ms(WAIT_MS)), 0);
        for (int i = 0; i < 50; i++)
                assert_int_equal(ramal_publish(conn, "a", NULL, 0), 0);
        assert_int_equal(ramal_sub_next(sub, ramal_in_ms(WAIT_MS), &msg), 0);
        ramal_msg_unref(msg);
        assert_int_equal(ramal_drain(conn, ramal_in_ms(WAIT_MS)), 0);
        for (; ramal_sub_next(sub, 0, &msg) == 0; taken++)
                ramal_msg_unref(msg);
        assert_int_equal(taken, 49);
        ramal_close(conn);
}

static void test_endings_drain_keeps_its_deadline(void **state) {
        struct bus *bus = *state;
        struct seen seen = {.losses = 0};
        ramal_conn *to = open_conn(&bus->ramald), *from = open_conn(&bus->ramald);

        ramal_serve(to, "svc", keep, &seen, NULL);
        assert_int_equal(ramal_sync(to, ramal_in_ms(WAIT_MS)), 0);
        ramal_request_async(from, "svc", NULL, 0, RAMAL_NEVER, on_reply, &seen, NULL);
        WAIT_UNTIL(to, seen.req != NULL);
        uint64_t start = ramal_now();
        assert_int_equal(ramal_drain(to, ramal_in_ms(100)), -ETIMEDOUT);
        assert_true(ramal_now() - start >= 90000000u && ramal_now() - start < 5000000000u);
        assert_int_equal(ramal_conn_state(to), RAMAL_CLOSED);
        ramal_close(to);
        WAIT_UNTIL(from, seen.replies == 1);
        assert_int_equal(seen.result, -EHOSTDOWN);
        ramal_close(from);
}

/* ---- a foreign loop ---- */

static void test_endings_foreign_loop_needs_one_descriptor_only(void **state) {
        struct bus *bus = *state;
        struct seen seen = {.losses = 0};
        ramal_options options = {
                .size = sizeof(options),
                .address = bus->ramald.address,
                .on_state = on_state,
                .user = &seen,
                .backoff_max_ns = 20000000,
        };
        ramal_conn *conn, *from = open_conn(&bus->ramald);
        bool asked = false, killed = false;

        assert_int_equal(ramal_open_async(&options, &conn, NULL), 0);
        ramal_subscribe(conn, "a", on_msg, &seen, NULL);
        ramal_serve(conn, "svc", echo, NULL, NULL);
        struct pollfd fd = {.fd = ramal_conn_fd(conn), .events = POLLIN};
        uint64_t until = ramal_in_ms(WAIT_MS);
        while ((seen.welcomes < 2 || seen.replies < 2) && ramal_now() < until) {
                if (poll(&fd, 1, 1000) < 1)
                        fail_msg("not readable: %u welcomes, %u replies", seen.welcomes, seen.replies);
                assert_true(ramal_dispatch(conn, 1) >= 0);
                if (seen.welcomes == 1 && !asked) {
                        asked = true;
                        /* Registered outside of a dispatch, as a program does in its own handlers. */
                        assert_int_equal(
                                ramal_request_async(conn, "svc", NULL, 0, ramal_in_ms(WAIT_MS), on_reply, &seen, NULL),
                                0);
                }
                if (seen.replies == 1 && !killed) {
                        killed = true;
                        assert_int_equal(seen.result, 0);
                        ramald_kill(&bus->ramald);
                        ramald_restart(&bus->ramald);
                }
                if (seen.welcomes == 2 && seen.replies == 1 && asked) {
                        asked = false;
                        assert_int_equal(
                                ramal_request_async(conn, "svc", NULL, 0, ramal_in_ms(WAIT_MS), on_reply, &seen, NULL),
                                0);
                }
                if (seen.welcomes == 2)
                        asked = false;
        }
        assert_int_equal(seen.welcomes, 2);
        assert_int_equal(seen.replies, 2);
        ramal_close(conn);
        ramal_close(from);
}

struct posting {
        ramal_conn *conn;
        unsigned ran;
};

static void on_post(ramal_conn *conn, void *user) {
        (void)conn;
        ((struct posting *)user)->ran++;
}

static void *post(void *user) {
        struct posting *posting = user;

        return ramal_post(posting->conn, on_post, posting) == 0 ? posting : NULL;
}

/* What another thread posted and what has a deadline, before anybody asked for the descriptor. */
static void test_endings_descriptor_made_late_shows_what_waits(void **state) {
        struct bus *bus = *state;
        ramal_conn *conn = open_conn(&bus->ramald), *server = open_conn(&bus->ramald);
        struct posting posting = {.conn = conn};
        struct seen seen = {.losses = 0};
        pthread_t thread;
        void *posted;

        ramal_serve(server, "svc", echo, NULL, NULL);
        assert_int_equal(ramal_sync(server, ramal_in_ms(WAIT_MS)), 0);
        /* Only the library can end it. */
        ramald_freeze(&bus->ramald, true);
        assert_int_equal(ramal_request_async(conn, "svc", NULL, 0, ramal_in_ms(50), on_reply, &seen, NULL), 0);
        assert_int_equal(pthread_create(&thread, NULL, post, &posting), 0);
        assert_int_equal(pthread_join(thread, &posted), 0);
        assert_ptr_equal(posted, &posting);

        struct pollfd fd = {.fd = ramal_conn_fd(conn), .events = POLLIN};
        assert_int_equal(poll(&fd, 1, WAIT_MS), 1);
        assert_true(ramal_dispatch(conn, 0) >= 1);
        assert_int_equal(posting.ran, 1);
        while (seen.replies == 0) {
                assert_int_equal(poll(&fd, 1, WAIT_MS), 1);
                assert_true(ramal_dispatch(conn, 0) >= 0);
        }
        assert_int_equal(seen.result, -ETIMEDOUT);
        ramald_freeze(&bus->ramald, false);
        ramal_close(conn);
        ramal_close(server);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_endings_killed_broker_comes_back_and_so_does_everything),
                TEST(test_endings_stopping_broker_says_so_first),
                TEST(test_endings_broker_that_hangs_holds_nobody),
                TEST(test_endings_waits_for_a_broker_that_is_not_there_yet),
                TEST(test_endings_drain_delivers_what_is_queued),
                TEST(test_endings_drain_keeps_what_is_to_be_pulled),
                TEST(test_endings_drain_keeps_its_deadline),
                TEST(test_endings_foreign_loop_needs_one_descriptor_only),
                TEST(test_endings_descriptor_made_late_shows_what_waits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
