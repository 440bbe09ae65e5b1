/* SPDX-License-Identifier: MIT */
/* The descriptors: the socket, and for foreign loops one epoll set with the socket, a timer and an eventfd. Our own
 * blocking functions poll the socket and the eventfd directly; so the epoll set and the timer are kept up to date only
 * once somebody has asked for ramal_conn_fd(). */
#define _GNU_SOURCE /* sched_getaffinity */
#include "client/conn_private.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "proto/wire.h"

uint64_t ramal_now(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * RML_NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t ramal_in_ms(uint64_t ms) {
        uint64_t now = ramal_now();

        return ms > (RAMAL_NEVER - 1 - now) / RML_NS_PER_MS ? RAMAL_NEVER : now + ms * RML_NS_PER_MS;
}

static struct timespec timespec_of(uint64_t ns) {
        uint64_t s = ns / RML_NS_PER_S;

        /* A time that the kernel takes, on 32 bits too; whoever sleeps so long looks again. */
        if (s > INT32_MAX)
                s = INT32_MAX;
        return (struct timespec){.tv_sec = (time_t)s, .tv_nsec = (long)(ns % RML_NS_PER_S)};
}

static int watch(int epoll, int fd) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

        return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int rml_io_init(ramal_conn *conn) {
        conn->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        return conn->event < 0 ? -errno : 0;
}

static void close_fd(int *fd) {
        if (*fd >= 0)
                close(*fd);
        *fd = -1;
}

/* What a foreign loop needs. All or nothing. */
static int init_foreign(ramal_conn *conn) {
        int r = 0;

        conn->epoll = epoll_create1(EPOLL_CLOEXEC);
        if (conn->epoll < 0)
                return -errno;
        conn->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (conn->timer < 0)
                r = -errno;
        if (r == 0)
                r = watch(conn->epoll, conn->timer);
        if (r == 0)
                r = watch(conn->epoll, conn->event);
        if (r < 0) {
                close_fd(&conn->timer);
                close_fd(&conn->epoll);
        }
        return r;
}

void rml_io_deinit(ramal_conn *conn) {
        close_fd(&conn->sock);
        close_fd(&conn->event);
        close_fd(&conn->timer);
        close_fd(&conn->epoll);
}

void rml_io_socket(ramal_conn *conn, int fd) {
        conn->sock = fd;
        conn->sock_events = 0;
        conn->wider = conn->targets[conn->target].addr.kind != RML_ADDR_TCP;
        rml_io_arm(conn);
}

void rml_io_close_socket(ramal_conn *conn) {
        if (conn->sock >= 0 && conn->sock_events)
                epoll_ctl(conn->epoll, EPOLL_CTL_DEL, conn->sock, NULL);
        conn->sock_events = 0;
        /* Ends the session for the broker too where a forked child still holds the descriptor. What was sent still
         * arrives. */
        if (conn->sock >= 0)
                shutdown(conn->sock, SHUT_RDWR);
        close_fd(&conn->sock);
}

static bool wants_out(const ramal_conn *conn) {
        return conn->phase == RML_PHASE_CONNECT || (rml_out_pending(conn) > 0 && !conn->out_dead);
}

uint64_t rml_next_deadline(const ramal_conn *conn) {
        uint64_t next = rml_min64(conn->timer_at, rml_min64(conn->confirm_at, conn->probe_at));
        const struct rml_heap_node *top = rml_heap_top(&conn->timers);

        return top ? rml_min64(next, top->key) : next;
}

static void arm_timer(ramal_conn *conn) {
        uint64_t next = rml_next_deadline(conn);

        /* Waking too early costs a turn; setting the timer at each call would cost more. */
        if (next == RAMAL_NEVER || next >= conn->timer_armed)
                return;
        struct itimerspec spec = {.it_value = timespec_of(next > 0 ? next : 1)};
        if (timerfd_settime(conn->timer, TFD_TIMER_ABSTIME, &spec, NULL) == 0)
                conn->timer_armed = next;
}

void rml_io_arm(ramal_conn *conn) {
        /* A function under way does it in the end (rml_leave). */
        if (!conn->foreign || conn->closed || conn->busy > 0)
                return;
        arm_timer(conn);
        if (conn->sock < 0)
                return;
        uint32_t events = wants_out(conn) ? EPOLLIN | EPOLLOUT : EPOLLIN;
        if (events == conn->sock_events)
                return;
        struct epoll_event event = {.events = events, .data.fd = conn->sock};
        int op = conn->sock_events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
        if (epoll_ctl(conn->epoll, op, conn->sock, &event) == 0)
                conn->sock_events = events;
        else
                rml_wake(conn); /* no memory in the kernel: try again in the next turn */
}

void rml_io_settle(ramal_conn *conn) {
        rml_io_arm(conn);
        if (conn->foreign && conn->busy == 0 && rml_has_work(conn))
                rml_wake(conn);
}

/* The flag spares the system call while a wake-up is under way. May be called from any thread and signal handler. */
void rml_wake(ramal_conn *conn) {
        const uint64_t one = 1;

        if (atomic_exchange(&conn->woken, true))
                return;
        /* It can only fail where the counter is full, and then the descriptor is readable. */
        ssize_t n = write(conn->event, &one, sizeof(one));
        (void)n;
}

/* The descriptor is emptied before the flag is taken back. A waker that has set the flag and not written yet leaves it
 * set: its write wakes us once more, and is read then. */
void rml_io_take_wake(ramal_conn *conn) {
        uint64_t count;

        if (atomic_load(&conn->woken) && read(conn->event, &count, sizeof(count)) == (ssize_t)sizeof(count))
                atomic_store(&conn->woken, false);
}

int ramal_conn_fd(const ramal_conn *conn) {
        if (!rml_alive(conn))
                return -ECHILD;
        if (!conn->foreign) {
                int r = init_foreign(conn->self);
                if (r < 0)
                        return r;
                conn->self->foreign = true;
                rml_io_settle(conn->self);
        }
        return conn->epoll;
}

/* Waits on socket and eventfd. Returns true when something is there. */
static bool wait_for(ramal_conn *conn, uint64_t ns) {
        struct pollfd fds[2] = {
                {.fd = conn->event, .events = POLLIN},
                {.fd = conn->sock, .events = (short)(wants_out(conn) ? POLLIN | POLLOUT : POLLIN)},
        };
        struct timespec ts = timespec_of(ns);

        return ppoll(fds, 2, ns == RAMAL_NEVER ? NULL : &ts, NULL) > 0;
}

/* Is there one processor for us? Then nothing can come while we run, and no sleeping processor is spared: if more than
 * the broker spins, it is only more processes to switch between. */
static bool is_alone(void) {
        cpu_set_t set;

        return sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) == 1;
}

