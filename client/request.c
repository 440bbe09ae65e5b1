/* SPDX-License-Identifier: MIT */
/* Calls of our own: each ends exactly once, if need be by our own clock. */
#include "client/conn_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void call_free(ramal_call *call) {
        ramal_conn *conn = call->conn;

        rml_ask_forget(conn, &call->pending);
        rml_heap_remove(&conn->timers, &call->timer);
        rml_list_remove(&call->link);
        rml_confirm_reset(&call->confirm);
        while (!rml_list_empty(&call->items))
                rml_item_free(rml_list_entry(rml_list_first(&call->items), struct rml_item, link));
        free(call->error);
        free(call);
}

void rml_calls_free(ramal_conn *conn) {
        struct rml_list *lists[] = {&conn->calls, &conn->calls_ended};

        for (size_t i = 0; i < RML_COUNT(lists); i++)
                while (!rml_list_empty(lists[i]))
                        call_free(rml_list_entry(rml_list_first(lists[i]), ramal_call, link));
}

static void send_cancel(ramal_conn *conn, const ramal_call *call) {
        Ramal__V1__Cancel cancel = RAMAL__V1__CANCEL__INIT;

        cancel.call = call->pending.id;
        /* A service that is not told might never end, nor the call. */
        if (conn->phase == RML_PHASE_UP && rml_out_control(conn, RML_CANCEL, 0, &cancel.base) == -ENOMEM)
                rml_starved(conn, "to cancel a call");
}

static int start(ramal_conn *conn, const char *subject, struct rml_span payload, const ramal_request_options *given,
                 uint64_t deadline, bool limited, ramal_call **ret) {
        struct rml_hop hop = {.stream_credit = RML_STREAM_BYTES};
        struct rml_letter letter = {
                .kind = RML_CALL,
                .hop = &hop,
                .payload = payload,
                .want = limited ? &conn->wants : NULL,
        };
        ramal_request_options options;
        int r = rml_usable(conn);

        if (r == 0)
                r = rml_check_subject(conn, subject, &letter.subject.len);
        if (r == 0)
                r = RML_TAKE_OPTIONS(conn, &options, given);
        if (r == 0) {
                r = rml_check_envelope(conn, options.type, options.headers, options.header_count);
                if (r == 0)
                        r = rml_check_key(conn, options.key);
                hop.key = rml_span_text(options.key);
                letter.type = rml_span_text(options.type);
                letter.headers = options.headers;
                letter.header_count = options.header_count;
        }
        if (r == 0 && conn->phase != RML_PHASE_UP)
                r = -ENOTCONN;
        if (r < 0)
                return r;
        uint64_t now = deadline == RAMAL_NEVER ? 0 : ramal_now();
        if (deadline <= now)
                return -ETIMEDOUT;

        ramal_call *call = calloc(1, sizeof(*call));
        if (!call)
                return -ENOMEM;
        call->conn = conn;
        rml_list_init(&call->items);
        letter.subject.data = (const uint8_t *)subject;
        hop.time_left_us = rml_time_left_us(deadline, now);
        letter.id = call->confirm.call = rml_ask(conn, &call->pending, RML_ASK_CALL);
        call->confirm.bytes_max = RML_STREAM_BYTES;
        call->confirm.soon = true;
        r = rml_out_letter(conn, &letter);
        if (r < 0) {
                rml_ask_forget(conn, &call->pending);
                free(call);
                return r;
        }
        if (deadline != RAMAL_NEVER)
                rml_heap_push(&conn->timers, &call->timer, deadline, ++conn->timer_ties);
        rml_list_push_back(&conn->calls, &call->link);
        *ret = call;
        return 0;
}

/* ---- the end of a call ---- */

/* Takes it out of everything that could end it again. */
static void finished(ramal_call *call) {
        ramal_conn *conn = call->conn;

        call->ended = true;
        rml_ask_forget(conn, &call->pending);
        rml_heap_remove(&conn->timers, &call->timer);
        rml_confirm_reset(&call->confirm);
        rml_list_remove(&call->link);
        rml_list_push_back(&conn->calls_ended, &call->link);
}

/* Ends with a reason. With a callback: not inside another one. */
void rml_call_end(ramal_call *call, const ramal_error *error) {
        ramal_conn *conn = call->conn;
        ramal_reply_fn fn = call->fn;
        void *user = call->user;

        bool ours = error->code == -ETIMEDOUT || error->code == -EDEADLK;
        if (ours && error->status == RAMAL_CODE_OK)
                send_cancel(conn, call); /* the broker does not know that it is over */
        finished(call);
        if (!fn) {
                conn->ran++;
                call->result = error->code;
                call->error = malloc(sizeof(*call->error));
                if (call->error)
                        *call->error = *error;
                return;
        }
        call_free(call);
        RML_CALLBACK(conn, fn(conn, error->code, NULL, error, user));
}

void rml_call_status(ramal_conn *conn, ramal_call *call, const Ramal__V1__Status *status) {
        ramal_error error;

        (void)conn;
        rml_error_status(&error, status);
        rml_call_end(call, &error);
}

