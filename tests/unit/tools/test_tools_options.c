/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "verbs.h"

enum { VERBOSE, COUNT, EVERY, WINDOW, RULE, HEADER, FILE_, OPTION_TOTAL };

static const char *const rules[] = {"drop_old", "drop_new", "latest", NULL};

static const struct option_def defs[OPTION_TOTAL] = {
        [VERBOSE] = {"verbose", 'v', OPTION_FLAG, NULL, "", NULL},
        [COUNT] = {"count", 'n', OPTION_COUNT, "N", "", NULL},
        [EVERY] = {"every", 0, OPTION_TIME, "TIME", "", NULL},
        [WINDOW] = {"window", 0, OPTION_SIZE, "BYTES", "", NULL},
        [RULE] = {"rule", 0, OPTION_CHOICE, "RULE", "", rules},
        [HEADER] = {"header", 'H', OPTION_TEXTS, "NAME=VALUE", "", NULL},
        [FILE_] = {"file", 'f', OPTION_FILE, "FILE", "", NULL},
};

enum { WORDS_MAX = 8 };

struct parsed {
        struct option_value values[OPTION_TOTAL];
        const char *words[WORDS_MAX];
        size_t word_count;
        struct options options;
};

static struct option_set set_of(struct parsed *parsed) {
        return (struct option_set){defs, OPTION_TOTAL, parsed->values};
}

static int parse(struct parsed *parsed, char *const *argv) {
        int argc = 0;
        while (argv[argc])
                argc++;
        memset(parsed, 0, sizeof(*parsed));
        parsed->options = options_of(argc, argv);
        struct option_set set = set_of(parsed);
        const char *word;
        int r;
        while ((r = options_next(&parsed->options, &set, 1, &word)) == 0 && word) {
                assert_true(parsed->word_count < WORDS_MAX);
                parsed->words[parsed->word_count++] = word;
        }
        return r;
}

#define PARSE(parsed, ...) parse((parsed), (char *[]){(char[]){"ramal"}, __VA_ARGS__, NULL})
#define W(text) ((char[]){text})

static void done(struct parsed *parsed) {
        struct option_set set = set_of(parsed);
        options_clear(&set);
}

static void test_options_may_stand_before_and_after_words(void **state) {
        struct parsed p;
        (void)state;
        assert_int_equal(PARSE(&p, W("-v"), W("a"), W("--count"), W("3"), W("b"), W("--every=200ms")), 0);
        assert_int_equal(p.word_count, 2);
        assert_string_equal(p.words[0], "a");
        assert_string_equal(p.words[1], "b");
        assert_true(p.values[VERBOSE].given);
        assert_true(p.values[COUNT].number == 3);
        assert_true(p.values[EVERY].number == 200000000);
        assert_false(p.values[WINDOW].given);
        done(&p);
}

static void test_options_letters_may_be_joined(void **state) {
        struct parsed p;
        (void)state;
        assert_int_equal(PARSE(&p, W("-vn5"), W("-f"), W("path"), W("-Ha=b")), 0);
        assert_true(p.values[VERBOSE].given);
        assert_true(p.values[COUNT].number == 5);
        assert_string_equal(p.values[FILE_].text, "path");
        assert_string_equal(p.values[HEADER].texts[0], "a=b");
        done(&p);
}

static void test_options_end_at_two_dashes_and_one_dash_is_a_word(void **state) {
        struct parsed p;
        (void)state;
        assert_int_equal(PARSE(&p, W("-"), W("--"), W("-v"), W("--count")), 0);
        assert_int_equal(p.word_count, 3);
        assert_string_equal(p.words[0], "-");
        assert_string_equal(p.words[1], "-v");
        assert_false(p.values[VERBOSE].given);
        done(&p);
}

static void test_options_value_may_begin_with_a_dash_or_be_empty(void **state) {
        struct parsed p;
        (void)state;
        assert_int_equal(PARSE(&p, W("--file"), W("-v"), W("--header="), W("-H"), W("")), 0);
        assert_string_equal(p.values[FILE_].text, "-v");
        assert_int_equal(p.values[HEADER].count, 2);
        assert_string_equal(p.values[HEADER].texts[0], "");
        assert_false(p.values[VERBOSE].given);
        done(&p);
}

static void test_options_repeated_texts_are_all_kept(void **state) {
        struct parsed p;
        (void)state;
        assert_int_equal(PARSE(&p, W("-H"), W("a=1"), W("--header=b=2"), W("-n1"), W("-n2")), 0);
        assert_int_equal(p.values[HEADER].count, 2);
        assert_string_equal(p.values[HEADER].texts[1], "b=2");
        assert_true(p.values[COUNT].number == 2);
        done(&p);
}

static void test_options_choice_takes_dashes_for_underscores(void **state) {
        struct parsed p;
        (void)state;
        assert_int_equal(PARSE(&p, W("--rule"), W("drop-new")), 0);
        assert_true(p.values[RULE].number == 1);
        done(&p);
        assert_int_equal(PARSE(&p, W("--rule"), W("latest")), 0);
        assert_true(p.values[RULE].number == 2);
        done(&p);
}

static void expect_error(struct parsed *parsed, int result, const char *expected) {
        assert_int_equal(result, -EINVAL);
        assert_string_equal(parsed->options.error, expected);
        done(parsed);
}

