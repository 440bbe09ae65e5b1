/* SPDX-License-Identifier: MIT */
#include "expiry.h"

#include <stdlib.h>

#include "interest.h"
#include "queue.h"

_Static_assert(sizeof(struct expiry) <= MESSAGE_EXPIRY_BYTES, "what the timer of a queued message costs");

uint64_t expiry_at(const struct core *core, uint64_t time_left_us) {
        return core_add_ns(core->now_ns, time_left_us > UINT64_MAX / 1000 ? UINT64_MAX : time_left_us * 1000);
}

/* A call has its deadline. A tap sees what was said, whoever was too late to hear it. */
static bool expires(const struct interest *interest, const struct delivery *delivery) {
        return delivery->body->expires_ns != CORE_NEVER && !delivery->call && !interest->tap;
}

bool expiry_past(const struct interest *interest, const struct delivery *delivery) {
        return delivery->body->expires_ns <= interest->peer->core->now_ns && expires(interest, delivery);
}

void expiry_set(struct interest *interest, struct delivery *delivery) {
        struct expiry *expiry = expires(interest, delivery) ? calloc(1, sizeof(*expiry)) : NULL;

        if (!expiry)
                return;
        expiry->timer.kind = TIMER_EXPIRY;
        expiry->interest = interest;
        expiry->delivery = delivery;
        delivery->expiry = expiry;
        timer_set(interest->peer->core, &expiry->timer, delivery->body->expires_ns);
}

void expiry_clear(struct interest *interest, struct delivery *delivery) {
        if (!delivery->expiry)
                return;
        timer_clear(interest->peer->core, &delivery->expiry->timer);
        free(delivery->expiry);
        delivery->expiry = NULL;
}

void expiry_due(struct expiry *expiry) {
        struct interest *interest = expiry->interest;
        struct peer *peer = interest->peer;

        interest_unqueue(interest, expiry->delivery, RAMAL__V1__WHY__WHY_EXPIRED);
        peer_touch(peer); /* it may have been the last that it waited for before it leaves */
}
