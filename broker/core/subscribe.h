/* SPDX-License-Identifier: MIT */
/* SUBSCRIBE, UNSUBSCRIBE and receive credit. */
#ifndef RAMAL_SUBSCRIBE_H
#define RAMAL_SUBSCRIBE_H

#include "peer.h"

void subscribe_start(struct peer *, uint64_t id, const Ramal__V1__Subscribe *);
void subscribe_end(struct peer *, uint64_t id, const Ramal__V1__Unsubscribe *);
void subscribe_credit(struct peer *, uint64_t sid, uint64_t seq);

#endif
