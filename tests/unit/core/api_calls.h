/* SPDX-License-Identifier: MIT */
/* A world with one peer in it that calls $SYS.api.* and reads the replies as a client would. */
#ifndef RAMAL_TEST_API_CALLS_H
#define RAMAL_TEST_API_CALLS_H

#include "api.pb-c.h"
#include "base/check.h"
#include "world.h"

extern struct world *world;
extern struct fake *me;

int set_up(void **state);
int tear_down(void **state);
/* Starts again with these. */
void with_limits(const struct core_limits *);

/* The one terminal of a call. request: NULL = no payload. */
struct got *call(struct fake *, const char *subject, const ProtobufCMessage *request);
struct got *call_bytes(struct fake *, const char *subject, const void *payload, size_t len);
/* Asserts that it is a STATUS with that code and some text. */
void refused(const struct got *, Ramal__V1__Code code);
/* The message in a payload: strict, of that type, and announced as such. done() frees it. */
ProtobufCMessage *unpack(const struct got *, const ProtobufCMessageDescriptor *);
/* The same of the single REPLY to a call. */
ProtobufCMessage *reply(struct fake *, const char *subject, const ProtobufCMessage *request,
                        const ProtobufCMessageDescriptor *);
void done(void *message);

#define REPLY(Name, name, subject, request)                                                                            \
        ((Ramal__Api__V1__##Name *)(void *)reply(me, "$SYS.api." subject, (request),                                   \
                                                 &ramal__api__v1__##name##__descriptor))

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif
