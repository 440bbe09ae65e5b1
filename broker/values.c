/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "values.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BUFFER_BYTES (64u << 10) /* for one entry of passwd or group */
#define WORD_MAX 64u

/* The digits at the beginning; *rest is what follows them. */
static int digits(const char *text, unsigned base, uint64_t *ret, const char **rest) {
        uint64_t value = 0;
        const char *p = text;
        for (; *p >= '0' && *p < (char)('0' + (int)base); p++) {
                unsigned digit = (unsigned)(*p - '0');
                if (value > (UINT64_MAX - digit) / base)
                        return -ERANGE;
                value = value * base + digit;
        }
        if (p == text)
                return -EINVAL;
        *ret = value;
        *rest = p;
        return 0;
}

static int scaled(uint64_t value, uint64_t factor, uint64_t *ret) {
        if (value > UINT64_MAX / factor)
                return -ERANGE;
        *ret = value * factor;
        return 0;
}

int value_count(const char *text, uint64_t *ret) {
        uint64_t value;
        const char *rest;
        int r = digits(text, 10, &value, &rest);
        if (r < 0)
                return r;
        if (*rest)
                return -EINVAL;
        *ret = value;
        return 0;
}

struct unit {
        const char *name;
        uint64_t factor;
};

static const struct unit byte_units[] = {{"G", 1u << 30}, {"M", 1u << 20}, {"K", 1u << 10}, {"", 1}};
static const struct unit time_units[] = {
        {"h", 3600000000000u}, {"min", 60000000000u}, {"s", 1000000000u}, {"ms", 1000000u}, {"us", 1000u},
};
#define UNITS(array) (sizeof(array) / sizeof((array)[0]))

static int with_unit(const char *text, const struct unit *units, size_t count, uint64_t *ret) {
        uint64_t value;
        const char *rest;
        int r = digits(text, 10, &value, &rest);
        if (r < 0)
                return r;
        for (size_t i = 0; i < count; i++)
                if (strcmp(rest, units[i].name) == 0)
                        return scaled(value, units[i].factor, ret);
        if (value != 0 || *rest)
                return -EINVAL;
        *ret = 0;
        return 0;
}

int value_bytes(const char *text, uint64_t *ret) {
        return with_unit(text, byte_units, UNITS(byte_units), ret);
}

int value_time(const char *text, uint64_t *ret_ns) {
        if (strcmp(text, "off") == 0) {
                *ret_ns = 0;
                return 0;
        }
        return with_unit(text, time_units, UNITS(time_units), ret_ns);
}

static char *format_unit(uint64_t value, const struct unit *units, size_t count, char *buf, size_t size) {
        size_t i = 0;
        while (i + 1 < count && (value == 0 || value % units[i].factor != 0))
                i++;
        snprintf(buf, size, "%llu%s", (unsigned long long)(value / units[i].factor), value ? units[i].name : "");
        return buf;
}

char *value_format_bytes(uint64_t bytes, char *buf, size_t size) {
        return format_unit(bytes, byte_units, UNITS(byte_units), buf, size);
}

char *value_format_time(uint64_t ns, char *buf, size_t size) {
        return format_unit(ns, time_units, UNITS(time_units), buf, size);
}

int value_bool(const char *text, bool *ret) {
        static const struct {
                const char *text;
                bool value;
        } words[] = {{"yes", true}, {"no", false},  {"true", true}, {"false", false},
                     {"on", true},  {"off", false}, {"1", true},    {"0", false}};
        for (size_t i = 0; i < UNITS(words); i++) {
                if (strcmp(words[i].text, text) == 0) {
                        *ret = words[i].value;
                        return 0;
                }
        }
        return -EINVAL;
}

int value_mode(const char *text, mode_t *ret) {
        uint64_t value;
        const char *rest;
        int r = digits(text, 8, &value, &rest);
        if (r < 0)
                return r;
        if (*rest)
                return -EINVAL;
        if (value > 0777)
                return -ERANGE;
        *ret = (mode_t)value;
        return 0;
}

/* A number as an id; (uint32_t)-1 is nobody's. Returns -EINVAL when it is no number at all. */
static int numeric_id(const char *text, uint32_t *ret) {
        uint64_t value;
        int r = value_count(text, &value);
        if (r < 0)
                return r;
        if (value >= UINT32_MAX)
                return -ERANGE;
        *ret = (uint32_t)value;
        return 0;
}

int value_uid(const char *text, uint32_t *ret) {
        int r = numeric_id(text, ret);
        if (r != -EINVAL)
                return r;
        struct passwd entry, *found = NULL;
        char *buf = malloc(NAME_BUFFER_BYTES);
        if (!buf)
                return -ENOMEM;
        if (getpwnam_r(text, &entry, buf, NAME_BUFFER_BYTES, &found) == 0 && found) {
                *ret = entry.pw_uid;
                r = 0;
        } else {
                r = -ENOENT;
        }
        free(buf);
        return r;
}

int value_gid(const char *text, uint32_t *ret) {
        int r = numeric_id(text, ret);
        if (r != -EINVAL)
                return r;
        struct group entry, *found = NULL;
        char *buf = malloc(NAME_BUFFER_BYTES);
        if (!buf)
                return -ENOMEM;
        if (getgrnam_r(text, &entry, buf, NAME_BUFFER_BYTES, &found) == 0 && found) {
                *ret = entry.gr_gid;
                r = 0;
        } else {
                r = -ENOENT;
        }
        free(buf);
        return r;
}

static unsigned least(unsigned a, unsigned b, unsigned c) {
        unsigned m = a < b ? a : b;
        return m < c ? m : c;
}

unsigned value_distance(const char *a, const char *b) {
        size_t n = strlen(a), m = strlen(b);
        unsigned row[WORD_MAX + 1];
        if (n > WORD_MAX || m > WORD_MAX)
                return UINT_MAX;
        for (size_t j = 0; j <= m; j++)
                row[j] = (unsigned)j;
        for (size_t i = 1; i <= n; i++) {
                unsigned corner = row[0];
                row[0] = (unsigned)i;
                for (size_t j = 1; j <= m; j++) {
                        unsigned above = row[j];
                        row[j] = least(above + 1, row[j - 1] + 1, corner + (a[i - 1] != b[j - 1]));
                        corner = above;
                }
        }
        return row[m];
}
