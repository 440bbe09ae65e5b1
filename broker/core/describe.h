/* SPDX-License-Identifier: MIT */
/* Peers and names as api.proto tells them, for the API and for presence. Everything is borrowed: from the core, or from
 * the arena. */
#ifndef RAMAL_DESCRIBE_H
#define RAMAL_DESCRIBE_H

#include "api.pb-c.h"
#include "api_arena.h"
#include "group.h"

/* protobuf-c's texts are not const, though it only reads them. NULL = "". */
static inline char *describe_text(const char *text) {
        return (char *)(uintptr_t)(text ? text : "");
}

/* Is it there, as others see it? Not any more once $SYS.peer.<id> has told that it is gone, though the rest may still
 * be flushed: a watcher that subscribes and then asks must not meet a peer whose end was told before. */
bool describe_shows(const struct peer *);
/* Return 0, or -ENOMEM. */
int describe_peer(const struct peer *, struct arena *, Ramal__Api__V1__Peer *ret);
int describe_name(const struct group *, struct arena *, Ramal__Api__V1__Name *ret);

#endif
