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
#include "departure.h"
#include "group.h"
#include "move.h"
#include "pin.h"
#include "queue.h"

/* ---- terms ---- */

static struct terms *terms_get(struct core *core, const struct terms *wanted) {
        uint64_t hash = rml_hash_u64(&core->config.seed, rml_hash_u64(&core->config.seed, wanted->window_bytes,
                                                                     wanted->window_messages),
                                     rml_hash_u64(&core->config.seed, wanted->credit_bytes, wanted->credit_messages));
        struct rml_table_node *node = rml_table_find(&core->terms, hash);
        struct terms *terms;

        for (; node; node = rml_table_find_next(node)) {
                terms = rml_container_of(node, struct terms, node);
                if (terms->window_bytes == wanted->window_bytes && terms->window_messages == wanted->window_messages &&
                    terms->credit_bytes == wanted->credit_bytes && terms->credit_messages == wanted->credit_messages) {
                        terms->refs++;
                        return terms;
                }
        }
        terms = malloc(sizeof(*terms));
        if (!terms)
                return NULL;
        *terms = *wanted;
        terms->refs = 1;
        rml_table_put(&core->terms, &terms->node, hash);
        return terms;
}

static void terms_unref(struct core *core, struct terms *terms) {
        if (!terms || --terms->refs)
                return;
        rml_table_remove(&core->terms, &terms->node);
        free(terms);
}

/* What it asked for, within the limits. */
static struct terms *terms_new(const struct peer *peer, const struct interest_wish *wish) {
        const struct core_limits *limits = peer->account->limits;
        struct terms wanted = {
                .window_bytes = wish->window_bytes && wish->window_bytes < limits->interest_bytes
                                        ? wish->window_bytes
                                        : limits->interest_bytes,
                .window_messages = wish->window_messages && wish->window_messages < limits->interest_messages
                                           ? wish->window_messages
                                           : limits->interest_messages,
                .credit_bytes = wish->credit_bytes,
                .credit_messages = wish->credit_messages,
        };

        /* What is in flight is remembered until it is confirmed: not without end. */
        if ((wish->credit_bytes || wish->credit_messages) &&
            (!wish->credit_messages || wish->credit_messages > limits->interest_messages))
                wanted.credit_messages = limits->interest_messages;
        return terms_get(peer->core, &wanted);
}

/* ---- the second part ---- */

static void backlog_init(struct backlog *backlog, struct interest *interest) {
        backlog->interest = interest;
        rml_list_init(&backlog->queue);
        rml_list_init(&backlog->evict_link);
        rml_table_init(&backlog->subjects);
        interest->backlog = backlog;
}

struct backlog *interest_backlog(struct interest *interest) {
        if (!interest->backlog) {
                struct backlog *backlog = calloc(1, sizeof(*backlog));

                if (backlog)
                        backlog_init(backlog, interest);
        }
        return interest->backlog;
}

void interest_unburden(struct interest *interest) {
        struct backlog *backlog = interest->backlog;

        if (!backlog || interest->grouped || backlog->queued || backlog->gaps || backlog->block || backlog->demoted ||
            backlog->strangers || backlog->expired || backlog->dropped || backlog->replaced ||
            rml_heap_has(&backlog->ready))
                return;
        rml_table_deinit(&backlog->subjects);
        free(backlog);
        interest->backlog = NULL;
}

void interest_ledger(const struct interest *interest, struct core_ledger *ret) {
        const struct backlog *backlog = interest->backlog;

        *ret = (struct core_ledger){
                .matched = interest->matched, .in_flight = interest->in_flight, .confirmed = interest->confirmed};
        if (!backlog)
                return;
        ret->queued = backlog->queued;
        ret->expired = backlog->expired;
        ret->dropped = backlog->dropped;
        ret->replaced = backlog->replaced;
        ret->moved = backlog->moved;
        ret->unconfirmed = backlog->unconfirmed;
}

/* ---- its life ---- */

static struct interest *plain_new(size_t text_bytes) {
        struct interest *interest = calloc(1, sizeof(*interest) + text_bytes);

        if (interest)
                interest->slot.pattern = (char *)(interest + 1);
        return interest;
}

static struct interest *member_new(struct peer *peer, const struct interest_wish *wish, size_t text_bytes) {
        struct member *member = calloc(1, sizeof(*member) + text_bytes);

        if (!member)
                return NULL;
        member->interest.slot.pattern = (char *)(member + 1);
        member->interest.grouped = true;
        member->interest.serve = wish->serve || wish->name;
        member->name = wish->name;
        member->allow_replace = wish->allow_replace;
        member->no_queue = wish->no_queue;
        backlog_init(&member->backlog, &member->interest);
        rml_list_init(&member->kept);
        rml_list_init(&member->calls);
        rml_list_init(&member->member_link);
        rml_list_init(&member->name_link);
        rml_list_push_back(&peer->grouped_list, &member->grouped_link);
        if (member->name) {
                if (peer->names)
                        rml_list_insert_before(&member->name_link, &peer->names->name_link);
                else
                        peer->names = member;
                peer->name_count++;
                peer->account->names++;
                peer->core->name_count++;
        }
        return &member->interest;
}

struct interest *interest_new(struct peer *peer, const struct interest_wish *wish) {
        size_t text_bytes = strlen(wish->pattern) + 1;
        struct terms *terms = terms_new(peer, wish);
        struct interest *interest = NULL;

