/* SPDX-License-Identifier: MIT */
/* Bytes in, whole frames out. Pure: reads nothing, waits for nothing. Any split of the bytes gives the same frames;
 * memory grows with the bytes received, never with a length announced. */
#ifndef RML_FRAMER_H
#define RML_FRAMER_H

#include <stdbool.h>

#include "encode.h"

/* All zero but frame_bytes_max = empty. */
struct rml_framer {
        struct rml_blob *partial; /* the half-read frame with its prefix, NULL while there is none */
        size_t have;              /* bytes in it */
        uint64_t consumed;        /* bytes of whole frames (with prefixes) handed out so far: offsets in GOAWAY */
        uint32_t frame_bytes_max; /* may be changed between calls */
        uint32_t collect_max;     /* the same: a longer frame that is not whole is not begun */
};

/* One frame without its prefix. */
struct rml_raw {
        const uint8_t *data;
        size_t len;
        struct rml_blob *blob; /* NULL: data lies in the caller's bytes. Else in this blob, borrowed until the next
                                * call: whoever wants to keep it takes a reference */
        uint64_t offset;       /* of data[0] in all bytes that the connection ever sent */
};

void rml_framer_init(struct rml_framer *, uint32_t frame_bytes_max);
void rml_framer_deinit(struct rml_framer *);

/* Most frames that are cut by the end of a read fit at once; a blob of no more is used again while input follows. */
#define RML_FRAMER_ROOM_MIN 512u

/* The general case of rml_framer_next(). */
int rml_framer_next_slow(struct rml_framer *, struct rml_span *in, struct rml_raw *ret);

/* Takes bytes from *in (advanced) until one frame is whole.
 * Returns 1 and the frame; 0 when all of *in is taken and more is needed; -EPROTO for a length of 0; -EMSGSIZE for
 * one above frame_bytes_max (before any memory is used for it); -ENOMEM (nothing taken: may be called again). After
 * -EPROTO and -EMSGSIZE the stream is lost: do not call again. -EAGAIN when a frame longer than collect_max would have
 * to be collected: nothing of it was taken but bytes of its prefix, and it may be called again. */
static inline int rml_framer_next(struct rml_framer *framer, struct rml_span *in, struct rml_raw *ret) {
        const struct rml_blob *blob = framer->partial;
        size_t len;

        /* Nearly all frames lie whole in the input, and nothing of one before is left but a blob that is kept. */
        if ((blob && (framer->have > 0 || blob->refs > 1 || blob->room > RML_FRAMER_ROOM_MIN)) ||
            in->len < RML_PREFIX_BYTES || (len = rml_get_prefix(in->data)) == 0 || len > framer->frame_bytes_max ||
            len > in->len - RML_PREFIX_BYTES)
                return rml_framer_next_slow(framer, in, ret);
        ret->data = in->data + RML_PREFIX_BYTES;
        ret->len = len;
        ret->blob = NULL;
        ret->offset = framer->consumed + RML_PREFIX_BYTES;
        framer->consumed += RML_PREFIX_BYTES + (uint64_t)len;
        in->data += RML_PREFIX_BYTES + len;
        in->len -= RML_PREFIX_BYTES + len;
        return 1;
}

/* Where the next bytes of a half-read frame belong, so that they can be received there instead of being copied: NULL
 * where too few are missing for that to pay, or there is no memory. *room never reaches beyond the frame. After
 * rml_framer_filled(), which says how many came, rml_framer_next() goes on, also without input. */
#define RML_FRAMER_DIRECT_BYTES (32u << 10)
uint8_t *rml_framer_room(struct rml_framer *, size_t *room);
void rml_framer_filled(struct rml_framer *, size_t n);
/* Is it whole by that, and not handed out yet? */
static inline bool rml_framer_whole(const struct rml_framer *framer) {
        return framer->have >= RML_PREFIX_BYTES &&
               framer->have - RML_PREFIX_BYTES == rml_get_prefix(framer->partial->bytes);
}

/* What the prefix of the frame at hand says: the half-read one, or the first of *in. 0 while it is not all there. */
size_t rml_framer_declared(const struct rml_framer *, const struct rml_span *in);

/* Bytes of the half-read frame so far, prefix included; 0 between frames. */
static inline size_t rml_framer_pending(const struct rml_framer *framer) {
        return framer->have;
}

#endif
