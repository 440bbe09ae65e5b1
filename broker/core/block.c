/* SPDX-License-Identifier: MIT */
/* A queued message is one of three:
 *   held    its sender is of the receiver's uid, and another connection: stays until it is committed, expires, or the
 *           interest stalls or ends. The frame's bytes of publish credit are taken while it is in any `block` queue
 *   loose   its sender is of another uid, or the broker: makes room for the next one of those
 *   own     its sender is the receiver's connection: stays, but holds nothing back
 * A held one was judged before anybody got the message (publish.c): it is queued over the window, never over a
 * budget. */
#include "block.h"

#include <errno.h>
#include <stdlib.h>

#include "budget.h"
#include "credit.h"
#include "event.h"
#include "interest.h"
#include "presence.h"

bool block_keeps(const struct interest *interest, const struct account *sender) {
        return interest_block(interest) && account_same(interest->peer->account, sender);
}

int block_new(struct interest *interest) {
        struct backlog *backlog = interest_backlog(interest);
        struct block *block = backlog ? calloc(1, sizeof(*block)) : NULL;

        if (!block)
                return -ENOMEM;
        block->interest = interest;
        block->stall.kind = TIMER_STALL;
        rml_list_init(&block->held);
        rml_list_init(&block->loose);
        backlog->block = block;
        interest->peer->account->blocks++;
        return 0;
}

void block_free(struct interest *interest) {
        struct block *block = interest_block(interest);

        if (!block)
                return;
        rml_check(rml_list_empty(&block->held));
        while (!rml_list_empty(&block->loose))
                rml_list_remove(rml_list_first(&block->loose));
        timer_clear(interest->peer->core, &block->stall);
        interest->peer->account->blocks--;
        interest->backlog->block = NULL;
        free(block);
}

bool block_holds(const struct interest *interest, const struct message *message) {
        return message->from && message->from != interest->peer && block_keeps(interest, message->account);
}

void block_refuse(struct peer *from, Ramal__V1__Why why, struct refusal *refusal) {
        const struct account *account = from->account; /* the reader's as well */
        size_t at = QUOTA(broker_bytes);

        *refusal = (struct refusal){.code = RAMAL__V1__CODE__CODE_WOULD_BLOCK,
                                    .text = "the broker has too much queued to hold a publisher back"};
        if (why == RAMAL__V1__WHY__WHY_CONNECTION) {
                at = QUOTA(connection_bytes);
                refusal->text = "a reader that holds its publishers back has too much queued on its connection";
        } else if (why == RAMAL__V1__WHY__WHY_UID) {
                at = account_bytes_quota(account);
                refusal->text = "this user's readers, one of which holds its publishers back, have too much queued";
        }
        refusal->limit = quota_key(account, at);
        refusal->value = quota_value(account->limits, at);
        from->core->counters.would_block++;
        event_limit(from, refusal->text, refusal->limit, at, refusal->value);
}

void block_hold(struct delivery *delivery, struct message *message) {
        delivery->held = true;
        delivery->body->blocks++;
        if (!message->held)
                credit_take(message->from, delivery->body);
        message->held = true;
}

void block_let_go(struct delivery *delivery) {
        struct body *body = delivery->body;

        if (!delivery->held)
                return;
        delivery->held = false;
        rml_check(body->blocks > 0);
        if (!--body->blocks && body->publisher)
                credit_return(body);
}

/* What came from another member of the group brings its hold along, or is held without anybody's credit: whoever sent
 * it was promised the same there. It begins to wait anew: this member has not had its chance yet. */
static void block_adopt(struct interest *interest, struct delivery *delivery) {
        struct body *body = delivery->body;

        delivery->since_ns = interest->peer->core->now_ns;
        if (body->publisher == interest->peer) {
                block_let_go(delivery);
        } else if (!delivery->held && block_keeps(interest, body->account)) {
                delivery->held = true;
                body->blocks++;
        }
}

/* Since when does the oldest one that is held wait? Not while the broker itself was kept from sending. */
static uint64_t block_since(const struct block *block) {
        const struct core *core = block->interest->peer->core;
        const struct delivery *oldest = rml_list_entry(block->held.next, struct delivery, block_link);

        return oldest->since_ns > core->patient_ns ? oldest->since_ns : core->patient_ns;
}

static uint64_t block_deadline(const struct block *block) {
        return core_add_ns(block_since(block), block->interest->peer->account->limits->stall_max_ns);
}

void block_enter(struct interest *interest, struct delivery *delivery, bool front) {
        struct block *block = interest_block(interest);
        struct rml_list *list;

        rml_list_init(&delivery->block_link);
        if (front)
                block_adopt(interest, delivery);
        if (!delivery->held && block_keeps(interest, delivery->body->account))
                return;
        list = delivery->held ? &block->held : &block->loose;
        if (front)
                rml_list_push_front(list, &delivery->block_link);
        else
                rml_list_push_back(list, &delivery->block_link);
        if (!delivery->held)
                return;
        block->held_bytes += delivery->body->charge;
        if (!block->held_count++)
                timer_set(interest->peer->core, &block->stall, block_deadline(block));
}

void block_leave(struct interest *interest, struct delivery *delivery) {
        struct block *block = interest_block(interest);

        rml_list_remove(&delivery->block_link);
        if (!delivery->held)
                return;
        block->held_bytes -= delivery->body->charge;
        if (!--block->held_count)
                timer_clear(interest->peer->core, &block->stall);
}

struct delivery *block_loose(const struct interest *interest, const struct message *message) {
        const struct block *block = interest_block(interest);
        struct rml_list *first = rml_list_first(&block->loose);

        /* Would it fit if all loose ones went? */
        if (!first || (block->held_count && (block->held_count >= interest->terms->window_messages ||
                                             !budget_open(block->held_bytes, message->charge,
                                                          interest->terms->window_bytes))))
                return NULL;
        return rml_list_entry(first, struct delivery, block_link);
}

static void block_demote(struct block *block) {
        struct interest *interest = block->interest;
        struct peer *peer = interest->peer;
        struct core *core = peer->core;
        uint64_t waited_ns = core->now_ns - block_since(block);
        Ramal__V1__Interest notice = RAMAL__V1__INTEREST__INIT;
        struct rml_list *first;

        while ((first = rml_list_first(&block->held))) {
                struct delivery *delivery = rml_list_entry(first, struct delivery, block_link);

                rml_list_remove(first);
                block_let_go(delivery);
        }
        block_free(interest);
        interest->backlog->demoted = true;
        core->counters.stalls++;
        event_add(core, CORE_EVENT_STALL, peer, interest_pattern(interest));
        /* Not one of those states of which only the newest counts: it is said in any case. */
        notice.sid = interest->sid;
        notice.state = RAMAL__V1__STATE__STATE_DEMOTED;
        notice.why = RAMAL__V1__WHY__WHY_STALLED;
        answer_control(peer, RML_INTEREST, 0, &notice.base);
        presence_stall(core, interest, waited_ns);
}

void block_stalled(struct block *block) {
        struct core *core = block->interest->peer->core;

        rml_check(block->held_count > 0);
        if (block_deadline(block) > core->now_ns)
                timer_set(core, &block->stall, block_deadline(block)); /* it moves: not set anew for each message */
        else
                block_demote(block);
}
