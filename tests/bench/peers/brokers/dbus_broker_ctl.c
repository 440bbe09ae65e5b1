/* SPDX-License-Identifier: MIT */
/* dbus_broker_ctl.c - minimal controller for a private dbus-broker, in place of
 * dbus-broker-launch (which wants a systemd manager to talk to).
 *   dbus_broker_ctl unix:PATH      prints the broker's pid, then serves it
 * One listener, a policy that allows everything, limits out of the way. */
#define _GNU_SOURCE
#include "../peer.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define BATCH                                                                                                          \
        "bt"                                                                                                           \
        "a(btbs)"                                                                                                      \
        "a(btssssuutt)"                                                                                                \
        "a(btssssuutt)"
#define POLICY                                                                                                         \
        "a(u(" BATCH "))"                                                                                              \
        "a(buu(" BATCH "))"                                                                                            \
        "a(ss)"                                                                                                        \
        "bs"
#define T(x)                                                                                                           \
        do {                                                                                                           \
                int r_ = (x);                                                                                          \
                if (r_ < 0) {                                                                                          \
                        fprintf(stderr, "%s: %s\n", #x, strerror(-r_));                                                \
                        exit(1);                                                                                       \
                }                                                                                                      \
        } while (0)

static void policy(sd_bus_message *m) {
        T(sd_bus_message_open_container(m, 'v', "(" POLICY ")"));
        T(sd_bus_message_open_container(m, 'r', POLICY));
        T(sd_bus_message_open_container(m, 'a', "(u(" BATCH "))"));
        T(sd_bus_message_open_container(m, 'r', "u(" BATCH ")"));
        T(sd_bus_message_append(m, "u", (uint32_t)-1)); /* every uid */
        T(sd_bus_message_open_container(m, 'r', BATCH));
        T(sd_bus_message_append(m, BATCH, 1, UINT64_C(1), 1, 1, UINT64_C(1), 1, "", 1, 1, UINT64_C(1), "", "", "", "",
                                0, 0, UINT64_C(0), UINT64_C(0), 1, 1, UINT64_C(1), "", "", "", "", 0, 0, UINT64_C(0),
                                UINT64_C(0)));
        T(sd_bus_message_close_container(m));
        T(sd_bus_message_close_container(m));
        T(sd_bus_message_close_container(m));
        T(sd_bus_message_open_container(m, 'a', "(buu(" BATCH "))"));
        T(sd_bus_message_close_container(m));
        T(sd_bus_message_append(m, "a(ss)", 0));
        T(sd_bus_message_append(m, "bs", 0, "session")); /* no AppArmor; bus type */
        T(sd_bus_message_close_container(m));
        T(sd_bus_message_close_container(m));
}

int main(int argc, char **argv) {
        int sv[2];
        if (argc < 2)
                return 2;
        int l = listen_on(argv[1], 4096);
        if (l < 0) {
                perror("listen");
                return 1;
        }
        fcntl(l, F_SETFL, O_NONBLOCK);
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv))
                return 1;
        pid_t p = fork();
        if (p == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (sv[1] == 3)
                        fcntl(3, F_SETFD, 0);
                else
                        dup2(sv[1], 3);
                execlp("dbus-broker", "dbus-broker", "--controller", "3", "--machine-id",
                       "0123456789abcdef0123456789abcdef", "--max-matches", "100000000", "--max-objects", "100000000",
                       "--max-bytes", "4000000000", "--max-fds", "100000", (char *)NULL);
                _exit(127);
        }
        close(sv[1]);
        sd_bus *bus;
        sd_bus_message *m;
        sd_bus_error e = SD_BUS_ERROR_NULL;
        T(sd_bus_new(&bus));
        T(sd_bus_set_fd(bus, sv[0], sv[0]));
        T(sd_bus_start(bus));
        T(sd_bus_message_new_method_call(bus, &m, NULL, "/org/bus1/DBus/Broker", "org.bus1.DBus.Broker",
                                         "AddListener"));
        T(sd_bus_message_append(m, "oh", "/org/bus1/DBus/Listener/0", l));
        policy(m);
        if (sd_bus_call(bus, m, 0, &e, NULL) < 0) {
                fprintf(stderr, "AddListener: %s: %s\n", e.name, e.message);
                return 1;
        }
        close(l);
        printf("%d\n", (int)p);
        fflush(stdout);
        for (;;) { /* the broker reports names and activations here; none matter */
                int r = sd_bus_process(bus, NULL);
                if (r < 0)
                        return 0;
                if (r == 0)
                        T(sd_bus_wait(bus, UINT64_MAX));
        }
}
