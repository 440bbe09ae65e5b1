/* SPDX-License-Identifier: MIT */
#include "control.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "encode.h"
#include "fields.h"
#include "bounds.h"
#include "subject.h"

struct kind {
        uint32_t number;
        const char *name;
        const ProtobufCMessageDescriptor *type; /* NULL = a data kind */
};

static const struct kind kinds[] = {
        {RML_PUBLISH, "PUBLISH", NULL},
        {RML_CALL, "CALL", NULL},
        {RML_REPLY, "REPLY", NULL},
        {RML_DELIVER, "DELIVER", NULL},
        {RML_HELLO, "HELLO", &ramal__v1__hello__descriptor},
        {RML_AUTH, "AUTH", &ramal__v1__auth__descriptor},
        {RML_CHALLENGE, "CHALLENGE", &ramal__v1__challenge__descriptor},
        {RML_WELCOME, "WELCOME", &ramal__v1__welcome__descriptor},
        {RML_SUBSCRIBE, "SUBSCRIBE", &ramal__v1__subscribe__descriptor},
        {RML_SUBSCRIBED, "SUBSCRIBED", &ramal__v1__subscribed__descriptor},
        {RML_UNSUBSCRIBE, "UNSUBSCRIBE", &ramal__v1__unsubscribe__descriptor},
        {RML_INTEREST, "INTEREST", &ramal__v1__interest__descriptor},
        {RML_SNAPSHOT_END, "SNAPSHOT_END", &ramal__v1__snapshot_end__descriptor},
        {RML_GAP, "GAP", &ramal__v1__gap__descriptor},
        {RML_ACCEPTED, "ACCEPTED", &ramal__v1__accepted__descriptor},
        {RML_CANCEL, "CANCEL", &ramal__v1__cancel__descriptor},
        {RML_STATUS, "STATUS", &ramal__v1__status__descriptor},
        {RML_CREDIT, "CREDIT", &ramal__v1__credit__descriptor},
        {RML_DESCRIBE, "DESCRIBE", &ramal__v1__describe__descriptor},
        {RML_WILL, "WILL", &ramal__v1__will__descriptor},
        {RML_PING, "PING", &ramal__v1__ping__descriptor},
        {RML_PONG, "PONG", &ramal__v1__pong__descriptor},
        {RML_BYE, "BYE", &ramal__v1__bye__descriptor},
        {RML_GOAWAY, "GOAWAY", &ramal__v1__goaway__descriptor},
        {RML_ACK, "ACK", &ramal__v1__ack__descriptor},
};

static const struct kind *find_kind(uint32_t number) {
        for (size_t i = 0; i < RML_COUNT(kinds); i++)
                if (kinds[i].number == number)
                        return &kinds[i];
        return NULL;
}

const ProtobufCMessageDescriptor *rml_control_descriptor(uint32_t kind) {
        const struct kind *found = find_kind(kind);

        return found ? found->type : NULL;
}

const char *rml_kind_name(uint32_t kind, char buf[24]) {
        const struct kind *found = find_kind(kind);

        if (found)
                return found->name;
        snprintf(buf, 24, "kind %lu", (unsigned long)kind);
        return buf;
}

/* The bytes of a field that the scan has found well; empty if it is not there. */
static struct rml_span find_bytes(struct rml_span message, uint32_t number) {
        struct rml_fault fault;
        const struct rml_origin origin = {message.data, 0, &fault};
        struct rml_fields fields = rml_fields_of(message, &origin);
        struct rml_field field;

        while (rml_fields_next(&fields, &field) > 0)
                if (field.number == number)
                        return field.bytes;
        return (struct rml_span){NULL, 0};
}

/*
 * protobuf-c's strings end at the first NUL and may hold any bytes: "a\0b" would be read as "a". A subject that is not
 * UTF-8 or has a NUL in it is made a single space, which the grammar refuses. It holds a byte at least, so there is
 * room for that.
 */
static void mend(struct rml_span message, uint32_t number, char *text) {
        if (!rml_utf8_valid(find_bytes(message, number)))
                memcpy(text, " ", 2);
}

static void mend_subjects(const struct rml_frame *frame, ProtobufCMessage *message) {
        if (frame->kind == RML_SUBSCRIBE) {
                Ramal__V1__Subscribe *subscribe = (Ramal__V1__Subscribe *)message;
                mend(frame->body, 2, subscribe->pattern);
                mend(frame->body, 4, subscribe->group);
                if (subscribe->sender)
                        mend(find_bytes(frame->body, 17), 1, subscribe->sender->name);
        } else if (frame->kind == RML_WILL) {
                Ramal__V1__Will *will = (Ramal__V1__Will *)message;
                if (will->message)
                        mend(find_bytes(frame->body, 1), 11, will->message->subject);
        }
}

/* ---- CREDIT ---- */

