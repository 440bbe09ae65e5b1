/* SPDX-License-Identifier: MIT */
/* When to yield the processor for a while instead of sleeping. To wake a processor that sleeps costs far more than a
 * message does; where the next one is only microseconds away it pays to look for it a few times, and nowhere else. The
 * waiting loops of both ends ask this policy: it learns from how long they slept and what their spins came to. Pure. */
#ifndef RML_SPIN_H
#define RML_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#define RML_SPIN_NS_DEFAULT UINT64_C(50000)
#define RML_SPIN_NS_MAX UINT64_C(100000000)

struct rml_spin {
        uint64_t budget_ns; /* of one spin; 0: never */
        unsigned needed;    /* so many short sleeps in a row arm it */
        unsigned shorts;    /* so many there were */
        unsigned paid;      /* spins since it was armed that found something in time */
        unsigned misses;    /* of the latest in a row, that found nothing before they had yielded */
};

void rml_spin_init(struct rml_spin *, uint64_t budget_ns);
/* For how long to look for work before the next sleep; 0: sleep at once. */
uint64_t rml_spin_budget(const struct rml_spin *);
/* Yield before the first look? Not where work is often there already. */
bool rml_spin_yields_first(const struct rml_spin *);
/* A spin is over: it found something or not, after so many yields and so long. */
void rml_spin_ended(struct rml_spin *, bool found, unsigned yields, uint64_t ns);
/* A sleep is over. woken: by work, not by its deadline. */
void rml_spin_slept(struct rml_spin *, uint64_t ns, bool woken);

/* "off", "0", "50us", "1ms". Returns 0, or -EINVAL: something else, or more than RML_SPIN_NS_MAX. */
int rml_spin_parse(const char *text, uint64_t *ret_ns);

#endif
