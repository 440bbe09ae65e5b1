/* SPDX-License-Identifier: MIT */
/* Interests: asking for them, what the broker says about them, and their life. Services and names are made here too. */
#include "client/conn_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* We chose the sids. */
static uint64_t hash_sid(uint64_t sid) {
        return sid * UINT64_C(0x9e3779b97f4a7c15);
}

ramal_sub *rml_sub_find_slow(ramal_conn *conn, uint64_t sid) {
        struct rml_table_node *node = rml_table_find(&conn->sids, hash_sid(sid));
        for (; node; node = rml_table_find_next(node)) {
                ramal_sub *sub = rml_container_of(node, ramal_sub, node);
                if (sub->sid == sid)
                        return conn->recent = sub;
        }
        return NULL;
}

static int check(ramal_conn *conn, const ramal_interest *interest, bool name, bool serve) {
        const char *why;

        if (!interest->pattern)
                return rml_error(&conn->error, -EINVAL, "there is no %s", name ? "name" : "pattern");
        why = rml_subject_check(rml_span_of(interest->pattern), name ? RML_NAME : RML_PATTERN);
        if (why)
                return rml_error(&conn->error, -EINVAL, "not a %s: %s", name ? "name" : "pattern", why);
        why = interest->group ? rml_subject_check(rml_span_of(interest->group), RML_GROUP) : NULL;
        if (why)
                return rml_error(&conn->error, -EINVAL, "group '%s': %s", interest->group, why);
        if (interest->policy > RAMAL_POLICY_KEY || interest->overflow > RAMAL_OVERFLOW_BLOCK ||
            interest->name_flags > 7)
                why = "policy, overflow or name_flags: no such value";
        else if (name && interest->group)
                why = "a name has no group";
        else if (!name && interest->name_flags)
                why = "name_flags are for names only";
        else if (serve && interest->overflow)
                why = "overflow is for subscriptions only";
        else if (!interest->group && interest->policy)
                why = "a policy is a group's, and there is no group";
        return why ? rml_error(&conn->error, -EINVAL, "%s", why) : 0;
}

int rml_sub_new(ramal_conn *conn, const ramal_interest *interest, bool name, bool serve, ramal_sub **ret) {
        int r = rml_usable(conn);

        if (r == 0)
                r = check(conn, interest, name, serve);
        if (r < 0)
                return r;
        ramal_sub *sub = calloc(1, sizeof(*sub));
        if (!sub)
                return -ENOMEM;
        sub->pattern = strdup(interest->pattern);
        sub->group = interest->group ? strdup(interest->group) : NULL;
        if (!sub->pattern || (interest->group && !sub->group)) {
                free(sub->pattern);
                free(sub->group);
                free(sub);
                return -ENOMEM;
        }
        sub->conn = conn;
        sub->policy = interest->policy;
        sub->overflow = interest->overflow;
        sub->window_bytes = interest->window_bytes;
        sub->window_messages = interest->window_messages;
        sub->name_flags = interest->name_flags;
        sub->name = name;
        sub->serve = serve;
        sub->on_gap = interest->on_gap;
        sub->on_state = interest->on_state;
        sub->event_user = interest->user;
        sub->sid = ++conn->last_sid;
        sub->confirm.sid = sub->sid;
        sub->confirm.bytes_max = interest->credit_bytes ? interest->credit_bytes : RML_CREDIT_BYTES_DEFAULT;
        sub->confirm.messages_max = interest->credit_messages;
        sub->confirm.soon = serve || name || sub->group;
        rml_list_init(&sub->items);
        rml_table_put(&conn->sids, &sub->node, hash_sid(sub->sid));
        rml_list_push_back(&conn->subs, &sub->link);
        if (sub->overflow == RAMAL_OVERFLOW_BLOCK)
                rml_list_push_back(&conn->blocks, &sub->blocks);
        *ret = sub;
        return 0;
}

