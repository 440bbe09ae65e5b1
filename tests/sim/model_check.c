/* SPDX-License-Identifier: MIT */
/* What the core did, held against what the model expects. */
#include <string.h>

#include "model.h"
#include "status.h"

#define AHEAD_BYTES_MAX (256u << 10)

typedef unsigned long long ull;

/* ---- ledgers --------------------------------------------------------------------------------------------------- */

static void check_commits(struct model *model, struct interest *in, uint64_t committed) {
        const struct world *world = model->world;
        world_check(world, committed >= in->committed, "sid %llu: %llu were committed, now %llu", (ull)in->sub.sid,
                    (ull)in->committed, (ull)committed);
        while (in->committed < committed) {
                world_check(world, in->queue.count, "sid %llu: more committed than were queued", (ull)in->sub.sid);
                struct entry entry = entries_take(&in->queue, 0);
                struct call *call = model->messages[entry.number]->call;
                entry.op = model->op;
                entries_push(&in->flight, &entry);
                entries_push(&in->coming, &entry);
                in->committed++;
                if (call)
                        call->committed = true;
        }
}

/* Rule 5: at most the receive credit, or one message, is in flight. */
static void check_credit(const struct model *model, const struct interest *in) {
        uint64_t bytes = 0;
        if (!in->sub.credit_bytes && !in->sub.credit_messages)
                return;
        for (size_t i = 0; i < in->flight.count; i++)
                bytes += in->flight.items[i].len;
        world_check(model->world,
                    in->flight.count <= 1 ||
                            ((!in->sub.credit_messages || in->flight.count <= in->sub.credit_messages) &&
                             (!in->sub.credit_bytes || bytes <= in->sub.credit_bytes)),
                    "sid %llu: %zu messages, %llu bytes in flight beyond its credit", (ull)in->sub.sid,
                    in->flight.count, (ull)bytes);
}

static void check_ledger(struct model *model, struct interest *in) {
        const struct world *world = model->world;
        struct core_ledger l;
        int r = core_interest_ledger(in->party->fake->peer, in->sub.sid, &l);
        world_check(world, r == 0, "sid %llu of peer %u has no ledger: %d", (ull)in->sub.sid, in->party->fake->index,
                    r);
        world_check(world,
                    l.matched == l.queued + l.in_flight + l.confirmed + l.expired + l.dropped + l.replaced + l.moved +
                                         l.unconfirmed,
                    "sid %llu: the ledger does not balance", (ull)in->sub.sid);
        check_commits(model, in, l.in_flight + l.confirmed + l.unconfirmed);
        struct {
                const char *what;
                uint64_t theirs, ours;
        } terms[] = {
                {"matched", l.matched, in->matched},       {"dropped and expired", l.dropped + l.expired, in->dropped},
                {"replaced", l.replaced, in->replaced},    {"moved", l.moved, in->moved},
                {"queued", l.queued, in->queue.count},     {"in flight", l.in_flight, in->flight.count},
                {"confirmed", l.confirmed, in->confirmed}, {"unconfirmed", l.unconfirmed, 0},
        };
        for (size_t i = 0; i < sizeof(terms) / sizeof(terms[0]); i++)
                world_check(world, terms[i].theirs == terms[i].ours, "peer %u sid %llu '%s': %s is %llu, not %llu",
                            in->party->fake->index, (ull)in->sub.sid, in->pattern, terms[i].what, (ull)terms[i].theirs,
                            (ull)terms[i].ours);
        check_credit(model, in);
}

/* Rule 2: at most 256 KiB, or one message, ahead of the socket. Hop headers and notices are allowed for. */
static void check_ahead(const struct model *model, const struct party *party) {
        uint64_t bytes = 0, count = 0, largest = 0;
        for (size_t i = 0; i < model->interest_count; i++) {
                const struct interest *in = model->interests[i];
                for (size_t k = 0; in->party == party && k < in->coming.count; k++) {
                        uint64_t len = in->coming.items[k].len;
                        count++;
                        bytes += len;
                        largest = len > largest ? len : largest;
                }
        }
        world_check(model->world, count <= 1 || bytes <= AHEAD_BYTES_MAX + largest,
                    "peer %u: %llu messages, %llu bytes ahead of its socket", party->fake->index, (ull)count,
                    (ull)bytes);
}

