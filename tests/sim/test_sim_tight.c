/* SPDX-License-Identifier: MIT */
/* Random traffic against budgets so small that they are met all the time: of the interest, the connection, the uid and
 * the broker. What is dropped then is open; that it is told is not. Each receiver counts for itself: received +
 * reported + replaced must be what matched; each call ends once; and the budgets hold. Options: runs.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "runs.h"
#include "world.h"

#define SEEDS 80u
#define STEPS 1500u
#define PEERS 6u
#define SIDS 5u
#define CALLS 4096u

typedef unsigned long long ull;

static const char *const subjects[] = {"a", "a.b", "b", "b.c"};

struct reader { /* one interest, as its peer counts */
        uint64_t received, reported, replaced, last_seq, confirmed_seq;
        bool credit;
};

struct caller {
        uint8_t terminals[CALLS]; /* by frame id */
        bool open[CALLS];
};

struct tight {
        struct world *world;
        struct fake *peers[PEERS];
        struct reader readers[PEERS][SIDS + 1];
        struct caller callers[PEERS];
        uint64_t tokens[PEERS][64];
        size_t token_count[PEERS];
        bool trace;
        uint64_t sums[4]; /* deliveries, reported, refused calls, answered calls */
};

static void subscribe(struct tight *t, unsigned i) {
        static const char *const patterns[] = {">", "a.>", "b", "a", "do"};
        struct rng *rng = &t->world->rng;
        for (unsigned sid = 1; sid <= SIDS; sid++) {
                struct sub sub = {.sid = sid, .pattern = patterns[sid - 1]};
                sub.overflow = (Ramal__V1__Overflow)rng_below(rng, 3);
                if (sid == 4)
                        sub.group = t->peers[i]->uid == WORLD_UID ? "g" : "h";
                sub.serve = sid == SIDS;
                if (sub.serve) {
                        sub.overflow = 0;
                        if (i % 2)
                                continue;
                        char pattern[16];
                        snprintf(pattern, sizeof(pattern), "do.%u", i);
                        sub.pattern = pattern;
                        fake_subscribe(t->peers[i], &sub);
                        continue;
                }
                if (rng_chance(rng, 2)) {
                        sub.credit_messages = 1 + rng_below(rng, 8);
                        t->readers[i][sid].credit = true;
                }
                if (rng_chance(rng, 2))
                        sub.window_messages = 1 + rng_below(rng, 20);
                fake_subscribe(t->peers[i], &sub);
        }
}

static void got_delivery(struct tight *t, unsigned i, const struct rml_data *data) {
        struct reader *reader = &t->readers[i][data->sid];
        t->sums[0]++;
        reader->received++;
        reader->replaced += data->replaced;
        world_check(t->world, data->seq > reader->last_seq, "peer %u sid %llu: %llu after %llu", i, (ull)data->sid,
                    (ull)data->seq, (ull)reader->last_seq);
        reader->last_seq = data->seq;
        if (data->token && t->token_count[i] < 64)
                t->tokens[i][t->token_count[i]++] = data->token;
}

static void got_terminal(struct tight *t, unsigned i, uint64_t id, bool replied) {
        struct caller *caller = &t->callers[i];
        if (id >= CALLS || !caller->open[id])
                return; /* the answer to a SUBSCRIBE */
        caller->terminals[id]++;
        t->sums[replied ? 3 : 2]++;
        world_check(t->world, caller->terminals[id] == 1, "peer %u: call %llu ended twice", i, (ull)id);
}

static void look(struct tight *t, unsigned i) {
        struct got *got;
        while ((got = fake_next(t->peers[i]))) {
                char text[256];
                if (t->trace)
                        printf("%llu: peer %u <- %s\n", (ull)t->world->step, i, got_text(got, text, sizeof(text)));
                if (got->kind == RML_DELIVER) {
                        got_delivery(t, i, &got->data);
                } else if (got->kind == RML_GAP) {
                        t->readers[i][GOT(got, Gap)->sid].reported += GOT(got, Gap)->count;
                        t->sums[1] += GOT(got, Gap)->count;
                } else if (got->kind == RML_REPLY) {
                        world_check(t->world, got->id < CALLS && !t->callers[i].terminals[got->id],
                                    "peer %u: a reply after the end of call %llu", i, (ull)got->id);
                        if (!(got->data.flags & RAMAL__V1__DATA_FLAG__DATA_FLAG_MORE))
                                got_terminal(t, i, got->id, true);
                } else if (got->kind == RML_STATUS && got->id) {
                        got_terminal(t, i, got->id, false);
                }
        }
}

