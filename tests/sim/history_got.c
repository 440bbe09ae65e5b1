/* SPDX-License-Identifier: MIT */
/* What a frame that came says about the promises. */
#include <string.h>

#include "history.h"
#include "status.h"

typedef unsigned long long ull;

#define CODE(name) RAMAL__V1__CODE__CODE_##name
#define WHY(name) RAMAL__V1__WHY__WHY_##name
#define STATE(name) RAMAL__V1__STATE__STATE_##name
#define FLAG(name) RAMAL__V1__DATA_FLAG__DATA_FLAG_##name

/* ---- who and what ---------------------------------------------------------------------------------------------- */

/* P8, P9: the broker has stamped it with what the kernel said about a connection that was let in. */
static struct actor *check_sender(const struct history *h, const struct rml_data *data) {
        struct actor *sender = NULL;
        for (size_t i = 0; i < h->actor_count; i++) {
                struct actor *actor = h->actors[i];
                if (actor->fake->epoch == h->world->epoch && actor->fake->id == data->sender.peer)
                        sender = actor;
        }
        world_check(h->world, data->has_sender && sender, "a message from peer %llu, which never was",
                    (ull)data->sender.peer);
        const struct fake *fake = sender->fake;
        world_check(h->world, !sender->stranger, "a message from a stranger");
        world_check(h->world, data->sender.local == fake->local, "peer %u is said to be local %d", fake->index,
                    data->sender.local);
        world_check(h->world,
                    !fake->local || (data->sender.uid == fake->uid && data->sender.gid == fake->gid &&
                                     data->sender.pid == fake->pid),
                    "peer %u is said to be uid %u gid %u pid %u", fake->index, data->sender.uid, data->sender.gid,
                    data->sender.pid);
        world_check(h->world,
                    fake->local ? !data->sender.identity.len
                                : rml_span_equal(data->sender.identity, rml_span_of("token")),
                    "peer %u has another identity", fake->index);
        return sender;
}

/* The letter that came, or NULL when it is from somebody who says anything. */
static struct letter *check_letter(const struct history *h, const struct actor *sender, const struct rml_data *data,
                                   uint64_t *number) {
        *number = 0;
        if (!sender->good)
                return NULL;
        world_check(h->world, data->payload.len >= sizeof(*number), "a payload of %zu bytes", data->payload.len);
        memcpy(number, data->payload.data, sizeof(*number));
        struct letter *letter = history_letter(h, *number);
        world_check(h->world, letter && letter->sender == sender, "a payload that peer %u never sent",
                    sender->fake->index);
        world_check(h->world, !letter->stale, "letter %llu was not to be taken", (ull)*number);
        world_check(h->world, !letter->refused, "letter %llu was refused, and came", (ull)*number);
        world_check(h->world, letter->len == data->payload.len, "letter %llu has %zu bytes, not %llu", (ull)*number,
                    data->payload.len, (ull)letter->len);
        uint8_t want[64];
        size_t len = data->payload.len < sizeof(want) ? data->payload.len : sizeof(want);
        history_fill(*number, want, len);
        world_check(h->world, memcmp(want, data->payload.data, len) == 0, "letter %llu came with other bytes",
                    (ull)*number);
        size_t last = data->payload.len - 1;
        world_check(h->world,
                    last < sizeof(want) || data->payload.data[last] == (uint8_t)(*number * 31 + last * 7 + (last >> 8)),
                    "letter %llu ends with other bytes", (ull)*number);
        return letter;
}

static struct reader *reader_of(const struct history *h, struct actor *actor, uint64_t sid) {
        for (size_t i = 0; i < actor->reader_count; i++)
                if (actor->readers[i].sub.sid == sid && !actor->readers[i].refused && !actor->readers[i].told)
                        return &actor->readers[i];
        world_check(h->world, false, "peer %u was told about sid %llu, which it does not have", actor->fake->index,
                    (ull)sid);
        return NULL;
}

/* ---- deliveries ------------------------------------------------------------------------------------------------ */

