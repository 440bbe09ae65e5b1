/* SPDX-License-Identifier: MIT */
/* Tells whoever started us that we listen, and that we stop: a service manager through NOTIFY_SOCKET, anybody through
 * the descriptor of --ready-fd. A lost notification is never an error of the broker's. */
#ifndef RAMAL_NOTIFY_H
#define RAMAL_NOTIFY_H

#include <stddef.h>

#include "io/failure.h"
#include "log.h"

/* Sends one datagram to the socket that NOTIFY_SOCKET names (NULL: nobody asked). */
void notify_manager(struct log *, const char *socket_name, const char *text);

/* Is it open for writing? -1 = none was given. Returns 0 or failure_set(). */
int notify_check_ready_fd(int fd, struct failure *);
/* Writes one address a line and closes the descriptor (unless it is 0, 1 or 2). */
void notify_ready_fd(struct log *, int fd, const char *const *addresses, size_t count);

#endif
