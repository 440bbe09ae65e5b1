/* SPDX-License-Identifier: MIT */
/* The loop: the descriptor, budgets, posting, stopping, forking, and leaving nothing behind. */
#include "fake.h"

#include "client/conn_private.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static size_t descriptors(void) {
        DIR *dir = opendir("/proc/self/fd");
        size_t count = 0;

        assert_non_null(dir);
        while (readdir(dir))
                count++;
        closedir(dir);
        return count;
}

static void on_msg(ramal_conn *conn, const ramal_msg *msg, void *user) {
        (void)conn, (void)msg;
        ++*(unsigned *)user;
}

static bool readable(ramal_conn *conn, int ms) {
        struct pollfd poll_fd = {.fd = ramal_conn_fd(conn), .events = POLLIN};

        return poll(&poll_fd, 1, ms) == 1;
}

static ramal_conn *subscribed(struct fake *fake, unsigned *count) {
        fake_start(fake);
        ramal_conn *conn = fake_open(fake, NULL);

        ramal_subscribe(conn, "a", on_msg, count, NULL);
        fake_expect(fake, RML_SUBSCRIBE);
        fake_subscribed(fake, 1, RAMAL__V1__STATE__STATE_ACTIVE, 0);
        fake_settle(conn);
        return conn;
}

static void stop(struct fake *fake, ramal_conn *conn) {
        fake_hang_up(fake);
        ramal_close(conn);
        fake_stop(fake);
}

static void test_loop_descriptor_is_readable_exactly_while_there_is_work(void **state) {
        unsigned count = 0;
        struct fake fake;
        ramal_conn *conn = subscribed(&fake, &count);
        int fd = ramal_conn_fd(conn);

        (void)state;
        assert_false(readable(conn, 0));
        for (uint64_t seq = 1; seq <= 5; seq++)
                fake_deliver(&fake, 1, seq, "a", "x");
        assert_true(readable(conn, FAKE_MS));
        /* Left over by the budget, and no longer in the socket: still readable. */
        assert_int_equal(ramal_dispatch(conn, 2), 2);
        assert_true(readable(conn, 0));
        assert_int_equal(ramal_dispatch(conn, 2), 2);
        assert_int_equal(ramal_dispatch(conn, 0), 1);
        assert_int_equal(count, 5);
        fake_settle(conn);
        while (readable(conn, 50)) /* its confirmation is due */
                ramal_dispatch(conn, 0);
        assert_int_equal(ramal_conn_fd(conn), fd);
        fake_hang_up(&fake);
        assert_true(readable(conn, FAKE_MS));
        fake_settle(conn);
        fake_welcome(&fake, conn);
        assert_int_equal(ramal_conn_fd(conn), fd);
        stop(&fake, conn);
}

/* A connection that nobody waits for in a loop of his own has neither epoll nor timer. */
static void test_loop_descriptor_is_made_when_it_is_asked_for(void **state) {
        struct fake fake;
        struct rlimit limit, low;
        ramal_conn *conn;

        (void)state;
        fake_start(&fake);
        ramal_options options = {.size = sizeof(options), .address = fake.address};
        assert_int_equal(ramal_open_async(&options, &conn, NULL), 0);
        size_t before = descriptors();
        assert_int_equal(conn->epoll, -1);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        int next = dup(fake.listener);
        close(next);
        for (rlim_t room = 0; room < 2; room++) { /* too little for both: nothing is left behind */
                low = limit;
                low.rlim_cur = (rlim_t)next + room;
                assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
                assert_int_equal(ramal_conn_fd(conn), -EMFILE);
                assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
                assert_int_equal(descriptors(), before);
        }
        int fd = ramal_conn_fd(conn);
        assert_true(fd >= 0);
        assert_int_equal(ramal_conn_fd(conn), fd);
        assert_int_equal(descriptors(), before + 2);
        assert_true(readable(conn, FAKE_MS)); /* it wants to connect */
        fake_welcome(&fake, conn);
        assert_int_equal(ramal_conn_fd(conn), fd);
        stop(&fake, conn);
}

