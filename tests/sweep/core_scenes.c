/* SPDX-License-Identifier: MIT */
/* Coming, publishing, groups, limits. Calls and names are in core_scenes_calls.c. */
#include "core_scenes.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "oom.h"
#include "stage.h"
#include "sweep.h"

#define OVERFLOW_RULE(name) RAMAL__V1__OVERFLOW__OVERFLOW_##name
#define POLICY(name) RAMAL__V1__POLICY__POLICY_##name

/* A core that cannot be made is none, and leaves nothing. */
void scene_begin(const void *user) {
        (void)user;
        struct core_uid_limits own[2] = {{.uid = WORLD_ALLOWED_UID, .overridden = 7}, {.uid = 77, .overridden = 1 << 14}};
        struct core_config config;
        struct world *world = stage_alone(NULL);
        own[0].limits = own[1].limits = world->limits;
        world->uid_limits = own;
        world->uid_limit_count = RML_COUNT(own);
        world_config(world, &config);
        uint64_t failures = oom_failures();
        oom_inside(true);
        struct core *core = core_new(&config, world->now);
        oom_inside(false);
        /* Without its route cache it is only slower. */
        sweep_check(core || oom_failures() > failures, "no core, and memory did not fail");
        if (core) {
                world->core = core;
                stage_close(world);
        } else {
                sweep_memory_back();
                world_free(world);
        }
}

void scene_enter(const void *user) {
        struct core_limits limits;
        (void)user;
        core_limits_default(&limits);
        limits.uid_connections = 2;
        struct world *world = stage_open(&limits);
        struct fake *watch = stage_enter(world, WORLD_UID, "watch");
        SUBSCRIBE(watch, .sid = 1, .pattern = "$SYS.peer.>");
        struct fake *a = stage_enter(world, WORLD_UID, "a"), *b = stage_enter(world, WORLD_ALLOWED_UID, "b"),
                    *c = stage_enter(world, WORLD_ALLOWED_UID, "c"), *d = stage_enter_tcp(world);
        stage_enter(world, WORLD_ALLOWED_UID, "too many");
        stage_enter(world, WORLD_OTHER_UID, "not allowed");
        fake_ping(a);
        fake_ping(b);
        fake_ping(d);
        fake_hello(c, "twice");
        world_turn(world);
        fake_bye(b, false, 0);
        fake_lost(a);
        world_turn(world);
        stage_eof(d);
        stage_close(world);
}

void scene_publish(const void *user) {
        (void)user;
        struct world *world = stage_open(NULL);
        struct fake *from = stage_enter(world, WORLD_UID, "from"), *to = stage_enter(world, WORLD_UID, "to"),
                    *slow = stage_enter(world, WORLD_UID, "slow"), *tap = stage_enter(world, WORLD_UID, "tap");
        SUBSCRIBE(to, .sid = 1, .pattern = "a.*");
        SUBSCRIBE(to, .sid = 2, .pattern = "a.>");
        SUBSCRIBE(slow, .sid = 1, .pattern = "a.b", .credit_messages = 1);
        SUBSCRIBE(tap, .sid = 1, .pattern = ">", .tap = true);
        for (unsigned i = 0; i < 3; i++) {
                fake_publish(from, "a.b", "small");
                fake_publish_receipt(from, "a.b", "with a receipt");
                fake_publish_bytes(from, "a.b", 3000);
        }
        fake_publish(from, "nobody.hears", "it");
        fake_unsubscribe(to, 2);
        fake_unsubscribe(to, 9);
        world_turn(world);
        fake_publish(from, "a.b", "after");
        fake_publish(from, "$PEER.3.x", "for one");
        /* Who leaves with something queued. */
        fake_lost(tap);
        stage_close(world);
}

void scene_overflow(const void *user) {
        static const Ramal__V1__Overflow rules[] = {OVERFLOW_RULE(DROP_OLD), OVERFLOW_RULE(DROP_NEW),
                                                    OVERFLOW_RULE(LATEST)};
        (void)user;
        struct world *world = stage_open(NULL);
        struct fake *from = stage_enter(world, WORLD_UID, "from");
        for (size_t i = 0; i < RML_COUNT(rules); i++) {
                struct fake *to = stage_enter(world, WORLD_UID, "to");
                SUBSCRIBE(to, .sid = 1, .pattern = "a.>", .credit_messages = 1, .window_messages = 2, .overflow = rules[i]);
        }
        for (unsigned i = 0; i < 4; i++) {
                fake_publish(from, "a.b", "1");
                fake_publish(from, "a.c", "2");
        }
        stage_close(world);
}

