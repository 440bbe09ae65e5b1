/* SPDX-License-Identifier: MIT */
/*
 * Frames and Data messages. What the fields of a message look like is fields.h's; which of them may be there, once,
 * of which type and with which values, is here. Control messages are checked against their descriptors in
 * scan_message.c.
 */
#include "scan.h"

#include <string.h>

#include "base/check.h"
#include "fields.h"
#include "subject.h"

/* Sets of field numbers. */
#define FIELD(number) (UINT32_C(1) << (number))
#define FIELDS_VARINT                                                                                                  \
        (FIELD(1) | FIELD(2) | FIELD(3) | FIELD(4) | FIELD(5) | FIELD(7) | FIELD(8)) /* the others are bytes */
#define FIELDS_TAIL (FIELD(11) | FIELD(12) | FIELD(13) | FIELD(14) | FIELD(15))
#define FIELDS_ALL (FIELD(16) - FIELD(1))
#define CUT 11u
#define HEADERS 13u
#define PAYLOAD 15u
#define HEADER_NAME_BYTES_MAX 255u

#define FLAGS_KNOWN UINT32_C(511)

/* What a client may put into a kind: fields, and flags among those that we know (the receiver refuses the others). */
struct allowed {
        uint32_t fields, flags;
};

static struct allowed allowed_from(enum rml_from from, uint32_t kind) {
        static const struct allowed client[] = {
                [RML_PUBLISH] = {FIELDS_TAIL | FIELD(3) | FIELD(4) | FIELD(10),
                                 RAMAL__V1__DATA_FLAG__DATA_FLAG_RETAIN | RAMAL__V1__DATA_FLAG__DATA_FLAG_RECEIPT},
                [RML_CALL] = {FIELDS_TAIL | FIELD(3) | FIELD(4) | FIELD(10), 0},
                [RML_REPLY] = {FIELDS_TAIL | FIELD(2) | FIELD(3) | FIELD(8) | FIELD(9) | FIELD(10),
                               RAMAL__V1__DATA_FLAG__DATA_FLAG_MORE},
        };

        if (from == RML_FROM_BROKER)
                return (struct allowed){FIELDS_ALL, FLAGS_KNOWN};
        if (kind >= RML_PUBLISH && kind <= RML_REPLY)
                return client[kind];
        /* No client sends others; the router closes on the kind itself. */
        return (struct allowed){FIELDS_TAIL, 0};
}

int rml_scan_frame(struct rml_span frame, struct rml_frame *ret, struct rml_fault *fault) {
        const struct rml_origin whole = {frame.data, 0, fault}, *origin = &whole;
        struct rml_fields fields = rml_fields_of(frame, origin);
        struct rml_field field;

        size_t head = rml_scan_head(frame);

        if (head) {
                *ret = (struct rml_frame){
                        .kind = frame.data[0] >> 3, .body = {frame.data + head, frame.len - head}, .body_offset = head};
                return 0;
        }
        ret->id = 0;
        int r = rml_fields_next(&fields, &field);
        if (r > 0 && field.number == 1) {
                if (field.wire != RML_WIRE_VARINT)
                        return rml_fault_at(origin, field.tag, "the frame's id is no number");
                if (field.value == 0)
                        return rml_fault_at(origin, field.tag, "the frame's id is 0");
                ret->id = field.value;
                r = rml_fields_next(&fields, &field);
        }
        if (r < 0)
                return r;
        if (r == 0)
                return rml_fault_at(origin, fields.at, "the frame holds no message");
        if (field.number == 1)
                return rml_fault_at(origin, field.tag, "the frame has two ids");
        if (field.wire != RML_WIRE_BYTES)
                return rml_fault_at(origin, field.tag, "what the frame holds is no message");
        if (fields.at != fields.end)
                return rml_fault_at(origin, fields.at, "something follows the frame's message");
        ret->kind = field.number;
        ret->body = field.bytes;
        ret->body_offset = (size_t)(field.bytes.data - frame.data);
        return 0;
}

/* Checks that are alike for the known fields of all messages read by hand: a set of varints, never twice. */
static inline int check_field(const struct rml_origin *origin, const struct rml_field *field, uint32_t varints) {
        if (field->wire != (varints & FIELD(field->number) ? RML_WIRE_VARINT : RML_WIRE_BYTES))
                return rml_fault_at(origin, field->tag, "a field has the wrong wire type");
        if (field->again)
                return rml_fault_at(origin, field->tag, "a field is there twice");
        return 0;
}

