/* SPDX-License-Identifier: MIT */
/* Ledgers at any time, and accounts when all has come to rest. */
#include <stdlib.h>
#include <string.h>

#include "history.h"

typedef unsigned long long ull;

static const struct core_limits *limits_of(const struct world *world, uint32_t uid) {
        for (size_t i = 0; i < world->uid_limit_count; i++)
                if (world->uid_limits[i].uid == uid)
                        return &world->uid_limits[i].limits;
        return &world->limits;
}

/* P4: another uid has no more than its limits say, on one connection and on all of them. */
static void check_uid(const struct history *h, uint32_t uid) {
        const struct core_limits *limits = limits_of(h->world, uid);
        uint64_t connections = 0, interests = 0, names = 0;
        for (size_t i = 0; i < h->actor_count; i++) {
                const struct actor *actor = h->actors[i];
                uint64_t own_interests = 0, own_names = 0;
                if (!actor->fake->peer || !actor->fake->local || actor->fake->uid != uid)
                        continue;
                /* Those of one that is gone are cleared away in parts, and nobody looks how many are left. */
                for (size_t k = 0; !actor->closed && k < actor->reader_count; k++) {
                        const struct reader *reader = &actor->readers[k];
                        own_interests += reader->active && !reader->ended;
                        own_names += reader->active && !reader->ended && reader->sub.name;
                }
                world_check(h->world, own_interests <= limits->interests && own_names <= limits->names,
                            "peer %u of uid %u has %llu interests, %llu names", actor->fake->index, uid,
                            (ull)own_interests, (ull)own_names);
                connections++;
                interests += own_interests;
                names += own_names;
        }
        world_check(h->world,
                    connections <= limits->uid_connections && interests <= limits->uid_interests &&
                            names <= limits->uid_names,
                    "uid %u has %llu connections, %llu interests, %llu names", uid, (ull)connections, (ull)interests,
                    (ull)names);
}

void history_ledgers(struct history *h) {
        check_uid(h, WORLD_ALLOWED_UID);
        check_uid(h, WORLD_OTHER_UID);
        for (size_t i = 0; i < h->actor_count; i++) {
                struct actor *actor = h->actors[i];
                for (size_t k = 0; !actor->closed && actor->fake->peer && k < actor->reader_count; k++) {
                        struct reader *reader = &actor->readers[k];
                        struct core_ledger l;
                        if (reader->told || core_interest_ledger(actor->fake->peer, reader->sub.sid, &l) < 0)
                                continue;
                        world_check(h->world,
                                    l.matched == l.queued + l.in_flight + l.confirmed + l.expired + l.dropped +
                                                         l.replaced + l.moved + l.unconfirmed,
                                    "peer %u sid %llu: the ledger does not balance", actor->fake->index,
                                    (ull)reader->sub.sid);
                        world_check(h->world, l.matched >= reader->matched, "peer %u sid %llu: %llu matched, now %llu",
                                    actor->fake->index, (ull)reader->sub.sid, (ull)reader->matched, (ull)l.matched);
                        reader->matched = l.matched;
                }
        }
}

/* Under `block` nothing of its own uid is lost. */
static bool held_for(const struct reader *reader, const struct letter *letter) {
        const struct fake *to = reader->actor->fake, *from = letter->sender->fake;
        return reader->sub.overflow == RAMAL__V1__OVERFLOW__OVERFLOW_BLOCK && !reader->demoted && !reader->ended &&
               from != to && from->local && to->local && from->uid == to->uid && !letter->expires;
}

/* P2, of one interest: what it was told about, and whether all that nobody refused is among it. */
static void settle_reader(const struct history *h, struct reader *reader) {
        const struct actor *actor = reader->actor;
        uint64_t told = reader->received + reader->reported + reader->replaced, sure = 0, unsure = 0, missing = 0;
        for (uint64_t n = 1; n < h->letter_count; n++) {
                const struct letter *letter = &h->letters[n];
                bool saw = reader_saw(reader, n);
                world_check(h->world, !saw || (!letter->refused && !letter->stale),
                            "peer %u sid %llu got letter %llu, which was refused", actor->fake->index,
                            (ull)reader->sub.sid, (ull)n);
                if (letter->sort != LETTER_PUBLISH || letter->refused || letter->stale ||
                    !reader_takes(reader, letter->subject))
                        continue;
                if (letter->unsure || n < reader->since || n >= reader->until) {
                        unsure += letter->unsure;
                        continue;
                }
                sure++;
                missing += !saw;
                world_check(h->world, saw || h->failed || !reader_plain(reader) || !held_for(reader, letter),
                            "peer %u sid %llu: letter %llu was held for it and never came", actor->fake->index,
                            (ull)reader->sub.sid, (ull)n);
        }
        if (!reader_plain(reader))
                return;
        world_check(h->world, missing <= reader->reported + reader->replaced,
                    "peer %u sid %llu: %llu letters are missing, %llu are told", actor->fake->index,
                    (ull)reader->sub.sid, (ull)missing, (ull)(reader->reported + reader->replaced));
        if (!h->hostile)
                world_check(h->world, told >= sure && told <= sure + unsure,
                            "peer %u sid %llu: told of %llu, %llu to %llu matched", actor->fake->index,
                            (ull)reader->sub.sid, (ull)told, (ull)sure, (ull)(sure + unsure));
}

