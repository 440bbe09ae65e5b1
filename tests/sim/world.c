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

struct world *world_new(uint64_t seed, const struct core_limits *limits) {
        struct world *world = calloc(1, sizeof(*world));
        if (!world)
                abort();
        world->rng.state = seed;
        world->seed = seed;
        world->now = WORLD_START_NS;
        core_limits_default(&world->limits);
        if (limits)
                world->limits = *limits;

        const uint32_t uids[] = {WORLD_ALLOWED_UID};
        const uint32_t gids[] = {WORLD_ALLOWED_GID};
        struct core_config config = {
                .limits = world->limits,
                .seed = {.k0 = seed * 3 + 1, .k1 = seed * 5 + 2},
                .epoch = seed + 1,
                .server = "ramald test",
                .own_uid = WORLD_UID,
                .allow_uids = uids,
                .allow_uid_count = 1,
                .allow_gids = gids,
                .allow_gid_count = 1,
                .prover = &prover,
                .facts = tell_facts,
        };
        world->core = core_new(&config, world->now);
        if (!world->core)
                abort();
        return world;
}

struct world *world_start(void) {
        struct world *world = world_new(1, NULL);
        world->split = true;
        return world;
}

static void got_free(struct got *got) {
        rml_control_free(&got->control);
        free(got);
}

static void fake_free(struct fake *fake) {
        while (fake->first) {
                struct got *got = fake->first;
                fake->first = got->next;
                got_free(got);
        }
        rml_framer_deinit(&fake->framer);
        free(fake->held);
        free(fake);
}

static void check_charges(const struct world *world) {
        struct core_charges c = {0};
        core_charges(world->core, &c);
        world_check(world,
                    !c.peers && !c.interests && !c.names && !c.calls && !c.queued_messages && !c.queued_bytes &&
                            !c.bodies_bytes && !c.timers,
                    "charges left: peers %llu interests %llu names %llu calls %llu messages %llu bytes %llu "
                    "bodies %llu timers %llu",
                    (unsigned long long)c.peers, (unsigned long long)c.interests, (unsigned long long)c.names,
                    (unsigned long long)c.calls, (unsigned long long)c.queued_messages,
                    (unsigned long long)c.queued_bytes, (unsigned long long)c.bodies_bytes,
                    (unsigned long long)c.timers);
}

void world_free(struct world *world) {
        for (struct fake *fake = world->fakes; fake; fake = fake->next)
                fake_lost(fake);
        world_reap(world);
        for (struct fake *fake = world->fakes; fake; fake = fake->next)
                world_check(world, !fake->peer, "peer %u was lost and did not come out as closed", fake->index);
        check_charges(world);
        while (world->fakes) {
                struct fake *fake = world->fakes;
                world->fakes = fake->next;
                fake_free(fake);
        }
        core_free(world->core);
        free(world);
}

void world_collect_dirty(struct world *world) {
        struct peer *peer;
        while ((peer = core_next_dirty(world->core))) {
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
                fake->peer = core_peer_free(peer);
        }
        struct core_event event;
        uint64_t lost = 0;
        while (core_next_event(world->core, &event, &lost)) {
                world_check(world, (unsigned)event.kind < RML_COUNT(world->events), "event kind %d", (int)event.kind);
                world_check(world, memchr(event.text, 0, sizeof(event.text)) && memchr(event.app, 0, sizeof(event.app)),
                            "unterminated text in an event");
                world->events[event.kind]++;
        }
}

void world_turn(struct world *world) {
        core_expire(world->core);
        for (bool moved = true; moved;) {
                moved = false;
                world_collect_dirty(world);
                for (struct fake *fake = world->fakes; fake; fake = fake->next)
                        if (fake->dirty && !fake->stuck && fake->peer && fake_take(fake, SIZE_MAX))
                                moved = true;
        }
        world_reap(world);
        world_collect_dirty(world);
        for (struct fake *fake = world->fakes; fake; fake = fake->next)
                if (fake->peer && !fake->dirty)
                        world_check(world, !core_peer_has_output(fake->peer),
                                    "peer %u has output and was not said to be dirty", fake->index);
}

