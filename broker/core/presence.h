/* SPDX-License-Identifier: MIT */
/* $SYS.peer.<id> and $SYS.name.<name>: published on every change, if anybody wants to know. */
#ifndef RAMAL_PRESENCE_H
#define RAMAL_PRESENCE_H

#include "group.h"

/* A peer was let in, or is gone. */
void presence_peer(struct core *, struct peer *, bool gone);
/* The name may have changed hands; nothing is published if it has not. Sets group->owner_told. */
void presence_name(struct core *, struct group *);

/* A `block` interest was demoted: its oldest message had waited for so long. */
void presence_stall(struct core *, const struct interest *, uint64_t waited_ns);

#endif
