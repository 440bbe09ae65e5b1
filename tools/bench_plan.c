/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "bench_plan.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "units.h"

/* PAYLOAD_MAX: what a broker can be configured for; the relay, which has no limit, shall not take all memory either. */
enum { LIST_MAX = 32, NUMBER_TEXT = 24, WINDOW = 16384, PAYLOAD_MAX = 64 << 20 };

#define BIT(scenario) (1U << (scenario))
#define FLOWS (BIT(BENCH_PUB) | BIT(BENCH_FANOUT) | BIT(BENCH_INTERESTS))
#define CALLS (BIT(BENCH_RTT) | BIT(BENCH_CALLS))
#define ALL (BIT(BENCH_SCENARIOS) - 1)

const struct option_def bench_options[BENCH_OPTIONS] = {
        [BENCH_OPT_SIZE] = {"size", 's', OPTION_TEXT, "BYTES,...",
                            "of the payloads, as 64 or 64,1k,1m (64; fanout: 256)", NULL},
        [BENCH_OPT_COUNT] = {"count", 'n', OPTION_COUNT, "N",
                             "so many messages of each source in a round,\ninstead of --duration", NULL},
        [BENCH_OPT_DURATION] = {"duration", 'd', OPTION_TIME, "TIME", "of the measuring in a round (1s)", NULL},
        [BENCH_OPT_ROUNDS] = {"rounds", 'r', OPTION_COUNT, "N", "rounds (5); medians are printed", NULL},
        [BENCH_OPT_SUBSCRIBERS] = {"subscribers", 0, OPTION_TEXT, "N,...",
                                   "fanout, pub, interests: processes that subscribe\n(fanout: 8, else 1)", NULL},
        [BENCH_OPT_PUBLISHERS] = {"publishers", 0, OPTION_TEXT, "N,...",
                                  "processes that publish; rtt, calls: pairs of caller\nand service (1)", NULL},
        [BENCH_OPT_IN_FLIGHT] = {"in-flight", 0, OPTION_TEXT, "N,...", "calls: of each caller at once (64)", NULL},
        [BENCH_OPT_CONNECTIONS] = {"connections", 0, OPTION_TEXT, "N,...",
                                   "idle: held (1000); connect: processes at it (4)", NULL},
        [BENCH_OPT_INTERESTS] = {"interests", 0, OPTION_TEXT, "N,...", "interests: the others (100000)", NULL},
        [BENCH_OPT_WINDOW] =
                {"window", 'w', OPTION_TEXT, "N",
                 "pub, fanout, interests: messages under way at most\n(16384, and 4 MiB); none: as many as "
                 "the bus takes",
                 NULL},
        [BENCH_OPT_PIN] =
                {"pin", 0, OPTION_TEXT, "CPU[,CPU,CPU]",
                 "run all on this CPU; or broker, senders and receivers\non these; any: anywhere (rtt --private: both)",
                 NULL},
        [BENCH_OPT_NO_BATCH] = {"no-batch", 0, OPTION_FLAG, NULL, "pub, fanout, interests: send each message by itself",
                                NULL},
        [BENCH_OPT_NO_SPIN] = {"no-spin", 0, OPTION_FLAG, NULL,
                               "sleep at once where there is nothing to do: clients,\nrelay and private broker", NULL},
        [BENCH_OPT_NO_RELAY] = {"no-relay", 0, OPTION_FLAG, NULL, "do not measure the bare relay beside it", NULL},
        [BENCH_OPT_PRIVATE] = {"private", 'p', OPTION_FLAG, NULL, "start a broker for it, on a socket of its own",
                               NULL},
        [BENCH_OPT_RAMALD] = {"ramald", 0, OPTION_FILE, "FILE",
                              "that broker's program (else the one beside this\ncommand or in ../sbin, else in PATH)",
                              NULL},
        [BENCH_OPT_TCP] = {"tcp", 0, OPTION_FLAG, NULL, "over TCP (with --private, or for relay alone)", NULL},
        [BENCH_OPT_SVG] = {"svg", 0, OPTION_FILE, "FILE", "draw the result: latencies; of a list, what grows with it",
                           NULL},
        [BENCH_OPT_COMPARE] = {"compare", 0, OPTION_FILE, "FILE", "set it beside an earlier run, saved with --json",
                               NULL},
};

