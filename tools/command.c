/* SPDX-License-Identifier: MIT */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "interrupt.h"

/* Descriptors 0 to 2 must be taken, or a socket would get one of them and be written to as stdout. What was closed stays
 * unusable, so that nobody believes his output to have been written. */
static int fill_standard_descriptors(void) {
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
                        return -errno;
        return 0;
}

/* Reads the command line into ctl. Returns 0, or the exit status after having said what is wrong. */
static int parse(struct ctl *ctl, int argc, char **argv) {
        struct options options = options_of(argc, argv);
        struct option_set sets[2] = {{global_options, GLOBAL_COUNT, ctl->globals}};
        const char *word;
        int r = options_next(&options, sets, 1, &word);
        if (r == 0 && word) {
                ctl->verb = verbs_find(word);
                if (!ctl->verb)
                        return ctl_no_verb(ctl, word);
                sets[1] = (struct option_set){ctl->verb->options, ctl->verb->option_count, ctl->values};
                /* The words of __complete are another command line. */
                options.words_only = ctl->verb == &verb_complete;
                while ((r = options_next(&options, sets, 2, &word)) == 0 && word)
                        ctl->words[ctl->word_count++] = word;
        }
        if (r < 0)
                return ctl_usage(ctl, "%s", r == -EINVAL ? options.error : strerror(-r));
        return 0;
}

static int check(const struct ctl *ctl) {
        if (!ctl->verb)
                return ctl_usage(ctl, "say what to do: ramal VERB");
        if (ctl->word_count < ctl->verb->words_min)
                return ctl_usage(ctl, "something is missing: ramal %s %s", ctl->verb->name, ctl->verb->words);
        if (ctl->word_count > ctl->verb->words_max)
                return ctl_usage(ctl, "one word too many: '%s'%s", ctl->words[ctl->verb->words_max],
                                 ctl->verb->words_max == 2 ? " (quote data that has spaces in it)" : "");
        if (ctl->globals[GLOBAL_USER].given && ctl->globals[GLOBAL_SYSTEM].given)
                return ctl_usage(ctl, "--user or --system, not both");
        if (ctl->globals[GLOBAL_ADDRESS].given &&
            (ctl->globals[GLOBAL_USER].given || ctl->globals[GLOBAL_SYSTEM].given))
                return ctl_usage(ctl, "--address or --user or --system, only one of them");
        return 0;
}

static int run(struct ctl *ctl, int argc, char **argv) {
        int status = parse(ctl, argc, argv);
        if (status != 0)
                return status;
        ctl->json = ctl->globals[GLOBAL_JSON].given;
        ctl->terminal = isatty(STDOUT_FILENO);
        if (ctl->globals[GLOBAL_VERSION].given) {
                printf("ramal %s (libramal %s)\n", RAMAL_VERSION, ramal_version());
                return ctl_close(ctl, EXIT_OK);
        }
        if (ctl->globals[GLOBAL_HELP].given) {
                if (ctl->verb)
                        verbs_help_of(stdout, ctl->verb);
                else
                        verbs_help(stdout);
                return ctl_close(ctl, EXIT_OK);
        }
        status = check(ctl);
        if (status == 0)
                status = ctl_close(ctl, ctl->verb->run(ctl));
        return status;
}

int command_run(int argc, char **argv) {
        struct ctl ctl = {.verb = NULL};
        if (fill_standard_descriptors() < 0)
                return EXIT_LATER;
        /* A line goes out in one piece: others write to the same terminal. */
        setvbuf(stderr, NULL, _IOLBF, 0);
        interrupt_install();
        ctl.words = calloc((size_t)argc + 1, sizeof(*ctl.words));
        if (!ctl.words)
                return ctl_fail(&ctl, EXIT_LATER, "no memory");
        int status = run(&ctl, argc, argv);
        if (ctl.verb)
                options_clear(&(struct option_set){ctl.verb->options, ctl.verb->option_count, ctl.values});
        options_clear(&(struct option_set){global_options, GLOBAL_COUNT, ctl.globals});
        free(ctl.words);
        return status;
}
