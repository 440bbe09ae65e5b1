/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "naive_match.h"
#include "rng.h"
#include "subject.h"

#define TEXT(literal)                                                                                                  \
        { (const uint8_t *)(literal), sizeof(literal) - 1 }
#define SPAN(literal) ((struct rml_span)TEXT(literal))
#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

enum { S = 1 << RML_SUBJECT, P = 1 << RML_PATTERN, N = 1 << RML_NAME, G = 1 << RML_GROUP };

/* Which kinds a text may be. */
static const struct {
        struct rml_span text;
        unsigned good;
} grammar[] = {
        {TEXT("a"), S | P | N | G},
        {TEXT("a.b.c"), S | P | N | G},
        {TEXT("Gr\xc3\xbc\xc3\x9f"
              "e.\xe4\xb8\x96\xe7\x95\x8c.\xf0\x9f\x98\x80"),
         S | P | N | G},
        {TEXT("a-b_c.1.!\"#%&'()+,/:;<=?@[]^`{|}~"), S | P | N | G},
        {TEXT("$SYS.api.list"), S | P | G},
        {TEXT("a.$b"), S | P | N | G},
        {TEXT("$"), S | P | G},
        /* wildcards */
        {TEXT("*"), P},
        {TEXT(">"), P},
        {TEXT("a.*"), P},
        {TEXT("*.a"), P},
        {TEXT("a.*.b"), P},
        {TEXT("a.>"), P},
        {TEXT("*.*.>"), P},
        {TEXT(">.a"), 0},
        {TEXT("a.>.b"), 0},
        {TEXT(">.>"), 0},
        /* within a longer token they are ordinary */
        {TEXT("foo*"), S | P | N | G},
        {TEXT("foo>"), S | P | N | G},
        {TEXT("*foo"), S | P | N | G},
        {TEXT("**"), S | P | N | G},
        {TEXT(">>"), S | P | N | G},
        {TEXT(">a.b"), S | P | N | G},
        {TEXT("a.b*c.>d"), S | P | N | G},
        /* empty tokens */
        {TEXT(""), 0},
        {TEXT("."), 0},
        {TEXT(".a"), 0},
        {TEXT("a."), 0},
        {TEXT("a..b"), 0},
        {TEXT("a.>."), 0},
        /* white space and control bytes */
        {TEXT(" "), 0},
        {TEXT("a b"), 0},
        {TEXT("a.b "), 0},
        {TEXT("a\tb"), 0},
        {TEXT("a\nb"), 0},
        {TEXT("a\r"), 0},
        {TEXT("a\x7f"), 0},
        {TEXT("a\x1b[31m"), 0},
        {TEXT("a\0b"), 0},
        {TEXT("\0"), 0},
        /* no UTF-8 */
        {TEXT("a\x80"), 0},
        {TEXT("a\xff"), 0},
        {TEXT("a\xc3"), 0},
        {TEXT("a\xc3.b"), 0},
        {TEXT("a\xc0\xaf"), 0},         /* over-long '/' */
        {TEXT("a\xe0\x80\xae"), 0},     /* over-long '.' */
        {TEXT("a\xed\xa0\x80"), 0},     /* surrogate */
        {TEXT("a\xf4\x90\x80\x80"), 0}, /* above U+10FFFF */
        {TEXT("a\xf8\x88\x80\x80\x80"), 0},
        {TEXT("a\xe4\xb8"), 0},
        /* 255 bytes are a subject, 256 none; 200 are a name, 201 none */
        {TEXT(HUNDRED HUNDRED), S | P | N | G},
        {TEXT(HUNDRED HUNDRED "x"), S | P | G},
        {TEXT(HUNDRED HUNDRED TEN TEN TEN TEN TEN "12345"), S | P | G},
        {TEXT(HUNDRED HUNDRED TEN TEN TEN TEN TEN "123456"), 0},
        /* 28 tokens are a name, 32 a subject, 33 nothing */
        {TEXT("0.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7"), S | P | N | G},
        {TEXT("0.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8"), S | P | G},
        {TEXT("0.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8.9.0.1"), S | P | G},
        {TEXT("0.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8.9.0.>"), P},
        {TEXT("0.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8.9.0.1.2"), 0},
};

