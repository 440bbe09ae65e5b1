/* SPDX-License-Identifier: MIT */
/* What is sent: the payload, from the command line, a file or stdin; its type and headers. */
#ifndef RAMAL_TOOLS_INPUT_H
#define RAMAL_TOOLS_INPUT_H

#include "ctl.h"

struct payload {
        const void *data;
        size_t len;
        char *owned; /* to free, or NULL */
};

/* word: DATA of the command line, NULL: none; "-": stdin. file: of --file, or NULL. pipe: read stdin, too, where
 * nothing is given and it is no terminal. Needs the connection, for the largest payload.
 * Returns 0, or the exit status after having said what is wrong. */
int input_payload(const struct ctl *ctl, const char *word, const struct option_value *file, bool pipe,
                  struct payload *ret);
void input_free(struct payload *payload);

/* Splits the "NAME=VALUE" of --header. ret: an array of value->count headers, to free(); NULL where there are none.
 * They point into the command line.
 * Returns 0, or the exit status after having said what is wrong. */
int input_headers(const struct ctl *ctl, const struct option_value *value, ramal_header **ret);

#define OPTION_DEF_FILE                                                                                                \
        { "file", 'f', OPTION_FILE, "FILE", "read the payload from FILE", NULL }
#define OPTION_DEF_TYPE                                                                                                \
        { "type", 0, OPTION_TEXT, "TYPE", "say what the payload is, e.g. a protobuf type name", NULL }
#define OPTION_DEF_KEY                                                                                                 \
        { "key", 'k', OPTION_TEXT, "KEY", "what a group with the policy key chooses its member by", NULL }
#define OPTION_DEF_HEADER                                                                                              \
        { "header", 'H', OPTION_TEXTS, "NAME=VALUE", "add a header; may be given several times", NULL }

#endif
