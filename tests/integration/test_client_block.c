/* SPDX-License-Identifier: MIT */
/* Back-pressure from end to end: `block`, publish credit and ramal_publish_block(). Programs that wait for each other
 * do not wait for ever. */
#include "client.h"

#include <pthread.h>

#define BYTES 1000u
#define MESSAGES 4000u /* far more than all credits together */

/* Little credit, so that little has to be published for it to be used up. */
static int setup_small(void **state) {
        const char *arguments[] = {"--limit-publish-credit-bytes", "64K", NULL};

        return bus_start(state, arguments);
}

/* And little patience. */
static int setup_stall(void **state) {
        const char *arguments[] = {"--limit-publish-credit-bytes", "64K", "--limit-stall-max", "500ms", NULL};

        return bus_start(state, arguments);
}

struct reader {
        uint64_t got, missing, next;
        bool disorder;
        unsigned demoted;
        ramal_why why_missing, why_demoted; /* the last time */
};

static void count(struct reader *reader, const ramal_msg *msg) {
        uint64_t number;

        memcpy(&number, ramal_msg_data(msg, NULL), sizeof(number));
        reader->disorder = reader->disorder || number < reader->next;
        reader->next = number + 1;
        reader->got++;
}

static void on_msg(ramal_conn *conn, const ramal_msg *msg, void *user) {
        (void)conn;
        count(user, msg);
}

static void on_gap(ramal_conn *conn, const ramal_gap *gap, void *user) {
        struct reader *reader = user;

        (void)conn;
        reader->missing += gap->count;
        reader->why_missing = gap->why;
}

static void on_state(ramal_conn *conn, const ramal_sub_change *change, void *user) {
        struct reader *reader = user;

        (void)conn;
        if (change->demoted) {
                reader->demoted++;
                reader->why_demoted = change->why;
        }
}

/* A `block` subscription whose receive credit is little, too. */
static ramal_sub *subscribe(ramal_conn *conn, const char *pattern, ramal_msg_fn fn, struct reader *reader, void *user) {
        ramal_sub *sub;
        ramal_error error;

        assert_int_equal(ramal_subscribe_with(conn,
                                              RAMAL_INTEREST(.pattern = pattern, .overflow = RAMAL_OVERFLOW_BLOCK,
                                                             .credit_bytes = 16 << 10, .on_gap = on_gap,
                                                             .on_state = on_state, .user = reader),
                                              fn, user, &sub),
                         0);
        if (ramal_sub_confirm(sub, ramal_in_ms(WAIT_MS), &error) < 0)
                fail_msg("subscribe: %s", error.message);
        return sub;
}

static void *numbered(void *payload, uint64_t number) {
        memcpy(payload, &number, sizeof(number));
        return payload;
}

/* Publishes until it is refused; returns how many were taken. */
static uint64_t fill(ramal_conn *conn, const char *subject, uint64_t from) {
        unsigned char payload[BYTES] = {0};
        uint64_t number = from;
        int r;

        /* The first refusal may come because the library does not know yet what is free. */
        for (unsigned tries = 0; tries < 3; tries++) {
                while ((r = ramal_publish(conn, subject, numbered(payload, number), BYTES)) == 0)
                        number++;
                assert_int_equal(r, -EAGAIN);
                assert_int_equal(ramal_sync(conn, ramal_in_ms(WAIT_MS)), 0);
        }
        return number - from;
}

static void on_writable(ramal_conn *conn, void *user) {
        (void)conn;
        ++*(unsigned *)user;
}

static void test_block_publisher_is_held_back_until_the_reader_reads(void **state) {
        struct bus *bus = *state;
        unsigned writable = 0;
        ramal_conn *reader = open_conn(&bus->ramald),
                   *publisher = open_with(&bus->ramald, (ramal_options){.on_writable = on_writable, .user = &writable});
        struct reader seen = {0};
        unsigned char payload[BYTES] = {0};

        subscribe(reader, "a", on_msg, &seen, &seen);
        uint64_t taken = fill(publisher, "a", 0);
        /* The publish credit, and what the receive credit let through. */
        assert_in_range(taken, 60, 90);
        assert_int_equal(ramal_publish_block(publisher, "a", payload, BYTES, NULL, ramal_in_ms(20), NULL), -ETIMEDOUT);
        assert_int_equal(ramal_conn_published(publisher), taken);
        unsigned before = writable;
        WAIT_UNTIL(reader, seen.got > 0);
        WAIT_UNTIL(publisher, writable > before);
        assert_int_equal(ramal_publish(publisher, "a", numbered(payload, taken), BYTES), 0);
        assert_int_equal(ramal_sync(publisher, ramal_in_ms(WAIT_MS)), 0);
        WAIT_UNTIL(reader, seen.got == taken + 1);
        assert_false(seen.disorder);
        assert_int_equal(seen.missing, 0);
        assert_int_equal(seen.demoted, 0);
        assert_int_equal(ramal_close(publisher), 0);
        ramal_close(reader);
}

