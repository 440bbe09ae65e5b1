/* SPDX-License-Identifier: MIT */
/* The core under seeded random operations, held against the model after each of them.
 *
 *   test_sim                     the seeds of the test suite
 *   test_sim --seed N            one run, as a failure printed it
 *   test_sim --steps N           operations in a run
 *   test_sim --seconds N         random runs from --seed on, for so long
 *   test_sim --trace             prints every operation
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "model.h"

#define SEEDS 80u
#define STEPS 2500u
#define PEERS_MAX 9u
#define JOINS_MAX 120u /* in one run */

static const char *const subjects[] = {"a", "a.b", "a.b.c", "a.x", "b", "b.c", "d.e.f", "q.r"};
static const char *const patterns[] = {"a", "a.b", "a.*", "a.>", ">", "*", "*.b", "b.>", "*.*.c", "d.e.f", "*.b.>"};
static const char *const groups[] = {"g.least", "g.robin", "g.primary"};
static const char *const served[] = {"s.a", "s.b", "s.*", "s.>"};
static const char *const servers[] = {"w.least", "w.robin", "w.primary", ""};
static const char *const names[] = {"n.one", "n.two", "n"};
static const char *const callable[] = {"s.a", "s.b", "s.c", "s.c.d", "n.one", "n.one.get", "n.two.x.y", "zzz"};
static const char *const bad[] = {"a.*", ">", "a..b", "", "$SYS.peer.1"};

struct sim {
        struct world *world;
        struct model *model;
        struct rng *rng;
        uint64_t sid;
        uint64_t hash; /* of all that came out */
        unsigned joins;
        bool trace;
};

#define PICK(sim, array) ((array)[rng_below((sim)->rng, RML_COUNT(array))])
#define TRACE(sim, ...)                                                                                                \
        do {                                                                                                           \
                if ((sim)->trace) {                                                                                    \
                        printf("%llu: ", (unsigned long long)(sim)->world->step);                                      \
                        printf(__VA_ARGS__);                                                                           \
                        putchar('\n');                                                                                 \
                }                                                                                                      \
        } while (0)

/* ---- who may act ----------------------------------------------------------------------------------------------- */

static struct party *any_party(struct sim *sim) {
        struct party *found = NULL;
        uint64_t seen = 0;
        for (size_t i = 0; i < sim->model->party_count; i++) {
                struct party *party = sim->model->parties[i];
                if (party->end == PARTY_LIVE && core_peer_reading(party->fake->peer) &&
                    rng_below(sim->rng, ++seen) == 0)
                        found = party;
        }
        return found;
}

static struct interest *any_interest(struct sim *sim, bool with_credit) {
        struct interest *found = NULL;
        uint64_t seen = 0;
        for (size_t i = 0; i < sim->model->interest_count; i++) {
                struct interest *in = sim->model->interests[i];
                if (in->live && in->party->end == PARTY_LIVE && core_peer_reading(in->party->fake->peer) &&
                    (!with_credit || ((in->sub.credit_bytes || in->sub.credit_messages) && in->last_seq)) &&
                    rng_below(sim->rng, ++seen) == 0)
                        found = in;
        }
        return found;
}

static size_t live_parties(const struct sim *sim) {
        size_t live = 0;
        for (size_t i = 0; i < sim->model->party_count; i++)
                live += sim->model->parties[i]->end == PARTY_LIVE;
        return live;
}

/* ---- output ---------------------------------------------------------------------------------------------------- */

static void note_closed(struct sim *sim) {
        world_reap(sim->world);
        for (size_t i = 0; i < sim->model->party_count; i++) {
                struct party *party = sim->model->parties[i];
                if (party->fake->closed && !party->closed)
                        model_closed(sim->model, party);
        }
}

static void look(struct sim *sim, struct party *party) {
        struct got *got;
        while ((got = fake_next(party->fake))) {
                for (size_t i = 0; i < got->len; i++)
                        sim->hash = (sim->hash ^ got->bytes[i]) * 0x100000001b3u;
                if (sim->trace) {
                        char text[256];
                        TRACE(sim, "   peer %u <- %s", party->fake->index, got_text(got, text, sizeof(text)));
                }
                model_got(sim->model, party, got);
        }
}

