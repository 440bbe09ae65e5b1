/* SPDX-License-Identifier: MIT */
/* A command that makes the answer to one request: /bin/sh -c COMMAND, in a process group of its own. The payload is its
 * stdin, the envelope its environment; nothing that came from the bus is ever part of a command line. */
#ifndef RAMAL_TOOLS_CHILD_H
#define RAMAL_TOOLS_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ramal/ramal.h>

enum { CHILD_TEXT = 512 };

struct child {
        pid_t pid;    /* 0: none runs */
        int out, err; /* its stdout and stderr, -1: ended */
        char *data;   /* what it wrote to stdout so far */
        size_t len, max;
        char text[CHILD_TEXT]; /* the first line of its stderr */
        size_t text_len;
        bool text_done;
        bool too_large;   /* it wrote more than `max`, and was killed for that */
        uint64_t kill_at; /* when it is killed for good, after it was asked to end; 0: it was not */
        int status;       /* of waitpid(), once child_reap() said so */
};

/* Starts the command for a request. max: bytes of output that are taken. mask: the signals that the command shall
 * find blocked. Returns 0 or a negative errno. */
int child_start(struct child *child, const char *command, const ramal_req *req, const sigset_t *mask, size_t max);
/* Takes what can be read without blocking. */
void child_read(struct child *child);
/* Has it ended? Then what it wrote is all there. One that was asked to end has ended when its children have, too, or
 * were killed. */
bool child_reap(struct child *child, uint64_t now);
/* Asks it to end (SIGTERM), and at kill_at, by calling again, makes it (SIGKILL). */
void child_kill(struct child *child, uint64_t now);
/* The same without asking, and waits. */
void child_end(struct child *child);
/* Frees what child_start() took. The command must have ended. */
void child_clear(struct child *child);

#endif
