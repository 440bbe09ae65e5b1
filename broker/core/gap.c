/* SPDX-License-Identifier: MIT */
#include "gap.h"

#include <stdlib.h>

#include "account.h"
#include "answer.h"
#include "event.h"
#include "interest.h"
#include "queue.h"

/* Who does not keep up, and what it met: a line of log for each hole that opens, not for each message. */
static void gap_event(const struct interest *interest, Ramal__V1__Why why) {
        struct peer *peer = interest->peer;
        const struct account *account = peer->account;
        uint64_t held = interest_queued(interest) + (interest->grouped ? interest->in_flight : 0);
        size_t at = QUOTA_NONE;

        switch (why) {
        case RAMAL__V1__WHY__WHY_WINDOW:
        case RAMAL__V1__WHY__WHY_EVICTED:
                /* One may have made room already. */
                at = held + 1 >= interest->terms->window_messages ? QUOTA(interest_messages) : QUOTA(interest_bytes);
                event_limit(peer, "does not keep up with what is published: its window is full", quota_key(account, at),
                            at, at == QUOTA(interest_messages) ? interest->terms->window_messages
                                                               : interest->terms->window_bytes);
                return;
        case RAMAL__V1__WHY__WHY_CONNECTION:
                at = QUOTA(connection_bytes);
                break;
        case RAMAL__V1__WHY__WHY_UID:
                at = account_bytes_quota(account);
                break;
        case RAMAL__V1__WHY__WHY_BROKER:
                at = QUOTA(broker_bytes);
                break;
        default:
                return;
        }
        event_limit(peer, "messages for it are dropped", quota_key(account, at), at, quota_value(account->limits, at));
}

void gap_add(struct interest *interest, uint64_t seq, uint64_t count, uint64_t bytes, Ramal__V1__Why why) {
        struct backlog *backlog = interest->backlog; /* of whatever had to wait */
        struct gap *gap = backlog->gaps;

        while (gap && gap->why != why)
                gap = gap->next;
        if (!gap) {
                gap = calloc(1, sizeof(*gap));
                if (gap) {
                        gap->why = why;
                        gap->next = backlog->gaps;
                        backlog->gaps = gap;
                        gap_event(interest, why);
                } else {
                        gap = backlog->gaps; /* the count matters more than the reason */
                }
        }
        if (!gap) {
                interest->peer->lost = true; /* it cannot be told: better no connection than a silent loss */
                peer_touch(interest->peer);
                return;
        }
        if (!gap->count || seq < gap->first)
                gap->first = seq;
        if (seq > gap->last)
                gap->last = seq;
        gap->count += count;
        gap->bytes += bytes;
}

void gap_add_delivery(struct interest *interest, const struct delivery *delivery, Ramal__V1__Why why) {
        gap_add(interest, delivery->seq, 1, delivery->body->charge, why);
        if (delivery->replaced)
                gap_add(interest, delivery->replaced_last, delivery->replaced, 0, why);
}

static Ramal__V1__Gap gap_message(const struct interest *interest, const struct gap *gap) {
        Ramal__V1__Gap message = RAMAL__V1__GAP__INIT;

        message.sid = interest->sid;
        message.first = gap->first;
        message.last = gap->last;
        message.count = gap->count;
        message.bytes = gap->bytes;
        message.why = gap->why;
        return message;
}

/* The first one was told. */
static void gap_drop(struct interest *interest) {
        struct gap *gap = interest->backlog->gaps;

        interest->backlog->gaps = gap->next;
        free(gap);
}

bool gaps_write(struct interest *interest) {
        struct peer *peer = interest->peer;

        while (interest->backlog && interest->backlog->gaps) {
                struct gap *gap = interest->backlog->gaps;
                Ramal__V1__Gap message = gap_message(interest, gap);
                size_t len = rml_control_size(RML_GAP, 0, &message.base);
                uint8_t *out = outbox_reserve(&peer->outbox, &peer->core->pool, len);

                if (!out)
                        return false;
                outbox_advance(&peer->outbox, rml_control_pack(out, RML_GAP, 0, &message.base));
                gap_drop(interest);
        }
        return true;
}

void gaps_answer(struct interest *interest) {
        while (interest->backlog && interest->backlog->gaps) {
                struct gap *gap = interest->backlog->gaps;
                Ramal__V1__Gap message = gap_message(interest, gap);

                answer_control(interest->peer, RML_GAP, 0, &message.base);
                gap_drop(interest);
        }
}

void gaps_free(struct interest *interest) {
        while (interest->backlog && interest->backlog->gaps)
                gap_drop(interest);
}
