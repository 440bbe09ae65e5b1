/* SPDX-License-Identifier: MIT */
/* A sweep: a scenario is run again and again, with its first allocation failing, then its second, ... until there is
 * none left to fail; once with that one alone, and once with that one and all after it. What runs between
 * oom_inside(true) and oom_inside(false) is what is swept (tests/sim/oom.h).
 *
 *   --scenario NAME    this one alone
 *   --at N [--ever]    one run: with the allocation N (from 0) failing, and all that follow
 *   --all              every allocation, where the test suite takes a sample
 *   --sites FILE       writes which calls of an allocator were reached, and which failed (for sites.py)
 *   --list             the names
 *
 * Where a run fails (or hangs, or leaks), the command that repeats it is printed. */
#ifndef RAMAL_TEST_SWEEP_H
#define RAMAL_TEST_SWEEP_H

#include <stdbool.h>
#include <stddef.h>

#include "oom.h"

struct sweep_scenario {
        const char *name;
        void (*run)(const void *user); /* must do the same each time as long as nothing fails */
        const void *user;
        unsigned sample; /* at most so many allocations are swept in the test suite; 0: all */
        bool loose;      /* how often it asks for memory depends on how a socket cuts its input */
};

/* main() of a sweep. */
int sweep_main(const struct sweep_scenario *, size_t count, int argc, char **argv);

/* In a scenario: not yet, and now. What is asked for between the two is not swept. */
void sweep_hold(void);
void sweep_go(void);
/* From here on memory is there; what is asked for is not swept. */
void sweep_memory_back(void);

/* Has memory failed in this run? */
bool sweep_failed(void);
/* And for good? */
bool sweep_starving(void);
/* Called where the program fails: to end what it has started. */
void sweep_on_failure(void (*)(void));

/* Prints why, where, and aborts. */
_Noreturn void sweep_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
#define sweep_check(condition, ...)                                                                                    \
        do {                                                                                                           \
                if (!(condition))                                                                                      \
                        sweep_fail(__FILE__, __LINE__, __VA_ARGS__);                                                   \
        } while (0)

#endif
