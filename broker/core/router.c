/* SPDX-License-Identifier: MIT */
#include "router.h"

#include <errno.h>
#include <stdio.h>

#include "call.h"
#include "credit.h"
#include "expiry.h"
#include "hello.h"
#include "later.h"
#include "bounds.h"
#include "publish.h"
#include "refuse.h"
#include "subscribe.h"

#define DRAIN_US_MAX UINT64_C(3600000000) /* an hour */

void router_malformed(struct peer *peer, const struct rml_raw *raw, size_t offset, const char *reason) {
        peer_goaway(peer, RAMAL__V1__CODE__CODE_MALFORMED, reason, raw->offset + offset);
}

/* May a frame of this kind, from a client, bear an id? */
enum id_rule { ID_NEVER, ID_ALWAYS, ID_EITHER };
static enum id_rule id_rule(uint32_t kind) {
        switch (kind) {
        case RML_REPLY:
        case RML_CANCEL:
        case RML_CREDIT:
                return ID_NEVER;
        case RML_CALL:
        case RML_HELLO:
        case RML_AUTH:
        case RML_SUBSCRIBE:
        case RML_UNSUBSCRIBE:
        case RML_DESCRIBE:
        case RML_WILL:
        case RML_PING:
        case RML_BYE:
                return ID_ALWAYS;
        default:
                return ID_EITHER; /* a publish: by its flags; what we do not know: as it likes */
        }
}

static bool only_broker(uint32_t kind) {
        switch (kind) {
        case RML_DELIVER:
        case RML_CHALLENGE:
        case RML_WELCOME:
        case RML_SUBSCRIBED:
        case RML_INTEREST:
        case RML_SNAPSHOT_END:
        case RML_GAP:
        case RML_ACCEPTED:
        case RML_STATUS:
        case RML_PONG:
        case RML_GOAWAY:
                return true;
        default:
                return false;
        }
}

/* ---- data ---- */

static void route_call(struct peer *peer, uint64_t id, const struct rml_data *data, struct message *message) {
        struct refusal refusal = {0};
        const char *later = data->hop_len ? later_in_data(RML_CALL, data) : NULL;

        if (later)
                refusal = (struct refusal){.code = RAMAL__V1__CODE__CODE_UNSUPPORTED, .text = later};
        else if (peer->state != PEER_OPEN)
                refusal = (struct refusal){.code = RAMAL__V1__CODE__CODE_INVALID, .text = "no new calls after BYE"};
        if (refusal.text || refuse_sizes(peer, data, &refusal) || refuse_send(peer, data->subject, true, &refusal))
                refuse_status(peer, id, &refusal);
        else
                call_start(peer, id, data, message);
}

static void route_data(struct peer *peer, const struct rml_raw *raw, const struct rml_frame *frame) {
        struct rml_data data;
        struct rml_fault fault;
        struct message message;

        if (rml_scan_data(frame, RML_FROM_CLIENT, &data, &fault) < 0) {
                router_malformed(peer, raw, fault.offset, fault.reason);
                return;
        }
        message = router_message(peer, raw, &data);
        if (frame->kind == RML_CALL)
                route_call(peer, frame->id, &data, &message);
        else
                call_reply(peer, &data, &message);
        message_done(&message);
}

/* ---- control ---- */

static void route_credit(struct peer *peer, const struct rml_raw *raw, const Ramal__V1__Credit *credit) {
        if (credit->token || credit->publish_bytes || !!credit->sid == !!credit->call)
                router_malformed(peer, raw, 0, "CREDIT from a client has either sid or call");
        else if (credit->sid)
                subscribe_credit(peer, credit->sid, credit->seq);
        else
                call_credit(peer, credit->call, credit->seq);
}

static void route_bye(struct peer *peer, uint64_t id, const Ramal__V1__Bye *bye) {
        uint64_t drain_us = bye->drain_us < DRAIN_US_MAX ? bye->drain_us : DRAIN_US_MAX, drain_ns = drain_us * 1000;

        if (peer->state == PEER_DRAINING) {
                answer_status(peer, id, RAMAL__V1__CODE__CODE_INVALID, "BYE was said already");
                return;
        }
        if (bye->drain) {
                peer_drain(peer, id, drain_ns ? drain_ns : peer->account->limits->flush_timeout_ns);
                return;
        }
        peer->bye = true;
        peer->bye_id = id;
        peer_end(peer, PEER_END_BYE, "bye");
}

