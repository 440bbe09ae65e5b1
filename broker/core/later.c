/* SPDX-License-Identifier: MIT */
#include "later.h"

#include "base/check.h"

const char *const later_features[] = {
        "publish", "receipt", "subscribe", "groups", "serve", "names", "calls", "streams", "credit", "gaps", "unicast",
        "presence", "api", "drain", "tap", "publish_credit", "block", "expiry",
        "random", "key", "redelivery", NULL,
};

#define KNOWN_FLAGS \
        (RAMAL__V1__DATA_FLAG__DATA_FLAG_RETAIN | RAMAL__V1__DATA_FLAG__DATA_FLAG_RECEIPT | \
         RAMAL__V1__DATA_FLAG__DATA_FLAG_MORE)

static bool data_retain(const struct rml_data *data) {
        return data->flags & RAMAL__V1__DATA_FLAG__DATA_FLAG_RETAIN;
}
static bool data_flags(const struct rml_data *data) {
        return data->flags & ~(uint32_t)KNOWN_FLAGS;
}
static bool data_revision(const struct rml_data *data) {
        return data->revision != 0;
}
static bool data_must_not_exist(const struct rml_data *data) {
        return data->must_not_exist;
}
static bool data_owned(const struct rml_data *data) {
        return data->owned;
}
static bool data_nfds(const struct rml_data *data) {
        return data->nfds != 0;
}
static bool data_everyone(const struct rml_data *data) {
        return data->everyone;
}
static bool data_origin(const struct rml_data *data) {
        return data->origin != 0 || data->hops != 0;
}

#define SUBSCRIBE(message) ((const Ramal__V1__Subscribe *)(const void *)(message))

static bool subscribe_policy(const ProtobufCMessage *message) {
        return SUBSCRIBE(message)->policy > RAMAL__V1__POLICY__POLICY_KEY;
}
static bool subscribe_overflow(const ProtobufCMessage *message) {
        return SUBSCRIBE(message)->overflow > RAMAL__V1__OVERFLOW__OVERFLOW_BLOCK;
}
static bool subscribe_start(const ProtobufCMessage *message) {
        return SUBSCRIBE(message)->start != RAMAL__V1__START__START_NEW || SUBSCRIBE(message)->start_at;
}
static bool subscribe_sender(const ProtobufCMessage *message) {
        return SUBSCRIBE(message)->sender != NULL;
}
static bool subscribe_no_local(const ProtobufCMessage *message) {
        return SUBSCRIBE(message)->no_local;
}
static bool unsubscribe_drain(const ProtobufCMessage *message) {
        const Ramal__V1__Unsubscribe *unsubscribe = (const void *)message;

        return unsubscribe->drain || unsubscribe->drain_us;
}
static bool hello_resume(const ProtobufCMessage *message) {
        return ((const Ramal__V1__Hello *)(const void *)message)->resume.len != 0;
}
static bool always(const ProtobufCMessage *message) {
        (void)message;
        return true;
}

const struct later later_table[] = {
        {RML_PUBLISH, "publish.flags.retain", data_retain, NULL},
        {RML_PUBLISH, "publish.flags", data_flags, NULL},
        {RML_PUBLISH, "publish.hop_ext.revision", data_revision, NULL},
        {RML_PUBLISH, "publish.hop_ext.must_not_exist", data_must_not_exist, NULL},
        {RML_PUBLISH, "publish.hop_ext.owned", data_owned, NULL},
        {RML_PUBLISH, "publish.hop_ext.nfds", data_nfds, NULL},
        {RML_PUBLISH, "publish.hop_ext.origin", data_origin, NULL},
        {RML_CALL, "call.flags", data_flags, NULL},
        {RML_CALL, "call.hop_ext.nfds", data_nfds, NULL},
        {RML_CALL, "call.hop_ext.everyone", data_everyone, NULL},
        {RML_CALL, "call.hop_ext.origin", data_origin, NULL},
        {RML_SUBSCRIBE, "subscribe.policy", NULL, subscribe_policy},
        {RML_SUBSCRIBE, "subscribe.overflow", NULL, subscribe_overflow},
        {RML_SUBSCRIBE, "subscribe.start", NULL, subscribe_start},
        {RML_SUBSCRIBE, "subscribe.sender", NULL, subscribe_sender},
        {RML_SUBSCRIBE, "subscribe.no_local", NULL, subscribe_no_local},
        {RML_UNSUBSCRIBE, "unsubscribe.drain", NULL, unsubscribe_drain},
        {RML_HELLO, "hello.resume", NULL, hello_resume},
        {RML_DESCRIBE, "describe", NULL, always},
        {RML_WILL, "will", NULL, always},
        {RML_ACK, "ack", NULL, always},
};
const size_t later_count = RML_COUNT(later_table);

const char *later_in_data_named(enum rml_kind kind, const struct rml_data *data) {
        for (size_t i = 0; i < later_count; i++)
                if (later_table[i].kind == kind && later_table[i].in_data(data))
                        return later_table[i].field;
        return NULL;
}

const char *later_in_control(enum rml_kind kind, const ProtobufCMessage *message) {
        for (size_t i = 0; i < later_count; i++)
                if (later_table[i].kind == kind && later_table[i].in_control(message))
                        return later_table[i].field;
        return NULL;
}
