/* SPDX-License-Identifier: MIT */
/* Groups: of each message exactly one member gets it. A well-known name is a group too, of policy `primary`, that
 * serves the name and all below it. */
#ifndef RAMAL_GROUP_H
#define RAMAL_GROUP_H

#include "interest.h"

/* The members of a group on one pattern. */
struct gang {
        struct group *group;
        struct rml_list link;        /* group->gangs */
        struct topic_slot slots[2];  /* a name has two: itself, and what is below */
        struct rml_heap members;     /* struct interest.turn: whose turn it is */
        char *pattern;
};

struct group {
        struct rml_table_node node;  /* core->groups or core->names; in none if it is the nameless one of a server */
        char *name;                  /* "" if nameless; the well-known name of a name */
        bool serve, is_name;
        Ramal__V1__Policy policy;
        struct account *account;     /* whose it is: of the first member */
        struct rml_list gangs;
        struct rml_list members;     /* struct interest.member_link, by rank */
        size_t member_count;
        uint64_t served;             /* core->pass of the last message it got */
        uint64_t turns;              /* rotation */
        struct rml_list changed_link;
        uint64_t owner_told;         /* peer last published as the owner of the name */
};

/* Why an interest may not be made. `holder`: who is in the way, or NULL. */
struct group_refusal {
        Ramal__V1__Code code;
        const char *text;
        const struct peer *holder;
};

/* Puts an interest where it belongs: into the index alone, into a group, or into the queue for a name. Returns 0 and
 * its state, and in *replaced the owner that it replaces or NULL; 1 = refused, *refusal says why; -ENOMEM. On anything but 0 the interest is untouched. */
int group_join(struct interest *, const struct interest_wish *, Ramal__V1__State *state, uint64_t *queued,
               struct interest **replaced, struct group_refusal *refusal);
/* To be called for *replaced once SUBSCRIBED was answered: it stands second now or (no_queue) ends, and its uncommitted
 * messages go to the new owner. */
void group_replaced(struct interest *old);
/* Takes it out of the index and of its group and tells who moved up. interest->gang stays until group_release(), so
 * that what was queued can still be moved to the others. */
void group_leave(struct interest *);
void group_release(struct interest *);
/* Its pending count changed. */
void group_changed(struct interest *);
/* It was given a message: others come next. */
void group_turned(struct interest *);

/* Who gets it? Considers gang and all later ones of the same group in the route. NULL if all are full and `full_too` is
 * false; *why is the last one's bound then. */
struct interest *group_choose(const struct topic_route *, size_t index, const struct message *, bool full_too,
                              Ramal__V1__Why *why);
/* The owner of a name, or NULL. */
struct interest *group_head(const struct group *);
struct group *name_find(const struct core *, struct rml_span name);
struct group *group_free_if_empty(struct core *, struct group *);

#endif
