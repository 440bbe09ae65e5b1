/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/table.h"
#include "rng.h"

struct item {
        struct rml_table_node node;
        uint64_t key;
        bool in;
        unsigned seen;
};

/* The linker puts this in realloc's place. */
static bool no_memory;
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size) {
        return no_memory ? NULL : __real_realloc(old, size);
}

static struct item *find(const struct rml_table *table, uint64_t hash, uint64_t key) {
        struct rml_table_node *node = rml_table_find(table, hash);

        for (; node; node = rml_table_find_next(node)) {
                struct item *item = rml_container_of(node, struct item, node);

                assert_int_equal(node->hash, hash);
                if (item->key == key)
                        return item;
        }
        return NULL;
}

static void test_table_equal_hashes_are_all_found(void **state) {
        struct item items[40] = {{.key = 0}};
        struct rml_table table;

        (void)state;
        rml_table_init(&table);
        for (uint64_t i = 0; i < 40; i++) {
                items[i].key = i;
                rml_table_put(&table, &items[i].node, i % 2);
        }
        for (uint64_t i = 0; i < 40; i++) {
                assert_ptr_equal(find(&table, i % 2, i), &items[i]);
                assert_null(find(&table, (i + 1) % 2, i));
        }
        assert_null(rml_table_find(&table, 2));
        rml_table_deinit(&table);
}

static void test_table_remove_of_a_node_that_is_not_in_does_nothing(void **state) {
        struct item in = {.key = 1}, out = {.key = 2};
        struct rml_table table;

        (void)state;
        rml_table_init(&table);
        rml_table_remove(&table, &out.node);
        rml_table_put(&table, &in.node, 0);
        rml_table_remove(&table, &out.node);
        assert_int_equal(table.count, 1);
        rml_table_remove(&table, &in.node);
        rml_table_remove(&table, &in.node);
        assert_int_equal(table.count, 0);
        assert_null(rml_table_next(&table, NULL));
        rml_table_deinit(&table);
}

static void test_table_that_became_empty_keeps_no_buckets(void **state) {
        enum { COUNT = 5000 };
        struct item *items = calloc(COUNT, sizeof(*items));
        struct rml_table table;

        (void)state;
        assert_non_null(items);
        rml_table_init(&table);
        for (uint64_t i = 0; i < COUNT; i++)
                rml_table_put(&table, &items[i].node, i);
        assert_true(2 * (size_t)table.size >= COUNT);
        for (uint64_t i = 0; i < COUNT; i++)
                rml_table_remove(&table, &items[i].node);
        assert_int_equal(table.size, 0);
        assert_int_equal(table.mask, 0);
        free(items);
}

static void test_table_that_lost_most_gives_buckets_back_when_put_into(void **state) {
        enum { COUNT = 4096, LEFT = 20 };
        struct item *items = calloc(COUNT, sizeof(*items));
        struct rml_table table;
        uint32_t before, puts;

        (void)state;
        assert_non_null(items);
        rml_table_init(&table);
        for (uint64_t i = 0; i < COUNT; i++) {
                items[i].key = i;
                rml_table_put(&table, &items[i].node, i);
        }
        before = table.size;
        for (uint64_t i = LEFT; i < COUNT; i++)
                rml_table_remove(&table, &items[i].node);
        assert_int_equal(table.size, before);
        /* A few at a time: nobody waits for all of them. */
        for (puts = 0; table.size > 8 * (LEFT + 1) && puts < before; puts++) {
                rml_table_put(&table, &items[LEFT].node, LEFT);
                for (uint64_t i = 0; i <= LEFT; i++)
                        assert_ptr_equal(find(&table, i, i), &items[i]);
                rml_table_remove(&table, &items[LEFT].node);
        }
        assert_true(puts > 1 && puts <= before / 16);
        for (uint64_t i = 0; i < LEFT; i++)
                assert_ptr_equal(find(&table, i, i), &items[i]);
        rml_table_deinit(&table);
        free(items);
}

