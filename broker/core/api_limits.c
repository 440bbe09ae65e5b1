/* SPDX-License-Identifier: MIT */
/* Every limit of core.h, and how much of it is used by the peer in question, its user, or all. */
#include <stdlib.h>
#include <string.h>

#include "api_reply.h"
#include "budget.h"
#include "describe.h"
#include "interest.h"

enum { LIMITS_LIMIT = 1, LIMITS_USER = 2 }; /* fields of LimitsReply */

#define INTERESTS_MAX 4096u /* are looked at for one line */

/* Some limits are for other users, some for the broker's own: nothing of the other kind is used. */
enum limit_whom { FOR_ALL, FOR_OTHERS, FOR_OWN };

struct limit_row {
        size_t at; /* which one */
        const char *unit, *scope;
        enum limit_whom whom;
        uint64_t (*used)(const struct peer *); /* NULL: not a thing that is used up */
};

/* The fullest of its interests: of the first ones, where it has very many. */
static uint64_t used_interest_bytes(const struct peer *peer) {
        uint64_t most = 0;
        size_t left = INTERESTS_MAX;

        rml_list_each(at, &peer->interest_list) {
                if (!left--)
                        break;
                uint64_t bytes = interest_queued_bytes(rml_list_entry(at, struct interest, link));

                if (bytes > most)
                        most = bytes;
        }
        return most;
}

static uint64_t used_interest_messages(const struct peer *peer) {
        uint64_t most = 0;
        size_t left = INTERESTS_MAX;

        rml_list_each(at, &peer->interest_list) {
                if (!left--)
                        break;
                uint64_t count = interest_queued(rml_list_entry(at, struct interest, link));

                if (count > most)
                        most = count;
        }
        return most;
}

/* Deliveries, calls and replies have the bound each for itself: the fullest. */
static uint64_t spent_most(const struct spent *spent) {
        uint64_t most = spent->deliveries > spent->calls ? spent->deliveries : spent->calls;

        return most > spent->replies ? most : spent->replies;
}

static uint64_t used_connection_bytes(const struct peer *peer) {
        return spent_most(&peer->spent);
}

static uint64_t used_uid_bytes(const struct peer *peer) {
        return spent_most(&peer->account->spent);
}

static uint64_t used_uid_connections(const struct peer *peer) {
        return peer->account->connections;
}

static uint64_t used_interests(const struct peer *peer) {
        return peer->interest_count;
}

static uint64_t used_names(const struct peer *peer) {
        return peer->name_count;
}

static uint64_t used_calls(const struct peer *peer) {
        return peer->call_count;
}

static uint64_t used_uid_interests(const struct peer *peer) {
        return peer->account->interests;
}

static uint64_t used_uid_names(const struct peer *peer) {
        return peer->account->names;
}

static uint64_t used_uid_calls(const struct peer *peer) {
        return peer->account->calls;
}

static uint64_t used_uid_input(const struct peer *peer) {
        return peer->account->input_bytes;
}

static uint64_t used_uid_unread(const struct peer *peer) {
        return peer->account->unread_answers;
}

static uint64_t used_broker_bytes(const struct peer *peer) {
        return peer->core->bodies_bytes;
}

/* The reserve is in use as far as the bodies of all are beyond what queues may have. */
static uint64_t used_reserve(const struct peer *peer) {
        uint64_t queues = budget_queues_max(peer->core);

        return peer->core->bodies_bytes > queues ? peer->core->bodies_bytes - queues : 0;
}

static uint64_t used_unauthenticated(const struct peer *peer) {
        return peer->core->unauthenticated;
}

static uint64_t used_reserved(const struct peer *peer) {
        return peer->core->reserved;
}

static uint64_t used_unread(const struct peer *peer) {
        return peer->unread_answers;
}

static uint64_t used_publish_credit(const struct peer *peer) {
        return peer->credit_used;
}

#define LIMIT(name, unit, scope, whom, used)                                                                           \
        { QUOTA(name), unit, scope, whom, used }
