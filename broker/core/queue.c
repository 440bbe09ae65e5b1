/* SPDX-License-Identifier: MIT */
#include "queue.h"

#include <errno.h>
#include <stdlib.h>

#include "block.h"
#include "bounds.h"
#include "budget.h"
#include "call.h"
#include "commit.h"
#include "encode.h"
#include "expiry.h"
#include "group.h"
#include "interest.h"
#include "share.h"
#include "pin.h"
#include "subject.h"

/* ---- bounds and charges ---- */

_Static_assert(sizeof(struct delivery) <= MESSAGE_QUEUED_BYTES, "what a queued message costs");

/* Which bound stands in the way of queueing it, once `instead` (a queued one, or NULL) has made room? WHY_NONE:
 * none. */
static Ramal__V1__Why queue_bound_instead(const struct interest *interest, const struct message *message,
                                          const struct delivery *instead) {
        size_t less = instead ? instead->body->charge : 0;
        uint64_t freed = instead && instead->body->refs == 1 ? less + MESSAGE_BODY_BYTES : 0;
        uint64_t count = interest_queued(interest) + (interest->grouped ? interest->in_flight : 0) - !!instead;
        uint64_t bytes = interest_queued_bytes(interest) + (interest->grouped ? interest->in_flight_bytes : 0) - less;

        if (count &&
            (count >= interest->terms->window_messages ||
             !budget_open(bytes, message->charge, interest->terms->window_bytes)))
                return RAMAL__V1__WHY__WHY_WINDOW;
        if (interest->serve) /* the budgets are the caller's */
                return share_stranger(interest, message->account) && !share_open(interest, message)
                               ? RAMAL__V1__WHY__WHY_WINDOW
                               : RAMAL__V1__WHY__WHY_NONE;
        return budget_bound(interest->peer, message, instead ? less + MESSAGE_QUEUED_BYTES : 0, freed);
}

Ramal__V1__Why queue_bound(const struct interest *interest, const struct message *message) {
        return queue_bound_instead(interest, message, NULL);
}

bool interest_has_room(const struct interest *interest, const struct message *message, Ramal__V1__Why *why) {
        *why = queue_bound(interest, message);
        return *why == RAMAL__V1__WHY__WHY_NONE;
}

/* What counts in the budgets, beside MESSAGE_QUEUED_BYTES. */
static size_t delivery_cost(const struct delivery *delivery) {
        return delivery->body->charge + (delivery->expiry ? MESSAGE_EXPIRY_BYTES : 0);
}

static void charge_add(struct interest *interest, const struct delivery *delivery) {
        size_t charge = delivery->body->charge;

        interest->backlog->queued++;
        interest->backlog->queued_bytes += charge;
        if (delivery->call)
                budget_add_call(interest->peer, delivery->call->caller, charge);
        else
                budget_add(interest->peer, delivery_cost(delivery));
}

static void charge_remove(struct interest *interest, const struct delivery *delivery) {
        size_t charge = delivery->body->charge;
        struct backlog *backlog = interest->backlog;

        rml_check(backlog->queued && backlog->queued_bytes >= charge);
        backlog->queued--;
        backlog->queued_bytes -= charge;
        if (delivery->call)
                budget_remove_call(interest->peer, delivery->call->caller, charge);
        else
                budget_remove(interest->peer, delivery_cost(delivery));
}

/* ---- the queue ---- */

static uint64_t subject_hash(const struct core *core, struct rml_span subject) {
        return rml_hash(&core->config.seed, subject.data, subject.len);
}

static struct delivery *queue_same_subject(const struct interest *interest, struct rml_span subject) {
        uint64_t hash = subject_hash(interest->peer->core, subject);
        struct rml_table_node *node = rml_table_find(&interest->backlog->subjects, hash);

        for (; node; node = rml_table_find_next(node)) {
                struct delivery *delivery = rml_container_of(node, struct delivery, subject);

                if (rml_span_equal(delivery->body->subject, subject))
                        return delivery;
        }
        return NULL;
}

