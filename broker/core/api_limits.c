/* SPDX-License-Identifier: MIT */
/* Every limit of core.h, and how much of it is used by the peer in question, its user, or all. */
#include <stddef.h>
#include <string.h>

#include "api_reply.h"
#include "describe.h"
#include "interest.h"

enum { LIMITS_LIMIT = 1 }; /* field of LimitsReply */

struct limit_row {
        const char *key;
        size_t offset; /* in struct core_limits */
        const char *unit, *scope;
        uint64_t (*used)(const struct peer *); /* NULL: not a thing that is used up */
};

/* The fullest of its interests. */
static uint64_t used_interest_bytes(const struct peer *peer) {
        uint64_t most = 0;

        rml_list_each(at, &peer->interest_list) {
                uint64_t bytes = rml_list_entry(at, struct interest, link)->queued_bytes;

                if (bytes > most)
                        most = bytes;
        }
        return most;
}

static uint64_t used_interest_messages(const struct peer *peer) {
        uint64_t most = 0;

        rml_list_each(at, &peer->interest_list) {
                uint64_t count = rml_list_entry(at, struct interest, link)->ledger.queued;

                if (count > most)
                        most = count;
        }
        return most;
}

static uint64_t used_connection_bytes(const struct peer *peer) {
        return peer->queued_bytes;
}

/* Some limits are for other users, some for the broker's own: nothing of the other kind is used. */
static uint64_t used_uid_bytes(const struct peer *peer) {
        return peer->account->own ? 0 : peer->account->queued_bytes;
}

static uint64_t used_uid_connections(const struct peer *peer) {
        return peer->account->own ? 0 : peer->account->connections;
}

static uint64_t used_own_connections(const struct peer *peer) {
        return peer->account->own ? peer->account->connections : 0;
}

static uint64_t used_interests(const struct peer *peer) {
        return peer->account->own ? 0 : peer->interest_count;
}

static uint64_t used_own_interests(const struct peer *peer) {
        return peer->account->own ? peer->interest_count : 0;
}

static uint64_t used_names(const struct peer *peer) {
        return peer->account->own ? 0 : peer->name_count;
}

static uint64_t used_calls(const struct peer *peer) {
        return peer->call_count;
}

static uint64_t used_broker_bytes(const struct peer *peer) {
        return peer->core->bodies_bytes;
}

static uint64_t used_unauthenticated(const struct peer *peer) {
        return peer->core->unauthenticated;
}

static uint64_t used_unread(const struct peer *peer) {
        return peer->unread_answers;
}

#define LIMIT(name, unit, scope, used)                                                                                 \
        { "limits." #name, offsetof(struct core_limits, name), unit, scope, used }
/* The keys of the configuration take a unit with the value and have none in their name. */
#define LIMIT_NS(name, scope) { "limits." #name, offsetof(struct core_limits, name##_ns), "ns", scope, NULL }
static const struct limit_row rows[] = {
        LIMIT(payload_bytes, "bytes", "message", NULL),
        LIMIT(interest_bytes, "bytes", "interest", used_interest_bytes),
        LIMIT(interest_messages, "messages", "interest", used_interest_messages),
        LIMIT(connection_bytes, "bytes", "connection", used_connection_bytes),
        LIMIT(uid_bytes, "bytes", "uid", used_uid_bytes),
        LIMIT(broker_bytes, "bytes", "broker", used_broker_bytes),
        LIMIT(reserve_bytes, "bytes", "broker", NULL),
        LIMIT(uid_connections, "connections", "uid", used_uid_connections),
        LIMIT(own_connections, "connections", "uid", used_own_connections),
        LIMIT(unauthenticated, "connections", "broker", used_unauthenticated),
        LIMIT(calls, "calls", "connection", used_calls),
        LIMIT(interests, "interests", "connection", used_interests),
        LIMIT(own_interests, "interests", "connection", used_own_interests),
        LIMIT(names, "names", "connection", used_names),
        LIMIT(publish_credit_bytes, "bytes", "connection", NULL),
        LIMIT_NS(hello_timeout, "connection"),
        LIMIT_NS(frame_timeout, "connection"),
        LIMIT_NS(flush_timeout, "connection"),
        LIMIT(unread_answers_bytes, "bytes", "connection", used_unread),
};
_Static_assert(RML_COUNT(rows) * sizeof(uint64_t) == sizeof(struct core_limits), "one line for each limit");

void api_limits(struct api_reply *reply, const ProtobufCMessage *request) {
        const Ramal__Api__V1__LimitsRequest *wanted = (const Ramal__Api__V1__LimitsRequest *)(const void *)request;
        const struct peer *peer = api_peer(reply, wanted->peer);

        if (!peer)
                return;
        for (size_t i = 0; i < RML_COUNT(rows); i++) {
                Ramal__Api__V1__Limit line;

                ramal__api__v1__limit__init(&line);
                line.key = describe_text(rows[i].key);
                memcpy(&line.value, (const char *)&reply->core->config.limits + rows[i].offset, sizeof(line.value));
                line.used = rows[i].used ? rows[i].used(peer) : 0;
                line.unit = describe_text(rows[i].unit);
                line.scope = describe_text(rows[i].scope);
                if (!api_put(reply, LIMITS_LIMIT, &line.base))
                        return;
        }
}
