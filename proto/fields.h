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
/* The same for numbers of 2 to 9 bytes, without saying what is wrong. Returns what follows, or NULL. */
const uint8_t *rml_number_at(const uint8_t *at, const uint8_t *end, uint64_t *ret);
/* The general case of rml_fields_next(). */
int rml_fields_next_slow(struct rml_fields *, struct rml_field *ret);
/* `field`, the last one, is not one we know: is there still room for such? Returns 0 or -EBADMSG. */
int rml_fields_unknown(const struct rml_fields *, const struct rml_field *field, struct rml_unknown *);

static inline struct rml_fields rml_fields_of(struct rml_span message, const struct rml_origin *origin) {
        const uint8_t *end = message.len > 0 ? message.data + message.len : message.data;

        return (struct rml_fields){.at = message.data, .end = end, .last = 0, .origin = origin};
}

/* Returns 1 and the next field, 0 at the end, -EBADMSG with the fault set. */
static inline int rml_fields_next(struct rml_fields *fields, struct rml_field *ret) {
        const uint8_t *at = fields->at;
        size_t left = (size_t)(fields->end - at);

        if (left == 0)
                return 0;
        /* What the data path is made of: a tag of one byte, then a length of one byte or a number. */
        uint32_t number = at[0] >> 3, wire = at[0] & 7;
        if (left >= 2 && at[0] < 0x80 && number > fields->last) {
                if (wire == RML_WIRE_BYTES && at[1] < 0x80 && at[1] <= left - 2) {
                        *ret = (struct rml_field){at, number, wire, false, 0, {at + 2, at[1]}};
                        fields->at = at + 2 + at[1];
                        fields->last = number;
                        return 1;
                }
                if (wire == RML_WIRE_VARINT) {
                        uint64_t value = at[1];
                        const uint8_t *next = at[1] < 0x80 ? at + 2 : rml_number_at(at + 1, fields->end, &value);
                        if (next) {
                                *ret = (struct rml_field){at, number, wire, false, value, {NULL, 0}};
                                fields->at = next;
                                fields->last = number;
                                return 1;
                        }
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
