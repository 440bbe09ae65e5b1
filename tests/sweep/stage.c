/* SPDX-License-Identifier: MIT */
#include "stage.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "oom.h"
#include "sweep.h"

#define SIDS 16u
#define CALL RAMAL__V1__DATA_FLAG__DATA_FLAG_CALL
#define MORE RAMAL__V1__DATA_FLAG__DATA_FLAG_MORE
#define TAPPED RAMAL__V1__DATA_FLAG__DATA_FLAG_TAPPED

/* The hook of struct world has no argument. */
static struct world *stage;

/* ---- after each call ------------------------------------------------------------------------------------------- */

static void check_ledgers(const struct world *world) {
        struct core_ledger l;
        for (const struct fake *fake = world->fakes; fake; fake = fake->next)
                for (uint64_t sid = 1; fake->peer && sid < SIDS; sid++)
                        if (core_interest_ledger(fake->peer, sid, &l) == 0)
                                world_check(world,
                                            l.matched == l.queued + l.in_flight + l.confirmed + l.expired + l.dropped +
                                                                 l.replaced + l.moved + l.unconfirmed,
                                            "the ledger of peer %u sid %llu does not balance", fake->index,
                                            (unsigned long long)sid);
}

static void inside(bool in) {
        oom_inside(in);
        if (!in && stage && stage->core)
                check_ledgers(stage);
}

struct world *stage_alone(const struct core_limits *limits) {
        struct world *world = world_alone(1, limits);
        world->inside = inside;
        return world;
}

void stage_begin(struct world *world) {
        world_begin(world);
        stage = world;
}

struct world *stage_open(const struct core_limits *limits) {
        struct world *world = stage_alone(limits);
        stage_begin(world);
        return world;
}

/* ---- coming ---------------------------------------------------------------------------------------------------- */

/* Who was never let in: all that it says goes nowhere. */
static struct fake *absent(struct world *world) {
        struct fake *fake = calloc(1, sizeof(*fake)), **where = &world->fakes;
        if (!fake)
                abort();
        fake->world = world;
        fake->last = &fake->first;
        fake->next_id = 1;
        fake->ended = fake->closed = true;
        while (*where)
                where = &(*where)->next;
        *where = fake;
        return fake;
}

struct fake *stage_enter_from(struct world *world, const struct core_origin *origin, const char *app) {
        struct fake *fake = fake_connect(world, origin, NULL);
        if (!fake)
                return absent(world);
        fake_hello(fake, app);
        world_turn(world);
        return fake;
}

struct fake *stage_enter(struct world *world, uint32_t uid, const char *app) {
        const struct core_origin origin = {.local = true,
                                           .uid = uid,
                                           .gid = uid,
                                           .pid = 100,
                                           .groups = {uid},
                                           .group_count = 1,
                                           .address = "unix:@stage"};
        return stage_enter_from(world, &origin, app);
}

struct fake *stage_enter_tcp(struct world *world) {
        const struct core_origin origin = {.address = "tcp:127.0.0.1:1"};
        uint8_t nonce[RML_NONCE_BYTES];
        struct fake *fake = fake_connect(world, &origin, NULL);
        if (!fake)
                return absent(world);
        memset(nonce, 0x21, sizeof(nonce));
        fake_hello_as(fake, "tcp", false, nonce);
        world_turn(world);
        const struct got *got = fake->first;
        if (got && got->kind == RML_CHALLENGE)
                fake_auth(fake, nonce, GOT(got, Challenge));
        world_turn(world);
        return fake;
}

bool stage_in(const struct fake *fake) {
        return fake->peer && fake->in && !fake->ended;
}

void stage_eof(struct fake *fake) {
        if (fake->peer)
                fake_eof(fake);
}

/* ---- going on -------------------------------------------------------------------------------------------------- */

uint64_t stage_call(struct fake *fake) {
        uint64_t token = 0;
        world_turn(fake->world);
        for (const struct got *got = fake->first; got; got = got->next)
                if (got->kind == RML_DELIVER && got->data.flags & CALL && !(got->data.flags & TAPPED))
                        token = got->data.token;
        return token;
}

/* What a client does with a frame. `fake->cursor` is the first that was not dealt with. */
static void deal(struct fake *fake, const struct got *got) {
        const struct rml_data *data = &got->data;
        if (got->kind == RML_DELIVER) {
                if (data->flags & CALL && !(data->flags & TAPPED))
                        fake_reply(fake, data->token, "settled");
                fake_confirm(fake, data->sid, data->seq);
        } else if (got->kind == RML_REPLY && data->flags & MORE) {
                fake_confirm_replies(fake, got->id, data->seq);
        }
}

