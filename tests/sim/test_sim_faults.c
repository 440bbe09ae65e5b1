/* SPDX-License-Identifier: MIT */
/* The core when everything goes wrong at once: memory fails, peers stall, die, flood, lie and never read, budgets are
 * met all the time, brokers end and begin. After each step the promises of history.h are checked. Options: runs.h. */
#include "faults.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "oom.h"

#define SEEDS 60u
#define STEPS 1500u

/* ---- output ---------------------------------------------------------------------------------------------------- */

static void note_failures(struct sim *sim) {
        struct history *h = sim->history;
        h->failing = h->failing || oom_failures() != sim->failures;
        h->failed = h->failed || h->failing;
}

static void note_closed(struct sim *sim) {
        note_failures(sim);
        world_reap(sim->world);
        for (size_t i = 0; i < sim->history->actor_count; i++) {
                struct actor *actor = sim->history->actors[i];
                if (actor->fake->closed && !actor->closed)
                        history_closed(sim->history, actor);
        }
}

void sim_look(struct sim *sim, struct actor *actor) {
        struct got *got;
        note_failures(sim);
        history_looked(sim->history);
        while ((got = fake_next(actor->fake))) {
                if (sim->trace) {
                        char text[256];
                        TRACE(sim, "   peer %u <- %s", actor->fake->index, got_text(got, text, sizeof(text)));
                }
                history_got(sim->history, actor, got);
                if (got->kind == RML_CHALLENGE)
                        sim_prove(sim, actor, GOT(got, Challenge));
        }
}

bool sim_take(struct sim *sim, struct actor *actor, size_t max) {
        world_collect_dirty(sim->world);
        note_closed(sim);
        if (!actor->fake->peer || !actor->fake->dirty)
                return false;
        size_t n = fake_take(actor->fake, max);
        sim_look(sim, actor);
        note_closed(sim);
        return n > 0;
}

static void op_take(struct sim *sim) {
        struct actor *actor = sim_any(sim, ANY_OPEN);
        static const size_t portions[] = {1, 3, 17, 100, 1000, 5000, 70000, SIZE_MAX, SIZE_MAX};
        if (!actor || actor->fake->stuck)
                return;
        size_t max = PICK(sim, portions);
        TRACE(sim, "peer %u takes %zu", actor->fake->index, max);
        sim_take(sim, actor, max);
}

static void op_stuck(struct sim *sim) {
        struct actor *actor = sim_any(sim, ANY_OPEN);
        if (actor)
                actor->fake->stuck = !actor->fake->stuck;
}

/* ---- memory, time, brokers ------------------------------------------------------------------------------------- */

static void op_memory(struct sim *sim) {
        if (!sim->fails)
                return;
        uint64_t good = rng_below(sim->rng, rng_chance(sim->rng, 2) ? 10 : 300);
        uint64_t bad = rng_chance(sim->rng, 3) ? OOM_EVER : rng_chance(sim->rng, 3) ? 1 + rng_below(sim->rng, 40) : 1;
        TRACE(sim, "memory fails after %llu allocations, %llu times", (unsigned long long)good,
              (unsigned long long)bad);
        oom_plan(good, bad);
}

static void op_memory_back(struct sim *sim) {
        TRACE(sim, "memory is back");
        oom_off();
}

static void op_time(struct sim *sim) {
        uint64_t ns = rng_chance(sim->rng, 30) ? MS(rng_below(sim->rng, 9000)) : MS(rng_below(sim->rng, 12));
        TRACE(sim, "time +%llu ns", (unsigned long long)ns);
        world_advance(sim->world, ns);
        if (rng_chance(sim->rng, 10)) /* the broker itself was stopped */
                core_absent(sim->world->core);
        world_expire(sim->world);
}

static void op_restart(struct sim *sim) {
        if (!rng_chance(sim->rng, 15))
                return;
        TRACE(sim, "another broker");
        oom_off();
        history_restarted(sim->history);
        world_restart(sim->world);
}

static void op_end(struct sim *sim) {
        struct actor *actor = sim_any(sim, ANY_OPEN);
        if (!actor)
                return;
        uint64_t how = actor->leaving ? 0 : rng_below(sim->rng, 5);
        TRACE(sim, "peer %u ends, %llu", actor->fake->index, (unsigned long long)how);
        actor->leaving = true;
        if (how < 2) {
                fake_lost(actor->fake);
        } else if (how < 3 || !actor->fake->in) {
                if (!actor->fake->hold)
                        fake_eof(actor->fake);
                else
                        fake_lost(actor->fake);
        } else {
                struct due due = {.id = actor->fake->next_id, .kind = DUE_BYE};
                history_due(sim->history, actor, &due);
                fake_bye(actor->fake, how == 4, rng_below(sim->rng, 3000000));
        }
}

