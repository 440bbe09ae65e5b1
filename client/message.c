/* SPDX-License-Identifier: MIT */
/* Received messages. A borrowed one is a view into the read buffer, on the stack of whoever calls back; texts are made
 * NUL-terminated on demand. An owned one has everything in one piece of memory, made at once, so that other threads
 * may read it. */
#include "client/conn_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EMPTY ((const uint8_t *)"")

uint64_t rml_expiry(const struct rml_data *data, uint64_t arrived) {
        if (data->time_left_us == 0)
                return RAMAL_NEVER;
        uint64_t from = arrived ? arrived : ramal_now();
        return data->time_left_us > (RAMAL_NEVER - 1 - from) / 1000 ? RAMAL_NEVER - 1
                                                                    : from + data->time_left_us * 1000;
}

static void fill(ramal_msg *msg, const struct rml_data *data, uint64_t arrived) {
        msg->payload = data->payload;
        if (!msg->payload.data)
                msg->payload.data = EMPTY;
        msg->subject = data->subject;
        msg->type = data->type;
        msg->headers = data->headers;
        msg->header_count = data->header_count;
        msg->flags = data->flags;
        msg->seq = data->seq;
        msg->replaced = data->replaced;
        msg->expires = rml_expiry(data, arrived);
        msg->from = data->sender;
}

ramal_msg *rml_msg_view(struct rml_msg_view *view, const struct rml_data *data, uint64_t arrived) {
        fill(&view->msg, data, arrived);
        view->msg.text = &view->text;
        view->text.has_subject = view->text.has_type = view->text.has_sender = false;
        return &view->msg;
}

static void cut(char *to, size_t size, struct rml_span from) {
        size_t n = from.len < size ? from.len : size - 1;

        if (n > 0)
                memcpy(to, from.data, n);
        to[n] = '\0';
}

/* Who sent it; a peer without a uid must not read as root. */
static void fill_sender(ramal_sender *ret, const struct rml_sender *from, const char *identity) {
        *ret = (ramal_sender){
                .peer = from->peer,
                .local = from->local,
                .uid = from->local ? (uid_t)from->uid : (uid_t)-1,
                .gid = from->local ? (gid_t)from->gid : (gid_t)-1,
                .pid = from->local ? (pid_t)from->pid : (pid_t)-1,
                .identity = identity,
        };
}

/* Copies a span behind `at`, with a NUL; returns where the next one goes. */
static char *put(char *at, struct rml_span *span) {
        uint8_t *to = (uint8_t *)at;

        if (span->len > 0)
                memcpy(to, span->data, span->len);
        to[span->len] = '\0';
        span->data = to;
        return at + span->len + 1;
}

static ramal_msg *copy(const ramal_msg *from) {
        /* No sum overflows: all lie in one frame. */
        size_t len = from->payload.len + from->subject.len + from->type.len + from->headers.len +
                     from->from.identity.len + 5;
        ramal_msg *msg = malloc(sizeof(*msg) + len);

        if (!msg)
                return NULL;
        memcpy(msg, from, sizeof(*msg));
        atomic_init(&msg->refs, 1);
        msg->text = NULL;
        char *at = put((char *)(msg + 1), &msg->subject);
        if (msg->type.len > 255) /* as documented */
                msg->type.len = 255;
        at = put(at, &msg->type);
        at = put(at, &msg->from.identity);
        at = put(at, &msg->headers);
        put(at, &msg->payload);
        msg->subject_z = (const char *)msg->subject.data;
        msg->type_z = (const char *)msg->type.data;
        fill_sender(&msg->sender, &msg->from, (const char *)msg->from.identity.data);
        return msg;
}

ramal_msg *rml_msg_copy(const struct rml_data *data, uint64_t arrived) {
        ramal_msg view;

        fill(&view, data, arrived);
        return copy(&view);
}

ramal_msg *ramal_msg_ref(const ramal_msg *msg) {
        if (!msg)
                return NULL;
        if (msg->text)
                return copy(msg);
        /* Owned, so it came from copy() and is not really const. */
        ramal_msg *owned = (ramal_msg *)(uintptr_t)msg;
        atomic_fetch_add_explicit(&owned->refs, 1, memory_order_relaxed);
        return owned;
}

ramal_msg *ramal_msg_unref(ramal_msg *msg) {
        if (msg && !msg->text && atomic_fetch_sub_explicit(&msg->refs, 1, memory_order_acq_rel) == 1)
                free(msg);
        return NULL;
}

const void *ramal_msg_data(const ramal_msg *msg, size_t *len) {
        if (len)
                *len = msg->payload.len;
        return msg->payload.data;
}

const char *ramal_msg_subject(const ramal_msg *msg) {
        if (!msg->text)
                return msg->subject_z;
        if (!msg->text->has_subject) {
                cut(msg->text->subject, sizeof(msg->text->subject), msg->subject);
                msg->text->has_subject = true;
        }
        return msg->text->subject;
}

const char *ramal_msg_type(const ramal_msg *msg) {
        if (!msg->text)
                return msg->type_z;
        if (!msg->text->has_type) {
                cut(msg->text->type, sizeof(msg->text->type), msg->type);
                msg->text->has_type = true;
        }
        return msg->text->type;
}

const ramal_sender *ramal_msg_sender(const ramal_msg *msg) {
        if (!msg->text)
                return &msg->sender;
        if (!msg->text->has_sender) {
                cut(msg->text->identity, sizeof(msg->text->identity), msg->from.identity);
                fill_sender(&msg->text->sender, &msg->from, msg->text->identity);
                msg->text->has_sender = true;
        }
        return &msg->text->sender;
}

bool ramal_msg_header_next(const ramal_msg *msg, size_t *cursor, ramal_header *ret) {
        struct rml_span rest, name, value;

        if (*cursor >= msg->headers.len)
                return false;
        rest = (struct rml_span){msg->headers.data + *cursor, msg->headers.len - *cursor};
        if (!rml_header_next(&rest, &name, &value))
                return false;
        *cursor = msg->headers.len - rest.len;
        *ret = (ramal_header){
                .name = (const char *)name.data,
                .name_len = name.len,
                .value = value.data ? value.data : EMPTY,
                .value_len = value.len,
        };
        return true;
}

const void *ramal_msg_header(const ramal_msg *msg, const char *name, size_t *len) {
        size_t cursor = 0, name_len = strlen(name);
        ramal_header header;

        while (ramal_msg_header_next(msg, &cursor, &header)) {
                if (header.name_len != name_len || memcmp(header.name, name, name_len) != 0)
                        continue;
                if (len)
                        *len = header.value_len;
                return header.value;
        }
        if (len)
                *len = 0;
        return NULL;
}

size_t ramal_msg_header_count(const ramal_msg *msg) {
        return msg->header_count;
}

uint64_t ramal_msg_seq(const ramal_msg *msg) {
        return msg->seq;
}

uint64_t ramal_msg_replaced(const ramal_msg *msg) {
        return msg->replaced;
}

uint64_t ramal_msg_expires(const ramal_msg *msg) {
        return msg->expires;
}

unsigned ramal_msg_flags(const ramal_msg *msg) {
        return msg->flags & (RAMAL_MSG_MORE | RAMAL_MSG_MOVED | RAMAL_MSG_REDELIVERED | RAMAL_MSG_RETAINED);
}
