/* SPDX-License-Identifier: MIT */
/* Chains of nodes in buckets that come and go one at a time (linear hashing): putting in never has to sort all nodes
 * anew, however many there are. Only putting in does either, so that a walk may take out what it has passed; a table
 * that became empty gives its buckets back. */
#include "table.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS_MIN 8u
#define BUCKETS_MAX (UINT32_C(1) << 31)
#define ALONE_MAX 4u /* so many need no buckets */
#define LOAD 2u      /* nodes for each bucket */
#define MERGES 16u   /* buckets that go with one node put in */

static size_t bucket_of(const struct rml_table *table, uint64_t hash) {
        size_t i = (size_t)hash & table->mask;

        return i < table->size ? i : i & table->mask >> 1;
}

static struct rml_table_node **bucket_at(struct rml_table *table, uint64_t hash) {
        return table->size ? &table->buckets[bucket_of(table, hash)] : &table->first;
}

static struct rml_table_node *chain_at(const struct rml_table *table, uint64_t hash) {
        return table->size ? table->buckets[bucket_of(table, hash)] : table->first;
}

void rml_table_init(struct rml_table *table) {
        *table = (struct rml_table){0};
}

void rml_table_deinit(struct rml_table *table) {
        if (table->size)
                free(table->buckets);
        rml_table_init(table);
}

/* Room for so many buckets. Without memory everything stays as it was. */
static bool buckets_room(struct rml_table *table, size_t room) {
        struct rml_table_node **buckets;

        if (room > SIZE_MAX / sizeof(struct rml_table_node *))
                return false;
        buckets = realloc(table->size ? table->buckets : NULL, room * sizeof(struct rml_table_node *));
        if (!buckets)
                return false;
        if (!table->size) {
                buckets[0] = table->first;
                table->size = 1;
                table->mask = 0;
        }
        table->buckets = buckets;
        return true;
}

/* One more, that takes its part out of another. The room is a power of two. */
static bool bucket_split(struct rml_table *table) {
        uint32_t fresh;
        struct rml_table_node **from, **to;

        if (!table->size && !buckets_room(table, BUCKETS_MIN))
                return false;
        fresh = table->size;
        if (fresh > table->mask && fresh >= BUCKETS_MIN &&
            (fresh == BUCKETS_MAX || !buckets_room(table, 2 * (size_t)fresh)))
                return false;
        if (fresh > table->mask)
                table->mask = 2 * table->mask + 1;
        table->size = fresh + 1;
        from = &table->buckets[fresh & table->mask >> 1];
        to = &table->buckets[fresh];
        *to = NULL;
        while (*from) {
                struct rml_table_node *node = *from;

                if (((uint32_t)node->hash & table->mask) != fresh) {
                        from = &node->next;
                        continue;
                }
                *from = node->next;
                node->next = *to;
                *to = node;
        }
        return true;
}

/* One less: what it has goes back to where it came from. */
static void bucket_merge(struct rml_table *table) {
        uint32_t last = table->size - 1;
        struct rml_table_node **at = &table->buckets[last & table->mask >> 1];

        while (*at)
                at = &(*at)->next;
        *at = table->buckets[last];
        table->size = last;
        if (last == (table->mask >> 1) + 1) {
                table->mask >>= 1;
                buckets_room(table, 2 * (size_t)last);
        }
}

void rml_table_put(struct rml_table *table, struct rml_table_node *node, uint64_t hash) {
        struct rml_table_node **bucket;

        /* Where there was no memory for some time, the missing ones follow. */
        for (unsigned n = 0; n < LOAD && table->count >= (table->size ? LOAD * (size_t)table->size : ALONE_MAX); n++)
                if (!bucket_split(table))
                        break;
        for (unsigned n = 0; n < MERGES && table->size > BUCKETS_MIN && table->count < table->size / 8; n++)
                bucket_merge(table);
        bucket = bucket_at(table, hash);
        node->hash = hash;
        node->next = *bucket;
        *bucket = node;
        table->count++;
}

void rml_table_remove(struct rml_table *table, struct rml_table_node *node) {
        struct rml_table_node **at = bucket_at(table, node->hash);

        while (*at && *at != node)
                at = &(*at)->next;
        if (!*at)
                return;
        *at = node->next;
        node->next = NULL;
        table->count--;
        /* A small one is kept: it would only come and go. */
        if (!table->count && table->size > BUCKETS_MIN)
                rml_table_deinit(table);
}

