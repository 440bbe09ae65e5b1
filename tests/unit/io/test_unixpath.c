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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "io/unixpath.h"

#define OTHER_GID 64998u

struct place {
        char directory[40]; /* mode 0755, ours */
        char path[64];      /* in it, nothing there yet */
        struct unixpath_rules rules;
};

static int set_up(void **state) {
        struct place *place = calloc(1, sizeof(*place));
        strcpy(place->directory, "/tmp/ramal-unixpath-XXXXXX");
        assert_non_null(mkdtemp(place->directory));
        assert_int_equal(chmod(place->directory, 0755), 0);
        snprintf(place->path, sizeof(place->path), "%s/bus", place->directory);
        place->rules.mode = 0600;
        *state = place;
        return 0;
}

/* Fails if something was left behind. */
static int tear_down(void **state) {
        struct place *place = *state;
        int r = rmdir(place->directory);
        if (r != 0)
                print_error("left behind in %s\n", place->directory);
        free(place);
        return r;
}

static mode_t mode_of(const char *path) {
        struct stat st;
        return lstat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

static bool exists(const char *path) {
        struct stat st;
        return lstat(path, &st) == 0;
}

static int connect_to(const char *path) {
        struct sockaddr_un sun = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        memcpy(sun.sun_path, path, strlen(path));
        int r = connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) < 0 ? -errno : 0;
        close(fd);
        return r;
}

/* A socket file of somebody; *listening: does it take connections? */
static int squat(const char *path, int type, bool listening) {
        struct sockaddr_un sun = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        memcpy(sun.sun_path, path, strlen(path));
        assert_int_equal(bind(fd, (const struct sockaddr *)&sun, sizeof(sun)), 0);
        if (listening)
                assert_int_equal(listen(fd, 1), 0);
        return fd;
}

static void expect_refused(const struct place *place, const char *path, enum exit_status status, const char *text) {
        struct unixpath unixpath;
        struct failure failure = {0};
        int fd = -1;
        int r = unixpath_open(&unixpath, path, &place->rules, &fd, &failure);
        if (r != -ECANCELED || failure.status != status || !strstr(failure.text, text))
                fail_msg("%d, status %d, \"%s\"", r, (int)failure.status, failure.text);
        assert_int_equal(fd, -1);
}

static void test_unixpath_socket_has_its_mode_under_any_umask(void **state) {
        struct place *place = *state;
        static const mode_t umasks[] = {0, 0777, 0022, 0077}, modes[] = {0600, 0660, 0666, 0777};
        for (size_t i = 0; i < RML_COUNT(umasks); i++) {
                for (size_t j = 0; j < RML_COUNT(modes); j++) {
                        struct unixpath unixpath;
                        struct failure failure = {0};
                        int fd;
                        place->rules.mode = modes[j];
                        mode_t before = umask(umasks[i]);
                        int r = unixpath_open(&unixpath, place->path, &place->rules, &fd, &failure);
                        mode_t after = umask(before);
                        assert_int_equal(r, 0);
                        assert_int_equal(after, umasks[i]);
                        assert_int_equal(mode_of(place->path), modes[j]);
                        assert_int_equal(mode_of(unixpath.lock), 0600);
                        assert_int_equal(connect_to(place->path), -ECONNREFUSED); /* nobody before listen() */
                        assert_int_equal(listen(fd, 1), 0);
                        assert_int_equal(connect_to(place->path), 0);
                        close(fd);
                        unixpath_close(&unixpath, false);
                        assert_false(exists(place->path));
                        assert_false(exists(unixpath.lock));
                }
        }
        assert_int_equal(mode_of(place->directory), 0755); /* one that was there is left as it is */
}

