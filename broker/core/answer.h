/* SPDX-License-Identifier: MIT */
/* What the broker says to one peer beside deliveries: control frames and replies, in order with everything else. */
#ifndef RAMAL_ANSWER_H
#define RAMAL_ANSWER_H

#include "control.h"
#include "message.h"
#include "peer.h"

enum answer_kind {
        ANSWER_BYTES,   /* packed already */
        ANSWER_REPLY,   /* head packed, tail in a body */
        ANSWER_REFUSAL, /* STATUS{publish}: merged while it waits */
        ANSWER_NOTICE,  /* INTEREST: the newest state counts */
};

struct refusal {
        Ramal__V1__Code code;
        uint64_t publish, count; /* from which PUBLISH frame on, how many */
        uint64_t id;             /* of a publish with receipt */
        const char *text;        /* literals all */
        const char *limit;
        uint64_t value;
};

struct answer {
        struct rml_list link;
        enum answer_kind kind;
        struct rml_heap_node ready; /* of the first one, in peer->ready; its key is the ordinal of each */
        bool own;                /* counts as unread of the broker's own answers */
        size_t unread;           /* so much, while it waits: its memory, not only its bytes */
        union {
                struct { /* REPLY */
                        struct body *body;
                        uint64_t token, seq; /* to be confirmed by the socket */
                };
                struct refusal refusal;
                struct { /* NOTICE */
                        struct interest *interest; /* whose, to forget it there */
                        Ramal__V1__Interest notice;
                };
        };
        size_t len;
        uint8_t bytes[];
};

/* A control frame, in order. */
void answer_control(struct peer *, enum rml_kind, uint64_t id, const ProtobufCMessage *);
/* A control frame that may overtake (PONG, CREDIT, GOAWAY). */
void answer_now(struct peer *, enum rml_kind, uint64_t id, const ProtobufCMessage *);
/* STATUS to a frame with an id. text: one line. limit: configuration key, or NULL. */
void answer_status(struct peer *, uint64_t id, Ramal__V1__Code code, const char *text);
void answer_limit(struct peer *, uint64_t id, Ramal__V1__Code code, const char *text, const char *limit,
                  uint64_t value);
void answer_refusal(struct peer *, const struct refusal *);
void answer_gone(struct peer *, uint64_t id, const char *text, bool may_have_run);
/* REPLY to a caller. own: the broker's. confirm: the socket confirms it to the callee. Returns 0 or -ENOMEM. */
int answer_reply(struct peer *caller, uint64_t id, uint64_t seq, const struct rml_data *, struct message *, bool own,
                 uint64_t confirm_token);
void answer_notice(struct interest *, Ramal__V1__State state, uint64_t queued, Ramal__V1__Why why);

/* Is the first one what that is? */
static inline bool answers_next(const struct peer *peer, const struct rml_heap_node *node) {
        return !rml_list_empty(&peer->answers) &&
               node == &rml_list_entry(peer->answers.next, struct answer, link)->ready;
}
/* Commits the first one. Returns false without memory, or when there is no room. */
bool answer_commit(struct peer *);
void answers_clear(struct peer *);

#endif
