/* SPDX-License-Identifier: MIT */
/* Programs on libramal that come to grief, for the fault tests: fault_mishap CASE ADDRESS. Each says on stdout, a line
 * at a time, how far it is, and reads a line from stdin where it waits for the test. */
#define _GNU_SOURCE
#include <ramal/ramal.h>

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 20000
#define LARGE_BYTES 300000u

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...) {
        va_list args;

        va_start(args, format);
        vprintf(format, args);
        va_end(args);
        putchar('\n');
        fflush(stdout);
}

static void listen_to_test(void) {
        char line[64];

        if (!fgets(line, sizeof(line), stdin))
                exit(3);
}

static ramal_conn *open_conn(const char *address, bool reconnect) {
        ramal_conn *conn;
        ramal_error error;

        if (ramal_open(RAMAL_OPTIONS(.address = address, .app = "mishap", .no_reconnect = !reconnect),
                       ramal_in_ms(WAIT_MS), &conn, &error) < 0) {
                say("open: %s", error.message);
                exit(1);
        }
        return conn;
}

/* A large message that begins with its number and is filled with a byte that follows from it. */
static int publish_large(ramal_conn *conn, unsigned number) {
        unsigned char *payload = malloc(LARGE_BYTES);
        int r = -ENOMEM;

        if (payload) {
                memset(payload, (int)(number % 251), LARGE_BYTES);
                memcpy(payload, &number, sizeof(number));
                r = ramal_publish(conn, "mishap.large", payload, LARGE_BYTES);
        }
        free(payload);
        return r;
}

/* ---- killed: publishes large messages until somebody kills it ---- */

static int killed(const char *address) {
        ramal_conn *conn = open_conn(address, false);

        say("ready");
        for (unsigned number = 0;; number++) {
                int r;

                while ((r = publish_large(conn, number)) == -EAGAIN)
                        ramal_flush(conn, ramal_in_ms(WAIT_MS));
                if (r < 0)
                        return 1;
                if (number == 3)
                        say("under way");
        }
}

/* ---- cancel: a thread that publishes is cancelled, wherever it is ---- */

static void *publish_for_ever(void *arg) {
        for (unsigned number = 0;; number++) {
                int r;

                while ((r = publish_large(arg, number)) == -EAGAIN)
                        ramal_flush(arg, ramal_in_ms(WAIT_MS));
                if (r < 0)
                        return NULL;
                if (number == 3) {
                        int before;

                        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
                        say("under way");
                        pthread_setcancelstate(before, NULL);
                }
                pthread_testcancel();
        }
}

static int cancel(const char *address) {
        ramal_conn *conn = open_conn(address, false);
        pthread_t thread;
        void *result;

        if (pthread_create(&thread, NULL, publish_for_ever, conn) != 0)
                return 1;
        listen_to_test();
        pthread_cancel(thread);
        pthread_join(thread, &result);
        say(result == PTHREAD_CANCELED ? "cancelled" : "returned");
        /* The connection is in an unknown state: nobody may use it any more. It goes with the process. */
        listen_to_test();
        _exit(0);
}

/* ---- sigpipe: the broker is killed while SIGPIPE has its default, which would kill us ---- */

static int sigpipe(const char *address) {
        struct sigaction before, after;
        sigset_t mask_before, mask_after, pending;
        int r = 0;

        signal(SIGPIPE, SIG_DFL);
        sigaction(SIGPIPE, NULL, &before);
        sigprocmask(SIG_SETMASK, NULL, &mask_before);
        ramal_conn *conn = open_conn(address, false);
        say("ready");
        listen_to_test();
        for (unsigned i = 0; i < 1000 && r != -ECONNRESET && r != -ENOTCONN && r != -ESHUTDOWN; i++)
                r = ramal_publish(conn, "mishap.pipe", "x", 1);
        sigaction(SIGPIPE, NULL, &after);
        sigprocmask(SIG_SETMASK, NULL, &mask_after);
        sigpending(&pending);
        say("%s %s %s", r < 0 ? "told" : "not told",
            after.sa_handler == before.sa_handler && after.sa_flags == before.sa_flags &&
                            sigismember(&mask_after, SIGPIPE) == sigismember(&mask_before, SIGPIPE)
                    ? "same"
                    : "changed",
            sigismember(&pending, SIGPIPE) ? "pending" : "none");
        ramal_close(conn);
        return 0;
}

/* ---- fork: a child that goes on with its parent's connection, and one that becomes another program ---- */

static void on_message(ramal_conn *conn, const ramal_msg *msg, void *user) {
        (void)conn, (void)msg, (void)user;
}

static int in_child(ramal_conn *conn) {
        uint64_t later = ramal_in_ms(100);
        ramal_sub *sub = NULL;

        say("child %d %d %d %d %d %d", ramal_publish(conn, "mishap.fork", "child", 5), ramal_flush(conn, later),
            ramal_dispatch(conn, 0), ramal_request(conn, "mishap.fork", "child", 5, later, NULL, NULL),
            ramal_subscribe(conn, "mishap.fork", on_message, NULL, &sub), ramal_conn_fd(conn));
        ramal_close(conn);
        return 0;
}

