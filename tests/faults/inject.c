/* SPDX-License-Identifier: MIT */
/* Runs a program some of whose system calls fail when a test says so:
 *
 *     fault_inject CONTROL SYSCALL[,SYSCALL...] PROGRAM [ARGUMENT...]
 *
 * CONTROL is a FIFO. A line "accept4 23 5" written into it makes the next 5 accept4() of the program fail with errno
 * 23; a later line for the same call replaces it. What was written before a call is made counts for that call. All
 * other calls go through. The program keeps the process that this one was: the same pid, and the same parent.
 *
 * It is done by a seccomp filter, whose questions a helper process answers that ends with the program. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALLS_MAX 8u
#define LINE_BYTES 256u

static const struct {
        const char *name;
        int number;
} names[] = {
        {"accept4", SYS_accept4},     {"sendmsg", SYS_sendmsg}, {"recvfrom", SYS_recvfrom},
        {"epoll_ctl", SYS_epoll_ctl}, {"write", SYS_write},
};

struct call {
        const char *name;
        int number;
        int error;
        long left;
};

struct calls {
        struct call list[CALLS_MAX];
        size_t count;
};

static __attribute__((noreturn)) void fail(const char *what) {
        fprintf(stderr, "fault_inject: %s: %s\n", what, strerror(errno));
        _exit(125);
}

static void choose(struct calls *calls, char *words) {
        for (char *rest = NULL, *word = strtok_r(words, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
                int number = -1;

                for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                        if (strcmp(names[i].name, word) == 0)
                                number = names[i].number;
                errno = EINVAL;
                if (number < 0 || calls->count == CALLS_MAX)
                        fail(word);
                calls->list[calls->count++] = (struct call){.name = word, .number = number};
        }
}

/* One test for each call, all leading to the question; everything else is allowed. Returns the listener. */
static int filter(const struct calls *calls) {
        struct sock_filter code[2 * CALLS_MAX + 2];
        unsigned short n = 0;

        code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
        for (size_t i = 0; i < calls->count; i++) {
                code[n++] =
                        (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls->list[i].number, 0, 1);
                code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
        }
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        struct sock_fprog program = {.len = n, .filter = code};
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                fail("no_new_privs");
        return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

/* ---- the helper ---- */

static void obey(struct calls *calls, const char *line) {
        char name[32];
        int error;
        long count;

        if (sscanf(line, "%31s %d %ld", name, &error, &count) != 3)
                return;
        for (size_t i = 0; i < calls->count; i++) {
                if (strcmp(calls->list[i].name, name) == 0) {
                        calls->list[i].error = error;
                        calls->list[i].left = count;
                }
        }
}

static void read_control(struct calls *calls, int fd) {
        char text[4096];
        ssize_t n = read(fd, text, sizeof(text) - 1); /* whole lines: they are shorter than PIPE_BUF */

        if (n <= 0)
                return;
        text[n] = '\0';
        for (char *rest = NULL, *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
                obey(calls, line);
}

static void answer(struct calls *calls, int listener, int control) {
        struct seccomp_notif question = {0};
        struct seccomp_notif_resp reply = {0};

        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &question) < 0)
                return; /* the caller has been interrupted */
        read_control(calls, control);
        reply.id = question.id;
        reply.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        for (size_t i = 0; i < calls->count; i++) {
                struct call *call = &calls->list[i];

                if (call->number == question.data.nr && call->left > 0) {
                        call->left--;
                        reply.flags = 0;
                        reply.error = -call->error;
                }
        }
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &reply);
}

static __attribute__((noreturn)) void help(struct calls *calls, int listener, int control) {
        struct pollfd fds[] = {{.fd = listener, .events = POLLIN}, {.fd = control, .events = POLLIN}};

        while (poll(fds, 2, -1) > 0 || errno == EINTR) {
                if (fds[1].revents & POLLIN)
                        read_control(calls, control);
                if (fds[0].revents & POLLIN)
                        answer(calls, listener, control);
                else if (fds[0].revents)
                        break; /* the program has ended */
        }
        _exit(0);
}

/* Nothing of the program's may be kept open by the helper. */
static void keep(int listener, int control) {
        for (int fd = 0; fd < 1024; fd++)
                if (fd != listener && fd != control)
                        close(fd);
}

/* fork(), but the descriptors are shared: the filter may forbid to send the helper the listener. */
static long with_our_descriptors(void) {
        long pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);

        if (pid < 0)
                fail("clone");
        return pid;
}

int main(int argc, char **argv) {
        struct calls calls = {.count = 0};

        if (argc < 4) {
                fprintf(stderr, "usage: fault_inject CONTROL SYSCALL[,SYSCALL...] PROGRAM [ARGUMENT...]\n");
                return 64;
        }
        choose(&calls, argv[2]);
        int control = open(argv[1], O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (control < 0)
                fail(argv[1]);
        /* The listener's descriptor, once it is there; 0 again when the helper has it. */
        atomic_int *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared == MAP_FAILED)
                fail("mmap");
        atomic_init(shared, 0);
        if (with_our_descriptors() == 0) {
                if (with_our_descriptors() != 0) /* a helper that is not the program's child, to leave it no zombie */
                        _exit(0);
                while (atomic_load(shared) == 0)
                        sched_yield();
                int listener = atomic_load(shared);
                if (unshare(CLONE_FILES) < 0)
                        fail("unshare");
                keep(listener, control);
                atomic_store(shared, -1);
                help(&calls, listener, control);
        }
        wait(NULL);
        int listener = filter(&calls);
        if (listener < 0)
                fail("seccomp");
        atomic_store(shared, listener);
        while (atomic_load(shared) != -1)
                sched_yield();
        close(listener);
        close(control);
        execv(argv[3], argv + 3);
        fail(argv[3]);
}
