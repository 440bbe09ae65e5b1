/* SPDX-License-Identifier: MIT */
/* Frames of the broker: who takes which. Every function says whether it took the frame, or needs a callback that cannot
 * run now (`nested`); such frames are put aside. */
#include "client/conn_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void rml_protocol_error(ramal_conn *conn, const char *reason) {
        if (conn->broken)
                return;
        rml_error(&conn->goaway, -EBADMSG, "the broker broke the protocol: %s", reason);
        conn->broken = -EBADMSG;
}

void rml_starved(ramal_conn *conn, const char *what) {
        if (conn->broken)
                return;
        rml_error(&conn->goaway, -ENOMEM, "no memory left %s: the connection is given up", what);
        conn->broken = -ENOMEM;
        rml_wake(conn); /* perhaps not in a turn */
}

/* STATUS: the answer to a frame of ours, or the refusal of a publish. */
static enum rml_took take_status(ramal_conn *conn, uint64_t id, const Ramal__V1__Status *status, bool nested) {
        struct rml_pending *pending = rml_ask_find(conn, id);
        ramal_error error;

        if (id == 0) {
                if (nested)
                        return RML_TOOK_LATER;
                if (status->publish > 0) {
                        rml_credit_refused(conn, status);
                        rml_publish_refused(conn, status);
                }
                return RML_TOOK;
        }
        if (!pending)
                return RML_TOOK; /* nobody waits any more */
        if (pending->ask == RML_ASK_CALL) {
                ramal_call *call = rml_container_of(pending, ramal_call, pending);
                if (nested && call->fn)
                        return RML_TOOK_LATER;
                rml_ask_answered(conn, pending);
                rml_call_status(conn, call, status);
                return RML_TOOK;
        }
        if (pending->ask == RML_ASK_RECEIPT) {
                struct rml_receipt *receipt = rml_container_of(pending, struct rml_receipt, pending);
                if (nested && receipt->fn)
                        return RML_TOOK_LATER;
                rml_ask_answered(conn, pending);
                rml_credit_refused(conn, status);
                rml_error_status(&error, status);
                rml_receipt_end(conn, receipt, 0, status->code == RAMAL__V1__CODE__CODE_OK ? NULL : &error);
                return RML_TOOK;
        }
        rml_ask_answered(conn, pending);
        rml_ask_forget(conn, pending);
        if (pending->ask == RML_ASK_SUBSCRIBE) {
                rml_error_status(&error, status);
                rml_sub_set_state(rml_container_of(pending, ramal_sub, pending), RAMAL_SUB_ENDED, 0, RAMAL_WHY_NONE,
                                  &error);
        } else {
                struct rml_ping *ping = rml_container_of(pending, struct rml_ping, pending);
                ping->result = rml_code_errno(status->code);
                conn->drained = conn->draining && pending->ask == RML_ASK_BYE && ping->result == 0;
        }
        return RML_TOOK;
}

static enum rml_took take_accepted(ramal_conn *conn, uint64_t id, const Ramal__V1__Accepted *accepted, bool nested) {
        struct rml_pending *pending = rml_ask_find(conn, id);

        if (!pending || pending->ask != RML_ASK_RECEIPT)
                return RML_TOOK;
        struct rml_receipt *receipt = rml_container_of(pending, struct rml_receipt, pending);
        if (nested && receipt->fn)
                return RML_TOOK_LATER;
        rml_ask_answered(conn, pending);
        rml_receipt_end(conn, receipt, accepted->receivers, NULL);
        return RML_TOOK;
}

static void take_pong(ramal_conn *conn, uint64_t id) {
        struct rml_pending *pending = rml_ask_find(conn, id);

        if (!pending || pending->ask != RML_ASK_PING)
                return;
        rml_ask_answered(conn, pending);
        rml_ask_forget(conn, pending);
        struct rml_ping *ping = rml_container_of(pending, struct rml_ping, pending);
        ping->result = 0;
        if (ping == &conn->probe)
                rml_credit_ask(conn); /* what was published since it was sent may be free as well */
}

static void take_subscribed(ramal_conn *conn, uint64_t id, const Ramal__V1__Subscribed *subscribed) {
        struct rml_pending *pending = rml_ask_find(conn, id);

        if (!pending || pending->ask != RML_ASK_SUBSCRIBE)
                return;
        rml_ask_answered(conn, pending);
        rml_ask_forget(conn, pending);
        rml_sub_subscribed(conn, rml_container_of(pending, ramal_sub, pending), subscribed);
}

static enum rml_took take_goaway(ramal_conn *conn, const Ramal__V1__Goaway *goaway, bool nested) {
        bool stops = goaway->reason == RAMAL__V1__CODE__CODE_OK;
        const char *text = goaway->text && goaway->text[0] ? goaway->text : NULL;

        if (nested && stops && conn->on_state)
                return RML_TOOK_LATER;
        if (stops) {
                rml_error(&conn->goaway, -ECONNRESET, "%s", text ? text : "the broker stops");
                rml_set_state(conn, RAMAL_STOPPING, &conn->goaway, 0);
                return RML_TOOK;
        }
        rml_error(&conn->goaway, rml_code_errno(goaway->reason), "the broker ended the connection: %s: %s",
                  rml_code_name(goaway->reason), text ? text : ramal_strerror(rml_code_errno(goaway->reason)));
        conn->goaway.status = (ramal_code)goaway->reason;
        return RML_TOOK;
}

