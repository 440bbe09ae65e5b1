/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "notify.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int send_datagram(const char *name, const char *text) {
        struct sockaddr_un sun = {.sun_family = AF_UNIX};
        size_t len = strlen(name);
        if ((name[0] != '/' && name[0] != '@') || len >= sizeof(sun.sun_path))
                return -EINVAL;
        memcpy(sun.sun_path, name, len);
        if (name[0] == '@')
                sun.sun_path[0] = '\0';
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
        ssize_t n = sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&sun, size);
        int r = n < 0 ? -errno : 0;
        close(fd);
        return r;
}

void notify_manager(struct log *log, const char *socket_name, const char *text) {
        char why[80];
        if (!socket_name)
                return;
        int r = send_datagram(socket_name, text);
        if (r < 0)
                log_event(log, LOG_LEVEL_WARNING, "notify-failed", LOG_TEXT("socket", socket_name),
                          LOG_TEXT("error", failure_errno(r, why, sizeof(why))));
}

int notify_check_ready_fd(int fd, struct failure *failure) {
        if (fd < 0)
                return 0;
        int flags = fcntl(fd, F_GETFL);
        if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY)
                return 0;
        return failure_set(failure, EXIT_USAGE, "--ready-fd: descriptor %d is not open for writing", fd);
}

void notify_ready_fd(struct log *log, int fd, const char *const *addresses, size_t count) {
        char line[512], why[80];
        for (size_t i = 0; i < count; i++) {
                int len = snprintf(line, sizeof(line), "%s\n", addresses[i]);
                struct pollfd ready = {.fd = fd, .events = POLLOUT};
                ssize_t n = -1;
                int error = EAGAIN;
                if (poll(&ready, 1, 0) == 1) { /* a reader that does not read shall not hold up the bus */
                        n = write(fd, line, (size_t)len);
                        error = errno;
                }
                if (n != len) {
                        log_event(log, LOG_LEVEL_WARNING, "ready-failed", LOG_NUMBER("fd", (uint64_t)fd),
                                  LOG_TEXT("error", failure_errno(error, why, sizeof(why))));
                        break;
                }
        }
        if (fd > 2)
                close(fd);
}
