/* SPDX-License-Identifier: MIT */
/* What the methods of the API answer with. Every reply is a message whose fields are messages, so it is packed field by
 * field as they are found: no tree of the whole reply is ever in memory, and one that gets larger than a payload may be
 * stops there. Private to api*.c. */
#ifndef RAMAL_API_REPLY_H
#define RAMAL_API_REPLY_H

#include "api.pb-c.h"
#include "api_arena.h"
#include "scan.h"
#include "peer.h"

struct api_reply {
        struct peer *caller;
        const struct core *core;
        struct arena arena;    /* the request, and what one field of the reply needs */
        struct rml_blob *blob; /* head room, then the payload so far */
        size_t head, end;      /* where the payload begins and ends */
        size_t payload_max;
        Ramal__V1__Code code; /* OK until something went wrong */
        const char *text;     /* literal */
};

/* One more element of the repeated field, or the one value of a singular one. Fields must come in ascending order.
 * Returns false when there is no use in going on: the reply has failed. */
bool api_put(struct api_reply *, unsigned field, const ProtobufCMessage *);
/* STATUS instead of a reply. text: a literal. */
void api_refuse(struct api_reply *, Ramal__V1__Code code, const char *text);
/* The arena gave nothing: too large, or no memory. */
void api_refuse_memory(struct api_reply *);

/* The peer that a request means; 0 = the caller. NULL and refused if there is none. */
const struct peer *api_peer(struct api_reply *, uint64_t id);

/* The methods. request: of the type that the table of api.c gives, well-formed. */
void api_list(struct api_reply *, const ProtobufCMessage *request);
void api_names(struct api_reply *, const ProtobufCMessage *request);
void api_who(struct api_reply *, const ProtobufCMessage *request);
void api_status(struct api_reply *, const ProtobufCMessage *request);
void api_limits(struct api_reply *, const ProtobufCMessage *request);

#endif
