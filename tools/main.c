/* SPDX-License-Identifier: MIT */
/* The command `ramal`. The rest of it is a library, so that tests can link it. */
#include "command.h"

int main(int argc, char **argv) {
        return command_run(argc, argv);
}
