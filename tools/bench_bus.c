/* SPDX-License-Identifier: MIT */
/* The ends of the bus: what a program does that uses libramal, and nothing else. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_bus.h"

enum { OUT_BYTES = 4 << 20 };

int bench_bus_fail(struct bench_task *task, int code, const ramal_error *err) {
        const char *message = err && err->code && err->message[0] ? err->message : ramal_strerror(code);
        char limit[128] = "";
        if (err && err->code && err->limit[0] && !strstr(message, err->limit))
                snprintf(limit, sizeof(limit), " (%s = %" PRIu64 ")", err->limit, err->value);
        atomic_store(&task->self->code, code);
        return bench_task_fail(task, "%s%s", message, limit);
}

int bench_bus_open(struct bench_task *task, ramal_conn **conn, void *user, ramal_refused_fn on_refused) {
        ramal_error err = {.code = 0};
        char app[64];
        size_t large = (size_t)task->job->point->size * 2;
        ramal_options options = {
                .size = sizeof(options),
                .address = task->job->address,
                .token_file = task->job->token_file,
                .app = app,
                .no_reconnect = true,
                .no_spin = !task->job->plan->spin,
                .out_bytes_max = large > OUT_BYTES ? large : OUT_BYTES,
                .on_refused = on_refused,
                .user = user,
        };
        snprintf(app, sizeof(app), "ramal bench %s", bench_scenarios[task->job->point->scenario].name);
        int r = ramal_open(&options, ramal_in_ms(BENCH_BUS_OPEN_MS), conn, &err);
        return r < 0 ? bench_bus_fail(task, r, &err) : 0;
}

int bench_bus_lost(struct bench_task *task, const ramal_conn *conn, int code) {
        return bench_bus_fail(task, code, ramal_conn_error(conn));
}

uint64_t bench_bus_soon(void) {
        return ramal_now() + BENCH_BUS_LOOK_NS;
}

/* Runs callbacks until the round is over. */
static int turn_until_quit(struct bench_task *task, ramal_conn *conn) {
        int r = 0;
        while (r >= 0 && bench_task_phase(task) != BENCH_QUIT && !atomic_load(&task->self->failed))
                r = ramal_wait(conn, bench_bus_soon());
        if (r < 0)
                return bench_bus_lost(task, conn, r);
        return atomic_load(&task->self->failed) ? -1 : 0;
}

/* ---- publish ---- */

struct source {
        struct bench_task *task;
        ramal_conn *conn;
        struct bench_payload payload;
        uint64_t sent, room;
};

static void on_refused(ramal_conn *conn, const ramal_refusal *refusal, void *user) {
        struct bench_task *task = user;
        (void)conn;
        if (refusal->error->code != -EAGAIN)
                bench_bus_fail(task, refusal->error->code, refusal->error);
        bench_count(&task->self->refused, refusal->count);
}

/* Where receivers hold us back we wait, but look up now and then. */
static int publish_later(struct source *source) {
        struct bench_task *task = source->task;
        int r = -ETIMEDOUT;
        while (r == -ETIMEDOUT && bench_task_phase(task) == BENCH_GO)
                r = ramal_publish_block(source->conn, task->job->subject, source->payload.bytes, source->payload.size,
                                        NULL, bench_bus_soon(), NULL);
        return r;
}

static int wait_room(struct source *source) {
        int r = 0;
        source->room = bench_task_take_room(source->task, false);
        while (r >= 0 && source->room == 0 && bench_task_phase(source->task) == BENCH_GO) {
                r = ramal_wait(source->conn, ramal_now() + BENCH_BUS_LOOK_NS / 50);
                source->room = bench_task_take_room(source->task, true);
        }
        return r;
}

static int publish_one(struct source *source) {
        struct bench_task *task = source->task;
        const struct bench_plan *plan = task->job->plan;
        struct bench_payload *payload = &source->payload;
        int r = 0;
        if (source->room == 0)
                r = wait_room(source);
        if (r < 0 || source->room == 0)
                return r;
        uint64_t stamp = bench_payload_stamped(plan, payload->size, source->sent) ? ramal_now() : 0;
        bench_payload_mark(payload, task->index, source->sent, stamp);
        r = ramal_publish(source->conn, task->job->subject, payload->bytes, payload->size);
        if (r == -EAGAIN)
                r = publish_later(source);
        if (r < 0)
                return r == -ETIMEDOUT ? 0 : r;
        source->sent++;
        source->room--;
        bench_count(&task->self->sent, 1);
        return 0;
}

