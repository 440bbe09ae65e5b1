/* SPDX-License-Identifier: MIT */
/* Saying no: who may what on which subject, and which limit was met, with its value and the key that raises it. */
#ifndef RAMAL_REFUSE_H
#define RAMAL_REFUSE_H

#include "answer.h"
#include "bounds.h"

enum limit {
        LIMIT_CALLS,
        LIMIT_UID_CALLS,
        LIMIT_INTERESTS,
        LIMIT_OWN_INTERESTS,
        LIMIT_UID_INTERESTS,
        LIMIT_NAMES,
        LIMIT_UID_NAMES,
        LIMIT_MEMORY, /* malloc said no */
};

/* STATUS OVER_LIMIT. */
void refuse_limit(struct peer *, uint64_t id, enum limit);
/* The same for the bound that kept a call from its responder: the windows there, or what may wait of its caller's
 * calls. */
void refuse_why(struct peer *, uint64_t id, Ramal__V1__Why);
/* Or a reply from its caller. */
void refuse_reply(struct peer *caller, uint64_t id, Ramal__V1__Why);

/* Or the broker's own: its user leaves too much of those unread. */
void refuse_unread(struct peer *caller, uint64_t id);

/* Is the message too large? Then *ret (may be NULL) says by which limit: those of headers are fixed and have no key. */
bool refuse_size(const struct peer *from, const struct rml_data *, struct refusal *ret);
static inline bool refuse_sizes(const struct peer *from, const struct rml_data *data, struct refusal *ret) {
        return (data->payload.len > from->account->limits->payload_bytes ||
                (!data->bare && (data->envelope_len > RML_ENVELOPE_BYTES_MAX || data->header_count > RML_HEADERS_MAX ||
                                 data->header_bytes > RML_HEADERS_BYTES_MAX || data->hop_len > RML_HOP_BYTES_MAX ||
                                 data->key.len > RML_KEY_BYTES_MAX))) &&
               refuse_size(from, data, ret);
}
/* May this peer publish to, or call, that subject? Only '$' subjects are nobody's, and who only looks may nothing. */
bool refuse_special(const struct peer *, struct rml_span subject, bool call, struct refusal *ret);
static inline bool refuse_send(const struct peer *peer, struct rml_span subject, bool call, struct refusal *ret) {
        return (peer->inspect || (subject.len && subject.data[0] == '$')) && refuse_special(peer, subject, call, ret);
}
/* May it subscribe to, or serve, that pattern? */
bool refuse_pattern(const struct peer *, struct rml_span pattern, bool serve, struct refusal *ret);
/* What a peer that said HELLO.inspect may not. */
bool refuse_inspect(struct refusal *ret);
/* Answers a frame with an id by a refusal. */
void refuse_status(struct peer *, uint64_t id, const struct refusal *);

#endif
