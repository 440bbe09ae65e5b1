/* SPDX-License-Identifier: MIT */
/* Publish credit: our copy of the broker's count. */
#include "fake.h"

#include "client/conn_private.h"

#include <errno.h>
#include <stdlib.h>

#define CREDIT 1000u

struct world {
        struct fake fake;
        ramal_conn *conn;
        unsigned writable;
};

static char payload[2 * CREDIT];

static void on_writable(ramal_conn *conn, void *user) {
        struct world *world = user;

        (void)conn;
        world->writable++;
}

static void begin(struct world *world, uint64_t credit) {
        ramal_options options = {.size = sizeof(options), .on_writable = on_writable, .user = world};

        world->writable = 0;
        fake_start(&world->fake);
        world->fake.publish_credit = credit;
        world->conn = fake_open(&world->fake, &options);
}

static void end(struct world *world) {
        fake_hang_up(&world->fake);
        ramal_close(world->conn);
        fake_stop(&world->fake);
}

/* Publishes until it is refused; returns how many were taken. */
static unsigned fill(struct world *world, size_t len) {
        unsigned taken = 0;
        int r;

        while ((r = ramal_publish(world->conn, "a", payload, len)) == 0)
                taken++;
        assert_int_equal(r, -EAGAIN);
        return taken;
}

static void test_client_credit_counts_the_bytes_of_the_frames(void **state) {
        struct world world;
        uint64_t sum = 0;

        (void)state;
        begin(&world, CREDIT);
        ramal_header header = RAMAL_HEADER("name", "value");
        ramal_publish_options options = {
                .size = sizeof(options), .type = "t", .headers = &header, .header_count = 1, .key = "k"};
        assert_int_equal(ramal_publish(world.conn, "a.b", "x", 1), 0);
        assert_int_equal(ramal_publish(world.conn, "a.b", NULL, 0), 0);
        assert_int_equal(ramal_publish_with(world.conn, "a.b", payload, 200, &options), 0);
        for (int i = 0; i < 3; i++) {
                fake_expect(&world.fake, RML_PUBLISH);
                sum += world.fake.frame_len;
        }
        assert_int_equal(world.conn->credit_used, sum);
        /* A direct send counts as well. */
        end(&world);
        begin(&world, 1 << 20);
        char *large = calloc(1, 100000);
        assert_int_equal(ramal_publish(world.conn, "a", large, 100000), 0);
        fake_expect(&world.fake, RML_PUBLISH);
        assert_int_equal(world.conn->credit_used, world.fake.frame_len);
        free(large);
        end(&world);
}

static void test_client_credit_used_up_takes_nothing_and_asks_once(void **state) {
        struct world world;

        (void)state;
        begin(&world, CREDIT);
        assert_int_equal(fill(&world, 300), 3);
        assert_int_equal(fill(&world, 300), 0);
        fake_settle(world.conn);
        assert_int_equal(ramal_conn_published(world.conn), 3);
        for (int i = 0; i < 3; i++)
                fake_expect(&world.fake, RML_PUBLISH);
        size_t one = world.fake.frame_len;
        assert_true(fake_has_frame(&world.fake));
        fake_pong(&world.fake);
        fake_settle(world.conn);
        /* Nothing is free: what is freed later is told without being asked for. */
        assert_int_equal(fill(&world, 300), 0);
        fake_settle(world.conn);
        assert_false(fake_has_frame(&world.fake));
        assert_int_equal(world.writable, 0);

        fake_credit(&world.fake, one);
        fake_settle(world.conn);
        assert_int_equal(world.writable, 1);
        assert_int_equal(fill(&world, 300), 1);
        fake_expect(&world.fake, RML_PUBLISH);
        end(&world);
}