static void test_subject_fault_B24_B25_grammar_table(void **state) {
        (void)state;
        for (size_t i = 0; i < RML_COUNT(grammar); i++) {
                for (unsigned kind = RML_SUBJECT; kind <= RML_GROUP; kind++) {
                        const char *why = rml_subject_check(grammar[i].text, (enum rml_subject_kind)kind);
                        bool good = grammar[i].good >> kind & 1;
                        if (good == !why)
                                continue;
                        print_error("row %zu, kind %u: '%.*s': %s\n", i, kind, (int)grammar[i].text.len,
                                    (const char *)grammar[i].text.data, why ? why : "accepted");
                        fail();
                }
        }
}

static void test_subject_reason_says_what_is_wrong(void **state) {
        (void)state;
        assert_non_null(strstr(rml_subject_check(SPAN(""), RML_SUBJECT), "empty"));
        assert_non_null(strstr(rml_subject_check(SPAN("a..b"), RML_SUBJECT), "empty token"));
        assert_non_null(strstr(rml_subject_check(SPAN("a.*"), RML_SUBJECT), "wildcard"));
        assert_non_null(strstr(rml_subject_check(SPAN(">.a"), RML_PATTERN), "'>'"));
        assert_non_null(strstr(rml_subject_check(SPAN("a b"), RML_SUBJECT), "white space"));
        assert_non_null(strstr(rml_subject_check(SPAN("$SYS.x"), RML_NAME), "'$'"));
        assert_non_null(strstr(rml_subject_check(SPAN("a\xff"), RML_SUBJECT), "UTF-8"));
}

static const struct {
        const char *pattern, *subject;
        bool match;
} matches[] = {
        {"a", "a", true},
        {"a", "b", false},
        {"a", "A", false},
        {"a", "a.b", false},
        {"a.b", "a", false},
        {"a.b", "a.b", true},
        {"a.b", "a.bc", false},
        {"a.bc", "a.b", false},
        {"*", "a", true},
        {"*", "a.b", false},
        {"*.b", "a.b", true},
        {"a.*", "a.b", true},
        {"a.*", "a", false},
        {"a.*", "a.b.c", false},
        {"a.*.c", "a.b.c", true},
        {"a.*.c", "a.b.d", false},
        {"*.*", "a.b", true},
        {">", "a", true},
        {">", "a.b.c", true},
        {"foo.>", "foo", false},
        {"foo.>", "foo.a", true},
        {"foo.>", "foo.a.b.c", true},
        {"foo.>", "food.a", false},
        {"*.>", "a", false},
        {"*.>", "a.b", true},
        {"a.*.>", "a.b", false},
        {"a.*.>", "a.b.c", true},
        /* ordinary within a longer token */
        {"foo*", "foo*", true},
        {"foo*", "foobar", false},
        {"foo>", "foo>", true},
        {"foo>", "foo.a", false},
        /* a wildcard in front does not reach what is the broker's */
        {">", "$SYS.x", false},
        {"*.x", "$SYS.x", false},
        {"*", "$", false},
        {"*.>", "$PEER.7.x", false},
        {"$SYS.>", "$SYS.x", true},
        {"$SYS.*", "$SYS.x", true},
        {"a.*", "a.$b", true},
        {"a.>", "a.$b", true},
};