void rml_calls_fail(ramal_conn *conn, const ramal_error *error) {
        while (!conn->closed && !rml_list_empty(&conn->calls))
                rml_call_end(rml_list_entry(rml_list_first(&conn->calls), ramal_call, link), error);
}

void rml_calls_expire(ramal_conn *conn, uint64_t now) {
        ramal_error error;
        struct rml_heap_node *top;

        while (!conn->closed && (top = rml_heap_top(&conn->timers)) && top->key <= now) {
                rml_error(&error, -ETIMEDOUT, "no answer before the deadline");
                rml_call_end(rml_container_of(top, ramal_call, timer), &error);
        }
}

/* ---- replies ---- */

/* An application's error is not the broker's: another field, another type. */
static void remote_error(const struct rml_data *data, ramal_error *ret) {
        if (data->text.len > 0)
                rml_error(ret, -EREMOTEIO, "%.*s", (int)(data->text.len < 1023 ? data->text.len : 1023),
                          (const char *)data->text.data);
        else
                rml_error(ret, -EREMOTEIO, "the service answered with error %u", data->code);
        ret->remote = data->code;
}

static void queue_reply(ramal_call *call, const struct rml_data *data, size_t bytes, bool more) {
        struct rml_item *item = calloc(1, sizeof(*item));
        ramal_error error;

        if (item)
                item->msg = rml_msg_copy(data, call->conn->arrived);
        if (!item || !item->msg) {
                free(item);
                rml_error(&error, -ENOMEM, "no memory for the reply");
                if (more)
                        send_cancel(call->conn, call);
                rml_call_end(call, &error);
                return;
        }
        item->seq = data->seq;
        item->bytes = bytes;
        rml_list_push_back(&call->items, &item->link);
        call->conn->ran++;
        if (more)
                return;
        finished(call);
        call->result = data->code ? -EREMOTEIO : 0;
        if (data->code) {
                call->error = malloc(sizeof(*call->error));
                if (call->error)
                        remote_error(data, call->error);
        }
}

static void tell_reply(ramal_conn *conn, ramal_call *call, const struct rml_data *data, size_t bytes, bool more) {
        uint64_t id = call->pending.id;
        ramal_reply_fn fn = call->fn;
        void *user = call->user;
        struct rml_msg_view view;
        ramal_error error;

        rml_msg_view(&view, data, conn->arrived);
        if (!more) {
                finished(call);
                call_free(call);
        }
        if (data->code) {
                remote_error(data, &error);
                RML_CALLBACK(conn, fn(conn, -EREMOTEIO, &view.msg, &error, user));
                return;
        }
        RML_CALLBACK(conn, fn(conn, more ? RAMAL_MORE : 0, &view.msg, NULL, user));
        if (!more || conn->closed)
                return;
        /* It may have been cancelled there. */
        struct rml_pending *pending = rml_ask_find(conn, id);
        if (pending)
                rml_confirm_done(conn, &call->confirm, data->seq, bytes);
}

enum rml_took rml_reply(ramal_conn *conn, const struct rml_frame *frame, const struct rml_raw *raw, bool nested) {
        struct rml_pending *pending = rml_ask_find(conn, frame->id);
        struct rml_fault fault;
        struct rml_data data;

        if (rml_scan_data(frame, RML_FROM_BROKER, &data, &fault) < 0) {
                rml_protocol_error(conn, fault.reason);
                return RML_TOOK;
        }
        if (!pending || pending->ask != RML_ASK_CALL)
                return RML_TOOK; /* cancelled, or too late */
        ramal_call *call = rml_container_of(pending, ramal_call, pending);
        if (nested && call->fn)
                return RML_TOOK_LATER;
        bool more = (data.flags & RAMAL__V1__DATA_FLAG__DATA_FLAG_MORE) && data.code == 0;
        rml_ask_answered(conn, pending);
        if (call->fn)
                tell_reply(conn, call, &data, raw->len, more);
        else
                queue_reply(call, &data, raw->len, more);
        return RML_TOOK;
}

/* ---- the program's side ---- */

int ramal_request_async_with(ramal_conn *conn, const char *subject, const void *data, size_t len,
                             const ramal_request_options *options, uint64_t deadline, ramal_reply_fn fn, void *user,
                             ramal_call **ret) {
        ramal_call *call;

        if (!fn && !ret)
                return -EINVAL;
        int r = start(conn, subject, (struct rml_span){data, len}, options, deadline, true, &call);
        if (r < 0)
                return r;
        call->fn = fn;
        call->user = user;
        if (ret)
                *ret = call;
        rml_io_arm(conn);
        return 0;
}

ramal_call *rml_request_internal(ramal_conn *conn, const char *subject, uint64_t deadline, ramal_reply_fn fn,
                                 void *user) {
        ramal_call *call;

        if (start(conn, subject, (struct rml_span){NULL, 0}, NULL, deadline, false, &call) < 0)
                return NULL;
        call->internal = true;
        call->fn = fn;
        call->user = user;
        return call;
}

int ramal_request_async(ramal_conn *conn, const char *subject, const void *data, size_t len, uint64_t deadline,
                        ramal_reply_fn fn, void *user, ramal_call **ret) {
        return ramal_request_async_with(conn, subject, data, len, NULL, deadline, fn, user, ret);
}

