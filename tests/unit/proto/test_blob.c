/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "blob.h"

static void test_blob_last_reference_frees(void **state) {
        (void)state;
        struct rml_blob *blob = rml_blob_new(100);
        assert_non_null(blob);
        assert_int_equal(blob->refs, 1);
        assert_int_equal(blob->room, 100);
        memset(blob->bytes, 7, 100);

        struct rml_blob *other = rml_blob_ref(blob);
        assert_ptr_equal(other, blob);
        assert_null(rml_blob_unref(blob));
        assert_int_equal(other->refs, 1);
        assert_int_equal(other->bytes[99], 7);
        assert_null(rml_blob_unref(other)); /* the leak sanitizer sees whether this frees */
        assert_null(rml_blob_unref(NULL));
}

static void test_blob_resized_keeps_its_bytes(void **state) {
        (void)state;
        struct rml_blob *blob = rml_blob_new(4);
        memcpy(blob->bytes, "abcd", 4);
        blob = rml_blob_resize(blob, 1 << 20);
        assert_non_null(blob);
        assert_int_equal(blob->room, 1 << 20);
        assert_memory_equal(blob->bytes, "abcd", 4);
        blob = rml_blob_resize(blob, 2);
        assert_int_equal(blob->room, 2);
        assert_memory_equal(blob->bytes, "ab", 2);
        rml_blob_unref(blob);
}

static void test_blob_impossible_size_is_refused(void **state) {
        (void)state;
        struct rml_blob *blob = rml_blob_new(1);
        assert_null(rml_blob_new(SIZE_MAX));
        assert_null(rml_blob_new(SIZE_MAX - sizeof(struct rml_blob) + 1));
        assert_null(rml_blob_resize(blob, SIZE_MAX));
        assert_int_equal(blob->room, 1);
        rml_blob_unref(blob);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_blob_last_reference_frees),
                cmocka_unit_test(test_blob_resized_keeps_its_bytes),
                cmocka_unit_test(test_blob_impossible_size_is_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
