/* SPDX-License-Identifier: MIT */
/* One round: gives the processes their orders, and reads what they have counted. */
#define _GNU_SOURCE
#include "bench_round.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define WARM_UP_NS UINT64_C(300000000)
#define PATIENCE_NS UINT64_C(15000000000) /* without any progress */
#define RELEASE_NS UINT64_C(10000000000)

enum { LOOK_NS = 1000000 };

/* ---- what they have done ---- */

static bool is_source(enum bench_role role) {
        return role != BENCH_SINK && role != BENCH_ANSWERER && role != BENCH_HOLDER;
}

/* Whose messages are the result. */
static bool is_counted(enum bench_role role) {
        return role != BENCH_SOURCE && role != BENCH_ANSWERER && role != BENCH_HOLDER;
}

static uint64_t sum(const struct round *round, bool (*of)(enum bench_role), size_t offset) {
        uint64_t total = 0;
        for (unsigned i = 0; i < round->count; i++)
                if (of(round->roles[i]))
                        total += atomic_load(
                                (const _Atomic uint64_t *)(const void *)((const char *)&round->shared->workers[i] +
                                                                         offset));
        return total;
}

#define SUM(round, of, member) sum(round, of, offsetof(struct bench_worker, member))

static bool everybody(enum bench_role role) {
        return role < BENCH_ROLES;
}

static bool is_sink(enum bench_role role) {
        return role == BENCH_SINK;
}

static bool all_ready(const struct round *round) {
        for (unsigned i = 0; i < round->count; i++)
                if (!atomic_load(&round->shared->workers[i].ready))
                        return false;
        return true;
}

static bool all_done(const struct round *round) {
        uint64_t order = atomic_load(&round->shared->order);
        for (unsigned i = 0; i < round->count; i++)
                if ((is_source(round->roles[i]) || round->roles[i] == BENCH_HOLDER) &&
                    atomic_load(&round->shared->workers[i].done) != order)
                        return false;
        return true;
}

/* Has every subscriber all that was published, or knows what it has not? */
static bool all_arrived(const struct round *round) {
        if (!all_done(round))
                return false;
        if (round->job.point->subscribers == 0)
                return true;
        uint64_t expected = SUM(round, is_source, sent) * round->job.point->subscribers;
        return SUM(round, is_sink, messages) + SUM(round, is_sink, missing) + SUM(round, is_sink, wrong) >= expected;
}

/* The cursor goes back to the beginning of the line, so that whatever is said next stands there. */
static void progress(const struct round *round) {
        const struct bench *bench = round->bench;
        const struct bench_scenario_def *def = &bench_scenarios[round->job.point->scenario];
        if (bench->progress)
                fprintf(stderr, "\033[K%s, row %zu of %zu, round %" PRIu64 " of %" PRIu64 ", %s: %" PRIu64 " %s\r",
                        def->name, bench->at_point + 1, bench->plan.point_count, bench->at_round + 1,
                        bench->plan.rounds, round->job.relay ? "relay" : "ramal", SUM(round, is_counted, messages),
                        def->unit);
}

/* Waits for the condition, or (NULL) for so long. Returns 0; -ETIMEDOUT where nothing moves any more; or the exit
 * status after having said what is wrong. */
static int wait_for(struct round *round, bool (*condition)(const struct round *), uint64_t ns) {
        uint64_t now = bench_now(), until = now + ns, seen = 0;
        for (unsigned turn = 0;; turn++) {
                int status = bench_crew_check(round);
                if (status != 0)
                        return status;
                if (condition && condition(round))
                        return 0;
                now = bench_now();
                if (now >= until)
                        return condition ? -ETIMEDOUT : 0;
                uint64_t moved = SUM(round, everybody, messages) + SUM(round, everybody, sent);
                if (condition && moved != seen)
                        until = now + ns;
                seen = moved;
                uint64_t nap = until - now < LOOK_NS ? until - now : LOOK_NS;
                nanosleep(&(struct timespec){.tv_nsec = (long)nap}, NULL);
                if (turn % 256 == 0)
                        progress(round);
        }
}

/* ---- orders ---- */

void bench_round_order(struct round *round, enum bench_phase phase, uint64_t limit) {
        atomic_store(&round->shared->limit, limit);
        atomic_store(&round->shared->phase, (int)phase);
        atomic_fetch_add(&round->shared->order, 1);
}

/* Of the broker, or the relay. */
static int sample(struct round *round, struct bench_facts *facts) {
        *facts = (struct bench_facts){0};
        round->cpu_known = true;
        if (!round->job.relay)
                return bench_ask(round->bench, facts);
        round->cpu_known = bench_relay_cpu(&round->relay, &facts->cpu_ns) == 0;
        return 0;
}

static int begin(struct round *round) {
        struct bench_facts facts;
        int status = sample(round, &facts);
        round->begun_cpu = facts.cpu_ns;
        for (unsigned i = 0; i < round->count; i++)
                memset(&round->shared->workers[i].histogram, 0, sizeof(round->shared->workers[i].histogram));
        round->begun_messages = SUM(round, is_counted, messages);
        round->begun_ns = bench_now();
        round->measuring = status == 0;
        atomic_store(&round->shared->record, true);
        return status;
}

