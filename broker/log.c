/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const struct {
        enum log_level level;
        const char *name;
} levels[] = {
        {LOG_LEVEL_ERROR, "error"}, {LOG_LEVEL_WARNING, "warning"}, {LOG_LEVEL_NOTICE, "notice"},
        {LOG_LEVEL_INFO, "info"},   {LOG_LEVEL_DEBUG, "debug"},
};

const char *log_level_name(enum log_level level) {
        for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
                if (levels[i].level == level)
                        return levels[i].name;
        return "unknown";
}

int log_level_parse(const char *text, enum log_level *ret) {
        for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
                if (strcmp(levels[i].name, text) == 0) {
                        *ret = levels[i].level;
                        return 0;
                }
        }
        return -EINVAL;
}

/* Does JOURNAL_STREAM ("device:inode") mean this very file? */
static bool names_stream(const char *journal_stream, const struct stat *st) {
        char want[64];
        if (!journal_stream)
                return false;
        snprintf(want, sizeof(want), "%ju:%ju", (uintmax_t)st->st_dev, (uintmax_t)st->st_ino);
        return strcmp(want, journal_stream) == 0;
}

void log_init(struct log *log, int fd, const char *journal_stream, enum log_level level) {
        *log = (struct log){.fd = fd, .level = level};
        struct stat st;
        if (fstat(fd, &st) < 0)
                return;
        log->journal = names_stream(journal_stream, &st);
        if (S_ISSOCK(st.st_mode)) {
                log->socket = true;
                return;
        }
        if (S_ISREG(st.st_mode))
                return;
        /* O_NONBLOCK belongs to the open file, which others share with us (the shell's terminal, say): open our own. */
        char path[32];
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        int own = open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        if (own >= 0) {
                log->fd = own;
                log->own_fd = true;
        } else {
                log->polls = true;
        }
}

void log_deinit(struct log *log) {
        if (log->own_fd)
                close(log->fd);
        *log = (struct log){.fd = -1};
}

static void put_bytes(char *out, size_t size, size_t *len, const char *bytes, size_t n) {
        if (n > size - *len)
                return;
        memcpy(out + *len, bytes, n);
        *len += n;
}

static void put(char *out, size_t size, size_t *len, const char *text) {
        put_bytes(out, size, len, text, strlen(text));
}

