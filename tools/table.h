/* SPDX-License-Identifier: MIT */
/* Tables for people: headers in upper case, "-" for what is empty, numbers to the right. Where the terminal is too
 * narrow, optional columns without content go first, then the widest columns that may be cut are cut. */
#ifndef RAMAL_TOOLS_TABLE_H
#define RAMAL_TOOLS_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
        TABLE_RIGHT = 1,   /* numbers */
        TABLE_SHRINK = 2,  /* may be cut, the cut marked by an ellipsis */
        TABLE_OPTIONAL = 4 /* may be left out where all its cells are empty or 0 */
};

struct table_column {
        const char *head;
        unsigned flags;
};

struct table;

/* columns: borrowed. Returns NULL without memory. */
struct table *table_new(const struct table_column *columns, size_t count);
struct table *table_free(struct table *table);

/* Fills the next cell, from left to right and row by row. Any text, it is made safe; NULL and "": empty. Without memory
 * it notes so, and table_print() tells. */
void table_text(struct table *table, const char *text);
void table_number(struct table *table, uint64_t number);

/* width: columns of the terminal, 0: as wide as need be. Returns 0, -ENOMEM. */
int table_print(struct table *table, FILE *out, size_t width);

/* The width to use for `out`: $COLUMNS, else the terminal's, else 0. */
size_t table_width(FILE *out);

#endif