#define LIMIT_NS(name, scope) LIMIT(name##_ns, "ns", scope, FOR_ALL, NULL)
static const struct limit_row rows[] = {
        LIMIT(payload_bytes, "bytes", "message", FOR_ALL, NULL),
        LIMIT(interest_bytes, "bytes", "interest", FOR_ALL, used_interest_bytes),
        LIMIT(interest_messages, "messages", "interest", FOR_ALL, used_interest_messages),
        LIMIT(connection_bytes, "bytes", "connection", FOR_ALL, used_connection_bytes),
        LIMIT(uid_bytes, "bytes", "uid", FOR_OTHERS, used_uid_bytes),
        LIMIT(broker_bytes, "bytes", "broker", FOR_ALL, used_broker_bytes),
        LIMIT(reserve_bytes, "bytes", "broker", FOR_ALL, used_reserve),
        LIMIT(uid_connections, "connections", "uid", FOR_OTHERS, used_uid_connections),
        LIMIT(uid_connect_rate, "connections/s", "uid", FOR_OTHERS, NULL),
        LIMIT(own_connections, "connections", "uid", FOR_OWN, used_uid_connections),
        LIMIT(reserved_connections, "connections", "broker", FOR_ALL, used_reserved),
        LIMIT(unauthenticated, "connections", "broker", FOR_ALL, used_unauthenticated),
        LIMIT(calls, "calls", "connection", FOR_ALL, used_calls),
        LIMIT(uid_calls, "calls", "uid", FOR_OTHERS, used_uid_calls),
        LIMIT(interests, "interests", "connection", FOR_OTHERS, used_interests),
        LIMIT(own_interests, "interests", "connection", FOR_OWN, used_interests),
        LIMIT(uid_interests, "interests", "uid", FOR_OTHERS, used_uid_interests),
        LIMIT(names, "names", "connection", FOR_OTHERS, used_names),
        LIMIT(uid_names, "names", "uid", FOR_OTHERS, used_uid_names),
        LIMIT(publish_credit_bytes, "bytes", "connection", FOR_ALL, used_publish_credit),
        LIMIT_NS(stall_max, "interest"),
        LIMIT_NS(hello_timeout, "connection"),
        LIMIT_NS(frame_timeout, "connection"),
        LIMIT_NS(flush_timeout, "connection"),
        LIMIT(unread_answers_bytes, "bytes", "connection", FOR_ALL, used_unread),
        LIMIT(uid_unread_answers_bytes, "bytes", "uid", FOR_OTHERS, used_uid_unread),
        LIMIT(uid_input_bytes, "bytes", "uid", FOR_OTHERS, used_uid_input),
        LIMIT(turn_frames, "frames", "connection", FOR_ALL, NULL),
        LIMIT(turn_bytes, "bytes", "connection", FOR_ALL, NULL),
};
_Static_assert(RML_COUNT(rows) == QUOTA_COUNT, "one line for each limit");

static Ramal__Api__V1__User user_line(const struct account *account) {
        Ramal__Api__V1__User line;

        ramal__api__v1__user__init(&line);
        line.local = account->local;
        line.uid = account->uid;
        line.own = account->own;
        line.connections = account->peers;
        line.interests = account->interests;
        line.names = account->names;
        line.calls = account->calls;
        line.queued_bytes = account->spent.deliveries;
        line.call_bytes = account->spent.calls;
        line.reply_bytes = account->spent.replies;
        line.input_bytes = account->input_bytes;
        line.unread_bytes = account->unread_answers;
        return line;
}

static int compare_users(const void *a, const void *b) {
        const struct account *one, *other;

        memcpy(&one, a, sizeof(one));
        memcpy(&other, b, sizeof(other));
        if (one->local != other->local)
                return one->local ? -1 : 1;
        return one->uid < other->uid ? -1 : one->uid > other->uid;
}

/* Those that somebody refers to, by uid. */
static void put_users(struct api_reply *reply) {
        const struct rml_table *accounts = &reply->core->accounts;
        const struct account **users = arena_array(&reply->arena, accounts->count, sizeof(*users));
        size_t count = 0;

        if (!users) {
                api_refuse_memory(reply);
                return;
        }
        for (struct rml_table_node *node = rml_table_next(accounts, NULL); node && count < accounts->count;
             node = rml_table_next(accounts, node)) {
                const struct account *account = rml_container_of(node, struct account, node);

                if (account->refs)
                        users[count++] = account;
        }
        qsort(users, count, sizeof(*users), compare_users);
        for (size_t i = 0; i < count; i++) {
                Ramal__Api__V1__User line = user_line(users[i]);

                if (!api_put(reply, LIMITS_USER, &line.base))
                        return;
        }
}

void api_limits(struct api_reply *reply, const ProtobufCMessage *request) {
        const Ramal__Api__V1__LimitsRequest *wanted = (const Ramal__Api__V1__LimitsRequest *)(const void *)request;
        const struct peer *peer = api_peer(reply, wanted->peer);

        if (!peer)
                return;
        input_looked(reply->caller, peer->interest_count < INTERESTS_MAX ? peer->interest_count : INTERESTS_MAX);
        for (size_t i = 0; i < RML_COUNT(rows); i++) {
                Ramal__Api__V1__Limit line;

                ramal__api__v1__limit__init(&line);
                line.key = describe_text(quota_key(peer->account, rows[i].at));
                line.value = quota_value(peer->account->limits, rows[i].at);
                line.counted = rows[i].used && (rows[i].whom == FOR_ALL ||
                                                (rows[i].whom == FOR_OWN) == peer->account->own);
                line.used = line.counted ? rows[i].used(peer) : 0;
                line.unit = describe_text(rows[i].unit);
                line.scope = describe_text(rows[i].scope);
                if (!api_put(reply, LIMITS_LIMIT, &line.base))
                        return;
        }
        put_users(reply);
}
