/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* pipe2, mkdtemp */
#include "ramald.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 20000
#define ARGUMENTS_MAX 32

static __attribute__((noreturn, format(printf, 2, 3))) void fail(const struct ramald *ramald, const char *format, ...) {
        char line[512];
        va_list args;

        va_start(args, format);
        vfprintf(stderr, format, args);
        va_end(args);
        fputc('\n', stderr);
        FILE *log = ramald->log[0] ? fopen(ramald->log, "r") : NULL;
        while (log && fgets(line, sizeof(line), log))
                fprintf(stderr, "  ramald: %s", line);
        if (ramald->pid > 0)
                kill(ramald->pid, SIGKILL);
        exit(1);
}

/* In the child, between fork and exec. */
static void become(const struct ramald *ramald, int ready) {
        const char *program = getenv("RAMALD_BIN");
        const char *argv[ARGUMENTS_MAX + 8];
        char number[16];
        size_t n = 0;

        snprintf(number, sizeof(number), "%d", ready);
        argv[n++] = program;
        argv[n++] = "--listen";
        argv[n++] = ramald->address;
        argv[n++] = "--ready-fd";
        argv[n++] = number;
        for (size_t i = 0; ramald->arguments && ramald->arguments[i] && i < ARGUMENTS_MAX; i++)
                argv[n++] = ramald->arguments[i];
        argv[n] = NULL;
        int log = open(ramald->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (log >= 0)
                dup2(log, STDERR_FILENO);
        fcntl(ready, F_SETFD, 0);
        execv(program, (char *const *)(void *)argv);
        _exit(127);
}

/* Reads addresses until the broker closes the descriptor. */
static void read_ready(struct ramald *ramald, int fd) {
        char text[2048];
        size_t len = 0;

        for (;;) {
                struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
                if (poll(&poll_fd, 1, WAIT_MS) <= 0)
                        fail(ramald, "ramald was not ready within %d ms", WAIT_MS);
                ssize_t n = read(fd, text + len, sizeof(text) - 1 - len);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                len += (size_t)n;
        }
        text[len] = '\0';
        if (len == 0)
                fail(ramald, "ramald ended before it was ready");
        char *tcp = strstr(text, "tcp:");
        if (tcp)
                snprintf(ramald->tcp, sizeof(ramald->tcp), "%.*s", (int)strcspn(tcp, "\n"), tcp);
}

static void run(struct ramald *ramald) {
        int ready[2];

        if (!getenv("RAMALD_BIN")) {
                fprintf(stderr, "set RAMALD_BIN to the path of ramald\n");
                exit(1);
        }
        if (pipe2(ready, O_CLOEXEC) < 0)
                fail(ramald, "no pipe");
        ramald->pid = fork();
        if (ramald->pid < 0)
                fail(ramald, "no process");
        if (ramald->pid == 0)
                become(ramald, ready[1]);
        close(ready[1]);
        read_ready(ramald, ready[0]);
        close(ready[0]);
}

void ramald_start(struct ramald *ramald, const char *const *arguments) {
        memset(ramald, 0, sizeof(*ramald));
        ramald->arguments = arguments;
        snprintf(ramald->directory, sizeof(ramald->directory), "/tmp/ramald-test-XXXXXX");
        if (!mkdtemp(ramald->directory))
                fail(ramald, "no directory for the test");
        snprintf(ramald->address, sizeof(ramald->address), "unix:%s/bus", ramald->directory);
        snprintf(ramald->token, sizeof(ramald->token), "%s/token", ramald->directory);
        snprintf(ramald->log, sizeof(ramald->log), "%s/log", ramald->directory);
        run(ramald);
}

/* Waits for its end. Returns the wait status. */
static int reap(struct ramald *ramald) {
        const struct timespec pause = {.tv_nsec = 2000000};

        for (int waited = 0; waited < WAIT_MS / 2; waited += 2) {
                int status;
                if (waitpid(ramald->pid, &status, WNOHANG) == ramald->pid) {
                        ramald->pid = 0;
                        return status;
                }
                nanosleep(&pause, NULL);
        }
        fail(ramald, "ramald did not end");
}

/* Only what ramald and the tests put there: nothing below it. */
static void remove_directory(const char *path) {
        char file[512];
        DIR *dir = opendir(path);

        for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
                snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
                unlink(file);
        }
        if (dir)
                closedir(dir);
        rmdir(path);
}

void ramald_stop(struct ramald *ramald) {
        if (ramald->pid > 0) {
                kill(ramald->pid, SIGTERM);
                int status = reap(ramald);
                if (status != 0)
                        fail(ramald, "ramald ended with wait status 0x%x", (unsigned)status);
        }
        remove_directory(ramald->directory);
}

void ramald_kill(struct ramald *ramald) {
        kill(ramald->pid, SIGKILL);
        reap(ramald);
}

void ramald_restart(struct ramald *ramald) {
        run(ramald);
}

void ramald_freeze(const struct ramald *ramald, bool frozen) {
        kill(ramald->pid, frozen ? SIGSTOP : SIGCONT);
}

size_t open_descriptors(void) {
        size_t count = 0;
        DIR *dir = opendir("/proc/self/fd");

        if (!dir)
                return 0;
        while (readdir(dir))
                count++;
        closedir(dir);
        return count;
}