/* To which scenarios an option has something to say. */
static const unsigned fits[BENCH_OPTIONS] = {
        [BENCH_OPT_SIZE] = FLOWS | CALLS | BIT(BENCH_RELAY),
        [BENCH_OPT_COUNT] = FLOWS | CALLS | BIT(BENCH_RELAY) | BIT(BENCH_CONNECT),
        [BENCH_OPT_DURATION] = ALL,
        [BENCH_OPT_ROUNDS] = ALL,
        [BENCH_OPT_SUBSCRIBERS] = FLOWS | BIT(BENCH_RELAY),
        [BENCH_OPT_PUBLISHERS] = FLOWS | CALLS,
        [BENCH_OPT_IN_FLIGHT] = BIT(BENCH_CALLS) | BIT(BENCH_RELAY),
        [BENCH_OPT_CONNECTIONS] = BIT(BENCH_CONNECT) | BIT(BENCH_IDLE) | BIT(BENCH_RELAY),
        [BENCH_OPT_INTERESTS] = BIT(BENCH_INTERESTS),
        [BENCH_OPT_WINDOW] = FLOWS | BIT(BENCH_RELAY),
        [BENCH_OPT_PIN] = ALL,
        [BENCH_OPT_NO_BATCH] = FLOWS | BIT(BENCH_RELAY),
        [BENCH_OPT_NO_SPIN] = ALL,
        [BENCH_OPT_NO_RELAY] = CALLS | BIT(BENCH_PUB) | BIT(BENCH_FANOUT) | BIT(BENCH_CONNECT),
        [BENCH_OPT_PRIVATE] = ALL & ~BIT(BENCH_RELAY),
        [BENCH_OPT_RAMALD] = ALL & ~BIT(BENCH_RELAY),
        [BENCH_OPT_TCP] = ALL,
        [BENCH_OPT_SVG] = ALL & ~BIT(BENCH_RELAY),
        [BENCH_OPT_COMPARE] = ALL,
};

/* ---- words ---- */

size_t bench_plan_list(const char *text, bool size, uint64_t *numbers, size_t max) {
        size_t count = 0;
        for (;;) {
                char one[NUMBER_TEXT];
                size_t length = strcspn(text, ",");
                if (length == 0 || length >= sizeof(one) || count == max)
                        return 0;
                for (size_t i = 0; i < length; i++)
                        one[i] = (char)(size ? toupper((unsigned char)text[i]) : text[i]);
                one[length] = 0;
                int r = size ? units_parse_size(one, &numbers[count]) : units_parse_count(one, &numbers[count]);
                if (r < 0 || numbers[count] == 0)
                        return 0;
                count++;
                if (text[length] == 0)
                        return count;
                text += length + 1;
        }
}

bool bench_plan_pin(const char *text, struct bench_pin *pin) {
        size_t count = 0;
        bool more = strcmp(text, "any") != 0;
        for (size_t i = 0; i < BENCH_PLACES; i++)
                pin->cpu[i] = -1;
        if (strlen(text) >= sizeof(pin->name))
                return false;
        memcpy(pin->name, text, strlen(text) + 1);
        while (more && count < BENCH_PLACES) {
                char one[sizeof(pin->name)];
                uint64_t cpu;
                size_t length = strcspn(text, ",");
                memcpy(one, text, length);
                one[length] = 0;
                if (units_parse_count(one, &cpu) < 0 || cpu >= CPU_SETSIZE)
                        return false;
                pin->cpu[count++] = (int)cpu;
                more = text[length] != 0;
                text += length + more;
        }
        if (count == 1)
                pin->cpu[BENCH_AT_SOURCE] = pin->cpu[BENCH_AT_SINK] = pin->cpu[BENCH_AT_BROKER];
        return !more && count != 2;
}

static int find_scenario(const struct ctl *ctl, enum bench_scenario *ret) {
        const char *names[BENCH_SCENARIOS], *word = ctl->words[0];
        for (size_t i = 0; i < BENCH_SCENARIOS; i++) {
                names[i] = bench_scenarios[i].name;
                if (strcmp(word, names[i]) == 0) {
                        *ret = (enum bench_scenario)i;
                        return 0;
                }
        }
        const char *nearest = options_nearest(word, names, BENCH_SCENARIOS);
        return ctl_usage(ctl, "no scenario '%s'%s%s%s", word, nearest ? ": did you mean '" : "", nearest ? nearest : "",
                         nearest ? "'?" : "");
}