/* P1. */
static void check_order(struct history *h, struct actor *actor, struct reader *reader, const struct rml_data *data,
                        uint64_t number) {
        if (data->flags & (FLAG(MOVED) | FLAG(REDELIVERED)) || data->replaced)
                return;
        if (reader && reader->sub.overflow == RAMAL__V1__OVERFLOW__OVERFLOW_LATEST)
                return;
        bool own = reader && (reader->sub.credit_bytes || reader->sub.credit_messages || actor->leaving);
        uint64_t *chain = own ? &reader->chain : &actor->chain;
        history_edge(h, *chain, number);
        *chain = number;
}

static void check_once(struct history *h, struct reader *reader, const struct rml_data *data, struct letter *letter,
                       uint64_t number) {
        bool again = data->flags & FLAG(REDELIVERED);
        world_check(h->world, !reader_saw(reader, number), "peer %u sid %llu got letter %llu twice",
                    reader->actor->fake->index, (ull)reader->sub.sid, (ull)number);
        reader_sees(reader, number);
        h->redelivered += again;
        h->moved += !!(data->flags & FLAG(MOVED));
        world_check(h->world, !again || reader->group >= 0, "a redelivered message outside a group");
        if (letter->sort == LETTER_PUBLISH && reader->group >= 0) {
                uint8_t *count = &letter->deliveries[reader->group][again];
                world_check(h->world, ++*count == 1, "letter %llu went to group %d twice, redelivered %d", (ull)number,
                            reader->group, again);
        }
}

static void got_token(struct history *h, struct actor *actor, struct dialog *dialog, uint64_t token) {
        for (size_t i = 0; i < actor->token_count; i++)
                world_check(h->world, actor->tokens[i].token != token, "token %llu came twice", (ull)token);
        if (actor->token_count == TOKENS_MAX) { /* the oldest ones are forgotten */
                actor->token_count--;
                memmove(actor->tokens, actor->tokens + 1, actor->token_count * sizeof(actor->tokens[0]));
        }
        actor->tokens[actor->token_count].token = token;
        actor->tokens[actor->token_count].done = false;
        actor->tokens[actor->token_count++].dialog = dialog;
}

static void got_call(struct history *h, struct actor *actor, struct reader *reader, const struct got *got,
                     struct dialog *dialog) {
        world_check(h->world, reader->sub.serve && got->data.flags & FLAG(CALL) && got->data.token,
                    "peer %u sid %llu: a call without token or flag", actor->fake->index, (ull)reader->sub.sid);
        if (dialog) {
                world_check(h->world, !dialog->server, "call %llu was delivered twice", (ull)dialog->id);
                world_check(h->world, !(got->data.flags & FLAG(REDELIVERED)), "a call was redelivered");
                world_check(h->world, got->id == (dialog->caller == actor ? dialog->id : 0),
                            "a call delivered with frame id %llu", (ull)got->id);
                dialog->server = actor;
                dialog->token = got->data.token;
        }
        got_token(h, actor, dialog, got->data.token);
}

static void got_deliver(struct history *h, struct actor *actor, const struct got *got) {
        const struct rml_data *data = &got->data;
        struct reader *reader = reader_of(h, actor, data->sid);
        uint64_t number;
        char subject[256];
        h->deliveries++;
        reader->received++;
        reader->replaced += data->replaced;
        world_check(h->world, data->seq, "seq 0");
        world_check(h->world,
                    data->seq > reader->last_seq || data->flags & (FLAG(MOVED) | FLAG(REDELIVERED)) ||
                            reader->group >= 0 || reader->sub.serve,
                    "peer %u sid %llu: %llu after %llu", actor->fake->index, (ull)data->sid, (ull)data->seq,
                    (ull)reader->last_seq);
        reader->last_seq = data->seq;
        /* Whatever came before it and is missing has been told before it. */
        world_check(h->world,
                    !reader_plain(reader) || reader->received + reader->reported + reader->replaced >= data->seq,
                    "peer %u sid %llu: %llu came, and only %llu were accounted for", actor->fake->index, (ull)data->sid,
                    (ull)data->seq, (ull)(reader->received + reader->reported + reader->replaced));
        world_check(h->world, data->subject.len < sizeof(subject), "a subject of %zu bytes", data->subject.len);
        memcpy(subject, data->subject.data, data->subject.len);
        subject[data->subject.len] = 0;
        world_check(h->world, reader_takes(reader, subject), "peer %u sid %llu '%s' got '%s'", actor->fake->index,
                    (ull)data->sid, reader->sub.pattern, subject);
        const struct actor *sender = check_sender(h, data);
        struct letter *letter = check_letter(h, sender, data, &number);
        if (letter) {
                world_check(h->world, strcmp(letter->subject, subject) == 0, "letter %llu came as '%s', not '%s'",
                            (ull)number, subject, letter->subject);
                world_check(h->world, letter->sort == (reader->sub.serve ? LETTER_CALL : LETTER_PUBLISH),
                            "letter %llu of another sort", (ull)number);
                check_once(h, reader, data, letter, number);
                check_order(h, actor, reader, data, number);
        }
        if (reader->sub.serve)
                got_call(h, actor, reader, got, letter ? letter->dialog : NULL);
}

