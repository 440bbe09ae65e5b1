/* SPDX-License-Identifier: MIT */
/* ramal_publish_block(): waiting for room. The scripted broker acts in callbacks that the waiting function runs, or has
 * said beforehand what it has to say. */
#include "fake.h"

#include "client/conn_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CREDIT 1000u

struct world {
        struct fake fake;
        ramal_conn *conn;
        ramal_error error;
        unsigned writable, posts;
        int result;         /* of what a callback did */
        int when_writable;  /* and on_writable */
        uint64_t deadline;  /* for a callback's own */
        unsigned published; /* when it returned */
};

static char payload[CREDIT];

static void on_writable(ramal_conn *conn, void *user) {
        struct world *world = user;

        world->writable++;
        world->when_writable = ramal_publish(conn, "writable", payload, 900);
}

static void begin(struct world *world) {
        ramal_options options = {
                .size = sizeof(options), .backoff_min_ns = 1, .on_writable = on_writable, .user = world};

        memset(world, 0, sizeof(*world));
        world->deadline = RAMAL_NEVER;
        fake_start(&world->fake);
        world->fake.publish_credit = CREDIT;
        world->conn = fake_open(&world->fake, &options);
}

static void end(struct world *world) {
        fake_hang_up(&world->fake);
        ramal_close(world->conn);
        fake_stop(&world->fake);
}

static int block(struct world *world, uint64_t deadline) {
        return ramal_publish_block(world->conn, "blocked", payload, 900, NULL, deadline, &world->error);
}

/* Uses the credit up; returns the bytes that it took. */
static size_t use_up(struct world *world) {
        assert_int_equal(ramal_publish(world->conn, "first", payload, 900), 0);
        fake_expect(&world->fake, RML_PUBLISH);
        return world->fake.frame_len;
}

static void assert_published(struct world *world, const char *subject) {
        fake_expect(&world->fake, RML_PUBLISH);
        assert_int_equal(world->fake.data.subject.len, strlen(subject));
        assert_memory_equal(world->fake.data.subject.data, subject, strlen(subject));
}

static void give_credit(ramal_conn *conn, void *user) {
        struct world *world = user;

        (void)conn;
        world->posts++;
        fake_credit(&world->fake, world->conn->credit_used);
}

static void test_client_block_with_room_does_not_wait(void **state) {
        struct world world;

        (void)state;
        begin(&world);
        assert_int_equal(block(&world, 0), 0);
        assert_published(&world, "blocked");
        end(&world);
}

static void test_client_block_waits_for_credit(void **state) {
        struct world world;

        (void)state;
        begin(&world);
        use_up(&world);
        ramal_post(world.conn, give_credit, &world);
        assert_int_equal(block(&world, ramal_in_ms(FAKE_MS)), 0);
        assert_int_equal(world.posts, 1);
        assert_published(&world, "blocked");
        assert_int_equal(world.writable, 0); /* it was nobody's -EAGAIN */
        end(&world);
}

static void test_client_block_takes_nothing_at_the_deadline(void **state) {
        struct world world;

        (void)state;
        begin(&world);
        size_t len = use_up(&world);
        assert_int_equal(block(&world, 0), -ETIMEDOUT);
        uint64_t start = ramal_now();
        assert_int_equal(block(&world, ramal_in_ms(30)), -ETIMEDOUT);
        assert_in_range(ramal_now() - start, 30 * RML_NS_PER_MS, FAKE_MS * RML_NS_PER_MS);
        assert_int_equal(world.error.code, -ETIMEDOUT);
        assert_non_null(strstr(world.error.message, "blocked"));
        assert_int_equal(ramal_conn_published(world.conn), 1);
        /* What has come by the deadline counts, though it was not looked at before. */
        fake_credit(&world.fake, len);
        assert_int_equal(block(&world, 0), 0);
        end(&world);
}

