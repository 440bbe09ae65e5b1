/* SPDX-License-Identifier: MIT */
/* What a program does with libramal while memory fails inside it, against a real ramald. */
#ifndef RAMAL_TEST_CLIENT_SCENES_H
#define RAMAL_TEST_CLIENT_SCENES_H

#include <ramal/ramal.h>

#include "sweep.h"

#define SCENE_MS 10000 /* the longest that anything waits */

/* Runs inside the library: there memory fails. */
#define IN(...)                                                                                                        \
        do {                                                                                                           \
                oom_inside(true);                                                                                      \
                __VA_ARGS__;                                                                                           \
                oom_inside(false);                                                                                     \
        } while (0)

/* The other end: has all the memory there is, serves help.*, and lives as long as the program. */
extern struct scene {
        const char *address, *tcp, *token;
        ramal_conn *helper;
} scene;

/* A deadline for what may never come while memory fails, so that the sweep gets on. */
uint64_t scene_soon(void);
/* Opens a connection whose pauses are short. NULL: refused, with a reason. */
ramal_conn *scene_open(const ramal_options *more);
/* Both dispatch until `*count` is at least `least`, or it takes too long. conn may be NULL. */
bool scene_reaches(ramal_conn *conn, const unsigned *count, unsigned least);
bool scene_until(ramal_conn *conn, const unsigned *flag);
/* The same where it must come, whatever has failed. */
bool scene_sure(ramal_conn *conn, const unsigned *flag);
/* Both dispatch what is there. */
void scene_pump(ramal_conn *conn);
/* What a function may answer while memory fails: 0 or more, or an error that is known. Returns r. */
int scene_fair(int r, const char *what);
#define FAIR(call) scene_fair((call), #call)
/* Memory is back: it must be connected again and be of use. */
void scene_revive(ramal_conn *conn);
/* The same, and closes it. */
void scene_close(ramal_conn *conn);

void scene_client_open(const void *);
void scene_client_tcp(const void *);
void scene_client_async(const void *);
void scene_client_subscribe(const void *);
void scene_client_pull(const void *);
void scene_client_publish(const void *);
void scene_client_large(const void *);
void scene_client_block(const void *);
void scene_client_request(const void *);
void scene_client_calls(const void *);
void scene_client_serve(const void *);
void scene_client_stream(const void *);
void scene_client_nested(const void *);
void scene_client_names(const void *);
void scene_client_reconnect(const void *);
void scene_client_drain(const void *);
void scene_client_post(const void *);

#endif