static inline int check_u32(const struct rml_origin *origin, const struct rml_field *field, uint32_t *ret) {
        if (field->value > UINT32_MAX)
                return rml_fault_at(origin, field->tag, "a number has more than 32 bits");
        *ret = (uint32_t)field->value;
        return 0;
}

static inline int check_bool(const struct rml_origin *origin, const struct rml_field *field, bool *ret) {
        if (field->value > 1)
                return rml_fault_at(origin, field->tag, "a truth value is neither 0 nor 1");
        *ret = field->value == 1;
        return 0;
}

static inline int check_text(const struct rml_origin *origin, const struct rml_field *field, struct rml_span *ret) {
        if (!rml_utf8_valid(field->bytes))
                return rml_fault_at(origin, field->tag, "a text is not valid UTF-8 without NUL");
        *ret = field->bytes;
        return 0;
}

static int scan_local(const struct rml_origin *origin, struct rml_span message, struct rml_sender *ret) {
        struct rml_fields fields = rml_fields_of(message, origin);
        struct rml_field field;
        struct rml_unknown unknown = {0, 0};
        int r;

        while ((r = rml_fields_next(&fields, &field)) > 0) {
                uint32_t *numbers[] = {NULL, &ret->uid, &ret->gid, &ret->pid};
                if (field.number > 3) {
                        r = rml_fields_unknown(&fields, &field, &unknown);
                } else {
                        r = check_field(origin, &field, FIELDS_ALL);
                        if (r == 0)
                                r = check_u32(origin, &field, numbers[field.number]);
                }
                if (r < 0)
                        return r;
        }
        ret->local = true;
        return r;
}

static int scan_sender(const struct rml_origin *origin, struct rml_span message, struct rml_sender *ret) {
        struct rml_fields fields = rml_fields_of(message, origin);
        struct rml_field field;
        struct rml_unknown unknown = {0, 0};
        int r;

        while ((r = rml_fields_next(&fields, &field)) > 0) {
                if (field.number > 3)
                        r = rml_fields_unknown(&fields, &field, &unknown);
                else
                        r = check_field(origin, &field, FIELD(1));
                if (r < 0)
                        return r;
                if (field.number == 1)
                        ret->peer = field.value;
                else if (field.number == 2)
                        r = scan_local(origin, field.bytes, ret);
                else if (field.number == 3)
                        r = check_text(origin, &field, &ret->identity);
                if (r < 0)
                        return r;
        }
        return r;
}

static int scan_ext_field(const struct rml_origin *origin, const struct rml_field *field, struct rml_data *ret) {
        switch (field->number) {
        case 1:
                return check_text(origin, field, &ret->key);
        case 2:
                ret->stream_credit = field->value;
                return 0;
        case 3:
                ret->revision = field->value;
                return 0;
        case 4:
                return check_bool(origin, field, &ret->must_not_exist);
        case 5:
                return check_bool(origin, field, &ret->owned);
        case 6:
                return check_u32(origin, field, &ret->nfds);
        case 7:
                return check_bool(origin, field, &ret->everyone);
        case 8:
                ret->origin = field->value;
                return 0;
        default:
                return check_u32(origin, field, &ret->hops);
        }
}

static int scan_hop_ext(const struct rml_origin *origin, struct rml_span message, struct rml_data *ret) {
        struct rml_fields fields = rml_fields_of(message, origin);
        struct rml_field field;
        struct rml_unknown unknown = {0, 0};
        int r;

        while ((r = rml_fields_next(&fields, &field)) > 0) {
                if (field.number > 9) {
                        r = rml_fields_unknown(&fields, &field, &unknown);
                } else {
                        r = check_field(origin, &field, FIELDS_ALL & ~FIELD(1));
                        if (r == 0)
                                r = scan_ext_field(origin, &field, ret);
                }
                if (r < 0)
                        return r;
        }
        return r;
}

/* Nothing unknown in here: the broker could not take it out. */
static int scan_header(const struct rml_origin *origin, const uint8_t *tag, struct rml_span header,
                       struct rml_data *ret) {
        struct rml_fields fields = rml_fields_of(header, origin);
        struct rml_field field;
        struct rml_span name = {NULL, 0};
        int r;

        while ((r = rml_fields_next(&fields, &field)) > 0) {
                if (field.number > 2)
                        return rml_fault_at(origin, field.tag, "there is an unknown field in a header");
                r = check_field(origin, &field, 0);
                if (r == 0 && field.number == 1)
                        r = check_text(origin, &field, &name);
                if (r < 0)
                        return r;
                ret->header_bytes += field.bytes.len;
        }
        if (r < 0)
                return r;
        if (name.len == 0 || name.len > HEADER_NAME_BYTES_MAX)
                return rml_fault_at(origin, tag, "a header's name has not 1 to 255 bytes");
        if (ret->header_count++ == 0)
                ret->headers.data = tag;
        ret->headers.len = (size_t)(header.data + header.len - ret->headers.data);
        return 0;
}

