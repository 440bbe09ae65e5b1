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
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "config.h"

#define ARGUMENTS_MAX 16

static int read_text(struct config *config, const char *text, struct failure *failure) {
        config_defaults(config);
        return config_read_text(config, "ramald.conf", text, strlen(text), failure);
}

/* words: one string, split at spaces. */
static int read_arguments(struct config *config, const char *words, struct failure *failure) {
        static char copy[512]; /* the config borrows nothing, but argv must live until it is read */
        char *argv[ARGUMENTS_MAX] = {0}, *rest = NULL;
        int argc = 0;
        snprintf(copy, sizeof(copy), "ramald %s", words);
        for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
                argv[argc++] = word;
        config_defaults(config);
        return config_read_arguments(config, argc, argv, failure);
}

static const char *sample(enum config_kind kind) {
        switch (kind) {
        case CONFIG_BYTES:
                return "17M";
        case CONFIG_COUNT:
        case CONFIG_FD:
                return "17";
        case CONFIG_TIME:
                return "17ms";
        case CONFIG_BOOL:
                return "yes";
        case CONFIG_MODE:
                return "0640";
        case CONFIG_GROUP:
        case CONFIG_UIDS:
        case CONFIG_GIDS:
                return "64999";
        case CONFIG_ADDRESSES:
                return "unix:/tmp/x/bus";
        case CONFIG_SCOPE:
                return "system";
        case CONFIG_PATH:
                return "/tmp/x/token";
        case CONFIG_LEVEL:
                return "debug";
        case CONFIG_USER_LIMITS:
                return "64999:calls=17";
        }
        return "";
}

static void test_config_every_option_has_one_key_and_one_flag(void **state) {
        (void)state;
        for (size_t i = 0; i < config_option_count; i++) {
                const struct config_option *a = &config_options[i];
                assert_true(a->section[0] && a->key[0] && a->flag[0] && a->help[0]);
                for (size_t j = i + 1; j < config_option_count; j++) {
                        const struct config_option *b = &config_options[j];
                        assert_string_not_equal(a->flag, b->flag);
                        if (strcmp(a->section, b->section) == 0 && strcmp(a->key, b->key) == 0)
                                assert_string_equal(a->key, "scope"); /* the one with two flags, one for each value */
                }
        }
}

static void test_config_key_and_flag_do_the_same(void **state) {
        struct config defaults, *by_file = calloc(1, sizeof(*by_file)), *by_flag = calloc(1, sizeof(*by_flag));
        (void)state;
        config_defaults(&defaults);
        for (size_t i = 0; i < config_option_count; i++) {
                const struct config_option *option = &config_options[i];
                const char *value = option->value ? option->value : sample(option->kind);
                struct failure failure = {0};
                char text[256], words[256];
                snprintf(text, sizeof(text), "[%s]\n%s = %s\n", option->section, option->key, value);
                snprintf(words, sizeof(words), "--%s%s%s", option->flag, option->value ? "" : "=",
                         option->value ? "" : value);
                if (read_text(by_file, text, &failure) != 0 || read_arguments(by_flag, words, &failure) != 0)
                        fail_msg("%s: %s", option->flag, failure.text);
                assert_true(config_is_set(by_file, option->section, option->key));
                assert_true(config_is_set(by_flag, option->section, option->key));
                memset(by_file->source, 0, sizeof(by_file->source));
                memset(by_flag->source, 0, sizeof(by_flag->source));
                memset(by_flag->users, 0, sizeof(by_flag->users)); /* where it came from */
                config_fill_users(by_file->uid_limits, by_file->user_count, &by_file->limits);
                assert_memory_equal(by_file, by_flag, sizeof(*by_file));
                if (memcmp(by_file, &defaults, sizeof(defaults)) == 0)
                        fail_msg("%s changes nothing", option->flag);
        }
        free(by_file);
        free(by_flag);
}

