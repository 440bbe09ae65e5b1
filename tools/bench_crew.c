/* SPDX-License-Identifier: MIT */
/* The processes of a round: they are made, watched, and ended. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench_round.h"
#include "interrupt.h"

#define QUIT_NS UINT64_C(3000000000)

enum { CONNECTIONS_EACH = 512, LOOK_NS = 1000000 };

static const char *const role_names[BENCH_ROLES] = {
        [BENCH_SOURCE] = "publisher",
        [BENCH_SINK] = "subscriber",
        [BENCH_ASKER] = "caller",
        [BENCH_ANSWERER] = "service",
        [BENCH_CONNECTOR] = "connecting client",
        [BENCH_IDLER] = "holder of connections",
        [BENCH_HOLDER] = "holder of interests",
};

__attribute__((noreturn)) static void become(struct round *round, struct bench_task *task, enum bench_role role,
                                             pid_t parent) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(1);
        /* Ctrl-C at the terminal reaches us too; the parent decides what follows from it. */
        signal(SIGINT, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        signal(SIGTERM, SIG_DFL);
        bool receives = role == BENCH_SINK || role == BENCH_ANSWERER;
        bench_pin_to(0, round->job.point->pin.cpu[receives ? BENCH_AT_SINK : BENCH_AT_SOURCE]);
        const bench_role_fn *roles = round->job.relay ? bench_relay_roles : bench_bus_roles;
        int r = roles[role](task);
        _exit(r == 0 ? 0 : 1);
}

static int start(struct round *round, enum bench_role role, unsigned index, unsigned share) {
        struct bench_task task = {.job = &round->job,
                                  .shared = round->shared,
                                  .self = &round->shared->workers[round->count],
                                  .index = index,
                                  .share = share};
        pid_t parent = getpid();
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0)
                become(round, &task, role, parent);
        if (pid < 0)
                return ctl_fail(round->bench->ctl, EXIT_LATER, "cannot start a process: %s", strerror(errno));
        round->pids[round->count] = pid;
        round->roles[round->count++] = role;
        return 0;
}

static int start_crew(struct round *round, enum bench_role role, uint64_t count) {
        int status = 0;
        for (unsigned i = 0; status == 0 && i < count; i++)
                status = start(round, role, i, 1);
        return status;
}

static int start_idlers(struct round *round, uint64_t connections) {
        uint64_t processes = (connections + CONNECTIONS_EACH - 1) / CONNECTIONS_EACH;
        int status = 0;
        if (processes > BENCH_WORKERS_MAX / 4)
                processes = BENCH_WORKERS_MAX / 4;
        for (unsigned i = 0; status == 0 && i < processes; i++)
                status = start(round, BENCH_IDLER, i,
                               (unsigned)(connections / processes + (i < connections % processes)));
        return status;
}

int bench_crew_start(struct round *round) {
        const struct bench_point *point = round->job.point;
        int status = 0;
        switch (point->scenario) {
        case BENCH_RTT:
        case BENCH_CALLS:
                status = start_crew(round, BENCH_ANSWERER, point->publishers);
                return status == 0 ? start_crew(round, BENCH_ASKER, point->publishers) : status;
        case BENCH_CONNECT:
                return start_crew(round, BENCH_CONNECTOR, point->connections);
        case BENCH_IDLE:
                return start_idlers(round, point->connections);
        default:
                status = start_crew(round, BENCH_SINK, point->subscribers);
                if (status == 0)
                        status = start_crew(round, BENCH_SOURCE, point->publishers);
                if (status == 0 && point->scenario == BENCH_INTERESTS)
                        status = start_crew(round, BENCH_HOLDER, 1);
                return status;
        }
}

/* Says what became of a process that should be there. */
static int blame(const struct round *round, unsigned i, const char *what, int number) {
        const struct bench_worker *worker = &round->shared->workers[i];
        const char *name = role_names[round->roles[i]], *side = round->job.relay ? " (bare relay)" : "";
        if (round->bench->progress)
                fputs("\033[K", stderr);
        if (atomic_load(&worker->failed))
                return ctl_fail(round->bench->ctl, ctl_exit_status(atomic_load(&worker->code)), "%s of %s%s: %s", name,
                                bench_scenarios[round->job.point->scenario].name, side, worker->text);
        return ctl_fail(round->bench->ctl, EXIT_REFUSED, "%s of %s%s %s %d: it is not measured any further", name,
                        bench_scenarios[round->job.point->scenario].name, side, what, number);
}

int bench_crew_check(struct round *round) {
        int how;
        if (interrupt_signal())
                return 128 + interrupt_signal();
        for (unsigned i = 0; i < round->count; i++)
                if (atomic_load(&round->shared->workers[i].failed) && round->roles[i] != BENCH_IDLER)
                        return blame(round, i, "", 0);
        for (unsigned i = 0; i < round->count; i++) {
                if (round->pids[i] == 0 || waitpid(round->pids[i], &how, WNOHANG) <= 0)
                        continue;
                round->pids[i] = 0;
                if (WIFSIGNALED(how))
                        return blame(round, i, "was ended by signal", WTERMSIG(how));
                return blame(round, i, "ended with", WEXITSTATUS(how));
        }
        if (round->relay.pid > 0 && waitpid(round->relay.pid, &how, WNOHANG) > 0) {
                round->relay.pid = 0;
                return ctl_fail(round->bench->ctl, EXIT_REFUSED,
                                "the bare relay has ended: it is not measured any further");
        }
        return 0;
}

void bench_crew_end(struct round *round) {
        uint64_t until = bench_now() + QUIT_NS;
        unsigned left = round->count;
        bench_round_order(round, BENCH_QUIT, 0);
        while (left > 0 && bench_now() < until) {
                left = 0;
                for (unsigned i = 0; i < round->count; i++) {
                        if (round->pids[i] > 0 && waitpid(round->pids[i], NULL, WNOHANG) != 0)
                                round->pids[i] = 0;
                        left += round->pids[i] > 0;
                }
                nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
        }
        for (unsigned i = 0; i < round->count; i++) {
                if (round->pids[i] <= 0)
                        continue;
                kill(round->pids[i], SIGKILL);
                while (waitpid(round->pids[i], NULL, 0) < 0 && errno == EINTR)
                        ;
        }
        bench_relay_stop(&round->relay);
}
