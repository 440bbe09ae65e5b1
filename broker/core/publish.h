/* SPDX-License-Identifier: MIT */
/* Publishes: to every plain interest that matches and to one member of each group. */
#ifndef RAMAL_PUBLISH_H
#define RAMAL_PUBLISH_H

#include "answer.h"

/* A PUBLISH frame that its sender may send now; `head` bytes of it are before the message. After that everybody has it
 * and its receipt is answered, or it was refused whole, or was malformed. */
void publish_frame(struct peer *, const struct rml_raw *, uint64_t id, size_t head);

/* The broker's own: does anybody want it, and then publish it. subject: well-formed. */
bool publish_own_wanted(struct core *, struct rml_span subject);
void publish_own(struct core *, struct rml_span subject, const char *type, const ProtobufCMessage *payload);

#endif
