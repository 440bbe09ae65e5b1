/* SPDX-License-Identifier: MIT */
#include "json.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "text.h"

struct json json_on(FILE *out) {
        return (struct json){.out = out};
}

/* JSON may go to a terminal too. What does not fit in 16 bits is written as two halves. */
static void escaped(struct json *json, uint32_t rune) {
        if (rune > 0xffff)
                fprintf(json->out, "\\u%04x\\u%04x", (unsigned)(0xd800 + ((rune - 0x10000) >> 10)),
                        (unsigned)(0xdc00 + (rune & 0x3ff)));
        else
                fprintf(json->out, "\\u%04x", (unsigned)rune);
}

static void quoted(struct json *json, const void *text, size_t len) {
        const unsigned char *p = text;
        uint32_t rune;
        putc('"', json->out);
        while (len > 0) {
                size_t bytes = text_character(p, len, &rune);
                if (bytes == 0) {
                        fputs("\\ufffd", json->out);
                        bytes = 1;
                } else if (*p == '"' || *p == '\\') {
                        putc('\\', json->out);
                        putc(*p, json->out);
                } else if (*p == '\n') {
                        fputs("\\n", json->out);
                } else if (*p == '\t') {
                        fputs("\\t", json->out);
                } else if (text_is_unsafe(rune)) {
                        escaped(json, rune);
                } else {
                        fwrite(p, 1, bytes, json->out);
                }
                p += bytes;
                len -= bytes;
        }
        putc('"', json->out);
}

/* What stands before every value. */
static void before(struct json *json, const char *key) {
        if (json->depth > 0) {
                if (json->filled[json->depth - 1])
                        putc(',', json->out);
                json->filled[json->depth - 1] = true;
        }
        if (key) {
                quoted(json, key, strlen(key));
                putc(':', json->out);
        }
}

static void open_container(struct json *json, const char *key, char opening, char closing) {
        assert(json->depth < JSON_DEPTH);
        before(json, key);
        putc(opening, json->out);
        json->closing[json->depth] = closing;
        json->filled[json->depth] = false;
        json->depth++;
}

void json_open_object(struct json *json, const char *key) {
        open_container(json, key, '{', '}');
}

void json_open_array(struct json *json, const char *key) {
        open_container(json, key, '[', ']');
}

void json_end(struct json *json) {
        assert(json->depth > 0);
        json->depth--;
        putc(json->closing[json->depth], json->out);
        if (json->depth == 0)
                putc('\n', json->out);
}

void json_text_len(struct json *json, const char *key, const void *text, size_t len) {
        before(json, key);
        quoted(json, text, len);
}

void json_text(struct json *json, const char *key, const char *text) {
        json_text_len(json, key, text ? text : "", text ? strlen(text) : 0);
}

static void base64(FILE *out, const unsigned char *p, size_t len) {
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for (; len > 0; p += 3, len -= len < 3 ? len : 3) {
                unsigned group = (unsigned)p[0] << 16 | (len > 1 ? (unsigned)p[1] << 8 : 0) | (len > 2 ? p[2] : 0);
                putc(digits[group >> 18], out);
                putc(digits[group >> 12 & 63], out);
                putc(len > 1 ? digits[group >> 6 & 63] : '=', out);
                putc(len > 2 ? digits[group & 63] : '=', out);
        }
}

void json_bytes(struct json *json, const char *key, const void *data, size_t len) {
        if (text_is_utf8(data, len)) {
                json_text_len(json, key, data, len);
                return;
        }
        char marked[64];
        snprintf(marked, sizeof(marked), "%s_base64", key);
        before(json, marked);
        putc('"', json->out);
        base64(json->out, data, len);
        putc('"', json->out);
}

void json_number(struct json *json, const char *key, uint64_t number) {
        before(json, key);
        fprintf(json->out, "%" PRIu64, number);
}

void json_thousandths(struct json *json, const char *key, uint64_t thousandths) {
        before(json, key);
        fprintf(json->out, "%" PRIu64 ".%03" PRIu64, thousandths / 1000, thousandths % 1000);
}

void json_bool(struct json *json, const char *key, bool value) {
        before(json, key);
        fputs(value ? "true" : "false", json->out);
}
