/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "addr.h"
#include "base/check.h"

#define TEN "0123456789"
#define FIFTY TEN TEN TEN TEN TEN
#define PATH107 "/" FIFTY FIFTY "123456"

static const struct {
        const char *text, *canonical;
        enum rml_addr_kind kind;
} good[] = {
        {"unix:/run/ramal/bus", "unix:/run/ramal/bus", RML_ADDR_UNIX},
        {"/run/ramal/bus", "unix:/run/ramal/bus", RML_ADDR_UNIX},
        {"./bus", "unix:./bus", RML_ADDR_UNIX},
        {"unix:./bus", "unix:./bus", RML_ADDR_UNIX},
        {"unix:../bus", "unix:../bus", RML_ADDR_UNIX},
        {"unix:/with space/and:colon", "unix:/with space/and:colon", RML_ADDR_UNIX},
        {"unix:" PATH107, "unix:" PATH107, RML_ADDR_UNIX},
        {"unix:@ramal", "unix:@ramal", RML_ADDR_ABSTRACT},
        {"unix:@/looks/like/a/path", "unix:@/looks/like/a/path", RML_ADDR_ABSTRACT},
        {"tcp:127.0.0.1:7265", "tcp:127.0.0.1:7265", RML_ADDR_TCP},
        {"tcp:localhost:0", "tcp:localhost:0", RML_ADDR_TCP},
        {"tcp:host.example:007265", "tcp:host.example:7265", RML_ADDR_TCP},
        {"tcp:localhost:ramal-bus", "tcp:localhost:ramal-bus", RML_ADDR_TCP},
        {"tcp:[::1]:65535", "tcp:[::1]:65535", RML_ADDR_TCP},
        {"tcp:[fe80::1%eth0]:1", "tcp:[fe80::1%eth0]:1", RML_ADDR_TCP},
        {"tcp:[127.0.0.1]:1", "tcp:127.0.0.1:1", RML_ADDR_TCP},
        {"tls:host:443", "tls:host:443", RML_ADDR_TLS},
};

static void test_addr_good_texts_are_parsed_and_written_canonically(void **state) {
        (void)state;
        for (size_t i = 0; i < RML_COUNT(good); i++) {
                struct rml_addr addr, again;
                char err[256] = "", buf[512];
                if (rml_addr_parse(good[i].text, &addr, err, sizeof(err)) != 0)
                        fail_msg("%s", err);
                assert_int_equal(addr.kind, good[i].kind);
                assert_ptr_equal(rml_addr_format(&addr, buf, sizeof(buf)), buf);
                assert_string_equal(buf, good[i].canonical);
                assert_int_equal(rml_addr_parse(buf, &again, err, sizeof(err)), 0);
                assert_memory_equal(&again, &addr, sizeof(addr));
        }
}

static const struct {
        const char *text, *why;
        int error;
} bad[] = {
        {"", "an address is", -EINVAL},
        {"bus", "an address is", -EINVAL},
        {"udp:host:1", "an address is", -EINVAL},
        {"unix:", "no path", -EINVAL},
        {"unix:@", "no name", -EINVAL},
        {"unix:relative/bus", "begins with", -EINVAL},
        {"unix:" PATH107 "x", "108 bytes", -ENAMETOOLONG},
        {PATH107 "x", "107", -ENAMETOOLONG},
        {"unix:@" PATH107 "x", "its name has 108 bytes", -ENAMETOOLONG},
        {"unix:/a\nb", "control byte", -EINVAL},
        {"tcp:a\x1b[1m:1", "control byte", -EINVAL},
        {"tcp:", "no host", -EINVAL},
        {"tcp::7265", "no host", -EINVAL},
        {"tcp:[]:7265", "no host", -EINVAL},
        {"tcp:host", "no port", -EINVAL},
        {"tcp:host:", "no port", -EINVAL},
        {"tcp:[::1]", "no port", -EINVAL},
        {"tcp:host:65536", "0 to 65535", -EINVAL},
        {"tcp:host:99999999999999999999999999", "0 to 65535", -EINVAL},
        {"tcp:host:-1", "neither", -EINVAL},
        {"tcp:host:+1", "neither", -EINVAL},
        {"tcp:host:1 ", "neither", -EINVAL},
        {"tcp:::1:7265", "brackets", -EINVAL},
        {"tcp:[::1:7265", "bracket", -EINVAL},
        {"tcp:[::1]7265", "bracket", -EINVAL},
        {"tcp:a b:1", "neither", -EINVAL},
        {"tcp:[[::1]:1", "neither", -EINVAL},
        {"tcp:http//x:1", "neither", -EINVAL},
        {"tcp:" FIFTY FIFTY FIFTY FIFTY FIFTY "123456:1", "longer than 255", -ENAMETOOLONG},
        {"tcp:h:s" FIFTY TEN "1234", "longer than 63", -ENAMETOOLONG},
};

