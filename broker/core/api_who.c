/* SPDX-License-Identifier: MIT */
/* Who would get a message on a subject, as things stand, and why. Asks the same index and the same groups that routing
 * asks; the message it imagines is as short as one can be. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "api_reply.h"
#include "describe.h"
#include "status.h"
#include "subject.h"

enum { WHO_PUBLISH = 1, WHO_CALL = 2 }; /* fields of WhoReply */

#define WHY_BYTES 512u /* a group's name is at most 255 */

struct who {
        struct api_reply *reply;
        unsigned field;
        struct message message;
        const struct topic_route *route;
};

static bool who_put(const struct who *who, const struct interest *interest, bool chosen, const char *why) {
        const struct group *group = interest_gang(interest) ? interest_gang(interest)->group : NULL;
        Ramal__Api__V1__Receiver line;

        ramal__api__v1__receiver__init(&line);
        line.peer = interest->peer->id;
        line.app = describe_text(papers_app(interest->peer->papers));
        line.sid = interest->sid;
        line.pattern = describe_text(interest_pattern(interest));
        if (group && !group->is_name)
                line.group = describe_text(group->name);
        if (group && (group->is_name || *group->name))
                line.policy = describe_text(rml_policy_name(group->policy));
        line.chosen = chosen;
        line.why = describe_text(why);
        line.pending = interest_pending(interest);
        return api_put(who->reply, who->field, &line.base);
}

static const char *bound_text(Ramal__V1__Why why) {
        switch (why) {
        case RAMAL__V1__WHY__WHY_WINDOW:
                return "window full";
        case RAMAL__V1__WHY__WHY_CONNECTION:
                return "connection's budget full";
        case RAMAL__V1__WHY__WHY_UID:
                return "user's budget full";
        default:
                return "broker's budget full";
        }
}

/* A publish for this interest: takes it, if need be at the price that its overflow rule sets. */
static bool put_publish(const struct who *who, const struct interest *interest, const char *base) {
        const char *rule = rml_overflow_name((Ramal__V1__Overflow)interest->overflow);
        char text[WHY_BYTES];
        Ramal__V1__Why why;
        bool chosen = true;

        if (interest_has_room(interest, &who->message, &why))
                return who_put(who, interest, true, base);
        switch (interest->overflow) {
        case RAMAL__V1__OVERFLOW__OVERFLOW_DROP_NEW:
        case RAMAL__V1__OVERFLOW__OVERFLOW_EVICT:
                chosen = false;
                snprintf(text, sizeof(text), "%s, but would lose it: %s, %s", base, bound_text(why), rule);
                break;
        default:
                snprintf(text, sizeof(text), "%s, and would lose older ones: %s, %s", base, bound_text(why), rule);
                break;
        }
        return who_put(who, interest, chosen, text);
}

/* ---- groups: whoever leaves is in none any more ---- */

static bool in_group(const struct topic_slot *slot, const struct group *group) {
        const struct gang *gang = slot_gang(slot);

        return gang && gang->group == group;
}

static int compare_turns(const void *a, const void *b) {
        const struct interest *one, *other;
        const struct rml_heap_node *turn, *other_turn;

        memcpy(&one, a, sizeof(one));
        memcpy(&other, b, sizeof(other));
        turn = &member_of(one)->turn;
        other_turn = &member_of(other)->turn;
        if (turn->key != other_turn->key)
                return turn->key < other_turn->key ? -1 : 1;
        if (turn->tie != other_turn->tie)
                return turn->tie < other_turn->tie ? -1 : 1;
        if (one->peer->id != other->peer->id)
                return one->peer->id < other->peer->id ? -1 : 1;
        return (one->sid > other->sid) - (one->sid < other->sid);
}

static size_t line_add(const struct interest **line, size_t n, size_t room, const struct rml_heap *members) {
        for (struct rml_heap_node *node = rml_heap_next(members, NULL); node && n < room;
             node = rml_heap_next(members, node))
                line[n++] = &rml_container_of(node, struct member, turn)->interest;
        return n;
}

/* All members of a group that the route leads to, from slot `from` on, in the order of their turn. NULL without memory;
 * *count of them otherwise. */