/* The core commits when it is asked who has output, and when a socket has taken some: the model looks after each. */
static bool take(struct sim *sim, struct party *party, size_t max) {
        size_t total = 0, n;
        sim->model->op++;
        world_collect_dirty(sim->world);
        model_sync(sim->model);
        while (total < max && party->fake->peer && party->fake->dirty &&
               (n = fake_take_once(party->fake, max - total))) {
                total += n;
                sim->model->op++;
                look(sim, party);
                note_closed(sim);
                model_sync(sim->model);
        }
        note_closed(sim);
        return total > 0;
}

static void op_take(struct sim *sim) {
        struct party *party = sim->model->parties[rng_below(sim->rng, sim->model->party_count)];
        if (party->fake->stuck)
                return;
        TRACE(sim, "peer %u takes output", party->fake->index);
        take(sim, party, rng_chance(sim->rng, 2) ? SIZE_MAX : (size_t)(1 + rng_below(sim->rng, 100000)));
}

static void confirm(struct sim *sim, struct interest *in) {
        TRACE(sim, "peer %u confirms sid %llu up to %llu", in->party->fake->index, (unsigned long long)in->sub.sid,
              (unsigned long long)in->last_seq);
        fake_confirm(in->party->fake, in->sub.sid, in->last_seq);
        model_confirm(sim->model, in, in->last_seq);
}

static void op_confirm(struct sim *sim) {
        struct interest *in = any_interest(sim, true);
        if (in)
                confirm(sim, in);
}

static void op_stuck(struct sim *sim) {
        struct party *party = any_party(sim);
        if (party)
                party->fake->stuck = !party->fake->stuck;
}

/* ---- interests ------------------------------------------------------------------------------------------------- */

static void op_join(struct sim *sim) {
        if (sim->joins == JOINS_MAX || live_parties(sim) >= PEERS_MAX)
                return;
        sim->joins++;
        for (struct fake *fake = sim->world->fakes; fake; fake = fake->next)
                fake->stuck = true; /* joining takes a turn: the others' output is taken by the simulation alone */
        struct fake *fake = fake_join(sim->world, rng_chance(sim->rng, 4) ? WORLD_ALLOWED_UID : WORLD_UID);
        model_join(sim->model, fake);
        for (struct fake *other = sim->world->fakes; other; other = other->next)
                other->stuck = rng_chance(sim->rng, 5);
        TRACE(sim, "peer %u joins", fake->index);
        note_closed(sim);
}

static void random_credit(struct sim *sim, struct sub *sub) {
        if (rng_chance(sim->rng, 2))
                return;
        if (rng_chance(sim->rng, 2))
                sub->credit_messages = 1 + rng_below(sim->rng, 6);
        if (rng_chance(sim->rng, 2))
                sub->credit_bytes = 50 + rng_below(sim->rng, 20000);
}

static void random_window(struct sim *sim, struct sub *sub) {
        sub->overflow = (Ramal__V1__Overflow)rng_below(sim->rng, 4);
        if (rng_chance(sim->rng, 2))
                sub->window_messages = 1 + rng_below(sim->rng, 8);
        if (rng_chance(sim->rng, 2) && sub->overflow != RAMAL__V1__OVERFLOW__OVERFLOW_LATEST)
                sub->window_bytes = 100 + rng_below(sim->rng, 20000);
}

/* Lines that are not `primary` have at most two members here: so it is plain to whom what was queued must go. */
static bool may_join_line(const struct sim *sim, const struct party *party, const struct sub *sub, bool primary) {
        size_t members = 0;
        bool serve = sub->serve || sub->name;
        for (size_t i = 0; i < sim->model->interest_count; i++) {
                const struct interest *in = sim->model->interests[i];
                if (!in->live || !in->line || in->line->serve != serve || in->line->name != sub->name ||
                    strcmp(in->line->key, serve ? sub->pattern : sub->group) != 0)
                        continue;
                if (in->party == party)
                        return false;
                members++;
        }
        return primary || members < 2;
}

