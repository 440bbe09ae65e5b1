/* SPDX-License-Identifier: MIT */
/* A real ramald for a test: on a socket of its own in a new directory, ready when started, and gone without a trace
 * afterwards. The program comes from the environment variable RAMALD_BIN. Failures are printed and end the test. */
#ifndef TEST_RAMALD_H
#define TEST_RAMALD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct ramald {
        pid_t pid;          /* 0 = not running */
        char directory[64]; /* made by ramald_start(), removed by ramald_stop() */
        char address[128];  /* unix:DIRECTORY/bus */
        char tcp[128];      /* the first tcp: address that it named, "" without --tcp */
        char token[128];    /* DIRECTORY/token */
        char log[128];      /* DIRECTORY/log: its stderr */
        const char *const *arguments;
};

/* Starts it with further arguments (NULL-terminated; NULL: none; kept for ramald_restart()) and waits until it
 * listens. */
void ramald_start(struct ramald *, const char *const *arguments);
/* SIGTERM; it must end with 0 within 10 s. Then removes the directory. */
void ramald_stop(struct ramald *);
/* SIGKILL; the directory stays, and ramald_restart() starts it on the same addresses. */
void ramald_kill(struct ramald *);
void ramald_restart(struct ramald *);
/* Stops and continues the process: a broker that hangs. */
void ramald_freeze(const struct ramald *, bool frozen);

/* Open descriptors of this process: the same before and after a test that closes what it opened. */
size_t open_descriptors(void);

#endif
