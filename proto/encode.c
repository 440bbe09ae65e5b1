/* SPDX-License-Identifier: MIT */
#include "encode.h"

static uint8_t *put_length(uint8_t *out, unsigned field, size_t len) {
        *out++ = (uint8_t)(field << 3 | RML_PUT_BYTES);
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
        *out = (uint8_t)(field << 3 | RML_PUT_BYTES);
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

uint8_t *rml_put_sender_field(uint8_t *out, const struct rml_sender *sender) {
        uint8_t *start = open_length(out, 6);

        out = rml_put_uint(start, 1, sender->peer);
        if (sender->local) {
                /* Written even when it is empty: uid 0 is a uid. */
                uint8_t *local = open_length(out, 2);
                out = rml_put_uint(local, 1, sender->uid);
                out = rml_put_uint(out, 2, sender->gid);
                out = rml_put_uint(out, 3, sender->pid);
                out = close_length(local, out, 0);
        }
        out = put_bytes(out, 3, sender->identity);
        return close_length(start, out, 0);
}

uint8_t *rml_put_text(uint8_t *out, struct rml_span text) {
        return put_bytes(out, 9, text);
}

uint8_t *rml_put_ext(uint8_t *out, struct rml_span key, uint64_t stream_credit) {
        uint8_t *start = open_length(out, 10);

        out = put_bytes(start, 1, key);
        out = rml_put_uint(out, 2, stream_credit);
        return close_length(start, out, 0);
}

size_t rml_put_sender(uint8_t *out, const struct rml_sender *sender) {
        rml_check(sender->identity.len <= RML_SENDER_IDENTITY_MAX);
        return (size_t)(rml_put_sender_field(out, sender) - out);
}

size_t rml_put_head(uint8_t *out, enum rml_kind kind, uint64_t id, const struct rml_hop *hop, size_t tail_len) {
        rml_check(kind >= RML_PUBLISH && kind < 16 && tail_len < UINT32_MAX);
        return rml_put_head_here(out, kind, id, hop, tail_len);
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