static void op_subscribe(struct sim *sim) {
        struct party *party = any_party(sim);
        if (!party)
                return;
        struct sub sub = {.sid = ++sim->sid, .pattern = PICK(sim, patterns)};
        char group[32];
        bool own = party->fake->uid == WORLD_UID;
        uint64_t sort = rng_below(sim->rng, own ? 12 : 4);
        random_credit(sim, &sub);
        if (sort < 4) {
                random_window(sim, &sub);
        } else if (sort < 6) {
                uint64_t which = rng_below(sim->rng, RML_COUNT(groups));
                sub.group = groups[which];
                sub.policy = (Ramal__V1__Policy)which;
                if (!may_join_line(sim, party, &sub, which == RAMAL__V1__POLICY__POLICY_PRIMARY))
                        return;
        } else if (sort < 9) {
                uint64_t pattern = rng_below(sim->rng, RML_COUNT(served)),
                         which = rng_below(sim->rng, RML_COUNT(servers));
                sub.serve = true;
                sub.pattern = served[pattern];
                if (which < 3) {
                        snprintf(group, sizeof(group), "%s.%u", servers[which], (unsigned)pattern);
                        sub.group = group;
                        sub.policy = (Ramal__V1__Policy)which;
                } else if (rng_chance(sim->rng, 2)) {
                        sub.window_messages = 1 + rng_below(sim->rng, 3);
                }
                if (!may_join_line(sim, party, &sub, which == RAMAL__V1__POLICY__POLICY_PRIMARY))
                        return;
        } else {
                sub.name = sub.serve = true;
                sub.pattern = PICK(sim, names);
                sub.replace = rng_chance(sim->rng, 2);
                sub.allow_replace = rng_chance(sim->rng, 2);
                sub.no_queue = rng_chance(sim->rng, 3);
                if (!may_join_line(sim, party, &sub, true))
                        return;
        }
        if (rng_chance(sim->rng, 20))
                for (size_t i = 0; i < sim->model->interest_count; i++)
                        if (sim->model->interests[i]->party == party && sim->model->interests[i]->live)
                                sub.sid = sim->model->interests[i]->sub.sid; /* EXISTS */
        TRACE(sim,
              "peer %u subscribes sid %llu '%s' group '%s' serve %d name %d flags %d%d%d window %llu/%llu rule %d "
              "credit %llu/%llu",
              party->fake->index, (unsigned long long)sub.sid, sub.pattern, sub.group ? sub.group : "", sub.serve,
              sub.name, sub.replace, sub.allow_replace, sub.no_queue, (unsigned long long)sub.window_bytes,
              (unsigned long long)sub.window_messages, (int)sub.overflow, (unsigned long long)sub.credit_bytes,
              (unsigned long long)sub.credit_messages);
        uint64_t id = fake_subscribe(party->fake, &sub);
        model_subscribe(sim->model, party, id, &sub);
}

static void op_unsubscribe(struct sim *sim) {
        struct interest *in = any_interest(sim, false);
        if (!in)
                return;
        TRACE(sim, "peer %u unsubscribes sid %llu '%s'", in->party->fake->index, (unsigned long long)in->sub.sid,
              in->pattern);
        uint64_t id = fake_unsubscribe(in->party->fake, in->sub.sid);
        model_unsubscribe(sim->model, in->party, id, in);
}

/* ---- messages -------------------------------------------------------------------------------------------------- */

/* Payloads carry the model's number. Mostly small, sometimes so large that outputs fill. */
static uint64_t send_data(struct sim *sim, struct party *party, enum rml_kind kind, bool with_id, struct say *say) {
        static const size_t sizes[] = {8, 40, 200, 200, 3000, 3000, 60000};
        uint64_t number = model_next_number(sim->model);
        size_t len = 8 + (size_t)rng_below(sim->rng, PICK(sim, sizes));
        uint8_t *payload = calloc(1, len);
        if (!payload)
                abort();
        memcpy(payload, &number, sizeof(number));
        say->payload = payload;
        say->len = len;
        uint64_t id = fake_data(party->fake, kind, with_id, say);
        free(payload);
        return id;
}