static void test_client_block_waits_for_the_socket(void **state) {
        struct world world;
        ramal_options options = {.size = sizeof(options), .out_bytes_max = 100000};
        char *large = calloc(1, 90000);
        unsigned taken = 0, arrived = 0;

        (void)state;
        memset(&world, 0, sizeof(world));
        fake_start(&world.fake);
        world.conn = fake_open(&world.fake, &options);
        while (ramal_publish(world.conn, "a", large, 90000) == 0)
                taken++;
        assert_int_equal(ramal_publish_block(world.conn, "a", large, 90000, NULL, ramal_in_ms(20), NULL), -ETIMEDOUT);
        /* The broker reads on. */
        while (arrived < taken / 2 + 2) {
                fake_expect(&world.fake, RML_PUBLISH);
                arrived++;
        }
        assert_int_equal(ramal_publish_block(world.conn, "b", large, 90000, NULL, ramal_in_ms(FAKE_MS), NULL), 0);
        assert_int_equal(ramal_conn_published(world.conn), taken + 1);
        free(large);
        end(&world);
}

static void welcome_again(ramal_conn *conn, void *user) {
        struct world *world = user;

        (void)conn;
        world->posts++;
        fake_hang_up(&world->fake);
}

/* It is not taken yet, so a loss does not concern it. */
static void test_client_block_waits_for_the_connection_to_come_back(void **state) {
        struct world world;

        (void)state;
        begin(&world);
        use_up(&world);
        ramal_post(world.conn, welcome_again, &world);
        assert_int_equal(block(&world, ramal_in_ms(20)), -ETIMEDOUT);
        assert_int_equal(world.posts, 1);
        /* It has connected again, and waits for WELCOME. */
        assert_int_equal(ramal_conn_state(world.conn), RAMAL_CONNECTING);
        assert_int_equal(ramal_publish(world.conn, "a", NULL, 0), -ENOTCONN);
        fake_accept(&world.fake, world.conn);
        fake_settle(world.conn);
        fake_expect(&world.fake, RML_HELLO);
        Ramal__V1__Welcome welcome = RAMAL__V1__WELCOME__INIT;
        welcome.peer = welcome.epoch = 8;
        welcome.version = 1;
        fake_send(&world.fake, RML_WELCOME, world.fake.frame.id, &welcome.base);
        assert_int_equal(block(&world, ramal_in_ms(FAKE_MS)), 0);
        assert_published(&world, "blocked");
        end(&world);
}

static void test_client_block_ends_with_the_connection(void **state) {
        struct world world;
        ramal_options options = {.size = sizeof(options), .no_reconnect = true};

        (void)state;
        memset(&world, 0, sizeof(world));
        fake_start(&world.fake);
        world.fake.publish_credit = CREDIT;
        world.conn = fake_open(&world.fake, &options);
        use_up(&world);
        ramal_post(world.conn, welcome_again, &world);
        assert_int_equal(block(&world, ramal_in_ms(FAKE_MS)), -ESHUTDOWN);
        assert_int_equal(world.error.code, -ESHUTDOWN);
        end(&world);
}

static void close_it(ramal_conn *conn, void *user) {
        struct world *world = user;

        fake_hang_up(&world->fake);
        ramal_close(conn);
}

static void test_client_block_closed_in_a_callback_ends(void **state) {
        struct world world;

        (void)state;
        begin(&world);
        use_up(&world);
        ramal_post(world.conn, close_it, &world);
        assert_int_equal(block(&world, ramal_in_ms(FAKE_MS)), -ESHUTDOWN);
        fake_stop(&world.fake);
}

static void stop_it(ramal_conn *conn, void *user) {
        (void)user;
        ramal_stop(conn, 0);
}

static void test_client_block_stopped_takes_nothing(void **state) {
        struct world world;

        (void)state;
        begin(&world);
        use_up(&world);
        ramal_post(world.conn, stop_it, NULL);
        assert_int_equal(block(&world, ramal_in_ms(FAKE_MS)), -EINTR);
        assert_int_equal(ramal_conn_published(world.conn), 1);
        end(&world);
}

/* Whoever is called back would use up what came, and the one that blocks would wait for ever. */
static void test_client_block_goes_before_on_writable(void **state) {
        struct world world;

        (void)state;
        begin(&world);
        size_t len = use_up(&world);
        assert_int_equal(ramal_publish(world.conn, "refused", payload, 900), -EAGAIN);
        ramal_post(world.conn, give_credit, &world);
        assert_int_equal(block(&world, ramal_in_ms(FAKE_MS)), 0);
        assert_published(&world, "blocked");
        assert_int_equal(world.writable, 0);
        fake_credit(&world.fake, len + 2);
        fake_settle(world.conn);
        assert_int_equal(world.writable, 1);
        assert_int_equal(world.when_writable, 0);
        assert_published(&world, "writable");
        end(&world);
}