static void test_table_without_memory_takes_all_the_same(void **state) {
        struct item items[100] = {{.key = 0}};
        struct rml_table table;

        (void)state;
        rml_table_init(&table);
        no_memory = true;
        for (uint64_t i = 0; i < 50; i++) {
                items[i].key = i;
                rml_table_put(&table, &items[i].node, i * 7);
        }
        assert_int_equal(table.size, 0);
        no_memory = false;
        for (uint64_t i = 50; i < 100; i++) {
                items[i].key = i;
                rml_table_put(&table, &items[i].node, i * 7);
        }
        assert_true(table.size > 1);
        for (uint64_t i = 0; i < 100; i++)
                assert_ptr_equal(find(&table, i * 7, i), &items[i]);
        rml_table_deinit(&table);
}

static void test_table_walk_may_remove_what_it_passed(void **state) {
        enum { COUNT = 1000 };
        struct item items[COUNT] = {{.key = 0}};
        struct rml_table table;
        struct rml_table_node *node, *next;
        size_t seen = 0;

        (void)state;
        rml_table_init(&table);
        for (uint64_t i = 0; i < COUNT; i++)
                rml_table_put(&table, &items[i].node, i / 3);
        for (node = rml_table_next(&table, NULL); node; node = next) {
                next = rml_table_next(&table, node);
                rml_table_remove(&table, node);
                assert_int_equal(rml_container_of(node, struct item, node)->seen++, 0);
                seen++;
        }
        assert_int_equal(seen, COUNT);
        assert_int_equal(table.count, 0);
        rml_table_deinit(&table);
}

#define ITEMS 600u

static void compare_with_all(const struct rml_table *table, struct item *items) {
        struct rml_table_node *node = NULL;
        size_t in = 0, walked = 0;

        for (size_t i = 0; i < ITEMS; i++) {
                items[i].seen = 0;
                in += items[i].in;
                assert_ptr_equal(find(table, items[i].key % 37, items[i].key), items[i].in ? &items[i] : NULL);
        }
        assert_int_equal(table->count, in);
        while ((node = rml_table_next(table, node))) {
                struct item *item = rml_container_of(node, struct item, node);

                assert_true(item->in && !item->seen++);
                walked++;
        }
        assert_int_equal(walked, in);
}

static void test_table_random_operations_agree_with_a_search_of_all(void **state) {
        (void)state;
        for (uint64_t seed = 1; seed <= 10; seed++) {
                struct rng rng = {seed};
                struct item items[ITEMS] = {{.key = 0}};
                struct rml_table table;

                rml_table_init(&table);
                for (size_t i = 0; i < ITEMS; i++)
                        items[i].key = i;
                for (int step = 0; step < 8000; step++) {
                        struct item *item = &items[rng_below(&rng, ITEMS)];
                        /* Times of growing and of shrinking. */
                        bool put = rng_below(&rng, 8) < (step / 2000 % 2 ? 1 : 7);

                        if (put && !item->in)
                                rml_table_put(&table, &item->node, item->key % 37);
                        else if (!put)
                                rml_table_remove(&table, &item->node);
                        item->in = put;
                        if (step % 400 == 0)
                                compare_with_all(&table, items);
                }
                rml_table_deinit(&table);
        }
}

static void test_hash_depends_on_seed_content_and_length(void **state) {
        const struct rml_seed seed = {1, 2}, other0 = {3, 2}, other1 = {1, 3};
        uint8_t zeros[70] = {0};
        uint64_t hashes[70];

        (void)state;
        for (size_t len = 0; len < 70; len++) {
                hashes[len] = rml_hash(&seed, zeros, len);
                assert_int_equal(hashes[len], rml_hash(&seed, zeros, len));
                assert_int_not_equal(hashes[len], rml_hash(&other0, zeros, len));
                assert_int_not_equal(hashes[len], rml_hash(&other1, zeros, len));
                for (size_t shorter = 0; shorter < len; shorter++)
                        assert_int_not_equal(hashes[shorter], hashes[len]);
        }
        assert_int_equal(hashes[0], rml_hash(&seed, NULL, 0));
}