void model_sync(struct model *model) {
        for (size_t i = 0; i < model->interest_count; i++) {
                struct interest *in = model->interests[i];
                if (in->live && in->party->end == PARTY_LIVE)
                        check_ledger(model, in);
        }
        for (size_t i = 0; i < model->party_count; i++)
                if (model->parties[i]->end == PARTY_LIVE)
                        check_ahead(model, model->parties[i]);
}

/* ---- deliveries ------------------------------------------------------------------------------------------------ */

static struct interest *find_interest(const struct model *model, const struct party *party, uint64_t sid) {
        for (size_t i = 0; i < model->interest_count; i++) {
                struct interest *in = model->interests[i];
                if (in->party == party && in->sub.sid == sid && !in->told)
                        return in;
        }
        world_check(model->world, false, "peer %u was told about sid %llu, which it does not have", party->fake->index,
                    (ull)sid);
        return NULL;
}

/* The model's own number of a message, out of its payload. */
static uint64_t number_of(const struct model *model, const struct rml_data *data) {
        uint64_t number = UINT64_MAX;
        if (data->payload.len >= sizeof(number))
                memcpy(&number, data->payload.data, sizeof(number));
        world_check(model->world, number < model->message_count, "a payload that nobody sent");
        return number;
}

/* Rule 1. */
static void check_order(const struct model *model, struct party *party, struct interest *in, uint64_t number,
                        const struct entry *entry) {
        const struct party *sender = model->messages[number]->sender;
        if (entry && (entry->moved || entry->replaced))
                return;
        if (in && (in->sub.credit_bytes || in->sub.credit_messages || in->vague)) {
                world_check(model->world,
                            number >= in->last_number || in->sub.overflow == RAMAL__V1__OVERFLOW__OVERFLOW_LATEST,
                            "sid %llu: %llu after %llu", (ull)in->sub.sid, (ull)number, (ull)in->last_number);
                in->last_number = number + 1;
                return;
        }
        uint64_t *last = &party->last_number[sender->fake->index];
        world_check(model->world, number >= *last, "peer %u got message %llu of peer %u after %llu", party->fake->index,
                    (ull)number, sender->fake->index, (ull)*last);
        *last = number;
}

/* Which of the interest's messages is this? */
static struct entry due(struct model *model, struct interest *in, uint64_t seq, uint64_t number) {
        if (in->vague && !in->coming.count)
                for (size_t i = 0; i < in->lost.count; i++)
                        if (in->lost.items[i].number == number)
                                return entries_take(&in->lost, i);
        world_check(model->world, in->coming.count, "peer %u sid %llu: %llu was delivered and never committed",
                    in->party->fake->index, (ull)in->sub.sid, (ull)seq);
        return entries_take(&in->coming, 0);
}

static void check_call_delivery(struct model *model, struct party *party, const struct got *got, struct call *call) {
        const struct world *world = model->world;
        world_check(world, got->data.flags & RAMAL__V1__DATA_FLAG__DATA_FLAG_CALL && got->data.token,
                    "a call without token or flag");
        world_check(world, !call->token, "call %llu was delivered twice", (ull)call->id);
        world_check(world, got->id == (call->caller == party ? call->id : 0), "a call delivered with frame id %llu",
                    (ull)got->id);
        world_check(world, !call->deadline_ns == !got->data.time_left_us, "call %llu has %llu us left", (ull)call->id,
                    (ull)got->data.time_left_us);
        call->token = got->data.token;
}

