/* SPDX-License-Identifier: MIT */
/* The environment of a command that answers a request. */
#ifndef RAMAL_TOOLS_CHILD_ENV_H
#define RAMAL_TOOLS_CHILD_ENV_H

#include <ramal/ramal.h>

/* Ours, without what begins with RAMAL_, and with the envelope of the request:
 *   RAMAL_ADDRESS       the bus
 *   RAMAL_SUBJECT, RAMAL_TYPE, RAMAL_SIZE (of the payload)
 *   RAMAL_PEER, RAMAL_UID, RAMAL_GID, RAMAL_PID, RAMAL_IDENTITY   the sender; of these only what the broker attests
 *   RAMAL_TIME_LEFT_MS  until the caller gives up; not set where it waits for ever
 *   RAMAL_HEADER_<NAME> a header, its name in upper case, '_' for what is no letter or digit; without those whose value
 *                       has a NUL in it; the first of several
 * Returns NULL without memory. */
char **child_env_new(const ramal_req *req);
char **child_env_free(char **env);

#endif