/* What was counted since begin(). */
static void collect(const struct round *round, struct bench_measure *measure) {
        measure->there = true;
        measure->messages = SUM(round, is_counted, messages) - round->begun_messages;
        measure->elapsed_ns = bench_now() - round->begun_ns;
        memset(&measure->latency, 0, sizeof(measure->latency));
        for (unsigned i = 0; i < round->count; i++)
                bench_histogram_merge(&measure->latency, &round->shared->workers[i].histogram);
}

/* With a fixed number of messages the processes know best when the first and the last one were. */
static void refine(const struct round *round, struct bench_measure *measure) {
        uint64_t first = UINT64_MAX, last = 0;
        for (unsigned i = 0; i < round->count; i++) {
                uint64_t start = atomic_load(&round->shared->workers[i].start_ns);
                uint64_t end = atomic_load(&round->shared->workers[i].last_ns);
                if (is_source(round->roles[i]) && start < first)
                        first = start;
                if (is_counted(round->roles[i]) && end > last)
                        last = end;
        }
        if (last > first && first >= round->begun_ns)
                measure->elapsed_ns = last - first;
}

static int end(struct round *round, struct bench_measure *measure) {
        struct bench_facts facts;
        int status = sample(round, &facts);
        collect(round, measure);
        atomic_store(&round->shared->record, false);
        round->measuring = false;
        measure->cpu_known = status == 0 && round->cpu_known;
        measure->cpu_ns = facts.cpu_ns - round->begun_cpu;
        measure->memory = facts.memory;
        return status;
}

/* Nothing moves any more, and something is missing: the result says so. */
static int settle(struct round *round) {
        int status = wait_for(round, all_arrived, PATIENCE_NS);
        return status == -ETIMEDOUT ? 0 : status;
}

/* What has come since the audit before: the processes are asked to measure twice for `interests`. */
static void audit(struct round *round, struct bench_measure *measure) {
        struct round_sums now = {SUM(round, is_source, sent), SUM(round, is_counted, messages),
                                 SUM(round, is_sink, gaps), SUM(round, everybody, wrong),
                                 SUM(round, is_source, refused)};
        const struct round_sums *before = &round->audited;
        uint64_t copies = round->job.point->subscribers ? round->job.point->subscribers : 1;
        uint64_t got = now.got - before->got, due = (now.sent - before->sent) * copies;
        measure->sent = now.sent - before->sent;
        measure->lost = due > got ? due - got : 0;
        measure->gaps = now.gaps - before->gaps;
        measure->wrong = now.wrong - before->wrong;
        measure->refused = now.refused - before->refused;
        round->audited = now;
}

static int run_counted(struct round *round, struct bench_measure *measure) {
        uint64_t count = round->job.plan->count, warm_up = count / 10 + 1;
        uint64_t so_far = round->shared->limit;
        bench_round_order(round, BENCH_GO, so_far + warm_up);
        int status = settle(round);
        if (status == 0)
                status = begin(round);
        if (status != 0)
                return status;
        bench_round_order(round, BENCH_GO, so_far + warm_up + count);
        status = settle(round);
        if (status == 0)
                status = end(round, measure);
        refine(round, measure);
        return status;
}

static int run_timed(struct round *round, struct bench_measure *measure) {
        uint64_t duration = round->job.plan->duration_ns;
        bench_round_order(round, BENCH_GO, UINT64_MAX);
        int status = wait_for(round, NULL, duration / 2 < WARM_UP_NS ? duration / 2 : WARM_UP_NS);
        if (status == 0)
                status = begin(round);
        if (status == 0)
                status = wait_for(round, NULL, duration);
        if (status == 0)
                status = end(round, measure);
        bench_round_order(round, BENCH_STOP, UINT64_MAX);
        return status == 0 ? settle(round) : status;
}

static int measure_once(struct round *round, struct bench_measure *measure) {
        int status = round->job.plan->count > 0 ? run_counted(round, measure) : run_timed(round, measure);
        if (status == 0) {
                audit(round, measure);
        } else if (round->measuring) {
                collect(round, measure);
                measure->partial = true;
                measure->there = measure->messages > 0;
        }
        return status;
}

/* ---- what is held ---- */

/* Has the holder subscribe them, or go. */
static int order_holder(struct round *round, bool hold) {
        atomic_store(&round->shared->hold, hold);
        bench_round_order(round, BENCH_STOP, atomic_load(&round->shared->limit));
        int status = wait_for(round, all_done, PATIENCE_NS);
        if (status == -ETIMEDOUT)
                return ctl_fail(round->bench->ctl, EXIT_LATER, "the broker does not confirm the interests");
        return status;
}

