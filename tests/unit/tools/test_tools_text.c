/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "text.h"

static void expect(const char *text, size_t len, enum text_keep keep, const char *expected) {
        char buffer[256];
        text_copy(buffer, sizeof(buffer), text, len, keep);
        assert_string_equal(buffer, expected);
}

#define EXPECT(text, keep, expected) expect((text), sizeof(text) - 1, (keep), (expected))

static void test_text_plain_stays_as_it_is(void **state) {
        (void)state;
        EXPECT("hello, world", TEXT_LINE, "hello, world");
        EXPECT("caf\xc3\xa9 \xe4\xb8\xad\xe6\x96\x87 \xf0\x9f\x98\x80", TEXT_LINE,
               "caf\xc3\xa9 \xe4\xb8\xad\xe6\x96\x87 \xf0\x9f\x98\x80");
        EXPECT("", TEXT_LINE, "");
}

static void test_text_controls_are_escaped(void **state) {
        (void)state;
        EXPECT("\033[31m", TEXT_LINE, "\\x1b[31m");
        EXPECT("a\0b\x7f", TEXT_LINE, "a\\x00b\\x7f");
        EXPECT("a\r\n\tb", TEXT_LINE, "a\\r\\n\\tb");
        EXPECT("a\r\n\tb", TEXT_LINES, "a\\r\n\tb");
        EXPECT("\xc2\x9b"
               "31m",
               TEXT_LINE, "\\u009b31m");
}

static void test_text_that_reorders_or_hides_is_escaped(void **state) {
        (void)state;
        EXPECT("\xe2\x80\xae", TEXT_LINE, "\\u202e");
        EXPECT("\xe2\x81\xa6", TEXT_LINE, "\\u2066");
        EXPECT("\xe2\x80\xa8", TEXT_LINES, "\\u2028");
        EXPECT("\xf3\xa0\x81\x81", TEXT_LINE, "\\U000e0041");
}

static void test_text_invalid_utf8_is_escaped_byte_by_byte(void **state) {
        (void)state;
        EXPECT("\xff\xfe", TEXT_LINE, "\\xff\\xfe");
        EXPECT("\xc0\xaf", TEXT_LINE, "\\xc0\\xaf");          /* over-long */
        EXPECT("\xed\xa0\x80", TEXT_LINE, "\\xed\\xa0\\x80"); /* a surrogate */
        EXPECT("\xe4\xb8", TEXT_LINE, "\\xe4\\xb8");          /* cut */
        EXPECT("\xf4\x90\x80\x80", TEXT_LINE, "\\xf4\\x90\\x80\\x80");
}

static void test_text_no_input_leaves_a_control_byte(void **state) {
        unsigned char input[3];
        char buffer[64];
        (void)state;
        for (unsigned a = 0; a < 256; a++)
                for (unsigned b = 0; b < 256; b++) {
                        input[0] = (unsigned char)a;
                        input[1] = (unsigned char)b;
                        input[2] = 0x80;
                        size_t len = text_copy(buffer, sizeof(buffer), input, sizeof(input), TEXT_LINE);
                        assert_true(text_is_utf8(buffer, len));
                        for (size_t i = 0; i < len; i++) {
                                unsigned char c = (unsigned char)buffer[i];
                                assert_true(c >= 0x20 && c != 0x7f);
                                assert_false(c == 0xc2 && (unsigned char)buffer[i + 1] < 0xa0);
                        }
                }
}

static void test_text_copy_cuts_between_characters(void **state) {
        char buffer[6];
        (void)state;
        assert_int_equal(text_copy(buffer, sizeof(buffer), "abc\xe4\xb8\xad", 6, TEXT_LINE), 3);
        assert_string_equal(buffer, "abc");
        assert_int_equal(text_copy(buffer, sizeof(buffer), "ab\033", 3, TEXT_LINE), 2);
        assert_string_equal(buffer, "ab");
        assert_int_equal(text_copy(buffer, 0, "ab", 2, TEXT_LINE), 0);
}

static void test_text_columns_count_what_a_terminal_shows(void **state) {
        (void)state;
        assert_int_equal(text_columns("abc"), 3);
        assert_int_equal(text_columns("\xe4\xb8\xad"), 2);
        assert_int_equal(text_columns("e\xcc\x81"), 1);
        assert_int_equal(text_columns("\033"), 4);
}

static void test_text_print_writes_what_copy_makes(void **state) {
        char *out = NULL;
        size_t size = 0;
        (void)state;
        FILE *file = open_memstream(&out, &size);
        text_print(file, "a\0\xff", 3, TEXT_LINE);
        fclose(file);
        assert_string_equal(out, "a\\x00\\xff");
        free(out);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text_plain_stays_as_it_is),
                cmocka_unit_test(test_text_controls_are_escaped),
                cmocka_unit_test(test_text_that_reorders_or_hides_is_escaped),
                cmocka_unit_test(test_text_invalid_utf8_is_escaped_byte_by_byte),
                cmocka_unit_test(test_text_no_input_leaves_a_control_byte),
                cmocka_unit_test(test_text_copy_cuts_between_characters),
                cmocka_unit_test(test_text_columns_count_what_a_terminal_shows),
                cmocka_unit_test(test_text_print_writes_what_copy_makes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
