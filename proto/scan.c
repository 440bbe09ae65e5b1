/* SPDX-License-Identifier: MIT */
/*
 * Frames and Data messages. What the fields of a message look like is fields.h's; which of them may be there, once,
 * of which type and with which values, is here. Control messages are checked against their descriptors in
 * scan_message.c.
 */
#include "scan.h"

#include <string.h>

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
        const struct allowed publish = {
                FIELDS_TAIL | FIELD(3) | FIELD(4) | FIELD(10),
                RAMAL__V1__DATA_FLAG__DATA_FLAG_RETAIN | RAMAL__V1__DATA_FLAG__DATA_FLAG_RECEIPT,
        };
        const struct allowed call = {FIELDS_TAIL | FIELD(3) | FIELD(4) | FIELD(10), 0};
        const struct allowed reply = {
                FIELDS_TAIL | FIELD(2) | FIELD(3) | FIELD(8) | FIELD(9) | FIELD(10),
                RAMAL__V1__DATA_FLAG__DATA_FLAG_MORE,
        };

        if (from == RML_FROM_BROKER)
                return (struct allowed){FIELDS_ALL, FLAGS_KNOWN};
        switch (kind) {
        case RML_PUBLISH:
                return publish;
        case RML_CALL:
                return call;
        case RML_REPLY:
                return reply;
        default:
                /* No client sends others; the router closes on the kind itself. */
                return (struct allowed){FIELDS_TAIL, 0};
        }
}

int rml_scan_frame(struct rml_span frame, struct rml_frame *ret, struct rml_fault *fault) {
        const struct rml_origin whole = {frame.data, 0, fault}, *origin = &whole;
        struct rml_fields fields = rml_fields_of(frame, origin);
        struct rml_field field;

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

static int check_u32(const struct rml_origin *origin, const struct rml_field *field, uint32_t *ret) {
        if (field->value > UINT32_MAX)
                return rml_fault_at(origin, field->tag, "a number has more than 32 bits");
        *ret = (uint32_t)field->value;
        return 0;
}

static int check_bool(const struct rml_origin *origin, const struct rml_field *field, bool *ret) {
        if (field->value > 1)
                return rml_fault_at(origin, field->tag, "a truth value is neither 0 nor 1");
        *ret = field->value == 1;
        return 0;
}

static int check_text(const struct rml_origin *origin, const struct rml_field *field, struct rml_span *ret) {
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
static int scan_header(const struct rml_origin *origin, const struct rml_field *header, struct rml_data *ret) {
        struct rml_fields fields = rml_fields_of(header->bytes, origin);
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
                return rml_fault_at(origin, header->tag, "a header's name has not 1 to 255 bytes");
        if (ret->header_count++ == 0)
                ret->headers.data = header->tag;
        ret->headers.len = (size_t)(header->bytes.data + header->bytes.len - ret->headers.data);
        return 0;
}

static int scan_flags(const struct rml_origin *origin, const struct rml_field *field, uint32_t allowed,
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
                return scan_header(origin, field, ret);
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

/* All zero. gcc makes one assignment of that size a `rep stos`, which costs as much as all the rest of the scan. */
static void clear(struct rml_data *ret) {
        uint8_t *bytes = (uint8_t *)ret;

        for (size_t i = 0; i + 64 <= sizeof(*ret); i += 64)
                memset(bytes + i, 0, 64);
        memset(bytes + sizeof(*ret) / 64 * 64, 0, sizeof(*ret) % 64);
}

int rml_scan_data(const struct rml_frame *frame, enum rml_from from, struct rml_data *ret, struct rml_fault *fault) {
        const struct allowed allowed = allowed_from(from, frame->kind);
        const struct rml_origin body = {frame->body.data, frame->body_offset, fault}, *origin = &body;
        struct rml_fields fields = rml_fields_of(frame->body, origin);
        struct rml_field field;
        const uint8_t *cut = NULL, *payload = NULL;
        int r;

        clear(ret);
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

        cut = cut ? cut : fields.end;
        ret->hop_len = (size_t)(cut - frame->body.data);
        ret->tail = (struct rml_span){cut, (size_t)(fields.end - cut)};
        ret->envelope_len = (size_t)((payload ? payload : fields.end) - cut);
        return 0;
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