/* Whoever does not hold back anybody costs no credit. */
static void test_block_publisher_is_not_held_back_by_others(void **state) {
        struct bus *bus = *state;
        ramal_conn *reader = open_conn(&bus->ramald), *publisher = open_conn(&bus->ramald);
        unsigned char payload[BYTES] = {0};
        ramal_sub *sub;

        ramal_subscribe(reader, "a", NULL, NULL, &sub);
        assert_int_equal(ramal_sub_confirm(sub, ramal_in_ms(WAIT_MS), NULL), 0);
        for (uint64_t i = 0; i < MESSAGES; i++)
                assert_int_equal(ramal_publish_block(publisher, i % 2 ? "a" : "nobody", numbered(payload, i), BYTES,
                                                     NULL, ramal_in_ms(WAIT_MS), NULL),
                                 0);
        assert_int_equal(ramal_close(publisher), 0);
        ramal_close(reader);
}

/* ---- programs that publish to each other, each in a thread of its own ---- */

struct station {
        struct bus *bus;
        const char *to, *from; /* subjects */
        struct reader seen;
        uint64_t expected;
        ramal_conn *conn;
        ramal_sub *sub;
        pthread_t thread;
        pthread_barrier_t *all_there;
        /* of those that publish in callbacks */
        uint64_t backlog[MESSAGES];
        size_t owed;
};

static void open_station(struct station *station, ramal_msg_fn fn) {
        station->conn = open_conn(&station->bus->ramald);
        station->sub = subscribe(station->conn, station->from, fn, &station->seen, station);
}

static void on_station_msg(ramal_conn *conn, const ramal_msg *msg, void *user) {
        struct station *station = user;

        (void)conn;
        count(&station->seen, msg);
}

/* Publishes all it has and hears what comes meanwhile. Threads must not use cmocka's assertions: what went wrong is
 * seen in the counts. */
static void *publish_and_hear(void *user) {
        struct station *station = user;
        unsigned char payload[BYTES] = {0};
        uint64_t until = ramal_in_ms(6 * WAIT_MS);

        pthread_barrier_wait(station->all_there);
        for (uint64_t i = 0; i < MESSAGES; i++)
                if (ramal_publish_block(station->conn, station->to, numbered(payload, i), BYTES, NULL, until, NULL) < 0)
                        return NULL;
        while (station->seen.got + station->seen.missing < station->expected)
                if (ramal_wait(station->conn, until) <= 0)
                        return NULL;
        ramal_sync(station->conn, until);
        return NULL;
}

static void run_stations(struct station *stations, unsigned n, void *(*run)(void *), ramal_msg_fn fn) {
        pthread_barrier_t all_there;

        assert_int_equal(pthread_barrier_init(&all_there, NULL, n), 0);
        for (unsigned i = 0; i < n; i++) {
                stations[i].all_there = &all_there;
                open_station(&stations[i], fn);
        }
        for (unsigned i = 0; i < n; i++)
                assert_int_equal(pthread_create(&stations[i].thread, NULL, run, &stations[i]), 0);
        for (unsigned i = 0; i < n; i++)
                assert_int_equal(pthread_join(stations[i].thread, NULL), 0);
        pthread_barrier_destroy(&all_there);
        for (unsigned i = 0; i < n; i++)
                assert_int_equal(ramal_close(stations[i].conn), 0);
}

/* Nobody lost anything, and nobody had to be demoted for it. */
static void assert_all_heard(const struct station *stations, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                assert_int_equal(stations[i].seen.got, stations[i].expected);
                assert_int_equal(stations[i].seen.missing, 0);
                assert_int_equal(stations[i].seen.demoted, 0);
                assert_false(stations[i].seen.disorder);
        }
}

