/* SPDX-License-Identifier: MIT */
#include "message.h"

#include <stdlib.h>
#include <string.h>

#include "account.h"
#include "budget.h"
#include "state.h"

const struct rml_span message_sender_broker = {(const uint8_t[RML_SENDER_BYTES_MAX]){6 << 3 | 2, 0}, 2};

_Static_assert(sizeof(struct body) <= MESSAGE_BODY_BYTES, "what a body costs");

struct body *message_body(struct core *core, struct message *message) {
        struct body *body = message->body;
        struct rml_blob *blob = NULL;
        bool small = message->tail.len <= MESSAGE_COPY_MAX;

        if (body)
                return body;
        body = shelf_take(&core->shelf, sizeof(*body) + (small ? message->tail.len : 0));
        if (!body)
                return NULL;
        /* One by one: gcc clears a whole one of that size by a `rep stos`, which costs as much as all the rest here. */
        body->refs = 1;
        body->charge = message->charge;
        body->core = core;
        body->subject = (struct rml_span){0};
        body->blob = NULL;
        body->publisher = NULL;
        body->blocks = 0;
        body->keyed = message->keyed;
        body->key = message->key;
        body->expires_ns = message->expires_ns ? message->expires_ns : CORE_NEVER;
        body->sender = (struct rml_span){body->sender_field, message->sender->len};
        rml_list_init(&body->held_link);
        memcpy(body->sender_field, message->sender->data, RML_SENDER_BYTES_MAX);
        if (small) {
                if (message->tail.len)
                        memcpy(body->bytes, message->tail.data, message->tail.len);
                body->tail = (struct rml_span){body->bytes, message->tail.len};
        } else if (message->blob) {
                body->blob = rml_blob_ref(message->blob);
                body->tail = message->tail;
        } else {
                blob = rml_blob_new(message->tail.len);
                if (!blob) {
                        shelf_give(&core->shelf, body, sizeof(*body));
                        return NULL;
                }
                memcpy(blob->bytes, message->tail.data, message->tail.len);
                body->blob = blob;
                body->tail = (struct rml_span){blob->bytes, message->tail.len};
        }
        if (message->subject.data)
                body->subject = (struct rml_span){
                        body->tail.data + (message->subject.data - message->tail.data), message->subject.len};
        body->account = account_ref(message->account);
        core->bodies_bytes += body->charge + MESSAGE_BODY_BYTES;
        message->body = body;
        return body;
}

struct message message_again(struct body *body) {
        return (struct message){
                .sender = &body->sender,
                .tail = body->tail,
                .subject = body->subject,
                .charge = body->charge,
                .from = body->publisher,
                .account = body->account,
                .keyed = body->keyed,
                .key = body->key,
                .expires_ns = body->expires_ns,
                .body = body,
        };
}

bool message_fits(const struct core *core, const struct message *message, uint64_t budget) {
        uint64_t cost = (uint64_t)message->charge + MESSAGE_BODY_BYTES;

        return message->body || core->bodies_bytes == 0 || (cost <= budget && core->bodies_bytes <= budget - cost);
}

static bool copied(const struct message *message) {
        return !message->body && !message->blob && message->receivers <= 1 &&
               message->tail.len <= MESSAGE_COPY_ALONE_MAX;
}

bool message_lacks_room(const struct core *core, const struct message *reply) {
        return reply->tail.len > MESSAGE_COPY_MAX && !copied(reply) &&
               !message_fits(core, reply, core->config.limits.broker_bytes);
}

static bool share_within(struct core *core, struct message *message, uint64_t budget, struct body **share) {
        if (copied(message))
                return true;
        if (message_fits(core, message, budget))
                *share = message_body(core, message);
        return *share != NULL;
}

bool message_share(struct core *core, struct message *message, struct body **share) {
        *share = NULL;
        return message->tail.len <= MESSAGE_COPY_MAX || share_within(core, message, budget_queues_max(core), share);
}

bool message_share_reply(struct core *core, struct message *message, struct body **share) {
        *share = NULL;
        return message->tail.len <= MESSAGE_COPY_MAX ||
               share_within(core, message, core->config.limits.broker_bytes, share);
}

void body_free(struct body *body) {
        size_t size;

        rml_check(body->core->bodies_bytes >= body->charge + MESSAGE_BODY_BYTES);
        body->core->bodies_bytes -= body->charge + MESSAGE_BODY_BYTES;
        account_unref(body->core, body->account);
        size = sizeof(*body) + (body->blob ? 0 : body->tail.len);
        rml_blob_unref(body->blob);
        shelf_give(&body->core->shelf, body, size);
}
