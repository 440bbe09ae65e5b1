/* SPDX-License-Identifier: MIT */
/* The rules of matching, written down once more as simply as can be: what rml_subject_match() is held against. */
#ifndef RAMAL_TEST_NAIVE_MATCH_H
#define RAMAL_TEST_NAIVE_MATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "blob.h"

/* pattern[i..] against subject[j..], byte by byte; both begin at a token. */
static inline bool naive_match_from(struct rml_span pattern, size_t i, struct rml_span subject, size_t j) {
        size_t token_end = j;
        while (token_end < subject.len && subject.data[token_end] != '.')
                token_end++;
        size_t wanted_end = i;
        while (wanted_end < pattern.len && pattern.data[wanted_end] != '.')
                wanted_end++;

        bool single = wanted_end - i == 1;
        if (single && pattern.data[i] == '>')
                return true;
        if (!(single && pattern.data[i] == '*')) {
                if (wanted_end - i != token_end - j)
                        return false;
                for (size_t k = 0; k < token_end - j; k++)
                        if (pattern.data[i + k] != subject.data[j + k])
                                return false;
        }
        bool pattern_over = wanted_end == pattern.len, subject_over = token_end == subject.len;
        if (pattern_over || subject_over)
                return pattern_over && subject_over;
        return naive_match_from(pattern, wanted_end + 1, subject, token_end + 1);
}

/* Both well-formed. */
static inline bool naive_match(struct rml_span pattern, struct rml_span subject) {
        bool wild = (pattern.data[0] == '*' || pattern.data[0] == '>') && (pattern.len == 1 || pattern.data[1] == '.');

        if (wild && subject.data[0] == '$')
                return false;
        return naive_match_from(pattern, 0, subject, 0);
}

#endif
