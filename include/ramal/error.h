/* SPDX-License-Identifier: MIT */
/* Errors. Every function that can fail returns 0 or a count, or a negative errno. Where there is more to say it also
 * fills a ramal_error: fixed size, nothing to free; the pointer may be NULL everywhere.
 *
 * What the broker answers, and the errno that stands for it:
 *
 *   DENIED          -EACCES      a rule forbids it, or the token is wrong
 *   NO_RESPONDER    -ENOENT      nobody serves that subject
 *   RESPONDER_GONE  -EHOSTDOWN   the service went away before it answered (see may_have_run)
 *   DEADLINE        -ETIMEDOUT   the deadline passed
 *   CANCELLED       -ECANCELED
 *   WOULD_BLOCK     -EAGAIN      no room where a receiver would rather have the sender wait
 *   OVER_LIMIT      -EDQUOT      a limit was met (see limit and value)
 *   TOO_LARGE       -EMSGSIZE
 *   BAD_SUBJECT     -EINVAL      no subject, pattern or name
 *   UNSUPPORTED     -EOPNOTSUPP  this broker cannot do that
 *   EXISTS          -EEXIST      somebody else holds the name, or serves the pattern
 *   NOT_FOUND       -ENXIO
 *   MALFORMED       -EBADMSG     we, or the broker, broke the protocol
 *   TIMEOUT         -ETIME       the broker waited too long for us
 *   INVALID         -EINVAL
 *
 * What the library finds itself:
 *
 *   -ECONNREFUSED   no broker at any address that was tried; the message lists them all
 *   -ENOTCONN       there is no connection just now
 *   -ECONNRESET     the connection was lost while this was under way; it may or may not have happened
 *   -ESHUTDOWN      the connection is over and will not come back
 *   -EAGAIN         the limit of unsent bytes, or the publish credit, is used up; nothing was taken
 *   -ETIMEDOUT      the deadline passed (the library's own clock: a broker that hangs holds nobody)
 *   -EREMOTEIO      the service answered with an error of its own: ramal_error.remote
 *   -EDEADLK        only this very connection could answer, or let others go on, and it waits; or a loop inside a
 *                   callback
 *   -EINTR          ramal_stop() was called
 *   -ECHILD         the connection was opened before fork(), in another process
 *   -EPERM          the server is not one to trust (another user's, or a squatter on the port)
 *   -ENOKEY         the token that TCP needs is missing, malformed, or others can read it
 *   -EINVAL         an argument is no good; the message says which (ramal_conn_error() where no ramal_error is given)
 *   -EMSGSIZE       longer than the broker takes
 *   -EPROTO         what answers there is not a broker of ramal, or one of another version
 *   -EPROTOTYPE     the service answered with a stream, and one reply was asked for
 *   -ENODATA        there is nothing more to come
 *   -ENOMEM, -EMFILE
 */
#ifndef RAMAL_ERROR_H
#define RAMAL_ERROR_H

#include <stdbool.h>
#include <stdint.h>

#include "version.h"

RAMAL_BEGIN

/* What the broker answered. The numbers are those of the wire. */
typedef enum ramal_code {
        RAMAL_CODE_OK = 0,
        RAMAL_CODE_DENIED = 1,
        RAMAL_CODE_NO_RESPONDER = 2,
        RAMAL_CODE_RESPONDER_GONE = 3,
        RAMAL_CODE_DEADLINE = 4,
        RAMAL_CODE_CANCELLED = 5,
        RAMAL_CODE_WOULD_BLOCK = 6,
        RAMAL_CODE_OVER_LIMIT = 7,
        RAMAL_CODE_TOO_LARGE = 8,
        RAMAL_CODE_BAD_SUBJECT = 9,
        RAMAL_CODE_UNSUPPORTED = 10,
        RAMAL_CODE_EXISTS = 11,
        RAMAL_CODE_NOT_FOUND = 12,
        RAMAL_CODE_MALFORMED = 13,
        RAMAL_CODE_TIMEOUT = 14,
        RAMAL_CODE_INVALID = 15
} ramal_code;

/* Why messages are missing, why a call was cancelled, why an interest changed. The numbers are those of the wire. */
typedef enum ramal_why {
        RAMAL_WHY_NONE = 0,
        RAMAL_WHY_WINDOW = 1,     /* the interest's window was full */
        RAMAL_WHY_CONNECTION = 2, /* the connection's budget was */
        RAMAL_WHY_UID = 3,        /* the user's was */
        RAMAL_WHY_BROKER = 4,     /* the broker's was, or it had no memory */
        RAMAL_WHY_ENDED = 5,      /* the interest ended */
        RAMAL_WHY_EXPIRED = 6,    /* deadline */
        RAMAL_WHY_CANCELLED = 7,  /* by the caller */
        RAMAL_WHY_GONE = 8,       /* the other end, or the connection, is gone */
        RAMAL_WHY_REPLACED = 9,   /* by a new owner of the name */
        RAMAL_WHY_EVICTED = 10,   /* overflow under `evict` */
        RAMAL_WHY_OUTAGE = 11,
        RAMAL_WHY_TOO_LARGE = 12, /* the answer was refused */
        RAMAL_WHY_MOVED = 13,     /* went to another member of the group */
        RAMAL_WHY_STALLED = 14    /* a `block` subscription had not taken its oldest message for too long */
} ramal_why;

typedef struct ramal_error {
        int code;           /* the negative errno that was returned, 0 = no error */
        ramal_code status;  /* the broker's answer; RAMAL_CODE_OK where the broker had no part in it */
        uint32_t remote;    /* with -EREMOTEIO: the service's own error code, never 0 */
        bool may_have_run;  /* with -EHOSTDOWN: the call had reached the service */
        char limit[64];     /* the configuration key of the limit that was met, or "" */
        uint64_t value;     /* and its value */
        char message[1024]; /* for people, never empty where code is not 0; no newline at the end. Only the list of
                             * addresses of -ECONNREFUSED has more than one line */
} ramal_error;

/* One line about a negative errno that this library returned, in the meaning it has here ("nobody serves that
 * subject"); never NULL, static. Any thread. */
RAMAL_API const char *ramal_strerror(int code);

/* "NO_RESPONDER"; "UNKNOWN" for numbers that this library does not know. Static. Any thread. */
RAMAL_API const char *ramal_code_name(ramal_code code);
/* "window", "expired", ... as the command prints it. Static. Any thread. */
RAMAL_API const char *ramal_why_name(ramal_why why);

RAMAL_END

#endif
