/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "bench_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "interrupt.h"

enum { READY_MS = 10000, ASK_MS = 500, ASK_AGAIN_MS = 3000, READY_FD = 3 };

/* ---- the broker's process ---- */

/* The ramald beside this program, or where both are installed; where there is none, or that cannot be known, the name
 * alone: PATH is searched. */
static void find_program(const char *given, char path[PATH_MAX]) {
        static const char *const places[] = {"", "../sbin/"};
        snprintf(path, PATH_MAX, "%s", given ? given : "ramald");
        char self[PATH_MAX], found[PATH_MAX];
        ssize_t len = given ? -1 : readlink("/proc/self/exe", self, sizeof(self) - 1);
        const char *slash = len > 0 ? memrchr(self, '/', (size_t)len) : NULL;
        for (size_t i = 0; slash && i < sizeof(places) / sizeof(*places); i++) {
                int size = snprintf(found, sizeof(found), "%.*s%sramald", (int)(slash + 1 - self), self, places[i]);
                if (size < PATH_MAX && access(found, X_OK) == 0) {
                        memcpy(path, found, (size_t)size + 1);
                        return;
                }
        }
}

__attribute__((noreturn)) static void become_broker(const struct bench_private *broker, const char *program, bool tcp,
                                                    bool spin, int ready, pid_t parent) {
        char listen[160], token[128], log[128];
        snprintf(listen, sizeof(listen), "unix:%s/bus", broker->directory);
        snprintf(token, sizeof(token), "%s/token", broker->directory);
        snprintf(log, sizeof(log), "%s/log", broker->directory);
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
                _exit(1);
        int out = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (out < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0)
                _exit(1);
        if (ready == READY_FD)
                fcntl(ready, F_SETFD, 0);
        else if (dup2(ready, READY_FD) < 0)
                _exit(1);
        for (int number = 1; number < NSIG; number++)
                signal(number, SIG_DFL);
        static const char *const unwanted[] = {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET",
                                               "JOURNAL_STREAM"};
        for (size_t i = 0; i < sizeof(unwanted) / sizeof(*unwanted); i++)
                unsetenv(unwanted[i]);
        const char *words[16] = {program, "--ready-fd", "3", "--listen", tcp ? "tcp:127.0.0.1:0" : listen};
        size_t count = 5;
        if (tcp) {
                words[count++] = "--token-file";
                words[count++] = token;
        }
        if (!spin) {
                words[count++] = "--limit-spin";
                words[count++] = "0";
        }
        execvp(program, (char *const *)(uintptr_t)words);
        fprintf(stderr, "%s: cannot run it: %s\n", program, strerror(errno));
        _exit(127);
}

/* ---- the keeper ---- */

static bool ended_within(pid_t pid, int ms) {
        for (int i = 0; i < ms; i++) {
                if (waitpid(pid, NULL, WNOHANG) != 0)
                        return true;
                nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        }
        return false;
}

static void end_broker(pid_t pid) {
        kill(pid, SIGTERM);
        if (ended_within(pid, ASK_MS))
                return;
        kill(pid, SIGTERM);
        if (ended_within(pid, ASK_AGAIN_MS))
                return;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
}

static void remove_directory(const char *path) {
        DIR *directory = opendir(path);
        const struct dirent *entry;
        while (directory && (entry = readdir(directory)))
                if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                        unlinkat(dirfd(directory), entry->d_name, 0);
        if (directory)
                closedir(directory);
        rmdir(path);
}

/* hold: ends when all others have closed its other end. */
__attribute__((noreturn)) static void keep(const struct bench_private *broker, const char *program, bool tcp, bool spin,
                                           int hold, int ready) {
        static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
        for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
                signal(ignored[i], SIG_IGN);
        /* Ctrl-C is for the others. */
        setpgid(0, 0);
        pid_t self = getpid(), pid = fork();
        if (pid == 0)
                become_broker(broker, program, tcp, spin, ready, self);
        close(ready);
        char byte;
        while (read(hold, &byte, 1) < 0 && errno == EINTR)
                ;
        if (pid > 0)
                end_broker(pid);
        remove_directory(broker->directory);
        _exit(0);
}

