/* SPDX-License-Identifier: MIT */
#include "disk.h"

#include <string.h>

#define COLUMNS 10u
#define SECTOR_BYTES 512u /* the unit here, whatever the device's own is */

/* "   8       0 sda 1 2 3 4 5 6 7 8 9 10 11 ..." */
static bool parse_line(struct text line, struct disk *ret) {
        uint64_t device[2], numbers[COLUMNS];
        struct text name;

        if (text_numbers(&line, device, 2) < 2 || !text_word(&line, &name) ||
            text_numbers(&line, numbers, COLUMNS) < COLUMNS)
                return false;
        if (numbers[2] > UINT64_MAX / SECTOR_BYTES || numbers[6] > UINT64_MAX / SECTOR_BYTES)
                return false;
        if (numbers[0] == 0 && numbers[4] == 0)
                return false;
        *ret = (struct disk){
                .reads = numbers[0],
                .read_bytes = numbers[2] * SECTOR_BYTES,
                .writes = numbers[4],
                .written_bytes = numbers[6] * SECTOR_BYTES,
                .in_flight = numbers[8],
                .busy_ms = numbers[9],
        };
        return text_name(name, ret->name, sizeof(ret->name));
}

size_t disk_parse(struct text text, struct disk *ret, size_t max) {
        struct text line;
        struct disk one;
        size_t n = 0;

        while (text_line(&text, &line)) {
                if (!parse_line(line, &one))
                        continue;
                if (n < max)
                        ret[n] = one;
                n++;
        }
        return n;
}

const struct disk *disk_find(const struct disk *list, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (strcmp(list[i].name, name) == 0)
                        return &list[i];
        return NULL;
}
