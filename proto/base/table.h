/* SPDX-License-Identifier: MIT */
/* Intrusive hash table with chains. The caller hashes (rml_hash with a secret seed for anything a peer chose) and
 * compares. Putting in never fails: without memory for more buckets the chains only get longer. */
#ifndef RML_TABLE_H
#define RML_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rml_table_node {
        struct rml_table_node *next;
        uint64_t hash;
};

struct rml_table {
        union {
                struct rml_table_node *first;    /* size 0: the only chain */
                struct rml_table_node **buckets;
        };
        uint32_t size, mask;             /* buckets in use, and the bits that count in a hash */
        size_t count;
};

void rml_table_init(struct rml_table *);
void rml_table_deinit(struct rml_table *); /* frees the buckets; the nodes are the caller's */
void rml_table_put(struct rml_table *, struct rml_table_node *, uint64_t hash);
/* No-op for a node that is not in it. */
void rml_table_remove(struct rml_table *, struct rml_table_node *);
/* First node of the chain with that hash, and the next one: compare the key yourself. */
struct rml_table_node *rml_table_find(const struct rml_table *, uint64_t hash);
struct rml_table_node *rml_table_find_next(const struct rml_table_node *);
/* Walks everything: start with NULL. The node returned before may have been removed by the caller only if the next
 * one was asked for first. Put nothing in meanwhile. */
struct rml_table_node *rml_table_next(const struct rml_table *, const struct rml_table_node *);

struct rml_seed {
        uint64_t k0, k1;
};
/* Keyed hash, safe against chosen input for tables of bounded size; fast on short keys (8 bytes at a time). How strong
 * it is and is not: table.c. rml_hash_u64() is another function, for two numbers; data may be NULL if len is 0. */
uint64_t rml_hash(const struct rml_seed *, const void *data, size_t len);
uint64_t rml_hash_u64(const struct rml_seed *, uint64_t a, uint64_t b);

#endif
