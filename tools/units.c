/* SPDX-License-Identifier: MIT */
#include "units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct unit {
        const char *name;
        uint64_t factor;
};

static const struct unit times[] = {
        {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000}, {"h", 3600000000000},
};

static const struct unit sizes[] = {
        {"", 1},        {"B", 1},         {"K", 1 << 10}, {"KiB", 1 << 10},
        {"M", 1 << 20}, {"MiB", 1 << 20}, {"G", 1 << 30}, {"GiB", 1 << 30},
};

static bool digit(char c) {
        return c >= '0' && c <= '9';
}

/* Reads digits; moves *text behind them. */
static int whole(const char **text, uint64_t *ret) {
        uint64_t value = 0;
        if (!digit(**text))
                return -EINVAL;
        for (; digit(**text); (*text)++)
                if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
                    __builtin_add_overflow(value, (uint64_t)(**text - '0'), &value))
                        return -ERANGE;
        *ret = value;
        return 0;
}

static int scaled(const char *text, const struct unit *units, size_t count, uint64_t *ret) {
        uint64_t value, fraction = 0, scale = 1;
        int r = whole(&text, &value);
        if (r < 0)
                return r;
        if (*text == '.') {
                text++;
                if (!digit(*text))
                        return -EINVAL;
                /* More digits than nanoseconds have are read and dropped. */
                for (; digit(*text); text++)
                        if (scale < 1000000000) {
                                fraction = fraction * 10 + (uint64_t)(*text - '0');
                                scale *= 10;
                        }
        }
        for (size_t i = 0; i < count; i++) {
                if (strcmp(text, units[i].name) != 0)
                        continue;
                uint64_t sum, part = units[i].factor / scale * fraction + units[i].factor % scale * fraction / scale;
                if (__builtin_mul_overflow(value, units[i].factor, &sum) || __builtin_add_overflow(sum, part, &sum))
                        return -ERANGE;
                if (sum == 0)
                        return -EINVAL;
                *ret = sum;
                return 0;
        }
        return -EINVAL;
}

int units_parse_time(const char *text, uint64_t *ns) {
        if (strcmp(text, "never") == 0) {
                *ns = UINT64_MAX;
                return 0;
        }
        return scaled(text, times, sizeof(times) / sizeof(*times), ns);
}

int units_parse_size(const char *text, uint64_t *bytes) {
        return scaled(text, sizes, sizeof(sizes) / sizeof(*sizes), bytes);
}

int units_parse_count(const char *text, uint64_t *count) {
        int r = whole(&text, count);
        if (r < 0)
                return r;
        return *text == 0 ? 0 : -EINVAL;
}

/* value / unit with three significant digits. */
static void three_digits(char text[UNITS_TEXT], uint64_t value, uint64_t unit, const char *name) {
        uint64_t before = value / unit;
        double exact = (double)value / (double)unit;
        snprintf(text, UNITS_TEXT, "%.*f %s", before >= 100 ? 0 : before >= 10 ? 1 : 2, exact, name);
}

const char *units_time(char text[UNITS_TEXT], uint64_t ns) {
        if (ns < 1000000)
                three_digits(text, ns, 1000, "us");
        else if (ns < 1000000000)
                three_digits(text, ns, 1000000, "ms");
        else
                three_digits(text, ns, 1000000000, "s");
        return text;
}

const char *units_age(char text[UNITS_TEXT], uint64_t us) {
        uint64_t s = us / 1000000;
        if (s < 60)
                snprintf(text, UNITS_TEXT, "%" PRIu64 "s", s);
        else if (s < 3600)
                snprintf(text, UNITS_TEXT, "%" PRIu64 "m %" PRIu64 "s", s / 60, s % 60);
        else if (s < 86400)
                snprintf(text, UNITS_TEXT, "%" PRIu64 "h %" PRIu64 "m", s / 3600, s / 60 % 60);
        else
                snprintf(text, UNITS_TEXT, "%" PRIu64 "d %" PRIu64 "h", s / 86400, s / 3600 % 24);
        return text;
}

const char *units_size(char text[UNITS_TEXT], uint64_t bytes) {
        if (bytes < 1 << 10)
                snprintf(text, UNITS_TEXT, "%" PRIu64 " B", bytes);
        else if (bytes < 1 << 20)
                three_digits(text, bytes, 1 << 10, "KiB");
        else if (bytes < 1 << 30)
                three_digits(text, bytes, 1 << 20, "MiB");
        else
                three_digits(text, bytes, 1 << 30, "GiB");
        return text;
}
