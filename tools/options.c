/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"
#include "units.h"

enum { NEAREST_LENGTH = 32, NEAREST_MAX = 128, HELP_COLUMN = 28 };

struct options options_of(int argc, char *const *argv) {
        return (struct options){.argc = argc, .argv = argv, .at = 1};
}

/* Notes what is wrong. Returns -EINVAL. */
__attribute__((format(printf, 2, 3))) static int wrong(struct options *options, const char *format, ...) {
        va_list list;
        va_start(list, format);
        vsnprintf(options->error, sizeof(options->error), format, list);
        va_end(list);
        return -EINVAL;
}

/* How many single changes make b of a; a large number for long texts. */
static unsigned distance(const char *a, const char *b) {
        unsigned row[NEAREST_LENGTH + 1];
        size_t m = strlen(a), n = strlen(b);
        if (m > NEAREST_LENGTH || n > NEAREST_LENGTH)
                return NEAREST_LENGTH;
        for (size_t j = 0; j <= n; j++)
                row[j] = (unsigned)j;
        for (size_t i = 1; i <= m; i++) {
                unsigned corner = row[0];
                row[0] = (unsigned)i;
                for (size_t j = 1; j <= n; j++) {
                        unsigned best = corner + (a[i - 1] != b[j - 1]);
                        corner = row[j];
                        if (row[j] + 1 < best)
                                best = row[j] + 1;
                        if (row[j - 1] + 1 < best)
                                best = row[j - 1] + 1;
                        row[j] = best;
                }
        }
        return row[n];
}

const char *options_nearest(const char *text, const char *const *candidates, size_t count) {
        const char *nearest = NULL;
        unsigned best = 3;
        size_t length = strlen(text);
        for (size_t i = 0; i < count; i++) {
                unsigned d = distance(text, candidates[i]);
                /* A beginning of the right word counts as near. */
                if (length >= 3 && strncmp(text, candidates[i], length) == 0)
                        d = 1;
                if (d < best && d < strlen(candidates[i])) {
                        best = d;
                        nearest = candidates[i];
                }
        }
        return nearest;
}

static int unknown(struct options *options, const struct option_set *sets, size_t set_count, const char *name) {
        const char *names[NEAREST_MAX];
        size_t count = 0;
        for (size_t s = 0; s < set_count; s++)
                for (size_t i = 0; i < sets[s].count && count < NEAREST_MAX; i++)
                        names[count++] = sets[s].defs[i].name;
        const char *nearest = options_nearest(name, names, count);
        if (nearest)
                return wrong(options, "unknown option --%s: did you mean --%s?", name, nearest);
        return wrong(options, "unknown option --%s", name);
}

static int choose(const struct option_def *def, const char *text, uint64_t *ret) {
        for (size_t i = 0; def->choices[i]; i++) {
                const char *a = text, *b = def->choices[i];
                while (*a && (*a == *b || (*a == '-' && *b == '_'))) {
                        a++;
                        b++;
                }
                if (*a == *b) {
                        *ret = i;
                        return 0;
                }
        }
        return -EINVAL;
}

static void list_choices(const struct option_def *def, char *buffer, size_t size) {
        size_t used = 0;
        buffer[0] = 0;
        for (size_t i = 0; def->choices[i] && used < size; i++) {
                const char *between = i == 0 ? "" : def->choices[i + 1] ? ", " : " or ";
                used += (size_t)snprintf(buffer + used, size - used, "%s%s", between, def->choices[i]);
        }
}

static int add_text(struct option_value *value, const char *text) {
        const char **texts = reallocarray(value->texts, value->count + 1, sizeof(*texts));
        if (!texts)
                return -ENOMEM;
        value->texts = texts;
        value->texts[value->count++] = text;
        return 0;
}

static int take_value(struct options *options, const struct option_def *def, struct option_value *value,
                      const char *text) {
        char choices[128];
        int r = 0;
        switch (def->kind) {
        case OPTION_FLAG:
                break;
        case OPTION_TEXT:
        case OPTION_FILE:
                value->text = text;
                break;
        case OPTION_TEXTS:
                r = add_text(value, text);
                break;
        case OPTION_COUNT:
                if (units_parse_count(text, &value->number) < 0 || value->number == 0)
                        r = wrong(options, "--%s wants a number from 1 on, not '%s'", def->name, text);
                break;
        case OPTION_SIZE:
                if (units_parse_size(text, &value->number) < 0)
                        r = wrong(options, "--%s wants bytes, as 65536 or 64K or 8M, not '%s'", def->name, text);
                break;
        case OPTION_TIME:
                if (units_parse_time(text, &value->number) < 0)
                        r = wrong(options, "--%s wants a time with its unit, as 5s or 200ms, not '%s'", def->name,
                                  text);
                break;
        case OPTION_CHOICE:
                if (choose(def, text, &value->number) < 0) {
                        list_choices(def, choices, sizeof(choices));
                        r = wrong(options, "--%s is %s, not '%s'", def->name, choices, text);
                }
                break;
        }
        value->given = r == 0;
        return r;
}

