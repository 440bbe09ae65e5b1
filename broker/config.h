/* SPDX-License-Identifier: MIT */
/* What ramald is told to do: built-in values, then the file of -c, then the command line. One table names every option
 * once: its section and key in the file, its flag, its range and its help. */
#ifndef RAMAL_CONFIG_H
#define RAMAL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "addr.h"
#include "core/core.h"
#include "io/failure.h"
#include "log.h"

#define CONFIG_LISTEN_MAX 32u
#define CONFIG_IDS_MAX 64u
#define CONFIG_FILE_BYTES_MAX (1u << 20)
#define CONFIG_PATH_BYTES 4096u
#define CONFIG_OPTIONS_MAX 64u

/* Where an option got its value: what a later source may replace, and what a message names. */
enum config_source { CONFIG_BUILT_IN, CONFIG_FILE, CONFIG_ARGUMENT };

struct config {
        struct rml_addr listen[CONFIG_LISTEN_MAX];
        size_t listen_count;
        bool tcp;
        enum rml_scope scope;
        mode_t socket_mode;
        bool has_socket_group;
        uint32_t socket_group;
        uint32_t allow_uids[CONFIG_IDS_MAX];
        size_t allow_uid_count;
        uint32_t allow_gids[CONFIG_IDS_MAX];
        size_t allow_gid_count;
        char token_file[CONFIG_PATH_BYTES]; /* empty = beside the socket */
        int ready_fd;                       /* -1 = none */

        struct core_limits limits;
        uint64_t stop_grace_ns;
        uint64_t spin_ns;

        enum log_level log_level;

        char file[CONFIG_PATH_BYTES];                  /* of -c, empty = none */
        enum config_source source[CONFIG_OPTIONS_MAX]; /* of each row of the table */
};

enum config_kind {
        CONFIG_BYTES,
        CONFIG_COUNT,
        CONFIG_TIME,
        CONFIG_BOOL,
        CONFIG_MODE,
        CONFIG_GROUP,
        CONFIG_UIDS,
        CONFIG_GIDS,
        CONFIG_ADDRESSES,
        CONFIG_SCOPE,
        CONFIG_PATH,
        CONFIG_FD,
        CONFIG_LEVEL,
};

struct config_option {
        const char *section, *key;
        const char *flag;     /* without "--" */
        const char *value;    /* of a flag that takes no argument; NULL = it takes one */
        const char *argument; /* its name in --help */
        const char *help;
        enum config_kind kind;
        size_t offset;     /* in struct config; of what has more than one field, unused */
        uint64_t min, max; /* of numbers */
};

extern const struct config_option config_options[];
extern const size_t config_option_count;

void config_defaults(struct config *);

/* Sets one option. A list grows, unless its values so far come from a lower source. where: "--flag" or "file:line",
 * stands in front of the message. Returns 0 or failure_set(). */
int config_set(struct config *, const struct config_option *, const char *text, enum config_source source,
               const char *where, struct failure *);
/* What no single option can know. */
int config_check(const struct config *, struct failure *);

/* Reads an INI file. name: for messages. Returns 0 or failure_set(). */
int config_read_file(struct config *, const char *path, struct failure *);
int config_read_text(struct config *, const char *name, const char *text, size_t len, struct failure *);

/* Reads the command line, and the file that it names. Returns what is to be done, or failure_set(). */
enum config_verb { CONFIG_RUN, CONFIG_CHECK, CONFIG_HELP, CONFIG_VERSION };
int config_read_arguments(struct config *, int argc, char *const argv[], struct failure *);

/* Writes the text of --help to stdout; defaults as in the given config. */
void config_print_help(const struct config *);

/* "limits.own_connections": was it set by somebody? */
bool config_is_set(const struct config *, const char *section, const char *key);

#endif
