/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* struct ucred, secure_getenv */
#include "wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/check.h"

ssize_t rml_wire_recv(int fd, uint8_t *buf, size_t size) {
        ssize_t n;

        /* Plain recv: descriptors that somebody sends along are discarded by the kernel. */
        do
                n = recv(fd, buf, size, MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : n;
}

ssize_t rml_wire_send(int fd, const struct rml_span *spans, size_t n) {
        struct iovec parts[RML_SPANS_MAX];
        struct msghdr message = {.msg_iov = parts};

        rml_check(n <= RML_SPANS_MAX);
        for (size_t i = 0; i < n; i++) {
                /* sendmsg only reads; iovec cannot say so. */
                parts[i].iov_base = (void *)(uintptr_t)spans[i].data;
                parts[i].iov_len = spans[i].len;
        }
        message.msg_iovlen = n;

        ssize_t sent;
        do
                sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (sent < 0 && errno == EINTR);
        return sent < 0 ? -errno : sent;
}

/* All supplementary groups, or none: half a list would grant and deny by chance. */
static void read_groups(int fd, struct rml_creds *ret) {
        socklen_t len = sizeof(ret->groups);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, ret->groups, &len) < 0)
                return;
        ret->group_count = (unsigned)(len / sizeof(ret->groups[0]));
        ret->groups_known = true;
}

/* Nobody is at the other end, or nobody whom the kernel knows. */
static int why_nobody(int fd) {
        socklen_t len = sizeof(int);
        int domain;

        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0)
                return -errno;
        return domain == AF_UNIX ? -ENOTCONN : -ENOTSUP;
}

int rml_wire_user(int fd, struct rml_creds *ret) {
        struct ucred ucred;
        socklen_t len = sizeof(ucred);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &ucred, &len) < 0)
                return -errno;
        /* A socket that nobody is connected to has uid -1, and so has every one that is not a Unix socket. */
        if (len != sizeof(ucred) || ucred.uid == (uid_t)-1)
                return why_nobody(fd);
        ret->uid = ucred.uid;
        ret->gid = ucred.gid;
        ret->pid = ucred.pid;
        ret->group_count = 0;
        ret->groups_known = false;
        return 0;
}

int rml_wire_creds(int fd, struct rml_creds *ret) {
        int r = rml_wire_user(fd, ret);

        if (r == 0)
                read_groups(fd, ret);
        return r;
}

int rml_wire_buffer(int fd, unsigned buffer_bytes) {
        int bytes = buffer_bytes > INT32_MAX / 2 ? INT32_MAX / 2 : (int)buffer_bytes;

        /* The kernel cuts off silently what net.core.wmem_max does not allow. */
        return setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)) < 0 ? -errno : 0;
}

int rml_wire_tcp(int fd) {
        static const struct {
                int level, name, value;
        } options[] = {
                {IPPROTO_TCP, TCP_NODELAY, 1},
                {SOL_SOCKET, SO_KEEPALIVE, 1},
                /* A quiet connection to a machine that is gone ends after 20 + 3 * 10 seconds. TCP_USER_TIMEOUT would
                 * be sooner, but it also ends one whose other end is there and does not read. */
                {IPPROTO_TCP, TCP_KEEPIDLE, 20},
                {IPPROTO_TCP, TCP_KEEPINTVL, 10},
                {IPPROTO_TCP, TCP_KEEPCNT, 3},
        };

        for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
                if (setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int)) < 0)
                        return -errno;
        return 0;
}

int rml_wire_socket(int family) {
        int r = 0, fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0)
                return -errno;
        if (family == AF_INET || family == AF_INET6)
                r = rml_wire_tcp(fd);
        if (r < 0) {
                close(fd);
                return r;
        }
        return fd;
}

const char *rml_wire_environment(const char *name) {
        const char *value = secure_getenv(name);

        return value && value[0] ? value : NULL;
}

void rml_wire_place(struct rml_place *ret) {
        char directory[64];
        struct stat st;

        ret->address = rml_wire_environment("RAMAL_ADDRESS");
        ret->runtime_dir = rml_wire_environment("XDG_RUNTIME_DIR");
        ret->uid = geteuid();
        snprintf(directory, sizeof(directory), "/run/user/%u", ret->uid);
        ret->run_user_exists = stat(directory, &st) == 0 && S_ISDIR(st.st_mode);
}