/* P2. */
static void got_gap(struct history *h, struct actor *actor, const Ramal__V1__Gap *gap) {
        struct reader *reader = reader_of(h, actor, gap->sid);
        h->gaps++;
        h->reported += gap->count;
        reader->reported += gap->count;
        world_check(h->world,
                    gap->count && gap->first && gap->first <= gap->last && gap->why != WHY(NONE) &&
                            gap->count <= gap->last - gap->first + 1,
                    "peer %u sid %llu: GAP %llu..%llu count %llu %s", actor->fake->index, (ull)gap->sid,
                    (ull)gap->first, (ull)gap->last, (ull)gap->count, rml_why_name(gap->why));
}

static void got_interest(struct history *h, struct actor *actor, const Ramal__V1__Interest *m) {
        struct reader *reader = reader_of(h, actor, m->sid);
        if (m->state == STATE(DEMOTED)) {
                world_check(h->world, reader->sub.overflow == RAMAL__V1__OVERFLOW__OVERFLOW_BLOCK && !reader->demoted,
                            "peer %u sid %llu is said to be demoted", actor->fake->index, (ull)m->sid);
                reader->demoted = true;
                h->demoted++;
        }
        if (m->state == STATE(ENDED)) {
                world_check(h->world, !reader->active || reader->ended, "peer %u sid %llu is said to have ended",
                            actor->fake->index, (ull)m->sid);
                reader->told = true;
        }
}

/* ---- calls: P3 ------------------------------------------------------------------------------------------------- */

static struct dialog *dialog_of(const struct history *h, const struct actor *caller, uint64_t id) {
        for (size_t i = h->dialog_count; i-- > 0;)
                if (h->dialogs[i]->caller == caller && h->dialogs[i]->id == id)
                        return h->dialogs[i];
        return NULL;
}

static void terminal(struct history *h, struct actor *actor, struct dialog *dialog) {
        world_check(h->world, ++dialog->terminals == 1, "call %llu of peer %u ended twice", (ull)dialog->id,
                    actor->fake->index);
        h->terminals++;
        for (size_t i = 0; i < actor->due_count; i++)
                if (actor->dues[i].kind == DUE_CALL && actor->dues[i].id == dialog->id) {
                        actor->dues[i] = actor->dues[--actor->due_count];
                        return;
                }
        world_check(h->world, false, "call %llu of peer %u was not open", (ull)dialog->id, actor->fake->index);
}

static void got_answer(struct history *, struct actor *, const struct got *);

static void got_reply(struct history *h, struct actor *actor, const struct got *got) {
        struct dialog *dialog = dialog_of(h, actor, got->id);
        uint64_t number;
        if (!dialog) {
                got_answer(h, actor, got);
                return;
        }
        world_check(h->world, !dialog->terminals, "call %llu: a reply after its end", (ull)got->id);
        world_check(h->world, got->data.seq == ++dialog->replies, "call %llu: reply %u is numbered %llu", (ull)got->id,
                    dialog->replies, (ull)got->data.seq);
        const struct actor *sender = check_sender(h, &got->data);
        world_check(h->world, dialog->server ? sender == dialog->server : !sender->good,
                    "call %llu: peer %u replies to it, and has not got it", (ull)got->id, sender->fake->index);
        const struct letter *letter = check_letter(h, sender, &got->data, &number);
        if (letter) {
                world_check(h->world, letter->sort == LETTER_REPLY && letter->dialog == dialog,
                            "call %llu: letter %llu is no reply to it", (ull)got->id, (ull)number);
                world_check(h->world, number > dialog->last_reply, "call %llu: reply %llu after %llu", (ull)got->id,
                            (ull)number, (ull)dialog->last_reply);
                dialog->last_reply = number;
                check_order(h, actor, NULL, &got->data, number);
        }
        if (got->data.flags & FLAG(MORE))
                return;
        h->replied++;
        terminal(h, actor, dialog);
}