static void test_addr_bad_texts_are_refused_with_one_line(void **state) {
        (void)state;
        for (size_t i = 0; i < RML_COUNT(bad); i++) {
                struct rml_addr addr;
                char err[512] = "";
                int r = rml_addr_parse(bad[i].text, &addr, err, sizeof(err));
                if (r != bad[i].error || !strstr(err, bad[i].why))
                        fail_msg("'%s': %d, %s", bad[i].text, r, err);
                for (size_t at = 0; err[at]; at++)
                        assert_true((unsigned char)err[at] >= ' ');
        }
}

static void test_addr_error_is_cut_to_its_room(void **state) {
        (void)state;
        struct rml_addr addr;
        char err[16];

        memset(err, 'x', sizeof(err));
        assert_int_equal(rml_addr_parse("nonsense", &addr, err, 10), -EINVAL);
        assert_string_equal(err, "address '");
        assert_int_equal(err[10], 'x');
}

static void test_addr_unix_sockaddr_has_the_right_length(void **state) {
        (void)state;
        struct sockaddr_storage storage;
        struct rml_addr addr;
        char err[64], buf[128];
        size_t head = offsetof(struct sockaddr_un, sun_path);

        assert_int_equal(rml_addr_parse("unix:/a/b", &addr, err, sizeof(err)), 0);
        socklen_t len = rml_addr_sockaddr_un(&addr, &storage);
        assert_int_equal(len, head + 5);
        assert_int_equal(storage.ss_family, AF_UNIX);
        assert_memory_equal((const char *)&storage + head, "/a/b", 5);
        assert_string_equal(rml_addr_from_sockaddr((const struct sockaddr *)&storage, len, buf, sizeof(buf)),
                            "unix:/a/b");

        assert_int_equal(rml_addr_parse("unix:@xyz", &addr, err, sizeof(err)), 0);
        len = rml_addr_sockaddr_un(&addr, &storage);
        assert_int_equal(len, head + 4);
        assert_memory_equal((const char *)&storage + head, "\0xyz", 5);
        assert_string_equal(rml_addr_from_sockaddr((const struct sockaddr *)&storage, len, buf, sizeof(buf)),
                            "unix:@xyz");

        assert_int_equal(rml_addr_parse("unix:" PATH107, &addr, err, sizeof(err)), 0);
        len = rml_addr_sockaddr_un(&addr, &storage);
        assert_int_equal(len, sizeof(struct sockaddr_un));
        assert_string_equal(rml_addr_from_sockaddr((const struct sockaddr *)&storage, len, buf, sizeof(buf)),
                            "unix:" PATH107);
}

