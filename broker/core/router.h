/* SPDX-License-Identifier: MIT */
/* From a whole frame to whoever handles it. */
#ifndef RAMAL_ROUTER_H
#define RAMAL_ROUTER_H

#include "peer.h"

/* One frame of a peer that is being read. Whatever it holds: the peer's state tells what became of it. */
void router_frame(struct peer *, const struct rml_raw *);

#endif
