/* SPDX-License-Identifier: MIT */
/* libramal over TCP: the token in both directions, wrong ones, and squatters. */
#include "client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int setup_tcp(void **state) {
        static const char *const arguments[] = {"--listen", "tcp:127.0.0.1:0", NULL};

        return bus_start(state, arguments);
}

#define TEST_TCP(function) cmocka_unit_test_setup_teardown(function, setup_tcp, teardown)

static int open_tcp(struct bus *bus, const char *address, const char *token, ramal_conn **conn, ramal_error *error) {
        (void)bus;
        return ramal_open(RAMAL_OPTIONS(.address = address, .token_file = token), ramal_in_ms(WAIT_MS), conn, error);
}

static void answer(ramal_conn *conn, ramal_req *req, void *user) {
        const ramal_sender *sender = ramal_msg_sender(ramal_req_msg(req));

        (void)conn;
        *(bool *)user = !sender->local && strcmp(sender->identity, "token") == 0 && sender->uid == (uid_t)-1;
        ramal_reply(req, "pong", 4);
}

static void on_reply(ramal_conn *conn, int result, const ramal_msg *reply, const ramal_error *error, void *user) {
        (void)conn, (void)reply, (void)error;
        *(int *)user = result;
}

static void test_tcp_call_crosses_from_tcp_to_unix(void **state) {
        struct bus *bus = *state;
        ramal_conn *local = open_conn(&bus->ramald), *conn;
        ramal_error error;
        bool token_seen = false;
        int result = 1;
        ramal_sub *sub;

        if (open_tcp(bus, bus->ramald.tcp, bus->ramald.token, &conn, &error) < 0)
                fail_msg("%s", error.message);
        assert_string_equal(ramal_conn_address(conn), bus->ramald.tcp);
        ramal_serve(local, "svc", answer, &token_seen, &sub);
        assert_int_equal(ramal_sub_confirm(sub, ramal_in_ms(WAIT_MS), NULL), 0);
        assert_int_equal(ramal_request_async(conn, "svc", "ping", 4, ramal_in_ms(WAIT_MS), on_reply, &result, NULL), 0);
        WAIT_UNTIL(local, ramal_sub_delivered(sub) == 1);
        WAIT_UNTIL(conn, result <= 0);
        assert_int_equal(result, 0);
        assert_true(token_seen);
        assert_int_equal(ramal_close(conn), 0);
        ramal_close(local);
}

static void test_tcp_token_is_found_beside_the_default_socket(void **state) {
        struct bus *bus = *state;
        char directory[sizeof(bus->ramald.directory) + 16], from[128], to[128];
        ramal_error error;
        ramal_conn *conn;

        /* As if it listened in $XDG_RUNTIME_DIR/ramal. */
        snprintf(directory, sizeof(directory), "%s-run", bus->ramald.directory);
        mkdir(directory, 0700);
        setenv("XDG_RUNTIME_DIR", directory, 1);
        assert_int_equal(open_tcp(bus, bus->ramald.tcp, NULL, &conn, &error), -ENOKEY);
        snprintf(from, sizeof(from), "%s/ramal", directory);
        assert_int_equal(symlink(bus->ramald.directory, from), 0);
        if (open_tcp(bus, bus->ramald.tcp, NULL, &conn, &error) < 0)
                fail_msg("%s", error.message);
        ramal_close(conn);
        unsetenv("XDG_RUNTIME_DIR");
        snprintf(to, sizeof(to), "%s", from);
        unlink(to);
        rmdir(directory);
}

static void test_tcp_wrong_token_is_refused_by_the_client(void **state) {
        struct bus *bus = *state;
        char path[160];
        ramal_error error;
        ramal_conn *conn;

        snprintf(path, sizeof(path), "%s/other", bus->ramald.directory);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        for (int i = 0; i < 64; i++)
                assert_int_equal(write(fd, "a", 1), 1);
        close(fd);
        assert_int_equal(open_tcp(bus, bus->ramald.tcp, path, &conn, &error), -EPERM);
        assert_non_null(strstr(error.message, "does not know the token"));
        chmod(path, 0644);
        assert_int_equal(open_tcp(bus, bus->ramald.tcp, path, &conn, &error), -ENOKEY);
}

/* Accepts one connection, sends what it was given, and waits for the end. */
struct squatter {
        int listener;
        const void *answer;
        size_t len;
};