static void test_client_credit_writable_comes_when_there_is_room_for_the_one_refused(void **state) {
        struct world world;

        (void)state;
        begin(&world, CREDIT);
        assert_int_equal(fill(&world, 100), 9);
        assert_int_equal(ramal_publish(world.conn, "a", payload, 500), -EAGAIN);
        fake_expect(&world.fake, RML_PUBLISH);
        size_t one = world.fake.frame_len;
        for (int i = 0; i < 4; i++) {
                fake_credit(&world.fake, one);
                fake_settle(world.conn);
                assert_int_equal(world.writable, 0);
        }
        fake_credit(&world.fake, one);
        fake_settle(world.conn);
        assert_int_equal(world.writable, 1);
        assert_int_equal(ramal_publish(world.conn, "a", payload, 500), 0);
        end(&world);
}

static void test_client_credit_larger_than_the_whole_goes_alone(void **state) {
        struct world world;

        (void)state;
        begin(&world, CREDIT);
        assert_int_equal(ramal_publish(world.conn, "a", payload, 2 * CREDIT), 0);
        fake_expect(&world.fake, RML_PUBLISH);
        size_t all = world.fake.frame_len;
        assert_true(all > CREDIT);
        assert_int_equal(ramal_publish(world.conn, "a", NULL, 0), -EAGAIN);
        fake_credit(&world.fake, all);
        fake_settle(world.conn);
        assert_int_equal(world.writable, 1);
        assert_int_equal(ramal_publish(world.conn, "a", NULL, 0), 0);
        assert_int_equal(ramal_publish(world.conn, "a", payload, 2 * CREDIT), -EAGAIN);
        end(&world);
}

/* What was published after the PING was sent may be free and untold. */
static void test_client_credit_publishes_behind_the_ping_are_asked_for_as_well(void **state) {
        struct world world;

        (void)state;
        begin(&world, CREDIT);
        assert_int_equal(fill(&world, 300), 3);
        assert_int_equal(ramal_publish(world.conn, "a", "x", 1), 0);
        assert_int_equal(ramal_publish(world.conn, "a", payload, CREDIT - 10), -EAGAIN);
        for (int i = 0; i < 3; i++)
                fake_expect(&world.fake, RML_PUBLISH);
        size_t three = 3 * world.fake.frame_len;
        fake_credit(&world.fake, three);
        fake_pong(&world.fake); /* it came before the small one */
        fake_settle(world.conn);
        assert_int_equal(world.writable, 0);
        fake_expect(&world.fake, RML_PUBLISH);
        fake_credit(&world.fake, world.fake.frame_len);
        fake_pong(&world.fake);
        fake_settle(world.conn);
        assert_int_equal(world.writable, 1);
        assert_int_equal(ramal_publish(world.conn, "a", payload, CREDIT - 10), 0);
        end(&world);
}

static void test_client_credit_is_whole_again_after_a_loss(void **state) {
        struct world world;
        ramal_options options = {.size = sizeof(options), .backoff_min_ns = 1, .on_writable = on_writable};

        (void)state;
        world.writable = 0;
        options.user = &world;
        fake_start(&world.fake);
        world.fake.publish_credit = CREDIT;
        world.conn = fake_open(&world.fake, &options);
        assert_int_equal(fill(&world, 300), 3);
        fake_hang_up(&world.fake);
        world.fake.publish_credit = 2 * CREDIT;
        fake_welcome(&world.fake, world.conn);
        /* Whoever was refused before is told, though all is new. */
        assert_int_equal(world.writable, 1);
        assert_int_equal(fill(&world, 300), 6);
        end(&world);
}

static void test_client_credit_none_told_limits_nothing(void **state) {
        struct world world;

        (void)state;
        begin(&world, 0);
        for (int i = 0; i < 100; i++)
                assert_int_equal(ramal_publish(world.conn, "a", payload, CREDIT), 0);
        end(&world);
}

