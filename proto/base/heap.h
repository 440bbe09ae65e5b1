/* SPDX-License-Identifier: MIT */
/* Intrusive min-heap (pairing heap): no allocation, so putting something in never fails. Ordered by (key, tie). */
#ifndef RML_HEAP_H
#define RML_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rml_heap_node {
        struct rml_heap_node *child, *next, *prev; /* prev of a first child is its parent, of the root itself */
        uint64_t key, tie;
};

struct rml_heap {
        struct rml_heap_node *root;
        size_t count;
};

/* Is it in a heap? One that never was is all zero. */
static inline bool rml_heap_has(const struct rml_heap_node *node) {
        return node->prev != NULL;
}
/* node must not be in a heap. */
void rml_heap_push(struct rml_heap *, struct rml_heap_node *, uint64_t key, uint64_t tie);
/* No-op for a node that is in no heap. */
void rml_heap_remove(struct rml_heap *, struct rml_heap_node *);
/* Moves a node that is in the heap to another key. */
void rml_heap_move(struct rml_heap *, struct rml_heap_node *, uint64_t key, uint64_t tie);
static inline struct rml_heap_node *rml_heap_top(const struct rml_heap *heap) {
        return heap->root;
}
/* Walks all nodes, parents before children, in no other order; start with NULL. Do not change the heap meanwhile. */
struct rml_heap_node *rml_heap_next(const struct rml_heap *, const struct rml_heap_node *node);

#endif
