/* SPDX-License-Identifier: MIT */
/* What peers do that behave. */
#include <stdlib.h>
#include <string.h>

#include "faults.h"
#include "oom.h"

#define OPEN_MAX 12u
#define JOINS_MAX (ACTORS_MAX - 10u)

static const char *const subjects[] = {"a", "a.b", "a.b.c", "b", "b.c", "q.r"};
static const char *const patterns[] = {"a", "a.b", "a.*", "a.>", ">", "*", "*.b", "b.>", "*.*.c", "zz"};
static const char *const groups[] = {"g.least", "g.robin", "g.primary", "g.random", "g.key"};
static const char *const served[] = {"s.a", "s.b", "s.*", "s.>"};
static const char *const servers[] = {"w.least", "w.robin", "w.primary", "w.random", "w.key"};
static const char *const names[] = {"n.one", "n.two"};
static const char *const callable[] = {"s.a", "s.b", "s.c", "s.c.d", "n.one", "n.one.get", "n.two.x.y", "nobody"};
static const char *const wrong[] = {"a.*", ">", "a..b", "", "$SYS.peer.1", "$PEER.1", "$SYS.api.x"};
static const char *const keys[] = {"k1", "k2", "k3", "k4"};
static const uint8_t nonce[RML_NONCE_BYTES] = {0x21, 0x43};

struct actor *sim_any(struct sim *sim, enum any which) {
        struct actor *found = NULL;
        uint64_t seen = 0;
        for (size_t i = 0; i < sim->history->actor_count; i++) {
                struct actor *actor = sim->history->actors[i];
                if (actor->closed || !actor->fake->peer ||
                    (which != ANY_OPEN && (actor->leaving || actor->fake->ended)))
                        continue;
                if (which == ANY_GOOD && (!actor->good || !actor->fake->in))
                        continue;
                if (which == ANY_BAD && actor->good)
                        continue;
                if (rng_below(sim->rng, ++seen) == 0)
                        found = actor;
        }
        return found;
}

/* ---- coming ---------------------------------------------------------------------------------------------------- */

static bool crowded(const struct sim *sim) {
        size_t open = 0;
        for (size_t i = 0; i < sim->history->actor_count; i++)
                open += !sim->history->actors[i]->closed;
        return open >= OPEN_MAX || sim->history->actor_count >= JOINS_MAX;
}

void op_join(struct sim *sim) {
        static const uint32_t uids[] = {WORLD_UID,         WORLD_UID,         WORLD_UID, WORLD_UID,
                                        WORLD_ALLOWED_UID, WORLD_ALLOWED_UID, 0,         WORLD_OTHER_UID};
        if (crowded(sim))
                return;
        struct core_origin origin = {.local = !rng_chance(sim->rng, 5), .address = "somewhere"};
        bool bad = sim->lies && rng_chance(sim->rng, 4);
        if (origin.local) {
                origin.uid = sim->large && rng_chance(sim->rng, 2) ? WORLD_ALLOWED_UID : PICK(sim, uids);
                origin.gid = rng_chance(sim->rng, 4) ? WORLD_ALLOWED_GID : origin.uid;
                origin.pid = 1000 + (uint32_t)rng_below(sim->rng, 9000);
        }
        bool allowed = origin.uid == WORLD_UID || origin.uid == 0 ||
                       (!sim->world->closed && (origin.uid == WORLD_ALLOWED_UID || origin.gid == WORLD_ALLOWED_GID));
        bool stranger = origin.local ? !allowed : rng_chance(sim->rng, 4);
        struct fake *fake = fake_connect(sim->world, &origin, NULL);
        if (!fake)
                return;
        struct actor *actor = history_join(sim->history, fake, !bad && !stranger, stranger);
        sim->history->hostile = sim->history->hostile || (bad && !stranger);
        TRACE(sim, "peer %u connects: local %d uid %u good %d stranger %d", fake->index, origin.local, origin.uid,
              actor->good, stranger);
        if (bad && rng_chance(sim->rng, 5))
                return; /* never says anything */
        struct due due = {.id = fake->next_id, .kind = DUE_HELLO};
        history_due(sim->history, actor, &due);
        fake_hello_as(fake, "actor", false, origin.local ? NULL : nonce);
}

void sim_prove(struct sim *sim, struct actor *actor, const Ramal__V1__Challenge *challenge) {
        uint8_t other[RML_NONCE_BYTES] = {0};
        struct due due = {.id = actor->fake->next_id, .kind = DUE_HELLO};
        if (!actor->fake->peer || actor->fake->ended)
                return;
        history_due(sim->history, actor, &due);
        fake_auth(actor->fake, actor->stranger ? other : nonce, challenge);
}

