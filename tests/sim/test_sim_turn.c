/* SPDX-License-Identifier: MIT */
/* Isolation (rule of the turn): while many connections flood the broker, a call is routed, and answered, after at most
 * one turn's budget of each of them. Shown by counting what a tap sees, which is the order in which the core routed:
 * no clock is looked at. */
#include "expect.h"

#include <stdlib.h>
#include <string.h>

#define FLOODS 24u
#define BACKLOG 3000u /* frames that lie in the socket of each */

struct socket { /* what its client has written and the broker has not read yet */
        struct fake *fake;
        uint8_t *bytes;
        size_t len, at;
};

struct flood {
        struct world *world;
        struct fake *tap, *caller, *server;
        struct socket sockets[FLOODS];
        uint64_t routed[FLOODS]; /* messages of each, so far */
        uint64_t token, calls, replies;
        uint64_t at_call[FLOODS], at_reply[FLOODS];
};

static void fill(struct socket *socket, struct fake *fake, unsigned index, size_t payload, bool calls) {
        uint8_t body[512];
        memset(body, (int)index, sizeof(body));
        fake->hold = true;
        for (unsigned i = 0; i < BACKLOG; i++) {
                struct say say = {.subject = calls ? "nobody" : "flood", .payload = body, .len = payload};
                fake_data(fake, calls ? RML_CALL : RML_PUBLISH, calls, &say);
        }
        *socket = (struct socket){.fake = fake, .bytes = fake->held, .len = fake->held_len};
        fake->held = NULL;
        fake->held_len = 0;
        fake->hold = false;
}

/* What the edge does: at most one read of turn_bytes for each connection in a turn, of those that may be read. */
static void read_socket(const struct flood *f, struct socket *socket) {
        size_t n = socket->len - socket->at, most = (size_t)f->world->limits.turn_bytes;
        if (!n || !core_peer_reading(socket->fake->peer))
                return;
        n = n < most ? n : most;
        core_peer_input(socket->fake->peer, socket->bytes + socket->at, n);
        socket->at += n;
        fake_reads(socket->fake);
}

/* The tap's stream is the order of all routing. */
static void look(struct flood *f) {
        const struct got *got;
        while ((got = fake_next(f->tap))) {
                if (got->kind != RML_DELIVER)
                        continue;
                bool answer = got->data.flags & FLAG(ANSWER), call = got->data.flags & FLAG(CALL);
                if (got->data.sender.peer == f->caller->id && call) {
                        f->calls++;
                        memcpy(f->at_call, f->routed, sizeof(f->routed));
                } else if (got->data.sender.peer == f->server->id && answer) {
                        f->replies++;
                        memcpy(f->at_reply, f->routed, sizeof(f->routed));
                } else {
                        for (unsigned i = 0; i < FLOODS; i++)
                                f->routed[i] += f->sockets[i].fake->id == got->data.sender.peer;
                }
        }
}

static void flush(struct flood *f) {
        struct got *got;
        world_collect_dirty(f->world);
        for (struct fake *fake = f->world->fakes; fake; fake = fake->next)
                while (fake->dirty && fake_take(fake, SIZE_MAX))
                        world_collect_dirty(f->world);
        world_reap(f->world);
        look(f);
        while ((got = fake_next(f->server)))
                if (got->kind == RML_DELIVER)
                        f->token = got->data.token;
        for (unsigned i = 0; i < FLOODS; i++)
                fake_skip(f->sockets[i].fake);
}

/* All floods are readable before the caller and the server: nobody could come later. */
static void turn(struct flood *f, bool calls, bool replies) {
        for (unsigned i = 0; i < FLOODS; i++)
                read_socket(f, &f->sockets[i]);
        if (calls)
                fake_call(f->caller, "do", "q", 0);
        if (replies)
                fake_reply(f->server, f->token, "a");
        world_expire(f->world);
        flush(f);
}

