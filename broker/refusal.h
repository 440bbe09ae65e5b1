/* SPDX-License-Identifier: MIT */
/* The answer to connections that do not become peers: GOAWAY and the end of output. A socket that is closed while its
 * client still sends is reset, and the client may never see why; so it stays for a moment, and what comes is thrown
 * away. Few of them do: their descriptors come out of what the limit of connections leaves. */
#ifndef RAMAL_REFUSAL_H
#define RAMAL_REFUSAL_H

#include "base/list.h"
#include "io/loop.h"
#include "ramal.pb-c.h"

struct refusals {
        struct loop *loop;
        struct rml_list list; /* oldest first */
        size_t count;
        bool dropped; /* one has gone since somebody set this to false */
};

void refusals_init(struct refusals *, struct loop *);
void refusals_deinit(struct refusals *);

/* Sends GOAWAY, if the socket takes it at once. Takes fd. */
void refusals_add(struct refusals *, int fd, Ramal__V1__Code reason, const char *text, uint64_t now_ns);

/* Nobody stays any longer: their descriptors are wanted. */
void refusals_drop(struct refusals *);
uint64_t refusals_deadline(const struct refusals *); /* LOOP_NEVER = none */
void refusals_expire(struct refusals *, uint64_t now_ns);

#endif
