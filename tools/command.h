/* SPDX-License-Identifier: MIT */
#ifndef RAMAL_TOOLS_COMMAND_H
#define RAMAL_TOOLS_COMMAND_H

/* The whole command: reads the command line, runs the verb, returns the exit status. */
int command_run(int argc, char **argv);

#endif
