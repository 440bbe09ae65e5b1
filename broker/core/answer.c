/* SPDX-License-Identifier: MIT */
#include "answer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "budget.h"
#include "encode.h"
#include "interest.h"
#include "queue.h"

/* What the broker itself answers, as far as rule 4 counts it: whoever leaves too much of it unread is not read. */
static bool kind_is_own(enum rml_kind kind) {
        return kind == RML_STATUS || kind == RML_ACCEPTED || kind == RML_SUBSCRIBED || kind == RML_PONG;
}

/* `bytes` of output from `began` (in outbox.put) on are the broker's own answer: unread until the socket has taken
 * them. Neighbours share a mark. */
static void unread_mark(struct peer *peer, uint64_t began, size_t bytes) {
        struct mark *last = peer->marks.last;

        input_unread(peer, bytes);
        if (last && last->kind == MARK_ANSWER && last->end == began && bytes < UINT32_MAX - last->bytes) {
                last->end += bytes;
                last->bytes += (uint32_t)bytes;
                return;
        }
        if (marks_reserve(peer))
                *marks_put(&peer->marks) =
                        (struct mark){.end = began + bytes, .kind = MARK_ANSWER, .bytes = (uint32_t)bytes};
        else
                input_read(peer, bytes); /* rather not counted than never let go */
}

/* An answer cannot be given for want of memory: the connection's end tells that. */
static void answer_lost(struct peer *peer) {
        peer->lost = true;
        peer_touch(peer);
}

static struct answer *answer_new(struct peer *peer, enum answer_kind kind, size_t len) {
        struct answer *answer = calloc(1, sizeof(*answer) + len);

        if (!answer) {
                answer_lost(peer);
                return NULL;
        }
        answer->kind = kind;
        answer->len = len;
        answer->ready.key = ++peer->core->ordinal;
        return answer;
}

static void answer_push(struct peer *peer, struct answer *answer) {
        if (rml_list_empty(&peer->answers))
                rml_heap_push(&peer->ready, &answer->ready, answer->ready.key, 0);
        rml_list_push_back(&peer->answers, &answer->link);
        if (answer->kind == ANSWER_REPLY)
                budget_add_reply(peer, answer->body->charge);
        if (answer->own) {
                answer->unread =
                        sizeof(*answer) + answer->len + (answer->kind == ANSWER_REPLY ? answer->body->tail.len : 0);
                input_unread(peer, answer->unread);
        }
        peer_touch(peer);
}

static void answer_free(struct peer *peer, struct answer *answer) {
        rml_heap_remove(&peer->ready, &answer->ready);
        rml_list_remove(&answer->link);
        input_read(peer, answer->unread);
        if (answer->kind == ANSWER_REPLY) {
                budget_remove_reply(peer, answer->body->charge);
                body_unref(answer->body);
        }
        if (answer->kind == ANSWER_NOTICE && answer->interest)
                member_of(answer->interest)->notice = NULL;
        free(answer);
}

static bool peer_deaf(const struct peer *peer) {
        return peer->lost || peer->state == PEER_CLOSED;
}

void answer_control(struct peer *peer, enum rml_kind kind, uint64_t id, const ProtobufCMessage *message) {
        size_t len = rml_control_size(kind, id, message);
        struct answer *answer;
        uint8_t *out;

        if (peer_deaf(peer))
                return;
        if (peer_clear(peer, len) && (out = outbox_reserve(&peer->outbox, &peer->core->pool, len))) {
                rml_control_pack(out, kind, id, message);
                if (kind_is_own(kind))
                        unread_mark(peer, peer->outbox.put, len);
                outbox_advance(&peer->outbox, len);
                peer_touch(peer);
                return;
        }
        answer = answer_new(peer, ANSWER_BYTES, len);
        if (!answer)
                return;
        answer->own = kind_is_own(kind);
        rml_control_pack(answer->bytes, kind, id, message);
        answer_push(peer, answer);
}

void answer_now(struct peer *peer, enum rml_kind kind, uint64_t id, const ProtobufCMessage *message) {
        size_t len = rml_control_size(kind, id, message);
        uint8_t *out = peer_deaf(peer) ? NULL : outbox_reserve(&peer->outbox, &peer->core->pool, len);

        if (!out) {
                if (!peer_deaf(peer))
                        answer_lost(peer);
                return;
        }
        rml_control_pack(out, kind, id, message);
        if (kind_is_own(kind))
                unread_mark(peer, peer->outbox.put, len);
        outbox_advance(&peer->outbox, len);
        peer_touch(peer);
}

