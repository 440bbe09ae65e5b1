/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "peer.h"
#include <errno.h>
#include <sched.h>
#include <time.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int addr_is_unix(const char *a) {
        return strncmp(a, "unix:", 5) == 0;
}
const char *addr_path(const char *a) {
        return a + 5;
}

int addr_tcp(const char *a, char *host, size_t n) {
        const char *p = a + 4, *c = strrchr(p, ':');
        snprintf(host, n, "%.*s", (int)(c - p), p);
        return atoi(c + 1);
}

static int mk(const char *a, struct sockaddr_storage *ss, socklen_t *sl) {
        memset(ss, 0, sizeof *ss);
        if (addr_is_unix(a)) {
                struct sockaddr_un *u = (void *)ss;
                u->sun_family = AF_UNIX;
                snprintf(u->sun_path, sizeof u->sun_path, "%s", addr_path(a));
                *sl = sizeof *u;
                return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        }
        struct sockaddr_in *i = (void *)ss;
        char host[64];
        i->sin_family = AF_INET;
        i->sin_port = htons((uint16_t)addr_tcp(a, host, sizeof host));
        inet_pton(AF_INET, host, &i->sin_addr);
        *sl = sizeof *i;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        return fd;
}

int dial(const char *a) {
        struct sockaddr_storage ss;
        socklen_t sl;
        int fd = mk(a, &ss, &sl);
        for (int tries = 0; connect(fd, (void *)&ss, sl) < 0; tries++) {
                if ((errno != EAGAIN && errno != EINTR) || tries > 10000) {
                        close(fd);
                        return -1;
                }
                usleep(200); /* a unix listener's backlog is full */
        }
        return fd;
}

int listen_on(const char *a, int backlog) {
        struct sockaddr_storage ss;
        socklen_t sl;
        int fd = mk(a, &ss, &sl);
        if (bind(fd, (void *)&ss, sl) < 0 || listen(fd, backlog) < 0) {
                close(fd);
                return -1;
        }
        return fd;
}

int write_all(int fd, const void *buf, size_t len) {
        const char *p = buf;
        while (len) {
                ssize_t n = write(fd, p, len);
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return -1;
                }
                p += n;
                len -= (size_t)n;
        }
        return 0;
}

long spin_recv(int fd, void *buf, size_t len) {
        static long us = -1;
        if (us < 0)
                us = getenv("RAW_SPIN_US") ? atol(getenv("RAW_SPIN_US")) : 0;
        if (us) {
                struct timespec a, b;
                clock_gettime(CLOCK_MONOTONIC, &a);
                do {
                        ssize_t n = recv(fd, buf, len, MSG_DONTWAIT);
                        if (n >= 0 || errno != EAGAIN)
                                return n;
                        sched_yield();
                        clock_gettime(CLOCK_MONOTONIC, &b);
                } while ((b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000 < us);
        }
        return read(fd, buf, len);
}
