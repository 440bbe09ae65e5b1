/* SPDX-License-Identifier: MIT */
/* The configuration file: [section], key = value, and lines that begin with # or ; for people. Nothing is continued,
 * quoted or included. Whatever is not understood is an error with its place. */
#define _GNU_SOURCE
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "subject.h"
#include "values.h"

#define NAME_BYTES 64u
#define VALUE_BYTES 4096u

struct reader {
        struct config *config;
        const char *name;         /* of the file */
        unsigned line;            /* from 1 */
        char section[NAME_BYTES]; /* empty = none yet */
        bool has_user;            /* of [limits uid USER], or it is for all */
        size_t user;
        struct failure *failure;
};

/* The same as failure_set(), with the place in front; whatever is wrong in the file is a configuration error. */
__attribute__((format(printf, 2, 3))) static int wrong(struct reader *reader, const char *format, ...) {
        char text[512];
        va_list args;
        va_start(args, format);
        vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        return failure_set(reader->failure, EXIT_CONFIG, "%.220s:%u: %s", reader->name, reader->line, text);
}

static bool is_space(char c) {
        return c == ' ' || c == '\t' || c == '\r';
}

/* Without white space around it. */
static struct rml_span trim(struct rml_span text) {
        while (text.len > 0 && is_space((char)text.data[0])) {
                text.data++;
                text.len--;
        }
        while (text.len > 0 && is_space((char)text.data[text.len - 1]))
                text.len--;
        return text;
}

/* Returns false if it does not fit. */
static bool copy(struct rml_span text, char *ret, size_t size) {
        if (text.len >= size)
                return false;
        memcpy(ret, text.data, text.len);
        ret[text.len] = '\0';
        return true;
}

/* As wrong() does with what others found. */
static int at_fault(struct reader *reader, int r) {
        if (r < 0 && reader->failure->status == EXIT_USAGE)
                reader->failure->status = EXIT_CONFIG;
        return r;
}

/* Takes a word off the front, and the white space before it. */
static struct rml_span next_word(struct rml_span *rest) {
        *rest = trim(*rest);
        size_t len = 0;
        while (len < rest->len && !is_space((char)rest->data[len]))
                len++;
        struct rml_span word = {rest->data, len};
        rest->data += len;
        rest->len -= len;
        return word;
}

/* The rest of "limits uid USER" once the first two words are gone. */
static int read_user_section(struct reader *reader, struct rml_span rest) {
        char name[NAME_BYTES], where[CONFIG_WHERE_BYTES];
        uint32_t uid;
        snprintf(where, sizeof(where), "%.220s:%u: [limits uid]", reader->name, reader->line);
        if (!copy(next_word(&rest), name, sizeof(name)))
                return wrong(reader, "the name of the user is too long");
        if (trim(rest).len > 0)
                return wrong(reader, "[limits uid USER] is for one user");
        int r = at_fault(reader, config_read_user(name, where, &uid, reader->failure));
        if (r < 0)
                return r;
        if (config_user(reader->config, uid, &reader->user) < 0)
                return wrong(reader, "too many users with limits of their own, at most %u", CONFIG_USERS_MAX);
        struct config_user *user = &reader->config->users[reader->user];
        if (user->has_section)
                return wrong(reader, "the limits of uid %u stand in another section above", uid);
        user->has_section = true;
        reader->has_user = true;
        snprintf(reader->section, sizeof(reader->section), "limits");
        return 0;
}

static int read_section(struct reader *reader, struct rml_span line) {
        struct rml_span name = {line.data + 1, line.len - 1};
        if (line.data[line.len - 1] != ']')
                return wrong(reader, "a section ends with ]");
        name.len--;
        struct rml_span rest = trim(name);
        reader->has_user = false;
        if (rml_span_equal(next_word(&rest), rml_span_of("limits")) &&
            rml_span_equal(next_word(&rest), rml_span_of("uid")))
                return read_user_section(reader, rest);
        if (!copy(trim(name), reader->section, sizeof(reader->section)))
                return wrong(reader, "the name of the section is too long");
        const char *nearest = NULL;
        unsigned least = UINT_MAX;
        for (size_t i = 0; i < config_option_count; i++) {
                unsigned distance = value_distance(reader->section, config_options[i].section);
                if (distance == 0)
                        return 0;
                if (distance < least) {
                        least = distance;
                        nearest = config_options[i].section;
                }
        }
        return wrong(reader, "unknown section [%s]; the nearest is [%s]", reader->section,
                     nearest ? nearest : "listen");
}

/* Of the keys in this section; the same word in another section counts as near. */
static int unknown_key(struct reader *reader, const char *key) {
        const struct config_option *nearest = &config_options[0];
        unsigned least = UINT_MAX;
        char suggestion[2 * NAME_BYTES];
        for (size_t i = 0; i < config_option_count; i++) {
                const struct config_option *option = &config_options[i];
                unsigned distance = value_distance(key, option->key);
                if (distance < UINT_MAX)
                        distance = 2 * distance + (strcmp(option->section, reader->section) != 0);
                if (distance < least) {
                        least = distance;
                        nearest = option;
                }
        }
        if (strcmp(nearest->section, reader->section) == 0)
                snprintf(suggestion, sizeof(suggestion), "%s", nearest->key);
        else
                snprintf(suggestion, sizeof(suggestion), "%s in [%s]", nearest->key, nearest->section);
        return wrong(reader, "unknown key \"%s\"; the nearest is %s", key, suggestion);
}