static void test_subject_match_table(void **state) {
        (void)state;
        for (size_t i = 0; i < RML_COUNT(matches); i++) {
                struct rml_span pattern = rml_span_of(matches[i].pattern), subject = rml_span_of(matches[i].subject);
                assert_null(rml_subject_check(pattern, RML_PATTERN));
                assert_null(rml_subject_check(subject, RML_SUBJECT));
                if (rml_subject_match(pattern, subject) != matches[i].match ||
                    naive_match(pattern, subject) != matches[i].match)
                        fail_msg("'%s' and '%s'", matches[i].pattern, matches[i].subject);
        }
}

/* Few different tokens, so that many match. */
static struct rml_span random_text(struct rng *rng, char *buf, bool pattern) {
        static const char *const tokens[] = {"a", "b", "ab", "$a", "a*", "\xc3\xa4", "*", ">"};
        size_t count = 1 + (size_t)rng_below(rng, 5), len = 0;

        for (size_t i = 0; i < count; i++) {
                size_t choice = (size_t)rng_below(rng, pattern ? 8 : 6);
                if (choice == 7 && i + 1 < count)
                        choice = 6;
                len += (size_t)sprintf(buf + len, "%s%s", i > 0 ? "." : "", tokens[choice]);
        }
        return (struct rml_span){(const uint8_t *)buf, len};
}

static void test_subject_match_agrees_with_naive_matcher(void **state) {
        (void)state;
        struct rng rng = {2024};
        char pattern_text[64], subject_text[64];
        unsigned yes = 0;

        for (unsigned i = 0; i < 200000; i++) {
                struct rml_span pattern = random_text(&rng, pattern_text, true);
                struct rml_span subject = random_text(&rng, subject_text, false);
                assert_null(rml_subject_check(pattern, RML_PATTERN));
                assert_null(rml_subject_check(subject, RML_SUBJECT));
                bool expected = naive_match(pattern, subject);
                if (rml_subject_match(pattern, subject) != expected)
                        fail_msg("'%s' and '%s': not %d", pattern_text, subject_text, expected);
                yes += expected;
        }
        /* The test is worth something only if both happen often. */
        assert_in_range(yes, 5000, 100000);
}

static void test_subject_compare_puts_the_more_specific_first(void **state) {
        (void)state;
        static const char *const sorted[] = {"a",   "a.a",   "a.a.a", "a.a.*", "a.a.>", "a.b", "a.b*",
                                             "a.*", "a.*.a", "a.*.*", "a.*.>", "a.>",   "aa",  "b",
                                             "*",   "*.a",   "*.*",   "*.>",   ">"};

        for (size_t i = 0; i < RML_COUNT(sorted); i++) {
                for (size_t j = 0; j < RML_COUNT(sorted); j++) {
                        int r = rml_subject_compare(rml_span_of(sorted[i]), rml_span_of(sorted[j]));
                        if ((r > 0) - (r < 0) != (i > j) - (i < j))
                                fail_msg("'%s' and '%s': %d", sorted[i], sorted[j], r);
                }
        }
}

static void test_subject_compare_is_a_total_order(void **state) {
        (void)state;
        struct rng rng = {7};

        for (unsigned i = 0; i < 50000; i++) {
                char text[3][64];
                struct rml_span x = random_text(&rng, text[0], true), y = random_text(&rng, text[1], true),
                                z = random_text(&rng, text[2], true);
                int xy = rml_subject_compare(x, y), yx = rml_subject_compare(y, x);
                assert_int_equal(xy > 0, yx < 0);
                assert_int_equal(xy == 0, rml_span_equal(x, y));
                if (xy <= 0 && rml_subject_compare(y, z) <= 0)
                        assert_true(rml_subject_compare(x, z) <= 0);
        }
}

static void test_subject_tokens_are_split_at_dots(void **state) {
        (void)state;
        struct rml_span rest = SPAN("a.bcd..e"), token;
        static const char *const expected[] = {"a", "bcd", "", "e"};

        for (size_t i = 0; i < RML_COUNT(expected); i++) {
                assert_true(rml_subject_token(&rest, &token));
                assert_true(rml_span_equal(token, rml_span_of(expected[i])));
        }
        assert_false(rml_subject_token(&rest, &token));
        assert_false(rml_subject_token(&rest, &token));
}

