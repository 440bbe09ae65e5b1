/* SPDX-License-Identifier: MIT */
/* children.c - one process per source and per sink. */
#define _GNU_SOURCE
#include "bench.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAXKIDS 64

static pid_t kids[MAXKIDS];
static int nkids;

void cleanup(void) {
        for (int i = 0; i < nkids; i++)
                if (kids[i] > 0)
                        kill(kids[i], SIGKILL);
}

void die(const char *what) {
        printf("{\"scenario\":\"%s\",\"peer\":\"%s\",\"ok\":false,\"error\":\"%s\"}\n", opt.scenario, peer.name, what);
        fflush(stdout);
        cleanup();
        _exit(1);
}

void spawn(void (*fn)(int), int arg) {
        fflush(NULL);
        pid_t p = fork();
        if (p == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                nkids = 0;
                fn(arg);
                fflush(NULL);
                _exit(0);
        }
        if (p > 0 && nkids < MAXKIDS)
                kids[nkids++] = p;
        else
                die("fork");
}

void child_fail(const char *m) {
        fprintf(stderr, "%s: %s: %s (errno %d)\n", peer.name, opt.scenario, m, errno);
        shm->failed = 1;
        _exit(1);
}

void wait_for(_Atomic int *v, int want, double max_s, const char *what) {
        uint64_t end = now() + (uint64_t)(max_s * 1e9);
        while (*v < want) {
                if (shm->failed)
                        die("a client failed");
                if (now() > end)
                        die(what);
                msleep(0.5);
        }
}

void reap(void) {
        cleanup();
        for (int i = 0; i < nkids; i++)
                waitpid(kids[i], NULL, 0);
}
