/* SPDX-License-Identifier: MIT */
/* Who subscribes is found by the shape of its pattern (topics_shapes.h); there an interest needs no node of its own.
 * The trees are for what serves, where the order of patterns counts and what lies above and below is asked for, and
 * for shapes that are one too many.
 *
 * One tree for each role, so that a publish never walks servers, and every leaf has a slot. A node stands for a token
 * after its parent's. All literal children of all nodes are in one hash table by (parent, token); '*' and '>' are the
 * first in the row of their parent's children. A node without slots and without children does not exist, but for the
 * roots.
 *
 * A walk looks at no more nodes than fit the subject so far: normally a few for each token. Patterns can be made that
 * fit almost ('*' and a literal at each of many places, and then another end); such a walk is bounded by the nodes they
 * have, which limits bound, and by the cache. */
#include "topics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "subject.h"
#include "topics_cache.h"
#include "topics_scratch.h"
#include "topics_shapes.h"

enum {
        IS_STAR = 1,
        IS_TAIL = 2, /* '>' */
        HAS_STAR = 4,
        HAS_TAIL = 8,
};

struct topic_node {
        struct rml_table_node in_table;
        struct topic_node *parent;              /* NULL = a root */
        struct topic_node *child, *next, *prev; /* children: '*', '>', literals; siblings */
        struct rml_list slots;
        uint8_t flags, token_len;
        uint8_t token[];
};

struct topics {
        struct rml_seed seed;           /* of the nodes */
        struct rml_seed cache_seeds[TOPIC_VERBS]; /* by verb */
        struct topics_cache cache;
        struct topic_shapes shapes[TOPIC_ROLES]; /* none of what serves */
        struct rml_table literals;
        struct topic_node *roots[TOPIC_ROLES];
        struct topics_scratch scratch; /* the last route that was looked for */
        size_t nodes;
        uint64_t last_ordinal;
};

static struct topic_node *node_new(struct rml_span token) {
        /* What the compiler adds at the end of the struct is used for the token. */
        size_t bytes = offsetof(struct topic_node, token) + token.len;
        struct topic_node *node;

        rml_check(token.len <= UINT8_MAX);
        node = calloc(1, bytes > sizeof(*node) ? bytes : sizeof(*node));
        if (!node)
                return NULL;
        rml_list_init(&node->slots);
        node->token_len = (uint8_t)token.len;
        if (token.len)
                memcpy(node->token, token.data, token.len);
        if (token.len == 1 && token.data[0] == '*')
                node->flags = IS_STAR;
        else if (token.len == 1 && token.data[0] == '>')
                node->flags = IS_TAIL;
        return node;
}

struct topics *topics_new(const struct rml_seed *seed, size_t cache_bytes) {
        struct topics *topics = calloc(1, sizeof(*topics));

        if (!topics)
                return NULL;
        topics->seed = *seed;
        for (uint64_t i = 0; i < RML_COUNT(topics->cache_seeds); i++)
                topics->cache_seeds[i] = (struct rml_seed){rml_hash_u64(seed, i, 0), rml_hash_u64(seed, i, 1)};
        rml_table_init(&topics->literals);
        for (size_t i = 0; i < TOPIC_ROLES; i++) {
                topics->shapes[i].seed = *seed;
                topics->roots[i] = node_new((struct rml_span){NULL, 0});
                if (!topics->roots[i])
                        return topics_free(topics);
        }
        if (topics_cache_init(&topics->cache, cache_bytes) < 0)
                return topics_free(topics);
        return topics;
}

struct topics *topics_free(struct topics *topics) {
        if (!topics)
                return NULL;
        rml_check(topics_nodes(topics) == 0);
        for (size_t i = 0; i < TOPIC_ROLES; i++)
                free(topics->roots[i]);
        topics_cache_deinit(&topics->cache);
        rml_table_deinit(&topics->literals);
        topics_scratch_drop(&topics->scratch);
        free(topics);
        return NULL;
}

