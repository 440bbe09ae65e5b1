/* SPDX-License-Identifier: MIT */
/* Groups: of each message exactly one member gets it. A well-known name is a group too, of policy `primary`, that
 * serves the name and all below it. */
#ifndef RAMAL_GROUP_H
#define RAMAL_GROUP_H

#include "interest.h"
#include "ring.h"

/* The members of a group on one pattern. */
struct gang {
        struct rml_table_node node;  /* core->gangs, by pattern and group */
        struct group *group;
        struct topic_gang slots[2];  /* a name has two: itself, and what is below */
        struct rml_heap members;     /* struct member.turn: whose turn it is */
        struct rml_heap full;        /* the same for those whose window takes nothing more; none if `primary` */
        struct interest **crowd;     /* `random`: the members of both, one after the other */
        size_t crowd_room;
        struct ring ring;            /* `key`: of the members of both */
        size_t count;                /* in both, and those that were muted */
        size_t refs;                 /* those, and who left and may still have something for the others */
        char pattern[];              /* and of a name the one of what is below it */
};

/* NULL: it is a plain interest's. */
static inline struct gang *slot_gang(const struct topic_slot *slot) {
        return slot->role == TOPIC_SUBSCRIBER ? NULL : topic_gang_of(slot)->owner;
}

struct group {
        struct core *core;
        struct rml_table_node node;  /* core->groups or core->names; in none if it is the nameless one of a server */
        char *name;                  /* "" if nameless; the well-known name of a name */
        bool serve, is_name;
        Ramal__V1__Policy policy;
        struct account *account;     /* whose it is: of the first member */
        struct rml_list members;     /* struct member.member_link, by rank */
        size_t member_count;
        size_t refs;                 /* interests whose gang is of this group */
        uint64_t ordinal;            /* one of its own: `random` draws by it, and in a route its gangs stand together */
        uint64_t served;             /* core->pass of the last message it got */
        uint64_t judged;             /* core->pass of the last one that was judged for it: `chosen` is to get that */
        struct interest *chosen;
        uint64_t turns;              /* rotation */
        struct rml_list movers;      /* who left and has something for the others, the last one first: struct
                                      * member.member_link */
        struct rml_heap redelivering; /* of these, whose queue has moved: struct member.turn, the first one first */
        struct rml_list moving_link; /* core->moving, as long as there are any of both */
        struct rml_list waiting;     /* peers that have to wait for that: struct peer.waiting_link */
        struct rml_list changed_link; /* core->changed_names */
        struct rml_list untold_link; /* core->untold_groups */
        uint64_t owner_told;         /* peer last published as the owner of the name */
};

/* Must what this member has wait? Messages that came before are still on their way to the members: move.h. */
static inline bool group_holds(const struct interest *interest) {
        const struct gang *gang = interest_gang(interest);

        return gang && !interest->detached && rml_list_linked(&gang->group->moving_link);
}

/* Why an interest may not be made. `holder`: who is in the way, or NULL. */
struct group_refusal {
        Ramal__V1__Code code;
        const char *text;
        const struct peer *holder;
};

/* Puts an interest where it belongs: into the index alone, into a group, or into the queue for a name. Returns 0 and
 * its state, and in *replaced the owner that it replaces or NULL; 1 = refused, *refusal says why; -ENOMEM. On anything
 * but 0 the interest is untouched. */
int group_join(struct interest *, const struct interest_wish *, Ramal__V1__State *state, uint64_t *queued,
               struct interest **replaced, struct group_refusal *refusal);
/* Its connection is touched when group_holds() is over. */
void group_wait(struct interest *);
/* To be called for *replaced once SUBSCRIBED was answered: it stands second now or (no_queue) ends, and its uncommitted
 * messages go to the new owner. */
void group_replaced(struct interest *old);
/* It takes nothing any more and leaves soon: is not chosen, though still a member. For all interests of a peer that
 * ends, before the first one leaves: or each message that moves from one would pass over all the others. */
void group_mute(struct interest *);
/* Takes it out of the index and of its group and tells who owns it now. its gang stays until group_release(), so
 * that what it has can still be moved to the others: at once, or if it dies while it drains. */
void group_leave(struct interest *);
void group_release(struct interest *);
/* Tells all members of `primary` groups that changed where they stand in line. That is as many notices as members: so
 * once a turn, not once for each that left. Returns false if there was nothing to tell. */
bool groups_tell(struct core *);
/* What is queued or in flight for it changed. */
void group_changed_member(struct interest *);
static inline void group_changed(struct interest *interest) {
        if (interest->grouped && member_of(interest)->gang)
                group_changed_member(interest);
}
/* It was given a message: others come next. */
void group_turned_member(struct interest *);
static inline void group_turned(struct interest *interest) {
        if (interest->grouped && member_of(interest)->gang)
                group_turned_member(interest);
}

/* Who gets it? Considers gang and all later ones of the same group in the route. NULL if all are full and `full_too` is
 * false; *why is the bound of one of them then. Asked again before anybody of the group was given a message, it answers
 * the same. Members whose window takes nothing more cost nothing here; of others that have no room for just this
 * message a bounded number is passed over. */
struct interest *group_choose(const struct topic_route *, size_t index, const struct message *, bool full_too,
                              Ramal__V1__Why *why);
/* The first slot of a route that leads to the group; route->count if there is none. */
size_t group_in_route(const struct group *, const struct topic_route *);
/* The owner of a name, or NULL. */
struct interest *group_head(const struct group *);
/* Frees it if nobody is or was a member and no change of it waits to be published. */
void group_free_if_empty(struct group *);

#endif
