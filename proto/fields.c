/* SPDX-License-Identifier: MIT */
#include "fields.h"

#include "bounds.h"

#define FIELD_MAX ((UINT32_C(1) << 29) - 1)
#define RESERVED_FIRST 19000u /* protobuf's own, never a field */
#define RESERVED_LAST 19999u

int rml_fault_at(const struct rml_origin *origin, const uint8_t *at, const char *reason) {
        origin->fault->offset = origin->base + (size_t)(at - origin->zero);
        origin->fault->reason = reason;
        return -EBADMSG;
}

int rml_fields_varint(struct rml_fields *fields, uint64_t *ret) {
        const uint8_t *start = fields->at, *at = start;
        uint64_t value = 0;

        for (unsigned shift = 0; shift < 70; shift += 7) {
                if (at == fields->end)
                        return rml_fault_at(fields->origin, start, "a number is cut off");
                uint8_t byte = *at++;
                if (shift == 63 && byte > 1)
                        return rml_fault_at(fields->origin, start, "a number has more than 64 bits");
                value |= (uint64_t)(byte & 0x7f) << shift;
                if (byte < 0x80) {
                        if (byte == 0 && shift > 0)
                                return rml_fault_at(fields->origin, start, "a number is longer than it needs to be");
                        fields->at = at;
                        *ret = value;
                        return 0;
                }
        }
        return rml_fault_at(fields->origin, start, "a number has more than 10 bytes");
}

struct rml_number rml_number_slow(const uint8_t *at, const uint8_t *end) {
        size_t left = (size_t)(end - at), most = left < 9 ? left : 9;
        uint64_t value = 0;

        /* What pids and the numbers of messages most often are. */
        if (left >= 3 && (at[0] & at[1] & 0x80) && at[2] < 0x80 && at[2] > 0)
                return (struct rml_number){at + 3, (at[0] & 0x7fu) | (at[1] & 0x7fu) << 7 | (uint32_t)at[2] << 14};
        for (size_t i = 0; i < most; i++) {
                value |= (uint64_t)(at[i] & 0x7f) << (7 * i);
                if (at[i] < 0x80)
                        return (struct rml_number){i == 0 || at[i] != 0 ? at + i + 1 : NULL, value};
        }
        return (struct rml_number){NULL, 0};
}

static int next_tag(struct rml_fields *fields, struct rml_field *ret) {
        uint64_t tag;
        int r = rml_fields_varint(fields, &tag);

        if (r < 0)
                return r;
        uint64_t number = tag >> 3;
        if (number == 0 || number > FIELD_MAX || (number >= RESERVED_FIRST && number <= RESERVED_LAST))
                return rml_fault_at(fields->origin, ret->tag, "there can be no field of this number");
        ret->number = (uint32_t)number;
        ret->wire = (uint32_t)(tag & 7);
        ret->again = ret->number == fields->last;
        if (ret->number < fields->last)
                return rml_fault_at(fields->origin, ret->tag, "fields are not in ascending order");
        fields->last = ret->number;
        return 0;
}

static int skip(struct rml_fields *fields, const struct rml_field *field, uint64_t len) {
        if (len > (uint64_t)(fields->end - fields->at))
                return rml_fault_at(fields->origin, field->tag, "a field ends behind its message");
        fields->at += len;
        return 0;
}

int rml_fields_next_slow(struct rml_fields *fields, struct rml_field *ret) {
        *ret = (struct rml_field){.tag = fields->at};

        int r = next_tag(fields, ret);
        if (r < 0)
                return r;
        switch (ret->wire) {
        case RML_WIRE_VARINT:
                r = rml_fields_varint(fields, &ret->value);
                break;
        case RML_WIRE_FIXED64:
                r = skip(fields, ret, 8);
                break;
        case RML_WIRE_FIXED32:
                r = skip(fields, ret, 4);
                break;
        case RML_WIRE_BYTES: {
                uint64_t len;
                r = rml_fields_varint(fields, &len);
                if (r < 0)
                        break;
                ret->bytes.data = fields->at;
                r = skip(fields, ret, len);
                ret->bytes.len = (size_t)(fields->at - ret->bytes.data);
                break;
        }
        default:
                r = rml_fault_at(fields->origin, ret->tag, "a field is a group or of no known wire type");
        }
        return r < 0 ? r : 1;
}

int rml_fields_unknown(const struct rml_fields *fields, const struct rml_field *field, struct rml_unknown *unknown) {
        unknown->count++;
        unknown->bytes += (size_t)(fields->at - field->tag);
        if (unknown->count > RML_UNKNOWN_FIELDS_MAX || unknown->bytes > RML_UNKNOWN_BYTES_MAX)
                return rml_fault_at(fields->origin, field->tag, "too many unknown fields");
        return 0;
}
