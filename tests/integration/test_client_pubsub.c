/* SPDX-License-Identifier: MIT */
#include "client.h"

#include <unistd.h>

struct counter {
        uint64_t messages, missing, last, bytes;
        bool disorder;
        ramal_sub_state state;
        ramal_why why;
};

static void on_msg(ramal_conn *conn, const ramal_msg *msg, void *user) {
        struct counter *counter = user;
        size_t len;

        (void)conn;
        ramal_msg_data(msg, &len);
        counter->bytes += len;
        counter->messages++;
        counter->disorder = counter->disorder || ramal_msg_seq(msg) <= counter->last;
        counter->last = ramal_msg_seq(msg);
}

static void on_gap(ramal_conn *conn, const ramal_gap *gap, void *user) {
        struct counter *counter = user;

        (void)conn;
        counter->missing += gap->count;
        counter->disorder = counter->disorder || gap->first <= counter->last;
}

static void on_state(ramal_conn *conn, const ramal_sub_change *change, void *user) {
        struct counter *counter = user;

        (void)conn;
        counter->state = change->state;
        counter->why = change->why;
}

static ramal_sub *subscribe(ramal_conn *conn, const char *pattern, struct counter *counter) {
        ramal_error error;
        ramal_sub *sub;

        assert_int_equal(ramal_subscribe_with(conn,
                                              RAMAL_INTEREST(.pattern = pattern, .on_gap = on_gap, .user = counter),
                                              on_msg, counter, &sub),
                         0);
        if (ramal_sub_confirm(sub, ramal_in_ms(WAIT_MS), &error) < 0)
                fail_msg("subscribe: %s", error.message);
        return sub;
}

static void test_pubsub_message_arrives_with_all_that_belongs_to_it(void **state) {
        struct bus *bus = *state;
        ramal_conn *to = open_conn(&bus->ramald), *from = open_conn(&bus->ramald);
        ramal_header headers[] = {RAMAL_HEADER("trace", "12")};
        ramal_publish_options options = {.size = sizeof(options), .type = "t.T", .headers = headers, .header_count = 1};
        ramal_sub *sub;
        ramal_msg *msg;
        size_t len;

        ramal_subscribe(to, "a.*", NULL, NULL, &sub);
        assert_int_equal(ramal_sub_confirm(sub, ramal_in_ms(WAIT_MS), NULL), 0);
        assert_int_equal(ramal_publish_with(from, "a.b", "hello", 5, &options), 0);
        assert_int_equal(ramal_sub_next(sub, ramal_in_ms(WAIT_MS), &msg), 0);
        assert_string_equal(ramal_msg_subject(msg), "a.b");
        assert_string_equal(ramal_msg_type(msg), "t.T");
        assert_memory_equal(ramal_msg_header(msg, "trace", &len), "12", 2);
        assert_memory_equal(ramal_msg_data(msg, &len), "hello", 5);
        assert_int_equal(len, 5);
        const ramal_sender *sender = ramal_msg_sender(msg);
        assert_int_equal(sender->peer, ramal_conn_peer(from));
        assert_true(sender->local);
        assert_int_equal(sender->uid, geteuid());
        assert_int_equal(sender->pid, getpid());
        assert_int_equal(ramal_msg_seq(msg), 1);
        ramal_msg_unref(msg);
        assert_int_equal(ramal_close(from), 0);
        ramal_close(to);
}

/* Much more than all credits and windows, with somebody who reads: nothing is missing, nothing out of order. */
static void test_pubsub_stream_of_many_arrives_whole_or_is_reported(void **state) {
        struct bus *bus = *state;
        ramal_conn *to = open_conn(&bus->ramald), *from = open_conn(&bus->ramald);
        struct counter counter = {0};
        const uint64_t total = 300000;
        char payload[64] = {0};

        subscribe(to, "a.>", &counter);
        for (uint64_t sent = 0; sent < total;) {
                ramal_cork(from);
                for (int i = 0; i < 500 && sent < total; i++)
                        sent += ramal_publish(from, "a.many", payload, sizeof(payload)) == 0;
                ramal_uncork(from);
                ramal_dispatch(from, 0);
                ramal_dispatch(to, 0);
        }
        assert_int_equal(ramal_sync(from, ramal_in_ms(WAIT_MS)), 0);
        assert_int_equal(ramal_conn_refused(from), 0);
        WAIT_UNTIL(to, counter.messages + counter.missing >= total);
        assert_int_equal(counter.messages + counter.missing, total);
        assert_false(counter.disorder);
        ramal_close(from);
        ramal_close(to);
}

