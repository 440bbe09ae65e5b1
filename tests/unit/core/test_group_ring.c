/* SPDX-License-Identifier: MIT */
/* The ring of the policy `key`: right beside a naive one, flat whatever joins and leaves, and fair. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/table.h"
#include "core/ring.h"
#include "rng.h"

static const struct rml_seed seed = {1, 2};

/* ---- beside a naive one ---------------------------------------------------------------------------------------- */

enum { NODES = 64 };

static bool naive_before(const struct ring_node *a, const struct ring_node *b) {
        return a->point < b->point || (a->point == b->point && a->tie < b->tie);
}

/* The first one that is not before (point, tie), or the first of all. */
static struct ring_node *naive_from(struct ring_node *nodes, const bool *in, const struct ring_node *from) {
        struct ring_node *best = NULL, *lowest = NULL;

        for (size_t i = 0; i < NODES; i++) {
                struct ring_node *node = &nodes[i];

                if (!in[i])
                        continue;
                if (!lowest || naive_before(node, lowest))
                        lowest = node;
                if (!naive_before(node, from) && (!best || naive_before(node, best)))
                        best = node;
        }
        return best ? best : lowest;
}

static void check_tree(const struct ring_node *node) {
        if (!node)
                return;
        if (node->left) {
                assert_true(naive_before(node->left, node));
                assert_true(node->left->weight <= node->weight);
        }
        if (node->right) {
                assert_true(naive_before(node, node->right));
                assert_true(node->right->weight <= node->weight);
        }
        check_tree(node->left);
        check_tree(node->right);
}

static void test_group_ring_is_right_whatever_comes_and_goes(void **state) {
        struct rng rng = {3};
        struct ring ring = {0};
        struct ring_node nodes[NODES];
        bool in[NODES] = {false};
        size_t count = 0;

        (void)state;
        assert_null(ring_at(&ring, 7));
        for (unsigned round = 0; round < 20000; round++) {
                size_t i = (size_t)rng_below(&rng, NODES);
                struct ring_node from = {.point = rng_below(&rng, 40)};

                if (in[i])
                        ring_remove(&ring, &nodes[i]);
                else /* few points and weights: many are equal */
                        ring_put(&ring, &nodes[i], rng_below(&rng, 40), i, rng_below(&rng, 8));
                in[i] = !in[i];
                count = in[i] ? count + 1 : count - 1;
                assert_int_equal(ring.count, count);
                assert_ptr_equal(ring_at(&ring, from.point), naive_from(nodes, in, &from));
                if (round % 64 == 0)
                        check_tree(ring.root);
                if (!count)
                        continue;
                struct ring_node *at = ring_at(&ring, from.point);
                from = (struct ring_node){.point = at->point, .tie = at->tie + 1};
                assert_ptr_equal(ring_next(&ring, at), naive_from(nodes, in, &from));
        }
}

/* ---- flat ------------------------------------------------------------------------------------------------------ */

static size_t depth_of(const struct ring_node *node, size_t depth) {
        size_t left, right;

        if (!node)
                return depth;
        left = depth_of(node->left, depth + 1);
        right = depth_of(node->right, depth + 1);
        return left > right ? left : right;
}

/* Points in ascending order, and half of them taken away again: what would make a plain tree a list. */
static void test_group_ring_stays_flat_under_churn(void **state) {
        enum { MANY = 20000 };
        struct ring_node *nodes = calloc(MANY, sizeof(*nodes));
        struct ring ring = {0};

        (void)state;
        assert_non_null(nodes);
        for (uint64_t i = 0; i < MANY; i++)
                ring_put(&ring, &nodes[i], i, 0, rml_hash_u64(&seed, i, 0));
        assert_in_range(depth_of(ring.root, 0), 14, 50); /* of 20 000: at least 14; about 34 in this run of luck */
        for (uint64_t i = 0; i < MANY; i += 2)
                ring_remove(&ring, &nodes[i]);
        assert_in_range(depth_of(ring.root, 0), 13, 50);
        for (uint64_t i = 1; i < MANY; i += 2)
                ring_remove(&ring, &nodes[i]);
        assert_null(ring.root);
        free(nodes);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_group_ring_is_right_whatever_comes_and_goes),
                cmocka_unit_test(test_group_ring_stays_flat_under_churn),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
