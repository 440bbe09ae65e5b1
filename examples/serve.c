/* SPDX-License-Identifier: MIT */
/* A service that answers with the request in capitals:  ./serve text.upper
 *
 *   cc -o serve serve.c $(pkg-config --cflags --libs ramal)
 */
#include <ctype.h>
#include <err.h>
#include <stdio.h>
#include <sysexits.h>

#include <ramal/ramal.h>

#define TEXT_BYTES_MAX 4096

static void on_request(ramal_conn *conn, ramal_req *request, void *user) {
        size_t len;
        const char *text = ramal_msg_data(ramal_req_msg(request), &len);
        char answer[TEXT_BYTES_MAX];

        (void)conn, (void)user;
        if (len > sizeof(answer)) {
                /* An error of our own: the caller sees this number and this text. */
                ramal_fail(request, 1, "%zu bytes are too many, at most %d", len, TEXT_BYTES_MAX);
                return;
        }
        for (size_t i = 0; i < len; i++)
                answer[i] = (char)toupper((unsigned char)text[i]);
        ramal_reply(request, answer, len); /* the request is gone now; it could also be kept and answered later */
}

int main(int argc, char *argv[]) {
        ramal_conn *conn;
        ramal_sub *service;
        ramal_error error;

        if (argc != 2)
                errx(EX_USAGE, "usage: serve SUBJECT");
        if (ramal_open(NULL, ramal_in_ms(1000), &conn, &error) < 0)
                errx(EX_UNAVAILABLE, "%s", error.message);
        if (ramal_serve(conn, argv[1], on_request, NULL, &service) < 0)
                errx(EX_DATAERR, "%s: %s", argv[1], ramal_conn_error(conn)->message);
        if (ramal_sub_confirm(service, ramal_in_ms(1000), &error) < 0)
                errx(EX_UNAVAILABLE, "%s", error.message);
        printf("serving %s\n", argv[1]);
        fflush(stdout);
        if (ramal_run(conn) < 0)
                errx(EX_UNAVAILABLE, "%s", ramal_conn_error(conn)->message);
        ramal_close(conn);
        return 0;
}