static void test_loop_frame_in_single_bytes_arrives_whole(void **state) {
        unsigned count = 0;
        struct fake fake;
        ramal_conn *conn = subscribed(&fake, &count);
        const struct rml_hop hop = {.sid = 1, .seq = 1};
        uint8_t frame[256], tail[64];

        (void)state;
        size_t tail_len =
                rml_put_tail_head(tail, rml_span_of("a"), (struct rml_span){NULL, 0}, (struct rml_span){NULL, 0}, 0);
        size_t len = rml_put_head(frame, RML_DELIVER, 0, &hop, tail_len);
        memcpy(frame + len, tail, tail_len);
        len += tail_len;
        for (size_t i = 0; i < len; i++) {
                assert_int_equal(count, 0);
                fake_bytes(&fake, frame + i, 1);
                fake_settle(conn);
        }
        assert_int_equal(count, 1);
        stop(&fake, conn);
}

struct long_one {
        unsigned count;
        size_t len;
        bool reads_on; /* in the callback, as a function that blocks there does */
        const uint8_t *bytes;
};

static void on_long(ramal_conn *conn, const ramal_msg *msg, void *user) {
        struct long_one *seen = user;
        size_t len;
        const uint8_t *data = ramal_msg_data(msg, &len);

        if (seen->reads_on)
                while (rml_read_quietly(conn))
                        ;
        assert_int_equal(len, seen->count % 2 == 0 ? seen->len : 1);
        assert_memory_equal(data, seen->bytes, len);
        seen->count++;
}

/* The rest of a long frame is received where it stays; one that follows is not mixed up with it, nor is the one that a
 * callback still has. */
static void test_loop_long_frames_in_pieces_arrive_whole(void **state) {
        static const size_t pieces[] = {1000, 40000, 65536, 150000};
        const struct rml_hop hop = {.sid = 1, .seq = 1};
        size_t size = 300000, room = 2 * size + 1024;
        uint8_t *bytes = malloc(room), *payload = malloc(size);

        (void)state;
        for (size_t i = 0; i < size; i++)
                payload[i] = (uint8_t)(i * 7 + (i >> 8));
        for (size_t i = 0; i < 2 * RML_COUNT(pieces); i++) {
                struct long_one seen = {.len = size, .reads_on = i % 2, .bytes = payload};
                struct fake fake;
                size_t len = 0, piece = pieces[i / 2];
                fake_start(&fake);
                ramal_conn *conn = fake_open(&fake, NULL);
                ramal_subscribe(conn, "a", on_long, &seen, NULL);
                fake_expect(&fake, RML_SUBSCRIBE);
                fake_subscribed(&fake, 1, RAMAL__V1__STATE__STATE_ACTIVE, 0);
                for (int frame = 0; frame < 3; frame++) { /* long, short, long */
                        const struct rml_span none = {NULL, 0};
                        size_t n = frame == 1 ? 1 : size;
                        uint8_t tail[64];
                        size_t tail_len = rml_put_tail_head(tail, rml_span_of("a"), none, none, n);
                        len += rml_put_head(bytes + len, RML_DELIVER, 0, &hop, tail_len + n);
                        memcpy(bytes + len, tail, tail_len);
                        memcpy(bytes + len + tail_len, payload, n);
                        len += tail_len + n;
                }
                for (size_t at = 0; at < len; at += piece) {
                        fake_bytes(&fake, bytes + at, len - at < piece ? len - at : piece);
                        fake_settle(conn);
                }
                assert_int_equal(seen.count, 3);
                stop(&fake, conn);
        }
        free(bytes);
        free(payload);
}

