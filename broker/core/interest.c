/* SPDX-License-Identifier: MIT */
/* One interest and its ledger: matched = queued + in flight + confirmed + expired + dropped + replaced + moved +
 * unconfirmed after every function that is called from outside. A message moves through it once:
 *
 *   interest_offer  -> written to the output at once, when nothing waits before it         (queue.c)
 *                   -> or queued -> interest_commit -> written                             (commit.c)
 *                   -> or dropped by the overflow rule: part of a gap, told before the next delivery  (queue.c, gap.c)
 *   written         -> in flight -> confirmed, by CREDIT or (where none was asked) by the socket      (flight.c)
 *   queued          -> moved to another member of its group, when this one goes            (move.c)
 *   in flight       -> matched once more by another member of its group, when this one dies   (move.c)
 */
#include "interest.h"

#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "block.h"
#include "call.h"
#include "commit.h"
#include "group.h"
#include "pin.h"
#include "queue.h"

struct interest *interest_new(struct peer *peer, const struct interest_wish *wish) {
        const struct core_limits *limits = peer->account->limits;
        struct interest *interest = calloc(1, sizeof(*interest));

        if (!interest)
                return NULL;
        interest->pattern = strdup(wish->pattern);
        if (!interest->pattern) {
                free(interest);
                return NULL;
        }
        interest->peer = peer;
        if (wish->overflow == RAMAL__V1__OVERFLOW__OVERFLOW_BLOCK && block_new(interest) < 0) {
                free(interest->pattern);
                free(interest);
                return NULL;
        }
        interest->sid = wish->sid;
        interest->serve = wish->serve || wish->name;
        interest->name = wish->name;
        interest->tap = wish->tap;
        interest->allow_replace = wish->allow_replace;
        interest->no_queue = wish->no_queue;
        interest->grouped = interest->serve || wish->group;
        interest->overflow = wish->overflow;
        interest->window_bytes = wish->window_bytes && wish->window_bytes < limits->interest_bytes
                                         ? wish->window_bytes
                                         : limits->interest_bytes;
        interest->window_messages = wish->window_messages && wish->window_messages < limits->interest_messages
                                            ? wish->window_messages
                                            : limits->interest_messages;
        interest->credit_bytes = wish->credit_bytes;
        interest->credit_messages = wish->credit_messages;
        /* What is in flight is remembered until it is confirmed: not without end. */
        if ((wish->credit_bytes || wish->credit_messages) &&
            (!wish->credit_messages || wish->credit_messages > limits->interest_messages))
                interest->credit_messages = limits->interest_messages;
        rml_list_init(&interest->queue);
        rml_list_init(&interest->kept);
        rml_list_init(&interest->calls);
        rml_list_init(&interest->evict_link);
        rml_list_init(&interest->member_link);
        rml_table_init(&interest->subjects);
        rml_table_put(&peer->interests, &interest->node, rml_hash_u64(&peer->core->config.seed, wish->sid, 0));
        rml_list_push_back(&peer->interest_list, &interest->link);
        if (interest->grouped) {
                rml_list_push_back(&peer->grouped_list, &interest->grouped_link);
                rml_list_init(&interest->name_link);
        }
        peer->interest_count++;
        peer->account->interests++;
        peer->core->interest_count++;
        peer->core->tap_count += interest->tap;
        if (interest->name) {
                rml_list_push_back(&peer->name_list, &interest->name_link);
                peer->name_count++;
                peer->account->names++;
                peer->core->name_count++;
        }
        return interest;
}

struct interest *interest_find(const struct peer *peer, uint64_t sid) {
        struct rml_table_node *node = rml_table_find(&peer->interests, rml_hash_u64(&peer->core->config.seed, sid, 0));

        for (; node; node = rml_table_find_next(node)) {
                struct interest *interest = rml_container_of(node, struct interest, node);

                if (interest->sid == sid)
                        return interest;
        }
        return NULL;
}

uint64_t interest_pending(const struct interest *interest) {
        return interest->ledger.queued + interest->ledger.in_flight + interest->open_calls;
}

