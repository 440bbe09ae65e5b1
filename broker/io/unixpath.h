/* SPDX-License-Identifier: MIT */
/* A Unix socket in the file system: who may reach it is decided by its directory and its mode, so both are right from
 * the first instant, and one broker at a time owns the path.
 *
 *   directory   exists already and is left as it is, or (rules.make_directory) is created 0750, or 0700 in a directory
 *               that everybody may write to. Its owner is us or root, and others cannot write to it unless it is
 *               sticky.
 *   PATH.lock   locked with flock() as long as the broker runs; names its pid. One that holds something else is
 *               another program's, and is refused and left alone.
 *   PATH        nothing, or the socket of a broker that is gone (it is replaced). Anything else is refused and left
 *               alone.
 *
 * The socket is bound under a umask, given to its group, and only then listens: before that nobody can connect. */
#ifndef RAMAL_UNIXPATH_H
#define RAMAL_UNIXPATH_H

#include <stdbool.h>
#include <sys/types.h>

#include "failure.h"

struct unixpath_rules {
        mode_t mode; /* of the socket; the directory's follows from it */
        bool has_group;
        gid_t group;         /* of socket and directory */
        bool make_directory; /* the default's: create it, and set its mode and group when it is there */
};

struct unixpath {
        char path[108];
        char directory[108];
        char lock[116];
        int lock_fd; /* -1 = not locked */
        bool bound;  /* dev and ino are the socket's */
        bool made_directory;
        dev_t dev;
        ino_t ino;
};

/* path: at most 107 bytes. Returns 0 and a bound socket that does not listen yet, or failure_set(); then nothing is
 * left behind. */
int unixpath_open(struct unixpath *, const char *path, const struct unixpath_rules *, int *fd, struct failure *);
/* Creates and checks only the directory, for a token file without a socket beside it. */
int unixpath_directory(const char *path, const struct unixpath_rules *, struct failure *);

/* Is our socket still where others look for it? */
bool unixpath_in_place(const struct unixpath *);
/* Takes the socket out of the file system, if it is still ours. */
void unixpath_hide(struct unixpath *);
/* And gives the lock back. failed: the start failed, so that a directory which we made goes too. */
void unixpath_close(struct unixpath *, bool failed);

#endif
