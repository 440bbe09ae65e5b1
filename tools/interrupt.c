/* SPDX-License-Identifier: MIT */
#include "interrupt.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

/* The one state of the process that is not passed around: a signal handler has no argument to find it by. */
static struct {
        ramal_conn *volatile conn;
        volatile sig_atomic_t signal, held;
} interrupt;

static void on_signal(int number) {
        ramal_conn *conn = interrupt.conn;
        if ((!conn && !interrupt.held) || interrupt.signal)
                _exit(128 + number);
        interrupt.signal = number;
        if (conn)
                ramal_stop(conn, 0);
}

void interrupt_install(void) {
        static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
        /* Without SA_RESTART: reading from a terminal must end too. */
        struct sigaction action = {.sa_handler = on_signal}, before;
        sigemptyset(&action.sa_mask);
        for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
                /* nohup has us ignore SIGHUP, and that stays. (A shell's background jobs ignore SIGINT, too; but then
                 * whoever sends one means us.) */
                bool ignored = sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler == SIG_IGN;
                if (numbers[i] != SIGHUP || !ignored)
                        sigaction(numbers[i], &action, NULL);
        }
        /* A reader that goes away ends us quietly. The library's own sockets raise no SIGPIPE. */
        signal(SIGPIPE, SIG_DFL);
}

void interrupt_watch(ramal_conn *conn) {
        interrupt.conn = conn;
}

void interrupt_hold(bool on) {
        interrupt.held = on;
}

int interrupt_signal(void) {
        return interrupt.signal;
}
