/* SPDX-License-Identifier: MIT */
/* Numbers and what is in /etc; no name server is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "resolve.h"

static int resolve(const char *text, bool passive, struct rml_endpoint *ret, size_t max, char *err, size_t size) {
        struct rml_addr addr;

        assert_int_equal(rml_addr_parse(text, &addr, err, size), 0);
        return rml_resolve(&addr, passive, ret, max, err, size);
}

static void expect_one(const char *text, const char *canonical, int family) {
        struct rml_endpoint endpoints[4];
        char err[256] = "", buf[128];

        for (int passive = 0; passive < 2; passive++) {
                assert_int_equal(resolve(text, passive, endpoints, 4, err, sizeof(err)), 1);
                assert_int_equal(endpoints[0].family, family);
                rml_addr_from_sockaddr((const struct sockaddr *)&endpoints[0].sockaddr, endpoints[0].len, buf,
                                       sizeof(buf));
                assert_string_equal(buf, canonical);
        }
}

static void test_resolve_numeric_addresses(void **state) {
        (void)state;
        expect_one("tcp:127.0.0.1:7265", "tcp:127.0.0.1:7265", AF_INET);
        expect_one("tcp:0.0.0.0:0", "tcp:0.0.0.0:0", AF_INET);
        expect_one("tcp:[::1]:7265", "tcp:[::1]:7265", AF_INET6);
        expect_one("tls:[::]:65535", "tcp:[::]:65535", AF_INET6);
        expect_one("tcp:[0:0::0:1]:80", "tcp:[::1]:80", AF_INET6);
}

static void test_resolve_unknown_host_is_named(void **state) {
        (void)state;
        struct rml_endpoint endpoint;
        char err[256] = "";

        /* No number, and nothing that a resolver would ask anybody for: a label of 64 letters. */
        assert_int_equal(resolve("tcp:256.1.1.1.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:7265",
                                 false, &endpoint, 1, err, sizeof(err)),
                         -ENOENT);
        assert_non_null(strstr(err, "no such host: '256.1.1.1.aaaa"));
}

static void test_resolve_unknown_service_is_named(void **state) {
        (void)state;
        struct rml_endpoint endpoint;
        char err[256] = "";

        assert_int_equal(resolve("tcp:127.0.0.1:no-such-service", false, &endpoint, 1, err, sizeof(err)), -ESRCH);
        assert_non_null(strstr(err, "no such service: 'no-such-service'"));
}

static void test_resolve_writes_no_more_than_there_is_room_for(void **state) {
        (void)state;
        struct rml_endpoint endpoints[2];
        char err[256] = "";

        memset(endpoints, 0x5a, sizeof(endpoints));
        int n = resolve("tcp:localhost:7265", false, endpoints, 1, err, sizeof(err));
        assert_int_equal(n, 1);
        assert_int_equal(endpoints[1].family, 0x5a5a5a5a);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_resolve_numeric_addresses),
                cmocka_unit_test(test_resolve_unknown_host_is_named),
                cmocka_unit_test(test_resolve_unknown_service_is_named),
                cmocka_unit_test(test_resolve_writes_no_more_than_there_is_room_for),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
