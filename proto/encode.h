/* SPDX-License-Identifier: MIT */
/* Writing data frames by hand: a header in front of bytes that stay where they are. Control frames are packed by
 * control.h. */
#ifndef RML_ENCODE_H
#define RML_ENCODE_H

#include "scan.h"

/* What goes into a hop header. Zero and empty fields are not written. */
struct rml_hop {
        uint64_t sid, token, time_left_us, seq, replaced;
        uint32_t flags, code;
        const struct rml_sender *sender; /* NULL = none */
        struct rml_span text;            /* at most RML_HOP_BYTES_MAX with the rest */
        struct rml_span key;
        uint64_t stream_credit;
        struct rml_span sender_field; /* instead of `sender`: the field whole, as rml_put_sender() wrote it */
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
 * `tail_len` bytes (fields 11-15) follow. Returns the bytes written. */
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
void rml_put_prefix(uint8_t *out, uint32_t len);
uint32_t rml_get_prefix(const uint8_t *in);

/* Varints, canonical. out must have 10 bytes of room. */
size_t rml_put_varint(uint8_t *out, uint64_t value);
size_t rml_varint_len(uint64_t value);

#endif
