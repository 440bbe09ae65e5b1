/* SPDX-License-Identifier: MIT */
/* May somebody else reach a Unix socket? The modes of its directories and its own say so. */
#ifndef RAMAL_ACCESS_H
#define RAMAL_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACCESS_GROUPS_MAX 256u

struct access_who {
        bool has_uid; /* else any member of the groups */
        uint32_t uid;
        bool groups_known; /* a uid without an entry in passwd may run with any groups */
        uint32_t groups[ACCESS_GROUPS_MAX];
        size_t group_count;
};

void access_of_uid(struct access_who *, uint32_t uid);
void access_of_group(struct access_who *, uint32_t gid);

/* Returns true if they can connect to the socket. Otherwise `blocked` names what keeps them out, with its mode. */
bool access_check(const struct access_who *, const char *path, char *blocked, size_t size);

#endif
