/* SPDX-License-Identifier: MIT */
#include "history.h"

#include <stdlib.h>
#include <string.h>

#include "naive_match.h"

static void *grow(void *array, size_t count, size_t *room, size_t size) {
        if (count < *room)
                return array;
        *room = *room ? 2 * *room : 64;
        array = realloc(array, *room * size);
        if (!array)
                abort();
        return array;
}

static void *fresh(size_t size) {
        void *p = calloc(1, size);
        if (!p)
                abort();
        return p;
}

struct history *history_new(struct world *world) {
        struct history *h = fresh(sizeof(*h));
        h->world = world;
        h->letters = grow(NULL, 0, &h->letter_room, sizeof(*h->letters));
        memset(&h->letters[0], 0, sizeof(h->letters[0]));
        h->letter_count = 1; /* 0 is none */
        h->window = 1;
        return h;
}

void history_free(struct history *h) {
        for (size_t i = 0; i < h->actor_count; i++) {
                for (size_t k = 0; k < h->actors[i]->reader_count; k++)
                        free(h->actors[i]->readers[k].seen);
                free(h->actors[i]);
        }
        for (size_t i = 0; i < h->dialog_count; i++)
                free(h->dialogs[i]);
        free(h->dialogs);
        free(h->letters);
        free(h->edges);
        free(h);
}

struct actor *history_join(struct history *h, struct fake *fake, bool good, bool stranger) {
        struct actor *actor = fresh(sizeof(*actor));
        world_check(h->world, h->actor_count < ACTORS_MAX, "too many actors");
        actor->fake = fake;
        actor->good = good;
        actor->stranger = stranger;
        actor->place = (unsigned)h->actor_count;
        fake->user = actor;
        h->actors[h->actor_count++] = actor;
        return actor;
}

void history_restarted(struct history *h) {
        h->restarts++;
        h->old_token_count = 0;
        for (size_t i = 0; i < h->actor_count; i++) {
                struct actor *actor = h->actors[i];
                for (size_t k = 0; !actor->closed && k < actor->token_count && h->old_token_count < TOKENS_MAX; k++)
                        h->old_tokens[h->old_token_count++] = actor->tokens[k].token;
                actor->leaving = actor->closed = true;
        }
        h->edge_count = 0;
        h->window = h->letter_count;
        h->hostile = false;
}

uint64_t history_number(const struct history *h) {
        return h->letter_count;
}

struct letter *history_letter(const struct history *h, uint64_t number) {
        return number && number < h->letter_count ? &h->letters[number] : NULL;
}

void history_edge(struct history *h, uint64_t from, uint64_t to) {
        if (!from || from == to || from < h->window || to < h->window)
                return;
        h->edges = grow(h->edges, h->edge_count, &h->edge_room, sizeof(*h->edges));
        h->edges[h->edge_count].from = from;
        h->edges[h->edge_count++].to = to;
}

struct letter *history_says(struct history *h, struct actor *actor, enum letter_sort sort, const char *subject,
                            size_t len) {
        uint64_t number = h->letter_count;
        h->letters = grow(h->letters, h->letter_count, &h->letter_room, sizeof(*h->letters));
        struct letter *letter = &h->letters[h->letter_count++];
        *letter = (struct letter){.sender = actor, .sort = sort, .subject = subject, .len = len};
        letter->publish = actor->fake->publishes + (sort == LETTER_PUBLISH);
        letter->stale = !actor->fake->in;
        /* While something waits for the next turn it may be what this peer said before. */
        letter->unsure =
                actor->fake->hold || !actor->fake->peer || !core_peer_reading(actor->fake->peer) || world_due(h->world);
        if (!letter->stale) {
                history_edge(h, actor->said, number);
                history_edge(h, actor->chain, number);
                actor->said = number;
        }
        return letter;
}

struct dialog *history_calls(struct history *h, struct actor *actor, struct letter *letter) {
        struct dialog *dialog = fresh(sizeof(*dialog));
        h->dialogs = grow(h->dialogs, h->dialog_count, &h->dialog_room, sizeof(*h->dialogs));
        h->dialogs[h->dialog_count++] = dialog;
        dialog->caller = actor;
        dialog->id = actor->fake->next_id;
        dialog->number = (uint64_t)(letter - h->letters);
        letter->dialog = dialog;
        return dialog;
}

void history_due(struct history *h, struct actor *actor, const struct due *due) {
        if (!actor->good)
                return;
        world_check(h->world, actor->due_count < DUES_MAX, "too many answers due");
        actor->dues[actor->due_count++] = *due;
}

void history_fill(uint64_t number, uint8_t *payload, size_t len) {
        for (size_t i = 0; i < len; i++)
                payload[i] = (uint8_t)(number * 31 + i * 7 + (i >> 8));
        memcpy(payload, &number, sizeof(number));
}

/* ---- interests ------------------------------------------------------------------------------------------------- */

bool reader_plain(const struct reader *reader) {
        return reader->group < 0 && !reader->sub.serve && !reader->sub.name;
}

bool reader_takes(const struct reader *reader, const char *subject) {
        struct rml_span text = rml_span_of(subject);
        size_t len = strlen(reader->sub.pattern);
        if (!reader->sub.name)
                return naive_match(rml_span_of(reader->sub.pattern), text);
        return strncmp(subject, reader->sub.pattern, len) == 0 && (subject[len] == 0 || subject[len] == '.');
}

bool reader_saw(const struct reader *reader, uint64_t number) {
        return number < reader->seen_room && reader->seen[number];
}

void reader_sees(struct reader *reader, uint64_t number) {
        if (number >= reader->seen_room) {
                size_t room = (size_t)(2 * number + 64);
                reader->seen = realloc(reader->seen, room);
                if (!reader->seen)
                        abort();
                memset(reader->seen + reader->seen_room, 0, room - reader->seen_room);
                reader->seen_room = room;
        }
        reader->seen[number] = 1;
}

/* Its SUBSCRIBE was fed: does the core have it now? Its answer will have to say the same. */
struct reader *history_subscribed(struct history *h, struct actor *actor, const struct sub *sub, int group) {
        world_check(h->world, actor->reader_count < READERS_MAX, "too many interests");
        struct reader *reader = &actor->readers[actor->reader_count++];
        *reader = (struct reader){.actor = actor, .sub = *sub, .group = group};
        reader->sub.serve = sub->serve || sub->name;
        reader->since = h->letter_count;
        reader->until = UINT64_MAX;
        return reader;
}

/* Which interests came into being, and which are gone? */
void history_looked(struct history *h) {
        for (size_t i = 0; i < h->actor_count; i++) {
                struct actor *actor = h->actors[i];
                if (actor->closed)
                        continue;
                for (size_t k = 0; k < actor->reader_count; k++) {
                        struct reader *reader = &actor->readers[k];
                        struct core_ledger ledger;
                        if (reader->refused || reader->ended)
                                continue;
                        bool there = actor->fake->peer && !actor->leaving &&
                                     core_interest_ledger(actor->fake->peer, reader->sub.sid, &ledger) == 0;
                        if (there && !reader->active) {
                                reader->active = true;
                                reader->since = h->letter_count;
                        } else if (!there && reader->active) {
                                reader->ended = true;
                                reader->until = h->letter_count;
                        }
                }
        }
}