static void settle_actor(const struct history *h, struct actor *actor) {
        for (size_t k = 0; k < actor->reader_count; k++) {
                struct reader *reader = &actor->readers[k];
                struct core_ledger l;
                if (reader->refused || reader->checked)
                        continue;
                world_check(h->world, reader->active, "peer %u sid %llu: neither there nor refused", actor->fake->index,
                            (ull)reader->sub.sid);
                world_check(h->world, reader->ended == reader->told, "peer %u sid %llu: ended %d, told %d",
                            actor->fake->index, (ull)reader->sub.sid, reader->ended, reader->told);
                reader->checked = reader->ended;
                settle_reader(h, reader);
                if (reader->ended)
                        continue;
                core_interest_ledger(actor->fake->peer, reader->sub.sid, &l);
                world_check(h->world, !l.queued && !l.in_flight, "peer %u sid %llu: %llu queued, %llu in flight",
                            actor->fake->index, (ull)reader->sub.sid, (ull)l.queued, (ull)l.in_flight);
                world_check(h->world, reader->received + reader->reported + reader->replaced == l.matched,
                            "peer %u sid %llu: received %llu, reported %llu, replaced %llu of %llu", actor->fake->index,
                            (ull)reader->sub.sid, (ull)reader->received, (ull)reader->reported, (ull)reader->replaced,
                            (ull)l.matched);
        }
        world_check(h->world, !actor->used, "peer %u: %llu bytes of publish credit never came back", actor->fake->index,
                    (ull)actor->used);
        world_check(h->world, !actor->due_count, "peer %u: no answer to frame %llu (%d), and %zu more",
                    actor->fake->index, (ull)actor->dues[0].id, (int)actor->dues[0].kind, actor->due_count - 1);
}

/* P1: is there an order that fits all that was seen? The naive way: take away what has nothing before it. */
static void settle_order(struct history *h) {
        size_t count = (size_t)(h->letter_count - h->window), taken = 0, first = 0;
        size_t *before = calloc(count + 1, sizeof(*before)), *ready = calloc(count + 1, sizeof(*ready));
        size_t *next = calloc(h->edge_count + 1, sizeof(*next)), *head = calloc(count + 1, sizeof(*head));
        if (!before || !ready || !next || !head)
                abort();
        for (size_t i = 0; i < h->edge_count; i++) {
                size_t from = (size_t)(h->edges[i].from - h->window);
                before[h->edges[i].to - h->window]++;
                next[i] = head[from];
                head[from] = i + 1;
        }
        for (size_t i = 0; i < count; i++)
                if (!before[i])
                        ready[taken++] = i;
        while (first < taken)
                for (size_t e = head[ready[first++]]; e; e = next[e - 1]) {
                        size_t to = (size_t)(h->edges[e - 1].to - h->window);
                        if (--before[to] == 0)
                                ready[taken++] = to;
                }
        for (size_t i = 0; i < count; i++)
                world_check(h->world, !before[i], "letter %llu of peer %u ('%s') fits into no order",
                            (ull)(h->window + i), h->letters[h->window + i].sender->fake->index,
                            h->letters[h->window + i].subject);
        free(before);
        free(ready);
        free(next);
        free(head);
}

void history_withdrawn(const struct history *h) {
        for (size_t i = 0; i < h->actor_count; i++) {
                const struct actor *actor = h->actors[i];
                if (!actor->good || actor->closed || actor->leaving)
                        continue;
                for (size_t k = 0; k < actor->token_count; k++) {
                        const struct dialog *dialog = actor->tokens[k].dialog;
                        world_check(h->world,
                                    actor->tokens[k].done || !dialog || (!dialog->terminals && !dialog->caller->closed),
                                    "peer %u was not told that call %llu of peer %u is over", actor->fake->index,
                                    (ull)dialog->id, dialog->caller->fake->index);
                }
        }
}

void history_settled(struct history *h) {
        for (size_t i = 0; i < h->actor_count; i++) {
                struct actor *actor = h->actors[i];
                if (actor->good && !actor->closed && !actor->leaving && actor->fake->in)
                        settle_actor(h, actor);
        }
        settle_order(h);
        h->edge_count = 0;
        h->window = h->letter_count;
        for (size_t i = 0; i < h->actor_count; i++)
                h->actors[i]->chain = h->actors[i]->said = 0;
}
