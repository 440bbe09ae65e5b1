/* SPDX-License-Identifier: MIT */
/* connections.c - many connections that say nothing, once they are there. */
#define _GNU_SOURCE
#include "bench.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define IDLEPROCS 4

static int subscribing; /* to one subject each; set before the children are there */

static void idle_main(int k) {
        unsigned per = opt.conns / IDLEPROCS;
        peer_conn **c = calloc(per, sizeof *c);
        char subj[64];
        if (!c)
                child_fail("memory");
        shm->ready++;
        while (!shm->go)
                msleep(0.2);
        for (unsigned i = 0; i < per; i++) {
                if (!(c[i] = peer.connect(opt.addr, ROLE_IDLE)))
                        child_fail("idle connect");
                snprintf(subj, sizeof subj, "idle.c%u", (unsigned)k * per + i);
                if (subscribing && peer.subscribe(c[i], subj, on_msg, NULL) < 0)
                        child_fail("idle subscribe");
        }
        for (unsigned i = 0; i < per; i++)
                if (subscribing && peer.sync && peer.sync(c[i]) < 0)
                        child_fail("idle sync");
        shm->sink[k].done_ns = now();
        shm->ready++;
        while (!shm->quit)
                msleep(5);
        _exit(0);
}

static void hold(void) {
        for (int i = 0; i < IDLEPROCS; i++)
                spawn(idle_main, i);
        wait_for(&shm->ready, IDLEPROCS, 10, "idle clients not ready");
        msleep(100);
        long r0 = broker_rss_kb();
        double c0 = broker_cpu();
        uint64_t t0 = now(), t1 = 0;
        shm->go = 1;
        wait_for(&shm->ready, 2 * IDLEPROCS, 90, "connections took too long");
        for (int i = 0; i < IDLEPROCS; i++)
                if (shm->sink[i].done_ns > t1)
                        t1 = shm->sink[i].done_ns;
        msleep(300);
        long r1 = broker_rss_kb();
        double c1 = broker_cpu();
        unsigned n = opt.conns / IDLEPROCS * IDLEPROCS;
        head();
        printf(",\"conns\":%u,\"rss_kib_per_conn\":%.3f,\"conns_per_s\":%.0f,\"broker_cpu_us_per_conn\":%.2f,"
               "\"rss_before_kb\":%ld,\"rss_after_kb\":%ld,\"ok\":true}\n",
               n, (double)(r1 - r0) / n, n / ((double)(t1 - t0) / 1e9), (c1 - c0) * 1e6 / n, r0, r1);
}

void scen_connect(void) {
        hold();
}

void scen_idle(void) {
        subscribing = 1;
        hold();
}
