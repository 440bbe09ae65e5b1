/* SPDX-License-Identifier: MIT */
/* Requests of others: handing them out, and answering. */
#include "client/conn_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash_token(uint64_t token) {
        return token * UINT64_C(0x9e3779b97f4a7c15);
}

static ramal_req *find(const ramal_conn *conn, uint64_t token) {
        struct rml_table_node *node = rml_table_find(&conn->tokens, hash_token(token));

        for (; node; node = rml_table_find_next(node)) {
                ramal_req *req = rml_container_of(node, ramal_req, node);
                if (req->token == token)
                        return req;
        }
        return NULL;
}

/* ---- its life ---- */

static void unlink_req(ramal_req *req) {
        ramal_conn *conn = req->conn;

        if (!req->lost) /* then its token may be another's already */
                rml_table_remove(&conn->tokens, &req->node);
        rml_list_remove(&req->link);
        rml_list_remove(&req->due);
}

static void free_req(ramal_req *req) {
        ramal_msg_unref(req->msg); /* no-op for a borrowed one */
        free(req->sizes);
        free(req);
}

static void consume(ramal_req *req) {
        if (req->consumed)
                return;
        req->consumed = true;
        unlink_req(req);
        if (req->running == 0)
                free_req(req);
}

static void callback_returned(ramal_req *req) {
        if (--req->running == 0 && req->consumed)
                free_req(req);
}

void rml_reqs_free(ramal_conn *conn) {
        while (!rml_list_empty(&conn->reqs)) {
                ramal_req *req = rml_list_entry(rml_list_first(&conn->reqs), ramal_req, link);
                unlink_req(req);
                free_req(req);
        }
}

static void set_due(ramal_req *req) {
        if (!rml_list_linked(&req->due))
                rml_list_push_back(&req->conn->reqs_due, &req->due);
}

/* Runs what is due. Not in a callback. */
void rml_reqs_due(ramal_conn *conn) {
        while (!conn->closed && !rml_list_empty(&conn->reqs_due)) {
                ramal_req *req = rml_list_entry(rml_list_first(&conn->reqs_due), ramal_req, due);
                bool cancelled = req->cancel_due, writable = req->writable_due;
                rml_list_remove(&req->due);
                req->cancel_due = req->writable_due = false;
                req->running++;
                if (cancelled && req->on_cancel)
                        RML_CALLBACK(conn, req->on_cancel(req, req->why, req->cancel_user));
                if (writable && !req->consumed && !conn->closed) {
                        if (req->on_writable)
                                RML_CALLBACK(conn, req->on_writable(req, req->writable_user));
                        else
                                req->writable_due = true; /* nobody was there to hear it */
                }
                if (conn->closed && !req->consumed)
                        req->running--; /* it goes with the connection */
                else
                        callback_returned(req);
        }
}

static void cancel_req(ramal_req *req, ramal_why why) {
        if (req->cancelled)
                return;
        req->cancelled = true;
        req->why = why;
        if (req->on_cancel) {
                req->cancel_due = true;
                set_due(req);
        }
}

void rml_reqs_lost(ramal_conn *conn) {
        rml_list_each(node, &conn->reqs) {
                ramal_req *req = rml_list_entry(node, ramal_req, link);
                if (req->lost)
                        continue;
                rml_table_remove(&conn->tokens, &req->node);
                req->lost = true;
                cancel_req(req, RAMAL_WHY_GONE);
        }
        rml_reqs_due(conn);
}

enum rml_took rml_serve_cancel(ramal_conn *conn, const Ramal__V1__Cancel *cancel, bool nested) {
        ramal_req *req = find(conn, cancel->token);

        if (!req) /* put aside itself, perhaps */
                return nested ? RML_TOOK_LATER : RML_TOOK;
        cancel_req(req, (ramal_why)cancel->why);
        return RML_TOOK;
}

/* ---- streams: what the caller has confirmed ---- */

static void confirmed(ramal_req *req, uint64_t seq) {
        while (req->sizes_count > 0 && req->confirmed < seq) {
                req->unconfirmed_bytes -= req->sizes[req->sizes_first];
                req->sizes_first = (req->sizes_first + 1) % req->sizes_room;
                req->sizes_count--;
                req->confirmed++;
        }
}

void rml_serve_credit(ramal_conn *conn, const Ramal__V1__Credit *credit) {
        ramal_req *req = credit->token ? find(conn, credit->token) : NULL;

        if (!req)
                return;
        confirmed(req, credit->seq);
        if (!req->wants_room || req->unconfirmed_bytes > RML_STREAM_BYTES / 2)
                return;
        req->wants_room = false;
        req->writable_due = true;
        set_due(req);
}

