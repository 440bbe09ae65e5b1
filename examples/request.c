/* SPDX-License-Identifier: MIT */
/* Asks, and prints the one answer:  ./request text.upper "good morning"
 *
 *   cc -o request request.c $(pkg-config --cflags --libs ramal)
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <ramal/ramal.h>

int main(int argc, char *argv[]) {
        ramal_conn *conn;
        ramal_error error;
        ramal_msg *reply;

        if (argc != 3)
                errx(EX_USAGE, "usage: request SUBJECT TEXT");
        if (ramal_open(NULL, ramal_in_ms(1000), &conn, &error) < 0)
                errx(EX_UNAVAILABLE, "%s", error.message);
        /* At once when nobody serves it, or when the service dies; else with the answer; at the latest after two seconds. */
        if (ramal_request(conn, argv[1], argv[2], strlen(argv[2]), ramal_in_ms(2000), &reply, &error) < 0)
                errx(EXIT_FAILURE, "%s", error.message);

        size_t len;
        const void *data = ramal_msg_data(reply, &len);
        fwrite(data, 1, len, stdout);
        putchar('\n');
        ramal_msg_unref(reply);
        ramal_close(conn);
        return 0;
}
