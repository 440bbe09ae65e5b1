/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "subject.h"
#include "wire.h"

struct pair {
        int fds[2];
};

static int set_up(void **state) {
        struct pair *pair = malloc(sizeof(*pair));

        *state = pair;
        return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair->fds);
}

static int tear_down(void **state) {
        struct pair *pair = *state;

        for (int i = 0; i < 2; i++)
                if (pair->fds[i] >= 0)
                        close(pair->fds[i]);
        free(pair);
        return 0;
}

static void test_wire_spans_arrive_as_one(void **state) {
        const struct pair *pair = *state;
        const struct rml_span spans[] = {rml_span_of("ab"), {NULL, 0}, rml_span_of("cde")};
        uint8_t buf[16];

        assert_int_equal(rml_wire_send(pair->fds[0], spans, 3), 5);
        assert_int_equal(rml_wire_recv(pair->fds[1], buf, sizeof(buf)), 5);
        assert_memory_equal(buf, "abcde", 5);
}

static void test_wire_most_spans_are_sent(void **state) {
        const struct pair *pair = *state;
        struct rml_span spans[RML_SPANS_MAX];
        uint8_t buf[RML_SPANS_MAX + 1];

        for (size_t i = 0; i < RML_SPANS_MAX; i++)
                spans[i] = rml_span_of("x");
        assert_int_equal(rml_wire_send(pair->fds[0], spans, RML_SPANS_MAX), RML_SPANS_MAX);
        assert_int_equal(rml_wire_recv(pair->fds[1], buf, sizeof(buf)), RML_SPANS_MAX);
}

/* The sockets are blocking ones: it is the call that must not wait. */
static void test_wire_nothing_to_read_would_block(void **state) {
        const struct pair *pair = *state;
        uint8_t byte;

        assert_int_equal(rml_wire_recv(pair->fds[0], &byte, 1), -EAGAIN);
}

static void test_wire_full_socket_takes_a_part_then_would_block(void **state) {
        const struct pair *pair = *state;
        static const uint8_t zeros[1 << 20];
        const struct rml_span span = {zeros, sizeof(zeros)};
        ssize_t n, sent = 0;

        assert_int_equal(rml_wire_buffer(pair->fds[0], 8192), 0);
        while ((n = rml_wire_send(pair->fds[0], &span, 1)) > 0)
                sent += n;
        assert_int_equal(n, -EAGAIN);
        assert_in_range(sent, 4096, sizeof(zeros) - 1);
}

static void test_wire_end_of_input_is_zero(void **state) {
        struct pair *pair = *state;
        uint8_t byte;

        close(pair->fds[1]);
        pair->fds[1] = -1;
        assert_int_equal(rml_wire_recv(pair->fds[0], &byte, 1), 0);
}

static void test_wire_sending_to_nobody_is_an_error_and_no_signal(void **state) {
        struct pair *pair = *state;
        const struct rml_span span = rml_span_of("x");

        close(pair->fds[1]);
        pair->fds[1] = -1;
        assert_int_equal(rml_wire_send(pair->fds[0], &span, 1), -EPIPE);
        assert_int_equal(rml_wire_send(-1, &span, 1), -EBADF);
}

static void test_wire_sent_descriptors_are_discarded(void **state) {
        const struct pair *pair = *state;
        char control[CMSG_SPACE(sizeof(int))] = {0};
        struct iovec part = {(char[]){"x"}, 1};
        struct msghdr message = {
                .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        uint8_t buf[4];

        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &pair->fds[0], sizeof(int));
        int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_int_equal(sendmsg(pair->fds[0], &message, 0), 1);
        assert_int_equal(rml_wire_recv(pair->fds[1], buf, sizeof(buf)), 1);
        int after = open("/dev/null", O_RDONLY | O_CLOEXEC);
        /* The lowest free number is still the next one. */
        assert_int_equal(after, before + 1);
        close(before);
        close(after);
}

