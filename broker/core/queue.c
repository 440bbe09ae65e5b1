/* SPDX-License-Identifier: MIT */
#include "queue.h"

#include <errno.h>
#include <stdlib.h>

#include "bounds.h"
#include "call.h"
#include "commit.h"
#include "encode.h"
#include "group.h"
#include "interest.h"
#include "subject.h"

/* ---- bounds and charges ---- */

_Static_assert(sizeof(struct delivery) <= MESSAGE_QUEUED_BYTES, "what a queued message costs");

static bool budget_open(uint64_t used, uint64_t charge, uint64_t max) {
        return used == 0 || (used <= max && charge <= max - used);
}

Ramal__V1__Why budget_bound(const struct peer *peer, const struct message *message, uint64_t less, uint64_t freed) {
        const struct core *core = peer->core;
        const struct core_limits *limits = &core->config.limits;
        uint64_t cost = (uint64_t)message->charge + MESSAGE_QUEUED_BYTES;

        if (!budget_open(peer->queued_bytes - less, cost, limits->connection_bytes))
                return RAMAL__V1__WHY__WHY_CONNECTION;
        if (!budget_open(peer->account->queued_bytes - less, cost, account_bytes_max(core, peer->account)))
                return RAMAL__V1__WHY__WHY_UID;
        if (!message_fits(core, message, limits->broker_bytes + (freed <= UINT64_MAX - limits->broker_bytes ? freed : 0)))
                return RAMAL__V1__WHY__WHY_BROKER;
        return RAMAL__V1__WHY__WHY_NONE;
}

void budget_add(struct peer *peer, size_t charge) {
        size_t cost = charge + MESSAGE_QUEUED_BYTES;

        peer->queued_bytes += cost;
        peer->queued_count++;
        peer->account->queued_bytes += cost;
        peer->core->queued_bytes += cost;
        peer->core->queued_count++;
}

void budget_remove(struct peer *peer, size_t charge) {
        size_t cost = charge + MESSAGE_QUEUED_BYTES;

        rml_check(peer->queued_bytes >= cost && peer->account->queued_bytes >= cost && peer->core->queued_bytes >= cost);
        peer->queued_bytes -= cost;
        peer->queued_count--;
        peer->account->queued_bytes -= cost;
        peer->core->queued_bytes -= cost;
        peer->core->queued_count--;
}

/* Which bound stands in the way of queueing it, once `instead` (a queued one, or NULL) has made room? WHY_NONE: none. */
static Ramal__V1__Why queue_bound_instead(const struct interest *interest, const struct message *message,
                                          const struct delivery *instead) {
        size_t less = instead ? instead->body->charge : 0;
        uint64_t freed = instead && instead->body->refs == 1 ? less + MESSAGE_BODY_BYTES : 0;
        uint64_t count = interest->ledger.queued + (interest->grouped ? interest->ledger.in_flight : 0) - !!instead;
        uint64_t bytes = interest->queued_bytes + (interest->grouped ? interest->in_flight_bytes : 0) - less;

        if (count && (count >= interest->window_messages || !budget_open(bytes, message->charge, interest->window_bytes)))
                return RAMAL__V1__WHY__WHY_WINDOW;
        return budget_bound(interest->peer, message, instead ? less + MESSAGE_QUEUED_BYTES : 0, freed);
}

Ramal__V1__Why queue_bound(const struct interest *interest, const struct message *message) {
        return queue_bound_instead(interest, message, NULL);
}

bool interest_has_room(const struct interest *interest, const struct message *message, Ramal__V1__Why *why) {
        *why = queue_bound(interest, message);
        return *why == RAMAL__V1__WHY__WHY_NONE;
}

static void charge_add(struct interest *interest, size_t charge) {
        interest->ledger.queued++;
        interest->queued_bytes += charge;
        budget_add(interest->peer, charge);
}