static void test_config_good_file_is_read(void **state) {
        static const char text[] = "# a comment\n"
                                   "\n"
                                   "[listen]\r\n"
                                   "  address = unix:/run/x/bus\r\n"
                                   "address=tcp:127.0.0.1:0\n"
                                   "address\t=\t@no\n"
                                   "; another\n";
        static const char good[] = "[limits]\n"
                                   "payload_bytes = 1M\n"
                                   "hello_timeout = 200ms\n"
                                   "[log]\n"
                                   "level=warning\n"
                                   "[listen]\n"
                                   "address = unix:@a = b # c\n"
                                   "tcp = yes";
        struct config config;
        struct failure failure = {0};
        (void)state;
        assert_int_equal(read_text(&config, text, &failure), -ECANCELED);
        assert_non_null(strstr(failure.text, "ramald.conf:6: address: address '@no'"));
        assert_int_equal(config.listen_count, 2);
        assert_int_equal(config.listen[1].kind, RML_ADDR_TCP);

        assert_int_equal(read_text(&config, good, &failure), 0);
        assert_int_equal(config.limits.payload_bytes, 1 << 20);
        assert_int_equal(config.limits.hello_timeout_ns, 200000000);
        assert_int_equal(config.log_level, LOG_LEVEL_WARNING);
        assert_true(config.tcp);
        assert_string_equal(config.listen[0].path, "a = b # c");
}

static void test_config_empty_file_changes_nothing(void **state) {
        struct config config, defaults;
        struct failure failure = {0};
        (void)state;
        config_defaults(&defaults);
        assert_int_equal(read_text(&config, "", &failure), 0);
        assert_memory_equal(&config, &defaults, sizeof(config));
        assert_int_equal(read_text(&config, "\n\n# x\n[limits]", &failure), 0);
        assert_memory_equal(&config, &defaults, sizeof(config));
}

