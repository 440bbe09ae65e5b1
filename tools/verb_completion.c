/* SPDX-License-Identifier: MIT */
/* The scripts only hand the command line to `ramal __complete`, which knows the tables and asks the bus for names: they
 * never have to be renewed. */
#include <stdio.h>
#include <string.h>

#include "ctl.h"

static const char bash[] =
        "# bash completion for ramal: eval \"$(ramal completion bash)\"\n"
        "_ramal() {\n"
        "        local line reply=()\n"
        "        while IFS= read -r line; do\n"
        "                reply+=(\"${line%%$'\\t'*}\")\n"
        "        done < <(\"${COMP_WORDS[0]}\" __complete \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
        "        if [ \"${#reply[@]}\" -eq 1 ] && [ \"${reply[0]}\" = :file ]; then\n"
        "                compopt -o default 2>/dev/null\n"
        "                COMPREPLY=()\n"
        "                return\n"
        "        fi\n"
        "        COMPREPLY=(\"${reply[@]}\")\n"
        "}\n"
        "complete -F _ramal ramal\n";

static const char zsh[] = "#compdef ramal\n"
                          "# zsh completion for ramal: eval \"$(ramal completion zsh)\"\n"
                          "_ramal() {\n"
                          "        local line\n"
                          "        local -a found\n"
                          "        while IFS= read -r line; do\n"
                          "                if [[ $line == :file ]]; then\n"
                          "                        _files\n"
                          "                        return\n"
                          "                fi\n"
                          "                found+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\")\n"
                          "        done < <(\"${words[1]}\" __complete \"${(@)words[2,CURRENT]}\" 2>/dev/null)\n"
                          "        _describe ramal found\n"
                          "}\n"
                          "compdef _ramal ramal\n";

static const char fish[] = "# fish completion for ramal: ramal completion fish | source\n"
                           "function __ramal_complete\n"
                           "        set -l words (commandline -opc) (commandline -ct)\n"
                           "        set -l found ($words[1] __complete $words[2..-1] 2>/dev/null)\n"
                           "        if test \"$found\" = :file\n"
                           "                __fish_complete_path (commandline -ct)\n"
                           "        else\n"
                           "                printf '%s\\n' $found\n"
                           "        end\n"
                           "end\n"
                           "complete -c ramal -f -a '(__ramal_complete)'\n";

static int run(struct ctl *ctl) {
        static const struct { const char *shell, *script; } scripts[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};
        for (size_t i = 0; i < sizeof(scripts) / sizeof(*scripts); i++) {
                if (strcmp(ctl->words[0], scripts[i].shell) == 0) {
                        fputs(scripts[i].script, stdout);
                        return EXIT_OK;
                }
        }
        return ctl_usage(ctl, "bash, zsh or fish, not '%s'", ctl->words[0]);
}

const struct verb verb_completion = {
        .name = "completion",
        .words = "bash|zsh|fish",
        .summary = "a script that completes words in that shell",
        .about = "Prints a script for the shell:\n"
                 "  bash   eval \"$(ramal completion bash)\"     in ~/.bashrc\n"
                 "  zsh    eval \"$(ramal completion zsh)\"      in ~/.zshrc\n"
                 "  fish   ramal completion fish | source      in ~/.config/fish/config.fish\n"
                 "It completes verbs, options and their values, and from the bus names, subjects and peers.\n",
        .words_min = 1,
        .words_max = 1,
        .word = {WORD_SHELL, WORD_OTHER},
        .run = run,
        .offline = true,
};
