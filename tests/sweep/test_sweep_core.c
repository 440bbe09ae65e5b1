/* SPDX-License-Identifier: MIT */
/* The core with each of its allocations failing. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "core_scenes.h"
#include "core_script.h"
#include "sweep.h"

#define INPUTS_MAX 1000u
#define INPUT_BYTES_MAX 100000u
#define INPUT_SAMPLE 12u

struct input {
        size_t len;
        uint8_t bytes[];
};

/* The fuzzer's scripts: what nobody thought of. */
static void scene_script(const void *user) {
        const struct input *input = user;
        core_script(input->bytes, input->len, oom_inside, sweep_memory_back);
}

static struct input *read_input(const char *directory, const char *name) {
        char path[4096];
        snprintf(path, sizeof(path), "%s/%s", directory, name);
        FILE *file = fopen(path, "rb");
        struct input *input = malloc(sizeof(*input) + INPUT_BYTES_MAX);
        sweep_check(file && input, "%s cannot be read", path);
        input->len = fread(input->bytes, 1, INPUT_BYTES_MAX, file);
        fclose(file);
        return input;
}

static int is_no_dot_file(const struct dirent *entry) {
        return entry->d_name[0] != '.';
}

/* One scenario for each file of the corpus, by its name. Returns how many. */
static size_t read_corpus(const char *directory, struct sweep_scenario *ret) {
        struct dirent **entries = NULL;
        int n = scandir(directory, &entries, is_no_dot_file, alphasort);
        sweep_check(n > 0 && (unsigned)n <= INPUTS_MAX, "%s: %d inputs", directory, n);
        for (int i = 0; i < n; i++) {
                ret[i] = (struct sweep_scenario){.name = strdup(entries[i]->d_name),
                                                 .run = scene_script,
                                                 .user = read_input(directory, entries[i]->d_name),
                                                 .sample = INPUT_SAMPLE};
                free(entries[i]);
        }
        free(entries);
        return (size_t)n;
}

int main(int argc, char **argv) {
        static const struct sweep_scenario scenes[] = {
                {.name = "begin", .run = scene_begin},
                {.name = "enter", .run = scene_enter},
                {.name = "publish", .run = scene_publish},
                {.name = "overflow", .run = scene_overflow},
                {.name = "large", .run = scene_large},
                {.name = "groups", .run = scene_groups},
                {.name = "keys", .run = scene_keys},
                {.name = "redelivery", .run = scene_redelivery},
                {.name = "calls", .run = scene_calls},
                {.name = "stuck", .run = scene_stuck},
                {.name = "streams", .run = scene_streams},
                {.name = "names", .run = scene_names},
                {.name = "block", .run = scene_block},
                {.name = "expiry", .run = scene_expiry},
                {.name = "foreign", .run = scene_foreign},
                {.name = "api", .run = scene_api},
                {.name = "api_large", .run = scene_api_large},
                {.name = "turns", .run = scene_turns},
                {.name = "many", .run = scene_many},
                {.name = "stop", .run = scene_stop},
        };
        static struct sweep_scenario all[RML_COUNT(scenes) + INPUTS_MAX];
        size_t count = RML_COUNT(scenes);
        memcpy(all, scenes, sizeof(scenes));
        count += read_corpus(RAMAL_CORPUS_CORE, all + count);
        return sweep_main(all, count, argc, argv);
}
