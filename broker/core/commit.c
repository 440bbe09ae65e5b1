/* SPDX-License-Identifier: MIT */
#include "commit.h"

#include <string.h>

#include "bounds.h"
#include "call.h"
#include "encode.h"
#include "group.h"
#include "interest.h"
#include "queue.h"

static uint64_t time_left_us(const struct core *core, const struct call *call) {
        if (call->deadline_ns == CORE_NEVER)
                return 0;
        if (call->deadline_ns <= core->now_ns)
                return 1;
        return (call->deadline_ns - core->now_ns + 999) / 1000;
}

static size_t shipment_head(const struct interest *interest, const struct shipment *shipment, uint8_t *out) {
        struct rml_hop hop = {
                .sid = interest->sid,
                .seq = shipment->seq,
                .replaced = shipment->replaced,
                .sender_field = shipment->sender,
                .flags = shipment->flags | (shipment->moved ? RAMAL__V1__DATA_FLAG__DATA_FLAG_MOVED : 0),
                .token = shipment->token,
        };
        uint64_t id = 0;

        if (shipment->call) {
                hop.token = shipment->call->token;
                hop.flags |= RAMAL__V1__DATA_FLAG__DATA_FLAG_CALL;
                hop.time_left_us = time_left_us(interest->peer->core, shipment->call);
                hop.stream_credit = shipment->call->stream_credit;
                if (shipment->call->caller == interest->peer)
                        id = shipment->call->id; /* a call to oneself: the library must find it out */
        }
        return rml_put_head(out, RML_DELIVER, id, &hop, shipment->tail.len);
}

bool commit_write(struct interest *interest, const struct shipment *shipment) {
        struct peer *peer = interest->peer;
        struct core *core = peer->core;
        struct outbox *outbox = &peer->outbox;
        size_t copied = shipment->share ? 0 : shipment->tail.len;
        bool asked = credit_asked(interest);
        struct mark mark = {.kind = MARK_DELIVERY, .bytes = (uint32_t)shipment->charge, .interest = interest};
        uint8_t *out;
        size_t n;

        if (asked && !flights_reserve(&interest->flights))
                return false;
        out = outbox_reserve(outbox, &core->pool, RML_HEAD_BYTES_MAX + copied);
        if (!out)
                return false;
        n = shipment_head(interest, shipment, out);
        mark.end = outbox->put + n + shipment->tail.len;
        if (!asked && peer_mark(peer, &mark) < 0)
                return false;
        if (copied) {
                memcpy(out + n, shipment->tail.data, copied);
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
        if (shipment->moved)
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
                .sender = {delivery->body->sender, delivery->body->sender_len},
                .tail = delivery->body->tail,
                .share = delivery->body->blob ? delivery->body : NULL,
                .charge = delivery->body->charge,
                .call = delivery->call,
                .seq = delivery->seq,
                .replaced = delivery->replaced,
                .flags = delivery->flags,
                .token = delivery->token,
                .moved = delivery->moved,
        };
        if (!commit_write(interest, &shipment))
                return false;
        queue_unlink(interest, delivery);
        delivery_free(delivery);
        interest_update(interest);
        group_changed(interest);
        return true;
}