static void route_opened(struct peer *peer, const struct rml_raw *raw, const struct rml_control *control) {
        static const Ramal__V1__Pong pong = RAMAL__V1__PONG__INIT;
        const char *later;

        switch (control->kind) {
        case RML_SUBSCRIBE:
                if (peer->state != PEER_OPEN)
                        answer_status(peer, control->id, RAMAL__V1__CODE__CODE_INVALID, "no new interests after BYE");
                else
                        subscribe_start(peer, control->id,
                                        (const Ramal__V1__Subscribe *)(const void *)control->message);
                break;
        case RML_UNSUBSCRIBE:
                subscribe_end(peer, control->id, (const Ramal__V1__Unsubscribe *)(const void *)control->message);
                break;
        case RML_CANCEL: {
                const Ramal__V1__Cancel *cancel = (const Ramal__V1__Cancel *)(const void *)control->message;

                if (!cancel->call || cancel->token || cancel->why)
                        router_malformed(peer, raw, 0, "CANCEL from a client has call, and nothing else");
                else
                        call_cancel(peer, cancel->call);
                break;
        }
        case RML_CREDIT:
                route_credit(peer, raw, (const Ramal__V1__Credit *)(const void *)control->message);
                break;
        case RML_PING:
                credit_tell_all(peer); /* before its PONG: who finds no room asks, and knows */
                answer_now(peer, RML_PONG, control->id, &pong.base);
                break;
        case RML_BYE:
                route_bye(peer, control->id, (const Ramal__V1__Bye *)(const void *)control->message);
                break;
        default:
                later = later_in_control(control->kind, control->message);
                if (control->id)
                        answer_status(peer, control->id, RAMAL__V1__CODE__CODE_UNSUPPORTED, later);
                break;
        }
}

static void route_control(struct peer *peer, const struct rml_raw *raw, const struct rml_frame *frame) {
        struct rml_control control = {0};
        struct rml_fault fault;
        int r = rml_control_unpack(frame, &control, &fault);

        if (r == -EBADMSG)
                router_malformed(peer, raw, fault.offset, fault.reason);
        else if (r == -EMSGSIZE)
                router_malformed(peer, raw, 0, "a control frame is at most 64 KiB long");
        else if (r < 0)
                peer_goaway(peer, RAMAL__V1__CODE__CODE_OVER_LIMIT, "the broker is out of memory", raw->offset);
        else if (peer->state == PEER_HELLO)
                hello_start(peer, control.id, (const Ramal__V1__Hello *)(const void *)control.message);
        else if (peer->state == PEER_AUTH)
                hello_auth(peer, control.id, (const Ramal__V1__Auth *)(const void *)control.message);
        else
                route_opened(peer, raw, &control);
        rml_control_free(&control);
}

/* Is a frame of that kind and id what this peer may send now? Else it has been sent away. */
static bool frame_allowed(struct peer *peer, const struct rml_raw *raw, const struct rml_frame *frame) {
        enum id_rule rule = id_rule(frame->kind);
        const char *reason = NULL;

        if ((rule == ID_NEVER && frame->id) || (rule == ID_ALWAYS && !frame->id))
                reason = frame->id ? "this kind of frame has no id" : "this kind of frame needs an id";
        else if (frame->id && frame->id <= peer->id_last)
                reason = "an id must be above all ids before it";
        else if (peer->state == PEER_HELLO && frame->kind != RML_HELLO)
                reason = "the first frame must be HELLO";
        else if (peer->state == PEER_AUTH && frame->kind != RML_AUTH)
                reason = "AUTH must follow CHALLENGE";
        else if (peer->state > PEER_AUTH && (frame->kind == RML_HELLO || frame->kind == RML_AUTH))
                reason = "HELLO and AUTH come once";
        else if (only_broker(frame->kind))
                reason = "only the broker sends this kind of frame";
        if (frame->id > peer->id_last)
                peer->id_last = frame->id;
        if (reason)
                router_malformed(peer, raw, 0, reason);
        return !reason;
}

__attribute__((noinline)) static void route_any(struct peer *peer, const struct rml_raw *raw) {
        struct rml_frame frame;
        struct rml_fault fault;

        if (rml_scan_frame((struct rml_span){raw->data, raw->len}, &frame, &fault) < 0) {
                router_malformed(peer, raw, fault.offset, fault.reason);
                return;
        }
        if (!frame_allowed(peer, raw, &frame))
                return;
        if (frame.kind == RML_PUBLISH)
                publish_frame(peer, raw, frame.id, frame.body_offset);
        else if (frame.kind <= RML_REPLY)
                route_data(peer, raw, &frame);
        else if (rml_control_descriptor(frame.kind))
                route_control(peer, raw, &frame);
        else if (frame.id)
                answer_status(peer, frame.id, RAMAL__V1__CODE__CODE_UNSUPPORTED, "unknown kind of frame");
}

/* A publish without an id may always be sent, but for the beginning, and nearly all frames are one. */
void router_frame(struct peer *peer, const struct rml_raw *raw) {
        size_t head = rml_scan_head((struct rml_span){raw->data, raw->len});

        if (head && raw->data[0] >> 3 == RML_PUBLISH && peer->state > PEER_AUTH)
                publish_frame(peer, raw, 0, head);
        else
                route_any(peer, raw);
}
