/* SPDX-License-Identifier: MIT */
/* The whole core as a script: the bytes choose operations of several peers, some well-formed and some raw. Whatever
 * they do, the broker's frames must be strict, every ledger must balance after every step, and when all have left
 * nothing may be charged. The fake peers (tests/sim/world.c) abort when it is not so. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "core_script.h"
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PEERS_MAX 6u
#define JOINS_MAX 40u
#define SIDS 8u
#define TOKENS 16u

struct script {
        struct world *world;
        struct fake *fakes[PEERS_MAX];
        const uint8_t *at, *end;
        unsigned joins;
        uint64_t tokens[TOKENS]; /* of the calls that somebody got, the newest ones */
        unsigned token_count;
};

static uint8_t byte(struct script *s) {
        return s->at < s->end ? *s->at++ : 0;
}

/* The next `max` bytes at most, as many as the next one says. */
static struct rml_span bytes(struct script *s, size_t max) {
        size_t len = byte(s), left = (size_t)(s->end - s->at);
        struct rml_span span = {s->at, len < max ? len : max};
        if (span.len > left)
                span.len = left;
        s->at += span.len;
        return span;
}

static struct fake *peer(struct script *s) {
        return s->fakes[byte(s) % PEERS_MAX];
}

/* Mostly one of a few, so that peers meet; sometimes anything. */
static const char *text(struct script *s, char buf[256]) {
        static const char *const known[] = {"a",   "a.b", "a.*",       ">",         "a.>",         "n",           "n.x",
                                            "*.b", "b",   "$PEER.1.x", "$PEER.2.>", "$SYS.peer.>", "$SYS.name.>", "g"};
        uint8_t which = byte(s);
        if (which < 200)
                return known[which % RML_COUNT(known)];
        struct rml_span span = bytes(s, 255);
        memcpy(buf, span.data, span.len);
        buf[span.len] = 0;
        return buf;
}

static uint64_t amount(struct script *s) {
        static const uint64_t edges[] = {0, 1, 2, 3, 10, 100, 1000, 65536, UINT32_MAX, UINT64_MAX};
        return edges[byte(s) % RML_COUNT(edges)];
}

static void op_join(struct script *s) {
        unsigned slot = byte(s) % PEERS_MAX;
        uint8_t how = byte(s);
        struct fake *old = s->fakes[slot];
        if (s->joins == JOINS_MAX || (old && old->peer))
                return;
        static const uint32_t uids[] = {WORLD_UID, WORLD_UID, WORLD_ALLOWED_UID, 0, WORLD_OTHER_UID};
        struct core_origin origin = {
                .local = how % 8 != 7, .uid = uids[how % RML_COUNT(uids)], .pid = 1, .address = "fuzz"};
        s->joins++;
        s->fakes[slot] = fake_connect(s->world, &origin, NULL);
        if (s->fakes[slot] && how < 200)
                fake_hello_as(s->fakes[slot], "fuzz", how >= 180, NULL);
}

static void op_raw(struct script *s, struct fake *fake) {
        struct rml_span span = bytes(s, 255);
        fake_raw(fake, span.data, span.len);
}

/* A frame whose length and kind are right, and whose body is anything. */
static void op_frame(struct script *s, struct fake *fake) {
        static const uint8_t kinds[] = {2, 3, 4, 5, 16, 17, 20, 22, 27, 29, 30, 31, 32, 34, 36, 40};
        uint8_t out[600];
        uint32_t kind = kinds[byte(s) % RML_COUNT(kinds)];
        bool with_id = byte(s) % 4;
        struct rml_span body = bytes(s, 255);
        size_t n = RML_PREFIX_BYTES;
        if (with_id) {
                out[n++] = 0x08;
                n += rml_put_varint(out + n, fake->next_id++);
        }
        n += rml_put_varint(out + n, (uint64_t)kind << 3 | 2);
        n += rml_put_varint(out + n, body.len);
        memcpy(out + n, body.data, body.len);
        n += body.len;
        rml_put_prefix(out, (uint32_t)(n - RML_PREFIX_BYTES));
        fake_raw(fake, out, n);
}

