/* SPDX-License-Identifier: MIT */
/* Answers, and the ends of things, held against what the model expects. */
#include <string.h>

#include "model.h"
#include "status.h"

typedef unsigned long long ull;

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
        uint64_t number = model_number_of(model, &got->data);
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
        model_check_order(model, party, NULL, number, NULL);
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
                model_check_told(model, answer.ends);
                answer.ends->told = true;
        }
}

void model_got(struct model *model, struct party *party, const struct got *got) {
        const struct world *world = model->world;
        struct call *call;
        char text[256];
        switch (got->kind) {
        case RML_DELIVER:
                model_got_deliver(model, party, got);
                break;
        case RML_REPLY:
                got_reply(model, party, got);
                break;
        case RML_GAP:
                model_got_gap(model, party, got);
                break;
        case RML_INTEREST:
                model_got_interest(model, party, got);
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
                if (GOT(got, Credit)->publish_bytes) {
                        party->told += GOT(got, Credit)->publish_bytes;
                        world_check(world, party->told + model_credit_used(model, party) <= party->published,
                                    "peer %u: %llu bytes of credit came back of %llu", party->fake->index,
                                    (ull)party->told, (ull)party->published);
                        break;
                }
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

/* All of it has come, or has expired. */
static void check_delivered(const struct model *model, const struct party *party, const struct interest *in) {
        for (size_t i = 0; i < in->coming.count && in->party == party; i++) {
                uint64_t expires = model->messages[in->coming.items[i].number]->expires_ns;
                world_check(model->world, expires && expires <= model->world->now,
                            "peer %u was closed before all was delivered", party->fake->index);
        }
}

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
                        check_delivered(model, party, model->interests[i]);
        }
        model_end(model, party, PARTY_LOST);
}

void model_settled(struct model *model) {
        const struct world *world = model->world;
        for (size_t i = 0; i < model->party_count; i++) {
                const struct party *party = model->parties[i];
                if (party->end != PARTY_LIVE)
                        continue;
                world_check(world, party->told == party->published, "peer %u: %llu bytes of credit came back of %llu",
                            party->fake->index, (ull)party->told, (ull)party->published);
                world_check(world, !party->answer_count && !party->refused_count,
                            "peer %u: %zu answers, %zu refusals due", party->fake->index, party->answer_count,
                            party->refused_count);
        }
        for (size_t i = 0; i < model->interest_count; i++) {
                struct interest *in = model->interests[i];
                if (in->party->end != PARTY_LIVE || in->told)
                        continue;
                world_check(world, !in->demote_due, "peer %u sid %llu was not told that it is demoted",
                            in->party->fake->index, (ull)in->sub.sid);
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
                model_check_told(model, in);
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
