/* SPDX-License-Identifier: MIT */
/* payload.h - every payload carries its length, its number and a pattern. */
#ifndef PAYLOAD_H
#define PAYLOAD_H
#include "bench.h"
#include <string.h>

#define MAGIC 0x72616d616c626e63ull
#define PROBE UINT64_MAX /* the number of a payload that only asks whether it arrives */

extern unsigned char *tmpl; /* the pattern: a payload without length and number */

static inline void payload_set(unsigned char *b, uint64_t seq) {
        uint64_t m = MAGIC ^ opt.size, t = seq ^ MAGIC;
        memcpy(b, &m, 8);
        memcpy(b + 8, &seq, 8);
        memcpy(b + opt.size - 8, &t, 8);
}

/* 0 if the payload is what was sent; *seq gets its number */
static inline int payload_check(const void *data, size_t len, uint64_t *seq) {
        const unsigned char *b = data;
        uint64_t m, t;
        if (len != opt.size)
                return -1;
        memcpy(&m, b, 8);
        memcpy(seq, b + 8, 8);
        memcpy(&t, b + len - 8, 8);
        if (m != (MAGIC ^ opt.size) || t != (*seq ^ MAGIC))
                return -1;
        if (b[len / 2] != tmpl[len / 2])
                return -1;
        if ((*seq & 255) == 0 && memcmp(b + 16, tmpl + 16, len - 24))
                return -1;
        return 0;
}
#endif
