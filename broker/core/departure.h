/* SPDX-License-Identifier: MIT */
/* What a peer had subscribed to goes: out of routing, ended or freed. Most peers have few interests, and all go at
 * once. Who has many would keep everybody waiting: members of groups and names still go at once, for others take their
 * place; its plain ones go a bounded number in each turn. Nothing is offered to them meanwhile (interest_hears()), and
 * while the peer is LEAVING nothing is committed to it: so only the clock tells the difference. */
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
/* One turn's part, of all peers together. */
void departures_turn(struct core *);

#endif