static void test_hash_every_bit_counts_at_every_length_and_alignment(void **state) {
        const struct rml_seed seed = {UINT64_C(0x1234), UINT64_C(0xabcdef)};
        uint8_t buffer[80], *text;

        (void)state;
        for (size_t len = 1; len <= 64; len++) {
                uint64_t plain, changed_bits = 0;

                for (size_t i = 0; i < sizeof(buffer); i++)
                        buffer[i] = (uint8_t)(i * 37 + len);
                text = buffer;
                plain = rml_hash(&seed, text, len);
                for (size_t bit = 0; bit < 8 * len; bit++) {
                        uint64_t hash;

                        text[bit / 8] ^= (uint8_t)(1u << bit % 8);
                        hash = rml_hash(&seed, text, len);
                        assert_int_not_equal(hash, plain);
                        for (uint64_t rest = hash ^ plain; rest; rest &= rest - 1)
                                changed_bits++;
                        text[bit / 8] ^= (uint8_t)(1u << bit % 8);
                }
                /* About half of the 64 bits change with each; the mean of 8 or more is well within a quarter. */
                assert_in_range(changed_bits, 24 * 8 * len, 40 * 8 * len);
                for (size_t shift = 1; shift < 8; shift++) {
                        uint8_t moved[80];

                        memcpy(moved + shift, buffer, len);
                        assert_int_equal(rml_hash(&seed, moved + shift, len), plain);
                }
        }
}

static void test_hash_of_counted_subjects_spreads_over_buckets(void **state) {
        enum { COUNT = 1 << 16 };
        const struct rml_seed seed = {UINT64_C(0x243f6a88), UINT64_C(0x85a308d3)};
        uint8_t *load = calloc(COUNT, 1), *load_u64 = calloc(COUNT, 1);
        size_t empty = 0, empty_u64 = 0;

        (void)state;
        assert_true(load && load_u64);
        for (unsigned i = 0; i < COUNT; i++) {
                char text[32];
                int len = snprintf(text, sizeof(text), "host.a.disk.%u", i);
                uint8_t *at = &load[rml_hash(&seed, text, (size_t)len) & (COUNT - 1)];

                assert_true(++*at < 16);
                at = &load_u64[rml_hash_u64(&seed, 64 * i, 5) & (COUNT - 1)];
                assert_true(++*at < 16);
        }
        for (unsigned i = 0; i < COUNT; i++) {
                empty += !load[i];
                empty_u64 += !load_u64[i];
        }
        /* By chance 1/e of the buckets, 24109, stay empty; 122 is the deviation. */
        assert_in_range(empty, 23400, 24800);
        assert_in_range(empty_u64, 23400, 24800);
        free(load);
        free(load_u64);
}

/* Both ways of multiplying give these numbers (test_table_portable has the other one). */
static void test_hash_u64_is_the_same_on_every_machine(void **state) {
        const struct rml_seed seed = {UINT64_C(0x0123456789abcdef), UINT64_C(0xfedcba9876543210)};

        (void)state;
        assert_int_equal(rml_hash_u64(&seed, 0, 0), UINT64_C(0x859d08ff02f70739));
        assert_int_equal(rml_hash_u64(&seed, 1, 2), UINT64_C(0xa12afb01d6a5ae0e));
        assert_int_equal(rml_hash_u64(&seed, UINT64_MAX, UINT64_MAX), UINT64_C(0xe48527c479ed4116));
        assert_int_not_equal(rml_hash_u64(&seed, 1, 2), rml_hash_u64(&seed, 2, 1));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_table_equal_hashes_are_all_found),
                cmocka_unit_test(test_table_remove_of_a_node_that_is_not_in_does_nothing),
                cmocka_unit_test(test_table_that_became_empty_keeps_no_buckets),
                cmocka_unit_test(test_table_that_lost_most_gives_buckets_back_when_put_into),
                cmocka_unit_test(test_table_without_memory_takes_all_the_same),
                cmocka_unit_test(test_table_walk_may_remove_what_it_passed),
                cmocka_unit_test(test_table_random_operations_agree_with_a_search_of_all),
                cmocka_unit_test(test_hash_depends_on_seed_content_and_length),
                cmocka_unit_test(test_hash_every_bit_counts_at_every_length_and_alignment),
                cmocka_unit_test(test_hash_of_counted_subjects_spreads_over_buckets),
                cmocka_unit_test(test_hash_u64_is_the_same_on_every_machine),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
