/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "token.h"

#define DIGITS "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

struct place {
        char directory[32], path[48];
};

static int set_up(void **state) {
        struct place *place = calloc(1, sizeof(*place));
        strcpy(place->directory, "/tmp/ramal-token-XXXXXX");
        assert_non_null(mkdtemp(place->directory));
        snprintf(place->path, sizeof(place->path), "%s/token", place->directory);
        *state = place;
        return 0;
}

static int tear_down(void **state) {
        struct place *place = *state;
        unlink(place->path);
        rmdir(place->directory);
        free(place);
        return 0;
}

static void write_file(const char *path, const char *text, mode_t mode) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        assert_int_equal(fchmod(fd, mode), 0);
        close(fd);
}

static void test_token_missing_file_is_made_for_its_owner_alone(void **state) {
        const struct place *place = *state;
        struct token token, again;
        struct failure failure = {0};
        struct stat st;
        mode_t before = umask(0777); /* must not matter */
        assert_int_equal(token_load(&token, place->path, &failure), 0);
        umask(before);
        assert_true(token.made);
        assert_int_equal(stat(place->path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(st.st_size, 65);
        assert_int_equal(token_load(&again, place->path, &failure), 0);
        assert_false(again.made);
        assert_memory_equal(again.secret, token.secret, sizeof(token.secret));

        /* One of a start that failed goes again, another stays. */
        token_drop(&again, true);
        assert_int_equal(access(place->path, F_OK), 0);
        token_drop(&token, true);
        assert_int_equal(access(place->path, F_OK), -1);
}

static void test_token_two_are_never_alike(void **state) {
        const struct place *place = *state;
        struct token a, b;
        struct failure failure = {0};
        assert_int_equal(token_load(&a, place->path, &failure), 0);
        assert_int_equal(unlink(place->path), 0);
        assert_int_equal(token_load(&b, place->path, &failure), 0);
        assert_memory_not_equal(a.secret, b.secret, sizeof(a.secret));
}

static void test_token_file_that_others_can_read_is_refused(void **state) {
        const struct place *place = *state;
        static const mode_t modes[] = {0640, 0604, 0620, 0602, 0644, 0666, 0610};
        for (size_t i = 0; i < RML_COUNT(modes); i++) {
                struct token token;
                struct failure failure = {0};
                write_file(place->path, DIGITS "\n", modes[i]);
                assert_int_equal(token_load(&token, place->path, &failure), -ECANCELED);
                assert_int_equal(failure.status, EXIT_DENIED);
                assert_non_null(strstr(failure.text, "others can read or change the token file"));
        }
}

static void test_token_file_without_a_token_is_refused(void **state) {
        const struct place *place = *state;
        static const char *const texts[] = {
                "",
                "\n",
                "0001\n",
                DIGITS "0",
                DIGITS "00",
                DIGITS " x",
                DIGITS "\n" DIGITS "\n",
                "x" DIGITS,
                DIGITS DIGITS DIGITS DIGITS DIGITS DIGITS,
        };
        for (size_t i = 0; i < RML_COUNT(texts); i++) {
                struct token token;
                struct failure failure = {0};
                write_file(place->path, texts[i], 0600);
                if (token_load(&token, place->path, &failure) != -ECANCELED)
                        fail_msg("'%s' was taken", texts[i]);
                assert_int_equal(failure.status, EXIT_CONFIG);
                assert_non_null(strstr(failure.text, "does not hold a token"));
                assert_null(strstr(failure.text, "0001")); /* never a part of it in a message */
        }
}

static void test_token_white_space_and_case_do_not_matter(void **state) {
        const struct place *place = *state;
        struct token token;
        struct failure failure = {0};
        write_file(place->path, " \t\n000102030405060708090A0B0C0D0E0F101112131415161718191a1b1c1d1e1f\r\n\n", 0400);
        assert_int_equal(token_load(&token, place->path, &failure), 0);
        for (unsigned i = 0; i < sizeof(token.secret); i++)
                assert_int_equal(token.secret[i], i);
}

static void test_token_what_is_no_file_is_refused(void **state) {
        const struct place *place = *state;
        struct token token;
        struct failure failure = {0};
        assert_int_equal(token_load(&token, place->directory, &failure), -ECANCELED);
        assert_int_equal(symlink("/etc/passwd", place->path), 0);
        assert_int_equal(token_load(&token, place->path, &failure), -ECANCELED);
        assert_non_null(strstr(failure.text, "is a symbolic link"));
        unlink(place->path);
        assert_int_equal(mkfifo(place->path, 0600), 0); /* must not wait for a writer */
        assert_int_equal(token_load(&token, place->path, &failure), -ECANCELED);
        assert_non_null(strstr(failure.text, "is no regular file"));
        assert_int_equal(token_load(&token, "/nonexistent/token", &failure), -ECANCELED);
        assert_non_null(strstr(failure.text, "cannot create the token file /nonexistent/token"));
}

static void test_token_proofs_follow_the_protocol(void **state) {
        const struct place *place = *state;
        struct token token;
        struct failure failure = {0};
        uint8_t client[RML_NONCE_BYTES], nonce[RML_NONCE_BYTES], again[RML_NONCE_BYTES], proof[RML_PROOF_BYTES];
        /* From Python: hmac.new(bytes(range(32)), b"ramal client" + b"\1" * 32 + b"\2" * 32, "sha256").hexdigest() */
        static const uint8_t want[] = {0xdb, 0x83, 0x83, 0x4f, 0xfd, 0x16, 0x93, 0xdb, 0x18, 0xad, 0xfa,
                                       0xce, 0xae, 0x1a, 0x03, 0x23, 0xe5, 0x91, 0x9f, 0x83, 0xd7, 0xa5,
                                       0xbb, 0x9e, 0x97, 0xb8, 0x3c, 0x66, 0x3a, 0xc9, 0xd9, 0xdd};
        write_file(place->path, DIGITS, 0600);
        assert_int_equal(token_load(&token, place->path, &failure), 0);

        memset(client, 1, sizeof(client));
        memset(nonce, 2, sizeof(nonce));
        assert_true(token_check(&token, client, nonce, want));
        for (size_t i = 0; i < sizeof(want) * 8; i++) {
                uint8_t bent[sizeof(want)];
                memcpy(bent, want, sizeof(want));
                bent[i / 8] ^= (uint8_t)(1u << i % 8);
                assert_false(token_check(&token, client, nonce, bent));
        }
        assert_false(token_check(&token, nonce, client, want));

        /* The broker's own proof is none of the client's: nobody can send it back. */
        token_challenge(&token, client, nonce, proof);
        assert_false(token_check(&token, client, nonce, proof));
        token_challenge(&token, client, again, proof);
        assert_memory_not_equal(nonce, again, sizeof(nonce));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_token_missing_file_is_made_for_its_owner_alone, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_token_two_are_never_alike, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_token_file_that_others_can_read_is_refused, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_token_file_without_a_token_is_refused, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_token_white_space_and_case_do_not_matter, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_token_what_is_no_file_is_refused, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_token_proofs_follow_the_protocol, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
