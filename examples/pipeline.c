/* SPDX-License-Identifier: MIT */
/* One stage of a pipeline: what is published on IN goes to OUT in capitals. Between programs of one user nothing
 * is lost: whoever publishes on IN is as fast as we are, and we are as fast as whoever listens on OUT; and if something
 * cannot be helped, it is said. To see it: ./pipeline lines.raw lines.loud, then ramal sub lines.loud --overflow block,
 * and ramal pub lines.raw x --count 1000000
 *
 *   cc -o pipeline pipeline.c $(pkg-config --cflags --libs ramal)
 */
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <sysexits.h>

#include <ramal/ramal.h>

static void pass_on(ramal_conn *conn, const ramal_msg *msg, const char *to) {
        ramal_error error;
        size_t len;
        const char *data = ramal_msg_data(msg, &len);
        char *loud = malloc(len + 1);

        if (!loud)
                errx(EX_TEMPFAIL, "no memory left");
        for (size_t i = 0; i < len; i++)
                loud[i] = (char)toupper((unsigned char)data[i]);
        /* Waits while the readers of `to` have enough to do. A message that is good for some time only stays so. */
        ramal_publish_options options = {.size = sizeof(options), .expires = ramal_msg_expires(msg)};
        int r = ramal_publish_block(conn, to, loud, len, &options, RAMAL_NEVER, &error);
        if (r < 0 && r != -ETIMEDOUT)
                errx(EX_UNAVAILABLE, "%s", error.message);
        free(loud);
}

/* With the budget of a reader used up by many publishers, the broker refuses what was taken here. */
static void on_refused(ramal_conn *conn, const ramal_refusal *refusal, void *user) {
        (void)conn;
        (void)user;
        errx(EX_TEMPFAIL, "refused: %s", refusal->error->message);
}

/* We were too slow for too long (limits.stall_max), or whoever publishes is no program of ours. */
static void on_gap(ramal_conn *conn, const ramal_gap *gap, void *user) {
        (void)conn;
        (void)user;
        warnx("%s: %llu messages are missing (%s)", gap->pattern, (unsigned long long)gap->count,
              ramal_why_name(gap->why));
}

int main(int argc, char *argv[]) {
        ramal_conn *conn;
        ramal_sub *sub;
        ramal_msg *msg;
        ramal_error error;
        int r;

        if (argc != 3)
                errx(EX_USAGE, "usage: pipeline IN OUT");
        if (ramal_open(RAMAL_OPTIONS(.on_refused = on_refused), ramal_in_ms(1000), &conn, &error) < 0)
                errx(EX_UNAVAILABLE, "%s", error.message);
        /* Pulled, not called back: inside a callback of a connection that holds others back, waiting for room could
         * be waiting in a circle, and ramal_publish_block() answers -EDEADLK there. */
        ramal_interest interest = {
                .size = sizeof(interest), .pattern = argv[1], .overflow = RAMAL_OVERFLOW_BLOCK, .on_gap = on_gap};
        if (ramal_subscribe_with(conn, &interest, NULL, NULL, &sub) < 0)
                errx(EX_DATAERR, "%s: %s", argv[1], ramal_conn_error(conn)->message);
        if (ramal_sub_confirm(sub, ramal_in_ms(1000), &error) < 0)
                errx(EX_UNAVAILABLE, "%s", error.message);
        /* What we took is confirmed when we ask for the next one. */
        while ((r = ramal_sub_next(sub, RAMAL_NEVER, &msg)) == 0) {
                pass_on(conn, msg, argv[2]);
                ramal_msg_unref(msg);
        }
        errx(EX_UNAVAILABLE, "%s: %s", argv[1], ramal_strerror(r));
}
