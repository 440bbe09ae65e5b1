/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "log.h"
#include "subject.h"

static void test_log_values_are_escaped(void **state) {
        static const struct {
                const char *text, *want;
        } rows[] = {
                {"plain", "plain"},
                {"unix:/run/ramal/bus", "unix:/run/ramal/bus"},
                {"", "\"\""},
                {"two words", "\"two words\""},
                {"a=b", "\"a=b\""},
                {"say \"hi\"", "\"say \\\"hi\\\"\""},
                {"back\\slash", "\"back\\\\slash\""},
                {"a\nevent=forged", "\"a\\nevent=forged\""},
                {"tab\there\r", "\"tab\\there\\r\""},
                {"\x1b[31mred\x7f", "\"\\x1b[31mred\\x7f\""},
                {"gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\""},
                {"\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\""},
                {"bad \xff\xc3", "\"bad \\xff\\xc3\""},
                {"long \xc0\xaf", "\"long \\xc0\\xaf\""},                 /* over-long */
                {"sur \xed\xa0\x80", "\"sur \\xed\\xa0\\x80\""},          /* surrogate */
                {"big \xf4\x90\x80\x80", "\"big \\xf4\\x90\\x80\\x80\""}, /* above U+10FFFF */
                {"c1 \xc2\x9b", "\"c1 \\xc2\\x9b\""},                     /* a control sequence to some terminals */
                {"rtl \xe2\x80\xae", "\"rtl \\xe2\\x80\\xae\""},          /* turns the text around */
                {"cut \xe2\x82", "\"cut \\xe2\\x82\""},                   /* ends inside a character */
        };
        (void)state;
        for (size_t i = 0; i < RML_COUNT(rows); i++) {
                char out[128];
                size_t len = 0;
                log_escape(out, sizeof(out), &len, rows[i].text);
                out[len] = '\0';
                assert_string_equal(out, rows[i].want);
        }
}

static void test_log_escape_never_writes_too_much(void **state) {
        char text[300];
        (void)state;
        memset(text, 0x01, sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        for (size_t size = 0; size < 200; size++) {
                char *out = malloc(size + 1); /* the sanitizer watches the end */
                size_t len = 0;
                log_escape(out, size, &len, text);
                assert_true(len <= size);
                if (len > 0) {
                        assert_int_equal(out[0], '"');
                        assert_int_equal(out[len - 1], '"');
                        assert_int_equal((len - 2) % 4, 0); /* cut between escapes */
                }
                free(out);
        }
}

/* Everything that a pipe holds now. */
static size_t drain(int fd, char *buf, size_t size) {
        ssize_t n = read(fd, buf, size - 1);
        buf[n > 0 ? n : 0] = '\0';
        return n > 0 ? (size_t)n : 0;
}

static void test_log_line_has_time_level_event_and_fields(void **state) {
        struct log log;
        char text[2048];
        int fds[2], year, rest = 0;
        (void)state;
        assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
        log_init(&log, fds[1], NULL, LOG_LEVEL_INFO);
        log_event(&log, LOG_LEVEL_WARNING, "limit", LOG_TEXT("text", "a b"), LOG_NUMBER("uid", 42));
        drain(fds[0], text, sizeof(text));
        assert_int_equal(sscanf(text, "time=%4d-%*2d-%*2dT%*2d:%*2d:%*2d.%*3dZ %n", &year, &rest), 1);
        assert_true(year >= 2024);
        assert_string_equal(text + rest, "level=warning event=limit text=\"a b\" uid=42\n");
        log_event(&log, LOG_LEVEL_DEBUG, "more", LOG_NUMBER("x", 1));
        assert_int_equal(drain(fds[0], text, sizeof(text)), 0);
        log_deinit(&log);
        close(fds[0]);
        close(fds[1]);
}

static void test_log_line_is_one_line_however_long(void **state) {
        struct log log;
        char text[4096], value[3000];
        int fds[2];
        (void)state;
        memset(value, 'x', sizeof(value) - 1);
        value[sizeof(value) - 1] = '\0';
        value[10] = '\n';
        assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
        log_init(&log, fds[1], NULL, LOG_LEVEL_INFO);
        log_event(&log, LOG_LEVEL_INFO, "long", LOG_TEXT("value", value), LOG_TEXT("next", value));
        size_t n = drain(fds[0], text, sizeof(text));
        assert_true(n <= LOG_LINE_BYTES);
        assert_ptr_equal(strchr(text, '\n'), text + n - 1);
        log_deinit(&log);
        close(fds[0]);
        close(fds[1]);
}

static void test_log_full_pipe_drops_and_counts(void **state) {
        struct log log;
        static char text[70000];
        int fds[2];
        (void)state;
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0); /* blocking: the log must not depend on its owner's flags */
        log_init(&log, fds[1], NULL, LOG_LEVEL_INFO);
        for (int i = 0; i < 5000; i++)
                log_event(&log, LOG_LEVEL_INFO, "flood", LOG_NUMBER("n", (uint64_t)i));
        assert_true(log.lost > 0 && log.lost < 5000);
        uint64_t lost = log.lost;

        /* After somebody has read, the next line tells how many are missing. */
        assert_true(drain(fds[0], text, sizeof(text)) > 0);
        log_event(&log, LOG_LEVEL_INFO, "after", LOG_NUMBER("n", 1));
        assert_int_equal(log.lost, 0);
        assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
        drain(fds[0], text, sizeof(text));
        char want[64];
        snprintf(want, sizeof(want), "event=log-lost lines=%ju\n", (uintmax_t)lost);
        const char *found = strstr(text, want);
        assert_non_null(found);
        assert_non_null(strstr(found, "event=after n=1\n"));
        log_deinit(&log);
        close(fds[0]);
        close(fds[1]);
}