/* Publishes as long as it may, and until the broker has all of it. */
static int publish_all(struct source *source) {
        bool batch = source->task->job->plan->batch;
        int r = 0;
        atomic_store(&source->task->self->start_ns, ramal_now());
        if (batch)
                ramal_cork(source->conn);
        while (r >= 0 && bench_task_may_send(source->task, source->sent))
                r = publish_one(source);
        bench_task_return_room(source->task, source->room);
        source->room = 0;
        if (batch) {
                int sent = ramal_uncork(source->conn);
                r = r < 0 ? r : sent;
        }
        return r < 0 ? r : ramal_sync(source->conn, ramal_in_ms(BENCH_BUS_SETTLE_MS));
}

static int run_source(struct bench_task *task) {
        struct source source = {.task = task};
        if (bench_bus_open(task, &source.conn, task, on_refused) < 0)
                return -1;
        int r = bench_payload_new(&source.payload, (size_t)task->job->point->size);
        bool go = r == 0 && bench_task_ready(task);
        while (go && r >= 0 && !atomic_load(&task->self->failed)) {
                uint64_t order = atomic_load(&task->shared->order);
                if (bench_task_may_send(task, source.sent)) {
                        r = publish_all(&source);
                        continue;
                }
                atomic_store(&task->self->done, order);
                go = bench_task_phase(task) != BENCH_QUIT;
                r = ramal_wait(source.conn, ramal_now() + BENCH_BUS_LOOK_NS / 10);
        }
        if (r < 0)
                bench_bus_lost(task, source.conn, r);
        bench_payload_free(&source.payload);
        ramal_close(source.conn);
        return 0;
}

/* ---- subscribe ---- */

struct sink {
        struct bench_task *task;
        struct bench_track track;
};

static void on_message(ramal_conn *conn, const ramal_msg *msg, void *user) {
        struct sink *sink = user;
        size_t len;
        const void *data = ramal_msg_data(msg, &len);
        (void)conn;
        bench_track_receive(&sink->track, sink->task, data, len);
}

static void on_gap(ramal_conn *conn, const ramal_gap *gap, void *user) {
        struct sink *sink = user;
        (void)conn;
        bench_count(&sink->task->self->gaps, gap->count);
}

static int run_sink(struct bench_task *task) {
        struct sink sink = {.task = task};
        ramal_conn *conn;
        ramal_sub *sub = NULL;
        ramal_error err = {.code = 0};
        if (bench_bus_open(task, &conn, NULL, NULL) < 0)
                return -1;
        ramal_interest interest = {
                .size = sizeof(interest),
                .pattern = task->job->subject,
                .overflow = RAMAL_OVERFLOW_BLOCK,
                .on_gap = on_gap,
                .user = &sink,
        };
        int r = bench_track_new(&sink.track, (size_t)task->job->point->size, (unsigned)task->job->point->publishers);
        if (r == 0)
                r = ramal_subscribe_with(conn, &interest, on_message, &sink, &sub);
        if (r == 0)
                r = ramal_sub_confirm(sub, ramal_in_ms(BENCH_BUS_OPEN_MS), &err);
        if (r < 0)
                bench_bus_fail(task, r, &err);
        else if (bench_task_ready(task))
                turn_until_quit(task, conn);
        ramal_close(conn);
        bench_track_free(&sink.track);
        return 0;
}

/* ---- ask ---- */

struct asker {
        struct bench_task *task;
        ramal_conn *conn;
        struct bench_payload payload;
        struct bench_track track;
        char subject[64];
        uint64_t sent, answered, in_flight;
        uint64_t *sent_at; /* of the call with that number, modulo in_flight */
        int error;
};

static void subject_of(const struct bench_task *task, char subject[64]) {
        snprintf(subject, 64, "%s.%u", task->job->subject, task->index);
}

static void take_answer(struct asker *asker, const ramal_msg *reply) {
        size_t len;
        uint64_t stamp;
        const void *data = ramal_msg_data(reply, &len);
        if (bench_track_check(&asker->track, asker->task, data, len, &stamp))
                bench_track_answered(asker->task, asker->sent_at[asker->answered % asker->in_flight], ramal_now());
        asker->answered++;
}

/* In the order of the calls: the service answers at once, and the broker keeps the order. */
static void on_reply(ramal_conn *conn, int result, const ramal_msg *reply, const ramal_error *error, void *user);

static void ask_more(struct asker *asker) {
        struct bench_task *task = asker->task;
        while (asker->error == 0 && asker->sent - asker->answered < asker->in_flight &&
               bench_task_may_send(task, asker->sent)) {
                uint64_t now = ramal_now();
                bench_payload_mark(&asker->payload, 0, asker->sent, now);
                int r = ramal_request_async(asker->conn, asker->subject, asker->payload.bytes, asker->payload.size,
                                            now + BENCH_BUS_SETTLE_MS * UINT64_C(1000000), on_reply, asker, NULL);
                if (r == -EAGAIN)
                        return; /* the answers that are under way bring us back */
                if (r < 0) {
                        asker->error = r;
                        return;
                }
                asker->sent_at[asker->sent++ % asker->in_flight] = now;
                bench_count(&task->self->sent, 1);
        }
}