static void start(struct flood *f, uint64_t turn_frames, size_t payload, bool calls) {
        struct core_limits limits;
        core_limits_default(&limits);
        limits.turn_frames = turn_frames;
        memset(f, 0, sizeof(*f));
        f->world = world_new(1, &limits);
        f->world->forget = true;
        f->tap = fake_join(f->world, WORLD_UID);
        f->server = fake_join(f->world, WORLD_UID);
        f->caller = fake_join(f->world, WORLD_UID);
        for (unsigned i = 0; i < FLOODS; i++)
                fill(&f->sockets[i], fake_join(f->world, i % 2 ? WORLD_ALLOWED_UID : WORLD_UID), i, payload, calls);
        subscribed(f->tap, .sid = 1, .pattern = ">", .tap = true);
        subscribed(f->server, .sid = 1, .pattern = "do", .serve = true);
}

static void stop(struct flood *f) {
        for (unsigned i = 0; i < FLOODS; i++)
                free(f->sockets[i].bytes);
        world_free(f->world);
}

/* Between two moments no connection has had more than one budget. */
static void within(const struct flood *f, const uint64_t *from, const uint64_t *to) {
        const struct core_limits *limits = &f->world->limits;
        uint64_t frames = limits->turn_bytes / (f->sockets[0].len / BACKLOG) + 1;
        frames = frames < limits->turn_frames ? frames : limits->turn_frames;
        for (unsigned i = 0; i < FLOODS; i++)
                assert_true(to[i] - from[i] <= frames);
}

static void flood(uint64_t turn_frames, size_t payload, bool calls) {
        struct flood f;
        uint64_t before[FLOODS];
        start(&f, turn_frames, payload, calls);
        for (unsigned round = 1; round <= 5; round++) {
                turn(&f, false, false);
                memcpy(before, f.routed, sizeof(before));
                turn(&f, true, false);
                assert_int_equal(f.calls, round);
                within(&f, before, f.at_call);
                memcpy(before, f.routed, sizeof(before));
                turn(&f, false, true);
                assert_int_equal(f.replies, round);
                within(&f, before, f.at_reply);
                const struct got *got = expect(f.caller, RML_REPLY);
                assert_int_equal(got->data.seq, 1);
        }
        /* They were in full flood all the time, and each had as much as the others. */
        for (unsigned i = 0; i < FLOODS; i++) {
                assert_true(f.sockets[i].at < f.sockets[i].len);
                assert_int_equal(f.routed[i], f.routed[i % 2]);
                assert_true(calls || f.routed[i] > 10);
        }
        stop(&f);
}

static void test_turn_a_call_waits_for_one_budget_of_frames_of_each_other(void **state) {
        (void)state;
        flood(100, 16, false);
}

static void test_turn_a_call_waits_for_one_budget_of_bytes_of_each_other(void **state) {
        (void)state;
        flood(1024, 500, false);
}

/* Refused calls are work as well. They are not seen by the tap: the call comes through all the same, in its turn. */
static void test_turn_a_call_waits_for_one_budget_of_calls_of_each_other(void **state) {
        (void)state;
        flood(100, 16, true);
}

/* Whoever has got his budget goes on in the next turn, in order, and loses nothing. */
static void test_turn_what_waited_is_routed_in_the_end(void **state) {
        struct flood f;
        (void)state;
        start(&f, 100, 16, false);
        for (unsigned turns = 0; turns < 2 * BACKLOG / 100 + 50; turns++)
                turn(&f, false, false);
        for (unsigned i = 0; i < FLOODS; i++)
                assert_int_equal(f.routed[i], BACKLOG);
        stop(&f);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_turn_a_call_waits_for_one_budget_of_frames_of_each_other),
                cmocka_unit_test(test_turn_a_call_waits_for_one_budget_of_bytes_of_each_other),
                cmocka_unit_test(test_turn_a_call_waits_for_one_budget_of_calls_of_each_other),
                cmocka_unit_test(test_turn_what_waited_is_routed_in_the_end),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