static void test_options_errors_say_what_to_do(void **state) {
        struct parsed p;
        (void)state;
        expect_error(&p, PARSE(&p, W("--cuont")), "unknown option --cuont: did you mean --count?");
        expect_error(&p, PARSE(&p, W("--coun")), "unknown option --coun: did you mean --count?");
        expect_error(&p, PARSE(&p, W("--zzz")), "unknown option --zzz");
        expect_error(&p, PARSE(&p, W("-vz")), "unknown option -z (write -- before words that begin with -)");
        expect_error(&p, PARSE(&p, W("--count")), "--count needs a value: --count N");
        expect_error(&p, PARSE(&p, W("-n")), "--count needs a value: --count N");
        expect_error(&p, PARSE(&p, W("--verbose=yes")), "--verbose takes no value");
        expect_error(&p, PARSE(&p, W("--count=0")), "--count wants a number from 1 on, not '0'");
        expect_error(&p, PARSE(&p, W("--count=-1")), "--count wants a number from 1 on, not '-1'");
        expect_error(&p, PARSE(&p, W("--every"), W("5")),
                     "--every wants a time with its unit, as 5s or 200ms, not '5'");
        expect_error(&p, PARSE(&p, W("--window=big")), "--window wants bytes, as 65536 or 64K or 8M, not 'big'");
        expect_error(&p, PARSE(&p, W("--rule=drop")), "--rule is drop_old, drop_new or latest, not 'drop'");
}

static void test_options_long_nonsense_is_cut(void **state) {
        struct parsed p;
        char nonsense[4096];
        (void)state;
        memset(nonsense, 'x', sizeof(nonsense) - 1);
        nonsense[0] = nonsense[1] = '-';
        nonsense[sizeof(nonsense) - 1] = 0;
        assert_int_equal(PARSE(&p, nonsense), -EINVAL);
        assert_true(strlen(p.options.error) < OPTIONS_ERROR);
        done(&p);
        nonsense[0] = 'x';
        assert_int_equal(PARSE(&p, W("--every"), nonsense), -EINVAL);
        assert_int_equal(strlen(p.options.error), OPTIONS_ERROR - 1);
        done(&p);
}

static void test_options_nearest_is_near(void **state) {
        static const char *const names[] = {"list", "names", "pub", "sub"};
        (void)state;
        assert_string_equal(options_nearest("lst", names, 4), "list");
        assert_string_equal(options_nearest("name", names, 4), "names");
        assert_null(options_nearest("frobnicate", names, 4));
        assert_null(options_nearest("", names, 4));
}

/* What the tables must hold for the rest to work. */
static void test_options_tables_of_all_verbs_are_sound(void **state) {
        (void)state;
        for (size_t v = 0; verbs[v]; v++) {
                const struct verb *verb = verbs[v];
                assert_true(verb->option_count <= VERB_OPTIONS_MAX);
                assert_true(verb->words_min <= verb->words_max);
                assert_non_null(verb->run);
                assert_ptr_equal(verbs_find(verb->name), verb);
                assert_true(*verb->summary && *verb->about);
                assert_int_equal(verb->about[strlen(verb->about) - 1], '\n');
                for (size_t i = 0; i < verb->option_count; i++) {
                        const struct option_def *def = &verb->options[i];
                        assert_non_null(def->name);
                        assert_true((def->kind == OPTION_FLAG) == (def->value == NULL));
                        assert_true((def->kind == OPTION_CHOICE) == (def->choices != NULL));
                        for (size_t g = 0; g < GLOBAL_COUNT; g++) {
                                assert_string_not_equal(def->name, global_options[g].name);
                                assert_true(!def->letter || def->letter != global_options[g].letter);
                        }
                        for (size_t k = 0; k < i; k++) {
                                assert_string_not_equal(def->name, verb->options[k].name);
                                assert_true(!def->letter || def->letter != verb->options[k].letter);
                        }
                }
        }
}

/* Help is for a terminal of 100 columns, and names every option. */
static void test_options_help_names_all_of_them(void **state) {
        (void)state;
        for (size_t v = 0; verbs[v]; v++) {
                char *text = NULL;
                size_t size = 0;
                FILE *file = open_memstream(&text, &size);
                verbs_help_of(file, verbs[v]);
                fclose(file);
                for (size_t i = 0; i < verbs[v]->option_count; i++) {
                        char name[80];
                        options_name(&verbs[v]->options[i], name, sizeof(name));
                        assert_non_null(strstr(text, name));
                }
                for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
                        assert_true(strcspn(line, "\n") <= 100);
                free(text);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_options_may_stand_before_and_after_words),
                cmocka_unit_test(test_options_letters_may_be_joined),
                cmocka_unit_test(test_options_end_at_two_dashes_and_one_dash_is_a_word),
                cmocka_unit_test(test_options_value_may_begin_with_a_dash_or_be_empty),
                cmocka_unit_test(test_options_repeated_texts_are_all_kept),
                cmocka_unit_test(test_options_choice_takes_dashes_for_underscores),
                cmocka_unit_test(test_options_errors_say_what_to_do),
                cmocka_unit_test(test_options_long_nonsense_is_cut),
                cmocka_unit_test(test_options_nearest_is_near),
                cmocka_unit_test(test_options_tables_of_all_verbs_are_sound),
                cmocka_unit_test(test_options_help_names_all_of_them),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
