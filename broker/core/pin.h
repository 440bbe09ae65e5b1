/* SPDX-License-Identifier: MIT */
/* Keys in progress (policy `key`): while messages or calls with a key are queued, unconfirmed or unanswered at a
 * member, more of that key go there too, even when members have joined meanwhile. So the order of a key holds. There
 * are never more pins than such messages and calls. */
#ifndef RAMAL_PIN_H
#define RAMAL_PIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/table.h"

struct core;
struct gang;
struct interest;
struct message;

struct pin {
        struct rml_table_node node; /* core->pins, by gang and key; in none when stale */
        struct interest *at;        /* where they are: a member of a group */
        uint64_t key;
        uint64_t count;             /* so many */
        bool stale;                 /* later ones go to another member */
};

/* Does a message that goes to this interest hold its key there? */
bool pin_wanted(const struct interest *, const struct message *);
/* The member of this gang that has messages of that key, or NULL. */
struct interest *pin_member(const struct core *, const struct gang *, uint64_t key);
/* One more of that key is at this member. NULL without memory. */
struct pin *pin_take(struct interest *, uint64_t key);
/* One less. Accepts NULL. */
void pin_drop(struct pin *);
/* One of those at `from`, which is leaving its group, goes to another member, and those that follow it go there too.
 * Returns its pin there, or NULL. Accepts NULL. After all have moved, call pins_forget(from). */
struct pin *pin_move(struct pin *, const struct interest *from, struct interest *to);
/* It left its group: nothing that it still has holds a key there. */
void pins_forget(struct interest *);

#endif
