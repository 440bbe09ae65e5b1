/* SPDX-License-Identifier: MIT */
/* An interest's queue: what fits, what is lost, what is held, who takes over. */
#include <stdlib.h>
#include <string.h>

#include "model.h"

/* ---- losing ---------------------------------------------------------------------------------------------------- */

void model_lose(struct model *model, struct interest *in, struct entry entry, Ramal__V1__Why why) {
        entry.why = why;
        entry.op = model->op;
        if (why == RAMAL__V1__WHY__WHY_MOVED)
                in->moved++;
        else if (why == RAMAL__V1__WHY__WHY_EXPIRED)
                in->expired++;
        else
                in->dropped++;
        entries_push(&in->lost, &entry);
}

void model_notify(struct model *model, struct interest *in, Ramal__V1__State state, uint64_t queued,
                  Ramal__V1__Why why) {
        world_check(model->world, in->notice_count < 64, "too many notices due");
        in->notices[in->notice_count++] = (struct notice){.state = state, .queued = queued, .why = why};
}

/* Would the window of the interest take so many bytes more? */
bool model_fits(const struct model *model, const struct interest *in, uint64_t len) {
        const struct core_limits *limits = &model->world->limits;
        uint64_t bytes_max = in->sub.window_bytes ? in->sub.window_bytes : limits->interest_bytes;
        uint64_t messages_max = in->sub.window_messages ? in->sub.window_messages : limits->interest_messages;
        uint64_t count = in->queue.count, bytes = entries_bytes(&in->queue);
        if (in->line) {
                count += in->flight.count;
                bytes += entries_bytes(&in->flight);
        }
        return count == 0 || (count + 1 <= messages_max && bytes + len <= bytes_max);
}

/* A message of the subject of `number` that is queued, the newest. */
static struct entry *queued_of_subject(struct model *model, struct interest *in, uint64_t number) {
        for (size_t i = in->queue.count; i-- > 0;) {
                struct entry *entry = &in->queue.items[i];
                if (strcmp(model->messages[entry->number]->subject, model->messages[number]->subject) == 0)
                        return entry;
        }
        return NULL;
}

/* ---- rule 4: `block` -------------------------------------------------------------------------------------------- */

bool model_same_uid(const struct party *a, const struct party *b) {
        return a->fake->local && b->fake->local && a->fake->uid == b->fake->uid;
}

static bool blocks(const struct interest *in) {
        return in->sub.overflow == RAMAL__V1__OVERFLOW__OVERFLOW_BLOCK && !in->demoted;
}

uint64_t model_credit_used(const struct model *model, const struct party *party) {
        uint64_t used = 0;
        /* Once for each message, in however many queues it is held. */
        for (uint64_t number = 0; number < model->message_count; number++) {
                if (model->messages[number]->sender != party || !model->messages[number]->maybe_held)
                        continue;
                bool held = false;
                for (size_t i = 0; i < model->interest_count && !held; i++)
                        for (size_t k = 0; k < model->interests[i]->queue.count && !held; k++) {
                                const struct entry *entry = &model->interests[i]->queue.items[k];
                                held = entry->number == number && entry->held;
                        }
                model->messages[number]->maybe_held = held;
                if (held)
                        used += model->messages[number]->len;
        }
        return used;
}

/* Room is made among those of other uids alone: neither what is held goes, nor what its own connection sent. */
static bool make_room(struct model *model, struct interest *in, uint64_t len) {
        struct interest held = {.sub = in->sub, .line = in->line};
        for (size_t i = 0; i < in->queue.count; i++)
                if (in->queue.items[i].held)
                        entries_push(&held.queue, &in->queue.items[i]);
        bool hope = model_fits(model, &held, len);
        free(held.queue.items);
        for (size_t i = 0; hope && i < in->queue.count && !model_fits(model, in, len);) {
                const struct entry *entry = &in->queue.items[i];
                if (model_same_uid(model->messages[entry->number]->sender, in->party))
                        i++;
                else
                        model_lose(model, in, entries_take(&in->queue, i), RAMAL__V1__WHY__WHY_WINDOW);
        }
        return model_fits(model, in, len);
}

