/* SPDX-License-Identifier: MIT */
/* What the ends of the bus share. */
#ifndef RAMAL_TOOLS_BENCH_BUS_H
#define RAMAL_TOOLS_BENCH_BUS_H

#include <ramal/ramal.h>

#include "bench.h"

enum {
        BENCH_BUS_OPEN_MS = 10000,
        BENCH_BUS_SETTLE_MS = 10000,
        BENCH_BUS_LOOK_NS = 5000000 /* that often a receiver looks whether the round is over */
};

/* Returns 0, or -1 after having said why not. */
int bench_bus_open(struct bench_task *task, ramal_conn **conn, void *user, ramal_refused_fn on_refused);
/* bench_task_fail() for an errno of the library. err: what it filled, or NULL. Returns -1. */
int bench_bus_fail(struct bench_task *task, int code, const ramal_error *err);
/* The same for what the loop of a connection ended with: the connection knows more about it. */
int bench_bus_lost(struct bench_task *task, const ramal_conn *conn, int code);
/* When to look up again. */
uint64_t bench_bus_soon(void);

/* Roles: bench_bus_hold.c. */
int bench_bus_connector(struct bench_task *task);
int bench_bus_idler(struct bench_task *task);
int bench_bus_holder(struct bench_task *task);

#endif
