/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "bench.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* HELD_BYTES: three quarters of what a broker holds for a connection (limits.connection_bytes), where a message counts
 * with its payload and about CHARGE. AT_ONCE: room is taken for so many messages that are not LARGE. */
enum { WINDOW_BYTES = 4 << 20, HELD_BYTES = 12 << 20, CHARGE = 192, AT_ONCE = 32, LARGE = 65536 };

void bench_pin_to(pid_t pid, int cpu) {
        cpu_set_t set;
        if (cpu < 0)
                return;
        CPU_ZERO(&set);
        CPU_SET((size_t)cpu, &set);
        sched_setaffinity(pid, sizeof(set), &set);
}

int bench_task_fail(struct bench_task *task, const char *format, ...) {
        va_list list;
        va_start(list, format);
        vsnprintf(task->self->text, sizeof(task->self->text), format, list);
        va_end(list);
        /* It becomes a part of a line. */
        for (char *at = task->self->text; (at = strchr(at, '\n'));)
                *at = ' ';
        atomic_store(&task->self->failed, true);
        return -1;
}

enum bench_phase bench_task_phase(const struct bench_task *task) {
        return (enum bench_phase)atomic_load_explicit(&task->shared->phase, memory_order_relaxed);
}

void bench_task_pause(void) {
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

bool bench_task_ready(struct bench_task *task) {
        atomic_store(&task->self->ready, true);
        while (bench_task_phase(task) == BENCH_WAIT)
                bench_task_pause();
        return bench_task_phase(task) != BENCH_QUIT;
}

bool bench_task_may_send(const struct bench_task *task, uint64_t sent) {
        return bench_task_phase(task) == BENCH_GO &&
               sent < atomic_load_explicit(&task->shared->limit, memory_order_relaxed);
}

/* How many messages the slowest sink has had. The first workers are the sinks: see bench_crew_start(). */
static uint64_t arrived(const struct bench_task *task) {
        const struct bench_worker *workers = task->shared->workers;
        uint64_t slowest = UINT64_MAX;
        for (uint64_t i = 0; i < task->job->point->subscribers; i++) {
                /* What came wrong will be missing. */
                uint64_t got = atomic_load_explicit(&workers[i].messages, memory_order_relaxed) +
                               atomic_load_explicit(&workers[i].missing, memory_order_relaxed);
                slowest = got < slowest ? got : slowest;
        }
        return slowest;
}

/* For how many messages there is room beside what all sources have taken so far, at most `want`. */
static uint64_t room_beside(const struct bench_task *task, uint64_t taken, bool waits, uint64_t want) {
        const struct bench_point *point = task->job->point;
        uint64_t messages = task->job->plan->window, bytes = WINDOW_BYTES, got = arrived(task);
        uint64_t ahead = taken > got ? taken - got : 0;
        if (messages == 0 && task->job->relay)
                return want;
        if (messages == 0) {
                messages = UINT64_MAX;
                bytes = point->size < HELD_BYTES ? HELD_BYTES - point->size : 0;
        }
        /* Who waits does so until there is room for many. */
        uint64_t share = waits ? 2 : 1;
        /* A single publisher's second message, however large, waits on its own side of the broker. */
        uint64_t least = point->publishers == 1 ? 1 : 0;
        if (ahead >= (messages - 1) / share + 1 || (ahead > least && ahead * (point->size + CHARGE) > bytes / share))
                return 0;
        return messages - ahead < want ? messages - ahead : want;
}

uint64_t bench_task_take_room(const struct bench_task *task, bool waits) {
        uint64_t want = task->job->point->size < LARGE ? AT_ONCE : 1, room;
        uint64_t taken = atomic_load_explicit(&task->shared->room, memory_order_relaxed);
        do {
                room = room_beside(task, taken, waits, want);
        } while (room > 0 && !atomic_compare_exchange_weak(&task->shared->room, &taken, taken + room));
        return room;
}

void bench_task_return_room(const struct bench_task *task, uint64_t room) {
        atomic_fetch_sub(&task->shared->room, room);
}
