/* SPDX-License-Identifier: MIT */
/* Publishes: to every plain interest that matches and to one member of each group. */
#ifndef RAMAL_PUBLISH_H
#define RAMAL_PUBLISH_H

#include "answer.h"

/* PUBLISH that was scanned. Returns false when everybody has it and the receipt (id) is answered; true when it is
 * refused whole, *ret says why. message->held: publish credit was taken for it. */
bool publish_from(struct peer *, uint64_t id, const struct rml_data *, struct message *, struct refusal *ret);

/* The broker's own: does anybody want it, and then publish it. subject: well-formed. */
bool publish_own_wanted(struct core *, struct rml_span subject);
void publish_own(struct core *, struct rml_span subject, const char *type, const ProtobufCMessage *payload);

#endif
