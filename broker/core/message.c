/* SPDX-License-Identifier: MIT */
#include "message.h"

#include <stdlib.h>
#include <string.h>

#include "state.h"

struct body *message_body(struct core *core, struct message *message) {
        struct body *body = message->body;
        struct rml_blob *blob = NULL;
        bool small = message->tail.len <= MESSAGE_COPY_MAX;

        if (body)
                return body;
        body = malloc(sizeof(*body) + (small ? message->tail.len : 0));
        if (!body)
                return NULL;
        *body = (struct body){.refs = 1, .charge = message->charge, .core = core, .sender = message->sender};
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
        core->bodies_bytes += body->charge;
        message->body = body;
        return body;
}

bool message_fits(const struct core *core, const struct message *message, size_t budget) {
        return message->body || core->bodies_bytes == 0 ||
               (message->charge <= budget && core->bodies_bytes <= budget - message->charge);
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
        rml_check(body->core->bodies_bytes >= body->charge);
        body->core->bodies_bytes -= body->charge;
        rml_blob_unref(body->blob);
        free(body);
        return NULL;
}