/* They come first: what they cost is best seen on a broker that nothing has passed through yet. */
static int hold_interests(struct round *round, struct bench_measure *measure) {
        struct bench_facts before, after = {0};
        int status = bench_ask(round->bench, &before);
        if (status == 0)
                status = order_holder(round, true);
        if (status == 0)
                status = bench_ask(round->bench, &after);
        measure->grown = after.memory > before.memory ? after.memory - before.memory : 0;
        measure->held = round->job.point->interests;
        round->alone_interests = before.interests;
        return status;
}

/* The broker takes its time over an end with many interests; others may come meanwhile, and are not waited for. */
static int release_interests(struct round *round) {
        struct bench_facts facts = {0};
        uint64_t until = bench_now() + RELEASE_NS;
        int status = order_holder(round, false);
        while (status == 0) {
                status = bench_ask(round->bench, &facts);
                if (status != 0 || facts.interests <= round->alone_interests || bench_now() > until)
                        break;
                status = wait_for(round, NULL, LOOK_NS * 5);
        }
        return status;
}

/* The only processes whose failure is no failure: fewer connections are a result too. */
static void note_shortage(const struct round *round, uint64_t held) {
        if (held >= round->job.point->connections)
                return;
        for (unsigned i = 0; i < round->count; i++)
                if (round->shared->workers[i].text[0]) {
                        snprintf(round->bench->note, sizeof(round->bench->note),
                                 "%" PRIu64 " of %" PRIu64 " connections: %.200s", held, round->job.point->connections,
                                 round->shared->workers[i].text);
                        return;
                }
}

static int measure_idle(struct round *round, struct bench_measure *measure) {
        struct bench_facts before, opened, after;
        int status = bench_ask(round->bench, &before);
        if (status != 0)
                return status;
        uint64_t start = bench_now();
        bench_round_order(round, BENCH_GO, 1);
        status = wait_for(round, all_done, PATIENCE_NS);
        if (status == -ETIMEDOUT)
                return ctl_fail(round->bench->ctl, EXIT_LATER, "the broker lets no more connections in");
        uint64_t took = bench_now() - start;
        if (status == 0)
                status = bench_ask(round->bench, &opened);
        if (status == 0)
                status = wait_for(round, NULL, round->job.plan->duration_ns);
        if (status == 0)
                status = bench_ask(round->bench, &after);
        if (status != 0)
                return status;
        measure->there = measure->cpu_known = true;
        measure->messages = measure->held = SUM(round, is_counted, messages);
        measure->elapsed_ns = took;
        measure->cpu_ns = after.cpu_ns - opened.cpu_ns;
        measure->memory = after.memory;
        measure->grown = opened.memory > before.memory ? opened.memory - before.memory : 0;
        note_shortage(round, measure->held);
        if (measure->held == 0)
                return ctl_fail(round->bench->ctl, EXIT_LATER, "%s", round->bench->note);
        return 0;
}

/* ---- the round ---- */

static int run(struct round *round, struct bench_measure *measure, struct bench_measure *alone) {
        int status = bench_crew_start(round);
        if (status == 0)
                status = wait_for(round, all_ready, PATIENCE_NS);
        if (status == -ETIMEDOUT)
                return ctl_fail(round->bench->ctl, EXIT_LATER, "the processes of %s do not get ready",
                                bench_scenarios[round->job.point->scenario].name);
        if (status != 0)
                return status;
        if (round->job.point->scenario == BENCH_IDLE)
                return measure_idle(round, measure);
        if (round->job.point->scenario != BENCH_INTERESTS)
                return measure_once(round, measure);
        status = hold_interests(round, measure);
        if (status == 0)
                status = measure_once(round, measure);
        if (status == 0)
                status = release_interests(round);
        return status == 0 ? measure_once(round, alone) : status;
}

int bench_round(struct bench *bench, const struct bench_point *point, bool relay, struct bench_measure *measure,
                struct bench_measure *alone) {
        struct round round = {.bench = bench,
                              .job = {.plan = &bench->plan,
                                      .point = point,
                                      .address = bench->address,
                                      .token_file = bench->token_file}};
        snprintf(round.job.subject, sizeof(round.job.subject), "bench.%ld.%" PRIx64, (long)getpid(),
                 bench_now() & 0xffffff);
        round.shared = mmap(NULL, sizeof(*round.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (round.shared == MAP_FAILED)
                return ctl_fail(bench->ctl, EXIT_LATER, "no memory");
        if (relay) {
                int r = bench_relay_start(&round.relay, bench_over_tcp(bench), bench->plan.spin,
                                          point->pin.cpu[BENCH_AT_BROKER], bench->is_private ? 0 : bench->broker_pid);
                if (r < 0) {
                        munmap(round.shared, sizeof(*round.shared));
                        return ctl_fail(bench->ctl, EXIT_LATER, "cannot start the relay: %s", strerror(-r));
                }
                round.job.relay = &round.relay;
        }
        int status = run(&round, measure, alone);
        bench_crew_end(&round);
        bench_hang_up(bench);
        munmap(round.shared, sizeof(*round.shared));
        return status;
}
