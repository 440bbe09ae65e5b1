/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "loop.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "spin.h"

#define BATCH 1024 /* events taken from the kernel at once */

struct loop {
        int epoll;
        int ready;      /* events[] in use */
        int next;       /* the one that is being dispatched */
        size_t sources; /* added */
        size_t streak;  /* events of full batches in a row */
        struct rml_spin spin;
        struct epoll_event events[BATCH];
};

int loop_new(uint64_t spin_ns, struct loop **ret) {
        struct loop *loop = calloc(1, sizeof(*loop));
        if (!loop)
                return -ENOMEM;
        loop->epoll = epoll_create1(EPOLL_CLOEXEC);
        if (loop->epoll < 0) {
                int r = -errno;
                free(loop);
                return r;
        }
        rml_spin_init(&loop->spin, spin_ns);
        *ret = loop;
        return 0;
}

struct loop *loop_free(struct loop *loop) {
        if (loop) {
                close(loop->epoll);
                free(loop);
        }
        return NULL;
}

static uint32_t to_epoll(unsigned events) {
        return (events & LOOP_READ ? (uint32_t)EPOLLIN : 0) | (events & LOOP_WRITE ? (uint32_t)EPOLLOUT : 0);
}

int loop_add(struct loop *loop, struct loop_source *source, int fd, unsigned events, loop_fn fn, void *user) {
        rml_check(!source->added);
        struct epoll_event event = {.events = to_epoll(events), .data.ptr = source};
        if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
                return -errno;
        *source = (struct loop_source){.fd = fd, .events = (uint16_t)events, .added = true, .fn = fn, .user = user};
        loop->sources++;
        return 0;
}

int loop_change(struct loop *loop, struct loop_source *source, unsigned events) {
        rml_check(source->added);
        if (source->events == events)
                return 0;
        struct epoll_event event = {.events = to_epoll(events), .data.ptr = source};
        if (epoll_ctl(loop->epoll, EPOLL_CTL_MOD, source->fd, &event) < 0)
                return -errno;
        source->events = (uint16_t)events;
        return 0;
}

void loop_remove(struct loop *loop, struct loop_source *source) {
        if (source->added)
                epoll_ctl(loop->epoll, EPOLL_CTL_DEL, source->fd, NULL);
        loop_forget(loop, source);
}

void loop_forget(struct loop *loop, struct loop_source *source) {
        if (!source->added)
                return;
        if (source->pending > 0)
                loop->events[source->pending - 1].data.ptr = NULL;
        source->pending = 0;
        source->added = false;
        loop->sources--;
}

uint64_t loop_now(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Rounded up: to wake before a deadline would only mean to sleep again. */
static int timeout_ms(uint64_t now, uint64_t deadline) {
        if (deadline == LOOP_NEVER)
                return -1;
        if (deadline <= now)
                return 0;
        uint64_t ms = (deadline - now - 1) / 1000000u + 1;
        return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* epoll_wait() without the interruptions. One may have lasted (SIGSTOP and, an hour later, SIGCONT): what came in the
 * meantime must be found, or deadlines would run out on those who kept them. */
static int poll_events(struct loop *loop, int timeout) {
        int n = epoll_wait(loop->epoll, loop->events, BATCH, timeout);
        if (n < 0 && errno == EINTR)
                n = epoll_wait(loop->epoll, loop->events, BATCH, 0);
        if (n < 0)
                return errno == EINTR ? 0 : -errno;
        return n;
}

/* Looks for work without sleeping, for so long or until the deadline. */
static int spin(struct loop *loop, uint64_t budget, uint64_t deadline, uint64_t *now) {
        uint64_t begin = loop_now(), end = begin + budget;
        if (deadline <= begin) /* there is more to do: one look, and nobody else goes first */
                return 0;
        bool yields = rml_spin_yields_first(&loop->spin);
        for (unsigned i = 0;; i++) {
                if (i > 0 || yields)
                        sched_yield();
                int n = poll_events(loop, 0);
                *now = loop_now();
                if (n > 0 || *now >= end)
                        rml_spin_ended(&loop->spin, n > 0, i + yields, *now - begin);
                if (n != 0 || *now >= end || *now >= deadline)
                        return n;
        }
}

static int sleep_until(struct loop *loop, uint64_t deadline, uint64_t *now) {
        uint64_t before = loop_now();
        int n = poll_events(loop, timeout_ms(before, deadline));
        *now = loop_now();
        if (deadline > before)
                rml_spin_slept(&loop->spin, *now - before, n > 0);
        return n;
}

int loop_wait(struct loop *loop, uint64_t deadline, uint64_t *now) {
        rml_check(loop->ready == 0);
        uint64_t budget = rml_spin_budget(&loop->spin);
        int n = budget > 0 ? spin(loop, budget, deadline, now) : 0;
        if (n == 0)
                n = sleep_until(loop, deadline, now);
        if (n < 0)
                return n;
        loop->ready = n;
        for (int i = 0; i < n; i++) {
                struct loop_source *source = loop->events[i].data.ptr;
                source->pending = (uint32_t)i + 1;
        }
        return n;
}

/* The kernel goes round among those that are ready (epoll_wait(2)): nobody comes up twice before all others did. So
 * after as many events as there are sources everybody who was ready at the beginning has had a turn. */
static bool more_ready(struct loop *loop) {
        loop->streak = loop->ready == BATCH ? loop->streak + BATCH : 0;
        if (loop->streak >= loop->sources)
                loop->streak = 0;
        return loop->streak > 0;
}

bool loop_dispatch(struct loop *loop) {
        bool more = more_ready(loop);
        for (loop->next = 0; loop->next < loop->ready; loop->next++) {
                const struct epoll_event *event = &loop->events[loop->next];
                struct loop_source *source = event->data.ptr;
                if (!source)
                        continue;
                source->pending = 0;
                unsigned events = (event->events & EPOLLIN ? LOOP_READ : 0u) |
                                  (event->events & EPOLLOUT ? LOOP_WRITE : 0u) |
                                  (event->events & (EPOLLHUP | EPOLLERR) ? LOOP_HANGUP : 0u);
                source->fn(source->user, events);
        }
        loop->ready = 0;
        return more;
}
