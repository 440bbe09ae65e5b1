/* SPDX-License-Identifier: MIT */
/* What the verbs that have interests share. */
#ifndef RAMAL_TOOLS_LISTEN_H
#define RAMAL_TOOLS_LISTEN_H

#include "ctl.h"

/* In the order of ramal_policy. */
extern const char *const listen_policies[];

/* Can it match more than one subject? */
bool listen_is_pattern(const char *text);

/* Waits until the broker has confirmed the interests, or *done (set by their callbacks, which cancel them).
 * Returns 0, or the exit status after having said what is wrong. */
int listen_confirm(const struct ctl *ctl, ramal_sub *const *subs, const bool *done, size_t count);

#endif
