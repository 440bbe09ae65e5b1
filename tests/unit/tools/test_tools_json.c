/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "json.h"

struct output {
        struct json json;
        FILE *file;
        char *text;
        size_t size;
};

static void begin(struct output *output) {
        *output = (struct output){.text = NULL};
        output->file = open_memstream(&output->text, &output->size);
        assert_non_null(output->file);
        output->json = json_on(output->file);
}

static void expect(struct output *output, const char *expected) {
        fclose(output->file);
        assert_string_equal(output->text, expected);
        free(output->text);
}

static void test_json_containers_nest_and_end_in_one_line(void **state) {
        struct output o;
        (void)state;
        begin(&o);
        json_open_object(&o.json, NULL);
        json_open_array(&o.json, "a");
        json_number(&o.json, NULL, 1);
        json_number(&o.json, NULL, 2);
        json_open_object(&o.json, NULL);
        json_end(&o.json);
        json_end(&o.json);
        json_bool(&o.json, "b", true);
        json_open_object(&o.json, "c");
        json_bool(&o.json, "d", false);
        json_end(&o.json);
        json_end(&o.json);
        json_open_array(&o.json, NULL);
        json_end(&o.json);
        expect(&o, "{\"a\":[1,2,{}],\"b\":true,\"c\":{\"d\":false}}\n[]\n");
}

static void test_json_text_is_escaped(void **state) {
        struct output o;
        (void)state;
        begin(&o);
        json_open_array(&o.json, NULL);
        json_text(&o.json, NULL, "\"\\/\n\t\r\033\x7f");
        json_text_len(&o.json, NULL, "a\0b", 3);
        json_text(&o.json, NULL, "\xc2\x9b\xc3\xa9");
        json_text(&o.json, NULL, NULL);
        json_end(&o.json);
        expect(&o, "[\"\\\"\\\\/\\n\\t\\u000d\\u001b\\u007f\",\"a\\u0000b\",\"\\u009b\xc3\xa9\",\"\"]\n");
}

static void test_json_text_that_reorders_or_hides_is_escaped(void **state) {
        struct output o;
        (void)state;
        begin(&o);
        json_open_array(&o.json, NULL);
        json_text(&o.json, NULL, "\xe2\x80\xae\xe2\x80\xa8");
        json_text(&o.json, NULL, "\xf3\xa0\x80\x81\xf0\x9f\x98\x80");
        json_end(&o.json);
        expect(&o, "[\"\\u202e\\u2028\",\"\\udb40\\udc01\xf0\x9f\x98\x80\"]\n");
}

static void test_json_invalid_utf8_becomes_the_replacement_character(void **state) {
        struct output o;
        (void)state;
        begin(&o);
        json_open_array(&o.json, NULL);
        json_text(&o.json, NULL, "a\xff\xe4\xb8");
        json_end(&o.json);
        expect(&o, "[\"a\\ufffd\\ufffd\\ufffd\"]\n");
}

static void test_json_keys_are_escaped_too(void **state) {
        struct output o;
        (void)state;
        begin(&o);
        json_open_object(&o.json, NULL);
        json_number(&o.json, "a\"\n", 1);
        json_end(&o.json);
        expect(&o, "{\"a\\\"\\n\":1}\n");
}

static void test_json_numbers_are_exact(void **state) {
        struct output o;
        (void)state;
        begin(&o);
        json_open_array(&o.json, NULL);
        json_number(&o.json, NULL, UINT64_MAX);
        json_thousandths(&o.json, NULL, 1005);
        json_thousandths(&o.json, NULL, 42);
        json_end(&o.json);
        expect(&o, "[18446744073709551615,1.005,0.042]\n");
}

static void test_json_bytes_are_text_or_base64_under_another_key(void **state) {
        struct output o;
        (void)state;
        begin(&o);
        json_open_object(&o.json, NULL);
        json_bytes(&o.json, "a", "caf\xc3\xa9", 5);
        json_bytes(&o.json, "b", "\xff", 1);
        json_bytes(&o.json, "c", "\xff\xfe", 2);
        json_bytes(&o.json, "d", "\xff\xfe\xfd", 3);
        json_bytes(&o.json, "e", "", 0);
        json_end(&o.json);
        expect(&o,
               "{\"a\":\"caf\xc3\xa9\",\"b_base64\":\"/w==\",\"c_base64\":\"//4=\",\"d_base64\":\"//79\",\"e\":\"\"}\n");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_json_containers_nest_and_end_in_one_line),
                cmocka_unit_test(test_json_text_is_escaped),
                cmocka_unit_test(test_json_text_that_reorders_or_hides_is_escaped),
                cmocka_unit_test(test_json_invalid_utf8_becomes_the_replacement_character),
                cmocka_unit_test(test_json_keys_are_escaped_too),
                cmocka_unit_test(test_json_numbers_are_exact),
                cmocka_unit_test(test_json_bytes_are_text_or_base64_under_another_key),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
