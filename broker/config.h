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
#define CONFIG_WHERE_BYTES 384u
#define CONFIG_OPTIONS_MAX 64u
#define CONFIG_USERS_MAX 64u /* that have limits of their own */

/* Where an option got its value: what a later source may replace, and what a message names. */
enum config_source { CONFIG_BUILT_IN, CONFIG_FILE, CONFIG_ARGUMENT };

/* [limits uid N] and --limit-uid: what one user has instead. */
struct config_user {
        uint64_t from_arguments; /* bits as in core_uid_limits.overridden: the command line said these */
        bool has_section;        /* in the file: a second one is an error */
};

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
        struct core_uid_limits uid_limits[CONFIG_USERS_MAX]; /* complete once config_check() has been here */
        struct config_user users[CONFIG_USERS_MAX];          /* of each of them */
        size_t user_count;
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
        CONFIG_USER_LIMITS, /* USER:KEY=VALUE */
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
        bool per_user;     /* a limit that one user may have another value of */
};

extern const struct config_option config_options[];
extern const size_t config_option_count;

void config_defaults(struct config *);

/* Sets one option. A list grows, unless its values so far come from a lower source. where: "--flag" or "file:line",
 * stands in front of the message. Returns 0 or failure_set(). */
int config_set(struct config *, const struct config_option *, const char *text, enum config_source source,
               const char *where, struct failure *);
/* The row of a user among those with limits of their own; makes it if there is none. Returns -ENOSPC. */
int config_user(struct config *, uint32_t uid, size_t *ret);
/* As config_set(), for that user alone. */
int config_set_for(struct config *, size_t user, const struct config_option *, const char *text,
                   enum config_source source, const char *where, struct failure *);
/* Finds the option of a key in a section: NULL if there is none. */
const struct config_option *config_find(const char *section, const char *key);
/* Which bit of core_uid_limits.overridden is this limit's? */
uint64_t config_bit(const struct config_option *);
/* A user's number or name. Returns 0 or failure_set(). */
int config_read_user(const char *text, const char *where, uint32_t *ret, struct failure *);
/* Says why this key cannot be set for one user. option: NULL = there is no such key. Returns failure_set(). */
int config_refuse_key(const struct config_option *option, const char *key, const char *where, struct failure *);
/* Gives each user what was not said for it. */
void config_fill_users(struct core_uid_limits *, size_t count, const struct core_limits *general);
/* What no single option can know; gives each user what was not said for it. */
int config_check(struct config *, struct failure *);
/* The same for who runs the broker: its own connections have limits of their own. */
int config_check_own(const struct config *, uint32_t own_uid, struct failure *);

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
