/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* O_CLOEXEC, clock_gettime */
#include "reading.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const file_names[SOURCES] = {
        [SOURCE_CPU] = "stat",    [SOURCE_MEMORY] = "meminfo", [SOURCE_LOAD] = "loadavg",
        [SOURCE_NET] = "net/dev", [SOURCE_DISK] = "diskstats",
};

void proc_init(struct proc *proc, const char *directory) {
        *proc = (struct proc){.directory = directory};
}

/* The whole file, as far as it fits, up to its last whole line. Returns its length or a negative errno. */
static ssize_t read_file(struct proc *proc, const char *name) {
        char path[4096];
        size_t len = 0;
        ssize_t n = 0;

        if (snprintf(path, sizeof(path), "%s/%s", proc->directory, name) >= (int)sizeof(path))
                return -ENAMETOOLONG;
        /* Not to wait where somebody has put a FIFO. */
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return -errno;
        while (len < sizeof(proc->text) && (n = read(fd, proc->text + len, sizeof(proc->text) - len)) > 0)
                len += (size_t)n;
        int error = n < 0 ? errno : 0;
        close(fd);
        if (error)
                return -error;
        while (len == sizeof(proc->text) && len > 0 && proc->text[len - 1] != '\n')
                len--;
        return (ssize_t)len;
}

/* Returns 0 or a negative errno. */
static int parse(enum source source, struct text text, struct reading *ret) {
        int r = 0;
        size_t n;

        switch (source) {
        case SOURCE_CPU:
                r = cpu_parse(text, &ret->cpu);
                ret->has_cpu = r == 0;
                return r;
        case SOURCE_MEMORY:
                r = memory_parse(text, &ret->memory);
                ret->has_memory = r == 0;
                return r;
        case SOURCE_LOAD:
                r = load_parse(text, &ret->load);
                ret->has_load = r == 0;
                return r;
        case SOURCE_NET:
                n = net_parse(text, ret->net, NET_MAX);
                ret->net_count = n < NET_MAX ? n : NET_MAX;
                return n > NET_MAX ? -E2BIG : 0;
        case SOURCE_DISK:
                n = disk_parse(text, ret->disk, DISK_MAX);
                ret->disk_count = n < DISK_MAX ? n : DISK_MAX;
                return n > DISK_MAX ? -E2BIG : 0;
        case SOURCES:
                break;
        }
        return -EINVAL;
}

/* Once for each change: five times a second would be a flood. */
static void complain(struct proc *proc, enum source source, int error) {
        if (error == proc->complaint[source])
                return;
        proc->complaint[source] = error;
        const char *what = error == 0          ? "can be read again"
                           : error == -EBADMSG ? "is not what Linux writes there; going on without it"
                           : error == -E2BIG   ? "lists more than there is room for; the last ones are left out"
                                               : strerror(-error);
        fprintf(stderr, "hostmon: %s/%s: %s\n", proc->directory, file_names[source], what);
}

static uint64_t clock_ns(clockid_t clock) {
        struct timespec ts;

        clock_gettime(clock, &ts);
        return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int proc_read(struct proc *proc, struct reading *ret) {
        int usable = 0;

        *ret = (struct reading){.time_us = clock_ns(CLOCK_REALTIME) / 1000, .now_ns = clock_ns(CLOCK_MONOTONIC)};
        for (enum source source = 0; source < SOURCES; source++) {
                ssize_t len = read_file(proc, file_names[source]);
                int r = len < 0 ? (int)len : parse(source, (struct text){proc->text, (size_t)len}, ret);
                complain(proc, source, r);
                usable += r == 0 || r == -E2BIG;
        }
        return usable;
}
