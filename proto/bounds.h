/* SPDX-License-Identifier: MIT */
/* Every maximum that both ends must agree on, with its unit and its reason. What a broker may configure is in
 * broker/core/core.h; these are the protocol's own. */
#ifndef RML_BOUNDS_H
#define RML_BOUNDS_H

#define RML_PREFIX_BYTES 4u /* u32 big-endian length before each frame */

#define RML_SUBJECT_BYTES_MAX 255u /* as NATS advises; fits one byte of length everywhere */
#define RML_SUBJECT_TOKENS_MAX 32u
#define RML_NAME_BYTES_MAX 200u /* so that `name.method` still fits a subject */
#define RML_NAME_TOKENS_MAX 28u

#define RML_PAYLOAD_BYTES_DEFAULT (8u << 20)
#define RML_PAYLOAD_BYTES_CEILING (64u << 20) /* a configuration may raise it so far */
#define RML_FRAME_EXTRA_BYTES (64u << 10)     /* a frame may be so much longer than its payload */
#define RML_ENVELOPE_BYTES_MAX (32u << 10)    /* fields 11-14 together */
#define RML_HOP_BYTES_MAX (16u << 10)         /* fields 1-10 together; a delivery thus always fits the same limit */
#define RML_HEADERS_MAX 64u
#define RML_HEADERS_BYTES_MAX (8u << 10)
#define RML_CONTROL_BYTES_MAX (64u << 10) /* any control frame */
#define RML_HELLO_BYTES_MAX (4u << 10)    /* any frame before WELCOME */
#define RML_APP_BYTES_MAX 255u
#define RML_KEY_BYTES_MAX 255u /* HopExt.key */

#define RML_UNKNOWN_FIELDS_MAX 16u /* unknown fields in one message: room for additions, none for heap bombs */
#define RML_UNKNOWN_BYTES_MAX 1024u

#define RML_VERSION 1u /* of the wire */
#define RML_NONCE_BYTES 32u
#define RML_PROOF_BYTES 32u /* HMAC-SHA256 */
#define RML_TOKEN_BYTES 32u /* 256 random bits */

#define RML_TCP_PORT 7265u /* R-A-M-L on a telephone */
#define RML_UNIX_PATH_MAX 107u

#endif
