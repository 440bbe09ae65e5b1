/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bounds.h"
#include "rng.h"
#include "subject.h"
#include "topics_cache.h"

/* The linker puts these in the allocator's place. Counted, so that a test can see who asks for more. */
static long allocations;
static size_t allocated;
static long fail_at = -1;
void *__real_calloc(size_t count, size_t size);
void *__real_malloc(size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_calloc(size_t count, size_t size) {
        allocated += count * size;
        return allocations++ == fail_at ? NULL : __real_calloc(count, size);
}
void *__wrap_malloc(size_t size) {
        allocated += size;
        return allocations++ == fail_at ? NULL : __real_malloc(size);
}
void *__wrap_realloc(void *old, size_t size) {
        allocations++;
        return __real_realloc(old, size);
}

static struct topic_route *new_route(size_t count, uint64_t mark) {
        struct topic_route *route = __real_malloc(sizeof(*route) + count * sizeof(struct topic_slot *));

        assert_non_null(route);
        route->count = count;
        for (size_t i = 0; i < count; i++)
                route->slots[i] = (struct topic_slot *)(uintptr_t)(mark + i);
        return route;
}

static void put(struct topics_cache *cache, uint64_t hash, enum topic_verb verb, const char *subject, size_t count,
                uint64_t mark) {
        struct topic_route *route = new_route(count, mark);

        topics_cache_put(cache, hash, verb, rml_span_of(subject), route);
        free(route);
}

static void test_topics_cache_finds_what_was_put(void **state) {
        struct topics_cache cache;
        const struct topic_route *found;

        (void)state;
        assert_int_equal(topics_cache_init(&cache, 65536), 0);
        assert_null(topics_cache_find(&cache, 1, TOPIC_PUBLISH, rml_span_of("a.b")));
        put(&cache, 1, TOPIC_PUBLISH, "a.b", 3, 100);
        put(&cache, 2, TOPIC_CALL, "a.c", 0, 0);
        found = topics_cache_find(&cache, 1, TOPIC_PUBLISH, rml_span_of("a.b"));
        assert_non_null(found);
        assert_int_equal(found->count, 3);
        for (size_t i = 0; i < 3; i++)
                assert_int_equal((uintptr_t)found->slots[i], 100 + i);
        found = topics_cache_find(&cache, 2, TOPIC_CALL, rml_span_of("a.c"));
        assert_non_null(found);
        assert_int_equal(found->count, 0);
        topics_cache_deinit(&cache);
}

static void test_topics_cache_equal_hash_is_not_enough(void **state) {
        struct topics_cache cache;

        (void)state;
        assert_int_equal(topics_cache_init(&cache, 65536), 0);
        put(&cache, 5, TOPIC_PUBLISH, "a.b", 1, 1);
        assert_null(topics_cache_find(&cache, 5, TOPIC_PUBLISH, rml_span_of("a.c")));
        assert_null(topics_cache_find(&cache, 5, TOPIC_PUBLISH, rml_span_of("a.bb")));
        assert_null(topics_cache_find(&cache, 5, TOPIC_CALL, rml_span_of("a.b")));
        assert_null(topics_cache_find(&cache, 5, TOPIC_PUBLISH, (struct rml_span){NULL, 0}));
        assert_non_null(topics_cache_find(&cache, 5, TOPIC_PUBLISH, rml_span_of("a.b")));
        topics_cache_deinit(&cache);
}

static void test_topics_cache_dropped_finds_nothing_old(void **state) {
        struct topics_cache cache;

        (void)state;
        assert_int_equal(topics_cache_init(&cache, 65536), 0);
        for (uint64_t round = 0; round < 1000; round++) {
                assert_null(topics_cache_find(&cache, 9, TOPIC_PUBLISH, rml_span_of("a.b")));
                put(&cache, 9, TOPIC_PUBLISH, "a.b", 1, round);
                assert_int_equal((uintptr_t)topics_cache_find(&cache, 9, TOPIC_PUBLISH, rml_span_of("a.b"))->slots[0],
                                 round);
                topics_cache_drop(&cache);
        }
        topics_cache_deinit(&cache);
}

static void test_topics_cache_full_set_forgets_its_oldest(void **state) {
        static const char *const subjects[] = {"a", "b", "c", "d", "e"};
        struct topics_cache cache;

        (void)state;
        assert_int_equal(topics_cache_init(&cache, 65536), 0);
        for (uint64_t i = 0; i < 5; i++)
                put(&cache, i << 32, TOPIC_PUBLISH, subjects[i], 1, i);
        for (uint64_t i = 0; i < 5; i++) {
                const struct topic_route *found =
                        topics_cache_find(&cache, i << 32, TOPIC_PUBLISH, rml_span_of(subjects[i]));

                assert_true(i ? found != NULL : found == NULL);
        }
        topics_cache_deinit(&cache);
}

/* What stands in its place looks the same, but was put under another hash. */
static void test_topics_cache_knows_a_record_that_another_overwrote(void **state) {
        struct topics_cache cache;
        char subject[16];
        size_t records;

        (void)state;
        assert_int_equal(topics_cache_init(&cache, TOPICS_CACHE_BYTES_MIN), 0);
        /* Each takes 32 bytes where pointers have 8, else less; all the same. */
        put(&cache, 0, TOPIC_PUBLISH, "subject0", 1, 1);
        records = cache.ring_size / (size_t)(cache.head - cache.oldest);
        assert_int_equal(cache.ring_size % records, 0);
        for (size_t i = 1; i < records; i++) {
                assert_non_null(topics_cache_find(&cache, 0, TOPIC_PUBLISH, rml_span_of("subject0")));
                sprintf(subject, "other%03u", (unsigned)i);
                put(&cache, 1 + (i << 32), TOPIC_PUBLISH, subject, 1, 2);
        }
        put(&cache, 1, TOPIC_PUBLISH, "subject0", 1, 3);
        assert_non_null(topics_cache_find(&cache, 1, TOPIC_PUBLISH, rml_span_of("subject0")));
        assert_null(topics_cache_find(&cache, 0, TOPIC_PUBLISH, rml_span_of("subject0")));
        topics_cache_deinit(&cache);
}

static void test_topics_cache_takes_no_long_route(void **state) {
        struct topics_cache cache;
        char longest[RML_SUBJECT_BYTES_MAX + 2];

        (void)state;
        memset(longest, 'a', sizeof(longest));
        longest[RML_SUBJECT_BYTES_MAX + 1] = '\0';
        assert_int_equal(topics_cache_init(&cache, TOPICS_CACHE_BYTES_MIN), 0);
        put(&cache, 1, TOPIC_PUBLISH, "a", TOPICS_CACHE_SLOTS_MAX + 1, 1);
        assert_null(topics_cache_find(&cache, 1, TOPIC_PUBLISH, rml_span_of("a")));
        put(&cache, 1, TOPIC_PUBLISH, longest, 1, 1);
        assert_null(topics_cache_find(&cache, 1, TOPIC_PUBLISH, rml_span_of(longest)));
        longest[RML_SUBJECT_BYTES_MAX] = '\0';
        put(&cache, 1, TOPIC_PUBLISH, longest, TOPICS_CACHE_SLOTS_MAX, 1);
        assert_non_null(topics_cache_find(&cache, 1, TOPIC_PUBLISH, rml_span_of(longest)));
        topics_cache_deinit(&cache);
}

static void test_topics_cache_keeps_to_its_bytes_and_allocates_once(void **state) {
        (void)state;
        for (size_t bytes = 0; bytes < 3000000; bytes = bytes * 3 / 2 + 1) {
                struct topics_cache cache;
                char subject[32];

                allocations = 0;
                allocated = 0;
                assert_int_equal(topics_cache_init(&cache, bytes), 0);
                assert_true(allocated <= bytes);
                assert_true(allocated >= bytes / 2 || bytes < TOPICS_CACHE_BYTES_MIN);
                assert_int_equal(allocations, bytes < TOPICS_CACHE_BYTES_MIN ? 0 : 2);
                for (uint64_t i = 0; i < 2000; i++) {
                        sprintf(subject, "never.seen.%u", (unsigned)i);
                        put(&cache, i * 77, TOPIC_PUBLISH, subject, 2, i);
                }
                assert_int_equal(allocations, bytes < TOPICS_CACHE_BYTES_MIN ? 0 : 2);
                topics_cache_deinit(&cache);
        }
}

static void test_topics_cache_without_memory_says_so(void **state) {
        struct topics_cache cache;

        (void)state;
        for (fail_at = 0; fail_at < 2; fail_at++) {
                allocations = 0;
                assert_int_equal(topics_cache_init(&cache, 65536), -ENOMEM);
        }
        fail_at = -1;
}

/* The ring goes round many times: what is found is what was put last, and the newest is always there. */
static void test_topics_cache_never_finds_what_was_overwritten(void **state) {
        enum { SUBJECTS = 500 };
        struct topics_cache cache;
        struct rng rng = {3};
        uint64_t marks[SUBJECTS] = {0};
        size_t hits = 0, misses = 0;

        (void)state;
        assert_int_equal(topics_cache_init(&cache, 20000), 0);
        for (uint64_t step = 1; step < 20000; step++) {
                size_t k = (size_t)rng_below(&rng, rng_below(&rng, 2) ? SUBJECTS : 10);
                uint64_t hash = k / 2 * UINT64_C(0x9e3779b97f4a7c15); /* some share a hash */
                const struct topic_route *found;
                char subject[300];

                sprintf(subject, "%u.%0*u", (unsigned)k, (int)(k % 200), 0u);
                found = topics_cache_find(&cache, hash, TOPIC_PUBLISH, rml_span_of(subject));
                if (found) {
                        hits++;
                        assert_true(marks[k]);
                } else {
                        misses++;
                        marks[k] = step;
                        put(&cache, hash, TOPIC_PUBLISH, subject, (size_t)(step % (TOPICS_CACHE_SLOTS_MAX + 1)), step);
                        found = topics_cache_find(&cache, hash, TOPIC_PUBLISH, rml_span_of(subject));
                        assert_non_null(found);
                }
                assert_int_equal(found->count, marks[k] % (TOPICS_CACHE_SLOTS_MAX + 1));
                for (size_t s = 0; s < found->count; s++)
                        assert_int_equal((uintptr_t)found->slots[s], marks[k] + s);
                if (rng_below(&rng, 1000) == 0) {
                        topics_cache_drop(&cache);
                        memset(marks, 0, sizeof(marks));
                }
        }
        assert_true(hits > 2000 && misses > 2000);
        topics_cache_deinit(&cache);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_topics_cache_finds_what_was_put),
                cmocka_unit_test(test_topics_cache_equal_hash_is_not_enough),
                cmocka_unit_test(test_topics_cache_dropped_finds_nothing_old),
                cmocka_unit_test(test_topics_cache_full_set_forgets_its_oldest),
                cmocka_unit_test(test_topics_cache_knows_a_record_that_another_overwrote),
                cmocka_unit_test(test_topics_cache_takes_no_long_route),
                cmocka_unit_test(test_topics_cache_keeps_to_its_bytes_and_allocates_once),
                cmocka_unit_test(test_topics_cache_without_memory_says_so),
                cmocka_unit_test(test_topics_cache_never_finds_what_was_overwritten),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