static void got_deliver(struct model *model, struct party *party, const struct got *got) {
        const struct world *world = model->world;
        struct interest *in = find_interest(model, party, got->data.sid);
        uint64_t number = number_of(model, &got->data);
        struct entry entry = due(model, in, got->data.seq, number);
        const struct message *message = model->messages[number];

        world_check(world, entry.number == number, "peer %u sid %llu: message %llu came, %llu was due",
                    party->fake->index, (ull)in->sub.sid, (ull)number, (ull)entry.number);
        bool moved = got->data.flags & RAMAL__V1__DATA_FLAG__DATA_FLAG_MOVED;
        world_check(world, moved == entry.moved && (moved || got->data.seq == entry.seq),
                    "peer %u sid %llu: seq %llu moved %d, not %llu", party->fake->index, (ull)in->sub.sid,
                    (ull)got->data.seq, moved, (ull)entry.seq);
        world_check(world, got->data.seq && got->data.seq <= in->matched, "seq %llu of %llu", (ull)got->data.seq,
                    (ull)in->matched);
        world_check(world, got->data.replaced == entry.replaced, "seq %llu replaces %llu, not %llu", (ull)got->data.seq,
                    (ull)got->data.replaced, (ull)entry.replaced);
        world_check(world,
                    got->data.subject.len == strlen(message->subject) &&
                            memcmp(got->data.subject.data, message->subject, got->data.subject.len) == 0,
                    "message %llu came under another subject", (ull)number);
        world_check(world,
                    got->data.sender.peer == message->sender->fake->id && got->data.sender.local &&
                            got->data.sender.uid == message->sender->fake->uid,
                    "message %llu came from another sender", (ull)number);
        for (size_t i = 0; i < in->lost.count && !in->vague; i++)
                world_check(world, in->lost.items[i].op >= entry.op,
                            "peer %u sid %llu: seq %llu came before the GAP of %llu", party->fake->index,
                            (ull)in->sub.sid, (ull)got->data.seq, (ull)in->lost.items[i].seq);
        check_order(model, party, in, number, &entry);
        if (message->call)
                check_call_delivery(model, party, got, message->call);

        in->received++;
        in->last_seq = got->data.seq;
        in->replaced_told += entry.replaced;
        /* The confirmation names the number it came with. */
        for (size_t i = 0; i < in->flight.count; i++)
                if (in->flight.items[i].number == number)
                        in->flight.items[i].seq = got->data.seq;
        if (!in->sub.credit_bytes && !in->sub.credit_messages && in->flight.count) {
                entries_take(&in->flight, 0);
                in->confirmed++;
        }
}

/* Everything that was lost for this reason when the GAP was written: the oldest ones. */
static void got_gap(struct model *model, struct party *party, const struct got *got) {
        const struct world *world = model->world;
        const Ramal__V1__Gap *gap = GOT(got, Gap);
        struct interest *in = find_interest(model, party, gap->sid);
        uint64_t count = 0, bytes = 0, first = UINT64_MAX, last = 0;
        bool numbered = true, replaced = false;
        model->gaps++;
        for (size_t i = 0; i < in->lost.count && count < gap->count;) {
                if (in->lost.items[i].why != gap->why) {
                        i++;
                        continue;
                }
                struct entry entry = entries_take(&in->lost, i);
                count += 1 + entry.replaced;
                bytes += entry.len;
                first = entry.seq < first ? entry.seq : first;
                last = entry.last > last ? entry.last : last;
                numbered = numbered && entry.seq; /* else moved here: numbered by the core alone */
                replaced = replaced || entry.replaced;
        }
        in->reported += gap->count;
        if (in->vague)
                return;
        world_check(world, gap->count && count == gap->count, "peer %u sid %llu: a GAP of %llu, %llu are lost (%s)",
                    party->fake->index, (ull)gap->sid, (ull)gap->count, (ull)count, rml_why_name(gap->why));
        world_check(world, !numbered || (gap->first == first && gap->last == last),
                    "peer %u sid %llu: GAP %llu..%llu, not %llu..%llu", party->fake->index, (ull)gap->sid,
                    (ull)gap->first, (ull)gap->last, (ull)first, (ull)last);
        world_check(world, replaced || gap->bytes == bytes, "GAP of %llu bytes, not %llu", (ull)gap->bytes, (ull)bytes);
}

