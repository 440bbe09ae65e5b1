/* SPDX-License-Identifier: MIT */
#include "subscribe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "group.h"
#include "later.h"
#include "refuse.h"
#include "subject.h"

/* A tap sees what is not meant for it: root's right, and the broker's owner's. Never a token's. */
static bool peer_may_tap(const struct peer *peer) {
        return peer->local && (peer->uid == 0 || peer->account->own);
}

/* Everything about the request itself, before anybody else is looked at. */
static bool subscribe_check(struct peer *peer, const Ramal__V1__Subscribe *subscribe, struct refusal *ret) {
        struct rml_span pattern = rml_span_of(subscribe->pattern);
        const char *why = rml_subject_check(pattern, subscribe->name ? RML_NAME : RML_PATTERN);
        const char *later = later_in_control(RML_SUBSCRIBE, &subscribe->base);

        if (peer->inspect)
                return refuse_inspect(ret);
        *ret = (struct refusal){.code = RAMAL__V1__CODE__CODE_INVALID};
        if (!subscribe->sid)
                ret->text = "SUBSCRIBE.sid must not be 0";
        else if (interest_find(peer, subscribe->sid))
                *ret = (struct refusal){.code = RAMAL__V1__CODE__CODE_EXISTS,
                                        .text = "SUBSCRIBE.sid is in use on this connection"};
        else if (later)
                *ret = (struct refusal){.code = RAMAL__V1__CODE__CODE_UNSUPPORTED, .text = later};
        else if (why)
                *ret = (struct refusal){.code = RAMAL__V1__CODE__CODE_BAD_SUBJECT, .text = why};
        else if (*subscribe->group && (why = rml_subject_check(rml_span_of(subscribe->group), RML_GROUP)))
                *ret = (struct refusal){.code = RAMAL__V1__CODE__CODE_BAD_SUBJECT, .text = why};
        else if (subscribe->name && *subscribe->group)
                ret->text = "a name is a group of its own: SUBSCRIBE.group must be empty";
        else if (!subscribe->name && (subscribe->replace || subscribe->allow_replace || subscribe->no_queue))
                ret->text = "replace, allow_replace and no_queue are for names";
        else if ((subscribe->serve || subscribe->name) && subscribe->overflow != RAMAL__V1__OVERFLOW__OVERFLOW_DROP_OLD)
                ret->text = "a serving interest has no overflow rule: when it is full its calls are refused";
        else if (subscribe->tap && (subscribe->serve || subscribe->name || *subscribe->group || subscribe->overflow))
                ret->text = "a tap is alone: it neither serves nor is in a group, and its overflow rule is drop_old";
        else if (subscribe->tap && !peer_may_tap(peer))
                *ret = (struct refusal){.code = RAMAL__V1__CODE__CODE_DENIED,
                                        .text = "only root and the broker's own user may tap"};
        else if (subscribe->tap)
                return false; /* '$' subjects too */
        else if (!*subscribe->group && subscribe->policy != RAMAL__V1__POLICY__POLICY_LEAST_PENDING)
                ret->text = "SUBSCRIBE.policy is a group's: name one";
        else
                return refuse_pattern(peer, pattern, subscribe->serve || subscribe->name, ret);
        return true;
}

/* At most 64 bytes of a label, cut between characters: STATUS.text must stay UTF-8. */
static int label_length(const char *label) {
        size_t len = strlen(label);

        if (len > 64)
                for (len = 64; len && ((unsigned char)label[len] & 0xc0) == 0x80;)
                        len--;
        return (int)len;
}

static void refuse_join(struct peer *peer, uint64_t id, const struct group_refusal *refusal) {
        const struct peer *holder = refusal->holder;
        const char *app = holder ? papers_app(holder->papers) : "";
        char text[256];

        if (holder && holder->local)
                snprintf(text, sizeof(text), "%s; the holder is peer %llu (%.*s, uid %lu)", refusal->text,
                         (unsigned long long)holder->id, label_length(app), app, (unsigned long)holder->uid);
        else if (holder)
                snprintf(text, sizeof(text), "%s; the holder is peer %llu (%.*s, by token)", refusal->text,
                         (unsigned long long)holder->id, label_length(app), app);
        else
                snprintf(text, sizeof(text), "%s", refusal->text);
        answer_status(peer, id, refusal->code, text);
}