/* A receiver sends one with every turn. It is numbers and nothing else, so it is written and read here, without the
 * general way's tables and memory. */

static const size_t credit_numbers[] = {
        offsetof(Ramal__V1__Credit, sid),
        offsetof(Ramal__V1__Credit, call),
        offsetof(Ramal__V1__Credit, token),
        offsetof(Ramal__V1__Credit, seq),
        offsetof(Ramal__V1__Credit, publish_bytes),
};

static uint64_t credit_number(const ProtobufCMessage *credit, size_t i) {
        return *(const uint64_t *)(const void *)((const char *)credit + credit_numbers[i]);
}

static size_t credit_size(const ProtobufCMessage *credit) {
        size_t len = 0;

        for (size_t i = 0; i < RML_COUNT(credit_numbers); i++)
                if (credit_number(credit, i) > 0)
                        len += 1 + rml_varint_len(credit_number(credit, i));
        return len;
}

static size_t credit_pack(uint8_t *out, const ProtobufCMessage *credit) {
        uint8_t *at = out;

        for (size_t i = 0; i < RML_COUNT(credit_numbers); i++)
                at = rml_put_uint(at, (unsigned)i + 1, credit_number(credit, i));
        return (size_t)(at - out);
}

/* Returns false for whatever is not as plain as we write it: the general way says what it is. */
static bool credit_unpack(struct rml_span body, Ramal__V1__Credit *ret) {
        const uint8_t *at = body.data, *end = at + body.len;

        ramal__v1__credit__init(ret);
        for (size_t i = 0; at < end; i++) {
                unsigned tag = *at++, shift = 0;
                uint64_t value = 0;

                while (i < RML_COUNT(credit_numbers) && tag != (i + 1) << 3)
                        i++;
                if (i == RML_COUNT(credit_numbers))
                        return false;
                do {
                        if (at == end || shift > 56)
                                return false;
                        value |= (uint64_t)(*at & 0x7f) << shift;
                        shift += 7;
                } while (*at++ & 0x80);
                if (at[-1] == 0)
                        return false;
                *(uint64_t *)(void *)((char *)ret + credit_numbers[i]) = value;
        }
        return true;
}

int rml_control_unpack(const struct rml_frame *frame, struct rml_control *ret, struct rml_fault *fault) {
        ret->kind = (enum rml_kind)frame->kind;
        ret->id = frame->id;
        ret->message = NULL;
        if (frame->kind == RML_CREDIT && credit_unpack(frame->body, &ret->credit)) {
                ret->message = &ret->credit.base;
                return 0;
        }
        const ProtobufCMessageDescriptor *type = rml_control_descriptor(frame->kind);
        if (!type)
                return -EINVAL;
        if (frame->body.len > RML_CONTROL_BYTES_MAX)
                return -EMSGSIZE;
        int r = rml_scan_message(type, frame->body, fault);
        if (r < 0) {
                fault->offset += frame->body_offset;
                return r;
        }
        ret->message = protobuf_c_message_unpack(type, NULL, frame->body.len, frame->body.data);
        if (!ret->message)
                return -ENOMEM; /* the scan left it no other reason */
        mend_subjects(frame, ret->message);
        return 0;
}

void rml_control_free(struct rml_control *control) {
        if (control->message && control->message != &control->credit.base)
                protobuf_c_message_free_unpacked(control->message, NULL);
        control->message = NULL;
}

static size_t head_len(enum rml_kind kind, uint64_t id, size_t body) {
        size_t len = rml_varint_len((uint64_t)kind << 3 | RML_WIRE_BYTES) + rml_varint_len(body);

        return id == 0 ? len : len + 1 + rml_varint_len(id);
}

static size_t body_size(enum rml_kind kind, const ProtobufCMessage *message) {
        return kind == RML_CREDIT ? credit_size(message) : protobuf_c_message_get_packed_size(message);
}

size_t rml_control_size(enum rml_kind kind, uint64_t id, const ProtobufCMessage *message) {
        size_t body = body_size(kind, message);

        return RML_PREFIX_BYTES + head_len(kind, id, body) + body;
}

size_t rml_control_pack(uint8_t *out, enum rml_kind kind, uint64_t id, const ProtobufCMessage *message) {
        size_t body = body_size(kind, message), len = head_len(kind, id, body) + body;
        uint8_t *at = out + RML_PREFIX_BYTES;

        rml_check(len <= UINT32_MAX);
        rml_put_prefix(out, (uint32_t)len);
        if (id != 0) {
                *at++ = 1 << 3 | RML_WIRE_VARINT;
                at += rml_put_varint(at, id);
        }
        at += rml_put_varint(at, (uint64_t)kind << 3 | RML_WIRE_BYTES);
        at += rml_put_varint(at, body);
        at += kind == RML_CREDIT ? credit_pack(at, message) : protobuf_c_message_pack(message, at);
        return (size_t)(at - out);
}