void world_advance(struct world *world, uint64_t ns) {
        world->now += ns;
        core_time(world->core, world->now);
}

/* ---- joining ------------------------------------------------------------------------------------------------- */

struct fake *fake_connect(struct world *world, const struct core_origin *origin, int *error) {
        struct fake *fake = calloc(1, sizeof(*fake));
        if (!fake)
                abort();
        fake->world = world;
        fake->uid = origin->uid;
        fake->last = &fake->first;
        fake->next_id = 1;
        rml_framer_init(&fake->framer, RML_HELLO_BYTES_MAX);
        int r = core_peer_add(world->core, origin, fake, &fake->peer);
        if (error)
                *error = r;
        if (r < 0) {
                free(fake);
                return NULL;
        }
        fake->index = world->count++;
        struct fake **where = &world->fakes;
        while (*where)
                where = &(*where)->next;
        *where = fake;
        return fake;
}

struct fake *fake_local(struct world *world, uint32_t uid) {
        struct core_origin origin = {.local = true,
                                     .uid = uid,
                                     .gid = uid,
                                     .pid = 100 + world->count,
                                     .groups = {uid},
                                     .group_count = 1,
                                     .address = "unix:@world"};
        struct fake *fake = fake_connect(world, &origin, NULL);
        world_check(world, fake, "core_peer_add refused uid %u", uid);
        return fake;
}

uint64_t fake_hello(struct fake *fake, const char *app) {
        char copy[RML_APP_BYTES_MAX + 1], library[] = "world";
        snprintf(copy, sizeof(copy), "%s", app);
        Ramal__V1__Hello hello;
        ramal__v1__hello__init(&hello);
        hello.version_min = RML_VERSION;
        hello.version_max = RML_VERSION;
        hello.app = copy;
        hello.library = library;
        return fake_control(fake, RML_HELLO, true, &hello.base);
}

/* Takes the WELCOME that must be there. */
static struct fake *welcomed(struct fake *fake, uint64_t id) {
        char text[256];
        struct world *world = fake->world;
        world_turn(world);
        struct got *got = fake_next(fake);
        world_check(world, got && got->kind == RML_WELCOME && got->id == id, "no WELCOME but %s",
                    got_text(got, text, sizeof(text)));
        fake->id = GOT(got, Welcome)->peer;
        world_check(world, fake->id && fake->id == core_peer_id(fake->peer), "WELCOME names peer %llu",
                    (unsigned long long)fake->id);
        return fake;
}

struct fake *fake_join_as(struct world *world, uint32_t uid, const char *app) {
        struct fake *fake = fake_local(world, uid);
        return welcomed(fake, fake_hello(fake, app));
}

struct fake *fake_join(struct world *world, uint32_t uid) {
        return fake_join_as(world, uid, "fake");
}

struct fake *fake_join_tcp(struct world *world) {
        struct core_origin origin = {.address = "tcp:127.0.0.1:1"};
        struct fake *fake = fake_connect(world, &origin, NULL);
        world_check(world, fake, "core_peer_add refused a TCP peer");
        uint8_t nonce[RML_NONCE_BYTES], proof[RML_PROOF_BYTES];
        memset(nonce, 0x21, sizeof(nonce));
        char app[] = "tcp";
        Ramal__V1__Hello hello;
        ramal__v1__hello__init(&hello);
        hello.version_min = hello.version_max = RML_VERSION;
        hello.app = app;
        hello.nonce = (ProtobufCBinaryData){.data = nonce, .len = sizeof(nonce)};
        fake_control(fake, RML_HELLO, true, &hello.base);
        world_turn(world);
        struct got *got = fake_next(fake);
        world_check(world, got && got->kind == RML_CHALLENGE, "no CHALLENGE");
        const ProtobufCBinaryData *theirs = &GOT(got, Challenge)->nonce;
        world_check(world, theirs->len == RML_NONCE_BYTES, "CHALLENGE with a nonce of %zu bytes", theirs->len);
        for (size_t i = 0; i < sizeof(proof); i++)
                proof[i] = (uint8_t)(nonce[i] ^ theirs->data[i]);
        Ramal__V1__Auth auth = RAMAL__V1__AUTH__INIT;
        auth.proof = (ProtobufCBinaryData){.data = proof, .len = sizeof(proof)};
        return welcomed(fake, fake_control(fake, RML_AUTH, true, &auth.base));
}