/* The newest of each subject is the one to be replaced: so the last that is read is the last that was said. It is in
 * the table; those before it are in a ring, the next one first, and follow when it leaves from their midst. */
static void queue_index(struct interest *interest, struct delivery *delivery, bool front) {
        struct delivery *other = queue_same_subject(interest, delivery->body->subject);
        struct delivery *newest = front && other ? other : delivery, *below = newest == other ? delivery : other;

        if (below == other && other) {
                rml_table_remove(&interest->backlog->subjects, &other->subject);
                other->newest = false;
        }
        if (newest == delivery) {
                delivery->older = other ? other->older : NULL;
                delivery->newest = true;
                rml_table_put(&interest->backlog->subjects, &delivery->subject,
                              subject_hash(interest->peer->core, delivery->body->subject));
        }
        if (!below)
                return;
        below->older = NULL;
        rml_list_init(&below->same);
        if (newest->older) /* before the first: as the last, or as the new first */
                rml_list_insert_before(&below->same, &newest->older->same);
        if (!newest->older || below == other)
                newest->older = below;
}

static void queue_unindex(struct interest *interest, struct delivery *delivery) {
        struct delivery *newest = delivery->newest ? delivery : queue_same_subject(interest, delivery->body->subject);
        struct delivery *older = newest ? newest->older : NULL;

        if (!delivery->newest && !older)
                return; /* not indexed: it has no subject */
        if (delivery->newest)
                rml_table_remove(&interest->backlog->subjects, &delivery->subject);
        if (delivery->newest ? older != NULL : older == delivery) { /* the first of the ring leaves it */
                struct rml_list *next = rml_list_first(&older->same);

                newest->older = next ? rml_list_entry(next, struct delivery, same) : NULL;
        }
        if (!delivery->newest) {
                rml_list_remove(&delivery->same);
        } else if (older) {
                rml_list_remove(&older->same);
                older->older = newest->older;
                older->newest = true;
                rml_table_put(&interest->backlog->subjects, &older->subject,
                              subject_hash(interest->peer->core, older->body->subject));
        }
        delivery->older = NULL;
        delivery->newest = false;
}

void queue_unlink(struct interest *interest, struct delivery *delivery) {
        rml_list_remove(&delivery->link);
        if (interest->overflow == RAMAL__V1__OVERFLOW__OVERFLOW_LATEST)
                queue_unindex(interest, delivery);
        else if (interest_block(interest))
                block_leave(interest, delivery);
        charge_remove(interest, delivery);
        expiry_clear(interest, delivery);
        share_unqueued(interest, delivery);
        if (delivery->call)
                delivery->call->queued = NULL;
}

void delivery_free(struct delivery *delivery) {
        struct core *core = delivery->body->core;

        if (delivery->held)
                block_let_go(delivery);
        pin_drop(delivery->pin);
        body_unref(delivery->body);
        shelf_give(&core->shelf, delivery, sizeof(*delivery));
}

void queue_put(struct interest *interest, struct delivery *delivery, bool front) {
        bool first = rml_list_empty(&interest->backlog->queue);

        if (front)
                rml_list_push_front(&interest->backlog->queue, &delivery->link);
        else
                rml_list_push_back(&interest->backlog->queue, &delivery->link);
        expiry_set(interest, delivery);
        charge_add(interest, delivery);
        share_queued(interest, delivery, front);
        if (interest->overflow == RAMAL__V1__OVERFLOW__OVERFLOW_LATEST && delivery->body->subject.data)
                queue_index(interest, delivery, front);
        if (interest_block(interest))
                block_enter(interest, delivery, front);
        else if (delivery->held)
                block_let_go(delivery);
        /* Else the one that is to go next is the same as before. Its ordinal tells, but in a group, where what moved here
         * may have that of another. */
        if (first || interest->grouped || interest->backlog->ready.key != queue_front(interest)->ordinal)
                interest_update(interest);
}

