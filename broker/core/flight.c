/* SPDX-License-Identifier: MIT */
#include "flight.h"

#include <stdlib.h>

#include "block.h"
#include "budget.h"
#include "commit.h"
#include "group.h"
#include "interest.h"
#include "queue.h"
#include "share.h"

bool credit_asked(const struct interest *interest) {
        return interest->credit_bytes || interest->credit_messages;
}

/* Would the receiver's credit let a message of that size through? One that is larger than all of it goes when nothing
 * is in flight. */
bool credit_open(const struct interest *interest, size_t charge) {
        if (interest->ledger.in_flight == 0 || interest->peer->state == PEER_LEAVING || !credit_asked(interest))
                return true;
        if (interest->credit_messages && interest->ledger.in_flight >= interest->credit_messages)
                return false;
        return !interest->credit_bytes || (interest->in_flight_bytes < interest->credit_bytes &&
                                           charge <= interest->credit_bytes - interest->in_flight_bytes);
}

bool flights_grow(struct flight_ring *ring) {
        uint32_t room = ring->room ? ring->room * 2 : 16;
        struct flight *items = room > ring->room ? malloc(room * sizeof(*items)) : NULL;
        if (!items)
                return false;
        for (uint32_t i = 0; i < ring->count; i++)
                items[i] = ring->items[(ring->first + i) & (ring->room - 1)];
        free(ring->items);
        *ring = (struct flight_ring){.items = items, .count = ring->count, .room = room};
        return true;
}

/* ---- what a group's subscriber keeps ---- */

bool flight_kept(const struct interest *interest) {
        return interest->gang && !interest->serve;
}

void flight_keep(struct interest *interest, struct delivery *delivery) {
        block_let_go(delivery);
        rml_list_push_back(&interest->kept, &delivery->link);
        budget_add(interest->peer, delivery->body->charge);
        budget_sent(interest->peer);
        share_kept(interest, delivery);
}

void flight_take(struct interest *interest, struct delivery *delivery) {
        rml_list_remove(&delivery->link);
        share_unqueued(interest, delivery);
        budget_unsent(interest->peer);
        budget_remove(interest->peer, delivery->body->charge);
}

/* The oldest `count` of them are confirmed. */
static void flights_done(struct interest *interest, uint64_t count) {
        struct rml_list *first;

        for (; count && (first = rml_list_first(&interest->kept)); count--) {
                struct delivery *delivery = rml_list_entry(first, struct delivery, link);

                flight_take(interest, delivery);
                delivery_free(delivery);
        }
}

void flights_forget(struct interest *interest) {
        flights_done(interest, UINT64_MAX);
}

/* ---- confirming ---- */

void interest_taken(struct interest *interest, uint32_t bytes) {
        if (interest->astray) {
                interest->astray--;
                return;
        }
        if (interest->grouped)
                flights_done(interest, 1);
        interest->ledger.in_flight--;
        interest->peer->in_flight--;
        interest->ledger.confirmed++;
        interest->in_flight_bytes -= bytes;
        interest_update(interest);
        group_changed(interest);
}

/* How many at the front of the ring does `seq` confirm? 0 = it is none of them. */
static uint32_t flight_find(struct interest *interest, uint64_t seq) {
        const struct flight_ring *ring = &interest->flights;
        uint32_t low = 0, high = ring->count;

        if (!ring->count || seq == 0 || seq > interest->ledger.matched)
                return 0;
        if (interest->unordered) {
                /* Few and short-lived: after a member of a group died. A receiver that names numbers which are not
                 * there may not make us search for ever. */
                uint32_t now_ms = (uint32_t)(interest->peer->core->now_ns / 1000000);

                if (interest->confirmed_last == (uint32_t)seq)
                        return 0; /* said again */
                if (interest->stray_ms != now_ms)
                        interest->stray = 0;
                interest->stray_ms = now_ms;
                if (interest->stray >= 16)
                        return 0;
                for (uint32_t i = 0; i < ring->count; i++)
                        if (ring->items[(ring->first + i) & (ring->room - 1)].seq == (uint32_t)seq) {
                                interest->stray = 0;
                                return i + 1;
                        }
                interest->stray++;
                return 0;
        }
        /* Numbers ascend: the last one that is not above seq. */
        while (low < high) {
                uint32_t middle = low + (high - low) / 2;
                uint32_t item = ring->items[(ring->first + middle) & (ring->room - 1)].seq;

                if ((int32_t)(item - (uint32_t)seq) <= 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        if (low && interest->exact && ring->items[(ring->first + low - 1) & (ring->room - 1)].seq != (uint32_t)seq)
                return 0; /* confirmed before */
        return low;
}

bool interest_confirm(struct interest *interest, uint64_t seq) {
        struct flight_ring *ring = &interest->flights;
        uint32_t n = credit_asked(interest) ? flight_find(interest, seq) : 0;
        uint64_t bytes = 0;

        if (!n)
                return false;
        for (uint32_t i = 0; i < n; i++)
                bytes += ring->items[(ring->first + i) & (ring->room - 1)].bytes;
        interest->confirmed_last = ring->items[(ring->first + n - 1) & (ring->room - 1)].seq;
        ring->first = (ring->first + n) & (ring->room - 1);
        ring->count -= n;
        flights_done(interest, n);
        interest->in_flight_bytes -= bytes;
        interest->ledger.in_flight -= n;
        interest->peer->in_flight -= n;
        interest->ledger.confirmed += n;
        if (!ring->count) {
                interest->unordered = false;
                interest->stray = 0;
        }
        interest_update(interest);
        group_changed(interest);
        return true;
}
