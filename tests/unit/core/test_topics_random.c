/* SPDX-License-Identifier: MIT */
/* The index against a plain list of patterns that is searched whole, under seeded random operations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "rng.h"
#include "subject.h"
#include "topics.h"

#define ENTRIES 300u

struct entry {
        char pattern[64];
        struct topic_gang gang;
        bool in;
        uint64_t added;
};

struct model {
        struct topics *topics;
        struct rng rng;
        uint64_t clock;
        struct entry entries[ENTRIES];
};

static void random_text(struct rng *rng, bool pattern, char *ret) {
        static const char *const words[] = {"a", "b", "cc", "$S", "foo*", ">x", "\xc3\xa9"};
        size_t tokens = 1 + (size_t)rng_below(rng, 5), len = 0;

        for (size_t i = 0; i < tokens; i++) {
                const char *word = words[rng_below(rng, RML_COUNT(words))];

                if (rng_below(rng, 3))
                        word = words[rng_below(rng, 2)];
                if (pattern && rng_below(rng, 4) == 0)
                        word = i + 1 == tokens && rng_below(rng, 2) ? ">" : "*";
                len += (size_t)sprintf(ret + len, "%s%s", i ? "." : "", word);
        }
}

/* Does a list of tokens begin with all of another? */
static bool begins_with(const char *text, const char *start) {
        size_t len = strlen(start);

        return strncmp(text, start, len) == 0 && (text[len] == '\0' || text[len] == '.');
}

static int model_order(const void *a, const void *b) {
        const struct entry *left = *(struct entry *const *)a, *right = *(struct entry *const *)b;

        if (left->gang.slot.role == TOPIC_SERVER_GANG)
                return rml_subject_compare(rml_span_of(left->pattern), rml_span_of(right->pattern));
        if (left->gang.slot.role != right->gang.slot.role)
                return left->gang.slot.role < right->gang.slot.role ? -1 : 1;
        return left->added < right->added ? -1 : 1;
}

static void model_route(struct model *model) {
        struct entry *expected[ENTRIES];
        enum topic_verb verb = rng_below(&model->rng, 3) ? TOPIC_PUBLISH : TOPIC_CALL;
        const struct topic_route *found;
        const char *why;
        char subject[64];
        size_t count = 0;

        random_text(&model->rng, false, subject);
        for (size_t i = 0; i < ENTRIES; i++) {
                struct entry *entry = &model->entries[i];

                if (entry->in && (entry->gang.slot.role == TOPIC_SERVER_GANG) == (verb == TOPIC_CALL) &&
                    rml_subject_match(rml_span_of(entry->pattern), rml_span_of(subject)))
                        expected[count++] = entry;
        }
        if (count)
                qsort(expected, count, sizeof(struct entry *), model_order);
        assert_int_equal(topics_route(model->topics, verb, rml_span_of(subject), &found, &why), 0);
        assert_int_equal(found->count, count);
        for (size_t i = 0; i < count; i++)
                assert_ptr_equal(found->slots[i], &expected[i]->gang.slot);
}

static void model_toggle(struct model *model, bool put) {
        struct entry *entry = &model->entries[rng_below(&model->rng, ENTRIES)];
        enum topic_role role = (enum topic_role)rng_below(&model->rng, TOPIC_TAP);

        if (entry->in == put)
                return;
        if (!put) {
                topics_remove(model->topics, &entry->gang.slot);
                assert_false(entry->gang.slot.in);
                entry->in = false;
                return;
        }
        random_text(&model->rng, true, entry->pattern);
        if (role == TOPIC_SERVER_GANG && topics_at(model->topics, rml_span_of(entry->pattern), role))
                return;
        assert_int_equal(topics_add(model->topics, entry->pattern, role, &entry->gang.slot), 0);
        assert_int_equal(entry->gang.slot.role, role);
        entry->in = true;
        entry->added = ++model->clock;
}