static bool take(struct tight *t, unsigned i, size_t max) {
        world_collect_dirty(t->world);
        if (!t->peers[i]->dirty)
                return false;
        size_t n = fake_take(t->peers[i], max);
        look(t, i);
        return n > 0;
}

static bool confirm(struct tight *t, unsigned i, uint64_t sid) {
        struct reader *reader = &t->readers[i][sid];
        if (!reader->credit || reader->last_seq == reader->confirmed_seq)
                return false;
        reader->confirmed_seq = reader->last_seq;
        fake_confirm(t->peers[i], sid, reader->last_seq);
        return true;
}

static void send_data(struct tight *t, unsigned i, enum rml_kind kind, struct say *say) {
        static const uint8_t payload[20000];
        struct rng *rng = &t->world->rng;
        say->payload = payload;
        say->len = (size_t)rng_below(rng, rng_chance(rng, 4) ? sizeof(payload) : 500);
        uint64_t id = t->peers[i]->next_id;
        if (kind == RML_CALL && id < CALLS)
                t->callers[i].open[id] = true;
        fake_data(t->peers[i], kind, kind == RML_CALL, say);
}

static void step(struct tight *t) {
        struct rng *rng = &t->world->rng;
        unsigned i = (unsigned)rng_below(rng, PEERS);
        struct say say = {0};
        char subject[16];
        switch (rng_below(rng, 10)) {
        case 0:
        case 1:
                if (rng_chance(rng, 3))
                        take(t, i, 1 + (size_t)rng_below(rng, 30000));
                break;
        case 2:
                confirm(t, i, 1 + rng_below(rng, SIDS));
                break;
        case 3:
                snprintf(subject, sizeof(subject), "do.%u", (unsigned)rng_below(rng, PEERS));
                say.subject = subject;
                say.time_left_us = rng_chance(rng, 3) ? 5000 : 0;
                if (t->peers[i]->next_id < CALLS - 10)
                        send_data(t, i, RML_CALL, &say);
                break;
        case 4:
                if (t->token_count[i]) {
                        say.token = t->tokens[i][rng_below(rng, t->token_count[i])];
                        say.flags = rng_chance(rng, 2) ? RAMAL__V1__DATA_FLAG__DATA_FLAG_MORE : 0;
                        send_data(t, i, RML_REPLY, &say);
                }
                break;
        case 5:
                world_advance(t->world, MS(rng_below(rng, 3)));
                core_expire(t->world->core);
                t->token_count[i] = t->token_count[i] > 40 ? 0 : t->token_count[i];
                break;
        default:
                say.subject = subjects[rng_below(rng, RML_COUNT(subjects))];
                send_data(t, i, RML_PUBLISH, &say);
                break;
        }
}

static void check_budgets(const struct tight *t) {
        struct core_charges charges;
        core_charges(t->world->core, &charges);
        const struct core_limits *limits = &t->world->limits;
        /* A message larger than an empty budget is admitted: hence one more. */
        world_check(t->world, charges.queued_bytes <= PEERS * (limits->connection_bytes + 21000), "%llu bytes queued",
                    (ull)charges.queued_bytes);
        /* What outputs refer to was let through already: 256 KiB each, or one message. */
        world_check(t->world, charges.bodies_bytes <= limits->broker_bytes + PEERS * (256u << 10) + 21000,
                    "%llu bytes of bodies, limit %llu", (ull)charges.bodies_bytes, (ull)limits->broker_bytes);
        for (unsigned i = 0; i < PEERS; i++)
                for (uint64_t sid = 1; sid <= SIDS; sid++) {
                        struct core_ledger l;
                        if (core_interest_ledger(t->peers[i]->peer, sid, &l) < 0)
                                continue;
                        world_check(t->world,
                                    l.matched == l.queued + l.in_flight + l.confirmed + l.expired + l.dropped +
                                                         l.replaced + l.moved + l.unconfirmed,
                                    "peer %u sid %llu: the ledger does not balance", i, (ull)sid);
                }
}

