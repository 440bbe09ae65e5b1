/* SPDX-License-Identifier: MIT */
#include "net.h"

#include <string.h>

#define COLUMNS 16u

/* "  eth0:1234 ..." or "  eth0: 1234 ...": the name ends at the colon, with or without a blank behind it. The two
 * lines of headings have no colon. */
static bool parse_line(struct text line, struct net *ret) {
        uint64_t numbers[COLUMNS];
        struct text name;
        const char *colon = line.len > 0 ? memchr(line.at, ':', line.len) : NULL;

        if (!colon)
                return false;
        size_t len = (size_t)(colon - line.at);
        struct text head = {line.at, len}, rest = {colon + 1, line.len - len - 1};
        if (!text_word(&head, &name) || text_numbers(&rest, numbers, COLUMNS) < COLUMNS)
                return false;
        *ret = (struct net){
                .received_bytes = numbers[0],
                .received_packets = numbers[1],
                .received_errors = numbers[2],
                .received_dropped = numbers[3],
                .sent_bytes = numbers[8],
                .sent_packets = numbers[9],
                .sent_errors = numbers[10],
                .sent_dropped = numbers[11],
        };
        return text_name(name, ret->name, sizeof(ret->name));
}

size_t net_parse(struct text text, struct net *ret, size_t max) {
        struct text line;
        struct net one;
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

const struct net *net_find(const struct net *list, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (strcmp(list[i].name, name) == 0)
                        return &list[i];
        return NULL;
}