static bool count_visit(void *user, struct topic_slot *slot) {
        struct entry *entry = rml_container_of(slot, struct entry, gang.slot);
        size_t *count = user;

        assert_true(entry->in && slot->role == TOPIC_SERVER_GANG);
        ++*count;
        return true;
}

static int by_text(const void *a, const void *b) {
        return strcmp(a, b);
}

/* What serves has a node for each different beginning of a pattern; of other roles that is the most, and the least is
 * one for each pattern. */
static size_t model_nodes(const struct model *model, bool most) {
        static char beginnings[ENTRIES * 5][66];
        size_t count = 0, different = 0;

        for (size_t i = 0; i < ENTRIES; i++) {
                const struct entry *entry = &model->entries[i];

                for (size_t k = 0; entry->in && k < strlen(entry->pattern); k++) {
                        if (entry->pattern[k + 1] == '\0' ||
                            (entry->pattern[k + 1] == '.' && (most || entry->gang.slot.role == TOPIC_SERVER_GANG)))
                                sprintf(beginnings[count++], "%d%.*s", (int)entry->gang.slot.role, (int)k + 1,
                                        entry->pattern);
                }
        }
        qsort(beginnings, count, sizeof(beginnings[0]), by_text);
        for (size_t i = 0; i < count; i++)
                different += !i || strcmp(beginnings[i - 1], beginnings[i]) != 0;
        return different;
}

static void model_check(struct model *model) {
        char text[64];
        size_t above = 0, below = 0, found_above = 0, found_below = 0;

        random_text(&model->rng, true, text);
        for (size_t i = 0; i < ENTRIES; i++) {
                const struct entry *entry = &model->entries[i];

                if (!entry->in)
                        continue;
                assert_non_null(topics_at(model->topics, rml_span_of(entry->pattern), entry->gang.slot.role));
                if (entry->gang.slot.role == TOPIC_SERVER_GANG) {
                        above += begins_with(text, entry->pattern);
                        below += begins_with(entry->pattern, text);
                }
        }
        topics_servers_above(model->topics, rml_span_of(text), count_visit, &found_above);
        topics_servers_below(model->topics, rml_span_of(text), count_visit, &found_below);
        assert_int_equal(found_above, above);
        assert_int_equal(found_below, below);
        assert_in_range(topics_nodes(model->topics), model_nodes(model, false), model_nodes(model, true));
}

static void run_model(uint64_t seed, size_t cache_bytes, int steps) {
        static struct model model;

        model = (struct model){.rng = {seed}};
        model.topics = topics_new(&(struct rml_seed){rng_next(&model.rng), seed}, cache_bytes);
        assert_non_null(model.topics);
        for (int step = 0; step < steps; step++) {
                /* Times of growing, of shrinking and of rest. */
                int season = step / 1000 % 3;
                uint64_t what = rng_below(&model.rng, season == 2 ? 40 : 4);

                if (what == 0)
                        model_toggle(&model, rng_below(&model.rng, 5) ? season != 1 : season == 1);
                else
                        model_route(&model);
                if (step % 200 == 0)
                        model_check(&model);
        }
        for (size_t i = 0; i < ENTRIES; i++)
                topics_remove(model.topics, &model.entries[i].gang.slot);
        assert_int_equal(topics_nodes(model.topics), 0);
        topics_free(model.topics);
}

static void test_topics_random_operations_agree_with_a_list_of_patterns(void **state) {
        static const size_t cache_bytes[] = {0, 4096, 1 << 20};

        (void)state;
        for (uint64_t seed = 1; seed <= 12; seed++) {
                print_message("seed %d\n", (int)seed);
                run_model(seed, cache_bytes[seed % RML_COUNT(cache_bytes)], 6000);
        }
}

static void test_topics_long_churn_agrees_and_leaves_no_node(void **state) {
        (void)state;
        run_model(4711, 16384, 60000);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_topics_random_operations_agree_with_a_list_of_patterns),
                cmocka_unit_test(test_topics_long_churn_agrees_and_leaves_no_node),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
