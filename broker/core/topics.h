/* SPDX-License-Identifier: MIT */
/* The index from subjects to whoever wants them: patterns by their shape, a tree of patterns by token for what serves
 * and for rare shapes, and in front of both a bounded, seeded cache of whole answers, dropped by generation when
 * anything changes. Knows neither interests nor groups: only slots that their owners embed. */
#ifndef RAMAL_TOPICS_H
#define RAMAL_TOPICS_H

#include <stdbool.h>

#include "base/list.h"
#include "base/table.h"
#include "blob.h"

enum topic_role {
        TOPIC_SUBSCRIBER,      /* a plain interest in publishes */
        TOPIC_SUBSCRIBER_GANG, /* the members of a group on this pattern */
        TOPIC_SERVER_GANG,     /* the same for calls; at most one on a pattern */
        TOPIC_TAP,             /* sees publishes, calls and replies */
        TOPIC_ROLES,
};

struct topic_node;
struct topics;

/* A million interests have one each: small. */
struct topic_slot {
        struct rml_list link;    /* those with the same pattern and role */
        union {
                struct topic_slot *next; /* beside the tree: another pattern (topics_shapes.h) */
                struct topic_node *node; /* in the tree */
        };
        const char *pattern;     /* the caller's; stays as long as the slot is in */
        uint64_t ordinal : 56;   /* the order in which they were added */
        uint64_t role : 4;       /* enum topic_role */
        uint64_t in : 1;         /* in the index */
        uint64_t shaped : 1;     /* beside the tree */
        uint64_t chained : 1;    /* and stands for all of its pattern */
};

/* What the slot of a gang is part of. */
struct topic_gang {
        struct topic_slot slot;
        uint64_t kin;            /* the caller's, set before: in a route of PUBLISH, gangs of one kin stand together */
        void *owner;             /* the caller's */
};

/* Only of a slot in the role of a gang. */
static inline const struct topic_gang *topic_gang_of(const struct topic_slot *slot) {
        return (const struct topic_gang *)(const void *)slot; /* its first part */
}

enum topic_verb { TOPIC_PUBLISH, TOPIC_CALL, TOPIC_TAPPED, TOPIC_VERBS };

/* Whom a message goes to. PUBLISH: subscribers in the order they were added, then gangs by kin, and in that order.
 * CALL: server gangs, the most specific pattern first. TAPPED: taps, in the order they were added. */
struct topic_route {
        size_t count;
        struct topic_slot *slots[];
};

/* Returns owned or NULL. cache_bytes bounds the memory of the cache, which takes between half and all of it, at once
 * (the kernel gives the pages as they are used); below 4 KiB there is no cache. */
struct topics *topics_new(const struct rml_seed *, size_t cache_bytes);
struct topics *topics_free(struct topics *); /* no slot may be left */

/* pattern: well-formed; kept, not copied. slot: embedded by the caller, in a struct topic_gang for the role of one.
 * Returns 0 or -ENOMEM (nothing changed). */
int topics_add(struct topics *, const char *pattern, enum topic_role, struct topic_slot *slot);
void topics_remove(struct topics *, struct topic_slot *); /* no-op for one that is not in */

/* The oldest slot with exactly this pattern and role, or NULL. */
struct topic_slot *topics_at(const struct topics *, struct rml_span pattern, enum topic_role);

/* Where does this subject go? Returns 0 and a route that is valid until the next call on topics (empty ones too);
 * -EINVAL and *why (a literal) for a subject that is no well-formed one; -ENOMEM. A subject beginning with '$' is
 * never matched by a pattern that begins with a wildcard. Never caches a route of more than 64 slots. */
int topics_route(struct topics *, enum topic_verb, struct rml_span subject, const struct topic_route **ret,
                 const char **why);
/* The same route, if the last one of that verb was for this subject; else NULL, and topics_route() is to be asked. */
const struct topic_route *topics_again(const struct topics *, enum topic_verb, struct rml_span subject);

/* The same for a subject that is hardly asked for twice: not remembered. */
int topics_route_once(struct topics *, enum topic_verb, struct rml_span subject, const struct topic_route **ret,
                      const char **why);

/* Visit server gangs while fn returns true. above: those whose pattern is a literal prefix of `pattern`, token by
 * token (the pattern itself included), shortest first. below: those whose pattern is `name` or begins literally with
 * its tokens, in no promised order. Tokens are compared as text: a wildcard is a prefix of nothing but itself. fn must
 * not add or remove. */
typedef bool (*topic_visit_fn)(void *user, struct topic_slot *slot);
void topics_servers_above(const struct topics *, struct rml_span pattern, topic_visit_fn fn, void *user);
void topics_servers_below(const struct topics *, struct rml_span name, topic_visit_fn fn, void *user);

/* Of the trees, and patterns beside them; 0 when no slot is in. For tests. */
size_t topics_nodes(const struct topics *);

#endif