/* Above what is copied, and above what is read at once. */
void scene_large(const void *user) {
        (void)user;
        struct world *world = stage_open(NULL);
        struct fake *from = stage_enter(world, WORLD_UID, "from"), *to = stage_enter(world, WORLD_UID, "to"),
                    *late = stage_enter(world, WORLD_UID, "late");
        SUBSCRIBE(to, .sid = 1, .pattern = "a");
        SUBSCRIBE(late, .sid = 1, .pattern = "a", .credit_messages = 1);
        from->hold = true;
        fake_publish_bytes(from, "a", 5000);
        fake_publish_bytes(from, "a", 100000);
        fake_publish_bytes(from, "a", 200000);
        fake_release(from, 40000);
        to->stuck = true;
        fake_publish_bytes(from, "a", 300000);
        fake_publish_bytes(from, "a", 3000);
        fake_publish(from, "a", "small");
        from->hold = true;
        fake_publish_bytes(from, "a", 100000);
        fake_release_part(from, 70000);
        from->hold = false;
        stage_eof(from);
        stage_close(world);
}

void scene_groups(const void *user) {
        static const Ramal__V1__Policy policies[] = {POLICY(LEAST_PENDING), POLICY(ROUND_ROBIN), POLICY(RANDOM),
                                                     POLICY(PRIMARY)};
        static const char *const names[] = {"g0", "g1", "g2", "g3"};
        (void)user;
        struct world *world = stage_open(NULL);
        struct fake *from = stage_enter(world, WORLD_UID, "from"), *m[3];
        for (size_t i = 0; i < RML_COUNT(m); i++) {
                m[i] = stage_enter(world, WORLD_UID, "member");
                for (size_t g = 0; g < RML_COUNT(policies); g++)
                        SUBSCRIBE(m[i], .sid = 1 + g, .pattern = "t", .group = names[g], .policy = policies[g],
                                  .credit_messages = 1, .window_messages = 2);
        }
        SUBSCRIBE(m[0], .sid = 8, .pattern = "t", .group = "g0", .policy = POLICY(PRIMARY)); /* not that one's policy */
        for (unsigned i = 0; i < 8; i++)
                fake_publish(from, "t", "x");
        fake_unsubscribe(m[1], 1);
        fake_lost(m[0]);
        world_turn(world);
        fake_publish(from, "t", "y");
        fake_bye(m[1], true, 1000000);
        stage_close(world);
}

static void publish_key(struct fake *from, const char *key) {
        struct say say = {.subject = "t", .key = key, .payload = "x", .len = 1};
        fake_data(from, RML_PUBLISH, false, &say);
}

void scene_keys(const void *user) {
        static const char *const keys[] = {"a", "b", "c", "d", "a", "b", "c", "d"};
        (void)user;
        struct world *world = stage_open(NULL);
        struct fake *from = stage_enter(world, WORLD_UID, "from"), *m[3];
        for (size_t i = 0; i < RML_COUNT(m); i++) {
                m[i] = stage_enter(world, WORLD_UID, "member");
                SUBSCRIBE(m[i], .sid = 1, .pattern = "t", .group = "g", .policy = POLICY(KEY), .credit_messages = 1);
                for (size_t k = 0; k < RML_COUNT(keys); k++)
                        publish_key(from, keys[k]);
                fake_publish(from, "t", "without");
        }
        fake_lost(m[1]);
        world_turn(world);
        publish_key(from, "a");
        /* What is in progress there goes on elsewhere. */
        fake_bye(m[0], true, 1000000);
        for (size_t k = 0; k < RML_COUNT(keys); k++)
                publish_key(from, keys[k]);
        fake_lost(m[0]);
        stage_close(world);
}

/* In flight at one who dies; and enough of it that what remembers it must grow. */
void scene_redelivery(const void *user) {
        (void)user;
        struct world *world = stage_open(NULL);
        struct fake *from = stage_enter(world, WORLD_UID, "from"), *m[2];
        for (size_t i = 0; i < RML_COUNT(m); i++) {
                m[i] = stage_enter(world, WORLD_UID, "member");
                SUBSCRIBE(m[i], .sid = 1, .pattern = "t", .group = "g", .policy = POLICY(PRIMARY), .credit_messages = 40);
        }
        for (unsigned i = 0; i < 50; i++)
                fake_publish(from, "t", "x");
        world_turn(world);
        fake_confirm(m[0], 1, 3);
        fake_lost(m[0]);
        stage_close(world);
}

void scene_block(const void *user) {
        struct core_limits limits;
        (void)user;
        core_limits_default(&limits);
        limits.publish_credit_bytes = 2000;
        struct world *world = stage_open(&limits);
        struct fake *from = stage_enter(world, WORLD_UID, "from"), *to = stage_enter(world, WORLD_UID, "to"),
                    *watch = stage_enter(world, WORLD_UID, "watch");
        SUBSCRIBE(watch, .sid = 1, .pattern = "$SYS.>");
        SUBSCRIBE(to, .sid = 1, .pattern = "a", .credit_messages = 1, .window_messages = 2, .overflow = OVERFLOW_RULE(BLOCK));
        for (unsigned i = 0; i < 10; i++)
                fake_publish_bytes(from, "a", 300);
        fake_ping(from);
        world_turn(world);
        fake_confirm(to, 1, 1);
        world_turn(world);
        world_advance(world, limits.stall_max_ns);
        world_turn(world);
        SUBSCRIBE(to, .sid = 2, .pattern = "a", .credit_messages = 1, .overflow = OVERFLOW_RULE(BLOCK));
        fake_publish_bytes(from, "a", 300);
        fake_lost(from);
        stage_close(world);
}

