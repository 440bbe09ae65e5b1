/* SPDX-License-Identifier: MIT */
/* The command line: --flag VALUE or --flag=VALUE. It is read twice, since the file that -c names comes before it. */
#include "config.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "values.h"

#define FLAG_BYTES 64u

/* What is about this run and no setting. */
enum action { ACTION_OPTION, ACTION_FILE, ACTION_CHECK, ACTION_HELP, ACTION_VERSION };

static const struct {
        enum action action;
        const char *flag;
        char letter;
        const char *argument;
        const char *help;
} actions[] = {
        {ACTION_FILE, "config", 'c', "FILE", "read the configuration FILE first; every option below is a key in it"},
        {ACTION_CHECK, "check-config", 0, NULL, "only check the configuration"},
        {ACTION_HELP, "help", 'h', NULL, "print this text"},
        {ACTION_VERSION, "version", 0, NULL, "print the version"},
};

struct argument {
        enum action action;
        const struct config_option *option; /* of ACTION_OPTION */
        char name[FLAG_BYTES + 2];          /* as typed, for messages */
        const char *value;                  /* NULL = none */
};

static int unknown_flag(const char *name, struct failure *failure) {
        const char *nearest = "help";
        unsigned least = UINT_MAX;
        for (size_t i = 0; i < config_option_count; i++) {
                unsigned distance = value_distance(name, config_options[i].flag);
                if (distance < least) {
                        least = distance;
                        nearest = config_options[i].flag;
                }
        }
        for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
                unsigned distance = value_distance(name, actions[i].flag);
                if (distance < least) {
                        least = distance;
                        nearest = actions[i].flag;
                }
        }
        return failure_set(failure, EXIT_USAGE, "unknown option --%s; the nearest is --%s, and --help shows all", name,
                           nearest);
}

/* Finds the flag; *takes: does it take a value? */
static int find_flag(const char *name, struct argument *ret, bool *takes, struct failure *failure) {
        for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
                if (strcmp(actions[i].flag, name) == 0) {
                        ret->action = actions[i].action;
                        *takes = actions[i].argument != NULL;
                        return 0;
                }
        }
        for (size_t i = 0; i < config_option_count; i++) {
                if (strcmp(config_options[i].flag, name) == 0) {
                        ret->action = ACTION_OPTION;
                        ret->option = &config_options[i];
                        *takes = config_options[i].value == NULL;
                        return 0;
                }
        }
        return unknown_flag(name, failure);
}

static int read_long(const char *text, struct argument *ret, bool *takes, struct failure *failure) {
        const char *equals = strchr(text, '=');
        size_t len = equals ? (size_t)(equals - text) : strlen(text);
        char name[FLAG_BYTES];
        if (len >= sizeof(name))
                return failure_set(failure, EXIT_USAGE, "unknown option --%.60s...; --help shows all", text);
        memcpy(name, text, len);
        name[len] = '\0';
        snprintf(ret->name, sizeof(ret->name), "--%s", name);
        int r = find_flag(name, ret, takes, failure);
        if (r < 0)
                return r;
        ret->value = equals ? equals + 1 : NULL;
        /* --tcp=no takes back what the file said. */
        if (ret->value && !*takes && !(ret->option && ret->option->kind == CONFIG_BOOL))
                return failure_set(failure, EXIT_USAGE, "%s takes no value", ret->name);
        return 0;
}

static int read_short(const char *text, struct argument *ret, bool *takes, struct failure *failure) {
        for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
                if (actions[i].letter != text[0])
                        continue;
                ret->action = actions[i].action;
                *takes = actions[i].argument != NULL;
                snprintf(ret->name, sizeof(ret->name), "-%c", text[0]);
                if (text[1] && !*takes)
                        return failure_set(failure, EXIT_USAGE, "-%c takes no value", text[0]);
                ret->value = text[1] ? text + 1 : NULL;
                return 0;
        }
        return failure_set(failure, EXIT_USAGE, "unknown option -%.60s; --help shows all", text);
}

/* Takes one option off the command line and moves *at behind it. */
static int next_argument(int argc, char *const argv[], int *at, struct argument *ret, struct failure *failure) {
        const char *text = argv[(*at)++];
        bool takes = false;
        *ret = (struct argument){.action = ACTION_OPTION};
        if (text[0] != '-' || !text[1] || strcmp(text, "--") == 0)
                return failure_set(failure, EXIT_USAGE, "unexpected argument \"%.200s\"; addresses go with --listen",
                                   text);
        int r = text[1] == '-' ? read_long(text + 2, ret, &takes, failure) : read_short(text + 1, ret, &takes, failure);
        if (r < 0)
                return r;
        if (takes && !ret->value) {
                if (*at >= argc)
                        return failure_set(failure, EXIT_USAGE, "%s: a value is missing", ret->name);
                ret->value = argv[(*at)++];
        }
        if (ret->option && ret->option->value && !ret->value)
                ret->value = ret->option->value;
        return 0;
}

