/* SPDX-License-Identifier: MIT */
/* When a member of a group dies, leaves or is replaced, what it had queued goes to the others. */
#include "call.h"
#include "commit.h"
#include "group.h"
#include "interest.h"
#include "queue.h"
#include "refuse.h"

/* One queued message goes to another member of the group, to the front. Returns false if there is nobody, or (a call)
 * nobody with room: *why names the bound. */
static bool move_one(struct interest *from, struct delivery *delivery, Ramal__V1__Why *why) {
        struct core *core = from->peer->core;
        const struct topic_route *route;
        struct group *group = from->gang->group;
        struct message message = {
                .sender = {delivery->body->sender, delivery->body->sender_len},
                .tail = delivery->body->tail,
                .subject = delivery->body->subject,
                .charge = delivery->body->charge,
                .body = delivery->body,
        };
        struct interest *to = NULL;
        const char *why_not;

        *why = RAMAL__V1__WHY__WHY_NONE;
        if (topics_route(core->topics, from->serve ? TOPIC_CALL : TOPIC_PUBLISH, message.subject, &route, &why_not) < 0)
                return false;
        for (size_t i = 0; i < route->count; i++)
                if (route->slots[i]->role != TOPIC_SUBSCRIBER && ((struct gang *)route->slots[i]->owner)->group == group) {
                        to = group_choose(route, i, &message, !from->serve, why); /* looks at the later ones too */
                        break;
                }
        if (!to || to == from) /* a replaced owner whose heir is gone already keeps it */
                return false;
        queue_unlink(from, delivery);
        from->ledger.moved++;
        core->counters.moved++;
        /* A hole in its numbers like any other: a replaced owner that stays in line could not account for it else. */
        gap_add_delivery(from, delivery, RAMAL__V1__WHY__WHY_MOVED);
        delivery->seq = ++to->ledger.matched;
        delivery->moved = true;
        delivery->replaced = 0;
        /* It stands before the others of its new queue and must not hold them back behind other interests' messages;
         * nor may it come before SUBSCRIBED. */
        if (queue_front(to) && queue_front(to)->ordinal < delivery->ordinal)
                delivery->ordinal = queue_front(to)->ordinal;
        if (delivery->ordinal < to->since)
                delivery->ordinal = to->since;
        if (delivery->call) {
                delivery->call->queued = delivery;
                delivery->call->interest = to;
        }
        if (!delivery->call && queue_bound(to, &message) != RAMAL__V1__WHY__WHY_NONE) {
                queue_drop_new(to, delivery->seq, message.charge, queue_bound(to, &message));
                delivery_free(delivery);
        } else {
                queue_put(to, delivery, true);
        }
        group_turned(to);
        return true;
}

/* Moves what can be moved; calls that cannot end. Newest first, each to the front: so they keep their order. */
void interest_move_all(struct interest *interest) {
        for (struct rml_list *at = interest->queue.prev, *prev; at != &interest->queue; at = prev) {
                struct delivery *delivery = rml_list_entry(at, struct delivery, link);
                struct call *call = delivery->call;
                Ramal__V1__Why why;

                prev = at->prev;
                if (move_one(interest, delivery, &why) || !call)
                        continue;
                if (why != RAMAL__V1__WHY__WHY_NONE) {
                        interest_unqueue(interest, delivery, RAMAL__V1__WHY__WHY_ENDED);
                        call->interest = NULL;
                        refuse_why(call->caller, call->id, why);
                        call_over(call);
                } else {
                        queue_drop(interest, delivery, RAMAL__V1__WHY__WHY_ENDED);
                }
        }
        interest_update(interest);
}