/* The last frame about an interest has come: all that was matched is accounted for at its receiver. */
static void check_told(const struct model *model, const struct interest *in) {
        world_check(model->world, !in->coming.count && !in->lost.count,
                    "peer %u sid %llu has %zu deliveries and %zu losses untold", in->party->fake->index,
                    (ull)in->sub.sid, in->coming.count, in->lost.count);
        world_check(model->world, in->received + in->reported + in->replaced_told == in->matched,
                    "peer %u sid %llu: received %llu, reported %llu, replaced %llu of %llu", in->party->fake->index,
                    (ull)in->sub.sid, (ull)in->received, (ull)in->reported, (ull)in->replaced_told, (ull)in->matched);
}

static void got_interest(struct model *model, struct party *party, const struct got *got) {
        const Ramal__V1__Interest *m = GOT(got, Interest);
        struct interest *in = find_interest(model, party, m->sid);
        world_check(model->world, in->notice_count, "peer %u sid %llu: an unexpected notice: %s queued %llu",
                    party->fake->index, (ull)m->sid, rml_state_name(m->state), (ull)m->queued);
        /* Notices that waited for the socket may have been merged: the newest state counts. */
        size_t at = 0;
        while (at + 1 < in->notice_count && (in->notices[at].state != m->state || in->notices[at].queued != m->queued))
                at++;
        struct notice notice = in->told_state = in->notices[at];
        in->notice_count -= at + 1;
        memmove(in->notices, in->notices + at + 1, in->notice_count * sizeof(notice));
        world_check(model->world, notice.state == m->state && notice.queued == m->queued && notice.why == m->why,
                    "peer %u sid %llu: %s queued %llu %s, not %s queued %llu %s", party->fake->index, (ull)m->sid,
                    rml_state_name(m->state), (ull)m->queued, rml_why_name(m->why), rml_state_name(notice.state),
                    (ull)notice.queued, rml_why_name(notice.why));
        if (m->state == RAMAL__V1__STATE__STATE_ENDED) {
                check_told(model, in);
                in->told = true;
        }
}

/* ---- answers --------------------------------------------------------------------------------------------------- */

static void got_refusal(struct model *model, struct party *party, const Ramal__V1__Status *status) {
        uint64_t count = status->count ? status->count : 1;
        for (uint64_t i = 0; i < count; i++) {
                world_check(model->world, party->refused_count, "peer %u: a refusal of publish %llu too many",
                            party->fake->index, (ull)(status->publish + i));
                world_check(model->world,
                            party->refused[0].publish == status->publish + i && party->refused[0].code == status->code,
                            "peer %u: publish %llu was refused as %s, %llu as %s was due", party->fake->index,
                            (ull)(status->publish + i), rml_code_name(status->code), (ull)party->refused[0].publish,
                            rml_code_name(party->refused[0].code));
                party->refused_count--;
                memmove(party->refused, party->refused + 1, party->refused_count * sizeof(party->refused[0]));
        }
}

static struct call *call_of(const struct model *model, const struct party *party, uint64_t id) {
        for (size_t i = 0; i < model->call_count; i++)
                if (model->calls[i]->caller == party && model->calls[i]->id == id)
                        return model->calls[i];
        return NULL;
}

static struct call *call_by_token(const struct model *model, const struct party *party, uint64_t token) {
        for (size_t i = 0; i < model->call_count; i++)
                if (model->calls[i]->token == token && model->calls[i]->server->party == party)
                        return model->calls[i];
        world_check(model->world, false, "peer %u: a token that it never had", party->fake->index);
        return NULL;
}

static void got_terminal(const struct model *model, struct call *call, const Ramal__V1__Status *status) {
        world_check(model->world, !call->told, "call %llu ended twice", (ull)call->id);
        world_check(model->world, call->ended && !call->by_reply, "call %llu ended %s, which it did not", (ull)call->id,
                    rml_code_name(status->code));
        world_check(model->world, call->code == status->code && call->may_have_run == !!status->may_have_run,
                    "call %llu ended %s may_have_run %d, not %s %d", (ull)call->id, rml_code_name(status->code),
                    status->may_have_run, rml_code_name(call->code), call->may_have_run);
        call->told = true;
}

