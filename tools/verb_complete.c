/* SPDX-License-Identifier: MIT */
/* `ramal __complete WORD...`: prints what the last word may become, a candidate and its description a line, separated
 * by a tab; ":file" alone: a path. The words are those of the command line so far, without "ramal". */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "bench.h"
#include "text.h"
#include "units.h"

/* Nobody waits longer for a completion. */
#define PATIENCE_NS UINT64_C(400000000)

struct line {
        struct ctl *ctl;
        const char *last; /* the word to complete */
        const struct verb *verb;
        size_t words;                    /* of the verb, before the last one */
        const struct option_def *option; /* whose value the last word is, or NULL */
        bool words_only;
};

static void offer(const struct line *line, const char *candidate, const char *description) {
        if (strncmp(candidate, line->last, strlen(line->last)) != 0)
                return;
        text_print(stdout, candidate, strlen(candidate), TEXT_LINE);
        putchar('\t');
        text_print(stdout, description, strcspn(description, "\n"), TEXT_LINE);
        putchar('\n');
}

/* ---- the line so far ---- */

static const struct option_def *find_option(const struct line *line, const char *word) {
        const struct option_def *tables[] = {global_options, line->verb ? line->verb->options : NULL};
        size_t counts[] = {GLOBAL_COUNT, line->verb ? line->verb->option_count : 0};
        for (size_t t = 0; t < 2; t++)
                for (size_t i = 0; i < counts[t]; i++) {
                        const struct option_def *def = &tables[t][i];
                        if (word[1] == '-' ? strcmp(word + 2, def->name) == 0
                                           : def->letter && word[1] == def->letter && word[2] == 0)
                                return def;
                }
        return NULL;
}

/* Where to reach the bus is said on the very line that is completed. */
static void adopt(struct line *line, const struct option_def *def, const char *value) {
        ptrdiff_t at = def - global_options;
        for (ptrdiff_t i = 0; i <= GLOBAL_SYSTEM; i++)
                if (i == at && def == &global_options[i])
                        line->ctl->globals[i] = (struct option_value){.given = true, .text = value};
}

static void read_line(struct line *line) {
        const char **words = line->ctl->words;
        size_t count = line->ctl->word_count;
        for (size_t i = 0; i + 1 < count; i++) {
                if (!line->words_only && strcmp(words[i], "--") == 0) {
                        line->words_only = true;
                } else if (!line->words_only && words[i][0] == '-' && words[i][1]) {
                        const struct option_def *def = find_option(line, words[i]);
                        if (!def)
                                continue;
                        if (def->kind != OPTION_FLAG && i + 2 == count)
                                line->option = def;
                        else
                                adopt(line, def, def->kind == OPTION_FLAG ? NULL : words[i + 1]);
                        i += def->kind != OPTION_FLAG;
                } else if (!line->verb) {
                        line->verb = verbs_find(words[i]);
                        if (!line->verb)
                                return;
                } else {
                        line->words++;
                }
        }
}

/* ---- candidates ---- */

static void offer_options(const struct line *line, const struct option_def *defs, size_t count) {
        for (size_t i = 0; i < count; i++) {
                char name[80];
                snprintf(name, sizeof(name), "--%s", defs[i].name);
                offer(line, name, defs[i].help);
        }
}

static void offer_verbs(const struct line *line) {
        for (size_t i = 0; verbs[i]; i++)
                if (!verbs[i]->hidden)
                        offer(line, verbs[i]->name, verbs[i]->summary);
}

static void offer_names(const struct line *line) {
        Ramal__Api__V1__NamesRequest request = RAMAL__API__V1__NAMES_REQUEST__INIT;
        ProtobufCMessage *message;
        if (api_call(line->ctl, "names", &request.base, &ramal__api__v1__names_reply__descriptor, &message) != 0)
                return;
        const Ramal__Api__V1__NamesReply *reply = (const void *)message;
        for (size_t i = 0; i < reply->n_names; i++)
                offer(line, reply->names[i]->name, "well-known name");
        api_free(message);
}

static void offer_peers(const struct line *line) {
        Ramal__Api__V1__ListRequest request = RAMAL__API__V1__LIST_REQUEST__INIT;
        ProtobufCMessage *message;
        if (api_call(line->ctl, "list", &request.base, &ramal__api__v1__list_reply__descriptor, &message) != 0)
                return;
        const Ramal__Api__V1__ListReply *reply = (const void *)message;
        for (size_t i = 0; i < reply->n_peers; i++) {
                char id[24];
                snprintf(id, sizeof(id), "%" PRIu64, reply->peers[i]->id);
                offer(line, id, reply->peers[i]->app);
        }
        api_free(message);
}

static void offer_word(const struct line *line) {
        static const char *const shells[] = {"bash", "zsh", "fish"};
        if (line->words >= line->verb->words_max)
                return;
        switch (line->verb->word[line->words > 0]) {
        case WORD_OTHER:
                break;
        case WORD_VERB:
                offer_verbs(line);
                offer(line, "exit", "the exit codes");
                break;
        case WORD_SHELL:
                for (size_t i = 0; i < sizeof(shells) / sizeof(*shells); i++)
                        offer(line, shells[i], "shell");
                break;
        case WORD_SCENARIO:
                for (size_t i = 0; i < BENCH_SCENARIOS; i++)
                        offer(line, bench_scenarios[i].name, bench_scenarios[i].summary);
                break;
        case WORD_PEER:
                offer_peers(line);
                offer_names(line);
                break;
        case WORD_SUBJECT:
        case WORD_NAME:
                offer_names(line);
                break;
        }
}

static int run(struct ctl *ctl) {
        struct line line = {.ctl = ctl, .last = ctl->word_count ? ctl->words[ctl->word_count - 1] : ""};
        ctl->globals[GLOBAL_TIMEOUT] = (struct option_value){.given = true, .number = PATIENCE_NS};
        /* A completion has no place for complaints. */
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (null >= 0) {
                dup2(null, STDERR_FILENO);
                close(null);
        }
        read_line(&line);
        if (line.option) {
                if (line.option->kind == OPTION_FILE)
                        fputs(":file\n", stdout);
                for (size_t i = 0; line.option->choices && line.option->choices[i]; i++)
                        offer(&line, line.option->choices[i], line.option->help);
        } else if (line.last[0] == '-' && !line.words_only) {
                if (line.verb)
                        offer_options(&line, line.verb->options, line.verb->option_count);
                offer_options(&line, global_options, GLOBAL_COUNT);
        } else if (line.verb) {
                offer_word(&line);
        } else {
                offer_verbs(&line);
        }
        return EXIT_OK;
}

const struct verb verb_complete = {
        .name = "__complete",
        .words = "WORD...",
        .summary = "candidates for the last word",
        .about = "For the scripts of 'ramal completion'.\n",
        .words_max = SIZE_MAX,
        .run = run,
        .inspect = true,
        .offline = true,
        .hidden = true,
};
