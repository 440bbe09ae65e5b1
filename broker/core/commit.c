/* SPDX-License-Identifier: MIT */
#include "commit.h"

#include <string.h>

#include "bounds.h"
#include "call.h"
#include "encode.h"
#include "expiry.h"
#include "group.h"
#include "interest.h"
#include "queue.h"

/* Rounded up, and never 0 for something that ends. */
static uint64_t time_left_us(const struct core *core, uint64_t end_ns) {
        uint64_t left_ns = end_ns > core->now_ns ? end_ns - core->now_ns : 1;

        return end_ns == CORE_NEVER ? 0 : left_ns / 1000 + !!(left_ns % 1000);
}

/* Inlined into both that write: of what a plain message does not have nothing is left. */
static inline __attribute__((always_inline)) size_t shipment_head(const struct interest *interest,
                                                                  const struct shipment *shipment, uint8_t *out) {
        /* All of it by name: what is left out gcc clears by a `rep stos`, which costs as much as all the rest here. */
        struct rml_hop hop = {
                .sid = interest->sid,
                .seq = shipment->seq,
                .replaced = shipment->replaced,
                .flags = shipment->flags | (shipment->moved ? RAMAL__V1__DATA_FLAG__DATA_FLAG_MOVED : 0) |
                         (shipment->redelivered ? RAMAL__V1__DATA_FLAG__DATA_FLAG_REDELIVERED : 0),
                .token = shipment->token,
                .sender_field = *shipment->sender,
                .time_left_us = 0,
                .code = 0,
                .sender = NULL,
                .text = {NULL, 0},
                .key = {NULL, 0},
                .stream_credit = 0,
        };
        uint64_t id = 0;

        if (shipment->call) {
                hop.token = shipment->call->token;
                hop.flags |= RAMAL__V1__DATA_FLAG__DATA_FLAG_CALL;
                hop.time_left_us = time_left_us(interest->peer->core, shipment->call->deadline_ns);
                hop.stream_credit = shipment->call->stream_credit;
                if (shipment->call->caller == interest->peer)
                        id = shipment->call->id; /* a call to oneself: the library must find it out */
        } else if (shipment->expires_ns && !interest->tap) {
                hop.time_left_us = time_left_us(interest->peer->core, shipment->expires_ns);
        }
        return rml_put_head_here(out, RML_DELIVER, id, &hop, shipment->tail->len);
}

/* After marks_reserve(): `len` bytes of output, put there from `began` on, are a delivery. */
static inline void mark_delivery(struct mark_ring *ring, struct interest *interest, uint64_t began, size_t len,
                                 size_t charge) {
        struct mark *last = ring->last;

        if (last && last->end == began && last->kind == MARK_DELIVERY && last->interest == interest &&
            last->len == len && last->bytes == charge) {
                last->end += len;
                last->count++;
                return;
        }
        last = marks_put(ring);
        last->end = began + len;
        last->kind = MARK_DELIVERY;
        last->bytes = (uint32_t)charge;
        last->interest = interest;
        last->count = 1;
        last->len = (uint32_t)len;
}

/* It is in the output, `len` bytes from `began` on. */
static inline void count_written(struct interest *interest, uint64_t seq, uint64_t began, size_t len, size_t charge) {
        struct peer *peer = interest->peer;
        struct counters *counters = &peer->core->counters;

        interest->in_flight++;
        interest->in_flight_bytes += charge;
        peer->in_flight++;
        counters->deliveries++;
        counters->delivered_bytes += charge;
        if (credit_asked(interest))
                flights_push(interest->flights, seq, charge);
        else
                mark_delivery(&peer->marks, interest, began, len, charge);
}

bool commit_write(struct interest *interest, const struct shipment *shipment) {
        struct peer *peer = interest->peer;
        struct outbox *outbox = &peer->outbox;
        size_t copied = shipment->share ? 0 : shipment->tail->len, n;
        uint64_t began = outbox->put;
        uint8_t *out;

        if (!(credit_asked(interest) ? flights_reserve(&interest->flights) : marks_reserve(peer)))
                return false;
        out = outbox_reserve(outbox, &peer->core->pool, RML_HEAD_BYTES_MAX + copied);
        if (!out)
                return false;
        n = shipment_head(interest, shipment, out);
        if (copied)
                memcpy(out + n, shipment->tail->data, copied);
        if (shipment->share && outbox_put_body(outbox, n, shipment->share) < 0)
                return false;
        if (!shipment->share)
                outbox_advance(outbox, n + copied);
        count_written(interest, shipment->seq, began, n + shipment->tail->len, shipment->charge);
        if (credit_asked(interest) && (shipment->moved || shipment->redelivered))
                interest->flights->unordered = interest->flights->exact = true;
        if (shipment->call)
                call_committed(shipment->call, interest);
        return true;
}