static void test_loop_wait_keeps_its_deadline(void **state) {
        unsigned count = 0;
        struct fake fake;
        ramal_conn *conn = subscribed(&fake, &count);

        (void)state;
        uint64_t start = ramal_now();
        assert_int_equal(ramal_wait(conn, ramal_in_ms(40)), 0);
        assert_in_range(ramal_now() - start, 40 * RML_NS_PER_MS, 2000 * RML_NS_PER_MS);
        assert_int_equal(ramal_wait(conn, 0), 0);
        assert_true(ramal_in_ms(UINT64_MAX) == RAMAL_NEVER);
        stop(&fake, conn);
}

/* ---- other threads and signal handlers ---- */

struct posting {
        ramal_conn *conn;
        unsigned ran, expected;
        bool out_of_order;
        unsigned last[4];
};
struct job {
        struct posting *posting;
        unsigned thread, number;
};
struct poster {
        struct posting *posting;
        struct job *jobs;
        unsigned thread;
};
#define JOBS 500u

static void run_job(ramal_conn *conn, void *user) {
        struct job *job = user;
        struct posting *posting = job->posting;

        if (job->number != posting->last[job->thread] + 1)
                posting->out_of_order = true;
        posting->last[job->thread] = job->number;
        if (++posting->ran == posting->expected)
                ramal_stop(conn, 42);
}

static void *post_jobs(void *user) {
        struct poster *poster = user;

        for (unsigned i = 0; i < JOBS; i++) {
                struct job *job = &poster->jobs[i];
                *job = (struct job){.posting = poster->posting, .thread = poster->thread, .number = i + 1};
                if (ramal_post(poster->posting->conn, run_job, job) < 0)
                        abort();
        }
        return NULL;
}

static void test_loop_posts_of_all_threads_run_in_their_order(void **state) {
        unsigned count = 0;
        struct fake fake;
        ramal_conn *conn = subscribed(&fake, &count);
        struct posting posting = {.conn = conn, .expected = 4 * JOBS};
        struct poster posters[4];
        pthread_t threads[4];

        (void)state;
        for (unsigned i = 0; i < 4; i++) {
                posters[i] =
                        (struct poster){.posting = &posting, .jobs = calloc(JOBS, sizeof(struct job)), .thread = i};
                assert_int_equal(pthread_create(&threads[i], NULL, post_jobs, &posters[i]), 0);
        }
        assert_int_equal(ramal_run(conn), 42);
        for (unsigned i = 0; i < 4; i++) {
                pthread_join(threads[i], NULL);
                free(posters[i].jobs);
        }
        assert_int_equal(posting.ran, 4 * JOBS);
        assert_false(posting.out_of_order);
        stop(&fake, conn);
}

static void test_loop_posts_not_run_are_freed_at_close(void **state) {
        unsigned count = 0;
        struct fake fake;
        ramal_conn *conn = subscribed(&fake, &count);
        struct posting posting = {.conn = conn, .expected = 9};
        struct job job = {.posting = &posting, .number = 1};

        (void)state;
        assert_int_equal(ramal_post(conn, run_job, &job), 0);
        stop(&fake, conn);
        assert_int_equal(posting.ran, 0);
}

static void *stop_soon(void *user) {
        const struct timespec pause = {.tv_nsec = 20000000};

        nanosleep(&pause, NULL);
        ramal_stop(user, 3);
        return NULL;
}

static void test_loop_stop_ends_every_wait_until_run_has_told(void **state) {
        unsigned count = 0;
        struct fake fake;
        ramal_conn *conn = subscribed(&fake, &count);
        pthread_t thread;
        ramal_error error;

        (void)state;
        assert_int_equal(pthread_create(&thread, NULL, stop_soon, conn), 0);
        assert_int_equal(ramal_request(conn, "nobody", NULL, 0, ramal_in_ms(FAKE_MS), NULL, &error), -EINTR);
        pthread_join(thread, NULL);
        assert_int_equal(ramal_wait(conn, RAMAL_NEVER), -EINTR);
        assert_int_equal(ramal_sync(conn, RAMAL_NEVER), -EINTR);
        assert_int_equal(ramal_run(conn), 3);
        assert_int_equal(ramal_wait(conn, 0), 0);
        stop(&fake, conn);
}