static void charge_remove(struct interest *interest, size_t charge) {
        rml_check(interest->queued_bytes >= charge);
        interest->ledger.queued--;
        interest->queued_bytes -= charge;
        budget_remove(interest->peer, charge);
}

/* ---- the queue ---- */

struct delivery *queue_front(const struct interest *interest) {
        struct rml_list *first = rml_list_first(&interest->queue);

        return first ? rml_list_entry(first, struct delivery, link) : NULL;
}

void queue_unlink(struct interest *interest, struct delivery *delivery) {
        rml_list_remove(&delivery->link);
        rml_table_remove(&interest->subjects, &delivery->subject);
        charge_remove(interest, delivery->body->charge);
        if (delivery->call)
                delivery->call->queued = NULL;
}

void delivery_free(struct delivery *delivery) {
        body_unref(delivery->body);
        free(delivery);
}

static uint64_t subject_hash(const struct core *core, struct rml_span subject) {
        return rml_hash(&core->config.seed, subject.data, subject.len);
}

static struct delivery *queue_same_subject(const struct interest *interest, struct rml_span subject) {
        uint64_t hash = subject_hash(interest->peer->core, subject);

        for (struct rml_table_node *node = rml_table_find(&interest->subjects, hash); node; node = rml_table_find_next(node)) {
                struct delivery *delivery = rml_container_of(node, struct delivery, subject);

                if (rml_span_equal(delivery->body->subject, subject))
                        return delivery;
        }
        return NULL;
}

/* The newest of each subject is the one to be replaced: so the last that is read is the last that was said. The others
 * are not in the table at all, or a thousand of one subject would be one long chain. */
static void queue_index(struct interest *interest, struct delivery *delivery, bool front) {
        struct delivery *other = queue_same_subject(interest, delivery->body->subject);

        if (other && front)
                return;
        if (other)
                rml_table_remove(&interest->subjects, &other->subject);
        rml_table_put(&interest->subjects, &delivery->subject,
                      subject_hash(interest->peer->core, delivery->body->subject));
}

void queue_put(struct interest *interest, struct delivery *delivery, bool front) {
        if (front)
                rml_list_push_front(&interest->queue, &delivery->link);
        else
                rml_list_push_back(&interest->queue, &delivery->link);
        charge_add(interest, delivery->body->charge);
        if (interest->overflow == RAMAL__V1__OVERFLOW__OVERFLOW_LATEST && delivery->body->subject.data)
                queue_index(interest, delivery, front);
        interest_update(interest);
}

static struct delivery *delivery_new(struct interest *interest, struct message *message, struct call *call, uint64_t seq) {
        struct core *core = interest->peer->core;
        struct delivery *delivery = malloc(sizeof(*delivery));
        struct body *body = delivery ? message_body(core, message) : NULL;

        if (!body) {
                free(delivery);
                return NULL;
        }
        *delivery = (struct delivery){.body = body_ref(body), .call = call, .seq = seq, .ordinal = ++core->ordinal,
                                       .flags = message->flags, .token = message->token};
        if (call)
                call->queued = delivery;
        return delivery;
}

/* ---- losing ---- */

void queue_drop(struct interest *interest, struct delivery *delivery, Ramal__V1__Why why) {
        struct call *call = delivery->call;

        queue_unlink(interest, delivery);
        interest->ledger.dropped++;
        interest->peer->core->counters.dropped++;
        gap_add_delivery(interest, delivery, why);
        delivery_free(delivery);
        if (call) {
                call->interest = NULL;
                call_fail(call, RAMAL__V1__CODE__CODE_RESPONDER_GONE, "the responder left before it got the call", false);
        }
}

void queue_drop_new(struct interest *interest, uint64_t seq, size_t charge, Ramal__V1__Why why) {
        interest->ledger.dropped++;
        interest->peer->core->counters.dropped++;
        gap_add(interest, seq, 1, charge, why);
        interest_update(interest);
}

