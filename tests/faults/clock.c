/* SPDX-License-Identifier: MIT */
/* A wall clock that somebody has set wrong, for LD_PRELOAD: CLOCK_REALTIME is as many seconds off as the file says
 * whose path is in FAULT_CLOCK. All other clocks are right. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#pragma GCC visibility push(default) /* of the two that stand for the library's own */

static long off_by(void) {
        const char *path = getenv("FAULT_CLOCK");
        FILE *file = path ? fopen(path, "re") : NULL;
        long seconds = 0;

        if (file && fscanf(file, "%ld", &seconds) != 1)
                seconds = 0;
        if (file)
                fclose(file);
        return seconds;
}

int clock_gettime(clockid_t id, struct timespec *ret) {
        long r = syscall(SYS_clock_gettime, id, ret);

        if (r == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
                ret->tv_sec += off_by();
        return (int)r;
}

time_t time(time_t *ret) {
        struct timespec now;
        time_t seconds = clock_gettime(CLOCK_REALTIME, &now) == 0 ? now.tv_sec : -1;

        if (ret)
                *ret = seconds;
        return seconds;
}