/* A disk that is full in the middle of a line: the next one is whole again, on a line of its own. */
static void test_log_torn_line_is_ended_by_the_next(void **state) {
        struct log log;
        struct rlimit before, limit;
        char path[] = "/tmp/ramal-log-XXXXXX", text[1024];
        (void)state;
        int fd = mkstemp(path);
        assert_true(fd >= 0);
        unlink(path);
        signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        limit = before;
        limit.rlim_cur = 30;
        log_init(&log, fd, NULL, LOG_LEVEL_INFO);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        log_event(&log, LOG_LEVEL_INFO, "torn", LOG_NUMBER("n", 1));
        log_event(&log, LOG_LEVEL_INFO, "lost", LOG_NUMBER("n", 2));
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        signal(SIGXFSZ, SIG_DFL);
        assert_int_equal(log.lost, 2);
        log_event(&log, LOG_LEVEL_INFO, "after", LOG_NUMBER("n", 3));
        ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
        assert_true(n > 31);
        text[n] = '\0';
        assert_memory_equal(text + 30, "\ntime=", 6);
        assert_non_null(strstr(text, "event=log-lost lines=2\ntime="));
        assert_non_null(strstr(text, "event=after n=3\n"));
        assert_null(strstr(text, "\n\n"));
        log_deinit(&log);
        close(fd);
}

static void test_log_closed_reader_is_no_signal(void **state) {
        struct log log;
        int fds[2];
        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        log_init(&log, fds[1], NULL, LOG_LEVEL_INFO);
        close(fds[0]);
        log_event(&log, LOG_LEVEL_INFO, "alone", LOG_NUMBER("n", 1)); /* SIGPIPE would end the test */
        assert_int_equal(log.lost, 1);
        log_deinit(&log);
        close(fds[1]);
}

static void test_log_under_a_journal_has_its_prefix(void **state) {
        struct log log;
        struct stat st;
        char text[2048], stream[64];
        int fds[2];
        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(fstat(fds[1], &st), 0);
        snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
        log_init(&log, fds[1], stream, LOG_LEVEL_INFO);
        log_event(&log, LOG_LEVEL_ERROR, "bad", LOG_NUMBER("n", 1));
        log_say(&log, "cannot start\nat all");
        drain(fds[0], text, sizeof(text));
        assert_string_equal(text, "<3>event=bad n=1\n<3>ramald: cannot start\\x0aat all\n");
        log_deinit(&log);

        /* Somebody else's journal is not ours. */
        log_init(&log, fds[1], "1:1", LOG_LEVEL_INFO);
        log_event(&log, LOG_LEVEL_ERROR, "bad", LOG_NUMBER("n", 1));
        drain(fds[0], text, sizeof(text));
        assert_int_equal(strncmp(text, "time=", 5), 0);
        log_deinit(&log);
        close(fds[0]);
        close(fds[1]);
}

static void test_log_levels_have_names(void **state) {
        enum log_level level;
        (void)state;
        assert_int_equal(log_level_parse("notice", &level), 0);
        assert_int_equal(level, LOG_LEVEL_NOTICE);
        assert_string_equal(log_level_name(level), "notice");
        assert_int_equal(log_level_parse("NOTICE", &level), -EINVAL);
        assert_int_equal(log_level_parse("", &level), -EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_log_values_are_escaped),
                cmocka_unit_test(test_log_escape_never_writes_too_much),
                cmocka_unit_test(test_log_line_has_time_level_event_and_fields),
                cmocka_unit_test(test_log_line_is_one_line_however_long),
                cmocka_unit_test(test_log_full_pipe_drops_and_counts),
                cmocka_unit_test(test_log_torn_line_is_ended_by_the_next),
                cmocka_unit_test(test_log_closed_reader_is_no_signal),
                cmocka_unit_test(test_log_under_a_journal_has_its_prefix),
                cmocka_unit_test(test_log_levels_have_names),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