static ramal_conn *in_handler;

static void handler(int number) {
        (void)number;
        ramal_stop(in_handler, 130);
}

static void test_loop_stop_in_a_signal_handler(void **state) {
        unsigned count = 0;
        struct fake fake;
        ramal_conn *conn = subscribed(&fake, &count);
        struct sigaction action = {.sa_handler = handler}, old;
        struct itimerspec soon = {.it_value = {.tv_nsec = 20000000}};
        timer_t timer;

        (void)state;
        in_handler = conn;
        assert_int_equal(sigaction(SIGALRM, &action, &old), 0);
        assert_int_equal(timer_create(CLOCK_MONOTONIC, NULL, &timer), 0);
        assert_int_equal(timer_settime(timer, 0, &soon, NULL), 0);
        assert_int_equal(ramal_run(conn), 130);
        timer_delete(timer);
        sigaction(SIGALRM, &old, NULL);
        stop(&fake, conn);
}

/* The waker has set its flag and not written yet: its write must wake, once, and be taken. */
static void test_loop_wake_up_under_way_is_neither_lost_nor_kept(void **state) {
        unsigned count = 0;
        struct fake fake;
        ramal_conn *conn = subscribed(&fake, &count);
        const uint64_t one = 1;

        (void)state;
        atomic_store(&conn->woken, true);
        assert_int_equal(ramal_dispatch(conn, 0), 0);
        assert_false(readable(conn, 0));
        assert_int_equal(write(conn->event, &one, sizeof(one)), sizeof(one));
        assert_true(readable(conn, FAKE_MS));
        assert_int_equal(ramal_dispatch(conn, 0), 0);
        assert_false(readable(conn, 0));
        stop(&fake, conn);
}

static void count_run(ramal_conn *conn, void *user) {
        (void)conn;
        ++*(unsigned *)user;
}

static uint64_t thread_cpu_ns(void) {
        struct timespec ts;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
        return (uint64_t)ts.tv_sec * RML_NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void ask_with_a_post_pending(ramal_conn *conn, const ramal_msg *msg, void *user) {
        (void)msg;
        assert_int_equal(ramal_post(conn, count_run, user), 0);
        uint64_t cpu = thread_cpu_ns();
        assert_int_equal(ramal_request(conn, "svc", NULL, 0, ramal_in_ms(200), NULL, NULL), -ETIMEDOUT);
        assert_true(thread_cpu_ns() - cpu < 100 * RML_NS_PER_MS);
        assert_int_equal(*(unsigned *)user, 0);
}

static void test_loop_post_does_not_keep_a_blocking_callback_awake(void **state) {
        unsigned ran = 0;
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        ramal_subscribe(conn, "a", ask_with_a_post_pending, &ran, NULL);
        fake_deliver(&fake, 1, 1, "a", "x");
        fake_settle(conn);
        assert_int_equal(ran, 1); /* and it was not forgotten */
        stop(&fake, conn);
}

static void test_loop_flush_runs_no_callback_and_leaves_the_descriptor_readable(void **state) {
        const size_t size = 6 << 20;
        char *big = calloc(1, size);
        unsigned count = 0;
        struct fake fake;
        ramal_conn *conn = subscribed(&fake, &count);

        (void)state;
        assert_non_null(big);
        /* More than the socket takes, so that the flush waits and reads. */
        assert_int_equal(ramal_publish(conn, "b", big, size), 0);
        fake_deliver(&fake, 1, 1, "a", "x");
        assert_int_equal(ramal_flush(conn, ramal_in_ms(20)), -ETIMEDOUT);
        assert_int_equal(count, 0);
        assert_true(readable(conn, 0));
        assert_int_equal(ramal_dispatch(conn, 0), 1);
        assert_int_equal(count, 1);
        free(big);
        stop(&fake, conn);
}

static void test_loop_sync_ends_with_the_connection(void **state) {
        unsigned count = 0;
        struct fake fake;
        ramal_conn *conn = subscribed(&fake, &count);

        (void)state;
        shutdown(fake.sock, SHUT_WR); /* it is lost before the answer */
        uint64_t start = ramal_now();
        assert_int_equal(ramal_sync(conn, ramal_in_ms(FAKE_MS)), -ECONNRESET);
        assert_true(ramal_now() - start < FAKE_MS / 2 * RML_NS_PER_MS);
        stop(&fake, conn);
}

static void test_loop_blocking_while_corked_sends_first(void **state) {
        unsigned count = 0;
        struct fake fake;
        ramal_conn *conn = subscribed(&fake, &count);
        ramal_msg *reply;

        (void)state;
        ramal_cork(conn);
        assert_int_equal(ramal_publish(conn, "b", "x", 1), 0);
        assert_false(fake_has_frame(&fake));
        assert_int_equal(ramal_request(conn, "svc", NULL, 0, ramal_in_ms(20), &reply, NULL), -ETIMEDOUT);
        fake_expect(&fake, RML_PUBLISH);
        fake_expect(&fake, RML_CALL);
        assert_int_equal(ramal_uncork(conn), 0);
        stop(&fake, conn);
}

static void test_loop_descriptor_stays_readable_once_it_is_over(void **state) {
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, &(ramal_options){.size = sizeof(ramal_options), .no_reconnect = true});

        (void)state;
        fake_hang_up(&fake);
        assert_true(readable(conn, FAKE_MS));
        while (ramal_conn_state(conn) != RAMAL_CLOSED)
                assert_true(ramal_dispatch(conn, 0) >= 0);
        assert_true(readable(conn, 0));
        assert_int_equal(ramal_dispatch(conn, 0), -ESHUTDOWN);
        assert_true(readable(conn, 0));
        stop(&fake, conn);
}

