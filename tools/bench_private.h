/* SPDX-License-Identifier: MIT */
/* A broker for the time of a run: on a socket of its own in a new directory. A process in between, the keeper, ends it
 * and removes the directory as soon as ours has ended, in whatever way. */
#ifndef RAMAL_TOOLS_BENCH_PRIVATE_H
#define RAMAL_TOOLS_BENCH_PRIVATE_H

#include "ctl.h"

struct bench_private {
        pid_t keeper; /* 0: there is none */
        int hold;     /* the keeper goes when this is closed */
        char directory[80], address[128], token_file[96];
};

/* program: of --ramald, or NULL: the ramald beside us, else the one in PATH. Returns 0, or the exit status after having
 * said what is wrong. */
int bench_private_start(const struct ctl *ctl, const char *program, bool tcp, bool spin, struct bench_private *ret);
void bench_private_stop(struct bench_private *broker);

#endif
