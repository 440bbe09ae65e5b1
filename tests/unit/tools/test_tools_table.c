/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "table.h"

static const struct table_column columns[] = {
        {"ID", TABLE_RIGHT},
        {"NAME", TABLE_SHRINK},
        {"MOVED", TABLE_RIGHT | TABLE_OPTIONAL},
        {"STATE", 0},
};

static struct table *sample(void) {
        struct table *table = table_new(columns, 4);
        assert_non_null(table);
        table_number(table, 7);
        table_text(table, "short");
        table_number(table, 0);
        table_text(table, "active");
        table_number(table, 1234);
        table_text(table, "a name that is rather long");
        table_number(table, 0);
        table_text(table, NULL);
        return table;
}

static void expect(struct table *table, size_t width, const char *expected) {
        char *text = NULL;
        size_t size = 0;
        FILE *file = open_memstream(&text, &size);
        assert_int_equal(table_print(table, file, width), 0);
        fclose(file);
        assert_string_equal(text, expected);
        free(text);
        table_free(table);
}

static void test_table_without_width_is_as_wide_as_need_be(void **state) {
        (void)state;
        expect(sample(), 0,
               "  ID  NAME                        MOVED  STATE\n"
               "   7  short                           0  active\n"
               "1234  a name that is rather long      0  -\n");
}

static void test_table_wide_enough_keeps_optional_columns(void **state) {
        (void)state;
        expect(sample(), 47,
               "  ID  NAME                        MOVED  STATE\n"
               "   7  short                           0  active\n"
               "1234  a name that is rather long      0  -\n");
}

static void test_table_too_wide_drops_optional_columns_first(void **state) {
        (void)state;
        expect(sample(), 46,
               "  ID  NAME                        STATE\n"
               "   7  short                       active\n"
               "1234  a name that is rather long  -\n");
}

static void test_table_still_too_wide_is_cut_with_an_ellipsis(void **state) {
        (void)state;
        expect(sample(), 24,
               "  ID  NAME        STATE\n"
               "   7  short       active\n"
               "1234  a name th\xe2\x80\xa6  -\n");
}

static void test_table_cut_never_goes_below_the_head(void **state) {
        (void)state;
        expect(sample(), 3,
               "  ID  NAME    STATE\n"
               "   7  short   active\n"
               "1234  a nam\xe2\x80\xa6  -\n");
}

static void test_table_optional_column_with_content_stays(void **state) {
        (void)state;
        struct table *table = table_new(columns, 4);
        table_number(table, 1);
        table_text(table, "x");
        table_number(table, 5);
        table_text(table, "ok");
        expect(table, 10,
               "ID  NAME  MOVED  STATE\n"
               " 1  x         5  ok\n");
}

static void test_table_hostile_text_stays_in_its_cell(void **state) {
        (void)state;
        struct table *table = table_new(columns, 4);
        table_number(table, 1);
        table_text(table, "a\nb\033[2J\xff");
        table_number(table, 0);
        table_text(table, "\xe4\xb8\xad");
        expect(table, 0,
               "ID  NAME             MOVED  STATE\n"
               " 1  a\\nb\\x1b[2J\\xff      0  \xe4\xb8\xad\n");
}

static void test_table_without_rows_is_its_head(void **state) {
        (void)state;
        expect(table_new(columns, 4), 0, "ID  NAME  MOVED  STATE\n");
}

static void test_table_width_comes_from_the_environment(void **state) {
        (void)state;
        setenv("COLUMNS", "77", 1);
        assert_int_equal(table_width(stdout), 77);
        setenv("COLUMNS", "wide", 1);
        FILE *file = tmpfile();
        assert_int_equal(table_width(file), 0);
        fclose(file);
        unsetenv("COLUMNS");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_table_without_width_is_as_wide_as_need_be),
                cmocka_unit_test(test_table_wide_enough_keeps_optional_columns),
                cmocka_unit_test(test_table_too_wide_drops_optional_columns_first),
                cmocka_unit_test(test_table_still_too_wide_is_cut_with_an_ellipsis),
                cmocka_unit_test(test_table_cut_never_goes_below_the_head),
                cmocka_unit_test(test_table_optional_column_with_content_stays),
                cmocka_unit_test(test_table_hostile_text_stays_in_its_cell),
                cmocka_unit_test(test_table_without_rows_is_its_head),
                cmocka_unit_test(test_table_width_comes_from_the_environment),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
