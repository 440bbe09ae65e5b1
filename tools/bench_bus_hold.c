/* SPDX-License-Identifier: MIT */
/* The ends of the bus that send no messages: they connect, and hold connections and interests. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "bench_bus.h"

/* The broker does not read who leaves its answers unread. */
enum { SUBSCRIBE_BATCH = 256 };

/* ---- connect ---- */

static int connect_once(struct bench_task *task) {
        ramal_conn *conn;
        uint64_t before = ramal_now();
        bench_count(&task->self->sent, 1);
        int r = bench_bus_open(task, &conn, NULL, NULL);
        if (r < 0)
                return r;
        bench_track_answered(task, before, ramal_now());
        ramal_close(conn);
        return 0;
}

int bench_bus_connector(struct bench_task *task) {
        uint64_t sent = 0;
        int r = 0;
        bool go = bench_task_ready(task);
        while (go && r >= 0) {
                uint64_t order = atomic_load(&task->shared->order);
                if (bench_task_may_send(task, sent)) {
                        atomic_store(&task->self->start_ns, ramal_now());
                        for (; r >= 0 && bench_task_may_send(task, sent); sent++)
                                r = connect_once(task);
                        continue;
                }
                atomic_store(&task->self->done, order);
                go = bench_task_phase(task) != BENCH_QUIT;
                bench_task_pause();
        }
        return r;
}

/* ---- hold ---- */

/* What could not be had is told, and is no failure: the parent says how many there are. */
static unsigned open_many(struct bench_task *task, ramal_conn **conns) {
        unsigned count = 0;
        while (count < task->share && bench_task_phase(task) == BENCH_GO &&
               bench_bus_open(task, &conns[count], NULL, NULL) == 0) {
                count++;
                bench_count(&task->self->messages, 1);
        }
        atomic_store(&task->self->failed, false);
        return count;
}

int bench_bus_idler(struct bench_task *task) {
        struct rlimit limit;
        unsigned count = 0;
        ramal_conn **conns = calloc(task->share + 1, sizeof(*conns));
        if (!conns)
                return bench_task_fail(task, "no memory");
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                setrlimit(RLIMIT_NOFILE, &limit);
        }
        if (bench_task_ready(task))
                count = open_many(task, conns);
        atomic_store(&task->self->done, atomic_load(&task->shared->order));
        while (bench_task_phase(task) != BENCH_QUIT)
                bench_task_pause();
        for (unsigned i = 0; i < count; i++)
                ramal_close(conns[i]);
        free(conns);
        return 0;
}

static void on_cold(ramal_conn *conn, const ramal_msg *msg, void *user) {
        struct bench_task *task = user;
        (void)conn;
        (void)msg;
        bench_count(&task->self->wrong, 1);
}

static int subscribe_many(struct bench_task *task, ramal_conn *conn) {
        char pattern[96];
        int r = 0;
        for (uint64_t i = 0; r >= 0 && i < task->job->point->interests; i++) {
                snprintf(pattern, sizeof(pattern), "%s.cold.%" PRIu64, task->job->subject, i);
                if (i % SUBSCRIBE_BATCH == 0)
                        ramal_cork(conn);
                r = ramal_subscribe(conn, pattern, on_cold, task, NULL);
                if (i % SUBSCRIBE_BATCH == SUBSCRIBE_BATCH - 1 || i + 1 == task->job->point->interests) {
                        ramal_uncork(conn);
                        if (r >= 0)
                                r = ramal_sync(conn, ramal_in_ms(BENCH_BUS_SETTLE_MS));
                }
                if (bench_task_phase(task) == BENCH_QUIT)
                        return 0;
                if (r >= 0)
                        bench_count(&task->self->messages, 1);
        }
        return r;
}

int bench_bus_holder(struct bench_task *task) {
        ramal_conn *conn = NULL;
        int r = 0;
        bool go = bench_task_ready(task);
        while (go && r >= 0) {
                uint64_t order = atomic_load(&task->shared->order);
                bool hold = atomic_load(&task->shared->hold);
                if (hold && !conn) {
                        if (bench_bus_open(task, &conn, NULL, NULL) < 0)
                                return -1;
                        r = subscribe_many(task, conn);
                        continue;
                }
                if (!hold && conn) {
                        ramal_close(conn);
                        conn = NULL;
                }
                atomic_store(&task->self->done, order);
                go = bench_task_phase(task) != BENCH_QUIT;
                if (conn)
                        r = ramal_wait(conn, bench_bus_soon());
                else
                        bench_task_pause();
        }
        if (r < 0)
                bench_bus_lost(task, conn, r);
        ramal_close(conn);
        return 0;
}
