/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "bench_run.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "interrupt.h"

const struct bench_scenario_def bench_scenarios[BENCH_SCENARIOS] = {
        [BENCH_RTT] = {"rtt", "a call and its answer, one at a time", "round trips"},
        [BENCH_PUB] = {"pub", "one publisher, one subscriber", "messages"},
        [BENCH_FANOUT] = {"fanout", "one publisher, several subscribers", "deliveries"},
        [BENCH_CALLS] = {"calls", "calls, many in flight", "calls"},
        [BENCH_CONNECT] = {"connect", "connect, say hello, go", "connections"},
        [BENCH_INTERESTS] = {"interests", "pub beside many other interests, and what one costs", "messages"},
        [BENCH_IDLE] = {"idle", "many connections that do nothing", "connections"},
        [BENCH_RELAY] = {"relay", "the bare relay alone", "messages"},
};

/* ---- the broker ---- */

int bench_ask(struct bench *bench, struct bench_facts *facts) {
        Ramal__Api__V1__StatusRequest request = RAMAL__API__V1__STATUS_REQUEST__INIT;
        ProtobufCMessage *message;
        int status = api_call(bench->ctl, "status", &request.base, &ramal__api__v1__status_reply__descriptor, &message);
        if (status != 0)
                return status;
        const Ramal__Api__V1__Broker *broker = ((const Ramal__Api__V1__StatusReply *)(const void *)message)->broker;
        *facts = (struct bench_facts){0};
        if (broker)
                *facts = (struct bench_facts){broker->cpu_us * 1000, broker->memory_bytes, broker->interests};
        if (broker && (bench->is_private || strncmp(bench->address, "unix:", 5) == 0))
                bench->broker_pid = (pid_t)broker->pid;
        api_free(message);
        return 0;
}

void bench_hang_up(struct bench *bench) {
        interrupt_watch(NULL);
        ramal_close(bench->ctl->conn);
        bench->ctl->conn = NULL;
}

bool bench_over_tcp(const struct bench *bench) {
        return bench->plan.tcp || strncmp(bench->address, "tcp:", 4) == 0;
}

/* ---- rounds ---- */

/* A private broker runs where the point says; another one where its owner has put it. */
static void place_broker(const struct bench *bench, const struct bench_point *point, const cpu_set_t *all) {
        int cpu = point->pin.cpu[BENCH_AT_BROKER];
        if (!bench->is_private || bench->broker_pid <= 0)
                return;
        if (cpu >= 0)
                bench_pin_to(bench->broker_pid, cpu);
        else
                sched_setaffinity(bench->broker_pid, sizeof(*all), all);
}

static bool has_relay(const struct bench *bench, const struct bench_point *point) {
        return bench->plan.relay && point->scenario != BENCH_INTERESTS && point->scenario != BENCH_IDLE;
}

static int run_round(struct bench *bench, size_t index, uint64_t round) {
        const struct bench_point *point = &bench->plan.points[index];
        struct bench_rounds *results = &bench->results[index];
        struct bench_measure *bus = &results->measures[BENCH_SIDE_BUS][round];
        struct bench_measure *base = &results->measures[BENCH_SIDE_BASE][round];
        int status = 0;
        bench->at_point = index;
        bench->at_round = round;
        if (has_relay(bench, point))
                status = bench_round(bench, point, true, base, NULL);
        if (status == 0 && bench->plan.scenario != BENCH_RELAY)
                status = bench_round(bench, point, false, bus, base);
        return status;
}

static int run_point(struct bench *bench, size_t index, const cpu_set_t *all) {
        int status = 0;
        place_broker(bench, &bench->plan.points[index], all);
        for (uint64_t round = 0; status == 0 && round < bench->plan.rounds; round++)
                status = run_round(bench, index, round);
        return status;
}

int bench_run(struct bench *bench) {
        cpu_set_t all;
        int status = 0;
        if (sched_getaffinity(0, sizeof(all), &all) < 0)
                CPU_ZERO(&all);
        for (size_t i = 0; status == 0 && i < bench->plan.point_count; i++)
                status = run_point(bench, i, &all);
        if (bench->progress)
                fputs("\033[K", stderr);
        return status;
}