void scene_expiry(const void *user) {
        (void)user;
        struct world *world = stage_open(NULL);
        struct fake *from = stage_enter(world, WORLD_UID, "from"), *to = stage_enter(world, WORLD_UID, "to");
        SUBSCRIBE(to, .sid = 1, .pattern = "a", .credit_messages = 1);
        for (unsigned i = 0; i < 6; i++) {
                struct say say = {.subject = "a", .payload = "x", .len = 1, .time_left_us = 1000 * (uint64_t)(i % 3)};
                fake_data(from, RML_PUBLISH, false, &say);
        }
        world_turn(world);
        world_advance(world, MS(1));
        world_turn(world);
        stage_close(world);
}

/* Other uids: shares, limits of their own, a window that is full. */
void scene_foreign(const void *user) {
        struct core_limits limits;
        (void)user;
        core_limits_default(&limits);
        limits.uid_bytes = 30000;
        limits.connection_bytes = 20000;
        struct world *world = stage_alone(&limits);
        struct core_uid_limits own = {.uid = WORLD_ALLOWED_UID, .overridden = 1, .limits = limits};
        own.limits.payload_bytes = 4000;
        world->uid_limits = &own;
        world->uid_limit_count = 1;
        stage_begin(world);
        struct fake *mine = stage_enter(world, WORLD_UID, "mine"), *root = stage_enter(world, 0, "root"),
                    *theirs = stage_enter(world, WORLD_ALLOWED_UID, "theirs"), *tcp = stage_enter_tcp(world);
        SUBSCRIBE(mine, .sid = 1, .pattern = "a", .credit_messages = 1, .window_messages = 4);
        SUBSCRIBE(mine, .sid = 2, .pattern = "do", .serve = true, .credit_messages = 1, .window_messages = 4);
        SUBSCRIBE(theirs, .sid = 1, .pattern = "a", .credit_messages = 1);
        for (unsigned i = 0; i < 4; i++) {
                fake_publish_bytes(theirs, "a", 3000);
                fake_publish_bytes(root, "a", 3000);
                fake_publish(tcp, "a", "x");
                fake_call(theirs, "do", "x", 0);
                fake_call(root, "do", "x", 0);
        }
        fake_publish_bytes(theirs, "a", 5000);
        world_turn(world);
        fake_lost(theirs);
        world_turn(world);
        stage_close(world);
}

/* Many frames at once: the rest waits for the next turns. */
void scene_turns(const void *user) {
        struct core_limits limits;
        (void)user;
        core_limits_default(&limits);
        limits.turn_frames = 2;
        struct world *world = stage_open(&limits);
        struct fake *from = stage_enter(world, WORLD_UID, "from"), *to = stage_enter(world, WORLD_UID, "to");
        SUBSCRIBE(to, .sid = 1, .pattern = "a");
        from->hold = true;
        for (unsigned i = 0; i < 9; i++)
                fake_publish(from, "a", "x");
        fake_publish_bytes(from, "a", 5000);
        fake_release(from, 400);
        world_expire(world);
        fake_publish_bytes(from, "a", 5000);
        fake_ping(from);
        stage_close(world);
}

/* So much of everything that tables grow. */
void scene_many(const void *user) {
        (void)user;
        struct world *world = stage_open(NULL);
        struct fake *fake = stage_enter(world, WORLD_UID, "many"), *to = stage_enter(world, WORLD_UID, "to");
        for (uint64_t i = 0; i < 40; i++) {
                char pattern[32], group[32];
                snprintf(pattern, sizeof(pattern), "%s%llu.%s", i % 2 ? "a." : "", (unsigned long long)i, i % 3 ? "x" : "*");
                snprintf(group, sizeof(group), "g%llu", (unsigned long long)i);
                SUBSCRIBE(fake, .sid = 100 + i, .pattern = pattern, .group = i % 4 ? NULL : group);
        }
        for (uint64_t i = 0; i < 20; i++)
                SUBSCRIBE(to, .sid = 100 + i, .pattern = "a.>");
        fake_publish(fake, "a.1.x", "x");
        fake_publish(fake, "4.x", "x");
        fake_unsubscribe(fake, 101);
        stage_close(world);
}

void scene_stop(const void *user) {
        (void)user;
        struct world *world = stage_open(NULL);
        struct fake *from = stage_enter(world, WORLD_UID, "from"), *to = stage_enter(world, WORLD_UID, "to");
        SUBSCRIBE(to, .sid = 1, .pattern = "a", .credit_messages = 1);
        fake_publish(from, "a", "1");
        fake_publish(from, "a", "2");
        oom_inside(true);
        core_stop(world->core, MS(1000));
        oom_inside(false);
        world_turn(world);
        fake_publish(from, "a", "3");
        fake_bye(to, true, 500000);
        world_advance(world, MS(1100));
        world_turn(world);
        stage_close(world);
}
