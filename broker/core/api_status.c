/* SPDX-License-Identifier: MIT */
/* The broker as a whole, or one peer with the ledgers of its interests. */
#include <stddef.h>
#include <string.h>

#include "api_reply.h"
#include "describe.h"
#include "interest.h"
#include "status.h"

enum { STATUS_BROKER = 1, STATUS_PEER = 2, STATUS_INTERESTS = 3, STATUS_COUNTERS = 4 }; /* fields of StatusReply */

#define LISTENING_MAX 1024u

struct counter {
        const char *name;
        size_t offset;
};

#define COUNTER(name)                                                                                                  \
        { #name, offsetof(struct counters, name) }
static const struct counter counters[] = {
        COUNTER(publishes), COUNTER(calls), COUNTER(replies), COUNTER(deliveries), COUNTER(delivered_bytes),
        COUNTER(unheard), COUNTER(refused), COUNTER(dropped), COUNTER(expired), COUNTER(replaced), COUNTER(moved),
        COUNTER(unconfirmed), COUNTER(late_replies), COUNTER(stray_credits), COUNTER(unpublished),
        COUNTER(connections), COUNTER(denied), COUNTER(goaways), COUNTER(would_block), COUNTER(stalls),
        COUNTER(redelivered), COUNTER(connections_refused), COUNTER(over_share), COUNTER(pauses),
        COUNTER(frame_waits),
};
_Static_assert(RML_COUNT(counters) * sizeof(uint64_t) == sizeof(struct counters), "one line for each counter");

static bool put_counters(struct api_reply *reply) {
        for (size_t i = 0; i < RML_COUNT(counters); i++) {
                Ramal__Api__V1__Counter line;

                ramal__api__v1__counter__init(&line);
                line.name = describe_text(counters[i].name);
                memcpy(&line.value, (const char *)&reply->core->counters + counters[i].offset, sizeof(line.value));
                if (!api_put(reply, STATUS_COUNTERS, &line.base))
                        return false;
        }
        return true;
}

static uint64_t count_peers(const struct core *core) {
        uint64_t n = 0;

        rml_list_each(at, &core->peers) n += describe_shows(rml_list_entry(at, struct peer, link));
        return n;
}

static bool put_listening(struct api_reply *reply, const struct core_facts *facts, Ramal__Api__V1__Broker *line) {
        size_t count = 0;

        while (facts->listening && facts->listening[count] && count < LISTENING_MAX)
                count++;
        line->listening = arena_array(&reply->arena, count, sizeof(*line->listening));
        if (!line->listening) {
                api_refuse_memory(reply);
                return false;
        }
        while (line->n_listening < count) {
                line->listening[line->n_listening] = describe_text(facts->listening[line->n_listening]);
                line->n_listening++;
        }
        return true;
}

static void status_broker(struct api_reply *reply) {
        const struct core *core = reply->core;
        Ramal__Api__V1__Broker line;
        struct core_facts facts = {0};

        ramal__api__v1__broker__init(&line);
        if (core->config.facts)
                core->config.facts(core->config.user, &facts);
        line.version = describe_text(core->config.server);
        line.epoch = core->config.epoch;
        line.uptime_us = (core->now_ns - core->started_ns) / 1000;
        line.peers = count_peers(core);
        input_looked(reply->caller, line.peers);
        line.interests = core->interest_count;
        line.names = core->names.count;
        line.calls = core->call_count;
        line.queued_messages = core->queued_count;
        line.queued_bytes = core->queued_bytes;
        line.pid = facts.pid;
        line.cpu_us = facts.cpu_us;
        line.memory_bytes = facts.memory_bytes;
        if (put_listening(reply, &facts, &line) && api_put(reply, STATUS_BROKER, &line.base))
                put_counters(reply);
}

/* ---- one peer ---- */

static Ramal__Api__V1__InterestStatus interest_line(const struct interest *interest) {
        const struct group *group = interest_gang(interest) ? interest_gang(interest)->group : NULL;
        const struct backlog *backlog = interest->backlog;
        struct core_ledger ledger;
        Ramal__Api__V1__InterestStatus line;

        ramal__api__v1__interest_status__init(&line);
        interest_ledger(interest, &ledger);
        line.sid = interest->sid;
        line.pattern = describe_text(interest_pattern(interest));
        line.serve = interest->serve;
        line.name = interest_is_name(interest);
        if (group && !group->is_name)
                line.group = describe_text(group->name);
        if (group && (group->is_name || *group->name))
                line.policy = describe_text(rml_policy_name(group->policy));
        if (!interest->serve) /* calls are never dropped */
                line.overflow = describe_text(rml_overflow_name((Ramal__V1__Overflow)interest->overflow));
        line.state = describe_text(rml_state_name(interest->detached              ? RAMAL__V1__STATE__STATE_ENDED
                                               : backlog && backlog->demoted ? RAMAL__V1__STATE__STATE_DEMOTED
                                               : interest->grouped           ? member_of(interest)->told
                                                                             : RAMAL__V1__STATE__STATE_ACTIVE));
        line.matched = ledger.matched;
        line.queued = ledger.queued;
        line.in_flight = ledger.in_flight;
        line.confirmed = ledger.confirmed;
        line.expired = ledger.expired;
        line.dropped = ledger.dropped;
        line.replaced = ledger.replaced;
        line.moved = ledger.moved;
        line.unconfirmed = ledger.unconfirmed;
        line.queued_bytes = interest_queued_bytes(interest);
        line.in_flight_bytes = interest->in_flight_bytes;
        line.window_bytes = interest->terms->window_bytes;
        line.window_messages = interest->terms->window_messages;
        line.credit_bytes = interest->terms->credit_bytes;
        line.credit_messages = interest->terms->credit_messages;
        line.pending_calls = interest->grouped ? member_of(interest)->open_calls : 0;
        return line;
}

static void status_peer(struct api_reply *reply, uint64_t id) {
        const struct peer *peer = api_peer(reply, id);
        Ramal__Api__V1__Peer line;

        if (!peer)
                return;
        if (describe_peer(peer, &reply->arena, &line) < 0) {
                api_refuse_memory(reply);
                return;
        }
        if (!api_put(reply, STATUS_PEER, &line.base))
                return;
        rml_list_each(at, &peer->interest_list) {
                Ramal__Api__V1__InterestStatus interest = interest_line(rml_list_entry(at, struct interest, link));

                if (!api_put(reply, STATUS_INTERESTS, &interest.base))
                        return;
        }
}

void api_status(struct api_reply *reply, const ProtobufCMessage *request) {
        const Ramal__Api__V1__StatusRequest *wanted = (const Ramal__Api__V1__StatusRequest *)(const void *)request;

        if (wanted->peer)
                status_peer(reply, wanted->peer);
        else
                status_broker(reply);
}
