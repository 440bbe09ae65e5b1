/* SPDX-License-Identifier: MIT */
/* interests.c - the rate of one subject, before and after many others have subscribed to something else. */
#define _GNU_SOURCE
#include "bench.h"
#include <stdio.h>
#include <unistd.h>

#define SUBCONNS 4

static void subs_main(int arg) {
        (void)arg;
        peer_conn *c[SUBCONNS];
        unsigned per = opt.subs / SUBCONNS;
        for (int i = 0; i < SUBCONNS; i++)
                if (!(c[i] = peer.connect(opt.addr, ROLE_IDLE)))
                        child_fail("subs connect");
        shm->ready++;
        while (!shm->go)
                msleep(1);
        uint64_t t0 = now();
        for (unsigned i = 0; i < SUBCONNS; i++)
                if (peer.subscribe_many(c[i], "many.s", i * per, per) < 0)
                        child_fail("subscribe_many");
        for (unsigned i = 0; i < SUBCONNS; i++)
                if (peer.sync && peer.sync(c[i]) < 0)
                        child_fail("sync");
        shm->sink[1].done_ns = now() - t0;
        shm->ready++;
        while (!shm->quit)
                msleep(5); /* these connections are silent from here on */
}

void scen_many(void) {
        sample_t a, b, c, d;
        opt.nsinks = 1;
        spawn(sink_main, 0);
        wait_for(&shm->ready, 1, 10, "sink not ready");
        spawn(subs_main, 0);
        wait_for(&shm->ready, 2, 10, "subscribers not ready");
        spawn(source_main, 0);
        wait_for(&shm->src_ready, 1, 12, "source not ready");
        shm->start = 1;
        measure(&a, &b);
        shm->pause = 1;
        wait_for(&shm->paused, 1, 10, "source did not pause");
        int lost = drained();
        msleep(100);
        long r0 = broker_rss_kb();
        double c0 = broker_cpu();
        shm->go = 1;
        wait_for(&shm->ready, 3, 120, "subscriptions took too long");
        msleep(200);
        double c1 = broker_cpu();
        long r1 = broker_rss_kb();
        shm->pause = 0;
        measure(&c, &d);
        shm->stop = 1;
        wait_for(&shm->src_done, 1, 15, "source did not finish");
        lost |= drained();
        head();
        printf(",\"subs\":%u,\"window\":%llu", opt.subs, (unsigned long long)opt.window);
        emit_rate("_1sub", &a, &b);
        emit_rate("", &c, &d);
        double ra = (double)(b.recv - a.recv) / (b.t - a.t), rb = (double)(d.recv - c.recv) / (d.t - c.t);
        printf(",\"hot_ratio\":%.4f,\"rss_bytes_per_sub\":%.1f,\"subs_per_s\":%.0f,\"broker_cpu_us_per_sub\":%.3f",
               ra > 0 ? rb / ra : 0, (double)(r1 - r0) * 1024 / opt.subs,
               opt.subs / ((double)shm->sink[1].done_ns / 1e9), (c1 - c0) * 1e6 / opt.subs);
        printf(",\"sent\":%llu,\"received\":%llu,\"errors\":%llu,\"ok\":%s}\n", (unsigned long long)shm->sent,
               (unsigned long long)total_recv(), (unsigned long long)total_errs(),
               !lost && !total_errs() ? "true" : "false");
}
