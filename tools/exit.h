/* SPDX-License-Identifier: MIT */
/* How the command ends. ramald keeps to the same table. `ramal help exit` prints it. */
#ifndef RAMAL_TOOLS_EXIT_H
#define RAMAL_TOOLS_EXIT_H

enum exit_status {
        EXIT_OK = 0,
        EXIT_REFUSED = 1,      /* refused, or the service answered with an error of its own */
        EXIT_USAGE = 64,       /* the command line is wrong */
        EXIT_DATA = 65,        /* bad data: a pattern published to, a malformed pattern, a payload too large */
        EXIT_UNAVAILABLE = 69, /* no broker, no responder, the responder is gone */
        EXIT_ADDRESS = 71,     /* address in use or not permitted */
        EXIT_SOCKET = 73,      /* the socket's path cannot be used */
        EXIT_LATER = 75,       /* deadline, over limit, would block */
        EXIT_DENIED = 77,
        EXIT_CONFIG = 78,      /* configuration: a bad address, a token file that cannot be used */
        EXIT_INTERRUPTED = 130 /* Ctrl-C; any other signal: 128 + its number */
};

#define EXIT_TABLE                                                                                                     \
        "  0    done\n"                                                                                                \
        "  1    refused; or the service answered with an error of its own\n"                                           \
        " 64    wrong usage\n"                                                                                         \
        " 65    bad data: a pattern published to, a malformed subject or pattern, too large\n"                         \
        " 69    no broker, nobody listens (--need-receiver), nobody serves it, the service is gone\n"                  \
        " 71    address in use or not permitted\n"                                                                     \
        " 73    socket path cannot be used\n"                                                                          \
        " 75    deadline passed, over a limit, would block\n"                                                          \
        " 77    denied\n"                                                                                              \
        " 78    configuration: a bad address or token file\n"                                                          \
        "130    ended by Ctrl-C\n"

#endif
