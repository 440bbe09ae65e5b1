/* SPDX-License-Identifier: MIT */
#include "publish.h"

#include <errno.h>
#include <string.h>

#include "block.h"
#include "budget.h"
#include "commit.h"
#include "credit.h"
#include "encode.h"
#include "expiry.h"
#include "group.h"
#include "later.h"
#include "refuse.h"
#include "router.h"
#include "subject.h"
#include "tap.h"

/* The group that this slot of a route stands for, or NULL: it is a plain interest's. */
static struct group *slot_group(const struct topic_slot *slot) {
        const struct gang *gang = slot_gang(slot);

        return gang ? gang->group : NULL;
}

/* Is there anybody in the route who may hold the sender back? */
static bool publish_may_block(const struct topic_route *route, const struct message *message) {
        for (size_t i = 0; i < route->count; i++)
                if (route->slots[i]->role != TOPIC_SUBSCRIBER || block_holds(slot_interest(route->slots[i]), message))
                        return true;
        return false;
}

/* Which bound of a `block` interest that holds its sender back stands in the way? Nobody has got it yet: it is refused
 * whole. What the interests before it in the route may have to queue counts as queued, for its connection and its
 * uid. */
__attribute__((noinline)) static Ramal__V1__Why publish_judge(const struct core *core, const struct topic_route *route,
                                                              const struct message *message) {
        uint64_t cost = (uint64_t)message->charge + MESSAGE_QUEUED_BYTES, account_cost = 0;
        uint64_t pass = core->pass;
        Ramal__V1__Why why;

        for (size_t i = 0; i < route->count; i++) {
                struct group *group = slot_group(route->slots[i]);
                struct interest *interest = group ? NULL : slot_interest(route->slots[i]);
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

/* Who of a group is to get it? NULL: nobody, or another pattern of the same group matched before. */
__attribute__((noinline)) static struct interest *publish_member(const struct core *core,
                                                                 const struct topic_route *route, size_t i,
                                                                 const struct message *message) {
        struct group *group = slot_group(route->slots[i]);
        Ramal__V1__Why why;

        if (group->served == core->pass)
                return NULL;
        group->served = core->pass;
        return group->judged == core->pass ? group->chosen : group_choose(route, i, message, true, &why);
}

/* Gives it to everybody in the route. Returns how many interests it matched. */
static inline __attribute__((always_inline)) uint64_t publish_route(const struct core *core,
                                                                   const struct topic_route *route,
                                                                   struct message *message) {
        uint64_t receivers = 0;

        message->receivers = route->count;
        for (size_t i = 0; i < route->count; i++) {
                struct interest *interest;

                if (route->slots[i]->role != TOPIC_SUBSCRIBER) {
                        interest = publish_member(core, route, i, message);
                        if (!interest)
                                continue;
                        interest_offer(interest, message, NULL);
                        group_turned(interest);
                } else {
                        interest = slot_interest(route->slots[i]);
                        if (!interest_hears(interest))
                                continue;
                        if (!message->plain || !commit_plain(interest, message))
                                interest_offer(interest, message, NULL);
                }
                receivers++;
        }
        return receivers;
}

/* Where does it go? NULL: nowhere, *ret says why. */
__attribute__((noinline)) static const struct topic_route *publish_find(struct core *core, struct rml_span subject,
                                                                        struct refusal *ret) {
        const struct topic_route *route;
        const char *why_not;
        int r = topics_route(core->topics, TOPIC_PUBLISH, subject, &route, &why_not);

        if (r == 0)
                return route;
        *ret = (struct refusal){.code = RAMAL__V1__CODE__CODE_OVER_LIMIT, .text = "the broker is out of memory"};
        if (r == -EINVAL)
                *ret = (struct refusal){.code = RAMAL__V1__CODE__CODE_BAD_SUBJECT, .text = why_not};
        return NULL;
}

__attribute__((noinline)) static void publish_accepted(struct peer *peer, uint64_t id, uint64_t receivers) {
        Ramal__V1__Accepted accepted = RAMAL__V1__ACCEPTED__INIT;

        accepted.receivers = receivers;
        answer_control(peer, RML_ACCEPTED, id, &accepted.base);
}

/* Returns false when everybody has it and the receipt (id) is answered; true when it is refused whole, *ret says why.
 * message->held: publish credit was taken for it. */
static inline bool publish_from(struct peer *peer, uint64_t id, const struct rml_data *data, struct message *message,
                                struct refusal *ret) {
        struct core *core = peer->core;
        const struct topic_route *route;
        uint64_t receivers, dropped;

        if (refuse_sizes(peer, data, ret) || refuse_send(peer, data->subject, false, ret))
                return true;
        route = topics_again(core->topics, TOPIC_PUBLISH, data->subject);
        if (!route && !(route = publish_find(core, data->subject, ret)))
                return true;
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
        dropped = core->counters.dropped;
        receivers = publish_route(core, route, message);
        input_dropped(peer, core->counters.dropped - dropped);
        input_sends(peer, receivers * (message->charge + RML_HEAD_BYTES_MAX / 2));
        if (tap_wanted(core))
                tap_show(core, data->subject, message, 0, 0);
        if (!receivers)
                core->counters.unheard++;
        if (id)
                publish_accepted(peer, id, receivers);
        return false;
}

static void answer_refused(struct peer *peer, uint64_t id, struct refusal *refusal) {
        refusal->id = id;
        refusal->publish = peer->publishes;
        answer_refusal(peer, refusal);
}

/* What its hop header asks for. Returns true, *ret says so, if it is of a later release. */
__attribute__((noinline)) static bool publish_hop(const struct peer *peer, const struct rml_data *data,
                                                  struct message *message, struct refusal *ret) {
        const char *later = later_in_data(RML_PUBLISH, data);

        if (data->time_left_us)
                message->expires_ns = expiry_at(peer->core, data->time_left_us);
        if (later)
                *ret = (struct refusal){.code = RAMAL__V1__CODE__CODE_UNSUPPORTED, .text = later};
        return later;
}

void publish_frame(struct peer *peer, const struct rml_raw *raw, uint64_t id, size_t head) {
        const struct rml_frame frame = {
                .id = id, .kind = RML_PUBLISH, .body = {raw->data + head, raw->len - head}, .body_offset = head};
        struct rml_data data;
        struct rml_fault fault;
        struct refusal refusal;
        struct message message;

        if (rml_scan_data(&frame, RML_FROM_CLIENT, &data, &fault) < 0) {
                router_malformed(peer, raw, fault.offset, fault.reason);
                return;
        }
        if ((data.hop_len || id) && !(data.flags & RAMAL__V1__DATA_FLAG__DATA_FLAG_RECEIPT) != !id) {
                router_malformed(peer, raw, 0,
                                 id ? "a PUBLISH without RECEIPT has no id" : "a PUBLISH with RECEIPT needs an id");
                return;
        }
        message = router_message(peer, raw, &data);
        peer->publishes++;
        if (!credit_fits(peer, message.charge)) { /* first of all: it takes nothing, and nothing comes back */
                credit_refuse(peer, &refusal);
                answer_refused(peer, id, &refusal);
                return;
        }
        if ((data.hop_len && publish_hop(peer, &data, &message, &refusal)) ||
            publish_from(peer, id, &data, &message, &refusal))
                answer_refused(peer, id, &refusal);
        if (!message.held)
                credit_pass(peer, message.charge);
        message_done(&message);
}

bool publish_own_wanted(struct core *core, struct rml_span subject) {
        const struct topic_route *route;
        const char *why_not;

        return tap_wanted(core) ||
               (topics_route_once(core->topics, TOPIC_PUBLISH, subject, &route, &why_not) == 0 && route->count);
}

void publish_own(struct core *core, struct rml_span subject, const char *type, const ProtobufCMessage *payload) {
        size_t payload_len = protobuf_c_message_get_packed_size(payload);
        struct rml_blob *blob = rml_blob_new(RML_TAIL_HEAD_BYTES_MAX + subject.len + strlen(type) + payload_len);
        const struct topic_route *route;
        struct message message = {.sender = &message_sender_broker};
        const char *why_not;
        size_t n;

        if (!blob || topics_route_once(core->topics, TOPIC_PUBLISH, subject, &route, &why_not) < 0) {
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