static void test_block_two_that_publish_to_each_other_both_get_through(void **state) {
        struct station *stations = calloc(2, sizeof(*stations));

        for (unsigned i = 0; i < 2; i++) {
                stations[i].bus = *state;
                stations[i].to = i == 0 ? "b" : "a";
                stations[i].from = i == 0 ? "a" : "b";
                stations[i].expected = MESSAGES;
        }
        run_stations(stations, 2, publish_and_hear, on_station_msg);
        assert_all_heard(stations, 2);
        free(stations);
}

static void test_block_a_circle_of_three_gets_through(void **state) {
        const char *subjects[] = {"a", "b", "c"};
        struct station *stations = calloc(3, sizeof(*stations));

        for (unsigned i = 0; i < 3; i++) {
                stations[i].bus = *state;
                stations[i].to = subjects[(i + 1) % 3];
                stations[i].from = subjects[i];
                stations[i].expected = MESSAGES;
        }
        run_stations(stations, 3, publish_and_hear, on_station_msg);
        assert_all_heard(stations, 3);
        free(stations);
}

/* The broker does not hold a connection back for itself: what does not fit in its own window is lost, and told. */
static void test_block_a_publisher_that_hears_itself_gets_through(void **state) {
        struct station *station = calloc(1, sizeof(*station));

        station->bus = *state;
        station->to = station->from = "a";
        station->expected = MESSAGES;
        run_stations(station, 1, publish_and_hear, on_station_msg);
        assert_int_equal(station->seen.got + station->seen.missing, MESSAGES);
        assert_int_equal(station->seen.demoted, 0);
        assert_false(station->seen.disorder);
        free(station);
}

/* Passes each message on from inside its callback, and where that could be a dead-lock, afterwards. */
static void on_relay_msg(ramal_conn *conn, const ramal_msg *msg, void *user) {
        struct station *station = user;
        size_t len;
        const void *data = ramal_msg_data(msg, &len);

        count(&station->seen, msg);
        int r = station->owed > 0 ? -EDEADLK
                                  : ramal_publish_block(conn, station->to, data, len, NULL, RAMAL_NEVER, NULL);
        if (r == -EDEADLK && station->owed < MESSAGES)
                memcpy(&station->backlog[station->owed++], data, sizeof(uint64_t));
}

static void pay(struct station *station, uint64_t until) {
        unsigned char payload[BYTES] = {0};

        /* More may be owed when one was paid. */
        for (size_t i = 0; i < station->owed; i++)
                if (ramal_publish_block(station->conn, station->to, numbered(payload, station->backlog[i]), BYTES, NULL,
                                        until, NULL) < 0)
                        return;
        station->owed = 0;
}

static void *relay(void *user) {
        struct station *station = user;
        uint64_t until = ramal_in_ms(6 * WAIT_MS);

        pthread_barrier_wait(station->all_there);
        while (station->seen.got + station->seen.missing < station->expected || station->owed > 0) {
                pay(station, until);
                if (station->seen.got + station->seen.missing < station->expected &&
                    ramal_wait(station->conn, until) <= 0)
                        return NULL;
        }
        ramal_sync(station->conn, until);
        return NULL;
}

/* The first one sends as much as it can; the others pass it on from inside their callbacks, and the last one back to
 * the first. */
static void test_block_inside_callbacks_a_circle_ends_too(void **state) {
        const char *subjects[] = {"a", "b", "c"};
        struct station *stations = calloc(3, sizeof(*stations));
        pthread_barrier_t all_there;

        assert_int_equal(pthread_barrier_init(&all_there, NULL, 3), 0);
        for (unsigned i = 0; i < 3; i++) {
                stations[i].bus = *state;
                stations[i].to = subjects[(i + 1) % 3];
                stations[i].from = subjects[i];
                stations[i].expected = MESSAGES;
                stations[i].all_there = &all_there;
                open_station(&stations[i], i == 0 ? on_station_msg : on_relay_msg);
        }
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(
                        pthread_create(&stations[i].thread, NULL, i == 0 ? publish_and_hear : relay, &stations[i]), 0);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(pthread_join(stations[i].thread, NULL), 0);
        pthread_barrier_destroy(&all_there);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(ramal_close(stations[i].conn), 0);
        assert_all_heard(stations, 3);
        free(stations);
}