static void got_reply(struct model *model, struct party *party, const struct got *got) {
        const struct world *world = model->world;
        struct call *call = call_of(model, party, got->id);
        world_check(world, call, "peer %u: a reply to call %llu, which it never made", party->fake->index,
                    (ull)got->id);
        world_check(world, !call->told, "call %llu: a reply after its end", (ull)got->id);
        world_check(world, call->replies_told < call->reply_count, "call %llu: a reply that nobody sent", (ull)got->id);
        uint64_t number = number_of(model, &got->data);
        world_check(world, number == call->replies[call->replies_told], "call %llu: reply %llu came, %llu was due",
                    (ull)got->id, (ull)number, (ull)call->replies[call->replies_told]);
        call->replies_told++;
        world_check(world, got->data.seq == call->replies_told, "call %llu: reply %llu is numbered %llu", (ull)got->id,
                    (ull)call->replies_told, (ull)got->data.seq);
        bool more = got->data.flags & RAMAL__V1__DATA_FLAG__DATA_FLAG_MORE;
        bool last = call->by_reply && call->replies_told == call->reply_count;
        world_check(world, more == !last, "call %llu: reply %llu of %zu has MORE %d", (ull)got->id,
                    (ull)call->replies_told, call->reply_count, more);
        world_check(world, got->data.code == (last ? call->app_code : 0), "call %llu: application code %u",
                    (ull)got->id, got->data.code);
        call->told = last;
        check_order(model, party, NULL, number, NULL);
}

static void got_answer(struct model *model, struct party *party, const struct got *got) {
        const struct world *world = model->world;
        char text[256];
        size_t at = 0;
        while (at < party->answer_count && party->answers[at].id != got->id)
                at++;
        got_text(got, text, sizeof(text));
        world_check(world, at < party->answer_count, "peer %u: an answer to nothing: %s", party->fake->index, text);
        struct answer answer = party->answers[at];
        party->answer_count--;
        memmove(party->answers + at, party->answers + at + 1, (party->answer_count - at) * sizeof(answer));
        world_check(world, answer.kind == got->kind, "peer %u: %s, not a frame of kind %u", party->fake->index, text,
                    answer.kind);
        if (got->kind == RML_STATUS)
                world_check(world, GOT(got, Status)->code == answer.code, "peer %u: %s, not %s", party->fake->index,
                            text, rml_code_name(answer.code));
        if (got->kind == RML_SUBSCRIBED)
                world_check(world,
                            GOT(got, Subscribed)->state == answer.state.state &&
                                    GOT(got, Subscribed)->queued == answer.state.queued,
                            "peer %u: subscribed as %s queued %llu, not %s queued %llu", party->fake->index,
                            rml_state_name(GOT(got, Subscribed)->state), (ull)GOT(got, Subscribed)->queued,
                            rml_state_name(answer.state.state), (ull)answer.state.queued);
        if (got->kind == RML_ACCEPTED)
                world_check(world,
                            GOT(got, Accepted)->receivers >= answer.least &&
                                    GOT(got, Accepted)->receivers <= answer.most,
                            "peer %u: %llu receivers, not %llu to %llu", party->fake->index,
                            (ull)GOT(got, Accepted)->receivers, (ull)answer.least, (ull)answer.most);
        if (answer.ends) {
                check_told(model, answer.ends);
                answer.ends->told = true;
        }
}