static uint64_t literal_hash(const struct topics *topics, const struct topic_node *parent, uint64_t token_hash) {
        return rml_hash_u64(&topics->seed, (uint64_t)(uintptr_t)parent, token_hash);
}

static struct topic_node *literal_of(const struct topics *topics, const struct topic_node *parent,
                                     struct rml_span token, uint64_t token_hash) {
        struct rml_table_node *at;

        if (!parent->child)
                return NULL;
        at = rml_table_find(&topics->literals, literal_hash(topics, parent, token_hash));
        for (; at; at = rml_table_find_next(at)) {
                struct topic_node *node = rml_container_of(at, struct topic_node, in_table);

                if (node->parent == parent && node->token_len == token.len &&
                    memcmp(node->token, token.data, token.len) == 0)
                        return node;
        }
        return NULL;
}

static struct topic_node *star_of(const struct topic_node *parent) {
        return parent->flags & HAS_STAR ? parent->child : NULL;
}

static struct topic_node *tail_of(const struct topic_node *parent) {
        if (!(parent->flags & HAS_TAIL))
                return NULL;
        return parent->flags & HAS_STAR ? parent->child->next : parent->child;
}

/* The child with exactly this token. */
static struct topic_node *child_of(const struct topics *topics, const struct topic_node *parent,
                                   struct rml_span token) {
        if (token.len == 1 && token.data[0] == '*')
                return star_of(parent);
        if (token.len == 1 && token.data[0] == '>')
                return tail_of(parent);
        return literal_of(topics, parent, token, rml_hash(&topics->seed, token.data, token.len));
}

static void node_link(struct topics *topics, struct topic_node *parent, struct topic_node *node) {
        struct topic_node *before = NULL;

        if (!(node->flags & IS_STAR))
                before = star_of(parent);
        if (!(node->flags & (IS_STAR | IS_TAIL)) && parent->flags & HAS_TAIL)
                before = tail_of(parent);
        node->parent = parent;
        node->prev = before;
        node->next = before ? before->next : parent->child;
        if (node->next)
                node->next->prev = node;
        if (before)
                before->next = node;
        else
                parent->child = node;
        if (node->flags & IS_STAR)
                parent->flags |= HAS_STAR;
        else if (node->flags & IS_TAIL)
                parent->flags |= HAS_TAIL;
        else
                rml_table_put(&topics->literals, &node->in_table,
                              literal_hash(topics, parent, rml_hash(&topics->seed, node->token, node->token_len)));
        topics->nodes++;
}

static void node_unlink(struct topics *topics, struct topic_node *node) {
        struct topic_node *parent = node->parent;

        if (node->next)
                node->next->prev = node->prev;
        if (node->prev)
                node->prev->next = node->next;
        else
                parent->child = node->next;
        if (node->flags & IS_STAR)
                parent->flags &= (uint8_t)~HAS_STAR;
        else if (node->flags & IS_TAIL)
                parent->flags &= (uint8_t)~HAS_TAIL;
        else
                rml_table_remove(&topics->literals, &node->in_table);
        topics->nodes--;
}

/* Cuts the branch back to where it is of use. */
static void prune(struct topics *topics, struct topic_node *node) {
        while (node->parent && !node->child && rml_list_empty(&node->slots)) {
                struct topic_node *parent = node->parent;

                node_unlink(topics, node);
                free(node);
                node = parent;
        }
}

static struct topic_node *node_at(const struct topics *topics, enum topic_role role, struct rml_span pattern) {
        struct topic_node *node = topics->roots[role];
        struct rml_span token;

        while (node && rml_subject_token(&pattern, &token))
                node = child_of(topics, node, token);
        return node;
}

