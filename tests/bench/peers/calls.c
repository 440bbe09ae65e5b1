/* SPDX-License-Identifier: MIT */
/* calls.c - requests: one at a time, and 64 at a time. */
#define _GNU_SOURCE
#include "payload.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAXLAT (4u << 20)
#define IN_FLIGHT 64

static uint32_t *lat; /* shared with the requester */

static peer_conn *resp_conn;
static void on_req(void *user, const peer_msg *m) {
        (void)user;
        uint64_t seq;
        if (payload_check(m->data, m->len, &seq))
                shm->sink[0].errs++;
        if (peer.reply(resp_conn, m, m->data, m->len) < 0)
                child_fail("reply");
}

static void resp_main(int pipelined) {
        resp_conn = peer.connect(opt.addr, pipelined ? ROLE_RESP_PIPE : ROLE_RESP);
        if (!resp_conn)
                child_fail("responder connect");
        if (peer.serve(resp_conn, SVC, on_req, NULL) < 0)
                child_fail("serve");
        shm->sink[0].pid = getpid();
        shm->ready++;
        while (!shm->quit)
                if (peer.loop(resp_conn, 50) < 0) {
                        if (!shm->quit)
                                child_fail("responder loop");
                        break;
                }
}

static void req_main(int arg) {
        (void)arg;
        unsigned char b[256], r[256];
        memcpy(b, tmpl, opt.size);
        peer_conn *c = peer.connect(opt.addr, ROLE_REQ);
        if (!c)
                child_fail("requester connect");
        shm->src.pid = getpid();
        uint64_t seq = 0, got;
        for (int i = 0; i < 200 || seq < 2000; i++) { /* warm up */
                payload_set(b, seq++);
                if (peer.call(c, SVC, b, opt.size, r, sizeof r) != (long)opt.size)
                        child_fail("warm-up call");
        }
        shm->src_ready = 1;
        while (!shm->start) {
        }
        while (!shm->stop) {
                uint64_t n = shm->nlat;
                payload_set(b, seq);
                uint64_t t0 = now();
                long k = peer.call(c, SVC, b, opt.size, r, sizeof r);
                uint64_t t1 = now();
                if (k != (long)opt.size || payload_check(r, (size_t)k, &got) || got != seq)
                        shm->sink[0].errs++;
                seq++;
                if (n < MAXLAT)
                        lat[n] = (uint32_t)(t1 - t0);
                atomic_store_explicit(&shm->sink[0].recv, n + 1, memory_order_relaxed);
                atomic_store_explicit(&shm->nlat, n + 1, memory_order_relaxed);
        }
        shm->src_done = 1;
        while (!shm->quit)
                msleep(2);
}

static int cmp32(const void *a, const void *b) {
        uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
        return x < y ? -1 : x > y;
}

void scen_rtt(void) {
        sample_t a, b;
        lat = mmap(NULL, MAXLAT * sizeof *lat, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (lat == MAP_FAILED)
                die("mmap");
        opt.nsinks = 1;
        spawn(resp_main, 0);
        wait_for(&shm->ready, 1, 10, "responder not ready");
        spawn(req_main, 0);
        wait_for(&shm->src_ready, 1, 15, "requester not ready");
        a = sample();
        shm->start = 1;
        double end = (double)now() / 1e9 + opt.seconds, hard = end + 2 * opt.seconds;
        for (;;) { /* at least `opt.seconds` and 50k round trips, at most 3 x opt.seconds */
                msleep(5);
                double t = (double)now() / 1e9;
                if (shm->failed)
                        die("a client failed");
                if ((t > end && shm->nlat >= 50000) || t > hard)
                        break;
        }
        b = sample();
        shm->stop = 1;
        wait_for(&shm->src_done, 1, 15, "requester did not finish");
        size_t n = shm->nlat < MAXLAT ? shm->nlat : MAXLAT;
        if (!n)
                die("no round trips");
        double sum = 0;
        for (size_t i = 0; i < n; i++)
                sum += lat[i];
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
        while (!pipe_primed)
                msleep(0.1);
        if (payload_check(m->data, m->len, &got) || got != pipe_next)
                shm->sink[0].errs++;
        pipe_next++;
        atomic_store_explicit(&shm->sink[0].recv, pipe_next, memory_order_release);
        if (!shm->stop) {
                payload_set(pipe_buf, pipe_seq++);
                if (peer.request(pipe_conn, SVC, pipe_buf, opt.size, on_reply, NULL) < 0)
                        child_fail("request");
                shm->sent = pipe_seq;
        }
}

static void reqpipe_main(int arg) {
        (void)arg;
        memcpy(pipe_buf, tmpl, opt.size);
        pipe_conn = peer.connect(opt.addr, ROLE_REQ_PIPE);
        if (!pipe_conn)
                child_fail("requester connect");
        shm->src.pid = getpid();
        unsigned char first[256];
        pipe_seq = IN_FLIGHT; /* numbers 0..63 are sent here, the rest from the callback */
        memcpy(first, tmpl, opt.size);
        shm->src_ready = 1;
        for (uint64_t i = 0; i < IN_FLIGHT; i++) {
                payload_set(first, i);
                if (peer.request(pipe_conn, SVC, first, opt.size, on_reply, NULL) < 0)
                        child_fail("request");
        }
        pipe_primed = 1;
        while (!shm->quit)
                if (peer.loop(pipe_conn, 50) < 0) {
                        if (!shm->quit)
                                child_fail("requester loop");
                        break;
                }
}

void scen_pipe(void) {
        sample_t a, b;
        opt.nsinks = 1;
        spawn(resp_main, 1);
        wait_for(&shm->ready, 1, 10, "responder not ready");
        spawn(reqpipe_main, 0);
        wait_for(&shm->src_ready, 1, 10, "requester not ready");
        measure(&a, &b);
        shm->stop = 1;
        msleep(50);
        int lost = drained();
        head();
        emit_rate("", &a, &b);
        printf(",\"sent\":%llu,\"received\":%llu,\"errors\":%llu,\"ok\":%s}\n", (unsigned long long)shm->sent,
               (unsigned long long)total_recv(), (unsigned long long)total_errs(),
               !lost && !total_errs() ? "true" : "false");
}
