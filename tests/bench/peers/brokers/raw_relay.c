/* SPDX-License-Identifier: MIT */
/* raw_relay.c - the physical limit: relays u32-length-prefixed frames between
 * stream sockets. A connection says what it is with one byte and gets one back:
 *   'P' publisher: its bytes go to every 'S'       'S' subscriber
 *   'Q' requester: its bytes go to the 'R'         'R' responder: its bytes go to 'Q'
 * One blocking thread per P/Q/R connection: read (up to 256 KiB) -> write; two
 * system calls per batch and direction, no epoll. RAW_SPIN_US=n in the environment
 * polls the socket for n microseconds before it blocks. Frame lengths are followed (the
 * relay counts frames) and nothing else is looked at; one P or Q at a time. */
#define _GNU_SOURCE
#include "../peer.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUF (256 * 1024)
static int subs[70000], nsubs;
static int rq[2] = {-1, -1}; /* Q, R */
static unsigned long frames;

typedef struct {
        int fd;
        char role;
} conn;

static void *serve(void *arg) {
        conn c = *(conn *)arg;
        free(arg);
        unsigned char *b = malloc(BUF);
        uint64_t need = 0; /* bytes left of the current frame */
        unsigned char hdr[4];
        unsigned hn = 0;
        for (;;) {
                ssize_t n = spin_recv(c.fd, b, BUF);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                for (size_t i = 0; i < (size_t)n;) { /* follow the lengths */
                        if (need) {
                                size_t k = (size_t)n - i < need ? (size_t)n - i : need;
                                i += k;
                                need -= k;
                        } else if (hn == 0 && (size_t)n - i >= 4) {
                                uint32_t l;
                                memcpy(&l, b + i, 4);
                                i += 4;
                                need = l;
                                frames++;
                        } else {
                                hdr[hn++] = b[i++];
                                if (hn == 4) {
                                        uint32_t l;
                                        memcpy(&l, hdr, 4);
                                        need = l;
                                        hn = 0;
                                        frames++;
                                }
                        }
                }
                if (c.role == 'P') {
                        int k = __atomic_load_n(&nsubs, __ATOMIC_ACQUIRE);
                        for (int i = 0; i < k; i++)
                                write_all(subs[i], b, (size_t)n);
                } else {
                        int to = __atomic_load_n(&rq[c.role == 'Q'], __ATOMIC_ACQUIRE);
                        if (to >= 0)
                                write_all(to, b, (size_t)n);
                }
        }
        return NULL;
}

int main(int argc, char **argv) {
        if (argc < 2)
                return 2;
        signal(SIGPIPE, SIG_IGN);
        int l = listen_on(argv[1], 4096);
        if (l < 0) {
                perror("listen");
                return 1;
        }
        for (;;) {
                int fd = accept4(l, NULL, NULL, SOCK_CLOEXEC);
                char role;
                if (fd < 0)
                        continue;
                if (read(fd, &role, 1) != 1) {
                        close(fd);
                        continue;
                }
                int sz = 4 << 20;
                setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sz, sizeof sz); /* clamped to the system's maximum */
                if (role == 'S') {
                        subs[nsubs] = fd;
                        __atomic_store_n(&nsubs, nsubs + 1, __ATOMIC_RELEASE);
                } else {
                        conn *c = malloc(sizeof *c);
                        *c = (conn){fd, role};
                        if (role == 'Q')
                                __atomic_store_n(&rq[0], fd, __ATOMIC_RELEASE);
                        if (role == 'R')
                                __atomic_store_n(&rq[1], fd, __ATOMIC_RELEASE);
                        pthread_t t;
                        pthread_create(&t, NULL, serve, c);
                        pthread_detach(t);
                }
                write_all(fd, "k", 1);
        }
}
