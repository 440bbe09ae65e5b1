/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_plan.h"
#include "bench_report.h"
#include "bench_svg.h"
#include "interrupt.h"

_Static_assert((int)BENCH_OPTIONS <= (int)VERB_OPTIONS_MAX, "room for the options");

/* The relay runs on this machine: beside a broker on another one it would say nothing. */
static void drop_relay_of_another_machine(struct bench *bench) {
        static const char *const here[] = {"unix:", "tcp:localhost:", "tcp:127.", "tcp:[::1]:"};
        for (size_t i = 0; i < sizeof(here) / sizeof(*here); i++)
                if (strncmp(bench->address, here[i], strlen(here[i])) == 0)
                        return;
        if (bench->plan.relay)
                snprintf(bench->note, sizeof(bench->note),
                         "no bare relay beside a broker on another machine (for one on this machine: tcp:localhost)");
        bench->plan.relay = false;
}

/* Copies what the broker says of itself, and is not connected any more when the processes are made. */
static int look_at_broker(struct bench *bench) {
        struct ctl *ctl = bench->ctl;
        struct bench_facts facts;
        int status = ctl_connect(ctl, 0);
        if (status == EXIT_UNAVAILABLE && !bench->is_private)
                ctl_say(ctl, "'ramal bench %s --private' starts a broker of its own for it",
                        bench_scenarios[bench->plan.scenario].name);
        if (status != 0)
                return status;
        bench->payload_max = ramal_conn_payload_max(ctl->conn);
        snprintf(bench->address, sizeof(bench->address), "%s", ramal_conn_address(ctl->conn));
        snprintf(bench->version, sizeof(bench->version), "%s", ramal_conn_server(ctl->conn));
        bench->token_file = ctl->globals[GLOBAL_TOKEN_FILE].text;
        drop_relay_of_another_machine(bench);
        status = bench_ask(bench, &facts);
        bench_hang_up(bench);
        return status == 0 ? bench_plan_check(ctl, &bench->plan, bench->payload_max) : status;
}

static int find_broker(struct bench *bench) {
        struct ctl *ctl = bench->ctl;
        const struct option_value *values = ctl->values;
        if (bench->plan.scenario == BENCH_RELAY)
                return 0;
        if (values[BENCH_OPT_PRIVATE].given) {
                int status = bench_private_start(ctl, values[BENCH_OPT_RAMALD].text, bench->plan.tcp, bench->plan.spin,
                                                 &bench->private);
                if (status != 0)
                        return status;
                bench->is_private = true;
                ctl->globals[GLOBAL_ADDRESS] = (struct option_value){.given = true, .text = bench->private.address};
                if (bench->plan.tcp)
                        ctl->globals[GLOBAL_TOKEN_FILE] =
                                (struct option_value){.given = true, .text = bench->private.token_file};
        }
        return look_at_broker(bench);
}

static int make_room(struct bench *bench) {
        bench->results = calloc(bench->plan.point_count, sizeof(*bench->results));
        for (size_t i = 0; bench->results && i < bench->plan.point_count; i++)
                for (int side = 0; side < BENCH_SIDES; side++) {
                        bench->results[i].measures[side] = calloc(bench->plan.rounds, sizeof(struct bench_measure));
                        if (!bench->results[i].measures[side])
                                return ctl_error(bench->ctl, NULL, -ENOMEM, NULL);
                }
        return bench->results ? 0 : ctl_error(bench->ctl, NULL, -ENOMEM, NULL);
}

static void clear(struct bench *bench) {
        for (size_t i = 0; bench->results && i < bench->plan.point_count; i++)
                for (int side = 0; side < BENCH_SIDES; side++)
                        free(bench->results[i].measures[side]);
        free(bench->results);
        bench_plan_free(&bench->plan);
}

/* Finds out before the run whether it can be written, does not touch what is there, and leaves nothing. */
static int check_svg(const struct ctl *ctl) {
        const char *path = ctl->values[BENCH_OPT_SVG].text;
        if (!path)
                return 0;
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0)
                unlink(path);
        else if (errno == EEXIST)
                fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 && errno != ENXIO) /* a pipe that nobody reads yet */
                return ctl_fail(ctl, EXIT_SOCKET, "cannot write %s: %s", path, strerror(errno));
        if (fd >= 0)
                close(fd);
        return 0;
}