/* The answer comes at once, and is the same each time: the other end cannot be waiting for us only sometimes. */
static void answer_inside(ramal_conn *conn, const ramal_msg *msg, void *user) {
        int *result = user;

        (void)msg;
        *result = ramal_publish_block(conn, "out", "x", 1, NULL, RAMAL_NEVER, NULL);
        while (*result == 0)
                *result = ramal_publish_block(conn, "out", "x", 1, NULL, RAMAL_NEVER, NULL);
}

static void test_block_inside_a_callback_that_holds_others_back_is_a_deadlock(void **state) {
        struct bus *bus = *state;
        ramal_conn *middle = open_conn(&bus->ramald), *end = open_conn(&bus->ramald), *start = open_conn(&bus->ramald);
        struct reader seen = {0}, unread = {0};
        int result = 0;

        subscribe(end, "out", on_msg, &unread, &unread); /* and does not read */
        subscribe(middle, "in", answer_inside, &seen, &result);
        assert_int_equal(ramal_publish(start, "in", "x", 1), 0);
        WAIT_UNTIL(middle, result < 0);
        assert_int_equal(result, -EDEADLK);
        ramal_close(start);
        ramal_close(middle);
        ramal_close(end);
}

/* Nobody holds these back, and the broker says so when it is asked: no dead-lock, however many there are. */
static void publish_much_inside(ramal_conn *conn, const ramal_msg *msg, void *user) {
        unsigned char payload[BYTES] = {0};
        int *result = user;

        (void)msg;
        *result = 0;
        for (unsigned i = 0; i < MESSAGES && *result == 0; i++)
                *result = ramal_publish_block(conn, "nobody", payload, BYTES, NULL, ramal_in_ms(WAIT_MS), NULL);
}

static void test_block_inside_a_callback_what_nobody_holds_back_gets_through(void **state) {
        struct bus *bus = *state;
        ramal_conn *middle = open_conn(&bus->ramald), *start = open_conn(&bus->ramald);
        struct reader seen = {0};
        int result = 1;

        subscribe(middle, "in", publish_much_inside, &seen, &result);
        assert_int_equal(ramal_publish(start, "in", "x", 1), 0);
        WAIT_UNTIL(middle, result <= 0);
        assert_int_equal(result, 0);
        ramal_close(start);
        ramal_close(middle);
}

/* ---- readers that are too slow even for that ---- */

static void test_block_stalled_reader_is_demoted_and_its_publisher_goes_on(void **state) {
        struct bus *bus = *state;
        ramal_conn *reader = open_conn(&bus->ramald), *publisher = open_conn(&bus->ramald);
        struct reader seen = {0};
        unsigned char payload[BYTES] = {0};

        ramal_sub *sub = subscribe(reader, "a", on_msg, &seen, &seen);
        uint64_t published = fill(publisher, "a", 0);
        uint64_t start = ramal_now();
        assert_int_equal(ramal_publish_block(publisher, "a", numbered(payload, published), BYTES, NULL,
                                             ramal_in_ms(WAIT_MS), NULL),
                         0);
        assert_true(ramal_now() - start < (uint64_t)WAIT_MS * 1000000);
        /* From now on as drop_old: publishing does not wait, and what is lost is told. */
        for (published++; published < 3 * MESSAGES; published++)
                assert_int_equal(ramal_publish_block(publisher, "a", numbered(payload, published), BYTES, NULL,
                                                     ramal_in_ms(WAIT_MS), NULL),
                                 0);
        assert_int_equal(ramal_sync(publisher, ramal_in_ms(WAIT_MS)), 0);
        WAIT_UNTIL(reader, seen.demoted == 1);
        assert_true(ramal_sub_demoted(sub));
        assert_int_equal(ramal_sub_state_of(sub), RAMAL_SUB_ACTIVE);
        assert_int_equal(seen.why_demoted, RAMAL_WHY_STALLED);
        WAIT_UNTIL(reader, seen.got + seen.missing == published);
        assert_false(seen.disorder);

        /* Asked for again, it blocks again. On a busy machine its patience may be over before we are. */
        struct reader again = {0};
        uint64_t taken, until = ramal_in_ms(WAIT_MS);
        do {
                ramal_sub_cancel(sub);
                sub = subscribe(reader, "a", on_msg, &again, &again);
                taken = fill(publisher, "a", 0);
                assert_int_equal(ramal_sync(reader, ramal_in_ms(WAIT_MS)), 0);
        } while (ramal_sub_demoted(sub) && ramal_now() < until);
        assert_in_range(taken, 60, 90);
        ramal_close(publisher);
        ramal_close(reader);
}