static void op_subscribe(struct script *s, struct fake *fake) {
        char pattern[256], group[256];
        struct sub sub = {.sid = byte(s) % SIDS};
        uint8_t flags = byte(s), more = byte(s);
        sub.pattern = text(s, pattern);
        sub.serve = flags & 1;
        sub.name = flags & 2;
        sub.replace = flags & 4;
        sub.allow_replace = flags & 8;
        sub.no_queue = flags & 16;
        if (flags & 32)
                sub.group = text(s, group);
        sub.policy = (Ramal__V1__Policy)((more & 3) + (more >> 7)); /* 0 .. 4 */
        sub.overflow = (Ramal__V1__Overflow)(more >> 2 & 7) % 5;
        if (more & 32)
                sub.window_messages = amount(s);
        if (more & 64)
                sub.window_bytes = amount(s);
        if (flags & 64)
                sub.credit_messages = amount(s);
        if (flags & 128)
                sub.credit_bytes = amount(s);
        fake_subscribe(fake, &sub);
}

static void op_data(struct script *s, struct fake *fake, enum rml_kind kind) {
        static const uint8_t payload[70000];
        char subject[256];
        uint8_t flags = byte(s);
        struct say say = {.payload = payload, .len = flags % 7 == 6 ? sizeof(payload) : flags};
        static const char *const keys[] = {NULL, "k", "key", "another"};
        bool id = kind == RML_CALL;
        if (kind == RML_REPLY) {
                say.token = s->token_count ? s->tokens[byte(s) % (s->token_count < TOKENS ? s->token_count : TOKENS)]
                                           : 1u + byte(s);
                say.flags = flags & 1 ? RAMAL__V1__DATA_FLAG__DATA_FLAG_MORE : 0;
                say.code = flags & 2 ? byte(s) : 0;
        } else {
                say.subject = text(s, subject);
                say.key = keys[flags >> 1 & 3];
                if (kind == RML_PUBLISH && flags & 8)
                        say.time_left_us = amount(s);
                if (kind == RML_CALL) {
                        say.time_left_us = amount(s);
                        say.stream_credit = flags & 1 ? amount(s) : 0;
                } else if (flags & 1) {
                        say.flags = RAMAL__V1__DATA_FLAG__DATA_FLAG_RECEIPT;
                        id = true;
                }
        }
        fake_data(fake, kind, id, &say);
}

static void op_api(struct script *s, struct fake *fake) {
        static const char *const methods[] = {"$SYS.api.list",   "$SYS.api.names",  "$SYS.api.who",
                                              "$SYS.api.status", "$SYS.api.limits", "$SYS.api.x"};
        const char *method = methods[byte(s) % RML_COUNT(methods)];
        struct rml_span body = bytes(s, 255);
        struct say say = {.subject = method, .payload = body.data, .len = body.len};
        fake_data(fake, RML_CALL, true, &say);
}

static void op_take(struct script *s, struct fake *fake) {
        uint64_t max = amount(s);
        world_collect_dirty(s->world);
        if (fake->peer && fake->dirty)
                fake_take(fake, max > SIZE_MAX ? SIZE_MAX : (size_t)max);
        world_reap(s->world);
}

