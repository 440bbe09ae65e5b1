/* SPDX-License-Identifier: MIT */
/* Prints what is published on a pattern of subjects:  ./subscribe 'greetings.>'
 *
 *   cc -o subscribe subscribe.c $(pkg-config --cflags --libs ramal)
 */
#include <err.h>
#include <stdio.h>
#include <sysexits.h>

#include <ramal/ramal.h>

static void on_message(ramal_conn *conn, const ramal_msg *msg, void *user) {
        size_t len;
        const void *data = ramal_msg_data(msg, &len); /* not a C string: it is whatever the sender sent */

        (void)conn, (void)user;
        printf("%s: %.*s\n", ramal_msg_subject(msg), (int)len, (const char *)data);
        fflush(stdout);
}

int main(int argc, char *argv[]) {
        ramal_conn *conn;
        ramal_error error;

        if (argc != 2)
                errx(EX_USAGE, "usage: subscribe PATTERN");
        if (ramal_open(NULL, ramal_in_ms(1000), &conn, &error) < 0)
                errx(EX_UNAVAILABLE, "%s", error.message);
        if (ramal_subscribe(conn, argv[1], on_message, NULL, NULL) < 0)
                errx(EX_DATAERR, "%s: %s", argv[1], ramal_conn_error(conn)->message);
        if (ramal_run(conn) < 0) /* only ramal_stop() or an error ends it: a lost connection is made again */
                errx(EX_UNAVAILABLE, "%s", ramal_conn_error(conn)->message);
        ramal_close(conn);
        return 0;
}
