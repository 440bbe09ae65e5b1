/* SPDX-License-Identifier: MIT */
/* Calls, streams, names, and what the broker tells about itself. */
#include "core_scenes.h"

#include <stdio.h>
#include <string.h>

#include "api.pb-c.h"
#include "base/check.h"
#include "stage.h"
#include "sweep.h"

#define POLICY(name) RAMAL__V1__POLICY__POLICY_##name

void scene_calls(const void *user) {
        static char long_text[2000];
        (void)user;
        memset(long_text, 'x', sizeof(long_text) - 1);
        struct world *world = stage_open(NULL);
        struct fake *caller = stage_enter(world, WORLD_UID, "caller"), *server = stage_enter(world, WORLD_UID, "server"),
                    *other = stage_enter(world, WORLD_UID, "other"), *tap = stage_enter(world, WORLD_UID, "tap");
        SUBSCRIBE(server, .sid = 1, .pattern = "do.>", .serve = true, .credit_messages = 2);
        SUBSCRIBE(other, .sid = 1, .pattern = "do.it", .serve = true, .group = "g", .credit_messages = 1);
        SUBSCRIBE(tap, .sid = 1, .pattern = "do.>", .tap = true);
        fake_call(caller, "nobody.serves", "x", 0);
        fake_call(caller, "do.alone", "1", 0);
        fake_reply_error(server, stage_call(server), 3, long_text);
        fake_call(caller, "do.alone", "2", 0);
        fake_reply(server, stage_call(server), "done");
        fake_call(caller, "do.it", "3", 1000);
        uint64_t cancelled = fake_call(caller, "do.it", "4", 0);
        for (unsigned i = 0; i < 4; i++)
                fake_call(caller, "do.it", "queued", 0);
        fake_cancel(caller, cancelled);
        world_turn(world);
        world_advance(world, MS(1));
        world_turn(world);
        fake_lost(other);
        fake_call(caller, "do.it", "6", 0);
        world_turn(world);
        fake_unsubscribe(server, 1);
        world_turn(world);
        fake_lost(server);
        stage_close(world);
}

void scene_streams(const void *user) {
        static const uint8_t payload[5000];
        (void)user;
        struct world *world = stage_open(NULL);
        struct fake *caller = stage_enter(world, WORLD_UID, "caller"), *server = stage_enter(world, WORLD_UID, "server");
        SUBSCRIBE(server, .sid = 1, .pattern = "do", .serve = true);
        struct say say = {.subject = "do", .payload = "x", .len = 1, .stream_credit = 100};
        fake_data(caller, RML_CALL, true, &say);
        uint64_t token = stage_call(server);
        for (unsigned i = 0; i < 20; i++) {
                struct say part = {.token = token, .payload = payload, .len = i % 2 ? 4000 : 10,
                                   .flags = RAMAL__V1__DATA_FLAG__DATA_FLAG_MORE};
                fake_data(server, RML_REPLY, false, &part);
        }
        world_turn(world);
        fake_confirm_replies(caller, 2, 5);
        fake_reply(server, token, "end");
        world_turn(world);
        /* And one whose caller goes. */
        fake_data(caller, RML_CALL, true, &say);
        token = stage_call(server);
        fake_reply_more(server, token, "1");
        fake_lost(caller);
        fake_reply_more(server, token, "2");
        stage_close(world);
}

/* Who does not read: what the broker answers it waits, and is written when there is room. */
void scene_stuck(const void *user) {
        static const uint8_t payload[300000];
        struct say large = {.payload = payload, .len = sizeof(payload)};
        (void)user;
        struct world *world = stage_open(NULL);
        struct fake *a = stage_enter(world, WORLD_UID, "a"), *b = stage_enter(world, WORLD_UID, "b");
        SUBSCRIBE(b, .sid = 1, .pattern = "do", .serve = true);
        SUBSCRIBE(b, .sid = 2, .pattern = "n", .serve = true, .name = true, .allow_replace = true);
        SUBSCRIBE(a, .sid = 2, .pattern = "n", .serve = true, .name = true);
        for (unsigned i = 0; i < 3; i++)
                fake_call(a, "do", "x", 0);
        world_turn(world);
        a->stuck = true;
        /* The first reply fills its socket, the others wait behind it. */
        uint64_t last = stage_call(b);
        for (uint64_t token = last > 2 ? last - 2 : 1; token <= last; token++) {
                large.token = token;
                fake_data(b, RML_REPLY, false, &large);
        }
        for (unsigned i = 0; i < 20; i++) {
                fake_publish(a, i % 2 ? "bad..subject" : "$SYS.no", "x");
                fake_publish_receipt(a, "bad..subject", "x");
                fake_ping(a);
        }
        fake_lost(b); /* a owns the name now */
        a->stuck = false;
        stage_close(world);
}

