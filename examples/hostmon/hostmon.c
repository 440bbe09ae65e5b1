/* SPDX-License-Identifier: MIT */
/* hostmon: publishes what this machine does, five times a second, and answers who asks for all of it at once. The
 * subjects and messages are in hostmon.proto.
 *
 *   protoc-c --c_out=. hostmon.proto
 *   cc -o hostmon hostmon.c cpu.c disk.c load.c memory.c net.c reading.c report.c text.c token.c hostmon.pb-c.c \
 *      $(pkg-config --cflags --libs ramal libprotobuf-c)
 */
#define _GNU_SOURCE /* sigaction, gethostname, getopt_long */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <ramal/ramal.h>

#include "report.h"
#include "token.h"

#define PERIOD_MS 200u
#define OPEN_MS 5000u

struct hostmon {
        ramal_conn *conn;
        char name[TOKEN_BYTES];  /* the host's own */
        char token[TOKEN_BYTES]; /* as a token */
        struct proc proc;
        struct reading readings[2];
        unsigned turn; /* the present reading; the other one is that before */
        bool has_before;
        bool serving;
};

/* A signal handler has no other way to find it. */
static ramal_conn *stop_conn;

static void on_signal(int number) {
        (void)number;
        ramal_stop(stop_conn, 0);
}

static const struct reading *now_of(const struct hostmon *self) {
        return &self->readings[self->turn];
}

static const struct reading *before_of(const struct hostmon *self) {
        return self->has_before ? &self->readings[!self->turn] : NULL;
}

static void on_snapshot(ramal_conn *conn, ramal_req *request, void *user) {
        const struct hostmon *self = user;

        (void)conn;
        report_snapshot(request, self->name, now_of(self), before_of(self));
}

/* What the broker did not want. It goes on: a limit that was met now may not be met next time. */
static void on_refused(ramal_conn *conn, const ramal_refusal *refusal, void *user) {
        const struct hostmon *self = user;

        (void)conn;
        if (self->serving) /* before that, serve() tells */
                fprintf(stderr, "hostmon: refused: %s\n", refusal->error->message);
}

static int fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int fail(int status, const char *format, ...) {
        va_list args;

        va_start(args, format);
        fputs("hostmon: ", stderr);
        vfprintf(stderr, format, args);
        fputc('\n', stderr);
        va_end(args);
        return status;
}

/* Reads and publishes once. Returns 0 or a negative errno. */
static int sample(struct hostmon *self) {
        self->turn = !self->turn;
        proc_read(&self->proc, &self->readings[self->turn]);
        int r = report_publish(self->conn, self->token, now_of(self), before_of(self));
        self->has_before = true;
        /* The library connects again by itself; what could not be said meanwhile is old then. */
        return r == -ENOTCONN || r == -ECONNRESET || r == -EAGAIN ? 0 : r;
}

/* Returns the exit status. */
static int run(struct hostmon *self) {
        uint64_t next = ramal_now();

        for (;;) {
                if (ramal_now() >= next) {
                        int r = sample(self);
                        if (r < 0)
                                return fail(EX_SOFTWARE, "cannot publish: %s", ramal_strerror(r));
                        /* On the beat, but without a burst after a pause. */
                        next += PERIOD_MS * UINT64_C(1000000);
                        if (next < ramal_now())
                                next = ramal_in_ms(PERIOD_MS);
                }
                int r = ramal_wait(self->conn, next);
                if (r == -EINTR)
                        return EX_OK;
                if (r < 0)
                        return fail(EX_UNAVAILABLE, "%s", ramal_conn_error(self->conn)->message);
        }
}

static int serve(struct hostmon *self) {
        char subject[128];
        ramal_sub *service;
        ramal_error error;

        snprintf(subject, sizeof(subject), "host.%s.snapshot", self->token);
        int r = ramal_serve(self->conn, subject, on_snapshot, self, &service);
        if (r < 0)
                return fail(EX_SOFTWARE, "cannot serve %s: %s", subject, ramal_strerror(r));
        r = ramal_sub_confirm(service, ramal_in_ms(OPEN_MS), &error);
        if (r == -EEXIST)
                return fail(EX_UNAVAILABLE,
                            "%s is served already (another hostmon? --name gives this one another name)", subject);
        self->serving = r == 0;
        if (r == -EINTR)
                return EX_OK;
        return r < 0 ? fail(EX_UNAVAILABLE, "cannot serve %s: %s", subject, error.message) : EX_OK;
}

