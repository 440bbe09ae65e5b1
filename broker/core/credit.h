/* SPDX-License-Identifier: MIT */
/* Publish credit (rule 4): how many bytes of a sender's PUBLISH frames lie in `block` queues, and what of them it was
 * not told to be free again. Receive credit is flight.h's. */
#ifndef RAMAL_CREDIT_H
#define RAMAL_CREDIT_H

#include "answer.h"
#include "budget.h"
#include "message.h"
#include "peer.h"

static inline uint64_t credit_max(const struct peer *peer) {
        return peer->account->limits->publish_credit_bytes;
}
/* May a PUBLISH frame of n bytes be taken? One that is larger than all of it may while nothing is used. */
static inline bool credit_fits(const struct peer *peer, size_t n) {
        return !peer->credit_used || budget_open(peer->credit_used, n, credit_max(peer));
}

/* Says by which limit it may not. */
void credit_refuse(struct peer *, struct refusal *);

/* CREDIT at the end of the turn. */
void credit_told_soon(struct peer *);
/* The body went into its first `block` queue: holds its publisher's credit until it has left the last one. */
void credit_take(struct peer *, struct body *);
void credit_return(struct body *);
/* A frame that went into none comes back at once. Its sender need not know that now: a PING tells it, or later
 * frames. */
static inline void credit_pass(struct peer *peer, size_t n) {
        peer->credit_untold += n;
        if (peer->credit_untold >= credit_max(peer) / 2)
                credit_told_soon(peer);
}

/* CREDIT{publish_bytes}, if there is reason to say it and room. */
void credit_tell(struct peer *);
/* All that came back, room or not: before PONG. */
void credit_tell_all(struct peer *);
/* It publishes nothing any more: what it holds is nobody's. */
void credit_forget(struct peer *);

#endif
