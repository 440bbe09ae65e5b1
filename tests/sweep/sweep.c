/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include "sweep.h"

#include <errno.h>
#include <link.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HANG_SECONDS 60
#define LOOSE 3u

typedef unsigned long long ull;

/* Where we are, for whoever has to say it from a signal handler. */
static struct {
        const char *program, *scenario;
        uint64_t at, bad;
        const void *site; /* where it is to fail, instead of by number */
        bool ever, failing, lacking;
        uint64_t swept; /* allocations of this run before memory was back */
        uint64_t began; /* and of all before it */
        uint64_t runs, points, failures;
        uint64_t failed_before; /* this run */
        void (*on_failure)(void);
} now;

struct options {
        const char *scenario, *sites;
        bool all, list, one, ever;
        uint64_t at;
};

/* ---- when it goes wrong ---------------------------------------------------------------------------------------- */

/* May run in a signal handler: snprintf() of integers and strings takes no lock and no memory. */
static void say_where(const char *what) {
        char line[512];
        int n = now.failing ? snprintf(line, sizeof(line), "sweep: %s; once more: %s --scenario %s --at %llu%s\n", what,
                                       now.program, now.scenario, (ull)now.at, now.ever ? " --ever" : "")
                            : snprintf(line, sizeof(line), "sweep: %s with all memory; once more: %s --scenario %s\n",
                                       what, now.program, now.scenario);
        if (n > 0 && write(STDERR_FILENO, line, (size_t)n) < 0)
                return;
}

static void on_signal(int signo) {
        say_where(signo == SIGALRM ? "a run hangs" : "a run failed");
        if (now.on_failure)
                now.on_failure();
        signal(signo == SIGALRM ? SIGABRT : signo, SIG_DFL);
        raise(signo == SIGALRM ? SIGABRT : signo);
}

/* Called by the address sanitizer, where there is one. */
void __asan_on_error(void);
void __asan_on_error(void) {
        say_where("memory was misused");
        if (now.on_failure)
                now.on_failure();
}

/* Of the leak sanitizer: only in its builds. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

void sweep_fail(const char *file, int line, const char *format, ...) {
        va_list args;
        oom_inside(false);
        fprintf(stderr, "%s:%d: ", file, line);
        va_start(args, format);
        vfprintf(stderr, format, args);
        va_end(args);
        fputc('\n', stderr);
        abort();
}

/* ---- runs ------------------------------------------------------------------------------------------------------ */

void sweep_memory_back(void) {
        if (!now.lacking)
                return;
        now.swept = oom_allocations() - now.began;
        now.lacking = false;
        oom_off();
}

void sweep_hold(void) {
        oom_off();
}

void sweep_go(void) {
        now.began = oom_allocations();
        if (now.site)
                oom_at(now.site);
        else
                oom_plan(now.at, now.bad);
}

bool sweep_failed(void) {
        return oom_failures() > now.failed_before;
}

bool sweep_starving(void) {
        return now.ever && now.lacking && sweep_failed();
}

void sweep_on_failure(void (*fn)(void)) {
        now.on_failure = fn;
}

/* Returns how many allocations failed. */
static uint64_t run_once(const struct sweep_scenario *scenario, uint64_t good, uint64_t bad) {
        now.failed_before = oom_failures();
        now.scenario = scenario->name;
        now.at = good;
        now.ever = bad == OOM_EVER;
        now.failing = bad != 0;
        now.bad = bad;
        now.began = oom_allocations();
        now.lacking = true;
        alarm(HANG_SECONDS);
        if (now.site)
                oom_at(now.site);
        else
                oom_plan(good, bad);
        scenario->run(scenario->user);
        oom_inside(false);
        oom_off();
        alarm(0);
        now.runs++;
        return oom_failures() - now.failed_before;
}

/* Where the order of allocations is not always the same, a place may have been passed over: it fails by itself. */
static void sweep_sites(const struct sweep_scenario *scenarios, size_t count) {
        const struct oom_site *sites = oom_sites();
        for (size_t i = 0; i < OOM_SITES; i++)
                for (size_t at = 0; at < count && sites[i].at && !sites[i].failed; at++) {
                        if (!scenarios[at].loose)
                                continue;
                        now.site = sites[i].at;
                        run_once(&scenarios[at], 0, 1);
                        now.site = NULL;
                }
}

static void check_leaks(void) {
        if (!__lsan_do_recoverable_leak_check || !__lsan_do_recoverable_leak_check())
                return;
        fprintf(stderr, "sweep: a run of %s leaks; --at tells which\n", now.scenario);
        exit(EXIT_FAILURE);
}

