/* SPDX-License-Identifier: MIT */
/* The simulation of faults: what its files share. */
#ifndef RAMAL_TEST_FAULTS_H
#define RAMAL_TEST_FAULTS_H

#include <stdio.h>

#include "base/check.h"
#include "history.h"
#include "runs.h"

struct sim {
        struct world *world;
        struct history *history;
        struct rng *rng;
        uint64_t failures, failures_before;
        bool fails, lies; /* memory; some peers */
        bool large;       /* frames, of strangers mostly */
        bool trace;
};

#define PICK(sim, array) ((array)[rng_below((sim)->rng, RML_COUNT(array))])
#define TRACE(sim, ...)                                                                                                \
        do {                                                                                                           \
                if ((sim)->trace) {                                                                                    \
                        printf("%llu: ", (unsigned long long)(sim)->world->step);                                      \
                        printf(__VA_ARGS__);                                                                           \
                        putchar('\n');                                                                                 \
                        fflush(stdout);                                                                                \
                }                                                                                                      \
        } while (0)

/* Anybody connected; who was let in, behaves and stays; who does not behave. */
enum any { ANY_OPEN, ANY_GOOD, ANY_BAD };
struct actor *sim_any(struct sim *, enum any);
void sim_look(struct sim *, struct actor *);
/* Returns whether there was something. */
bool sim_take(struct sim *, struct actor *, size_t max);

/* faults_good.c: what peers do that behave. */
void sim_prove(struct sim *, struct actor *, const Ramal__V1__Challenge *);
void sim_reply(struct sim *, struct actor *, size_t token, bool last);
bool sim_confirm(struct sim *, struct reader *);
void op_join(struct sim *);
void op_subscribe(struct sim *);
void op_unsubscribe(struct sim *);
void op_publish(struct sim *);
void op_call(struct sim *);
void op_answer(struct sim *);
void op_cancel(struct sim *);
void op_credit(struct sim *);
void sim_ping(struct sim *, struct actor *);
void op_ping(struct sim *);
void op_api(struct sim *);
void op_hold(struct sim *);

/* faults_bad.c: and the others. */
void op_hostile(struct sim *);
void op_flood(struct sim *);
void op_stale(struct sim *);

#endif