void interest_say(struct interest *interest, Ramal__V1__State state, uint64_t queued, Ramal__V1__Why why) {
        if (interest->told == state && interest->told_queued == queued)
                return;
        interest->told = state;
        interest->told_queued = queued;
        answer_notice(interest, state, queued, why);
}

/* Leaves the index and its group. One that drains has left its group and knows it still: if it dies, the others take
 * over what it could not finish. */
static void interest_leave(struct interest *interest, enum interest_going going) {
        if (!interest->detached) {
                interest->detached = true;
                if (interest->gang)
                        group_leave(interest);
                else
                        topics_remove(interest->peer->core->topics, &interest->slot);
        }
        if (!interest->gang)
                return;
        if (going == GOING_DRAINS || going == GOING_STOPS) {
                pins_forget(interest);
                return;
        }
        if (interest->gang->group->member_count || interest->serve) {
                interest_move_all(interest);
                if (going == GOING_DIES && !interest->serve)
                        interest_redeliver(interest);
        }
        flights_forget(interest);
        group_release(interest);
}

static void interest_unlist(struct interest *interest) {
        struct peer *peer = interest->peer;

        rml_heap_remove(&peer->ready, &interest->ready);
        rml_table_remove(&peer->interests, &interest->node);
        rml_list_remove(&interest->link);
        rml_list_remove(&interest->evict_link);
        if (interest->grouped) {
                rml_list_remove(&interest->grouped_link);
                rml_list_remove(&interest->name_link);
        }
        if (interest->gang)
                group_release(interest);
        if (interest->notice)
                interest->notice->interest = NULL;
        rml_list_each_safe(at, &interest->calls) {
                struct call *call = rml_list_entry(at, struct call, interest_link);

                rml_list_remove(at);
                call_place(call, NULL); /* it is still answered: by its connection */
        }
        peer->interest_count--;
        peer->account->interests--;
        peer->core->interest_count--;
        peer->core->tap_count -= interest->tap;
        if (interest->name) {
                peer->name_count--;
                peer->account->names--;
                peer->core->name_count--;
        }
        gaps_free(interest);
        block_free(interest);
        rml_table_deinit(&interest->subjects);
        free(interest->flights.items);
        free(interest->pattern);
        free(interest);
}

void interest_discard(struct interest *interest) {
        interest_unlist(interest);
}

/* Nothing of it is in flight any more. Returns how much was. */
static uint64_t interest_land(struct interest *interest) {
        uint64_t in_flight = interest->ledger.in_flight;

        if ((in_flight || interest->astray) && !credit_asked(interest))
                peer_forget_marks(interest->peer, interest);
        flights_forget(interest);
        interest->astray = 0;
        interest->ledger.in_flight = 0;
        interest->peer->in_flight -= in_flight;
        return in_flight;
}

void interest_end(struct interest *interest, Ramal__V1__Why why) {
        interest_leave(interest, GOING_LEAVES);
        while (queue_front(interest))
                queue_drop(interest, queue_front(interest),
                              why == RAMAL__V1__WHY__WHY_EVICTED ? why : RAMAL__V1__WHY__WHY_ENDED);
        gaps_answer(interest);
        if (why != RAMAL__V1__WHY__WHY_ENDED) /* nobody asked for it */
                interest_say(interest, RAMAL__V1__STATE__STATE_ENDED, 0, why);
        interest->ledger.confirmed += interest_land(interest);
        interest_unlist(interest);
}

void interest_detach(struct interest *interest, enum interest_going going) {
        interest_leave(interest, going);
        interest_update(interest);
}

struct interest *interest_free(struct interest *interest) {
        interest_leave(interest, GOING_STOPS);
        while (queue_front(interest))
                queue_drop(interest, queue_front(interest), RAMAL__V1__WHY__WHY_ENDED);
        interest->peer->core->counters.unconfirmed += interest_land(interest);
        interest_unlist(interest);
        return NULL;
}
