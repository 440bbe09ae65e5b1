/* SPDX-License-Identifier: MIT */
/* What other uids may use of a receiver: dbus-broker's fair share. The sender's own uid and the broker itself are bound
 * by the budgets alone and cost nothing here.
 *
 * Of a queued delivery the shares of its sender in three things are kept: in the interest (which of its messages wait
 * there), in the connection and in the uid (how many bytes). Of a call: in the window of the serving interest. */
#ifndef RAMAL_SHARE_H
#define RAMAL_SHARE_H

#include "control.h"
#include "interest.h"

struct share {
        struct rml_table_node node; /* core->shares, by holder and sender */
        const void *holder;         /* the interest, peer or account */
        size_t *strangers;          /* of the holder: so many have a share */
        struct account *sender;
        struct share *above;        /* the same sender's: interest -> connection -> uid; NULL: none */
        uint64_t bytes, messages;
        struct rml_list queue;      /* of an interest: struct delivery.share_link, oldest first */
        struct rml_list kept;       /* the same, of those that are in flight and charged on */
};

static inline bool share_stranger(const struct interest *interest, const struct account *sender) {
        return sender && sender != interest->peer->account;
}

/* A publish that has to wait: does its sender stay within its fair share? Over it, room is made among what the same
 * sender has waiting for this interest, by the interest's rule. Returns true if it may be offered on; false: it was
 * dropped, or has taken the place of an older one, and is counted. Only for strangers. */
bool share_admit(struct interest *, struct message *, uint64_t seq);
/* Would the sender stay within its share with this message, once `less` of what it has there is gone? WHY_NONE: it
 * would. */
Ramal__V1__Why share_bound(const struct interest *, const struct message *, uint64_t less);
/* A delivery entered the interest's queue (at its front?), or leaves it. */
void share_queued(struct interest *, struct delivery *, bool front);
void share_unqueued(struct interest *, struct delivery *);
/* One that was committed is charged on, until it is confirmed: share_unqueued() again. */
void share_kept(struct interest *, struct delivery *);

/* Is there room for a call of that caller in the window of a serving interest? */
bool share_open(const struct interest *, const struct message *);
/* A call stays in the share from its acceptance to its end, or until it goes elsewhere. Returns NULL when the caller is
 * no stranger, or (with *failed set) without memory. */
struct share *share_enter(struct interest *, struct account *caller, size_t charge, bool *failed);
void share_leave(struct core *, struct share *, size_t charge);

void shares_deinit(struct core *);

#endif
