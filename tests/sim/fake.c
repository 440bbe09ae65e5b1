/* SPDX-License-Identifier: MIT */
/* How fake peers come, what they receive, how they go. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "status.h"

static void got_free(struct got *got) {
        rml_control_free(&got->control);
        free(got);
}

void fake_forget(struct fake *fake, const struct got *until) {
        while (fake->first && fake->first != until) {
                struct got *got = fake->first;
                fake->first = got->next;
                got_free(got);
        }
        if (!fake->first)
                fake->last = &fake->first;
}

void fake_reads(struct fake *fake) {
        fake->reads = fake->peer && core_peer_reading(fake->peer);
}

void fake_free(struct fake *fake) {
        fake_forget(fake, NULL);
        rml_framer_deinit(&fake->framer);
        free(fake->held);
        free(fake);
}

/* ---- joining ------------------------------------------------------------------------------------------------- */

struct fake *fake_connect(struct world *world, const struct core_origin *origin, int *error) {
        struct fake *fake = calloc(1, sizeof(*fake));
        if (!fake)
                abort();
        fake->world = world;
        fake->local = origin->local;
        fake->uid = origin->uid;
        fake->gid = origin->gid;
        fake->pid = origin->pid;
        fake->last = &fake->first;
        fake->next_id = 1;
        rml_framer_init(&fake->framer, RML_HELLO_BYTES_MAX);
        world_inside(world, true);
        int r = core_peer_add(world->core, origin, fake, &fake->peer, NULL);
        world_inside(world, false);
        if (error)
                *error = r;
        if (r < 0) {
                free(fake);
                return NULL;
        }
        fake->index = world->count++;
        fake->id = core_peer_id(fake->peer);
        fake->epoch = world->epoch;
        fake_reads(fake);
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

uint64_t fake_hello_as(struct fake *fake, const char *app, bool inspect, const uint8_t *nonce) {
        char copy[RML_APP_BYTES_MAX + 1], library[] = "world";
        uint8_t bytes[RML_NONCE_BYTES];
        snprintf(copy, sizeof(copy), "%s", app);
        Ramal__V1__Hello hello;
        ramal__v1__hello__init(&hello);
        hello.version_min = RML_VERSION;
        hello.version_max = RML_VERSION;
        hello.app = copy;
        hello.library = library;
        hello.inspect = inspect;
        if (nonce) {
                memcpy(bytes, nonce, sizeof(bytes));
                hello.nonce = (ProtobufCBinaryData){.data = bytes, .len = sizeof(bytes)};
        }
        return fake_control(fake, RML_HELLO, true, &hello.base);
}

uint64_t fake_hello(struct fake *fake, const char *app) {
        return fake_hello_as(fake, app, false, NULL);
}

uint64_t fake_auth(struct fake *fake, const uint8_t *nonce, const Ramal__V1__Challenge *challenge) {
        uint8_t proof[RML_PROOF_BYTES];
        world_check(fake->world, challenge->nonce.len == RML_NONCE_BYTES, "CHALLENGE with a nonce of %zu bytes",
                    challenge->nonce.len);
        for (size_t i = 0; i < sizeof(proof); i++)
                proof[i] = (uint8_t)(nonce[i] ^ challenge->nonce.data[i]);
        Ramal__V1__Auth auth = RAMAL__V1__AUTH__INIT;
        auth.proof = (ProtobufCBinaryData){.data = proof, .len = sizeof(proof)};
        return fake_control(fake, RML_AUTH, true, &auth.base);
}

/* Takes the WELCOME that must be there. */
static struct fake *welcomed(struct fake *fake, uint64_t id) {
        char text[256];
        struct world *world = fake->world;
        world_turn(world);
        struct got *got = fake_next(fake);
        world_check(world, got && got->kind == RML_WELCOME && got->id == id, "no WELCOME but %s",
                    got_text(got, text, sizeof(text)));
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
        uint8_t nonce[RML_NONCE_BYTES];
        memset(nonce, 0x21, sizeof(nonce));
        fake_hello_as(fake, "tcp", false, nonce);
        world_turn(world);
        struct got *got = fake_next(fake);
        world_check(world, got && got->kind == RML_CHALLENGE, "no CHALLENGE");
        return welcomed(fake, fake_auth(fake, nonce, GOT(got, Challenge)));
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
        if (frame.kind == RML_WELCOME) {
                const Ramal__V1__Welcome *welcome = GOT(got, Welcome);
                fake->framer.frame_bytes_max = (uint32_t)welcome->limits->frame_bytes;
                fake->in = true;
                world_check(world, welcome->peer && welcome->peer == fake->id, "WELCOME names peer %llu",
                            (unsigned long long)welcome->peer);
                world_check(world, welcome->epoch == world->epoch, "WELCOME names epoch %llu",
                            (unsigned long long)welcome->epoch);
        }

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
        world_inside(fake->world, true);
        core_peer_sent(fake->peer, taken);
        world_inside(fake->world, false);
        fake_reads(fake);
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
        if (fake->world->forget)
                fake_forget(fake, got);
        fake->cursor = got->next;
        return got;
}

void fake_skip(struct fake *fake) {
        while (fake_next(fake))
                ;
}

void fake_eof(struct fake *fake) {
        if (!fake->ended) {
                world_inside(fake->world, true);
                core_peer_eof(fake->peer);
                world_inside(fake->world, false);
                fake_reads(fake);
        }
        fake->ended = true;
}

void fake_lost(struct fake *fake) {
        if (fake->peer && !fake->closed) {
                world_inside(fake->world, true);
                core_peer_lost(fake->peer);
                world_inside(fake->world, false);
                fake_reads(fake);
        }
        fake->ended = true;
        fake->closed = true;
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
