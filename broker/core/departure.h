/* SPDX-License-Identifier: MIT */
/* What a peer had subscribed to goes: out of routing, ended or freed. Most peers have little, and all goes at once. Who
 * has much would keep everybody waiting: members of groups and names leave at once, for others take their place; but
 * what they had queued (move.h), and plain interests, and what is queued for these, goes a bounded part in each turn.
 * Nothing is offered to them meanwhile (interest_hears()), and while the peer is LEAVING nothing is committed to it: so
 * only the clock tells the difference. */
#ifndef RAMAL_DEPARTURE_H
#define RAMAL_DEPARTURE_H

#include "peer.h"

/* All of its interests, as `how` says. Returns true when they have gone; false: peer_departed() will be called when
 * they have. One that goes on is taken over by the next. */
bool departure_begin(struct peer *, enum departure how);
/* Does one go on? */
bool departure_goes_on(const struct peer *);
/* The rest of it, at once. */
void departure_finish(struct peer *);
/* Nothing of it has to be moved any more: the rest may go. */
void departure_goes(struct peer *);
/* So much was done at once. */
void departures_count(struct core *, uint64_t work);
/* What may be done in one turn, by all peers together, begins anew. */
void departures_renew(struct core *);
/* One turn's part, of all peers together. */
void departures_turn(struct core *);

#endif
