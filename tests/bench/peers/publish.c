/* SPDX-License-Identifier: MIT */
/* publish.c - one publisher and its subscribers.
 *
 * The window: where a peer can drop or grow without bound, the source waits for the slowest sink, told by shared
 * memory: the broker sees nothing of it. */
#define _GNU_SOURCE
#include "payload.h"
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- opt.window -------------------------------------------------------------- */
uint64_t min_recv(void) {
        uint64_t m = UINT64_MAX;
        for (int i = 0; i < opt.nsinks; i++) {
                uint64_t r = atomic_load_explicit(&shm->sink[i].recv, memory_order_acquire);
                if (r < m)
                        m = r;
        }
        return m;
}

static void window_wait(peer_conn *c, uint64_t sent) {
        if (peer.flush(c) < 0)
                child_fail("flush");
        shm->stalls++;
        while (sent - min_recv() > opt.window / 2) {
                shm->wake_at = sent - opt.window / 2;
                shm->waiting = 1;
                if (sent - min_recv() <= opt.window / 2) {
                        shm->waiting = 0;
                        break;
                }
                struct timespec t = {0, 2000000};
                syscall(SYS_futex, &shm->waiting, FUTEX_WAIT, 1, &t, NULL, 0);
                if (shm->quit)
                        break;
        }
        shm->waiting = 0;
}

static int my_sink;
void on_msg(void *user, const peer_msg *m) {
        (void)user;
        stat_t *s = &shm->sink[my_sink];
        uint64_t seq = 0;
        if (payload_check(m->data, m->len, &seq)) {
                s->errs++;
                return;
        }
        if (seq == PROBE) {
                s->probes++;
                return;
        }
        uint64_t r = atomic_load_explicit(&s->recv, memory_order_relaxed);
        if (seq != r)
                s->errs++; /* lost, repeated or out of order */
        atomic_store_explicit(&s->recv, r + 1, memory_order_release);
        if (opt.window && atomic_load_explicit(&shm->waiting, memory_order_relaxed) && r + 1 >= shm->wake_at &&
            min_recv() >= shm->wake_at) {
                uint32_t one = 1;
                if (atomic_compare_exchange_strong(&shm->waiting, &one, 0))
                        syscall(SYS_futex, &shm->waiting, FUTEX_WAKE, 1, NULL, NULL, 0);
        }
}

void sink_main(int i) {
        my_sink = i;
        peer_conn *c = peer.connect(opt.addr, ROLE_SUB);
        if (!c)
                child_fail("sink connect");
        if (peer.subscribe(c, HOT, on_msg, NULL) < 0)
                child_fail("subscribe");
        shm->sink[i].pid = getpid();
        shm->ready++;
        while (!shm->quit)
                if (peer.loop(c, 50) < 0) {
                        if (!shm->quit)
                                child_fail("sink loop");
                        break;
                }
}

void source_main(int arg) {
        (void)arg;
        unsigned char *b = malloc(opt.size);
        memcpy(b, tmpl, opt.size);
        peer_conn *c = peer.connect(opt.addr, ROLE_PUB);
        if (!c)
                child_fail("source connect");
        /* probe until every sink has seen one: all subscriptions are in place */
        uint64_t end = now() + 10000000000ull;
        for (int ok = 0; !ok;) {
                payload_set(b, PROBE);
                if (peer.publish(c, HOT, b, opt.size) < 0 || peer.flush(c) < 0)
                        child_fail("probe");
                msleep(5);
                ok = 1;
                for (int i = 0; i < opt.nsinks; i++)
                        ok &= shm->sink[i].probes > 0;
                if (now() > end)
                        child_fail("probes never arrived");
        }
        shm->src.pid = getpid();
        shm->src_ready = 1;
        while (!shm->start)
                msleep(1);
        uint64_t sent = 0, acked = 0;
        while (!shm->stop) {
                if (shm->pause) {
                        if (peer.flush(c) < 0)
                                child_fail("flush");
                        shm->sent = sent;
                        shm->paused = 1;
                        while (shm->pause && !shm->stop)
                                msleep(1);
                        shm->paused = 0;
                        continue;
                }
                if (opt.window && sent - acked >= opt.window && (acked = min_recv(), sent - acked >= opt.window)) {
                        window_wait(c, sent);
                        acked = min_recv();
                        continue;
                }
                payload_set(b, sent);
                if (peer.publish(c, HOT, b, opt.size) < 0)
                        child_fail("publish");
                sent++;
        }
        if (peer.flush(c) < 0)
                child_fail("flush");
        shm->sent = sent;
        shm->src_done = 1;
        while (!shm->quit)
                msleep(2); /* stay connected until all has arrived */
}

void scen_pub(void) {
        sample_t a, b;
        for (int i = 0; i < opt.nsinks; i++)
                spawn(sink_main, i);
        wait_for(&shm->ready, opt.nsinks, 10, "sinks not ready");
        spawn(source_main, 0);
        wait_for(&shm->src_ready, 1, 12, "source not ready");
        shm->start = 1;
        measure(&a, &b);
        shm->stop = 1;
        wait_for(&shm->src_done, 1, 15, "source did not finish");
        int lost = drained();
        head();
        printf(",\"sinks\":%d,\"window\":%llu", opt.nsinks, (unsigned long long)opt.window);
        emit_rate("", &a, &b);
        printf(",\"sent\":%llu,\"received\":%llu,\"errors\":%llu,\"stalls\":%llu,\"rss_kb\":%ld,\"ok\":%s}\n",
               (unsigned long long)shm->sent, (unsigned long long)total_recv(), (unsigned long long)total_errs(),
               (unsigned long long)shm->stalls, broker_rss_kb(), !lost && !total_errs() ? "true" : "false");
}
