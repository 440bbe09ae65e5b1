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
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/listener.h"

#define CLIENTS 8
#define SECOND UINT64_C(1000000000)

/* accept4() fails with `error` as often as `failures` says, then works. */
static struct {
        int error;
        unsigned failures, calls;
} accepting;

int __real_accept4(int fd, struct sockaddr *from, socklen_t *len, int flags);
int __wrap_accept4(int fd, struct sockaddr *from, socklen_t *len, int flags);

int __wrap_accept4(int fd, struct sockaddr *from, socklen_t *len, int flags) {
        accepting.calls++;
        if (accepting.failures > 0) {
                accepting.failures--;
                errno = accepting.error;
                return -1;
        }
        return __real_accept4(fd, from, len, flags);
}

struct fixture {
        struct loop *loop;
        struct log log;
        int log_fds[2];
        struct listeners all;
        struct failure failure;
        unsigned accepted, refused, kept; /* of on_accept(), by place */
        unsigned rooms;
        bool wanted;                     /* those on kept places stay */
        int staying[CLIENTS], lingering; /* descriptors that are open, of those and of one that was refused */
        int clients[CLIENTS];
        char lines[4096];
};

static bool on_accept(void *user, struct listener *listener, int fd, const struct sockaddr *from, socklen_t len,
                      enum listener_place place) {
        struct fixture *f = user;
        (void)listener, (void)from, (void)len;
        assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        if (place == LISTENER_KEPT && f->wanted) {
                f->staying[f->kept++] = fd;
                return true;
        }
        if (place != LISTENER_FREE && f->lingering == 0) {
                f->lingering = fd;
                f->refused++;
                return false;
        }
        f->refused += place != LISTENER_FREE;
        f->accepted += place == LISTENER_FREE;
        close(fd);
        return false;
}

static void on_room(void *user) {
        struct fixture *f = user;
        f->rooms++;
        if (f->lingering > 0)
                close(f->lingering);
        f->lingering = 0;
}

static int set_up(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));
        memset(&accepting, 0, sizeof(accepting));
        assert_int_equal(loop_new(0, &f->loop), 0);
        assert_int_equal(pipe2(f->log_fds, O_CLOEXEC | O_NONBLOCK), 0);
        log_init(&f->log, f->log_fds[1], NULL, LOG_LEVEL_INFO);
        assert_int_equal(listeners_init(&f->all, f->loop, &f->log, &f->failure), 0);
        f->all.accept = on_accept;
        f->all.room = on_room;
        f->all.user = f;
        for (int i = 0; i < CLIENTS; i++)
                f->clients[i] = -1;
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        struct fixture *f = *state;
        for (int i = 0; i < CLIENTS; i++)
                if (f->clients[i] >= 0)
                        close(f->clients[i]);
        on_room(f);
        for (unsigned i = 0; i < f->kept; i++)
                close(f->staying[i]);
        listeners_deinit(&f->all, true);
        log_deinit(&f->log);
        close(f->log_fds[0]);
        close(f->log_fds[1]);
        loop_free(f->loop);
        free(f);
        return 0;
}

static void open_abstract(struct fixture *f) {
        struct rml_addr addr = {.kind = RML_ADDR_ABSTRACT};
        snprintf(addr.path, sizeof(addr.path), "ramal-listener-%ld", (long)getpid());
        if (listeners_open(&f->all, &addr, NULL, false, &f->failure) != 0)
                fail_msg("%s", f->failure.text);
        assert_int_equal(listeners_start(&f->all, &f->failure), 0);
}

static void connect_all(struct fixture *f) {
        struct rml_addr addr = {.kind = RML_ADDR_ABSTRACT};
        struct sockaddr_storage sockaddr;
        snprintf(addr.path, sizeof(addr.path), "ramal-listener-%ld", (long)getpid());
        socklen_t len = rml_addr_sockaddr_un(&addr, &sockaddr);
        for (int i = 0; i < CLIENTS; i++) {
                f->clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
                assert_int_equal(connect(f->clients[i], (const struct sockaddr *)&sockaddr, len), 0);
        }
}

static int turn(struct fixture *f) {
        uint64_t now;
        int n = loop_wait(f->loop, loop_now(), &now);
        loop_dispatch(f->loop);
        return n;
}

static const char *lines(struct fixture *f) {
        ssize_t n = read(f->log_fds[0], f->lines, sizeof(f->lines) - 1);
        f->lines[n > 0 ? n : 0] = '\0';
        return f->lines;
}

static void test_listener_accepts_all_that_wait(void **state) {
        struct fixture *f = *state;
        open_abstract(f);
        connect_all(f);
        assert_int_equal(turn(f), 1);
        assert_int_equal(f->accepted, CLIENTS);
        assert_int_equal(turn(f), 0);
}