static enum rml_took take_control(ramal_conn *conn, const struct rml_control *control, bool nested) {
        const void *message = control->message;

        switch (control->kind) {
        case RML_STATUS:
                return take_status(conn, control->id, message, nested);
        case RML_ACCEPTED:
                return take_accepted(conn, control->id, message, nested);
        case RML_PONG:
                take_pong(conn, control->id);
                return RML_TOOK;
        case RML_SUBSCRIBED:
                take_subscribed(conn, control->id, message);
                return RML_TOOK;
        case RML_INTEREST:
                return rml_interest(conn, message, nested);
        case RML_GAP:
                return rml_gap(conn, message, nested);
        case RML_CANCEL:
                return rml_serve_cancel(conn, message, nested);
        case RML_CREDIT:
                rml_credit_returned(conn, ((const Ramal__V1__Credit *)message)->publish_bytes);
                rml_serve_credit(conn, message);
                return RML_TOOK;
        case RML_GOAWAY:
                return take_goaway(conn, message, nested);
        default:
                return RML_TOOK; /* a later version may send more kinds */
        }
}

/* All that is no message. */
static enum rml_took take_other(ramal_conn *conn, const struct rml_frame *frame, bool nested) {
        struct rml_fault fault = {0, ""};
        struct rml_control control = {.id = 0};

        if (!rml_control_descriptor(frame->kind))
                return RML_TOOK;
        int r = rml_control_unpack(frame, &control, &fault);
        if (r < 0) {
                if (r == -ENOMEM)
                        rml_starved(conn, "for a frame");
                else
                        rml_protocol_error(conn, fault.reason);
                return RML_TOOK;
        }
        enum rml_took took = RML_TOOK;
        if (conn->phase == RML_PHASE_UP)
                took = take_control(conn, &control, nested);
        else
                rml_handshake_frame(conn, &control);
        rml_control_free(&control);
        return took;
}

enum rml_took rml_frame(ramal_conn *conn, const struct rml_raw *raw, bool nested) {
        struct rml_fault fault;
        struct rml_frame frame;

        if (rml_scan_frame((struct rml_span){raw->data, raw->len}, &frame, &fault) < 0) {
                rml_protocol_error(conn, fault.reason);
                return RML_TOOK;
        }
        if (frame.kind == RML_DELIVER && conn->phase == RML_PHASE_UP)
                return rml_deliver(conn, &frame, raw, nested);
        if (frame.kind == RML_REPLY && conn->phase == RML_PHASE_UP)
                return rml_reply(conn, &frame, raw, nested);
        return take_other(conn, &frame, nested);
}

/* Keeps a frame for the next turn. */
static void put_aside(ramal_conn *conn, const struct rml_raw *raw) {
        bool whole_blob = raw->blob && raw->data == raw->blob->bytes + RML_PREFIX_BYTES;
        struct rml_stashed *stashed = malloc(sizeof(*stashed) + (whole_blob ? 0 : raw->len));

        if (!stashed) {
                rml_starved(conn, "to keep a frame");
                return;
        }
        stashed->blob = whole_blob ? rml_blob_ref(raw->blob) : NULL;
        stashed->arrived = ramal_now();
        stashed->len = raw->len;
        if (!whole_blob)
                memcpy(stashed->bytes, raw->data, raw->len);
        rml_list_push_back(&conn->stash, &stashed->link);
}

void rml_stash_clear(ramal_conn *conn) {
        while (!rml_list_empty(&conn->stash)) {
                struct rml_stashed *stashed = rml_list_entry(rml_list_first(&conn->stash), struct rml_stashed, link);
                rml_list_remove(&stashed->link);
                rml_blob_unref(stashed->blob);
                free(stashed);
        }
}

static void framing_error(ramal_conn *conn, int code) {
        switch (code) {
        case -EMSGSIZE:
                rml_protocol_error(conn, "a frame is longer than it announced");
                break;
        case -ENOMEM:
                rml_starved(conn, "for a frame");
                break;
        default:
                rml_protocol_error(conn, "a frame has no length");
        }
}

void rml_frames(ramal_conn *conn, bool nested) {
        struct rml_raw raw;

        while ((conn->input.len > 0 || rml_framer_whole(&conn->framer)) && !conn->closed && !conn->broken) {
                if (!nested && (conn->ran >= conn->budget || !rml_list_empty(&conn->stash)))
                        return;
                /* A callback may read on (nested) and come back with conn->input used up. */
                int r = rml_framer_next(&conn->framer, &conn->input, &raw);
                if (r == 0)
                        return;
                if (r < 0) {
                        framing_error(conn, r);
                        break;
                }
                struct rml_blob *blob = raw.blob ? rml_blob_ref(raw.blob) : NULL;
                if (rml_frame(conn, &raw, nested) == RML_TOOK_LATER)
                        put_aside(conn, &raw);
                rml_blob_unref(blob);
        }
        /* All of it is used, or there was an error, or the connection is closed: nobody wants the rest. */
        conn->input.len = 0;
        if (conn->closed || conn->broken)
                rml_framer_deinit(&conn->framer);
}
