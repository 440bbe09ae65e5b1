/* SPDX-License-Identifier: MIT */
/* Opening, losing, and coming back. */
#include "fake.h"

#include "client/conn_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct seen {
        char text[512];
        ramal_error error;
};

static void on_state(ramal_conn *conn, const ramal_state_change *change, void *user) {
        struct seen *seen = user;
        size_t used = strlen(seen->text);

        (void)conn;
        snprintf(seen->text + used, sizeof(seen->text) - used, "%s%d<%d:%d", used ? " " : "", change->state,
                 change->before, change->error ? change->error->code : 0);
        if (change->error)
                seen->error = *change->error;
}

static void on_change(ramal_conn *conn, const ramal_sub_change *change, void *user) {
        struct seen *seen = user;
        size_t used = strlen(seen->text);

        (void)conn;
        snprintf(seen->text + used, sizeof(seen->text) - used, "%ssub %d<%d", used ? " " : "", change->state,
                 change->before);
}

static void on_msg(ramal_conn *conn, const ramal_msg *msg, void *user) {
        (void)conn, (void)msg, (void)user;
}

static void test_connect_without_broker_names_all_that_was_tried(void **state) {
        ramal_error error;
        ramal_conn *conn;
        char directory[] = "/tmp/ramal-connect-XXXXXX", path[128];

        (void)state;
        assert_int_equal(ramal_open(RAMAL_OPTIONS(.address = "unix:/nowhere/bus"), ramal_in_ms(FAKE_MS), &conn, &error),
                         -ECONNREFUSED);
        assert_null(conn);
        assert_non_null(strstr(error.message, "unix:/nowhere/bus: there is no such socket"));
        assert_non_null(strstr(error.message, "ramald --listen unix:/nowhere/bus"));

        assert_non_null(mkdtemp(directory));
        setenv("XDG_RUNTIME_DIR", directory, 1);
        assert_int_equal(ramal_open(NULL, ramal_in_ms(FAKE_MS), &conn, &error), -ECONNREFUSED);
        snprintf(path, sizeof(path), "unix:%s/ramal/bus: there is no such socket", directory);
        assert_non_null(strstr(error.message, path));
        assert_non_null(strstr(error.message, "unix:/run/ramal/bus"));
        unsetenv("XDG_RUNTIME_DIR");
        rmdir(directory);
}

static void test_connect_bad_addresses_are_told_at_once(void **state) {
        const char *bad[] = {"", "unix:", "tcp:host", "tcp:host:99999", "http://x", "unix:@"};
        ramal_error error;
        ramal_conn *conn;

        (void)state;
        for (size_t i = 0; i < RML_COUNT(bad); i++) {
                ramal_options options = {.size = sizeof(options), .address = bad[i]};
                assert_int_equal(ramal_open_async(&options, &conn, &error), -EINVAL);
                assert_true(strlen(error.message) > 10);
        }
        setenv("RAMAL_ADDRESS", "rubbish", 1);
        assert_int_equal(ramal_open_async(NULL, &conn, &error), -EINVAL);
        unsetenv("RAMAL_ADDRESS");
        assert_int_equal(ramal_open_async(RAMAL_OPTIONS(.address = "tls:h:1"), &conn, &error), -EOPNOTSUPP);
        assert_int_equal(ramal_open_async(RAMAL_OPTIONS(.address = "unix:/x", .app = "\xff"), &conn, &error), -EINVAL);
}