/* ---- interests ------------------------------------------------------------------------------------------------- */

static bool has_name(const struct actor *actor, const char *name) {
        for (size_t i = 0; i < actor->reader_count; i++)
                if (actor->readers[i].sub.name && strcmp(actor->readers[i].sub.pattern, name) == 0)
                        return true;
        return false;
}

/* Returns the group's index, or -1. */
static int random_kind(struct sim *sim, struct actor *actor, struct sub *sub) {
        uint64_t sort = rng_below(sim->rng, 14);
        if (sort < 5) {
                sub->overflow = (Ramal__V1__Overflow)rng_below(sim->rng, 5);
        } else if (sort < 10) {
                uint64_t which = rng_below(sim->rng, RML_COUNT(groups));
                sub->group = groups[which];
                sub->policy = (Ramal__V1__Policy)which;
                sub->overflow = (Ramal__V1__Overflow)rng_below(sim->rng, 5);
                return (int)which;
        } else if (sort < 13 || has_name(actor, names[0]) || has_name(actor, names[1])) {
                uint64_t which = rng_below(sim->rng, RML_COUNT(servers) + 1);
                sub->serve = true;
                sub->pattern = PICK(sim, served);
                if (which < RML_COUNT(servers)) {
                        sub->group = servers[which];
                        sub->policy = (Ramal__V1__Policy)which;
                }
        } else {
                sub->name = sub->serve = true;
                sub->pattern = PICK(sim, names);
                sub->replace = rng_chance(sim->rng, 2);
                sub->allow_replace = rng_chance(sim->rng, 2);
                sub->no_queue = rng_chance(sim->rng, 3);
        }
        return -1;
}

void op_subscribe(struct sim *sim) {
        struct actor *actor = sim_any(sim, ANY_GOOD);
        if (!actor || actor->reader_count == READERS_MAX || actor->due_count > DUES_MAX - 10)
                return;
        struct sub sub = {.sid = actor->reader_count + 1, .pattern = PICK(sim, patterns)};
        int group = random_kind(sim, actor, &sub);
        if (rng_chance(sim->rng, 2))
                sub.credit_messages = 1 + rng_below(sim->rng, 6);
        if (rng_chance(sim->rng, 3))
                sub.credit_bytes = 50 + rng_below(sim->rng, 20000);
        if (rng_chance(sim->rng, 2))
                sub.window_messages = 1 + rng_below(sim->rng, 10);
        if (rng_chance(sim->rng, 3))
                sub.window_bytes = 100 + rng_below(sim->rng, 20000);
        TRACE(sim,
              "peer %u subscribes sid %llu '%s' group '%s' serve %d name %d flags %d%d%d window %llu/%llu rule %d "
              "credit %llu/%llu",
              actor->fake->index, (unsigned long long)sub.sid, sub.pattern, sub.group ? sub.group : "", sub.serve,
              sub.name, sub.replace, sub.allow_replace, sub.no_queue, (unsigned long long)sub.window_bytes,
              (unsigned long long)sub.window_messages, (int)sub.overflow, (unsigned long long)sub.credit_bytes,
              (unsigned long long)sub.credit_messages);
        struct due due = {.id = actor->fake->next_id, .kind = DUE_SUBSCRIBED};
        due.reader = history_subscribed(sim->history, actor, &sub, group);
        history_due(sim->history, actor, &due);
        fake_subscribe(actor->fake, &sub);
}

void op_unsubscribe(struct sim *sim) {
        struct actor *actor = sim_any(sim, ANY_GOOD);
        if (!actor || !actor->reader_count || actor->due_count > DUES_MAX - 10)
                return;
        struct reader *reader = &actor->readers[rng_below(sim->rng, actor->reader_count)];
        if (!reader->active || reader->ended || reader->ending || reader->refused)
                return;
        TRACE(sim, "peer %u unsubscribes sid %llu", actor->fake->index, (unsigned long long)reader->sub.sid);
        struct due due = {.id = actor->fake->next_id, .kind = DUE_ENDED, .reader = reader};
        history_due(sim->history, actor, &due);
        reader->ending = true;
        fake_unsubscribe(actor->fake, reader->sub.sid);
}

