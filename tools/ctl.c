/* SPDX-License-Identifier: MIT */
#include "ctl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "interrupt.h"
#include "text.h"

#define DEFAULT_TIMEOUT_NS UINT64_C(5000000000)

const char *ctl_word(const struct ctl *ctl, size_t n) {
        return n < ctl->word_count ? ctl->words[n] : NULL;
}

static uint64_t after(uint64_t ns) {
        uint64_t now = ramal_now();
        return ns > RAMAL_NEVER - now ? RAMAL_NEVER : now + ns;
}

uint64_t ctl_deadline(const struct ctl *ctl) {
        const struct option_value *timeout = &ctl->globals[GLOBAL_TIMEOUT];
        return after(timeout->given ? timeout->number : DEFAULT_TIMEOUT_NS);
}

uint64_t ctl_patience(const struct ctl *ctl) {
        const struct option_value *timeout = &ctl->globals[GLOBAL_TIMEOUT];
        return timeout->given ? after(timeout->number) : RAMAL_NEVER;
}

/* ---- talk ---- */

__attribute__((format(printf, 3, 0))) static void say(const struct ctl *ctl, enum text_keep keep, const char *format,
                                                      va_list list) {
        char *line = NULL;
        int length = vasprintf(&line, format, list);
        if (length < 0)
                return;
        fflush(stdout);
        fprintf(stderr, "ramal: %s%s", ctl->verb ? ctl->verb->name : "", ctl->verb ? ": " : "");
        text_print(stderr, line, (size_t)length, keep);
        putc('\n', stderr);
        free(line);
}

__attribute__((format(printf, 3, 4))) static void say_lines(const struct ctl *ctl, enum text_keep keep,
                                                            const char *format, ...) {
        va_list list;
        va_start(list, format);
        say(ctl, keep, format, list);
        va_end(list);
}

void ctl_say(const struct ctl *ctl, const char *format, ...) {
        va_list list;
        va_start(list, format);
        say(ctl, TEXT_LINE, format, list);
        va_end(list);
}

int ctl_fail(const struct ctl *ctl, int status, const char *format, ...) {
        va_list list;
        va_start(list, format);
        say(ctl, TEXT_LINE, format, list);
        va_end(list);
        return status;
}

int ctl_usage(const struct ctl *ctl, const char *format, ...) {
        char line[1024];
        va_list list;
        va_start(list, format);
        vsnprintf(line, sizeof(line), format, list);
        va_end(list);
        size_t length = strlen(line);
        bool question = length > 0 && line[length - 1] == '?';
        ctl_say(ctl, "%s%s 'ramal help%s%s'", line, question ? " See" : "; see", ctl->verb ? " " : "",
                ctl->verb ? ctl->verb->name : "");
        return EXIT_USAGE;
}

int ctl_no_verb(const struct ctl *ctl, const char *word) {
        const char *nearest = verbs_nearest(word);
        return ctl_usage(ctl, "no verb '%s'%s%s%s", word, nearest ? ": did you mean '" : "", nearest ? nearest : "",
                         nearest ? "'?" : "");
}

/* ---- errors ---- */

int ctl_exit_status(int code) {
        switch (code) {
        case 0:
                return EXIT_OK;
        case -EINTR:
                return interrupt_signal() ? 128 + interrupt_signal() : EXIT_INTERRUPTED;
        case -EINVAL:
        case -EMSGSIZE:
                return EXIT_DATA;
        case -ECONNREFUSED:
        case -ECONNRESET:
        case -ENOTCONN:
        case -ESHUTDOWN:
        case -ENOENT:
        case -EHOSTDOWN:
        case -EPROTO:
                return EXIT_UNAVAILABLE;
        case -ETIMEDOUT:
        case -ETIME:
        case -EDQUOT:
        case -EAGAIN:
        case -ENOMEM:
        case -EMFILE:
                return EXIT_LATER;
        case -EACCES:
        case -EPERM:
                return EXIT_DENIED;
        case -ENOKEY:
                return EXIT_CONFIG;
        default:
                return EXIT_REFUSED;
        }
}

/* What to do about it, where the message of the library does not say so itself. */
static const char *advice(const struct ctl *ctl, int code) {
        switch (code) {
        case -ENOKEY:
                return ctl->globals[GLOBAL_TOKEN_FILE].given ? NULL : "say where it is with --token-file";
        case -ENOENT:
                return "start the service, or wait for it with 'ramal wait'";
        case -ETIMEDOUT:
                return "give it longer with --timeout";
        case -ENXIO:
                return "see 'ramal list'";
        case -EDQUOT:
                return "see 'ramal status --limits'";
        case -ESHUTDOWN:
        case -ECONNRESET:
                return "is the broker still there? see 'ramal ping'";
        default:
                return NULL;
        }
}