static void got_cancel(struct history *h, struct actor *actor, const Ramal__V1__Cancel *cancel) {
        for (size_t i = 0; i < actor->token_count; i++)
                if (actor->tokens[i].token == cancel->token) {
                        struct dialog *dialog = actor->tokens[i].dialog;
                        actor->tokens[i].done = true;
                        if (!dialog)
                                return;
                        world_check(h->world, !dialog->withdrawn, "call %llu was cancelled twice", (ull)dialog->id);
                        dialog->withdrawn = true;
                        return;
                }
        world_check(h->world, actor->token_count == TOKENS_MAX, "peer %u: CANCEL of token %llu, which it never had",
                    actor->fake->index, (ull)cancel->token);
}

static void got_credit(struct history *h, struct actor *actor, const Ramal__V1__Credit *credit) {
        world_check(h->world, !!credit->token != !!credit->publish_bytes && !credit->sid && !credit->call,
                    "peer %u: CREDIT of everything", actor->fake->index);
        if (!credit->publish_bytes || !actor->good)
                return;
        world_check(h->world, credit->publish_bytes <= actor->used,
                    "peer %u: %llu bytes of credit come back, %llu were out", actor->fake->index,
                    (ull)credit->publish_bytes, (ull)actor->used);
        actor->used -= credit->publish_bytes;
}

/* ---- answers --------------------------------------------------------------------------------------------------- */

static const char *const due_names[] = {"STATUS",
                                        "SUBSCRIBED",
                                        "an end",
                                        "ACCEPTED",
                                        "PONG",
                                        "a terminal",
                                        "WELCOME",
                                        "the answer to BYE",
                                        "a reply of the broker"};

/* The credit of a publish that was refused for want of credit was never taken. */
static void refused(struct history *h, struct actor *actor, struct letter *letter, const Ramal__V1__Status *status) {
        h->refusals++;
        world_check(h->world, !letter->refused, "publish %llu of peer %u was refused twice", (ull)letter->publish,
                    actor->fake->index);
        letter->refused = true;
        if (status->code == CODE(WOULD_BLOCK) && strstr(status->limit, "publish_credit_bytes"))
                actor->used -= letter->charge;
}

static void got_refusal(struct history *h, struct actor *actor, const Ramal__V1__Status *status) {
        uint64_t first = status->publish, count = status->count ? status->count : 1, found = 0;
        if (!actor->good)
                return;
        for (size_t i = 1; i < h->letter_count; i++) {
                struct letter *letter = &h->letters[i];
                if (letter->sender == actor && letter->sort == LETTER_PUBLISH && letter->publish >= first &&
                    letter->publish - first < count) {
                        refused(h, actor, letter, status);
                        found++;
                }
        }
        world_check(h->world, found == count, "peer %u: publishes %llu and %llu more were refused, %llu are known",
                    actor->fake->index, (ull)first, (ull)count - 1, (ull)found);
}

