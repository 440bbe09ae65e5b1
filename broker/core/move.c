/* SPDX-License-Identifier: MIT */
/* When a member of a group dies, leaves or is replaced, what it had queued goes to the others; when it dies, what it
 * had in flight goes there too, once. Always newest first, each to the front: so they keep their order. */
#include "move.h"

#include "call.h"
#include "commit.h"
#include "departure.h"
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
        at = group_in_route(interest_gang(from)->group, route);
        return at < route->count ? group_choose(route, at, message, !from->serve, why) : NULL;
}

/* It is out of `from` and goes to the front of `to`. */
static void move_put(const struct interest *from, struct interest *to, struct delivery *delivery,
                     const struct message *message) {
        struct pin **pin = delivery->call ? &delivery->call->pin : &delivery->pin;
        Ramal__V1__Why why;

        *pin = pin_move(*pin, from, to);
        delivery->seq = ++to->matched;
        delivery->replaced = 0;
        /* It stands before the others of its new queue and must not hold them back behind other interests' messages;
         * nor may it come before SUBSCRIBED. */
        if (queue_front(to) && queue_front(to)->ordinal < delivery->ordinal)
                delivery->ordinal = queue_front(to)->ordinal;
        if (delivery->ordinal < member_of(to)->since)
                delivery->ordinal = member_of(to)->since;
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
        from->backlog->moved++;
        from->peer->core->counters.moved++;
        /* A hole in its numbers like any other: a replaced owner that stays in line could not account for it else. */
        gap_add_delivery(from, delivery, RAMAL__V1__WHY__WHY_MOVED);
        delivery->moved = true;
        move_put(from, to, delivery, &message);
        return true;
}

/* Moves it, or ends a call that cannot be moved. Returns false if it stays. */
static bool move_or_end(struct interest *interest, struct delivery *delivery) {
        struct call *call = delivery->call;
        Ramal__V1__Why why;

        if (move_one(interest, delivery, &why))
                return true;
        if (!call)
                return false;
        if (why != RAMAL__V1__WHY__WHY_NONE) {
                interest_unqueue(interest, delivery, RAMAL__V1__WHY__WHY_ENDED);
                call->interest = NULL;
                refuse_why(call->caller, call->id, why);
                call_over(call);
        } else {
                queue_drop(interest, delivery, RAMAL__V1__WHY__WHY_ENDED);
        }
        return true;
}

/* Moves what can be moved; calls that cannot end. */
void interest_move_all(struct interest *interest) {
        struct rml_list *queue = &interest->backlog->queue;

        for (struct rml_list *at = queue->prev, *prev; at != queue; at = prev) {
                prev = at->prev;
                move_or_end(interest, rml_list_entry(at, struct delivery, link));
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

/* Nobody confirms any more what is in flight. */
static void move_unconfirm(struct interest *interest) {
        struct member *member = member_of(interest);
        uint64_t count = interest->in_flight;

        if (!credit_asked(interest))
                member->astray += count; /* its socket may still take them, and nobody wants to know */
        flights_clear(interest->flights);
        interest->in_flight_bytes = 0;
        interest->in_flight = 0;
        member->backlog.unconfirmed += count;
        interest->peer->in_flight -= count;
        interest->peer->core->counters.unconfirmed += count;
}

/* At most so many of them. Returns how many. */
static size_t redeliver_some(struct interest *interest, size_t max) {
        struct rml_list *kept = &member_of(interest)->kept, *last;
        size_t n = 0;

        for (; n < max && (last = kept->prev) != kept; n++)
                redeliver_one(interest, rml_list_entry(last, struct delivery, link));
        return n;
}

void interest_redeliver(struct interest *interest) {
        move_unconfirm(interest);
        redeliver_some(interest, SIZE_MAX);
}

/* ---- in parts ---- */

void move_begin(struct interest *interest, bool redelivers) {
        struct member *member = member_of(interest);
        struct group *group = member->gang->group;
        struct core *core = group->core;

        member->moves = true;
        member->redelivers = redelivers;
        member->rank = ++core->ordinal;
        if (redelivers)
                move_unconfirm(interest);
        interest->peer->movers++;
        rml_list_push_front(&group->movers, &member->member_link);
        if (!rml_list_linked(&group->moving_link))
                rml_list_push_back(&core->moving, &group->moving_link);
}

/* The same as interest_move_all(), of at most so many. What stays goes around, and stands in the end as it stood. */
static size_t move_some(struct interest *interest, size_t max, bool *done) {
        struct rml_list *queue = &interest->backlog->queue, *last;
        size_t n = 0;

        for (*done = false; (last = queue->prev) != queue; n++) {
                struct delivery *delivery = rml_list_entry(last, struct delivery, link);

                if (delivery->stays)
                        break;
                if (n == max)
                        return n;
                if (move_or_end(interest, delivery))
                        continue;
                delivery->stays = true;
                rml_list_remove(last);
                rml_list_push_front(queue, last);
        }
        *done = true;
        return n;
}

/* All of it has moved. What its group's members have goes on when that is so of all who left. */
static void move_end(struct interest *interest) {
        struct group *group = interest_gang(interest)->group;
        struct peer *peer = interest->peer;
        struct rml_list *first;

        member_of(interest)->moves = false;
        if (rml_list_empty(&group->movers) && !rml_heap_top(&group->redelivering)) {
                rml_list_remove(&group->moving_link);
                while ((first = rml_list_first(&group->waiting))) {
                        rml_list_remove(first);
                        peer_touch(rml_container_of(first, struct peer, waiting_link));
                }
        }
        flights_forget(interest);
        group_release(interest);
        interest_update(interest);
        if (!--peer->movers)
                departure_goes(peer);
}

size_t move_part(struct group *group, size_t max) {
        struct rml_list *first = rml_list_first(&group->movers);
        struct member *member;
        bool done;
        size_t n;

        if (first) {
                member = rml_list_entry(first, struct member, member_link);
                n = move_some(&member->interest, max, &done);
                if (!done)
                        return n;
                rml_list_remove(&member->member_link);
                if (member->redelivers)
                        rml_heap_push(&group->redelivering, &member->turn, member->rank, 0);
                else
                        move_end(&member->interest);
                return n + 1;
        }
        member = rml_container_of(rml_heap_top(&group->redelivering), struct member, turn);
        n = redeliver_some(&member->interest, max);
        if (rml_list_empty(&member->kept)) {
                rml_heap_remove(&group->redelivering, &member->turn);
                move_end(&member->interest);
        }
        return n + 1;
}

void move_finish(struct interest *interest) {
        while (member_of(interest)->moves)
                move_part(interest_gang(interest)->group, SIZE_MAX);
}