static void test_connect_says_who_it_is(void **state) {
        struct fake fake;
        ramal_options options = {.size = sizeof(options), .app = "clock"};
        ramal_conn *conn;
        fake_start(&fake);

        (void)state;
        options.address = fake.address;
        assert_int_equal(ramal_open_async(&options, &conn, NULL), 0);
        fake_accept(&fake, conn);
        fake_settle(conn);
        fake_expect(&fake, RML_HELLO);
        const Ramal__V1__Hello *hello = fake_control(&fake, Hello);
        assert_int_equal(fake.frame.id, 1);
        assert_string_equal(hello->app, "clock");
        assert_string_equal(hello->library, "libramal " RAMAL_VERSION);
        assert_int_equal(hello->version_min, 1);
        assert_int_equal(hello->nonce.len, 0);
        assert_false(hello->inspect);
        assert_int_equal(ramal_conn_state(conn), RAMAL_CONNECTING);
        assert_int_equal(ramal_publish(conn, "a", NULL, 0), -ENOTCONN);
        assert_int_equal(ramal_flush(conn, 0), -ENOTCONN);
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

/* The first answer of a server that is none, or will not have us. */
static int first_answer(void (*answer)(struct fake *), ramal_error *error) {
        struct fake fake;
        struct seen seen = {.text = ""};
        ramal_options options = {.size = sizeof(options), .on_state = on_state, .user = &seen};
        ramal_conn *conn;
        fake_start(&fake);

        options.address = fake.address;
        assert_int_equal(ramal_open_async(&options, &conn, NULL), 0);
        fake_accept(&fake, conn);
        fake_settle(conn);
        fake_expect(&fake, RML_HELLO);
        answer(&fake);
        uint64_t until = ramal_in_ms(FAKE_MS);
        while (ramal_conn_state(conn) != RAMAL_CLOSED && ramal_now() < until)
                ramal_wait(conn, ramal_in_ms(50));
        assert_int_equal(ramal_conn_state(conn), RAMAL_CLOSED);
        assert_int_equal(ramal_wait(conn, ramal_in_ms(50)), -ESHUTDOWN);
        assert_int_equal(ramal_publish(conn, "a", NULL, 0), -ESHUTDOWN);
        *error = seen.error;
        ramal_close(conn);
        fake_stop(&fake);
        return error->code;
}

static void answer_denied(struct fake *fake) {
        fake_status(fake, 1, RAMAL__V1__CODE__CODE_DENIED, "uid 7 may not connect");
}
static void answer_http(struct fake *fake) {
        fake_bytes(fake, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
}
static void answer_zeros(struct fake *fake) {
        const char zeros[16] = {0};
        fake_bytes(fake, zeros, sizeof(zeros));
}
static void answer_version(struct fake *fake) {
        Ramal__V1__Welcome welcome;
        ramal__v1__welcome__init(&welcome);
        welcome.peer = 1;
        welcome.version = 2;
        fake_send(fake, RML_WELCOME, 1, &welcome.base);
}
static void answer_hang_up(struct fake *fake) {
        fake_hang_up(fake);
}
static void answer_data(struct fake *fake) {
        Ramal__V1__Pong pong = RAMAL__V1__PONG__INIT;
        fake_send(fake, RML_PONG, 1, &pong.base);
}
static void answer_challenge(struct fake *fake) {
        Ramal__V1__Challenge challenge = RAMAL__V1__CHALLENGE__INIT;
        uint8_t bytes[32] = {0};
        challenge.nonce.data = challenge.proof.data = bytes;
        challenge.nonce.len = challenge.proof.len = sizeof(bytes);
        fake_send(fake, RML_CHALLENGE, 1, &challenge.base);
}
static void answer_goaway(struct fake *fake) {
        Ramal__V1__Goaway goaway;
        char text[] = "HELLO too late";
        ramal__v1__goaway__init(&goaway);
        goaway.reason = RAMAL__V1__CODE__CODE_TIMEOUT;
        goaway.text = text;
        fake_send(fake, RML_GOAWAY, 0, &goaway.base);
}

static void test_connect_to_inspect_says_so_each_time(void **state) {
        struct fake fake;
        ramal_options options = {.size = sizeof(options), .inspect = true, .backoff_min_ns = 1};
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, &options);

        (void)state;
        assert_true(fake_control(&fake, Hello)->inspect);
        fake_hang_up(&fake);
        fake_welcome(&fake, conn);
        assert_true(fake_control(&fake, Hello)->inspect);
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_connect_refusals_and_strangers_are_told_apart(void **state) {
        ramal_error error;

        (void)state;
        assert_int_equal(first_answer(answer_denied, &error), -EACCES);
        assert_non_null(strstr(error.message, "uid 7 may not connect"));
        assert_int_equal(error.status, RAMAL_CODE_DENIED);
        assert_int_equal(first_answer(answer_http, &error), -ECONNREFUSED);
        assert_non_null(strstr(error.message, "not a broker of ramal"));
        assert_int_equal(first_answer(answer_zeros, &error), -ECONNREFUSED);
        assert_int_equal(first_answer(answer_version, &error), -EPROTO);
        assert_int_equal(first_answer(answer_data, &error), -EPROTO);
        assert_int_equal(first_answer(answer_challenge, &error), -EPROTO);
        assert_int_equal(first_answer(answer_hang_up, &error), -ECONNREFUSED);
        assert_non_null(strstr(error.message, "closed the connection"));
        assert_int_equal(first_answer(answer_goaway, &error), -ETIME);
        assert_non_null(strstr(error.message, "HELLO too late"));
}

/* A socket that a stranger bound gets nothing from us, not even HELLO. */
static void test_connect_server_of_a_stranger_is_not_trusted(void **state) {
        struct fake fake;
        ramal_error error;
        ramal_conn *conn;
        int ready[2], status;
        char byte;

        (void)state;
        if (geteuid() != 0)
                fail_msg("this test becomes another user: run it as root");
        assert_int_equal(pipe(ready), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                struct fake theirs;
                if (setgid(64999) < 0 || setuid(64999) < 0)
                        _exit(1);
                fake_start(&theirs);
                if (write(ready[1], theirs.address, sizeof(theirs.address)) != sizeof(theirs.address))
                        _exit(1);
                close(ready[1]);
                /* Whatever it is told before the end, is too much. */
                int sock = accept(theirs.listener, NULL, NULL);
                _exit(recv(sock, &byte, 1, 0) == 0 ? 0 : 2);
        }
        close(ready[1]);
        assert_int_equal(read(ready[0], fake.address, sizeof(fake.address)), sizeof(fake.address));
        close(ready[0]);
        assert_int_equal(ramal_open(RAMAL_OPTIONS(.address = fake.address), ramal_in_ms(FAKE_MS), &conn, &error),
                         -EPERM);
        assert_non_null(strstr(error.message, "served by uid 64999"));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

static void test_connect_to_a_silent_server_gives_up(void **state) {
        struct fake fake;
        ramal_error error;
        ramal_conn *conn;
        fake_start(&fake);

        (void)state;
        uint64_t start = ramal_now();
        assert_int_equal(ramal_open(RAMAL_OPTIONS(.address = fake.address), ramal_in_ms(50), &conn, &error),
                         -ETIMEDOUT);
        assert_in_range(ramal_now() - start, 49 * RML_NS_PER_MS, 2000 * RML_NS_PER_MS);
        assert_int_equal(ramal_open(RAMAL_OPTIONS(.address = fake.address, .connect_timeout_ns = 20 * RML_NS_PER_MS),
                                    ramal_in_ms(FAKE_MS), &conn, &error),
                         -ECONNREFUSED);
        assert_non_null(strstr(error.message, "no answer within 20 ms"));
        fake_stop(&fake);
}

static void test_connect_lost_comes_back_with_everything(void **state) {
        struct fake fake;
        struct seen seen = {.text = ""};
        ramal_options options = {.size = sizeof(options), .on_state = on_state, .user = &seen};
        ramal_sub *first, *gone;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, &options);

        (void)state;
        ramal_subscribe_with(conn, RAMAL_INTEREST(.pattern = "one", .on_state = on_change, .user = &seen), on_msg, NULL,
                             &first);
        fake_expect(&fake, RML_SUBSCRIBE);
        fake_subscribed(&fake, 1, RAMAL__V1__STATE__STATE_ACTIVE, 0);
        ramal_subscribe(conn, "gone", on_msg, NULL, &gone);
        fake_expect(&fake, RML_SUBSCRIBE);
        ramal_claim(conn, "org.x", RAMAL_NAME_ALLOW_REPLACE, NULL, NULL, NULL);
        fake_expect(&fake, RML_SUBSCRIBE);
        ramal_sub_cancel(gone);
        fake_expect(&fake, RML_UNSUBSCRIBE);
        fake_settle(conn);
        fake_hang_up(&fake);
        fake_settle(conn);
        assert_int_equal(ramal_sub_state_of(first), RAMAL_SUB_ASKED);
        assert_int_equal(ramal_conn_peer(conn), 0);
        ramal_subscribe(conn, "while.away", on_msg, NULL, NULL);
        fake_welcome(&fake, conn);
        fake_expect(&fake, RML_SUBSCRIBE);
        assert_string_equal(fake_control(&fake, Subscribe)->pattern, "one");
        fake_subscribed(&fake, 1, RAMAL__V1__STATE__STATE_ACTIVE, 0);
        fake_expect(&fake, RML_SUBSCRIBE);
        assert_string_equal(fake_control(&fake, Subscribe)->pattern, "org.x");
        assert_true(fake_control(&fake, Subscribe)->allow_replace);
        fake_expect(&fake, RML_SUBSCRIBE);
        assert_string_equal(fake_control(&fake, Subscribe)->pattern, "while.away");
        fake_settle(conn);
        assert_string_equal(seen.text, "1<0:0 sub 1<0 0<1:-104 sub 0<1 1<0:0 sub 1<0");
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_connect_without_reconnect_is_over_at_a_loss(void **state) {
        struct fake fake;
        struct seen seen = {.text = ""};
        ramal_options options = {.size = sizeof(options), .no_reconnect = true, .on_state = on_state, .user = &seen};
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, &options);
        ramal_sub *sub;
        ramal_msg *msg;

        (void)state;
        ramal_subscribe(conn, "one", NULL, NULL, &sub);
        fake_hang_up(&fake);
        assert_int_equal(ramal_sub_next(sub, ramal_in_ms(FAKE_MS), &msg), -ESHUTDOWN);
        assert_string_equal(seen.text, "1<0:0 3<1:-104");
        assert_int_equal(ramal_run(conn), -ESHUTDOWN);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_connect_pauses_grow_up_to_their_limit(void **state) {
        struct fake fake;
        struct seen seen = {.text = ""};
        ramal_options options = {
                .size = sizeof(options),
                .on_state = on_state,
                .user = &seen,
                .backoff_min_ns = RML_NS_PER_MS,
                .backoff_max_ns = 8 * RML_NS_PER_MS,
        };
        uint64_t longest = 0;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, &options);

        (void)state;
        fake_stop(&fake); /* nobody listens any more */
        uint64_t until = ramal_in_ms(FAKE_MS);
        for (unsigned i = 0; i < 12 && ramal_now() < until; i++) {
                uint64_t start = ramal_now();
                assert_int_equal(ramal_wait(conn, until), 1);
                uint64_t pause = conn->timer_at - ramal_now();
                (void)start;
                assert_true(conn->timer_at == RAMAL_NEVER || pause <= 8 * RML_NS_PER_MS ||
                            conn->timer_at <= ramal_now());
                if (conn->timer_at != RAMAL_NEVER && conn->timer_at > start && conn->timer_at - start > longest)
                        longest = conn->timer_at - start;
        }
        assert_true(longest > 3 * RML_NS_PER_MS); /* half of the limit, at least */
        assert_non_null(strstr(seen.error.message, "nobody listens there"));
        ramal_close(conn);
}

static void test_connect_goaway_reason_reaches_the_program(void **state) {
        struct fake fake;
        struct seen seen = {.text = ""};
        ramal_options options = {.size = sizeof(options), .no_reconnect = true, .on_state = on_state, .user = &seen};
        Ramal__V1__Goaway goaway;
        char text[] = "frame at offset 12";
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, &options);

        (void)state;
        ramal__v1__goaway__init(&goaway);
        fake_send(&fake, RML_GOAWAY, 0, &goaway.base); /* it stops */
        fake_settle(conn);
        assert_int_equal(ramal_conn_state(conn), RAMAL_STOPPING);
        assert_int_equal(ramal_publish(conn, "still.there", NULL, 0), 0);
        goaway.reason = RAMAL__V1__CODE__CODE_MALFORMED;
        goaway.text = text;
        fake_send(&fake, RML_GOAWAY, 0, &goaway.base);
        fake_hang_up(&fake);
        fake_settle(conn);
        assert_int_equal(ramal_conn_state(conn), RAMAL_CLOSED);
        assert_int_equal(seen.error.status, RAMAL_CODE_MALFORMED);
        assert_non_null(strstr(seen.error.message, "MALFORMED: frame at offset 12"));
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_connect_broken_protocol_loses_the_connection(void **state) {
        struct fake fake;
        struct seen seen = {.text = ""};
        ramal_options options = {.size = sizeof(options), .no_reconnect = true, .on_state = on_state, .user = &seen};
        const uint8_t endless[] = {0xff, 0xff, 0xff, 0xff, 1, 2, 3};
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, &options);

        (void)state;
        fake_bytes(&fake, endless, sizeof(endless));
        fake_settle(conn);
        assert_int_equal(seen.error.code, -EBADMSG);
        ramal_close(conn);
        fake_stop(&fake);
}

/* ---- tokens ---- */

#if RAMAL_WITH_TCP

static void write_file(const char *path, const char *text, mode_t mode) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        fchmod(fd, mode);
        close(fd);
}