/* ---- ours ---- */

/* The first line of its log says why it does not run. */
static int say_why(const struct ctl *ctl, const struct bench_private *broker, const char *program) {
        char path[128], line[512] = "";
        snprintf(path, sizeof(path), "%s/log", broker->directory);
        FILE *log = fopen(path, "re");
        if (log && !fgets(line, sizeof(line), log))
                line[0] = 0;
        if (log)
                fclose(log);
        line[strcspn(line, "\n")] = 0;
        return ctl_fail(ctl, EXIT_UNAVAILABLE, "the private broker does not start: %s%s", *line ? line : program,
                        !*line                          ? " ends without a word: is it ramald?"
                        : strstr(line, "cannot run it") ? ": say where ramald is with --ramald"
                                                        : "");
}

/* Reads what it says when it listens: an address a line. */
static int read_ready(const struct ctl *ctl, int ready, char *text, size_t size) {
        size_t used = 0;
        for (;;) {
                struct pollfd fd = {.fd = ready, .events = POLLIN};
                int n = poll(&fd, 1, READY_MS);
                if (interrupt_signal())
                        return 128 + interrupt_signal();
                if (n == 0)
                        return ctl_fail(ctl, EXIT_LATER, "the private broker does not get ready");
                ssize_t got = n > 0 ? read(ready, text + used, size - 1 - used) : -1;
                if (got < 0 && errno == EINTR)
                        continue;
                if (got <= 0)
                        break;
                used += (size_t)got;
        }
        text[used] = 0;
        text[strcspn(text, "\n")] = 0;
        return 0;
}

static int start_keeper(struct bench_private *broker, const char *program, bool tcp, bool spin, int *ready) {
        int hold[2], listening[2];
        if (pipe2(hold, O_CLOEXEC) < 0)
                return -errno;
        if (pipe2(listening, O_CLOEXEC) < 0) {
                int r = -errno;
                close(hold[0]);
                close(hold[1]);
                return r;
        }
        broker->keeper = fork();
        if (broker->keeper == 0) {
                close(hold[1]);
                close(listening[0]);
                keep(broker, program, tcp, spin, hold[0], listening[1]);
        }
        int r = broker->keeper < 0 ? -errno : 0;
        close(hold[0]);
        close(listening[1]);
        broker->hold = hold[1];
        *ready = listening[0];
        return r;
}

int bench_private_start(const struct ctl *ctl, const char *program, bool tcp, bool spin, struct bench_private *ret) {
        const char *tmp = getenv("TMPDIR");
        char path[PATH_MAX];
        int ready = -1;
        *ret = (struct bench_private){.hold = -1};
        find_program(program, path);
        /* A socket's path is short. */
        if (!tmp || *tmp != '/' || strlen(tmp) + sizeof("/ramal-bench-XXXXXX") > sizeof(ret->directory))
                tmp = "/tmp";
        snprintf(ret->directory, sizeof(ret->directory), "%s/ramal-bench-XXXXXX", tmp);
        if (!mkdtemp(ret->directory))
                return ctl_fail(ctl, EXIT_SOCKET, "cannot make a directory in %s: %s", tmp, strerror(errno));
        snprintf(ret->token_file, sizeof(ret->token_file), "%s/token", ret->directory);
        int r = start_keeper(ret, path, tcp, spin, &ready);
        if (r < 0) {
                rmdir(ret->directory);
                return ctl_fail(ctl, EXIT_LATER, "cannot start a broker: %s", strerror(-r));
        }
        r = read_ready(ctl, ready, ret->address, sizeof(ret->address));
        close(ready);
        if (r == 0 && !ret->address[0])
                r = say_why(ctl, ret, path);
        if (r != 0)
                bench_private_stop(ret);
        return r;
}

void bench_private_stop(struct bench_private *broker) {
        if (broker->keeper <= 0)
                return;
        close(broker->hold);
        while (waitpid(broker->keeper, NULL, 0) < 0 && errno == EINTR)
                ;
        broker->keeper = 0;
        /* Where somebody has killed it, it has not done that. */
        remove_directory(broker->directory);
}
