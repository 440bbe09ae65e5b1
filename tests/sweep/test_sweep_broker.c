/* SPDX-License-Identifier: MIT */
/* ramald with each of its allocations failing: at its start, and while it serves. It runs in a child of this program,
 * main() and all, so that all of it is swept; its clients are libramal, with all the memory there is. */
#define _GNU_SOURCE /* pipe2, mkdtemp */
#include <ramal/ramal.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "sweep.h"

#define WAIT_MS 20000
#define CLIENTS 6u

int ramald_main(int argc, char **argv); /* broker/main.c under another name */

static struct {
        pid_t pid; /* 0: none runs */
        char directory[64], address[128], config[128], log[128];
} broker; /* for the signal handler */

/* ---- its process ----------------------------------------------------------------------------------------------- */

static _Noreturn void become(int ready) {
        char number[16];
        char *argv[] = {(char *)(uintptr_t)"ramald", (char *)(uintptr_t)"--config", broker.config,
                        (char *)(uintptr_t)"--ready-fd", number, NULL};
        snprintf(number, sizeof(number), "%d", ready);
        int log = open(broker.log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
        if (log < 0 || dup2(log, STDERR_FILENO) < 0)
                _exit(99);
        fcntl(ready, F_SETFD, 0);
        alarm(0);
        oom_inside(true);
        int status = ramald_main(5, argv);
        oom_inside(false);
        oom_off();
        exit(status);
}

/* Returns whether it listens; if not it is about to end. */
static bool start(void) {
        int ready[2];
        char text[1024];
        size_t len = 0;
        ssize_t n;
        sweep_check(pipe2(ready, O_CLOEXEC) == 0, "no pipe");
        fflush(NULL);
        broker.pid = fork();
        sweep_check(broker.pid >= 0, "no process");
        if (broker.pid == 0)
                become(ready[1]);
        close(ready[1]);
        while ((n = read(ready[0], text + len, sizeof(text) - len)) > 0 || (n < 0 && errno == EINTR))
                len += n > 0 ? (size_t)n : 0;
        close(ready[0]);
        return len > 0;
}

static void show_log(void) {
        char line[1024];
        FILE *log = fopen(broker.log, "r");
        while (log && fgets(line, sizeof(line), log))
                fprintf(stderr, "  ramald: %s", line);
        if (log)
                fclose(log);
}

static void kill_broker(void) {
        if (broker.pid > 0)
                kill(broker.pid, SIGKILL);
        show_log();
}

/* Waits for its end. Returns its exit status. */
static int reap(void) {
        int status;
        while (waitpid(broker.pid, &status, 0) < 0)
                sweep_check(errno == EINTR, "waitpid: %s", strerror(errno));
        broker.pid = 0;
        sweep_check(WIFEXITED(status), "ramald was killed: wait status 0x%x", (unsigned)status);
        return WEXITSTATUS(status);
}

static void stop(void) {
        int status;
        sweep_check(waitpid(broker.pid, &status, WNOHANG) == 0, "ramald has ended by itself: wait status 0x%x",
                    (unsigned)status);
        kill(broker.pid, SIGTERM);
        int code = reap();
        sweep_check(code == 0, "ramald ended with %d", code);
}

/* Lines of its stderr that begin so. */
static unsigned lines(const char *begin) {
        char line[2048];
        unsigned count = 0;
        FILE *log = fopen(broker.log, "r");
        sweep_check(log, "no log");
        while (fgets(line, sizeof(line), log))
                count += strncmp(line, begin, strlen(begin)) == 0;
        fclose(log);
        return count;
}

/* ---- its clients ----------------------------------------------------------------------------------------------- */

struct seen {
        unsigned messages, replies;
};

static void on_message(ramal_conn *conn, const ramal_msg *msg, void *user) {
        (void)conn;
        (void)msg;
        ((struct seen *)user)->messages++;
}

static void on_request(ramal_conn *conn, ramal_req *req, void *user) {
        (void)conn;
        (void)user;
        ramal_reply(req, "answer", 6);
}

static void on_reply(ramal_conn *conn, int result, const ramal_msg *reply, const ramal_error *error, void *user) {
        (void)conn;
        (void)reply;
        (void)error;
        ((struct seen *)user)->replies += result == 0;
}

static void pump(ramal_conn **conns, size_t count) {
        for (size_t i = 0; i < count; i++)
                if (conns[i])
                        ramal_dispatch(conns[i], 0);
}

/* All dispatch until the count is reached, or it takes too long. */
static bool reaches(ramal_conn **conns, size_t count, const unsigned *seen, unsigned least, uint64_t until) {
        while (*seen < least && ramal_now() < until) {
                struct pollfd fds[CLIENTS];
                nfds_t n = 0;
                for (size_t i = 0; i < count; i++)
                        if (conns[i])
                                fds[n++] = (struct pollfd){.fd = ramal_conn_fd(conns[i]), .events = POLLIN};
                poll(fds, n, 5);
                pump(conns, count);
        }
        return *seen >= least;
}

static ramal_conn *come_in(uint64_t deadline, ramal_error *error) {
        ramal_options options = {.size = sizeof(options),   .address = broker.address,  .app = "client",
                                 .backoff_min_ns = 1000000, .backoff_max_ns = 2000000};
        ramal_conn *conn;
        ramal_open(&options, deadline, &conn, error);
        return conn;
}

static uint64_t soon(void) {
        return ramal_in_ms(sweep_starving() ? 5 : sweep_failed() ? 30 : 150);
}

/* Whoever comes when memory is there again is served. */
static void serve_somebody(void) {
        struct seen seen = {0, 0};
        ramal_error error;
        ramal_conn *conns[2] = {NULL};
        for (unsigned i = 0; i < 2; i++) {
                uint64_t until = ramal_in_ms(WAIT_MS);
                do /* those who have just gone may still have their places */
                        conns[i] = come_in(until, &error);
                while (!conns[i] && error.code == -EDQUOT && ramal_now() < until);
                sweep_check(conns[i], "memory is back, and nobody is let in: %s", error.message);
        }
        sweep_check(ramal_subscribe(conns[0], "after.a", on_message, &seen, NULL) == 0 &&
                            ramal_serve(conns[0], "after.b", on_request, NULL, NULL) == 0 &&
                            ramal_sync(conns[0], ramal_in_ms(WAIT_MS)) == 0,
                    "memory is back, and nothing can be asked for: %s", ramal_conn_error(conns[0])->message);
        ramal_publish(conns[1], "after.a", "x", 1);
        ramal_request_async(conns[1], "after.b", "x", 1, ramal_in_ms(WAIT_MS), on_reply, &seen, NULL);
        sweep_check(reaches(conns, 2, &seen.messages, 1, ramal_in_ms(WAIT_MS)), "memory is back, and nothing is delivered");
        sweep_check(reaches(conns, 2, &seen.replies, 1, ramal_in_ms(WAIT_MS)), "memory is back, and nothing is answered");
        ramal_close(conns[0]);
        ramal_close(conns[1]);
}

/* ---- scenes ---------------------------------------------------------------------------------------------------- */

/* It serves, or says in one line why it does not. */
static void scene_start(const void *user) {
        (void)user;
        if (start()) {
                sweep_memory_back();
                serve_somebody();
                stop();
                return;
        }
        int code = reap();
        sweep_memory_back();
        sweep_check(sweep_failed(), "ramald does not start: %d", code);
        sweep_check(code >= 64 && code <= 78, "ramald does not start, and ends with %d", code);
        unsigned said = lines("ramald: ");
        sweep_check(said == 1, "ramald does not start, and says why in %u lines", said);
}

/* Everything that the memory of a running one is asked for. */
static void scene_run(const void *user) {
        static const char large[100000];
        struct seen seen = {0, 0};
        ramal_conn *conns[CLIENTS] = {NULL};
        ramal_error error;
        (void)user;
        sweep_hold();
        sweep_check(start(), "ramald does not start");
        sweep_go();
        for (size_t i = 0; i < CLIENTS; i++)
                conns[i] = come_in(soon(), &error);
        for (size_t i = 0; i < CLIENTS; i++) {
                if (!conns[i])
                        continue;
                if (i % 2 == 0) {
                        ramal_subscribe(conns[i], "run.>", on_message, &seen, NULL);
                        ramal_subscribe_with(conns[i], RAMAL_INTEREST(.pattern = "run.group", .group = "g"), on_message, &seen,
                                             NULL);
                        ramal_serve_with(conns[i], RAMAL_INTEREST(.pattern = "run.serve", .group = "g"), on_request, NULL, NULL);
                }
                ramal_sync(conns[i], soon());
        }
        for (size_t i = 0; i < CLIENTS; i++) {
                if (!conns[i])
                        continue;
                ramal_publish(conns[i], "run.a", "x", 1);
                ramal_publish(conns[i], "run.group", "x", 1);
                ramal_publish(conns[i], "run.large", large, sizeof(large));
                ramal_request_async(conns[i], "run.serve", "x", 1, soon(), on_reply, &seen, NULL);
                ramal_request_async(conns[i], "$SYS.api.list", NULL, 0, soon(), on_reply, &seen, NULL);
        }
        reaches(conns, CLIENTS, &seen.replies, 2 * CLIENTS, soon());
        for (size_t i = 0; i + 2 < CLIENTS; i++) {
                ramal_close(conns[i]);
                conns[i] = NULL;
        }
        sweep_memory_back();
        serve_somebody();
        for (size_t i = 0; i < CLIENTS; i++)
                ramal_close(conns[i]);
        stop();
}

/* ---- main ------------------------------------------------------------------------------------------------------ */

static void write_config(void) {
        FILE *file = fopen(broker.config, "w");
        sweep_check(file, "%s cannot be written", broker.config);
        /* A limit that clients meet: who is refused is told, which takes memory as well. */
        fprintf(file,
                "[listen]\naddress = %s\nallow_uid = root\nallow_group = root\nsocket_mode = 0666\n[limits]\nown_connections = %u\n"
                "reserved_connections = 0\n[limits uid root]\ncalls = 100\n",
                broker.address, CLIENTS - 1);
        sweep_check(fclose(file) == 0, "%s cannot be written", broker.config);
}

int main(int argc, char **argv) {
        static const struct sweep_scenario scenes[] = {
                {.name = "start", .run = scene_start, .loose = true},
                {.name = "run", .run = scene_run, .sample = 40, .loose = true},
        };
        snprintf(broker.directory, sizeof(broker.directory), "/tmp/ramald-sweep-XXXXXX");
        sweep_check(mkdtemp(broker.directory), "no directory for the test");
        sweep_check(chmod(broker.directory, 0755) == 0, "the directory for the test cannot be opened to others");
        snprintf(broker.address, sizeof(broker.address), "unix:%s/bus", broker.directory);
        snprintf(broker.config, sizeof(broker.config), "%s/config", broker.directory);
        snprintf(broker.log, sizeof(broker.log), "%s/log", broker.directory);
        write_config();
        sweep_on_failure(kill_broker);
        oom_share();
        int status = sweep_main(scenes, RML_COUNT(scenes), argc, argv);
        unlink(broker.config);
        unlink(broker.log);
        unlink(broker.address + strlen("unix:"));
        rmdir(broker.directory);
        return status;
}
