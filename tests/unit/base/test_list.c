/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/list.h"

struct item {
        int value;
        struct rml_list link;
};

static int value_of(struct rml_list *link) {
        return rml_list_entry(link, struct item, link)->value;
}

static void test_list_new_is_empty(void **state) {
        struct rml_list head;

        (void)state;
        rml_list_init(&head);
        assert_true(rml_list_empty(&head));
        assert_null(rml_list_first(&head));
        rml_list_each(link, &head) fail();
}

static void test_list_pushed_items_keep_their_order(void **state) {
        struct item items[4] = {{.value = 2}, {.value = 3}, {.value = 1}, {.value = 4}};
        struct rml_list head;
        int expected = 1;

        (void)state;
        rml_list_init(&head);
        rml_list_push_back(&head, &items[0].link);
        rml_list_push_back(&head, &items[1].link);
        rml_list_push_front(&head, &items[2].link);
        rml_list_push_back(&head, &items[3].link);
        assert_ptr_equal(rml_list_first(&head), &items[2].link);
        rml_list_each(link, &head) assert_int_equal(value_of(link), expected++);
        assert_int_equal(expected, 5);
}

static void test_list_insert_before_puts_there(void **state) {
        struct item items[3] = {{.value = 1}, {.value = 3}, {.value = 2}};
        struct rml_list head;
        int expected = 1;

        (void)state;
        rml_list_init(&head);
        rml_list_push_back(&head, &items[0].link);
        rml_list_push_back(&head, &items[1].link);
        rml_list_insert_before(&items[2].link, &items[1].link);
        rml_list_each(link, &head) assert_int_equal(value_of(link), expected++);
        assert_int_equal(expected, 4);
}

static void test_list_remove_twice_or_of_a_zero_node_does_nothing(void **state) {
        struct item items[2] = {{.value = 1}, {.value = 2}}, never = {0};
        struct rml_list head;

        (void)state;
        rml_list_init(&head);
        rml_list_push_back(&head, &items[0].link);
        rml_list_push_back(&head, &items[1].link);
        assert_true(rml_list_linked(&items[0].link));
        rml_list_remove(&items[0].link);
        assert_false(rml_list_linked(&items[0].link));
        rml_list_remove(&items[0].link);
        assert_false(rml_list_linked(&never.link));
        rml_list_remove(&never.link);
        assert_ptr_equal(rml_list_first(&head), &items[1].link);
        rml_list_remove(&items[1].link);
        assert_true(rml_list_empty(&head));
}

static void test_list_each_safe_lets_the_body_remove(void **state) {
        struct item items[6];
        struct rml_list head;
        int seen = 0;

        (void)state;
        rml_list_init(&head);
        for (int i = 0; i < 6; i++) {
                items[i].value = i;
                rml_list_push_back(&head, &items[i].link);
        }
        rml_list_each_safe(link, &head) {
                assert_int_equal(value_of(link), seen++);
                if (value_of(link) % 2 == 0)
                        rml_list_remove(link);
        }
        assert_int_equal(seen, 6);
        seen = 1;
        rml_list_each(link, &head) {
                assert_int_equal(value_of(link), seen);
                seen += 2;
        }
        assert_int_equal(seen, 7);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_list_new_is_empty),
                cmocka_unit_test(test_list_pushed_items_keep_their_order),
                cmocka_unit_test(test_list_insert_before_puts_there),
                cmocka_unit_test(test_list_remove_twice_or_of_a_zero_node_does_nothing),
                cmocka_unit_test(test_list_each_safe_lets_the_body_remove),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
