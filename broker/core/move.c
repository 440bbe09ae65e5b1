/* SPDX-License-Identifier: MIT */
/* When a member of a group dies, leaves or is replaced, what it had queued goes to the others; when it dies, what it
 * had in flight goes there too, once. Always newest first, each to the front: so they keep their order. */
#include "call.h"
#include "commit.h"
#include "group.h"
#include "interest.h"
#include "pin.h"
#include "queue.h"
#include "refuse.h"

/* Who of the others gets it? NULL if there is nobody, or (a call) nobody with room: *why names the bound. */
static struct interest *move_target(const struct interest *from, const struct message *message, Ramal__V1__Why *why) {
        const struct topic_route *route;
        const char *why_not;
        size_t at;

        *why = RAMAL__V1__WHY__WHY_NONE;
        if (topics_route(from->peer->core->topics, from->serve ? TOPIC_CALL : TOPIC_PUBLISH, message->subject, &route,
                         &why_not) < 0)
                return NULL;
        at = group_in_route(from->gang->group, route);
        return at < route->count ? group_choose(route, at, message, !from->serve, why) : NULL;
}

/* It is out of `from` and goes to the front of `to`. */
static void move_put(const struct interest *from, struct interest *to, struct delivery *delivery,
                     const struct message *message) {
        struct pin **pin = delivery->call ? &delivery->call->pin : &delivery->pin;
        Ramal__V1__Why why;

        *pin = pin_move(*pin, from, to);
        delivery->seq = ++to->ledger.matched;
        delivery->replaced = 0;
        /* It stands before the others of its new queue and must not hold them back behind other interests' messages;
         * nor may it come before SUBSCRIBED. */
        if (queue_front(to) && queue_front(to)->ordinal < delivery->ordinal)
                delivery->ordinal = queue_front(to)->ordinal;
        if (delivery->ordinal < to->since)
                delivery->ordinal = to->since;
        if (delivery->call) {
                delivery->call->queued = delivery;
                call_place(delivery->call, to);
        }
        why = delivery->call ? RAMAL__V1__WHY__WHY_NONE : queue_bound_moved(to, message);
        if (why != RAMAL__V1__WHY__WHY_NONE) {
                queue_drop_new(to, delivery->seq, message->charge, why);
                delivery_free(delivery);
        } else {
                queue_put(to, delivery, true);
        }
        group_turned(to);
}

/* One queued message goes to another member of the group. Returns false if it cannot: *why as above. */
static bool move_one(struct interest *from, struct delivery *delivery, Ramal__V1__Why *why) {
        struct message message = message_again(delivery->body);
        struct interest *to = move_target(from, &message, why);

        if (!to || to == from) /* a replaced owner whose heir is gone already keeps it */
                return false;
        queue_unlink(from, delivery);
        from->ledger.moved++;
        from->peer->core->counters.moved++;
        /* A hole in its numbers like any other: a replaced owner that stays in line could not account for it else. */
        gap_add_delivery(from, delivery, RAMAL__V1__WHY__WHY_MOVED);
        delivery->moved = true;
        move_put(from, to, delivery, &message);
        return true;
}

/* Moves what can be moved; calls that cannot end. */
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

/* One that was in flight. The dead member may have dealt with it: so only once, and marked. */
static void redeliver_one(struct interest *from, struct delivery *delivery) {
        struct message message = message_again(delivery->body);
        bool again = delivery->redelivered;
        struct interest *to;
        Ramal__V1__Why why;

        flight_take(from, delivery);
        to = again ? NULL : move_target(from, &message, &why);
        if (!to) {
                delivery_free(delivery);
                return;
        }
        from->peer->core->counters.redelivered++;
        delivery->redelivered = true;
        delivery->moved = false;
        delivery->since_ns = from->peer->core->now_ns;
        move_put(from, to, delivery, &message);
}

void interest_redeliver(struct interest *interest) {
        uint64_t count = interest->ledger.in_flight;
        struct rml_list *last;

        while ((last = interest->kept.prev) != &interest->kept)
                redeliver_one(interest, rml_list_entry(last, struct delivery, link));
        if (!credit_asked(interest))
                interest->astray += count; /* its socket may still take them, and nobody wants to know */
        interest->flights.first = interest->flights.count = 0;
        interest->in_flight_bytes = 0;
        interest->ledger.in_flight = 0;
        interest->ledger.unconfirmed += count;
        interest->peer->in_flight -= count;
        interest->peer->core->counters.unconfirmed += count;
}
