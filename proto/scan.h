/* SPDX-License-Identifier: MIT */
/* The strict scan: one pass over a frame that finds what is in it, without allocation and without copying. Stricter
 * than protobuf: canonical tags and varints, fields ascending, no singular field twice, no group, numbers within
 * their type, UTF-8 in strings (but the subject, whose grammar is checked where it is looked up). What it accepts,
 * every protobuf runtime reads alike; tests/ proves that against two of them. */
#ifndef RML_SCAN_H
#define RML_SCAN_H

#include <stdbool.h>

#include "blob.h"
#include "ramal.pb-c.h"

/* Frame kinds are the field numbers of ramal.proto's Frame. */
enum rml_kind {
        RML_PUBLISH = 2,
        RML_CALL = 3,
        RML_REPLY = 4,
        RML_DELIVER = 5,
        RML_HELLO = 16,
        RML_AUTH = 17,
        RML_CHALLENGE = 18,
        RML_WELCOME = 19,
        RML_SUBSCRIBE = 20,
        RML_SUBSCRIBED = 21,
        RML_UNSUBSCRIBE = 22,
        RML_INTEREST = 23,
        RML_SNAPSHOT_END = 24,
        RML_GAP = 25,
        RML_ACCEPTED = 26,
        RML_CANCEL = 27,
        RML_STATUS = 28,
        RML_CREDIT = 29,
        RML_DESCRIBE = 30,
        RML_WILL = 31,
        RML_PING = 32,
        RML_PONG = 33,
        RML_BYE = 34,
        RML_GOAWAY = 35,
        RML_ACK = 36,
};

/* Why bytes were refused. `offset` counts from the first byte given; `reason` is a literal. */
struct rml_fault {
        size_t offset;
        const char *reason;
};

struct rml_frame {
        uint64_t id;   /* 0 = none */
        uint32_t kind; /* any field number >= 2, perhaps unknown to us */
        struct rml_span body;
        size_t body_offset; /* in the frame: added to the offsets of faults in the body */
};

struct rml_sender {
        uint64_t peer;
        bool local;
        uint32_t uid, gid, pid;
        struct rml_span identity;
};

/* A Data message. Spans point into the frame; absent = {NULL, 0}. */
struct rml_data {
        uint64_t sid, token, time_left_us, seq, replaced;
        uint32_t flags, code;
        struct rml_span text;
        struct rml_sender sender;
        bool has_sender;
        struct rml_span key;
        uint64_t stream_credit, revision, origin;
        uint32_t nfds, hops;
        bool must_not_exist, owned, everyone;
        size_t hop_len; /* bytes before the cut */

        struct rml_span tail;    /* from the cut (first tag >= 11) to the end: forwarded as it is */
        size_t envelope_len;     /* bytes of fields 11-14 */
        struct rml_span subject; /* bytes as they came: not yet checked against the grammar */
        struct rml_span type;
        struct rml_span headers; /* all header fields with their tags; rml_header_next() walks them */
        uint32_t header_count;
        size_t header_bytes; /* names and values together */
        struct rml_span payload;
};

/* Which fields may occur depends on who speaks. */
enum rml_from { RML_FROM_CLIENT, RML_FROM_BROKER };

/* Returns 0, or -EBADMSG with *fault set. */
int rml_scan_frame(struct rml_span frame, struct rml_frame *ret, struct rml_fault *fault);

/* body of a data kind (2-5). From a client: sid, seq, sender, replaced and every flag, time and field that its kind
 * does not have are malformed (flags that nobody knows are not: the receiver refuses them). A header's name has 1 to
 * 255 bytes. Returns 0, or -EBADMSG with *fault set (offset within the frame). */
int rml_scan_data(const struct rml_frame *, enum rml_from from, struct rml_data *ret, struct rml_fault *fault);

/* Any control message against its descriptor: the same strictness; unknown fields are allowed within
 * RML_UNKNOWN_FIELDS_MAX and RML_UNKNOWN_BYTES_MAX a message; nesting at most 8. Enums: 0 to 2^31-1. */
int rml_scan_message(const ProtobufCMessageDescriptor *, struct rml_span, struct rml_fault *fault);

/* Walks data->headers: *rest starts as that span. Returns true and one header while there is one. Bytes that no scan
 * has accepted end the walk. */
bool rml_header_next(struct rml_span *rest, struct rml_span *name, struct rml_span *value);

#endif