/* SUBSCRIBE; the answer bears its id. */
void rml_sub_ask(ramal_sub *sub) {
        Ramal__V1__Subscribe message;
        ramal_conn *conn = sub->conn;
        char unicast[64], nothing[] = "";

        if (conn->phase != RML_PHASE_UP || sub->dead || sub->state == RAMAL_SUB_ENDED)
                return;
        ramal__v1__subscribe__init(&message);
        message.sid = sub->sid;
        message.pattern = sub->pattern;
        if (sub->unicast) {
                snprintf(unicast, sizeof(unicast), "$PEER.%llu.>", (unsigned long long)conn->peer);
                message.pattern = unicast;
        }
        message.serve = sub->serve;
        message.group = sub->group ? sub->group : nothing;
        message.policy = (Ramal__V1__Policy)sub->policy;
        message.name = sub->name;
        message.replace = (sub->name_flags & RAMAL_NAME_REPLACE) != 0;
        message.allow_replace = (sub->name_flags & RAMAL_NAME_ALLOW_REPLACE) != 0;
        message.no_queue = (sub->name_flags & RAMAL_NAME_NO_QUEUE) != 0;
        message.window_bytes = sub->window_bytes;
        message.window_messages = sub->window_messages;
        message.overflow = (Ramal__V1__Overflow)sub->overflow;
        message.credit_bytes = sub->confirm.bytes_max;
        message.credit_messages = sub->confirm.messages_max;
        sub->demoted = false;
        rml_ask_forget(conn, &sub->pending);
        if (rml_out_control(conn, RML_SUBSCRIBE, rml_ask(conn, &sub->pending, RML_ASK_SUBSCRIBE), &message.base) < 0) {
                rml_ask_forget(conn, &sub->pending);
                if (!conn->out_dead)
                        rml_starved(conn, "to subscribe");
        }
}

int rml_sub_start(ramal_sub *sub, ramal_sub **ret) {
        sub->floating = !ret;
        if (ret)
                *ret = sub;
        rml_sub_ask(sub);
        return 0;
}

int ramal_subscribe_with(ramal_conn *conn, const ramal_interest *given, ramal_msg_fn fn, void *user, ramal_sub **ret) {
        ramal_interest interest;
        ramal_sub *sub;

        int r = rml_usable(conn);
        if (r == 0)
                r = RML_TAKE_OPTIONS(conn, &interest, given);
        if (r == 0 && !fn && !ret)
                r = rml_error(&conn->error, -EINVAL, "neither a function nor a handle to take messages with");
        if (r == 0)
                r = rml_sub_new(conn, &interest, false, false, &sub);
        if (r < 0)
                return r;
        sub->msg_fn = fn;
        sub->user = user;
        return rml_sub_start(sub, ret);
}

int ramal_subscribe(ramal_conn *conn, const char *pattern, ramal_msg_fn fn, void *user, ramal_sub **ret) {
        ramal_interest interest = {.size = sizeof(interest), .pattern = pattern};

        return ramal_subscribe_with(conn, &interest, fn, user, ret);
}

/* ---- state ---- */

void rml_sub_set_state(ramal_sub *sub, ramal_sub_state state, uint64_t queued, ramal_why why,
                       const ramal_error *error) {
        ramal_conn *conn = sub->conn;

        if (sub->dead)
                return;
        sub->state = state;
        sub->queued = queued;
        sub->why = why;
        if (error && !sub->error)
                sub->error = malloc(sizeof(*sub->error));
        if (error && sub->error)
                *sub->error = *error;
        if (!rml_list_linked(&sub->changed))
                rml_list_push_back(&conn->changed, &sub->changed);
        rml_callbacks_due(conn);
}