        if (terms)
                interest = wish->serve || wish->name || wish->group ? member_new(peer, wish, text_bytes)
                                                                    : plain_new(text_bytes);
        if (!interest) {
                terms_unref(peer->core, terms);
                return NULL;
        }
        memcpy((char *)(uintptr_t)interest->slot.pattern, wish->pattern, text_bytes);
        interest->peer = peer;
        interest->sid = wish->sid;
        interest->terms = terms;
        interest->asked = terms->credit_bytes || terms->credit_messages;
        interest->tap = wish->tap;
        interest->overflow = (uint8_t)wish->overflow;
        rml_table_put(&peer->interests, &interest->node, rml_hash_u64(&peer->core->config.seed, wish->sid, 0));
        rml_list_push_back(&peer->interest_list, &interest->link);
        peer->interest_count++;
        peer->account->interests++;
        peer->core->interest_count++;
        peer->core->tap_count += interest->tap;
        if (wish->overflow == RAMAL__V1__OVERFLOW__OVERFLOW_BLOCK && block_new(interest) < 0) {
                interest_discard(interest);
                return NULL;
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
        return interest_queued(interest) + interest->in_flight +
               (interest->grouped ? member_of(interest)->open_calls : 0);
}

void interest_say(struct interest *interest, Ramal__V1__State state, uint64_t queued, Ramal__V1__Why why) {
        if (interest->grouped) {
                struct member *member = member_of(interest);

                if (member->told == state && member->told_queued == queued)
                        return;
                member->told = state;
                member->told_queued = queued;
        }
        answer_notice(interest, state, queued, why);
}

static void interest_vanish(struct interest *interest) {
        if (interest->detached)
                return;
        interest->detached = true;
        if (interest_gang(interest))
                group_leave(interest);
        else
                topics_remove(interest->peer->core->topics, &interest->slot);
}

/* Is there anything to be done for the others of its group, or for the callers? */
static bool interest_hands_on(const struct interest *interest, enum interest_going going) {
        return interest_gang(interest) && (going == GOING_LEAVES || going == GOING_DIES) &&
               (interest_gang(interest)->group->member_count || interest->serve);
}

/* Leaves the index and its group. One that drains has left its group and knows it still: if it dies, the others take
 * over what it could not finish. */
static void interest_leave(struct interest *interest, enum interest_going going) {
        if (interest->grouped && member_of(interest)->moves)
                move_finish(interest);
        interest_vanish(interest);
        if (!interest_gang(interest))
                return;
        if (going == GOING_DRAINS || going == GOING_STOPS) {
                pins_forget(interest);
                return;
        }
        if (interest_hands_on(interest, going)) {
                interest_move_all(interest);
                if (going == GOING_DIES && !interest->serve)
                        interest_redeliver(interest);
        }
        flights_forget(interest);
        group_release(interest);
}

void interest_withdraw(struct interest *interest, enum interest_going going) {
        struct core *core = interest->peer->core;
        struct member *member = member_of(interest);
        bool redelivers = going == GOING_DIES && !interest->serve;
        uint64_t work = interest_queued(interest) + (redelivers ? interest->in_flight : 0);

        if (member->moves)
                return;
        interest_vanish(interest);
        /* Of those that die what was in flight goes in the order in which they died. */
        if (interest_hands_on(interest, going) &&
            (work > core->departures_left ||
             (redelivers && rml_list_linked(&member->gang->group->moving_link)))) {
                move_begin(interest, redelivers);
                return;
        }
        departures_count(core, work);
        interest_leave(interest, going);
}

static void member_unlist(struct member *member) {
        struct peer *peer = member->interest.peer;

        rml_list_remove(&member->grouped_link);
        if (peer->names == member)
                peer->names = rml_list_linked(&member->name_link)
                                      ? rml_list_entry(member->name_link.next, struct member, name_link)
                                      : NULL;
        rml_list_remove(&member->name_link);
        if (member->gang)
                group_release(&member->interest);
        if (member->notice)
                member->notice->interest = NULL;
        rml_list_each_safe(at, &member->calls) {
                struct call *call = rml_list_entry(at, struct call, interest_link);

                rml_list_remove(at);
                call_place(call, NULL); /* it is still answered: by its connection */
        }
        if (member->name) {
                peer->name_count--;
                peer->account->names--;
                peer->core->name_count--;
        }
}

static void backlog_unlist(struct backlog *backlog) {
        struct interest *interest = backlog->interest;

        rml_heap_remove(&interest->peer->ready, &backlog->ready);
        rml_list_remove(&backlog->evict_link);
        gaps_free(interest);
        block_free(interest);
        rml_table_deinit(&backlog->subjects);
        if (!interest->grouped)
                free(backlog);
}

static void interest_unlist(struct interest *interest) {
        struct peer *peer = interest->peer;

        rml_table_remove(&peer->interests, &interest->node);
        rml_list_remove(&interest->link);
        if (interest->grouped)
                member_unlist(member_of(interest));
        peer->interest_count--;
        peer->account->interests--;
        peer->core->interest_count--;
        peer->core->tap_count -= interest->tap;
        if (interest->backlog)
                backlog_unlist(interest->backlog);
        terms_unref(peer->core, interest->terms);
        free(interest->flights);
        free(interest);
}

void interest_discard(struct interest *interest) {
        interest_unlist(interest);
}

/* Nothing of it is in flight any more. Returns how much was. */
static uint64_t interest_land(struct interest *interest) {
        uint64_t in_flight = interest->in_flight;
        bool astray = interest->grouped && member_of(interest)->astray;

        if ((in_flight || astray) && !credit_asked(interest))
                peer_forget_marks(interest->peer, interest);
        flights_forget(interest);
        if (astray)
                member_of(interest)->astray = 0;
        interest->in_flight = 0;
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
        interest->confirmed += interest_land(interest);
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