/* Which of the descriptors from 3 on this process has. */
static int descriptors(void) {
        DIR *dir = opendir("/proc/self/fd");
        unsigned count = 0;

        for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir))
                count += atoi(entry->d_name) > 2 && atoi(entry->d_name) != dirfd(dir);
        if (dir)
                closedir(dir);
        say("descriptors %u", count);
        return 0;
}

static void wait_for_child(pid_t pid) {
        int status = 0;

        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
                say("child ended with %#x", (unsigned)status);
}

static int forked(const char *address, const char *self) {
        ramal_conn *conn = open_conn(address, false);
        char number[16];

        ramal_cork(conn); /* so that there are bytes which both processes could send */
        for (unsigned i = 0; i < 10; i++) {
                snprintf(number, sizeof(number), "%u", i);
                ramal_publish(conn, "mishap.fork", number, strlen(number));
        }
        pid_t pid = fork();
        if (pid == 0)
                exit(in_child(conn));
        wait_for_child(pid);
        ramal_uncork(conn);
        pid = fork();
        if (pid == 0) {
                execl(self, self, "descriptors", address, (char *)NULL);
                _exit(127);
        }
        wait_for_child(pid);
        for (unsigned i = 10; i < 20; i++) {
                snprintf(number, sizeof(number), "%u", i);
                ramal_publish(conn, "mishap.fork", number, strlen(number));
        }
        say("sync %d", ramal_sync(conn, ramal_in_ms(WAIT_MS)));
        say("unsent %llu", (unsigned long long)ramal_close(conn));
        return 0;
}

/* ---- longjmp and abort: out of a callback, for ever ---- */

static jmp_buf place;

static void jump(ramal_conn *conn, const ramal_msg *msg, void *user) {
        (void)conn, (void)msg, (void)user;
        longjmp(place, 1);
}

static void crash(ramal_conn *conn, const ramal_msg *msg, void *user) {
        (void)conn, (void)msg, (void)user;
        abort();
}

static int leave_callback(const char *address, ramal_msg_fn fn) {
        const struct rlimit none = {0, 0};
        ramal_conn *conn = open_conn(address, false);
        ramal_sub *sub;

        setrlimit(RLIMIT_CORE, &none);
        if (ramal_subscribe(conn, "mishap.jump", fn, NULL, &sub) < 0 ||
            ramal_sub_confirm(sub, ramal_in_ms(WAIT_MS), NULL) < 0)
                return 1;
        say("ready");
        if (setjmp(place) == 0) {
                ramal_wait(conn, ramal_in_ms(WAIT_MS));
                say("nothing happened");
                return 1;
        }
        say("jumped");
        listen_to_test();
        _exit(0);
}

/* ---- late: deadlines that are over, or will never be ---- */

static int late(const char *address) {
        ramal_conn *conn = open_conn(address, false);
        ramal_call *call = NULL;
        ramal_msg *reply = NULL;
        ramal_error error;

        say("ready");
        listen_to_test();
        say("past %d", ramal_request(conn, "mishap.late", NULL, 0, ramal_now() - 1, NULL, &error));
        say("zero %d", ramal_request(conn, "mishap.late", NULL, 0, 0, NULL, &error));
        say("one %d", ramal_request(conn, "mishap.late", NULL, 0, 1, NULL, &error));
        say("async %d", ramal_request_async(conn, "mishap.late", NULL, 0, ramal_now() - 1, NULL, NULL, &call));
        listen_to_test();
        say("last %d", ramal_request(conn, "mishap.late", NULL, 0, RAMAL_NEVER - 1, &reply, &error));
        reply = ramal_msg_unref(reply);
        say("never %d", ramal_request(conn, "mishap.late", NULL, 0, RAMAL_NEVER, &reply, &error));
        ramal_msg_unref(reply);
        say("unsent %llu", (unsigned long long)ramal_close(conn));
        return 0;
}

int main(int argc, char **argv) {
        const char *what = argc == 3 ? argv[1] : "";

        if (strcmp(what, "killed") == 0)
                return killed(argv[2]);
        if (strcmp(what, "cancel") == 0)
                return cancel(argv[2]);
        if (strcmp(what, "sigpipe") == 0)
                return sigpipe(argv[2]);
        if (strcmp(what, "fork") == 0)
                return forked(argv[2], argv[0]);
        if (strcmp(what, "descriptors") == 0)
                return descriptors();
        if (strcmp(what, "longjmp") == 0)
                return leave_callback(argv[2], jump);
        if (strcmp(what, "abort") == 0)
                return leave_callback(argv[2], crash);
        if (strcmp(what, "late") == 0)
                return late(argv[2]);
        fprintf(stderr, "usage: fault_mishap killed|cancel|sigpipe|fork|longjmp|abort|late ADDRESS\n");
        return 64;
}
