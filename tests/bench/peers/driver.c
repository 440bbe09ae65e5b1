/* SPDX-License-Identifier: MIT */
/* driver.c - scenario logic, shared by all adapters. See README.md.
 *
 *   bench-NAME --scenario S --addr A --broker-pid P --seconds T [--conns N] [--subs N]
 *
 * Each source and each sink is its own process, forked before any client library
 * has been touched; they share one anonymous mapping of counters with the parent,
 * which only samples clocks. One JSON object goes to stdout.
 */
#define _GNU_SOURCE
#include "peer.h"
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAXSINK 16
#define MAXLAT (4u << 20)
#define MAGIC 0x72616d616c626e63ull
#define PROBE UINT64_MAX
#define HOT "bench.hot"
#define SVC "bench.svc"

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

static shm_t *S;
static uint32_t *lat;
static const char *addr, *scenario;
static int nsinks, bpid[4], nbpid;
static size_t size;
static double seconds = 1.5;
static uint64_t window;
static pid_t kids[64];
static int nkids;

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}
static void msleep(double ms) {
    struct timespec t = {(time_t)(ms / 1000), (long)((ms - 1000 * (long)(ms / 1000)) * 1e6)};
    while (nanosleep(&t, &t) < 0) {}
}
static double cpu_of(int pid) { /* user+system of all threads, seconds */
    clockid_t c;
    struct timespec t;
    if (pid <= 0 || clock_getcpuclockid(pid, &c) || clock_gettime(c, &t)) return 0;
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
static double broker_cpu(void) {
    double s = 0;
    for (int i = 0; i < nbpid; i++) s += cpu_of(bpid[i]);
    return s;
}
static double sinks_cpu(void) {
    double s = 0;
    for (int i = 0; i < nsinks; i++) s += cpu_of(S->sink[i].pid);
    return s;
}
static long broker_rss_kb(void) {
    long tot = 0;
    for (int i = 0; i < nbpid; i++) {
        char p[64], line[256];
        snprintf(p, sizeof p, "/proc/%d/status", bpid[i]);
        FILE *f = fopen(p, "r");
        if (!f) continue;
        while (fgets(line, sizeof line, f)) {
            long v;
            if (sscanf(line, "VmRSS: %ld", &v) == 1) tot += v;
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
    if (!f) return;
    if (fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", v, v + 1, v + 2, v + 3, v + 4, v + 5,
               v + 6, v + 7) == 8)
        for (int i = 0; i < 8; i++) *tot += v[i];
    *steal = v[7];
    *busy = v[0] + v[1] + v[2] + v[5] + v[6];
    fclose(f);
}
static void cleanup(void) {
    for (int i = 0; i < nkids; i++)
        if (kids[i] > 0) kill(kids[i], SIGKILL);
}
static void die(const char *what) {
    printf("{\"scenario\":\"%s\",\"peer\":\"%s\",\"ok\":false,\"error\":\"%s\"}\n", scenario, peer.name, what);
    fflush(stdout);
    cleanup();
    _exit(1);
}
static pid_t spawn(void (*fn)(int), int arg) {
    fflush(NULL);
    pid_t p = fork();
    if (p == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        nkids = 0;
        fn(arg);
        fflush(NULL);
        _exit(0);
    }
    kids[nkids++] = p;
    return p;
}
static void child_fail(const char *m) {
    fprintf(stderr, "%s: %s: %s (errno %d)\n", peer.name, scenario, m, errno);
    S->failed = 1;
    _exit(1);
}
static void wait_for(_Atomic int *v, int want, double max_s, const char *what) {
    uint64_t end = now() + (uint64_t)(max_s * 1e9);
    while (*v < want) {
        if (S->failed) die("a client failed");
        if (now() > end) die(what);
        msleep(0.5);
    }
}

/* ---- payload ------------------------------------------------------------- */
static unsigned char *tmpl;
static void payload_init(void) {
    tmpl = malloc(size);
    for (size_t i = 0; i < size; i++) tmpl[i] = (unsigned char)(i * 31 + 7);
}
static inline void payload_set(unsigned char *b, uint64_t seq) {
    uint64_t m = MAGIC ^ size, t = seq ^ MAGIC;
    memcpy(b, &m, 8);
    memcpy(b + 8, &seq, 8);
    memcpy(b + size - 8, &t, 8);
}
/* 0 if the payload is what was sent; *seq gets its number */
static inline int payload_check(const void *data, size_t len, uint64_t *seq) {
    const unsigned char *b = data;
    uint64_t m, t;
    if (len != size) return -1;
    memcpy(&m, b, 8);
    memcpy(seq, b + 8, 8);
    memcpy(&t, b + len - 8, 8);
    if (m != (MAGIC ^ size) || t != (*seq ^ MAGIC)) return -1;
    if (b[len / 2] != tmpl[len / 2]) return -1;
    if ((*seq & 255) == 0 && memcmp(b + 16, tmpl + 16, len - 24)) return -1;
    return 0;
}

/* ---- window -------------------------------------------------------------- */
static uint64_t min_recv(void) {
    uint64_t m = UINT64_MAX;
    for (int i = 0; i < nsinks; i++) {
        uint64_t r = atomic_load_explicit(&S->sink[i].recv, memory_order_acquire);
        if (r < m) m = r;
    }
    return m;
}
static void window_wait(peer_conn *c, uint64_t sent) {
    if (peer.flush(c) < 0) child_fail("flush");
    S->stalls++;
    while (sent - min_recv() > window / 2) {
        S->wake_at = sent - window / 2;
        S->waiting = 1;
        if (sent - min_recv() <= window / 2) { S->waiting = 0; break; }
        struct timespec t = {0, 2000000};
        syscall(SYS_futex, &S->waiting, FUTEX_WAIT, 1, &t, NULL, 0);
        if (S->quit) break;
    }
    S->waiting = 0;
}

/* ---- publish / subscribe ------------------------------------------------- */
static int my_sink;
static void on_msg(void *user, const peer_msg *m) {
    (void)user;
    stat_t *s = &S->sink[my_sink];
    uint64_t seq = 0;
    if (payload_check(m->data, m->len, &seq)) { s->errs++; return; }
    if (seq == PROBE) { s->probes++; return; }
    uint64_t r = atomic_load_explicit(&s->recv, memory_order_relaxed);
    if (seq != r) s->errs++; /* lost, repeated or out of order */
    atomic_store_explicit(&s->recv, r + 1, memory_order_release);
    if (window && atomic_load_explicit(&S->waiting, memory_order_relaxed) && r + 1 >= S->wake_at &&
        min_recv() >= S->wake_at) {
        uint32_t one = 1;
        if (atomic_compare_exchange_strong(&S->waiting, &one, 0))
            syscall(SYS_futex, &S->waiting, FUTEX_WAKE, 1, NULL, NULL, 0);
    }
}
static void sink_main(int i) {
    my_sink = i;
    peer_conn *c = peer.connect(addr, ROLE_SUB);
    if (!c) child_fail("sink connect");
    if (peer.subscribe(c, HOT, on_msg, NULL) < 0) child_fail("subscribe");
    S->sink[i].pid = getpid();
    S->ready++;
    while (!S->quit)
        if (peer.loop(c, 50) < 0) { if (!S->quit) child_fail("sink loop"); break; }
}
static void source_main(int arg) {
    (void)arg;
    unsigned char *b = malloc(size);
    memcpy(b, tmpl, size);
    peer_conn *c = peer.connect(addr, ROLE_PUB);
    if (!c) child_fail("source connect");
    /* probe until every sink has seen one: all subscriptions are in place */
    uint64_t end = now() + 10000000000ull;
    for (int ok = 0; !ok;) {
        payload_set(b, PROBE);
        if (peer.publish(c, HOT, b, size) < 0 || peer.flush(c) < 0) child_fail("probe");
        msleep(5);
        ok = 1;
        for (int i = 0; i < nsinks; i++) ok &= S->sink[i].probes > 0;
        if (now() > end) child_fail("probes never arrived");
    }
    S->src.pid = getpid();
    S->src_ready = 1;
    while (!S->start) msleep(1);
    uint64_t sent = 0, acked = 0;
    while (!S->stop) {
        if (S->pause) {
            if (peer.flush(c) < 0) child_fail("flush");
            S->sent = sent;
            S->paused = 1;
            while (S->pause && !S->stop) msleep(1);
            S->paused = 0;
            continue;
        }
        if (window && sent - acked >= window && (acked = min_recv(), sent - acked >= window)) {
            window_wait(c, sent);
            acked = min_recv();
            continue;
        }
        payload_set(b, sent);
        if (peer.publish(c, HOT, b, size) < 0) child_fail("publish");
        sent++;
    }
    if (peer.flush(c) < 0) child_fail("flush");
    S->sent = sent;
    S->src_done = 1;
    while (!S->quit) msleep(2); /* stay connected until all has arrived */
}

typedef struct { double t, bcpu, src, snk; uint64_t recv; unsigned long long steal, busy, tot; } sample_t;
static sample_t sample(void) {
    sample_t s;
    s.recv = 0;
    s.bcpu = broker_cpu(); s.src = cpu_of(S->src.pid); s.snk = sinks_cpu();
    for (int i = 0; i < nsinks; i++) s.recv += S->sink[i].recv;
    s.t = (double)now() / 1e9;
    machine(&s.steal, &s.busy, &s.tot);
    return s;
}
static void measure(sample_t *a, sample_t *b) {
    msleep(300);
    *a = sample();
    msleep(seconds * 1000);
    *b = sample();
    if (S->failed) die("a client failed");
}
static uint64_t total_recv(void) {
    uint64_t r = 0;
    for (int i = 0; i < nsinks; i++) r += S->sink[i].recv;
    return r;
}
static int drained(void) { /* 0 when all sinks have all; else waits until no progress for 3 s */
    uint64_t last = 0, since = now();
    for (;;) {
        uint64_t r = total_recv();
        if (r >= S->sent * (uint64_t)nsinks) return 0;
        if (r != last) { last = r; since = now(); }
        if (now() - since > 3000000000ull || S->failed) return -1;
        msleep(1);
    }
}
static uint64_t total_errs(void) {
    uint64_t e = 0;
    for (int i = 0; i < nsinks; i++) e += S->sink[i].errs;
    return e;
}
static void emit_rate(const char *sfx, const sample_t *a, const sample_t *b) {
    double dt = b->t - a->t, n = (double)(b->recv - a->recv);
    double tot = (double)(b->tot - a->tot);
    printf(",\"msgs_per_s%s\":%.1f,\"MB_per_s%s\":%.2f", sfx, n / dt, sfx, n * (double)size / dt / 1e6);
    printf(",\"broker_cpu_us_per_msg%s\":%.4f,\"src_cpu_us_per_msg%s\":%.4f,\"sink_cpu_us_per_msg%s\":%.4f",
           sfx, n ? (b->bcpu - a->bcpu) * 1e6 / n : 0, sfx, n ? (b->src - a->src) * 1e6 / n : 0, sfx,
           n ? (b->snk - a->snk) * 1e6 / n : 0);
    printf(",\"broker_cpu_share%s\":%.3f,\"steal_pct%s\":%.2f", sfx, (b->bcpu - a->bcpu) / dt, sfx,
           tot > 0 ? 100.0 * (double)(b->steal - a->steal) / tot : 0);
    /* CPUs kept busy by somebody else while this was measured */
    double ours = (b->bcpu - a->bcpu + b->src - a->src + b->snk - a->snk) / dt;
    printf(",\"other_cpu%s\":%.3f", sfx, (double)(b->busy - a->busy) / (double)sysconf(_SC_CLK_TCK) / dt - ours);
}
static void head(void) {
    printf("{\"scenario\":\"%s\",\"peer\":\"%s\",\"size\":%zu,\"seconds\":%.2f", scenario, peer.name, size, seconds);
}
static void scen_pub(void) {
    sample_t a, b;
    for (int i = 0; i < nsinks; i++) spawn(sink_main, i);
    wait_for(&S->ready, nsinks, 10, "sinks not ready");
    spawn(source_main, 0);
    wait_for(&S->src_ready, 1, 12, "source not ready");
    S->start = 1;
    measure(&a, &b);
    S->stop = 1;
    wait_for(&S->src_done, 1, 15, "source did not finish");
    int lost = drained();
    head();
    printf(",\"sinks\":%d,\"window\":%llu", nsinks, (unsigned long long)window);
    emit_rate("", &a, &b);
    printf(",\"sent\":%llu,\"received\":%llu,\"errors\":%llu,\"stalls\":%llu,\"rss_kb\":%ld,\"ok\":%s}\n",
           (unsigned long long)S->sent, (unsigned long long)total_recv(), (unsigned long long)total_errs(),
           (unsigned long long)S->stalls, broker_rss_kb(), !lost && !total_errs() ? "true" : "false");
}

/* ---- many subscriptions --------------------------------------------------- */
static unsigned nsubs = 100000, nconns = 5000;
#define SUBCONNS 4
static void subs_main(int arg) {
    (void)arg;
    peer_conn *c[SUBCONNS];
    unsigned per = nsubs / SUBCONNS;
    for (int i = 0; i < SUBCONNS; i++)
        if (!(c[i] = peer.connect(addr, ROLE_IDLE))) child_fail("subs connect");
    S->ready++;
    while (!S->go) msleep(1);
    uint64_t t0 = now();
    for (unsigned i = 0; i < SUBCONNS; i++)
        if (peer.subscribe_many(c[i], "many.s", i * per, per) < 0) child_fail("subscribe_many");
    for (unsigned i = 0; i < SUBCONNS; i++)
        if (peer.sync && peer.sync(c[i]) < 0) child_fail("sync");
    S->sink[1].done_ns = now() - t0;
    S->ready++;
    while (!S->quit) msleep(5); /* these connections are silent from here on */
}
static void scen_many(void) {
    sample_t a, b, c, d;
    nsinks = 1;
    spawn(sink_main, 0);
    wait_for(&S->ready, 1, 10, "sink not ready");
    spawn(subs_main, 0);
    wait_for(&S->ready, 2, 10, "subscribers not ready");
    spawn(source_main, 0);
    wait_for(&S->src_ready, 1, 12, "source not ready");
    S->start = 1;
    measure(&a, &b);
    S->pause = 1;
    wait_for(&S->paused, 1, 10, "source did not pause");
    int lost = drained();
    msleep(100);
    long r0 = broker_rss_kb();
    double c0 = broker_cpu();
    S->go = 1;
    wait_for(&S->ready, 3, 120, "subscriptions took too long");
    msleep(200);
    double c1 = broker_cpu();
    long r1 = broker_rss_kb();
    S->pause = 0;
    measure(&c, &d);
    S->stop = 1;
    wait_for(&S->src_done, 1, 15, "source did not finish");
    lost |= drained();
    head();
    printf(",\"subs\":%u,\"window\":%llu", nsubs, (unsigned long long)window);
    emit_rate("_1sub", &a, &b);
    emit_rate("", &c, &d);
    double ra = (double)(b.recv - a.recv) / (b.t - a.t), rb = (double)(d.recv - c.recv) / (d.t - c.t);
    printf(",\"hot_ratio\":%.4f,\"rss_bytes_per_sub\":%.1f,\"subs_per_s\":%.0f,\"broker_cpu_us_per_sub\":%.3f",
           ra > 0 ? rb / ra : 0, (double)(r1 - r0) * 1024 / nsubs, nsubs / ((double)S->sink[1].done_ns / 1e9),
           (c1 - c0) * 1e6 / nsubs);
    printf(",\"sent\":%llu,\"received\":%llu,\"errors\":%llu,\"ok\":%s}\n", (unsigned long long)S->sent,
           (unsigned long long)total_recv(), (unsigned long long)total_errs(),
           !lost && !total_errs() ? "true" : "false");
}

/* ---- idle connections ------------------------------------------------------ */
#define IDLEPROCS 4
static void idle_main(int k) {
    unsigned per = nconns / IDLEPROCS;
    peer_conn **c = calloc(per, sizeof *c);
    char subj[64];
    S->ready++;
    while (!S->go) msleep(0.2);
    for (unsigned i = 0; i < per; i++) {
        if (!(c[i] = peer.connect(addr, ROLE_IDLE))) child_fail("idle connect");
        snprintf(subj, sizeof subj, "idle.c%u", (unsigned)k * per + i);
        if (peer.subscribe(c[i], subj, on_msg, NULL) < 0) child_fail("idle subscribe");
    }
    for (unsigned i = 0; i < per; i++)
        if (peer.sync && peer.sync(c[i]) < 0) child_fail("idle sync");
    S->sink[k].done_ns = now();
    S->ready++;
    while (!S->quit) msleep(5);
    _exit(0);
}
static void scen_idle(void) {
    for (int i = 0; i < IDLEPROCS; i++) spawn(idle_main, i);
    wait_for(&S->ready, IDLEPROCS, 10, "idle clients not ready");
    msleep(100);
    long r0 = broker_rss_kb();
    double c0 = broker_cpu();
    uint64_t t0 = now(), t1 = 0;
    S->go = 1;
    wait_for(&S->ready, 2 * IDLEPROCS, 90, "connections took too long");
    for (int i = 0; i < IDLEPROCS; i++)
        if (S->sink[i].done_ns > t1) t1 = S->sink[i].done_ns;
    msleep(300);
    long r1 = broker_rss_kb();
    double c1 = broker_cpu();
    unsigned n = nconns / IDLEPROCS * IDLEPROCS;
    head();
    printf(",\"conns\":%u,\"rss_kib_per_conn\":%.3f,\"conns_per_s\":%.0f,\"broker_cpu_us_per_conn\":%.2f,"
           "\"rss_before_kb\":%ld,\"rss_after_kb\":%ld,\"ok\":true}\n",
           n, (double)(r1 - r0) / n, n / ((double)(t1 - t0) / 1e9), (c1 - c0) * 1e6 / n, r0, r1);
}

/* ---- request / reply -------------------------------------------------------- */
static peer_conn *resp_conn;
static void on_req(void *user, const peer_msg *m) {
    (void)user;
    uint64_t seq;
    if (payload_check(m->data, m->len, &seq)) S->sink[0].errs++;
    if (peer.reply(resp_conn, m, m->data, m->len) < 0) child_fail("reply");
}
static void resp_main(int pipelined) {
    resp_conn = peer.connect(addr, pipelined ? ROLE_RESP_PIPE : ROLE_RESP);
    if (!resp_conn) child_fail("responder connect");
    if (peer.serve(resp_conn, SVC, on_req, NULL) < 0) child_fail("serve");
    S->sink[0].pid = getpid();
    S->ready++;
    while (!S->quit)
        if (peer.loop(resp_conn, 50) < 0) { if (!S->quit) child_fail("responder loop"); break; }
}
static void req_main(int arg) {
    (void)arg;
    unsigned char b[256], r[256];
    memcpy(b, tmpl, size);
    peer_conn *c = peer.connect(addr, ROLE_REQ);
    if (!c) child_fail("requester connect");
    S->src.pid = getpid();
    uint64_t seq = 0, got;
    for (int i = 0; i < 200 || seq < 2000; i++) { /* warm up */
        payload_set(b, seq++);
        if (peer.call(c, SVC, b, size, r, sizeof r) != (long)size) child_fail("warm-up call");
    }
    S->src_ready = 1;
    while (!S->start) {}
    while (!S->stop) {
        uint64_t n = S->nlat;
        payload_set(b, seq);
        uint64_t t0 = now();
        long k = peer.call(c, SVC, b, size, r, sizeof r);
        uint64_t t1 = now();
        if (k != (long)size || payload_check(r, (size_t)k, &got) || got != seq) S->sink[0].errs++;
        seq++;
        if (n < MAXLAT) lat[n] = (uint32_t)(t1 - t0);
        atomic_store_explicit(&S->sink[0].recv, n + 1, memory_order_relaxed);
        atomic_store_explicit(&S->nlat, n + 1, memory_order_relaxed);
    }
    S->src_done = 1;
    while (!S->quit) msleep(2);
}
static int cmp32(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}
static void scen_rtt(void) {
    sample_t a, b;
    nsinks = 1;
    spawn(resp_main, 0);
    wait_for(&S->ready, 1, 10, "responder not ready");
    spawn(req_main, 0);
    wait_for(&S->src_ready, 1, 15, "requester not ready");
    a = sample();
    S->start = 1;
    double end = (double)now() / 1e9 + seconds, hard = end + 2 * seconds;
    for (;;) { /* at least `seconds` and 50k round trips, at most 3 x seconds */
        msleep(5);
        double t = (double)now() / 1e9;
        if (S->failed) die("a client failed");
        if ((t > end && S->nlat >= 50000) || t > hard) break;
    }
    b = sample();
    S->stop = 1;
    wait_for(&S->src_done, 1, 15, "requester did not finish");
    size_t n = S->nlat < MAXLAT ? S->nlat : MAXLAT;
    if (!n) die("no round trips");
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += lat[i];
    qsort(lat, n, 4, cmp32);
    head();
    printf(",\"n\":%zu,\"mean_us\":%.3f,\"p50_us\":%.3f,\"p99_us\":%.3f,\"p999_us\":%.3f,\"max_us\":%.1f", n,
           sum / (double)n / 1e3, lat[n / 2] / 1e3, lat[(size_t)((double)n * 0.99)] / 1e3,
           lat[(size_t)((double)n * 0.999)] / 1e3, lat[n - 1] / 1e3);
    emit_rate("", &a, &b);
    printf(",\"errors\":%llu,\"ok\":%s}\n", (unsigned long long)total_errs(), total_errs() ? "false" : "true");
}

static peer_conn *pipe_conn;
static uint64_t pipe_seq, pipe_next;
static _Atomic int pipe_primed; /* the first 64 are out: callbacks on library threads wait for it */
static unsigned char pipe_buf[256];
static void on_reply(void *user, const peer_msg *m) {
    (void)user;
    uint64_t got;
    while (!pipe_primed) msleep(0.1);
    if (payload_check(m->data, m->len, &got) || got != pipe_next) S->sink[0].errs++;
    pipe_next++;
    atomic_store_explicit(&S->sink[0].recv, pipe_next, memory_order_release);
    if (!S->stop) {
        payload_set(pipe_buf, pipe_seq++);
        if (peer.request(pipe_conn, SVC, pipe_buf, size, on_reply, NULL) < 0) child_fail("request");
        S->sent = pipe_seq;
    }
}
static void reqpipe_main(int arg) {
    (void)arg;
    memcpy(pipe_buf, tmpl, size);
    pipe_conn = peer.connect(addr, ROLE_REQ_PIPE);
    if (!pipe_conn) child_fail("requester connect");
    S->src.pid = getpid();
    unsigned char first[256];
    pipe_seq = 64; /* numbers 0..63 are sent here, the rest from the callback */
    memcpy(first, tmpl, size);
    S->src_ready = 1;
    for (uint64_t i = 0; i < 64; i++) {
        payload_set(first, i);
        if (peer.request(pipe_conn, SVC, first, size, on_reply, NULL) < 0) child_fail("request");
    }
    pipe_primed = 1;
    while (!S->quit)
        if (peer.loop(pipe_conn, 50) < 0) { if (!S->quit) child_fail("requester loop"); break; }
}
static void scen_pipe(void) {
    sample_t a, b;
    nsinks = 1;
    spawn(resp_main, 1);
    wait_for(&S->ready, 1, 10, "responder not ready");
    spawn(reqpipe_main, 0);
    wait_for(&S->src_ready, 1, 10, "requester not ready");
    measure(&a, &b);
    S->stop = 1;
    msleep(50);
    int lost = drained();
    head();
    emit_rate("", &a, &b);
    printf(",\"sent\":%llu,\"received\":%llu,\"errors\":%llu,\"ok\":%s}\n", (unsigned long long)S->sent,
           (unsigned long long)total_recv(), (unsigned long long)total_errs(),
           !lost && !total_errs() ? "true" : "false");
}

int main(int argc, char **argv) {
    double wm = -1;
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *k = argv[i], *v = argv[i + 1];
        if (!strcmp(k, "--scenario")) scenario = v;
        else if (!strcmp(k, "--addr")) addr = v;
        else if (!strcmp(k, "--seconds")) seconds = atof(v);
        else if (!strcmp(k, "--conns")) nconns = (unsigned)atoi(v);
        else if (!strcmp(k, "--subs")) nsubs = (unsigned)atoi(v);
        else if (!strcmp(k, "--window")) wm = atof(v);
        else if (!strcmp(k, "--broker-pid") && nbpid < 4) bpid[nbpid++] = atoi(v);
        else { fprintf(stderr, "unknown option %s\n", k); return 2; }
    }
    if (!scenario || !addr) { fprintf(stderr, "need --scenario and --addr\n"); return 2; }
    signal(SIGPIPE, SIG_IGN);
    S = mmap(NULL, sizeof *S, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    lat = mmap(NULL, MAXLAT * 4ul, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    static const struct { const char *n; size_t size; int sinks; void (*fn)(void); } tab[] = {
        {"rtt", 64, 1, scen_rtt},          {"rtt_pipelined", 64, 1, scen_pipe},
        {"pub_64", 64, 1, scen_pub},       {"pub_1k", 1024, 1, scen_pub},
        {"pub_64k", 65536, 1, scen_pub},   {"pub_1m", 1048576, 1, scen_pub},
        {"fanout_8", 256, 8, scen_pub},    {"idle_conns", 64, 0, scen_idle},
        {"many_subs", 64, 1, scen_many},
    };
    for (size_t i = 0; i < sizeof tab / sizeof *tab; i++) {
        if (strcmp(tab[i].n, scenario)) continue;
        size = tab[i].size;
        nsinks = tab[i].sinks;
        window = peer.win_msgs;
        if (peer.win_bytes && window > peer.win_bytes / size) window = peer.win_bytes / size;
        if (wm >= 0) window = (uint64_t)wm; /* --window: tuning by hand */
        if (peer.win_msgs && window < 2) window = 2;
        if (tab[i].fn == scen_many && !peer.subscribe_many) die("not applicable");
        payload_init();
        tab[i].fn();
        fflush(stdout);
        S->quit = 1;
        msleep(5);
        cleanup();
        for (int k = 0; k < nkids; k++) waitpid(kids[k], NULL, 0);
        return 0;
    }
    fprintf(stderr, "unknown scenario\n");
    return 2;
}
