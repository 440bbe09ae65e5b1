/* SPDX-License-Identifier: MIT */
/* What the tests of the scanner expect of bytes: that they are well, or a fault of that kind at that place. To be
 * included behind cmocka.h. */
#ifndef RAMAL_TEST_SCAN_EXPECT_H
#define RAMAL_TEST_SCAN_EXPECT_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "scan.h"

/* One fault in the body of a data kind. The bytes before `at` are well. */
struct bad {
        const char *what; /* part of the reason */
        size_t at;
        struct rml_span body;
};

#define BODY(...) ((struct rml_span){(const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})})

/* Scans a copy of just the right size, so that the sanitizer sees every read past the end. */
static inline int scan_copy(struct rml_span frame, enum rml_from from, struct rml_fault *fault) {
        uint8_t *bytes = malloc(frame.len > 0 ? frame.len : 1);
        struct rml_frame scanned;
        struct rml_data data;

        memcpy(bytes, frame.data, frame.len);
        int r = rml_scan_frame((struct rml_span){bytes, frame.len}, &scanned, fault);
        if (r == 0 && scanned.kind < 16)
                r = rml_scan_data(&scanned, from, &data, fault);
        free(bytes);
        return r;
}

static inline void expect_fault(struct rml_span frame, enum rml_from from, size_t offset, const char *what) {
        struct rml_fault fault = {SIZE_MAX, ""};

        assert_int_equal(scan_copy(frame, from, &fault), -EBADMSG);
        if (!strstr(fault.reason, what))
                fail_msg("'%s' is not about '%s'", fault.reason, what);
        assert_int_equal(fault.offset, offset);
}

static inline void expect_good(struct rml_span frame, enum rml_from from) {
        struct rml_fault fault = {0, ""};

        if (scan_copy(frame, from, &fault) != 0)
                fail_msg("%s at %zu", fault.reason, fault.offset);
}

/* The body in a frame of its kind, with an id in front. */
static inline void wrap(struct build *frame, uint32_t kind, struct rml_span body) {
        frame->len = 0;
        build_uint(frame, 1, 5);
        build_bytes(frame, kind, body.data, body.len);
}

static inline void expect_body_fault(uint32_t kind, enum rml_from from, struct rml_span body, size_t at,
                                     const char *what) {
        static struct build frame;

        wrap(&frame, kind, body);
        expect_fault(build_span(&frame), from, frame.len - body.len + at, what);
}

static inline void expect_body_good(uint32_t kind, enum rml_from from, struct rml_span body) {
        static struct build frame;

        wrap(&frame, kind, body);
        expect_good(build_span(&frame), from);
}

static inline void expect_bad_bodies(uint32_t kind, enum rml_from from, const struct bad *bad, size_t count) {
        for (size_t i = 0; i < count; i++)
                expect_body_fault(kind, from, bad[i].body, bad[i].at, bad[i].what);
}
#define EXPECT_BAD(kind, from, table) expect_bad_bodies(kind, from, table, sizeof(table) / sizeof((table)[0]))

#endif
