/* SPDX-License-Identifier: MIT */
/* What comes in for an interest: messages, gaps, changes; to its callback, or into its queue. */
#include "client/conn_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void rml_item_free(struct rml_item *item) {
        if (!item)
                return;
        rml_list_remove(&item->link);
        ramal_msg_unref(item->msg);
        free(item);
}

/* A call of ours that came back to us, while a callback blocks on its answer. */
static bool is_deadlock(ramal_conn *conn, const struct rml_frame *frame, bool nested) {
        struct rml_pending *pending = nested ? rml_ask_find(conn, frame->id) : NULL;

        if (!pending || pending->ask != RML_ASK_CALL)
                return false;
        ramal_call *call = rml_container_of(pending, ramal_call, pending);
        if (!call->stuck)
                return false;
        ramal_error error;
        rml_error(&error, -EDEADLK, "only this connection serves that, and it waits inside a callback");
        rml_call_end(call, &error);
        return true;
}

static void queue_message(ramal_conn *conn, ramal_sub *sub, const struct rml_data *data, size_t bytes) {
        struct rml_item *item = calloc(1, sizeof(*item));

        if (item)
                item->msg = rml_msg_copy(data, conn->arrived);
        if (!item || !item->msg) {
                free(item);
                sub->dropped++;
                sub->starved = true;
                rml_confirm_done(conn, &sub->confirm, data->seq, bytes);
                return;
        }
        item->seq = data->seq;
        item->bytes = bytes;
        item->stale = conn->draining; /* the program takes it when it likes: the broker need not wait for that */
        if (item->stale)
                rml_confirm_done(conn, &sub->confirm, item->seq, item->bytes);
        rml_list_push_back(&sub->items, &item->link);
        conn->ran++;
}

void rml_sub_confirm_queued(ramal_sub *sub) {
        if (sub->held && !sub->held->stale) {
                rml_confirm_done(sub->conn, &sub->confirm, sub->held->seq, sub->held->bytes);
                sub->held->stale = true;
        }
        rml_list_each(node, &sub->items) {
                struct rml_item *item = rml_list_entry(node, struct rml_item, link);
                if (item->msg && !item->stale)
                        rml_confirm_done(sub->conn, &sub->confirm, item->seq, item->bytes);
                item->stale = true;
        }
}

enum rml_took rml_deliver(ramal_conn *conn, const struct rml_frame *frame, const struct rml_raw *raw, bool nested) {
        struct rml_fault fault;
        struct rml_data data;
        struct rml_msg_view view;

        if (rml_scan_data(frame, RML_FROM_BROKER, &data, &fault) < 0) {
                rml_protocol_error(conn, fault.reason);
                return RML_TOOK;
        }
        bool is_call = (data.flags & RAMAL__V1__DATA_FLAG__DATA_FLAG_CALL) != 0;
        ramal_sub *sub = rml_sub_find(conn, data.sid);
        if (!sub || sub->dead) { /* was on the way when we unsubscribed; but a caller waits for an answer */
                if (is_call)
                        rml_serve_refuse(conn, data.token, "the service has ended");
                return RML_TOOK;
        }
        if (is_call) {
                if (is_deadlock(conn, frame, nested)) {
                        rml_confirm_done(conn, &sub->confirm, data.seq, raw->len);
                        return RML_TOOK;
                }
                if (nested)
                        return RML_TOOK_LATER;
                rml_serve_deliver(conn, sub, &data, raw->len);
                return RML_TOOK;
        }
        if (sub->serve) {
                rml_protocol_error(conn, "a message for a service is not a call");
                return RML_TOOK;
        }
        if (!sub->msg_fn) {
                queue_message(conn, sub, &data, raw->len);
                return RML_TOOK;
        }
        if (nested)
                return RML_TOOK_LATER;

        sub->running++;
        sub->delivered++;
        RML_CALLBACK(conn, sub->msg_fn(conn, rml_msg_view(&view, &data, conn->arrived), sub->user));
        if (!sub->dead && !conn->closed)
                rml_confirm_done(conn, &sub->confirm, data.seq, raw->len);
        rml_sub_release(sub);
        return RML_TOOK;
}

/* ---- gaps ---- */

static void tell_gap(ramal_sub *sub, const struct rml_item *item) {
        ramal_conn *conn = sub->conn;
        ramal_gap gap = {
                .sub = sub,
                .pattern = sub->pattern,
                .first = item->gap.first,
                .last = item->gap.last,
                .count = item->gap.count,
                .bytes = item->gap.bytes,
                .why = item->gap.why,
        };

        sub->dropped += gap.count;
        if (!sub->on_gap)
                return;
        sub->running++;
        /* In a callback already: this is ramal_sub_next(), called there. */
        bool outer = conn->in_callback;
        RML_CALLBACK(conn, sub->on_gap(conn, &gap, sub->event_user));
        conn->in_callback = outer;
        rml_sub_release(sub);
}

enum rml_took rml_gap(ramal_conn *conn, const Ramal__V1__Gap *gap, bool nested) {
        ramal_sub *sub = rml_sub_find(conn, gap->sid);
        struct rml_item local = {.msg = NULL};

