/* SPDX-License-Identifier: MIT */
/* The only files of the command that open sockets are this one and bench_relay_ends.c. */
#define _GNU_SOURCE
#include "bench_relay.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

enum { READ = 65536, EVENTS = 64, SOCKET_BUFFER = 1 << 20, SPIN_NS = 50000, SHORT_SLEEP_NS = 300000, SHORT_SLEEPS = 3 };

struct link {
        int fd;
        bool greeted;
        bool paused; /* not read: a receiver is full, or another sender is in the middle of a frame */
        uint32_t channel, side;
        unsigned char head[BENCH_RELAY_HELLO]; /* of the frame that has begun, or the hello */
        unsigned head_len;
        uint64_t left; /* bytes of the frame that have not come yet */
        unsigned char *out;
        size_t out_at, out_len;
        struct link *next; /* on the same side of the channel */
};

struct channel {
        struct link *ends[BENCH_RELAY_SIDES];
        struct link *owner[BENCH_RELAY_SIDES]; /* who is in the middle of a frame */
};

struct server {
        int epoll, listener;
        bool tcp;
        struct bench_spin spin;
        struct channel channels[BENCH_RELAY_CHANNELS];
        unsigned char buffer[READ];
        struct epoll_event events[EVENTS];
};

/* ---- waiting ---- */

int bench_spin(struct bench_spin *spin, int (*look)(void *what, int timeout_ms), void *what) {
        if (!spin->on)
                return look(what, -1);
        uint64_t before = bench_now();
        if (spin->armed) {
                do {
                        sched_yield();
                        int n = look(what, 0);
                        if (n != 0)
                                return n;
                } while (bench_now() < before + SPIN_NS);
                spin->armed = false;
                spin->short_sleeps = 0;
                before = bench_now();
        }
        int n = look(what, -1);
        if (bench_now() - before > SHORT_SLEEP_NS)
                spin->short_sleeps = 0;
        else if (++spin->short_sleeps >= SHORT_SLEEPS)
                spin->armed = true;
        return n;
}

static int look(void *what, int timeout_ms) {
        struct server *server = what;
        return epoll_wait(server->epoll, server->events, EVENTS, timeout_ms);
}

/* ---- bytes ---- */

void bench_relay_put(unsigned char at[4], uint32_t value) {
        for (int i = 0; i < 4; i++)
                at[i] = (unsigned char)(value >> (24 - 8 * i));
}

