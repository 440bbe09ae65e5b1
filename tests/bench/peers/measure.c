/* SPDX-License-Identifier: MIT */
/* measure.c - clocks, counters and results. */
#define _GNU_SOURCE
#include "bench.h"
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

uint64_t now(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

void msleep(double ms) {
        struct timespec t = {(time_t)(ms / 1000), (long)((ms - 1000 * (long)(ms / 1000)) * 1e6)};
        while (nanosleep(&t, &t) < 0) {
        }
}

double cpu_of(int pid) { /* user+system of all threads, opt.seconds */
        clockid_t c;
        struct timespec t;
        if (pid <= 0 || clock_getcpuclockid(pid, &c) || clock_gettime(c, &t))
                return 0;
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double broker_cpu(void) {
        double s = 0;
        for (int i = 0; i < opt.nbpid; i++)
                s += cpu_of(opt.bpid[i]);
        return s;
}

static double sinks_cpu(void) {
        double s = 0;
        for (int i = 0; i < opt.nsinks; i++)
                s += cpu_of(shm->sink[i].pid);
        return s;
}

long broker_rss_kb(void) {
        long tot = 0;
        for (int i = 0; i < opt.nbpid; i++) {
                char p[64], line[256];
                snprintf(p, sizeof p, "/proc/%d/status", opt.bpid[i]);
                FILE *f = fopen(p, "r");
                if (!f)
                        continue;
                while (fgets(line, sizeof line, f)) {
                        long v;
                        if (sscanf(line, "VmRSS: %ld", &v) == 1)
                                tot += v;
                }
                fclose(f);
        }
        return tot;
}

/* whole machine, jiffies: stolen by the host, busy, and total of all CPUs */
static void machine(unsigned long long *steal, unsigned long long *busy, unsigned long long *tot) {
        unsigned long long v[8] = {0};
        FILE *f = fopen("/proc/stat", "r");
        *steal = *busy = *tot = 0;
        if (!f)
                return;
        if (fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", v, v + 1, v + 2, v + 3, v + 4, v + 5, v + 6,
                   v + 7) == 8)
                for (int i = 0; i < 8; i++)
                        *tot += v[i];
        *steal = v[7];
        *busy = v[0] + v[1] + v[2] + v[5] + v[6];
        fclose(f);
}

sample_t sample(void) {
        sample_t s;
        s.recv = 0;
        s.bcpu = broker_cpu();
        s.src = cpu_of(shm->src.pid);
        s.snk = sinks_cpu();
        for (int i = 0; i < opt.nsinks; i++)
                s.recv += shm->sink[i].recv;
        s.t = (double)now() / 1e9;
        machine(&s.steal, &s.busy, &s.tot);
        return s;
}

void measure(sample_t *a, sample_t *b) {
        msleep(300);
        *a = sample();
        msleep(opt.seconds * 1000);
        *b = sample();
        if (shm->failed)
                die("a client failed");
}

uint64_t total_recv(void) {
        uint64_t r = 0;
        for (int i = 0; i < opt.nsinks; i++)
                r += shm->sink[i].recv;
        return r;
}

int drained(void) { /* 0 when all sinks have all; else waits until no progress for 3 s */
        uint64_t last = 0, since = now();
        for (;;) {
                uint64_t r = total_recv();
                if (r >= shm->sent * (uint64_t)opt.nsinks)
                        return 0;
                if (r != last) {
                        last = r;
                        since = now();
                }
                if (now() - since > 3000000000ull || shm->failed)
                        return -1;
                msleep(1);
        }
}

uint64_t total_errs(void) {
        uint64_t e = 0;
        for (int i = 0; i < opt.nsinks; i++)
                e += shm->sink[i].errs;
        return e;
}

void emit_rate(const char *sfx, const sample_t *a, const sample_t *b) {
        double dt = b->t - a->t, n = (double)(b->recv - a->recv);
        double tot = (double)(b->tot - a->tot);
        printf(",\"msgs_per_s%s\":%.1f,\"MB_per_s%s\":%.2f", sfx, n / dt, sfx, n * (double)opt.size / dt / 1e6);
        printf(",\"broker_cpu_us_per_msg%s\":%.4f,\"src_cpu_us_per_msg%s\":%.4f,\"sink_cpu_us_per_msg%s\":%.4f", sfx,
               n ? (b->bcpu - a->bcpu) * 1e6 / n : 0, sfx, n ? (b->src - a->src) * 1e6 / n : 0, sfx,
               n ? (b->snk - a->snk) * 1e6 / n : 0);
        printf(",\"broker_cpu_share%s\":%.3f,\"steal_pct%s\":%.2f", sfx, (b->bcpu - a->bcpu) / dt, sfx,
               tot > 0 ? 100.0 * (double)(b->steal - a->steal) / tot : 0);
        /* CPUs kept busy by somebody else while this was measured */
        double ours = (b->bcpu - a->bcpu + b->src - a->src + b->snk - a->snk) / dt;
        printf(",\"other_cpu%s\":%.3f", sfx, (double)(b->busy - a->busy) / (double)sysconf(_SC_CLK_TCK) / dt - ours);
}

void head(void) {
        printf("{\"scenario\":\"%s\",\"peer\":\"%s\",\"size\":%zu,\"seconds\":%.2f", opt.scenario, peer.name, opt.size,
               opt.seconds);
}
