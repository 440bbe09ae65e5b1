/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bounds.h"
#include "config.h"
#include "notify.h"
#include "server.h"
#include "token.h"

/* Descriptors 0 to 2 must be something, or a socket would take their place and the log would go to a client. */
static int hold_standard_descriptors(void) {
        for (int fd = 0; fd <= 2; fd++)
                if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) /* the lowest free number is this one */
                        return -1;
        return 0;
}

static int flush_stdout(struct failure *failure) {
        char why[80];
        if (fflush(stdout) == 0 && !ferror(stdout)) /* or an earlier part of it was lost */
                return EXIT_OK;
        failure_set(failure, EXIT_SYSTEM, "cannot write to stdout: %s", failure_errno(errno, why, sizeof(why)));
        return EXIT_SYSTEM;
}

static int print_version(struct failure *failure) {
        const char *library = token_library();
        printf("ramald %s\nprotocol %u\n", RAMAL_BUILD_VERSION, RML_VERSION);
        if (library)
                printf("tcp libsodium %s\n", library);
        else
                printf("tcp not built\n");
        return flush_stdout(failure);
}

static int print_help(struct failure *failure) {
        struct config defaults;
        config_defaults(&defaults);
        config_print_help(&defaults);
        return flush_stdout(failure);
}

int main(int argc, char *argv[]) {
        struct config config;
        struct failure failure = {.status = EXIT_SYSTEM};
        struct log log;
        if (hold_standard_descriptors() < 0)
                return EXIT_SYSTEM;
        umask(0077); /* whatever the caller's was: files get their modes by name */
        config_defaults(&config);
        int verb = config_read_arguments(&config, argc, argv, &failure);
        /* Before anything of ours is open: what is open now is the caller's. */
        if (verb == CONFIG_RUN && notify_check_ready_fd(config.ready_fd, &failure) < 0)
                verb = -1;
        log_init(&log, STDERR_FILENO, getenv("JOURNAL_STREAM"), config.log_level);

        int status;
        if (verb < 0)
                status = (int)failure.status;
        else if (verb == CONFIG_HELP)
                status = print_help(&failure);
        else if (verb == CONFIG_VERSION)
                status = print_version(&failure);
        else if (verb == CONFIG_CHECK)
                status = EXIT_OK;
        else
                status = server_run(&config, &log, &failure);
        if (failure.text[0])
                log_say(&log, failure.text);
        log_deinit(&log);
        return status;
}
