/* SPDX-License-Identifier: MIT */
/* The subject grammar: NATS's. Tokens split by '.', none empty, no white space or control bytes, valid UTF-8, case
 * matters. '*' stands for one whole token, '>' for one or more at the end; inside a longer token both are ordinary. */
#ifndef RML_SUBJECT_H
#define RML_SUBJECT_H

#include <stdbool.h>

#include "blob.h"

enum rml_subject_kind {
        RML_SUBJECT, /* something to publish to or to call: no wildcard */
        RML_PATTERN, /* something to subscribe to */
        RML_NAME,    /* a well-known name: a subject of at most 28 tokens and 200 bytes, not beginning with '$' */
        RML_GROUP,   /* a group's name: a subject */
};

/* Returns NULL if `text` is well-formed, else why it is not (a literal, without the text itself). */
const char *rml_subject_check(struct rml_span text, enum rml_subject_kind kind);

/* Splits the next token off *rest (which starts as the whole text). Returns false at the end. No checks. */
bool rml_subject_token(struct rml_span *rest, struct rml_span *token);

/* Both must be well-formed. A pattern that begins with a wildcard never matches a subject that begins with '$'. */
bool rml_subject_match(struct rml_span pattern, struct rml_span subject);

/* <0 if a is the more specific pattern, >0 if b is, 0 if they are the same text: token by token from the left,
 * literal before '*' before '>'. Literals that differ compare by their bytes, so that the order is total. */
int rml_subject_compare(struct rml_span a, struct rml_span b);

bool rml_subject_has_wildcard(struct rml_span text);
bool rml_span_equal(struct rml_span a, struct rml_span b);
struct rml_span rml_span_of(const char *text);
/* Valid UTF-8 without NUL: no over-long form, no surrogate, nothing above U+10FFFF. */
bool rml_utf8_valid(struct rml_span text);

#endif