static void on_receipt(ramal_conn *conn, const ramal_receipt *receipt, void *user) {
        (void)conn;
        *(uint64_t *)user = receipt->receivers;
}

static void test_client_block_takes_the_options(void **state) {
        Ramal__V1__Accepted accepted = RAMAL__V1__ACCEPTED__INIT;
        struct world world;
        uint64_t receivers = 0;

        (void)state;
        begin(&world);
        ramal_publish_options options = {.size = sizeof(options),
                                         .key = "k",
                                         .expires = ramal_in_ms(FAKE_MS),
                                         .on_receipt = on_receipt,
                                         .user = &receivers};
        assert_int_equal(ramal_publish_block(world.conn, "a", "x", 1, &options, 0, NULL), 0);
        fake_expect(&world.fake, RML_PUBLISH);
        assert_int_equal(world.fake.data.key.len, 1);
        assert_in_range(world.fake.data.time_left_us, 1, FAKE_MS * 1000);
        accepted.receivers = 3;
        fake_send(&world.fake, RML_ACCEPTED, world.fake.frame.id, &accepted.base);
        fake_settle(world.conn);
        assert_int_equal(receivers, 3);

        assert_int_equal(ramal_publish_block(world.conn, "a.*", "x", 1, NULL, 0, &world.error), -EINVAL);
        assert_non_null(strstr(world.error.message, "a.*"));
        options = (ramal_publish_options){0};
        assert_int_equal(ramal_publish_block(world.conn, "a", "x", 1, &options, 0, NULL), -EINVAL);
        end(&world);
}

static void test_client_block_gives_up_when_the_message_expires(void **state) {
        struct world world;

        (void)state;
        begin(&world);
        use_up(&world);
        ramal_publish_options options = {.size = sizeof(options), .expires = ramal_in_ms(20)};
        assert_int_equal(ramal_publish_block(world.conn, "a", payload, 900, &options, RAMAL_NEVER, NULL), -ETIMEDOUT);
        assert_true(ramal_now() >= options.expires);
        end(&world);
}

/* ---- inside a callback ---- */

static void block_inside(struct world *world) {
        world->posts++;
        world->result = block(world, world->deadline);
        world->published = (unsigned)ramal_conn_published(world->conn);
}

static void block_in_post(ramal_conn *conn, void *user) {
        (void)conn;
        block_inside(user);
}

static void block_in_message(ramal_conn *conn, const ramal_msg *msg, void *user) {
        (void)conn;
        (void)msg;
        block_inside(user);
}

static ramal_sub *subscribe(struct world *world, ramal_overflow overflow) {
        ramal_interest interest = {.size = sizeof(interest), .pattern = "in.>", .overflow = overflow};
        ramal_sub *sub;

        assert_int_equal(ramal_subscribe_with(world->conn, &interest, block_in_message, world, &sub), 0);
        fake_expect(&world->fake, RML_SUBSCRIBE);
        assert_int_equal(fake_control(&world->fake, Subscribe)->overflow, (int)overflow);
        fake_subscribed(&world->fake, sub->sid, RAMAL__V1__STATE__STATE_ACTIVE, 0);
        fake_settle(world->conn);
        return sub;
}

static void run_post(struct world *world) {
        unsigned before = world->posts;

        assert_int_equal(ramal_post(world->conn, block_in_post, world), 0);
        while (world->posts == before)
                assert_true(ramal_wait(world->conn, ramal_in_ms(FAKE_MS)) > 0);
}

/* The answer to the PING that a callback sends next, said beforehand. The library itself may send one before it. */
static void foresee_pong(struct world *world) {
        Ramal__V1__Pong pong = RAMAL__V1__PONG__INIT;

        for (uint64_t id = world->conn->ids + 1; id <= world->conn->ids + 3; id++)
                fake_send(&world->fake, RML_PONG, id, &pong.base);
}

