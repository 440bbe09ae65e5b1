/* SPDX-License-Identifier: MIT */
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "interrupt.h"

enum { CHUNK = 65536 };

/* Reads to the end, at most `max` bytes. Returns 0, -EFBIG, -EINTR, another negative errno. */
static int read_all(int fd, size_t max, struct payload *ret) {
        char *data = NULL;
        size_t len = 0, size = 0;
        for (;;) {
                if (len == size) {
                        char *more = realloc(data, size = size ? size * 2 : CHUNK);
                        if (!more) {
                                free(data);
                                return -ENOMEM;
                        }
                        data = more;
                }
                ssize_t n = read(fd, data + len, size - len);
                if (n < 0 && errno == EINTR && !interrupt_signal())
                        continue;
                if (n < 0 || len + (size_t)n > max) {
                        int r = n < 0 ? -errno : -EFBIG;
                        free(data);
                        return r;
                }
                if (n == 0)
                        break;
                len += (size_t)n;
        }
        *ret = (struct payload){.data = data, .len = len, .owned = data};
        return 0;
}

static int read_from(const struct ctl *ctl, int fd, const char *name, struct payload *ret) {
        size_t max = ramal_conn_payload_max(ctl->conn);
        int r = read_all(fd, max, ret);
        if (r == -EINTR)
                return ctl_exit_status(r);
        if (r == -EFBIG)
                return ctl_fail(ctl, EXIT_DATA, "%s: larger than the broker takes (%zu bytes)", name, max);
        if (r < 0)
                return ctl_fail(ctl, EXIT_DATA, "%s: cannot be read: %s", name, strerror(-r));
        return 0;
}

int input_payload(const struct ctl *ctl, const char *word, const struct option_value *file, bool pipe,
                  struct payload *ret) {
        *ret = (struct payload){.data = ""};
        if (word && file->given)
                return ctl_usage(ctl, "DATA or --file, not both");
        if (file->given) {
                int fd;
                do { /* that of a FIFO waits for its writer */
                        fd = open(file->text, O_RDONLY | O_CLOEXEC);
                } while (fd < 0 && errno == EINTR && !interrupt_signal());
                if (fd < 0 && errno == EINTR)
                        return ctl_exit_status(-EINTR);
                if (fd < 0)
                        return ctl_fail(ctl, EXIT_DATA, "%s: cannot be opened: %s", file->text, strerror(errno));
                int status = read_from(ctl, fd, file->text, ret);
                close(fd);
                return status;
        }
        if (word ? strcmp(word, "-") == 0 : pipe && !isatty(STDIN_FILENO))
                return read_from(ctl, STDIN_FILENO, "stdin", ret);
        if (word)
                *ret = (struct payload){.data = word, .len = strlen(word)};
        return 0;
}

void input_free(struct payload *payload) {
        free(payload->owned);
        *payload = (struct payload){.data = ""};
}

int input_headers(const struct ctl *ctl, const struct option_value *value, ramal_header **ret) {
        *ret = NULL;
        if (value->count == 0)
                return 0;
        ramal_header *headers = calloc(value->count, sizeof(*headers));
        if (!headers)
                return ctl_error(ctl, NULL, -ENOMEM, NULL);
        for (size_t i = 0; i < value->count; i++) {
                const char *text = value->texts[i], *equals = strchr(text, '=');
                if (!equals || equals == text) {
                        free(headers);
                        return ctl_usage(ctl, "--header wants NAME=VALUE, not '%s'", text);
                }
                headers[i] = (ramal_header){.name = text,
                                            .name_len = (size_t)(equals - text),
                                            .value = equals + 1,
                                            .value_len = strlen(equals + 1)};
        }
        *ret = headers;
        return 0;
}