static const struct interest **group_line(const struct who *who, size_t from, const struct group *group,
                                          size_t *count) {
        const struct topic_route *route = who->route;
        const struct interest **line;
        size_t room = 0, n = 0;

        for (size_t i = from; i < route->count; i++)
                if (in_group(route->slots[i], group))
                        room += slot_gang(route->slots[i])->members.count + slot_gang(route->slots[i])->full.count;
        input_looked(who->reply->caller, room);
        line = arena_array(&who->reply->arena, room, sizeof(*line));
        if (!line)
                return NULL;
        for (size_t i = from; i < route->count; i++) {
                if (!in_group(route->slots[i], group))
                        continue;
                n = line_add(line, n, room, &slot_gang(route->slots[i])->members);
                n = line_add(line, n, room, &slot_gang(route->slots[i])->full);
        }
        qsort(line, n, sizeof(*line), compare_turns);
        *count = n;
        return line;
}

static void chosen_text(const struct group *group, char text[WHY_BYTES]) {
        if (group->is_name)
                snprintf(text, WHY_BYTES, "owner of the name %s", group->name);
        else if (!*group->name)
                snprintf(text, WHY_BYTES, "serves it");
        else if (group->policy == RAMAL__V1__POLICY__POLICY_PRIMARY)
                snprintf(text, WHY_BYTES, "head of group %s (primary)", group->name);
        else
                snprintf(text, WHY_BYTES, "next in group %s (%s)", group->name, rml_policy_name(group->policy));
}

/* A member that is not the chosen one. place: how many come before it. */
static void other_text(const struct who *who, const struct interest *interest, size_t place, char text[WHY_BYTES]) {
        const struct group *group = interest_gang(interest)->group;
        Ramal__V1__Why why;

        if (!interest_has_room(interest, &who->message, &why))
                snprintf(text, WHY_BYTES, "passed over: %s", bound_text(why));
        else if (group->is_name)
                snprintf(text, WHY_BYTES, "stands in line for the name %s, %zu before it", group->name, place);
        else if (*group->name)
                snprintf(text, WHY_BYTES, "stands in line in group %s, %zu before it", group->name, place);
        else
                snprintf(text, WHY_BYTES, "stands in line");
}

static bool put_member(const struct who *who, const struct interest *interest, bool chosen, const char *text) {
        if (chosen && who->field == WHO_PUBLISH)
                return put_publish(who, interest, text);
        return who_put(who, interest, chosen, text);
}

/* `random`: whoever has room may be the one. Returns false, and has told nothing, if nobody has. */
static bool put_random(const struct who *who, const struct interest **line, size_t count, bool *ok) {
        char text[WHY_BYTES];
        size_t able = 0;
        Ramal__V1__Why why;

        for (size_t i = 0; i < count; i++)
                able += interest_has_room(line[i], &who->message, &why);
        *ok = true;
        for (size_t i = 0; able && *ok && i < count; i++) {
                const char *name = interest_gang(line[i])->group->name;
                bool chosen = interest_has_room(line[i], &who->message, &why);

                if (!chosen)
                        other_text(who, line[i], able, text);
                else if (able == 1)
                        snprintf(text, sizeof(text), "the only one with room in group %s (random)", name);
                else
                        snprintf(text, sizeof(text), "any of %zu in group %s (random)", able, name);
                *ok = put_member(who, line[i], chosen, text);
        }
        return able;
}

/* `key`: each has its share of the keys, room or not; `next` gets what has none. */
static bool put_keys(const struct who *who, const struct interest **line, size_t count, const struct interest *next) {
        char text[WHY_BYTES];
        Ramal__V1__Why why;

        for (size_t i = 0; i < count; i++) {
                bool able = who->field == WHO_PUBLISH || interest_has_room(line[i], &who->message, &why);

                snprintf(text, sizeof(text), "has its share of the keys%s in group %s (key)%s%s",
                         line[i] == next ? ", and is next for what has none," : "",
                         interest_gang(line[i])->group->name, able ? "" : ", but would refuse: ",
                         able ? "" : bound_text(why));
                if (!put_member(who, line[i], able, text))
                        return false;
        }
        return true;
}