/* Room for one more size. */
static int grow_sizes(ramal_req *req) {
        size_t room = req->sizes_room ? 2 * req->sizes_room : 16;

        if (req->sizes_count < req->sizes_room)
                return 0;
        uint32_t *sizes = malloc(room * sizeof(*sizes));
        if (!sizes)
                return -ENOMEM;
        for (size_t i = 0; i < req->sizes_count; i++)
                sizes[i] = req->sizes[(req->sizes_first + i) % req->sizes_room];
        free(req->sizes);
        req->sizes = sizes;
        req->sizes_room = room;
        req->sizes_first = 0;
        return 0;
}

/* ---- answering ---- */

static int send_failure(ramal_conn *conn, uint64_t token, uint32_t code, const char *text) {
        struct rml_hop hop = {.token = token, .code = code ? code : 1, .text = rml_span_of(text)};
        struct rml_letter letter = {.kind = RML_REPLY, .hop = &hop};

        int r = rml_out_letter(conn, &letter);
        if (r == -ENOMEM)
                rml_starved(conn, "to answer a request");
        return r;
}

void rml_serve_refuse(ramal_conn *conn, uint64_t token, const char *why) {
        send_failure(conn, token, RAMAL_REMOTE_NO_HANDLER, why);
}

/* May it be answered? Says why not. */
static int answerable(const ramal_req *req) {
        if (!rml_alive(req->conn))
                return -ECHILD;
        if (req->conn->closed)
                return -ESHUTDOWN;
        if (req->consumed)
                return -EINVAL;
        if (req->lost || req->conn->phase != RML_PHASE_UP || req->conn->out_dead)
                return -ECONNRESET;
        return req->cancelled ? -ECANCELED : 0;
}

static size_t size_of(const struct rml_letter *letter) {
        size_t size = letter->payload.len + letter->type.len + RML_TAIL_HEAD_BYTES_MAX;

        for (size_t i = 0; i < letter->header_count; i++)
                size += letter->headers[i].value_len + 255;
        return size;
}

static int reply(ramal_req *req, const void *data, size_t len, const ramal_reply_options *given, bool more) {
        struct rml_hop hop = {.token = req->token};
        struct rml_letter letter = {.kind = RML_REPLY, .hop = &hop, .payload = {data, len}};
        ramal_reply_options options;
        int r = answerable(req);

        if (r < 0)
                return r;
        if (given) {
                r = RML_TAKE_OPTIONS(req->conn, &options, given);
                if (r == 0)
                        r = rml_check_envelope(req->conn, options.type, options.headers, options.header_count);
                if (r < 0)
                        return r;
                letter.type = rml_span_text(options.type);
                letter.headers = options.headers;
                letter.header_count = options.header_count;
        }
        if (!more)
                return rml_out_letter(req->conn, &letter);

        bool full = req->unconfirmed_bytes > 0 && (letter.payload.len > RML_STREAM_BYTES ||
                                                   req->unconfirmed_bytes + size_of(&letter) > RML_STREAM_BYTES);
        if (full || req->sizes_count >= RML_STREAM_FRAMES_MAX) {
                req->wants_room = true;
                return -EAGAIN;
        }
        r = grow_sizes(req);
        if (r < 0)
                return r;
        hop.flags = RAMAL__V1__DATA_FLAG__DATA_FLAG_MORE;
        r = rml_out_letter(req->conn, &letter);
        if (r < 0)
                return r == -ENOTCONN ? -ECONNRESET : r;
        req->sizes[(req->sizes_first + req->sizes_count) % req->sizes_room] = (uint32_t)letter.tail_bytes;
        req->sizes_count++;
        req->unconfirmed_bytes += letter.tail_bytes;
        return 0;
}

int ramal_reply_with(ramal_req *req, const void *data, size_t len, const ramal_reply_options *options) {
        int r = reply(req, data, len, options, false);

        if (r == -ECHILD || r == -ESHUTDOWN)
                return r;
        /* The caller must not wait for an answer that cannot be sent. */
        if (r == -EMSGSIZE || r == -ENOMEM || (r == -EINVAL && !req->consumed))
                send_failure(req->conn, req->token, RAMAL_REMOTE_BAD_REPLY,
                             r == -EMSGSIZE ? "the service's reply is longer than the broker takes"
                                            : "the service could not send its reply");
        consume(req);
        return r == -ENOTCONN ? -ECONNRESET : r;
}

int ramal_reply(ramal_req *req, const void *data, size_t len) {
        return ramal_reply_with(req, data, len, NULL);
}

int ramal_reply_more_with(ramal_req *req, const void *data, size_t len, const ramal_reply_options *options) {
        return reply(req, data, len, options, true);
}

