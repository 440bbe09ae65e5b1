/* SPDX-License-Identifier: MIT */
/* What the broker allows and what of it is used: `ramal status --limits` and `--users`. */
#ifndef RAMAL_TOOLS_LIMITS_H
#define RAMAL_TOOLS_LIMITS_H

#include "ctl.h"

/* Every limit, as it is for that peer; 0: for this command's own connection. Returns the exit status. */
int limits_show(struct ctl *ctl, uint64_t peer);
/* What the connections of each user hold together. Returns the exit status. */
int limits_show_users(struct ctl *ctl);

#endif
