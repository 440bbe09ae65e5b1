/* SPDX-License-Identifier: MIT */
/* Publishes, calls and replies. */
#include <stdio.h>
#include <string.h>

#include "model.h"

/* ---- messages -------------------------------------------------------------------------------------------------- */

uint64_t model_next_number(const struct model *model) {
        return model->message_count;
}

static uint64_t remember(struct model *model, struct party *sender, const char *subject) {
        struct message *message = model_fresh(sizeof(*message));
        message->sender = sender;
        message->len = sender->fake->last_len;
        snprintf(message->subject, sizeof(message->subject), "%s", subject);
        model->messages = model_grown(model->messages, model->message_count, sizeof(*model->messages));
        model->messages[model->message_count] = message;
        return model->message_count++;
}

static void refuse(struct party *party, uint64_t receipt, Ramal__V1__Code code) {
        if (receipt) {
                model_expect(party, receipt, RML_STATUS)->code = code;
                return;
        }
        party->refused = model_grown(party->refused, party->refused_count, sizeof(*party->refused));
        party->refused[party->refused_count].publish = party->fake->publishes;
        party->refused[party->refused_count++].code = code;
}

void model_publish(struct model *model, struct party *party, const struct say *say, uint64_t receipt,
                   Ramal__V1__Code refusal) {
        model->op++;
        uint64_t number = remember(model, party, say->subject), used = model_credit_used(model, party);
        struct message *message = model->messages[number];
        const char *subject = say->subject;
        message->key = say->key;
        message->expires_ns = say->time_left_us ? model->world->now + say->time_left_us * 1000 : 0;
        /* Rule 4: beyond its credit; one that is larger than all of it goes alone. */
        if (used && used + message->len > model->world->limits.publish_credit_bytes) {
                refuse(party, receipt, RAMAL__V1__CODE__CODE_WOULD_BLOCK);
                return;
        }
        party->published += message->len;
        if (refusal != RAMAL__V1__CODE__CODE_OK) {
                refuse(party, receipt, refusal);
                return;
        }
        uint64_t least = 0, most = 0;
        for (size_t i = 0, count = model->interest_count; i < count; i++) {
                struct interest *in = model->interests[i];
                if (in->live && !in->sub.serve && !in->line && model_takes(in, subject)) {
                        most++;
                        least += model_admit(model, in, number);
                }
        }
        for (size_t i = 0; i < model->line_count; i++) {
                struct line *line = model->lines[i];
                bool any = false;
                for (size_t k = 0; k < line->count; k++)
                        any = any || model_takes(line->members[k], subject);
                if (line->serve || !any)
                        continue;
                most++;
                least += model_admit(model, model_chosen(model, line, message), number);
        }
        if (receipt) {
                struct answer *answer = model_expect(party, receipt, RML_ACCEPTED);
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
                if (!line->serve || !line->count || !model_takes(line->members[0], subject))
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
        struct call *call = model_fresh(sizeof(*call));
        model->calls = model_grown(model->calls, model->call_count, sizeof(*model->calls));
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
        struct interest *in = model_chosen(model, line, model->messages[call->number]);
        if (!in) {
                model_end_call(model, call, RAMAL__V1__CODE__CODE_OVER_LIMIT, false, RAMAL__V1__WHY__WHY_NONE);
                return;
        }
        call->server = in;
        model_admit(model, in, call->number);
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
                        model_lose(model, in, entries_take(&in->queue, i), why);
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
