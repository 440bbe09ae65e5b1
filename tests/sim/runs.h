/* SPDX-License-Identifier: MIT */
/* How a simulation is run: by the test suite, for a while with fresh seeds, for hours, or once more as it failed.
 *
 *   --seed N         one run
 *   --seeds N        so many, from --seed (1) on
 *   --seconds N      fresh seeds, from the clock, for so long
 *   --hours N        the same
 *   --until-failure  the same without end
 *   --steps N        operations in a run
 *   --trace          prints every operation
 *
 * A run that fails is reported with the command that repeats it, however it ended. */
#ifndef RAMAL_TEST_RUNS_H
#define RAMAL_TEST_RUNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUNS_SUMS 24u

struct runs {
        const char *program;
        uint64_t seeds, steps; /* of the test suite */
        /* One run: adds to sums, returns the simulated nanoseconds. */
        uint64_t (*run)(uint64_t seed, uint64_t steps, bool trace, uint64_t *sums);
        const char *const *names; /* of the sums, NULL-terminated */
};

/* main() of a simulation. */
int runs_main(const struct runs *, int argc, char **argv);

#endif