static void test_loop_tcp_program_that_slept_long_is_not_cut_off(void **state) {
        unsigned count = 0;
        struct fake fake;
        ramal_conn *conn = subscribed(&fake, &count);
        uint64_t now = ramal_now() + 200 * RML_NS_PER_S;

        (void)state;
        conn->targets[0].addr.kind = RML_ADDR_TCP;
        conn->heard_at = now - 100 * RML_NS_PER_S;
        conn->probe_at = now - 70 * RML_NS_PER_S;
        rml_probe(conn, now); /* asks */
        fake_expect(&fake, RML_PING);
        rml_probe(conn, now + RML_NS_PER_MS);
        assert_int_equal(conn->broken, 0);
        rml_probe(conn, now + 2 * RML_IDLE_NS); /* nobody there */
        assert_int_equal(conn->broken, -ETIMEDOUT);
        conn->targets[0].addr.kind = RML_ADDR_UNIX;
        stop(&fake, conn);
}

static void test_loop_options_without_size_are_refused(void **state) {
        ramal_interest interest = {.pattern = "a"};
        ramal_options options = {.no_reconnect = true};
        ramal_request_options request = {.type = "t"};
        ramal_publish_options publish = {.type = "t"};
        /* An older program has fewer fields, a newer one more. */
        struct {
                ramal_publish_options known;
                char unknown[64];
        } newer = {.known = {.size = sizeof(newer), .type = "new"}};
        ramal_publish_options older = {
                .size = offsetof(ramal_publish_options, headers), .type = "old", .header_count = 1};
        unsigned count = 0;
        ramal_error error;
        struct fake fake;
        ramal_conn *conn = subscribed(&fake, &count), *none;

        (void)state;
        assert_int_equal(ramal_open_async(&options, &none, &error), -EINVAL);
        assert_non_null(strstr(error.message, "size"));
        assert_int_equal(ramal_subscribe_with(conn, &interest, on_msg, NULL, NULL), -EINVAL);
        assert_int_equal(ramal_publish_with(conn, "b", NULL, 0, &publish), -EINVAL);
        assert_int_equal(ramal_request_with(conn, "b", NULL, 0, &request, RAMAL_NEVER, NULL, &error), -EINVAL);
        assert_non_null(strstr(error.message, "size"));
        assert_int_equal(ramal_publish_with(conn, "b", NULL, 0, &newer.known), 0);
        fake_expect(&fake, RML_PUBLISH);
        assert_memory_equal(fake.data.type.data, "new", 3);
        assert_int_equal(ramal_publish_with(conn, "b", NULL, 0, &older), 0);
        fake_expect(&fake, RML_PUBLISH);
        assert_memory_equal(fake.data.type.data, "old", 3);
        stop(&fake, conn);
}