/* Bad input: what it says, where. Every one is exit status 78. */
static void test_config_bad_file_is_an_error_with_its_place(void **state) {
        static const struct {
                const char *text, *want;
        } rows[] = {
                {"[listen]\nadress = unix:/x", "ramald.conf:2: unknown key \"adress\"; the nearest is address"},
                {"[limits]\naddress = unix:/x",
                 "ramald.conf:2: unknown key \"address\"; the nearest is address in [listen]"},
                {"[log]\nlvl = info", "ramald.conf:2: unknown key \"lvl\"; the nearest is level"},
                {"[limit]\n", "ramald.conf:1: unknown section [limit]; the nearest is [limits]"},
                {"[]\n", "ramald.conf:1: unknown section []"},
                {"[limits\n", "ramald.conf:1: a section ends with ]"},
                {"[limits] x\n", "ramald.conf:1: a section ends with ]"},
                {"[\n", "ramald.conf:1: a section ends with ]"},
                {"tcp = yes\n", "ramald.conf:1: tcp stands before the first [section]"},
                {"[listen]\ntcp\n", "ramald.conf:2: this is neither [section] nor key = value"},
                {"[listen]\n = yes\n", "ramald.conf:2: there is no key before the ="},
                {"[listen]\ntcp =\n", "ramald.conf:2: tcp: a value is missing"},
                {"[listen]\ntcp = maybe\n", "ramald.conf:2: tcp: \"maybe\" is not yes or no"},
                {"[listen]\ntcp = yes\n\ntcp = no\n", "ramald.conf:4: tcp: given twice"},
                {"[listen]\nscope = user\nscope = system", "ramald.conf:3: scope: the bus is chosen already"},
                {"[listen]\nscope = all\n", "scope: \"all\" is not user or system"},
                {"[listen]\nsocket_mode = rw-\n", "socket_mode: \"rw-\" is not an octal mode such as 0660"},
                {"[listen]\nsocket_mode = 04755\n", "socket_mode: 04755 is out of range: it must be from 0 to 0777"},
                {"[listen]\nsocket_group = no such group\n",
                 "socket_group: there is no group \"no such group\" on this machine"},
                {"[listen]\nallow_uid = no such user\n",
                 "allow_uid: there is no user \"no such user\" on this machine"},
                {"[listen]\nallow_uid = 4294967295\n",
                 "allow_uid: 4294967295 is out of range: it must be from 0 to 4294967294"},
                {"[listen]\nallow_uid = -1\n", "allow_uid: there is no user \"-1\""},
                {"[listen]\nready_fd = -1\n", "ready_fd: \"-1\" is not a number"},
                {"[listen]\nready_fd = 99999999999999999999\n", "ready_fd: 99999999999999999999 is out of range"},
                {"[limits]\npayload_bytes = 8MB\n", "payload_bytes: \"8MB\" is not a size such as 64K, 8M or 1G"},
                {"[limits]\npayload_bytes = 65M\n", "payload_bytes: 65M is out of range: it must be from 1 to 64M"},
                {"[limits]\npayload_bytes = 0\n", "payload_bytes: 0 is out of range"},
                {"[limits]\npayload_bytes = 99999999999999999999G\n",
                 "payload_bytes: 99999999999999999999G is out of range"},
                {"[limits]\ncalls = 1K\n", "calls: \"1K\" is not a number"},
                {"[limits]\nhello_timeout = 5\n", "hello_timeout: \"5\" is not a time such as 5s, 200ms or 50us"},
                {"[limits]\nhello_timeout = 2h\n", "hello_timeout: 2h is out of range: it must be from 1ms to 1h"},
                {"[log]\nlevel = loud\n", "level: \"loud\" is not error, warning, notice, info or debug"},
                {"[listen]\naddress = tcp:127.0.0.1\n", "ramald.conf:2: address: address 'tcp:127.0.0.1'"},
                {"[listen]\naddress = unix:/\xff\n", "ramald.conf:2: this line is not valid UTF-8"},
                {"[limits uid]\n", "ramald.conf:1: [limits uid]: the name or number of a user is missing"},
                {"[limits uid 4294967295]\n", "ramald.conf:1: [limits uid]: 4294967295 is out of range"},
                {"[limits uid no-such-user]\n",
                 "ramald.conf:1: [limits uid]: there is no user \"no-such-user\" on this machine"},
                {"[limits uid 1 2]\n", "ramald.conf:1: [limits uid USER] is for one user"},
                {"[limits gid 1]\n", "ramald.conf:1: unknown section [limits gid 1]; the nearest is [limits]"},
                {"[limits uid 7]\ncalls=1\n[limits uid 8]\n[limits uid  7 ]\n",
                 "ramald.conf:4: the limits of uid 7 stand in another section above"},
                {"[limits uid 0]\n[limits uid root]\n",
                 "ramald.conf:2: the limits of uid 0 stand in another section above"},
                {"[limits uid 7]\ncals=1\n", "ramald.conf:2: unknown key \"cals\"; the nearest for one user is calls"},
                {"[limits uid 7]\nbroker_bytes=1M\n",
                 "ramald.conf:2: broker_bytes is one for all users; it stands in [limits]"},
                {"[limits uid 7]\nuid = 7:calls=1\n", "ramald.conf:2: uid is one for all users"},
                {"[limits uid 7]\ncalls=1\ncalls=2\n", "ramald.conf:3: calls: given twice"},
                {"[limits uid 7]\ncalls=\n", "ramald.conf:2: calls: a value is missing"},
                {"[limits uid 7]\ncalls=0\n", "ramald.conf:2: calls: 0 is out of range: it must be from 1 to"},
                {"[limits uid 7]\ncalls=many\n", "ramald.conf:2: calls: \"many\" is not a number"},
                {"[limits]\nuid = 7:calls\n", "uid: \"7:calls\" is not a limit of a user such as alice:calls=64"},
                {"[limits]\nuid = 7:calls=\n", "uid: calls of uid 7: a value is missing"},
                {"[limits]\nuid = 7:calls=1\nuid = 7:calls=2\n", "uid: calls of uid 7: given twice"},
                {"[limits]\nuid = 7:spin=1us\n", "uid: spin is one for all users; it stands in [limits]"},
                {"[limits]\nuid = :calls=1\n", "uid: the name or number of a user is missing"},
                {"# \xc0\x80\n", "ramald.conf:1: this line is not valid UTF-8"},
                {"\n\n\xef\xbb\xbf[listen]\n", "ramald.conf:3: this is neither"},
        };
        (void)state;
        for (size_t i = 0; i < RML_COUNT(rows); i++) {
                struct config config;
                struct failure failure = {0};
                int r = read_text(&config, rows[i].text, &failure);
                if (r != -ECANCELED || failure.status != EXIT_CONFIG || !strstr(failure.text, rows[i].want))
                        fail_msg("row %zu: %d, status %d, \"%s\"", i, r, (int)failure.status, failure.text);
        }
}

