/* SPDX-License-Identifier: MIT */
#include "spin.h"

#include <errno.h>
#include <string.h>

/* Somebody who answers at once, where nobody spins yet: he is woken, too. */
#define SHORT_NS UINT64_C(300000)
/* One short sleep says little: a request a millisecond has one, for its reply. */
#define NEEDED_MIN 3u
/* Bursts may be longer than that, time and again: whoever armed it in vain must show twice as many the next time. So
 * slow, regular traffic pays for a handful of spins in all. */
#define NEEDED_MAX 96u
/* A spin that finds nothing costs as much processor time as a few wake-ups: so many it must have spared before. They
 * also make good for one failure before. */
#define PAID 4u

/* Others want the processor: to yield gave it away for a whole slice of theirs, where one who sleeps is let in as soon
 * as something comes. That costs more than a hundred wake-ups. */
#define LATE_NS UINT64_C(1000000)
#define LATE_FACTOR 8u
#define LATE_MAX 3072u

/* On one processor nothing can be there before others have run; on several, and under load, it often is. Two looks in
 * vain tell which it is, and now and then it is tried again. */
#define MISSES_TOLD 2u
#define MISSES_TRUSTED 16u

void rml_spin_init(struct rml_spin *spin, uint64_t budget_ns) {
        *spin = (struct rml_spin){.budget_ns = budget_ns, .needed = NEEDED_MIN};
}

uint64_t rml_spin_budget(const struct rml_spin *spin) {
        return spin->shorts >= spin->needed ? spin->budget_ns : 0;
}

bool rml_spin_yields_first(const struct rml_spin *spin) {
        return spin->misses >= MISSES_TOLD;
}

static void disarm(struct rml_spin *spin, unsigned factor, unsigned max) {
        if (spin->needed < max)
                spin->needed = spin->needed * factor < max ? spin->needed * factor : max;
        spin->shorts = spin->paid = spin->misses = 0;
}

static void pay(struct rml_spin *spin) {
        if (++spin->paid % PAID == 0 && spin->needed > NEEDED_MIN)
                spin->needed = spin->needed / 2 > NEEDED_MIN ? spin->needed / 2 : NEEDED_MIN;
}

void rml_spin_ended(struct rml_spin *spin, bool found, unsigned yields, uint64_t ns) {
        if (ns >= LATE_NS && ns >= spin->budget_ns) {
                disarm(spin, LATE_FACTOR, LATE_MAX);
                return;
        }
        if (!found) {
                disarm(spin, spin->paid < PAID ? 2 : 1, NEEDED_MAX);
                return;
        }
        if (ns < spin->budget_ns)
                pay(spin);
        if (yields == 0)
                spin->misses = 0;
        else if (++spin->misses == MISSES_TOLD + MISSES_TRUSTED)
                spin->misses = MISSES_TOLD - 1;
}

void rml_spin_slept(struct rml_spin *spin, uint64_t ns, bool woken) {
        if (!woken || ns >= SHORT_NS)
                spin->shorts = 0;
        else if (spin->shorts < spin->needed)
                spin->shorts++;
}

int rml_spin_parse(const char *text, uint64_t *ret_ns) {
        uint64_t number = 0, unit;
        const char *at = text;

        if (strcmp(text, "off") == 0 || strcmp(text, "0") == 0) {
                *ret_ns = 0;
                return 0;
        }
        for (; *at >= '0' && *at <= '9'; at++) {
                number = number * 10 + (uint64_t)(*at - '0');
                if (number > RML_SPIN_NS_MAX)
                        return -EINVAL;
        }
        if (at == text)
                return -EINVAL;
        if (strcmp(at, "us") == 0)
                unit = 1000;
        else if (strcmp(at, "ms") == 0)
                unit = 1000000;
        else
                return -EINVAL;
        if (number > RML_SPIN_NS_MAX / unit)
                return -EINVAL;
        *ret_ns = number * unit;
        return 0;
}