/* The reader stops reading; the publisher notices nothing; when it reads again, the sum is right. */
static void test_pubsub_reader_that_fell_behind_is_told_what_it_missed(void **state) {
        struct bus *bus = *state;
        ramal_conn *to = open_conn(&bus->ramald), *from = open_conn(&bus->ramald);
        struct counter counter = {0};
        const uint64_t total = 50000;
        char *payload = calloc(1, 1024);

        subscribe(to, "a.>", &counter);
        for (uint64_t sent = 0; sent < total;) {
                int r = ramal_publish(from, "a.many", payload, 1024);
                sent += r == 0;
                if (r == -EAGAIN)
                        assert_int_equal(ramal_flush(from, ramal_in_ms(WAIT_MS)), 0);
                else
                        assert_int_equal(r, 0);
        }
        assert_int_equal(ramal_sync(from, ramal_in_ms(WAIT_MS)), 0);
        WAIT_UNTIL(to, counter.messages + counter.missing >= total);
        assert_int_equal(counter.messages + counter.missing, total);
        assert_true(counter.missing > 0);
        assert_false(counter.disorder);
        free(payload);
        ramal_close(from);
        ramal_close(to);
}

/* A message longer than the receive credit, in between short ones, both ways of reading. Together they stay below
 * what the broker queues for one connection (16 MiB). */
static void test_pubsub_long_messages_pass_between_short_ones(void **state) {
        struct bus *bus = *state;
        ramal_conn *to = open_conn(&bus->ramald), *from = open_conn(&bus->ramald);
        struct counter counter = {0};
        const size_t sizes[] = {1, 3 << 20, 100, 7 << 20, 0, 5 << 20, 2 << 20, 1, 7 << 20};
        char *payload = calloc(1, 8 << 20);
        ramal_sub *pull;
        uint64_t bytes = 0;
        ramal_msg *msg;
        size_t len;

        subscribe(to, "a.>", &counter);
        ramal_subscribe(to, "a.>", NULL, NULL, &pull);
        assert_int_equal(ramal_sub_confirm(pull, ramal_in_ms(WAIT_MS), NULL), 0);
        assert_true(ramal_conn_payload_max(from) == 8 << 20);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                while (ramal_publish(from, "a.long", payload, sizes[i]) == -EAGAIN)
                        assert_int_equal(ramal_flush(from, ramal_in_ms(WAIT_MS)), 0);
                bytes += sizes[i];
                assert_int_equal(ramal_flush(from, ramal_in_ms(WAIT_MS)), 0);
                assert_int_equal(ramal_sub_next(pull, ramal_in_ms(WAIT_MS), &msg), 0);
                ramal_msg_data(msg, &len);
                assert_int_equal(len, sizes[i]);
                ramal_msg_unref(msg);
        }
        WAIT_UNTIL(to, counter.bytes + 1 > bytes && counter.messages == sizeof(sizes) / sizeof(sizes[0]));
        assert_int_equal(counter.missing, 0);
        assert_int_equal(counter.bytes, bytes);
        free(payload);
        ramal_close(from);
        ramal_close(to);
}

static void test_pubsub_receipt_tells_how_many_listen(void **state) {
        struct bus *bus = *state;
        ramal_conn *to = open_conn(&bus->ramald), *from = open_conn(&bus->ramald);
        struct counter counter = {0};
        ramal_error error;
        uint64_t receivers = 99;

        assert_int_equal(ramal_publish_wait(from, "a.b", NULL, 0, NULL, ramal_in_ms(WAIT_MS), &receivers, &error), 0);
        assert_int_equal(receivers, 0);
        subscribe(to, "a.>", &counter);
        subscribe(to, "a.*", &counter);
        assert_int_equal(ramal_publish_wait(from, "a.b", NULL, 0, NULL, ramal_in_ms(WAIT_MS), &receivers, &error), 0);
        assert_int_equal(receivers, 2);
        assert_int_equal(ramal_publish_wait(from, "$SYS.mine", NULL, 0, NULL, ramal_in_ms(WAIT_MS), &receivers, &error),
                         -EACCES);
        assert_int_equal(error.status, RAMAL_CODE_DENIED);
        assert_true(strlen(error.message) > 5);
        ramal_close(from);
        ramal_close(to);
}

static void test_pubsub_refused_publish_is_told(void **state) {
        struct bus *bus = *state;
        ramal_conn *from = open_conn(&bus->ramald);

        assert_int_equal(ramal_publish(from, "ok", NULL, 0), 0);
        assert_int_equal(ramal_publish(from, "$SYS.mine", NULL, 0), 0);
        assert_int_equal(ramal_sync(from, ramal_in_ms(WAIT_MS)), -EACCES);
        assert_int_equal(ramal_sync(from, ramal_in_ms(WAIT_MS)), 0);
        assert_int_equal(ramal_conn_refused(from), 1);
        ramal_close(from);
}

