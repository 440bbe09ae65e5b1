/* SPDX-License-Identifier: MIT */
/* Writing data frames by hand: a header in front of bytes that stay where they are. Control frames are packed by
 * control.h. */
#ifndef RML_ENCODE_H
#define RML_ENCODE_H

#include <string.h>

#include "base/check.h"
#include "bounds.h"
#include "scan.h"

/* What goes into a hop header. Zero and empty fields are not written. */
struct rml_hop {
        uint64_t sid, token, time_left_us, seq, replaced;
        uint32_t flags, code;
        const struct rml_sender *sender; /* NULL = none */
        struct rml_span text;            /* at most RML_HOP_BYTES_MAX with the rest */
        struct rml_span key;
        uint64_t stream_credit;
        /* Instead of `sender`: the field, as rml_put_sender() wrote it. RML_SENDER_BYTES_MAX can be read there. */
        struct rml_span sender_field;
};

/* The longest head that rml_put_head() writes without `text`, `key` and sender->identity: add their
 * lengths (a sender_field is in it). */
#define RML_HEAD_BYTES_MAX 192u

/* The field `sender` with its tag and length: it is the same in all messages of a peer. `identity` may be at most
 * RML_SENDER_IDENTITY_MAX bytes long. Returns the bytes written, at most RML_SENDER_BYTES_MAX. */
#define RML_SENDER_IDENTITY_MAX 16u
#define RML_SENDER_BYTES_MAX 64u
size_t rml_put_sender(uint8_t *out, const struct rml_sender *);

/* Writes prefix, Frame.id (if not 0), kind tag, inner length and hop header of a data frame whose remaining
 * `tail_len` bytes (fields 11-15) follow. Returns the bytes written. rml_put_head_here() is the same, for the path of
 * every message: inlined, so that of a hop that is made of constants nothing is left but what is to be written. */
size_t rml_put_head(uint8_t *out, enum rml_kind kind, uint64_t id, const struct rml_hop *, size_t tail_len);

/* The end-to-end part without the payload's bytes: fields 11-14 and the tag and length of 15 (left out when
 * payload_len is 0). `headers` are already encoded by rml_put_header(). */
#define RML_TAIL_HEAD_BYTES_MAX 64u /* plus subject, type and headers */
size_t rml_put_tail_head(uint8_t *out, struct rml_span subject, struct rml_span type, struct rml_span headers,
                         size_t payload_len);

/* One header, as it stands in `headers`. rml_header_len() is its size. */
size_t rml_header_len(size_t name_len, size_t value_len);
size_t rml_put_header(uint8_t *out, struct rml_span name, struct rml_span value);

/* Big-endian prefix. */
static inline void rml_put_prefix(uint8_t *out, uint32_t len) {
        out[0] = (uint8_t)(len >> 24);
        out[1] = (uint8_t)(len >> 16);
        out[2] = (uint8_t)(len >> 8);
        out[3] = (uint8_t)len;
}
static inline uint32_t rml_get_prefix(const uint8_t *in) {
        return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | (uint32_t)in[3];
}

/* Varints, canonical. out must have 10 bytes of room. */
static inline size_t rml_put_varint(uint8_t *out, uint64_t value) {
        size_t n = 0;

        if (value < 0x80) {
                out[0] = (uint8_t)value;
                return 1;
        }
        out[n++] = (uint8_t)(value | 0x80);
        value >>= 7;
        if (value < 0x80) {
                out[n++] = (uint8_t)value;
                return n;
        }
        while (value >= 0x80) {
                out[n++] = (uint8_t)(value | 0x80);
                value >>= 7;
        }
        out[n++] = (uint8_t)value;
        return n;
}
static inline size_t rml_varint_len(uint64_t value) {
        if (value < 0x4000)
                return value < 0x80 ? 1 : 2;
        /* 7 bits a byte: 1 + floor(highest bit / 7), and 9/64 is close enough to 1/7 for 0..63. */
        unsigned high = 63u - (unsigned)__builtin_clzll(value | 1);

        return (high * 9 + 73) / 64;
}

/* ---- what rml_put_head_here() is made of ---- */

enum { RML_PUT_VARINT = 0, RML_PUT_BYTES = 2 };

/* All field numbers that are written by hand are below 16: one byte of tag. */
static inline uint8_t *rml_put_uint(uint8_t *out, unsigned field, uint64_t value) {
        if (value == 0)
                return out;
        *out++ = (uint8_t)(field << 3 | RML_PUT_VARINT);
        return out + rml_put_varint(out, value);
}

/* Sender, text and HopExt: what most messages have prepared, or do not have. */
uint8_t *rml_put_sender_field(uint8_t *out, const struct rml_sender *);
uint8_t *rml_put_text(uint8_t *out, struct rml_span text);
uint8_t *rml_put_ext(uint8_t *out, struct rml_span key, uint64_t stream_credit);

/* What a delivery's hop header usually takes: makes the inner length's width a good guess. */
#define RML_HOP_BYTES_USUAL 36u

static inline __attribute__((always_inline)) size_t
rml_put_head_here(uint8_t *prefix, enum rml_kind kind, uint64_t id, const struct rml_hop *hop, size_t tail_len) {
        uint8_t *out = rml_put_uint(prefix + RML_PREFIX_BYTES, 1, id);

        /* Room for the length that is likely; what was written moves only if that was wrong. */
        size_t guess = rml_varint_len(tail_len + RML_HOP_BYTES_USUAL);
        *out = (uint8_t)((unsigned)kind << 3 | RML_PUT_BYTES);
        uint8_t *start = out + 1 + guess;
        out = rml_put_uint(start, 1, hop->sid);
        out = rml_put_uint(out, 2, hop->token);
        out = rml_put_uint(out, 3, hop->flags);
        out = rml_put_uint(out, 4, hop->time_left_us);
        out = rml_put_uint(out, 5, hop->seq);
        if (hop->sender_field.len > 0) {
                /* All the room it may take: a few moves, and no call to ask how many. The rest is written over. */
                memcpy(out, hop->sender_field.data, RML_SENDER_BYTES_MAX);
                out += hop->sender_field.len;
        } else if (hop->sender) {
                out = rml_put_sender_field(out, hop->sender);
        }
        out = rml_put_uint(out, 7, hop->replaced);
        out = rml_put_uint(out, 8, hop->code);
        if (hop->text.len > 0)
                out = rml_put_text(out, hop->text);
        if (hop->key.len > 0 || hop->stream_credit > 0)
                out = rml_put_ext(out, hop->key, hop->stream_credit);

        size_t written = (size_t)(out - start), width = rml_varint_len(written + tail_len);
        if (width != guess) {
                memmove(start - guess + width, start, written);
                out = out - guess + width;
        }
        rml_put_varint(start - guess, written + tail_len);

        uint64_t len = (uint64_t)(out - prefix) - RML_PREFIX_BYTES + tail_len;
        rml_check(len <= UINT32_MAX);
        rml_put_prefix(prefix, (uint32_t)len);
        return (size_t)(out - prefix);
}

#endif
