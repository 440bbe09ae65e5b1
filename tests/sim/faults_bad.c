/* SPDX-License-Identifier: MIT */
/* What peers do that do not. */
#include <stdlib.h>
#include <string.h>

#include "faults.h"

/* A token that somebody else was given. */
static uint64_t stolen_token(struct sim *sim) {
        const struct actor *victim = sim_any(sim, ANY_GOOD);
        if (!victim || !victim->token_count)
                return 1 + rng_below(sim->rng, 300);
        return victim->tokens[rng_below(sim->rng, victim->token_count)].token;
}

/* One frame that could be right. */
static void valid_frame(struct sim *sim, struct fake *fake) {
        static const uint8_t payload[3000];
        static const char *const subjects[] = {
                "a", "a.b", "s.a", "n.one", "$SYS.peer.1", "$PEER.1.x", "$SYS.api.status"};
        static const char *const patterns[] = {">", "a.>", "s.a", "n.one", "n", "$SYS.>", "$PEER.1.>"};
        struct say say = {.subject = PICK(sim, subjects), .payload = payload, .len = (size_t)rng_below(sim->rng, 3000)};
        struct sub sub = {.sid = 1 + rng_below(sim->rng, 5), .pattern = PICK(sim, patterns)};
        switch (rng_below(sim->rng, 11)) {
        case 0:
        case 1:
                fake_data(fake, RML_PUBLISH, false, &say);
                break;
        case 2:
                fake_data(fake, RML_CALL, true, &say);
                break;
        case 3:
                say.subject = NULL;
                say.token = stolen_token(sim);
                fake_data(fake, RML_REPLY, false, &say);
                break;
        case 4:
                sub.serve = rng_chance(sim->rng, 3);
                sub.name = rng_chance(sim->rng, 3);
                sub.replace = sub.name;
                sub.credit_messages = rng_below(sim->rng, 3);
                sub.overflow = sub.serve || sub.name ? 0 : (Ramal__V1__Overflow)rng_below(sim->rng, 5);
                sub.tap = rng_chance(sim->rng, 10);
                fake_subscribe(fake, &sub);
                break;
        case 5:
                fake_unsubscribe(fake, sub.sid);
                break;
        case 6:
                fake_confirm(fake, sub.sid, rng_below(sim->rng, 100));
                break;
        case 7:
                fake_confirm_replies(fake, 1 + rng_below(sim->rng, 50), rng_below(sim->rng, 10));
                break;
        case 8:
                fake_cancel(fake, 1 + rng_below(sim->rng, 50));
                break;
        case 9:
                fake_ping(fake);
                break;
        default:
                say.subject = "$SYS.api.list";
                say.len = 0;
                fake_data(fake, RML_CALL, true, &say);
                break;
        }
}

/* Says something that is nearly right, or right where it has no right to. */
void op_hostile(struct sim *sim) {
        struct actor *actor = sim_any(sim, ANY_BAD);
        uint8_t *bytes = NULL;
        size_t len;
        if (!actor)
                return;
        struct fake *fake = actor->fake;
        fake->hold = true;
        valid_frame(sim, fake);
        len = fake->held_len;
        bytes = fake->held;
        fake->held = NULL;
        fake->held_len = 0;
        fake->hold = false;
        if (!rng_chance(sim->rng, 3))
                for (uint64_t n = 1 + rng_below(sim->rng, 3); n; n--) {
                        size_t at = (size_t)rng_below(sim->rng, rng_chance(sim->rng, 2) && len > 24 ? 24 : len);
                        bytes[at] = (uint8_t)rng_next(sim->rng);
                }
        if (rng_chance(sim->rng, 8))
                len = (size_t)rng_below(sim->rng, len + 1); /* half a frame; what comes next is read as its rest */
        TRACE(sim, "peer %u says %zu bytes", fake->index, len);
        fake_raw(fake, bytes, len);
        free(bytes);
}

/* More than anybody wants, and reads nothing. */
void op_flood(struct sim *sim) {
        struct actor *actor = sim_any(sim, ANY_BAD);
        if (!actor)
                return;
        TRACE(sim, "peer %u floods", actor->fake->index);
        actor->fake->stuck = true;
        for (unsigned i = 0; i < 200 && actor->fake->peer && !actor->fake->ended; i++) {
                if (!core_peer_reading(actor->fake->peer) && rng_chance(sim->rng, 10))
                        return;
                valid_frame(sim, actor->fake);
        }
}

/* A server that speaks to a broker which is no more, and somebody who was never let in. */
void op_stale(struct sim *sim) {
        struct actor *actor = sim_any(sim, rng_chance(sim->rng, 2) ? ANY_GOOD : ANY_BAD);
        uint8_t payload[64];
        if (!actor || !(actor->good || actor->stranger) || (actor->good && !sim->history->old_token_count))
                return;
        struct say say = {.payload = payload, .len = sizeof(payload)};
        history_fill(history_number(sim->history), payload, sizeof(payload));
        struct letter *letter;
        if (actor->good) {
                say.token = sim->history->old_tokens[rng_below(sim->rng, sim->history->old_token_count)];
                letter = history_says(sim->history, actor, LETTER_REPLY, NULL, sizeof(payload));
        } else {
                say.subject = "a";
                letter = history_says(sim->history, actor, LETTER_PUBLISH, say.subject, sizeof(payload));
        }
        letter->stale = true;
        TRACE(sim, "peer %u says %llu, which may not be taken", actor->fake->index,
              (unsigned long long)history_number(sim->history) - 1);
        fake_data(actor->fake, actor->good ? RML_REPLY : RML_PUBLISH, false, &say);
}
