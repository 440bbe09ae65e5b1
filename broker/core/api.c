/* SPDX-License-Identifier: MIT */
#include "api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "api_reply.h"
#include "budget.h"
#include "describe.h"
#include "encode.h"
#include "bounds.h"
#include "refuse.h"
#include "subject.h"

#define API_PREFIX "$SYS.api."
#define REPLY_ROOM_FIRST 1024u
/* What a field needs beside its packed form: a name in a list is 8 bytes of pointer and at least 3 packed ones.
 * Whatever meets this bound would have met the payload's as well. */
#define ARENA_PER_PAYLOAD 8u

struct method {
        const char *name;
        const ProtobufCMessageDescriptor *request, *reply;
        void (*answer)(struct api_reply *, const ProtobufCMessage *request);
};

static const struct method methods[] = {
        {"list", &ramal__api__v1__list_request__descriptor, &ramal__api__v1__list_reply__descriptor, api_list},
        {"names", &ramal__api__v1__names_request__descriptor, &ramal__api__v1__names_reply__descriptor, api_names},
        {"who", &ramal__api__v1__who_request__descriptor, &ramal__api__v1__who_reply__descriptor, api_who},
        {"status", &ramal__api__v1__status_request__descriptor, &ramal__api__v1__status_reply__descriptor, api_status},
        {"limits", &ramal__api__v1__limits_request__descriptor, &ramal__api__v1__limits_reply__descriptor, api_limits},
};

bool api_is_call(struct rml_span subject) {
        struct rml_span prefix = rml_span_of(API_PREFIX);

        return subject.len > prefix.len && memcmp(subject.data, prefix.data, prefix.len) == 0;
}

static const struct method *method_find(struct rml_span subject) {
        size_t skip = strlen(API_PREFIX);
        struct rml_span name = {subject.data + skip, subject.len - skip};

        for (size_t i = 0; i < RML_COUNT(methods); i++)
                if (rml_span_equal(name, rml_span_of(methods[i].name)))
                        return &methods[i];
        return NULL;
}

bool api_answers(struct rml_span subject) {
        return api_is_call(subject) && method_find(subject);
}

/* ---- making a reply ---- */

void api_refuse(struct api_reply *reply, Ramal__V1__Code code, const char *text) {
        if (reply->code != RAMAL__V1__CODE__CODE_OK)
                return;
        reply->code = code;
        reply->text = text;
}

/* A large reply must fit what all of its user may leave unread, and the broker's memory; a small one is told at any
 * time. Does it not? Then the caller is told so. */
static bool reply_refused(struct peer *caller, uint64_t id, const struct message *message) {
        const struct account *account = caller->account;
        uint64_t len = message->tail.len;

        if (len <= UNREAD_ALONE_MAX)
                return false;
        if (!account->own && !budget_open(account->unread_answers, len, account->limits->uid_unread_answers_bytes))
                refuse_unread(caller, id);
        else if (!message_fits(caller->core, message, caller->core->config.limits.broker_bytes))
                refuse_reply(caller, id, RAMAL__V1__WHY__WHY_BROKER);
        else
                return false;
        return true;
}

static void refuse_large(struct api_reply *reply) {
        api_refuse(reply, RAMAL__V1__CODE__CODE_TOO_LARGE, "the reply is larger than a payload may be");
}

void api_refuse_memory(struct api_reply *reply) {
        if (reply->arena.full)
                refuse_large(reply);
        else
                api_refuse(reply, RAMAL__V1__CODE__CODE_OVER_LIMIT, "the broker is out of memory");
}

/* Room for n more bytes of payload. */
static bool reply_grow(struct api_reply *reply, size_t n) {
        size_t room = reply->blob->room;
        struct rml_blob *grown;

        if (n <= room - reply->end)
                return true;
        while (room - reply->end < n)
                room *= 2;
        grown = rml_blob_resize(reply->blob, room);
        if (!grown) {
                api_refuse_memory(reply);
                return false;
        }
        reply->blob = grown;
        return true;
}

