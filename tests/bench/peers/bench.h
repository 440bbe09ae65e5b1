/* SPDX-License-Identifier: MIT */
/* bench.h - what the files of the driver share: the options, the counters in shared memory, clocks and children. */
#ifndef BENCH_H
#define BENCH_H
#include "peer.h"
#include <stdatomic.h>
#include <sys/types.h>

#define MAXSINK 16
#define HOT "bench.hot" /* what the messages are published under */
#define SVC "bench.svc" /* what is called */

/* One source or sink. */
typedef struct {
        _Alignas(64) _Atomic uint64_t recv;
        _Atomic uint64_t errs, probes, done_ns;
        _Atomic int pid;
} stat_t;

typedef struct {
        _Atomic int ready, src_ready, start, pause, paused, stop, src_done, quit, failed, go;
        _Alignas(64) _Atomic uint64_t sent;
        _Alignas(64) _Atomic uint32_t waiting;
        _Atomic uint64_t wake_at, stalls;
        stat_t sink[MAXSINK];
        stat_t src;
        _Alignas(64) _Atomic uint64_t nlat;
} shm_t;

/* What the command line and the scenario say; the same from before the first child on. */
typedef struct {
        const char *addr, *scenario;
        int nsinks, bpid[4], nbpid;
        size_t size;
        double seconds;
        uint64_t window;
        unsigned subs, conns;
} opt_t;

/* All counters and clocks at one moment. */
typedef struct {
        double t, bcpu, src, snk;
        uint64_t recv;
        unsigned long long steal, busy, tot;
} sample_t;

extern shm_t *shm;
extern opt_t opt;

/* children.c */
void cleanup(void);                          /* ends all children */
_Noreturn void die(const char *what);        /* of the parent: a result that is not ok */
_Noreturn void child_fail(const char *what); /* of a child */
void spawn(void (*fn)(int), int arg);
void reap(void);
void wait_for(_Atomic int *v, int want, double max_s, const char *what);

/* measure.c */
uint64_t now(void); /* nanoseconds */
void msleep(double ms);
double broker_cpu(void); /* user + system of all its threads, seconds */
long broker_rss_kb(void);
sample_t sample(void);
void measure(sample_t *a, sample_t *b); /* at the start and at the end of the steady state */
uint64_t total_recv(void);
uint64_t total_errs(void);
int drained(void);
void head(void); /* how every result begins */
void emit_rate(const char *sfx, const sample_t *a, const sample_t *b);

/* publish.c */
void on_msg(void *user, const peer_msg *m);
void sink_main(int i);
void source_main(int arg);
void scen_pub(void);

/* interests.c, connections.c, calls.c */
void scen_many(void);
void scen_connect(void);
void scen_idle(void);
void scen_rtt(void);
void scen_pipe(void);
#endif
