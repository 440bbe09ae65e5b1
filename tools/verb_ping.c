/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "json.h"
#include "text.h"
#include "units.h"

#include "ctl.h"

enum { PING_COUNT, PING_EVERY };

static const struct option_def options[] = {
        [PING_COUNT] = {"count", 'n', OPTION_COUNT, "N", "N times (1)", NULL},
        [PING_EVERY] = {"every", 'e', OPTION_TIME, "TIME", "pause so long between two (1s)", NULL},
};

struct trips {
        uint64_t count, sum, min, max;
};

static void show(const struct ctl *ctl, struct trips *trips, uint64_t ns) {
        char text[UNITS_TEXT];
        trips->count++;
        trips->sum += ns;
        trips->min = ns < trips->min ? ns : trips->min;
        trips->max = ns > trips->max ? ns : trips->max;
        if (ctl->json) {
                struct json json = json_on(stdout);
                json_open_object(&json, NULL);
                json_number(&json, "seq", trips->count);
                json_thousandths(&json, "rtt_us", ns);
                json_text(&json, "address", ramal_conn_address(ctl->conn));
                json_text(&json, "server", ramal_conn_server(ctl->conn));
                json_end(&json);
                return;
        }
        const char *server = ramal_conn_server(ctl->conn), *address = ramal_conn_address(ctl->conn);
        text_print(stdout, server, strlen(server), TEXT_LINE);
        fputs(" at ", stdout);
        text_print(stdout, address, strlen(address), TEXT_LINE);
        printf(": %s\n", units_time(text, ns));
}

static void summary(const struct ctl *ctl, const struct trips *trips) {
        char min[UNITS_TEXT], mean[UNITS_TEXT], max[UNITS_TEXT];
        if (ctl->json || trips->count < 2)
                return;
        printf("%" PRIu64 " round trips: min %s, mean %s, max %s\n", trips->count, units_time(min, trips->min),
               units_time(mean, trips->sum / trips->count), units_time(max, trips->max));
}

static int pause_for(const struct ctl *ctl, uint64_t ns) {
        uint64_t next = ramal_now() + ns;
        int r = ctl_flush();
        while (r >= 0 && ramal_now() < next)
                r = ramal_wait(ctl->conn, next);
        return r < 0 ? r : 0;
}

static int run(struct ctl *ctl) {
        const struct option_value *count = &ctl->values[PING_COUNT], *every = &ctl->values[PING_EVERY];
        uint64_t times = count->given ? count->number : every->given ? UINT64_MAX : 1;
        struct trips trips = {.min = UINT64_MAX};
        int status = ctl_connect(ctl, 0), r = 0;
        if (status != 0)
                return status;
        while (r == 0 && trips.count < times) {
                if (trips.count > 0)
                        r = pause_for(ctl, every->given ? every->number : UINT64_C(1000000000));
                uint64_t start = ramal_now();
                if (r == 0)
                        r = ramal_sync(ctl->conn, ctl_deadline(ctl));
                if (r == 0)
                        show(ctl, &trips, ramal_now() - start);
        }
        if (r == 0 || r == -EINTR)
                summary(ctl, &trips);
        if (r != -EINTR && ferror(stdout))
                return EXIT_OK; /* ctl_close() says it */
        return r < 0 ? ctl_error(ctl, NULL, r, ramal_conn_error(ctl->conn)) : EXIT_OK;
}

const struct verb verb_ping = {
        .name = "ping",
        .words = "",
        .summary = "is the broker there, and how fast does it answer",
        .about = "Measures the time to the broker and back.\n"
                 "--json: an object a line: {\"seq\", \"rtt_us\", \"address\", \"server\"}.\n",
        VERB_OPTIONS(options),
        .run = run,
        .inspect = true,
};