static void test_connect_token_file_must_be_private_and_whole(void **state) {
        static const struct {
                const char *text;
                mode_t mode;
                const char *says;
        } cases[] = {
                {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF\n", 0644, "chmod 600"},
                {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF\n", 0620, "chmod 600"},
                {"0123", 0600, "does not hold a token"},
                {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdeg\n", 0600, "does not hold a token"},
                {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0\n", 0600, "does not hold a token"},
        };
        char path[] = "/tmp/ramal-token-XXXXXX";
        ramal_error error;
        ramal_conn *conn;
        int fd = mkstemp(path);

        (void)state;
        close(fd);
        ramal_options options = {.size = sizeof(options), .address = "tcp:127.0.0.1:1", .token_file = path};
        for (size_t i = 0; i < RML_COUNT(cases); i++) {
                write_file(path, cases[i].text, cases[i].mode);
                assert_int_equal(ramal_open_async(&options, &conn, &error), -ENOKEY);
                assert_non_null(strstr(error.message, cases[i].says));
                assert_non_null(strstr(error.message, path));
        }
        write_file(path, cases[0].text, 0600);
        assert_int_equal(ramal_open_async(&options, &conn, &error), 0);
        ramal_close(conn);
        unlink(path);
        assert_int_equal(ramal_open_async(&options, &conn, &error), -ENOKEY);
        assert_non_null(strstr(error.message, "there is none"));
        options.token_file = "/tmp";
        assert_int_equal(ramal_open_async(&options, &conn, &error), -ENOKEY);
}

#endif

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_connect_without_broker_names_all_that_was_tried),
                cmocka_unit_test(test_connect_bad_addresses_are_told_at_once),
                cmocka_unit_test(test_connect_says_who_it_is),
                cmocka_unit_test(test_connect_to_inspect_says_so_each_time),
                cmocka_unit_test(test_connect_refusals_and_strangers_are_told_apart),
                cmocka_unit_test(test_connect_server_of_a_stranger_is_not_trusted),
                cmocka_unit_test(test_connect_to_a_silent_server_gives_up),
                cmocka_unit_test(test_connect_lost_comes_back_with_everything),
                cmocka_unit_test(test_connect_without_reconnect_is_over_at_a_loss),
                cmocka_unit_test(test_connect_pauses_grow_up_to_their_limit),
                cmocka_unit_test(test_connect_goaway_reason_reaches_the_program),
                cmocka_unit_test(test_connect_broken_protocol_loses_the_connection),
#if RAMAL_WITH_TCP
                cmocka_unit_test(test_connect_token_file_must_be_private_and_whole),
#endif
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