static void test_loop_spin_in_the_environment_is_heeded(void **state) {
        static const struct {
                const char *text;
                bool no_spin;
                int result;
                uint64_t budget;
        } rows[] = {
                {NULL, false, 0, RML_SPIN_NS_DEFAULT},
                {"", false, 0, RML_SPIN_NS_DEFAULT},
                {"off", false, 0, 0},
                {"20us", false, 0, 20000},
                {"20us", true, 0, 0},
                {"fast", false, -EINVAL, 0},
        };

        (void)state;
        for (size_t i = 0; i < RML_COUNT(rows); i++) {
                ramal_options options = {
                        .size = sizeof(options), .address = "unix:@no-such-bus", .no_spin = rows[i].no_spin};
                ramal_error error = {.code = 0};
                ramal_conn *conn;
                if (rows[i].text)
                        setenv("RAMAL_SPIN", rows[i].text, 1);
                assert_int_equal(ramal_open_async(&options, &conn, &error), rows[i].result);
                unsetenv("RAMAL_SPIN");
                if (rows[i].result == 0)
                        assert_int_equal(conn->spin.budget_ns, rows[i].budget);
                else
                        assert_string_equal(error.message,
                                            "RAMAL_SPIN=fast: say off, or a time like 50us, at most 100ms");
                ramal_close(conn);
        }
}

static void test_loop_sent_away_for_cause_lengthens_the_pauses(void **state) {
        const ramal_options options = {
                .size = sizeof(options), .backoff_min_ns = RML_NS_PER_MS, .backoff_max_ns = 8 * RML_NS_PER_MS};
        Ramal__V1__Goaway goaway = RAMAL__V1__GOAWAY__INIT;
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, &options);

        (void)state;
        goaway.reason = RAMAL__V1__CODE__CODE_MALFORMED;
        for (unsigned i = 1; i <= 3; i++) {
                fake_send(&fake, RML_GOAWAY, 0, &goaway.base);
                fake_hang_up(&fake);
                fake_welcome(&fake, conn);
                assert_int_equal(conn->attempts, i);
        }
        fake_hang_up(&fake); /* no fault of ours */
        fake_welcome(&fake, conn);
        assert_int_equal(conn->attempts, 1);
        stop(&fake, conn);
}

/* ---- fork ---- */

