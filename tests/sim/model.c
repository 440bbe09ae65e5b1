/* SPDX-License-Identifier: MIT */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *grown(void *array, size_t count, size_t size) {
        void *more = realloc(array, (count + 1) * size);
        if (!more)
                abort();
        return more;
}

static void *fresh(size_t size) {
        void *p = calloc(1, size);
        if (!p)
                abort();
        return p;
}

void entries_push(struct entries *list, const struct entry *entry) {
        if (list->count == list->room) {
                list->room = list->room ? 2 * list->room : 8;
                list->items = realloc(list->items, list->room * sizeof(*list->items));
                if (!list->items)
                        abort();
        }
        list->items[list->count++] = *entry;
}

struct entry entries_take(struct entries *list, size_t at) {
        struct entry entry = list->items[at];
        list->count--;
        memmove(list->items + at, list->items + at + 1, (list->count - at) * sizeof(entry));
        return entry;
}

static void entries_insert(struct entries *list, size_t at, const struct entry *entry) {
        entries_push(list, entry);
        memmove(list->items + at + 1, list->items + at, (list->count - 1 - at) * sizeof(*entry));
        list->items[at] = *entry;
}

static uint64_t entries_bytes(const struct entries *list) {
        uint64_t sum = 0;
        for (size_t i = 0; i < list->count; i++)
                sum += list->items[i].len;
        return sum;
}

struct model *model_new(struct world *world) {
        struct model *model = fresh(sizeof(*model));
        model->world = world;
        return model;
}

void model_free(struct model *model) {
        for (size_t i = 0; i < model->interest_count; i++) {
                struct interest *in = model->interests[i];
                free(in->queue.items);
                free(in->flight.items);
                free(in->coming.items);
                free(in->lost.items);
                free(in);
        }
        for (size_t i = 0; i < model->line_count; i++)
                free(model->lines[i]);
        for (size_t i = 0; i < model->message_count; i++)
                free(model->messages[i]);
        for (size_t i = 0; i < model->call_count; i++)
                free(model->calls[i]);
        for (size_t i = 0; i < model->party_count; i++)
                free(model->parties[i]);
        free(model->interests);
        free(model->lines);
        free(model->messages);
        free(model->calls);
        free(model);
}

struct party *model_join(struct model *model, struct fake *fake) {
        struct party *party = fresh(sizeof(*party));
        world_check(model->world, model->party_count < 512, "too many parties");
        party->fake = fake;
        fake->user = party;
        model->parties[model->party_count++] = party;
        return party;
}

static struct answer *expect_answer(struct model *model, struct party *party, uint64_t id, uint32_t kind) {
        world_check(model->world, party->answer_count < 512, "too many answers due");
        struct answer *answer = &party->answers[party->answer_count++];
        *answer = (struct answer){.id = id, .kind = kind};
        return answer;
}

/* ---- losing and moving ----------------------------------------------------------------------------------------- */

static void lose(struct model *model, struct interest *in, struct entry entry, Ramal__V1__Why why) {
        entry.why = why;
        entry.op = model->op;
        if (why == RAMAL__V1__WHY__WHY_MOVED)
                in->moved++;
        else
                in->dropped++;
        entries_push(&in->lost, &entry);
}

static void notify(struct model *model, struct interest *in, Ramal__V1__State state, uint64_t queued,
                   Ramal__V1__Why why) {
        world_check(model->world, in->notice_count < 64, "too many notices due");
        in->notices[in->notice_count++] = (struct notice){.state = state, .queued = queued, .why = why};
}

static bool is_group(const struct interest *in) {
        return in->line != NULL;
}