bool ramal_call_ended(const ramal_call *call) {
        return call->ended && rml_list_empty(&call->items) && call->told;
}

/* What the call ended with; told once. */
static int tell_end(ramal_call *call, ramal_error *err) {
        if (call->told)
                return rml_error(err, -ENODATA, "the call has ended");
        call->told = true;
        if (call->error)
                return rml_error_copy(err, call->error);
        return rml_error(err, call->result, "%s", ramal_strerror(call->result));
}

/* The first of what came: RAMAL_MORE, 0 or the error that comes with it. */
static int take_reply(ramal_call *call, ramal_msg **ret, ramal_error *err) {
        struct rml_item *item = rml_list_entry(rml_list_first(&call->items), struct rml_item, link);

        rml_list_remove(&item->link);
        *ret = item->msg;
        item->msg = NULL;
        if (!call->ended)
                rml_confirm_done(call->conn, &call->confirm, item->seq, item->bytes);
        free(item);
        bool last = call->ended && rml_list_empty(&call->items) && !(call->result < 0 && call->result != -EREMOTEIO);
        if (!last)
                return RAMAL_MORE;
        call->told = true;
        if (call->result == 0)
                return 0;
        return call->error ? rml_error_copy(err, call->error)
                           : rml_error(err, call->result, "the service answered with an error");
}

/* Until it has something to give, or is over. */
static int wait_reply(ramal_call *call, uint64_t deadline) {
        ramal_conn *conn = call->conn;
        bool outer = call->stuck;
        int r = 0;

        call->stuck = outer || conn->in_callback;
        while (r == 0 && !conn->closed && !call->ended && rml_list_empty(&call->items))
                r = rml_block(conn, deadline);
        if (!conn->closed)
                call->stuck = outer;
        return r;
}

int ramal_call_next(ramal_call *call, uint64_t deadline, ramal_msg **ret, ramal_error *err) {
        ramal_conn *conn = call->conn;
        int r = rml_alive(conn) ? 0 : -ECHILD;

        *ret = NULL;
        if (r == 0 && conn->closed)
                r = -ESHUTDOWN;
        if (r == 0 && call->fn)
                r = -EINVAL;
        if (r < 0)
                return rml_error(err, r, "%s", ramal_strerror(r));
        rml_enter(conn);
        call->waiting++;
        r = wait_reply(call, deadline);
        if (!conn->closed) {
                call->waiting--;
                if (call->dead)
                        r = rml_error(err, -ECANCELED, "cancelled meanwhile");
                else if (!rml_list_empty(&call->items))
                        r = take_reply(call, ret, err);
                else if (call->ended)
                        r = tell_end(call, err);
                else
                        rml_error(err, r, "%s", ramal_strerror(r));
                if (!conn->in_callback && conn->corked == 0 && !rml_list_empty(&conn->confirm_now)) {
                        rml_confirm_turn(conn, ramal_now());
                        rml_out_send(conn);
                }
                if (call->dead && call->waiting == 0)
                        call_free(call);
        }
        return rml_leave(conn) ? r : rml_error(err, -ESHUTDOWN, "%s", ramal_strerror(-ESHUTDOWN));
}

ramal_call *ramal_call_cancel(ramal_call *call) {
        if (!call || !rml_alive(call->conn) || call->conn->closed)
                return NULL;
        if (!call->ended) {
                send_cancel(call->conn, call);
                finished(call);
        }
        call->dead = true;
        if (call->waiting == 0)
                call_free(call);
        return NULL;
}

int ramal_request_with(ramal_conn *conn, const char *subject, const void *data, size_t len,
                       const ramal_request_options *options, uint64_t deadline, ramal_msg **ret, ramal_error *err) {
        ramal_call *call;
        ramal_msg *reply = NULL;

        if (ret)
                *ret = NULL;
        int r = start(conn, subject, (struct rml_span){data, len}, options, deadline, true, &call);
        if (r < 0)
                return rml_error_subject(conn, err, r, subject);
        rml_enter(conn);
        r = wait_reply(call, deadline);
        if (!conn->closed) {
                if (!rml_list_empty(&call->items))
                        r = take_reply(call, &reply, err);
                else if (call->ended)
                        r = tell_end(call, err);
                else
                        rml_error(err, r, "%s: %s", subject, ramal_strerror(r));
                if (r == RAMAL_MORE)
                        r = rml_error(err, -EPROTOTYPE, "%s answers with a stream: one reply was asked for", subject);
                ramal_call_cancel(call);
        }
        if (!rml_leave(conn))
                r = rml_error(err, -ESHUTDOWN, "%s", ramal_strerror(-ESHUTDOWN));
        if (r == 0 && ret)
                *ret = reply;
        else
                ramal_msg_unref(reply);
        return r;
}

int ramal_request(ramal_conn *conn, const char *subject, const void *data, size_t len, uint64_t deadline,
                  ramal_msg **ret, ramal_error *err) {
        return ramal_request_with(conn, subject, data, len, NULL, deadline, ret, err);
}
