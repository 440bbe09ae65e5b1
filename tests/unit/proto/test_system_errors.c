/* SPDX-License-Identifier: MIT */
/* What the kernel and the resolver may answer and here never do: their calls are wrapped, and answer as told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "resolve.h"
#include "subject.h"
#include "wire.h"

/* ---- the resolver ---- */

static struct {
        bool on;
        int code, error;
        struct addrinfo *list;
} resolver;

int __real_getaddrinfo(const char *, const char *, const struct addrinfo *, struct addrinfo **);
int __wrap_getaddrinfo(const char *, const char *, const struct addrinfo *, struct addrinfo **);
void __real_freeaddrinfo(struct addrinfo *);
void __wrap_freeaddrinfo(struct addrinfo *);

int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **ret) {
        if (!resolver.on)
                return __real_getaddrinfo(host, service, hints, ret);
        *ret = resolver.list;
        errno = resolver.error;
        return resolver.code;
}

void __wrap_freeaddrinfo(struct addrinfo *list) {
        if (!resolver.on)
                __real_freeaddrinfo(list);
}

static int resolve(int code, int error, struct addrinfo *list, struct rml_endpoint *ret, size_t max, char *err,
                   size_t size) {
        struct rml_addr addr;

        assert_int_equal(rml_addr_parse("tcp:some.host:7265", &addr, err, size), 0);
        resolver.on = true;
        resolver.code = code;
        resolver.error = error;
        resolver.list = list;
        int r = rml_resolve(&addr, false, ret, max, err, size);
        resolver.on = false;
        return r;
}

static void test_resolve_each_failure_is_one_line_that_says_what_to_do(void **state) {
        (void)state;
        static const struct {
                int code, error, r;
                const char *text;
        } cases[] = {
                {EAI_NONAME, 0, -ENOENT, "no such host: 'some.host'"},
                {EAI_NODATA, 0, -ENOENT, "no such host: 'some.host'"},
                {EAI_ADDRFAMILY, 0, -ENOENT, "no such host: 'some.host'"},
                {EAI_SERVICE, 0, -ESRCH, "no such service: '7265'"},
                {EAI_AGAIN, 0, -EAGAIN, "no name server answered for host 'some.host'"},
                {EAI_MEMORY, 0, -ENOMEM, "no memory to look up host 'some.host'"},
                {EAI_FAIL, 0, -EIO, "host 'some.host' cannot be looked up: "},
                {EAI_SYSTEM, EMFILE, -EIO, "cannot be looked up: Too many open files"},
        };

        for (size_t i = 0; i < RML_COUNT(cases); i++) {
                struct rml_endpoint endpoint;
                char err[256] = "";

                assert_int_equal(resolve(cases[i].code, cases[i].error, NULL, &endpoint, 1, err, sizeof(err)),
                                 cases[i].r);
                assert_non_null(strstr(err, cases[i].text));
                assert_null(strchr(err, '\n'));
        }
}

/* A host that is named twice, one with an address of a kind that we do not speak, one with more than there is room. */
static void test_resolve_takes_each_address_that_it_speaks_once(void **state) {
        (void)state;
        struct sockaddr_in one = {.sin_family = AF_INET, .sin_port = htons(7265), .sin_addr.s_addr = htonl(0x7f000001)};
        struct sockaddr_in two = {.sin_family = AF_INET, .sin_port = htons(7265), .sin_addr.s_addr = htonl(0x7f000002)};
        struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(7265)};
        struct addrinfo list[] = {
                {.ai_family = AF_UNIX, .ai_addrlen = sizeof(one), .ai_addr = (struct sockaddr *)&one},
                {.ai_family = AF_INET, .ai_addrlen = sizeof(struct sockaddr_storage) + 1, .ai_addr = (struct sockaddr *)&one},
                {.ai_family = AF_INET, .ai_addrlen = sizeof(one), .ai_addr = (struct sockaddr *)&one},
                {.ai_family = AF_INET, .ai_addrlen = sizeof(one), .ai_addr = (struct sockaddr *)&one},
                {.ai_family = AF_INET6, .ai_addrlen = sizeof(six), .ai_addr = (struct sockaddr *)&six},
                {.ai_family = AF_INET, .ai_addrlen = sizeof(two), .ai_addr = (struct sockaddr *)&two},
        };
        struct rml_endpoint endpoints[4];
        char err[256] = "";

        for (size_t i = 0; i + 1 < RML_COUNT(list); i++)
                list[i].ai_next = &list[i + 1];
        assert_int_equal(resolve(0, 0, list, endpoints, 4, err, sizeof(err)), 3);
        assert_int_equal(endpoints[0].family, AF_INET);
        assert_int_equal(endpoints[1].family, AF_INET6);
        assert_memory_equal(&endpoints[2].sockaddr, &two, sizeof(two));
        assert_int_equal(resolve(0, 0, list, endpoints, 2, err, sizeof(err)), 2);
        list[0].ai_next = NULL;
        assert_int_equal(resolve(0, 0, list, endpoints, 4, err, sizeof(err)), -ENOENT);
        assert_non_null(strstr(err, "no such host"));
}

/* ---- the kernel ---- */

/* The call of that name fails with these errors, one after the other, 0: it is made. */
enum call { RECV, SENDMSG, GETSOCKOPT, SETSOCKOPT, SOCKET, CALLS };
static struct {
        const int *errors;
        size_t count;
        int option; /* GETSOCKOPT, SETSOCKOPT: only this one */
} faults[CALLS];