/* How many bytes the UTF-8 character at `p` has, 0 if it is none that may be shown as it is. */
static size_t printable(const unsigned char *p) {
        if (p[0] < 0x80)
                return p[0] >= 0x20 && p[0] != 0x7f ? 1 : 0;
        size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
        if (p[0] < 0xc2 || p[0] > 0xf4)
                return 0;
        uint32_t code = p[0] & (0x7fu >> len);
        for (size_t i = 1; i < len; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
                code = code << 6 | (p[i] & 0x3fu);
        }
        if ((len == 3 && code < 0x800) || (len == 4 && code < 0x10000) || code > 0x10ffff)
                return 0;
        bool surrogate = code >= 0xd800 && code <= 0xdfff;
        bool control = code < 0xa0;
        /* Line and paragraph ends, and what turns the direction of the text around it. */
        bool misleading = code == 0x61c || (code >= 0x200e && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
                          (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
        return surrogate || control || misleading ? 0 : len;
}

static bool plain(const char *text) {
        if (!*text)
                return false;
        for (const unsigned char *p = (const unsigned char *)text; *p; p++)
                if (*p <= ' ' || *p >= 0x7f || *p == '"' || *p == '\\' || *p == '=')
                        return false;
        return true;
}

void log_escape(char *out, size_t size, size_t *len, const char *text) {
        if (size - *len < 8) /* nothing sensible fits */
                return;
        if (plain(text) && strlen(text) <= size - *len) {
                put(out, size, len, text);
                return;
        }
        size_t room = size - 1; /* for the closing quote */
        put(out, room, len, "\"");
        for (const unsigned char *p = (const unsigned char *)text; *p;) {
                char piece[8];
                size_t n, taken = 1;
                if (*p == '"' || *p == '\\') {
                        n = (size_t)snprintf(piece, sizeof(piece), "\\%c", *p);
                } else if (*p == '\n' || *p == '\t' || *p == '\r') {
                        n = (size_t)snprintf(piece, sizeof(piece), "\\%c", *p == '\n' ? 'n' : *p == '\t' ? 't' : 'r');
                } else if ((taken = printable(p)) > 0) {
                        memcpy(piece, p, taken);
                        n = taken;
                } else {
                        taken = 1;
                        n = (size_t)snprintf(piece, sizeof(piece), "\\x%02x", *p);
                }
                if (n > room - *len)
                        break; /* cut between characters */
                put_bytes(out, room, len, piece, n);
                p += taken;
        }
        put(out, size, len, "\"");
}

/* Writes a whole line or counts it as lost. */
static void send_line(struct log *log, const char *line, size_t len) {
        ssize_t done = -1;
        if (log->socket) {
                done = send(log->fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        } else {
                struct pollfd ready = {.fd = log->fd, .events = POLLOUT};
                if (!log->polls || (poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT)))
                        done = write(log->fd, line, len);
        }
        if (done > 0)
                log->torn = (size_t)done < len;
        if (done < 0 || (size_t)done < len)
                log->lost++;
}

static size_t put_stamp(char *line, size_t size) {
        struct timespec now;
        struct tm tm;
        if (clock_gettime(CLOCK_REALTIME, &now) < 0 || !gmtime_r(&now.tv_sec, &tm))
                return 0;
        size_t len = strftime(line, size, "time=%Y-%m-%dT%H:%M:%S", &tm);
        return len + (size_t)snprintf(line + len, size - len, ".%03ldZ ", now.tv_nsec / 1000000);
}

static size_t put_start(const struct log *log, enum log_level level, const char *event, char *line, size_t size) {
        size_t len = 0;
        if (log->torn)
                put(line, size, &len, "\n");
        if (log->journal) {
                len += (size_t)snprintf(line + len, size - len, "<%d>", (int)level);
        } else {
                len += put_stamp(line + len, size - len);
                put(line, size, &len, "level=");
                put(line, size, &len, log_level_name(level));
                put(line, size, &len, " ");
        }
        put(line, size, &len, "event=");
        log_escape(line, size, &len, event);
        return len;
}

static void tell_lost(struct log *log) {
        char line[160];
        uint64_t lost = log->lost;
        size_t len = put_start(log, LOG_LEVEL_WARNING, "log-lost", line, sizeof(line));
        len += (size_t)snprintf(line + len, sizeof(line) - len, " lines=%ju\n", (uintmax_t)lost);
        send_line(log, line, len);
        if (log->lost == lost) /* it got through */
                log->lost = 0;
        else
                log->lost = lost;
}

void log_write(struct log *log, enum log_level level, const char *event, const struct log_field *fields) {
        if (level > log->level || log->fd < 0)
                return;
        if (log->lost > 0)
                tell_lost(log);

        char line[LOG_LINE_BYTES];
        size_t size = sizeof(line) - 1; /* for the end of the line */
        size_t len = put_start(log, level, event, line, size);
        for (; fields->key; fields++) {
                /* A value of 8 bytes must fit, or the key would stand alone. */
                if (strlen(fields->key) + 12 > size - len)
                        break;
                put(line, size, &len, " ");
                put(line, size, &len, fields->key);
                put(line, size, &len, "=");
                if (fields->text) {
                        log_escape(line, size, &len, fields->text);
                } else {
                        char number[24];
                        snprintf(number, sizeof(number), "%ju", (uintmax_t)fields->number);
                        put(line, size, &len, number);
                }
        }
        line[len++] = '\n';
        send_line(log, line, len);
}

void log_say(struct log *log, const char *text) {
        char line[LOG_LINE_BYTES];
        size_t size = sizeof(line) - 1, len = 0;
        if (log->journal)
                put(line, size, &len, "<3>");
        put(line, size, &len, "ramald: ");
        for (const unsigned char *p = (const unsigned char *)text; *p && len + 4 < size;) {
                size_t taken = printable(p);
                if (taken > 0) {
                        put_bytes(line, size, &len, (const char *)p, taken);
                        p += taken;
                } else {
                        len += (size_t)snprintf(line + len, size - len + 1, "\\x%02x", *p);
                        p++;
                }
        }
        line[len++] = '\n';
        send_line(log, line, len);
}
