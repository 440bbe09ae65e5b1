/* SPDX-License-Identifier: MIT */
/* Sockets that wait for connections: bound here, or inherited from a service manager. */
#ifndef RAMAL_LISTENER_H
#define RAMAL_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "base/list.h"
#include "failure.h"
#include "log.h"
#include "loop.h"
#include "unixpath.h"

#define LISTENER_ADDRESS_BYTES 384u
#define LISTENERS_MAX 64u
#define LISTENER_RESERVES 2u  /* descriptors to tell a newcomer with that there is no other, and to look up who it is */
#define LISTENER_KEPT_MAX 64u /* and for those who come to see why */

struct listener {
        struct rml_list link;
        struct loop_source source;
        struct listeners *all;
        int fd;
        bool local;     /* a Unix socket: its peers have a uid */
        bool inherited; /* neither its path nor its mode is our business */
        bool gone;      /* somebody has taken its path away; it is told */
        bool dead;      /* somebody who shares it has shut it down */
        bool has_path;
        struct unixpath path;
        char file[109];                       /* the path as it is, empty = none */
        char address[LISTENER_ADDRESS_BYTES]; /* for people: as it was given, with the real port */
};

enum listener_place {
        LISTENER_FREE,
        LISTENER_KEPT, /* no descriptor is left but those that are kept: it may stay if they are for its like */
        LISTENER_NONE, /* none at all: it can only be told so; all->full is the error */
};

/* A connection: fd is the callee's. from: its address. Returns true if it stays on a kept descriptor. */
typedef bool (*listener_accept_fn)(void *user, struct listener *, int fd, const struct sockaddr *from, socklen_t len,
                                   enum listener_place);
/* A descriptor is wanted: closes connections that only linger. */
typedef void (*listener_room_fn)(void *user);

struct listeners {
        struct loop *loop;
        struct log *log;
        listener_accept_fn accept;
        listener_room_fn room;
        void *user;
        struct rml_list list;
        size_t count;
        struct loop_source watch; /* of the paths, by inotify; not there is no harm */
        int reserves[LISTENER_RESERVES + LISTENER_KEPT_MAX]; /* given up when there is no other descriptor */
        size_t reserve_count;
        size_t kept, kept_used; /* of them for the kept places; those that are taken */
        int full;               /* 0, or the error that the last connection that came met: EMFILE, ENFILE */
        uint64_t told_ns;       /* when that was logged */
        bool paused;            /* taken out of the loop */
        uint64_t resume_ns;     /* LOOP_NEVER, or when to try again */
};

/* Returns 0 or failure_set(). */
int listeners_init(struct listeners *, struct loop *, struct log *, struct failure *);

/* Both bind and listen, or return failure_set(); nobody is accepted before listeners_start(). A host name may become
 * several listeners. optional: an address that this machine does not have is a warning. */
int listeners_open(struct listeners *, const struct rml_addr *, const struct unixpath_rules *, bool optional,
                   struct failure *);
/* Takes descriptors first, first + 1, ... as listening sockets. */
int listeners_inherit(struct listeners *, int first, int count, struct failure *);

int listeners_start(struct listeners *, struct failure *);
/* Keeps so many descriptors, at most LISTENER_KEPT_MAX, for connections that find no other. */
void listeners_keep(struct listeners *, size_t kept);
/* closed: a descriptor was given back. kept_used: kept ones that are in use. May we accept again? */
void listeners_resume(struct listeners *, uint64_t now_ns, bool closed, size_t kept_used);

/* No more connections: closes the sockets and takes their paths out of the file system. The locks stay. */
void listeners_stop(struct listeners *);
/* failed: the start failed. */
void listeners_deinit(struct listeners *, bool failed);

/* The path of the first one in the file system, or NULL. */
const char *listeners_first_path(const struct listeners *);
bool listeners_has_tcp(const struct listeners *);

#endif
