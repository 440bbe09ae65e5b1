/* SPDX-License-Identifier: MIT */
#include "verbs.h"

#include <string.h>

const struct verb *const verbs[] = {
        &verb_list,  &verb_names, &verb_who,  &verb_status, &verb_pub,        &verb_sub,      &verb_call,
        &verb_reply, &verb_wait,  &verb_ping, &verb_bench, &verb_help,   &verb_completion, &verb_complete, NULL,
};

const struct option_def global_options[GLOBAL_COUNT] = {
        [GLOBAL_ADDRESS] = {"address", 0, OPTION_TEXT, "ADDRESS",
                            "unix:/path, unix:@name or tcp:host:port\n"
                            "(else $RAMAL_ADDRESS, else the user's bus, else the system's)",
                            NULL},
        [GLOBAL_TOKEN_FILE] = {"token-file", 0, OPTION_FILE, "FILE",
                               "token for TCP (else `token` beside the bus's socket)", NULL},
        [GLOBAL_USER] = {"user", 0, OPTION_FLAG, NULL, "the user's bus", NULL},
        [GLOBAL_SYSTEM] = {"system", 0, OPTION_FLAG, NULL, "the system's bus", NULL},
        [GLOBAL_JSON] = {"json", 'j', OPTION_FLAG, NULL, "data as JSON", NULL},
        [GLOBAL_TIMEOUT] = {"timeout", 't', OPTION_TIME, "TIME",
                            "5s, 200ms, 2m, never: the longest to wait\n"
                            "(for the broker, and for answers: 5s each unless said)",
                            NULL},
        [GLOBAL_HELP] = {"help", 'h', OPTION_FLAG, NULL, "this text", NULL},
        [GLOBAL_VERSION] = {"version", 0, OPTION_FLAG, NULL, "version of the command and the library", NULL},
};

const struct verb *verbs_find(const char *name) {
        for (size_t i = 0; verbs[i]; i++)
                if (strcmp(verbs[i]->name, name) == 0)
                        return verbs[i];
        return NULL;
}

const char *verbs_nearest(const char *name) {
        const char *names[sizeof(verbs) / sizeof(*verbs)];
        size_t count = 0;
        for (size_t i = 0; verbs[i]; i++)
                if (!verbs[i]->hidden)
                        names[count++] = verbs[i]->name;
        return options_nearest(name, names, count);
}

void verbs_help(FILE *out) {
        fputs("usage: ramal [OPTION...] VERB [WORD...] [OPTION...]\n"
              "\n"
              "Looks into a bus of ramal, and uses it. Data goes to stdout, talk to stderr.\n"
              "\n",
              out);
        for (size_t i = 0; verbs[i]; i++) {
                if (verbs[i]->hidden)
                        continue;
                int room = 27 - (int)(strlen(verbs[i]->name) + strlen(verbs[i]->words));
                fprintf(out, "  %s %s%*s%s\n", verbs[i]->name, verbs[i]->words, room > 0 ? room : 1, "",
                        verbs[i]->summary);
        }
        fputs("\noptions, before or after the verb:\n", out);
        options_help(out, global_options, GLOBAL_COUNT);
        fputs("\n'ramal help VERB' tells more about one; 'ramal help exit' lists the exit codes.\n", out);
}

void verbs_help_of(FILE *out, const struct verb *verb) {
        fprintf(out, "usage: ramal %s%s%s%s\n\n%s", verb->name, *verb->words ? " " : "", verb->words,
                verb->option_count ? " [OPTION...]" : "", verb->about);
        if (verb->option_count > 0) {
                fputs("\noptions:\n", out);
                options_help(out, verb->options, verb->option_count);
        }
        if (!verb->offline) {
                fputs("\noptions of every verb:\n", out);
                options_help(out, global_options, GLOBAL_HELP);
        }
}
