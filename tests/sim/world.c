/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "status.h"

void world_fail(const struct world *world, const char *file, int line, const char *format, ...) {
        va_list args;
        fprintf(stderr, "%s:%d: seed %llu step %llu: ", file, line, (unsigned long long)world->seed,
                (unsigned long long)world->step);
        va_start(args, format);
        vfprintf(stderr, format, args);
        va_end(args);
        if (world->again[0])
                fprintf(stderr, "\nonce more: %s", world->again);
        fputc('\n', stderr);
        fflush(NULL);
        abort();
}

/* A proof that anybody can compute: what is tested is who asks for it when. */
static void prover_challenge(void *user, const uint8_t *client_nonce, uint8_t *nonce, uint8_t *proof) {
        (void)user;
        memset(nonce, 0x42, RML_NONCE_BYTES);
        for (size_t i = 0; i < RML_PROOF_BYTES; i++)
                proof[i] = (uint8_t)(client_nonce[i] ^ 0x0f);
}

static bool prover_check(void *user, const uint8_t *client_nonce, const uint8_t *nonce, const uint8_t *proof) {
        (void)user;
        for (size_t i = 0; i < RML_PROOF_BYTES; i++)
                if (proof[i] != (uint8_t)(client_nonce[i] ^ nonce[i]))
                        return false;
        return true;
}

static const struct core_prover prover = {.challenge = prover_challenge, .check = prover_check};

static void tell_facts(void *user, struct core_facts *ret) {
        static const char *const listening[] = {"unix:@world", NULL};
        (void)user;
        *ret = (struct core_facts){.pid = 42, .cpu_us = 1, .memory_bytes = 4096, .listening = listening};
}

void world_config(const struct world *world, struct core_config *config) {
        static const uint32_t uids[] = {WORLD_ALLOWED_UID};
        static const uint32_t gids[] = {WORLD_ALLOWED_GID};

        *config = (struct core_config){
                .limits = world->limits,
                .uid_limits = world->uid_limits,
                .uid_limit_count = world->uid_limit_count,
                .seed = {.k0 = world->seed * 3 + 1, .k1 = world->seed * 5 + 2},
                .epoch = world->epoch,
                .server = "ramald test",
                .own_uid = WORLD_UID,
                .allow_uids = uids,
                .allow_uid_count = world->closed ? 0 : 1,
                .allow_gids = gids,
                .allow_gid_count = world->closed ? 0 : 1,
                .prover = &prover,
                .facts = tell_facts,
        };
}

struct world *world_alone(uint64_t seed, const struct core_limits *limits) {
        struct world *world = calloc(1, sizeof(*world));
        if (!world)
                abort();
        world->rng.state = seed;
        world->seed = seed;
        world->epoch = seed + 1;
        world->now = WORLD_START_NS;
        core_limits_default(&world->limits);
        if (limits)
                world->limits = *limits;
        return world;
}

void world_begin(struct world *world) {
        struct core_config config;
        world_config(world, &config);
        world->core = core_new(&config, world->now);
        if (!world->core)
                abort();
}

struct world *world_new(uint64_t seed, const struct core_limits *limits) {
        struct world *world = world_alone(seed, limits);
        world_begin(world);
        return world;
}

struct world *world_start(void) {
        struct world *world = world_new(1, NULL);
        world->split = true;
        return world;
}

static void check_charges(const struct world *world) {
        struct core_charges c = {0};
        core_charges(world->core, &c);
        const struct {
                const char *what;
                uint64_t left;
        } all[] = {
                {"peers", c.peers},
                {"interests", c.interests},
                {"names", c.names},
                {"calls", c.calls},
                {"queued messages", c.queued_messages},
                {"queued bytes", c.queued_bytes},
                {"bytes of bodies", c.bodies_bytes},
                {"timers", c.timers},
                {"bytes of publish credit", c.publish_credit_bytes},
                {"bytes of input", c.input_bytes},
                {"unread bytes", c.unread_bytes},
                {"shares", c.shares},
                {"reserved places", c.reserved},
                {"accounts", c.accounts},
        };
        for (size_t i = 0; i < RML_COUNT(all); i++)
                world_check(world, !all[i].left, "nobody is there, and %llu %s are charged",
                            (unsigned long long)all[i].left, all[i].what);
}

