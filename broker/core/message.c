/* SPDX-License-Identifier: MIT */
#include "message.h"

#include <stdlib.h>
#include <string.h>

#include "state.h"

_Static_assert(sizeof(struct body) <= MESSAGE_BODY_BYTES, "what a body costs");

struct body *message_body(struct core *core, struct message *message) {
        struct body *body = message->body;
        struct rml_blob *blob = NULL;
        bool small = message->tail.len <= MESSAGE_COPY_MAX;

        if (body)
                return body;
        body = malloc(sizeof(*body) + (small ? message->tail.len : 0));
        if (!body)
                return NULL;
        *body = (struct body){.refs = 1, .charge = message->charge, .core = core,
                              .sender_len = (uint8_t)message->sender.len};
        memcpy(body->sender, message->sender.data, message->sender.len);
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
                        free(body);
                        return NULL;
                }
                memcpy(blob->bytes, message->tail.data, message->tail.len);
                body->blob = blob;
                body->tail = (struct rml_span){blob->bytes, message->tail.len};
        }
        if (message->subject.data)
                body->subject = (struct rml_span){
                        body->tail.data + (message->subject.data - message->tail.data), message->subject.len};
        core->bodies_bytes += body->charge + MESSAGE_BODY_BYTES;
        message->body = body;
        return body;
}

bool message_fits(const struct core *core, const struct message *message, uint64_t budget) {
        uint64_t cost = (uint64_t)message->charge + MESSAGE_BODY_BYTES;

        return message->body || core->bodies_bytes == 0 || (cost <= budget && core->bodies_bytes <= budget - cost);
}

bool message_share(struct core *core, struct message *message, struct body **share) {
        *share = NULL;
        if (message->tail.len <= MESSAGE_COPY_MAX)
                return true;
        if (!message->body && !message->blob && message->receivers <= 1 && message->tail.len <= MESSAGE_COPY_ALONE_MAX)
                return true;
        if (message_fits(core, message, core->config.limits.broker_bytes))
                *share = message_body(core, message);
        return *share != NULL;
}

void message_done(struct message *message) {
        message->body = body_unref(message->body);
}

struct body *body_ref(struct body *body) {
        body->refs++;
        return body;
}

struct body *body_unref(struct body *body) {
        if (!body || --body->refs)
                return NULL;
        rml_check(body->core->bodies_bytes >= body->charge + MESSAGE_BODY_BYTES);
        body->core->bodies_bytes -= body->charge + MESSAGE_BODY_BYTES;
        rml_blob_unref(body->blob);
        free(body);
        return NULL;
}
