/* SPDX-License-Identifier: MIT */
/* One connection: a descriptor on one side, a peer of the core on the other. It moves bytes and knows no rule. */
#ifndef RAMAL_SESSION_H
#define RAMAL_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "core/core.h"
#include "loop.h"

#define SESSION_READ_BYTES (64u << 10)   /* with one call; fits the second-level cache */
#define SESSION_FRAME_BYTES (256u << 10) /* of a long frame, straight to its place */
#define SESSION_TURN_BYTES_MAX (64u << 20)
/* Asked of the kernel; it gives at most net.core.wmem_max, and only what is used. */
#define SESSION_BUFFER_BYTES (1u << 20)

/* What all sessions of a server share. */
struct sessions {
        struct core *core;
        struct loop *loop;
        uint8_t *buffer;     /* SESSION_READ_BYTES, one for all: an idle connection holds none */
        uint64_t turn_bytes; /* read from one connection in one turn */
        uint32_t own_uid;    /* to be set after sessions_init(): its sockets and root's may hold SESSION_BUFFER_BYTES */
        struct rml_list list;
        struct rml_list writable; /* their socket takes bytes: flush them at the end of the turn */
        uint64_t flush_left;      /* bytes that may still be sent in this turn */
        struct rml_list starved;  /* the kernel had no memory for them: to be tried again */
        uint64_t starved_ns;      /* when; LOOP_NEVER = there are none */
        size_t count;
        size_t reserved; /* of them, came in on a descriptor that was kept for them */
        bool filled;     /* one has read all that it may in a turn since somebody set this to false */
};

struct session {
        struct rml_list link;
        struct rml_list writable, starved;
        struct loop_source source;
        struct sessions *all;
        struct peer *peer;
        int fd;
        bool blocked; /* the socket took less than there was; waiting for LOOP_WRITE */
        bool deaf;    /* the other end takes nothing any more, but what it sent before is still read */
        bool hung;    /* nor does it send: epoll would tell so for ever */
        bool ended;   /* its input has ended */
        bool wider;   /* its socket may be given room for more, once it is full */
        bool reserved;
};

/* Returns 0 or -ENOMEM. */
int sessions_init(struct sessions *, struct core *, struct loop *, uint64_t turn_bytes);
void sessions_deinit(struct sessions *); /* all of them must be freed before */

/* fd: taken if it succeeds. Returns 0 or -errno; -EDQUOT and *refusal as core_peer_add(). */
int session_new(struct sessions *, int fd, const struct core_origin *, struct core_refusal *refusal);
/* Its peer came out of core_next_reading(). */
void session_update(struct session *);
/* Sends what there is for it, in as few calls as it takes. */
void session_flush(struct session *);
/* Those that can be written to again, or tried again. */
void sessions_flush_writable(struct sessions *, uint64_t now_ns);
/* Has some of it been left for the next turn, which is to come at once? */
bool sessions_flush_later(const struct sessions *);
/* Frees the peer and closes the socket. */
struct session *session_free(struct session *);

#endif