/* text: the value that was joined to the option, or NULL. */
static int take(struct options *options, const struct option_def *def, struct option_value *value, const char *text) {
        if (def->kind == OPTION_FLAG) {
                if (text)
                        return wrong(options, "--%s takes no value", def->name);
        } else if (!text) {
                if (options->at >= options->argc)
                        return wrong(options, "--%s needs a value: --%s %s", def->name, def->name, def->value);
                text = options->argv[options->at++];
        }
        return take_value(options, def, value, text);
}

static int long_option(struct options *options, const struct option_set *sets, size_t set_count, const char *text) {
        size_t length = strcspn(text, "=");
        char name[64];
        if (length >= sizeof(name))
                return wrong(options, "unknown option --%.60s...", text);
        memcpy(name, text, length);
        name[length] = 0;
        for (size_t s = 0; s < set_count; s++)
                for (size_t i = 0; i < sets[s].count; i++)
                        if (strcmp(sets[s].defs[i].name, name) == 0)
                                return take(options, &sets[s].defs[i], &sets[s].values[i],
                                            text[length] ? text + length + 1 : NULL);
        return unknown(options, sets, set_count, name);
}

static int short_option(struct options *options, const struct option_set *sets, size_t set_count) {
        const char *letter = options->cluster;
        options->cluster = letter[1] ? letter + 1 : NULL;
        for (size_t s = 0; s < set_count; s++) {
                for (size_t i = 0; i < sets[s].count; i++) {
                        const struct option_def *def = &sets[s].defs[i];
                        if (def->letter != *letter)
                                continue;
                        const char *text = NULL;
                        if (def->kind != OPTION_FLAG) {
                                text = options->cluster;
                                options->cluster = NULL;
                        }
                        return take(options, def, &sets[s].values[i], text);
                }
        }
        uint32_t rune;
        size_t bytes = text_character(letter, strlen(letter), &rune);
        return wrong(options, "unknown option -%.*s (write -- before words that begin with -)", bytes ? (int)bytes : 1,
                     letter);
}

int options_next(struct options *options, const struct option_set *sets, size_t set_count, const char **word) {
        int r = 0;
        *word = NULL;
        while (r == 0) {
                if (options->cluster) {
                        r = short_option(options, sets, set_count);
                        continue;
                }
                if (options->at >= options->argc)
                        return 0;
                const char *text = options->argv[options->at++];
                if (options->words_only || text[0] != '-' || text[1] == 0) {
                        *word = text;
                        return 0;
                }
                if (text[1] != '-')
                        options->cluster = text + 1;
                else if (text[2] == 0)
                        options->words_only = true;
                else
                        r = long_option(options, sets, set_count, text + 2);
        }
        return r;
}

void options_clear(const struct option_set *set) {
        for (size_t i = 0; i < set->count; i++) {
                free(set->values[i].texts);
                set->values[i] = (struct option_value){.given = false};
        }
}

void options_name(const struct option_def *def, char *buffer, size_t size) {
        char letter[8] = "    ";
        if (def->letter)
                snprintf(letter, sizeof(letter), "-%c, ", def->letter);
        snprintf(buffer, size, "%s--%s%s%s", letter, def->name, def->value ? " " : "", def->value ? def->value : "");
}

void options_help(FILE *out, const struct option_def *defs, size_t count) {
        for (size_t i = 0; i < count; i++) {
                char name[80];
                options_name(&defs[i], name, sizeof(name));
                int room = HELP_COLUMN - 2 - (int)strlen(name);
                fprintf(out, "  %s%*s", name, room > 0 ? room : 2, "");
                for (const char *line = defs[i].help; *line;) {
                        int length = (int)strcspn(line, "\n");
                        fprintf(out, "%.*s\n", length, line);
                        line += length + (line[length] == '\n');
                        if (*line)
                                fprintf(out, "%*s", HELP_COLUMN, "");
                }
        }
}