static int tree_put(struct topics *topics, enum topic_role role, struct topic_slot *slot) {
        struct rml_span pattern = rml_span_of(slot->pattern), token;
        struct topic_node *node = topics->roots[role];

        while (rml_subject_token(&pattern, &token)) {
                struct topic_node *child = child_of(topics, node, token);

                if (!child) {
                        child = node_new(token);
                        if (!child) {
                                prune(topics, node);
                                return -ENOMEM;
                        }
                        node_link(topics, node, child);
                }
                node = child;
        }
        slot->node = node;
        rml_list_push_back(&node->slots, &slot->link);
        return 0;
}

int topics_add(struct topics *topics, const char *pattern, enum topic_role role, struct topic_slot *slot) {
        int r = 0;

        rml_check(!slot->in && *pattern);
        slot->pattern = pattern;
        slot->shaped = role != TOPIC_SERVER_GANG && topic_shapes_put(&topics->shapes[role], slot);
        if (!slot->shaped)
                r = tree_put(topics, role, slot);
        if (r < 0)
                return r;
        slot->in = true;
        slot->role = (uint64_t)role & 15;
        slot->ordinal = ++topics->last_ordinal & ((UINT64_C(1) << 56) - 1);
        topics_cache_drop(&topics->cache);
        return 0;
}

void topics_remove(struct topics *topics, struct topic_slot *slot) {
        if (!slot->in)
                return;
        slot->in = false;
        if (slot->shaped) {
                topic_shapes_remove(&topics->shapes[slot->role], slot);
        } else {
                rml_list_remove(&slot->link);
                prune(topics, slot->node);
        }
        topics_cache_drop(&topics->cache);
        if (!topics_nodes(topics))
                topics_scratch_drop(&topics->scratch);
}

struct topic_slot *topics_at(const struct topics *topics, struct rml_span pattern, enum topic_role role) {
        struct topic_slot *shaped = topic_shapes_at(&topics->shapes[role], pattern);
        const struct topic_node *node = node_at(topics, role, pattern);
        struct rml_list *first = node ? rml_list_first(&node->slots) : NULL;
        struct topic_slot *slot = first ? rml_list_entry(first, struct topic_slot, link) : NULL;

        return !shaped || (slot && slot->ordinal < shaped->ordinal) ? slot : shaped;
}

/* Those of all patterns beside the tree that match, in no order of patterns. */
static int take_shaped(struct topics *topics, enum topic_role role, const struct topic_cut *cut) {
        const struct topic_shapes *shapes = &topics->shapes[role];
        int r = 0;

        for (size_t i = 0; r == 0 && i < shapes->shape_count; i++)
                r = topics_scratch_take_ring(&topics->scratch, topic_shapes_match(shapes, i, cut));
        return r;
}

/* Appends the slots of all patterns that match to the scratch route: depth first, and at each token the literal before
 * '*' before '>', which is the order of rml_subject_compare(). */
static int walk(struct topics *topics, enum topic_role role, const struct topic_cut *cut) {
        /* At each depth at most two wait while the third is followed. */
        struct {
                const struct topic_node *node;
                size_t depth; /* tokens that it and its parents used up */
        } waiting[2 * RML_SUBJECT_TOKENS_MAX + 1];
        size_t count = 1;

        waiting[0].node = topics->roots[role];
        waiting[0].depth = 0;
        while (count) {
                const struct topic_node *node = waiting[--count].node, *fit[3] = {NULL};
                size_t depth = waiting[count].depth;

                if (depth == cut->count) {
                        int r = topics_scratch_take_list(&topics->scratch, &node->slots);

                        if (r < 0)
                                return r;
                        continue;
                }
                /* What begins with '$' is the broker's own: no wildcard reaches it by chance. */
                if (depth || cut->tokens[0].data[0] != '$') {
                        fit[0] = tail_of(node);
                        fit[1] = star_of(node);
                }
                fit[2] = literal_of(topics, node, cut->tokens[depth], cut->hashes[depth]);
                for (size_t i = 0; i < RML_COUNT(fit); i++) {
                        if (!fit[i])
                                continue;
                        rml_check(count < RML_COUNT(waiting));
                        waiting[count].node = fit[i];
                        /* '>' takes all the rest. */
                        waiting[count++].depth = i ? depth + 1 : cut->count;
                }
        }
        return 0;
}