void world_end(struct world *world) {
        for (struct fake *fake = world->fakes; fake; fake = fake->next)
                fake_lost(fake);
        world_reap(world);
        for (unsigned turns = 0; turns < 1000 && world_due(world); turns++) { /* who had much gives it back in parts */
                world_expire(world);
                world_reap(world);
        }
        for (struct fake *fake = world->fakes; fake; fake = fake->next)
                world_check(world, !fake->peer, "peer %u was lost and did not come out as closed", fake->index);
        check_charges(world);
        world_inside(world, true);
        world->core = core_free(world->core);
        world_inside(world, false);
}

void world_free(struct world *world) {
        if (world->core)
                world_end(world);
        while (world->fakes) {
                struct fake *fake = world->fakes;
                world->fakes = fake->next;
                fake_free(fake);
        }
        free(world);
}

void world_restart(struct world *world) {
        world_end(world);
        world->epoch += 1000003;
        world_begin(world);
}

void world_collect_dirty(struct world *world) {
        for (;;) {
                world_inside(world, true);
                struct peer *peer = core_next_dirty(world->core);
                world_inside(world, false);
                if (!peer)
                        return;
                struct fake *fake = core_peer_user(peer);
                world_check(world, fake->peer == peer, "a freed peer came out as dirty");
                fake->dirty = true;
        }
}

void world_reap(struct world *world) {
        struct peer *peer;
        while ((peer = core_next_closed(world->core))) {
                struct fake *fake = core_peer_user(peer);
                world_check(world, fake->peer == peer, "a freed peer came out as closed");
                fake->closed = true;
                fake->ended = true;
                fake->dirty = false;
                world_inside(world, true);
                fake->peer = core_peer_free(peer);
                world_inside(world, false);
        }
        while ((peer = core_next_reading(world->core)))
                fake_reads(core_peer_user(peer));
        for (const struct fake *fake = world->fakes; fake; fake = fake->next)
                world_check(world, !fake->peer || fake->reads || !core_peer_reading(fake->peer),
                            "peer %u is to be read again, and nobody was told", fake->index);
        struct core_event event;
        uint64_t lost = 0;
        while (core_next_event(world->core, &event, &lost)) {
                world_check(world, (unsigned)event.kind < RML_COUNT(world->events), "event kind %d", (int)event.kind);
                world_check(world, memchr(event.text, 0, sizeof(event.text)) && memchr(event.app, 0, sizeof(event.app)),
                            "unterminated text in an event");
                world->events[event.kind]++;
        }
}

void world_expire(struct world *world) {
        world_inside(world, true);
        core_expire(world->core);
        world_inside(world, false);
}

bool world_due(const struct world *world) {
        return core_deadline(world->core) <= world->now;
}

void world_turn(struct world *world) {
        /* What one turn leaves undone, by its budgets, the next ones do. */
        for (unsigned turns = 0; turns == 0 || world_due(world); turns++) {
                world_check(world, turns < 1000000, "always more to do, at the same time");
                world_expire(world);
                for (bool moved = true; moved;) {
                        moved = false;
                        world_collect_dirty(world);
                        for (struct fake *fake = world->fakes; fake; fake = fake->next)
                                if (fake->dirty && !fake->stuck && fake->peer && fake_take(fake, SIZE_MAX))
                                        moved = true;
                }
                world_reap(world);
        }
        world_collect_dirty(world);
        for (struct fake *fake = world->fakes; fake; fake = fake->next)
                if (fake->peer && !fake->dirty)
                        world_check(world, !core_peer_has_output(fake->peer),
                                    "peer %u has output and was not said to be dirty", fake->index);
}

void world_advance(struct world *world, uint64_t ns) {
        world->now += ns;
        world_inside(world, true);
        core_time(world->core, world->now);
        world_inside(world, false);
}

void world_one_turn(struct world *world) {
        world_expire(world);
        for (bool moved = true; moved;) {
                moved = false;
                world_collect_dirty(world);
                for (struct fake *fake = world->fakes; fake; fake = fake->next)
                        if (fake->dirty && !fake->stuck && fake->peer && fake_take(fake, SIZE_MAX))
                                moved = true;
        }
        world_reap(world);
}

struct core_charges world_charges(const struct world *world) {
        struct core_charges ret;

        core_charges(world->core, &ret);
        return ret;
}

struct core_limits world_defaults(void) {
        struct core_limits limits;

        core_limits_default(&limits);
        return limits;
}