static void test_unixpath_default_directory_is_made_and_dressed(void **state) {
        struct place *place = *state;
        static const struct {
                mode_t parent, socket, directory;
                bool group;
        } rows[] = {
                {0755, 0600, 0750, false},  {0755, 0660, 0750, true},  {0755, 0666, 0755, false},
                {01777, 0600, 0700, false}, {01777, 0660, 0750, true},
        };
        char directory[64], path[80];
        snprintf(directory, sizeof(directory), "%s/ramal", place->directory);
        snprintf(path, sizeof(path), "%s/bus", directory);
        for (size_t i = 0; i < RML_COUNT(rows); i++) {
                struct unixpath unixpath;
                struct failure failure = {0};
                struct stat st;
                int fd;
                gid_t group = rows[i].group && getuid() == 0 ? OTHER_GID : getgid();
                assert_int_equal(chmod(place->directory, rows[i].parent), 0);
                place->rules = (struct unixpath_rules){
                        .mode = rows[i].socket, .has_group = rows[i].group, .group = group, .make_directory = true};
                mode_t before = umask(i % 2 ? 0 : 0777);
                int r = unixpath_open(&unixpath, path, &place->rules, &fd, &failure);
                umask(before);
                if (r != 0)
                        fail_msg("row %zu: %s", i, failure.text);
                assert_int_equal(mode_of(directory), rows[i].directory);
                assert_int_equal(mode_of(path), rows[i].socket);
                assert_int_equal(stat(directory, &st), 0);
                assert_int_equal(st.st_gid, group);
                assert_int_equal(stat(path, &st), 0);
                assert_int_equal(st.st_gid, group);
                close(fd);
                unixpath_close(&unixpath, false);
                assert_true(exists(directory)); /* the next one uses it again, with the next row's mode on odd rows */
                if (i % 2)
                        assert_int_equal(rmdir(directory), 0);
        }
        rmdir(directory);
}

static void test_unixpath_failed_start_removes_its_directory(void **state) {
        struct place *place = *state;
        char directory[64], path[80];
        struct unixpath unixpath;
        struct failure failure = {0};
        int fd;
        snprintf(directory, sizeof(directory), "%s/ramal", place->directory);
        snprintf(path, sizeof(path), "%s/bus", directory);
        place->rules.make_directory = true;
        assert_int_equal(unixpath_open(&unixpath, path, &place->rules, &fd, &failure), 0);
        close(fd);
        unixpath_close(&unixpath, true);
        assert_false(exists(directory));
}