static void test_addr_from_kernel_never_holds_a_control_byte(void **state) {
        (void)state;
        struct sockaddr_un sun = {.sun_family = AF_UNIX};
        socklen_t head = offsetof(struct sockaddr_un, sun_path);
        char buf[64];

        assert_string_equal(rml_addr_from_sockaddr((const struct sockaddr *)&sun, head, buf, sizeof(buf)), "unix:");
        memcpy(sun.sun_path, "\0a\0\n\x1b", 5);
        assert_string_equal(rml_addr_from_sockaddr((const struct sockaddr *)&sun, head + 5, buf, sizeof(buf)),
                            "unix:@a\\x00\\x0a\\x1b");
        /* UTF-8 may be put into a reply as it is, other bytes may not. */
        memcpy(sun.sun_path, "/\xc3\xbc", 3);
        assert_string_equal(rml_addr_from_sockaddr((const struct sockaddr *)&sun, head + 3, buf, sizeof(buf)),
                            "unix:/\xc3\xbc");
        memcpy(sun.sun_path, "/\xc3\xbc\xfc", 4);
        assert_string_equal(rml_addr_from_sockaddr((const struct sockaddr *)&sun, head + 4, buf, sizeof(buf)),
                            "unix:/\\xc3\\xbc\\xfc");
        memcpy(sun.sun_path, "\0a\0\n", 4);
        /* a name that fills all, and little room for it */
        memset(sun.sun_path, 'p', sizeof(sun.sun_path));
        rml_addr_from_sockaddr((const struct sockaddr *)&sun, sizeof(sun), buf, sizeof(buf));
        assert_in_range(strlen(buf), 50, 63);
        rml_addr_from_sockaddr((const struct sockaddr *)&sun, sizeof(sun), buf, 3);
        assert_string_equal(buf, "un");
}

static void test_addr_from_kernel_tcp(void **state) {
        (void)state;
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(7265)};
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(1), .sin6_scope_id = 3};
        char buf[128];

        in.sin_addr.s_addr = htonl(0x7f000001);
        assert_string_equal(rml_addr_from_sockaddr((const struct sockaddr *)&in, sizeof(in), buf, sizeof(buf)),
                            "tcp:127.0.0.1:7265");
        assert_int_equal(inet_pton(AF_INET6, "fe80::1", &in6.sin6_addr), 1);
        assert_string_equal(rml_addr_from_sockaddr((const struct sockaddr *)&in6, sizeof(in6), buf, sizeof(buf)),
                            "tcp:[fe80::1%3]:1");
        in6.sin6_scope_id = 0;
        assert_string_equal(rml_addr_from_sockaddr((const struct sockaddr *)&in6, sizeof(in6), buf, sizeof(buf)),
                            "tcp:[fe80::1]:1");
}

/* expected: addresses, one after the other, separated by spaces. */
static void expect_defaults(const struct rml_place *place, enum rml_scope scope, bool broker, const char *expected) {
        struct rml_addr addrs[4];
        char got[512] = "", buf[256];
        size_t n = rml_addr_defaults(place, scope, broker, addrs, 4);

        assert_true(n <= 4);
        for (size_t i = 0; i < n; i++) {
                strcat(got, i > 0 ? " " : "");
                strcat(got, rml_addr_format(&addrs[i], buf, sizeof(buf)));
        }
        assert_string_equal(got, expected);
}

static void test_addr_defaults_follow_the_order_of_the_design(void **state) {
        (void)state;
        const struct rml_place full = {.runtime_dir = "/run/user/1000", .uid = 1000, .run_user_exists = true};
        const struct rml_place bare = {.uid = 1000, .run_user_exists = true};
        const struct rml_place poor = {.uid = 1000};
        const struct rml_place elsewhere = {.runtime_dir = "/tmp/r", .uid = 1000};

        expect_defaults(&full, RML_SCOPE_DEFAULT, true, "unix:/run/user/1000/ramal/bus");
        expect_defaults(&full, RML_SCOPE_DEFAULT, false, "unix:/run/user/1000/ramal/bus unix:/run/ramal/bus");
        expect_defaults(&bare, RML_SCOPE_DEFAULT, true, "unix:/run/user/1000/ramal/bus");
        expect_defaults(&poor, RML_SCOPE_DEFAULT, true, "unix:/tmp/ramal-1000/bus");
        expect_defaults(&poor, RML_SCOPE_DEFAULT, false, "unix:/tmp/ramal-1000/bus unix:/run/ramal/bus");
        expect_defaults(&elsewhere, RML_SCOPE_DEFAULT, true, "unix:/tmp/r/ramal/bus");
        for (int broker = 0; broker < 2; broker++) {
                expect_defaults(&full, RML_SCOPE_USER, broker, "unix:/run/user/1000/ramal/bus");
                expect_defaults(&full, RML_SCOPE_SYSTEM, broker, "unix:/run/ramal/bus");
        }
}