static void on_reply(ramal_conn *conn, int result, const ramal_msg *reply, const ramal_error *error, void *user) {
        struct asker *asker = user;
        (void)conn;
        if (result < 0) {
                asker->error = result;
                bench_bus_fail(asker->task, result, error);
                return;
        }
        take_answer(asker, reply);
        ask_more(asker);
}

/* One after the other, as a program that waits for its answer. */
static int ask_one(struct asker *asker) {
        struct bench_task *task = asker->task;
        ramal_msg *reply = NULL;
        ramal_error err = {.code = 0};
        uint64_t now = ramal_now();
        asker->sent_at[0] = now;
        bench_payload_mark(&asker->payload, 0, asker->sent++, now);
        bench_count(&task->self->sent, 1);
        int r = ramal_request(asker->conn, asker->subject, asker->payload.bytes, asker->payload.size,
                              now + BENCH_BUS_SETTLE_MS * UINT64_C(1000000), &reply, &err);
        if (r < 0)
                return bench_bus_fail(task, r, &err);
        take_answer(asker, reply);
        ramal_msg_unref(reply);
        return 0;
}

static int ask_all(struct asker *asker) {
        struct bench_task *task = asker->task;
        int r = 0;
        atomic_store(&task->self->start_ns, ramal_now());
        while (r >= 0 && asker->error == 0 &&
               (asker->sent > asker->answered || bench_task_may_send(task, asker->sent))) {
                if (task->job->point->scenario == BENCH_RTT) {
                        r = ask_one(asker);
                        continue;
                }
                ramal_cork(asker->conn);
                ask_more(asker);
                r = ramal_uncork(asker->conn);
                if (r >= 0)
                        r = ramal_wait(asker->conn, bench_bus_soon());
        }
        return r < 0 ? r : asker->error;
}

static int run_asker(struct bench_task *task) {
        const struct bench_point *point = task->job->point;
        struct asker asker = {.task = task, .in_flight = point->in_flight};
        if (bench_bus_open(task, &asker.conn, NULL, NULL) < 0)
                return -1;
        subject_of(task, asker.subject);
        asker.sent_at = calloc(asker.in_flight, sizeof(*asker.sent_at));
        int r = asker.sent_at ? bench_payload_new(&asker.payload, (size_t)point->size) : -ENOMEM;
        if (r == 0)
                r = bench_track_new(&asker.track, (size_t)point->size, 1);
        bool go = r == 0 && bench_task_ready(task);
        while (go && r >= 0 && !atomic_load(&task->self->failed)) {
                uint64_t order = atomic_load(&task->shared->order);
                if (bench_task_may_send(task, asker.sent)) {
                        r = ask_all(&asker);
                        continue;
                }
                atomic_store(&task->self->done, order);
                go = bench_task_phase(task) != BENCH_QUIT;
                bench_task_pause();
        }
        if (r < 0 && !atomic_load(&task->self->failed))
                bench_bus_lost(task, asker.conn, r);
        ramal_close(asker.conn);
        bench_payload_free(&asker.payload);
        bench_track_free(&asker.track);
        free(asker.sent_at);
        return 0;
}

/* ---- answer ---- */

static void on_request(ramal_conn *conn, ramal_req *req, void *user) {
        const ramal_msg *msg = ramal_req_msg(req);
        size_t len = 0;
        const void *data = msg ? ramal_msg_data(msg, &len) : "";
        (void)conn;
        (void)user;
        /* Where it cannot be sent the caller is told, and fails. */
        (void)ramal_reply(req, data, len);
}

static int run_answerer(struct bench_task *task) {
        ramal_conn *conn;
        ramal_sub *sub = NULL;
        ramal_error err = {.code = 0};
        char subject[64];
        if (bench_bus_open(task, &conn, NULL, NULL) < 0)
                return -1;
        subject_of(task, subject);
        int r = ramal_serve(conn, subject, on_request, task, &sub);
        if (r == 0)
                r = ramal_sub_confirm(sub, ramal_in_ms(BENCH_BUS_OPEN_MS), &err);
        if (r < 0)
                bench_bus_fail(task, r, &err);
        else if (bench_task_ready(task))
                turn_until_quit(task, conn);
        ramal_close(conn);
        return 0;
}

const bench_role_fn bench_bus_roles[BENCH_ROLES] = {
        [BENCH_SOURCE] = run_source,
        [BENCH_SINK] = run_sink,
        [BENCH_ASKER] = run_asker,
        [BENCH_ANSWERER] = run_answerer,
        [BENCH_CONNECTOR] = bench_bus_connector,
        [BENCH_IDLER] = bench_bus_idler,
        [BENCH_HOLDER] = bench_bus_holder,
};