void model_got(struct model *model, struct party *party, const struct got *got) {
        const struct world *world = model->world;
        struct call *call;
        char text[256];
        switch (got->kind) {
        case RML_DELIVER:
                got_deliver(model, party, got);
                break;
        case RML_REPLY:
                got_reply(model, party, got);
                break;
        case RML_GAP:
                got_gap(model, party, got);
                break;
        case RML_INTEREST:
                got_interest(model, party, got);
                break;
        case RML_STATUS:
                call = call_of(model, party, got->id);
                if (!got->id)
                        got_refusal(model, party, GOT(got, Status));
                else if (call)
                        got_terminal(model, call, GOT(got, Status));
                else
                        got_answer(model, party, got);
                break;
        case RML_CANCEL:
                call = call_by_token(model, party, GOT(got, Cancel)->token);
                world_check(world, call->cancel_due && call->cancel_why == GOT(got, Cancel)->why,
                            "call %llu: CANCEL %s, due %d %s", (ull)call->id, rml_why_name(GOT(got, Cancel)->why),
                            call->cancel_due, rml_why_name(call->cancel_why));
                call->cancel_due = false;
                break;
        case RML_CREDIT:
                call = call_by_token(model, party, GOT(got, Credit)->token);
                world_check(world, GOT(got, Credit)->seq > call->credited && GOT(got, Credit)->seq <= call->reply_count,
                            "call %llu: credit %llu after %zu of %zu", (ull)call->id, (ull)GOT(got, Credit)->seq,
                            call->credited, call->reply_count);
                call->credited = (size_t)GOT(got, Credit)->seq;
                break;
        case RML_SUBSCRIBED:
        case RML_ACCEPTED:
        case RML_PONG:
                got_answer(model, party, got);
                break;
        default:
                world_check(world, false, "peer %u: %s", party->fake->index, got_text(got, text, sizeof(text)));
        }
}

/* ---- the end --------------------------------------------------------------------------------------------------- */

void model_closed(struct model *model, struct party *party) {
        party->closed = true;
        if (party->end == PARTY_LOST)
                return;
        world_check(model->world, party->end != PARTY_LIVE, "peer %u was closed and had not asked for it",
                    party->fake->index);
        if (model->world->now < party->end_ns + model->world->limits.flush_timeout_ns) {
                /* Early: so nothing was left to send. */
                world_check(model->world, !party->answer_count, "peer %u was closed with %zu answers due",
                            party->fake->index, party->answer_count);
                for (size_t i = 0; i < model->call_count; i++)
                        world_check(model->world, model->calls[i]->caller != party || model->calls[i]->told,
                                    "peer %u was closed before the end of call %llu", party->fake->index,
                                    (ull)model->calls[i]->id);
                for (size_t i = 0; i < model->interest_count; i++)
                        world_check(model->world,
                                    model->interests[i]->party != party || !model->interests[i]->coming.count,
                                    "peer %u was closed before all was delivered", party->fake->index);
        }
        model_end(model, party, PARTY_LOST);
}

void model_settled(struct model *model) {
        const struct world *world = model->world;
        for (size_t i = 0; i < model->party_count; i++) {
                const struct party *party = model->parties[i];
                if (party->end != PARTY_LIVE)
                        continue;
                world_check(world, !party->answer_count && !party->refused_count,
                            "peer %u: %zu answers, %zu refusals due", party->fake->index, party->answer_count,
                            party->refused_count);
        }
        for (size_t i = 0; i < model->interest_count; i++) {
                struct interest *in = model->interests[i];
                if (in->party->end != PARTY_LIVE || in->told)
                        continue;
                world_check(world, !in->queue.count && !in->flight.count, "peer %u sid %llu: %zu queued, %zu in flight",
                            in->party->fake->index, (ull)in->sub.sid, in->queue.count, in->flight.count);
                if (in->notice_count) {
                        struct notice final = in->notices[in->notice_count - 1];
                        /* LOST with a place in line says all that QUEUED with that place would. */
                        bool same = final.state == in->told_state.state ||
                                    (final.state == RAMAL__V1__STATE__STATE_QUEUED && in->told_state.queued &&
                                     in->told_state.state == RAMAL__V1__STATE__STATE_LOST);
                        world_check(world, same && final.queued == in->told_state.queued,
                                    "peer %u sid %llu: %zu notices due, the last %s queued %llu",
                                    in->party->fake->index, (ull)in->sub.sid, in->notice_count,
                                    rml_state_name(final.state), (ull) final.queued);
                        in->notice_count = 0;
                }
                check_told(model, in);
        }
        for (size_t i = 0; i < model->call_count; i++) {
                const struct call *call = model->calls[i];
                world_check(world,
                            !call->ended || call->told || call->caller->closed || call->caller->end == PARTY_LOST,
                            "call %llu of peer %u has ended untold", (ull)call->id, call->caller->fake->index);
                world_check(world, !call->cancel_due || call->server->party->end != PARTY_LIVE,
                            "the server of call %llu was not told of its end", (ull)call->id);
        }
}
