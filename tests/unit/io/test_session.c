/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "encode.h"
#include "io/session.h"
#include "bounds.h"

#define MS UINT64_C(1000000)

struct fixture {
        struct loop *loop;
        struct core *core;
        struct sessions sessions;
        uint64_t now;
};

static int set_up(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));
        struct core_config config = {.epoch = 1, .server = "test", .own_uid = 7};
        core_limits_default(&config.limits);
        f->now = loop_now();
        f->core = core_new(&config, f->now);
        assert_int_equal(loop_new(0, &f->loop), 0);
        assert_int_equal(sessions_init(&f->sessions, f->core, f->loop), 0);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        struct fixture *f = *state;
        assert_int_equal(f->sessions.count, 0);
        sessions_deinit(&f->sessions);
        core_free(f->core);
        loop_free(f->loop);
        free(f);
        return 0;
}

/* A connection; returns the client's end. */
static int connect_one(struct fixture *f) {
        struct core_origin origin = {.local = true, .uid = 7, .address = "unix:/x"};
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(session_new(&f->sessions, fds[0], &origin), 0);
        return fds[1];
}

/* As the server's. Returns how many sources were ready. */
static int turn(struct fixture *f) {
        struct peer *peer;
        int n = loop_wait(f->loop, loop_now() + MS, &f->now);
        core_time(f->core, f->now);
        loop_dispatch(f->loop);
        core_expire(f->core);
        sessions_flush_writable(&f->sessions);
        for (;;) {
                if ((peer = core_next_dirty(f->core)))
                        session_flush(core_peer_user(peer));
                else if ((peer = core_next_closed(f->core)))
                        session_free(core_peer_user(peer));
                else
                        return n;
        }
}

/* Turns until nothing happens any more; never for ever. */
static void settle(struct fixture *f) {
        for (int i = 0; i < 1000; i++)
                if (turn(f) == 0)
                        return;
        fail_msg("it spins");
}

/* length, Frame{id = 1, kind} with an empty message of a kind below 128 that needs two bytes of tag */
static void send_empty(int fd, unsigned id, unsigned kind) {
        uint8_t frame[16];
        size_t n = RML_PREFIX_BYTES;
        frame[n++] = 0x08;
        n += rml_put_varint(frame + n, id);
        n += rml_put_varint(frame + n, kind << 3 | 2);
        frame[n++] = 0;
        rml_put_prefix(frame, (uint32_t)(n - RML_PREFIX_BYTES));
        assert_int_equal(send(fd, frame, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* HELLO{version_min = 1, version_max = 1} */
static void send_hello(int fd) {
        static const uint8_t hello[] = {0, 0, 0, 9, 0x08, 1, 0x82, 0x01, 4, 0x08, 1, 0x10, 1};
        assert_int_equal(send(fd, hello, sizeof(hello), MSG_NOSIGNAL), sizeof(hello));
}

/* Reads all that is there; returns how many bytes, and whether the end came. */
static size_t drain(int fd, bool *end) {
        static uint8_t buf[65536];
        size_t total = 0;
        ssize_t n;
        while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
                total += (size_t)n;
        *end = n == 0 || errno == ECONNRESET;
        return total;
}

static void test_session_hello_is_answered(void **state) {
        struct fixture *f = *state;
        bool end;
        int fd = connect_one(f);
        send_hello(fd);
        settle(f);
        assert_true(drain(fd, &end) > 20);
        assert_false(end);
        close(fd);
        settle(f);
}

static void test_session_garbage_is_answered_and_closed(void **state) {
        struct fixture *f = *state;
        bool end;
        int fd = connect_one(f);
        assert_int_equal(send(fd, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL), 18);
        settle(f);
        assert_true(drain(fd, &end) > 4);
        assert_true(end);
        close(fd);
        settle(f);
}

static void test_session_client_that_goes_is_freed_without_spinning(void **state) {
        struct fixture *f = *state;
        int fds[4];
        for (int i = 0; i < 4; i++)
                fds[i] = connect_one(f);
        settle(f);
        assert_int_equal(f->sessions.count, 4);
        send_hello(fds[1]);
        settle(f); /* its WELCOME stays unread, so that close() resets */
        assert_int_equal(send(fds[2], "\0\0", 2, MSG_NOSIGNAL), 2); /* in the middle of a frame */
        shutdown(fds[3], SHUT_RDWR);
        for (int i = 0; i < 4; i++)
                close(fds[i]);
        settle(f);
}

/* One that stops sending may still read what it was owed. */
static void test_session_half_closed_client_still_reads(void **state) {
        struct fixture *f = *state;
        bool end;
        int fd = connect_one(f);
        send_hello(fd);
        send_empty(fd, 2, 32); /* PING */
        shutdown(fd, SHUT_WR);
        settle(f);
        size_t n = drain(fd, &end);
        assert_true(n > 20);
        assert_true(end);
        close(fd);
        settle(f);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_session_hello_is_answered),
                TEST(test_session_garbage_is_answered_and_closed),
                TEST(test_session_client_that_goes_is_freed_without_spinning),
                TEST(test_session_half_closed_client_still_reads),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
