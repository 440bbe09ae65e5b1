/* SPDX-License-Identifier: MIT */
/* Ctrl-C and its relatives (SIGINT, SIGTERM, SIGHUP): the first one makes the library's blocking functions return
 * -EINTR, so that the verb ends in good order; where nothing could react, and for the second one, it ends the process
 * at once. The exit status is 128 + the signal. */
#ifndef RAMAL_TOOLS_INTERRUPT_H
#define RAMAL_TOOLS_INTERRUPT_H

#include <stdbool.h>

#include <ramal/ramal.h>

void interrupt_install(void);
/* From now on signals stop this connection; NULL: end the process. */
void interrupt_watch(ramal_conn *conn);
/* While this is on, the first signal is noted and nothing else (but that it stops the connection that is watched): for
 * who has processes to look after, and asks interrupt_signal() often. */
void interrupt_hold(bool on);
/* The signal that came, 0: none. */
int interrupt_signal(void);

#endif