void answer_limit(struct peer *peer, uint64_t id, Ramal__V1__Code code, const char *text, const char *limit,
                  uint64_t value) {
        Ramal__V1__Status status;

        ramal__v1__status__init(&status);
        status.code = code;
        if (text)
                status.text = (char *)(uintptr_t)text;
        if (limit)
                status.limit = (char *)(uintptr_t)limit;
        status.value = value;
        if (code != RAMAL__V1__CODE__CODE_OK)
                peer->core->counters.refused++;
        answer_control(peer, RML_STATUS, id, &status.base);
}

void answer_status(struct peer *peer, uint64_t id, Ramal__V1__Code code, const char *text) {
        answer_limit(peer, id, code, text, NULL, 0);
}

void answer_gone(struct peer *peer, uint64_t id, const char *text, bool may_have_run) {
        Ramal__V1__Status status;

        ramal__v1__status__init(&status);
        status.code = RAMAL__V1__CODE__CODE_RESPONDER_GONE;
        status.text = (char *)(uintptr_t)text;
        status.may_have_run = may_have_run;
        answer_control(peer, RML_STATUS, id, &status.base);
}

/* ---- refused publishes ---- */

void answer_refusal(struct peer *peer, const struct refusal *refusal) {
        struct rml_list *tail = peer->answers.prev;
        struct answer *answer;

        if (peer_deaf(peer))
                return;
        peer->core->counters.refused++;
        if (!rml_list_empty(&peer->answers)) {
                struct answer *last = rml_list_entry(tail, struct answer, link);
                struct refusal *r = &last->refusal;

                if (last->kind == ANSWER_REFUSAL && !r->id && !refusal->id && r->code == refusal->code &&
                    r->text == refusal->text && r->limit == refusal->limit && r->value == refusal->value &&
                    r->publish + r->count == refusal->publish) {
                        r->count++;
                        return;
                }
        }
        answer = answer_new(peer, ANSWER_REFUSAL, 0);
        if (!answer)
                return;
        answer->refusal = *refusal;
        answer->refusal.count = 1;
        answer->own = true;
        answer_push(peer, answer);
}

static bool refusal_commit(struct peer *peer, struct answer *answer) {
        const struct refusal *refusal = &answer->refusal;
        Ramal__V1__Status status;
        uint8_t *out;
        size_t len;

        ramal__v1__status__init(&status);
        status.code = refusal->code;
        status.publish = refusal->publish;
        status.count = refusal->count > 1 ? refusal->count : 0;
        status.text = (char *)(uintptr_t)(refusal->text ? refusal->text : "");
        status.limit = (char *)(uintptr_t)(refusal->limit ? refusal->limit : "");
        status.value = refusal->value;
        len = rml_control_size(RML_STATUS, refusal->id, &status.base);
        out = outbox_reserve(&peer->outbox, &peer->core->pool, len);
        if (!out)
                return false;
        rml_control_pack(out, RML_STATUS, refusal->id, &status.base);
        unread_mark(peer, peer->outbox.put, len);
        outbox_advance(&peer->outbox, len);
        return true;
}

/* ---- notices ---- */

void answer_notice(struct interest *interest, Ramal__V1__State state, uint64_t queued, Ramal__V1__Why why) {
        /* Of a plain one it is the end, and it comes once. */
        struct member *member = interest->grouped ? member_of(interest) : NULL;
        struct answer *answer = member ? member->notice : NULL;

        if (peer_deaf(interest->peer))
                return;
        if (answer && state == RAMAL__V1__STATE__STATE_ENDED) {
                /* The end keeps its own place, behind the gaps that were told since. */
                answer->interest = NULL;
                member->notice = answer = NULL;
        }
        if (!answer) {
                answer = answer_new(interest->peer, ANSWER_NOTICE, 0);
                if (!answer)
                        return;
                answer->interest = member ? interest : NULL;
                if (member)
                        member->notice = answer;
                answer->notice = (Ramal__V1__Interest)RAMAL__V1__INTEREST__INIT;
                answer->notice.sid = interest->sid;
                answer_push(interest->peer, answer);
        }
        answer->notice.state = state;
        answer->notice.queued = queued;
        answer->notice.why = why;
}

static bool notice_commit(struct peer *peer, struct answer *answer) {
        size_t len = rml_control_size(RML_INTEREST, 0, &answer->notice.base);
        uint8_t *out = outbox_reserve(&peer->outbox, &peer->core->pool, len);

        if (!out)
                return false;
        rml_control_pack(out, RML_INTEREST, 0, &answer->notice.base);
        outbox_advance(&peer->outbox, len);
        return true;
}

/* ---- replies ---- */

/* What is written for one answer: a head that is copied, and a tail that is copied or (share) referenced. */
struct parcel {
        struct rml_span head, tail;
        struct body *share;
        bool own;
        uint64_t token, seq; /* MARK_REPLY, where token is not 0 */
};