static void answered(struct history *h, struct actor *actor, const struct got *got, const struct due *due) {
        const Ramal__V1__Status *status = got->kind == RML_STATUS ? GOT(got, Status) : NULL;
        char text[256];
        bool fits = false;
        got_text(got, text, sizeof(text));
        switch (due->kind) {
        case DUE_PONG:
                fits = got->kind == RML_PONG;
                break;
        case DUE_STATUS:
                fits = status;
                break;
        case DUE_HELLO:
                fits = (got->kind == RML_WELCOME && !actor->stranger) || got->kind == RML_CHALLENGE ||
                       (status && (actor->stranger || h->failing || strstr(status->limit, "_connections")));
                actor->leaving = actor->leaving || status;
                break;
        case DUE_BYE:
                fits = status && status->code == CODE(OK);
                break;
        case DUE_SUBSCRIBED:
                fits = got->kind == RML_SUBSCRIBED || status;
                if (!status && !due->reader->active) { /* it came and went between two looks */
                        due->reader->active = due->reader->ended = true;
                        due->reader->until = due->reader->since;
                } else if (status) {
                        world_check(h->world, !due->reader->active, "peer %u has sid %llu, and %s", actor->fake->index,
                                    (ull)due->reader->sub.sid, text);
                        due->reader->refused = true;
                }
                break;
        case DUE_ENDED:
                fits = status && status->code == CODE(OK);
                if (status && status->code == CODE(NOT_FOUND))
                        fits = due->reader->told; /* it had ended by itself */
                due->reader->told = true;
                break;
        case DUE_ACCEPTED:
                fits = got->kind == RML_ACCEPTED || status;
                if (status)
                        refused(h, actor, history_letter(h, due->number), status);
                break;
        case DUE_API:
                fits = status || (got->kind == RML_REPLY && !got->data.sender.peer);
                break;
        case DUE_CALL:
                break;
        }
        world_check(h->world, fits, "peer %u: %s, not %s", actor->fake->index, text, due_names[due->kind]);
}

static void got_answer(struct history *h, struct actor *actor, const struct got *got) {
        struct dialog *dialog = got->kind == RML_STATUS ? dialog_of(h, actor, got->id) : NULL;
        char text[256];
        if (!actor->good) {
                if (got->kind == RML_STATUS && got->id && dialog)
                        world_check(h->world, ++dialog->terminals == 1, "call %llu ended twice", (ull)dialog->id);
                return;
        }
        if (dialog) {
                terminal(h, actor, dialog);
                return;
        }
        for (size_t i = 0; i < actor->due_count; i++)
                if (actor->dues[i].id == got->id) {
                        struct due due = actor->dues[i];
                        actor->dues[i] = actor->dues[--actor->due_count];
                        answered(h, actor, got, &due);
                        return;
                }
        world_check(h->world, false, "peer %u: an answer to nothing: %s", actor->fake->index,
                    got_text(got, text, sizeof(text)));
}

void history_got(struct history *h, struct actor *actor, const struct got *got) {
        char text[256];
        world_check(h->world,
                    actor->fake->in || got->kind == RML_CHALLENGE || got->kind == RML_STATUS || got->kind == RML_GOAWAY,
                    "peer %u was not let in and got %s", actor->fake->index, got_text(got, text, sizeof(text)));
        world_check(h->world, !actor->stranger || !actor->fake->in, "peer %u may not come in", actor->fake->index);
        switch (got->kind) {
        case RML_DELIVER:
                if (actor->good)
                        got_deliver(h, actor, got);
                break;
        case RML_REPLY:
                if (actor->good)
                        got_reply(h, actor, got);
                break;
        case RML_GAP:
                if (actor->good)
                        got_gap(h, actor, GOT(got, Gap));
                break;
        case RML_INTEREST:
                if (actor->good)
                        got_interest(h, actor, GOT(got, Interest));
                break;
        case RML_CANCEL:
                if (actor->good)
                        got_cancel(h, actor, GOT(got, Cancel));
                break;
        case RML_CREDIT:
                got_credit(h, actor, GOT(got, Credit));
                break;
        case RML_GOAWAY:
                world_check(h->world, !actor->good || !actor->fake->in || actor->half || h->failing,
                            "peer %u behaves, and got %s", actor->fake->index, got_text(got, text, sizeof(text)));
                actor->leaving = true;
                break;
        default:
                if (got->kind == RML_WELCOME)
                        actor->credit = GOT(got, Welcome)->limits->publish_credit_bytes;
                if (got->kind == RML_STATUS && !got->id)
                        got_refusal(h, actor, GOT(got, Status));
                else
                        got_answer(h, actor, got);
                break;
        }
}

void history_closed(struct history *h, struct actor *actor) {
        actor->closed = true;
        h->ends++;
        world_check(h->world, actor->leaving || !actor->good || !actor->fake->in || actor->half || h->failing,
                    "peer %u behaves, and its connection was ended", actor->fake->index);
        actor->leaving = true;
        /* Its refusals may be among what it did not read. */
        for (uint64_t i = h->window; i < h->letter_count; i++)
                if (h->letters[i].sender == actor)
                        h->letters[i].unsure = true;
}
