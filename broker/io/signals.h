/* SPDX-License-Identifier: MIT */
/* Signals as events of the loop. SIGTERM and SIGINT stop the broker, a second one at once; SIGHUP has no meaning yet
 * (the configuration is read once, at the start) and is logged and left; SIGPIPE is ignored. */
#ifndef RAMAL_SIGNALS_H
#define RAMAL_SIGNALS_H

#include "loop.h"

typedef void (*signals_fn)(void *user, int signal);

struct signals {
        struct loop *loop;
        struct loop_source source;
        int fd;
        signals_fn fn;
        void *user;
};

/* Returns 0 or -errno. From here on they are blocked for the process, also while it still starts. */
int signals_init(struct signals *, struct loop *, signals_fn fn, void *user);
void signals_deinit(struct signals *);

#endif