static void test_subject_wildcards_are_found_as_whole_tokens_only(void **state) {
        (void)state;
        assert_true(rml_subject_has_wildcard(SPAN("*")));
        assert_true(rml_subject_has_wildcard(SPAN("a.>")));
        assert_true(rml_subject_has_wildcard(SPAN("a.*.b")));
        assert_false(rml_subject_has_wildcard(SPAN("a.b")));
        assert_false(rml_subject_has_wildcard(SPAN("a*.b>")));
}

static void expect_utf8(struct rml_span text, bool good) {
        /* At every place within words of eight bytes, and from memory of just that size. */
        for (size_t before = 0; before < 17; before++) {
                for (size_t after = 0; after < 17; after += 8) {
                        size_t len = before + text.len + after;
                        uint8_t *bytes = malloc(len > 0 ? len : 1);
                        memset(bytes, 'x', len);
                        if (text.len > 0)
                                memcpy(bytes + before, text.data, text.len);
                        bool valid = rml_utf8_valid((struct rml_span){bytes, len});
                        free(bytes);
                        assert_int_equal(valid, good);
                }
        }
}

static void test_subject_utf8_table(void **state) {
        (void)state;
        expect_utf8(SPAN(""), true);
        expect_utf8(SPAN("\x01\x7f"), true);
        expect_utf8(SPAN("\xc2\x80"), true);
        expect_utf8(SPAN("\xdf\xbf"), true);
        expect_utf8(SPAN("\xe0\xa0\x80"), true);
        expect_utf8(SPAN("\xed\x9f\xbf"), true);
        expect_utf8(SPAN("\xee\x80\x80"), true);
        expect_utf8(SPAN("\xef\xbf\xbf"), true);
        expect_utf8(SPAN("\xf0\x90\x80\x80"), true);
        expect_utf8(SPAN("\xf4\x8f\xbf\xbf"), true);
        expect_utf8(SPAN("\0"), false);
        expect_utf8(SPAN("\x80"), false);
        expect_utf8(SPAN("\xbf"), false);
        expect_utf8(SPAN("\xc0\x80"), false);
        expect_utf8(SPAN("\xc1\xbf"), false);
        expect_utf8(SPAN("\xc2\x7f"), false);
        expect_utf8(SPAN("\xc2\xc0"), false);
        expect_utf8(SPAN("\xe0\x9f\xbf"), false);
        expect_utf8(SPAN("\xed\xa0\x80"), false);
        expect_utf8(SPAN("\xed\xbf\xbf"), false);
        expect_utf8(SPAN("\xf0\x8f\xbf\xbf"), false);
        expect_utf8(SPAN("\xf4\x90\x80\x80"), false);
        expect_utf8(SPAN("\xf5\x80\x80\x80"), false);
        expect_utf8(SPAN("\xf0\x90\x80x"), false);
        expect_utf8(SPAN("\xff"), false);
        /* cut off at the end */
        assert_false(rml_utf8_valid(SPAN("x\xc2")));
        assert_false(rml_utf8_valid(SPAN("x\xe0\xa0")));
        assert_false(rml_utf8_valid(SPAN("1234567\xf0\x90\x80")));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_subject_fault_B24_B25_grammar_table),
                cmocka_unit_test(test_subject_reason_says_what_is_wrong),
                cmocka_unit_test(test_subject_match_table),
                cmocka_unit_test(test_subject_match_agrees_with_naive_matcher),
                cmocka_unit_test(test_subject_compare_puts_the_more_specific_first),
                cmocka_unit_test(test_subject_compare_is_a_total_order),
                cmocka_unit_test(test_subject_tokens_are_split_at_dots),
                cmocka_unit_test(test_subject_wildcards_are_found_as_whole_tokens_only),
                cmocka_unit_test(test_subject_utf8_table),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
