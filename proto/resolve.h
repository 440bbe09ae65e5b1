/* SPDX-License-Identifier: MIT */
/* Host and service names, through getaddrinfo. Blocks where it must ask a name server; numeric ones never do. */
#ifndef RML_RESOLVE_H
#define RML_RESOLVE_H

#include "addr.h"

struct rml_endpoint {
        int family;
        socklen_t len;
        struct sockaddr_storage sockaddr;
};

/* passive: for bind. Returns how many endpoints were written (at least 1, at most max, no two alike), or -ENOENT (no
 * such host), -ESRCH (no such service), -EAGAIN (name server), -EIO with one line in err. */
int rml_resolve(const struct rml_addr *, bool passive, struct rml_endpoint *ret, size_t max, char *err,
                size_t err_size);

#endif
