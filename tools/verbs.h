/* SPDX-License-Identifier: MIT */
/* The verbs of the command: one table of all, one file for each. */
#ifndef RAMAL_TOOLS_VERBS_H
#define RAMAL_TOOLS_VERBS_H

#include <stddef.h>

#include "options.h"

struct ctl;

/* What a word of a verb is, for completion. */
enum word_kind { WORD_OTHER, WORD_SUBJECT, WORD_NAME, WORD_PEER, WORD_VERB, WORD_SHELL, WORD_SCENARIO };

struct verb {
        const char *name;
        const char *words;   /* as usage shows them: "SUBJECT [DATA]" */
        const char *summary; /* one line, for the list of verbs */
        const char *about;   /* the text of its help */
        const struct option_def *options;
        size_t option_count;
        size_t words_min, words_max;
        enum word_kind word[2];      /* the last one stands for all further words too */
        int (*run)(struct ctl *ctl); /* returns the exit status */
        bool offline; /* works without a broker; global options for reaching one are accepted and have no use */
        bool hidden;
        bool inspect; /* asks the broker itself and does nothing else: finds a place where all others are taken */
};

/* Room for the values of any verb's options. */
enum { VERB_OPTIONS_MAX = 20 };

#define VERB_OPTIONS(table) .options = (table), .option_count = sizeof(table) / sizeof(*(table))

extern const struct verb verb_list, verb_names, verb_who, verb_status, verb_pub, verb_sub, verb_call, verb_reply,
        verb_wait, verb_ping, verb_bench, verb_help, verb_completion, verb_complete;

/* All of them, in the order of help; NULL-terminated. */
extern const struct verb *const verbs[];
/* NULL: there is no such verb. */
const struct verb *verbs_find(const char *name);
/* The verb that was probably meant, or NULL. */
const char *verbs_nearest(const char *name);

/* Options that every verb has. */
enum global_option {
        GLOBAL_ADDRESS,
        GLOBAL_TOKEN_FILE,
        GLOBAL_USER,
        GLOBAL_SYSTEM,
        GLOBAL_JSON,
        GLOBAL_TIMEOUT,
        GLOBAL_HELP,
        GLOBAL_VERSION,
        GLOBAL_COUNT
};
extern const struct option_def global_options[GLOBAL_COUNT];

void verbs_help(FILE *out);
void verbs_help_of(FILE *out, const struct verb *verb);

#endif
