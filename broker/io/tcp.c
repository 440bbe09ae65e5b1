/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "resolve.h"
#include "wire.h"

#define ADDRESS_BYTES 384u

bool tcp_supported(void) {
        return true;
}

/* The numbers in a small file of /proc. Returns how many were read. */
static int read_numbers(const char *path, unsigned *a, unsigned *b) {
        char text[64];
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return 0;
        ssize_t n = read(fd, text, sizeof(text) - 1);
        close(fd);
        if (n <= 0)
                return 0;
        text[n] = '\0';
        int found = sscanf(text, "%u %u", a, b);
        return found < 0 ? 0 : found;
}

static unsigned port_of(const struct rml_endpoint *endpoint) {
        in_port_t port = 0;
        if (endpoint->family == AF_INET) {
                struct sockaddr_in sin;
                memcpy(&sin, &endpoint->sockaddr, sizeof(sin));
                port = sin.sin_port;
        } else if (endpoint->family == AF_INET6) {
                struct sockaddr_in6 sin6;
                memcpy(&sin6, &endpoint->sockaddr, sizeof(sin6));
                port = sin6.sin6_port;
        }
        return ntohs(port);
}

bool tcp_exposed(const struct sockaddr *sockaddr) {
        if (sockaddr->sa_family == AF_INET) {
                struct sockaddr_in sin;
                memcpy(&sin, sockaddr, sizeof(sin));
                return ntohl(sin.sin_addr.s_addr) >> 24 != 127;
        }
        if (sockaddr->sa_family == AF_INET6) {
                struct sockaddr_in6 sin6;
                memcpy(&sin6, sockaddr, sizeof(sin6));
                return !IN6_IS_ADDR_LOOPBACK(&sin6.sin6_addr);
        }
        return false;
}

/* Does the kernel have no such family, or no such address of it? */
static bool absent(int error) {
        return error == EAFNOSUPPORT || error == EADDRNOTAVAIL || error == EPROTONOSUPPORT;
}

static int explain_bind(const char *address, unsigned port, int error, struct failure *failure) {
        char why[80], threshold[96] = "";
        unsigned first = 0, unused;
        if (error == EADDRINUSE)
                return failure_set(
                        failure, EXIT_SYSTEM,
                        "cannot listen on %s: another program has port %u; stop it (ss -ltnp shows which), or "
                        "choose another port, or 0 for any",
                        address, port);
        if (error == EACCES || error == EPERM) {
                if (read_numbers("/proc/sys/net/ipv4/ip_unprivileged_port_start", &first, &unused) > 0)
                        snprintf(threshold, sizeof(threshold), " (here ports from %u on are free for all)", first);
                return failure_set(failure, EXIT_SYSTEM,
                                   "cannot listen on %s: %s: port %u needs the right CAP_NET_BIND_SERVICE%s; choose "
                                   "another port, or 0 for any",
                                   address, failure_errno(error, why, sizeof(why)), port, threshold);
        }
        if (absent(error))
                return failure_set(
                        failure, EXIT_SYSTEM,
                        "cannot listen on %s: this machine has no such address: %s; ip address shows those it has",
                        address, failure_errno(error, why, sizeof(why)));
        return failure_set(failure, EXIT_SYSTEM, "cannot listen on %s: %s", address,
                           failure_errno(error, why, sizeof(why)));
}

/* Returns a listening socket or -errno. */
static int listen_on(const struct rml_endpoint *endpoint) {
        int fd = rml_wire_socket(endpoint->family);
        if (fd < 0)
                return fd;
        const int on = 1;
        int r = 0;
        /* A restart must not wait for the last one's connections to be forgotten; no two can listen with it. */
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
                r = -errno;
        if (r == 0 && endpoint->family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
                r = -errno;
        if (r == 0 && bind(fd, (const struct sockaddr *)&endpoint->sockaddr, endpoint->len) < 0)
                r = -errno;
        if (r == 0 && listen(fd, SOMAXCONN) < 0)
                r = -errno;
        if (r == 0)
                return fd;
        close(fd);
        return r;
}

static void warn_ephemeral(const char *address, unsigned port, struct log *log) {
        unsigned low, high;
        if (port != 0 && read_numbers("/proc/sys/net/ipv4/ip_local_port_range", &low, &high) == 2 && port >= low &&
            port <= high)
                log_event(log, LOG_LEVEL_WARNING, "ephemeral-port", LOG_TEXT("address", address),
                          LOG_NUMBER("low", low), LOG_NUMBER("high", high),
                          LOG_TEXT("hint", "the kernel gives ports of this range to outgoing connections, so it may be "
                                           "taken at the next start"));
}

int tcp_listen(const struct rml_addr *addr, bool optional, struct log *log, int fds[TCP_ENDPOINTS_MAX],
               struct failure *failure) {
        struct rml_endpoint endpoints[TCP_ENDPOINTS_MAX];
        char why[256], address[ADDRESS_BYTES];
        int n = rml_resolve(addr, true, endpoints, TCP_ENDPOINTS_MAX, why, sizeof(why));
        if (n < 0) {
                rml_addr_format(addr, address, sizeof(address));
                return failure_set(failure, EXIT_UNAVAILABLE, "cannot listen on %s: %s", address, why);
        }
        int count = 0, r = 0;
        for (int i = 0; i < n; i++) {
                rml_addr_from_sockaddr((const struct sockaddr *)&endpoints[i].sockaddr, endpoints[i].len, address,
                                       sizeof(address));
                int fd = listen_on(&endpoints[i]);
                if (fd >= 0) {
                        fds[count++] = fd;
                        warn_ephemeral(address, port_of(&endpoints[i]), log);
                        continue;
                }
                r = explain_bind(address, port_of(&endpoints[i]), -fd, failure);
                if (!absent(-fd) || (n == 1 && !optional))
                        break;
                log_event(log, LOG_LEVEL_WARNING, "address-absent", LOG_TEXT("address", address),
                          LOG_TEXT("error", failure_errno(fd, why, sizeof(why))));
                if (optional || count > 0 || i + 1 < n)
                        r = 0;
        }
        if (r == 0)
                return count;
        for (int i = 0; i < count; i++)
                close(fds[i]);
        return r;
}
