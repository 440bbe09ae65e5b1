/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void on_signal(void *user, unsigned events) {
        struct signals *signals = user;
        struct signalfd_siginfo info;
        (void)events;
        while (read(signals->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
                signals->fn(signals->user, (int)info.ssi_signo);
}

int signals_init(struct signals *signals, struct loop *loop, signals_fn fn, void *user) {
        sigset_t set;
        *signals = (struct signals){.loop = loop, .fd = -1, .fn = fn, .user = user};
        const struct sigaction ignore = {.sa_handler = SIG_IGN};
        /* A log that reached the largest size of a file (RLIMIT_FSIZE) is an error of write(), not our end. */
        if (sigaction(SIGPIPE, &ignore, NULL) < 0 || sigaction(SIGXFSZ, &ignore, NULL) < 0)
                return -errno;
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGHUP);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        signals->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
        if (signals->fd < 0)
                return -errno;
        return loop_add(loop, &signals->source, signals->fd, LOOP_READ, on_signal, signals);
}

void signals_deinit(struct signals *signals) {
        if (signals->fd < 0)
                return;
        loop_remove(signals->loop, &signals->source);
        close(signals->fd);
        signals->fd = -1;
}