int ctl_error(const struct ctl *ctl, const char *what, int code, const ramal_error *err) {
        if (code == -EINTR)
                return ctl_exit_status(code);
        const char *message = err && err->code && err->message[0] ? err->message : ramal_strerror(code);
        const char *todo = advice(ctl, code);
        /* Only the list of addresses that were tried has more than one line, and it is the library's own. */
        enum text_keep keep = code == -ECONNREFUSED ? TEXT_LINES : TEXT_LINE;
        char service[32] = "";
        /* Some of the library's messages name it themselves. */
        if (what && strncmp(message, what, strlen(what)) == 0 && message[strlen(what)] == ':')
                what = NULL;
        if (what && !*what)
                what = "''";
        if (code == -EREMOTEIO && err)
                snprintf(service, sizeof(service), "error %u: ", (unsigned)err->remote);
        /* The limit that was met, where the broker's text does not name it. */
        char limit[128] = "";
        if (err && err->limit[0] && !strstr(message, err->limit))
                snprintf(limit, sizeof(limit), " (%s = %llu)", err->limit, (unsigned long long)err->value);
        say_lines(ctl, keep, "%s%s%s%s%s%s%s%s", what ? what : "", what ? ": " : "", service, message,
                  code == -EHOSTDOWN && err && err->may_have_run ? " (it may have run)" : "", limit, todo ? ": " : "",
                  todo ? todo : "");
        return ctl_exit_status(code);
}

/* ---- the connection ---- */

static void on_state(ramal_conn *conn, const ramal_state_change *change, void *user) {
        struct ctl *ctl = user;
        const char *why = change->error ? change->error->message : "";
        (void)conn;
        if (change->unconfirmed > 0)
                ctl_say(ctl, "%llu messages may not have reached the broker", (unsigned long long)change->unconfirmed);
        if (change->state == RAMAL_CONNECTING && change->before >= RAMAL_CONNECTED)
                ctl_say(ctl, "the broker is gone%s%s: trying to reach it again", *why ? ": " : "", why);
        else if (change->state == RAMAL_CONNECTED && change->before == RAMAL_CONNECTING && ctl->conn)
                ctl_say(ctl, "connected again; what was sent to us meanwhile is lost");
        else if (change->state == RAMAL_CLOSED)
                ctl->gone = true;
}

/* Wrong addresses are the command line's fault, or the configuration's. */
static int open_status(const struct ctl *ctl, int code) {
        if (code == -EINVAL || code == -EOPNOTSUPP)
                return ctl->globals[GLOBAL_ADDRESS].given ? EXIT_USAGE : EXIT_CONFIG;
        return ctl_exit_status(code);
}

int ctl_connect(struct ctl *ctl, unsigned flags) {
        char app[64];
        ramal_error err = {.code = 0};
        ramal_options options = {
                .size = sizeof(options),
                .address = ctl->globals[GLOBAL_ADDRESS].text,
                .bus = ctl->globals[GLOBAL_USER].given     ? RAMAL_BUS_USER
                       : ctl->globals[GLOBAL_SYSTEM].given ? RAMAL_BUS_SYSTEM
                                                           : RAMAL_BUS_DEFAULT,
                .app = app,
                .token_file = ctl->globals[GLOBAL_TOKEN_FILE].text,
                .no_reconnect = !(flags & CTL_RECONNECT),
                .wait_broker = flags & CTL_WAIT_BROKER,
                .on_state = on_state,
                .user = ctl,
                .inspect = ctl->verb->inspect,
        };
        snprintf(app, sizeof(app), "ramal %s", ctl->verb->name);
        uint64_t deadline = flags & CTL_WAIT_BROKER ? ctl_patience(ctl) : ctl_deadline(ctl);
        const struct option_value *timeout = &ctl->globals[GLOBAL_TIMEOUT];
        if (timeout->given && timeout->number < RAMAL_NEVER && timeout->number > DEFAULT_TIMEOUT_NS)
                options.connect_timeout_ns = timeout->number;
        ramal_conn *conn = NULL;
        int r = ramal_open(&options, deadline, &conn, &err);
        if (r < 0) {
                ctl_error(ctl, NULL, r, &err);
                return open_status(ctl, r);
        }
        ctl->conn = conn;
        interrupt_watch(conn);
        return 0;
}

int ctl_flush(void) {
        if (fflush(stdout) == 0 && !ferror(stdout))
                return 0;
        if (interrupt_signal())
                return -EINTR;
        return errno ? -errno : -EIO;
}

int ctl_close(struct ctl *ctl, int status) {
        /* From here on Ctrl-C ends at once: what was received must be out. */
        int r = ctl_flush();
        interrupt_watch(NULL);
        ramal_close(ctl->conn);
        ctl->conn = NULL;
        if (r == 0)
                r = ctl_flush();
        if (r < 0 && r != -EINTR && status == EXIT_OK)
                return ctl_fail(ctl, EXIT_REFUSED, "cannot write the output: %s", strerror(-r));
        return status;
}
