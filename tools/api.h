/* SPDX-License-Identifier: MIT */
/* Calls to the broker's own API, $SYS.api.*, and how its answers are shown in several verbs. */
#ifndef RAMAL_TOOLS_API_H
#define RAMAL_TOOLS_API_H

#include <api.pb-c.h>

#include "ctl.h"
#include "json.h"

/* Connects where that is not done, and calls $SYS.api.<verb>.
 * reply: gets the answer, of the type that `descriptor` tells; api_free() it.
 * Returns 0, or the exit status after having said what is wrong. */
int api_call(struct ctl *ctl, const char *verb, const ProtobufCMessage *request,
             const ProtobufCMessageDescriptor *descriptor, ProtobufCMessage **reply);
/* NULL is allowed. */
void api_free(ProtobufCMessage *message);

/* Prints a table that the caller has filled, and frees it. Returns the exit status. */
struct table;
int api_print_table(const struct ctl *ctl, struct table *table);

enum { API_TEXT = 128 };

/* The name of a uid; its number where this machine does not know it, or where it is another machine's. */
const char *api_user(const struct ctl *ctl, char text[API_TEXT], uint32_t uid);
/* A peer's user; or how it proved itself, where it has none. */
const char *api_peer_user(const struct ctl *ctl, char text[API_TEXT], const Ramal__Api__V1__Peer *peer);
/* The name of its process, "" where it cannot be known. */
const char *api_process(const struct ctl *ctl, char text[API_TEXT], const Ramal__Api__V1__Peer *peer);
/* When it came: "14:03:22", or "2025-11-20 14:03" where that was not today. */
const char *api_since(char text[API_TEXT], uint64_t age_us);
/* Its names, joined by commas. Returns a string to free, NULL without memory. */
char *api_names(const Ramal__Api__V1__Peer *peer);

/* The members of a peer's JSON object. */
void api_json_peer(const struct ctl *ctl, struct json *json, const Ramal__Api__V1__Peer *peer);

#endif