static struct delivery *delivery_new(struct interest *interest, struct message *message, struct call *call,
                                     uint64_t seq) {
        struct core *core = interest->peer->core;
        struct delivery *delivery = shelf_take(&core->shelf, sizeof(*delivery));
        struct body *body = delivery ? message_body(core, message) : NULL;
        struct pin *pin = NULL;

        if (!body || (!call && pin_wanted(interest, message) && !(pin = pin_take(interest, message->key)))) {
                if (delivery)
                        shelf_give(&core->shelf, delivery, sizeof(*delivery));
                return NULL;
        }
        /* One by one, as a body. Where it is linked says whoever puts it there. */
        delivery->older = NULL;
        delivery->body = body_ref(body);
        delivery->call = call;
        delivery->ordinal = ++core->ordinal;
        delivery->seq = seq;
        delivery->replaced = delivery->replaced_last = 0;
        delivery->token = message->token;
        delivery->flags = message->flags;
        delivery->moved = delivery->redelivered = delivery->newest = delivery->held = delivery->stays = false;
        delivery->since_ns = core->now_ns;
        delivery->pin = pin;
        delivery->expiry = NULL;
        rml_list_init(&delivery->share_link);
        if (call)
                call->queued = delivery;
        return delivery;
}

/* ---- losing ---- */

void queue_drop(struct interest *interest, struct delivery *delivery, Ramal__V1__Why why) {
        struct call *call = delivery->call;

        queue_unlink(interest, delivery);
        interest->backlog->dropped++;
        interest->peer->core->counters.dropped++;
        gap_add_delivery(interest, delivery, why);
        delivery_free(delivery);
        if (call) {
                call->interest = NULL;
                call_fail(call, RAMAL__V1__CODE__CODE_RESPONDER_GONE, "the responder left before it got the call",
                          false);
        }
}

void queue_drop_new(struct interest *interest, uint64_t seq, size_t charge, Ramal__V1__Why why) {
        interest->backlog->dropped++;
        interest->peer->core->counters.dropped++;
        gap_add(interest, seq, 1, charge, why);
        interest_update(interest);
}

Ramal__V1__Why queue_bound_moved(const struct interest *to, const struct message *message) {
        Ramal__V1__Why why = queue_bound(to, message);

        return why == RAMAL__V1__WHY__WHY_WINDOW && block_keeps(to, message->account)
                       ? budget_bound(to->peer, message, 0, 0)
                       : why;
}

void interest_unqueue(struct interest *interest, struct delivery *delivery, Ramal__V1__Why why) {
        struct core *core = interest->peer->core;

        queue_unlink(interest, delivery);
        if (why == RAMAL__V1__WHY__WHY_EXPIRED) {
                interest->backlog->expired++;
                core->counters.expired++;
        } else {
                interest->backlog->dropped++;
                core->counters.dropped++;
        }
        gap_add_delivery(interest, delivery, why);
        delivery_free(delivery);
        interest_update(interest);
        group_changed(interest);
}

/* A body that other queues hold too would free nothing of the broker's budget: a whole queue would go for nothing. */
static bool drop_helps(const struct delivery *delivery, Ramal__V1__Why why) {
        return why != RAMAL__V1__WHY__WHY_BROKER || delivery->body->refs == 1;
}