static void test_addr_defaults_of_root(void **state) {
        (void)state;
        const struct rml_place root = {.uid = 0};

        expect_defaults(&root, RML_SCOPE_DEFAULT, true, "unix:/run/ramal/bus");
        expect_defaults(&root, RML_SCOPE_USER, true, "unix:/tmp/ramal-0/bus");
        expect_defaults(&root, RML_SCOPE_DEFAULT, false, "unix:/tmp/ramal-0/bus unix:/run/ramal/bus");
}

static void test_addr_environment_decides_alone_where_no_scope_is_named(void **state) {
        (void)state;
        const struct rml_place place = {.address = "tcp:[::1]:7265", .runtime_dir = "/run/user/1000", .uid = 1000};
        const struct rml_place wrong = {.address = "nonsense", .runtime_dir = "/run/user/1000", .uid = 1000};

        for (int broker = 0; broker < 2; broker++) {
                expect_defaults(&place, RML_SCOPE_DEFAULT, broker, "tcp:[::1]:7265");
                expect_defaults(&place, RML_SCOPE_SYSTEM, broker, "unix:/run/ramal/bus");
                expect_defaults(&wrong, RML_SCOPE_DEFAULT, broker, "");
        }
}

static void test_addr_defaults_pass_over_a_useless_runtime_directory(void **state) {
        (void)state;
        const struct rml_place relative = {.runtime_dir = "run", .uid = 7};
        const struct rml_place lengthy = {.runtime_dir = "/" FIFTY FIFTY, .uid = 7};
        struct rml_addr addr;

        expect_defaults(&relative, RML_SCOPE_USER, true, "unix:/tmp/ramal-7/bus");
        expect_defaults(&lengthy, RML_SCOPE_USER, true, "unix:/tmp/ramal-7/bus");
        assert_int_equal(rml_addr_defaults(&relative, RML_SCOPE_DEFAULT, false, &addr, 1), 1);
        assert_int_equal(rml_addr_defaults(&relative, RML_SCOPE_DEFAULT, false, &addr, 0), 0);
}

static void test_addr_strange_bytes_and_families_are_shown_as_such(void **state) {
        struct sockaddr_storage strange = {.ss_family = 999};
        struct rml_addr addr;
        char text[64], err[300];

        (void)state;
        assert_string_equal(rml_addr_from_sockaddr((struct sockaddr *)&strange, sizeof(strange), text, sizeof(text)),
                            "family 999");
        assert_true(rml_addr_parse("unix:a\x7f\x1f", &addr, err, sizeof(err)) < 0);
        assert_non_null(strstr(err, "unix:a??"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_addr_strange_bytes_and_families_are_shown_as_such),
                cmocka_unit_test(test_addr_good_texts_are_parsed_and_written_canonically),
                cmocka_unit_test(test_addr_bad_texts_are_refused_with_one_line),
                cmocka_unit_test(test_addr_error_is_cut_to_its_room),
                cmocka_unit_test(test_addr_unix_sockaddr_has_the_right_length),
                cmocka_unit_test(test_addr_from_kernel_never_holds_a_control_byte),
                cmocka_unit_test(test_addr_from_kernel_tcp),
                cmocka_unit_test(test_addr_defaults_follow_the_order_of_the_design),
                cmocka_unit_test(test_addr_defaults_of_root),
                cmocka_unit_test(test_addr_environment_decides_alone_where_no_scope_is_named),
                cmocka_unit_test(test_addr_defaults_pass_over_a_useless_runtime_directory),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