static bool parcel_write(struct peer *peer, const struct parcel *parcel) {
        struct outbox *outbox = &peer->outbox;
        size_t len = parcel->head.len + parcel->tail.len, copied = parcel->share ? 0 : parcel->tail.len;
        uint64_t began = outbox->put;
        uint8_t *out = outbox_reserve(outbox, &peer->core->pool, parcel->head.len + copied);

        if (!out || (parcel->token && !marks_reserve(peer)))
                return false;
        memcpy(out, parcel->head.data, parcel->head.len);
        if (copied)
                memcpy(out + parcel->head.len, parcel->tail.data, copied);
        if (parcel->share && outbox_put_body(outbox, parcel->head.len, parcel->share) < 0)
                return false;
        if (!parcel->share)
                outbox_advance(outbox, len);
        if (parcel->token)
                *marks_put(&peer->marks) = (struct mark){.end = began + len, .kind = MARK_REPLY,
                                                         .token = parcel->token, .seq = parcel->seq};
        if (parcel->own)
                unread_mark(peer, began, len);
        return true;
}

int answer_reply(struct peer *caller, uint64_t id, uint64_t seq, const struct rml_data *data, struct message *message,
                 bool own, uint64_t confirm_token) {
        struct core *core = caller->core;
        struct rml_hop hop = {.seq = seq, .code = data->code, .text = data->text, .sender_field = *message->sender};
        uint8_t small[RML_HEAD_BYTES_MAX + 256];
        bool long_text = data->text.len > 256;
        uint8_t *head = long_text ? malloc(RML_HEAD_BYTES_MAX + data->text.len) : small;
        struct answer *answer;
        size_t head_len;
        struct parcel parcel = {.tail = message->tail, .own = own, .token = confirm_token, .seq = seq};
        int r = 0;

        if (!head)
                return -ENOMEM;
        if (peer_deaf(caller))
                goto out;
        if (!data->code) /* an error is always the last word */
                hop.flags = data->flags & RAMAL__V1__DATA_FLAG__DATA_FLAG_MORE;
        head_len = rml_put_head(head, RML_REPLY, id, &hop, message->tail.len);
        parcel.head = (struct rml_span){head, head_len};
        if (peer_clear(caller, head_len + message->tail.len) && message_share_reply(core, message, &parcel.share)) {
                if (parcel.share)
                        parcel.tail = parcel.share->tail;
                if (parcel_write(caller, &parcel)) {
                        peer_touch(caller);
                        goto out;
                }
        }
        r = -ENOMEM;
        answer = message_body(core, message) ? answer_new(caller, ANSWER_REPLY, head_len) : NULL;
        if (!answer)
                goto out;
        memcpy(answer->bytes, head, head_len);
        answer->body = body_ref(message->body);
        answer->own = own;
        answer->token = confirm_token;
        answer->seq = seq;
        answer_push(caller, answer);
        r = 0;
out:
        if (long_text)
                free(head);
        return r;
}

bool answer_commit(struct peer *peer) {
        struct answer *answer = rml_list_entry(rml_list_first(&peer->answers), struct answer, link);
        struct body *body = answer->kind == ANSWER_REPLY ? answer->body : NULL;
        struct parcel parcel = {.head = {answer->bytes, answer->len}, .own = answer->own};
        size_t unread = answer->unread;
        struct rml_list *next;
        bool done = false;

        if (body) {
                parcel.tail = body->tail;
                parcel.share = body->blob ? body : NULL;
                parcel.token = answer->token;
                parcel.seq = answer->seq;
        }
        if (!peer_has_room(peer, parcel.head.len + parcel.tail.len))
                return false;
        /* From here on it counts as written, or again as waiting. */
        input_read(peer, unread);
        answer->unread = 0;
        switch (answer->kind) {
        case ANSWER_BYTES:
        case ANSWER_REPLY:
                done = parcel_write(peer, &parcel);
                break;
        case ANSWER_REFUSAL:
                done = refusal_commit(peer, answer);
                break;
        case ANSWER_NOTICE:
                done = notice_commit(peer, answer);
                break;
        }
        if (!done) {
                answer->unread = unread;
                input_unread(peer, unread);
                return false;
        }
        answer_free(peer, answer);
        next = rml_list_first(&peer->answers);
        if (next) {
                answer = rml_list_entry(next, struct answer, link);
                rml_heap_push(&peer->ready, &answer->ready, answer->ready.key, 0);
        }
        return true;
}

void answers_clear(struct peer *peer) {
        rml_list_each_safe(at, &peer->answers)
                answer_free(peer, rml_list_entry(at, struct answer, link));
}