static int read_pair(struct reader *reader, struct rml_span line) {
        char key[NAME_BYTES], value[VALUE_BYTES], where[CONFIG_WHERE_BYTES];
        const uint8_t *equals = memchr(line.data, '=', line.len);
        if (!equals)
                return wrong(reader, "this is neither [section] nor key = value");
        if (equals == line.data)
                return wrong(reader, "there is no key before the =");
        size_t key_len = (size_t)(equals - line.data);
        if (!copy(trim((struct rml_span){line.data, key_len}), key, sizeof(key)))
                return wrong(reader, "the key is too long");
        if (!copy(trim((struct rml_span){equals + 1, line.len - key_len - 1}), value, sizeof(value)))
                return wrong(reader, "the value of %s is too long", key);
        if (!reader->section[0])
                return wrong(reader, "%s stands before the first [section]", key);

        const struct config_option *option = config_find(reader->section, key);
        if (reader->has_user && (!option || !option->per_user)) {
                snprintf(where, sizeof(where), "%.220s:%u", reader->name, reader->line);
                return at_fault(reader, config_refuse_key(option, key, where, reader->failure));
        }
        if (!option)
                return unknown_key(reader, key);
        snprintf(where, sizeof(where), "%.220s:%u: %s", reader->name, reader->line, key);
        return at_fault(reader, reader->has_user ? config_set_for(reader->config, reader->user, option, value,
                                                                  CONFIG_FILE, where, reader->failure)
                                                 : config_set(reader->config, option, value, CONFIG_FILE, where,
                                                              reader->failure));
}

static int read_line(struct reader *reader, struct rml_span line) {
        if (!rml_utf8_valid(line))
                return wrong(reader, "this line is not valid UTF-8");
        line = trim(line);
        if (line.len == 0 || line.data[0] == '#' || line.data[0] == ';')
                return 0;
        return line.data[0] == '[' ? read_section(reader, line) : read_pair(reader, line);
}

int config_read_text(struct config *config, const char *name, const char *text, size_t len, struct failure *failure) {
        struct reader reader = {.config = config, .name = name, .failure = failure};
        struct rml_span rest = {(const uint8_t *)text, len};
        if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) /* some editors' mark of UTF-8 */
                rest = (struct rml_span){rest.data + 3, len - 3};
        while (rest.len > 0) {
                const uint8_t *end = memchr(rest.data, '\n', rest.len);
                size_t taken = end ? (size_t)(end - rest.data) : rest.len;
                reader.line++;
                int r = read_line(&reader, (struct rml_span){rest.data, taken});
                if (r < 0)
                        return r;
                taken += end ? 1 : 0;
                rest.data += taken;
                rest.len -= taken;
        }
        return 0;
}

static int check_file(int fd, const char *path, struct failure *failure) {
        struct stat st;
        char why[80];
        if (fstat(fd, &st) < 0)
                return failure_set(failure, EXIT_CONFIG, "cannot look at %s: %s", path,
                                   failure_errno(errno, why, sizeof(why)));
        if (!S_ISREG(st.st_mode))
                return failure_set(failure, EXIT_CONFIG, "%s is no regular file", path);
        if (st.st_mode & S_IWOTH)
                return failure_set(failure, EXIT_CONFIG, "everybody may write to %s (mode %04o); chmod o-w it", path,
                                   (unsigned)st.st_mode & 07777);
        return 0;
}

/* The whole file, at most CONFIG_FILE_BYTES_MAX. */
static int read_all(int fd, const char *path, char *buf, size_t *len, struct failure *failure) {
        char why[80];
        *len = 0;
        for (;;) {
                ssize_t n = read(fd, buf + *len, CONFIG_FILE_BYTES_MAX + 1 - *len);
                if (n < 0)
                        return failure_set(failure, EXIT_CONFIG, "cannot read %s: %s", path,
                                           failure_errno(errno, why, sizeof(why)));
                if (n == 0)
                        return 0;
                *len += (size_t)n;
                if (*len > CONFIG_FILE_BYTES_MAX)
                        return failure_set(failure, EXIT_CONFIG,
                                           "%s is larger than 1 MiB: that is no configuration of ramald", path);
        }
}

int config_read_file(struct config *config, const char *path, struct failure *failure) {
        char why[80];
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return failure_set(failure, EXIT_CONFIG, "cannot open the configuration %.400s: %s", path,
                                   failure_errno(errno, why, sizeof(why)));
        char *buf = malloc(CONFIG_FILE_BYTES_MAX + 1);
        size_t len = 0;
        int r = buf ? check_file(fd, path, failure) : failure_set(failure, EXIT_SYSTEM, "out of memory");
        if (r == 0)
                r = read_all(fd, path, buf, &len, failure);
        if (r == 0)
                r = config_read_text(config, path, buf, len, failure);
        free(buf);
        close(fd);
        return r;
}
