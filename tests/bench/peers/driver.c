/* SPDX-License-Identifier: MIT */
/* driver.c - what is asked of every peer: one scenario, then one JSON object on standard output. See README.md.
 *
 *   bench-NAME --scenario S --addr A --broker-pid P [--seconds T] [--conns N] [--subs N] [--window N] [--size BYTES]
 *              [--sinks N]
 *
 * Each source and each sink is its own process, forked before any client library has been touched; they share one
 * anonymous mapping of counters with the parent, which only samples clocks. */
#define _GNU_SOURCE
#include "payload.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

shm_t *shm;
opt_t opt = {.seconds = 1.5, .subs = 100000, .conns = 5000};
unsigned char *tmpl;

typedef struct {
        const char *name;
        size_t size;
        int sinks;
        void (*fn)(void);
} scenario_t;

static const scenario_t scenarios[] = {
        {"rtt", 64, 1, scen_rtt},        {"rtt_pipelined", 64, 1, scen_pipe}, {"pub_64", 64, 1, scen_pub},
        {"pub_1k", 1024, 1, scen_pub},   {"pub_64k", 65536, 1, scen_pub},     {"pub_1m", 1048576, 1, scen_pub},
        {"fanout_8", 256, 8, scen_pub},  {"connect", 64, 0, scen_connect},    {"idle_conns", 64, 0, scen_idle},
        {"many_subs", 64, 1, scen_many},
};

static const scenario_t *find(const char *name) {
        for (size_t i = 0; name && i < sizeof scenarios / sizeof *scenarios; i++)
                if (!strcmp(scenarios[i].name, name))
                        return &scenarios[i];
        return NULL;
}

/* 0, or -1 for an option that is none. window: -1 unless it was given; size and sinks: 0 unless. */
static int options(int argc, char **argv, double *window, size_t *size, int *sinks) {
        *window = -1;
        *size = 0;
        *sinks = 0;
        for (int i = 1; i + 1 < argc; i += 2) {
                const char *k = argv[i], *v = argv[i + 1];
                if (!strcmp(k, "--scenario"))
                        opt.scenario = v;
                else if (!strcmp(k, "--addr"))
                        opt.addr = v;
                else if (!strcmp(k, "--seconds"))
                        opt.seconds = atof(v);
                else if (!strcmp(k, "--conns"))
                        opt.conns = (unsigned)atoi(v);
                else if (!strcmp(k, "--subs"))
                        opt.subs = (unsigned)atoi(v);
                else if (!strcmp(k, "--window"))
                        *window = atof(v);
                else if (!strcmp(k, "--size"))
                        *size = (size_t)atol(v);
                else if (!strcmp(k, "--sinks"))
                        *sinks = atoi(v);
                else if (!strcmp(k, "--broker-pid") && opt.nbpid < 4)
                        opt.bpid[opt.nbpid++] = atoi(v);
                else
                        return -1;
        }
        return opt.addr && *sinks <= MAXSINK && (*size == 0 || *size >= 32) ? 0 : -1;
}

static void window_for(double given) {
        opt.window = peer.win_msgs;
        if (peer.win_bytes && opt.window > peer.win_bytes / opt.size)
                opt.window = peer.win_bytes / opt.size;
        if (given >= 0)
                opt.window = (uint64_t)given; /* tuning by hand */
        if (peer.win_msgs && opt.window < 2)
                opt.window = 2;
}

int main(int argc, char **argv) {
        double window;
        size_t size;
        int sinks;
        const scenario_t *s;
        if (options(argc, argv, &window, &size, &sinks) < 0 || !(s = find(opt.scenario))) {
                fprintf(stderr, "bench-%s: needs --scenario and --addr; see driver.c\n", peer.name);
                return 2;
        }
        signal(SIGPIPE, SIG_IGN);
        shm = mmap(NULL, sizeof *shm, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if ((size || sinks) && s->fn != scen_pub)
                die("--size and --sinks are for the scenarios pub_... and fanout_8 alone");
        opt.size = size ? size : s->size;
        opt.nsinks = sinks ? sinks : s->sinks;
        tmpl = malloc(opt.size);
        if (shm == MAP_FAILED || !tmpl)
                die("no memory");
        for (size_t i = 0; i < opt.size; i++)
                tmpl[i] = (unsigned char)(i * 31 + 7);
        window_for(window);
        if (s->fn == scen_many && !peer.subscribe_many)
                die("not applicable");
        s->fn();
        fflush(stdout);
        shm->quit = 1;
        msleep(5);
        reap();
        return 0;
}
