/* SPDX-License-Identifier: MIT */
/* From an interest into the output of its connection. */
#ifndef RAMAL_COMMIT_H
#define RAMAL_COMMIT_H

#include "message.h"

struct call;
struct interest;

/* What is written for one receiver. */
struct shipment {
        const struct rml_span *sender; /* the field */
        const struct rml_span *tail;
        struct body *share; /* its tail is referenced; NULL: copied */
        size_t charge;
        struct call *call;
        uint64_t seq, replaced, token;
        uint32_t flags; /* TAPPED and what goes with it, with `token` */
        uint64_t expires_ns; /* of a publish: 0 and CORE_NEVER = never */
        bool moved, redelivered;
};

/* Writes it to the output and counts it in flight. Returns false, with nothing changed, without memory. */
bool commit_write(struct interest *, const struct shipment *);
/* What interest_offer() does with most messages, for these alone: writes a message->plain to an interest that is in no
 * group, if nothing waits before it and no memory is needed. Returns false, with nothing changed, where
 * interest_offer() is to be asked. */
bool commit_plain(struct interest *, const struct message *);
/* Commits the head of the queue, gaps first. Returns false when that cannot be done now (no room, no memory). */
bool interest_commit(struct interest *);
/* Puts it into, or takes it out of, what its peer may commit: after every change of queue, credit or gaps. */
void interest_update(struct interest *);

#endif
