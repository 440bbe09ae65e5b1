/* SPDX-License-Identifier: MIT */
/*
 * A frame that lies whole in the caller's bytes is handed out where it lies. Only one that is cut by the end of those
 * bytes is collected, prefix included, in `partial`:
 *
 *   have == 0, partial == NULL   between frames
 *   have == 0, partial != NULL   its frame was handed out by the last call and is still borrowed
 *   have  > 0                    half read; nobody else has a reference
 *
 * The blob has room for at most twice the bytes received (or ROOM_MIN), and never for more than the frame, so that a
 * frame that is done lies whole in one blob that fits it and may be kept by reference.
 */
#include "framer.h"

#include <errno.h>
#include <string.h>

#include "encode.h"
#include "bounds.h"

/* Most frames that are cut by the end of a read fit at once; a blob of no more is used again while input follows. */
#define ROOM_MIN 512u

void rml_framer_init(struct rml_framer *framer, uint32_t frame_bytes_max) {
        *framer = (struct rml_framer){.frame_bytes_max = frame_bytes_max, .collect_max = UINT32_MAX};
}

void rml_framer_deinit(struct rml_framer *framer) {
        framer->partial = rml_blob_unref(framer->partial);
        framer->have = 0;
}

/* The borrowed frame of the last call is over. Somebody else's reference keeps the blob from being written again. */
static void release(struct rml_framer *framer, const struct rml_span *in) {
        struct rml_blob *blob = framer->partial;

        if (blob && framer->have == 0 && (blob->refs > 1 || blob->room > ROOM_MIN || in->len == 0))
                framer->partial = rml_blob_unref(blob);
}

/* Room for `need` bytes of a frame of `total` (SIZE_MAX while that is not known). */
static int grow(struct rml_framer *framer, size_t need, size_t total) {
        struct rml_blob *blob = framer->partial;
        size_t old = blob ? blob->room : 0;

        if (need <= old)
                return 0;
        size_t room = old > SIZE_MAX / 2 ? SIZE_MAX : 2 * old;
        if (room < ROOM_MIN)
                room = ROOM_MIN;
        if (room > total)
                room = total;
        if (room < need)
                room = need;
        blob = blob ? rml_blob_resize(blob, room) : rml_blob_new(room);
        if (!blob)
                return -ENOMEM;
        framer->partial = blob;
        return 0;
}

/* Moves n bytes of *in into the blob; all or nothing. */
static int take(struct rml_framer *framer, struct rml_span *in, size_t n, size_t total) {
        int r = grow(framer, framer->have + n, total);

        if (r < 0)
                return r;
        if (n > 0)
                memcpy(framer->partial->bytes + framer->have, in->data, n);
        framer->have += n;
        in->data += n;
        in->len -= n;
        return 0;
}

/* The prefix may be half in the blob and half in the input. There are at least RML_PREFIX_BYTES of both together. */
static uint32_t peek_prefix(const struct rml_framer *framer, const struct rml_span *in) {
        uint8_t prefix[RML_PREFIX_BYTES];
        size_t old = framer->have < RML_PREFIX_BYTES ? framer->have : RML_PREFIX_BYTES;

        if (old > 0)
                memcpy(prefix, framer->partial->bytes, old);
        if (old < RML_PREFIX_BYTES)
                memcpy(prefix + old, in->data, RML_PREFIX_BYTES - old);
        return rml_get_prefix(prefix);
}

size_t rml_framer_declared(const struct rml_framer *framer, const struct rml_span *in) {
        return in->len >= RML_PREFIX_BYTES || framer->have >= RML_PREFIX_BYTES - in->len ? peek_prefix(framer, in) : 0;
}

static void hand_out(struct rml_framer *framer, const uint8_t *data, size_t len, struct rml_blob *blob,
                     struct rml_raw *ret) {
        ret->data = data;
        ret->len = len;
        ret->blob = blob;
        ret->offset = framer->consumed + RML_PREFIX_BYTES;
        framer->consumed += RML_PREFIX_BYTES + (uint64_t)len;
}

static int check_length(const struct rml_framer *framer, size_t len) {
        if (len == 0)
                return -EPROTO;
        if (len > framer->frame_bytes_max || len > SIZE_MAX - RML_PREFIX_BYTES)
                return -EMSGSIZE;
        return 0;
}

/* Not inlined: nearly all frames lie whole in the input, and their path is kept short. */
__attribute__((noinline)) static int next_collected(struct rml_framer *framer, struct rml_span *in, struct rml_raw *ret) {
        if (in->len == 0)
                return 0;
        if (in->len < RML_PREFIX_BYTES && framer->have < RML_PREFIX_BYTES - in->len)
                return take(framer, in, in->len, SIZE_MAX);

        size_t len = peek_prefix(framer, in);
        int r = check_length(framer, len);
        if (r < 0)
                return r;
        size_t total = RML_PREFIX_BYTES + len;
        size_t missing = total - framer->have;
        if (len > framer->collect_max && framer->have < RML_PREFIX_BYTES && in->len < missing)
                return -EAGAIN;
        r = take(framer, in, in->len < missing ? in->len : missing, total);
        if (r < 0 || framer->have < total)
                return r;
        framer->have = 0;
        hand_out(framer, framer->partial->bytes + RML_PREFIX_BYTES, len, framer->partial, ret);
        return 1;
}

int rml_framer_next(struct rml_framer *framer, struct rml_span *in, struct rml_raw *ret) {
        if (framer->partial)
                release(framer, in);
        if (framer->have > 0 || in->len < RML_PREFIX_BYTES)
                return next_collected(framer, in, ret);

        size_t len = rml_get_prefix(in->data);
        int r = check_length(framer, len);
        if (r < 0)
                return r;
        if (len > in->len - RML_PREFIX_BYTES)
                return next_collected(framer, in, ret);
        hand_out(framer, in->data + RML_PREFIX_BYTES, len, NULL, ret);
        in->data += RML_PREFIX_BYTES + len;
        in->len -= RML_PREFIX_BYTES + len;
        return 1;
}
