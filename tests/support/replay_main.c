/* SPDX-License-Identifier: MIT */
/*
 * main() for a fuzz target that is built without libFuzzer: runs the target once over every file
 * that is named, and over every file in the directories that are named, in the order of their names.
 * No file at all is an error, so that an empty corpus cannot pass for a replayed one.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path, const struct stat *st) {
        size_t size = (size_t)st->st_size;
        /* Exactly as large as the input, so that a sanitizer sees a read past its end. */
        uint8_t *data = malloc(size > 0 ? size : 1);
        if (!data)
                return -ENOMEM;

        FILE *file = fopen(path, "rb");
        if (!file) {
                int error = errno;
                free(data);
                return -error;
        }
        size_t got = fread(data, 1, size, file);
        fclose(file);

        int r = -EIO;
        if (got == size) {
                uint8_t *input = size > 0 ? data : NULL;
                LLVMFuzzerTestOneInput(input, size);
                r = 1;
        }
        free(data);
        return r;
}

static int is_no_dot_file(const struct dirent *entry) {
        return entry->d_name[0] != '.';
}

/* Returns the number of files replayed, or a negative errno after having said which file failed. */
static long replay(const char *path) {
        struct stat st;
        if (stat(path, &st) < 0) {
                int error = errno;
                fprintf(stderr, "replay: %s: %s\n", path, strerror(error));
                return -error;
        }
        if (!S_ISDIR(st.st_mode)) {
                int r = replay_file(path, &st);
                if (r < 0)
                        fprintf(stderr, "replay: %s: %s\n", path, strerror(-r));
                return r;
        }

        struct dirent **entries = NULL;
        int n = scandir(path, &entries, is_no_dot_file, alphasort);
        if (n < 0) {
                int error = errno;
                fprintf(stderr, "replay: %s: %s\n", path, strerror(error));
                return -error;
        }
        long count = 0;
        for (int i = 0; i < n; i++) {
                char name[4096];
                int length = snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
                free(entries[i]);
                if (count < 0)
                        continue;
                long r = length < (int)sizeof(name) ? replay(name) : -ENAMETOOLONG;
                count = r < 0 ? r : count + r;
        }
        free(entries);
        return count;
}

int main(int argc, char **argv) {
        long total = 0;
        for (int i = 1; i < argc; i++) {
                long r = replay(argv[i]);
                if (r < 0)
                        return EXIT_FAILURE;
                if (r == 0) {
                        fprintf(stderr, "replay: %s: no input in it\n", argv[i]);
                        return EXIT_FAILURE;
                }
                total += r;
        }
        if (total == 0) {
                fprintf(stderr, "usage: %s FILE|DIRECTORY...\n", argv[0]);
                return EXIT_FAILURE;
        }
        printf("%ld inputs replayed\n", total);
        return EXIT_SUCCESS;
}
