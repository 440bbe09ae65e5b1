/* SPDX-License-Identifier: MIT */
#include "fake.h"

#include "client/conn_private.h"

#include <errno.h>
#include <stdio.h>

static void test_error_every_code_has_a_meaning_of_its_own(void **state) {
        (void)state;
        for (int code = RAMAL_CODE_DENIED; code <= RAMAL_CODE_INVALID; code++) {
                int error = rml_code_errno((Ramal__V1__Code)code);
                assert_true(error < 0);
                assert_string_not_equal(ramal_strerror(error), ramal_strerror(-12345));
                assert_string_not_equal(ramal_code_name((ramal_code)code), "UNKNOWN");
        }
        assert_string_equal(ramal_code_name((ramal_code)77), "UNKNOWN");
        assert_string_equal(ramal_why_name(RAMAL_WHY_WINDOW), "window");
        assert_string_equal(ramal_strerror(0), "no error");
}

/* error.h promises these. */
static void test_error_codes_are_the_documented_errnos(void **state) {
        static const int errors[] = {
                [RAMAL_CODE_DENIED] = -EACCES,
                [RAMAL_CODE_NO_RESPONDER] = -ENOENT,
                [RAMAL_CODE_RESPONDER_GONE] = -EHOSTDOWN,
                [RAMAL_CODE_DEADLINE] = -ETIMEDOUT,
                [RAMAL_CODE_CANCELLED] = -ECANCELED,
                [RAMAL_CODE_WOULD_BLOCK] = -EAGAIN,
                [RAMAL_CODE_OVER_LIMIT] = -EDQUOT,
                [RAMAL_CODE_TOO_LARGE] = -EMSGSIZE,
                [RAMAL_CODE_BAD_SUBJECT] = -EINVAL,
                [RAMAL_CODE_UNSUPPORTED] = -EOPNOTSUPP,
                [RAMAL_CODE_EXISTS] = -EEXIST,
                [RAMAL_CODE_NOT_FOUND] = -ENXIO,
                [RAMAL_CODE_MALFORMED] = -EBADMSG,
                [RAMAL_CODE_TIMEOUT] = -ETIME,
                [RAMAL_CODE_INVALID] = -EINVAL,
        };

        (void)state;
        for (size_t code = 1; code < RML_COUNT(errors); code++)
                assert_int_equal(rml_code_errno((Ramal__V1__Code)code), errors[code]);
}

static void test_error_status_fills_all_fields(void **state) {
        Ramal__V1__Status status;
        char text[] = "too many calls", limit[] = "limits.calls";
        ramal_error error;

        (void)state;
        ramal__v1__status__init(&status);
        status.code = RAMAL__V1__CODE__CODE_OVER_LIMIT;
        status.text = text;
        status.limit = limit;
        status.value = 4096;
        status.may_have_run = 1;
        assert_int_equal(rml_error_status(&error, &status), -EDQUOT);
        assert_int_equal(error.code, -EDQUOT);
        assert_int_equal(error.status, RAMAL_CODE_OVER_LIMIT);
        assert_string_equal(error.message, "too many calls");
        assert_string_equal(error.limit, "limits.calls");
        assert_int_equal(error.value, 4096);
        assert_true(error.may_have_run);
        assert_int_equal(rml_error_status(NULL, &status), -EDQUOT);
        /* Never without a text. */
        ramal__v1__status__init(&status);
        status.code = RAMAL__V1__CODE__CODE_DENIED;
        rml_error_status(&error, &status);
        assert_string_equal(error.message, ramal_strerror(-EACCES));
}

static void test_error_version_is_the_builds(void **state) {
        char numbers[32];

        (void)state;
        assert_string_equal(ramal_version(), RAMAL_BUILD_VERSION);
        snprintf(numbers, sizeof(numbers), "%d.%d.%d", RAMAL_VERSION_MAJOR, RAMAL_VERSION_MINOR, RAMAL_VERSION_PATCH);
        assert_string_equal(ramal_version(), numbers);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_error_every_code_has_a_meaning_of_its_own),
                cmocka_unit_test(test_error_codes_are_the_documented_errnos),
                cmocka_unit_test(test_error_status_fills_all_fields),
                cmocka_unit_test(test_error_version_is_the_builds),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