static int check_fits(const struct ctl *ctl, enum bench_scenario scenario) {
        const struct option_value *values = ctl->values;
        for (size_t i = 0; i < BENCH_OPTIONS; i++)
                if (values[i].given && !(fits[i] & BIT(scenario)))
                        return ctl_usage(ctl, "--%s means nothing to %s", bench_options[i].name,
                                         bench_scenarios[scenario].name);
        if (values[BENCH_OPT_COUNT].given && values[BENCH_OPT_DURATION].given)
                return ctl_usage(ctl, "--count or --duration, not both");
        if (values[BENCH_OPT_RAMALD].given && !values[BENCH_OPT_PRIVATE].given)
                return ctl_usage(ctl, "--ramald needs --private");
        if (values[BENCH_OPT_TCP].given && !values[BENCH_OPT_PRIVATE].given && scenario != BENCH_RELAY)
                return ctl_usage(ctl,
                                 "--tcp needs --private; a broker of yours is reached with --address tcp:HOST:PORT");
        if (values[BENCH_OPT_PRIVATE].given && (ctl->globals[GLOBAL_ADDRESS].given || ctl->globals[GLOBAL_USER].given ||
                                                ctl->globals[GLOBAL_SYSTEM].given))
                return ctl_usage(ctl, "--private, or the broker at an address: not both");
        return 0;
}

/* ---- points ---- */

struct list {
        uint64_t numbers[LIST_MAX];
        size_t count;
};

/* An option that may be a list. otherwise: what it is where it is not given. */
static int read_list(const struct ctl *ctl, struct bench_plan *plan, enum bench_option option, uint64_t otherwise,
                     uint64_t most, struct list *list) {
        const struct option_value *value = &ctl->values[option];
        const char *name = bench_options[option].name;
        *list = (struct list){{otherwise}, 1};
        if (!value->given)
                return 0;
        list->count = bench_plan_list(value->text, option == BENCH_OPT_SIZE, list->numbers, LIST_MAX);
        if (list->count == 0)
                return ctl_usage(ctl, "--%s wants %s from 1 on, or up to %d of them with commas between, not '%s'",
                                 name, option == BENCH_OPT_SIZE ? "bytes, as 64 or 4k," : "a number", LIST_MAX,
                                 value->text);
        for (size_t i = 0; i < list->count; i++)
                if (list->numbers[i] > most)
                        return ctl_usage(ctl, "--%s is at most %" PRIu64 ", not %" PRIu64, name, most,
                                         list->numbers[i]);
        if (list->count > 1 && plan->swept)
                return ctl_usage(ctl, "--%s and --%s: only one of them may be a list", plan->swept, name);
        if (list->count > 1)
                plan->swept = name;
        return 0;
}

static int read_pins(const struct ctl *ctl, struct bench_plan *plan, struct bench_pin pins[2], size_t *count) {
        const struct option_value *value = &ctl->values[BENCH_OPT_PIN];
        cpu_set_t set;
        bool known = sched_getaffinity(0, sizeof(set), &set) == 0;
        bench_plan_pin("any", &pins[0]);
        *count = 1;
        if (!value->given) {
                /* Waking another CPU costs more than all the rest of a round trip: so both are told. */
                if (plan->scenario != BENCH_RTT || !ctl->values[BENCH_OPT_PRIVATE].given || plan->swept || !known)
                        return 0;
                char first[NUMBER_TEXT];
                int cpu = 0;
                while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET((size_t)cpu, &set))
                        cpu++;
                snprintf(first, sizeof(first), "%d", cpu);
                bench_plan_pin(first, &pins[(*count)++]);
                return 0;
        }
        if (!bench_plan_pin(value->text, &pins[0]))
                return ctl_usage(ctl, "--pin wants one CPU, as 0, or three, as 0,1,1, or 'any', not '%s'", value->text);
        for (size_t i = 0; known && i < BENCH_PLACES; i++)
                if (pins[0].cpu[i] >= 0 && !CPU_ISSET((size_t)pins[0].cpu[i], &set))
                        return ctl_usage(ctl, "--pin: there is no CPU %d for us", pins[0].cpu[i]);
        return 0;
}