/* Has its connection, or its uid, as many as it may have? */
static bool subscribe_full(const struct peer *peer, const Ramal__V1__Subscribe *subscribe, enum limit *ret) {
        const struct account *account = peer->account;
        const struct core_limits *limits = account->limits;

        if (account->own) {
                *ret = LIMIT_OWN_INTERESTS;
                return peer->interest_count >= limits->own_interests;
        }
        if (peer->interest_count >= limits->interests)
                *ret = LIMIT_INTERESTS;
        else if (account->interests >= limits->uid_interests)
                *ret = LIMIT_UID_INTERESTS;
        else if (subscribe->name && peer->name_count >= limits->names)
                *ret = LIMIT_NAMES;
        else if (subscribe->name && account->names >= limits->uid_names)
                *ret = LIMIT_UID_NAMES;
        else
                return false;
        return true;
}

void subscribe_start(struct peer *peer, uint64_t id, const Ramal__V1__Subscribe *subscribe) {
        struct interest_wish wish = {
                .sid = subscribe->sid,
                .pattern = subscribe->pattern,
                .serve = subscribe->serve,
                .name = subscribe->name,
                .replace = subscribe->replace,
                .allow_replace = subscribe->allow_replace,
                .no_queue = subscribe->no_queue,
                .tap = subscribe->tap,
                .group = *subscribe->group ? subscribe->group : NULL,
                .policy = subscribe->policy,
                .overflow = subscribe->overflow,
                .window_bytes = subscribe->window_bytes,
                .window_messages = subscribe->window_messages,
                .credit_bytes = subscribe->credit_bytes,
                .credit_messages = subscribe->credit_messages,
        };
        Ramal__V1__Subscribed subscribed = RAMAL__V1__SUBSCRIBED__INIT;
        struct group_refusal refused;
        struct refusal refusal;
        struct interest *interest, *replaced;
        enum limit limit;
        uint64_t queued;
        int r;

        if (subscribe_check(peer, subscribe, &refusal)) {
                refuse_status(peer, id, &refusal);
                return;
        }
        if (subscribe_full(peer, subscribe, &limit)) {
                refuse_limit(peer, id, limit);
                return;
        }
        interest = interest_new(peer, &wish);
        r = interest ? group_join(interest, &wish, &subscribed.state, &queued, &replaced, &refused) : -ENOMEM;
        if (r != 0) {
                if (interest)
                        interest_discard(interest);
                if (r < 0)
                        refuse_limit(peer, id, LIMIT_MEMORY);
                else
                        refuse_join(peer, id, &refused);
                return;
        }
        subscribed.sid = subscribe->sid;
        subscribed.queued = queued;
        answer_control(peer, RML_SUBSCRIBED, id, &subscribed.base);
        peer->core->ordinal++;
        if (interest->grouped)
                member_of(interest)->since = peer->core->ordinal;
        if (replaced) {
                input_moved(peer, interest_queued(replaced));
                group_replaced(replaced);
        }
        /* Whoever waits for a service learns here that there is one more; names have events of their own. */
        if (subscribe->serve && !subscribe->name) {
                rml_list_remove(&peer->presence_link);
                core_settle_later(peer->core, &peer->core->changed_peers, &peer->presence_link);
        }
}

void subscribe_end(struct peer *peer, uint64_t id, const Ramal__V1__Unsubscribe *unsubscribe) {
        struct interest *interest = interest_find(peer, unsubscribe->sid);
        const char *later = later_in_control(RML_UNSUBSCRIBE, &unsubscribe->base);

        if (later) {
                answer_status(peer, id, RAMAL__V1__CODE__CODE_UNSUPPORTED, later);
                return;
        }
        if (!interest) {
                answer_status(peer, id, RAMAL__V1__CODE__CODE_NOT_FOUND, "no such sid on this connection");
                return;
        }
        if (interest_gang(interest))
                input_moved(peer, interest_queued(interest));
        interest_end(interest, RAMAL__V1__WHY__WHY_ENDED);
        answer_status(peer, id, RAMAL__V1__CODE__CODE_OK, NULL);
}

void subscribe_credit(struct peer *peer, uint64_t sid, uint64_t seq) {
        struct interest *interest = interest_find(peer, sid);

        if (!interest || !interest_confirm(interest, seq))
                peer->core->counters.stray_credits++;
        else if (peer->state == PEER_DRAINING)
                peer_touch(peer); /* it may have been the last that it waited for */
}
