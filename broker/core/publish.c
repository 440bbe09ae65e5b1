/* SPDX-License-Identifier: MIT */
#include "publish.h"

#include <errno.h>
#include <string.h>

#include "block.h"
#include "budget.h"
#include "credit.h"
#include "encode.h"
#include "group.h"
#include "refuse.h"
#include "subject.h"
#include "tap.h"

/* The group that this slot of a route stands for, or NULL: it is a plain interest's. */
static struct group *slot_group(const struct topic_slot *slot) {
        return slot->role == TOPIC_SUBSCRIBER ? NULL : ((struct gang *)slot->owner)->group;
}

/* Is there anybody in the route who may hold the sender back? */
static bool publish_may_block(const struct topic_route *route, const struct message *message) {
        for (size_t i = 0; i < route->count; i++)
                if (route->slots[i]->role != TOPIC_SUBSCRIBER || block_holds(route->slots[i]->owner, message))
                        return true;
        return false;
}

/* Which bound of a `block` interest that holds its sender back stands in the way? Nobody has got it yet: it is refused
 * whole. What the interests before it in the route may have to queue counts as queued, for its connection and its
 * uid. */
static Ramal__V1__Why publish_judge(const struct core *core, const struct topic_route *route,
                                    const struct message *message) {
        uint64_t cost = (uint64_t)message->charge + MESSAGE_QUEUED_BYTES, account_cost = 0;
        uint64_t pass = core->pass;
        Ramal__V1__Why why;

        for (size_t i = 0; i < route->count; i++) {
                struct group *group = slot_group(route->slots[i]);
                struct interest *interest = route->slots[i]->owner;
                struct peer *peer;

                if (group) {
                        if (group->judged == pass)
                                continue;
                        group->judged = pass;
                        group->chosen = interest = group_choose(route, i, message, true, &why);
                }
                if (!interest || !interest_hears(interest))
                        continue;
                peer = interest->peer;
                /* Only the first one of a connection is sure to find its output free. What a group's member gets is
                 * kept, and charged, until it is confirmed. */
                bool writes = !group && peer->pass != pass && interest_writes(interest, message);

                if (peer->pass != pass)
                        peer->pass_cost = 0;
                peer->pass = pass;
                if (writes)
                        continue;
                if (block_holds(interest, message)) {
                        why = budget_bound_beside(peer, message, peer->pass_cost, account_cost);
                        if (why != RAMAL__V1__WHY__WHY_NONE)
                                return why;
                }
                peer->pass_cost += cost;
                if (peer->account == message->account)
                        account_cost += cost;
        }
        return RAMAL__V1__WHY__WHY_NONE;
}

/* Gives it to everybody in the route. Returns how many interests it matched. */
static uint64_t publish_route(struct core *core, const struct topic_route *route, struct message *message) {
        uint64_t receivers = 0;
        uint64_t pass = core->pass;

        message->receivers = route->count;
        for (size_t i = 0; i < route->count; i++) {
                struct group *group = slot_group(route->slots[i]);
                struct interest *interest = route->slots[i]->owner;
                Ramal__V1__Why why;

                if (group) {
                        if (group->served == pass)
                                continue; /* another pattern of the same group matched before */
                        group->served = pass;
                        interest = group->judged == pass ? group->chosen : group_choose(route, i, message, true, &why);
                        if (!interest)
                                continue;
                } else if (!interest_hears(interest)) {
                        continue;
                }
                interest_offer(interest, message, NULL);
                group_turned(interest);
                receivers++;
        }
        return receivers;
}

/* No route to it. */
static bool publish_lost(int error, const char *why_not, struct refusal *ret) {
        *ret = (struct refusal){.code = RAMAL__V1__CODE__CODE_OVER_LIMIT, .text = "the broker is out of memory"};
        if (error == -EINVAL)
                *ret = (struct refusal){.code = RAMAL__V1__CODE__CODE_BAD_SUBJECT, .text = why_not};
        return true;
}

bool publish_from(struct peer *peer, uint64_t id, const struct rml_data *data, struct message *message,
                  struct refusal *ret) {
        struct core *core = peer->core;
        const struct topic_route *route;
        const char *why_not;
        uint64_t receivers;
        int r;

        if (refuse_send(peer, data->subject, false, ret))
                return true;
        r = topics_route(core->topics, TOPIC_PUBLISH, data->subject, &route, &why_not);
        if (r < 0)
                return publish_lost(r, why_not, ret);
        core->pass++;
        input_looked(peer, route->count);
        if (peer->account->blocks && publish_may_block(route, message)) {
                Ramal__V1__Why why = publish_judge(core, route, message);

                if (why != RAMAL__V1__WHY__WHY_NONE) {
                        block_refuse(peer, why, ret);
                        return true;
                }
        }
        core->counters.publishes++;
        receivers = publish_route(core, route, message);
        if (tap_wanted(core))
                tap_show(core, data->subject, message, 0, 0);
        if (!receivers)
                core->counters.unheard++;
        if (id) {
                Ramal__V1__Accepted accepted = RAMAL__V1__ACCEPTED__INIT;

                accepted.receivers = receivers;
                answer_control(peer, RML_ACCEPTED, id, &accepted.base);
        }
        return false;
}

bool publish_own_wanted(struct core *core, struct rml_span subject) {
        const struct topic_route *route;
        const char *why_not;

        return tap_wanted(core) ||
               (topics_route(core->topics, TOPIC_PUBLISH, subject, &route, &why_not) == 0 && route->count);
}

void publish_own(struct core *core, struct rml_span subject, const char *type, const ProtobufCMessage *payload) {
        size_t payload_len = protobuf_c_message_get_packed_size(payload);
        struct rml_blob *blob = rml_blob_new(RML_TAIL_HEAD_BYTES_MAX + subject.len + strlen(type) + payload_len);
        const struct topic_route *route;
        struct message message = {.sender = &message_sender_broker};
        const char *why_not;
        size_t n;

        if (!blob || topics_route(core->topics, TOPIC_PUBLISH, subject, &route, &why_not) < 0) {
                rml_blob_unref(blob);
                core->counters.unpublished++;
                return;
        }
        n = rml_put_tail_head(blob->bytes, subject, rml_span_of(type), (struct rml_span){0}, payload_len);
        n += protobuf_c_message_pack(payload, blob->bytes + n);
        message.tail = (struct rml_span){blob->bytes, n};
        message.subject = (struct rml_span){blob->bytes + 2, subject.len}; /* tag and a length below 128 */
        message.charge = n;
        message.blob = blob;
        if (subject.len > 127)
                message.subject.data++;
        core->pass++;
        publish_route(core, route, &message);
        if (tap_wanted(core))
                tap_show(core, subject, &message, 0, 0);
        message_done(&message);
        rml_blob_unref(blob);
}
