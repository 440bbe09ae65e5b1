/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <stdint.h>
#include <string.h>

struct range {
        uint32_t first, last;
};

/* Beside the controls: marks that reorder or hide what stands around them, and line separators. */
static const struct range unsafe[] = {
        {0x061c, 0x061c}, {0x200b, 0x200f}, {0x2028, 0x202e},   {0x2060, 0x206f},
        {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f},
};

/* Characters that a terminal shows on the one before. */
static const struct range narrow[] = {
        {0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd}, {0x064b, 0x065f}, {0x1ab0, 0x1aff},
        {0x1dc0, 0x1dff}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xe0100, 0xe01ef},
};

/* Characters that take two columns. */
static const struct range wide[] = {
        {0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},   {0xac00, 0xd7a3},
        {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},
        {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1faff}, {0x20000, 0x3fffd},
};

static bool within(const struct range *ranges, size_t count, uint32_t rune) {
        for (size_t i = 0; i < count; i++)
                if (rune >= ranges[i].first && rune <= ranges[i].last)
                        return true;
        return false;
}

#define WITHIN(ranges, rune) within((ranges), sizeof(ranges) / sizeof(*(ranges)), (rune))

size_t text_character(const void *text, size_t len, uint32_t *rune) {
        const unsigned char *p = text;
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        if (len == 0)
                return 0;
        size_t bytes = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
        if (bytes == 0 || bytes > len)
                return 0;
        uint32_t value = bytes == 1 ? p[0] : p[0] & (0x7fU >> bytes);
        for (size_t i = 1; i < bytes; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
                value = value << 6 | (p[i] & 0x3f);
        }
        if (value < least[bytes] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
                return 0;
        *rune = value;
        return bytes;
}

bool text_is_unsafe(uint32_t rune) {
        return rune < 0x20 || (rune >= 0x7f && rune < 0xa0) || WITHIN(unsafe, rune);
}

bool text_is_utf8(const void *text, size_t len) {
        const unsigned char *p = text;
        uint32_t rune;
        while (len > 0) {
                size_t bytes = text_character(p, len, &rune);
                if (bytes == 0)
                        return false;
                p += bytes;
                len -= bytes;
        }
        return true;
}

struct text_cursor text_cursor(const void *text, size_t len, enum text_keep keep) {
        return (struct text_cursor){.at = text, .left = len, .keep = keep};
}

static size_t escape(uint32_t rune, char piece[TEXT_PIECE]) {
        int n;
        if (rune == '\n' || rune == '\t' || rune == '\r')
                n = snprintf(piece, TEXT_PIECE, "\\%c", rune == '\n' ? 'n' : rune == '\t' ? 't' : 'r');
        else if (rune < 0x80)
                n = snprintf(piece, TEXT_PIECE, "\\x%02x", (unsigned)rune);
        else
                n = snprintf(piece, TEXT_PIECE, rune > 0xffff ? "\\U%08x" : "\\u%04x", (unsigned)rune);
        return (size_t)n;
}

size_t text_next(struct text_cursor *cursor, char piece[TEXT_PIECE], unsigned *columns) {
        if (cursor->left == 0)
                return 0;
        uint32_t rune = 0;
        size_t bytes = text_character(cursor->at, cursor->left, &rune), written;
        if (bytes == 0) {
                bytes = 1;
                written = (size_t)snprintf(piece, TEXT_PIECE, "\\x%02x", (unsigned)*cursor->at);
                *columns = (unsigned)written;
        } else if (cursor->keep == TEXT_LINES && (rune == '\n' || rune == '\t')) {
                piece[0] = (char)rune;
                piece[1] = 0;
                written = 1;
                *columns = 1;
        } else if (text_is_unsafe(rune)) {
                written = escape(rune, piece);
                *columns = (unsigned)written;
        } else {
                memcpy(piece, cursor->at, bytes);
                piece[bytes] = 0;
                written = bytes;
                *columns = rune < 0x300 ? 1 : WITHIN(narrow, rune) ? 0 : WITHIN(wide, rune) ? 2 : 1;
        }
        cursor->at += bytes;
        cursor->left -= bytes;
        return written;
}

size_t text_columns(const char *text) {
        struct text_cursor cursor = text_cursor(text, strlen(text), TEXT_LINE);
        char piece[TEXT_PIECE];
        unsigned columns;
        size_t sum = 0;
        while (text_next(&cursor, piece, &columns) > 0)
                sum += columns;
        return sum;
}

void text_print(FILE *out, const void *text, size_t len, enum text_keep keep) {
        struct text_cursor cursor = text_cursor(text, len, keep);
        char piece[TEXT_PIECE];
        unsigned columns;
        size_t n;
        while ((n = text_next(&cursor, piece, &columns)) > 0)
                fwrite(piece, 1, n, out);
}

size_t text_copy(char *buffer, size_t size, const void *text, size_t len, enum text_keep keep) {
        struct text_cursor cursor = text_cursor(text, len, keep);
        char piece[TEXT_PIECE];
        unsigned columns;
        size_t n, used = 0;
        if (size == 0)
                return 0;
        while ((n = text_next(&cursor, piece, &columns)) > 0 && used + n < size) {
                memcpy(buffer + used, piece, n);
                used += n;
        }
        buffer[used] = 0;
        return used;
}