        if (!sub || sub->dead)
                return RML_TOOK;
        bool pull = !sub->serve && !sub->msg_fn;
        if (nested && !pull)
                return RML_TOOK_LATER;
        local.gap.first = gap->first;
        local.gap.last = gap->last;
        local.gap.count = gap->count;
        local.gap.bytes = gap->bytes;
        local.gap.why = (ramal_why)gap->why;
        if (!pull) {
                tell_gap(sub, &local);
                return RML_TOOK;
        }
        struct rml_item *item = malloc(sizeof(*item));
        if (!item) { /* told out of order, rather than not at all */
                sub->dropped += gap->count;
                sub->starved = true;
                return RML_TOOK;
        }
        *item = local;
        rml_list_push_back(&sub->items, &item->link);
        conn->ran++;
        return RML_TOOK;
}

enum rml_took rml_interest(ramal_conn *conn, const Ramal__V1__Interest *interest, bool nested) {
        ramal_sub *sub = rml_sub_find(conn, interest->sid);
        ramal_sub_state state;

        if (!sub || sub->dead)
                return RML_TOOK;
        /* After its messages that were put aside. One that is pulled has none, and its puller may wait for the end. */
        if (nested && (sub->serve || sub->msg_fn))
                return RML_TOOK_LATER;
        switch (interest->state) {
        case RAMAL__V1__STATE__STATE_ACTIVE:
                state = RAMAL_SUB_ACTIVE;
                break;
        case RAMAL__V1__STATE__STATE_OWNER:
                state = RAMAL_SUB_OWNER;
                break;
        case RAMAL__V1__STATE__STATE_QUEUED:
        case RAMAL__V1__STATE__STATE_LOST:
                state = RAMAL_SUB_QUEUED;
                break;
        case RAMAL__V1__STATE__STATE_DEMOTED:
                sub->demoted = true;
                rml_sub_set_state(sub, sub->state, sub->queued, (ramal_why)interest->why, NULL);
                return RML_TOOK;
        case RAMAL__V1__STATE__STATE_ENDED:
                state = RAMAL_SUB_ENDED;
                break;
        default:
                return RML_TOOK; /* of a later version */
        }
        rml_sub_set_state(sub, state, interest->queued, (ramal_why)interest->why, NULL);
        return RML_TOOK;
}

/* ---- pulling ---- */

/* The program asks for the next one, so it is done with the last. */
static void let_go(ramal_sub *sub) {
        struct rml_item *held = sub->held;

        if (!held)
                return;
        sub->held = NULL;
        if (!held->stale && sub->conn->phase == RML_PHASE_UP && sub->state != RAMAL_SUB_ENDED)
                rml_confirm_done(sub->conn, &sub->confirm, held->seq, held->bytes);
        rml_item_free(held);
}

/* Gaps are told on the way. Returns true and the message. */
static bool take(ramal_sub *sub, ramal_msg **ret) {
        sub->running++; /* on_gap may cancel it */
        while (!sub->dead && !sub->conn->closed && !rml_list_empty(&sub->items)) {
                struct rml_item *item = rml_list_entry(rml_list_first(&sub->items), struct rml_item, link);
                rml_list_remove(&item->link);
                if (!item->msg) {
                        tell_gap(sub, item);
                        free(item);
                        continue;
                }
                *ret = item->msg;
                item->msg = NULL;
                sub->held = item;
                sub->delivered++;
                sub->running--;
                return true;
        }
        sub->running--;
        return false;
}

static int next(ramal_sub *sub, uint64_t deadline, ramal_msg **ret) {
        ramal_conn *conn = sub->conn;
        int r = 0;

        sub->running++; /* callbacks of others may cancel it */
        for (;;) {
                if (take(sub, ret)) {
                        r = 0;
                        break;
                }
                if (conn->closed || sub->dead) {
                        r = -ESHUTDOWN;
                        break;
                }
                if (sub->starved) {
                        sub->starved = false;
                        r = -ENOMEM;
                        break;
                }
                if (sub->state == RAMAL_SUB_ENDED) {
                        r = sub->error ? sub->error->code : conn->state == RAMAL_CLOSED ? -ESHUTDOWN : -ENODATA;
                        break;
                }
                if (r < 0)
                        break;
                r = rml_block(conn, deadline);
        }
        if (!conn->closed)
                rml_sub_release(sub);
        return r;
}

int ramal_sub_next(ramal_sub *sub, uint64_t deadline, ramal_msg **ret) {
        ramal_conn *conn = sub->conn;

        *ret = NULL;
        if (!rml_alive(conn))
                return -ECHILD;
        if (conn->closed)
                return -ESHUTDOWN;
        if (sub->msg_fn || sub->serve)
                return -EINVAL;
        rml_enter(conn);
        let_go(sub);
        int r = next(sub, deadline, ret);
        /* Confirmations must go out although no turn ends here. */
        if (!conn->closed && !conn->in_callback && conn->corked == 0 && rml_out_pending(conn) > 0)
                rml_out_send(conn);
        if (!rml_leave(conn)) {
                *ret = ramal_msg_unref(*ret);
                return -ESHUTDOWN;
        }
        return r;
}
