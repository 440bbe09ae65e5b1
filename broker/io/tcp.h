/* SPDX-License-Identifier: MIT */
/* Listening TCP sockets. CMake takes tcp.c, or tcp_none.c in a build without TCP. */
#ifndef RAMAL_TCP_H
#define RAMAL_TCP_H

#include <stdbool.h>
#include <stddef.h>

#include "addr.h"
#include "failure.h"
#include "log.h"

#define TCP_ENDPOINTS_MAX 16u /* that one host name may stand for */

/* Is TCP in this build? */
bool tcp_supported(void);

/* Binds and listens on every endpoint that the address stands for. A name's endpoints of a family that this machine
 * does not have are left out with a line of log; with `optional` that may be all of them. Returns how many
 * descriptors were written to fds, or failure_set() (and none is open). */
int tcp_listen(const struct rml_addr *, bool optional, struct log *, int fds[TCP_ENDPOINTS_MAX], struct failure *);

/* May others than this machine reach it? */
bool tcp_exposed(const struct sockaddr *);

#endif
