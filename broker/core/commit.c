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

static size_t shipment_head(const struct interest *interest, const struct shipment *shipment, uint8_t *out) {
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
        return rml_put_head(out, RML_DELIVER, id, &hop, shipment->tail->len);
}

bool commit_write(struct interest *interest, const struct shipment *shipment) {
        struct peer *peer = interest->peer;
        struct core *core = peer->core;
        struct outbox *outbox = &peer->outbox;
        size_t copied = shipment->share ? 0 : shipment->tail->len;
        bool asked = credit_asked(interest);
        struct mark *mark;
        uint8_t *out;
        size_t n;

        if (asked && !flights_reserve(&interest->flights))
                return false;
        out = outbox_reserve(outbox, &core->pool, RML_HEAD_BYTES_MAX + copied);
        if (!out)
                return false;
        n = shipment_head(interest, shipment, out);
        if (!asked) {
                mark = peer_mark(peer);
                if (!mark)
                        return false;
                mark->end = outbox->put + n + shipment->tail->len;
                mark->kind = MARK_DELIVERY;
                mark->bytes = (uint32_t)shipment->charge;
                mark->interest = interest;
        }
        if (copied) {
                memcpy(out + n, shipment->tail->data, copied);
                n += copied;
        }
        if (shipment->share && outbox_put_body(outbox, n, shipment->share) < 0) {
                if (!asked)
                        peer->marks.count--;
                return false;
        }
        if (!shipment->share)
                outbox_advance(outbox, n);
        if (asked)
                flights_push(&interest->flights, shipment->seq, shipment->charge);
        interest->ledger.in_flight++;
        peer->in_flight++;
        interest->in_flight_bytes += shipment->charge;
        core->counters.deliveries++;
        core->counters.delivered_bytes += shipment->charge;
        if (shipment->moved || shipment->redelivered)
                interest->unordered = interest->exact = true;
        if (shipment->call)
                call_committed(shipment->call, interest);
        return true;
}

void interest_update(struct interest *interest) {
        struct peer *peer = interest->peer;
        struct delivery *head = queue_front(interest);
        bool ready = head ? credit_open(interest, head->body->charge) : interest->gaps && credit_open(interest, 1);

        if (!ready) {
                rml_heap_remove(&peer->ready, &interest->ready);
                return;
        }
        if (!interest->ready.in_heap)
                rml_heap_push(&peer->ready, &interest->ready, head ? head->ordinal : ++peer->core->ordinal, 0);
        else if (head && interest->ready.key != head->ordinal)
                rml_heap_move(&peer->ready, &interest->ready, head->ordinal, 0);
        peer_touch(peer);
}

bool interest_commit(struct interest *interest) {
        struct delivery *delivery = queue_front(interest);
        struct peer *peer = interest->peer;
        struct shipment shipment;

        if (delivery && expiry_past(interest, delivery)) {
                interest_unqueue(interest, delivery, RAMAL__V1__WHY__WHY_EXPIRED);
                return true;
        }
        /* Room first: a gap that is written is closed, and while nothing can follow it the next one had to begin. */
        if (delivery && !peer_has_room(peer, RML_HEAD_BYTES_MAX + delivery->body->tail.len))
                return false;
        if (!gaps_write(interest))
                return false;
        if (!delivery) {
                interest_update(interest);
                return true;
        }
        shipment = (struct shipment){
                .sender = &delivery->body->sender,
                .tail = &delivery->body->tail,
                .share = delivery->body->blob ? delivery->body : NULL,
                .charge = delivery->body->charge,
                .call = delivery->call,
                .seq = delivery->seq,
                .replaced = delivery->replaced,
                .flags = delivery->flags,
                .token = delivery->token,
                .moved = delivery->moved,
                .redelivered = delivery->redelivered,
                .expires_ns = delivery->body->expires_ns,
        };
        if (!commit_write(interest, &shipment))
                return false;
        queue_unlink(interest, delivery);
        if (flight_kept(interest))
                flight_keep(interest, delivery);
        else
                delivery_free(delivery);
        interest_update(interest);
        group_changed(interest);
        return true;
}