static bool fails(enum call call, int option) {
        if (faults[call].count == 0 || (faults[call].option && faults[call].option != option))
                return false;
        faults[call].count--;
        errno = *faults[call].errors++;
        return errno != 0;
}

static void refuse(enum call call, int option, const int *errors, size_t count) {
        faults[call].errors = errors;
        faults[call].count = count;
        faults[call].option = option;
}
#define FAIL(call, option, ...)                                                                                         \
        refuse(call, option, (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

ssize_t __real_recv(int, void *, size_t, int);
ssize_t __wrap_recv(int, void *, size_t, int);
ssize_t __real_sendmsg(int, const struct msghdr *, int);
ssize_t __wrap_sendmsg(int, const struct msghdr *, int);
int __real_getsockopt(int, int, int, void *, socklen_t *);
int __wrap_getsockopt(int, int, int, void *, socklen_t *);
int __real_setsockopt(int, int, int, const void *, socklen_t);
int __wrap_setsockopt(int, int, int, const void *, socklen_t);
int __real_socket(int, int, int);
int __wrap_socket(int, int, int);

ssize_t __wrap_recv(int fd, void *buf, size_t size, int flags) {
        return fails(RECV, 0) ? -1 : __real_recv(fd, buf, size, flags);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags) {
        return fails(SENDMSG, 0) ? -1 : __real_sendmsg(fd, message, flags);
}

int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *len) {
        return fails(GETSOCKOPT, option) ? -1 : __real_getsockopt(fd, level, option, value, len);
}

int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t len) {
        return fails(SETSOCKOPT, option) ? -1 : __real_setsockopt(fd, level, option, value, len);
}

int __wrap_socket(int domain, int type, int protocol) {
        return fails(SOCKET, 0) ? -1 : __real_socket(domain, type, protocol);
}

static int set_up(void **state) {
        static int pair[2];

        memset(faults, 0, sizeof(faults));
        *state = pair;
        return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
}

static int tear_down(void **state) {
        const int *pair = *state;

        memset(faults, 0, sizeof(faults));
        close(pair[0]);
        close(pair[1]);
        return 0;
}

static void test_wire_interrupted_calls_are_made_again(void **state) {
        const int *pair = *state;
        const struct rml_span span = rml_span_of("hello");
        uint8_t buf[16];

        FAIL(SENDMSG, 0, EINTR, EINTR, 0);
        assert_int_equal(rml_wire_send(pair[0], &span, 1), 5);
        FAIL(RECV, 0, EINTR, EINTR, 0);
        assert_int_equal(rml_wire_recv(pair[1], buf, sizeof(buf)), 5);
        assert_memory_equal(buf, "hello", 5);
        FAIL(SENDMSG, 0, ENOBUFS);
        assert_int_equal(rml_wire_send(pair[0], &span, 1), -ENOBUFS);
        FAIL(RECV, 0, ECONNRESET);
        assert_int_equal(rml_wire_recv(pair[1], buf, sizeof(buf)), -ECONNRESET);
}

static void test_wire_creds_are_all_or_nothing(void **state) {
        const int *pair = *state;
        struct rml_creds creds;

        assert_int_equal(rml_wire_creds(pair[0], &creds), 0);
        assert_int_equal(creds.uid, geteuid());
        assert_true(creds.groups_known);
        int nobody = rml_wire_socket(AF_UNIX);
        FAIL(GETSOCKOPT, SO_DOMAIN, ENOTSOCK);
        assert_int_equal(rml_wire_creds(nobody, &creds), -ENOTSOCK);
        close(nobody);
        FAIL(GETSOCKOPT, SO_PEERCRED, EINVAL);
        assert_int_equal(rml_wire_creds(pair[0], &creds), -EINVAL);
        /* More groups than there is room for, or a kernel before 4.13: half a list is none. */
        memset(faults, 0, sizeof(faults));
        FAIL(GETSOCKOPT, SO_PEERGROUPS, ERANGE);
        assert_int_equal(rml_wire_creds(pair[0], &creds), 0);
        assert_false(creds.groups_known);
        assert_int_equal(creds.group_count, 0);
}

static int descriptors(void) {
        int fd = dup(0);

        close(fd);
        return fd;
}

static void test_wire_socket_that_cannot_be_set_up_leaks_nothing(void **state) {
        (void)state;
        int before = descriptors();

        FAIL(SOCKET, 0, EMFILE);
        assert_int_equal(rml_wire_socket(AF_UNIX), -EMFILE);
        FAIL(SETSOCKOPT, TCP_NODELAY, ENOPROTOOPT);
        assert_int_equal(rml_wire_socket(AF_INET6), -ENOPROTOOPT);
        assert_int_equal(descriptors(), before);
}

static void test_wire_no_buffer_is_too_large_to_be_asked_for(void **state) {
        const int *pair = *state;

        FAIL(SETSOCKOPT, SO_SNDBUF, ENOMEM);
        assert_int_equal(rml_wire_buffer(pair[0], 65536), -ENOMEM);
        assert_int_equal(rml_wire_buffer(pair[0], UINT32_MAX), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_resolve_each_failure_is_one_line_that_says_what_to_do),
                cmocka_unit_test(test_resolve_takes_each_address_that_it_speaks_once),
                cmocka_unit_test_setup_teardown(test_wire_interrupted_calls_are_made_again, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_wire_creds_are_all_or_nothing, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_wire_socket_that_cannot_be_set_up_leaks_nothing, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_wire_no_buffer_is_too_large_to_be_asked_for, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
