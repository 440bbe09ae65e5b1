/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access.h"
#include "base/check.h"

#define STRANGER 64999u /* has no entry in passwd */

/* A directory and a file in it, whose mode stands for a socket's. Both belong to us. */
struct place {
        char directory[40], path[56];
};

static int set_up(void **state) {
        struct place *place = calloc(1, sizeof(*place));
        strcpy(place->directory, "/tmp/ramal-access-XXXXXX");
        assert_non_null(mkdtemp(place->directory));
        snprintf(place->path, sizeof(place->path), "%s/bus", place->directory);
        int fd = open(place->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        close(fd);
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

static bool check(const struct place *place, const struct access_who *who, mode_t directory, mode_t socket,
                  char *blocked, size_t size) {
        assert_int_equal(chmod(place->directory, directory), 0);
        assert_int_equal(chmod(place->path, socket), 0);
        return access_check(who, place->path, blocked, size);
}

static void test_access_stranger_needs_the_bits_of_others(void **state) {
        static const struct {
                mode_t directory, socket;
                bool good;
                const char *blocked;
        } rows[] = {
                {0755, 0666, true, NULL},
                {0755, 0602, true, NULL},
                {0701, 0602, true, NULL},
                {0755, 0604, false, "the socket "},
                {0755, 0600, false, "the socket "},
                {0750, 0666, true, NULL}, /* perhaps it is in the group: nobody can tell */
                {0700, 0666, false, "the directory "},
                {0744, 0666, false, "the directory "},
        };
        const struct place *place = *state;
        struct access_who who;
        access_of_uid(&who, STRANGER);
        assert_false(who.groups_known);
        for (size_t i = 0; i < RML_COUNT(rows); i++) {
                char blocked[256] = "";
                bool good = check(place, &who, rows[i].directory, rows[i].socket, blocked, sizeof(blocked));
                if (good != rows[i].good || (rows[i].blocked && !strstr(blocked, rows[i].blocked)))
                        fail_msg("row %zu: %d, %s", i, good, blocked);
        }
}

static void test_access_owner_needs_its_own_bits(void **state) {
        const struct place *place = *state;
        struct access_who who = {.has_uid = true, .uid = getuid(), .groups_known = true};
        char blocked[256];
        assert_true(check(place, &who, 0700, 0600, blocked, sizeof(blocked)));
        if (getuid() != 0)
                assert_false(check(place, &who, 0700, 0066, blocked, sizeof(blocked)));
}

static void test_access_group_needs_the_bits_of_its_group(void **state) {
        const struct place *place = *state;
        struct access_who ours, other;
        char blocked[256];
        access_of_group(&ours, getgid());
        access_of_group(&other, STRANGER);
        assert_true(check(place, &ours, 0750, 0660, blocked, sizeof(blocked)));
        assert_false(check(place, &ours, 0750, 0600, blocked, sizeof(blocked)));
        assert_false(
                check(place, &ours, 0707, 0666, blocked, sizeof(blocked))); /* its class is the group, not others */
        assert_false(check(place, &other, 0750, 0660, blocked, sizeof(blocked)));
        assert_non_null(strstr(blocked, "mode 0750"));
        assert_true(check(place, &other, 0755, 0666, blocked, sizeof(blocked)));
}

static void test_access_root_always_may(void **state) {
        const struct place *place = *state;
        struct access_who who;
        char blocked[256];
        access_of_uid(&who, 0);
        assert_true(who.groups_known);
        assert_true(check(place, &who, 0700, 0600, blocked, sizeof(blocked)));
}

static void test_access_path_that_is_not_there_is_blocked(void **state) {
        struct access_who who;
        char blocked[256];
        (void)state;
        access_of_uid(&who, 0);
        assert_false(access_check(&who, "/nonexistent/bus", blocked, sizeof(blocked)));
        assert_non_null(strstr(blocked, "cannot be resolved"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_access_stranger_needs_the_bits_of_others, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_access_owner_needs_its_own_bits, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_access_group_needs_the_bits_of_its_group, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_access_root_always_may, set_up, tear_down),
                cmocka_unit_test(test_access_path_that_is_not_there_is_blocked),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