static void settle(struct tight *t) {
        for (bool moved = true; moved;) {
                moved = false;
                for (unsigned i = 0; i < PEERS; i++) {
                        moved = take(t, i, SIZE_MAX) || moved;
                        for (uint64_t sid = 1; sid <= SIDS; sid++)
                                moved = confirm(t, i, sid) || moved;
                }
        }
        for (unsigned i = 0; i < PEERS; i++)
                for (uint64_t sid = 1; sid <= SIDS; sid++) {
                        const struct reader *r = &t->readers[i][sid];
                        struct core_ledger l;
                        if (core_interest_ledger(t->peers[i]->peer, sid, &l) < 0)
                                continue;
                        world_check(t->world, !l.queued && !l.in_flight,
                                    "peer %u sid %llu: %llu queued, %llu in flight", i, (ull)sid, (ull)l.queued,
                                    (ull)l.in_flight);
                        world_check(t->world, r->received + r->reported + r->replaced == l.matched,
                                    "peer %u sid %llu: received %llu, reported %llu, replaced %llu of %llu", i,
                                    (ull)sid, (ull)r->received, (ull)r->reported, (ull)r->replaced, (ull)l.matched);
                }
}

static uint64_t run(uint64_t seed, uint64_t steps, bool trace, uint64_t *sums) {
        struct core_limits limits;
        core_limits_default(&limits);
        struct rng rng = {seed};
        limits.interest_bytes = 20000 + rng_below(&rng, 100000);
        limits.connection_bytes = 20000 + rng_below(&rng, 100000);
        limits.uid_bytes = 20000 + rng_below(&rng, 100000);
        limits.broker_bytes = 40000 + rng_below(&rng, 200000);
        limits.reserve_bytes = 10000;
        limits.calls = 1 + rng_below(&rng, 20);
        struct tight *t = calloc(1, sizeof(*t));
        if (!t)
                abort();
        t->trace = trace;
        t->world = world_new(seed, &limits);
        t->world->forget = t->world->split = true;
        for (unsigned i = 0; i < PEERS; i++)
                t->peers[i] = fake_join(t->world, i % 3 == 2 ? WORLD_ALLOWED_UID : WORLD_UID);
        for (unsigned i = 0; i < PEERS; i++)
                subscribe(t, i);
        for (uint64_t n = 1; n <= steps; n++) {
                t->world->step = n;
                step(t);
                check_budgets(t);
                if (n % 500 == 0 || n == steps)
                        settle(t);
        }
        /* Who is never answered is answered by the end of its responder. */
        for (unsigned i = 0; i < PEERS; i += 2)
                fake_lost(t->peers[i]);
        for (unsigned i = 1; i < PEERS; i += 2) {
                while (take(t, i, SIZE_MAX))
                        ;
                for (unsigned id = 0; id < CALLS; id++)
                        world_check(t->world, t->callers[i].terminals[id] == t->callers[i].open[id],
                                    "peer %u: call %u has no end", i, id);
        }
        for (size_t i = 0; i < RML_COUNT(t->sums); i++)
                sums[i] += t->sums[i];
        uint64_t simulated = t->world->now - WORLD_START_NS;
        world_free(t->world);
        free(t);
        return simulated;
}

int main(int argc, char **argv) {
        static const char *const names[] = {"deliveries", "reported missing", "calls refused", "answered", NULL};
        static const struct runs runs = {
                .program = "test_sim_tight", .seeds = SEEDS, .steps = STEPS, .run = run, .names = names};
        return runs_main(&runs, argc, argv);
}