/* A broker that counts otherwise: nobody waits for ever, and returns that were not ours do no harm. */
static void test_client_credit_refused_by_the_broker_begins_anew(void **state) {
        struct world world;
        Ramal__V1__Status status;
        char limit[] = "limits.publish_credit_bytes", other[] = "limits.uid_bytes", text[] = "no";

        (void)state;
        begin(&world, CREDIT);
        assert_int_equal(fill(&world, 300), 3);
        ramal__v1__status__init(&status);
        status.code = RAMAL__V1__CODE__CODE_WOULD_BLOCK;
        status.publish = 3;
        status.text = text;
        status.limit = other;
        fake_send(&world.fake, RML_STATUS, 0, &status.base);
        assert_int_equal(ramal_wait(world.conn, ramal_in_ms(FAKE_MS)), -EAGAIN);
        assert_int_equal(fill(&world, 300), 0); /* these come back with CREDIT */
        status.limit = limit;
        fake_send(&world.fake, RML_STATUS, 0, &status.base);
        assert_int_equal(ramal_wait(world.conn, ramal_in_ms(FAKE_MS)), -EAGAIN);
        assert_int_equal(world.conn->credit_used, 0);
        assert_int_equal(ramal_publish(world.conn, "a", payload, 300), 0);
        fake_credit(&world.fake, UINT64_MAX);
        fake_settle(world.conn);
        assert_int_equal(world.conn->credit_used, 0);
        end(&world);
}

/* Without on_writable, ramal_wait() returns when there is room again. */
static void test_client_credit_room_ends_a_wait(void **state) {
        struct world world;

        (void)state;
        fake_start(&world.fake);
        world.fake.publish_credit = CREDIT;
        world.conn = fake_open(&world.fake, NULL);
        assert_int_equal(fill(&world, 900), 1);
        fake_credit(&world.fake, CREDIT);
        assert_true(ramal_wait(world.conn, ramal_in_ms(FAKE_MS)) > 0);
        assert_int_equal(ramal_publish(world.conn, "a", payload, 900), 0);
        end(&world);
}

/* Publish, and flush where there is no room, until there is: not a circle without end. */
static void test_client_credit_comes_with_a_flush(void **state) {
        struct world world;

        (void)state;
        begin(&world, CREDIT);
        assert_int_equal(fill(&world, 900), 1);
        uint64_t start = ramal_now();
        assert_int_equal(ramal_flush(world.conn, ramal_in_ms(20)), 0); /* all is in the socket */
        assert_in_range(ramal_now() - start, 20 * RML_NS_PER_MS, FAKE_MS * RML_NS_PER_MS);
        assert_int_equal(ramal_flush(world.conn, RAMAL_NEVER), 0); /* once for each refusal */
        assert_int_equal(fill(&world, 900), 0);
        fake_credit(&world.fake, CREDIT);
        assert_int_equal(ramal_flush(world.conn, ramal_in_ms(FAKE_MS)), 0);
        assert_int_equal(ramal_publish(world.conn, "a", payload, 900), 0);
        /* What went through in the end is not waited for. */
        assert_int_equal(ramal_flush(world.conn, RAMAL_NEVER), 0);
        end(&world);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_client_credit_counts_the_bytes_of_the_frames),
                cmocka_unit_test(test_client_credit_used_up_takes_nothing_and_asks_once),
                cmocka_unit_test(test_client_credit_writable_comes_when_there_is_room_for_the_one_refused),
                cmocka_unit_test(test_client_credit_larger_than_the_whole_goes_alone),
                cmocka_unit_test(test_client_credit_publishes_behind_the_ping_are_asked_for_as_well),
                cmocka_unit_test(test_client_credit_is_whole_again_after_a_loss),
                cmocka_unit_test(test_client_credit_none_told_limits_nothing),
                cmocka_unit_test(test_client_credit_refused_by_the_broker_begins_anew),
                cmocka_unit_test(test_client_credit_room_ends_a_wait),
                cmocka_unit_test(test_client_credit_comes_with_a_flush),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