static int add_point(struct bench_plan *plan, const struct bench_point *point) {
        struct bench_point *points = reallocarray(plan->points, plan->point_count + 1, sizeof(*points));
        if (!points)
                return -ENOMEM;
        plan->points = points;
        plan->points[plan->point_count++] = *point;
        return 0;
}

/* What a scenario has no use for is 0. */
static void strip(struct bench_point *point) {
        unsigned bit = BIT(point->scenario);
        if (!(bit & FLOWS))
                point->subscribers = 0;
        if (!(bit & (FLOWS | CALLS)))
                point->size = point->publishers = 0;
        if (!(bit & (BIT(BENCH_CONNECT) | BIT(BENCH_IDLE))))
                point->connections = 0;
        if (point->scenario != BENCH_CALLS)
                point->in_flight = bit & CALLS ? 1 : 0;
        if (point->scenario != BENCH_INTERESTS)
                point->interests = 0;
}

enum { SIZES, SUBSCRIBERS, PUBLISHERS, IN_FLIGHT, CONNECTIONS, INTERESTS, LISTS };

static int add_points(struct bench_plan *plan, enum bench_scenario scenario, const struct list lists[LISTS],
                      const struct bench_pin *pin) {
        size_t rows = 1;
        int r = 0;
        for (size_t i = 0; i < LISTS; i++)
                if (lists[i].count > rows)
                        rows = lists[i].count;
        for (size_t row = 0; r == 0 && row < rows; row++) {
                uint64_t at[LISTS];
                for (size_t i = 0; i < LISTS; i++)
                        at[i] = lists[i].numbers[lists[i].count > 1 ? row : 0];
                struct bench_point point = {scenario,      at[SIZES],       at[SUBSCRIBERS], at[PUBLISHERS],
                                            at[IN_FLIGHT], at[CONNECTIONS], at[INTERESTS],   *pin};
                strip(&point);
                r = add_point(plan, &point);
        }
        return r;
}

static int read_lists(const struct ctl *ctl, struct bench_plan *plan, struct list lists[LISTS]) {
        bool fanout = plan->scenario == BENCH_FANOUT, idle = plan->scenario == BENCH_IDLE;
        uint64_t crew = BENCH_WORKERS_MAX / 2 - 1;
        int status = read_list(ctl, plan, BENCH_OPT_SIZE, fanout ? 256 : 64, PAYLOAD_MAX, &lists[SIZES]);
        if (status == 0)
                status = read_list(ctl, plan, BENCH_OPT_SUBSCRIBERS, fanout ? 8 : 1, crew, &lists[SUBSCRIBERS]);
        if (status == 0)
                status = read_list(ctl, plan, BENCH_OPT_PUBLISHERS, 1, crew, &lists[PUBLISHERS]);
        if (status == 0)
                status = read_list(ctl, plan, BENCH_OPT_IN_FLIGHT, 64, BENCH_IN_FLIGHT_MAX, &lists[IN_FLIGHT]);
        if (status == 0)
                status = read_list(ctl, plan, BENCH_OPT_CONNECTIONS, idle ? 1000 : 4, idle ? 1000000 : crew,
                                   &lists[CONNECTIONS]);
        if (status == 0)
                status = read_list(ctl, plan, BENCH_OPT_INTERESTS, 100000, 10000000, &lists[INTERESTS]);
        return status;
}

/* A number and its sender need room where there are several senders. */
static int check_points(const struct ctl *ctl, const struct bench_plan *plan) {
        for (size_t i = 0; i < plan->point_count; i++)
                if (plan->points[i].subscribers > 0 && plan->points[i].publishers > 1 && plan->points[i].size < 8)
                        return ctl_usage(ctl, "--size is at least 8 with several publishers, so that each message says "
                                              "whose it is");
        return 0;
}