static bool admit_block(struct model *model, struct interest *in, struct entry *entry) {
        struct message *message = model->messages[entry->number];
        entry->held = model_same_uid(message->sender, in->party) && message->sender != in->party;
        if (entry->held)
                message->maybe_held = true;
        if (!entry->held && !model_fits(model, in, entry->len) &&
            (message->sender == in->party || !make_room(model, in, entry->len))) {
                model_lose(model, in, *entry, RAMAL__V1__WHY__WHY_WINDOW);
                return false;
        }
        entries_push(&in->queue, entry);
        return true;
}

/* When it will be looked whether it has stalled: as long as something is held. */
void model_watch_stalls(struct model *model) {
        for (size_t i = 0; i < model->interest_count; i++) {
                struct interest *in = model->interests[i];
                uint64_t since = UINT64_MAX;
                for (size_t k = 0; k < in->queue.count && since == UINT64_MAX; k++)
                        if (in->queue.items[k].held)
                                since = in->queue.items[k].since_ns;
                if (since == UINT64_MAX || !blocks(in))
                        in->stall_ns = 0;
                else if (!in->stall_ns)
                        in->stall_ns = since + model->world->limits.stall_max_ns;
        }
}

static void stalled(struct model *model, struct interest *in) {
        uint64_t due = 0;
        in->stall_ns = 0;
        for (size_t k = 0; k < in->queue.count && !due; k++)
                if (in->queue.items[k].held)
                        due = in->queue.items[k].since_ns + model->world->limits.stall_max_ns;
        if (due > model->world->now) {
                in->stall_ns = due;
                return;
        }
        in->demoted = in->demote_due = true;
        model->demoted++;
        for (size_t k = 0; k < in->queue.count; k++)
                in->queue.items[k].held = false;
}

/* Expiries and stalls, in the order of their times. */
void model_expire_queues(struct model *model) {
        for (;;) {
                uint64_t first = UINT64_MAX;
                struct interest *whose = NULL;
                size_t at = 0;
                for (size_t i = 0; i < model->interest_count; i++) {
                        struct interest *in = model->interests[i];
                        if (in->stall_ns && in->stall_ns < first) {
                                first = in->stall_ns;
                                whose = in;
                                at = SIZE_MAX;
                        }
                        for (size_t k = 0; k < in->queue.count; k++) {
                                uint64_t expires = model->messages[in->queue.items[k].number]->expires_ns;
                                if (expires && expires < first) {
                                        first = expires;
                                        whose = in;
                                        at = k;
                                }
                        }
                }
                if (first > model->world->now)
                        return;
                if (at == SIZE_MAX)
                        stalled(model, whose);
                else
                        model_lose(model, whose, entries_take(&whose->queue, at), RAMAL__V1__WHY__WHY_EXPIRED);
                model_watch_stalls(model);
        }
}

/* ---- rule 3 ---------------------------------------------------------------------------------------------------- */

/* Returns false when the message itself was lost. */
bool model_admit(struct model *model, struct interest *in, uint64_t number) {
        struct entry entry = {.seq = ++in->matched,
                              .last = in->matched,
                              .number = number,
                              .len = model->messages[number]->len,
                              .since_ns = model->world->now};
        if (blocks(in))
                return admit_block(model, in, &entry);
        if (model_fits(model, in, entry.len)) {
                entries_push(&in->queue, &entry);
                return true;
        }
        switch (in->sub.overflow) {
        case RAMAL__V1__OVERFLOW__OVERFLOW_DROP_NEW:
                model_lose(model, in, entry, RAMAL__V1__WHY__WHY_WINDOW);
                return false;
        case RAMAL__V1__OVERFLOW__OVERFLOW_EVICT:
                while (in->queue.count)
                        model_lose(model, in, entries_take(&in->queue, 0), RAMAL__V1__WHY__WHY_EVICTED);
                model_lose(model, in, entry, RAMAL__V1__WHY__WHY_EVICTED);
                model_notify(model, in, RAMAL__V1__STATE__STATE_ENDED, 0, RAMAL__V1__WHY__WHY_EVICTED);
                in->live = false;
                return false;
        case RAMAL__V1__OVERFLOW__OVERFLOW_LATEST: {
                struct entry *older = queued_of_subject(model, in, number);
                if (older) {
                        older->number = number;
                        older->len = entry.len;
                        older->last = entry.seq;
                        older->replaced++;
                        older->moved = older->moved || older->redelivered;
                        older->redelivered = false;
                        in->replaced++;
                        return true;
                }
                break;
        }
        default:
                break;
        }
        while (in->queue.count && !model_fits(model, in, entry.len))
                model_lose(model, in, entries_take(&in->queue, 0), RAMAL__V1__WHY__WHY_WINDOW);
        if (!model_fits(model, in, entry.len)) {
                model_lose(model, in, entry, RAMAL__V1__WHY__WHY_WINDOW);
                return false;
        }
        entries_push(&in->queue, &entry);
        return true;
}