/* It takes the place and the number of a queued one. Returns false, with nothing changed, without memory. */
static bool queue_swap(struct interest *interest, struct delivery *delivery, struct message *message) {
        struct core *core = interest->peer->core;
        struct body *body = message_body(core, message);
        struct pin *pin = NULL;

        if (!body || (pin_wanted(interest, message) && !(pin = pin_take(interest, message->key))))
                return false;
        pin_drop(delivery->pin);
        delivery->pin = pin;
        if (delivery->redelivered) { /* this one is new to everybody; its number is still out of order */
                delivery->redelivered = false;
                delivery->moved = true;
        }
        rml_table_remove(&interest->backlog->subjects, &delivery->subject);
        charge_remove(interest, delivery);
        share_unqueued(interest, delivery);
        expiry_clear(interest, delivery);
        body_unref(delivery->body);
        delivery->body = body_ref(body);
        expiry_set(interest, delivery);
        charge_add(interest, delivery);
        share_queued(interest, delivery, false);
        rml_table_put(&interest->backlog->subjects, &delivery->subject, subject_hash(core, body->subject));
        delivery->replaced++;
        delivery->replaced_last = interest->matched;
        interest->backlog->replaced++;
        core->counters.replaced++;
        interest_update(interest);
        return true;
}

/* `latest`: the newer message takes the place and the number of the queued one, if it fits in there; else as drop_old.
 * Returns false when the message still has to be queued or dropped. */
static bool queue_replace(struct interest *interest, struct message *message) {
        struct delivery *delivery = queue_same_subject(interest, message->subject);
        Ramal__V1__Why why;

        if (!delivery)
                return false;
        while ((why = queue_bound_instead(interest, message, delivery)) != RAMAL__V1__WHY__WHY_NONE) {
                if (queue_front(interest) == delivery || !drop_helps(queue_front(interest), why))
                        return false;
                queue_drop(interest, queue_front(interest), why);
        }
        return queue_swap(interest, delivery, message);
}

bool queue_replace_own(struct interest *interest, struct message *message) {
        struct delivery *delivery = queue_same_subject(interest, message->subject);

        return delivery && delivery->body->account == message->account &&
               (message->charge <= delivery->body->charge ||
                share_bound(interest, message, delivery->body->charge + MESSAGE_QUEUED_BYTES) ==
                        RAMAL__V1__WHY__WHY_NONE) &&
               queue_bound_instead(interest, message, delivery) == RAMAL__V1__WHY__WHY_NONE &&
               queue_swap(interest, delivery, message);
}

/* `block`, for a sender that it does not hold back: room is made among those of strangers. */
static bool queue_make_room(struct interest *interest, struct message *message, Ramal__V1__Why *why) {
        struct delivery *oldest;

        if (message->from == interest->peer)
                return false; /* a connection does not wait for itself: as drop_new */
        while ((oldest = block_loose(interest, message)) && drop_helps(oldest, *why)) {
                queue_drop(interest, oldest, *why);
                *why = queue_bound(interest, message);
                if (*why == RAMAL__V1__WHY__WHY_NONE)
                        return true;
        }
        return false;
}

/* A publish that does not fit: makes room or drops it, by the interest's rule. Returns true if it may be queued now. */
static bool queue_overflow(struct interest *interest, struct message *message, uint64_t seq, Ramal__V1__Why why) {
        switch (interest->overflow) {
        case RAMAL__V1__OVERFLOW__OVERFLOW_EVICT:
                interest->evicting = true;
                core_settle_later(interest->peer->core, &interest->peer->core->evicted, &interest->backlog->evict_link);
                queue_drop_new(interest, seq, message->charge, RAMAL__V1__WHY__WHY_EVICTED);
                return false;
        case RAMAL__V1__OVERFLOW__OVERFLOW_DROP_NEW:
                break;
        case RAMAL__V1__OVERFLOW__OVERFLOW_LATEST:
                if (queue_replace(interest, message))
                        return false;
                why = queue_bound(interest, message);
                if (why == RAMAL__V1__WHY__WHY_NONE)
                        return true;
                __attribute__((fallthrough));
        default:
                if (interest_block(interest)) {
                        if (queue_make_room(interest, message, &why))
                                return true;
                        break;
                }
                while (queue_front(interest) && drop_helps(queue_front(interest), why)) {
                        queue_drop(interest, queue_front(interest), why);
                        Ramal__V1__Why still = queue_bound(interest, message);
                        if (still == RAMAL__V1__WHY__WHY_NONE)
                                return true;
                        why = still;
                }
                break;
        }
        queue_drop_new(interest, seq, message->charge, why);
        return false;
}