/* ---- coming to rest -------------------------------------------------------------------------------------------- */

/* Says what it has kept and reads all that there is. */
static bool drain_actor(struct sim *sim, struct actor *actor) {
        bool moved = false;
        actor->fake->stuck = false;
        if (actor->fake->hold && !actor->fake->ended) {
                fake_release(actor->fake, SIZE_MAX);
                actor->half = false;
                moved = true;
        }
        actor->fake->hold = false;
        return sim_take(sim, actor, SIZE_MAX) || moved;
}

static void drain(struct sim *sim) {
        for (bool moved = true; moved;) {
                moved = false;
                world_expire(sim->world);
                for (size_t i = 0; i < sim->history->actor_count; i++)
                        moved = (!sim->history->actors[i]->closed && drain_actor(sim, sim->history->actors[i])) ||
                                moved;
                moved = moved || world_due(sim->world);
        }
}

static bool settle_actor(struct sim *sim, struct actor *actor) {
        bool moved = drain_actor(sim, actor);
        if (!actor->fake->peer || !actor->good || actor->leaving)
                return moved;
        for (size_t i = 0; i < actor->token_count && actor->fake->peer; i++)
                if (!actor->tokens[i].done) {
                        sim_reply(sim, actor, i, true);
                        moved = true;
                }
        for (size_t i = 0; i < actor->reader_count && actor->fake->peer; i++)
                moved = sim_confirm(sim, &actor->readers[i]) || moved;
        return moved;
}

/* So everybody is told all that is free of its credit. */
static void ping_all(struct sim *sim) {
        for (size_t i = 0; i < sim->history->actor_count; i++) {
                struct actor *actor = sim->history->actors[i];
                if (actor->good && !actor->closed && !actor->leaving && actor->fake->in)
                        sim_ping(sim, actor);
        }
}

static void settle(struct sim *sim) {
        struct history *h = sim->history;
        TRACE(sim, "settle");
        oom_off();
        for (size_t i = 0; i < h->actor_count; i++)
                if (!h->actors[i]->closed && !h->actors[i]->good)
                        fake_lost(h->actors[i]->fake);
        note_closed(sim);
        drain(sim);
        history_withdrawn(h);
        bool pinged = false;
        for (unsigned rounds = 0, quiet = 0; quiet < 3; rounds++) {
                bool moved = false;
                world_check(sim->world, rounds < 20000, "it does not come to rest");
                world_expire(sim->world);
                for (size_t i = 0; i < h->actor_count; i++)
                        moved = (!h->actors[i]->closed && settle_actor(sim, h->actors[i])) || moved;
                history_looked(h);
                quiet = moved || world_due(sim->world) ? 0 : quiet + 1;
                if (quiet == 2 && !pinged) {
                        pinged = true;
                        quiet = 0;
                        ping_all(sim);
                }
                if (quiet == 1)
                        world_advance(sim->world, MS(10));
                if (quiet == 2) /* those who leave, and what is left of their time */
                        world_advance(sim->world, sim->world->limits.flush_timeout_ns + MS(200));
        }
        history_ledgers(h);
        history_settled(h);
        h->failing = false;
        sim->failures = oom_failures();
}

/* ---- runs ------------------------------------------------------------------------------------------------------ */

static const struct {
        void (*run)(struct sim *);
        unsigned weight;
} ops[] = {{op_take, 150},     {op_publish, 150},   {op_call, 50},   {op_answer, 50},  {op_credit, 50},
           {op_subscribe, 30}, {op_unsubscribe, 5}, {op_time, 10},   {op_cancel, 5},   {op_stuck, 6},
           {op_end, 5},        {op_join, 15},       {op_hold, 5},    {op_memory, 1},   {op_memory_back, 6},
           {op_ping, 6},       {op_api, 4},         {op_restart, 1}, {op_hostile, 15}, {op_flood, 1},
           {op_stale, 2}};

static void after(struct sim *sim) {
        note_closed(sim);
        history_looked(sim->history);
        history_ledgers(sim->history);
}

static void step(struct sim *sim) {
        unsigned total = 0;
        for (size_t i = 0; i < RML_COUNT(ops); i++)
                total += ops[i].weight;
        uint64_t at = rng_below(sim->rng, total);
        size_t i = 0;
        while (at >= ops[i].weight)
                at -= ops[i++].weight;
        ops[i].run(sim);
        after(sim);
}

