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
                uint64_t expires = model->messages[entry.number]->expires_ns;
                world_check(world, !expires || expires > world->now,
                            "sid %llu: message %llu was committed after its time", (ull)in->sub.sid, (ull)entry.number);
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
        /* Past its end, and its timer has not come yet: it goes when it would be committed. */
        for (size_t i = 0; i < in->queue.count && l.expired > in->expired;) {
                uint64_t expires = model->messages[in->queue.items[i].number]->expires_ns;
                if (expires && expires <= world->now)
                        model_lose(model, in, entries_take(&in->queue, i), RAMAL__V1__WHY__WHY_EXPIRED);
                else
                        i++;
        }
        check_commits(model, in, l.in_flight + l.confirmed + l.unconfirmed);
        struct {
                const char *what;
                uint64_t theirs, ours;
        } terms[] = {
                {"matched", l.matched, in->matched},
                {"dropped", l.dropped, in->dropped},
                {"expired", l.expired, in->expired},
                {"replaced", l.replaced, in->replaced},
                {"moved", l.moved, in->moved},
                {"queued", l.queued, in->queue.count},
                {"in flight", l.in_flight, in->flight.count},
                {"confirmed", l.confirmed, in->confirmed},
                {"unconfirmed", l.unconfirmed, 0},
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
        model_watch_stalls(model);
        for (size_t i = 0; i < model->interest_count; i++) {
                struct interest *in = model->interests[i];
                if (in->live && in->party->end == PARTY_LIVE)
                        check_ledger(model, in);
        }
        for (size_t i = 0; i < model->party_count; i++)
                if (model->parties[i]->end == PARTY_LIVE)
                        check_ahead(model, model->parties[i]);
        model_watch_stalls(model);
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
uint64_t model_number_of(const struct model *model, const struct rml_data *data) {
        uint64_t number = UINT64_MAX;
        if (data->payload.len >= sizeof(number))
                memcpy(&number, data->payload.data, sizeof(number));
        world_check(model->world, number < model->message_count, "a payload that nobody sent");
        return number;
}

/* Rule 1, and the one order of all messages. */
void model_check_order(const struct model *model, struct party *party, struct interest *in, uint64_t number,
                       const struct entry *entry) {
        const struct party *sender = model->messages[number]->sender;
        if (entry && (entry->moved || entry->redelivered || entry->replaced))
                return;
        if (in && (in->sub.credit_bytes || in->sub.credit_messages || in->vague)) {
                world_check(model->world,
                            number >= in->last_number || in->sub.overflow == RAMAL__V1__OVERFLOW__OVERFLOW_LATEST,
                            "sid %llu: %llu after %llu", (ull)in->sub.sid, (ull)number, (ull)in->last_number);
                in->last_number = number + 1;
                return;
        }
        world_check(model->world, number >= party->last_number, "peer %u got message %llu of peer %u after %llu",
                    party->fake->index, (ull)number, sender->fake->index, (ull)party->last_number);
        party->last_number = number;
}

/* Which of the interest's messages is this? */
static struct entry due(struct model *model, struct interest *in, uint64_t seq, uint64_t number) {
        /* What its peer was still to get may have expired meanwhile. */
        while (in->vague && in->coming.count && in->coming.items[0].number != number) {
                uint64_t expires = model->messages[in->coming.items[0].number]->expires_ns;
                if (!expires || expires > model->world->now)
                        break;
                entries_take(&in->coming, 0);
        }
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

void model_got_deliver(struct model *model, struct party *party, const struct got *got) {
        const struct world *world = model->world;
        struct interest *in = find_interest(model, party, got->data.sid);
        uint64_t number = model_number_of(model, &got->data);
        struct entry entry = due(model, in, got->data.seq, number);
        const struct message *message = model->messages[number];

        world_check(world, entry.number == number, "peer %u sid %llu: message %llu came, %llu was due",
                    party->fake->index, (ull)in->sub.sid, (ull)number, (ull)entry.number);
        bool moved = got->data.flags & RAMAL__V1__DATA_FLAG__DATA_FLAG_MOVED;
        bool again = got->data.flags & RAMAL__V1__DATA_FLAG__DATA_FLAG_REDELIVERED;
        world_check(world,
                    moved == entry.moved && again == entry.redelivered &&
                            (moved || again || got->data.seq == entry.seq),
                    "peer %u sid %llu: seq %llu moved %d redelivered %d, not %llu %d %d", party->fake->index,
                    (ull)in->sub.sid, (ull)got->data.seq, moved, again, (ull)entry.seq, entry.moved, entry.redelivered);
        world_check(world, message->call || !message->expires_ns == !got->data.time_left_us,
                    "message %llu has %llu us left", (ull)number, (ull)got->data.time_left_us);
        world_check(world, got->data.seq && got->data.seq <= in->matched, "seq %llu of %llu", (ull)got->data.seq,
                    (ull)in->matched);
        world_check(world, got->data.replaced == entry.replaced, "seq %llu replaces %llu, not %llu", (ull)got->data.seq,
                    (ull)got->data.replaced, (ull)entry.replaced);
        world_check(world,
                    got->data.subject.len == strlen(message->subject) &&
                            memcmp(got->data.subject.data, message->subject, got->data.subject.len) == 0,
                    "message %llu came under another subject", (ull)number);
        world_check(world,
                    got->data.sender.peer == message->sender->fake->id &&
                            got->data.sender.local == message->sender->fake->local &&
                            got->data.sender.uid == message->sender->fake->uid,
                    "message %llu came from another sender", (ull)number);
        for (size_t i = 0; i < in->lost.count && !in->vague; i++)
                world_check(world, in->lost.items[i].op >= entry.op,
                            "peer %u sid %llu: seq %llu came before the GAP of %llu", party->fake->index,
                            (ull)in->sub.sid, (ull)got->data.seq, (ull)in->lost.items[i].seq);
        model_check_order(model, party, in, number, &entry);
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
void model_got_gap(struct model *model, struct party *party, const struct got *got) {
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
void model_check_told(const struct model *model, const struct interest *in) {
        world_check(model->world, !in->coming.count && !in->lost.count,
                    "peer %u sid %llu has %zu deliveries and %zu losses untold", in->party->fake->index,
                    (ull)in->sub.sid, in->coming.count, in->lost.count);
        world_check(model->world, in->received + in->reported + in->replaced_told == in->matched,
                    "peer %u sid %llu: received %llu, reported %llu, replaced %llu of %llu", in->party->fake->index,
                    (ull)in->sub.sid, (ull)in->received, (ull)in->reported, (ull)in->replaced_told, (ull)in->matched);
}

void model_got_interest(struct model *model, struct party *party, const struct got *got) {
        const Ramal__V1__Interest *m = GOT(got, Interest);
        struct interest *in = find_interest(model, party, m->sid);
        if (m->state == RAMAL__V1__STATE__STATE_DEMOTED) {
                world_check(model->world, (in->demote_due || in->vague) && m->why == RAMAL__V1__WHY__WHY_STALLED,
                            "peer %u sid %llu was demoted", party->fake->index, (ull)m->sid);
                in->demote_due = false;
                return;
        }
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
                model_check_told(model, in);
                in->told = true;
        }
}