bool commit_plain(struct interest *interest, const struct message *message) {
        struct peer *peer = interest->peer;
        struct outbox *outbox = &peer->outbox;
        const struct rml_span tail = message->tail;
        const struct shipment shipment = {.sender = message->sender, .tail = &tail, .seq = interest->matched + 1};
        size_t charge = message->charge, n;
        uint8_t *out = outbox_room(outbox, RML_HEAD_BYTES_MAX + tail.len);
        uint64_t began = outbox->put;

        if (!out || !interest_free_way(interest, message) ||
            !(credit_asked(interest) ? flights_room(interest->flights) : marks_room(&peer->marks)))
                return false;
        interest->matched++;
        peer_touch(peer);
        n = shipment_head(interest, &shipment, out);
        outbox_advance(outbox, n + tail.len);
        count_written(interest, shipment.seq, began, n + tail.len, charge);
        /* Last, so that nothing has to be kept for after the call. */
        if (tail.len)
                memcpy(out + n, tail.data, tail.len);
        return true;
}

void interest_update(struct interest *interest) {
        struct peer *peer = interest->peer;
        struct backlog *backlog = interest->backlog;
        struct delivery *head = queue_front(interest);
        bool ready;

        if (!backlog)
                return;
        ready = head ? credit_open(interest, head->body->charge) : backlog->gaps && credit_open(interest, 1);

        if (!ready) {
                rml_heap_remove(&peer->ready, &backlog->ready);
                interest_unburden(interest);
                return;
        }
        if (!rml_heap_has(&backlog->ready))
                rml_heap_push(&peer->ready, &backlog->ready, head ? head->ordinal : ++peer->core->ordinal, 0);
        else if (head && backlog->ready.key != head->ordinal)
                rml_heap_move(&peer->ready, &backlog->ready, head->ordinal, 0);
        peer_touch(peer);
}

/* The head of the queue, for which there is room. */
static bool commit_head(struct interest *interest, struct delivery *delivery) {
        const struct body *body = delivery->body;
        struct shipment shipment = {
                .sender = &body->sender,
                .tail = &body->tail,
                .share = body->blob ? delivery->body : NULL,
                .charge = body->charge,
                .call = delivery->call,
                .seq = delivery->seq,
                .replaced = delivery->replaced,
                .flags = delivery->flags,
                .token = delivery->token,
                .moved = delivery->moved,
                .redelivered = delivery->redelivered,
                .expires_ns = body->expires_ns,
        };

        if (!commit_write(interest, &shipment))
                return false;
        queue_unlink(interest, delivery);
        if (flight_kept(interest))
                flight_keep(interest, delivery);
        else
                delivery_free(delivery);
        return true;
}

static bool head_fits(const struct interest *interest, const struct delivery *delivery) {
        return peer_has_room(interest->peer, RML_HEAD_BYTES_MAX + delivery->body->tail.len);
}

/* The next one, if it may go at once: nobody else has anything for the peer to be put in order with, and no group has
 * to be told of each. */
static struct delivery *next_alone(const struct interest *interest) {
        struct delivery *delivery = queue_front(interest);

        return delivery && !interest->grouped && interest->peer->ready.count == 1 && head_fits(interest, delivery) &&
                               credit_open(interest, delivery->body->charge) && !interest->backlog->gaps &&
                               !expiry_past(interest, delivery)
                       ? delivery
                       : NULL;
}

bool interest_commit(struct interest *interest) {
        struct delivery *delivery = queue_front(interest);

        if (delivery && expiry_past(interest, delivery)) {
                interest_unqueue(interest, delivery, RAMAL__V1__WHY__WHY_EXPIRED);
                return true;
        }
        /* Room first: a gap that is written is closed, and while nothing can follow it the next one had to begin. */
        if (delivery && !head_fits(interest, delivery))
                return false;
        if (!gaps_write(interest) || (delivery && !commit_head(interest, delivery)))
                return false;
        while (delivery && (delivery = next_alone(interest)))
                if (!commit_head(interest, delivery))
                        break; /* asked again, it says so */
        interest_update(interest);
        group_changed(interest);
        return true;
}