/* ---- receiving ------------------------------------------------------------------------------------------------- */

/* A frame that the broker sent: it must be strict, within the limits and of a kind that brokers send. */
static void receive(struct fake *fake, const struct rml_raw *raw) {
        const struct world *world = fake->world;
        struct got *got = malloc(sizeof(*got) + raw->len);
        if (!got)
                abort();
        memset(got, 0, sizeof(*got));
        got->len = raw->len;
        memcpy(got->bytes, raw->data, raw->len);

        struct rml_frame frame;
        struct rml_fault fault = {0};
        int r = rml_scan_frame((struct rml_span){got->bytes, got->len}, &frame, &fault);
        world_check(world, r == 0, "the broker's frame does not scan: %s at %zu", fault.reason, fault.offset);
        got->kind = frame.kind;
        got->id = frame.id;
        if (frame.kind == RML_REPLY || frame.kind == RML_DELIVER) {
                r = rml_scan_data(&frame, RML_FROM_BROKER, &got->data, &fault);
                world_check(world, r == 0, "the broker's data does not scan: %s at %zu", fault.reason, fault.offset);
        } else {
                char name[24];
                bool sends = frame.kind == RML_CHALLENGE || frame.kind == RML_WELCOME || frame.kind == RML_SUBSCRIBED ||
                             frame.kind == RML_INTEREST || frame.kind == RML_GAP || frame.kind == RML_ACCEPTED ||
                             frame.kind == RML_CANCEL || frame.kind == RML_STATUS || frame.kind == RML_CREDIT ||
                             frame.kind == RML_PONG || frame.kind == RML_GOAWAY;
                world_check(world, sends, "the broker sent %s", rml_kind_name(frame.kind, name));
                r = rml_control_unpack(&frame, &got->control, &fault);
                world_check(world, r == 0, "the broker's %s does not unpack: %d %s at %zu",
                            rml_kind_name(frame.kind, name), r, fault.reason, fault.offset);
        }
        if (frame.kind == RML_WELCOME)
                fake->framer.frame_bytes_max = (uint32_t)GOT(got, Welcome)->limits->frame_bytes;

        *fake->last = got;
        fake->last = &got->next;
        if (!fake->cursor)
                fake->cursor = got;
}

size_t fake_take_once(struct fake *fake, size_t max) {
        const struct world *world = fake->world;
        struct rml_span spans[8];
        size_t n = core_peer_output(fake->peer, spans, RML_COUNT(spans)), taken = 0;
        world_check(world, n <= RML_COUNT(spans), "%zu spans", n);
        if (n == 0) {
                world_check(world, !core_peer_has_output(fake->peer), "output that cannot be had");
                fake->dirty = false;
                return 0;
        }
        for (size_t i = 0; i < n && taken < max; i++) {
                world_check(world, spans[i].len > 0, "an empty span");
                size_t part = spans[i].len < max - taken ? spans[i].len : max - taken;
                struct rml_span in = {spans[i].data, part};
                struct rml_raw raw;
                int r;
                while ((r = rml_framer_next(&fake->framer, &in, &raw)) > 0)
                        receive(fake, &raw);
                world_check(world, r == 0, "the broker's stream is broken: %d", r);
                taken += part;
        }
        core_peer_sent(fake->peer, taken);
        fake->taken += taken;
        return taken;
}

