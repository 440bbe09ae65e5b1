/* SPDX-License-Identifier: MIT */
/* The running broker: owns the core, the loop, the listeners and the sessions, and turns the wheel. */
#ifndef RAMAL_SERVER_H
#define RAMAL_SERVER_H

#include "config.h"
#include "io/failure.h"
#include "log.h"

/* Runs until a signal stops it. Returns an exit status; the reason of one that did not start is in *failure. */
int server_run(const struct config *, struct log *, struct failure *);

#endif