static void step(struct script *s) {
        uint8_t op = byte(s);
        struct fake *fake = peer(s);
        if (op % 20 == 0 || !fake) {
                op_join(s);
                return;
        }
        switch (op % 20) {
        case 1:
                op_raw(s, fake);
                break;
        case 2:
                op_frame(s, fake);
                break;
        case 3:
        case 4:
                op_subscribe(s, fake);
                break;
        case 5:
        case 6:
                op_data(s, fake, RML_PUBLISH);
                break;
        case 7:
                op_data(s, fake, RML_CALL);
                break;
        case 8:
                op_data(s, fake, RML_REPLY);
                break;
        case 9:
                fake_confirm(fake, byte(s) % SIDS, byte(s));
                break;
        case 10:
                fake_confirm_replies(fake, byte(s), byte(s));
                break;
        case 11:
                fake_cancel(fake, byte(s));
                break;
        case 12:
                fake_unsubscribe(fake, byte(s) % SIDS);
                break;
        case 13:
                op_api(s, fake);
                break;
        case 14:
                op_take(s, fake);
                break;
        case 15:
                fake->stuck = !fake->stuck;
                break;
        case 16:
                world_turn(s->world);
                break;
        case 17:
                world_advance(s->world, MS(1) << byte(s) % 16);
                world_expire(s->world);
                world_reap(s->world);
                break;
        case 18:
                fake_ping(fake);
                break;
        default:
                op = byte(s);
                if (op < 80)
                        fake_bye(fake, op & 1, op);
                else if (op < 160 && fake->peer)
                        fake_eof(fake);
                else if (op < 250)
                        fake_lost(fake);
                else
                        core_stop(s->world->core, MS(op));
                break;
        }
}

/* Reads what has come, and keeps the tokens. */
static void look(struct script *s, struct fake *fake) {
        const struct got *got;
        while ((got = fake_next(fake)))
                if (got->kind == RML_DELIVER && got->data.token)
                        s->tokens[s->token_count++ % TOKENS] = got->data.token;
}

static void check(const struct script *s) {
        for (unsigned i = 0; i < PEERS_MAX; i++)
                for (uint64_t sid = 1; s->fakes[i] && s->fakes[i]->peer && sid < SIDS; sid++) {
                        struct core_ledger l;
                        if (core_interest_ledger(s->fakes[i]->peer, sid, &l) < 0)
                                continue;
                        world_check(s->world,
                                    l.matched == l.queued + l.in_flight + l.confirmed + l.expired + l.dropped +
                                                         l.replaced + l.moved + l.unconfirmed,
                                    "a ledger does not balance");
                }
}

void core_script(const uint8_t *data, size_t size, void (*inside)(bool), void (*over)(void)) {
        struct core_limits limits;
        core_limits_default(&limits);
        struct script s = {.at = data, .end = data + size};
        if (byte(&s) & 1) { /* small ones, so that they are met */
                limits.payload_bytes = 70000;
                limits.interest_bytes = 100000;
                limits.interest_messages = 20;
                limits.connection_bytes = 150000;
                limits.uid_bytes = 160000;
                limits.broker_bytes = 200000;
                limits.reserve_bytes = 20000;
                limits.uid_connections = 2;
                limits.unauthenticated = 1;
                limits.calls = 4;
                limits.interests = 3;
                limits.names = 1;
                limits.unread_answers_bytes = 2000;
                limits.publish_credit_bytes = 1000;
                limits.stall_max_ns = MS(100);
                limits.turn_frames = 3;
                limits.reserved_connections = 1;
                limits.own_connections = 3;
                limits.uid_interests = 4;
                limits.uid_names = 1;
                limits.uid_calls = 5;
                limits.uid_input_bytes = 80000;
                limits.uid_unread_answers_bytes = 3000;
        }
        /* One uid has less. */
        struct core_uid_limits other = {.uid = WORLD_ALLOWED_UID, .limits = limits};
        other.limits.calls = 2;
        other.overridden = UINT64_C(1) << offsetof(struct core_limits, calls) / sizeof(uint64_t);
        s.world = world_alone(1, &limits);
        s.world->uid_limits = &other;
        s.world->uid_limit_count = 1;
        world_begin(s.world);
        s.world->forget = true;
        s.world->inside = inside;
        while (s.at < s.end) {
                s.world->step++;
                step(&s);
                check(&s);
                for (unsigned i = 0; i < PEERS_MAX; i++)
                        if (s.fakes[i])
                                look(&s, s.fakes[i]);
        }
        if (over)
                over();
        for (unsigned i = 0; i < PEERS_MAX; i++)
                if (s.fakes[i])
                        s.fakes[i]->stuck = false;
        world_turn(s.world);
        world_free(s.world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        core_script(data, size, NULL, NULL);
        return 0;
}
