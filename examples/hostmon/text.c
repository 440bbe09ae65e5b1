/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <string.h>

static bool blank(char c) {
        return c == ' ' || c == '\t' || c == '\r';
}

static void skip(struct text *text, size_t n) {
        text->at += n;
        text->len -= n;
}

bool text_line(struct text *rest, struct text *line) {
        if (rest->len == 0)
                return false;
        const char *end = memchr(rest->at, '\n', rest->len);
        size_t len = end ? (size_t)(end - rest->at) : rest->len;

        *line = (struct text){rest->at, len};
        skip(rest, end ? len + 1 : len);
        return true;
}

bool text_word(struct text *rest, struct text *word) {
        size_t len = 0;

        while (rest->len > 0 && blank(rest->at[0]))
                skip(rest, 1);
        while (len < rest->len && !blank(rest->at[len]))
                len++;
        *word = (struct text){rest->at, len};
        skip(rest, len);
        return len > 0;
}

bool text_begins(struct text text, const char *start) {
        size_t len = strlen(start);

        return text.len >= len && memcmp(text.at, start, len) == 0;
}

bool text_is(struct text text, const char *word) {
        return text.len == strlen(word) && text_begins(text, word);
}

bool text_number(struct text word, uint64_t *ret) {
        uint64_t value = 0;

        if (word.len == 0)
                return false;
        for (size_t i = 0; i < word.len; i++) {
                if (word.at[i] < '0' || word.at[i] > '9')
                        return false;
                unsigned digit = (unsigned)(word.at[i] - '0');
                if (value > (UINT64_MAX - digit) / 10)
                        return false;
                value = value * 10 + digit;
        }
        *ret = value;
        return true;
}

bool text_decimal(struct text word, double *ret) {
        uint64_t whole, part = 0;
        double scale = 1;
        const char *point = word.len > 0 ? memchr(word.at, '.', word.len) : NULL;
        size_t len = point ? (size_t)(point - word.at) : word.len;

        if (!text_number((struct text){word.at, len}, &whole))
                return false;
        if (point) {
                struct text rest = {point + 1, word.len - len - 1};
                if (rest.len > 15 || !text_number(rest, &part))
                        return false;
                for (size_t i = 0; i < rest.len; i++)
                        scale *= 10;
        }
        *ret = (double)whole + (double)part / scale;
        return true;
}

size_t text_numbers(struct text *rest, uint64_t *ret, size_t max) {
        struct text word;
        size_t n = 0;

        while (n < max && text_word(rest, &word) && text_number(word, &ret[n]))
                n++;
        return n;
}

bool text_name(struct text text, char *buf, size_t size) {
        if (text.len == 0 || text.len >= size)
                return false;
        for (size_t i = 0; i < text.len; i++)
                buf[i] = text.at[i] > ' ' && text.at[i] <= '~' ? text.at[i] : '_';
        buf[text.len] = '\0';
        return true;
}
