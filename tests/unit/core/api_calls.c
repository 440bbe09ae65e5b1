/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "api_calls.h"

struct world *world;
struct fake *me;

int set_up(void **state) {
        (void)state;
        world = world_new(7, NULL);
        me = fake_join_as(world, WORLD_UID, "caller");
        return 0;
}

int tear_down(void **state) {
        (void)state;
        world_free(world);
        return 0;
}

void with_limits(const struct core_limits *limits) {
        world_free(world);
        world = world_new(7, limits);
        me = fake_join_as(world, WORLD_UID, "caller");
}

/* The one terminal that `id` gets. */
static struct got *terminal(struct fake *fake, uint64_t id) {
        struct got *got, *found = NULL;

        world_turn(world);
        while ((got = fake_next(fake)))
                if (got->id == id) {
                        assert_null(found);
                        found = got;
                }
        assert_non_null(found);
        return found;
}

struct got *call_bytes(struct fake *fake, const char *subject, const void *payload, size_t len) {
        return terminal(fake, fake_data(fake, RML_CALL, true,
                                        &(struct say){.subject = subject, .payload = payload, .len = len}));
}

struct got *call(struct fake *fake, const char *subject, const ProtobufCMessage *request) {
        uint8_t bytes[512];
        size_t len = request ? protobuf_c_message_get_packed_size(request) : 0;

        assert_true(len <= sizeof(bytes));
        if (request)
                protobuf_c_message_pack(request, bytes);
        return call_bytes(fake, subject, bytes, len);
}

void refused(const struct got *got, Ramal__V1__Code code) {
        assert_int_equal(got->kind, RML_STATUS);
        assert_int_equal(GOT(got, Status)->code, code);
        assert_true(GOT(got, Status)->text[0] != 0);
}

/* The message in a payload: strict, of that type, and announced as such. */
ProtobufCMessage *unpack(const struct got *got, const ProtobufCMessageDescriptor *type) {
        struct rml_fault fault = {0};
        ProtobufCMessage *message;
        struct rml_span payload = got->data.payload;

        assert_true(rml_span_equal(got->data.type, rml_span_of(type->name)));
        if (!payload.len)
                payload.data = got->bytes;
        assert_int_equal(rml_scan_message(type, payload, &fault), 0);
        message = protobuf_c_message_unpack(type, NULL, payload.len, payload.data);
        assert_non_null(message);
        return message;
}

ProtobufCMessage *reply(struct fake *fake, const char *subject, const ProtobufCMessage *request,
                        const ProtobufCMessageDescriptor *type) {
        const struct got *got = call(fake, subject, request);

        assert_int_equal(got->kind, RML_REPLY);
        assert_int_equal(got->data.flags, 0); /* the only one, so the last one */
        assert_int_equal(got->data.seq, 1);
        assert_int_equal(got->data.code, 0);
        return unpack(got, type);
}

void done(void *message) {
        protobuf_c_message_free_unpacked(message, NULL);
}