void interest_unqueue(struct interest *interest, struct delivery *delivery, Ramal__V1__Why why) {
        struct core *core = interest->peer->core;

        queue_unlink(interest, delivery);
        if (why == RAMAL__V1__WHY__WHY_EXPIRED) {
                interest->ledger.expired++;
                core->counters.expired++;
        } else {
                interest->ledger.dropped++;
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

/* `latest`: the newer message takes the place and the number of the queued one, if it fits in there; else as drop_old.
 * Returns false when the message still has to be queued or dropped. */
static bool queue_replace(struct interest *interest, struct message *message) {
        struct core *core = interest->peer->core;
        struct delivery *delivery = queue_same_subject(interest, message->subject);
        struct body *body;
        Ramal__V1__Why why;

        if (!delivery)
                return false;
        while ((why = queue_bound_instead(interest, message, delivery)) != RAMAL__V1__WHY__WHY_NONE) {
                if (queue_front(interest) == delivery || !drop_helps(queue_front(interest), why))
                        return false;
                queue_drop(interest, queue_front(interest), why);
        }
        body = message_body(core, message);
        if (!body)
                return false;
        rml_table_remove(&interest->subjects, &delivery->subject);
        charge_remove(interest, delivery->body->charge);
        body_unref(delivery->body);
        delivery->body = body_ref(body);
        charge_add(interest, body->charge);
        rml_table_put(&interest->subjects, &delivery->subject, subject_hash(core, body->subject));
        delivery->replaced++;
        delivery->replaced_last = interest->ledger.matched;
        interest->ledger.replaced++;
        core->counters.replaced++;
        interest_update(interest);
        return true;
}

/* A publish that does not fit: makes room or drops it, by the interest's rule. Returns true if it may be queued now. */
static bool queue_overflow(struct interest *interest, struct message *message, uint64_t seq, Ramal__V1__Why why) {
        switch (interest->overflow) {
        case RAMAL__V1__OVERFLOW__OVERFLOW_EVICT:
                interest->evicting = true;
                rml_list_push_back(&interest->peer->core->evicted, &interest->evict_link);
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

int interest_offer(struct interest *interest, struct message *message, struct call *call) {
        struct peer *peer = interest->peer;
        struct delivery *delivery;
        struct body *share;
        Ramal__V1__Why why;
        uint64_t seq = interest->ledger.matched + 1;

        /* In flight counts in a group's window: when all its members are full, the rule of the chosen one decides. A call
         * was not given to one that is full. */
        if (rml_list_empty(&interest->queue) && !interest->gaps && credit_open(interest, message->charge) &&
            (call || !interest->grouped || interest_has_room(interest, message, &why)) &&
            peer_clear(peer, RML_HEAD_BYTES_MAX + message->tail.len) && message_share(peer->core, message, &share)) {
                struct shipment shipment = {
                        .sender = message->sender,
                        .tail = share ? share->tail : message->tail,
                        .share = share,
                        .charge = message->charge,
                        .call = call,
                        .seq = seq,
                        .flags = message->flags,
                        .token = message->token,
                };

                if (commit_write(interest, &shipment)) {
                        interest->ledger.matched++;
                        peer_touch(peer);
                        return 0;
                }
        }
        if (call) {
                delivery = delivery_new(interest, message, call, seq);
                if (!delivery)
                        return -ENOMEM;
                interest->ledger.matched++;
                queue_put(interest, delivery, false);
                return 0;
        }
        interest->ledger.matched++;
        why = queue_bound(interest, message);
        if (why != RAMAL__V1__WHY__WHY_NONE && !queue_overflow(interest, message, seq, why))
                return 0;
        delivery = delivery_new(interest, message, NULL, seq);
        if (delivery)
                queue_put(interest, delivery, false);
        else
                queue_drop_new(interest, seq, message->charge, RAMAL__V1__WHY__WHY_BROKER);
        return 0;
}
