/* SPDX-License-Identifier: MIT */
/* What all verbs share: the command line as it was understood, the connection, errors and how they end the command. */
#ifndef RAMAL_TOOLS_CTL_H
#define RAMAL_TOOLS_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ramal/ramal.h>

#include "exit.h"
#include "verbs.h"

struct ctl {
        const struct verb *verb;
        struct option_value values[VERB_OPTIONS_MAX]; /* of the verb's options, by their place in its table */
        struct option_value globals[GLOBAL_COUNT];
        const char **words;
        size_t word_count;
        bool json;
        bool terminal; /* stdout is one */
        bool gone;     /* the connection is over; said already */
        ramal_conn *conn;
};

/* The n-th word, from 0; NULL where it was not given. */
const char *ctl_word(const struct ctl *ctl, size_t n);

enum { CTL_RECONNECT = 1, CTL_WAIT_BROKER = 2 };

/* Connects. Returns 0, or the exit status after having said what is wrong. */
int ctl_connect(struct ctl *ctl, unsigned flags);
/* Sends what is left and closes. `status` is what the verb came to; returns it, or EXIT_REFUSED where stdout could
 * not be written. */
int ctl_close(struct ctl *ctl, int status);

/* Now and the time of --timeout; without it, 5 s. */
uint64_t ctl_deadline(const struct ctl *ctl);
/* The same, but without --timeout for ever. */
uint64_t ctl_patience(const struct ctl *ctl);

/* Says one line on stderr: "ramal: VERB: ...". What comes from the bus may be among the arguments: it is made safe. */
void ctl_say(const struct ctl *ctl, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same, and returns `status`. */
int ctl_fail(const struct ctl *ctl, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same with a hint to the help. Returns EXIT_USAGE. */
int ctl_usage(const struct ctl *ctl, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same for a word that is no verb. */
int ctl_no_verb(const struct ctl *ctl, const char *word);
/* Says what an error of the library is about (what: a subject, ... or NULL) and what to do. err: NULL, or what the
 * library filled. Returns the exit status. Quiet when it was interrupted. */
int ctl_error(const struct ctl *ctl, const char *what, int code, const ramal_error *err);
/* The exit status for a negative errno of the library. */
int ctl_exit_status(int code);

/* Makes sure that what was printed is out. Returns 0; -EINTR, or another negative errno: it cannot be written. */
int ctl_flush(void);

#endif
