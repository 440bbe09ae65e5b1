/* SPDX-License-Identifier: MIT */
/* One table of options per verb; parsing, help, the texts of usage errors and completion all come from it. Options may
 * stand before and after words; "--" ends them; "-" is a word. Names are not abbreviated, so that scripts go on working
 * when options are added. */
#ifndef RAMAL_TOOLS_OPTIONS_H
#define RAMAL_TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum option_kind {
        OPTION_FLAG,
        OPTION_TEXT,  /* text */
        OPTION_TEXTS, /* the same, may be given several times: texts */
        OPTION_FILE,  /* text: a path */
        OPTION_COUNT, /* number, at least 1 */
        OPTION_SIZE,  /* number: bytes */
        OPTION_TIME,  /* number: nanoseconds, UINT64_MAX = never */
        OPTION_CHOICE /* number: index in choices. '-' may be written for '_' */
};

struct option_def {
        const char *name; /* without "--" */
        char letter;      /* 0: none */
        enum option_kind kind;
        const char *value; /* what help calls the value */
        const char *help;
        const char *const *choices; /* NULL-terminated */
};

struct option_value {
        bool given;
        uint64_t number;
        const char *text;
        const char **texts;
        size_t count;
};

/* A table and what was given for it: values[i] belongs to defs[i]. */
struct option_set {
        const struct option_def *defs;
        size_t count;
        struct option_value *values;
};

enum { OPTIONS_ERROR = 256 };

struct options {
        int argc;
        char *const *argv;
        int at;              /* the next argument to look at */
        const char *cluster; /* the rest of "-abc" */
        bool words_only;     /* after "--" */
        char error[OPTIONS_ERROR];
};

struct options options_of(int argc, char *const *argv);
/* Reads options into the sets until a word comes.
 * word: gets it, borrowed from argv; NULL at the end.
 * Returns 0; -EINVAL: options->error says in one line what is wrong; -ENOMEM. */
int options_next(struct options *options, const struct option_set *sets, size_t set_count, const char **word);
/* Frees what the values hold. */
void options_clear(const struct option_set *set);

/* "--count N", "-g, --group GROUP". */
void options_name(const struct option_def *def, char *buffer, size_t size);
/* The lines of help for a table. */
void options_help(FILE *out, const struct option_def *defs, size_t count);

/* The candidate that `text` was probably meant to be, or NULL: for "did you mean". */
const char *options_nearest(const char *text, const char *const *candidates, size_t count);

#endif