/* Would the window of the interest take so many bytes more? */
static bool fits(const struct model *model, const struct interest *in, uint64_t len) {
        const struct core_limits *limits = &model->world->limits;
        uint64_t bytes_max = in->sub.window_bytes ? in->sub.window_bytes : limits->interest_bytes;
        uint64_t messages_max = in->sub.window_messages ? in->sub.window_messages : limits->interest_messages;
        uint64_t count = in->queue.count, bytes = entries_bytes(&in->queue);
        if (is_group(in)) {
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

/* Rule 3. Returns false when the message itself was lost. */
static bool admit(struct model *model, struct interest *in, uint64_t number) {
        struct entry entry = {
                .seq = ++in->matched, .last = in->matched, .number = number, .len = model->messages[number]->len};
        if (fits(model, in, entry.len)) {
                entries_push(&in->queue, &entry);
                return true;
        }
        switch (in->sub.overflow) {
        case RAMAL__V1__OVERFLOW__OVERFLOW_DROP_NEW:
                lose(model, in, entry, RAMAL__V1__WHY__WHY_WINDOW);
                return false;
        case RAMAL__V1__OVERFLOW__OVERFLOW_EVICT:
                while (in->queue.count)
                        lose(model, in, entries_take(&in->queue, 0), RAMAL__V1__WHY__WHY_EVICTED);
                lose(model, in, entry, RAMAL__V1__WHY__WHY_EVICTED);
                notify(model, in, RAMAL__V1__STATE__STATE_ENDED, 0, RAMAL__V1__WHY__WHY_EVICTED);
                in->live = false;
                return false;
        case RAMAL__V1__OVERFLOW__OVERFLOW_LATEST: {
                struct entry *older = queued_of_subject(model, in, number);
                if (older) {
                        older->number = number;
                        older->len = entry.len;
                        older->last = entry.seq;
                        older->replaced++;
                        in->replaced++;
                        return true;
                }
                break;
        }
        default:
                break;
        }
        while (in->queue.count && !fits(model, in, entry.len))
                lose(model, in, entries_take(&in->queue, 0), RAMAL__V1__WHY__WHY_WINDOW);
        if (!fits(model, in, entry.len)) {
                lose(model, in, entry, RAMAL__V1__WHY__WHY_WINDOW);
                return false;
        }
        entries_push(&in->queue, &entry);
        return true;
}

/* Who takes over what was queued for a member that left its line. */
static struct interest *heir(const struct model *model, const struct line *line, uint64_t number) {
        struct rml_span subject = rml_span_of(model->messages[number]->subject);
        for (size_t i = 0; i < line->count; i++)
                if (line->name || rml_subject_match(rml_span_of(line->members[i]->pattern), subject))
                        return line->members[i];
        return NULL;
}

/* What is queued goes to the others of the line, in order, to the front; what cannot go is lost. */
static void hand_over(struct model *model, struct interest *in) {
        model->op++; /* marks what goes now */
        while (in->queue.count) {
                struct entry entry = entries_take(&in->queue, 0);
                struct interest *to = in->line ? heir(model, in->line, entry.number) : NULL;
                struct call *call = model->messages[entry.number]->call;
                lose(model, in, entry, to ? RAMAL__V1__WHY__WHY_MOVED : RAMAL__V1__WHY__WHY_ENDED);
                if (!to) {
                        if (call) {
                                call->server = NULL;
                                model_end_call(model, call, RAMAL__V1__CODE__CODE_RESPONDER_GONE, false,
                                               RAMAL__V1__WHY__WHY_ENDED);
                        }
                        continue;
                }
                size_t at = 0;
                while (at < to->queue.count && to->queue.items[at].op == model->op)
                        at++;
                to->matched++;
                struct entry again = {.number = entry.number, .len = entry.len, .moved = true, .op = model->op};
                entries_insert(&to->queue, at, &again);
                if (call)
                        call->server = to;
                model->moved++;
        }
}

static void tell_positions(struct model *model, struct line *line, size_t from, size_t to) {
        for (size_t i = from; i < to; i++)
                notify(model, line->members[i], i ? RAMAL__V1__STATE__STATE_QUEUED : RAMAL__V1__STATE__STATE_OWNER, i,
                       RAMAL__V1__WHY__WHY_NONE);
}

static void leave_line(struct model *model, struct interest *in) {
        struct line *line = in->line;
        size_t at = 0;
        while (line->members[at] != in)
                at++;
        line->count--;
        memmove(line->members + at, line->members + at + 1, (line->count - at) * sizeof(in));
        if (line->primary)
                tell_positions(model, line, at, line->count);
}

static void end_interest(struct model *model, struct interest *in) {
        in->live = false;
        if (in->line)
                leave_line(model, in);
        hand_over(model, in);
}

/* ---- subscribing ----------------------------------------------------------------------------------------------- */

static struct line *find_line(struct model *model, const struct sub *sub) {
        bool serve = sub->serve || sub->name;
        const char *key = serve ? sub->pattern : sub->group;
        for (size_t i = 0; i < model->line_count; i++) {
                struct line *line = model->lines[i];
                if (line->count && line->serve == serve && strcmp(line->key, key) == 0)
                        return line;
        }
        return NULL;
}

static struct line *make_line(struct model *model, const struct sub *sub) {
        struct line *line = fresh(sizeof(*line));
        line->name = sub->name;
        line->serve = sub->serve || sub->name;
        line->primary = sub->name || sub->policy == RAMAL__V1__POLICY__POLICY_PRIMARY;
        snprintf(line->key, sizeof(line->key), "%s", line->serve ? sub->pattern : sub->group);
        snprintf(line->group, sizeof(line->group), "%s", sub->group ? sub->group : "");
        model->lines = grown(model->lines, model->line_count, sizeof(*model->lines));
        model->lines[model->line_count++] = line;
        return line;
}

static struct interest *make_interest(struct model *model, struct party *party, const struct sub *sub) {
        struct interest *in = fresh(sizeof(*in));
        in->party = party;
        in->sub = *sub;
        snprintf(in->pattern, sizeof(in->pattern), "%s", sub->pattern);
        snprintf(in->group, sizeof(in->group), "%s", sub->group ? sub->group : "");
        in->sub.pattern = in->pattern;
        in->sub.group = in->group;
        in->sub.serve = sub->serve || sub->name;
        in->live = true;
        model->interests = grown(model->interests, model->interest_count, sizeof(*model->interests));
        model->interests[model->interest_count++] = in;
        return in;
}

/* A claim that takes the line's head: the old one is second, or gone. */
static void replace_head(struct model *model, struct line *line, struct interest *in) {
        struct interest *old = line->members[0];
        bool leaves = old->sub.no_queue;
        if (leaves) {
                line->members[0] = in;
                old->live = false;
                hand_over(model, old);
                notify(model, old, RAMAL__V1__STATE__STATE_ENDED, 0, RAMAL__V1__WHY__WHY_REPLACED);
                return;
        }
        memmove(line->members + 1, line->members, line->count * sizeof(in));
        line->members[0] = in;
        line->count++;
        hand_over(model, old);
        notify(model, old, RAMAL__V1__STATE__STATE_LOST, 1, RAMAL__V1__WHY__WHY_REPLACED);
        tell_positions(model, line, 2, line->count);
}

void model_subscribe(struct model *model, struct party *party, uint64_t id, const struct sub *sub) {
        model->op++;
        bool exists = false;
        for (size_t i = 0; i < model->interest_count; i++) {
                const struct interest *in = model->interests[i];
                exists = exists || (in->party == party && in->live && in->sub.sid == sub->sid);
        }
        bool lined = sub->serve || sub->name || (sub->group && sub->group[0]);
        struct line *line = lined ? find_line(model, sub) : NULL;
        bool takes = line && line->name && sub->replace && line->members[0]->sub.allow_replace;
        if (line && line->name && sub->no_queue && !takes)
                exists = true;
        if (line && line->serve && !line->name &&
            (!sub->group || !sub->group[0] || strcmp(line->group, sub->group) != 0))
                exists = true;
        if (exists) {
                expect_answer(model, party, id, RML_STATUS)->code = RAMAL__V1__CODE__CODE_EXISTS;
                return;
        }

        struct interest *in = make_interest(model, party, sub);
        struct answer *answer = expect_answer(model, party, id, RML_SUBSCRIBED);
        answer->state.state = RAMAL__V1__STATE__STATE_ACTIVE;
        if (!lined)
                return;
        in->line = line ? line : make_line(model, sub);
        if (takes) {
                replace_head(model, in->line, in);
        } else {
                in->line->members[in->line->count++] = in;
                answer->state.queued = in->line->primary ? in->line->count - 1 : 0;
        }
        if (in->line->primary)
                answer->state.state =
                        answer->state.queued ? RAMAL__V1__STATE__STATE_QUEUED : RAMAL__V1__STATE__STATE_OWNER;
        in->told_state = answer->state;
}

void model_unsubscribe(struct model *model, struct party *party, uint64_t id, struct interest *in) {
        model->op++;
        struct answer *answer = expect_answer(model, party, id, RML_STATUS);
        answer->code = RAMAL__V1__CODE__CODE_OK;
        answer->ends = in;
        end_interest(model, in);
}

/* Confirms, in commit order, up to the delivery with this seq. */
void model_confirm(struct model *model, struct interest *in, uint64_t seq) {
        model->op++;
        for (size_t i = 0; i < in->flight.count; i++)
                if (in->flight.items[i].seq == seq) {
                        for (size_t k = 0; k <= i; k++) {
                                entries_take(&in->flight, 0);
                                in->confirmed++;
                        }
                        return;
                }
}

/* ---- messages -------------------------------------------------------------------------------------------------- */

uint64_t model_next_number(const struct model *model) {
        return model->message_count;
}

static uint64_t remember(struct model *model, struct party *sender, const char *subject) {
        struct message *message = fresh(sizeof(*message));
        message->sender = sender;
        message->len = sender->fake->last_len;
        snprintf(message->subject, sizeof(message->subject), "%s", subject);
        model->messages = grown(model->messages, model->message_count, sizeof(*model->messages));
        model->messages[model->message_count] = message;
        return model->message_count++;
}

static bool takes_subject(const struct interest *in, const char *subject) {
        struct rml_span text = rml_span_of(subject);
        if (!in->sub.name)
                return rml_subject_match(rml_span_of(in->pattern), text);
        size_t len = strlen(in->pattern);
        return strncmp(subject, in->pattern, len) == 0 && (subject[len] == 0 || subject[len] == '.');
}

/* What the contract calls pending, of a member that has no calls. */
static uint64_t pending(const struct interest *in) {
        return in->queue.count + in->flight.count;
}

/* The member that the core has chosen, told by its ledger; whether it may have been. NULL: all are full. */
static struct interest *chosen(struct model *model, const struct line *line, const char *subject, uint64_t len) {
        struct interest *found = NULL;
        bool room = false;
        for (size_t i = 0; i < line->count; i++) {
                struct interest *in = line->members[i];
                struct core_ledger ledger = {0};
                if (!takes_subject(in, subject))
                        continue;
                room = room || fits(model, in, len);
                if (core_interest_ledger(in->party->fake->peer, in->sub.sid, &ledger) == 0 &&
                    ledger.matched == in->matched + 1) {
                        world_check(model->world, !found, "two members of '%s' got one message", line->key);
                        found = in;
                }
        }
        if (!room && line->serve) {
                world_check(model->world, !found, "a full server of '%s' got a call", line->key);
                return NULL;
        }
        world_check(model->world, found, "no member of '%s' got '%s'", line->key, subject);
        world_check(model->world, fits(model, found, len) || !room, "a full member of '%s' was chosen", line->key);
        for (size_t i = 0; i < line->count; i++) {
                const struct interest *in = line->members[i];
                if (in == found || !takes_subject(in, subject) || !fits(model, in, len))
                        continue;
                if (line->primary) {
                        world_check(model->world, in->line->members[0] != in, "the head of '%s' was passed over",
                                    line->key);
                } else if (!line->serve && found->sub.policy == RAMAL__V1__POLICY__POLICY_LEAST_PENDING &&
                           in->sub.policy == RAMAL__V1__POLICY__POLICY_LEAST_PENDING) {
                        world_check(model->world, pending(found) <= pending(in),
                                    "'%s' chose one with %llu pending before one with %llu", line->key,
                                    (unsigned long long)pending(found), (unsigned long long)pending(in));
                }
        }
        return found;
}

void model_publish(struct model *model, struct party *party, const char *subject, uint64_t receipt,
                   Ramal__V1__Code refusal) {
        model->op++;
        uint64_t number = remember(model, party, subject);
        if (refusal != RAMAL__V1__CODE__CODE_OK) {
                world_check(model->world, party->refused_count < 512, "too many refusals due");
                party->refused[party->refused_count].publish = party->fake->publishes;
                party->refused[party->refused_count++].code = refusal;
                return;
        }
        uint64_t least = 0, most = 0;
        for (size_t i = 0, count = model->interest_count; i < count; i++) {
                struct interest *in = model->interests[i];
                if (in->live && !in->sub.serve && !in->line && takes_subject(in, subject)) {
                        most++;
                        least += admit(model, in, number);
                }
        }
        for (size_t i = 0; i < model->line_count; i++) {
                struct line *line = model->lines[i];
                bool any = false;
                for (size_t k = 0; k < line->count; k++)
                        any = any || takes_subject(line->members[k], subject);
                if (line->serve || !any)
                        continue;
                most++;
                least += admit(model, chosen(model, line, subject, model->messages[number]->len), number);
        }
        if (receipt) {
                struct answer *answer = expect_answer(model, party, receipt, RML_ACCEPTED);
                answer->least = least;
                answer->most = most;
        }
}

/* The line whose matching pattern is the most specific. A name has two: itself, and what is below. */
static struct line *serving_line(struct model *model, const char *subject) {
        struct line *best = NULL;
        char best_pattern[260] = "";
        for (size_t i = 0; i < model->line_count; i++) {
                struct line *line = model->lines[i];
                char pattern[260];
                if (!line->serve || !line->count || !takes_subject(line->members[0], subject))
                        continue;
                bool below = line->name && strcmp(line->key, subject) != 0;
                snprintf(pattern, sizeof(pattern), "%s%s", line->key, below ? ".>" : "");
                if (!best || rml_subject_compare(rml_span_of(pattern), rml_span_of(best_pattern)) < 0) {
                        best = line;
                        memcpy(best_pattern, pattern, sizeof(pattern));
                }
        }
        return best;
}

void model_call(struct model *model, struct party *party, const char *subject, uint64_t id, uint64_t deadline_ns) {
        model->op++;
        struct call *call = fresh(sizeof(*call));
        model->calls = grown(model->calls, model->call_count, sizeof(*model->calls));
        model->calls[model->call_count++] = call;
        call->caller = party;
        call->id = id;
        call->deadline_ns = deadline_ns;
        call->number = remember(model, party, subject);
        model->messages[call->number]->call = call;

        struct line *line = serving_line(model, subject);
        if (!line) {
                model_end_call(model, call, RAMAL__V1__CODE__CODE_NO_RESPONDER, false, RAMAL__V1__WHY__WHY_NONE);
                return;
        }
        struct interest *in = chosen(model, line, subject, model->messages[call->number]->len);
        if (!in) {
                model_end_call(model, call, RAMAL__V1__CODE__CODE_OVER_LIMIT, false, RAMAL__V1__WHY__WHY_NONE);
                return;
        }
        call->server = in;
        admit(model, in, call->number);
}

/* The terminal is determined, and it is a STATUS. */
void model_end_call(struct model *model, struct call *call, Ramal__V1__Code code, bool may_have_run,
                    Ramal__V1__Why why) {
        if (call->ended)
                return;
        call->ended = true;
        call->code = code;
        call->may_have_run = may_have_run;
        model->ended[code]++;
        struct interest *in = call->server;
        if (!in || code == RAMAL__V1__CODE__CODE_RESPONDER_GONE)
                return;
        if (call->committed) {
                call->cancel_due = in->party->end == PARTY_LIVE;
                call->cancel_why = why;
                return;
        }
        for (size_t i = 0; i < in->queue.count; i++)
                if (in->queue.items[i].number == call->number) {
                        lose(model, in, entries_take(&in->queue, i), why);
                        return;
                }
}

void model_reply(struct model *model, struct call *call, bool more, uint32_t app_code) {
        model->op++;
        uint64_t number = remember(model, call->server->party, "");
        if (call->ended)
                return;
        world_check(model->world, call->reply_count < 64, "too many replies to one call");
        call->replies[call->reply_count++] = number;
        if (!more || app_code) {
                call->ended = true;
                call->by_reply = true;
                call->app_code = app_code;
                model->ended[0]++;
        }
}

void model_cancel(struct model *model, struct call *call) {
        model->op++;
        model_end_call(model, call, RAMAL__V1__CODE__CODE_CANCELLED, false, RAMAL__V1__WHY__WHY_CANCELLED);
}

/* ---- endings --------------------------------------------------------------------------------------------------- */

static void abandon_calls(struct model *model, struct party *party) {
        for (size_t i = 0; i < model->call_count; i++)
                if (model->calls[i]->caller == party)
                        model_end_call(model, model->calls[i], RAMAL__V1__CODE__CODE_CANCELLED, false,
                                       RAMAL__V1__WHY__WHY_GONE);
}

void model_end(struct model *model, struct party *party, enum party_end end) {
        model->op++;
        if (party->end == PARTY_LIVE) {
                party->end_ns = model->world->now;
                party->end = end;
                for (size_t i = 0; i < model->interest_count; i++) {
                        struct interest *in = model->interests[i];
                        if (in->party != party || !in->live)
                                continue;
                        /* What waits for a plain interest is still sent after an end without BYE. */
                        while (end == PARTY_EOF && !in->line && in->queue.count) {
                                struct entry entry = entries_take(&in->queue, 0);
                                entry.op = model->op;
                                entries_push(&in->coming, &entry);
                        }
                        in->vague = end != PARTY_BYE;
                        end_interest(model, in);
                }
                for (size_t i = 0; i < model->call_count; i++) {
                        struct call *call = model->calls[i];
                        if (call->server && call->server->party == party && call->committed)
                                model_end_call(model, call, RAMAL__V1__CODE__CODE_RESPONDER_GONE, true,
                                               RAMAL__V1__WHY__WHY_GONE);
                }
        }
        if (end == PARTY_LOST) {
                party->end = end;
                abandon_calls(model, party);
        }
}

void model_bye(struct model *model, struct party *party, uint64_t id) {
        expect_answer(model, party, id, RML_STATUS)->code = RAMAL__V1__CODE__CODE_OK;
        model_end(model, party, PARTY_BYE);
}

void model_expire(struct model *model) {
        uint64_t now = model->world->now;
        model->op++;
        for (size_t i = 0; i < model->call_count; i++) {
                struct call *call = model->calls[i];
                if (!call->ended && call->deadline_ns && call->deadline_ns <= now)
                        model_end_call(model, call, RAMAL__V1__CODE__CODE_DEADLINE, false, RAMAL__V1__WHY__WHY_EXPIRED);
        }
        for (size_t i = 0; i < model->party_count; i++) {
                struct party *party = model->parties[i];
                if ((party->end == PARTY_EOF || party->end == PARTY_BYE) &&
                    now >= party->end_ns + model->world->limits.flush_timeout_ns)
                        abandon_calls(model, party);
        }
}