/* Each publishes all it has before it looks at what came: they hold each other back, until the broker lets go. */
static void *publish_then_pull(void *user) {
        struct station *station = user;
        unsigned char payload[BYTES] = {0};
        uint64_t until = ramal_in_ms(6 * WAIT_MS);
        ramal_msg *msg;

        pthread_barrier_wait(station->all_there);
        for (uint64_t i = 0; i < MESSAGES; i++)
                if (ramal_publish_block(station->conn, station->to, numbered(payload, i), BYTES, NULL, until, NULL) < 0)
                        return NULL;
        while (station->seen.got < station->expected && station->seen.next < MESSAGES &&
               ramal_sub_next(station->sub, until, &msg) == 0) {
                count(&station->seen, msg);
                ramal_msg_unref(msg);
        }
        return NULL;
}

static void test_block_two_that_do_not_read_are_freed_by_the_stall(void **state) {
        struct station *stations = calloc(2, sizeof(*stations));

        for (unsigned i = 0; i < 2; i++) {
                stations[i].bus = *state;
                stations[i].to = i == 0 ? "b" : "a";
                stations[i].from = i == 0 ? "a" : "b";
                stations[i].expected = MESSAGES;
        }
        run_stations(stations, 2, publish_then_pull, NULL);
        assert_true(stations[0].seen.demoted + stations[1].seen.demoted > 0);
        for (unsigned i = 0; i < 2; i++) {
                assert_int_equal(stations[i].seen.got + stations[i].seen.missing, MESSAGES);
                assert_int_equal(stations[i].seen.next, MESSAGES); /* the last one came */
                assert_false(stations[i].seen.disorder);
        }
        free(stations);
}

/* ---- what else a message can be told ---- */

static void test_block_expired_message_is_a_gap(void **state) {
        struct bus *bus = *state;
        ramal_conn *reader = open_conn(&bus->ramald), *publisher = open_conn(&bus->ramald);
        struct reader seen = {0};
        ramal_interest interest = {.size = sizeof(interest), .pattern = "a", .credit_messages = 1, .on_gap = on_gap};
        ramal_publish_options options = {.size = sizeof(options)};
        ramal_sub *sub;
        ramal_msg *msg;

        interest.user = &seen;
        assert_int_equal(ramal_subscribe_with(reader, &interest, NULL, NULL, &sub), 0);
        assert_int_equal(ramal_sub_confirm(sub, ramal_in_ms(WAIT_MS), NULL), 0);
        options.expires = ramal_in_ms(WAIT_MS);
        assert_int_equal(ramal_publish_with(publisher, "a", "one", 3, &options), 0);
        int r;
        do {
                options.expires = ramal_in_ms(100);
                r = ramal_publish_with(publisher, "a", "two", 3, &options);
        } while (r == -ETIMEDOUT); /* we were kept from running for so long */
        assert_int_equal(r, 0);
        assert_int_equal(ramal_publish(publisher, "a", "three", 5), 0);
        assert_int_equal(ramal_sync(publisher, ramal_in_ms(WAIT_MS)), 0);
        /* The way to the broker is not counted: by now it has it, and by then it has expired there. */
        const uint64_t over = ramal_in_ms(101);
        assert_int_equal(ramal_sub_next(sub, ramal_in_ms(WAIT_MS), &msg), 0);
        assert_true(ramal_msg_expires(msg) > ramal_now());
        assert_true(ramal_msg_expires(msg) <= ramal_in_ms(WAIT_MS));
        ramal_msg_unref(msg);
        while (ramal_now() < over)
                ramal_wait(publisher, over);
        assert_int_equal(ramal_sub_next(sub, ramal_in_ms(WAIT_MS), &msg), 0);
        assert_memory_equal(ramal_msg_data(msg, NULL), "three", 5);
        assert_true(ramal_msg_expires(msg) == RAMAL_NEVER);
        ramal_msg_unref(msg);
        assert_int_equal(seen.missing, 1);
        assert_int_equal(seen.why_missing, RAMAL_WHY_EXPIRED);
        ramal_close(publisher);
        ramal_close(reader);
}