bool api_put(struct api_reply *reply, unsigned field, const ProtobufCMessage *message) {
        size_t len = protobuf_c_message_get_packed_size(message);
        size_t left = reply->payload_max - (reply->end - reply->head);
        size_t whole;
        uint8_t *out;

        rml_check(field > 0 && field < 16); /* its tag is one byte */
        if (reply->code != RAMAL__V1__CODE__CODE_OK)
                return false;
        if (len > left || (whole = 1 + rml_varint_len(len) + len) > left) {
                refuse_large(reply);
                return false;
        }
        if (!reply_grow(reply, whole))
                return false;
        out = reply->blob->bytes + reply->end;
        *out++ = (uint8_t)(field << 3 | 2);
        out += rml_put_varint(out, len);
        out += protobuf_c_message_pack(message, out);
        reply->end = (size_t)(out - reply->blob->bytes);
        return true;
}

const struct peer *api_peer(struct api_reply *reply, uint64_t id) {
        const struct peer *peer = id ? peer_find(reply->core, id) : reply->caller;
        uint64_t looked = 0;

        if (peer)
                return peer;
        rml_list_each(at, &reply->core->peers) { /* one that is listed, and not let in yet? */
                looked++;
                peer = rml_list_entry(at, struct peer, link);
                if (peer->id == id && describe_shows(peer))
                        return peer;
        }
        input_looked(reply->caller, looked);
        api_refuse(reply, RAMAL__V1__CODE__CODE_NOT_FOUND, "no such peer");
        return NULL;
}

/* ---- taking the request ---- */

static void *request_alloc(void *user, size_t size) {
        return arena_alloc(user, size);
}

static void request_free(void *user, void *piece) {
        (void)user; /* all at once, with the arena */
        (void)piece;
}

/* Hostile bytes: strictly scanned before protobuf-c sees them. NULL if it was refused. */
static ProtobufCMessage *request_unpack(struct api_reply *reply, const struct method *method, struct rml_span payload) {
        ProtobufCAllocator allocator = {request_alloc, request_free, &reply->arena};
        static const uint8_t nothing[1];
        ProtobufCMessage *request;
        struct rml_fault fault;

        if (!payload.len)
                payload.data = nothing;
        if (payload.len > RML_CONTROL_BYTES_MAX || rml_scan_message(method->request, payload, &fault) < 0) {
                api_refuse(reply, RAMAL__V1__CODE__CODE_INVALID,
                           "the request is not the message that this method takes");
                return NULL;
        }
        request = protobuf_c_message_unpack(method->request, &allocator, payload.len, payload.data);
        if (!request)
                api_refuse_memory(reply); /* the scan left it no other reason */
        return request;
}

/* ---- answering ---- */

/* Type and payload tag go right in front of the payload, into the room that was left for them. */
static int reply_send(struct api_reply *reply, uint64_t id, const char *type) {
        uint8_t head[RML_TAIL_HEAD_BYTES_MAX + 64];
        struct rml_span none = {NULL, 0};
        struct rml_data data = {0};
        struct message message = {.sender = &message_sender_broker};
        size_t n = rml_put_tail_head(head, none, rml_span_of(type), none, reply->end - reply->head);
        struct rml_blob *fitting;
        int r = 0;

        rml_check(n <= reply->head);
        memcpy(reply->blob->bytes + reply->head - n, head, n);
        if (reply->blob->room - reply->end > MESSAGE_COPY_MAX) { /* it may stay in a queue for long */
                fitting = rml_blob_resize(reply->blob, reply->end);
                if (fitting)
                        reply->blob = fitting;
        }
        message.tail = (struct rml_span){reply->blob->bytes + reply->head - n, reply->end - reply->head + n};
        message.charge = message.tail.len;
        message.blob = reply->blob;
        if (!reply_refused(reply->caller, id, &message))
                r = answer_reply(reply->caller, id, 1, &data, &message, true, 0);
        message_done(&message);
        return r;
}

