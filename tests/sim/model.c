/* SPDX-License-Identifier: MIT */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *model_grown(void *array, size_t count, size_t size) {
        void *more = realloc(array, (count + 1) * size);
        if (!more)
                abort();
        return more;
}

void *model_fresh(size_t size) {
        void *p = calloc(1, size);
        if (!p)
                abort();
        return p;
}

void entries_push(struct entries *list, const struct entry *entry) {
        if (list->count == list->room) {
                list->room = list->room ? 2 * list->room : 8;
                list->items = realloc(list->items, list->room * sizeof(*list->items));
                if (!list->items)
                        abort();
        }
        list->items[list->count++] = *entry;
}

struct entry entries_take(struct entries *list, size_t at) {
        struct entry entry = list->items[at];
        list->count--;
        memmove(list->items + at, list->items + at + 1, (list->count - at) * sizeof(entry));
        return entry;
}

void entries_insert(struct entries *list, size_t at, const struct entry *entry) {
        entries_push(list, entry);
        memmove(list->items + at + 1, list->items + at, (list->count - 1 - at) * sizeof(*entry));
        list->items[at] = *entry;
}

uint64_t entries_bytes(const struct entries *list) {
        uint64_t sum = 0;
        for (size_t i = 0; i < list->count; i++)
                sum += list->items[i].len;
        return sum;
}

struct model *model_new(struct world *world) {
        struct model *model = model_fresh(sizeof(*model));
        model->world = world;
        return model;
}

void model_free(struct model *model) {
        for (size_t i = 0; i < model->interest_count; i++) {
                struct interest *in = model->interests[i];
                free(in->queue.items);
                free(in->flight.items);
                free(in->coming.items);
                free(in->lost.items);
                free(in);
        }
        for (size_t i = 0; i < model->line_count; i++)
                free(model->lines[i]);
        for (size_t i = 0; i < model->message_count; i++)
                free(model->messages[i]);
        for (size_t i = 0; i < model->call_count; i++)
                free(model->calls[i]);
        for (size_t i = 0; i < model->party_count; i++) {
                free(model->parties[i]->answers);
                free(model->parties[i]->refused);
                free(model->parties[i]);
        }
        free(model->interests);
        free(model->lines);
        free(model->messages);
        free(model->calls);
        free(model);
}

struct party *model_join(struct model *model, struct fake *fake) {
        struct party *party = model_fresh(sizeof(*party));
        world_check(model->world, model->party_count < 512, "too many parties");
        party->fake = fake;
        fake->user = party;
        model->parties[model->party_count++] = party;
        return party;
}

struct answer *model_expect(struct party *party, uint64_t id, uint32_t kind) {
        party->answers = model_grown(party->answers, party->answer_count, sizeof(*party->answers));
        struct answer *answer = &party->answers[party->answer_count++];
        *answer = (struct answer){.id = id, .kind = kind};
        return answer;
}

/* ---- endings --------------------------------------------------------------------------------------------------- */

static void abandon_calls(struct model *model, struct party *party) {
        for (size_t i = 0; i < model->call_count; i++)
                if (model->calls[i]->caller == party)
                        model_end_call(model, model->calls[i], RAMAL__V1__CODE__CODE_CANCELLED, false,
                                       RAMAL__V1__WHY__WHY_GONE);
}

void model_end(struct model *model, struct party *party, enum party_end end) {
        bool live = party->end == PARTY_LIVE;
        model->op++;
        /* Nobody can be told how its calls end: so they are over before anything moves, and do not move. */
        if (end == PARTY_LOST) {
                party->end = end;
                abandon_calls(model, party);
        }
        if (live) {
                party->end_ns = model->world->now;
                party->end = end;
                for (size_t i = 0; i < model->interest_count; i++) {
                        struct interest *in = model->interests[i];
                        if (in->party != party || !in->live)
                                continue;
                        /* What waits for a plain interest is still sent after an end without BYE. */
                        while (end == PARTY_EOF && !in->line && in->queue.count) {
                                struct entry entry = entries_take(&in->queue, 0);
                                entry.op = model->op;
                                entries_push(&in->coming, &entry);
                        }
                        in->vague = end != PARTY_BYE;
                        model_end_interest(model, in, end == PARTY_EOF || end == PARTY_LOST);
                }
                for (size_t i = 0; i < model->call_count; i++) {
                        struct call *call = model->calls[i];
                        if (call->server && call->server->party == party && call->committed)
                                model_end_call(model, call, RAMAL__V1__CODE__CODE_RESPONDER_GONE, true,
                                               RAMAL__V1__WHY__WHY_GONE);
                }
        }
}

void model_bye(struct model *model, struct party *party, uint64_t id) {
        model_expect(party, id, RML_STATUS)->code = RAMAL__V1__CODE__CODE_OK;
        model_end(model, party, PARTY_BYE);
}

void model_ping(struct party *party, uint64_t id) {
        model_expect(party, id, RML_PONG);
}

/* Time has passed: what is due happens in its order. */
void model_expire(struct model *model) {
        uint64_t now = model->world->now;
        model->op++;
        model_expire_queues(model);
        for (size_t i = 0; i < model->call_count; i++) {
                struct call *call = model->calls[i];
                if (!call->ended && call->deadline_ns && call->deadline_ns <= now)
                        model_end_call(model, call, RAMAL__V1__CODE__CODE_DEADLINE, false, RAMAL__V1__WHY__WHY_EXPIRED);
        }
        for (size_t i = 0; i < model->party_count; i++) {
                struct party *party = model->parties[i];
                if ((party->end == PARTY_EOF || party->end == PARTY_BYE) &&
                    now >= party->end_ns + model->world->limits.flush_timeout_ns)
                        abandon_calls(model, party);
        }
}