bool sim_confirm(struct sim *sim, struct reader *reader) {
        struct fake *fake = reader->actor->fake;
        if ((!reader->sub.credit_bytes && !reader->sub.credit_messages) || reader->last_seq == reader->confirmed_seq ||
            reader->told)
                return false;
        TRACE(sim, "peer %u confirms sid %llu up to %llu", fake->index, (unsigned long long)reader->sub.sid,
              (unsigned long long)reader->last_seq);
        reader->confirmed_seq = reader->last_seq;
        fake_confirm(fake, reader->sub.sid, reader->last_seq);
        return true;
}

void op_credit(struct sim *sim) {
        struct actor *actor = sim_any(sim, ANY_GOOD);
        if (!actor || !actor->reader_count)
                return;
        struct reader *reader = &actor->readers[rng_below(sim->rng, actor->reader_count)];
        if (rng_chance(sim->rng, 20))
                fake_confirm(actor->fake, 1 + rng_below(sim->rng, READERS_MAX), rng_below(sim->rng, 5));
        else
                sim_confirm(sim, reader);
}

/* ---- messages -------------------------------------------------------------------------------------------------- */

static struct letter *send_letter(struct sim *sim, struct actor *actor, enum letter_sort sort, struct say *say) {
        static const enum rml_kind kinds[] = {RML_PUBLISH, RML_CALL, RML_REPLY};
        static const size_t sizes[] = {8, 40, 200, 200, 200, 3000, 3000, 20000, 60000, 140000};
        static uint8_t payload[140008];
        uint64_t number = history_number(sim->history);
        size_t len = 8 + (size_t)rng_below(sim->rng, PICK(sim, sizes));
        if (sim->large && rng_chance(sim->rng, 3))
                len = 70000 + (size_t)rng_below(sim->rng, 70000);
        bool id = sort == LETTER_CALL || say->flags & RAMAL__V1__DATA_FLAG__DATA_FLAG_RECEIPT;
        history_fill(number, payload, len);
        say->payload = payload;
        say->len = len;
        struct letter *letter = history_says(sim->history, actor, sort, say->subject, len);
        if (sort == LETTER_CALL) {
                struct due due = {.id = actor->fake->next_id, .kind = DUE_CALL};
                due.dialog = history_calls(sim->history, actor, letter);
                history_due(sim->history, actor, &due);
        } else if (id) {
                struct due due = {.id = actor->fake->next_id, .kind = DUE_ACCEPTED, .number = number};
                history_due(sim->history, actor, &due);
        }
        fake_data(actor->fake, kinds[sort], id, say);
        letter = history_letter(sim->history, number);
        letter->charge = actor->fake->last_len;
        /* It may wait itself: a large one for others of its uid. */
        letter->unsure = letter->unsure || !actor->fake->peer || !core_peer_reading(actor->fake->peer);
        letter->expires = sort == LETTER_PUBLISH && say->time_left_us;
        if (sort == LETTER_PUBLISH)
                actor->used += letter->charge;
        return letter;
}

void op_publish(struct sim *sim) {
        struct actor *actor = sim_any(sim, ANY_GOOD);
        struct say say = {.subject = PICK(sim, subjects)};
        if (!actor || actor->due_count > DUES_MAX - 10)
                return;
        if (actor->used > actor->credit && !rng_chance(sim->rng, 10))
                return; /* a client that waits, mostly */
        if (rng_chance(sim->rng, 12))
                say.subject = PICK(sim, wrong);
        if (rng_chance(sim->rng, 4))
                say.flags = RAMAL__V1__DATA_FLAG__DATA_FLAG_RECEIPT;
        if (rng_chance(sim->rng, 2))
                say.key = PICK(sim, keys);
        if (rng_chance(sim->rng, 4))
                say.time_left_us = 1 + rng_below(sim->rng, 20000);
        TRACE(sim, "peer %u publishes %llu '%s' flags %u left %llu key '%s'", actor->fake->index,
              (unsigned long long)history_number(sim->history), say.subject, say.flags,
              (unsigned long long)say.time_left_us, say.key ? say.key : "");
        send_letter(sim, actor, LETTER_PUBLISH, &say);
}

void op_call(struct sim *sim) {
        struct actor *actor = sim_any(sim, ANY_GOOD);
        struct say say = {.subject = PICK(sim, callable)};
        if (!actor || actor->due_count > DUES_MAX - 10)
                return;
        if (rng_chance(sim->rng, 3))
                say.key = PICK(sim, keys);
        if (rng_chance(sim->rng, 2))
                say.time_left_us = 500 + 1000 * rng_below(sim->rng, 50);
        TRACE(sim, "peer %u calls %llu '%s' %llu us", actor->fake->index,
              (unsigned long long)history_number(sim->history), say.subject, (unsigned long long)say.time_left_us);
        send_letter(sim, actor, LETTER_CALL, &say);
}