static inline int scan_flags(const struct rml_origin *origin, const struct rml_field *field, uint32_t allowed,
                             struct rml_data *ret) {
        int r = check_u32(origin, field, &ret->flags);

        if (r == 0 && (ret->flags & FLAGS_KNOWN & ~allowed))
                return rml_fault_at(origin, field->tag, "a flag that a client may not set in this kind");
        return r;
}

static int scan_hop_field(const struct rml_origin *origin, const struct rml_field *field, uint32_t flags_allowed,
                          struct rml_data *ret) {
        switch (field->number) {
        case 1:
                ret->sid = field->value;
                return 0;
        case 2:
                ret->token = field->value;
                return 0;
        case 3:
                return scan_flags(origin, field, flags_allowed, ret);
        case 4:
                ret->time_left_us = field->value;
                return 0;
        case 5:
                ret->seq = field->value;
                return 0;
        case 6:
                ret->has_sender = true;
                return scan_sender(origin, field->bytes, &ret->sender);
        case 7:
                ret->replaced = field->value;
                return 0;
        case 8:
                return check_u32(origin, field, &ret->code);
        case 9:
                return check_text(origin, field, &ret->text);
        default:
                return scan_hop_ext(origin, field->bytes, ret);
        }
}

static int scan_tail_field(const struct rml_origin *origin, const struct rml_field *field, struct rml_data *ret) {
        switch (field->number) {
        case 11:
                ret->subject = field->bytes;
                return 0;
        case 12:
                return check_text(origin, field, &ret->type);
        case HEADERS:
                return scan_header(origin, field->tag, field->bytes, ret);
        case PAYLOAD:
                ret->payload = field->bytes;
                return 0;
        default:
                /* `ext` has no fields in version 1. */
                if (field->bytes.len > 0)
                        return rml_fault_at(origin, field->bytes.data, "there is an unknown field in `ext`");
                return 0;
        }
}

/* All fields were read. cut and payload: where field 11 or a later one begins, and 15; NULL: not there. */
static inline void set_tail(struct rml_data *ret, struct rml_span body, const uint8_t *cut, const uint8_t *payload) {
        const uint8_t *end = body.data + body.len;

        cut = cut ? cut : end;
        ret->hop_len = (size_t)(cut - body.data);
        ret->tail = (struct rml_span){cut, (size_t)(end - cut)};
        ret->envelope_len = (size_t)((payload ? payload : end) - cut);
}

