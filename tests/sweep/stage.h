/* SPDX-License-Identifier: MIT */
/* Fake peers (tests/sim/world.h) around a core whose memory fails: whoever is refused plays on as somebody who is not
 * there. After each call on the core all ledgers must balance; at the end everything must have been answered, and a
 * core that has memory again must serve new peers. */
#ifndef RAMAL_TEST_STAGE_H
#define RAMAL_TEST_STAGE_H

#include "world.h"

/* Allocations inside its core are swept. limits: NULL = default. */
struct world *stage_open(const struct core_limits *limits);
/* The same in two halves, to set more of *world between them. */
struct world *stage_alone(const struct core_limits *limits);
void stage_begin(struct world *);

/* Comes in and says HELLO. Never NULL: who is not let in is closed. */
struct fake *stage_enter(struct world *, uint32_t uid, const char *app);
struct fake *stage_enter_from(struct world *, const struct core_origin *, const char *app);
/* The same by TCP and token. */
struct fake *stage_enter_tcp(struct world *);
/* Is it in, and has not left? */
bool stage_in(const struct fake *);
/* Its end comes. */
void stage_eof(struct fake *);

/* The token of the call that it was given last, or 0. */
uint64_t stage_call(struct fake *);
/* Everybody reads, confirms and answers until nothing moves. */
void stage_settle(struct world *);
/* Memory is back: settles, judges, and has new peers talk. Frees the world. */
void stage_close(struct world *);

#endif