size_t fake_take(struct fake *fake, size_t max) {
        size_t total = 0, n;
        while (total < max && (n = fake_take_once(fake, max - total)))
                total += n;
        return total;
}

struct got *fake_next(struct fake *fake) {
        struct got *got = fake->cursor;
        if (!got)
                return NULL;
        if (fake->world->forget) {
                while (fake->first != got) {
                        struct got *old = fake->first;
                        fake->first = old->next;
                        got_free(old);
                }
        }
        fake->cursor = got->next;
        return got;
}

void fake_skip(struct fake *fake) {
        while (fake_next(fake))
                ;
}

void fake_eof(struct fake *fake) {
        if (!fake->ended)
                core_peer_eof(fake->peer);
        fake->ended = true;
}

void fake_lost(struct fake *fake) {
        if (fake->peer && !fake->closed)
                core_peer_lost(fake->peer);
        fake->ended = true;
        fake->closed = true;
}

/* ---- sending --------------------------------------------------------------------------------------------------- */

/* A copy of exactly that size: a sanitizer sees whoever reads beyond, or keeps pointers into it. */
static void feed(struct fake *fake, const uint8_t *data, size_t len) {
        uint8_t *copy = malloc(len);
        if (!copy)
                abort();
        memcpy(copy, data, len);
        core_peer_input(fake->peer, copy, len);
        free(copy);
        fake->fed += len;
}

void fake_raw(struct fake *fake, const void *bytes, size_t len) {
        struct rng *rng = &fake->world->rng;
        const uint8_t *data = bytes;
        if (fake->hold) {
                fake->held = realloc(fake->held, fake->held_len + len);
                if (!fake->held)
                        abort();
                memcpy(fake->held + fake->held_len, data, len);
                fake->held_len += len;
                return;
        }
        while (len && fake->peer && !fake->ended) {
                size_t part = len;
                if (fake->world->split && rng_chance(rng, 3))
                        part = 1 + (size_t)rng_below(rng, len < 9 || rng_chance(rng, 2) ? len : 9);
                feed(fake, data, part);
                data += part;
                len -= part;
        }
}

void fake_release(struct fake *fake, size_t step) {
        for (size_t at = 0; at < fake->held_len && fake->peer && !fake->ended; at += step)
                feed(fake, fake->held + at, fake->held_len - at < step ? fake->held_len - at : step);
        fake->held_len = 0;
        fake->hold = false;
}

uint64_t fake_control(struct fake *fake, enum rml_kind kind, bool with_id, const ProtobufCMessage *message) {
        uint64_t id = with_id ? fake->next_id++ : 0;
        size_t size = rml_control_size(kind, id, message);
        uint8_t *out = malloc(size);
        if (!out)
                abort();
        size_t written = rml_control_pack(out, kind, id, message);
        world_check(fake->world, written == size, "rml_control_pack wrote %zu of %zu", written, size);
        fake->last_len = size - RML_PREFIX_BYTES;
        fake_raw(fake, out, size);
        free(out);
        return id;
}

uint64_t fake_subscribe(struct fake *fake, const struct sub *sub) {
        char pattern[1024], group[1024];
        snprintf(pattern, sizeof(pattern), "%s", sub->pattern);
        snprintf(group, sizeof(group), "%s", sub->group ? sub->group : "");
        Ramal__V1__Subscribe m;
        ramal__v1__subscribe__init(&m);
        m.sid = sub->sid;
        m.pattern = pattern;
        m.group = group;
        m.policy = sub->policy;
        m.serve = sub->serve;
        m.name = sub->name;
        m.replace = sub->replace;
        m.allow_replace = sub->allow_replace;
        m.no_queue = sub->no_queue;
        m.no_local = sub->no_local;
        m.tap = sub->tap;
        m.start = sub->start;
        m.window_bytes = sub->window_bytes;
        m.window_messages = sub->window_messages;
        m.overflow = sub->overflow;
        m.credit_bytes = sub->credit_bytes;
        m.credit_messages = sub->credit_messages;
        return fake_control(fake, RML_SUBSCRIBE, true, &m.base);
}