/* Any Data message. */
__attribute__((noinline)) static int scan_any(const struct rml_frame *frame, struct allowed allowed,
                                              struct rml_data *ret, struct rml_fault *fault) {
        const struct rml_origin body = {frame->body.data, frame->body_offset, fault}, *origin = &body;
        struct rml_fields fields = rml_fields_of(frame->body, origin);
        struct rml_field field;
        const uint8_t *cut = NULL, *payload = NULL;
        int r;

        rml_data_clear(ret);
        while ((r = rml_fields_next(&fields, &field)) > 0) {
                if (field.number > PAYLOAD)
                        return rml_fault_at(origin, field.tag, "a field follows the payload's place");
                if (!(allowed.fields & FIELD(field.number)))
                        return rml_fault_at(origin, field.tag, "a field that a client may not set in this kind");
                field.again = field.again && field.number != HEADERS;
                r = check_field(origin, &field, FIELDS_VARINT);
                if (r < 0)
                        return r;
                if (field.number >= CUT) {
                        cut = cut ? cut : field.tag;
                        payload = field.number == PAYLOAD ? field.tag : NULL;
                        r = scan_tail_field(origin, &field, ret);
                } else {
                        r = scan_hop_field(origin, &field, allowed.flags, ret);
                }
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        set_tail(ret, frame->body, cut, payload);
        return 0;
}

#define TAG_VARINT(number) ((number) << 3 | RML_WIRE_VARINT)
#define TAG_BYTES(number) ((number) << 3 | RML_WIRE_BYTES)

/* As the broker writes whom the kernel attests: a peer and, up to the end, `local` with its numbers. */
static bool sender_plain(struct rml_span message, struct rml_sender *ret) {
        const uint8_t *at = message.data, *end = at + message.len;
        uint64_t numbers[3] = {0, 0, 0};

        if (message.len < 4 || message.len >= 0x80 || at[0] != TAG_VARINT(1))
                return false;
        struct rml_number peer = rml_number_at(at + 1, end);
        at = peer.next;
        if (!at || end - at < 2 || at[0] != TAG_BYTES(2) || at[1] != end - at - 2)
                return false;
        at += 2;
        for (uint32_t i = 0; i < RML_COUNT(numbers); i++) {
                if (at == end || at[0] != TAG_VARINT(i + 1))
                        continue;
                struct rml_number number = rml_number_at(at + 1, end);
                if (!number.next || number.value > UINT32_MAX)
                        return false;
                numbers[i] = number.value;
                at = number.next;
        }
        if (at != end)
                return false;
        ret->peer = peer.value;
        ret->local = true;
        ret->uid = (uint32_t)numbers[0];
        ret->gid = (uint32_t)numbers[1];
        ret->pid = (uint32_t)numbers[2];
        return true;
}

__attribute__((noinline)) static bool sender_well(struct rml_span message, struct rml_sender *ret) {
        struct rml_fault fault;
        const struct rml_origin origin = {message.data, 0, &fault};

        return sender_plain(message, ret) || scan_sender(&origin, message, ret) == 0;
}

/* What nearly all other messages are made of, with nothing amiss: one switch on a tag of one byte. Of any more
 * scan_any() says what it is, or what is wrong. */
int rml_scan_data_slow(const struct rml_frame *frame, enum rml_from from, struct rml_data *ret,
                       struct rml_fault *fault) {
        const struct allowed allowed = allowed_from(from, frame->kind);
        const uint8_t *at = frame->body.data, *end = at + frame->body.len, *cut = NULL, *payload = NULL;
        uint32_t last = 0;

        rml_data_clear(ret);
        while (end - at >= 2) {
                uint32_t tag = at[0];
                struct rml_number number = rml_number_at(at + 1, end);

                if (!number.next || tag <= last || !(allowed.fields >> (tag >> 3) & 1))
                        break;
                struct rml_span bytes = {number.next, (size_t)number.value}; /* if it is a length */
                uint64_t left = (uint64_t)(end - number.next);
                switch (tag) {
                case TAG_VARINT(1):
                        ret->sid = number.value;
                        break;
                case TAG_VARINT(2):
                        ret->token = number.value;
                        break;
                case TAG_VARINT(4):
                        ret->time_left_us = number.value;
                        break;
                case TAG_VARINT(5):
                        ret->seq = number.value;
                        break;
                case TAG_BYTES(6):
                        if (number.value > left || !sender_well(bytes, &ret->sender))
                                goto unusual;
                        ret->has_sender = true;
                        number.next += number.value;
                        break;
                case TAG_BYTES(11):
                        if (number.value > left)
                                goto unusual;
                        ret->subject = bytes;
                        cut = at;
                        number.next += number.value;
                        break;
                case TAG_BYTES(12):
                        if (number.value > left || !rml_utf8_valid(bytes))
                                goto unusual;
                        ret->type = bytes;
                        cut = cut ? cut : at;
                        number.next += number.value;
                        break;
                case TAG_BYTES(PAYLOAD):
                        if (number.value > left)
                                goto unusual;
                        ret->payload = bytes;
                        payload = at;
                        cut = cut ? cut : at;
                        number.next += number.value;
                        break;
                default:
                        goto unusual;
                }
                at = number.next;
                last = tag;
        }
        if (at == end) {
                set_tail(ret, frame->body, cut, payload);
                return 0;
        }
unusual:
        return scan_any(frame, allowed, ret, fault);
}

bool rml_header_next(struct rml_span *rest, struct rml_span *name, struct rml_span *value) {
        struct rml_fault fault;
        const struct rml_origin origin = {rest->data, 0, &fault};
        struct rml_fields fields = rml_fields_of(*rest, &origin);
        struct rml_field field;

        if (rml_fields_next(&fields, &field) <= 0 || field.number != HEADERS || field.wire != RML_WIRE_BYTES)
                return false;
        *rest = (struct rml_span){fields.at, (size_t)(fields.end - fields.at)};
        *name = *value = (struct rml_span){NULL, 0};

        fields = rml_fields_of(field.bytes, &origin);
        while (rml_fields_next(&fields, &field) > 0) {
                if (field.number == 1)
                        *name = field.bytes;
                else if (field.number == 2)
                        *value = field.bytes;
        }
        return true;
}
