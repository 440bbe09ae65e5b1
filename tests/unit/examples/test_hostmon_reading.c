/* SPDX-License-Identifier: MIT */
/* A /proc of our own, whole and in ruins. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "reading.h"

struct scene {
        char directory[64];
        struct proc proc;
        struct reading reading;
};

static void path_of(const struct scene *scene, const char *name, char *ret, size_t size) {
        snprintf(ret, size, "%s/%s", scene->directory, name);
}

static void put(const struct scene *scene, const char *name, const char *text) {
        char path[128];

        path_of(scene, name, path, sizeof(path));
        FILE *file = fopen(path, "we");
        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
}

static void put_all(const struct scene *scene) {
        put(scene, "stat", "cpu 1 2 3 4\ncpu0 1 2 3 4\n");
        put(scene, "meminfo", "MemTotal: 4 kB\n");
        put(scene, "loadavg", "1.00 2.00 3.00 1/2 3\n");
        put(scene, "net/dev", "lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n");
        put(scene, "diskstats", "8 0 sda 1 1 1 1 1 1 1 1 1 1 1\n");
}

static int setup(void **state) {
        struct scene *scene = calloc(1, sizeof(*scene));
        char path[128];

        assert_non_null(scene);
        strcpy(scene->directory, "/tmp/hostmon-test-XXXXXX");
        assert_non_null(mkdtemp(scene->directory));
        path_of(scene, "net", path, sizeof(path));
        assert_int_equal(mkdir(path, 0700), 0);
        proc_init(&scene->proc, scene->directory);
        *state = scene;
        return 0;
}

static int teardown(void **state) {
        static const char *const names[] = {"stat", "meminfo", "loadavg", "net/dev", "diskstats"};
        struct scene *scene = *state;
        char path[128];

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                path_of(scene, names[i], path, sizeof(path));
                if (unlink(path) < 0)
                        rmdir(path);
        }
        path_of(scene, "net", path, sizeof(path));
        rmdir(path);
        assert_int_equal(rmdir(scene->directory), 0);
        free(scene);
        return 0;
}

static void test_reading_of_all_files_is_complete(void **state) {
        struct scene *scene = *state;
        const struct reading *reading = &scene->reading;

        put_all(scene);
        assert_int_equal(proc_read(&scene->proc, &scene->reading), SOURCES);
        assert_true(reading->has_cpu && reading->has_memory && reading->has_load);
        assert_int_equal(reading->cpu.cpus, 1);
        assert_int_equal(reading->memory.total, 4096);
        assert_int_equal(reading->load.threads, 2);
        assert_int_equal(reading->net_count, 1);
        assert_int_equal(reading->disk_count, 1);
        assert_true(reading->time_us > 0 && reading->now_ns > 0);
}

static void test_reading_without_any_file_says_so(void **state) {
        struct scene *scene = *state;

        assert_int_equal(proc_read(&scene->proc, &scene->reading), 0);
        assert_false(scene->reading.has_cpu || scene->reading.has_memory || scene->reading.has_load);
        for (int i = 0; i < SOURCES; i++)
                assert_true(scene->proc.complaint[i] < 0);
}

static void test_reading_goes_on_without_the_files_that_fail(void **state) {
        struct scene *scene = *state;
        char path[128];

        put_all(scene);
        put(scene, "loadavg", "");
        put(scene, "meminfo", "nothing of use\n");
        path_of(scene, "stat", path, sizeof(path));
        assert_int_equal(unlink(path), 0);
        assert_int_equal(mkdir(path, 0700), 0); /* a directory in its place */
        assert_int_equal(proc_read(&scene->proc, &scene->reading), 2);
        assert_false(scene->reading.has_cpu || scene->reading.has_memory || scene->reading.has_load);
        assert_int_equal(scene->reading.net_count, 1);
}

static void test_reading_takes_a_file_up_again_when_it_is_back(void **state) {
        struct scene *scene = *state;

        put_all(scene);
        put(scene, "loadavg", "?");
        assert_int_equal(proc_read(&scene->proc, &scene->reading), SOURCES - 1);
        assert_true(scene->proc.complaint[SOURCE_LOAD] < 0);
        put_all(scene);
        assert_int_equal(proc_read(&scene->proc, &scene->reading), SOURCES);
        assert_true(scene->reading.has_load);
        assert_int_equal(scene->proc.complaint[SOURCE_LOAD], 0);
}

static void test_reading_of_a_file_too_long_ends_at_a_whole_line(void **state) {
        struct scene *scene = *state;
        const char *line = "abcdefgh: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16666\n";
        size_t lines = sizeof(scene->proc.text) / strlen(line) + 10;
        char *text = malloc(lines * strlen(line) + 1);

        assert_non_null(text);
        text[0] = '\0';
        for (size_t i = 0; i < lines; i++)
                memcpy(text + i * strlen(line), line, strlen(line) + 1);
        put_all(scene);
        put(scene, "net/dev", text);
        free(text);
        assert_int_equal(proc_read(&scene->proc, &scene->reading), SOURCES); /* more than there is room for is usable */
        assert_int_equal(scene->reading.net_count, NET_MAX);
        assert_true(scene->proc.complaint[SOURCE_NET] < 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_reading_of_all_files_is_complete, setup, teardown),
                cmocka_unit_test_setup_teardown(test_reading_without_any_file_says_so, setup, teardown),
                cmocka_unit_test_setup_teardown(test_reading_goes_on_without_the_files_that_fail, setup, teardown),
                cmocka_unit_test_setup_teardown(test_reading_takes_a_file_up_again_when_it_is_back, setup, teardown),
                cmocka_unit_test_setup_teardown(test_reading_of_a_file_too_long_ends_at_a_whole_line, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
