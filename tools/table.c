/* SPDX-License-Identifier: MIT */
#include "table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "text.h"

enum { COLUMNS_MAX = 32, WIDTH_LEAST = 6, SPACE = 2 };

struct table {
        const struct table_column *columns;
        size_t column_count;
        char **cells;
        size_t cell_count, cell_max;
        int error;
        size_t widths[COLUMNS_MAX];
        bool spare[COLUMNS_MAX], hidden[COLUMNS_MAX];
};

struct table *table_new(const struct table_column *columns, size_t count) {
        if (count == 0 || count > COLUMNS_MAX)
                return NULL;
        struct table *table = calloc(1, sizeof(*table));
        if (!table)
                return NULL;
        table->columns = columns;
        table->column_count = count;
        return table;
}

struct table *table_free(struct table *table) {
        if (!table)
                return NULL;
        for (size_t i = 0; i < table->cell_count; i++)
                free(table->cells[i]);
        free(table->cells);
        free(table);
        return NULL;
}

void table_text(struct table *table, const char *text) {
        if (table->cell_count == table->cell_max) {
                size_t more = table->cell_max ? table->cell_max * 2 : 64;
                char **cells = reallocarray(table->cells, more, sizeof(*cells));
                if (!cells) {
                        table->error = -ENOMEM;
                        return;
                }
                table->cells = cells;
                table->cell_max = more;
        }
        char *copy = strdup(text && *text ? text : "-");
        if (!copy) {
                table->error = -ENOMEM;
                return;
        }
        table->cells[table->cell_count++] = copy;
}

void table_number(struct table *table, uint64_t number) {
        char digits[24];
        snprintf(digits, sizeof(digits), "%" PRIu64, number);
        table_text(table, digits);
}

static void measure(struct table *table) {
        bool content[COLUMNS_MAX] = {false};
        for (size_t c = 0; c < table->column_count; c++)
                table->widths[c] = strlen(table->columns[c].head);
        for (size_t i = 0; i < table->cell_count; i++) {
                size_t c = i % table->column_count, width = text_columns(table->cells[i]);
                if (width > table->widths[c])
                        table->widths[c] = width;
                content[c] |= strcmp(table->cells[i], "-") != 0 && strcmp(table->cells[i], "0") != 0;
        }
        for (size_t c = 0; c < table->column_count; c++)
                table->spare[c] = !content[c] && table->columns[c].flags & TABLE_OPTIONAL;
}

static size_t total(const struct table *table) {
        size_t sum = 0;
        for (size_t c = 0; c < table->column_count; c++)
                if (!table->hidden[c])
                        sum += table->widths[c] + (sum > 0 ? SPACE : 0);
        return sum;
}

/* Cuts the widest column that may be cut, one step at a time, until the table fits or nothing can be cut. */
static void shrink(struct table *table, size_t width) {
        for (size_t sum = total(table); sum > width; sum--) {
                size_t widest = COLUMNS_MAX;
                for (size_t c = 0; c < table->column_count; c++)
                        if (!table->hidden[c] && table->columns[c].flags & TABLE_SHRINK &&
                            table->widths[c] > WIDTH_LEAST && table->widths[c] > strlen(table->columns[c].head) &&
                            (widest == COLUMNS_MAX || table->widths[c] > table->widths[widest]))
                                widest = c;
                if (widest == COLUMNS_MAX)
                        return;
                table->widths[widest]--;
        }
}

static void pad(FILE *out, size_t columns) {
        for (size_t i = 0; i < columns; i++)
                putc(' ', out);
}

static void print_cell(const struct table *table, FILE *out, size_t c, const char *text, bool last) {
        size_t room = table->widths[c], need = text_columns(text), used = 0;
        bool cut = need > room;
        if (table->columns[c].flags & TABLE_RIGHT && !cut)
                pad(out, room - need);
        struct text_cursor cursor = text_cursor(text, strlen(text), TEXT_LINE);
        char piece[TEXT_PIECE];
        unsigned columns;
        while (text_next(&cursor, piece, &columns) > 0 && used + columns <= room - cut) {
                fputs(piece, out);
                used += columns;
        }
        if (cut) {
                fputs("\xe2\x80\xa6", out); /* an ellipsis */
                used++;
        }
        if (!last && (!(table->columns[c].flags & TABLE_RIGHT) || cut))
                pad(out, room - used);
}

static void print_row(const struct table *table, FILE *out, char *const *cells) {
        size_t last = 0;
        for (size_t c = 0; c < table->column_count; c++)
                if (!table->hidden[c])
                        last = c;
        bool first = true;
        for (size_t c = 0; c < table->column_count; c++) {
                if (table->hidden[c])
                        continue;
                if (!first)
                        pad(out, SPACE);
                first = false;
                print_cell(table, out, c, cells ? cells[c] : table->columns[c].head, c == last);
        }
        putc('\n', out);
}

int table_print(struct table *table, FILE *out, size_t width) {
        if (table->error)
                return table->error;
        measure(table);
        memset(table->hidden, 0, sizeof(table->hidden));
        if (width > 0 && total(table) > width) {
                memcpy(table->hidden, table->spare, sizeof(table->hidden));
                shrink(table, width);
        }
        print_row(table, out, NULL);
        for (size_t i = 0; i + table->column_count <= table->cell_count; i += table->column_count)
                print_row(table, out, table->cells + i);
        return 0;
}

size_t table_width(FILE *out) {
        const char *columns = getenv("COLUMNS");
        if (columns && *columns) {
                char *end;
                unsigned long width = strtoul(columns, &end, 10);
                if (*end == 0 && width > 0 && width < 100000)
                        return width;
        }
        struct winsize size;
        if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0)
                return size.ws_col;
        return 0;
}
