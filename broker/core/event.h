/* SPDX-License-Identifier: MIT */
/* What is worth a line of log. */
#ifndef RAMAL_EVENT_H
#define RAMAL_EVENT_H

#include "peer.h"

void event_add(struct core *, enum core_event_kind, const struct peer *, const char *text);
/* A peer met a limit: at most one a second is told for each uid and limit, and how many were not. text, key: literals,
 * or of the core's life. at: which limit it is, QUOTA_NONE if it is not one of the configuration. */
void event_limit(struct peer *, const char *text, const char *key, size_t at, uint64_t value);

#endif