/* Nobody waits for us, so that others free the credit, and we read on for that. */
static void test_client_block_in_a_callback_waits_where_nobody_is_held_back(void **state) {
        struct world world;

        (void)state;
        begin(&world);
        ramal_sub *sub = subscribe(&world, RAMAL_OVERFLOW_DROP_OLD);
        size_t len = use_up(&world);
        fake_deliver(&world.fake, sub->sid, 1, "in.x", "1");
        fake_deliver(&world.fake, sub->sid, 2, "in.x", "2"); /* is put aside */
        fake_credit(&world.fake, len);
        world.deadline = ramal_in_ms(FAKE_MS);
        assert_true(ramal_wait(world.conn, ramal_in_ms(FAKE_MS)) > 0);
        assert_int_equal(world.result, 0);
        assert_int_equal(world.published, 2);
        assert_published(&world, "blocked");
        end(&world);
}

static void test_client_block_in_a_callback_times_out(void **state) {
        struct world world;

        (void)state;
        begin(&world);
        use_up(&world);
        world.deadline = ramal_in_ms(20);
        run_post(&world);
        assert_int_equal(world.result, -ETIMEDOUT);
        assert_int_equal(world.published, 1);
        end(&world);
}

static void test_client_block_in_a_callback_that_holds_others_back_is_a_deadlock(void **state) {
        struct world world;

        (void)state;
        begin(&world);
        ramal_sub *sub = subscribe(&world, RAMAL_OVERFLOW_BLOCK);
        size_t len = use_up(&world);
        fake_deliver(&world.fake, sub->sid, 1, "in.x", "1");
        foresee_pong(&world);
        assert_true(ramal_wait(world.conn, ramal_in_ms(FAKE_MS)) > 0);
        assert_int_equal(world.result, -EDEADLK);
        assert_int_equal(world.error.code, -EDEADLK);
        assert_non_null(strstr(world.error.message, "in.>"));
        assert_int_equal(world.published, 1);
        /* In any other callback as well: none of ours runs before it has returned. */
        foresee_pong(&world);
        run_post(&world);
        assert_int_equal(world.result, -EDEADLK);
        assert_int_equal(world.writable, 0);
        /* It is told when there is room. */
        fake_credit(&world.fake, len);
        fake_settle(world.conn);
        assert_int_equal(world.writable, 1);
        assert_int_equal(world.when_writable, 0);
        /* With room there is nothing to wait for. */
        fake_credit(&world.fake, world.conn->credit_used);
        fake_settle(world.conn);
        run_post(&world);
        assert_int_equal(world.result, 0);
        /* Outside of callbacks they run while it waits. */
        ramal_post(world.conn, give_credit, &world);
        assert_int_equal(block(&world, ramal_in_ms(FAKE_MS)), 0);
        end(&world);
}

/* The broker tells late of what nobody holds back; and what it has told lies unread while a callback runs. */
static void test_client_block_in_a_callback_asks_before_it_is_a_deadlock(void **state) {
        struct world world;

        (void)state;
        begin(&world);
        subscribe(&world, RAMAL_OVERFLOW_BLOCK);
        size_t len = use_up(&world);
        fake_credit(&world.fake, len);
        foresee_pong(&world);
        world.deadline = ramal_in_ms(FAKE_MS);
        run_post(&world);
        assert_int_equal(world.result, 0);
        assert_published(&world, "blocked");
        end(&world);
}

/* A broker that does not answer: the deadline counts. */
static void test_client_block_in_a_callback_asks_no_longer_than_its_deadline(void **state) {
        struct world world;

        (void)state;
        begin(&world);
        subscribe(&world, RAMAL_OVERFLOW_BLOCK);
        use_up(&world);
        world.deadline = ramal_in_ms(20);
        run_post(&world);
        assert_int_equal(world.result, -ETIMEDOUT);
        end(&world);
}

