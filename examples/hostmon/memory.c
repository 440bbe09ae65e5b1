/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include <errno.h>

/* "MemTotal:  16384 kB", or without a unit. */
static bool parse_bytes(struct text line, uint64_t *ret) {
        struct text word;
        uint64_t value;

        if (!text_word(&line, &word) || !text_number(word, &value))
                return false;
        if (text_word(&line, &word)) {
                if (!text_is(word, "kB") || value > UINT64_MAX / 1024)
                        return false;
                value *= 1024;
        }
        *ret = value;
        return true;
}

int memory_parse(struct text text, struct memory *ret) {
        const struct {
                const char *key;
                uint64_t *value;
        } rows[] = {
                {"MemTotal:", &ret->total},     {"MemFree:", &ret->free},  {"MemAvailable:", &ret->available},
                {"Buffers:", &ret->buffers},    {"Cached:", &ret->cached}, {"SwapTotal:", &ret->swap_total},
                {"SwapFree:", &ret->swap_free},
        };
        struct text line, word;
        bool has_total = false, has_available = false;

        *ret = (struct memory){0};
        while (text_line(&text, &line)) {
                if (!text_word(&line, &word))
                        continue;
                for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                        if (!text_is(word, rows[i].key) || !parse_bytes(line, rows[i].value))
                                continue;
                        has_total = has_total || rows[i].value == &ret->total;
                        has_available = has_available || rows[i].value == &ret->available;
                }
        }
        if (!has_available) { /* before Linux 3.14 */
                const uint64_t parts[] = {ret->free, ret->buffers, ret->cached};
                for (size_t i = 0; i < 3; i++)
                        ret->available +=
                                parts[i] <= ret->total - ret->available ? parts[i] : ret->total - ret->available;
        }
        return has_total ? 0 : -EBADMSG;
}
