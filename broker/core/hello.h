/* SPDX-License-Identifier: MIT */
/* Coming in: who is let in, HELLO, the proof of the token, WELCOME. */
#ifndef RAMAL_HELLO_H
#define RAMAL_HELLO_H

#include "peer.h"

void hello_start(struct peer *, uint64_t id, const Ramal__V1__Hello *);
void hello_auth(struct peer *, uint64_t id, const Ramal__V1__Auth *);

#endif
