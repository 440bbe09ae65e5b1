/* SPDX-License-Identifier: MIT */
#include "publish.h"

#include <errno.h>
#include <string.h>

#include "encode.h"
#include "group.h"
#include "refuse.h"
#include "subject.h"
#include "tap.h"

/* Gives it to everybody in the route. Returns how many interests it matched. */
static uint64_t publish_route(struct core *core, const struct topic_route *route, struct message *message) {
        uint64_t receivers = 0;
        uint64_t pass = ++core->pass;

        message->receivers = route->count;
        for (size_t i = 0; i < route->count; i++) {
                struct topic_slot *slot = route->slots[i];
                struct interest *interest = slot->owner;
                Ramal__V1__Why why;

                if (slot->role != TOPIC_SUBSCRIBER) {
                        struct group *group = ((struct gang *)slot->owner)->group;

                        if (group->served == pass)
                                continue; /* another pattern of the same group matched before */
                        group->served = pass;
                        interest = group_choose(route, i, message, true, &why);
                        if (!interest)
                                continue;
                } else if (interest->evicting || interest->peer->lost) {
                        continue;
                }
                interest_offer(interest, message, NULL);
                group_turned(interest);
                receivers++;
        }
        return receivers;
}

void publish_from(struct peer *peer, uint64_t id, const struct rml_data *data, struct message *message) {
        struct core *core = peer->core;
        const struct topic_route *route;
        struct refusal refusal = {0};
        const char *why_not;
        uint64_t receivers;

        if (refuse_send(peer, data->subject, false, &refusal))
                goto refused;
        switch (topics_route(core->topics, TOPIC_PUBLISH, data->subject, &route, &why_not)) {
        case 0:
                break;
        case -EINVAL:
                refusal = (struct refusal){.code = RAMAL__V1__CODE__CODE_BAD_SUBJECT, .text = why_not};
                goto refused;
        default:
                refusal = (struct refusal){.code = RAMAL__V1__CODE__CODE_OVER_LIMIT, .text = "the broker is out of memory"};
                goto refused;
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
        return;
refused:
        refusal.id = id;
        refusal.publish = peer->publishes;
        answer_refusal(peer, &refusal);
}

bool publish_own_wanted(struct core *core, struct rml_span subject) {
        const struct topic_route *route;
        const char *why_not;

        return tap_wanted(core) || (topics_route(core->topics, TOPIC_PUBLISH, subject, &route, &why_not) == 0 && route->count);
}

void publish_own(struct core *core, struct rml_span subject, const char *type, const ProtobufCMessage *payload) {
        size_t payload_len = protobuf_c_message_get_packed_size(payload);
        struct rml_blob *blob = rml_blob_new(RML_TAIL_HEAD_BYTES_MAX + subject.len + strlen(type) + payload_len);
        const struct topic_route *route;
        struct message message = {.sender = MESSAGE_SENDER_BROKER};
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
        publish_route(core, route, &message);
        if (tap_wanted(core))
                tap_show(core, subject, &message, 0, 0);
        message_done(&message);
        rml_blob_unref(blob);
}
