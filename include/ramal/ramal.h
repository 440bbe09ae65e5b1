/* SPDX-License-Identifier: MIT */
/* All of libramal. Link with -lramal (pkg-config ramal).
 *
 *   ramal_conn *conn;
 *   ramal_error err;
 *   if (ramal_open(NULL, ramal_in_ms(1000), &conn, &err) < 0)
 *           errx(EX_UNAVAILABLE, "%s", err.message);
 *   ramal_publish(conn, "hello.world", "hi", 2);
 *   ramal_close(conn);
 */
#ifndef RAMAL_H
#define RAMAL_H

#include "conn.h"
#include "error.h"
#include "msg.h"
#include "pubsub.h"
#include "rpc.h"
#include "version.h"

#endif
