/* SPDX-License-Identifier: MIT */
/* A program that does one thing with libramal, in rounds of so many messages that the same number of rounds always
 * takes the same instructions: nothing is sent before the round before is done.
 *
 *   gates_client publish|receive|request|serve ADDRESS MESSAGES ROUNDS
 *
 * publish  MESSAGES at once, then waits until the broker has dealt with them
 * receive  writes a byte to its standard output when its interest is there, and one after each round
 * request  MESSAGES requests at once, then waits for all answers
 * serve    writes a byte when it is there, and answers what comes */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <ramal/ramal.h>

enum { PAYLOAD_BYTES = 64, WAIT_MS = 60000 };

static const char SUBJECT[] = "bench.hot", SERVICE[] = "bench.svc";

struct count {
        unsigned long messages, all; /* of a round; how many there were in all */
        bool tells;                  /* each round, on standard output */
};

static void tell(void) {
        if (write(STDOUT_FILENO, "k", 1) != 1)
                err(EX_IOERR, "standard output");
}

static void count(struct count *count) {
        if (++count->all % count->messages == 0 && count->tells)
                tell();
}

static void on_message(ramal_conn *conn, const ramal_msg *msg, void *user) {
        size_t len;

        (void)conn;
        if (!ramal_msg_data(msg, &len) || len != PAYLOAD_BYTES)
                errx(EX_SOFTWARE, "a message of %zu bytes", len);
        count(user);
}

static void on_request(ramal_conn *conn, ramal_req *req, void *user) {
        size_t len;
        const void *data = ramal_msg_data(ramal_req_msg(req), &len);

        (void)conn;
        if (ramal_reply(req, data, len) < 0)
                errx(EX_SOFTWARE, "a reply was not taken");
        count(user);
}

static void on_reply(ramal_conn *conn, int result, const ramal_msg *reply, const ramal_error *error, void *user) {
        (void)conn, (void)reply;
        if (result != 0)
                errx(EX_SOFTWARE, "a request ended with %d: %s", result, error ? error->message : "more follows");
        count(user);
}

static void must(ramal_conn *conn, int result) {
        if (result < 0)
                errx(EX_SOFTWARE, "%s: %s", strerror(-result), ramal_conn_error(conn)->message);
}

static void wait_until(ramal_conn *conn, const struct count *count, unsigned long all) {
        while (count->all < all) {
                int n = ramal_wait(conn, ramal_in_ms(WAIT_MS));

                must(conn, n);
                if (n == 0)
                        errx(EX_TEMPFAIL, "nothing came for %d seconds", WAIT_MS / 1000);
        }
}

static void publish(ramal_conn *conn, struct count *count, unsigned long rounds) {
        static const char payload[PAYLOAD_BYTES];

        for (unsigned long round = 0; round < rounds; round++) {
                ramal_cork(conn);
                for (unsigned long i = 0; i < count->messages; i++)
                        must(conn, ramal_publish(conn, SUBJECT, payload, sizeof payload));
                must(conn, ramal_uncork(conn));
                must(conn, ramal_sync(conn, ramal_in_ms(WAIT_MS)));
        }
}

static void receive(ramal_conn *conn, struct count *count, unsigned long rounds) {
        ramal_sub *sub;

        count->tells = true;
        must(conn, ramal_subscribe(conn, SUBJECT, on_message, count, &sub));
        must(conn, ramal_sub_confirm(sub, ramal_in_ms(WAIT_MS), NULL));
        tell();
        wait_until(conn, count, count->messages * rounds);
}

static void request(ramal_conn *conn, struct count *count, unsigned long rounds) {
        static const char payload[PAYLOAD_BYTES];

        for (unsigned long round = 0; round < rounds; round++) {
                ramal_cork(conn);
                for (unsigned long i = 0; i < count->messages; i++)
                        must(conn, ramal_request_async(conn, SERVICE, payload, sizeof payload, RAMAL_NEVER, on_reply,
                                                       count, NULL));
                must(conn, ramal_uncork(conn));
                wait_until(conn, count, (round + 1) * count->messages);
        }
}

static void serve(ramal_conn *conn, struct count *count, unsigned long rounds) {
        ramal_sub *sub;

        must(conn, ramal_serve(conn, SERVICE, on_request, count, &sub));
        must(conn, ramal_sub_confirm(sub, ramal_in_ms(WAIT_MS), NULL));
        tell();
        wait_until(conn, count, count->messages * rounds);
}

int main(int argc, char *argv[]) {
        static const struct {
                const char *name;
                void (*run)(ramal_conn *conn, struct count *count, unsigned long rounds);
        } modes[] = {{"publish", publish}, {"receive", receive}, {"request", request}, {"serve", serve}};
        struct count counted = {.messages = argc == 5 ? strtoul(argv[3], NULL, 10) : 0};

        for (size_t i = 0; counted.messages > 0 && i < sizeof modes / sizeof *modes; i++) {
                ramal_conn *conn;
                ramal_error error;

                if (strcmp(argv[1], modes[i].name) != 0)
                        continue;
                if (ramal_open(RAMAL_OPTIONS(.address = argv[2], .no_reconnect = true, .no_spin = true),
                               ramal_in_ms(WAIT_MS), &conn, &error) < 0)
                        errx(EX_UNAVAILABLE, "%s", error.message);
                modes[i].run(conn, &counted, strtoul(argv[4], NULL, 10));
                return ramal_close(conn) == 0 ? EX_OK : EX_SOFTWARE;
        }
        errx(EX_USAGE, "usage: gates_client publish|receive|request|serve ADDRESS MESSAGES ROUNDS");
}