/* As editors of other systems leave it: a mark of UTF-8 in front, CR LF, no end to the last line. */
static void test_config_file_from_another_system_is_read(void **state) {
        struct config config;
        struct failure failure = {0};
        (void)state;
        if (read_text(&config, "\xef\xbb\xbf[log]\r\nlevel = debug\r\n[limits]\r\ncalls = 7", &failure) != 0)
                fail_msg("%s", failure.text);
        assert_int_equal(config.log_level, LOG_LEVEL_DEBUG);
        assert_int_equal(config.limits.calls, 7);
        assert_int_equal(read_text(&config, "\xef\xbb\xbf", &failure), 0);
        assert_int_equal(read_text(&config, "\xef\xbb", &failure), -ECANCELED);
}

static void test_config_nul_byte_is_refused(void **state) {
        static const char text[] = "[log]\nlevel\0 = info\n";
        struct config config;
        struct failure failure = {0};
        (void)state;
        config_defaults(&config);
        assert_int_equal(config_read_text(&config, "f", text, sizeof(text) - 1, &failure), -ECANCELED);
        assert_non_null(strstr(failure.text, "f:2: this line is not valid UTF-8"));
}

static void test_config_long_words_are_refused(void **state) {
        static char text[3][6000];
        static const char *const want[] = {"the key is too long", "the value of token_file is too long",
                                           "the name of the section is too long"};
        (void)state;
        for (size_t i = 0; i < 3; i++) {
                struct config config;
                struct failure failure = {0};
                size_t n = (size_t)sprintf(text[i], "%s",
                                           i == 2   ? "["
                                           : i == 1 ? "[listen]\ntoken_file = "
                                                    : "[listen]\n");
                memset(text[i] + n, 'k', 5000);
                strcpy(text[i] + n + 5000, i == 2 ? "]" : " = 1");
                assert_int_equal(read_text(&config, text[i], &failure), -ECANCELED);
                assert_int_equal(failure.status, EXIT_CONFIG);
                assert_non_null(strstr(failure.text, want[i]));
        }
}

static void test_config_list_has_a_bound(void **state) {
        static char text[CONFIG_IDS_MAX * 24 + 64];
        struct config config;
        struct failure failure = {0};
        size_t n = (size_t)sprintf(text, "[listen]\n");
        (void)state;
        for (unsigned i = 0; i < CONFIG_IDS_MAX; i++)
                n += (size_t)sprintf(text + n, "allow_uid = %u\n", 1000 + i);
        assert_int_equal(read_text(&config, text, &failure), 0);
        assert_int_equal(config.allow_uid_count, CONFIG_IDS_MAX);
        sprintf(text + n, "allow_uid = 1\n");
        assert_int_equal(read_text(&config, text, &failure), -ECANCELED);
        assert_non_null(strstr(failure.text, "too many values, at most 64"));
}

