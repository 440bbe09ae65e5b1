/* SPDX-License-Identifier: MIT */
/* Users with limits of their own: [limits uid 1000] in the file, --limit-uid 1000:calls=64 on the command line. */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "values.h"

#define LIMIT_COUNT (sizeof(struct core_limits) / sizeof(uint64_t))

_Static_assert(LIMIT_COUNT <= 64, "each limit has a bit");

uint64_t config_bit(const struct config_option *option) {
        return UINT64_C(1) << (option->offset - offsetof(struct config, limits)) / sizeof(uint64_t);
}

int config_user(struct config *config, uint32_t uid, size_t *ret) {
        size_t i = 0;
        while (i < config->user_count && config->uid_limits[i].uid != uid)
                i++;
        if (i == CONFIG_USERS_MAX)
                return -ENOSPC;
        if (i == config->user_count) {
                config->uid_limits[i].uid = uid;
                config->user_count++;
        }
        *ret = i;
        return 0;
}

int config_read_user(const char *text, const char *where, uint32_t *ret, struct failure *failure) {
        int r = *text ? value_uid(text, ret) : -EINVAL;
        if (r == 0)
                return 0;
        if (r == -ENOMEM)
                return failure_set(failure, EXIT_SYSTEM, "out of memory");
        if (r == -ERANGE)
                return failure_set(failure, EXIT_USAGE, "%s: %s is out of range: a uid is from 0 to %u", where, text,
                                   UINT32_MAX - 1);
        if (r == -ENOENT)
                return failure_set(failure, EXIT_USAGE, "%s: there is no user \"%s\" on this machine", where, text);
        return failure_set(failure, EXIT_USAGE, "%s: the name or number of a user is missing", where);
}

int config_refuse_key(const struct config_option *option, const char *key, const char *where, struct failure *failure) {
        const struct config_option *nearest = NULL;
        unsigned least = UINT_MAX;
        if (option)
                return failure_set(failure, EXIT_USAGE, "%s: %s is one for all users; it stands in [limits]", where,
                                   key);
        for (size_t i = 0; i < config_option_count; i++) {
                unsigned distance = config_options[i].per_user ? value_distance(key, config_options[i].key) : UINT_MAX;
                if (!nearest || distance < least) {
                        least = distance;
                        nearest = &config_options[i];
                }
        }
        return failure_set(failure, EXIT_USAGE, "%s: unknown key \"%s\"; the nearest for one user is %s", where, key,
                           nearest->key);
}

void config_fill_users(struct core_uid_limits *users, size_t count, const struct core_limits *general) {
        for (size_t i = 0; i < count; i++) {
                struct core_uid_limits *user = &users[i];
                for (size_t j = 0; j < LIMIT_COUNT; j++)
                        if (!(user->overridden >> j & 1))
                                memcpy((char *)&user->limits + j * sizeof(uint64_t),
                                       (const char *)general + j * sizeof(uint64_t), sizeof(uint64_t));
        }
}

/* The broker's own connections are bound by own_connections and own_interests, and by what the broker holds in all. */
int config_check_own(const struct config *config, uint32_t own_uid, struct failure *failure) {
        for (size_t i = 0; i < config->user_count; i++) {
                const struct core_uid_limits *user = &config->uid_limits[i];
                for (size_t j = 0; j < config_option_count && user->uid == own_uid; j++) {
                        const struct config_option *option = &config_options[j];
                        bool others = strncmp(option->key, "uid_", 4) == 0 || strcmp(option->key, "interests") == 0 ||
                                      strcmp(option->key, "names") == 0;
                        if (option->per_user && others && (user->overridden & config_bit(option)))
                                return failure_set(
                                        failure, EXIT_CONFIG,
                                        "limits uid %u.%s: this is the uid that ramald runs as, which has no "
                                        "such limit; see limits.own_connections and limits.own_interests",
                                        own_uid, option->key);
                }
        }
        return 0;
}
