/* SPDX-License-Identifier: MIT */
/* Following a name: what the broker answers, and what it should not. */
#include "fake.h"

#include <errno.h>
#include <string.h>

struct world {
        struct fake fake;
        ramal_conn *conn;
        unsigned owners;
        int refused;
};

static void on_owner(ramal_conn *conn, const char *name, uint64_t owner, void *user) {
        struct world *world = user;

        (void)conn;
        assert_string_equal(name, "x");
        assert_int_equal(owner, 0);
        world->owners++;
}

static void on_refused(ramal_conn *conn, const ramal_refusal *refusal, void *user) {
        struct world *world = user;

        (void)conn;
        world->refused = refusal->error->code;
}

/* Watches "x" without a handle; its question is what fake_expect() returned last. */
static void begin(struct world *world) {
        ramal_options options = {
                .size = sizeof(options), .on_refused = on_refused, .user = world, .no_reconnect = true};

        *world = (struct world){0};
        fake_start(&world->fake);
        world->conn = fake_open(&world->fake, &options);
        assert_int_equal(ramal_watch_name(world->conn, "x", on_owner, world, NULL), 0);
        fake_settle(world->conn);
        fake_expect(&world->fake, RML_SUBSCRIBE);
        fake_subscribed(&world->fake, fake_control(&world->fake, Subscribe)->sid, RAMAL__V1__STATE__STATE_ACTIVE, 0);
        fake_settle(world->conn);
        fake_expect(&world->fake, RML_CALL);
}

static void end(struct world *world) {
        ramal_close(world->conn);
        fake_stop(&world->fake);
}

static void test_client_watch_is_told_who_owns_the_name(void **state) {
        struct world world;

        (void)state;
        begin(&world);
        fake_reply(&world.fake, world.fake.frame.id, 1, false, "");
        fake_settle(world.conn);
        assert_int_equal(world.owners, 1);
        fake_hang_up(&world.fake);
        fake_settle(world.conn);
        end(&world);
}

/* The fuzzer's: the watch was over and gone, and the call went on and ended in it. */
static void test_client_watch_whose_answer_is_streamed_ends_with_its_call(void **state) {
        struct world world;

        (void)state;
        begin(&world);
        uint64_t id = world.fake.frame.id;
        fake_reply(&world.fake, id, 1, true, "");
        fake_settle(world.conn);
        assert_int_equal(world.owners, 0);
        assert_int_equal(world.refused, -EPROTO);
        fake_expect(&world.fake, RML_CANCEL);
        assert_int_equal(fake_control(&world.fake, Cancel)->call, id);
        fake_expect(&world.fake, RML_UNSUBSCRIBE);
        fake_reply(&world.fake, id, 2, false, "");
        fake_hang_up(&world.fake);
        fake_settle(world.conn);
        assert_int_equal(world.owners, 0);
        end(&world);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_client_watch_is_told_who_owns_the_name),
                cmocka_unit_test(test_client_watch_whose_answer_is_streamed_ends_with_its_call),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