static void test_config_bad_arguments_are_usage_errors(void **state) {
        static const struct {
                const char *words, *want;
        } rows[] = {
                {"--lisen unix:/x", "unknown option --lisen; the nearest is --listen"},
                {"--limit-paylod-bytes 1", "unknown option --limit-paylod-bytes; the nearest is --limit-payload-bytes"},
                {"--listen", "--listen: a value is missing"},
                {"--listen=", "--listen: a value is missing"},
                {"-c", "-c: a value is missing"},
                {"-x", "unknown option -x"},
                {"-hx", "-h takes no value"},
                {"--help=yes", "--help takes no value"},
                {"--user=1", "--user takes no value"},
                {"--user --system", "--system: the bus is chosen already"},
                {"--tcp --tcp", "--tcp: given twice"},
                {"--log-level info --log-level debug", "--log-level: given twice"},
                {"unix:/x", "unexpected argument \"unix:/x\"; addresses go with --listen"},
                {"--", "unexpected argument \"--\""},
                {"-", "unexpected argument \"-\""},
                {"--listen tcp:", "--listen: address 'tcp:'"},
                {"--listen http://x", "--listen: address 'http://x'"},
                {"--listen unix:/2345678901234567890123456789012345678901234567890123456789"
                 "0123456789012345678901234567890123456789012345678",
                 "has 108 bytes"},
                {"--limit-calls 0", "--limit-calls: 0 is out of range: it must be from 1 to"},
                {"-c /a -c /b", "-c: given twice"},
                {"--limit-uid 7", "--limit-uid: \"7\" is not a limit of a user such as alice:calls=64"},
                {"--limit-uid 7:calls=1 --limit-uid 7:calls=1", "--limit-uid: calls of uid 7: given twice"},
                {"--limit-uid 7:calls=x", "--limit-uid: calls of uid 7: \"x\" is not a number"},
                {"--limit-uid 7:turn_bytes=1", "--limit-uid: turn_bytes is one for all users"},
                {"--limit-uid nobody-at-all:calls=1", "--limit-uid: there is no user \"nobody-at-all\""},
        };
        (void)state;
        for (size_t i = 0; i < RML_COUNT(rows); i++) {
                struct config config;
                struct failure failure = {0};
                int r = read_arguments(&config, rows[i].words, &failure);
                if (r != -ECANCELED || failure.status != EXIT_USAGE || !strstr(failure.text, rows[i].want))
                        fail_msg("%s: %d, status %d, \"%s\"", rows[i].words, r, (int)failure.status, failure.text);
        }
}

static void test_config_verbs_are_found(void **state) {
        struct config config;
        struct failure failure = {0};
        (void)state;
        assert_int_equal(read_arguments(&config, "", &failure), CONFIG_RUN);
        assert_int_equal(read_arguments(&config, "-h", &failure), CONFIG_HELP);
        assert_int_equal(read_arguments(&config, "--tcp --help --nonsense", &failure), CONFIG_HELP);
        assert_int_equal(read_arguments(&config, "--version", &failure), CONFIG_VERSION);
        assert_int_equal(read_arguments(&config, "--check-config", &failure), CONFIG_CHECK);
}

static void test_config_reserve_must_leave_something(void **state) {
        struct config config;
        struct failure failure = {0};
        (void)state;
        assert_int_equal(read_arguments(&config, "--limit-broker-bytes 16M", &failure), -ECANCELED);
        assert_int_equal(failure.status, EXIT_CONFIG);
        assert_non_null(strstr(failure.text, "limits.reserve_bytes (16M) leaves nothing of limits.broker_bytes (16M)"));
        assert_int_equal(read_arguments(&config, "--limit-broker-bytes 16M --limit-reserve-bytes 1M", &failure), 0);
}

/* A file with this text in a directory of its own. */
static void write_file(const char *path, const char *text, mode_t mode) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        assert_int_equal(fchmod(fd, mode), 0);
        close(fd);
}

static void test_config_arguments_count_more_than_the_file(void **state) {
        char directory[] = "/tmp/ramal-config-XXXXXX", path[64], words[256];
        struct config config;
        struct failure failure = {0};
        (void)state;
        assert_non_null(mkdtemp(directory));
        snprintf(path, sizeof(path), "%s/f", directory);
        write_file(path,
                   "[listen]\naddress = unix:/a\naddress = unix:/b\ntcp = yes\nallow_uid = 5\n[limits]\ncalls = 7\n",
                   0644);

        /* A list from the command line replaces the file's; what it does not name stays. The order does not matter. */
        snprintf(words, sizeof(words), "--listen unix:/c --tcp=no -c%s --limit-calls=9 --listen=unix:/d", path);
        assert_int_equal(read_arguments(&config, words, &failure), CONFIG_RUN);
        assert_int_equal(config.listen_count, 2);
        assert_string_equal(config.listen[0].path, "/c");
        assert_string_equal(config.listen[1].path, "/d");
        assert_false(config.tcp);
        assert_int_equal(config.allow_uid_count, 1);
        assert_int_equal(config.limits.calls, 9);
        assert_string_equal(config.file, path);

        unlink(path);
        rmdir(directory);
}