/* often: so much was asked of it that a page tells whose it is. */
static void check_fork(bool often) {
        unsigned count = 0;
        struct fake fake;
        ramal_conn *conn = subscribed(&fake, &count);
        int status;

        for (unsigned i = 0; often && i < RML_ASKED_OFTEN; i++)
                ramal_dispatch(conn, 0);
        assert_int_equal(conn->alive != NULL, often);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                ramal_msg *reply;
                bool refused = ramal_publish(conn, "a", NULL, 0) == -ECHILD && ramal_dispatch(conn, 0) == -ECHILD &&
                               ramal_wait(conn, 0) == -ECHILD && ramal_run(conn) == -ECHILD &&
                               ramal_conn_fd(conn) == -ECHILD && ramal_flush(conn, 0) == -ECHILD &&
                               ramal_sync(conn, 0) == -ECHILD && ramal_drain(conn, 0) == -ECHILD &&
                               ramal_post(conn, NULL, NULL) == -ECHILD &&
                               ramal_subscribe(conn, "b", on_msg, NULL, NULL) == -ECHILD &&
                               ramal_request(conn, "b", NULL, 0, RAMAL_NEVER, &reply, NULL) == -ECHILD;
                ramal_close(conn);
                _exit(refused ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_false(fake_has_frame(&fake)); /* the child said nothing */
        fake_deliver(&fake, 1, 1, "a", "x");
        assert_int_equal(ramal_wait(conn, ramal_in_ms(FAKE_MS)), 1);
        stop(&fake, conn);
}

static void test_loop_fork_leaves_the_connection_to_the_parent(void **state) {
        (void)state;
        check_fork(false);
        check_fork(true);
}

static void test_loop_close_leaves_no_descriptor(void **state) {
        unsigned count = 0;
        struct fake fake;
        size_t before = descriptors();
        ramal_conn *conn = subscribed(&fake, &count);

        (void)state;
        fake_hang_up(&fake);
        fake_settle(conn);
        fake_welcome(&fake, conn);
        stop(&fake, conn);
        assert_int_equal(descriptors(), before);
        assert_int_equal(ramal_close(NULL), 0);
}

static void test_loop_close_says_goodbye_and_waits_for_the_answer(void **state) {
        unsigned count = 0;
        struct fake fake;
        ramal_conn *conn = subscribed(&fake, &count);

        (void)state;
        /* The answer lies ready: BYE gets the next id. */
        ramal_publish(conn, "a", "x", 1);
        fake_status(&fake, fake.frame.id + 1, RAMAL__V1__CODE__CODE_OK, "");
        uint64_t start = ramal_now();
        assert_int_equal(ramal_close(conn), 0);
        assert_true(ramal_now() - start < 900 * RML_NS_PER_MS);
        fake_expect(&fake, RML_PUBLISH);
        fake_expect(&fake, RML_BYE);
        assert_false(fake_control(&fake, Bye)->drain);
        fake_stop(&fake);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_loop_descriptor_is_readable_exactly_while_there_is_work),
                cmocka_unit_test(test_loop_descriptor_is_made_when_it_is_asked_for),
                cmocka_unit_test(test_loop_frame_in_single_bytes_arrives_whole),
                cmocka_unit_test(test_loop_long_frames_in_pieces_arrive_whole),
                cmocka_unit_test(test_loop_wait_keeps_its_deadline),
                cmocka_unit_test(test_loop_posts_of_all_threads_run_in_their_order),
                cmocka_unit_test(test_loop_posts_not_run_are_freed_at_close),
                cmocka_unit_test(test_loop_stop_ends_every_wait_until_run_has_told),
                cmocka_unit_test(test_loop_stop_in_a_signal_handler),
                cmocka_unit_test(test_loop_wake_up_under_way_is_neither_lost_nor_kept),
                cmocka_unit_test(test_loop_post_does_not_keep_a_blocking_callback_awake),
                cmocka_unit_test(test_loop_flush_runs_no_callback_and_leaves_the_descriptor_readable),
                cmocka_unit_test(test_loop_sync_ends_with_the_connection),
                cmocka_unit_test(test_loop_blocking_while_corked_sends_first),
                cmocka_unit_test(test_loop_descriptor_stays_readable_once_it_is_over),
                cmocka_unit_test(test_loop_tcp_program_that_slept_long_is_not_cut_off),
                cmocka_unit_test(test_loop_options_without_size_are_refused),
                cmocka_unit_test(test_loop_spin_in_the_environment_is_heeded),
                cmocka_unit_test(test_loop_sent_away_for_cause_lengthens_the_pauses),
                cmocka_unit_test(test_loop_fork_leaves_the_connection_to_the_parent),
                cmocka_unit_test(test_loop_close_leaves_no_descriptor),
                cmocka_unit_test(test_loop_close_says_goodbye_and_waits_for_the_answer),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
