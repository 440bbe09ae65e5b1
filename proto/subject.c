/* SPDX-License-Identifier: MIT */
#include "subject.h"

#include <string.h>

#include "bounds.h"

bool rml_span_equal(struct rml_span a, struct rml_span b) {
        return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

struct rml_span rml_span_of(const char *text) {
        return (struct rml_span){(const uint8_t *)text, strlen(text)};
}

/* Bytes of a multi-byte character that begins at `at`; 0 if it is none. */
static size_t utf8_wide(const uint8_t *at, size_t left) {
        uint8_t first = at[0], low = 0x80, high = 0xbf;
        size_t len;

        /* What the second byte may be keeps out over-long forms, surrogates and everything above U+10FFFF. */
        if (first >= 0xc2 && first <= 0xdf) {
                len = 2;
        } else if (first >= 0xe0 && first <= 0xef) {
                len = 3;
                low = first == 0xe0 ? 0xa0 : 0x80;
                high = first == 0xed ? 0x9f : 0xbf;
        } else if (first >= 0xf0 && first <= 0xf4) {
                len = 4;
                low = first == 0xf0 ? 0x90 : 0x80;
                high = first == 0xf4 ? 0x8f : 0xbf;
        } else {
                return 0;
        }
        if (len > left || at[1] < low || at[1] > high)
                return 0;
        for (size_t i = 2; i < len; i++)
                if ((at[i] & 0xc0) != 0x80)
                        return 0;
        return len;
}

bool rml_utf8_valid(struct rml_span text) {
        const uint64_t ones = UINT64_C(0x0101010101010101), tops = UINT64_C(0x8080808080808080);
        size_t i = 0;

        while (i < text.len) {
                /* Eight bytes of ASCII without a NUL at once. */
                uint64_t word;
                if (text.len - i >= sizeof(word)) {
                        memcpy(&word, text.data + i, sizeof(word));
                        if (((word | ((word - ones) & ~word)) & tops) == 0) {
                                i += sizeof(word);
                                continue;
                        }
                }
                uint8_t byte = text.data[i];
                if (byte == 0)
                        return false;
                size_t len = byte < 0x80 ? 1 : utf8_wide(text.data + i, text.len - i);
                if (len == 0)
                        return false;
                i += len;
        }
        return true;
}

bool rml_subject_token(struct rml_span *rest, struct rml_span *token) {
        if (!rest->data)
                return false;

        const uint8_t *dot = rest->len > 0 ? memchr(rest->data, '.', rest->len) : NULL;
        token->data = rest->data;
        if (!dot) {
                token->len = rest->len;
                *rest = (struct rml_span){NULL, 0};
                return true;
        }
        token->len = (size_t)(dot - rest->data);
        rest->data = dot + 1;
        rest->len -= token->len + 1;
        return true;
}

static bool is_wildcard(struct rml_span token) {
        return token.len == 1 && (token.data[0] == '*' || token.data[0] == '>');
}

static const char *check_token(struct rml_span token, bool last, enum rml_subject_kind kind) {
        if (token.len == 0)
                return "it has an empty token (a dot at an end, or two together)";
        for (size_t i = 0; i < token.len; i++)
                if (token.data[i] <= ' ' || token.data[i] == 0x7f)
                        return "it has white space or a control byte";
        if (!is_wildcard(token))
                return NULL;
        if (kind != RML_PATTERN)
                return "it has a wildcard, which only a pattern may have";
        if (token.data[0] == '>' && !last)
                return "it has the wildcard '>' before its end";
        return NULL;
}

const char *rml_subject_check(struct rml_span text, enum rml_subject_kind kind) {
        bool name = kind == RML_NAME;
        unsigned tokens = 0, tokens_max = name ? RML_NAME_TOKENS_MAX : RML_SUBJECT_TOKENS_MAX;
        struct rml_span rest = text, token;

        if (text.len == 0)
                return "it is empty";
        if (text.len > (name ? RML_NAME_BYTES_MAX : RML_SUBJECT_BYTES_MAX))
                return name ? "it is longer than 200 bytes" : "it is longer than 255 bytes";
        if (name && text.data[0] == '$')
                return "names that begin with '$' are the broker's own";
        while (rml_subject_token(&rest, &token)) {
                if (++tokens > tokens_max)
                        return name ? "it has more than 28 tokens" : "it has more than 32 tokens";
                const char *why = check_token(token, !rest.data, kind);
                if (why)
                        return why;
        }
        return rml_utf8_valid(text) ? NULL : "it is not valid UTF-8";
}

bool rml_subject_match(struct rml_span pattern, struct rml_span subject) {
        struct rml_span wanted, token;
        bool first = true;

        while (rml_subject_token(&pattern, &wanted)) {
                if (!rml_subject_token(&subject, &token))
                        return false;
                if (is_wildcard(wanted)) {
                        if (first && token.len > 0 && token.data[0] == '$')
                                return false;
                        if (wanted.data[0] == '>')
                                return true;
                } else if (!rml_span_equal(wanted, token)) {
                        return false;
                }
                first = false;
        }
        return !subject.data;
}

static int rank(struct rml_span token) {
        if (!is_wildcard(token))
                return 0;
        return token.data[0] == '*' ? 1 : 2;
}

static int compare_bytes(struct rml_span a, struct rml_span b) {
        size_t common = a.len < b.len ? a.len : b.len;
        int r = common > 0 ? memcmp(a.data, b.data, common) : 0;

        return r != 0 ? r : (a.len > b.len) - (a.len < b.len);
}

int rml_subject_compare(struct rml_span a, struct rml_span b) {
        struct rml_span left, right;

        for (;;) {
                bool more_left = rml_subject_token(&a, &left), more_right = rml_subject_token(&b, &right);
                /* One text goes on where the other ends: no subject matches both, any order will do. */
                if (!more_left || !more_right)
                        return (int)more_left - (int)more_right;
                int r = rank(left) - rank(right);
                if (r == 0)
                        r = compare_bytes(left, right);
                if (r != 0)
                        return r;
        }
}

bool rml_subject_has_wildcard(struct rml_span text) {
        struct rml_span token;

        while (rml_subject_token(&text, &token))
                if (is_wildcard(token))
                        return true;
        return false;
}