static void op_publish(struct sim *sim) {
        struct party *party = any_party(sim);
        if (!party)
                return;
        bool receipt = rng_chance(sim->rng, 4);
        struct say say = {.subject = PICK(sim, subjects),
                          .flags = receipt ? RAMAL__V1__DATA_FLAG__DATA_FLAG_RECEIPT : 0};
        TRACE(sim, "peer %u publishes %llu '%s' receipt %d", party->fake->index,
              (unsigned long long)model_next_number(sim->model), say.subject, receipt);
        uint64_t id = send_data(sim, party, RML_PUBLISH, receipt, &say);
        model_publish(sim->model, party, say.subject, id, RAMAL__V1__CODE__CODE_OK);
}

static void op_publish_bad(struct sim *sim) {
        struct party *party = any_party(sim);
        if (!party || party->refused_count > 400)
                return;
        struct say say = {.subject = PICK(sim, bad)};
        TRACE(sim, "peer %u publishes badly '%s'", party->fake->index, say.subject);
        send_data(sim, party, RML_PUBLISH, false, &say);
        model_publish(sim->model, party, say.subject, 0,
                      say.subject[0] == '$' ? RAMAL__V1__CODE__CODE_DENIED : RAMAL__V1__CODE__CODE_BAD_SUBJECT);
}

static void op_call(struct sim *sim) {
        struct party *party = any_party(sim);
        if (!party)
                return;
        struct say say = {.subject = PICK(sim, callable)};
        if (rng_chance(sim->rng, 2))
                say.time_left_us = 500 + 1000 * rng_below(sim->rng, 50);
        TRACE(sim, "peer %u calls '%s' %llu us", party->fake->index, say.subject, (unsigned long long)say.time_left_us);
        uint64_t id = send_data(sim, party, RML_CALL, true, &say);
        model_call(sim->model, party, say.subject, id,
                   say.time_left_us ? sim->world->now + say.time_left_us * 1000 : 0);
}

static struct call *any_call(struct sim *sim, bool delivered) {
        struct call *found = NULL;
        uint64_t seen = 0;
        for (size_t i = 0; i < sim->model->call_count; i++) {
                struct call *call = sim->model->calls[i];
                struct party *actor = delivered ? (call->token ? call->server->party : NULL) : call->caller;
                if (!actor || actor->end != PARTY_LIVE || !core_peer_reading(actor->fake->peer))
                        continue;
                if (call->ended && !rng_chance(sim->rng, 50)) /* too late, now and then */
                        continue;
                if (rng_below(sim->rng, ++seen) == 0)
                        found = call;
        }
        return found;
}

static void op_reply(struct sim *sim) {
        struct call *call = any_call(sim, true);
        if (!call)
                return;
        bool more = call->reply_count < 40 && rng_chance(sim->rng, 3);
        struct say say = {.token = call->token, .flags = more ? RAMAL__V1__DATA_FLAG__DATA_FLAG_MORE : 0};
        if (!more && rng_chance(sim->rng, 4)) {
                say.code = 7;
                say.text = "no";
        }
        TRACE(sim, "peer %u replies to call %llu of peer %u, more %d code %u", call->server->party->fake->index,
              (unsigned long long)call->id, call->caller->fake->index, more, say.code);
        send_data(sim, call->server->party, RML_REPLY, false, &say);
        model_reply(sim->model, call, more, say.code);
}

static void op_cancel(struct sim *sim) {
        struct call *call = any_call(sim, false);
        if (!call)
                return;
        TRACE(sim, "peer %u cancels call %llu", call->caller->fake->index, (unsigned long long)call->id);
        fake_cancel(call->caller->fake, call->id);
        model_cancel(sim->model, call);
}

/* ---- time and endings ------------------------------------------------------------------------------------------ */

static void op_advance(struct sim *sim) {
        uint64_t ns = rng_chance(sim->rng, 40) ? MS(5200) : MS(1 + rng_below(sim->rng, 8));
        TRACE(sim, "time +%llu ns", (unsigned long long)ns);
        world_advance(sim->world, ns);
        core_expire(sim->world->core);
        model_expire(sim->model);
        note_closed(sim);
}

