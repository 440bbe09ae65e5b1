/* SPDX-License-Identifier: MIT */
/* A group's life: who joins, who stands where, who leaves. Whom it chooses is in policy.c. */
#include "group.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pin.h"
#include "policy.h"
#include "subject.h"

#define RANK_FIRST (UINT64_C(1) << 62) /* members that replace the owner go below it */

static uint64_t group_hash(const struct core *core, bool serve, struct rml_span name) {
        return rml_hash(&core->config.seed, name.data, name.len) ^ (serve ? UINT64_C(0x9e3779b97f4a7c15) : 0);
}

static struct group *group_in(const struct rml_table *table, uint64_t hash, bool serve, struct rml_span name) {
        for (struct rml_table_node *node = rml_table_find(table, hash); node; node = rml_table_find_next(node)) {
                struct group *group = rml_container_of(node, struct group, node);

                if (group->serve == serve && rml_span_equal(rml_span_of(group->name), name))
                        return group;
        }
        return NULL;
}

size_t group_in_route(const struct group *group, const struct topic_route *route) {
        size_t low = 0, high = route->count;

        if (group->serve) {
                while (low < high && topic_gang_of(route->slots[low])->kin != group->ordinal)
                        low++;
                return low;
        }
        while (low < high) { /* subscribers first, then gangs by kin */
                size_t middle = low + (high - low) / 2;
                const struct topic_slot *slot = route->slots[middle];

                if (slot->role == TOPIC_SUBSCRIBER || topic_gang_of(slot)->kin < group->ordinal)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low < route->count && topic_gang_of(route->slots[low])->kin == group->ordinal ? low : route->count;
}

struct interest *group_head(const struct group *group) {
        struct rml_list *first = rml_list_first(&group->members);

        return first ? &rml_list_entry(first, struct member, member_link)->interest : NULL;
}

static struct group *group_new(struct core *core, const struct interest *interest, const struct interest_wish *wish) {
        struct group *group = calloc(1, sizeof(*group));
        const char *name = wish->name ? wish->pattern : wish->group ? wish->group : "";

        if (!group)
                return NULL;
        group->name = strdup(name);
        if (!group->name) {
                free(group);
                return NULL;
        }
        group->core = core;
        group->ordinal = ++core->ordinal;
        group->serve = interest->serve;
        group->is_name = wish->name;
        group->policy = wish->name ? RAMAL__V1__POLICY__POLICY_PRIMARY : wish->policy;
        group->account = interest->peer->account;
        rml_list_init(&group->members);
        rml_list_init(&group->movers);
        rml_list_init(&group->waiting);
        rml_list_init(&group->moving_link);
        rml_list_init(&group->changed_link);
        rml_list_init(&group->untold_link);
        if (*name)
                rml_table_put(wish->name ? &core->names : &core->groups, &group->node,
                              group_hash(core, group->serve, rml_span_of(name)));
        return group;
}

void group_free_if_empty(struct group *group) {
        if (group->refs || rml_list_linked(&group->changed_link))
                return;
        free(group->name);
        free(group);
}

/* It has no members: its name is free at once. What is left of it may wait to be published, or for those that drain. */
static void group_close(struct core *core, struct group *group) {
        rml_table_remove(group->is_name ? &core->names : &core->groups, &group->node);
        rml_list_remove(&group->untold_link);
        group_free_if_empty(group);
}

/* ---- gangs ---- */

static uint64_t gang_hash(const struct core *core, const struct group *group, const char *pattern) {
        const struct rml_seed *seed = &core->config.seed;

        return rml_hash_u64(seed, rml_hash(seed, pattern, strlen(pattern)), (uintptr_t)group);
}

static struct gang *gang_find(const struct core *core, const struct group *group, const char *pattern) {
        struct rml_table_node *node = rml_table_find(&core->gangs, gang_hash(core, group, pattern));

        for (; node; node = rml_table_find_next(node)) {
                struct gang *gang = rml_container_of(node, struct gang, node);

                if (gang->group == group && strcmp(gang->pattern, pattern) == 0)
                        return gang;
        }
        return NULL;
}

/* It has no members: nothing leads to it any more. */
static void gang_close(struct core *core, struct gang *gang) {
        topics_remove(core->topics, &gang->slots[0].slot);
        topics_remove(core->topics, &gang->slots[1].slot);
        rml_table_remove(&core->gangs, &gang->node);
}

static void gang_free(struct gang *gang) {
        free(gang->crowd);
        free(gang);
}

static struct gang *gang_new(struct core *core, struct group *group, const char *pattern) {
        size_t len = strlen(pattern) + 1;
        struct gang *gang = calloc(1, sizeof(*gang) + 2 * len + 2);
        enum topic_role role = group->serve ? TOPIC_SERVER_GANG : TOPIC_SUBSCRIBER_GANG;
        char *below;

        if (!gang)
                return NULL;
        gang->group = group;
        gang->slots[0].kin = gang->slots[1].kin = group->ordinal;
        gang->slots[0].owner = gang->slots[1].owner = gang;
        memcpy(gang->pattern, pattern, len);
        below = gang->pattern + len;
        memcpy(below, pattern, len);
        memcpy(below + len - 1, ".>", 3);
        if (topics_add(core->topics, gang->pattern, role, &gang->slots[0].slot) < 0 ||
            (group->is_name && topics_add(core->topics, below, role, &gang->slots[1].slot) < 0)) {
                gang_close(core, gang);
                gang_free(gang);
                return NULL;
        }
        rml_table_put(&core->gangs, &gang->node, gang_hash(core, group, pattern));
        return gang;
}

/* ---- where members stand ---- */

/* Tells all members where they stand now, if that changed. An owner that was replaced knows it already. */
static void group_tell(struct group *group) {
        uint64_t position = 0;

        rml_list_each(at, &group->members) {
                struct interest *interest = &rml_list_entry(at, struct member, member_link)->interest;
                const struct member *member = member_of(interest);

                if (position == 0)
                        interest_say(interest, RAMAL__V1__STATE__STATE_OWNER, 0, RAMAL__V1__WHY__WHY_NONE);
                else if (member->told != RAMAL__V1__STATE__STATE_LOST || member->told_queued != position)
                        interest_say(interest, RAMAL__V1__STATE__STATE_QUEUED, position, RAMAL__V1__WHY__WHY_NONE);
                position++;
        }
}

bool groups_tell(struct core *core) {
        struct rml_list *first;
        bool told = false;

        while ((first = rml_list_first(&core->untold_groups))) {
                rml_list_remove(first);
                group_tell(rml_list_entry(first, struct group, untold_link));
                told = true;
        }
        return told;
}

/* The owner learns it at once, before anything else is sent to it; the others in groups_tell(). */
static void group_moved_up(struct core *core, struct group *group) {
        struct interest *head = group_head(group);

        if (!head || group->policy != RAMAL__V1__POLICY__POLICY_PRIMARY)
                return;
        if (policy_takes(head))
                interest_say(head, RAMAL__V1__STATE__STATE_OWNER, 0, RAMAL__V1__WHY__WHY_NONE);
        if (!rml_list_linked(&group->untold_link))
                rml_list_push_back(&core->untold_groups, &group->untold_link);
}

static void name_changed(struct core *core, struct group *group) {
        if (group->is_name && !rml_list_linked(&group->changed_link))
                core_settle_later(core, &core->changed_names, &group->changed_link);
}

/* ---- joining ---- */

struct conflict {
        const struct account *account;
        bool names_only;
        const struct group *group;
};

static bool conflict_visit(void *user, struct topic_slot *slot) {
        struct conflict *conflict = user;
        const struct group *group = slot_gang(slot)->group;
        const struct interest *head = group_head(group); /* of a name: who holds it now */

        if ((head ? head->peer->account : group->account) == conflict->account ||
            (conflict->names_only && !group->is_name) || !group->member_count)
                return true;
        conflict->group = group;
        return false;
}

static int refuse(struct group_refusal *refusal, Ramal__V1__Code code, const char *text, const struct group *group) {
        struct interest *head = group ? group_head(group) : NULL;

        *refusal = (struct group_refusal){code, text, head ? head->peer : NULL};
        return 1;
}

static const struct group *served_at(const struct core *core, struct rml_span pattern) {
        const struct topic_slot *slot = topics_at(core->topics, pattern, TOPIC_SERVER_GANG);

        return slot ? slot_gang(slot)->group : NULL;
}

/* Names and patterns of others that stand in the way of serving this one. */
static int check_serve(const struct interest *interest, const struct interest_wish *wish, const struct group *own,
                       struct group_refusal *refusal) {
        const struct core *core = interest->peer->core;
        struct rml_span pattern = rml_span_of(wish->pattern);
        struct conflict conflict = {.account = interest->peer->account, .names_only = true};
        const struct group *there;

        topics_servers_above(core->topics, pattern, conflict_visit, &conflict);
        if (conflict.group)
                return refuse(refusal, RAMAL__V1__CODE__CODE_EXISTS, "lies inside a name that another user holds",
                              conflict.group);
        if (wish->name) {
                conflict.names_only = false;
                topics_servers_below(core->topics, pattern, conflict_visit, &conflict);
                if (conflict.group)
                        return refuse(refusal, RAMAL__V1__CODE__CODE_EXISTS, "another user serves inside this name",
                                      conflict.group);
        }
        there = served_at(core, pattern);
        if (there && there != own)
                return refuse(refusal, RAMAL__V1__CODE__CODE_EXISTS,
                              there->is_name ? "is held as a name" : "is served already, by another group", there);
        if (wish->name && !own) {
                char below[256 + 3];
                size_t len = strlen(wish->pattern);

                if (len + 3 <= sizeof(below)) {
                        memcpy(below, wish->pattern, len);
                        memcpy(below + len, ".>", 3);
                        there = served_at(core, rml_span_of(below));
                        if (there)
                                return refuse(refusal, RAMAL__V1__CODE__CODE_EXISTS,
                                              "all below this name is served already, by another group", there);
                }
        }
        return 0;
}

static int check_name(const struct interest *interest, const struct interest_wish *wish, const struct group *group,
                      struct group_refusal *refusal) {
        struct interest *head = group_head(group);

        rml_list_each(at, &group->members)
                if (rml_list_entry(at, struct member, member_link)->interest.peer == interest->peer)
                        return refuse(refusal, RAMAL__V1__CODE__CODE_EXISTS,
                                      "this connection has claimed the name already", group);
        if (wish->no_queue && !(wish->replace && member_of(head)->allow_replace))
                return refuse(refusal, RAMAL__V1__CODE__CODE_EXISTS, "the name is held", group);
        return 0;
}

static int join_plain(struct interest *interest) {
        struct core *core = interest->peer->core;

        return topics_add(core->topics, interest_pattern(interest), interest->tap ? TOPIC_TAP : TOPIC_SUBSCRIBER,
                          &interest->slot);
}

/* The owner is replaced: it stands second, or (no_queue) its interest ends. */
void group_replaced(struct interest *old) {
        if (member_of(old)->no_queue) {
                interest_end(old, RAMAL__V1__WHY__WHY_REPLACED);
                return;
        }
        interest_move_all(old);
        interest_say(old, RAMAL__V1__STATE__STATE_LOST, 1, RAMAL__V1__WHY__WHY_REPLACED);
        group_moved_up(old->peer->core, interest_gang(old)->group);
}

int group_join(struct interest *interest, const struct interest_wish *wish, Ramal__V1__State *state, uint64_t *queued,
               struct interest **replaced, struct group_refusal *refusal) {
        struct core *core = interest->peer->core;
        struct rml_span name = rml_span_of(wish->name ? wish->pattern : wish->group ? wish->group : "");
        struct group *group = NULL;
        struct member *member;
        struct interest *head;
        struct gang *gang;
        bool replaces;
        int r;

        *state = RAMAL__V1__STATE__STATE_ACTIVE;
        *queued = 0;
        *replaced = NULL;
        if (!interest->serve && !wish->group)
                return join_plain(interest);
        member = member_of(interest);
        if (name.len)
                group = group_in(wish->name ? &core->names : &core->groups, group_hash(core, interest->serve, name),
                                 interest->serve, name);
        if (group && !group->is_name && group->account != interest->peer->account)
                return refuse(refusal, RAMAL__V1__CODE__CODE_DENIED, "the group belongs to another user", group);
        if (interest->serve && (r = check_serve(interest, wish, group, refusal)))
                return r;
        if (group && group->is_name && (r = check_name(interest, wish, group, refusal)))
                return r;
        if (!group && !(group = group_new(core, interest, wish)))
                return -ENOMEM;
        gang = gang_find(core, group, wish->pattern);
        if (!gang)
                gang = gang_new(core, group, wish->pattern);
        head = group_head(group);
        replaces = group->is_name && head && wish->replace && member_of(head)->allow_replace;
        member->gang = gang;
        member->rank = !head ? RANK_FIRST
                               : replaces ? member_of(head)->rank - 1
                                          : rml_list_entry(group->members.prev, struct member, member_link)->rank + 1;
        if (!gang || policy_enter(interest) < 0) {
                member->gang = NULL;
                if (gang && !gang->count) {
                        gang_close(core, gang);
                        gang_free(gang);
                }
                if (!group->member_count)
                        group_close(core, group);
                return -ENOMEM;
        }
        if (replaces)
                rml_list_push_front(&group->members, &member->member_link);
        else
                rml_list_push_back(&group->members, &member->member_link);
        group->member_count++;
        group->refs++;
        gang->count++;
        gang->refs++;
        if (group->policy == RAMAL__V1__POLICY__POLICY_PRIMARY) {
                *state = !head || replaces ? RAMAL__V1__STATE__STATE_OWNER : RAMAL__V1__STATE__STATE_QUEUED;
                *queued = !head || replaces ? 0 : group->member_count - 1;
                member->told = *state;
                member->told_queued = *queued;
        }
        *replaced = replaces ? head : NULL;
        name_changed(core, group);
        return 0;
}

void group_wait(struct interest *interest) {
        rml_list_remove(&interest->peer->waiting_link);
        rml_list_push_back(&interest_gang(interest)->group->waiting, &interest->peer->waiting_link);
}

void group_mute(struct interest *interest) {
        if (interest_gang(interest))
                policy_quit(interest);
}

void group_leave(struct interest *interest) {
        struct gang *gang = interest_gang(interest);
        struct group *group = gang->group;
        struct core *core = interest->peer->core;

        group_mute(interest);
        rml_list_remove(&member_of(interest)->member_link);
        group->member_count--;
        if (!--gang->count)
                gang_close(core, gang);
        group_moved_up(core, group);
        name_changed(core, group);
        if (!group->member_count)
                group_close(core, group);
}

void group_release(struct interest *interest) {
        struct gang *gang = interest_gang(interest);
        struct group *group = gang->group;

        pins_forget(interest);
        member_of(interest)->gang = NULL;
        if (!--gang->refs)
                gang_free(gang);
        group->refs--;
        group_free_if_empty(group);
}
