/* SPDX-License-Identifier: MIT */
/* `ramal reply --exec`: a command for each request, several at once. The library's descriptor, the commands' pipes and
 * their ends are waited for together, so this is a loop of its own. */
#ifndef RAMAL_TOOLS_EXEC_H
#define RAMAL_TOOLS_EXEC_H

#include "ctl.h"

enum { EXEC_PARALLEL = 8, EXEC_PARALLEL_MAX = 256, EXEC_WAITING_MAX = 1024 };

struct exec;

/* with: type and headers of the replies. All borrowed. parallel: so many commands at once, at most. */
int exec_new(struct ctl *ctl, const char *command, size_t parallel, const ramal_reply_options *with, struct exec **ret);
/* Ends the commands that run. Requests that are not answered are dropped. */
struct exec *exec_free(struct exec *exec);

/* Takes a request: runs the command for it now, or when others have ended. */
void exec_request(struct exec *exec, ramal_req *req);
/* Is anything running or waiting? */
bool exec_busy(const struct exec *exec);
/* Waits until something happens, and deals with it. Returns 0; -ETIMEDOUT at the deadline; as ramal_dispatch(). */
int exec_turn(struct exec *exec, uint64_t deadline);

#endif