/* From both, to be sorted. */
static int take_role(struct topics *topics, enum topic_role role, const struct topic_cut *cut) {
        int r = take_shaped(topics, role, cut);

        return r < 0 || !topics->roots[role]->child ? r : walk(topics, role, cut);
}

static int find_route(struct topics *topics, enum topic_verb verb, struct rml_span subject) {
        struct topic_cut cut;
        size_t gangs;
        int r = topics_scratch_begin(&topics->scratch);

        if (r < 0)
                return r;
        topic_cut_up(&topics->seed, subject, &cut);
        if (verb == TOPIC_CALL)
                return walk(topics, TOPIC_SERVER_GANG, &cut);
        r = take_role(topics, verb == TOPIC_TAPPED ? TOPIC_TAP : TOPIC_SUBSCRIBER, &cut);
        if (r < 0)
                return r;
        topics_scratch_sort(&topics->scratch, 0);
        if (verb == TOPIC_TAPPED)
                return 0;
        gangs = topics->scratch.route->count;
        r = take_role(topics, TOPIC_SUBSCRIBER_GANG, &cut);
        if (r < 0)
                return r;
        topics_scratch_sort(&topics->scratch, gangs);
        return 0;
}

int topics_route_once(struct topics *topics, enum topic_verb verb, struct rml_span subject,
                      const struct topic_route **ret, const char **why) {
        int r;

        *why = rml_subject_check(subject, RML_SUBJECT);
        if (*why)
                return -EINVAL;
        r = find_route(topics, verb, subject);
        if (r == 0)
                *ret = topics->scratch.route;
        return r;
}

int topics_route(struct topics *topics, enum topic_verb verb, struct rml_span subject, const struct topic_route **ret,
                 const char **why) {
        const struct topic_route *known;
        uint64_t hash = 0;
        int r;

        if (subject.len <= RML_SUBJECT_BYTES_MAX) {
                hash = rml_hash(&topics->cache_seeds[verb], subject.data, subject.len);
                known = topics_cache_find(&topics->cache, hash, verb, subject);
                if (known) {
                        *ret = known;
                        return 0;
                }
        }
        r = topics_route_once(topics, verb, subject, ret, why);
        if (r == 0)
                topics_cache_put(&topics->cache, hash, verb, subject, *ret);
        return r;
}

const struct topic_route *topics_again(const struct topics *topics, enum topic_verb verb, struct rml_span subject) {
        return topics_cache_again(&topics->cache, verb, subject);
}

static bool visit_slots(const struct topic_node *node, topic_visit_fn fn, void *user) {
        rml_list_each(link, &node->slots) {
                if (!fn(user, rml_list_entry(link, struct topic_slot, link)))
                        return false;
        }
        return true;
}

void topics_servers_above(const struct topics *topics, struct rml_span pattern, topic_visit_fn fn, void *user) {
        const struct topic_node *node = topics->roots[TOPIC_SERVER_GANG];
        struct rml_span token;

        while (rml_subject_token(&pattern, &token)) {
                node = child_of(topics, node, token);
                if (!node || !visit_slots(node, fn, user))
                        return;
        }
}

void topics_servers_below(const struct topics *topics, struct rml_span name, topic_visit_fn fn, void *user) {
        const struct topic_node *top = node_at(topics, TOPIC_SERVER_GANG, name), *node = top;

        /* Each node, then what is below it; no branch is without a server. */
        while (node) {
                if (!visit_slots(node, fn, user))
                        return;
                if (node->child) {
                        node = node->child;
                        continue;
                }
                while (node != top && !node->next)
                        node = node->parent;
                node = node == top ? NULL : node->next;
        }
}

size_t topics_nodes(const struct topics *topics) {
        size_t count = topics->nodes;

        for (size_t i = 0; i < TOPIC_ROLES; i++)
                count += topics->shapes[i].count;
        return count;
}
