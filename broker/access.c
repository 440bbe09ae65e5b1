/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "access.h"

#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NAME_BUFFER_BYTES (64u << 10)

void access_of_uid(struct access_who *who, uint32_t uid) {
        struct passwd entry, *found = NULL;
        gid_t groups[ACCESS_GROUPS_MAX];
        int count = (int)ACCESS_GROUPS_MAX;
        *who = (struct access_who){.has_uid = true, .uid = uid};
        char *buf = malloc(NAME_BUFFER_BYTES);
        if (buf && getpwuid_r(uid, &entry, buf, NAME_BUFFER_BYTES, &found) == 0 && found &&
            getgrouplist(entry.pw_name, entry.pw_gid, groups, &count) >= 0) {
                for (int i = 0; i < count; i++)
                        who->groups[who->group_count++] = groups[i];
                who->groups_known = true;
        }
        free(buf);
}

void access_of_group(struct access_who *who, uint32_t gid) {
        *who = (struct access_who){.groups_known = true, .groups = {gid}, .group_count = 1};
}

/* want: of one class, as 01 to pass a directory or 06 for a socket. */
static bool admits(const struct access_who *who, const struct stat *st, mode_t want) {
        if (who->has_uid && who->uid == 0)
                return true;
        if (who->has_uid && who->uid == st->st_uid)
                return (st->st_mode >> 6 & want) == want;
        for (size_t i = 0; i < who->group_count; i++)
                if (who->groups[i] == st->st_gid)
                        return (st->st_mode >> 3 & want) == want;
        if (!who->groups_known && (st->st_mode >> 3 & want) == want)
                return true; /* it may well be in that group: not ours to know */
        return (st->st_mode & want) == want;
}

static bool check_one(const struct access_who *who, const char *path, char *blocked, size_t size) {
        struct stat st;
        if (stat(path, &st) < 0) {
                snprintf(blocked, size, "%s, which cannot be looked at", path);
                return false;
        }
        bool directory = S_ISDIR(st.st_mode);
        if (admits(who, &st, directory ? 01 : 02))
                return true;
        snprintf(blocked, size, "the %s %s (mode %04o, uid %u, gid %u)", directory ? "directory" : "socket", path,
                 (unsigned)st.st_mode & 07777, (unsigned)st.st_uid, (unsigned)st.st_gid);
        return false;
}

bool access_check(const struct access_who *who, const char *path, char *blocked, size_t size) {
        char *real = realpath(path, NULL);
        if (!real) {
                snprintf(blocked, size, "%s, which cannot be resolved", path);
                return false;
        }
        bool good = check_one(who, "/", blocked, size);
        for (char *slash = strchr(real + 1, '/'); good && slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                good = check_one(who, real, blocked, size);
                *slash = '/';
        }
        good = good && check_one(who, real, blocked, size);
        free(real);
        return good;
}