static void test_unixpath_directory_that_is_none_is_refused(void **state) {
        struct place *place = *state;
        char inside[80], path[96];
        snprintf(inside, sizeof(inside), "%s/d", place->directory);
        snprintf(path, sizeof(path), "%s/bus", inside);

        expect_refused(place, path, EXIT_SOCKET_PATH, "does not exist; create it");
        place->rules.make_directory = true; /* creates one level, not two */
        snprintf(path, sizeof(path), "%s/e/bus", inside);
        expect_refused(place, path, EXIT_SOCKET_PATH, "does not exist; create it");
        snprintf(path, sizeof(path), "%s/bus", inside);

        int fd = open(inside, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        close(fd);
        for (int make = 0; make < 2; make++) {
                place->rules.make_directory = make;
                expect_refused(place, path, EXIT_SOCKET_PATH, "is a regular file and no directory");
        }
        assert_int_equal(unlink(inside), 0);

        /* A link is fine where it was typed, and a trick where we make the directory ourselves. */
        assert_int_equal(symlink(place->directory, inside), 0);
        place->rules.make_directory = true;
        expect_refused(place, path, EXIT_SOCKET_PATH, "is a symbolic link and no directory");
        place->rules.make_directory = false;
        struct unixpath unixpath;
        struct failure failure = {0};
        assert_int_equal(unixpath_open(&unixpath, path, &place->rules, &fd, &failure), 0);
        close(fd);
        unixpath_close(&unixpath, false);
        assert_int_equal(unlink(inside), 0);
}

static void test_unixpath_directory_open_to_all_is_refused_unless_sticky(void **state) {
        struct place *place = *state;
        struct unixpath unixpath;
        struct failure failure = {0};
        int fd;
        assert_int_equal(chmod(place->directory, 0777), 0);
        expect_refused(place, place->path, EXIT_SOCKET_PATH, "everybody may write to the directory");
        assert_int_equal(chmod(place->directory, 01777), 0);
        assert_int_equal(unixpath_open(&unixpath, place->path, &place->rules, &fd, &failure), 0);
        close(fd);
        unixpath_close(&unixpath, false);
}

static void test_unixpath_what_is_no_socket_is_left_alone(void **state) {
        struct place *place = *state;
        static const char *const want[] = {"is a regular file, not a socket", "is a FIFO, not a socket",
                                           "is a directory, not a socket", "is a symbolic link, not a socket",
                                           "is a symbolic link, not a socket"};
        struct stat before, after;
        for (int i = 0; i < 5; i++) {
                if (i == 0)
                        close(open(place->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
                else if (i == 1)
                        assert_int_equal(mkfifo(place->path, 0644), 0);
                else if (i == 2)
                        assert_int_equal(mkdir(place->path, 0755), 0);
                else /* to something, and to nothing */
                        assert_int_equal(symlink(i == 3 ? "/etc/passwd" : "/nonexistent", place->path), 0);
                assert_int_equal(lstat(place->path, &before), 0);
                expect_refused(place, place->path, EXIT_SOCKET_PATH, want[i]);
                assert_int_equal(lstat(place->path, &after), 0);
                assert_int_equal(before.st_ino, after.st_ino);
                assert_int_equal(before.st_mode, after.st_mode);
                assert_int_equal(i == 2 ? rmdir(place->path) : unlink(place->path), 0);
        }
}

static void test_unixpath_stale_socket_is_replaced(void **state) {
        struct place *place = *state;
        struct unixpath unixpath;
        struct failure failure = {0};
        int fd;
        close(squat(place->path, SOCK_STREAM, true));
        assert_int_equal(connect_to(place->path), -ECONNREFUSED);
        assert_int_equal(unixpath_open(&unixpath, place->path, &place->rules, &fd, &failure), 0);
        assert_int_equal(listen(fd, 1), 0);
        assert_int_equal(connect_to(place->path), 0);
        close(fd);
        unixpath_close(&unixpath, false);
}

static void test_unixpath_live_socket_is_refused(void **state) {
        struct place *place = *state;
        static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
        for (size_t i = 0; i < RML_COUNT(types); i++) {
                int other = squat(place->path, types[i], types[i] != SOCK_DGRAM);
                expect_refused(place, place->path, EXIT_SYSTEM, "another program listens on");
                assert_true(exists(place->path));
                close(other);
                assert_int_equal(unlink(place->path), 0);
        }
}

static void test_unixpath_one_broker_at_a_time_has_the_path(void **state) {
        struct place *place = *state;
        struct unixpath first;
        struct failure failure = {0};
        char want[64];
        int fd;
        assert_int_equal(unixpath_open(&first, place->path, &place->rules, &fd, &failure), 0);
        assert_int_equal(listen(fd, 1), 0);
        snprintf(want, sizeof(want), "another ramald (pid %ld) listens on", (long)getpid());
        expect_refused(place, place->path, EXIT_SYSTEM, want);
        assert_int_equal(connect_to(place->path), 0); /* the first one is none the worse for it */

        /* Also while it stops and its socket is gone already. */
        unixpath_hide(&first);
        expect_refused(place, place->path, EXIT_SYSTEM, want);
        close(fd);
        unixpath_close(&first, false);
}

static void test_unixpath_lock_that_is_no_file_of_ours_is_refused(void **state) {
        struct place *place = *state;
        char lock[80];
        snprintf(lock, sizeof(lock), "%s.lock", place->path);
        assert_int_equal(symlink("/nonexistent", lock), 0);
        expect_refused(place, place->path, EXIT_SOCKET_PATH, "is a symbolic link");
        assert_int_equal(unlink(lock), 0);
        assert_int_equal(mkfifo(lock, 0600), 0);
        expect_refused(place, place->path, EXIT_SOCKET_PATH, "is a FIFO of uid");
        assert_int_equal(unlink(lock), 0);
        if (getuid() == 0) {
                close(open(lock, O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
                assert_int_equal(chown(lock, 64999, 64999), 0);
                expect_refused(place, place->path, EXIT_SOCKET_PATH, "is a regular file of uid 64999 and not ours");
                assert_int_equal(unlink(lock), 0);
        }
}

static void write_file(const char *path, const char *text) {
        int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        close(fd);
}

/* A file of ours that another program calls NAME.lock, as some package managers do. */
static void test_unixpath_lock_file_of_another_program_is_left_alone(void **state) {
        static const char *const texts[] = {"# generated\n", "1x", "11111111111111111111111111111111"};
        struct place *place = *state;
        char lock[80], text[40];
        snprintf(lock, sizeof(lock), "%s.lock", place->path);
        for (size_t i = 0; i < RML_COUNT(texts); i++) {
                write_file(lock, texts[i]);
                expect_refused(place, place->path, EXIT_SOCKET_PATH, "is no lock file of ramald's and is left alone");
                int fd = open(lock, O_RDONLY | O_CLOEXEC);
                assert_int_equal(read(fd, text, sizeof(text)), (ssize_t)strlen(texts[i]));
                assert_memory_equal(text, texts[i], strlen(texts[i]));
                close(fd);
                assert_int_equal(unlink(lock), 0);
        }
}

static void test_unixpath_lock_file_of_a_dead_broker_is_taken(void **state) {
        static const char *const texts[] = {"", "4194304\n"};
        struct place *place = *state;
        struct unixpath unixpath;
        struct failure failure = {0};
        char lock[80];
        int fd;
        snprintf(lock, sizeof(lock), "%s.lock", place->path);
        for (size_t i = 0; i < RML_COUNT(texts); i++) {
                write_file(lock, texts[i]);
                if (unixpath_open(&unixpath, place->path, &place->rules, &fd, &failure) != 0)
                        fail_msg("%s", failure.text);
                close(fd);
                unixpath_close(&unixpath, false);
                assert_false(exists(lock));
        }
}

/* Somebody removed our lock file, and another broker made its own: that one stays. */
static void test_unixpath_close_removes_only_its_own_lock(void **state) {
        struct place *place = *state;
        struct unixpath unixpath;
        struct failure failure = {0};
        int fd;
        assert_int_equal(unixpath_open(&unixpath, place->path, &place->rules, &fd, &failure), 0);
        assert_int_equal(unlink(unixpath.lock), 0);
        write_file(unixpath.lock, "4194304\n");
        close(fd);
        unixpath_close(&unixpath, false);
        assert_true(exists(unixpath.lock));
        assert_int_equal(unlink(unixpath.lock), 0);
}

static void test_unixpath_foreign_socket_and_directory_are_refused(void **state) {
        struct place *place = *state;
        if (getuid() != 0) /* only root can give files away; tests/integration does it from the other side */
                return;
        close(squat(place->path, SOCK_STREAM, false));
        assert_int_equal(chown(place->path, 64999, 64999), 0);
        expect_refused(place, place->path, EXIT_SOCKET_PATH, "belongs to uid 64999 and is left alone");
        assert_true(exists(place->path));
        assert_int_equal(unlink(place->path), 0);
        assert_int_equal(chown(place->directory, 64999, 64999), 0);
        expect_refused(place, place->path, EXIT_SOCKET_PATH, "belongs to uid 64999, who could put another socket");
        assert_int_equal(chown(place->directory, 0, 0), 0);
}

/* Somebody took our socket away and put another one there: theirs stays. */
static void test_unixpath_close_removes_only_its_own_socket(void **state) {
        struct place *place = *state;
        struct unixpath unixpath;
        struct failure failure = {0};
        int fd;
        assert_int_equal(unixpath_open(&unixpath, place->path, &place->rules, &fd, &failure), 0);
        assert_int_equal(unlink(place->path), 0);
        int other = squat(place->path, SOCK_STREAM, false);
        close(fd);
        unixpath_close(&unixpath, false);
        assert_true(exists(place->path));
        close(other);
        assert_int_equal(unlink(place->path), 0);
}

static void test_unixpath_longest_path_works(void **state) {
        struct place *place = *state;
        struct unixpath unixpath;
        struct failure failure = {0};
        char path[108];
        int fd;
        size_t n = (size_t)snprintf(path, sizeof(path), "%s/", place->directory);
        memset(path + n, 'p', 107 - n);
        path[107] = '\0';
        if (unixpath_open(&unixpath, path, &place->rules, &fd, &failure) != 0)
                fail_msg("%s", failure.text);
        assert_true(exists(path));
        assert_int_equal(listen(fd, 1), 0);
        assert_int_equal(connect_to(path), 0);
        close(fd);
        unixpath_close(&unixpath, false);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_unixpath_socket_has_its_mode_under_any_umask),
                TEST(test_unixpath_default_directory_is_made_and_dressed),
                TEST(test_unixpath_failed_start_removes_its_directory),
                TEST(test_unixpath_directory_that_is_none_is_refused),
                TEST(test_unixpath_directory_open_to_all_is_refused_unless_sticky),
                TEST(test_unixpath_what_is_no_socket_is_left_alone),
                TEST(test_unixpath_stale_socket_is_replaced),
                TEST(test_unixpath_live_socket_is_refused),
                TEST(test_unixpath_one_broker_at_a_time_has_the_path),
                TEST(test_unixpath_lock_that_is_no_file_of_ours_is_refused),
                TEST(test_unixpath_lock_file_of_another_program_is_left_alone),
                TEST(test_unixpath_lock_file_of_a_dead_broker_is_taken),
                TEST(test_unixpath_close_removes_only_its_own_lock),
                TEST(test_unixpath_foreign_socket_and_directory_are_refused),
                TEST(test_unixpath_close_removes_only_its_own_socket),
                TEST(test_unixpath_longest_path_works),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
