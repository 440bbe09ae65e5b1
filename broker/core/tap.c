/* SPDX-License-Identifier: MIT */
#include "tap.h"

#include "interest.h"

void tap_show(struct core *core, struct rml_span subject, const struct message *message, uint32_t flags,
              uint64_t token) {
        const struct topic_route *route;
        struct message seen = *message;
        const char *why;

        if (topics_route(core->topics, TOPIC_TAPPED, subject, &route, &why) < 0)
                return;
        seen.flags = RAMAL__V1__DATA_FLAG__DATA_FLAG_TAPPED | flags;
        seen.token = token;
        seen.plain = false;
        seen.receivers = route->count + 1; /* somebody else has it too: a large one is shared */
        if (seen.body)
                body_ref(seen.body);
        for (size_t i = 0; i < route->count; i++) {
                struct interest *interest = slot_interest(route->slots[i]);

                if (interest_hears(interest))
                        interest_offer(interest, &seen, NULL);
        }
        message_done(&seen);
}
