/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "notify.h"

/* A log whose lines can be read back. */
struct lines {
        struct log log;
        int fds[2];
        char text[4096];
};

static struct lines *lines_new(void) {
        struct lines *lines = calloc(1, sizeof(*lines));
        assert_int_equal(pipe2(lines->fds, O_CLOEXEC | O_NONBLOCK), 0);
        log_init(&lines->log, lines->fds[1], NULL, LOG_LEVEL_INFO);
        return lines;
}

static const char *lines_read(struct lines *lines) {
        ssize_t n = read(lines->fds[0], lines->text, sizeof(lines->text) - 1);
        lines->text[n > 0 ? n : 0] = '\0';
        return lines->text;
}

static void lines_free(struct lines *lines) {
        log_deinit(&lines->log);
        close(lines->fds[0]);
        close(lines->fds[1]);
        free(lines);
}

/* name: a path, or with '@' an abstract name. */
static int receiver(const char *name) {
        struct sockaddr_un sun = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(fd >= 0);
        memcpy(sun.sun_path, name, strlen(name));
        if (name[0] == '@')
                sun.sun_path[0] = '\0';
        socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
        assert_int_equal(bind(fd, (const struct sockaddr *)&sun, len), 0);
        return fd;
}

static void test_notify_manager_gets_the_text(void **state) {
        struct lines *lines = lines_new();
        char names[2][64], text[64];
        (void)state;
        snprintf(names[0], sizeof(names[0]), "/tmp/ramal-notify-%ld", (long)getpid());
        snprintf(names[1], sizeof(names[1]), "@ramal-notify-%ld", (long)getpid());
        for (int i = 0; i < 2; i++) {
                int fd = receiver(names[i]);
                notify_manager(&lines->log, names[i], "READY=1\n");
                assert_int_equal(recv(fd, text, sizeof(text), 0), 8);
                assert_memory_equal(text, "READY=1\n", 8);
                close(fd);
        }
        unlink(names[0]);
        assert_string_equal(lines_read(lines), "");
        lines_free(lines);
}

static void test_notify_manager_that_is_gone_is_only_logged(void **state) {
        struct lines *lines = lines_new();
        char longest[200];
        (void)state;
        notify_manager(&lines->log, NULL, "READY=1\n");
        assert_string_equal(lines_read(lines), "");
        notify_manager(&lines->log, "/nonexistent/notify", "READY=1\n");
        assert_non_null(strstr(lines_read(lines), "event=notify-failed socket=/nonexistent/notify"));
        notify_manager(&lines->log, "relative", "READY=1\n");
        assert_non_null(strstr(lines_read(lines), "event=notify-failed"));
        notify_manager(&lines->log, "", "READY=1\n");
        assert_non_null(strstr(lines_read(lines), "event=notify-failed"));
        memset(longest, '/', sizeof(longest) - 1);
        longest[sizeof(longest) - 1] = '\0';
        notify_manager(&lines->log, longest, "READY=1\n");
        assert_non_null(strstr(lines_read(lines), "event=notify-failed"));
        lines_free(lines);
}

static void test_notify_ready_fd_gets_addresses_and_the_end(void **state) {
        static const char *const addresses[] = {"unix:/a", "tcp:127.0.0.1:1"};
        struct lines *lines = lines_new();
        char text[128];
        int fds[2];
        (void)state;
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        notify_ready_fd(&lines->log, fds[1], addresses, 2);
        assert_int_equal(read(fds[0], text, sizeof(text)), 24);
        assert_memory_equal(text, "unix:/a\ntcp:127.0.0.1:1\n", 24);
        assert_int_equal(read(fds[0], text, sizeof(text)), 0);
        assert_int_equal(fcntl(fds[1], F_GETFD), -1);
        close(fds[0]);
        assert_string_equal(lines_read(lines), "");
        lines_free(lines);
}

static void test_notify_ready_fd_that_is_full_holds_up_nobody(void **state) {
        static const char *const addresses[] = {"unix:/a"};
        static const char filler[4096];
        struct lines *lines = lines_new();
        int fds[2];
        (void)state;
        assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        while (write(fds[1], filler, sizeof(filler)) > 0)
                ;
        assert_int_equal(fcntl(fds[1], F_SETFL, 0), 0); /* from here on a write would block for ever */
        notify_ready_fd(&lines->log, fds[1], addresses, 1);
        assert_non_null(strstr(lines_read(lines), "event=ready-failed"));
        assert_int_equal(fcntl(fds[1], F_GETFD), -1);
        close(fds[0]);
        lines_free(lines);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_notify_manager_gets_the_text),
                cmocka_unit_test(test_notify_manager_that_is_gone_is_only_logged),
                cmocka_unit_test(test_notify_ready_fd_gets_addresses_and_the_end),
                cmocka_unit_test(test_notify_ready_fd_that_is_full_holds_up_nobody),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
