/* SPDX-License-Identifier: MIT */
/*
 * A frame that lies whole in the caller's bytes is handed out where it lies. Only one that is cut by the end of those
 * bytes is collected, prefix included, in `partial`:
 *
 *   have == 0, partial == NULL   between frames
 *   have == 0, partial != NULL   its frame was handed out by the last call and is still borrowed
 *   have  > 0                    half read; nobody else has a reference
 *
 * The blob has room for at most twice the bytes received (or RML_FRAMER_ROOM_MIN; where more are received straight into
 * it, sixteen times), and never for more than the frame, so that a frame that is done lies whole in one blob that fits
 * it and may be kept by reference.
 */
#include "framer.h"

#include <errno.h>

#include "base/check.h"

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

        if (blob && framer->have == 0 && (blob->refs > 1 || blob->room > RML_FRAMER_ROOM_MIN || in->len == 0))
                framer->partial = rml_blob_unref(blob);
}

/* Room for `need` bytes of a frame of `total` (SIZE_MAX while that is not known). */
static int grow(struct rml_framer *framer, size_t need, size_t total) {
        struct rml_blob *blob = framer->partial;
        size_t old = blob ? blob->room : 0;

        if (need <= old)
                return 0;
        size_t room = old > SIZE_MAX / 2 ? SIZE_MAX : 2 * old;
        if (room < RML_FRAMER_ROOM_MIN)
                room = RML_FRAMER_ROOM_MIN;
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

static int check_length(const struct rml_framer *framer, size_t len) {
        if (len == 0)
                return -EPROTO;
        if (len > framer->frame_bytes_max || len > SIZE_MAX - RML_PREFIX_BYTES)
                return -EMSGSIZE;
        return 0;
}

/* Its blob may have room for sixteen times the bytes received, for it may have to move when it grows. What nobody has
 * written to yet is no memory of the machine either. */
uint8_t *rml_framer_room(struct rml_framer *framer, size_t *room) {
        struct rml_blob *blob = framer->partial;

        if (framer->have < RML_PREFIX_BYTES)
                return NULL;
        size_t missing = RML_PREFIX_BYTES + (size_t)rml_get_prefix(blob->bytes) - framer->have;
        if (missing < RML_FRAMER_DIRECT_BYTES)
                return NULL;
        if (blob->room - framer->have < RML_FRAMER_DIRECT_BYTES) {
                size_t more = framer->have > missing / 15 ? missing : 15 * framer->have;

                if (more < RML_FRAMER_DIRECT_BYTES || !(blob = rml_blob_resize(blob, framer->have + more)))
                        return NULL;
                framer->partial = blob;
        }
        *room = blob->room - framer->have;
        return blob->bytes + framer->have;
}

void rml_framer_filled(struct rml_framer *framer, size_t n) {
        rml_check(framer->partial && n <= framer->partial->room - framer->have);
        framer->have += n;
}

int rml_framer_next_slow(struct rml_framer *framer, struct rml_span *in, struct rml_raw *ret) {
        if (framer->partial)
                release(framer, in);
        if (in->len == 0 && !rml_framer_whole(framer))
                return 0;
        if (in->len < RML_PREFIX_BYTES && framer->have < RML_PREFIX_BYTES - in->len)
                return take(framer, in, in->len, SIZE_MAX);

        size_t len = peek_prefix(framer, in);
        int r = check_length(framer, len);
        if (r < 0)
                return r;
        size_t total = RML_PREFIX_BYTES + len;
        size_t missing = total - framer->have;
        if (framer->have == 0 && in->len >= total)
                return rml_framer_next(framer, in, ret); /* only what was handed out before was in the way */
        if (len > framer->collect_max && framer->have < RML_PREFIX_BYTES && in->len < missing)
                return -EAGAIN;
        r = take(framer, in, in->len < missing ? in->len : missing, total);
        if (r < 0 || framer->have < total)
                return r;
        framer->have = 0;
        *ret = (struct rml_raw){
                .data = framer->partial->bytes + RML_PREFIX_BYTES,
                .len = len,
                .blob = framer->partial,
                .offset = framer->consumed + RML_PREFIX_BYTES,
        };
        framer->consumed += total;
        return 1;
}
