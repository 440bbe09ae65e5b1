/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/heap.h"
#include "rng.h"

static void test_heap_empty_has_no_top(void **state) {
        struct rml_heap heap = {0};

        (void)state;
        assert_null(rml_heap_top(&heap));
        assert_null(rml_heap_next(&heap, NULL));
}

static void test_heap_equal_keys_come_by_tie(void **state) {
        struct rml_heap heap = {0};
        struct rml_heap_node nodes[5] = {{0}};
        static const uint64_t ties[5] = {3, 0, 4, 1, 2};

        (void)state;
        for (size_t i = 0; i < 5; i++)
                rml_heap_push(&heap, &nodes[i], 7, ties[i]);
        for (uint64_t tie = 0; tie < 5; tie++) {
                assert_int_equal(rml_heap_top(&heap)->tie, tie);
                rml_heap_remove(&heap, rml_heap_top(&heap));
        }
        assert_int_equal(heap.count, 0);
}

static void test_heap_keys_of_64_bits_are_not_cut(void **state) {
        struct rml_heap heap = {0};
        struct rml_heap_node late = {0}, soon = {0};

        (void)state;
        rml_heap_push(&heap, &late, UINT64_MAX, 0);
        rml_heap_push(&heap, &soon, UINT64_C(1) << 32, 0);
        assert_ptr_equal(rml_heap_top(&heap), &soon);
        rml_heap_remove(&heap, &soon);
        assert_ptr_equal(rml_heap_top(&heap), &late);
        rml_heap_remove(&heap, &late);
}

static void test_heap_remove_of_a_node_that_is_not_in_does_nothing(void **state) {
        struct rml_heap heap = {0};
        struct rml_heap_node in = {0}, out = {0};

        (void)state;
        rml_heap_push(&heap, &in, 1, 0);
        rml_heap_remove(&heap, &out);
        assert_int_equal(heap.count, 1);
        rml_heap_remove(&heap, &in);
        rml_heap_remove(&heap, &in);
        assert_int_equal(heap.count, 0);
        assert_null(rml_heap_top(&heap));
}

/* Ascending pushes make one row of all, descending ones a chain as deep as there are nodes. */
static void test_heap_many_nodes_come_out_sorted(void **state) {
        enum { COUNT = 200000 };
        struct rml_heap_node *nodes = calloc(COUNT, sizeof(*nodes));
        struct rml_heap heap = {0};

        (void)state;
        assert_non_null(nodes);
        for (int descending = 0; descending < 2; descending++) {
                for (uint64_t i = 0; i < COUNT; i++)
                        rml_heap_push(&heap, &nodes[i], descending ? COUNT - 1 - i : i, 0);
                for (uint64_t i = 0; i < COUNT; i++) {
                        assert_int_equal(rml_heap_top(&heap)->key, i);
                        rml_heap_remove(&heap, rml_heap_top(&heap));
                }
                assert_null(rml_heap_top(&heap));
        }
        free(nodes);
}

#define NODES 200u

static void compare_with_all(const struct rml_heap *heap, struct rml_heap_node *nodes) {
        struct rml_heap_node *least = NULL, *node = NULL;
        unsigned char seen[NODES] = {0};
        size_t in = 0, walked = 0;

        for (size_t i = 0; i < NODES; i++) {
                if (!rml_heap_has(&nodes[i]))
                        continue;
                in++;
                if (!least || nodes[i].key < least->key || (nodes[i].key == least->key && nodes[i].tie < least->tie))
                        least = &nodes[i];
        }
        assert_int_equal(heap->count, in);
        assert_ptr_equal(rml_heap_top(heap), least);
        while ((node = rml_heap_next(heap, node))) {
                size_t i = (size_t)(node - nodes);

                assert_true(i < NODES && rml_heap_has(node) && !seen[i]);
                seen[i] = 1;
                walked++;
                for (struct rml_heap_node *child = node->child; child; child = child->next) {
                        assert_true(!seen[child - nodes]);
                        assert_true(child->key > node->key || (child->key == node->key && child->tie > node->tie));
                }
        }
        assert_int_equal(walked, in);
}

static void test_heap_random_operations_agree_with_a_search_of_all(void **state) {
        (void)state;
        for (uint64_t seed = 1; seed <= 20; seed++) {
                struct rng rng = {seed};
                struct rml_heap heap = {0};
                struct rml_heap_node nodes[NODES] = {{0}};

                for (int step = 0; step < 2000; step++) {
                        size_t i = (size_t)rng_below(&rng, NODES);
                        uint64_t key = rng_below(&rng, 50);

                        if (!rml_heap_has(&nodes[i]))
                                rml_heap_push(&heap, &nodes[i], key, i);
                        else if (rng_below(&rng, 3) == 0)
                                rml_heap_move(&heap, &nodes[i], key, i);
                        else if (rng_below(&rng, 2) == 0)
                                rml_heap_remove(&heap, &nodes[i]);
                        else
                                rml_heap_remove(&heap, rml_heap_top(&heap));
                        if (step % 10 == 0)
                                compare_with_all(&heap, nodes);
                }
                for (size_t i = 0; i < NODES; i++)
                        rml_heap_remove(&heap, &nodes[i]);
                compare_with_all(&heap, nodes);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_heap_empty_has_no_top),
                cmocka_unit_test(test_heap_equal_keys_come_by_tie),
                cmocka_unit_test(test_heap_keys_of_64_bits_are_not_cut),
                cmocka_unit_test(test_heap_remove_of_a_node_that_is_not_in_does_nothing),
                cmocka_unit_test(test_heap_many_nodes_come_out_sorted),
                cmocka_unit_test(test_heap_random_operations_agree_with_a_search_of_all),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
