/* SPDX-License-Identifier: MIT */
/* Where a member stands for the policy of its group. group.h chooses by it. */
#ifndef RAMAL_POLICY_H
#define RAMAL_POLICY_H

#include "group.h"

/* Takes its place among the members of its gang that may be chosen. Returns 0 or -ENOMEM. */
int policy_enter(struct interest *);
/* Is not chosen any more. No-op for one that has no place. */
void policy_quit(struct interest *);
/* Does it take anything? Not while it or its connection is leaving. */
bool policy_takes(const struct interest *);

#endif