/* Runs the callback for a change that was not told yet. Not in a callback. */
void rml_sub_tell(ramal_sub *sub) {
        ramal_conn *conn = sub->conn;
        ramal_sub_change change = {
                .sub = sub,
                .pattern = sub->pattern,
                .state = sub->state,
                .before = sub->told,
                .queued = sub->queued,
                .why = sub->why,
                .error = sub->error,
                .demoted = sub->demoted,
        };
        ramal_refusal refusal = {.count = 1, .sub = sub, .pattern = sub->pattern, .error = sub->error};
        ramal_error ended;

        rml_list_remove(&sub->changed);
        sub->told = sub->state;
        sub->running++;
        if (!sub->on_state)
                conn->ran++; /* whoever waits may wait for this */
        if (sub->on_state)
                RML_CALLBACK(conn, sub->on_state(conn, &change, sub->event_user));
        else if (sub->state == RAMAL_SUB_ENDED && conn->state != RAMAL_CLOSED) {
                if (!sub->error) {
                        rml_error(&ended, -ENODATA, "%s: the interest has ended: %s", sub->pattern,
                                  ramal_why_name(sub->why));
                        refusal.error = &ended;
                }
                rml_refusal(conn, &refusal);
        }
        rml_sub_release(sub);
}

void rml_sub_subscribed(ramal_conn *conn, ramal_sub *sub, const Ramal__V1__Subscribed *subscribed) {
        ramal_sub_state state = RAMAL_SUB_ACTIVE;

        (void)conn;
        if (subscribed->state == RAMAL__V1__STATE__STATE_OWNER)
                state = RAMAL_SUB_OWNER;
        else if (subscribed->state == RAMAL__V1__STATE__STATE_QUEUED)
                state = RAMAL_SUB_QUEUED;
        if (sub->watch)
                rml_watch_subscribed(sub);
        rml_sub_set_state(sub, state, subscribed->queued, RAMAL_WHY_NONE, NULL); /* it may be gone after that */
}

ramal_sub_state ramal_sub_state_of(const ramal_sub *sub) {
        return sub->state;
}

bool ramal_sub_demoted(const ramal_sub *sub) {
        return sub->demoted;
}

const char *ramal_sub_pattern(const ramal_sub *sub) {
        return sub->pattern;
}

uint64_t ramal_sub_delivered(const ramal_sub *sub) {
        return sub->delivered;
}

uint64_t ramal_sub_dropped(const ramal_sub *sub) {
        return sub->dropped;
}

/* The caller hears of it now: nobody else needs to. */
static void told_by_return(ramal_sub *sub, int code) {
        ramal_conn *conn = sub->conn;

        if (sub->on_state || conn->on_refused)
                return;
        rml_list_remove(&sub->changed);
        if (conn->unheard_error == code)
                conn->unheard_error = 0;
}

int ramal_sub_confirm(ramal_sub *sub, uint64_t deadline, ramal_error *err) {
        ramal_conn *conn = sub->conn;
        int r = rml_usable(conn);

        if (r < 0)
                return rml_error(err, r, "%s", ramal_strerror(r));
        rml_enter(conn);
        sub->running++; /* callbacks of others may cancel it */
        while (r == 0 && !conn->closed && !sub->dead && sub->state == RAMAL_SUB_ASKED)
                r = rml_block(conn, deadline);
        if (!conn->closed) {
                if (sub->dead) {
                        r = rml_error(err, -ECANCELED, "%s: cancelled meanwhile", sub->pattern);
                } else if (sub->state == RAMAL_SUB_ENDED) {
                        r = sub->error ? rml_error_copy(err, sub->error)
                                       : rml_error(err, -ENODATA, "%s: the interest has ended", sub->pattern);
                        told_by_return(sub, r);
                } else if (sub->state != RAMAL_SUB_ASKED) {
                        r = 0;
                } else {
                        rml_error(err, r, "%s: %s", sub->pattern, ramal_strerror(r));
                }
                rml_sub_release(sub);
        }
        return rml_leave(conn) ? r : rml_error(err, -ESHUTDOWN, "%s", ramal_strerror(-ESHUTDOWN));
}

/* ---- the end ---- */

void rml_sub_free(ramal_sub *sub) {
        ramal_conn *conn = sub->conn;

        if (conn->recent == sub)
                conn->recent = NULL;
        rml_ask_forget(conn, &sub->pending);
        rml_table_remove(&conn->sids, &sub->node);
        rml_list_remove(&sub->link);
        rml_list_remove(&sub->blocks);
        rml_list_remove(&sub->changed);
        rml_confirm_reset(&sub->confirm);
        while (!rml_list_empty(&sub->items))
                rml_item_free(rml_list_entry(rml_list_first(&sub->items), struct rml_item, link));
        rml_item_free(sub->held);
        rml_watch_free(sub);
        free(sub->error);
        free(sub->pattern);
        free(sub->group);
        free(sub);
}