void scene_names(const void *user) {
        (void)user;
        struct world *world = stage_open(NULL);
        struct fake *watch = stage_enter(world, WORLD_UID, "watch"), *a = stage_enter(world, WORLD_UID, "a"),
                    *b = stage_enter(world, WORLD_UID, "b"), *c = stage_enter(world, WORLD_UID, "c");
        SUBSCRIBE(watch, .sid = 1, .pattern = "$SYS.name.>");
        SUBSCRIBE(a, .sid = 1, .pattern = "n.a", .serve = true, .name = true, .allow_replace = true);
        SUBSCRIBE(b, .sid = 1, .pattern = "n.a", .serve = true, .name = true);
        SUBSCRIBE(c, .sid = 1, .pattern = "n.a", .serve = true, .name = true, .no_queue = true);
        SUBSCRIBE(c, .sid = 2, .pattern = "n.a", .serve = true, .name = true, .replace = true);
        world_turn(world);
        fake_call(watch, "n.a", "x", 0);
        fake_call(watch, "n.a.more", "x", 0);
        world_turn(world);
        fake_unsubscribe(b, 1);
        fake_lost(c);
        world_turn(world);
        fake_call(watch, "n.a", "x", 0);
        stage_close(world);
}

static void ask(struct fake *fake, const char *subject, const ProtobufCMessage *request) {
        uint8_t bytes[128];
        size_t len = request ? protobuf_c_message_pack(request, bytes) : 0;
        struct say say = {.subject = subject, .payload = bytes, .len = len};
        fake_data(fake, RML_CALL, true, &say);
}

void scene_api(const void *user) {
        (void)user;
        struct world *world = stage_open(NULL);
        struct fake *fake = stage_enter(world, WORLD_UID, "asks");
        SUBSCRIBE(fake, .sid = 1, .pattern = "a.>");
        SUBSCRIBE(fake, .sid = 2, .pattern = "n", .serve = true, .name = true);
        SUBSCRIBE(fake, .sid = 3, .pattern = "t", .group = "g");
        for (unsigned i = 0; i < 6; i++)
                stage_enter(world, WORLD_UID, "somebody with a rather long name, so that replies grow");
        ask(fake, "$SYS.api.status", NULL);
        ask(fake, "$SYS.api.list", NULL);
        ask(fake, "$SYS.api.names", NULL);
        ask(fake, "$SYS.api.limits", NULL);
        Ramal__Api__V1__WhoRequest who = RAMAL__API__V1__WHO_REQUEST__INIT;
        char subject[] = "a.b";
        who.subject = subject;
        ask(fake, "$SYS.api.who", &who.base);
        stage_close(world);
}

/* So many that each piece of a reply may be the one that there is no memory for. Only the questions are swept. */
void scene_api_large(const void *user) {
        char app[256];
        (void)user;
        struct world *world = stage_alone(NULL);
        void (*inside)(bool) = world->inside;
        sweep_hold();
        stage_begin(world);
        world->inside = NULL;
        struct fake *fakes[12];
        memset(app, 'x', sizeof(app) - 1);
        app[sizeof(app) - 1] = 0;
        for (uint64_t i = 0; i < 12; i++) {
                fakes[i] = stage_enter(world, i % 4 == 3 ? WORLD_ALLOWED_UID : WORLD_UID, app);
                for (uint64_t n = 0; n < 4; n++) {
                        char name[200];
                        snprintf(name, sizeof(name), "%.150s.n%llu", app, (unsigned long long)n);
                        SUBSCRIBE(fakes[i], .sid = 1 + n, .pattern = name, .serve = true, .name = true);
                        snprintf(name, sizeof(name), "%.150s.g%llu", app, (unsigned long long)n);
                        SUBSCRIBE(fakes[i], .sid = 5 + n, .pattern = "t.>", .group = name, .policy = (Ramal__V1__Policy)n);
                        SUBSCRIBE(fakes[i], .sid = 9 + n, .pattern = n % 2 ? "t.*" : "t.>", .serve = true,
                                  .group = n % 2 ? "one" : "other");
                }
        }
        /* More than the first piece of memory for a reply holds. */
        for (uint64_t i = 0; i < 520; i++) {
                char name[32];
                snprintf(name, sizeof(name), "many.n%llu", (unsigned long long)i);
                SUBSCRIBE(fakes[0], .sid = 1000 + i, .pattern = name, .serve = true, .name = true);
                SUBSCRIBE(fakes[1], .sid = 1000 + i, .pattern = "t.*", .serve = true, .group = "one");
                SUBSCRIBE(fakes[2], .sid = 1000 + i, .pattern = "t.>", .serve = true, .group = "other");
        }
        world_turn(world);
        world->inside = inside;
        sweep_go();
        Ramal__Api__V1__WhoRequest who = RAMAL__API__V1__WHO_REQUEST__INIT;
        Ramal__Api__V1__StatusRequest status = RAMAL__API__V1__STATUS_REQUEST__INIT;
        char subject[] = "t.a";
        who.subject = subject;
        status.peer = fakes[0]->id;
        ask(fakes[0], "$SYS.api.list", NULL);
        ask(fakes[0], "$SYS.api.names", NULL);
        ask(fakes[0], "$SYS.api.limits", NULL);
        ask(fakes[0], "$SYS.api.status", NULL);
        ask(fakes[0], "$SYS.api.status", &status.base);
        ask(fakes[0], "$SYS.api.who", &who.base);
        stage_close(world);
}