/* ---- taking ---- */

static bool window_clear(const struct interest *interest, const struct message *message) {
        return queue_bound(interest, message) == RAMAL__V1__WHY__WHY_NONE &&
               (!share_stranger(interest, message->account) ||
                share_bound(interest, message, 0) == RAMAL__V1__WHY__WHY_NONE);
}

/* May it be written at once, before anything that waits? In flight counts in a group's window: when all its members are
 * full, the rule of the chosen one decides. A call was not given to one that is full. */
static bool interest_clear(const struct interest *interest, const struct message *message, bool call) {
        return interest_free_way(interest, message) && !group_holds(interest) &&
               (call || !interest->grouped || window_clear(interest, message));
}

bool interest_writes(const struct interest *interest, const struct message *message) {
        const struct core *core = interest->peer->core;

        return interest_clear(interest, message, false) &&
               (message->tail.len <= MESSAGE_COPY_MAX || message_fits(core, message, budget_queues_max(core)));
}

/* Writes it at once. Returns false, with nothing changed, if there is no memory. */
static bool offer_write(struct interest *interest, struct message *message, struct call *call, uint64_t seq) {
        bool keep = interest->grouped && flight_kept(interest);
        struct delivery *delivery = keep ? delivery_new(interest, message, NULL, seq) : NULL;
        struct body *share = delivery && delivery->body->blob ? delivery->body : NULL;

        if (keep ? !delivery : !message_share(interest->peer->core, message, &share))
                return false;
        struct shipment shipment = {
                .sender = message->sender,
                .tail = share ? &share->tail : &message->tail,
                .share = share,
                .charge = message->charge,
                .call = call,
                .seq = seq,
                .flags = message->flags,
                .token = message->token,
                .expires_ns = message->expires_ns,
        };

        if (!commit_write(interest, &shipment)) {
                if (delivery)
                        delivery_free(delivery);
                return false;
        }
        if (delivery)
                flight_keep(interest, delivery);
        return true;
}

int interest_offer(struct interest *interest, struct message *message, struct call *call) {
        struct peer *peer = interest->peer;
        struct delivery *delivery;
        Ramal__V1__Why why;
        uint64_t seq = interest->matched + 1;
        bool holds;

        if (call && pin_wanted(interest, message) && !(call->pin = pin_take(interest, message->key)))
                return -ENOMEM;
        if (interest_clear(interest, message, call) && offer_write(interest, message, call, seq)) {
                interest->matched++;
                peer_touch(peer);
                return 0;
        }
        if (!interest_backlog(interest)) {
                if (call)
                        return -ENOMEM;
                peer->lost = true; /* what it misses could not even be noted: better no connection than a silent loss */
                peer_touch(peer);
                return 0;
        }
        if (call) {
                if (budget_bound_call(call->caller, message) != RAMAL__V1__WHY__WHY_NONE)
                        return -EDQUOT;
                delivery = delivery_new(interest, message, call, seq);
                if (!delivery)
                        return -ENOMEM;
                interest->matched++;
                queue_put(interest, delivery, false);
                return 0;
        }
        interest->matched++;
        if (share_stranger(interest, message->account) && !share_admit(interest, message, seq))
                return 0;
        /* Over its window; publish.c looked at the budgets. */
        holds = interest_block(interest) && block_holds(interest, message);
        why = holds ? RAMAL__V1__WHY__WHY_NONE : queue_bound(interest, message);
        if (why != RAMAL__V1__WHY__WHY_NONE && !queue_overflow(interest, message, seq, why))
                return 0;
        delivery = delivery_new(interest, message, NULL, seq);
        if (!delivery) {
                queue_drop_new(interest, seq, message->charge, RAMAL__V1__WHY__WHY_BROKER);
                return 0;
        }
        if (holds)
                block_hold(delivery, message);
        queue_put(interest, delivery, false);
        return 0;
}