static void op_end(struct sim *sim) {
        struct party *party = any_party(sim);
        if (!party || live_parties(sim) < 3)
                return;
        switch (rng_below(sim->rng, 3)) {
        case 0:
                TRACE(sim, "peer %u is lost", party->fake->index);
                fake_lost(party->fake);
                model_end(sim->model, party, PARTY_LOST);
                break;
        case 1:
                TRACE(sim, "peer %u ends its input", party->fake->index);
                fake_eof(party->fake);
                model_end(sim->model, party, PARTY_EOF);
                break;
        default:
                TRACE(sim, "peer %u says BYE", party->fake->index);
                model_bye(sim->model, party, fake_bye(party->fake, false, 0));
                break;
        }
        note_closed(sim);
}

/* ---- runs ------------------------------------------------------------------------------------------------------ */

static void check_charges(struct sim *sim) {
        struct core_charges charges;
        uint64_t peers = 0, leaving = 0, interests = 0, calls = 0;
        for (size_t i = 0; i < sim->model->party_count; i++) {
                peers += sim->model->parties[i]->fake->peer != NULL;
                leaving += sim->model->parties[i]->fake->peer && sim->model->parties[i]->end != PARTY_LIVE;
        }
        for (size_t i = 0; i < sim->model->interest_count; i++)
                interests += sim->model->interests[i]->live;
        for (size_t i = 0; i < sim->model->call_count; i++)
                calls += !sim->model->calls[i]->ended;
        core_charges(sim->world->core, &charges);
        world_check(sim->world, charges.peers == peers, "%llu peers, not %llu", (unsigned long long)charges.peers,
                    (unsigned long long)peers);
        /* Those of a peer that only waits for its own calls may still be there, empty. */
        world_check(sim->world, leaving ? charges.interests >= interests : charges.interests == interests,
                    "%llu interests, not %llu", (unsigned long long)charges.interests, (unsigned long long)interests);
        world_check(sim->world, charges.calls == calls, "%llu calls, not %llu", (unsigned long long)charges.calls,
                    (unsigned long long)calls);
        world_check(sim->world, !charges.queued_messages && !charges.queued_bytes && !charges.bodies_bytes,
                    "%llu messages, %llu bytes, %llu of bodies queued for nobody",
                    (unsigned long long)charges.queued_messages, (unsigned long long)charges.queued_bytes,
                    (unsigned long long)charges.bodies_bytes);
}

/* Everybody reads and confirms until nothing moves. */
static void settle(struct sim *sim) {
        TRACE(sim, "settle");
        for (bool moved = true; moved;) {
                moved = false;
                for (size_t i = 0; i < sim->model->party_count; i++) {
                        struct party *party = sim->model->parties[i];
                        party->fake->stuck = false;
                        while (take(sim, party, SIZE_MAX)) {
                                model_sync(sim->model);
                                moved = true;
                        }
                }
                for (size_t i = 0; i < sim->model->interest_count; i++) {
                        struct interest *in = sim->model->interests[i];
                        if (in->live && in->party->end == PARTY_LIVE && in->flight.count &&
                            (in->sub.credit_bytes || in->sub.credit_messages)) {
                                confirm(sim, in);
                                model_sync(sim->model);
                                moved = true;
                        }
                }
        }
        model_settled(sim->model);
        check_charges(sim);
}

static const struct {
        void (*run)(struct sim *);
        unsigned weight;
} ops[] = {{op_take, 30},     {op_publish, 30},    {op_call, 12},   {op_reply, 12}, {op_confirm, 12},
           {op_subscribe, 8}, {op_unsubscribe, 3}, {op_advance, 4}, {op_cancel, 2}, {op_publish_bad, 2},
           {op_stuck, 3},     {op_end, 1},         {op_join, 2}};

