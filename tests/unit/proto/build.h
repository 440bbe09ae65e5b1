/* SPDX-License-Identifier: MIT */
/* Wire bytes put together by hand, so that a test can also write what no encoder would. */
#ifndef RAMAL_TEST_BUILD_H
#define RAMAL_TEST_BUILD_H

#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "blob.h"
#include "encode.h"

struct build {
        size_t len;
        uint8_t bytes[1 << 17];
};

static inline struct rml_span build_span(const struct build *build) {
        return (struct rml_span){build->bytes, build->len};
}

static inline void build_raw(struct build *build, const void *bytes, size_t len) {
        rml_check(len <= sizeof(build->bytes) - build->len);
        if (len > 0)
                memcpy(build->bytes + build->len, bytes, len);
        build->len += len;
}

static inline void build_varint(struct build *build, uint64_t value) {
        uint8_t bytes[10];

        build_raw(build, bytes, rml_put_varint(bytes, value));
}

static inline void build_uint(struct build *build, uint32_t field, uint64_t value) {
        build_varint(build, (uint64_t)field << 3);
        build_varint(build, value);
}

static inline void build_bytes(struct build *build, uint32_t field, const void *bytes, size_t len) {
        build_varint(build, (uint64_t)field << 3 | 2);
        build_varint(build, len);
        build_raw(build, bytes, len);
}

static inline void build_text(struct build *build, uint32_t field, const char *text) {
        build_bytes(build, field, text, strlen(text));
}

/* A message inside: field, length and what was built in `inner`. */
static inline void build_message(struct build *build, uint32_t field, const struct build *inner) {
        build_bytes(build, field, inner->bytes, inner->len);
}

/* For bytes written out: BUILD_RAW(build, 0x08, 0x80, 0x00). */
#define BUILD_RAW(build, ...) build_raw(build, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

#endif
