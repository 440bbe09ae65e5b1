/* SPDX-License-Identifier: MIT */
#include "quota.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account.h"
#include "state.h"

/* The keys of the configuration take a unit with the value and have none in their name. */
#define KEY(name) [QUOTA(name)] = "limits." #name
#define KEY_NS(name) [QUOTA(name##_ns)] = "limits." #name
static const char *const keys[QUOTA_COUNT] = {
        KEY(payload_bytes),
        KEY(interest_bytes),
        KEY(interest_messages),
        KEY(connection_bytes),
        KEY(uid_bytes),
        KEY(broker_bytes),
        KEY(reserve_bytes),
        KEY(uid_connections),
        KEY(own_connections),
        KEY(unauthenticated),
        KEY(calls),
        KEY(interests),
        KEY(own_interests),
        KEY(names),
        KEY(publish_credit_bytes),
        KEY_NS(hello_timeout),
        KEY_NS(frame_timeout),
        KEY_NS(flush_timeout),
        KEY(unread_answers_bytes),
        KEY_NS(stall_max),
        KEY(turn_frames),
        KEY(turn_bytes),
        KEY(reserved_connections),
        KEY(uid_interests),
        KEY(uid_names),
        KEY(uid_calls),
        KEY(uid_input_bytes),
        KEY(uid_unread_answers_bytes),
        KEY(uid_connect_rate),
};
_Static_assert(QUOTA_COUNT == 29, "each limit has its key in the table above");
_Static_assert(QUOTA_COUNT <= 64, "each limit has a bit in core_uid_limits.overridden");

/* Of the whole broker or of its edge: nobody has them for itself. */
static const size_t shared[] = {
        QUOTA(broker_bytes),         QUOTA(reserve_bytes), QUOTA(unauthenticated),
        QUOTA(reserved_connections), QUOTA(turn_bytes),
};

uint64_t quota_value(const struct core_limits *limits, size_t at) {
        uint64_t value;

        memcpy(&value, (const char *)limits + at * sizeof(value), sizeof(value));
        return value;
}

static void quota_share(struct quota *quota, const struct core_limits *general, uint64_t *own, size_t at) {
        memcpy((char *)&quota->limits + at * sizeof(uint64_t), (const char *)general + at * sizeof(uint64_t),
               sizeof(uint64_t));
        *own &= ~(UINT64_C(1) << at);
}

static int quota_make(struct quota *quota, const struct core_uid_limits *given, const struct core_limits *general) {
        uint64_t own = given->overridden;

        quota->uid = given->uid;
        quota->limits = given->limits;
        for (size_t i = 0; i < RML_COUNT(shared); i++)
                quota_share(quota, general, &own, shared[i]);
        /* Whoever receives was promised that nothing is larger than the general one. */
        if (quota->limits.payload_bytes > general->payload_bytes)
                quota_share(quota, general, &own, QUOTA(payload_bytes));
        for (size_t i = 0; i < QUOTA_COUNT; i++) {
                const char *name = keys[i] + strlen("limits.");
                size_t room = strlen(name) + sizeof("limits uid 4294967295.");

                if (!(own >> i & 1))
                        continue;
                quota->keys[i] = malloc(room);
                if (!quota->keys[i])
                        return -ENOMEM;
                snprintf(quota->keys[i], room, "limits uid %" PRIu32 ".%s", given->uid, name);
        }
        return 0;
}

int quotas_init(struct core *core, const struct core_config *config) {
        core->quotas = calloc(config->uid_limit_count ? config->uid_limit_count : 1, sizeof(*core->quotas));
        if (!core->quotas)
                return -ENOMEM;
        for (size_t i = 0; i < config->uid_limit_count; i++) {
                core->quota_count++;
                if (quota_make(&core->quotas[i], &config->uid_limits[i], &config->limits) < 0)
                        return -ENOMEM;
        }
        return 0;
}

void quotas_deinit(struct core *core) {
        for (size_t i = 0; i < core->quota_count; i++)
                for (size_t j = 0; j < QUOTA_COUNT; j++)
                        free(core->quotas[i].keys[j]);
        free(core->quotas);
        core->quotas = NULL;
        core->quota_count = 0;
}

const struct quota *quota_find(const struct core *core, uint32_t uid) {
        for (size_t i = 0; i < core->quota_count; i++)
                if (core->quotas[i].uid == uid)
                        return &core->quotas[i];
        return NULL;
}

const char *quota_key(const struct account *account, size_t at) {
        if (account && account->quota && account->quota->keys[at])
                return account->quota->keys[at];
        return keys[at];
}
