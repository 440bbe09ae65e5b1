/* SPDX-License-Identifier: MIT */
/* Walks the fields of one message, strictly: canonical tags and varints, numbers that exist, no group, nothing past
 * the end, never descending. Private to proto/; in a header so that the hot path is one function. */
#ifndef RML_FIELDS_H
#define RML_FIELDS_H

#include <errno.h>

#include "scan.h"

enum rml_wire_type { RML_WIRE_VARINT = 0, RML_WIRE_FIXED64 = 1, RML_WIRE_BYTES = 2, RML_WIRE_FIXED32 = 5 };

/* What offsets of faults are counted from, and where faults go. */
struct rml_origin {
        const uint8_t *zero;
        size_t base; /* offset of zero[0] */
        struct rml_fault *fault;
};

struct rml_fields {
        const uint8_t *at, *end;
        uint32_t last; /* number of the last field, 0 = none yet */
        const struct rml_origin *origin;
};

struct rml_field {
        const uint8_t *tag; /* its first byte */
        uint32_t number;
        uint32_t wire;
        bool again;            /* the same number as the field before */
        uint64_t value;        /* of a varint */
        struct rml_span bytes; /* of a length-delimited one */
};

/* How many unknown fields a message has had. */
struct rml_unknown {
        uint32_t count;
        size_t bytes;
};

/* Sets the fault; returns -EBADMSG. `at` lies in or right behind the message. */
int rml_fault_at(const struct rml_origin *, const uint8_t *at, const char *reason);
/* Reads one canonical varint, without a tag. Returns 0 or -EBADMSG. */
int rml_fields_varint(struct rml_fields *, uint64_t *ret);
/* The same for numbers of up to 9 bytes, without saying what is wrong: `next`, what follows, is NULL then. Returned and
 * not stored, so that what the caller holds can stay in registers. */
struct rml_number {
        const uint8_t *next;
        uint64_t value;
};
struct rml_number rml_number_slow(const uint8_t *at, const uint8_t *end);
/* The general case of rml_fields_next(). */
int rml_fields_next_slow(struct rml_fields *, struct rml_field *ret);
/* `field`, the last one, is not one we know: is there still room for such? Returns 0 or -EBADMSG. */
int rml_fields_unknown(const struct rml_fields *, const struct rml_field *field, struct rml_unknown *);

static inline struct rml_fields rml_fields_of(struct rml_span message, const struct rml_origin *origin) {
        const uint8_t *end = message.len > 0 ? message.data + message.len : message.data;

        return (struct rml_fields){.at = message.data, .end = end, .last = 0, .origin = origin};
}

static inline struct rml_number rml_number_at(const uint8_t *at, const uint8_t *end) {
        if (end - at >= 1 && at[0] < 0x80)
                return (struct rml_number){at + 1, at[0]};
        if (end - at >= 2 && at[1] < 0x80 && at[1] > 0)
                return (struct rml_number){at + 2, (at[0] & 0x7fu) | (uint32_t)at[1] << 7};
        return rml_number_slow(at, end);
}

/* Returns 1 and the next field, 0 at the end, -EBADMSG with the fault set. */
static inline int rml_fields_next(struct rml_fields *fields, struct rml_field *ret) {
        const uint8_t *at = fields->at, *end = fields->end;
        struct rml_number number;

        if (at == end)
                return 0;
        /* What the data path is made of: a tag of one byte, then a number or a length. */
        uint32_t tag = at[0];
        if (tag < 0x80 && tag >> 3 > fields->last && (number = rml_number_at(at + 1, end)).next) {
                if ((tag & 7) == RML_WIRE_BYTES && number.value <= (uint64_t)(end - number.next)) {
                        *ret = (struct rml_field){at, tag >> 3, RML_WIRE_BYTES, false, 0,
                                                  {number.next, (size_t)number.value}};
                        fields->at = number.next + number.value;
                        fields->last = tag >> 3;
                        return 1;
                }
                if ((tag & 7) == RML_WIRE_VARINT) {
                        *ret = (struct rml_field){at, tag >> 3, RML_WIRE_VARINT, false, number.value, {NULL, 0}};
                        fields->at = number.next;
                        fields->last = tag >> 3;
                        return 1;
                }
        }
        /* Copies, so that what the caller holds can stay in registers. */
        struct rml_fields slow = *fields;
        struct rml_field field;
        int r = rml_fields_next_slow(&slow, &field);
        *fields = slow;
        *ret = field;
        return r;
}

#endif
