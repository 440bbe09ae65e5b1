/* SPDX-License-Identifier: MIT */
/* Readings as messages on the bus. */
#ifndef HOSTMON_REPORT_H
#define HOSTMON_REPORT_H

#include <ramal/ramal.h>

#include "reading.h"

/* Publishes everything that a reading has, as one batch. host: the token in "host.<host>.". before: the reading
 * before, for the rates; NULL: none. Returns 0 or the first negative errno of ramal_publish(). */
int report_publish(ramal_conn *conn, const char *host, const struct reading *now, const struct reading *before);

/* Answers a request with all of it at once, and consumes the request. name: the host's own. */
int report_snapshot(ramal_req *request, const char *name, const struct reading *now, const struct reading *before);

#endif
