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
#include "topics.h"

static const struct rml_seed SEED = {UINT64_C(0x736f6d6570736575), UINT64_C(0x646f72616e646f6d)};

/* The linker puts these in the allocator's place: so many calls go well, then none. */
static long calls_left = -1;
static bool out_of_memory(void) {
        if (calls_left > 0)
                calls_left--;
        return calls_left == 0;
}
void *__real_calloc(size_t count, size_t size);
void *__real_malloc(size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_calloc(size_t count, size_t size) {
        return out_of_memory() ? NULL : __real_calloc(count, size);
}
void *__wrap_malloc(size_t size) {
        return out_of_memory() ? NULL : __real_malloc(size);
}
void *__wrap_realloc(void *old, size_t size) {
        return out_of_memory() ? NULL : __real_realloc(old, size);
}

static void add(struct topics *topics, const char *pattern, enum topic_role role, struct topic_slot *slot) {
        assert_null(rml_subject_check(rml_span_of(pattern), RML_PATTERN));
        assert_int_equal(topics_add(topics, pattern, role, slot), 0);
}

static const struct topic_route *route(struct topics *topics, enum topic_verb verb, const char *subject) {
        const struct topic_route *found = NULL;
        const char *why = NULL;

        assert_int_equal(topics_route(topics, verb, rml_span_of(subject), &found, &why), 0);
        assert_non_null(found);
        return found;
}

/* Twice: found by a walk, and perhaps remembered. */
static void expect(struct topics *topics, enum topic_verb verb, const char *subject, size_t count,
                   struct topic_slot *const *slots) {
        for (int i = 0; i < 2; i++) {
                const struct topic_route *found = route(topics, verb, subject);

                assert_int_equal(found->count, count);
                for (size_t k = 0; k < count; k++)
                        assert_ptr_equal(found->slots[k], slots[k]);
        }
}
#define EXPECT(topics, verb, subject, ...)                                                                             \
        expect(topics, verb, subject, sizeof((struct topic_slot *[]){__VA_ARGS__}) / sizeof(void *),                   \
               (struct topic_slot *[]){__VA_ARGS__})

static void test_topics_empty_routes_nowhere(void **state) {
        struct topics *topics = topics_new(&SEED, 65536);

        (void)state;
        expect(topics, TOPIC_PUBLISH, "a.b", 0, NULL);
        expect(topics, TOPIC_CALL, "a.b", 0, NULL);
        assert_int_equal(topics_nodes(topics), 0);
        assert_null(topics_free(topics));
        assert_null(topics_free(NULL));
}

static void test_topics_wildcards_match_as_the_grammar_says(void **state) {
        static const char *const patterns[] = {"a.b", "a.*",   "a.>",   "*.b", "*",   ">",
                                               "a",   "a.b.c", "*.*.*", "a*",  "a.>x"};
        static const char *const subjects[] = {"a",       "a.b", "a.b.c", "b",    "b.b", "a*",
                                               "x.y.z.w", "$a",  "$a.b",  "a.$b", "a.>x"};
        struct topics *topics = topics_new(&SEED, 65536);
        struct topic_slot slots[RML_COUNT(patterns)] = {{.pattern = NULL}};

        (void)state;
        for (size_t i = 0; i < RML_COUNT(patterns); i++)
                add(topics, patterns[i], TOPIC_SUBSCRIBER, &slots[i]);
        for (size_t s = 0; s < RML_COUNT(subjects); s++) {
                struct topic_slot *expected[RML_COUNT(patterns)];
                size_t count = 0;

                for (size_t i = 0; i < RML_COUNT(patterns); i++) {
                        if (rml_subject_match(rml_span_of(patterns[i]), rml_span_of(subjects[s])))
                                expected[count++] = &slots[i];
                }
                expect(topics, TOPIC_PUBLISH, subjects[s], count, expected);
        }
        EXPECT(topics, TOPIC_PUBLISH, "x.y.z.w", &slots[5]);
        for (size_t i = 0; i < RML_COUNT(patterns); i++)
                topics_remove(topics, &slots[i]);
        topics_free(topics);
}

static void test_topics_dollar_is_never_met_by_a_leading_wildcard(void **state) {
        struct topics *topics = topics_new(&SEED, 65536);
        struct topic_slot all = {0}, star = {0}, sys = {0}, below = {0};

        (void)state;
        add(topics, ">", TOPIC_SUBSCRIBER, &all);
        add(topics, "*.peer", TOPIC_SUBSCRIBER, &star);
        add(topics, "$SYS.>", TOPIC_SUBSCRIBER, &sys);
        add(topics, "$SYS.*", TOPIC_SUBSCRIBER, &below);
        EXPECT(topics, TOPIC_PUBLISH, "$SYS.peer", &sys, &below);
        EXPECT(topics, TOPIC_PUBLISH, "SYS.peer", &all, &star);
        EXPECT(topics, TOPIC_PUBLISH, "a.$SYS", &all);
        expect(topics, TOPIC_PUBLISH, "$", 0, NULL);
        topics_remove(topics, &all);
        topics_remove(topics, &star);
        topics_remove(topics, &sys);
        topics_remove(topics, &below);
        topics_free(topics);
}

static void test_topics_publish_goes_to_subscribers_then_gangs_in_order_of_adding(void **state) {
        struct topics *topics = topics_new(&SEED, 65536);
        struct topic_gang gang1 = {.kin = 0}, gang2 = {.kin = 0};
        struct topic_slot one = {0}, two = {0}, three = {0}, server = {0};

        (void)state;
        add(topics, "a.b", TOPIC_SUBSCRIBER_GANG, &gang1.slot);
        add(topics, "a.>", TOPIC_SUBSCRIBER, &one);
        add(topics, "a.b", TOPIC_SERVER_GANG, &server);
        add(topics, "a.b", TOPIC_SUBSCRIBER, &two);
        add(topics, "*.b", TOPIC_SUBSCRIBER_GANG, &gang2.slot);
        add(topics, "a.>", TOPIC_SUBSCRIBER, &three);
        EXPECT(topics, TOPIC_PUBLISH, "a.b", &one, &two, &three, &gang1.slot, &gang2.slot);
        /* Whoever comes again is the last. */
        topics_remove(topics, &one);
        add(topics, "a.>", TOPIC_SUBSCRIBER, &one);
        EXPECT(topics, TOPIC_PUBLISH, "a.b", &two, &three, &one, &gang1.slot, &gang2.slot);
        EXPECT(topics, TOPIC_CALL, "a.b", &server);
        topics_remove(topics, &one);
        topics_remove(topics, &two);
        topics_remove(topics, &three);
        topics_remove(topics, &gang1.slot);
        topics_remove(topics, &gang2.slot);
        topics_remove(topics, &server);
        topics_free(topics);
}

static void test_topics_gangs_of_one_kin_stand_together(void **state) {
        struct topics *topics = topics_new(&SEED, 65536);
        struct topic_gang old[3] = {{.kin = 5}, {.kin = 5}, {.kin = 5}}, young[2] = {{.kin = 9}, {.kin = 9}};
        struct topic_slot plain = {0};

        (void)state;
        add(topics, "a.b", TOPIC_SUBSCRIBER_GANG, &young[0].slot);
        add(topics, "a.b", TOPIC_SUBSCRIBER_GANG, &old[0].slot);
        add(topics, "a.*", TOPIC_SUBSCRIBER_GANG, &young[1].slot);
        add(topics, ">", TOPIC_SUBSCRIBER_GANG, &old[1].slot);
        add(topics, "a.>", TOPIC_SUBSCRIBER_GANG, &old[2].slot);
        add(topics, "a.*", TOPIC_SUBSCRIBER, &plain);
        EXPECT(topics, TOPIC_PUBLISH, "a.b", &plain, &old[0].slot, &old[1].slot, &old[2].slot, &young[0].slot,
               &young[1].slot);
        topics_remove(topics, &plain);
        for (size_t i = 0; i < 3; i++)
                topics_remove(topics, &old[i].slot);
        for (size_t i = 0; i < 2; i++)
                topics_remove(topics, &young[i].slot);
        assert_null(topics_free(topics));
}

static void test_topics_call_goes_to_the_most_specific_gang_first(void **state) {
        static const char *const sorted[] = {"a.b.c", "a.b.*", "a.b.>", "a.*.c", "a.*.*",
                                             "a.*.>", "a.>",   "*.b.c", "*.>",   ">"};
        struct topics *topics = topics_new(&SEED, 65536);
        struct topic_slot slots[RML_COUNT(sorted)] = {{.pattern = NULL}}, *expected[RML_COUNT(sorted)];

        (void)state;
        for (size_t i = 0; i < RML_COUNT(sorted); i++) {
                size_t mixed = i * 7 % RML_COUNT(sorted);

                add(topics, sorted[mixed], TOPIC_SERVER_GANG, &slots[mixed]);
                expected[i] = &slots[i];
        }
        expect(topics, TOPIC_CALL, "a.b.c", RML_COUNT(sorted), expected);
        expect(topics, TOPIC_PUBLISH, "a.b.c", 0, NULL);
        for (size_t i = 0; i < RML_COUNT(sorted); i++)
                topics_remove(topics, &slots[i]);
        topics_free(topics);
}

static void test_topics_removed_slot_gets_nothing_and_leaves_no_branch(void **state) {
        struct topics *topics = topics_new(&SEED, 65536);
        struct topic_slot deep = {0}, mid = {0}, never = {0};

        (void)state;
        add(topics, "a.b.c.d.e", TOPIC_SERVER_GANG, &deep);
        add(topics, "a.b", TOPIC_SERVER_GANG, &mid);
        assert_int_equal(topics_nodes(topics), 5);
        EXPECT(topics, TOPIC_CALL, "a.b.c.d.e", &deep);
        topics_remove(topics, &deep);
        expect(topics, TOPIC_CALL, "a.b.c.d.e", 0, NULL);
        EXPECT(topics, TOPIC_CALL, "a.b", &mid);
        assert_int_equal(topics_nodes(topics), 2);
        topics_remove(topics, &deep);
        topics_remove(topics, &never);
        assert_int_equal(topics_nodes(topics), 2);
        topics_remove(topics, &mid);
        assert_int_equal(topics_nodes(topics), 0);
        topics_free(topics);
}

static void test_topics_slots_of_one_pattern_leave_in_any_order(void **state) {
        struct topics *topics = topics_new(&SEED, 65536);
        struct topic_slot one = {0}, two = {0}, three = {0}, beside = {0};

        (void)state;
        add(topics, "a.b", TOPIC_SUBSCRIBER, &one);
        add(topics, "a.b", TOPIC_SUBSCRIBER, &two);
        add(topics, "a.c", TOPIC_SUBSCRIBER, &beside);
        add(topics, "a.b", TOPIC_SUBSCRIBER, &three);
        assert_int_equal(topics_nodes(topics), 2);
        EXPECT(topics, TOPIC_PUBLISH, "a.b", &one, &two, &three);
        topics_remove(topics, &one);
        EXPECT(topics, TOPIC_PUBLISH, "a.b", &two, &three);
        topics_remove(topics, &three);
        EXPECT(topics, TOPIC_PUBLISH, "a.b", &two);
        add(topics, "a.b", TOPIC_SUBSCRIBER, &one);
        EXPECT(topics, TOPIC_PUBLISH, "a.b", &two, &one);
        topics_remove(topics, &two);
        topics_remove(topics, &one);
        expect(topics, TOPIC_PUBLISH, "a.b", 0, NULL);
        EXPECT(topics, TOPIC_PUBLISH, "a.c", &beside);
        topics_remove(topics, &beside);
        assert_int_equal(topics_nodes(topics), 0);
        topics_free(topics);
}

static void test_topics_bad_subject_is_refused_with_a_reason(void **state) {
        static const char *const bad[] = {"", ".", "a.", ".a", "a..b", "a.*", ">", "a b", "a\x80", "a.\xc0\xaf"};
        struct topics *topics = topics_new(&SEED, 65536);
        struct topic_slot all = {0};
        char long_text[300];

        (void)state;
        add(topics, ">", TOPIC_SUBSCRIBER, &all);
        memset(long_text, 'a', sizeof(long_text));
        for (int round = 0; round < 2; round++) {
                const struct topic_route *found = NULL;
                const char *why;

                for (size_t i = 0; i < RML_COUNT(bad); i++) {
                        why = NULL;
                        assert_int_equal(topics_route(topics, TOPIC_PUBLISH, rml_span_of(bad[i]), &found, &why),
                                         -EINVAL);
                        assert_non_null(why);
                }
                why = NULL;
                assert_int_equal(topics_route(topics, TOPIC_CALL, (struct rml_span){NULL, 0}, &found, &why), -EINVAL);
                assert_non_null(why);
                for (size_t len = 255; len <= sizeof(long_text); len++) {
                        struct rml_span subject = {(const uint8_t *)long_text, len};

                        assert_int_equal(topics_route(topics, TOPIC_PUBLISH, subject, &found, &why),
                                         len > RML_SUBJECT_BYTES_MAX ? -EINVAL : 0);
                }
        }
        topics_remove(topics, &all);
        topics_free(topics);
}

static void test_topics_at_names_exactly_the_pattern_and_role(void **state) {
        struct topics *topics = topics_new(&SEED, 0);
        struct topic_slot one = {0}, two = {0}, gang = {0};

        (void)state;
        add(topics, "a.*.c", TOPIC_SUBSCRIBER, &one);
        add(topics, "a.*.c", TOPIC_SUBSCRIBER, &two);
        add(topics, "a.>", TOPIC_SERVER_GANG, &gang);
        assert_ptr_equal(topics_at(topics, rml_span_of("a.*.c"), TOPIC_SUBSCRIBER), &one);
        assert_ptr_equal(topics_at(topics, rml_span_of("a.>"), TOPIC_SERVER_GANG), &gang);
        assert_null(topics_at(topics, rml_span_of("a.>"), TOPIC_SUBSCRIBER));
        assert_null(topics_at(topics, rml_span_of("a.*"), TOPIC_SUBSCRIBER));
        assert_null(topics_at(topics, rml_span_of("a.b.c"), TOPIC_SUBSCRIBER));
        assert_null(topics_at(topics, rml_span_of("a.*.c.d"), TOPIC_SUBSCRIBER));
        topics_remove(topics, &one);
        assert_ptr_equal(topics_at(topics, rml_span_of("a.*.c"), TOPIC_SUBSCRIBER), &two);
        topics_remove(topics, &two);
        assert_null(topics_at(topics, rml_span_of("a.*.c"), TOPIC_SUBSCRIBER));
        topics_remove(topics, &gang);
        topics_free(topics);
}

struct visits {
        struct topic_slot *slots[16];
        size_t count, stop_at;
};

static bool note_visit(void *user, struct topic_slot *slot) {
        struct visits *visits = user;

        assert_true(visits->count < RML_COUNT(visits->slots));
        visits->slots[visits->count++] = slot;
        return visits->count != visits->stop_at;
}

static bool visited(const struct visits *visits, const struct topic_slot *slot) {
        for (size_t i = 0; i < visits->count; i++)
                if (visits->slots[i] == slot)
                        return true;
        return false;
}

static void test_topics_servers_above_are_those_on_the_way(void **state) {
        struct topics *topics = topics_new(&SEED, 0);
        struct topic_slot a = {0}, abc = {0}, tail = {0}, other = {0}, subscriber = {0};
        struct visits visits = {.count = 0}, one = {.stop_at = 1}, none = {.count = 0};

        (void)state;
        add(topics, "a.b.c", TOPIC_SERVER_GANG, &abc);
        add(topics, "a", TOPIC_SERVER_GANG, &a);
        add(topics, "a.>", TOPIC_SERVER_GANG, &tail);
        add(topics, "a.bb", TOPIC_SERVER_GANG, &other);
        add(topics, "a.b", TOPIC_SUBSCRIBER, &subscriber);
        topics_servers_above(topics, rml_span_of("a.b.c.*"), note_visit, &visits);
        assert_int_equal(visits.count, 2);
        assert_ptr_equal(visits.slots[0], &a);
        assert_ptr_equal(visits.slots[1], &abc);
        topics_servers_above(topics, rml_span_of("a.b.c"), note_visit, &one);
        assert_int_equal(one.count, 1);
        topics_servers_above(topics, rml_span_of("aa.b"), note_visit, &none);
        topics_servers_above(topics, rml_span_of("*.b.c"), note_visit, &none);
        assert_int_equal(none.count, 0);
        topics_servers_above(topics, rml_span_of("a.>"), note_visit, &none);
        assert_int_equal(none.count, 2);
        topics_remove(topics, &a);
        topics_remove(topics, &abc);
        topics_remove(topics, &tail);
        topics_remove(topics, &other);
        topics_remove(topics, &subscriber);
        topics_free(topics);
}

static void test_topics_servers_below_are_the_name_and_all_that_begin_with_it(void **state) {
        struct topics *topics = topics_new(&SEED, 0);
        struct topic_slot in[5] = {{.pattern = NULL}}, out[3] = {{.pattern = NULL}};
        struct topic_gang gang = {.kin = 0};
        struct visits visits = {.count = 0}, two = {.stop_at = 2}, none = {.count = 0};

        (void)state;
        add(topics, "a.b", TOPIC_SERVER_GANG, &in[0]);
        add(topics, "a.b.>", TOPIC_SERVER_GANG, &in[1]);
        add(topics, "a.b.*.x", TOPIC_SERVER_GANG, &in[2]);
        add(topics, "a.b.c.d.e", TOPIC_SERVER_GANG, &in[3]);
        add(topics, "a.b.f", TOPIC_SERVER_GANG, &in[4]);
        add(topics, "a", TOPIC_SERVER_GANG, &out[0]);
        add(topics, "a.bc.d", TOPIC_SERVER_GANG, &out[1]);
        add(topics, "a.*.c", TOPIC_SERVER_GANG, &out[2]);
        add(topics, "a.b.g", TOPIC_SUBSCRIBER_GANG, &gang.slot);
        topics_servers_below(topics, rml_span_of("a.b"), note_visit, &visits);
        assert_int_equal(visits.count, 5);
        for (size_t i = 0; i < 5; i++)
                assert_true(visited(&visits, &in[i]));
        topics_servers_below(topics, rml_span_of("a.b"), note_visit, &two);
        assert_int_equal(two.count, 2);
        topics_servers_below(topics, rml_span_of("a.b.g"), note_visit, &none);
        topics_servers_below(topics, rml_span_of("b"), note_visit, &none);
        assert_int_equal(none.count, 0);
        for (size_t i = 0; i < 5; i++)
                topics_remove(topics, &in[i]);
        for (size_t i = 0; i < 3; i++)
                topics_remove(topics, &out[i]);
        topics_remove(topics, &gang.slot);
        assert_int_equal(topics_nodes(topics), 0);
        topics_free(topics);
}

/* At each of 32 depths both wildcards are still to be looked at while the literal is followed. */
static void test_topics_deepest_subject_with_both_wildcards_at_each_token_finds_all(void **state) {
        struct topics *topics = topics_new(&SEED, 65536);
        struct topic_slot slots[64] = {{.pattern = NULL}}, *expected[64];
        char subject[64], patterns[64][64];

        (void)state;
        for (size_t i = 0; i < 32; i++)
                memcpy(subject + 2 * i, i < 31 ? "a." : "a", 2);
        for (size_t i = 0; i < 32; i++) {
                memcpy(patterns[2 * i], subject, sizeof(subject));
                patterns[2 * i][2 * i] = '*';
                add(topics, patterns[2 * i], TOPIC_SERVER_GANG, &slots[2 * i]);
                memcpy(patterns[2 * i + 1], subject, sizeof(subject));
                patterns[2 * i + 1][2 * i] = '>';
                patterns[2 * i + 1][2 * i + 1] = '\0';
                add(topics, patterns[2 * i + 1], TOPIC_SERVER_GANG, &slots[2 * i + 1]);
                /* The later the first wildcard, the more specific. */
                expected[62 - 2 * i] = &slots[2 * i];
                expected[63 - 2 * i] = &slots[2 * i + 1];
        }
        expect(topics, TOPIC_CALL, subject, 64, expected);
        for (size_t i = 0; i < 64; i++)
                topics_remove(topics, &slots[i]);
        topics_free(topics);
}

static void test_topics_deepest_patterns_of_wildcards_stay_within_bounds(void **state) {
        /* Each of 32 tokens is '*' or 'a', as the bits of a few numbers say, and each prefix also ends in '>'. */
        enum { COUNT = 512 };
        struct topics *topics = topics_new(&SEED, 65536);
        struct topic_slot *slots = calloc(2 * COUNT, sizeof(*slots));
        char(*patterns)[64] = calloc(2 * COUNT, sizeof(*patterns));
        struct rng rng = {7};
        char subject[64];
        size_t expected = 0;

        (void)state;
        assert_true(slots && patterns);
        for (size_t i = 0; i < 32; i++)
                memcpy(subject + 2 * i, i < 31 ? "a." : "a", 2);
        for (size_t i = 0; i < COUNT; i++) {
                uint64_t bits = rng_next(&rng);
                size_t depth = 1 + (size_t)rng_below(&rng, 32);
                char *pattern = patterns[2 * i];

                memcpy(pattern, subject, sizeof(subject));
                for (size_t k = 0; k < 32; k++) {
                        if (bits >> k & 1)
                                pattern[2 * k] = '*';
                }
                add(topics, pattern, TOPIC_SUBSCRIBER, &slots[2 * i]);
                pattern = memcpy(patterns[2 * i + 1], pattern, sizeof(subject));
                pattern[2 * depth - 2] = '>';
                pattern[2 * depth - 1] = '\0';
                add(topics, pattern, TOPIC_SUBSCRIBER, &slots[2 * i + 1]);
                expected += 2;
        }
        assert_int_equal(route(topics, TOPIC_PUBLISH, subject)->count, expected);
        for (size_t i = 0; i < 2 * COUNT; i++)
                assert_ptr_equal(route(topics, TOPIC_PUBLISH, subject)->slots[i], &slots[i]);
        for (size_t i = 0; i < 2 * COUNT; i++)
                topics_remove(topics, &slots[i]);
        assert_int_equal(topics_nodes(topics), 0);
        free(patterns);
        free(slots);
        topics_free(topics);
}

/* Every set of five tokens of which some are '*' is a shape, with '>' behind it or not: 64, and more with four. */
static void test_topics_shapes_beyond_the_limit_are_found_all_the_same(void **state) {
        enum { COUNT = 96 };
        struct topics *topics = topics_new(&SEED, 0);
        struct topic_slot slots[COUNT] = {{.pattern = NULL}}, *expected[COUNT];
        char patterns[COUNT][16];
        size_t count = 0;

        (void)state;
        for (size_t i = 0; i < COUNT; i++) {
                size_t tokens = i < 64 ? 5 : 4;

                memcpy(patterns[i], "a.a.a.a.a.>", 12);
                for (size_t k = 0; k < tokens; k++)
                        if (i >> k & 1)
                                patterns[i][2 * k] = '*';
                if (i < 32 || i >= 80)
                        patterns[i][2 * tokens - 1] = '\0';
                else
                        memcpy(patterns[i] + 2 * tokens, ">", 2);
                add(topics, patterns[i], TOPIC_SUBSCRIBER, &slots[i]);
                if (i < 32 || (i >= 64 && i < 80))
                        expected[count++] = &slots[i];
        }
        expect(topics, TOPIC_PUBLISH, "a.a.a.a.a", count, expected);
        /* What makes place is taken by the next. */
        for (size_t i = 0; i < COUNT; i += 2)
                topics_remove(topics, &slots[i]);
        for (size_t i = 0; i < COUNT; i += 2)
                add(topics, patterns[i], TOPIC_SUBSCRIBER, &slots[i]);
        count = 0;
        for (size_t i = 1; i < COUNT; i += 2)
                if (i < 32 || (i >= 64 && i < 80))
                        expected[count++] = &slots[i];
        for (size_t i = 0; i < COUNT; i += 2)
                if (i < 32 || (i >= 64 && i < 80))
                        expected[count++] = &slots[i];
        expect(topics, TOPIC_PUBLISH, "a.a.a.a.a", count, expected);
        for (size_t i = 0; i < COUNT; i++)
                topics_remove(topics, &slots[i]);
        assert_int_equal(topics_nodes(topics), 0);
        topics_free(topics);
}

static void test_topics_many_patterns_of_one_shape_come_and_go(void **state) {
        enum { COUNT = 5000 };
        struct topics *topics = topics_new(&SEED, 0);
        struct topic_slot *slots = calloc(COUNT, sizeof(*slots));
        char(*patterns)[24] = calloc(COUNT, sizeof(*patterns));

        (void)state;
        assert_true(slots && patterns);
        for (size_t i = 0; i < COUNT; i++) {
                snprintf(patterns[i], sizeof(patterns[i]), "item.%zu%s", i, i % 3 == 0 ? ".>" : i % 3 == 1 ? ".*" : "");
                if (i == COUNT / 2)
                        calls_left = 1; /* longer chains, and nothing else */
                add(topics, patterns[i], TOPIC_SUBSCRIBER, &slots[i]);
        }
        calls_left = -1;
        for (size_t gone = 0; gone < COUNT; gone++) {
                for (size_t i = gone; i < COUNT; i += gone < COUNT - 50 ? 499 : 7) {
                        char subject[24];

                        snprintf(subject, sizeof(subject), "item.%zu%s", i, i % 3 == 2 ? "" : ".x");
                        assert_int_equal(route(topics, TOPIC_PUBLISH, subject)->count, 1);
                        assert_ptr_equal(route(topics, TOPIC_PUBLISH, subject)->slots[0], &slots[i]);
                }
                topics_remove(topics, &slots[gone]);
        }
        assert_int_equal(topics_nodes(topics), 0);
        free(patterns);
        free(slots);
        topics_free(topics);
}

static void test_topics_failing_memory_changes_nothing(void **state) {
        struct topics *topics = NULL;
        struct topic_slot first = {0}, slot = {0};
        long needed = 0;

        (void)state;
        for (; !topics && needed < 100; needed++) {
                calls_left = needed + 1;
                topics = topics_new(&SEED, 65536);
        }
        calls_left = -1;
        assert_non_null(topics);
        assert_true(needed > 5);
        add(topics, "a.x", TOPIC_SERVER_GANG, &first);
        /* Three new nodes: each of them may be the one that fails. */
        for (long good = 0; good < 3; good++) {
                calls_left = good + 1;
                assert_int_equal(topics_add(topics, "a.b.c.d", TOPIC_SERVER_GANG, &slot), -ENOMEM);
                calls_left = -1;
                assert_false(slot.in);
                assert_int_equal(topics_nodes(topics), 2);
        }
        assert_int_equal(topics_add(topics, "a.b.c.d", TOPIC_SERVER_GANG, &slot), 0);
        topics_remove(topics, &slot);
        topics_remove(topics, &first);
        topics_free(topics);
}

static void test_topics_route_without_memory_says_so_and_recovers(void **state) {
        enum { COUNT = 200 };
        struct topics *topics = topics_new(&SEED, 65536);
        struct topic_gang slots[COUNT] = {{.kin = 0}};
        const struct topic_route *found = NULL;
        const char *why = NULL;
        long good = 0;
        int r = -ENOMEM;

        (void)state;
        for (size_t i = 0; i < COUNT; i++)
                add(topics, i % 2 ? "a.b" : "a.*", i % 4 == 3 ? TOPIC_SUBSCRIBER_GANG : TOPIC_SUBSCRIBER,
                    &slots[i].slot);
        for (; r == -ENOMEM && good < 20; good++) {
                calls_left = 1 + (good ? 1 : 0);
                r = topics_route(topics, TOPIC_PUBLISH, rml_span_of("a.b"), &found, &why);
                calls_left = -1;
        }
        assert_int_equal(r, 0);
        /* 16, 32, 64, 128, 256: one more at each try, and the first try had none. */
        assert_int_equal(good, 6);
        assert_int_equal(found->count, COUNT);
        for (size_t i = 0; i < COUNT; i++)
                topics_remove(topics, &slots[i].slot);
        topics_free(topics);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_topics_empty_routes_nowhere),
                cmocka_unit_test(test_topics_wildcards_match_as_the_grammar_says),
                cmocka_unit_test(test_topics_dollar_is_never_met_by_a_leading_wildcard),
                cmocka_unit_test(test_topics_publish_goes_to_subscribers_then_gangs_in_order_of_adding),
                cmocka_unit_test(test_topics_gangs_of_one_kin_stand_together),
                cmocka_unit_test(test_topics_call_goes_to_the_most_specific_gang_first),
                cmocka_unit_test(test_topics_removed_slot_gets_nothing_and_leaves_no_branch),
                cmocka_unit_test(test_topics_slots_of_one_pattern_leave_in_any_order),
                cmocka_unit_test(test_topics_shapes_beyond_the_limit_are_found_all_the_same),
                cmocka_unit_test(test_topics_many_patterns_of_one_shape_come_and_go),
                cmocka_unit_test(test_topics_bad_subject_is_refused_with_a_reason),
                cmocka_unit_test(test_topics_at_names_exactly_the_pattern_and_role),
                cmocka_unit_test(test_topics_servers_above_are_those_on_the_way),
                cmocka_unit_test(test_topics_servers_below_are_the_name_and_all_that_begin_with_it),
                cmocka_unit_test(test_topics_deepest_subject_with_both_wildcards_at_each_token_finds_all),
                cmocka_unit_test(test_topics_deepest_patterns_of_wildcards_stay_within_bounds),
                cmocka_unit_test(test_topics_failing_memory_changes_nothing),
                cmocka_unit_test(test_topics_route_without_memory_says_so_and_recovers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