static void *squat(void *user) {
        struct squatter *squatter = user;
        char rest[4096];
        int fd = accept(squatter->listener, NULL, NULL);

        if (fd >= 0 && squatter->len > 0)
                (void)!send(fd, squatter->answer, squatter->len, MSG_NOSIGNAL);
        while (fd >= 0 && recv(fd, rest, sizeof(rest), 0) > 0)
                ;
        close(fd);
        return NULL;
}

static int meet_squatter(struct bus *bus, const void *bytes, size_t len, ramal_error *error) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof(in);
        struct squatter squatter = {.answer = bytes, .len = len};
        char address[64];
        pthread_t thread;
        ramal_conn *conn;

        squatter.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(squatter.listener, (struct sockaddr *)&in, size), 0);
        assert_int_equal(listen(squatter.listener, 1), 0);
        assert_int_equal(getsockname(squatter.listener, (struct sockaddr *)&in, &size), 0);
        snprintf(address, sizeof(address), "tcp:127.0.0.1:%u", (unsigned)ntohs(in.sin_port));
        assert_int_equal(pthread_create(&thread, NULL, squat, &squatter), 0);
        int r = open_tcp(bus, address, bus->ramald.token, &conn, error);
        assert_null(conn);
        pthread_join(thread, NULL);
        close(squatter.listener);
        return r;
}

static void test_tcp_squatter_on_the_port_learns_nothing(void **state) {
        /* WELCOME without a proof: { id: 1, welcome: { peer: 1, epoch: 1, version: 1 } } */
        static const uint8_t welcome[] = {0, 0, 0, 11, 0x08, 1, 0x9a, 1, 6, 8, 1, 16, 1, 24, 1};
        static const char http[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
        struct bus *bus = *state;
        ramal_error error;

        assert_int_equal(meet_squatter(bus, welcome, sizeof(welcome), &error), -EPERM);
        assert_non_null(strstr(error.message, "did not prove"));
        assert_int_equal(meet_squatter(bus, http, sizeof(http) - 1, &error), -ECONNREFUSED);
        assert_non_null(strstr(error.message, "not a broker of ramal"));
}

static void test_tcp_nobody_listens(void **state) {
        struct bus *bus = *state;
        char address[sizeof(bus->ramald.tcp)];
        ramal_error error;
        ramal_conn *conn;

        /* A port that was just free. */
        snprintf(address, sizeof(address), "%s", bus->ramald.tcp);
        ramald_kill(&bus->ramald);
        assert_int_equal(open_tcp(bus, address, bus->ramald.token, &conn, &error), -ECONNREFUSED);
        assert_non_null(strstr(error.message, "nobody listens there"));
        assert_int_equal(open_tcp(bus, "tcp:no-such-host.invalid:7265", bus->ramald.token, &conn, &error),
                         -ECONNREFUSED);
        assert_int_equal(open_tcp(bus, "tcp:127.0.0.1:no-such-service", bus->ramald.token, &conn, &error),
                         -ECONNREFUSED);
        ramald_restart(&bus->ramald);
}

static void test_tcp_large_message_arrives_whole(void **state) {
        struct bus *bus = *state;
        ramal_conn *to, *from;
        ramal_error error;
        ramal_sub *sub;
        ramal_msg *msg;
        size_t len, size = 8 << 20;
        char *payload = malloc(size);

        for (size_t i = 0; i < size; i++)
                payload[i] = (char)(i * 17 >> 2);
        assert_int_equal(open_tcp(bus, bus->ramald.tcp, bus->ramald.token, &to, &error), 0);
        assert_int_equal(open_tcp(bus, bus->ramald.tcp, bus->ramald.token, &from, &error), 0);
        ramal_subscribe(to, "a", NULL, NULL, &sub);
        assert_int_equal(ramal_sub_confirm(sub, ramal_in_ms(WAIT_MS), NULL), 0);
        assert_int_equal(ramal_publish(from, "a", payload, size), 0);
        assert_int_equal(ramal_close(from), 0);
        assert_int_equal(ramal_sub_next(sub, ramal_in_ms(WAIT_MS), &msg), 0);
        const void *data = ramal_msg_data(msg, &len);
        assert_int_equal(len, size);
        assert_memory_equal(data, payload, size);
        ramal_msg_unref(msg);
        free(payload);
        ramal_close(to);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST_TCP(test_tcp_call_crosses_from_tcp_to_unix),
                TEST_TCP(test_tcp_token_is_found_beside_the_default_socket),
                TEST_TCP(test_tcp_wrong_token_is_refused_by_the_client),
                TEST_TCP(test_tcp_squatter_on_the_port_learns_nothing),
                TEST_TCP(test_tcp_nobody_listens),
                TEST_TCP(test_tcp_large_message_arrives_whole),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