uint32_t bench_relay_get(const unsigned char at[4]) {
        return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

void bench_relay_prepare(int fd, bool tcp) {
        int size = SOCKET_BUFFER, on = 1;
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
        if (tcp)
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* ---- the links ---- */

static void watch(const struct server *server, struct link *link) {
        struct epoll_event event = {.events = (link->paused ? 0 : (uint32_t)EPOLLIN) |
                                              (link->out_len > 0 ? (uint32_t)EPOLLOUT : 0),
                                    .data = {.ptr = link}};
        epoll_ctl(server->epoll, EPOLL_CTL_MOD, link->fd, &event);
}

static void pause_link(const struct server *server, struct link *link) {
        link->paused = true;
        watch(server, link);
}

/* Reads on from those senders that may go on. */
static void resume(const struct server *server, const struct channel *channel, uint32_t side) {
        const struct link *owner = channel->owner[side];
        for (const struct link *to = channel->ends[!side]; to; to = to->next)
                if (to->out_len > 0)
                        return;
        for (struct link *from = channel->ends[side]; from; from = from->next)
                if (from->paused && (!owner || owner == from)) {
                        from->paused = false;
                        watch(server, from);
                }
}

static void drop(struct server *server, struct link *link) {
        if (link->greeted) {
                struct channel *channel = &server->channels[link->channel];
                struct link **at = &channel->ends[link->side];
                while (*at != link)
                        at = &(*at)->next;
                *at = link->next;
                if (channel->owner[link->side] == link)
                        channel->owner[link->side] = NULL;
                resume(server, channel, link->side);
                resume(server, channel, !link->side);
        }
        close(link->fd);
        free(link->out);
        free(link);
}

/* Sends what can be sent now and keeps the rest: no more than was read at once, for its senders are not read then. */
static void send_to(const struct server *server, struct link *link, const unsigned char *data, size_t len) {
        ssize_t sent = send(link->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        size_t done = sent > 0 ? (size_t)sent : 0;
        /* A link that is broken is dropped when epoll tells. */
        if (done == len || (sent < 0 && errno != EAGAIN && errno != EINTR))
                return;
        if (!link->out)
                link->out = malloc(READ);
        if (!link->out)
                return;
        memcpy(link->out, data + done, len - done);
        link->out_at = 0;
        link->out_len = len - done;
        watch(server, link);
}

static void flush_link(struct server *server, struct link *link) {
        ssize_t sent = send(link->fd, link->out + link->out_at, link->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0)
                return;
        link->out_at += (size_t)sent;
        link->out_len -= (size_t)sent;
        if (link->out_len > 0)
                return;
        watch(server, link);
        resume(server, &server->channels[link->channel], !link->side);
}

/* Follows the lengths. */
static void follow(struct link *link, const unsigned char *data, size_t len) {
        while (len > 0) {
                size_t step;
                if (link->left > 0) {
                        step = link->left < len ? (size_t)link->left : len;
                        link->left -= step;
                } else if (link->head_len == 0 && len >= 4) {
                        link->left = bench_relay_get(data);
                        step = 4;
                } else {
                        link->head[link->head_len++] = *data;
                        step = 1;
                        if (link->head_len == 4) {
                                link->left = bench_relay_get(link->head);
                                link->head_len = 0;
                        }
                }
                data += step;
                len -= step;
        }
}

static void forward(struct server *server, struct link *link, const unsigned char *data, size_t len) {
        struct channel *channel = &server->channels[link->channel];
        bool full = false, owned = channel->owner[link->side] != NULL;
        follow(link, data, len);
        for (struct link *to = channel->ends[!link->side]; to; to = to->next) {
                send_to(server, to, data, len);
                full |= to->out_len > 0;
        }
        channel->owner[link->side] = link->left > 0 || link->head_len > 0 ? link : NULL;
        if (full)
                pause_link(server, link);
        else if (owned && !channel->owner[link->side])
                resume(server, channel, link->side);
}

/* Returns false where it does not keep to the rules. */
static bool greet(struct server *server, struct link *link, const unsigned char *data, size_t len) {
        unsigned char welcome[BENCH_RELAY_WELCOME] = {0, 0, 0, 1, 0};
        /* Nobody sends more before the welcome. */
        if (len > BENCH_RELAY_HELLO - link->head_len)
                return false;
        memcpy(link->head + link->head_len, data, len);
        link->head_len += (unsigned)len;
        if (link->head_len < BENCH_RELAY_HELLO)
                return true;
        link->channel = bench_relay_get(link->head + 4);
        link->side = bench_relay_get(link->head + 8);
        link->head_len = 0;
        if (link->channel >= BENCH_RELAY_CHANNELS || link->side >= BENCH_RELAY_SIDES)
                return false;
        struct channel *channel = &server->channels[link->channel];
        link->greeted = true;
        link->next = channel->ends[link->side];
        channel->ends[link->side] = link;
        send_to(server, link, welcome, sizeof(welcome));
        return true;
}

static void on_readable(struct server *server, struct link *link) {
        if (link->greeted) {
                const struct channel *channel = &server->channels[link->channel];
                const struct link *owner = channel->owner[link->side];
                bool full = false;
                for (const struct link *to = channel->ends[!link->side]; to; to = to->next)
                        full |= to->out_len > 0;
                if (full || (owner && owner != link)) {
                        pause_link(server, link);
                        return;
                }
        }
        ssize_t got = recv(link->fd, server->buffer, READ, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (got > 0 && link->greeted)
                forward(server, link, server->buffer, (size_t)got);
        else if (got <= 0 || !greet(server, link, server->buffer, (size_t)got))
                drop(server, link);
}

static void accept_all(struct server *server) {
        struct ucred who;
        socklen_t len = sizeof(who);
        int fd;
        while ((fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
                /* A stranger has no business here. */
                bool mine = server->tcp ||
                            (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 && who.uid == geteuid());
                struct link *link = mine ? calloc(1, sizeof(*link)) : NULL;
                if (!link) {
                        close(fd);
                        continue;
                }
                link->fd = fd;
                bench_relay_prepare(fd, server->tcp);
                struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = link}};
                if (epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
                        drop(server, link);
        }
}

__attribute__((noreturn)) static void serve(struct server *server) {
        for (;;) {
                int count = bench_spin(&server->spin, look, server);
                for (int i = 0; i < count; i++) {
                        const struct epoll_event *event = &server->events[i];
                        struct link *link = event->data.ptr;
                        if (!link) {
                                accept_all(server);
                                continue;
                        }
                        if (event->events & EPOLLOUT)
                                flush_link(server, link);
                        if (event->events & (EPOLLERR | EPOLLHUP) && link->paused)
                                drop(server, link);
                        else if (event->events & (EPOLLIN | EPOLLERR | EPOLLHUP))
                                on_readable(server, link);
                }
        }
}

/* ---- the process ---- */

static int listen_on(struct bench_relay *relay, bool tcp) {
        struct sockaddr_un local = {.sun_family = AF_UNIX};
        struct sockaddr_in net = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
        struct sockaddr *address = tcp ? (void *)&net : (void *)&local;
        /* The family alone: the kernel chooses a name that nobody else has, and that goes with the socket. */
        socklen_t len = tcp ? (socklen_t)sizeof(net) : (socklen_t)sizeof(sa_family_t);
        int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        socklen_t room = sizeof(relay->address);
        if (bind(fd, address, len) < 0 || listen(fd, SOMAXCONN) < 0 ||
            getsockname(fd, (void *)relay->address, &room) < 0) {
                int r = -errno;
                close(fd);
                return r;
        }
        relay->address_len = room;
        return fd;
}

__attribute__((noreturn)) static void become(int listener, bool tcp, bool spin, int cpu, pid_t like, pid_t parent) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(1);
        signal(SIGINT, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        signal(SIGTERM, SIG_DFL);
        cpu_set_t set;
        if (like > 0 && sched_getaffinity(like, sizeof(set), &set) == 0)
                sched_setaffinity(0, sizeof(set), &set);
        else
                bench_pin_to(0, cpu);
        struct rlimit limit;
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                setrlimit(RLIMIT_NOFILE, &limit);
        }
        struct server *server = calloc(1, sizeof(*server));
        if (!server)
                _exit(1);
        server->epoll = epoll_create1(EPOLL_CLOEXEC);
        server->listener = listener;
        server->tcp = tcp;
        server->spin.on = spin;
        struct epoll_event event = {.events = EPOLLIN};
        if (epoll_ctl(server->epoll, EPOLL_CTL_ADD, listener, &event) < 0)
                _exit(1);
        serve(server);
}

int bench_relay_start(struct bench_relay *relay, bool tcp, bool spin, int cpu, pid_t like) {
        int listener = listen_on(relay, tcp);
        if (listener < 0)
                return listener;
        pid_t parent = getpid();
        relay->pid = fork();
        if (relay->pid == 0)
                become(listener, tcp, spin, cpu, like, parent);
        int r = relay->pid < 0 ? -errno : 0;
        close(listener);
        return r;
}

void bench_relay_stop(struct bench_relay *relay) {
        if (relay->pid <= 0)
                return;
        kill(relay->pid, SIGKILL);
        while (waitpid(relay->pid, NULL, 0) < 0 && errno == EINTR)
                ;
        relay->pid = 0;
}

int bench_relay_cpu(const struct bench_relay *relay, uint64_t *ns) {
        clockid_t clock;
        struct timespec used;
        int r = clock_getcpuclockid(relay->pid, &clock);
        if (r != 0)
                return -r;
        if (clock_gettime(clock, &used) < 0)
                return -errno;
        *ns = (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
        return 0;
}