static void reply_finish(struct api_reply *reply, uint64_t id, const struct method *method) {
        if (reply->code == RAMAL__V1__CODE__CODE_OK && reply_send(reply, id, method->reply->name) < 0)
                api_refuse(reply, RAMAL__V1__CODE__CODE_OVER_LIMIT, "the broker is out of memory");
        if (reply->code == RAMAL__V1__CODE__CODE_TOO_LARGE)
                answer_limit(reply->caller, id, reply->code, reply->text, "limits.payload_bytes", reply->payload_max);
        else if (reply->code != RAMAL__V1__CODE__CODE_OK)
                answer_status(reply->caller, id, reply->code, reply->text);
}

static void answer_unknown(struct peer *caller, uint64_t id, struct rml_span subject) {
        const char *fault = rml_subject_check(subject, RML_SUBJECT);

        if (fault)
                answer_status(caller, id, RAMAL__V1__CODE__CODE_BAD_SUBJECT, fault);
        else
                answer_status(caller, id, RAMAL__V1__CODE__CODE_NO_RESPONDER,
                              "the broker has no such method: there are list, names, who, status and limits");
}

void api_call(struct peer *caller, uint64_t id, const struct rml_data *data) {
        const struct method *method = method_find(data->subject);
        uint64_t payload_max = caller->core->config.limits.payload_bytes;
        struct api_reply reply = {.caller = caller, .core = caller->core};
        ProtobufCMessage *request;

        if (!method) {
                answer_unknown(caller, id, data->subject);
                return;
        }
        if (payload_max > RML_PAYLOAD_BYTES_CEILING)
                payload_max = RML_PAYLOAD_BYTES_CEILING;
        reply.payload_max = (size_t)payload_max;
        reply.head = reply.end = RML_TAIL_HEAD_BYTES_MAX + 64;
        arena_init(&reply.arena, (reply.payload_max + RML_CONTROL_BYTES_MAX) * ARENA_PER_PAYLOAD);
        reply.blob = rml_blob_new(REPLY_ROOM_FIRST);
        if (!reply.blob)
                api_refuse_memory(&reply);
        else if ((request = request_unpack(&reply, method, data->payload)))
                method->answer(&reply, request);
        input_made(caller, reply.end - reply.head);
        reply_finish(&reply, id, method);
        rml_blob_unref(reply.blob);
        arena_deinit(&reply.arena);
}

/* ---- the shorter methods ---- */

void api_list(struct api_reply *reply, const ProtobufCMessage *request) {
        (void)request; /* has no fields */
        rml_list_each(at, &reply->core->peers) {
                const struct peer *peer = rml_list_entry(at, struct peer, link);
                Ramal__Api__V1__Peer line;

                if (!describe_shows(peer))
                        continue;
                if (describe_peer(peer, &reply->arena, &line) < 0) {
                        api_refuse_memory(reply);
                        return;
                }
                if (!api_put(reply, 1, &line.base))
                        return;
        }
}

static int compare_names(const void *a, const void *b) {
        const struct group *one, *other;

        memcpy(&one, a, sizeof(one));
        memcpy(&other, b, sizeof(other));
        return strcmp(one->name, other->name);
}

/* By name: the table's own order says nothing to anybody. */
void api_names(struct api_reply *reply, const ProtobufCMessage *request) {
        const struct rml_table *names = &reply->core->names;
        const struct group **groups = arena_array(&reply->arena, names->count, sizeof(*groups));
        size_t count = 0;

        (void)request; /* has no fields */
        if (!groups) {
                api_refuse_memory(reply);
                return;
        }
        for (struct rml_table_node *node = rml_table_next(names, NULL); node && count < names->count;
             node = rml_table_next(names, node))
                groups[count++] = rml_container_of(node, struct group, node);
        qsort(groups, count, sizeof(*groups), compare_names);
        for (size_t i = 0; i < count; i++) {
                Ramal__Api__V1__Name line;

                if (describe_name(groups[i], &reply->arena, &line) < 0) {
                        api_refuse_memory(reply);
                        return;
                }
                if (!api_put(reply, 1, &line.base))
                        return;
        }
}