static void test_client_block_in_a_callback_demoted_or_ended_holds_nobody_back(void **state) {
        struct world world;
        Ramal__V1__Interest interest = RAMAL__V1__INTEREST__INIT;

        (void)state;
        begin(&world);
        ramal_sub *sub = subscribe(&world, RAMAL_OVERFLOW_BLOCK);
        use_up(&world);
        world.deadline = 0;
        foresee_pong(&world);
        run_post(&world);
        assert_int_equal(world.result, -EDEADLK);
        interest.sid = sub->sid;
        interest.state = RAMAL__V1__STATE__STATE_DEMOTED;
        interest.why = RAMAL__V1__WHY__WHY_STALLED;
        fake_send(&world.fake, RML_INTEREST, 0, &interest.base);
        fake_settle(world.conn);
        run_post(&world);
        assert_int_equal(world.result, -ETIMEDOUT);
        ramal_sub_cancel(sub);
        fake_expect(&world.fake, RML_UNSUBSCRIBE);
        sub = subscribe(&world, RAMAL_OVERFLOW_BLOCK);
        foresee_pong(&world);
        run_post(&world);
        assert_int_equal(world.result, -EDEADLK);
        ramal_sub_cancel(sub);
        run_post(&world);
        assert_int_equal(world.result, -ETIMEDOUT);
        end(&world);
}

/* The broker always reads, whatever we do. */
static void test_client_block_in_a_callback_waits_for_the_socket(void **state) {
        struct world world;
        ramal_options options = {.size = sizeof(options), .out_bytes_max = 100000};
        char *large = calloc(1, 90000);

        (void)state;
        memset(&world, 0, sizeof(world));
        world.deadline = ramal_in_ms(20);
        fake_start(&world.fake);
        world.conn = fake_open(&world.fake, &options);
        subscribe(&world, RAMAL_OVERFLOW_BLOCK);
        while (ramal_publish(world.conn, "a", large, 90000) == 0)
                ;
        while (ramal_publish(world.conn, "a", large, 900) == 0)
                ;
        run_post(&world);
        assert_int_equal(world.result, -ETIMEDOUT);
        free(large);
        end(&world);
}

static void test_client_block_in_a_callback_without_connection_answers(void **state) {
        struct world world;

        (void)state;
        begin(&world);
        use_up(&world);
        fake_hang_up(&world.fake);
        fake_settle(world.conn);
        assert_int_equal(ramal_conn_state(world.conn), RAMAL_CONNECTING);
        run_post(&world);
        assert_int_equal(world.result, -ENOTCONN);
        end(&world);
}

/* The inner one goes first, and the outer one goes on. */
static void test_client_block_one_inside_the_other_both_end(void **state) {
        struct world world;

        (void)state;
        begin(&world);
        size_t len = use_up(&world);
        world.deadline = ramal_in_ms(FAKE_MS);
        ramal_post(world.conn, block_in_post, &world);
        fake_credit(&world.fake, len);
        ramal_post(world.conn, give_credit, &world);
        assert_int_equal(block(&world, ramal_in_ms(FAKE_MS)), 0);
        assert_int_equal(world.result, 0);
        assert_int_equal(ramal_conn_published(world.conn), 3);
        end(&world);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_client_block_with_room_does_not_wait),
                cmocka_unit_test(test_client_block_waits_for_credit),
                cmocka_unit_test(test_client_block_takes_nothing_at_the_deadline),
                cmocka_unit_test(test_client_block_waits_for_the_socket),
                cmocka_unit_test(test_client_block_waits_for_the_connection_to_come_back),
                cmocka_unit_test(test_client_block_ends_with_the_connection),
                cmocka_unit_test(test_client_block_closed_in_a_callback_ends),
                cmocka_unit_test(test_client_block_stopped_takes_nothing),
                cmocka_unit_test(test_client_block_goes_before_on_writable),
                cmocka_unit_test(test_client_block_takes_the_options),
                cmocka_unit_test(test_client_block_gives_up_when_the_message_expires),
                cmocka_unit_test(test_client_block_in_a_callback_waits_where_nobody_is_held_back),
                cmocka_unit_test(test_client_block_in_a_callback_times_out),
                cmocka_unit_test(test_client_block_in_a_callback_that_holds_others_back_is_a_deadlock),
                cmocka_unit_test(test_client_block_in_a_callback_asks_before_it_is_a_deadlock),
                cmocka_unit_test(test_client_block_in_a_callback_asks_no_longer_than_its_deadline),
                cmocka_unit_test(test_client_block_in_a_callback_demoted_or_ended_holds_nobody_back),
                cmocka_unit_test(test_client_block_in_a_callback_waits_for_the_socket),
                cmocka_unit_test(test_client_block_in_a_callback_without_connection_answers),
                cmocka_unit_test(test_client_block_one_inside_the_other_both_end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
