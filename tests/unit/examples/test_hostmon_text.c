/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "text.h"
#include "token.h"

static struct text text_of(const char *string) {
        return (struct text){string, strlen(string)};
}

static void test_text_lines_are_taken_one_by_one(void **state) {
        struct text rest = text_of("one\n\nthree"), line;

        (void)state;
        assert_true(text_line(&rest, &line));
        assert_true(text_is(line, "one"));
        assert_true(text_line(&rest, &line));
        assert_int_equal(line.len, 0);
        assert_true(text_line(&rest, &line));
        assert_true(text_is(line, "three"));
        assert_false(text_line(&rest, &line));
}

static void test_text_words_are_split_at_any_blanks(void **state) {
        struct text rest = text_of("  a \t bc\r"), word;

        (void)state;
        assert_true(text_word(&rest, &word));
        assert_true(text_is(word, "a"));
        assert_true(text_word(&rest, &word));
        assert_true(text_is(word, "bc"));
        assert_false(text_word(&rest, &word));
}

static void test_text_number_that_is_none_is_refused(void **state) {
        static const char *const bad[] = {
                "", "-1", "+1", "1x", "0x10", " 1", "1.0", "18446744073709551616", "99999999999999999999999"};
        uint64_t value = 7;

        (void)state;
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_false(text_number(text_of(bad[i]), &value));
        assert_int_equal(value, 7);
        assert_true(text_number(text_of("18446744073709551615"), &value));
        assert_true(value == UINT64_MAX);
        assert_true(text_number(text_of("007"), &value));
        assert_int_equal(value, 7);
}

static void test_text_decimal_has_a_whole_part_and_perhaps_another(void **state) {
        static const char *const bad[] = {"", ".", "1.", ".5", "1.-5", "1,5", "nan", "1.2.3", "1.1234567890123456"};
        double value = 0;

        (void)state;
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_false(text_decimal(text_of(bad[i]), &value));
        assert_true(text_decimal(text_of("12.25"), &value));
        assert_true(value > 12.2499 && value < 12.2501);
        assert_true(text_decimal(text_of("3"), &value));
        assert_true(value > 2.9999 && value < 3.0001);
}

static void test_text_name_never_holds_what_is_no_ascii(void **state) {
        char buf[8];

        (void)state;
        assert_true(text_name(text_of("eth0"), buf, sizeof(buf)));
        assert_string_equal(buf, "eth0");
        assert_true(text_name((struct text){"a\xff\0\x1b"
                                            "b",
                                            5},
                              buf, sizeof(buf)));
        assert_string_equal(buf, "a___b");
        assert_true(text_name(text_of("1234567"), buf, sizeof(buf)));
        assert_false(text_name(text_of("12345678"), buf, sizeof(buf)));
        assert_false(text_name(text_of(""), buf, sizeof(buf)));
}

static void test_token_replaces_what_a_subject_cannot_hold(void **state) {
        static const char *const cases[][2] = {
                {"web-1", "web-1"},
                {"web1.example.org", "web1_example_org"},
                {"*", "_"},
                {">", "_"},
                {"", "_"},
                {"a b\tc", "a_b_c"},
                {"$SYS", "_SYS"},
                {"h\xc3\xa4user", "h__user"},
                {"cciss!c0d0", "cciss!c0d0"},
                {"eth0:1", "eth0:1"},
                {"x\x7f\x01", "x__"},
        };
        char buf[TOKEN_BYTES];

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                assert_string_equal(token_make(cases[i][0], buf), cases[i][1]);
}

static void test_token_of_a_long_name_is_cut(void **state) {
        char name[300], buf[TOKEN_BYTES];

        (void)state;
        memset(name, 'x', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        assert_int_equal(strlen(token_make(name, buf)), TOKEN_BYTES - 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text_lines_are_taken_one_by_one),
                cmocka_unit_test(test_text_words_are_split_at_any_blanks),
                cmocka_unit_test(test_text_number_that_is_none_is_refused),
                cmocka_unit_test(test_text_decimal_has_a_whole_part_and_perhaps_another),
                cmocka_unit_test(test_text_name_never_holds_what_is_no_ascii),
                cmocka_unit_test(test_token_replaces_what_a_subject_cannot_hold),
                cmocka_unit_test(test_token_of_a_long_name_is_cut),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
