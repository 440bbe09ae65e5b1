/* SPDX-License-Identifier: MIT */
#include "encode.h"

#include <string.h>

#include "base/check.h"
#include "bounds.h"

enum { WIRE_VARINT = 0, WIRE_BYTES = 2 };

void rml_put_prefix(uint8_t *out, uint32_t len) {
        out[0] = (uint8_t)(len >> 24);
        out[1] = (uint8_t)(len >> 16);
        out[2] = (uint8_t)(len >> 8);
        out[3] = (uint8_t)len;
}

uint32_t rml_get_prefix(const uint8_t *in) {
        return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | (uint32_t)in[3];
}

size_t rml_put_varint(uint8_t *out, uint64_t value) {
        size_t n = 0;

        while (value >= 0x80) {
                out[n++] = (uint8_t)(value | 0x80);
                value >>= 7;
        }
        out[n++] = (uint8_t)value;
        return n;
}

size_t rml_varint_len(uint64_t value) {
        /* 7 bits a byte: 1 + floor(highest bit / 7), and 9/64 is close enough to 1/7 for 0..63. */
        unsigned high = 63u - (unsigned)__builtin_clzll(value | 1);

        return (high * 9 + 73) / 64;
}

/* All field numbers that are written by hand are below 16: one byte of tag. */
static uint8_t *put_uint(uint8_t *out, unsigned field, uint64_t value) {
        if (value == 0)
                return out;
        *out++ = (uint8_t)(field << 3 | WIRE_VARINT);
        return out + rml_put_varint(out, value);
}

static uint8_t *put_length(uint8_t *out, unsigned field, size_t len) {
        *out++ = (uint8_t)(field << 3 | WIRE_BYTES);
        return out + rml_put_varint(out, len);
}

static uint8_t *put_bytes(uint8_t *out, unsigned field, struct rml_span bytes) {
        if (bytes.len == 0)
                return out;
        out = put_length(out, field, bytes.len);
        memcpy(out, bytes.data, bytes.len);
        return out + bytes.len;
}

/*
 * Lengths that are only known afterwards: leave a byte for the length, write, and let close_length() put it there,
 * moving what was written where one byte is not enough. That is rare, and cheaper than to measure everything first.
 */
static uint8_t *open_length(uint8_t *out, unsigned field) {
        *out = (uint8_t)(field << 3 | WIRE_BYTES);
        return out + 2;
}

/* start: what open_length() returned. more: bytes that the length counts and that somebody else writes. */
static uint8_t *close_length(uint8_t *start, uint8_t *end, size_t more) {
        size_t written = (size_t)(end - start), extra = rml_varint_len(written + more) - 1;

        if (extra > 0)
                memmove(start + extra, start, written);
        rml_put_varint(start - 1, written + more);
        return end + extra;
}

static uint8_t *put_sender(uint8_t *out, const struct rml_sender *sender) {
        uint8_t *start = open_length(out, 6);

        out = put_uint(start, 1, sender->peer);
        if (sender->local) {
                /* Written even when it is empty: uid 0 is a uid. */
                uint8_t *local = open_length(out, 2);
                out = put_uint(local, 1, sender->uid);
                out = put_uint(out, 2, sender->gid);
                out = put_uint(out, 3, sender->pid);
                out = close_length(local, out, 0);
        }
        out = put_bytes(out, 3, sender->identity);
        return close_length(start, out, 0);
}

static uint8_t *put_ext(uint8_t *out, const struct rml_hop *hop) {
        uint8_t *start = open_length(out, 10);

        out = put_bytes(start, 1, hop->key);
        out = put_uint(out, 2, hop->stream_credit);
        return close_length(start, out, 0);
}

size_t rml_put_sender(uint8_t *out, const struct rml_sender *sender) {
        rml_check(sender->identity.len <= RML_SENDER_IDENTITY_MAX);
        return (size_t)(put_sender(out, sender) - out);
}

/* What a delivery's hop header usually takes: makes the outer length's width a good guess. */
#define HOP_BYTES_USUAL 36u

size_t rml_put_head(uint8_t *out, enum rml_kind kind, uint64_t id, const struct rml_hop *hop, size_t tail_len) {
        uint8_t *prefix = out;

        rml_check(kind >= RML_PUBLISH && kind < 16 && tail_len < UINT32_MAX);
        out = put_uint(out + RML_PREFIX_BYTES, 1, id);

        /* On the way of every message: room for the length that is likely, and what was written moves only if that was
         * wrong. */
        size_t guess = rml_varint_len(tail_len + HOP_BYTES_USUAL);
        *out = (uint8_t)((unsigned)kind << 3 | WIRE_BYTES);
        uint8_t *start = out + 1 + guess;
        out = put_uint(start, 1, hop->sid);
        out = put_uint(out, 2, hop->token);
        out = put_uint(out, 3, hop->flags);
        out = put_uint(out, 4, hop->time_left_us);
        out = put_uint(out, 5, hop->seq);
        if (hop->sender_field.len > 0) {
                memcpy(out, hop->sender_field.data, hop->sender_field.len);
                out += hop->sender_field.len;
        } else if (hop->sender) {
                out = put_sender(out, hop->sender);
        }
        out = put_uint(out, 7, hop->replaced);
        out = put_uint(out, 8, hop->code);
        out = put_bytes(out, 9, hop->text);
        if (hop->key.len > 0 || hop->stream_credit > 0)
                out = put_ext(out, hop);

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

size_t rml_put_tail_head(uint8_t *out, struct rml_span subject, struct rml_span type, struct rml_span headers,
                         size_t payload_len) {
        uint8_t *start = out;

        out = put_bytes(out, 11, subject);
        out = put_bytes(out, 12, type);
        if (headers.len > 0) {
                memcpy(out, headers.data, headers.len);
                out += headers.len;
        }
        if (payload_len > 0)
                out = put_length(out, 15, payload_len);
        return (size_t)(out - start);
}

static size_t wrapped_len(size_t len) {
        return 1 + rml_varint_len(len) + len;
}

static size_t bytes_len(size_t len) {
        return len == 0 ? 0 : wrapped_len(len);
}

size_t rml_header_len(size_t name_len, size_t value_len) {
        return wrapped_len(bytes_len(name_len) + bytes_len(value_len));
}

size_t rml_put_header(uint8_t *out, struct rml_span name, struct rml_span value) {
        uint8_t *start = out;

        out = put_length(out, 13, bytes_len(name.len) + bytes_len(value.len));
        out = put_bytes(out, 1, name);
        out = put_bytes(out, 2, value);
        return (size_t)(out - start);
}
