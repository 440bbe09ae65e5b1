/* SPDX-License-Identifier: MIT */
/* Text that comes from the bus, made fit for people. Whatever a peer sends, no control character of it reaches a
 * terminal raw: C0 and C1 controls, invalid UTF-8 and what changes the direction or order of text are written as
 * escapes: \n, \x1b, \u202e. */
#ifndef RAMAL_TOOLS_TEXT_H
#define RAMAL_TOOLS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum text_keep {
        TEXT_LINE = 0, /* everything stays on one line: newlines and tabs are escaped too */
        TEXT_LINES = 1 /* newlines and tabs stay */
};

enum { TEXT_PIECE = 16 }; /* the longest safe form of one character, with its NUL */

struct text_cursor {
        const unsigned char *at;
        size_t left;
        enum text_keep keep;
};

struct text_cursor text_cursor(const void *text, size_t len, enum text_keep keep);
/* Takes one character and writes its safe form, NUL-terminated; *columns gets how wide a terminal shows it.
 * Returns the bytes of the safe form, 0 at the end. */
size_t text_next(struct text_cursor *cursor, char piece[TEXT_PIECE], unsigned *columns);

/* Decodes the well-formed UTF-8 character that `text` begins with. Returns its bytes; 0: there is none. */
size_t text_character(const void *text, size_t len, uint32_t *rune);
/* Must it be written as an escape? */
bool text_is_unsafe(uint32_t rune);
bool text_is_utf8(const void *text, size_t len);

/* How many columns the safe form takes on one line. */
size_t text_columns(const char *text);
/* Writes the safe form. */
void text_print(FILE *out, const void *text, size_t len, enum text_keep keep);
/* The safe form in `buffer`, always NUL-terminated, cut between characters where it does not fit. Returns its bytes. */
size_t text_copy(char *buffer, size_t size, const void *text, size_t len, enum text_keep keep);

#endif