uint64_t fake_unsubscribe(struct fake *fake, uint64_t sid) {
        Ramal__V1__Unsubscribe m = RAMAL__V1__UNSUBSCRIBE__INIT;
        m.sid = sid;
        return fake_control(fake, RML_UNSUBSCRIBE, true, &m.base);
}

uint64_t fake_ping(struct fake *fake) {
        Ramal__V1__Ping m = RAMAL__V1__PING__INIT;
        return fake_control(fake, RML_PING, true, &m.base);
}

uint64_t fake_bye(struct fake *fake, bool drain, uint64_t drain_us) {
        Ramal__V1__Bye m = RAMAL__V1__BYE__INIT;
        m.drain = drain;
        m.drain_us = drain_us;
        return fake_control(fake, RML_BYE, true, &m.base);
}

static void credit(struct fake *fake, uint64_t sid, uint64_t call, uint64_t seq) {
        Ramal__V1__Credit m = RAMAL__V1__CREDIT__INIT;
        m.sid = sid;
        m.call = call;
        m.seq = seq;
        fake_control(fake, RML_CREDIT, false, &m.base);
}

void fake_confirm(struct fake *fake, uint64_t sid, uint64_t seq) {
        credit(fake, sid, 0, seq);
}

void fake_confirm_replies(struct fake *fake, uint64_t call, uint64_t seq) {
        credit(fake, 0, call, seq);
}

void fake_cancel(struct fake *fake, uint64_t call) {
        Ramal__V1__Cancel m = RAMAL__V1__CANCEL__INIT;
        m.call = call;
        fake_control(fake, RML_CANCEL, false, &m.base);
}

uint64_t fake_data(struct fake *fake, enum rml_kind kind, bool with_id, const struct say *say) {
        struct rml_span subject = {0}, type = {0};
        if (say->subject)
                subject = rml_span_of(say->subject);
        if (say->type)
                type = rml_span_of(say->type);
        struct rml_hop hop = {.token = say->token,
                              .time_left_us = say->time_left_us,
                              .flags = say->flags,
                              .code = say->code,
                              .stream_credit = say->stream_credit};
        if (say->text)
                hop.text = rml_span_of(say->text);

        uint64_t id = with_id ? fake->next_id++ : 0;
        size_t room = RML_HEAD_BYTES_MAX + hop.text.len + RML_TAIL_HEAD_BYTES_MAX + subject.len + type.len +
                      say->headers.len + say->len;
        uint8_t *out = malloc(room), *tail = malloc(room);
        if (!out || !tail)
                abort();
        size_t tail_head = rml_put_tail_head(tail, subject, type, say->headers, say->len);
        size_t len = rml_put_head(out, kind, id, &hop, tail_head + say->len);
        memcpy(out + len, tail, tail_head);
        len += tail_head;
        if (say->len)
                memcpy(out + len, say->payload, say->len);
        len += say->len;
        free(tail);

        fake->publishes += kind == RML_PUBLISH;
        fake->last_len = len - RML_PREFIX_BYTES;
        fake_raw(fake, out, len);
        free(out);
        return id;
}

void fake_publish(struct fake *fake, const char *subject, const char *text) {
        struct say say = {.subject = subject, .payload = text, .len = strlen(text)};
        fake_data(fake, RML_PUBLISH, false, &say);
}

void fake_publish_bytes(struct fake *fake, const char *subject, size_t len) {
        uint8_t *payload = calloc(1, len ? len : 1);
        if (!payload)
                abort();
        struct say say = {.subject = subject, .payload = payload, .len = len};
        fake_data(fake, RML_PUBLISH, false, &say);
        free(payload);
}

