/* SPDX-License-Identifier: MIT */
/* A call lives from CALL to its terminal, and is in one of two states:
 *   queued:    it waits in the queue of `interest`, where it may still move, expire or be cancelled without a trace
 *   committed: its DELIVER went to `callee`, who may answer by the token; whatever ends it otherwise sends CANCEL there
 * call_over() is the only way out and each path to it has given the caller exactly one terminal. */
#include "call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "api.h"
#include "budget.h"
#include "encode.h"
#include "group.h"
#include "pin.h"
#include "queue.h"
#include "bounds.h"
#include "refuse.h"
#include "share.h"
#include "subject.h"
#include "tap.h"

static struct call *call_by_token(const struct core *core, uint64_t token) {
        struct rml_table_node *node = rml_table_find(&core->calls_by_token, rml_hash_u64(&core->config.seed, token, 1));

        for (; node; node = rml_table_find_next(node)) {
                struct call *call = rml_container_of(node, struct call, by_token);

                if (call->token == token)
                        return call;
        }
        return NULL;
}

static struct call *call_by_id(const struct peer *caller, uint64_t id) {
        struct core *core = caller->core;
        uint64_t hash = rml_hash_u64(&core->config.seed, caller->id, id);
        struct rml_table_node *node = rml_table_find(&core->calls_by_id, hash);

        for (; node; node = rml_table_find_next(node)) {
                struct call *call = rml_container_of(node, struct call, by_id);

                if (call->caller == caller && call->id == id)
                        return call;
        }
        return NULL;
}

static char *subject_copy(struct rml_span subject) {
        char *copy = malloc(subject.len + 1);

        if (copy) {
                memcpy(copy, subject.data, subject.len);
                copy[subject.len] = '\0';
        }
        return copy;
}

static struct call *call_new(struct peer *caller, uint64_t id, const struct rml_data *data, size_t charge) {
        struct core *core = caller->core;
        struct call *call = shelf_take(&core->shelf, sizeof(*call));

        if (!call)
                return NULL;
        memset(call, 0, sizeof(*call));
        call->token = ++core->token_last;
        call->id = id;
        call->caller = caller;
        call->charge = charge;
        call->stream_credit = data->stream_credit;
        call->timer.kind = TIMER_CALL;
        call->deadline_ns = CORE_NEVER;
        rml_list_init(&call->callee_link);
        rml_list_init(&call->credit_link);
        rml_list_init(&call->interest_link);
        rml_list_push_back(&caller->calls, &call->caller_link);
        rml_table_put(&core->calls_by_token, &call->by_token, rml_hash_u64(&core->config.seed, call->token, 1));
        rml_table_put(&core->calls_by_id, &call->by_id, rml_hash_u64(&core->config.seed, caller->id, id));
        caller->call_count++;
        caller->account->calls++;
        core->call_count++;
        if (data->time_left_us) {
                uint64_t left_ns = data->time_left_us > UINT64_MAX / 1000 ? UINT64_MAX : data->time_left_us * 1000;

                call->deadline_ns = core_add_ns(core->now_ns, left_ns);
                if (call->deadline_ns != CORE_NEVER)
                        timer_set(core, &call->timer, call->deadline_ns);
        }
        return call;
}

void call_over(struct call *call) {
        struct peer *caller = call->caller;
        struct core *core = caller->core;

        rml_table_remove(&core->calls_by_token, &call->by_token);
        rml_table_remove(&core->calls_by_id, &call->by_id);
        rml_list_remove(&call->caller_link);
        rml_list_remove(&call->credit_link);
        timer_clear(core, &call->timer);
        pin_drop(call->pin);
        caller->call_count--;
        caller->account->calls--;
        core->call_count--;
        share_leave(core, call->share, call->charge);
        if (call->callee) {
                rml_list_remove(&call->callee_link);
                call->callee->served_count--;
                rml_list_remove(&call->interest_link);
                if (call->interest) {
                        member_of(call->interest)->open_calls--;
                        group_changed(call->interest);
                }
                peer_touch(call->callee); /* it may have been all that it waited for before it leaves */
        }
        peer_touch(caller);
        free(call->subject);
        shelf_give(&core->shelf, call, sizeof(*call));
}

