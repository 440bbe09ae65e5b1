/* SPDX-License-Identifier: MIT */
/* Messages that were received. They are immutable.
 *
 * A message that a callback gets is *borrowed*: it lies in the connection's read buffer and is gone when the callback
 * returns. ramal_msg_ref() makes it last. A message that a function returned (ramal_request, ramal_sub_next, ...) or
 * that ramal_msg_ref() returned is *owned*: ramal_msg_unref() it. Owned messages do not depend on the connection and
 * may be read and freed by any thread; borrowed ones belong to the thread that runs the callback.
 *
 * Everything that the functions below return is borrowed from the message and valid as long as it is. */
#ifndef RAMAL_MSG_H
#define RAMAL_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include "version.h"

RAMAL_BEGIN

typedef struct ramal_msg ramal_msg;

/* Who sent a message, as the broker attests it. */
typedef struct ramal_sender {
        uint64_t peer;        /* number of the connection, never used again in this run of the broker; 0 = the broker */
        bool local;           /* uid, gid and pid are the kernel's word. Else they are all ones, so that a peer without
                               * a uid never reads as root */
        uid_t uid;
        gid_t gid;
        pid_t pid;            /* for display: a pid is never a right */
        const char *identity; /* how a peer that is not local proved itself, e.g. "token"; else "" */
} ramal_sender;

/* A header, given or received. Names are 1 to 255 bytes of UTF-8, values any bytes; at most 64 and 8 KiB together. */
typedef struct ramal_header {
        const char *name; /* received: not NUL-terminated, see name_len */
        const void *value;
        size_t value_len;
        size_t name_len; /* given: 0 = strlen(name) */
} ramal_header;

/* A header whose value is a text. */
#define RAMAL_HEADER(name, text) { (name), (text), strlen(text), 0 }

enum {
        RAMAL_MSG_MORE = 4,         /* a reply that is not the last one of its call */
        RAMAL_MSG_MOVED = 8,        /* was queued for another member of the group first */
        RAMAL_MSG_REDELIVERED = 16, /* another member of the group got it and died before it was done with it: it may
                                     * have been dealt with already. Happens to a message once at most */
        RAMAL_MSG_RETAINED = 32     /* from the snapshot */
};

/* Returns an owned message with the same content: the same object if `msg` is owned already, else a copy. Use what it
 * returns, not `msg`. NULL only without memory (or for NULL). */
RAMAL_API ramal_msg *ramal_msg_ref(const ramal_msg *msg);
/* Gives one reference back; NULL is allowed. Returns NULL. */
RAMAL_API ramal_msg *ramal_msg_unref(ramal_msg *msg);

/* The payload; *len (may be NULL) gets its bytes. Never NULL, not NUL-terminated. */
RAMAL_API const void *ramal_msg_data(const ramal_msg *msg, size_t *len);
/* The subject, NUL-terminated. "" for a reply. */
RAMAL_API const char *ramal_msg_subject(const ramal_msg *msg);
/* What the payload is, e.g. a protobuf type name, as the sender says; NUL-terminated, "" where it does not say. At most
 * the first 255 bytes. */
RAMAL_API const char *ramal_msg_type(const ramal_msg *msg);
/* Who sent it. Never NULL. */
RAMAL_API const ramal_sender *ramal_msg_sender(const ramal_msg *msg);
/* The value of the first header with that name, *len (may be NULL) its bytes; NULL where there is none. */
RAMAL_API const void *ramal_msg_header(const ramal_msg *msg, const char *name, size_t *len);
/* Walks the headers in the sender's order: *cursor is 0 at first. Returns true and fills *ret while there is one. */
RAMAL_API bool ramal_msg_header_next(const ramal_msg *msg, size_t *cursor, ramal_header *ret);
RAMAL_API size_t ramal_msg_header_count(const ramal_msg *msg);
/* The number that the interest gave it, from 1 and without holes but for reported gaps; of a reply: its number in
 * the call. */
RAMAL_API uint64_t ramal_msg_seq(const ramal_msg *msg);
/* Under RAMAL_OVERFLOW_LATEST: how many older messages of its subject this one stands for. */
RAMAL_API uint64_t ramal_msg_replaced(const ramal_msg *msg);
/* When it is over: a request's deadline, or the `expires` of its publisher; absolute, CLOCK_MONOTONIC nanoseconds of
 * this machine. UINT64_MAX (RAMAL_NEVER): it does not expire. The broker hands out nothing that is over, but time goes
 * on until the program gets to it. */
RAMAL_API uint64_t ramal_msg_expires(const ramal_msg *msg);
/* Sum of RAMAL_MSG_*. */
RAMAL_API unsigned ramal_msg_flags(const ramal_msg *msg);

/* For __attribute__((cleanup(ramal_msg_unrefp))). */
static inline void ramal_msg_unrefp(ramal_msg **msg) {
        ramal_msg_unref(*msg);
}

RAMAL_END

#endif
