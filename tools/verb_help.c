/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "ctl.h"

static int run(struct ctl *ctl) {
        const char *topic = ctl_word(ctl, 0);
        if (!topic) {
                verbs_help(stdout);
                return EXIT_OK;
        }
        if (strcmp(topic, "exit") == 0) {
                fputs("How the command ends:\n\n" EXIT_TABLE, stdout);
                return EXIT_OK;
        }
        const struct verb *verb = verbs_find(topic);
        if (!verb)
                return ctl_no_verb(ctl, topic);
        verbs_help_of(stdout, verb);
        return EXIT_OK;
}

const struct verb verb_help = {
        .name = "help",
        .words = "[VERB|exit]",
        .summary = "help on a verb, or on the exit codes",
        .about = "Without a word: the verbs. 'help exit': the exit codes.\n",
        .words_max = 1,
        .word = {WORD_VERB, WORD_OTHER},
        .run = run,
        .offline = true,
};
