/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "status.h"

/* "CODE_NO_RESPONDER" -> "NO_RESPONDER" or, in lower case, "no_responder". */
static void spell(char *out, const char *name, size_t skip, int lower) {
        for (name += skip; *name; name++)
                *out++ = (char)(lower && *name >= 'A' && *name <= 'Z' ? *name - 'A' + 'a' : *name);
        *out = '\0';
}

static void test_status_codes_are_named_as_in_the_schema(void **state) {
        (void)state;
        const ProtobufCEnumDescriptor *codes = &ramal__v1__code__descriptor;

        for (unsigned i = 0; i < codes->n_values; i++) {
                char expected[64];
                spell(expected, codes->values[i].name, strlen("CODE_"), 0);
                assert_string_equal(rml_code_name((Ramal__V1__Code)codes->values[i].value), expected);
        }
        assert_string_equal(rml_code_name((Ramal__V1__Code)77), "UNKNOWN");
        assert_string_equal(rml_code_name((Ramal__V1__Code)-1), "UNKNOWN");
        assert_string_equal(rml_code_name((Ramal__V1__Code)INT_MAX), "UNKNOWN");
}

static void test_status_errnos_are_distinct_but_for_invalid(void **state) {
        (void)state;
        const ProtobufCEnumDescriptor *codes = &ramal__v1__code__descriptor;

        assert_int_equal(rml_code_errno(RAMAL__V1__CODE__CODE_OK), 0);
        assert_int_equal(rml_code_errno((Ramal__V1__Code)77), -EPROTO);
        assert_int_equal(rml_code_errno(RAMAL__V1__CODE__CODE_DEADLINE), -ETIMEDOUT);
        assert_int_equal(rml_code_errno(RAMAL__V1__CODE__CODE_NO_RESPONDER), -ENOENT);
        for (unsigned i = 1; i < codes->n_values; i++) {
                Ramal__V1__Code a = (Ramal__V1__Code)codes->values[i].value;
                assert_true(rml_code_errno(a) < 0);
                assert_int_not_equal(rml_code_errno(a), -EPROTO);
                for (unsigned j = 1; j < i; j++) {
                        Ramal__V1__Code b = (Ramal__V1__Code)codes->values[j].value;
                        bool both = b == RAMAL__V1__CODE__CODE_BAD_SUBJECT && a == RAMAL__V1__CODE__CODE_INVALID;
                        assert_int_equal(rml_code_errno(a) == rml_code_errno(b), both);
                }
        }
}

#define EXPECT_NAMES(descriptor, prefix, type, function)                                                               \
        do {                                                                                                           \
                for (unsigned at = 0; at < (descriptor).n_values; at++) {                                              \
                        char expected[64];                                                                             \
                        spell(expected, (descriptor).values[at].name, strlen(prefix), 1);                              \
                        assert_string_equal(function((type)(descriptor).values[at].value), expected);                  \
                }                                                                                                      \
                assert_string_equal(function((type)99), "unknown");                                                    \
                assert_string_equal(function((type)-1), "unknown");                                                    \
        } while (0)

static void test_status_other_names_are_those_of_the_schema(void **state) {
        (void)state;
        EXPECT_NAMES(ramal__v1__why__descriptor, "WHY_", Ramal__V1__Why, rml_why_name);
        EXPECT_NAMES(ramal__v1__policy__descriptor, "POLICY_", Ramal__V1__Policy, rml_policy_name);
        EXPECT_NAMES(ramal__v1__overflow__descriptor, "OVERFLOW_", Ramal__V1__Overflow, rml_overflow_name);
        EXPECT_NAMES(ramal__v1__state__descriptor, "STATE_", Ramal__V1__State, rml_state_name);
}

static void test_status_names_are_parsed_back(void **state) {
        (void)state;
        for (int i = 0; i <= RAMAL__V1__POLICY__POLICY_KEY; i++) {
                Ramal__V1__Policy policy;
                assert_int_equal(rml_policy_parse(rml_policy_name((Ramal__V1__Policy)i), &policy), 0);
                assert_int_equal((int)policy, i);
        }
        for (int i = 0; i <= RAMAL__V1__OVERFLOW__OVERFLOW_BLOCK; i++) {
                Ramal__V1__Overflow rule;
                assert_int_equal(rml_overflow_parse(rml_overflow_name((Ramal__V1__Overflow)i), &rule), 0);
                assert_int_equal((int)rule, i);
        }
        Ramal__V1__Policy policy;
        Ramal__V1__Overflow rule;
        assert_int_equal(rml_policy_parse("", &policy), -EINVAL);
        assert_int_equal(rml_policy_parse("Primary", &policy), -EINVAL);
        assert_int_equal(rml_policy_parse("unknown", &policy), -EINVAL);
        assert_int_equal(rml_overflow_parse("drop", &rule), -EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_status_codes_are_named_as_in_the_schema),
                cmocka_unit_test(test_status_errnos_are_distinct_but_for_invalid),
                cmocka_unit_test(test_status_other_names_are_those_of_the_schema),
                cmocka_unit_test(test_status_names_are_parsed_back),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