int ramal_reply_more(ramal_req *req, const void *data, size_t len) {
        return reply(req, data, len, NULL, true);
}

/* A text that was cut in the middle of a character loses the rest of it. */
static void trim(char *text) {
        size_t len = strlen(text);

        for (unsigned i = 0; i < 4 && !rml_utf8_valid((struct rml_span){(const uint8_t *)text, len}); i++)
                text[len > 0 ? --len : 0] = '\0';
        if (!rml_utf8_valid((struct rml_span){(const uint8_t *)text, len}))
                text[0] = '\0';
}

int ramal_fail(ramal_req *req, uint32_t code, const char *format, ...) {
        char text[1024];
        va_list args;
        int r = answerable(req);

        if (r == -ECHILD || r == -ESHUTDOWN)
                return r;
        va_start(args, format);
        vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        trim(text);
        if (r == 0)
                r = send_failure(req->conn, req->token, code, text);
        consume(req);
        return r == -ENOTCONN ? -ECONNRESET : r;
}

ramal_req *ramal_req_drop(ramal_req *req) {
        if (req)
                ramal_fail(req, RAMAL_REMOTE_DROPPED, "the service dropped the request");
        return NULL;
}

/* ---- asking ---- */

const ramal_msg *ramal_req_msg(const ramal_req *req) {
        return req->msg;
}

ramal_conn *ramal_req_conn(const ramal_req *req) {
        return req->conn;
}

uint64_t ramal_req_deadline(const ramal_req *req) {
        return req->deadline;
}

bool ramal_req_cancelled(const ramal_req *req) {
        return req->cancelled;
}

void ramal_req_on_cancel(ramal_req *req, ramal_cancelled_fn fn, void *user) {
        req->on_cancel = fn;
        req->cancel_user = user;
        if (fn && req->cancelled && !req->consumed) {
                req->cancel_due = true;
                set_due(req);
                rml_wake(req->conn);
        }
}

void ramal_req_on_writable(ramal_req *req, ramal_req_writable_fn fn, void *user) {
        req->on_writable = fn;
        req->writable_user = user;
        if (fn && req->writable_due && !req->consumed) {
                set_due(req);
                rml_wake(req->conn);
        }
}

/* ---- handing out ---- */

static ramal_req *req_new(ramal_conn *conn, const struct rml_data *data) {
        ramal_req *req = calloc(1, sizeof(*req));

        if (!req)
                return NULL;
        req->conn = conn;
        req->token = data->token;
        req->deadline = rml_expiry(data, conn->arrived);
        rml_table_put(&conn->tokens, &req->node, hash_token(req->token));
        rml_list_push_back(&conn->reqs, &req->link);
        return req;
}

void rml_serve_deliver(ramal_conn *conn, ramal_sub *sub, const struct rml_data *data, size_t bytes) {
        ramal_req *req = sub->req_fn ? req_new(conn, data) : NULL;
        struct rml_msg_view view;

        if (!req) {
                rml_serve_refuse(conn, data->token,
                                 sub->req_fn ? "the service has no memory left" : "nothing handles requests there");
                rml_confirm_done(conn, &sub->confirm, data->seq, bytes);
                return;
        }
        req->msg = rml_msg_view(&view, data, conn->arrived);
        req->running++;
        sub->running++;
        sub->delivered++;
        RML_CALLBACK(conn, sub->req_fn(conn, req, sub->user));
        if (req->consumed) {
                callback_returned(req);
        } else {
                /* It is answered later: the message must not depend on the read buffer. */
                req->msg = conn->closed ? NULL : ramal_msg_ref(&view.msg);
                req->running--;
        }
        if (!sub->dead && !conn->closed)
                rml_confirm_done(conn, &sub->confirm, data->seq, bytes);
        rml_sub_release(sub);
}

int ramal_serve_with(ramal_conn *conn, const ramal_interest *given, ramal_req_fn fn, void *user, ramal_sub **ret) {
        ramal_interest interest;
        ramal_sub *sub;

        int r = rml_usable(conn);
        if (r == 0)
                r = RML_TAKE_OPTIONS(conn, &interest, given);
        if (r == 0 && !fn)
                r = rml_error(&conn->error, -EINVAL, "a service needs a function");
        if (r == 0)
                r = rml_sub_new(conn, &interest, false, true, &sub);
        if (r < 0)
                return r;
        sub->req_fn = fn;
        sub->user = user;
        return rml_sub_start(sub, ret);
}

int ramal_serve(ramal_conn *conn, const char *pattern, ramal_req_fn fn, void *user, ramal_sub **ret) {
        ramal_interest interest = {.size = sizeof(interest), .pattern = pattern};

        return ramal_serve_with(conn, &interest, fn, user, ret);
}