uint64_t fake_publish_receipt(struct fake *fake, const char *subject, const char *text) {
        struct say say = {.subject = subject,
                          .payload = text,
                          .len = strlen(text),
                          .flags = RAMAL__V1__DATA_FLAG__DATA_FLAG_RECEIPT};
        return fake_data(fake, RML_PUBLISH, true, &say);
}

uint64_t fake_call(struct fake *fake, const char *subject, const char *text, uint64_t time_left_us) {
        struct say say = {.subject = subject, .payload = text, .len = strlen(text), .time_left_us = time_left_us};
        return fake_data(fake, RML_CALL, true, &say);
}

void fake_reply(struct fake *fake, uint64_t token, const char *text) {
        struct say say = {.token = token, .payload = text, .len = strlen(text)};
        fake_data(fake, RML_REPLY, false, &say);
}

void fake_reply_more(struct fake *fake, uint64_t token, const char *text) {
        struct say say = {
                .token = token, .payload = text, .len = strlen(text), .flags = RAMAL__V1__DATA_FLAG__DATA_FLAG_MORE};
        fake_data(fake, RML_REPLY, false, &say);
}

void fake_reply_error(struct fake *fake, uint64_t token, uint32_t code, const char *text) {
        struct say say = {.token = token, .code = code, .text = text};
        fake_data(fake, RML_REPLY, false, &say);
}

/* ---- for people ------------------------------------------------------------------------------------------------ */

static void data_text(const struct got *got, const char *kind, char *buf, size_t size) {
        const struct rml_data *d = &got->data;
        snprintf(buf, size,
                 "%s id %llu sid %llu seq %llu token %llu flags %u replaced %llu code %u subject '%.*s' payload '%.*s'",
                 kind, (unsigned long long)got->id, (unsigned long long)d->sid, (unsigned long long)d->seq,
                 (unsigned long long)d->token, d->flags, (unsigned long long)d->replaced, d->code, (int)d->subject.len,
                 d->subject.len ? (const char *)d->subject.data : "", (int)(d->payload.len < 32 ? d->payload.len : 32),
                 d->payload.len ? (const char *)d->payload.data : "");
}

char *got_text(const struct got *got, char *buf, size_t size) {
        char name[24];
        if (!got) {
                snprintf(buf, size, "nothing");
                return buf;
        }
        const char *kind = rml_kind_name(got->kind, name);
        if (got->kind == RML_REPLY || got->kind == RML_DELIVER) {
                data_text(got, kind, buf, size);
        } else if (got->kind == RML_STATUS) {
                const Ramal__V1__Status *s = GOT(got, Status);
                snprintf(buf, size, "%s id %llu %s publish %llu count %llu may_have_run %d limit '%s' '%s'", kind,
                         (unsigned long long)got->id, rml_code_name(s->code), (unsigned long long)s->publish,
                         (unsigned long long)s->count, s->may_have_run, s->limit, s->text);
        } else if (got->kind == RML_GAP) {
                const Ramal__V1__Gap *g = GOT(got, Gap);
                snprintf(buf, size, "%s sid %llu %llu..%llu count %llu bytes %llu %s", kind, (unsigned long long)g->sid,
                         (unsigned long long)g->first, (unsigned long long)g->last, (unsigned long long)g->count,
                         (unsigned long long)g->bytes, rml_why_name(g->why));
        } else if (got->kind == RML_INTEREST) {
                const Ramal__V1__Interest *i = GOT(got, Interest);
                snprintf(buf, size, "%s sid %llu %s queued %llu %s", kind, (unsigned long long)i->sid,
                         rml_state_name(i->state), (unsigned long long)i->queued, rml_why_name(i->why));
        } else if (got->kind == RML_GOAWAY) {
                const Ramal__V1__Goaway *g = GOT(got, Goaway);
                snprintf(buf, size, "%s %s offset %llu '%s'", kind, rml_code_name(g->reason),
                         (unsigned long long)g->offset, g->text);
        } else {
                snprintf(buf, size, "%s id %llu", kind, (unsigned long long)got->id);
        }
        return buf;
}
