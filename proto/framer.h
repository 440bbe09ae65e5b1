/* SPDX-License-Identifier: MIT */
/* Bytes in, whole frames out. Pure: reads nothing, waits for nothing. Any split of the bytes gives the same frames;
 * memory grows with the bytes received, never with a length announced. */
#ifndef RML_FRAMER_H
#define RML_FRAMER_H

#include "blob.h"

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

/* Takes bytes from *in (advanced) until one frame is whole.
 * Returns 1 and the frame; 0 when all of *in is taken and more is needed; -EPROTO for a length of 0; -EMSGSIZE for
 * one above frame_bytes_max (before any memory is used for it); -ENOMEM (nothing taken: may be called again). After
 * -EPROTO and -EMSGSIZE the stream is lost: do not call again. -EAGAIN when a frame longer than collect_max would have to be
 * collected: nothing of it was taken but bytes of its prefix, and it may be called again. */
int rml_framer_next(struct rml_framer *, struct rml_span *in, struct rml_raw *ret);

/* What the prefix of the frame at hand says: the half-read one, or the first of *in. 0 while it is not all there. */
size_t rml_framer_declared(const struct rml_framer *, const struct rml_span *in);

/* Bytes of the half-read frame so far, prefix included; 0 between frames. */
static inline size_t rml_framer_pending(const struct rml_framer *framer) {
        return framer->have;
}

#endif