static void call_tell_callee(struct call *call, Ramal__V1__Why why) {
        Ramal__V1__Cancel cancel = RAMAL__V1__CANCEL__INIT;

        if (!call->callee)
                return;
        cancel.token = call->token;
        cancel.why = why;
        answer_control(call->callee, RML_CANCEL, 0, &cancel.base);
}

/* The callee is not to answer any more: taken out of its queue, or told. */
static void call_withdraw(struct call *call, Ramal__V1__Why why) {
        if (call->queued)
                interest_unqueue(call->interest, call->queued, why);
        else
                call_tell_callee(call, why);
}

void call_fail(struct call *call, Ramal__V1__Code code, const char *text, bool may_have_run) {
        if (code == RAMAL__V1__CODE__CODE_RESPONDER_GONE)
                answer_gone(call->caller, call->id, text, may_have_run);
        else
                answer_status(call->caller, call->id, code, text);
        call_over(call);
}

bool call_place(struct call *call, struct interest *interest) {
        bool failed = false;

        share_leave(call->caller->core, call->share, call->charge);
        call->share = interest ? share_enter(interest, call->caller->account, call->charge, &failed) : NULL;
        call->interest = interest;
        return !failed;
}

void call_committed(struct call *call, struct interest *interest) {
        call->interest = interest;
        call->callee = interest->peer;
        rml_list_push_back(&call->callee->served, &call->callee_link);
        call->callee->served_count++;
        rml_list_push_back(&member_of(interest)->calls, &call->interest_link);
        member_of(interest)->open_calls++;
}

void call_start(struct peer *caller, uint64_t id, const struct rml_data *data, struct message *message) {
        struct core *core = caller->core;
        const struct topic_route *route;
        struct interest *interest;
        struct call *call;
        uint64_t token;
        const char *why_not;
        Ramal__V1__Why why;
        int r;

        core->counters.calls++;
        if (api_is_call(data->subject)) {
                api_call(caller, id, data);
                return;
        }
        if (caller->call_count >= caller->account->limits->calls) {
                refuse_limit(caller, id, LIMIT_CALLS);
                return;
        }
        if (!caller->account->own && caller->account->calls >= caller->account->limits->uid_calls) {
                refuse_limit(caller, id, LIMIT_UID_CALLS);
                return;
        }
        route = topics_again(core->topics, TOPIC_CALL, data->subject);
        switch (route ? 0 : topics_route(core->topics, TOPIC_CALL, data->subject, &route, &why_not)) {
        case 0:
                break;
        case -EINVAL:
                answer_status(caller, id, RAMAL__V1__CODE__CODE_BAD_SUBJECT, why_not);
                return;
        default:
                refuse_limit(caller, id, LIMIT_MEMORY);
                return;
        }
        interest = route->count ? group_choose(route, 0, message, false, &why) : NULL;
        if (!interest) {
                if (!route->count || why == RAMAL__V1__WHY__WHY_NONE)
                        answer_status(caller, id, RAMAL__V1__CODE__CODE_NO_RESPONDER, "nobody serves this subject");
                else
                        refuse_why(caller, id, why);
                return;
        }
        call = call_new(caller, id, data, message->charge);
        if (!call) {
                refuse_limit(caller, id, LIMIT_MEMORY);
                return;
        }
        token = call->token;
        if (tap_wanted(core)) /* without memory its replies are not seen: a tap has no right to more */
                call->subject = subject_copy(data->subject);
        r = call_place(call, interest) ? interest_offer(interest, message, call) : -ENOMEM;
        if (r < 0) {
                call_place(call, NULL);
                if (r == -EDQUOT)
                        refuse_why(caller, id, budget_bound_call(caller, message));
                else
                        refuse_limit(caller, id, LIMIT_MEMORY);
                call_over(call);
                return;
        }
        group_turned(interest);
        if (tap_wanted(core))
                tap_show(core, data->subject, message, RAMAL__V1__DATA_FLAG__DATA_FLAG_CALL, token);
}