static void test_wire_creds_are_the_other_ends(void **state) {
        const struct pair *pair = *state;
        struct rml_creds creds;
        gid_t groups[RML_COUNT(creds.groups)];

        assert_int_equal(rml_wire_creds(pair->fds[0], &creds), 0);
        assert_int_equal(creds.uid, geteuid());
        assert_int_equal(creds.gid, getegid());
        assert_int_equal(creds.pid, getpid());
        assert_int_equal(rml_wire_user(pair->fds[1], &creds), 0);
        assert_int_equal(creds.uid, geteuid());
        assert_false(creds.groups_known);
        assert_int_equal(rml_wire_creds(pair->fds[0], &creds), 0);
        int count = getgroups((int)RML_COUNT(groups), groups);
        assert_true(count >= 0);
        assert_true(creds.groups_known);
        assert_int_equal(creds.group_count, count);
        for (int i = 0; i < count; i++) {
                bool found = false;
                for (unsigned at = 0; at < creds.group_count; at++)
                        found = found || creds.groups[at] == groups[i];
                assert_true(found);
        }
}

static void test_wire_creds_of_tcp_are_not_supported(void **state) {
        (void)state;
        struct rml_creds creds;
        int fd = rml_wire_socket(AF_INET);

        assert_true(fd >= 0);
        assert_int_equal(rml_wire_creds(fd, &creds), -ENOTSUP);
        close(fd);
        assert_int_equal(rml_wire_creds(fd, &creds), -EBADF);
        fd = rml_wire_socket(AF_UNIX);
        assert_int_equal(rml_wire_creds(fd, &creds), -ENOTCONN);
        assert_int_equal(rml_wire_user(fd, &creds), -ENOTCONN);
        close(fd);
}

static int option(int fd, int level, int name) {
        int value = -1;
        socklen_t len = sizeof(value);

        assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
        return value;
}

static void test_wire_socket_is_nonblocking_and_closed_on_exec(void **state) {
        (void)state;
        static const int families[] = {AF_UNIX, AF_INET, AF_INET6};

        for (size_t i = 0; i < RML_COUNT(families); i++) {
                int fd = rml_wire_socket(families[i]);
                assert_true(fd >= 0);
                assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
                assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
                assert_int_equal(option(fd, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
                assert_int_equal(rml_wire_buffer(fd, 65536), 0);
                assert_true(option(fd, SOL_SOCKET, SO_SNDBUF) >= 65536);
                if (families[i] != AF_UNIX)
                        assert_true(option(fd, IPPROTO_TCP, TCP_NODELAY));
                close(fd);
        }
        assert_int_equal(rml_wire_socket(-1), -EAFNOSUPPORT);
}

static void test_wire_place_is_read_from_the_environment(void **state) {
        (void)state;
        struct rml_place place;

        setenv("RAMAL_ADDRESS", "unix:/x", 1);
        setenv("XDG_RUNTIME_DIR", "/run/user/12", 1);
        rml_wire_place(&place);
        assert_string_equal(place.address, "unix:/x");
        assert_string_equal(place.runtime_dir, "/run/user/12");
        assert_int_equal(place.uid, geteuid());
        setenv("RAMAL_ADDRESS", "", 1);
        unsetenv("XDG_RUNTIME_DIR");
        rml_wire_place(&place);
        assert_null(place.address);
        assert_null(place.runtime_dir);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_wire_spans_arrive_as_one),
                TEST(test_wire_most_spans_are_sent),
                TEST(test_wire_nothing_to_read_would_block),
                TEST(test_wire_full_socket_takes_a_part_then_would_block),
                TEST(test_wire_end_of_input_is_zero),
                TEST(test_wire_sending_to_nobody_is_an_error_and_no_signal),
                TEST(test_wire_sent_descriptors_are_discarded),
                TEST(test_wire_creds_are_the_other_ends),
                cmocka_unit_test(test_wire_creds_of_tcp_are_not_supported),
                cmocka_unit_test(test_wire_socket_is_nonblocking_and_closed_on_exec),
                cmocka_unit_test(test_wire_place_is_read_from_the_environment),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
