/* SPDX-License-Identifier: MIT */
/* Writes JSON (RFC 8259) straight to a stream: always ASCII-safe structure, valid UTF-8, one line unless the
 * caller adds others. Numbers are written exactly, 64-bit ones too. */
#ifndef RAMAL_TOOLS_JSON_H
#define RAMAL_TOOLS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { JSON_DEPTH = 16 };

struct json {
        FILE *out;
        unsigned depth;
        char closing[JSON_DEPTH];
        bool filled[JSON_DEPTH]; /* has the container an entry already? */
};

struct json json_on(FILE *out);

/* In all of these `key` is the member's name inside an object, and NULL in an array and at the top. */
void json_open_object(struct json *json, const char *key);
void json_open_array(struct json *json, const char *key);
/* Closes the object or array that was opened last; the outermost one ends its line. */
void json_end(struct json *json);

/* Text. Bytes that are not UTF-8 become U+FFFD. text may be NULL: "". */
void json_text(struct json *json, const char *key, const char *text);
void json_text_len(struct json *json, const char *key, const void *text, size_t len);
/* "key": text if the bytes are UTF-8, else "key_base64": base64. */
void json_bytes(struct json *json, const char *key, const void *data, size_t len);
void json_number(struct json *json, const char *key, uint64_t number);
/* With three digits after the point. */
void json_thousandths(struct json *json, const char *key, uint64_t thousandths);
void json_bool(struct json *json, const char *key, bool value);

#endif