static void catch_signals(ramal_conn *conn) {
        struct sigaction action = {.sa_handler = on_signal};

        stop_conn = conn;
        sigemptyset(&action.sa_mask);
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
}

/* From here on a signal ends the program as it would have without us: the handler must not touch what is freed. */
static void release_signals(void) {
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
}

static const char usage[] =
        "usage: hostmon [--address ADDRESS] [--token-file FILE] [--name NAME] [--proc DIR]\n"
        "\n"
        "Publishes what this machine does on host.NAME.cpu, .mem, .load, .net.<if> and .disk.<dev>, five times a second,\n"
        "and serves host.NAME.snapshot. The messages are in hostmon.proto.\n"
        "\n"
        "  --address ADDRESS  where the broker is (default: RAMAL_ADDRESS, else the user's bus, else the system's)\n"
        "  --token-file FILE  the token that TCP needs\n"
        "  --name NAME        instead of the host's name\n"
        "  --proc DIR         instead of /proc\n"
        "  --help             this text\n";

static void set_name(struct hostmon *self, const char *name) {
        if (!text_name((struct text){name, strnlen(name, sizeof(self->name) - 1)}, self->name, sizeof(self->name)))
                self->name[0] = '\0';
        token_make(self->name, self->token);
}

static int read_options(int argc, char *argv[], ramal_options *options, struct hostmon *self) {
        enum { ADDRESS = 'a', TOKEN_FILE = 't', NAME = 'n', PROC = 'p', HELP = 'h' };
        static const struct option known[] = {
                {"address", required_argument, NULL, ADDRESS},
                {"token-file", required_argument, NULL, TOKEN_FILE},
                {"name", required_argument, NULL, NAME},
                {"proc", required_argument, NULL, PROC},
                {"help", no_argument, NULL, HELP},
                {0},
        };
        int option;

        while ((option = getopt_long(argc, argv, "h", known, NULL)) >= 0) {
                switch (option) {
                case ADDRESS:
                        options->address = optarg;
                        break;
                case TOKEN_FILE:
                        options->token_file = optarg;
                        break;
                case NAME:
                        set_name(self, optarg);
                        break;
                case PROC:
                        self->proc.directory = optarg;
                        break;
                case HELP:
                        fputs(usage, stdout);
                        exit(fflush(stdout) == 0 ? EX_OK : EX_IOERR);
                default:
                        fputs(usage, stderr);
                        return EX_USAGE;
                }
        }
        if (optind == argc)
                return EX_OK;
        return fail(EX_USAGE, "what is \"%s\"? hostmon takes options only, see --help", argv[optind]);
}

/* The connection, the service, the loop. Returns the exit status. */
static int work(struct hostmon *self, const ramal_options *options) {
        ramal_error error;

        if (ramal_open(options, ramal_in_ms(OPEN_MS), &self->conn, &error) < 0)
                return fail(error.code == -EACCES || error.code == -EPERM ? EX_NOPERM : EX_UNAVAILABLE, "%s",
                            error.message);
        catch_signals(self->conn);
        int status = serve(self);
        if (status == EX_OK)
                status = run(self);
        release_signals();
        ramal_close(self->conn);
        return status;
}

int main(int argc, char *argv[]) {
        struct hostmon *self = calloc(1, sizeof(*self));
        ramal_options options = {.size = sizeof(options), .app = "hostmon", .on_refused = on_refused, .user = self};

        if (!self)
                return fail(EX_OSERR, "out of memory");
        char name[256] = "";
        if (gethostname(name, sizeof(name) - 1) < 0)
                name[0] = '\0';
        set_name(self, name);
        proc_init(&self->proc, "/proc");
        int status = read_options(argc, argv, &options, self);
        if (status == EX_OK) {
                if (proc_read(&self->proc, &self->readings[0]) == 0)
                        status = fail(EX_OSERR, "nothing to read in %s: is it mounted? --proc names another place",
                                      self->proc.directory);
                else
                        status = work(self, &options);
        }
        free(self);
        return status;
}