static void test_listener_broken_connection_does_not_stop_the_others(void **state) {
        static const int errors[] = {ECONNABORTED, EPROTO, EINTR, EPERM, ENETDOWN};
        struct fixture *f = *state;
        open_abstract(f);
        for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
                accepting.error = errors[i];
                accepting.failures = 1;
                connect_all(f);
                f->accepted = 0;
                turn(f);
                assert_int_equal(f->accepted, CLIENTS);
                for (int j = 0; j < CLIENTS; j++)
                        close(f->clients[j]);
        }
        for (int j = 0; j < CLIENTS; j++)
                f->clients[j] = -1;
        assert_string_equal(lines(f), "");
}

/* No descriptor above those that are open now can be had. Returns the limit before. */
static struct rlimit use_up_descriptors(void) {
        struct rlimit before, limit;
        int next = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        close(next);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        limit = before;
        limit.rlim_cur = (rlim_t)next; /* the lowest that is free; there is none below it */
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        return before;
}

static void test_listener_without_descriptors_refuses_and_logs_once(void **state) {
        struct fixture *f = *state;
        open_abstract(f);
        connect_all(f);
        struct rlimit before = use_up_descriptors();
        turn(f);
        /* The last one lingers; each got the descriptor of the one before it. */
        assert_int_equal(f->refused, CLIENTS);
        assert_int_equal(f->accepted, 0);
        assert_true(f->lingering > 0);
        assert_true(f->all.reserve_count > 0);
        assert_false(f->all.paused);
        assert_int_equal(turn(f), 0);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        const char *text = lines(f), *first = strstr(text, "event=no-descriptors");
        assert_non_null(first);
        assert_non_null(strstr(first, "limit=RLIMIT_NOFILE value="));
        assert_null(strstr(first + 1, "event=no-descriptors"));
}

/* The kernel says that there is no descriptor before it says that nobody waits. */
static void test_listener_without_descriptors_and_with_nobody_waiting_is_quiet(void **state) {
        struct fixture *f = *state;
        open_abstract(f);
        connect_all(f);
        accepting.error = EMFILE;
        turn(f); /* all are in */
        f->accepted = 0;
        struct rlimit before = use_up_descriptors();
        rml_list_each(link, &f->all.list) {
                struct listener *listener = rml_list_entry(link, struct listener, link);
                listener->source.fn(listener->source.user, LOOP_READ);
        }
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_false(f->all.paused);
        assert_int_equal(f->all.reserve_count, LISTENER_RESERVES);
        assert_int_equal(f->refused + f->accepted + f->kept, 0);
        assert_string_equal(lines(f), "");
}

/* Another process had the last one for a moment. */
static void test_listener_that_gets_a_descriptor_after_all_accepts(void **state) {
        static const int errors[] = {EMFILE, ENFILE};
        struct fixture *f = *state;
        open_abstract(f);
        for (size_t i = 0; i < 2; i++) {
                accepting.error = errors[i];
                accepting.failures = 1;
                connect_all(f);
                f->accepted = 0;
                turn(f);
                assert_int_equal(f->accepted, CLIENTS);
                assert_int_equal(f->refused, 0);
                assert_int_equal(f->all.reserve_count, LISTENER_RESERVES);
                for (int j = 0; j < CLIENTS; j++)
                        close(f->clients[j]);
        }
        for (int j = 0; j < CLIENTS; j++)
                f->clients[j] = -1;
        assert_string_equal(lines(f), "");
}

static void test_listener_slot_of_one_who_lingers_goes_to_the_next(void **state) {
        struct fixture *f = *state;
        open_abstract(f);
        f->lingering = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC); /* as if it had been refused before */
        accepting.error = EMFILE;
        accepting.failures = 1;
        struct rml_addr addr = {.kind = RML_ADDR_ABSTRACT};
        struct sockaddr_storage sockaddr;
        snprintf(addr.path, sizeof(addr.path), "ramal-listener-%ld", (long)getpid());
        socklen_t len = rml_addr_sockaddr_un(&addr, &sockaddr);
        f->clients[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(f->clients[0], (const struct sockaddr *)&sockaddr, len), 0);
        struct rlimit before = use_up_descriptors();
        turn(f);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(f->rooms, 1);
        assert_int_equal(f->accepted, 1);
        assert_int_equal(f->refused, 0);
        assert_int_equal(f->all.reserve_count, LISTENER_RESERVES);
}