/* A whole group: the chosen one first, then the others in the order of their turn. */
static bool put_group(const struct who *who, size_t from) {
        const struct group *group = slot_gang(who->route->slots[from])->group;
        bool publish = who->field == WHO_PUBLISH;
        const struct interest *chosen;
        const struct interest **line;
        char text[WHY_BYTES];
        size_t count, place = 0;
        Ramal__V1__Why why;
        bool ok;

        line = group_line(who, from, group, &count);
        if (!line) {
                api_refuse_memory(who->reply);
                return false;
        }
        chosen = group_choose(who->route, from, &who->message, publish, &why);
        if (group->policy == RAMAL__V1__POLICY__POLICY_KEY)
                return put_keys(who, line, count, chosen);
        if (group->policy == RAMAL__V1__POLICY__POLICY_RANDOM && put_random(who, line, count, &ok))
                return ok;
        if (chosen) {
                chosen_text(group, text);
                if (!put_member(who, chosen, true, text))
                        return false;
                place++;
        }
        for (size_t i = 0; i < count; i++) {
                if (line[i] == chosen)
                        continue;
                other_text(who, line[i], place++, text);
                if (!who_put(who, line[i], false, text))
                        return false;
        }
        return true;
}

/* Servers on a pattern that is less specific than the one that takes the calls. */
static bool put_outdone(const struct who *who, size_t from, const struct gang *by) {
        const struct group *group = slot_gang(who->route->slots[from])->group;
        char text[WHY_BYTES];
        size_t count;
        const struct interest **line = group_line(who, from, group, &count);

        if (!line) {
                api_refuse_memory(who->reply);
                return false;
        }
        snprintf(text, sizeof(text), "passed over: %s is more specific", by->pattern);
        for (size_t i = 0; i < count; i++)
                if (!who_put(who, line[i], false, text))
                        return false;
        return true;
}

/* ---- both verbs ---- */

static bool who_route(struct who *who, enum topic_verb verb, struct rml_span subject) {
        struct topics *topics = who->reply->core->topics;
        const char *why_not;

        switch (topics_route(topics, verb, subject, &who->route, &why_not)) {
        case 0:
                return true;
        case -EINVAL:
                api_refuse(who->reply, RAMAL__V1__CODE__CODE_BAD_SUBJECT, why_not);
                return false;
        default:
                api_refuse(who->reply, RAMAL__V1__CODE__CODE_OVER_LIMIT, "the broker is out of memory");
                return false;
        }
}

/* Each group is told once, where its first pattern stands. Marks them as routing does. */
static bool who_publish(struct who *who, struct rml_span subject, uint64_t pass) {
        who->field = WHO_PUBLISH;
        if (!who_route(who, TOPIC_PUBLISH, subject))
                return false;
        for (size_t i = 0; i < who->route->count; i++) {
                struct topic_slot *slot = who->route->slots[i];
                struct gang *gang = slot_gang(slot);

                if (gang) {
                        if (gang->group->served == pass)
                                continue;
                        gang->group->served = pass;
                        if (!put_group(who, i))
                                return false;
                } else {
                        const struct interest *interest = slot_interest(slot);

                        if (interest_hears(interest) && !put_publish(who, interest, "subscribes"))
                                return false;
                }
        }
        return true;
}

static void who_call(struct who *who, struct rml_span subject, uint64_t pass) {
        who->field = WHO_CALL;
        if (!who_route(who, TOPIC_CALL, subject))
                return;
        for (size_t i = 0; i < who->route->count; i++) {
                struct gang *gang = slot_gang(who->route->slots[i]);

                if (!gang || gang->group->served == pass)
                        continue;
                gang->group->served = pass;
                if (i == 0 ? !put_group(who, i) : !put_outdone(who, i, slot_gang(who->route->slots[0])))
                        return;
        }
}

static void who_broker(const struct who *who, const char *subject) {
        Ramal__Api__V1__Receiver line;

        ramal__api__v1__receiver__init(&line);
        if (!api_answers(rml_span_of(subject)))
                return;
        line.app = describe_text(who->reply->core->config.server);
        line.pattern = describe_text(subject);
        line.chosen = true;
        line.why = describe_text("the broker itself answers");
        api_put(who->reply, WHO_CALL, &line.base);
}

void api_who(struct api_reply *reply, const ProtobufCMessage *request) {
        const Ramal__Api__V1__WhoRequest *wanted = (const Ramal__Api__V1__WhoRequest *)(const void *)request;
        struct rml_span subject = rml_span_of(wanted->subject);
        struct core *core = reply->caller->core;
        struct who who = {.reply = reply, .message = {.subject = subject, .charge = subject.len}};

        if (!who_publish(&who, subject, ++core->pass))
                return;
        if (api_is_call(subject))
                who_broker(&who, wanted->subject);
        else
                who_call(&who, subject, ++core->pass);
}
