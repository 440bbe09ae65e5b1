/* SPDX-License-Identifier: MIT */
/* Publishes one message, and says how many got it:  ./publish greetings.world "good morning"
 *
 *   cc -o publish publish.c $(pkg-config --cflags --libs ramal)
 */
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <ramal/ramal.h>

int main(int argc, char *argv[]) {
        ramal_conn *conn;
        ramal_error error;
        uint64_t receivers;

        if (argc != 3)
                errx(EX_USAGE, "usage: publish SUBJECT TEXT");
        /* NULL: the bus that RAMAL_ADDRESS names, else the user's, else the system's. */
        if (ramal_open(NULL, ramal_in_ms(1000), &conn, &error) < 0)
                errx(EX_UNAVAILABLE, "%s", error.message);
        /* ramal_publish() would not wait for the broker's word; a program that publishes all the time uses that. */
        if (ramal_publish_wait(conn, argv[1], argv[2], strlen(argv[2]), NULL, ramal_in_ms(1000), &receivers, &error) <
            0)
                errx(EXIT_FAILURE, "%s", error.message);
        printf("%" PRIu64 " got it\n", receivers);
        ramal_close(conn);
        return 0;
}