static void step(struct sim *sim) {
        unsigned total = 0;
        for (size_t i = 0; i < RML_COUNT(ops); i++)
                total += ops[i].weight;
        uint64_t at = rng_below(sim->rng, total);
        size_t i = 0;
        while (at >= ops[i].weight)
                at -= ops[i++].weight;
        ops[i].run(sim);
        model_sync(sim->model);
}

/* One run. Returns a hash of all that the peers received. */
static uint64_t run(uint64_t seed, uint64_t steps, bool trace, uint64_t *sums) {
        struct sim sim = {.world = world_new(seed, NULL), .hash = seed, .trace = trace};
        sim.rng = &sim.world->rng;
        sim.model = model_new(sim.world);
        sim.world->forget = true;
        sim.world->split = true;
        for (unsigned i = 0; i < 4; i++)
                op_join(&sim);
        uint64_t often = 50 + rng_below(sim.rng, 400);
        for (uint64_t i = 1; i <= steps; i++) {
                sim.world->step = i;
                step(&sim);
                if (i % often == 0 || i == steps)
                        settle(&sim);
        }
        sums[0] += sim.model->message_count;
        sums[1] += sim.model->gaps;
        sums[2] += sim.model->moved;
        for (size_t i = 0; i < RML_COUNT(sim.model->ended); i++)
                sums[3 + i] += sim.model->ended[i];
        /* Before the model: its parties are what the peers' last words are about. */
        world_free(sim.world);
        model_free(sim.model);
        return sim.hash;
}

static uint64_t number_arg(const char *text) {
        char *end;
        errno = 0;
        unsigned long long value = strtoull(text, &end, 10);
        if (errno || *end || end == text) {
                fprintf(stderr, "test_sim: '%s' is no number\n", text);
                exit(64);
        }
        return value;
}

int main(int argc, char **argv) {
        uint64_t seed = 1, seeds = SEEDS, steps = STEPS, seconds = 0, sums[3 + 16] = {0};
        bool trace = false;
        for (int i = 1; i < argc; i++) {
                bool more = i + 1 < argc;
                if (strcmp(argv[i], "--seed") == 0 && more) {
                        seed = number_arg(argv[++i]);
                        seeds = 1;
                } else if (strcmp(argv[i], "--steps") == 0 && more) {
                        steps = number_arg(argv[++i]);
                } else if (strcmp(argv[i], "--seconds") == 0 && more) {
                        seconds = number_arg(argv[++i]);
                } else if (strcmp(argv[i], "--trace") == 0) {
                        trace = true;
                } else {
                        fprintf(stderr, "usage: test_sim [--seed N] [--steps N] [--seconds N] [--trace]\n");
                        return 64;
                }
        }
        time_t end = time(NULL) + (time_t)seconds;
        uint64_t runs = 0;
        for (; runs < seeds || time(NULL) < end; runs++)
                run(seed + runs, steps, trace, sums);

        /* The same calls give the same bytes. */
        if (run(seed, steps, false, sums) != run(seed, steps, false, sums)) {
                fprintf(stderr, "test_sim: seed %llu gave different output the second time\n",
                        (unsigned long long)seed);
                return EXIT_FAILURE;
        }
        printf("%llu runs of %llu steps from seed %llu: %llu messages, %llu gaps, %llu moved; calls replied %llu",
               (unsigned long long)runs, (unsigned long long)steps, (unsigned long long)seed,
               (unsigned long long)sums[0], (unsigned long long)sums[1], (unsigned long long)sums[2],
               (unsigned long long)sums[3]);
        printf(", no responder %llu, gone %llu, deadline %llu, cancelled %llu, over limit %llu\n",
               (unsigned long long)sums[3 + RAMAL__V1__CODE__CODE_NO_RESPONDER],
               (unsigned long long)sums[3 + RAMAL__V1__CODE__CODE_RESPONDER_GONE],
               (unsigned long long)sums[3 + RAMAL__V1__CODE__CODE_DEADLINE],
               (unsigned long long)sums[3 + RAMAL__V1__CODE__CODE_CANCELLED],
               (unsigned long long)sums[3 + RAMAL__V1__CODE__CODE_OVER_LIMIT]);
        return EXIT_SUCCESS;
}