/* What was not said for a user is what all have, whatever comes first; the command line counts more than the file. */
static void test_config_user_has_limits_of_its_own(void **state) {
        static const char text[] =
                "[limits uid 7]\ncalls = 5\nstall_max = 1s\n[limits uid  root ]\n[limits]\ncalls = 9\n"
                "uid_bytes = 3M\nuid = 8:names=2\nuid = 7:names=0\n";
        char directory[] = "/tmp/ramal-config-XXXXXX", path[64], words[256];
        struct config *config = calloc(1, sizeof(*config));
        struct failure failure = {0};
        (void)state;
        assert_non_null(mkdtemp(directory));
        snprintf(path, sizeof(path), "%s/f", directory);
        write_file(path, text, 0644);
        snprintf(words, sizeof(words), "--limit-interests=11 --limit-uid 7:calls=6 --limit-uid=7:uid_bytes=1M -c%s",
                 path);
        if (read_arguments(config, words, &failure) != CONFIG_RUN)
                fail_msg("%s", failure.text);

        assert_int_equal(config->user_count, 3);
        const struct core_uid_limits *seven = &config->uid_limits[0], *root = &config->uid_limits[1],
                                     *eight = &config->uid_limits[2];
        assert_int_equal(seven->uid, 7);
        assert_int_equal(root->uid, 0);
        assert_int_equal(eight->uid, 8);
        assert_int_equal(seven->limits.calls, 6);
        assert_int_equal(seven->limits.stall_max_ns, 1000000000);
        assert_int_equal(seven->limits.uid_bytes, 1 << 20);
        assert_int_equal(seven->limits.names, 0);
        assert_int_equal(seven->limits.interests, 11);
        assert_int_equal(eight->limits.calls, 9);
        assert_int_equal(eight->limits.names, 2);
        assert_int_equal(eight->limits.uid_bytes, 3 << 20);
        assert_memory_equal(&root->limits, &config->limits, sizeof(root->limits));
        assert_int_equal(root->overridden, 0);

        /* Exactly the bits of what was said. */
        uint64_t bits = config_bit(config_find("limits", "calls")) | config_bit(config_find("limits", "stall_max")) |
                        config_bit(config_find("limits", "uid_bytes")) | config_bit(config_find("limits", "names"));
        assert_int_equal(seven->overridden, bits);
        assert_int_equal(config_bit(config_find("limits", "payload_bytes")), 1); /* the first one */

        unlink(path);
        rmdir(directory);
        free(config);
}

/* Who runs the broker has no limits of other users. */
static void test_config_own_user_has_no_limits_of_others(void **state) {
        struct config *config = calloc(1, sizeof(*config));
        struct failure failure = {0};
        (void)state;
        assert_int_equal(read_arguments(config, "--limit-uid 7:calls=6 --limit-uid 8:uid_bytes=1M", &failure),
                         CONFIG_RUN);
        assert_int_equal(config_check_own(config, 7, &failure), 0);
        assert_int_equal(config_check_own(config, 9, &failure), 0);
        assert_int_equal(config_check_own(config, 8, &failure), -ECANCELED);
        assert_int_equal(failure.status, EXIT_CONFIG);
        assert_non_null(strstr(failure.text, "limits uid 8.uid_bytes: this is the uid that ramald runs as"));
        assert_int_equal(read_arguments(config, "--limit-uid 8:payload_bytes=9M", &failure), -ECANCELED);
        assert_int_equal(failure.status, EXIT_CONFIG);
        assert_non_null(strstr(failure.text, "limits uid 8.payload_bytes is more than limits.payload_bytes (8M)"));
        assert_int_equal(read_arguments(config, "--limit-uid 8:interests=1", &failure), CONFIG_RUN);
        assert_int_equal(config_check_own(config, 8, &failure), -ECANCELED);
        free(config);
}

