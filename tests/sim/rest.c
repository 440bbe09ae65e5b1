/* SPDX-License-Identifier: MIT */
#include "rest.h"

#include <stdio.h>

typedef unsigned long long ull;

void rest_closed(struct model *model) {
        world_reap(model->world);
        for (size_t i = 0; i < model->party_count; i++) {
                struct party *party = model->parties[i];
                if (party->fake->closed && !party->closed)
                        model_closed(model, party);
        }
}

static void look(struct model *model, struct party *party) {
        struct got *got;
        while ((got = fake_next(party->fake))) {
                for (size_t i = 0; i < got->len; i++)
                        model->hash = (model->hash ^ got->bytes[i]) * 0x100000001b3u;
                if (model->trace) {
                        char text[256];
                        printf("%llu:    peer %u <- %s\n", (ull)model->world->step, party->fake->index,
                               got_text(got, text, sizeof(text)));
                }
                model_got(model, party, got);
        }
}

void rest_heard(struct model *model, struct party *party) {
        for (;;) {
                struct peer *peer = party->fake->peer;
                /* Not read for another reason than that the core has it still to look at what it sent? */
                if (!peer || core_peer_reading(peer) || core_peer_needs_output(peer) || !world_due(model->world))
                        return;
                /* The first of these turns is not its own: what expires goes before the frame is looked at. */
                world_expire(model->world);
                model_expire(model);
                rest_closed(model);
        }
}

/* The core commits when it is asked who has output, and when a socket has taken some: the model looks after each. */
bool rest_take(struct model *model, struct party *party, size_t max) {
        size_t total = 0, n;
        model->op++;
        world_collect_dirty(model->world);
        model_sync(model);
        while (total < max && party->fake->peer && party->fake->dirty &&
               (n = fake_take_once(party->fake, max - total))) {
                total += n;
                model->op++;
                look(model, party);
                rest_closed(model);
                model_sync(model);
        }
        rest_closed(model);
        return total > 0;
}

void rest_confirm(struct model *model, struct interest *in) {
        if (model->trace)
                printf("%llu: peer %u confirms sid %llu up to %llu\n", (ull)model->world->step, in->party->fake->index,
                       (ull)in->sub.sid, (ull)in->last_seq);
        fake_confirm(in->party->fake, in->sub.sid, in->last_seq);
        rest_heard(model, in->party);
        model_confirm(model, in, in->last_seq);
}

static void check_charges(const struct model *model) {
        struct core_charges charges;
        uint64_t peers = 0, leaving = 0, interests = 0, calls = 0;
        for (size_t i = 0; i < model->party_count; i++) {
                peers += model->parties[i]->fake->peer != NULL;
                leaving += model->parties[i]->fake->peer && model->parties[i]->end != PARTY_LIVE;
        }
        for (size_t i = 0; i < model->interest_count; i++)
                interests += model->interests[i]->live;
        for (size_t i = 0; i < model->call_count; i++)
                calls += !model->calls[i]->ended;
        core_charges(model->world->core, &charges);
        world_check(model->world, charges.peers == peers, "%llu peers, not %llu", (ull)charges.peers, (ull)peers);
        /* Those of a peer that only waits for its own calls may still be there, empty. */
        world_check(model->world, leaving ? charges.interests >= interests : charges.interests == interests,
                    "%llu interests, not %llu", (ull)charges.interests, (ull)interests);
        world_check(model->world, charges.calls == calls, "%llu calls, not %llu", (ull)charges.calls, (ull)calls);
        world_check(model->world, !charges.queued_messages && !charges.queued_bytes && !charges.bodies_bytes,
                    "%llu messages, %llu bytes, %llu of bodies queued for nobody", (ull)charges.queued_messages,
                    (ull)charges.queued_bytes, (ull)charges.bodies_bytes);
}

void rest_turns(struct model *model) {
        while (world_due(model->world)) {
                world_expire(model->world);
                model_expire(model);
                rest_closed(model);
        }
}

static void come_to_rest(struct model *model) {
        for (bool moved = true; moved;) {
                moved = false;
                if (model->parts)
                        rest_turns(model);
                for (size_t i = 0; i < model->party_count; i++) {
                        struct party *party = model->parties[i];
                        party->fake->stuck = false;
                        while (rest_take(model, party, SIZE_MAX)) {
                                model_sync(model);
                                moved = true;
                        }
                }
                for (size_t i = 0; i < model->interest_count; i++) {
                        struct interest *in = model->interests[i];
                        if (in->live && in->party->end == PARTY_LIVE && in->flight.count &&
                            (in->sub.credit_bytes || in->sub.credit_messages)) {
                                rest_confirm(model, in);
                                model_sync(model);
                                moved = true;
                        }
                }
        }
}

void rest_settle(struct model *model) {
        if (model->trace)
                printf("%llu: settle\n", (ull)model->world->step);
        come_to_rest(model);
        /* A PING tells each all that is free of its publish credit. */
        for (size_t i = 0; i < model->party_count; i++) {
                struct party *party = model->parties[i];
                if (party->end == PARTY_LIVE) {
                        uint64_t id = fake_ping(party->fake);
                        rest_heard(model, party);
                        model_ping(party, id);
                }
        }
        come_to_rest(model);
        model_settled(model);
        check_charges(model);
}
