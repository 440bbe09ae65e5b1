/* SPDX-License-Identifier: MIT */
/* Two texts, cut where the first byte says: their grammar, their match and their order. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "bounds.h"
#include "naive_match.h"
#include "subject.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of just that size, so that the sanitizer sees a read past the end. Returns owned. */
static uint8_t *copy_of(const uint8_t *data, size_t len) {
        uint8_t *bytes = malloc(len > 0 ? len : 1);

        rml_check(bytes);
        if (len > 0)
                memcpy(bytes, data, len);
        return bytes;
}

static int sign(int value) {
        return (value > 0) - (value < 0);
}

/* Tokens and dots put together are the text again. */
static unsigned count_tokens(struct rml_span text) {
        struct rml_span rest = text, token;
        size_t at = 0;
        unsigned count = 0;

        while (rml_subject_token(&rest, &token)) {
                rml_check(token.data == text.data + at && token.len <= text.len - at);
                rml_check(token.len == 0 || !memchr(token.data, '.', token.len));
                at += token.len + 1;
                count++;
        }
        rml_check(at == text.len + 1);
        return count;
}

static bool check_one(struct rml_span text) {
        bool subject = !rml_subject_check(text, RML_SUBJECT), pattern = !rml_subject_check(text, RML_PATTERN);
        bool name = !rml_subject_check(text, RML_NAME);
        unsigned tokens = count_tokens(text);

        rml_check(!subject || pattern);
        rml_check(subject == !rml_subject_check(text, RML_GROUP));
        rml_check(name ==
                  (subject && text.data[0] != '$' && text.len <= RML_NAME_BYTES_MAX && tokens <= RML_NAME_TOKENS_MAX));
        if (pattern) {
                rml_check(rml_utf8_valid(text) && text.len <= RML_SUBJECT_BYTES_MAX &&
                          tokens <= RML_SUBJECT_TOKENS_MAX);
                rml_check(rml_subject_has_wildcard(text) == !subject);
                rml_check(rml_subject_compare(text, text) == 0);
        }
        return pattern;
}

static void check_both(struct rml_span a, struct rml_span b) {
        int order = rml_subject_compare(a, b);

        rml_check(sign(order) == -sign(rml_subject_compare(b, a)));
        rml_check((order == 0) == rml_span_equal(a, b));
        if (rml_subject_has_wildcard(b))
                return;
        bool match = rml_subject_match(a, b);
        rml_check(match == naive_match(a, b));
        if (!rml_subject_has_wildcard(a))
                rml_check(match == rml_span_equal(a, b));
        /* What matches and is no wildcard is the more specific of the two. */
        else if (match)
                rml_check(order > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (size == 0)
                return 0;
        size_t cut = 1 + data[0] % size;
        uint8_t *first = copy_of(data + 1, cut - 1), *second = copy_of(data + cut, size - cut);
        struct rml_span a = {first, cut - 1}, b = {second, size - cut};
        bool a_well = check_one(a), b_well = check_one(b);

        if (a_well && b_well) {
                check_both(a, b);
                check_both(b, a);
        }
        free(first);
        free(second);
        return 0;
}
