/* SPDX-License-Identifier: MIT */
/* What fake peers send. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

/* A copy of exactly that size: a sanitizer sees whoever reads beyond, or keeps pointers into it. */
static void feed(struct fake *fake, const uint8_t *data, size_t len) {
        uint8_t *copy = malloc(len);
        if (!copy)
                abort();
        memcpy(copy, data, len);
        world_inside(fake->world, true);
        core_peer_input(fake->peer, copy, len);
        world_inside(fake->world, false);
        fake_reads(fake);
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

size_t fake_release_part(struct fake *fake, size_t max) {
        size_t n = fake->held_len < max ? fake->held_len : max;
        if (n && fake->peer && !fake->ended)
                feed(fake, fake->held, n);
        fake->held_len -= n;
        if (fake->held_len)
                memmove(fake->held, fake->held + n, fake->held_len);
        return fake->held_len;
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
        if (say->key)
                hop.key = rml_span_of(say->key);

        uint64_t id = with_id ? fake->next_id++ : 0;
        size_t room = RML_HEAD_BYTES_MAX + hop.text.len + hop.key.len + RML_TAIL_HEAD_BYTES_MAX + subject.len +
                      type.len + say->headers.len + say->len;
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
