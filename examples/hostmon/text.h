/* SPDX-License-Identifier: MIT */
/* Reads lines, words and numbers from the text of a file in /proc. Nothing is copied, and nothing needs to end in
 * NUL. */
#ifndef HOSTMON_TEXT_H
#define HOSTMON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
        const char *at;
        size_t len;
};

/* Takes the next line, or the next word between blanks, off the front of *rest. false: there is none. */
bool text_line(struct text *rest, struct text *line);
bool text_word(struct text *rest, struct text *word);

bool text_is(struct text text, const char *word);
bool text_begins(struct text text, const char *start);

/* A whole word as a number. false: it is none, or it is too large. */
bool text_number(struct text word, uint64_t *ret);
/* "1.25" */
bool text_decimal(struct text word, double *ret);

/* Takes up to `max` words that are numbers off the front. Returns how many there were. */
size_t text_numbers(struct text *rest, uint64_t *ret, size_t max);

/* As a C string into buf, what is not printable ASCII as "_" (a protobuf string is UTF-8, and the kernel takes any bytes
 * for a name). false: it does not fit, or is empty. */
bool text_name(struct text text, char *buf, size_t size);

#endif