static struct rml_table_node *seek(struct rml_table_node *node, uint64_t hash) {
        while (node && node->hash != hash)
                node = node->next;
        return node;
}

struct rml_table_node *rml_table_find(const struct rml_table *table, uint64_t hash) {
        return seek(chain_at(table, hash), hash);
}

struct rml_table_node *rml_table_find_next(const struct rml_table_node *node) {
        return seek(node->next, node->hash);
}

struct rml_table_node *rml_table_next(const struct rml_table *table, const struct rml_table_node *node) {
        size_t i = 0;

        if (node) {
                if (node->next)
                        return node->next;
                i = bucket_of(table, node->hash) + 1;
        }
        if (!table->size)
                return i ? NULL : table->first;
        for (; i < table->size; i++)
                if (table->buckets[i])
                        return table->buckets[i];
        return NULL;
}

/* The hash: a chain of 64 x 64 -> 128 bit multiplications, the two halves folded together, in the manner of Wang Yi's
 * public domain wyhash; this text and its constants are our own.
 *
 * What it is good for: without the seed nobody can choose colliding keys better than by luck, as far as is known, and
 * nothing on the bus shows a hash or an order that comes from one. What it is not: a cryptographic function with a
 * proof. Whoever learns the seed, or could see the hashes, can make collisions. The seed is therefore random in each run and
 * never leaves the process, and every table that a peer can fill is bounded by a limit, so that the worst success costs
 * time in proportion to that limit. It differs with the byte order of the machine; it is never sent or stored. */
#define MIX0 UINT64_C(0x9e3779b97f4a7c15) /* the fraction of the golden ratio */
#define MIX1 UINT64_C(0xb7e151628aed2a6b) /* of e */
#define MIX2 UINT64_C(0x243f6a8885a308d3) /* of pi, but for the 3 */
#define MIX3 UINT64_C(0x6a09e667f3bcc909) /* of the square root of 2; odd, as all are */

static inline uint64_t fold(uint64_t a, uint64_t b) {
#ifdef __SIZEOF_INT128__
        __extension__ typedef unsigned __int128 wide;
        wide product = (wide)a * b;

        return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
        uint64_t a0 = a & UINT32_MAX, a1 = a >> 32, b0 = b & UINT32_MAX, b1 = b >> 32;
        uint64_t low = a0 * b0, mid = a1 * b0 + (low >> 32), cross = a0 * b1 + (mid & UINT32_MAX);
        uint64_t high = a1 * b1 + (mid >> 32) + (cross >> 32);

        return (cross << 32 | (low & UINT32_MAX)) ^ high;
#endif
}

static inline uint64_t load8(const uint8_t *p) {
        uint64_t value;

        memcpy(&value, p, sizeof(value));
        return value;
}

static inline uint64_t load4(const uint8_t *p) {
        uint32_t value;

        memcpy(&value, p, sizeof(value));
        return value;
}

uint64_t rml_hash(const struct rml_seed *seed, const void *data, size_t len) {
        const uint8_t *p = data;
        uint64_t key = seed->k0 ^ MIX0, state = seed->k1 ^ MIX1;
        uint64_t a = 0, b = 0;
        size_t left = len;

        /* All but the last 1-16 bytes; what is loaded twice below does no harm. */
        for (; left > 16; left -= 16, p += 16)
                state = fold(load8(p) ^ key, load8(p + 8) ^ state);
        if (left >= 8) {
                a = load8(p);
                b = load8(p + left - 8);
        } else if (left >= 4) {
                a = load4(p);
                b = load4(p + left - 4);
        } else if (left) {
                a = (uint64_t)p[0] << 16 | (uint64_t)p[left / 2] << 8 | p[left - 1];
        }
        state = fold(a ^ key, b ^ state);
        return fold(state ^ MIX2, (uint64_t)len ^ key ^ MIX3);
}

uint64_t rml_hash_u64(const struct rml_seed *seed, uint64_t a, uint64_t b) {
        uint64_t state = fold(a ^ seed->k0 ^ MIX0, b ^ seed->k1 ^ MIX1);

        return fold(state ^ MIX2, seed->k0 ^ MIX3);
}