static void test_listener_keeps_descriptors_for_some(void **state) {
        struct fixture *f = *state;
        open_abstract(f);
        listeners_keep(&f->all, 2);
        assert_int_equal(f->all.reserve_count, LISTENER_RESERVES + 2);
        connect_all(f);
        f->wanted = true;
        struct rlimit before = use_up_descriptors();
        turn(f);
        assert_int_equal(f->kept, 2);
        assert_int_equal(f->all.kept_used, 2);
        assert_int_equal(f->refused, CLIENTS - 2);
        assert_int_equal(f->accepted, 0);
        assert_true(f->all.reserve_count > 0 && f->all.reserve_count <= LISTENER_RESERVES);
        /* One of them leaves: what it gives back is kept again. */
        on_room(f);
        close(f->staying[--f->kept]);
        listeners_resume(&f->all, loop_now(), true, 1);
        assert_int_equal(f->all.reserve_count, LISTENER_RESERVES + 1);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void test_listener_that_can_do_nothing_pauses_and_resumes(void **state) {
        struct fixture *f = *state;
        open_abstract(f);
        connect_all(f);
        accepting.error = ENOBUFS;
        accepting.failures = 2;
        assert_int_equal(turn(f), 1);
        assert_true(f->all.paused);
        assert_int_equal(accepting.calls, 1);
        /* They still wait, and nobody spins on them. */
        assert_int_equal(turn(f), 0);
        assert_true(f->all.resume_ns > loop_now() && f->all.resume_ns <= loop_now() + SECOND);
        listeners_resume(&f->all, loop_now(), false, 0);
        assert_true(f->all.paused);
        listeners_resume(&f->all, f->all.resume_ns, false, 0); /* in vain */
        turn(f);
        assert_true(f->all.paused);
        listeners_resume(&f->all, loop_now(), true, 0); /* somebody left */
        assert_int_equal(f->all.resume_ns, LOOP_NEVER);
        turn(f);
        assert_int_equal(f->accepted, CLIENTS);
        const char *text = lines(f), *first = strstr(text, "event=no-accept");
        assert_non_null(first);
        assert_null(strstr(first + 1, "event=no-accept"));
}

static void test_listener_full_even_for_the_reserve_pauses(void **state) {
        struct fixture *f = *state;
        open_abstract(f);
        connect_all(f);
        accepting.error = EMFILE;
        accepting.failures = 2; /* with and without the reserve */
        turn(f);
        assert_true(f->all.paused);
        assert_int_equal(f->refused, 0);
        assert_true(f->all.reserve_count > 0);
}

static void test_listener_abstract_name_in_use_is_refused(void **state) {
        struct fixture *f = *state;
        struct rml_addr addr = {.kind = RML_ADDR_ABSTRACT};
        open_abstract(f);
        snprintf(addr.path, sizeof(addr.path), "ramal-listener-%ld", (long)getpid());
        assert_int_equal(listeners_open(&f->all, &addr, NULL, false, &f->failure), -ECANCELED);
        assert_int_equal(f->failure.status, EXIT_SYSTEM);
        assert_non_null(strstr(f->failure.text, "another program has this name"));
}

static void test_listener_tls_is_refused(void **state) {
        struct fixture *f = *state;
        struct rml_addr addr = {.kind = RML_ADDR_TLS, .host = "localhost", .service = "1"};
        assert_int_equal(listeners_open(&f->all, &addr, NULL, false, &f->failure), -ECANCELED);
        assert_int_equal(f->failure.status, EXIT_USAGE);
        assert_non_null(strstr(f->failure.text, "this version has no TLS"));
}

static void test_listener_inherits_only_listening_stream_sockets(void **state) {
        struct fixture *f = *state;
        int pair[2], dgram = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un sun = {.sun_family = AF_UNIX};
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);

        assert_int_equal(listeners_inherit(&f->all, f->log_fds[0], 1, &f->failure), -ECANCELED);
        assert_non_null(strstr(f->failure.text, "is no socket"));
        assert_int_equal(listeners_inherit(&f->all, dgram, 1, &f->failure), -ECANCELED);
        assert_non_null(strstr(f->failure.text, "is no Unix or TCP stream socket"));
        assert_int_equal(listeners_inherit(&f->all, pair[0], 1, &f->failure), -ECANCELED);
        assert_non_null(strstr(f->failure.text, "does not listen"));
        assert_int_equal(f->failure.status, EXIT_CONFIG);
        close(dgram);
        close(pair[0]);
        close(pair[1]);

        int good = socket(AF_UNIX, SOCK_STREAM, 0); /* neither close-on-exec nor non-blocking, as they come */
        assert_int_equal(bind(good, (const struct sockaddr *)&sun, sizeof(sa_family_t)),
                         0); /* a name from the kernel */
        assert_int_equal(listen(good, 1), 0);
        assert_int_equal(listeners_inherit(&f->all, good, 1, &f->failure), 0);
        assert_true(fcntl(good, F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(good, F_GETFD) & FD_CLOEXEC);
        assert_int_equal(f->all.count, 1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_listener_accepts_all_that_wait),
                TEST(test_listener_broken_connection_does_not_stop_the_others),
                TEST(test_listener_without_descriptors_refuses_and_logs_once),
                TEST(test_listener_without_descriptors_and_with_nobody_waiting_is_quiet),
                TEST(test_listener_that_gets_a_descriptor_after_all_accepts),
                TEST(test_listener_slot_of_one_who_lingers_goes_to_the_next),
                TEST(test_listener_keeps_descriptors_for_some),
                TEST(test_listener_that_can_do_nothing_pauses_and_resumes),
                TEST(test_listener_full_even_for_the_reserve_pauses),
                TEST(test_listener_abstract_name_in_use_is_refused),
                TEST(test_listener_tls_is_refused),
                TEST(test_listener_inherits_only_listening_stream_sockets),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
