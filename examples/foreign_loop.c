/* SPDX-License-Identifier: MIT */
/* A chat, in a loop that is not ramal's: epoll waits for the terminal and for the bus, which is one descriptor that
 * stays the same, whatever happens to the connection.  ./foreign_loop chat.lobby
 *
 *   cc -o foreign_loop foreign_loop.c $(pkg-config --cflags --libs ramal)
 */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sysexits.h>
#include <unistd.h>

#include <ramal/ramal.h>

static void on_message(ramal_conn *conn, const ramal_msg *msg, void *user) {
        size_t len;
        const void *data = ramal_msg_data(msg, &len);

        (void)user;
        if (ramal_msg_sender(msg)->peer == ramal_conn_peer(conn))
                return; /* our own words come back to us as to everybody */
        printf("%.*s\n", (int)len, (const char *)data);
        fflush(stdout);
}

static void watch(int epoll, int fd) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
                err(EX_OSERR, "epoll_ctl");
}

/* Says what was typed. Returns 0 at the end of input. */
static int read_terminal(ramal_conn *conn, const char *subject) {
        char line[1024];
        ssize_t n = read(STDIN_FILENO, line, sizeof(line));

        if (n <= 0)
                return 0;
        if (line[n - 1] == '\n')
                n--;
        int r = ramal_publish(conn, subject, line, (size_t)n);
        if (r < 0)
                warnx("not said: %s", ramal_strerror(r));
        return 1;
}

int main(int argc, char *argv[]) {
        ramal_conn *conn;
        ramal_error error;
        struct epoll_event events[2];
        int epoll = epoll_create1(EPOLL_CLOEXEC), going = 1;

        if (argc != 2 || epoll < 0)
                errx(EX_USAGE, "usage: foreign_loop SUBJECT");
        if (ramal_open(NULL, ramal_in_ms(1000), &conn, &error) < 0)
                errx(EX_UNAVAILABLE, "%s", error.message);
        if (ramal_subscribe(conn, argv[1], on_message, NULL, NULL) < 0)
                errx(EX_DATAERR, "%s: %s", argv[1], ramal_conn_error(conn)->message);
        watch(epoll, STDIN_FILENO);
        watch(epoll, ramal_conn_fd(conn));

        while (going) {
                int n = epoll_wait(epoll, events, 2, -1);
                if (n < 0 && errno != EINTR)
                        err(EX_OSERR, "epoll_wait");
                for (int i = 0; i < n; i++) {
                        if (events[i].data.fd == STDIN_FILENO)
                                going = read_terminal(conn, argv[1]);
                        else if (ramal_dispatch(conn, 0) < 0) /* never blocks */
                                errx(EX_UNAVAILABLE, "%s", ramal_conn_error(conn)->message);
                }
        }
        ramal_close(conn); /* sends what is left */
        close(epoll);
        return 0;
}
