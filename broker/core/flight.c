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

#define FLIGHTS_MIN 4u     /* what most interests ever have in flight */
#define FLIGHTS_KEPT 1024u /* a larger ring is given back when it is empty */

bool flights_grow(struct flights **at) {
        struct flights *old = *at, *ring;
        uint32_t room = old ? old->room * 2 : FLIGHTS_MIN;

        if (room > UINT32_MAX / 2)
                return false;
        ring = malloc(sizeof(*ring) + room * sizeof(ring->items[0]));
        if (!ring)
                return false;
        *ring = (struct flights){.room = room};
        if (old) {
                *ring = *old;
                ring->first = 0;
                ring->room = room;
                for (uint32_t i = 0; i < old->count; i++)
                        ring->items[i] = old->items[(old->first + i) & (old->room - 1)];
                free(old);
        }
        *at = ring;
        return true;
}

/* ---- what a group's subscriber keeps ---- */

void flight_keep(struct interest *interest, struct delivery *delivery) {
        block_let_go(delivery);
        rml_list_push_back(&member_of(interest)->kept, &delivery->link);
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

        if (!interest->grouped)
                return;
        for (; count && (first = rml_list_first(&member_of(interest)->kept)); count--) {
                struct delivery *delivery = rml_list_entry(first, struct delivery, link);

                flight_take(interest, delivery);
                delivery_free(delivery);
        }
}

void flights_forget(struct interest *interest) {
        flights_done(interest, UINT64_MAX);
}

/* ---- confirming ---- */

void interest_taken(struct interest *interest, uint32_t count, uint32_t bytes) {
        uint64_t n = count;

        if (interest->grouped) {
                struct member *member = member_of(interest);
                uint64_t astray = member->astray < count ? member->astray : count; /* those come first */

                member->astray -= astray;
                n -= astray;
                if (!n)
                        return;
                flights_done(interest, n);
        }
        interest->in_flight -= (uint32_t)n;
        interest->peer->in_flight -= n;
        interest->confirmed += n;
        interest->in_flight_bytes -= n * bytes;
        interest_update(interest);
        group_changed(interest);
}

/* How many at the front of the ring does `seq` confirm? 0 = it is none of them. */
static uint32_t flight_find(struct interest *interest, uint64_t seq) {
        struct flights *ring = interest->flights;
        uint32_t low = 0, high = ring ? ring->count : 0;

        if (!high || seq == 0 || seq > interest->matched)
                return 0;
        if (ring->unordered) {
                /* Few and short-lived: after a member of a group died. A receiver that names numbers which are not
                 * there may not make us search for ever. */
                uint32_t now_ms = (uint32_t)(interest->peer->core->now_ns / 1000000);

                if (ring->confirmed_last == seq)
                        return 0; /* said again */
                if (ring->stray_ms != now_ms)
                        ring->stray = 0;
                ring->stray_ms = now_ms;
                if (ring->stray >= 16)
                        return 0;
                for (uint32_t i = 0; i < ring->count; i++)
                        if (flights_seq(ring, i) == seq) {
                                ring->stray = 0;
                                return i + 1;
                        }
                ring->stray++;
                return 0;
        }
        /* Numbers ascend: the last one that is not above seq. */
        while (low < high) {
                uint32_t middle = low + (high - low) / 2;

                if (flights_seq(ring, middle) <= seq)
                        low = middle + 1;
                else
                        high = middle;
        }
        if (low && ring->exact && flights_seq(ring, low - 1) != seq)
                return 0; /* confirmed before */
        return low;
}

bool interest_confirm(struct interest *interest, uint64_t seq) {
        struct flights *ring = interest->flights;
        uint32_t n = credit_asked(interest) ? flight_find(interest, seq) : 0;
        uint64_t bytes = 0;

        if (!n)
                return false;
        for (uint32_t i = 0; i < n; i++)
                bytes += ring->items[(ring->first + i) & (ring->room - 1)].bytes;
        ring->confirmed_last = flights_seq(ring, n - 1);
        ring->first = (ring->first + n) & (ring->room - 1);
        ring->count -= n;
        flights_done(interest, n);
        interest->in_flight_bytes -= bytes;
        interest->in_flight -= n;
        interest->peer->in_flight -= n;
        interest->confirmed += n;
        if (!ring->count) {
                ring->unordered = false;
                ring->stray = 0;
                if (ring->room > FLIGHTS_KEPT) {
                        free(ring);
                        interest->flights = NULL;
                }
        }
        interest_update(interest);
        group_changed(interest);
        return true;
}