/* One step of a spin, which goes over several calls: between them the caller tries the socket itself, and a wake-up is
 * seen by its flag, so that no system call is spent on asking. Returns false when it is time to sleep. */
static bool spin(ramal_conn *conn, uint64_t now) {
        uint64_t budget = rml_spin_budget(&conn->spin);

        if (budget == 0)
                return false;
        if (conn->spin_since == 0 && conn->spin.paid == 0 && is_alone()) { /* it was armed just now */
                rml_spin_ended(&conn->spin, false, 0, 0);
                return false;
        }
        if (conn->spin_since == 0) {
                conn->spin_since = now;
                conn->spin_yields = 0;
        } else if (now - conn->spin_since >= budget) {
                rml_spin_ended(&conn->spin, false, conn->spin_yields, now - conn->spin_since);
                conn->spin_since = 0;
                return false;
        }
        sched_yield();
        conn->spin_yields++;
        return true;
}

void rml_io_found(ramal_conn *conn) {
        if (conn->spin_since == 0)
                return;
        rml_spin_ended(&conn->spin, true, conn->spin_yields, ramal_now() - conn->spin_since);
        conn->spin_since = 0;
}

void rml_io_sleep(ramal_conn *conn, uint64_t deadline) {
        uint64_t now = ramal_now();

        conn->sock_empty = false; /* unless the next look says so again */
        while (deadline > now && spin(conn, now)) {
                if (!wants_out(conn))
                        return;
                /* To try to send would only put a few bytes into a socket that is all but full. */
                if (wait_for(conn, 0)) {
                        rml_io_found(conn);
                        return;
                }
                now = ramal_now();
        }
        if (deadline <= now)
                return;
        bool woken = wait_for(conn, deadline == RAMAL_NEVER ? RAMAL_NEVER : deadline - now);
        rml_spin_slept(&conn->spin, ramal_now() - now, woken);
}
