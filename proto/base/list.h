/* SPDX-License-Identifier: MIT */
/* Intrusive circular list. A node that is not in a list points to itself (rml_list_init) or is all zero. */
#ifndef RML_LIST_H
#define RML_LIST_H

#include <stdbool.h>

#include "check.h"

struct rml_list {
        struct rml_list *next, *prev;
};

static inline void rml_list_init(struct rml_list *head) {
        head->next = head->prev = head;
}
static inline bool rml_list_empty(const struct rml_list *head) {
        return head->next == head;
}
static inline bool rml_list_linked(const struct rml_list *node) {
        return node->next && node->next != node;
}
static inline void rml_list_insert_before(struct rml_list *node, struct rml_list *where) {
        node->prev = where->prev;
        node->next = where;
        where->prev->next = node;
        where->prev = node;
}
static inline void rml_list_push_back(struct rml_list *head, struct rml_list *node) {
        rml_list_insert_before(node, head);
}
static inline void rml_list_push_front(struct rml_list *head, struct rml_list *node) {
        rml_list_insert_before(node, head->next);
}
/* Leaves the node initialised; safe to call again. */
static inline void rml_list_remove(struct rml_list *node) {
        if (!node->next)
                return;
        node->prev->next = node->next;
        node->next->prev = node->prev;
        rml_list_init(node);
}
static inline struct rml_list *rml_list_first(const struct rml_list *head) {
        return rml_list_empty(head) ? NULL : head->next;
}

#define rml_list_entry(node, type, member) rml_container_of(node, type, member)
#define rml_list_each(var, head) for (struct rml_list *var = (head)->next; var != (head); var = var->next)
/* The body may remove `var`. */
#define rml_list_each_safe(var, head)                                                                                  \
        for (struct rml_list *var = (head)->next, *var##_next = var->next; var != (head);                              \
             var = var##_next, var##_next = var->next)

#endif
