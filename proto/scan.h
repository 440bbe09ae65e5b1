/* SPDX-License-Identifier: MIT */
/* The strict scan: one pass over a frame that finds what is in it, without allocation and without copying. Stricter
 * than protobuf: canonical tags and varints, fields ascending, no singular field twice, no group, numbers within
 * their type, UTF-8 in strings (but the subject, whose grammar is checked where it is looked up). What it accepts,
 * every protobuf runtime reads alike; tests/ proves that against two of them. */
#ifndef RML_SCAN_H
#define RML_SCAN_H

#include <stdbool.h>
#include <string.h>

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
        bool bare;      /* just a subject and a payload, both short: nothing else need be looked at */
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

/* Most frames are one data message without an id: its tag has one byte, and how long its body must be, and how that is
 * written, says the frame's length. Returns where the body begins, or 0: rml_scan_frame() is to look. */
static inline size_t rml_scan_head(struct rml_span frame) {
        const uint8_t *at = frame.data;
        size_t body;

        if (frame.len < 2 || at[0] < (RML_PUBLISH << 3 | 2) || at[0] >= 0x80 || (at[0] & 7) != 2)
                return 0;
        body = frame.len - 2;
        if (body < 0x80)
                return at[1] == body ? 2 : 0;
        body--;
        return body >= 0x80 && at[1] == (0x80 | (body & 0x7f)) && at[2] == body >> 7 && at[2] < 0x80 ? 3 : 0;
}

/* Returns 0, or -EBADMSG with *fault set. */
int rml_scan_frame(struct rml_span frame, struct rml_frame *ret, struct rml_fault *fault);

/* The general case of rml_scan_data(). */
int rml_scan_data_slow(const struct rml_frame *, enum rml_from from, struct rml_data *ret, struct rml_fault *fault);

/* All zero. gcc makes one assignment of more than 64 bytes a `rep stos`, which costs as much as all the rest: so it is
 * made of pieces. */
static inline void rml_data_clear_from(struct rml_data *ret, size_t at) {
        if (at < sizeof(*ret))
                memset((uint8_t *)ret + at, 0, sizeof(*ret) - at < 64 ? sizeof(*ret) - at : 64);
}
static inline void rml_data_clear(struct rml_data *ret) {
        _Static_assert(sizeof(*ret) <= 5 * 64, "there are pieces enough");
        rml_data_clear_from(ret, 0);
        rml_data_clear_from(ret, 64);
        rml_data_clear_from(ret, 128);
        rml_data_clear_from(ret, 192);
        rml_data_clear_from(ret, 256);
}

/* body of a data kind (2-5). From a client: sid, seq, sender, replaced and every flag, time and field that its kind
 * does not have are malformed (flags that nobody knows are not: the receiver refuses them). A header's name has 1 to
 * 255 bytes. Returns 0, or -EBADMSG with *fault set (offset within the frame). */
static inline int rml_scan_data(const struct rml_frame *frame, enum rml_from from, struct rml_data *ret,
                                struct rml_fault *fault) {
        const uint8_t *at = frame->body.data, *payload;
        size_t len = frame->body.len, subject = len > 2 ? at[1] : 0x80, head, left;

        /* Most have a short subject and a payload and nothing else: then the body's length says how long the payload
         * must be, and how that is written. Anybody may send these fields. */
        if (subject >= 0x80 || subject + 4 > len || at[0] != (11 << 3 | 2) || at[2 + subject] != (15 << 3 | 2))
                return rml_scan_data_slow(frame, from, ret, fault);
        payload = at + 2 + subject;
        left = len - 2 - subject;
        head = left < 2 + 0x80 ? 2 : 3;
        if (head == 2 ? payload[1] != left - 2
                      : left - 3 < 0x80 || payload[1] != (0x80 | ((left - 3) & 0x7f)) ||
                                payload[2] != (left - 3) >> 7 || payload[2] >= 0x80)
                return rml_scan_data_slow(frame, from, ret, fault);
        rml_data_clear(ret);
        ret->bare = true;
        ret->tail = frame->body;
        ret->envelope_len = 2 + subject;
        ret->subject = (struct rml_span){at + 2, subject};
        ret->payload = (struct rml_span){payload + head, left - head};
        return 0;
}

/* Any control message against its descriptor: the same strictness; unknown fields are allowed within
 * RML_UNKNOWN_FIELDS_MAX and RML_UNKNOWN_BYTES_MAX a message; nesting at most 8. Enums: 0 to 2^31-1. */
int rml_scan_message(const ProtobufCMessageDescriptor *, struct rml_span, struct rml_fault *fault);

/* Walks data->headers: *rest starts as that span. Returns true and one header while there is one. Bytes that no scan
 * has accepted end the walk. */
bool rml_header_next(struct rml_span *rest, struct rml_span *name, struct rml_span *value);

#endif
