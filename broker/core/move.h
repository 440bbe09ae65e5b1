/* SPDX-License-Identifier: MIT */
/* What a member of a group had is moved to the others in parts when it is much and the member dies or says BYE. It has
 * left the group before: nothing new comes to it, and the others have taken its place. What comes meanwhile is queued
 * for them, and none of them is sent anything of the group before the last part has been moved (group_holds()): so the
 * order is the same as if all had gone at once, and the clock alone tells the difference.
 *
 * Of several that left, the queue of the last one goes first, as each part goes to the front: what it had got from the
 * others stands behind what these still have. When all queues have moved, what was in flight follows, of those that
 * left first first. */
#ifndef RAMAL_MOVE_H
#define RAMAL_MOVE_H

#include <stdbool.h>
#include <stddef.h>

struct group;
struct interest;

/* It has left its group. redelivers: with what was in flight. */
void move_begin(struct interest *, bool redelivers);
/* One part of what is to be moved in this group, of about so many messages. Returns how many it was. */
size_t move_part(struct group *, size_t max);
/* All that is to be moved before this one is done, and its own. */
void move_finish(struct interest *);

#endif