/* A callback of it has returned: it may have been cancelled there, or have ended without anybody holding it. */
void rml_sub_release(ramal_sub *sub) {
        sub->running--;
        if (sub->running > 0 || sub->conn->closed)
                return;
        if (sub->dead || (sub->floating && sub->state == RAMAL_SUB_ENDED && !rml_list_linked(&sub->changed)))
                rml_sub_free(sub);
}

/* The answer tells us nothing: what comes for an unknown sid is thrown away. */
void rml_sub_unsubscribe(ramal_sub *sub) {
        Ramal__V1__Unsubscribe message = RAMAL__V1__UNSUBSCRIBE__INIT;

        message.sid = sub->sid;
        /* Else the broker would go on sending, and wait for what nobody confirms. */
        if (rml_out_control(sub->conn, RML_UNSUBSCRIBE, ++sub->conn->ids, &message.base) == -ENOMEM)
                rml_starved(sub->conn, "to unsubscribe");
}

ramal_sub *ramal_sub_cancel(ramal_sub *sub) {
        if (!sub || sub->dead || !rml_alive(sub->conn) || sub->conn->closed)
                return NULL;
        ramal_conn *conn = sub->conn;
        sub->dead = true;
        rml_list_remove(&sub->changed);
        if (conn->phase == RML_PHASE_UP && sub->state != RAMAL_SUB_ENDED) {
                if (sub->held && !sub->held->stale) { /* the program has had it */
                        rml_confirm_done(conn, &sub->confirm, sub->held->seq, sub->held->bytes);
                        rml_confirm_send(conn, &sub->confirm);
                }
                rml_sub_unsubscribe(sub);
        }
        rml_ask_forget(conn, &sub->pending);
        if (sub->running == 0)
                rml_sub_free(sub);
        return NULL;
}

/* The next live interest from a place in the list, NULL at its end. */
static ramal_sub *next_live(ramal_conn *conn, struct rml_list *node) {
        while (node != &conn->subs && rml_list_entry(node, ramal_sub, link)->dead)
                node = node->next;
        return node == &conn->subs ? NULL : rml_list_entry(node, ramal_sub, link);
}

/* The connection is gone: nothing is confirmed any more, and all will be asked for again. No callback runs in here:
 * what there is to tell, waits in conn->changed. */
void rml_subs_lost(ramal_conn *conn) {
        ramal_error error;
        bool over = conn->state == RAMAL_CLOSED;

        rml_error(&error, -ESHUTDOWN, "%s", ramal_strerror(-ESHUTDOWN));
        conn->in_callback = true;
        for (ramal_sub *sub = next_live(conn, conn->subs.next); sub; sub = next_live(conn, sub->link.next)) {
                rml_ask_forget(conn, &sub->pending);
                rml_confirm_reset(&sub->confirm);
                sub->demoted = false;
                if (sub->watch) {
                        sub->watch->told = false; /* numbers of the next run of the broker are others */
                        if (sub->watch->call)
                                sub->watch->call = ramal_call_cancel(sub->watch->call);
                }
                rml_list_each(node, &sub->items) rml_list_entry(node, struct rml_item, link)->stale = true;
                if (sub->held)
                        sub->held->stale = true;
                if (sub->state == RAMAL_SUB_ENDED || (sub->state == RAMAL_SUB_ASKED && !over))
                        continue;
                rml_sub_set_state(sub, over ? RAMAL_SUB_ENDED : RAMAL_SUB_ASKED, 0, RAMAL_WHY_GONE, NULL);
        }
        conn->in_callback = false;
        rml_callbacks_due(conn);
}

void rml_subs_again(ramal_conn *conn) {
        for (ramal_sub *sub = next_live(conn, conn->subs.next); sub; sub = next_live(conn, sub->link.next))
                rml_sub_ask(sub);
}