static void test_pubsub_group_shares_and_plain_ones_get_all(void **state) {
        struct bus *bus = *state;
        ramal_conn *conns[3], *from = open_conn(&bus->ramald);
        struct counter counters[3] = {0};
        ramal_sub *sub;

        for (int i = 0; i < 3; i++) {
                conns[i] = open_conn(&bus->ramald);
                ramal_subscribe_with(
                        conns[i],
                        RAMAL_INTEREST(.pattern = "job.>", .group = i < 2 ? "workers" : NULL,
                                       .policy = i < 2 ? RAMAL_POLICY_ROUND_ROBIN : RAMAL_POLICY_LEAST_PENDING),
                        on_msg, &counters[i], &sub);
                assert_int_equal(ramal_sub_confirm(sub, ramal_in_ms(WAIT_MS), NULL), 0);
        }
        for (int i = 0; i < 10; i++)
                ramal_publish(from, "job.x", NULL, 0);
        for (int i = 0; i < 3; i++)
                WAIT_UNTIL(conns[i], counters[i].messages >= (i < 2 ? 5 : 10));
        assert_int_equal(counters[0].messages, 5);
        assert_int_equal(counters[1].messages, 5);
        assert_int_equal(counters[2].messages, 10);
        for (int i = 0; i < 3; i++)
                ramal_close(conns[i]);
        ramal_close(from);
}

static void test_pubsub_evicted_interest_ends_and_the_connection_stays(void **state) {
        struct bus *bus = *state;
        ramal_conn *to = open_conn(&bus->ramald), *from = open_conn(&bus->ramald);
        struct counter counter = {0};
        ramal_sub *sub;

        ramal_subscribe_with(to,
                             RAMAL_INTEREST(.pattern = "a", .overflow = RAMAL_OVERFLOW_EVICT, .window_messages = 2,
                                            .credit_messages = 1, .on_gap = on_gap, .on_state = on_state,
                                            .user = &counter),
                             on_msg, &counter, &sub);
        assert_int_equal(ramal_sub_confirm(sub, ramal_in_ms(WAIT_MS), NULL), 0);
        for (int i = 0; i < 20; i++)
                ramal_publish(from, "a", "x", 1);
        assert_int_equal(ramal_sync(from, ramal_in_ms(WAIT_MS)), 0);
        WAIT_UNTIL(to, counter.state == RAMAL_SUB_ENDED);
        assert_int_equal(counter.why, RAMAL_WHY_EVICTED);
        assert_int_equal(ramal_sync(to, ramal_in_ms(WAIT_MS)), 0);
        ramal_sub_cancel(sub);
        ramal_close(from);
        ramal_close(to);
}

static void test_pubsub_latest_replaces(void **state) {
        struct bus *bus = *state;
        ramal_conn *to = open_conn(&bus->ramald), *from = open_conn(&bus->ramald);
        ramal_sub *sub;
        ramal_msg *msg;
        uint64_t seen = 0, replaced = 0;

        ramal_subscribe_with(to,
                             RAMAL_INTEREST(.pattern = "v", .overflow = RAMAL_OVERFLOW_LATEST, .window_messages = 1,
                                            .credit_messages = 1),
                             NULL, NULL, &sub);
        assert_int_equal(ramal_sub_confirm(sub, ramal_in_ms(WAIT_MS), NULL), 0);
        for (int i = 0; i < 10; i++) {
                char digit = (char)('0' + i);
                ramal_publish(from, "v", &digit, 1);
        }
        assert_int_equal(ramal_sync(from, ramal_in_ms(WAIT_MS)), 0);
        while (seen + replaced < 10) {
                assert_int_equal(ramal_sub_next(sub, ramal_in_ms(WAIT_MS), &msg), 0);
                seen++;
                replaced += ramal_msg_replaced(msg);
                if (seen + replaced == 10)
                        assert_memory_equal(ramal_msg_data(msg, NULL), "9", 1);
                ramal_msg_unref(msg);
        }
        assert_true(replaced > 0);
        ramal_close(from);
        ramal_close(to);
}

static void test_pubsub_publish_then_close_loses_nothing(void **state) {
        struct bus *bus = *state;
        ramal_conn *to = open_conn(&bus->ramald);
        struct counter counter = {0};

        subscribe(to, "a", &counter);
        for (int i = 0; i < 50; i++) {
                ramal_conn *from = open_conn(&bus->ramald);
                for (int k = 0; k < 20; k++)
                        assert_int_equal(ramal_publish(from, "a", "x", 1), 0);
                assert_int_equal(ramal_close(from), 0);
        }
        WAIT_UNTIL(to, counter.messages >= 1000);
        assert_int_equal(counter.messages, 1000);
        ramal_close(to);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_pubsub_message_arrives_with_all_that_belongs_to_it),
                TEST(test_pubsub_stream_of_many_arrives_whole_or_is_reported),
                TEST(test_pubsub_reader_that_fell_behind_is_told_what_it_missed),
                TEST(test_pubsub_long_messages_pass_between_short_ones),
                TEST(test_pubsub_receipt_tells_how_many_listen),
                TEST(test_pubsub_refused_publish_is_told),
                TEST(test_pubsub_group_shares_and_plain_ones_get_all),
                TEST(test_pubsub_evicted_interest_ends_and_the_connection_stays),
                TEST(test_pubsub_latest_replaces),
                TEST(test_pubsub_publish_then_close_loses_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
