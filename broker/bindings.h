/* SPDX-License-Identifier: MIT */
/* Where the broker is to be found: all its listening sockets and the token of the TCP ones. All or nothing. */
#ifndef RAMAL_BINDINGS_H
#define RAMAL_BINDINGS_H

#include "config.h"
#include "io/listener.h"
#include "token.h"

struct bindings {
        struct listeners listeners;
        struct token token;
        bool has_token;
        const char *addresses[LISTENERS_MAX + 1]; /* of the listeners, NULL-terminated */
        size_t address_count;
};

/* Inherited sockets (LISTEN_PID, LISTEN_FDS), those of the configuration, or the default. Returns 0 or
 * failure_set(). */
int bindings_open(struct bindings *, const struct config *, struct loop *, struct log *, struct failure *);
/* failed: the start failed, everything that was made goes. Accepts one that was never opened, all zero. */
void bindings_close(struct bindings *, bool failed);

#endif
