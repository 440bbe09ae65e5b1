/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child_env.h"
#include "text.h"

#define GRACE_NS UINT64_C(1000000000) /* between SIGTERM and SIGKILL */

/* The payload as a file: the command may read as much of it as it likes, and nobody has to feed it. */
static int file_with(const void *data, size_t len) {
        int fd = memfd_create("ramal payload", MFD_CLOEXEC);
        if (fd < 0)
                return -errno;
        for (size_t done = 0; done < len;) {
                ssize_t n = write(fd, (const char *)data + done, len - done);
                if (n < 0 && errno != EINTR) {
                        int r = -errno;
                        close(fd);
                        return r;
                }
                if (n > 0)
                        done += (size_t)n;
        }
        if (lseek(fd, 0, SEEK_SET) < 0) {
                int r = -errno;
                close(fd);
                return r;
        }
        return fd;
}

/* A pipe whose reading end does not block. */
static int open_pipe(int ends[2]) {
        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        if (fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0)
                return 0;
        int r = -errno;
        close(ends[0]);
        close(ends[1]);
        return r;
}

/* In the child. All other descriptors close themselves. */
__attribute__((noreturn)) static void become(const char *command, char **env, const sigset_t *mask, pid_t parent,
                                             int in, int out, int err) {
        setpgid(0, 0);
        /* Not even SIGKILL on us leaves the command behind. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(127);
        if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
                _exit(127);
        sigprocmask(SIG_SETMASK, mask, NULL);
        execle("/bin/sh", "sh", "-c", command, (char *)NULL, env);
        _exit(127);
}

static int start_with(struct child *child, const char *command, char **env, const sigset_t *mask, int in) {
        int out[2], err[2];
        int r = open_pipe(out);
        if (r < 0)
                return r;
        r = open_pipe(err);
        if (r < 0) {
                close(out[0]);
                close(out[1]);
                return r;
        }
        fflush(stdout);
        pid_t parent = getpid(), pid = fork();
        if (pid == 0)
                become(command, env, mask, parent, in, out[1], err[1]);
        r = pid < 0 ? -errno : 0;
        close(out[1]);
        close(err[1]);
        if (r < 0) {
                close(out[0]);
                close(err[0]);
                return r;
        }
        /* In both processes, so that it is done in time for both. */
        setpgid(pid, pid);
        child->pid = pid;
        child->out = out[0];
        child->err = err[0];
        return 0;
}

int child_start(struct child *child, const char *command, const ramal_req *req, const sigset_t *mask, size_t max) {
        *child = (struct child){.out = -1, .err = -1, .max = max};
        const ramal_msg *msg = ramal_req_msg(req);
        if (!msg)
                return -ENOMEM;
        size_t len;
        const void *data = ramal_msg_data(msg, &len);
        int in = file_with(data, len);
        if (in < 0)
                return in;
        char **env = child_env_new(req);
        int r = env ? start_with(child, command, env, mask, in) : -ENOMEM;
        child_env_free(env);
        close(in);
        return r;
}

/* ---- what it writes ---- */

static void take_out(struct child *child, const char *data, size_t len) {
        if (child->too_large || len > child->max - child->len) {
                child->too_large = true;
                return;
        }
        char *more = realloc(child->data, child->len + len);
        if (!more) {
                child->too_large = true;
                return;
        }
        memcpy(more + child->len, data, len);
        child->data = more;
        child->len += len;
}

/* All of it goes to our own stderr, the first line is the text of the error, too. */
static void take_err(struct child *child, const char *data, size_t len) {
        text_print(stderr, data, len, TEXT_LINES);
        if (child->text_done)
                return;
        const char *end = memchr(data, '\n', len);
        size_t line = end ? (size_t)(end - data) : len, room = sizeof(child->text) - child->text_len;
        child->text_done = end || line > room;
        memcpy(child->text + child->text_len, data, line < room ? line : room);
        child->text_len += line < room ? line : room;
}

/* Returns false at the end of the pipe. */
static bool read_some(struct child *child, int fd, void (*take)(struct child *, const char *, size_t)) {
        char data[65536];
        /* Bounded, so that a command that never stops writing does not keep us here. */
        for (int i = 0; i < 16; i++) {
                ssize_t n = read(fd, data, sizeof(data));
                if (n > 0)
                        take(child, data, (size_t)n);
                else if (n == 0 || (errno != EAGAIN && errno != EINTR))
                        return false;
                else if (errno == EAGAIN)
                        return true;
        }
        return true;
}

static void close_end(int *fd) {
        if (*fd >= 0)
                close(*fd);
        *fd = -1;
}

void child_read(struct child *child) {
        if (child->out >= 0 && !read_some(child, child->out, take_out))
                close_end(&child->out);
        if (child->err >= 0 && !read_some(child, child->err, take_err))
                close_end(&child->err);
}

/* ---- its end ---- */

bool child_reap(struct child *child, uint64_t now) {
        siginfo_t info = {.si_pid = 0};
        if (child->pid == 0 || waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
            info.si_pid == 0)
                return false;
        /* What it wrote before it ended is in the pipes; what others that it left behind write is not waited for. */
        child_read(child);
        if (child->kill_at != 0) {
                /* Its children were asked to end, too. As long as it is not waited for, its group is its own. */
                if ((child->out >= 0 || child->err >= 0) && now < child->kill_at && child->kill_at != RAMAL_NEVER)
                        return false;
                kill(-child->pid, SIGKILL);
        }
        if (waitpid(child->pid, &child->status, 0) < 0)
                child->status = 0;
        child->pid = 0;
        close_end(&child->out);
        close_end(&child->err);
        return true;
}

void child_kill(struct child *child, uint64_t now) {
        if (child->pid == 0)
                return;
        if (child->kill_at == 0) {
                child->kill_at = now + GRACE_NS;
                kill(-child->pid, SIGTERM);
        } else if (now >= child->kill_at) {
                child->kill_at = RAMAL_NEVER;
                kill(-child->pid, SIGKILL);
        }
}

void child_end(struct child *child) {
        if (child->pid == 0)
                return;
        kill(-child->pid, SIGKILL);
        while (waitpid(child->pid, &child->status, 0) < 0 && errno == EINTR)
                ;
        child->pid = 0;
}

void child_clear(struct child *child) {
        close_end(&child->out);
        close_end(&child->err);
        free(child->data);
        *child = (struct child){.out = -1, .err = -1};
}
