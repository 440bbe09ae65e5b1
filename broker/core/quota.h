/* SPDX-License-Identifier: MIT */
/* Which number of each limit binds whom, and the key of the configuration that sets it. */
#ifndef RAMAL_QUOTA_H
#define RAMAL_QUOTA_H

#include "core.h"

struct account;

#define QUOTA_COUNT (sizeof(struct core_limits) / sizeof(uint64_t))
/* The place of a limit among them: also its bit in core_uid_limits.overridden. */
#define QUOTA(name) (offsetof(struct core_limits, name) / sizeof(uint64_t))
#define QUOTA_NONE QUOTA_COUNT /* no limit of the configuration */

/* [limits uid N], as the core keeps it. */
struct quota {
        uint32_t uid;
        struct core_limits limits;
        char *keys[QUOTA_COUNT]; /* "limits uid 1000.calls"; NULL where the general one is in force */
};

/* Copies what the configuration has for single uids. Returns 0 or -ENOMEM. */
int quotas_init(struct core *, const struct core_config *);
void quotas_deinit(struct core *);
/* NULL: it has none of its own. */
const struct quota *quota_find(const struct core *, uint32_t uid);

/* The key that sets this limit for that account (NULL: for nobody in particular), e.g. "limits.calls". Lives as long as
 * the core. */
const char *quota_key(const struct account *, size_t at);
uint64_t quota_value(const struct core_limits *, size_t at);

#endif