void sim_reply(struct sim *sim, struct actor *actor, size_t token, bool last) {
        struct dialog *dialog = actor->tokens[token].dialog;
        struct say say = {.token = actor->tokens[token].token,
                          .flags = last ? 0 : RAMAL__V1__DATA_FLAG__DATA_FLAG_MORE};
        if (last && rng_chance(sim->rng, 5)) {
                say.code = 7;
                say.text = "no";
        }
        TRACE(sim, "peer %u replies %llu to token %llu, last %d", actor->fake->index,
              (unsigned long long)history_number(sim->history), (unsigned long long)say.token, last);
        actor->tokens[token].done = actor->tokens[token].done || last;
        struct letter *letter = send_letter(sim, actor, LETTER_REPLY, &say);
        letter->dialog = dialog;
}

void op_answer(struct sim *sim) {
        struct actor *actor = sim_any(sim, ANY_GOOD);
        if (!actor || !actor->token_count)
                return;
        size_t token = (size_t)rng_below(sim->rng, actor->token_count);
        if (!actor->tokens[token].done || rng_chance(sim->rng, 30)) /* too late, now and then */
                sim_reply(sim, actor, token, !rng_chance(sim->rng, 3));
}

void op_cancel(struct sim *sim) {
        struct actor *actor = sim_any(sim, ANY_GOOD);
        if (!actor)
                return;
        for (size_t i = 0; i < actor->due_count; i++)
                if (actor->dues[i].kind == DUE_CALL && rng_chance(sim->rng, 2)) {
                        TRACE(sim, "peer %u cancels call %llu", actor->fake->index,
                              (unsigned long long)actor->dues[i].id);
                        fake_cancel(actor->fake, actor->dues[i].id);
                        return;
                }
}

/* The broker's own API: it answers everybody who was let in. */
static void sim_api(struct sim *sim, struct actor *actor, const char *method) {
        struct say say = {.subject = method};
        struct due due = {.id = actor->fake->next_id, .kind = DUE_API};
        history_due(sim->history, actor, &due);
        TRACE(sim, "peer %u asks %s", actor->fake->index, method);
        fake_data(actor->fake, RML_CALL, true, &say);
}

void op_api(struct sim *sim) {
        static const char *const methods[] = {"$SYS.api.list",   "$SYS.api.names",  "$SYS.api.who",
                                              "$SYS.api.status", "$SYS.api.limits", "$SYS.api.x"};
        struct actor *actor = sim_any(sim, ANY_GOOD);
        if (actor && actor->due_count < DUES_MAX - 10)
                sim_api(sim, actor, PICK(sim, methods));
}

void sim_ping(struct sim *sim, struct actor *actor) {
        struct due due = {.id = actor->fake->next_id, .kind = DUE_PONG};
        history_due(sim->history, actor, &due);
        fake_ping(actor->fake);
}

void op_ping(struct sim *sim) {
        struct actor *actor = sim_any(sim, ANY_GOOD);
        if (!actor || actor->due_count > DUES_MAX - 200)
                return;
        for (uint64_t n = rng_chance(sim->rng, 8) ? 100 : 1; n && actor->fake->peer && !actor->fake->ended; n--)
                sim_ping(sim, actor);
        for (uint64_t n = sim->large ? 20 : 0; n && actor->fake->peer && !actor->fake->ended; n--)
                sim_api(sim, actor, "$SYS.api.limits");
}

/* Keeps what it says, and then says the half of it, or all. */
void op_hold(struct sim *sim) {
        struct actor *actor = sim_any(sim, ANY_GOOD);
        if (!actor)
                return;
        if (!actor->fake->hold) {
                actor->fake->hold = true;
                if (sim->large)
                        op_publish(sim);
        } else if (rng_chance(sim->rng, 2)) {
                size_t left = fake_release_part(actor->fake, (size_t)rng_below(sim->rng, actor->fake->held_len + 1));
                actor->half = true;
                TRACE(sim, "peer %u says a part, %zu bytes are left", actor->fake->index, left);
        } else {
                fake_release(actor->fake, 1 + (size_t)rng_below(sim->rng, 2000));
                actor->half = false;
                TRACE(sim, "peer %u says all of it", actor->fake->index);
        }
}
