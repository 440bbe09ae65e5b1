/* SPDX-License-Identifier: MIT */
/* A treap: a search tree by (point, tie) and a heap by weight. */
#include "ring.h"

#include <stdbool.h>

#include "base/check.h"

static bool before(const struct ring_node *a, const struct ring_node *b) {
        return a->point != b->point ? a->point < b->point : a->tie < b->tie;
}

void ring_put(struct ring *ring, struct ring_node *node, uint64_t point, uint64_t tie, uint64_t weight) {
        struct ring_node **at = &ring->root, **left = &node->left, **right = &node->right, *tree;

        node->point = point;
        node->tie = tie;
        node->weight = weight;
        while (*at && (*at)->weight >= weight)
                at = before(node, *at) ? &(*at)->left : &(*at)->right;
        /* What is lighter lies below it: those before it to the left, the others to the right. */
        for (tree = *at; tree;) {
                if (before(tree, node)) {
                        *left = tree;
                        left = &tree->right;
                        tree = tree->right;
                } else {
                        *right = tree;
                        right = &tree->left;
                        tree = tree->left;
                }
        }
        *left = *right = NULL;
        *at = node;
        ring->count++;
}

void ring_remove(struct ring *ring, struct ring_node *node) {
        struct ring_node **at = &ring->root, *left = node->left, *right = node->right;

        while (*at != node) {
                rml_check(*at);
                at = before(node, *at) ? &(*at)->left : &(*at)->right;
        }
        while (left && right) {
                if (left->weight > right->weight) {
                        *at = left;
                        at = &left->right;
                        left = left->right;
                } else {
                        *at = right;
                        at = &right->left;
                        right = right->left;
                }
        }
        *at = left ? left : right;
        ring->count--;
}

static struct ring_node *first(const struct ring *ring) {
        struct ring_node *node = ring->root;

        while (node && node->left)
                node = node->left;
        return node;
}

struct ring_node *ring_at(const struct ring *ring, uint64_t point) {
        struct ring_node *best = NULL;

        for (struct ring_node *node = ring->root; node;) {
                if (node->point >= point) {
                        best = node;
                        node = node->left;
                } else {
                        node = node->right;
                }
        }
        return best ? best : first(ring);
}

struct ring_node *ring_next(const struct ring *ring, const struct ring_node *from) {
        struct ring_node *best = NULL;

        for (struct ring_node *node = ring->root; node;) {
                if (before(from, node)) {
                        best = node;
                        node = node->left;
                } else {
                        node = node->right;
                }
        }
        return best ? best : first(ring);
}
