/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "runs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REPORT_SECONDS 600

typedef unsigned long long ull;

struct plan {
        const struct runs *runs;
        uint64_t seed, seeds, steps, seconds; /* seconds: UINT64_MAX = for ever */
        bool one, fresh, trace;
};

/* What the parent can still read when a run has ended badly. */
struct shared {
        uint64_t seed, runs, simulated_ns, sums[RUNS_SUMS];
};

static uint64_t number_arg(const struct runs *runs, const char *text) {
        char *end;
        errno = 0;
        unsigned long long value = strtoull(text, &end, 10);
        if (errno || *end || end == text) {
                fprintf(stderr, "%s: '%s' is no number\n", runs->program, text);
                exit(64);
        }
        return value;
}

static void usage(const struct runs *runs) {
        fprintf(stderr,
                "usage: %s [--seed N] [--seeds N] [--seconds N | --hours N | --until-failure] [--steps N] [--trace]\n",
                runs->program);
        exit(64);
}

/* Where the number after this word goes. */
static uint64_t *plan_number(struct plan *plan, const char *word) {
        if (strcmp(word, "--seed") == 0)
                return &plan->seed;
        if (strcmp(word, "--seeds") == 0)
                return &plan->seeds;
        if (strcmp(word, "--steps") == 0)
                return &plan->steps;
        return strcmp(word, "--seconds") == 0 || strcmp(word, "--hours") == 0 ? &plan->seconds : NULL;
}

static struct plan plan_of(const struct runs *runs, int argc, char **argv) {
        struct plan plan = {.runs = runs, .seeds = runs->seeds, .steps = runs->steps};
        bool many = false;
        for (int i = 1; i < argc; i++) {
                uint64_t *number = plan_number(&plan, argv[i]);
                if (number && i + 1 < argc) {
                        *number = number_arg(runs, argv[i + 1]);
                        many = many || number == &plan.seeds;
                        if (strcmp(argv[i++], "--hours") == 0)
                                plan.seconds *= 3600;
                } else if (strcmp(argv[i], "--until-failure") == 0) {
                        plan.seconds = UINT64_MAX;
                } else if (strcmp(argv[i], "--trace") == 0) {
                        plan.trace = true;
                } else {
                        usage(runs);
                }
        }
        plan.fresh = plan.seconds != 0;
        plan.one = plan.seed && !plan.fresh && !many;
        if (plan.one)
                plan.seeds = 1;
        if (plan.fresh && !plan.seed) {
                struct timespec now;
                clock_gettime(CLOCK_REALTIME, &now);
                plan.seed = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
        }
        if (!plan.seed)
                plan.seed = 1;
        return plan;
}

static void report(const struct plan *plan, const struct shared *shared, time_t began) {
        double hours = (double)shared->simulated_ns / 3.6e12;
        printf("%s: %llu runs of %llu steps from seed %llu, %.2f simulated hours in %lld s:", plan->runs->program,
               (ull)shared->runs, (ull)plan->steps, (ull)plan->seed, hours, (long long)(time(NULL) - began));
        for (size_t i = 0; plan->runs->names[i]; i++)
                printf("%s %llu %s", i ? "," : "", (ull)shared->sums[i], plan->runs->names[i]);
        putchar('\n');
        fflush(stdout);
}

static void run_all(const struct plan *plan, struct shared *shared, time_t began) {
        time_t said = began;
        for (uint64_t i = 0;; i++) {
                time_t now = time(NULL);
                bool over = plan->fresh ? (uint64_t)(now - began) >= plan->seconds : i >= plan->seeds;
                if (over)
                        return;
                shared->seed = plan->seed + i;
                shared->simulated_ns += plan->runs->run(shared->seed, plan->steps, plan->trace, shared->sums);
                shared->runs++;
                if (now - said >= REPORT_SECONDS) {
                        said = now;
                        report(plan, shared, began);
                }
        }
}

int runs_main(const struct runs *runs, int argc, char **argv) {
        struct plan plan = plan_of(runs, argc, argv);
        struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        time_t began = time(NULL);
        if (shared == MAP_FAILED) {
                perror("mmap");
                return EXIT_FAILURE;
        }
        memset(shared, 0, sizeof(*shared));
        if (plan.one) { /* in this process: for a debugger */
                run_all(&plan, shared, began);
                report(&plan, shared, began);
                munmap(shared, sizeof(*shared));
                return EXIT_SUCCESS;
        }
        if (plan.fresh) {
                printf("%s: fresh seeds from %llu on\n", runs->program, (ull)plan.seed);
                fflush(stdout);
        }
        pid_t child = fork();
        if (child == 0) {
                run_all(&plan, shared, began);
                exit(EXIT_SUCCESS);
        }
        int status = -1;
        while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
                ;
        report(&plan, shared, began);
        bool well = status == 0;
        if (!well)
                fprintf(stderr, "%s: a run failed (wait status 0x%x); once more: %s --seed %llu --steps %llu\n",
                        runs->program, (unsigned)status, argv[0], (ull)shared->seed, (ull)plan.steps);
        munmap(shared, sizeof(*shared));
        return well ? EXIT_SUCCESS : EXIT_FAILURE;
}
