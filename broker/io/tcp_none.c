/* SPDX-License-Identifier: MIT */
#include "tcp.h"

bool tcp_supported(void) {
        return false;
}

int tcp_listen(const struct rml_addr *addr, bool optional, struct log *log, int fds[TCP_ENDPOINTS_MAX],
               struct failure *failure) {
        (void)optional, (void)log, (void)fds;
        return failure_set(failure, EXIT_USAGE,
                           "cannot listen on tcp:%s:%s: this ramald was built without TCP (RAMAL_TCP=OFF)", addr->host,
                           addr->service);
}

bool tcp_exposed(const struct sockaddr *sockaddr) {
        (void)sockaddr;
        return false;
}