static void test_config_users_have_a_bound(void **state) {
        static char text[CONFIG_USERS_MAX * 24 + 64];
        struct config *config = calloc(1, sizeof(*config));
        struct failure failure = {0};
        size_t n = 0;
        (void)state;
        for (unsigned i = 0; i < CONFIG_USERS_MAX; i++)
                n += (size_t)sprintf(text + n, "[limits uid %u]\n", 1000 + i);
        assert_int_equal(read_text(config, text, &failure), 0);
        sprintf(text + n, "[limits uid 1]\n");
        assert_int_equal(read_text(config, text, &failure), -ECANCELED);
        assert_non_null(strstr(failure.text, "too many users with limits of their own, at most 64"));
        sprintf(text + n, "[limits]\nuid = 1:calls=1\n");
        assert_int_equal(read_text(config, text, &failure), -ECANCELED);
        assert_non_null(strstr(failure.text, "too many values, at most 64"));
        free(config);
}

static void test_config_file_that_is_none_is_refused(void **state) {
        char directory[] = "/tmp/ramal-config-XXXXXX", path[64];
        struct config config;
        struct failure failure = {0};
        (void)state;
        assert_non_null(mkdtemp(directory));
        snprintf(path, sizeof(path), "%s/f", directory);
        config_defaults(&config);

        assert_int_equal(config_read_file(&config, path, &failure), -ECANCELED);
        assert_non_null(strstr(failure.text, "cannot open the configuration"));
        assert_int_equal(config_read_file(&config, directory, &failure), -ECANCELED);
        assert_non_null(strstr(failure.text, "is no regular file"));
        assert_int_equal(mkfifo(path, 0600), 0); /* opening it must not wait for a writer */
        assert_int_equal(config_read_file(&config, path, &failure), -ECANCELED);
        assert_non_null(strstr(failure.text, "is no regular file"));
        unlink(path);
        write_file(path, "", 0646);
        assert_int_equal(config_read_file(&config, path, &failure), -ECANCELED);
        assert_non_null(strstr(failure.text, "everybody may write to"));
        assert_int_equal(failure.status, EXIT_CONFIG);

        /* One byte more than a mebibyte, of which the last one is not even stored. */
        assert_int_equal(chmod(path, 0600), 0);
        assert_int_equal(truncate(path, (1 << 20) + 1), 0);
        assert_int_equal(config_read_file(&config, path, &failure), -ECANCELED);
        assert_non_null(strstr(failure.text, "is larger than 1 MiB"));

        unlink(path);
        rmdir(directory);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_config_every_option_has_one_key_and_one_flag),
                cmocka_unit_test(test_config_key_and_flag_do_the_same),
                cmocka_unit_test(test_config_good_file_is_read),
                cmocka_unit_test(test_config_empty_file_changes_nothing),
                cmocka_unit_test(test_config_bad_file_is_an_error_with_its_place),
                cmocka_unit_test(test_config_file_from_another_system_is_read),
                cmocka_unit_test(test_config_nul_byte_is_refused),
                cmocka_unit_test(test_config_long_words_are_refused),
                cmocka_unit_test(test_config_list_has_a_bound),
                cmocka_unit_test(test_config_bad_arguments_are_usage_errors),
                cmocka_unit_test(test_config_verbs_are_found),
                cmocka_unit_test(test_config_reserve_must_leave_something),
                cmocka_unit_test(test_config_arguments_count_more_than_the_file),
                cmocka_unit_test(test_config_user_has_limits_of_its_own),
                cmocka_unit_test(test_config_own_user_has_no_limits_of_others),
                cmocka_unit_test(test_config_users_have_a_bound),
                cmocka_unit_test(test_config_file_that_is_none_is_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
