/* SPDX-License-Identifier: MIT */
/* One line on stderr for an event: time, level, event, then key=value. Never blocks: what stderr does not take at once
 * is dropped and counted, and the count stands in front of the next line that gets through. Under a journal
 * (JOURNAL_STREAM names our stderr) the level becomes the prefix <N> and the time is left to it. */
#ifndef RAMAL_LOG_H
#define RAMAL_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_LINE_BYTES 1024u /* longer ones are cut; below PIPE_BUF, so that lines never mix in a pipe */

/* The numbers are syslog's. */
enum log_level {
        LOG_LEVEL_ERROR = 3,
        LOG_LEVEL_WARNING = 4,
        LOG_LEVEL_NOTICE = 5,
        LOG_LEVEL_INFO = 6,
        LOG_LEVEL_DEBUG = 7
};

struct log {
        int fd;
        bool own_fd;        /* close it at the end */
        bool socket, polls; /* how not to block on it */
        bool journal;
        enum log_level level; /* and what is above it is left out */
        uint64_t lost;
        bool torn; /* the last line that was written has no end */
};

struct log_field {
        const char *key;
        const char *text; /* NULL: the number */
        uint64_t number;
};

#define LOG_TEXT(k, v) ((struct log_field){.key = (k), .text = (v)})
#define LOG_NUMBER(k, v) ((struct log_field){.key = (k), .number = (v)})

/* fd: borrowed. journal_stream: what JOURNAL_STREAM says, or NULL. Cannot fail: without a better way it asks poll()
 * before each write. */
void log_init(struct log *, int fd, const char *journal_stream, enum log_level level);
void log_deinit(struct log *);

/* At least one field. */
#define log_event(log, level, event, ...)                                                                              \
        log_write(log, level, event, (const struct log_field[]){__VA_ARGS__, {NULL, NULL, 0}})
/* fields: up to one without a key. */
void log_write(struct log *, enum log_level level, const char *event, const struct log_field *fields);

/* A line of plain words to people, for what stops a start: "ramald: ...". */
void log_say(struct log *, const char *text);

/* Appends `text` to out[*len], quoted and escaped where it must be, and never more than `size` bytes in all. Control
 * bytes and invalid UTF-8 become \xNN, and so do the characters that change the direction of writing. */
void log_escape(char *out, size_t size, size_t *len, const char *text);

const char *log_level_name(enum log_level level);
/* Returns 0 or -EINVAL. */
int log_level_parse(const char *text, enum log_level *ret);

#endif