void stage_settle(struct world *world) {
        bool moved = true;
        for (unsigned rounds = 0; moved; rounds++) {
                world_check(world, rounds < 10000, "it does not come to rest");
                moved = false;
                world_turn(world);
                for (struct fake *fake = world->fakes; fake; fake = fake->next)
                        for (const struct got *got; (got = fake_next(fake));) {
                                moved = true;
                                deal(fake, got);
                        }
        }
}

/* ---- the end --------------------------------------------------------------------------------------------------- */

static bool is_terminal(const struct got *got) {
        switch (got->kind) {
        case RML_REPLY:
                return !(got->data.flags & MORE);
        case RML_WELCOME:
        case RML_CHALLENGE:
        case RML_STATUS:
        case RML_SUBSCRIBED:
        case RML_ACCEPTED:
        case RML_PONG:
                return got->id != 0;
        default:
                return false;
        }
}

/* Each question has one answer; it may lack one only when the connection ended. */
static void check_answers(const struct fake *fake) {
        unsigned *answers = calloc(fake->next_id, sizeof(*answers));
        if (!answers)
                abort();
        for (const struct got *got = fake->first; got; got = got->next)
                if (is_terminal(got)) {
                        world_check(fake->world, got->id < fake->next_id, "an answer to a question that was not asked");
                        answers[got->id]++;
                }
        for (uint64_t id = 1; id < fake->next_id; id++)
                world_check(fake->world, answers[id] == 1 || (answers[id] == 0 && fake->ended),
                            "peer %u asked %llu, and has %u answers", fake->index, (unsigned long long)id, answers[id]);
        free(answers);
}

/* What matched was received or told as missing, each once. */
static void check_received(const struct fake *fake, uint64_t sid) {
        struct core_ledger l;
        uint64_t received = 0, missing = 0, replaced = 0;
        if (!stage_in(fake) || core_interest_ledger(fake->peer, sid, &l) < 0)
                return;
        for (const struct got *got = fake->first; got; got = got->next)
                if (got->kind == RML_DELIVER && got->data.sid == sid) {
                        received++;
                        replaced += got->data.replaced;
                } else if (got->kind == RML_GAP && GOT(got, Gap)->sid == sid) {
                        missing += GOT(got, Gap)->count;
                }
        world_check(fake->world, received + missing + replaced + l.moved == l.matched,
                    "peer %u sid %llu: %llu matched, %llu received, %llu told as missing, %llu replaced, %llu moved",
                    fake->index, (unsigned long long)sid, (unsigned long long)l.matched, (unsigned long long)received,
                    (unsigned long long)missing, (unsigned long long)replaced, (unsigned long long)l.moved);
        world_check(fake->world, !l.queued && !l.in_flight, "peer %u sid %llu has read all, and something is left",
                    fake->index, (unsigned long long)sid);
}

/* Memory is there: nobody may be refused. */
static void check_usable(struct world *world) {
        struct fake *a = fake_join(world, WORLD_UID), *b = fake_join(world, WORLD_UID);
        SUBSCRIBE(b, .sid = 1, .pattern = "after.the.end");
        SUBSCRIBE(b, .sid = 2, .pattern = "after.call", .serve = true);
        fake_publish(a, "after.the.end", "x");
        uint64_t id = fake_call(a, "after.call", "x", 0);
        stage_settle(world);
        bool delivered = false, answered = false;
        for (const struct got *got = b->first; got; got = got->next)
                delivered = delivered || (got->kind == RML_DELIVER && got->data.sid == 1);
        for (const struct got *got = a->first; got; got = got->next)
                answered = answered || (got->kind == RML_REPLY && got->id == id && !got->data.code);
        world_check(world, delivered && answered, "memory is back, and the broker is of no use");
}

void stage_close(struct world *world) {
        sweep_memory_back();
        for (struct fake *fake = world->fakes; fake; fake = fake->next)
                fake->stuck = false;
        stage_settle(world);
        /* Deadlines of calls, and the patience with those who leave. */
        for (unsigned i = 0; i < 3; i++) {
                world_advance(world, world->limits.flush_timeout_ns + MS(200));
                stage_settle(world);
        }
        for (const struct fake *fake = world->fakes; fake; fake = fake->next) {
                check_answers(fake);
                for (uint64_t sid = 1; sid < SIDS; sid++)
                        check_received(fake, sid);
        }
        if (!core_stopped(world->core) && core_deadline(world->core) > world->now)
                check_usable(world);
        stage = NULL;
        world_free(world);
}