static void sweep(const struct sweep_scenario *scenario, bool all) {
        uint64_t step = 1, at = 0, n = 0;
        run_once(scenario, OOM_EVER, 0);
        uint64_t count = now.swept;
        sweep_check(count || scenario->sample, "%s allocates nothing", scenario->name);
        if (!all && scenario->sample && count > scenario->sample)
                step = (count + scenario->sample - 1) / scenario->sample;
        /* Until an allocation of that number does not exist: a run in which one has failed may have more of them, and one
         * that depends on its sockets now and then fewer. */
        uint64_t least = scenario->loose ? count + LOOSE : 0;
        for (uint64_t failed = 1; failed || at < least; at += step) {
                failed = run_once(scenario, at, 1);
                if (failed) {
                        n++;
                        now.failures += failed + run_once(scenario, at, OOM_EVER);
                }
        }
        sweep_check(at > count || step > 1, "%s does not repeat: %llu allocations, then %llu", scenario->name, (ull)count,
                    (ull)at - 1);
        now.points += n;
        if (!scenario->sample || all) {
                printf("%s: %llu of %llu allocations failed, once and for ever\n", scenario->name, (ull)n, (ull)count);
                fflush(stdout);
        }
        check_leaks();
}

/* ---- which calls ----------------------------------------------------------------------------------------------- */

static int image_base(struct dl_phdr_info *info, size_t size, void *user) {
        (void)size;
        *(uintptr_t *)user = info->dlpi_addr;
        return 1; /* the first one is the program */
}

/* Lines of: offset in the program (hexadecimal), how often reached, how often failed. */
static bool write_sites(const char *path) {
        uintptr_t base = 0;
        FILE *file = fopen(path, "w");
        if (!file)
                return false;
        dl_iterate_phdr(image_base, &base);
        const struct oom_site *sites = oom_sites();
        for (size_t i = 0; i < OOM_SITES; i++)
                if (sites[i].at)
                        fprintf(file, "%llx %llu %llu\n", (ull)((uintptr_t)sites[i].at - base), (ull)sites[i].seen,
                                (ull)sites[i].failed);
        return fclose(file) == 0;
}

/* ---- options --------------------------------------------------------------------------------------------------- */

static _Noreturn void usage(void) {
        fprintf(stderr, "usage: %s [--scenario NAME [--at N [--ever]]] [--all] [--sites FILE] [--list]\n", now.program);
        exit(64);
}

static struct options options_of(int argc, char **argv) {
        struct options options = {0};
        for (int i = 1; i < argc; i++) {
                const char *value = i + 1 < argc ? argv[i + 1] : NULL;
                if (strcmp(argv[i], "--all") == 0)
                        options.all = true;
                else if (strcmp(argv[i], "--list") == 0)
                        options.list = true;
                else if (strcmp(argv[i], "--ever") == 0)
                        options.ever = true;
                else if (!value)
                        usage();
                else if (strcmp(argv[i], "--scenario") == 0)
                        options.scenario = argv[++i];
                else if (strcmp(argv[i], "--sites") == 0)
                        options.sites = argv[++i];
                else if (strcmp(argv[i], "--at") == 0) {
                        char *end;
                        errno = 0;
                        options.at = strtoull(argv[++i], &end, 10);
                        options.one = true;
                        if (errno || *end || end == value)
                                usage();
                } else
                        usage();
        }
        if ((options.one && !options.scenario) || (options.ever && !options.one))
                usage();
        return options;
}

int sweep_main(const struct sweep_scenario *scenarios, size_t count, int argc, char **argv) {
        static const int fatal[] = {SIGABRT, SIGALRM, SIGFPE, SIGILL};
        now.program = argv[0];
        const struct options options = options_of(argc, argv);
        size_t found = 0;
        for (size_t i = 0; i < sizeof(fatal) / sizeof(*fatal); i++)
                signal(fatal[i], on_signal);
        if (!__lsan_do_recoverable_leak_check) /* the sanitizer tells more about these */
                signal(SIGSEGV, on_signal);
        for (size_t i = 0; i < count; i++) {
                if (options.list)
                        puts(scenarios[i].name);
                if (options.list || (options.scenario && strcmp(options.scenario, scenarios[i].name) != 0))
                        continue;
                found++;
                if (options.one) {
                        run_once(&scenarios[i], options.at, options.ever ? OOM_EVER : 1);
                        check_leaks();
                } else {
                        sweep(&scenarios[i], options.all);
                }
        }
        if (options.list)
                return EXIT_SUCCESS;
        if (!found)
                usage();
        if (!options.one && !options.scenario)
                sweep_sites(scenarios, count);
        if (!options.one)
                printf("%zu scenarios, %llu allocations failed once and for ever: %llu runs, %llu failures\n", found,
                       (ull)now.points, (ull)now.runs, (ull)now.failures);
        if (options.sites && !write_sites(options.sites)) {
                perror(options.sites);
                return EXIT_FAILURE;
        }
        return EXIT_SUCCESS;
}
