/* SPDX-License-Identifier: MIT */
/* Groups and names: who is a member, and who gets what. */
#include <stdio.h>
#include <string.h>

#include "model.h"

bool model_takes(const struct interest *in, const char *subject) {
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

static void tell_positions(struct model *model, struct line *line, size_t from, size_t to) {
        for (size_t i = from; i < to; i++)
                model_notify(model, line->members[i],
                             i ? RAMAL__V1__STATE__STATE_QUEUED : RAMAL__V1__STATE__STATE_OWNER, i,
                             RAMAL__V1__WHY__WHY_NONE);
}

void model_leave_line(struct model *model, struct interest *in) {
        struct line *line = in->line;
        size_t at = 0;
        while (line->members[at] != in)
                at++;
        line->count--;
        line->key_count = 0;
        memmove(line->members + at, line->members + at + 1, (line->count - at) * sizeof(in));
        if (line->primary)
                tell_positions(model, line, at, line->count);
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
        struct line *line = model_fresh(sizeof(*line));
        line->name = sub->name;
        line->serve = sub->serve || sub->name;
        line->policy = sub->name ? RAMAL__V1__POLICY__POLICY_PRIMARY : sub->policy;
        line->primary = sub->name || sub->policy == RAMAL__V1__POLICY__POLICY_PRIMARY;
        snprintf(line->key, sizeof(line->key), "%s", line->serve ? sub->pattern : sub->group);
        snprintf(line->group, sizeof(line->group), "%s", sub->group ? sub->group : "");
        model->lines = model_grown(model->lines, model->line_count, sizeof(*model->lines));
        model->lines[model->line_count++] = line;
        return line;
}

static struct interest *make_interest(struct model *model, struct party *party, const struct sub *sub) {
        struct interest *in = model_fresh(sizeof(*in));
        in->party = party;
        in->sub = *sub;
        snprintf(in->pattern, sizeof(in->pattern), "%s", sub->pattern);
        snprintf(in->group, sizeof(in->group), "%s", sub->group ? sub->group : "");
        in->sub.pattern = in->pattern;
        in->sub.group = in->group;
        in->sub.serve = sub->serve || sub->name;
        in->live = true;
        model->interests = model_grown(model->interests, model->interest_count, sizeof(*model->interests));
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
                model_hand_over(model, old);
                model_notify(model, old, RAMAL__V1__STATE__STATE_ENDED, 0, RAMAL__V1__WHY__WHY_REPLACED);
                return;
        }
        memmove(line->members + 1, line->members, line->count * sizeof(in));
        line->members[0] = in;
        line->count++;
        model_hand_over(model, old);
        model_notify(model, old, RAMAL__V1__STATE__STATE_LOST, 1, RAMAL__V1__WHY__WHY_REPLACED);
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
                model_expect(party, id, RML_STATUS)->code = RAMAL__V1__CODE__CODE_EXISTS;
                return;
        }

        struct interest *in = make_interest(model, party, sub);
        struct answer *answer = model_expect(party, id, RML_SUBSCRIBED);
        answer->state.state = RAMAL__V1__STATE__STATE_ACTIVE;
        if (!lined)
                return;
        in->line = line ? line : make_line(model, sub);
        if (takes) {
                replace_head(model, in->line, in);
        } else {
                in->line->members[in->line->count++] = in;
                in->line->key_count = 0;
                answer->state.queued = in->line->primary ? in->line->count - 1 : 0;
        }
        if (in->line->primary)
                answer->state.state =
                        answer->state.queued ? RAMAL__V1__STATE__STATE_QUEUED : RAMAL__V1__STATE__STATE_OWNER;
        in->told_state = answer->state;
}