/* ---- another member takes over --------------------------------------------------------------------------------- */

/* Of several it is told by the ledgers. If several of them got several messages, that does not tell who got which. */
static struct interest *heir(struct model *model, const struct line *line, uint64_t number) {
        struct interest *first = NULL, *grown = NULL;
        size_t count = 0, with_more = 0;
        for (size_t i = 0; i < line->count; i++) {
                struct interest *in = line->members[i];
                struct core_ledger ledger = {0};
                if (!model_takes(in, model->messages[number]->subject))
                        continue;
                count++;
                first = first ? first : in;
                core_interest_ledger(in->party->fake->peer, in->sub.sid, &ledger);
                if (ledger.matched > in->matched) {
                        with_more++;
                        grown = grown ? grown : in;
                }
        }
        if (count < 2 || line->primary)
                return first;
        model->lost_track = model->lost_track || with_more > 1;
        return grown ? grown : first;
}

/* To the front of its queue, numbered by the core alone. */
static void put_front(struct model *model, struct interest *to, struct entry entry) {
        struct message *message = model->messages[entry.number];
        entry.seq = entry.last = entry.replaced = 0;
        entry.op = model->op;
        entry.held = false; /* there are no groups that block here */
        to->matched++;
        if (message->call)
                message->call->server = to;
        if (!message->call && !model_fits(model, to, entry.len))
                model_lose(model, to, entry, RAMAL__V1__WHY__WHY_WINDOW);
        else
                entries_insert(&to->queue, 0, &entry);
}

/* What is queued goes to the others of the line, newest first and each to the front, so in order; what cannot go is
 * lost. Of one that died what it had in flight as well, once. */
static void hand_over(struct model *model, struct interest *in, bool dies) {
        model->op++; /* marks what goes now */
        for (size_t i = in->queue.count; i-- > 0;) {
                struct entry entry = in->queue.items[i];
                struct interest *to = in->line ? heir(model, in->line, entry.number) : NULL;
                struct call *call = model->messages[entry.number]->call;
                if (!to || to == in)
                        continue;
                model_lose(model, in, entries_take(&in->queue, i), RAMAL__V1__WHY__WHY_MOVED);
                entry.moved = true;
                put_front(model, to, entry);
                if (call)
                        call->server = to;
                model->moved++;
        }
        while (in->queue.count && !in->live) {
                struct entry entry = entries_take(&in->queue, 0);
                struct call *call = model->messages[entry.number]->call;
                model_lose(model, in, entry, RAMAL__V1__WHY__WHY_ENDED);
                if (call) {
                        call->server = NULL;
                        model_end_call(model, call, RAMAL__V1__CODE__CODE_RESPONDER_GONE, false,
                                       RAMAL__V1__WHY__WHY_ENDED);
                }
        }
        for (size_t i = in->flight.count; dies && in->line && !in->line->serve && i-- > 0;) {
                struct entry entry = in->flight.items[i];
                struct interest *to = entry.redelivered ? NULL : heir(model, in->line, entry.number);
                if (!to)
                        continue;
                entry.redelivered = true;
                entry.moved = entry.held = false;
                put_front(model, to, entry);
                model->redelivered++;
        }
}

void model_end_interest(struct model *model, struct interest *in, bool dies) {
        in->live = false;
        if (in->line)
                model_leave_line(model, in);
        hand_over(model, in, dies);
}

void model_hand_over(struct model *model, struct interest *in) {
        hand_over(model, in, false);
}