/* The relay alone: a row for each scenario that it knows. */
static int add_relay_points(const struct ctl *ctl, struct bench_plan *plan, struct list lists[LISTS],
                            const struct bench_pin *pin) {
        static const enum bench_scenario scenarios[] = {BENCH_RTT, BENCH_PUB, BENCH_FANOUT, BENCH_CALLS, BENCH_CONNECT};
        uint64_t fan = ctl->values[BENCH_OPT_SUBSCRIBERS].given ? lists[SUBSCRIBERS].numbers[0] : 8;
        int r = 0;
        for (size_t i = 0; r == 0 && i < sizeof(scenarios) / sizeof(*scenarios); i++) {
                lists[SUBSCRIBERS].numbers[0] = scenarios[i] == BENCH_FANOUT ? fan : 1;
                r = add_points(plan, scenarios[i], lists, pin);
        }
        return r;
}

static bool read_window(const struct option_value *value, uint64_t *window) {
        *window = WINDOW;
        if (value->given && strcmp(value->text, "none") == 0)
                *window = 0;
        else if (value->given)
                return units_parse_count(value->text, window) == 0 && *window > 0;
        return true;
}

static int read_scalars(const struct ctl *ctl, struct bench_plan *plan) {
        const struct option_value *values = ctl->values;
        *plan = (struct bench_plan){.scenario = plan->scenario,
                                    .batch = !values[BENCH_OPT_NO_BATCH].given,
                                    .spin = !values[BENCH_OPT_NO_SPIN].given,
                                    .relay = !values[BENCH_OPT_NO_RELAY].given,
                                    .tcp = values[BENCH_OPT_TCP].given,
                                    .count = values[BENCH_OPT_COUNT].number,
                                    .duration_ns = 1000000000,
                                    .rounds = 5};
        if (!read_window(&values[BENCH_OPT_WINDOW], &plan->window))
                return ctl_usage(ctl, "--window wants a number of messages from 1 on, or 'none', not '%s'",
                                 values[BENCH_OPT_WINDOW].text);
        if (values[BENCH_OPT_DURATION].given)
                plan->duration_ns = values[BENCH_OPT_DURATION].number;
        if (values[BENCH_OPT_ROUNDS].given)
                plan->rounds = values[BENCH_OPT_ROUNDS].number;
        if (plan->rounds > BENCH_ROUNDS_MAX)
                return ctl_usage(ctl, "--rounds is at most %d", BENCH_ROUNDS_MAX);
        if (plan->duration_ns > UINT64_C(86400000000000))
                return ctl_usage(ctl, "--duration is at most 24h");
        if (plan->count > UINT64_C(1) << 40)
                return ctl_usage(ctl, "--count is at most %" PRIu64, UINT64_C(1) << 40);
        return 0;
}

int bench_plan_read(const struct ctl *ctl, struct bench_plan *plan) {
        struct list lists[LISTS];
        struct bench_pin pins[2];
        size_t pin_count = 0;
        *plan = (struct bench_plan){.points = NULL};
        int status = find_scenario(ctl, &plan->scenario);
        if (status == 0)
                status = check_fits(ctl, plan->scenario);
        if (status == 0)
                status = read_scalars(ctl, plan);
        if (status == 0)
                status = read_lists(ctl, plan, lists);
        if (status == 0 && plan->scenario == BENCH_RELAY && plan->swept)
                status = ctl_usage(ctl, "--%s: relay takes no lists", plan->swept);
        if (status == 0)
                status = read_pins(ctl, plan, pins, &pin_count);
        if (status != 0)
                return status;
        int r = plan->scenario == BENCH_RELAY ? add_relay_points(ctl, plan, lists, &pins[0]) : 0;
        for (size_t i = 0; r == 0 && plan->scenario != BENCH_RELAY && i < pin_count; i++)
                r = add_points(plan, plan->scenario, lists, &pins[i]);
        return r < 0 ? ctl_error(ctl, NULL, r, NULL) : check_points(ctl, plan);
}

int bench_plan_check(const struct ctl *ctl, const struct bench_plan *plan, uint64_t payload_max) {
        for (size_t i = 0; i < plan->point_count; i++)
                if (plan->points[i].size > payload_max)
                        return ctl_fail(ctl, EXIT_DATA,
                                        "--size %" PRIu64 ": this broker takes at most %" PRIu64
                                        " bytes (limits.payload_bytes)",
                                        plan->points[i].size, payload_max);
        return 0;
}

void bench_plan_free(struct bench_plan *plan) {
        free(plan->points);
        plan->points = NULL;
        plan->point_count = 0;
}
