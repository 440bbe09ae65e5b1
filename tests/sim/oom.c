/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "oom.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* The linker gives an allocator no argument to hang this on. */
static struct plan {
        uint64_t good, bad, failures, allocations;
        const void *only; /* where the next one fails */
        struct oom_site sites[OOM_SITES];
} own = {.good = OOM_EVER}, *plan = &own;
static bool inside;

void oom_share(void) {
        struct plan *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared == MAP_FAILED)
                abort();
        *shared = *plan;
        plan = shared;
}

void oom_inside(bool in) {
        inside = in;
}

void oom_plan(uint64_t good, uint64_t bad) {
        plan->good = good;
        plan->bad = bad;
        plan->only = NULL;
}

void oom_at(const void *site) {
        oom_off();
        plan->only = site;
}

void oom_off(void) {
        oom_plan(OOM_EVER, 0);
}

uint64_t oom_failures(void) {
        return plan->failures;
}

uint64_t oom_allocations(void) {
        return plan->allocations;
}

const struct oom_site *oom_sites(void) {
        return plan->sites;
}

/* The call's own entry: it was there, or is made. */
static struct oom_site *site_of(const void *at) {
        for (size_t i = ((uintptr_t)at >> 2) % OOM_SITES, left = OOM_SITES; left; left--, i = (i + 1) % OOM_SITES)
                if (plan->sites[i].at == at || !plan->sites[i].at) {
                        plan->sites[i].at = at;
                        return &plan->sites[i];
                }
        abort();
}

static bool refused(const void *at) {
        if (!inside)
                return false;
        struct oom_site *site = site_of(at);
        site->seen++;
        plan->allocations++;
        if (plan->only && plan->only == at) {
                plan->only = NULL;
        } else {
                if (plan->good) {
                        plan->good -= plan->good != OOM_EVER;
                        return false;
                }
                if (!plan->bad)
                        return false;
                plan->bad -= plan->bad != OOM_EVER;
        }
        site->failed++;
        plan->failures++;
        errno = ENOMEM;
        return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t size) {
        return refused(__builtin_return_address(0)) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
        return refused(__builtin_return_address(0)) ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size) {
        return refused(__builtin_return_address(0)) ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text) {
        return refused(__builtin_return_address(0)) ? NULL : __real_strdup(text);
}
