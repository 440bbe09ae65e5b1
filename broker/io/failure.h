/* SPDX-License-Identifier: MIT */
/* Why ramald does not start: one line to people and the exit status that goes with it. */
#ifndef RAMAL_FAILURE_H
#define RAMAL_FAILURE_H

#include <sys/types.h>

/* The exit statuses of both programs, as in sysexits.h. */
enum exit_status {
        EXIT_OK = 0,
        EXIT_USAGE = 64,       /* the command line */
        EXIT_UNAVAILABLE = 69, /* a host or service that does not resolve */
        EXIT_SYSTEM = 71,      /* address in use or not permitted; the operating system would not */
        EXIT_SOCKET_PATH = 73, /* something is wrong with the path of a Unix socket */
        EXIT_DENIED = 77,
        EXIT_CONFIG = 78,
        EXIT_INTERRUPTED = 130,
};

struct failure {
        enum exit_status status;
        char text[768];
};

/* Returns -ECANCELED, so that a caller can pass it on. */
int failure_set(struct failure *, enum exit_status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* strerror() into a buffer, without its global state. Returns buf. */
char *failure_errno(int error, char *buf, size_t size);

#endif