static int note_action(const struct argument *argument, int *verb, const char **file, struct failure *failure) {
        switch (argument->action) {
        case ACTION_FILE:
                if (*file)
                        return failure_set(failure, EXIT_USAGE, "%s: given twice", argument->name);
                *file = argument->value;
                break;
        case ACTION_CHECK:
                *verb = CONFIG_CHECK;
                break;
        case ACTION_HELP:
                *verb = CONFIG_HELP;
                break;
        case ACTION_VERSION:
                *verb = CONFIG_VERSION;
                break;
        case ACTION_OPTION:
                break;
        }
        return 0;
}

int config_read_arguments(struct config *config, int argc, char *const argv[], struct failure *failure) {
        int verb = CONFIG_RUN, r = 0;
        const char *file = NULL;
        struct argument argument;
        for (int at = 1; at < argc && r == 0 && verb != CONFIG_HELP && verb != CONFIG_VERSION;) {
                r = next_argument(argc, argv, &at, &argument, failure);
                if (r == 0)
                        r = note_action(&argument, &verb, &file, failure);
        }
        if (r < 0 || verb == CONFIG_HELP || verb == CONFIG_VERSION)
                return r < 0 ? r : verb;
        if (file) {
                if (strlen(file) >= sizeof(config->file))
                        return failure_set(failure, EXIT_USAGE, "-c: a path may have %zu bytes",
                                           sizeof(config->file) - 1);
                if (!*file)
                        return failure_set(failure, EXIT_USAGE, "-c: a value is missing");
                memcpy(config->file, file, strlen(file) + 1);
                r = config_read_file(config, file, failure);
        }
        for (int at = 1; at < argc && r == 0;) {
                r = next_argument(argc, argv, &at, &argument, failure);
                if (r == 0 && argument.action == ACTION_OPTION)
                        r = config_set(config, argument.option, argument.value, CONFIG_ARGUMENT, argument.name,
                                       failure);
        }
        if (r == 0)
                r = config_check(config, failure);
        return r < 0 ? r : verb;
}

static void print_default(const struct config *config, const struct config_option *option) {
        char text[32] = "";
        const char *at = (const char *)config + option->offset;
        uint64_t number = 0;
        if (option->kind == CONFIG_BYTES || option->kind == CONFIG_COUNT || option->kind == CONFIG_TIME)
                memcpy(&number, at, sizeof(number));
        if (option->kind == CONFIG_BYTES)
                value_format_bytes(number, text, sizeof(text));
        else if (option->kind == CONFIG_TIME)
                value_format_time(number, text, sizeof(text));
        else if (option->kind == CONFIG_COUNT && strcmp(option->key, "own_connections") != 0)
                snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
        else if (option->kind == CONFIG_MODE)
                snprintf(text, sizeof(text), "%04o", (unsigned)config->socket_mode);
        else if (option->kind == CONFIG_LEVEL)
                snprintf(text, sizeof(text), "%s", log_level_name(config->log_level));
        if (text[0])
                printf(" [%s]", text);
        if (option->per_user)
                printf(" *");
}

void config_print_help(const struct config *config) {
        char left[48];
        printf("usage: ramald [-c FILE] [--listen ADDRESS]... [--tcp] [--user|--system] [OPTION]...\n\n"
               "The broker of the ramal bus. Without --listen it takes RAMAL_ADDRESS, else the user's bus\n"
               "(root: the system bus). SIGTERM lets clients finish; a second one stops at once.\n\n");
        for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
                char letter[8] = "    ";
                if (actions[i].letter)
                        snprintf(letter, sizeof(letter), "-%c, ", actions[i].letter);
                snprintf(left, sizeof(left), "%s--%s%s%s", letter, actions[i].flag, actions[i].argument ? " " : "",
                         actions[i].argument ? actions[i].argument : "");
                printf("  %-38s %s\n", left, actions[i].help);
        }
        const char *section = "";
        for (size_t i = 0; i < config_option_count; i++) {
                const struct config_option *option = &config_options[i];
                if (strcmp(section, option->section) != 0)
                        printf("\n[%s]\n", option->section);
                section = option->section;
                snprintf(left, sizeof(left), "--%s%s%s", option->flag, option->argument ? " " : "",
                         option->argument ? option->argument : "");
                printf("  %-38s %s", left, option->help);
                print_default(config, option);
                printf("\n");
        }
        printf("\nIn the file, the key of --limit-calls is `calls` in [limits], of --log-level `level` in [log], of\n"
               "--listen `address`, of --user and --system `scope`, and of every other its name with _ for -, in\n"
               "[listen]. Lists are one key a value. Sizes: 64K, 8M, 1G. Times: 50us, 200ms, 5s. What the command\n"
               "line says counts. A limit marked * can be another one for one user, by name or number: in a section\n"
               "[limits uid 1000], or with --limit-uid 1000:calls=64.\n\n"
               "exit status: 0 stopped, 64 usage, 69 unknown host or service, 71 address in use or not permitted,\n"
               "73 socket path, 77 denied, 78 configuration, 130 after Ctrl-C\n");
}