static void tight(struct core_limits *limits, struct rng *rng) {
        limits->payload_bytes = 150000;
        limits->interest_bytes = 20000 + rng_below(rng, 100000);
        limits->interest_messages = 5 + rng_below(rng, 50);
        limits->connection_bytes = 20000 + rng_below(rng, 100000);
        limits->uid_bytes = 20000 + rng_below(rng, 100000);
        limits->broker_bytes = 100000 + rng_below(rng, 200000);
        limits->reserve_bytes = 10000;
        limits->calls = 1 + rng_below(rng, 20);
        limits->uid_connections = 2 + rng_below(rng, 4);
        limits->interests = 4 + rng_below(rng, 10);
        limits->unread_answers_bytes = 200 + rng_below(rng, 3000);
        limits->publish_credit_bytes = 1000 + rng_below(rng, 100000);
        limits->stall_max_ns = MS(1 + rng_below(rng, 500));
        limits->turn_frames = 1 + rng_below(rng, 20);
        limits->uid_interests = 5 + rng_below(rng, 20);
        limits->uid_names = 1 + rng_below(rng, 3);
        limits->uid_calls = 1 + rng_below(rng, 30);
        limits->uid_input_bytes = 1000 + rng_below(rng, 300000);
        limits->uid_unread_answers_bytes = 200 + rng_below(rng, 5000);
}

#define OVERRIDE(limits, name)                                                                                         \
        ((limits)->overridden |= UINT64_C(1) << offsetof(struct core_limits, name) / sizeof(uint64_t))

static void fewer(struct core_uid_limits *other, struct rng *rng) {
        other->limits.interests = 1 + rng_below(rng, 5);
        OVERRIDE(other, interests);
        other->limits.uid_interests = 1 + rng_below(rng, 8);
        OVERRIDE(other, uid_interests);
        other->limits.calls = 1 + rng_below(rng, 3);
        OVERRIDE(other, calls);
        other->limits.publish_credit_bytes = 1000;
        OVERRIDE(other, publish_credit_bytes);
}

static uint64_t run(uint64_t seed, uint64_t steps, bool trace, uint64_t *sums) {
        struct core_limits limits;
        struct rng rng = {seed};
        core_limits_default(&limits);
        bool large = rng_chance(&rng, 5);
        if (rng_chance(&rng, 2))
                tight(&limits, &rng);
        if (large) {
                limits.uid_input_bytes = 100000 + rng_below(&rng, 200000);
                limits.unread_answers_bytes = 200000;
                limits.uid_unread_answers_bytes = 10000 + rng_below(&rng, 50000);
        }
        struct sim sim = {.world = world_alone(seed, &limits),
                          .trace = trace,
                          .failures = oom_failures(),
                          .failures_before = oom_failures(),
                          .large = large};
        sim.fails = rng_chance(&rng, 2);
        sim.lies = rng_chance(&rng, 2);
        sim.world->closed = rng_chance(&rng, 6);
        struct core_uid_limits other = {.uid = WORLD_ALLOWED_UID, .limits = limits};
        if (rng_chance(&rng, 3)) { /* one uid has limits of its own */
                fewer(&other, &rng);
                sim.world->uid_limits = &other;
                sim.world->uid_limit_count = 1;
        }
        sim.world->inside = oom_inside;
        sim.world->forget = sim.world->split = true;
        sim.rng = &sim.world->rng;
        world_begin(sim.world);
        sim.history = history_new(sim.world);
        uint64_t often = 50 + rng_below(&rng, 400);
        for (unsigned i = 0; i < 8; i++)
                op_join(&sim);
        settle(&sim);
        for (unsigned i = 0; i < 15; i++) {
                op_subscribe(&sim);
                after(&sim);
        }
        for (uint64_t i = 1; i <= steps; i++) {
                sim.world->step = i;
                step(&sim);
                if (i % often == 0 || i == steps)
                        settle(&sim);
        }
        const struct history *h = sim.history;
        const uint64_t counts[] = {h->deliveries, h->gaps,        h->reported, h->terminals,
                                   h->replied,    h->refusals,    h->restarts, h->actor_count,
                                   h->moved,      h->redelivered, h->demoted,  oom_failures() - sim.failures_before};
        for (size_t i = 0; i < RML_COUNT(counts); i++)
                sums[i] += counts[i];
        uint64_t simulated = sim.world->now - WORLD_START_NS;
        world_free(sim.world);
        history_free(sim.history);
        return simulated;
}

int main(int argc, char **argv) {
        static const char *const names[] = {"deliveries", "gaps",        "reported missing", "calls ended",
                                            "replied",    "refusals",    "restarts",         "connections",
                                            "moved",      "redelivered", "demoted",          "failed allocations",
                                            NULL};
        static const struct runs runs = {
                .program = "test_sim_faults", .seeds = SEEDS, .steps = STEPS, .run = run, .names = names};
        return runs_main(&runs, argc, argv);
}