void call_reply(struct peer *callee, const struct rml_data *data, struct message *message) {
        struct core *core = callee->core;
        struct call *call = call_by_token(core, data->token);
        bool more = (data->flags & RAMAL__V1__DATA_FLAG__DATA_FLAG_MORE) && !data->code;
        uint64_t token;
        struct peer *caller;
        Ramal__V1__Why why;

        if (!call || call->callee != callee) {
                core->counters.late_replies++;
                return;
        }
        caller = call->caller;
        core->counters.replies++;
        if (refuse_sizes(callee, data, NULL)) {
                call_tell_callee(call, RAMAL__V1__WHY__WHY_TOO_LARGE);
                call_fail(call, RAMAL__V1__CODE__CODE_TOO_LARGE, "the reply is too large", true);
                return;
        }
        if (peer_clear(caller, RML_HEAD_BYTES_MAX + message->tail.len)) /* it does not wait, but for the socket */
                why = message_lacks_room(core, message) ? RAMAL__V1__WHY__WHY_BROKER : RAMAL__V1__WHY__WHY_NONE;
        else
                why = budget_bound_reply(caller, message);
        if (why != RAMAL__V1__WHY__WHY_NONE) {
                call_tell_callee(call, RAMAL__V1__WHY__WHY_TOO_LARGE);
                refuse_reply(caller, call->id, why);
                call_over(call);
                return;
        }
        if (call->subject && tap_wanted(core))
                tap_show(core, rml_span_of(call->subject), message,
                         RAMAL__V1__DATA_FLAG__DATA_FLAG_ANSWER | (more ? RAMAL__V1__DATA_FLAG__DATA_FLAG_MORE : 0),
                         call->token);
        token = more && !call->stream_credit ? call->token : 0;
        if (answer_reply(caller, call->id, ++call->replies, data, message, false, token) < 0) {
                call_tell_callee(call, RAMAL__V1__WHY__WHY_TOO_LARGE);
                refuse_limit(caller, call->id, LIMIT_MEMORY);
                call_over(call);
                return;
        }
        if (!more)
                call_over(call);
}

void call_cancel(struct peer *caller, uint64_t id) {
        struct call *call = call_by_id(caller, id);

        if (!call)
                return; /* over already: its terminal is on the way */
        call_withdraw(call, RAMAL__V1__WHY__WHY_CANCELLED);
        call_fail(call, RAMAL__V1__CODE__CODE_CANCELLED, "cancelled by the caller", false);
}

void call_expired(struct call *call) {
        call_withdraw(call, RAMAL__V1__WHY__WHY_EXPIRED);
        call_fail(call, RAMAL__V1__CODE__CODE_DEADLINE, "the deadline passed", false);
}

/* ---- stream credit ---- */

static void call_confirmed(struct call *call, uint64_t seq) {
        if (seq <= call->confirmed || seq > call->replies)
                return;
        call->confirmed = seq;
        if (call->callee) {
                if (!rml_list_linked(&call->credit_link))
                        rml_list_push_back(&call->callee->credits, &call->credit_link);
                peer_touch(call->callee);
        }
}

void call_credit(struct peer *caller, uint64_t id, uint64_t seq) {
        struct call *call = call_by_id(caller, id);

        if (call && call->stream_credit)
                call_confirmed(call, seq);
        else
                caller->core->counters.stray_credits++;
}

void call_reply_taken(struct core *core, uint64_t token, uint64_t seq) {
        struct call *call = call_by_token(core, token);

        if (call)
                call_confirmed(call, seq);
}

void calls_tell_credit(struct peer *callee) {
        while (!rml_list_empty(&callee->credits) && peer_has_room(callee, 64)) {
                struct call *call = rml_list_entry(rml_list_first(&callee->credits), struct call, credit_link);
                Ramal__V1__Credit credit = RAMAL__V1__CREDIT__INIT;

                rml_list_remove(&call->credit_link);
                credit.token = call->token;
                credit.seq = call->confirmed;
                answer_now(callee, RML_CREDIT, 0, &credit.base);
        }
}

/* ---- one end is gone ---- */

void calls_of_callee_gone(struct peer *callee) {
        struct rml_list *first;

        while ((first = rml_list_first(&callee->served)))
                call_fail(rml_list_entry(first, struct call, callee_link), RAMAL__V1__CODE__CODE_RESPONDER_GONE,
                          "the responder is gone", true);
}

void calls_of_caller_gone(struct peer *caller, Ramal__V1__Why why, bool tell_caller) {
        struct rml_list *first;

        while ((first = rml_list_first(&caller->calls))) {
                struct call *call = rml_list_entry(first, struct call, caller_link);

                call_withdraw(call, why);
                if (tell_caller)
                        call_fail(call, RAMAL__V1__CODE__CODE_CANCELLED, "the connection is ending", false);
                else
                        call_over(call);
        }
}
