/* SPDX-License-Identifier: MIT */
/* A pairing heap. The root is its own prev; prev of a first child is its parent, of any other its left
 * sibling. Push is O(1), taking out O(log n) amortised, and nothing here recurses. */
#include "heap.h"

#include "check.h"

static bool before(const struct rml_heap_node *a, const struct rml_heap_node *b) {
        return a->key != b->key ? a->key < b->key : a->tie < b->tie;
}

/* Joins two roots, either may be NULL. */
static struct rml_heap_node *meld(struct rml_heap_node *a, struct rml_heap_node *b) {
        struct rml_heap_node *lower;

        if (!a || !b)
                return a ? a : b;
        if (before(b, a)) {
                lower = a;
                a = b;
        } else {
                lower = b;
        }
        lower->prev = a;
        lower->next = a->child;
        if (lower->next)
                lower->next->prev = lower;
        a->child = lower;
        return a;
}

/* Joins a row of siblings to one root: in pairs from the left, then the pairs from the right. This order is what
 * makes it O(log n) amortised. */
static struct rml_heap_node *meld_row(struct rml_heap_node *first) {
        struct rml_heap_node *pairs = NULL, *root = NULL;

        while (first) {
                struct rml_heap_node *a = first, *b = first->next;

                first = b ? b->next : NULL;
                a->prev = a->next = NULL;
                if (b)
                        b->prev = b->next = NULL;
                a = meld(a, b);
                a->next = pairs;
                pairs = a;
        }
        while (pairs) {
                struct rml_heap_node *a = pairs;

                pairs = a->next;
                a->next = NULL;
                root = meld(root, a);
        }
        return root;
}

static void set_root(struct rml_heap *heap, struct rml_heap_node *node) {
        heap->root = node;
        if (node)
                node->prev = node;
}

void rml_heap_push(struct rml_heap *heap, struct rml_heap_node *node, uint64_t key, uint64_t tie) {
        rml_check(!rml_heap_has(node));
        *node = (struct rml_heap_node){.key = key, .tie = tie};
        set_root(heap, meld(heap->root, node));
        heap->count++;
}

void rml_heap_remove(struct rml_heap *heap, struct rml_heap_node *node) {
        struct rml_heap_node *below;

        if (!rml_heap_has(node))
                return;
        below = meld_row(node->child);
        if (node == heap->root) {
                set_root(heap, below);
        } else {
                if (node->prev->child == node)
                        node->prev->child = node->next;
                else
                        node->prev->next = node->next;
                if (node->next)
                        node->next->prev = node->prev;
                set_root(heap, meld(heap->root, below));
        }
        node->child = node->next = node->prev = NULL;
        heap->count--;
}

void rml_heap_move(struct rml_heap *heap, struct rml_heap_node *node, uint64_t key, uint64_t tie) {
        rml_check(rml_heap_has(node));
        if (node == heap->root && !node->child) { /* alone */
                node->key = key;
                node->tie = tie;
                return;
        }
        rml_heap_remove(heap, node);
        rml_heap_push(heap, node, key, tie);
}

struct rml_heap_node *rml_heap_next(const struct rml_heap *heap, const struct rml_heap_node *node) {
        if (!node)
                return heap->root;
        if (node->child)
                return node->child;
        while (node && !node->next) {
                /* Back along the row to the parent: each row is walked back once in a whole walk. */
                if (node == heap->root)
                        return NULL;
                while (node->prev->child != node)
                        node = node->prev;
                node = node->prev;
        }
        return node ? node->next : NULL;
}