void model_unsubscribe(struct model *model, struct party *party, uint64_t id, struct interest *in) {
        model->op++;
        struct answer *answer = model_expect(party, id, RML_STATUS);
        answer->code = RAMAL__V1__CODE__CODE_OK;
        answer->ends = in;
        model_end_interest(model, in, false);
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

/* ---- choosing -------------------------------------------------------------------------------------------------- */

static bool has_key(const struct model *model, const struct entries *list, const char *key) {
        for (size_t i = 0; i < list->count; i++) {
                const char *other = model->messages[list->items[i].number]->key;
                if (other && strcmp(other, key) == 0)
                        return true;
        }
        return false;
}

/* Policy `key`: where messages of the key wait or are not confirmed; else where it was before, as long as nobody came
 * or went. */
static void check_key(const struct model *model, struct line *line, const struct message *message,
                      struct interest *found) {
        for (size_t i = 0; i < line->count; i++) {
                const struct interest *in = line->members[i];
                if (!has_key(model, &in->queue, message->key) && !has_key(model, &in->flight, message->key))
                        continue;
                world_check(model->world, in == found || !model_takes(in, message->subject),
                            "key '%s' of '%s' is with another member", message->key, line->key);
                return;
        }
        for (size_t i = 0; i < line->key_count; i++)
                if (strcmp(line->keys[i].key, message->key) == 0 &&
                    strcmp(line->keys[i].subject, message->subject) == 0) {
                        world_check(model->world, line->keys[i].owner == found, "key '%s' of '%s' has moved",
                                    message->key, line->key);
                        return;
                }
        if (line->key_count < sizeof(line->keys) / sizeof(line->keys[0])) {
                line->keys[line->key_count].key = message->key;
                line->keys[line->key_count].subject = message->subject;
                line->keys[line->key_count++].owner = found;
        }
}

/* Of those with room the one with least to do. */
static void check_least(const struct model *model, const struct line *line, const struct message *message,
                        const struct interest *found) {
        for (size_t i = 0; i < line->count; i++) {
                const struct interest *in = line->members[i];
                if (in != found && model_takes(in, message->subject) && model_fits(model, in, message->len))
                        world_check(model->world, pending(found) <= pending(in),
                                    "'%s' chose one with %llu pending before one with %llu", line->key,
                                    (unsigned long long)pending(found), (unsigned long long)pending(in));
        }
}

/* Is there a member of the sender's uid, or one that has nothing to do? */
static bool empty_for(const struct line *line, const struct interest *head, const struct message *message) {
        for (size_t i = 0; i < line->count; i++) {
                const struct interest *in = line->members[i];
                if (model_takes(in, message->subject) && (!line->primary || in == head) &&
                    (model_same_uid(in->party, message->sender) || !pending(in)))
                        return true;
        }
        return false;
}

struct interest *model_chosen(struct model *model, struct line *line, const struct message *message) {
        struct interest *found = NULL, *head = NULL;
        bool room = false; /* of a `primary` one the head alone counts */
        for (size_t i = 0; i < line->count; i++) {
                struct interest *in = line->members[i];
                struct core_ledger ledger = {0};
                if (!model_takes(in, message->subject))
                        continue;
                if (!line->primary || !head)
                        room = room || model_fits(model, in, message->len);
                head = head ? head : in;
                if (core_interest_ledger(in->party->fake->peer, in->sub.sid, &ledger) == 0 &&
                    ledger.matched == in->matched + 1) {
                        world_check(model->world, !found, "two members of '%s' got one message", line->key);
                        found = in;
                }
        }
        /* Of a serving one's window another uid's calls have only their fair share: one alone is always admitted. */
        if (line->serve && !found && room && !empty_for(line, head, message))
                return NULL;
        if (!room && line->serve) {
                world_check(model->world, !found, "a full server of '%s' got a call", line->key);
                return NULL;
        }
        world_check(model->world, found, "no member of '%s' got '%s'", line->key, message->subject);
        if (line->policy == RAMAL__V1__POLICY__POLICY_KEY && message->key) {
                check_key(model, line, message, found);
                return found;
        }
        world_check(model->world, model_fits(model, found, message->len) || !room, "a full member of '%s' was chosen",
                    line->key);
        world_check(model->world, !line->primary || found == head, "the head of '%s' was passed over", line->key);
        if (!line->serve &&
            (line->policy == RAMAL__V1__POLICY__POLICY_LEAST_PENDING || line->policy == RAMAL__V1__POLICY__POLICY_KEY))
                check_least(model, line, message, found);
        return found;
}