static void test_block_same_key_goes_to_the_same_member(void **state) {
        enum { MEMBERS = 3, KEYS = 16 };
        struct bus *bus = *state;
        ramal_conn *publisher = open_conn(&bus->ramald), *members[MEMBERS];
        unsigned had[MEMBERS][KEYS] = {{0}};
        ramal_sub *subs[MEMBERS];
        char key[16];

        for (unsigned i = 0; i < MEMBERS; i++) {
                members[i] = open_conn(&bus->ramald);
                ramal_interest interest = {
                        .size = sizeof(interest), .pattern = "job", .group = "g", .policy = RAMAL_POLICY_KEY};
                assert_int_equal(ramal_subscribe_with(members[i], &interest, NULL, NULL, &subs[i]), 0);
                assert_int_equal(ramal_sub_confirm(subs[i], ramal_in_ms(WAIT_MS), NULL), 0);
        }
        for (unsigned char n = 0; n < 10 * KEYS; n++) {
                snprintf(key, sizeof(key), "key-%d", n % KEYS);
                ramal_publish_options options = {.size = sizeof(options), .key = key};
                uint64_t receivers = 0;
                assert_int_equal(
                        ramal_publish_wait(publisher, "job", &n, 1, &options, ramal_in_ms(WAIT_MS), &receivers, NULL),
                        0);
                assert_int_equal(receivers, 1);
        }
        for (unsigned i = 0; i < MEMBERS; i++) {
                ramal_msg *msg;
                assert_int_equal(ramal_sync(members[i], ramal_in_ms(WAIT_MS)), 0);
                while (ramal_sub_next(subs[i], 0, &msg) == 0) {
                        had[i][*(const unsigned char *)ramal_msg_data(msg, NULL) % KEYS]++;
                        ramal_msg_unref(msg);
                }
        }
        for (unsigned k = 0; k < KEYS; k++) {
                unsigned most = 0;
                for (unsigned i = 0; i < MEMBERS; i++)
                        most = had[i][k] > most ? had[i][k] : most;
                assert_int_equal(most, 10);
        }
        for (unsigned i = 0; i < MEMBERS; i++)
                ramal_close(members[i]);
        ramal_close(publisher);
}

static void test_block_connection_to_inspect_may_look_and_nothing_else(void **state) {
        struct bus *bus = *state;
        ramal_conn *conn = open_with(&bus->ramald, (ramal_options){.inspect = true});
        ramal_error error;
        ramal_msg *reply;
        ramal_sub *sub;

        assert_int_equal(ramal_sync(conn, ramal_in_ms(WAIT_MS)), 0);
        assert_int_equal(ramal_request(conn, "$SYS.api.list", NULL, 0, ramal_in_ms(WAIT_MS), &reply, &error), 0);
        ramal_msg_unref(reply);
        assert_int_equal(ramal_publish_wait(conn, "a", "x", 1, NULL, ramal_in_ms(WAIT_MS), NULL, &error), -EACCES);
        assert_int_equal(ramal_request(conn, "a", NULL, 0, ramal_in_ms(WAIT_MS), NULL, &error), -EACCES);
        assert_int_equal(ramal_subscribe(conn, "a", on_msg, NULL, &sub), 0);
        assert_int_equal(ramal_sub_confirm(sub, ramal_in_ms(WAIT_MS), &error), -EACCES);
        assert_int_equal(ramal_sync(conn, ramal_in_ms(WAIT_MS)), 0);
        ramal_close(conn);
}

int main(void) {
#define SMALL(function) cmocka_unit_test_setup_teardown(function, setup_small, teardown)
#define STALL(function) cmocka_unit_test_setup_teardown(function, setup_stall, teardown)
        const struct CMUnitTest tests[] = {
                SMALL(test_block_publisher_is_held_back_until_the_reader_reads),
                SMALL(test_block_publisher_is_not_held_back_by_others),
                SMALL(test_block_two_that_publish_to_each_other_both_get_through),
                SMALL(test_block_a_circle_of_three_gets_through),
                SMALL(test_block_a_publisher_that_hears_itself_gets_through),
                SMALL(test_block_inside_callbacks_a_circle_ends_too),
                SMALL(test_block_inside_a_callback_that_holds_others_back_is_a_deadlock),
                SMALL(test_block_inside_a_callback_what_nobody_holds_back_gets_through),
                STALL(test_block_stalled_reader_is_demoted_and_its_publisher_goes_on),
                STALL(test_block_two_that_do_not_read_are_freed_by_the_stall),
                TEST(test_block_expired_message_is_a_gap),
                TEST(test_block_same_key_goes_to_the_same_member),
                TEST(test_block_connection_to_inspect_may_look_and_nothing_else),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