static int draw(const struct bench *bench) {
        const char *path = bench->ctl->values[BENCH_OPT_SVG].text;
        if (!path || !bench_measured(bench))
                return 0;
        FILE *out = fopen(path, "we");
        bool bad = !out || bench_svg_draw(bench, out) < 0;
        if (out && fclose(out) != 0)
                bad = true;
        return bad ? ctl_fail(bench->ctl, EXIT_SOCKET, "cannot write %s: %s", path, strerror(errno)) : 0;
}

static int report(const struct bench *bench, const struct bench_earlier *earlier) {
        const struct ctl *ctl = bench->ctl;
        int status = ctl->json ? bench_report_json(bench) : bench_report_table(bench);
        if (status == 0 && earlier)
                status = bench_report_compare(bench, earlier);
        int drawn = draw(bench);
        if (bench->note[0])
                ctl_say(ctl, "%s", bench->note);
        return status ? status : drawn;
}

/* ran: status of the run; told: of the report. */
static int judge(const struct bench *bench, int ran, int told) {
        const struct ctl *ctl = bench->ctl;
        uint64_t lost = bench_lost(bench);
        int status = ran ? ran : told;
        if (ran != 0)
                ctl_say(ctl, "%s: %s", interrupt_signal() ? "interrupted" : "not finished",
                        bench_measured(bench) ? "the figures are what was measured until then"
                                              : "nothing was measured until then");
        if (lost > 0)
                return ctl_fail(ctl, status ? status : EXIT_REFUSED,
                                "%llu messages did not come, or not as they were sent", (unsigned long long)lost);
        return status;
}

static int run(struct ctl *ctl) {
        struct bench bench = {.ctl = ctl, .progress = isatty(STDERR_FILENO), .private = {.hold = -1}};
        struct bench_earlier *earlier = NULL;
        const char *compare = ctl->values[BENCH_OPT_COMPARE].text;
        interrupt_hold(true);
        int status = bench_plan_read(ctl, &bench.plan);
        if (status == 0 && compare)
                status = bench_earlier_read(ctl, compare, bench.plan.scenario, &earlier);
        if (status == 0)
                status = check_svg(ctl);
        if (status == 0)
                status = make_room(&bench);
        if (status == 0)
                status = find_broker(&bench);
        if (status == 0) {
                status = bench_run(&bench);
                status = judge(&bench, status, report(&bench, earlier));
        }
        bench_private_stop(&bench.private);
        bench_earlier_free(earlier);
        clear(&bench);
        interrupt_hold(false);
        return status;
}

const struct verb verb_bench = {
        .name = "bench",
        .words = "SCENARIO",
        .summary = "measure the bus, beside a bare relay",
        .about = "Measures a broker: the one that all verbs reach, or with --private one that is started for it. Each\n"
                 "round runs the scenario over a bare relay first (sockets, epoll, lengths, and nothing else: the\n"
                 "floor on this machine) and then over the bus.\n"
                 "  rtt        a call and its answer, one at a time\n"
                 "  pub        one publisher, one subscriber\n"
                 "  fanout     one publisher, several subscribers\n"
                 "  calls      calls, many in flight\n"
                 "  connect    connect, say hello, go\n"
                 "  interests  pub beside many other interests, and alone; what one costs\n"
                 "  idle       many connections that do nothing; what one costs\n"
                 "  relay      the bare relay alone: rtt, pub, fanout, calls, connect; needs no broker\n"
                 "Every source and every sink is a process of its own. Every payload is checked; LOST must be 0, or\n"
                 "the exit status is not. RATE, times and CPU (of the broker, a message; idle: a second) are\n"
                 "medians over the rounds; 'x' is the ratio to the relay, of rounds side by side.\n"
                 "One of the options that say N,... or BYTES,... may be a list: then there is a row for each.\n"
                 "--json: one object, see docs/command.md.\n",
        .options = bench_options,
        .option_count = BENCH_OPTIONS,
        .words_min = 1,
        .words_max = 1,
        .word = {WORD_SCENARIO, WORD_SCENARIO},
        .run = run,
        .inspect = true,
};
