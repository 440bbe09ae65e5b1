/* SPDX-License-Identifier: MIT */
/* Bytes on their way to one socket. Small frames are copied into chunks, large bodies stay where they are and are
 * referenced. Holds no memory while empty. */
#ifndef RAMAL_OUTBOX_H
#define RAMAL_OUTBOX_H

#include "base/check.h"
#include "blob.h"

struct body;

struct piece {
        struct piece *next;
        struct body *body; /* NULL: a chunk, whose bytes follow */
        const uint8_t *data;
        size_t len, sent, room; /* of a body's the room is len: nothing more can be written to it */
        uint8_t bytes[];
};

/* Empty chunks kept for the next outbox: one pool for all peers of a core. */
struct chunk_pool {
        struct piece *small, *large;
        size_t small_count, large_count;
};

struct outbox {
        struct piece *first, *last;
        size_t bytes;  /* not yet taken by the socket */
        uint64_t put;  /* ever put in: put - bytes is what the socket took */
};

/* Room for n contiguous bytes at the end, or NULL without memory. Then outbox_advance() by what was written. */
uint8_t *outbox_reserve_more(struct outbox *, struct chunk_pool *, size_t n);
/* The same, but only where there is room already: NULL also means that there is not. */
static inline uint8_t *outbox_room(const struct outbox *outbox, size_t n) {
        struct piece *piece = outbox->last;

        return piece && piece->room - piece->len >= n ? piece->bytes + piece->len : NULL;
}
static inline uint8_t *outbox_reserve(struct outbox *outbox, struct chunk_pool *pool, size_t n) {
        uint8_t *room = outbox_room(outbox, n);

        return room ? room : outbox_reserve_more(outbox, pool, n);
}
static inline void outbox_advance(struct outbox *outbox, size_t n) {
        rml_check(outbox->last->room - outbox->last->len >= n);
        outbox->last->len += n;
        outbox->bytes += n;
        outbox->put += n;
}
/* The head_len bytes that were written after outbox_reserve() and then the tail of a body, shared: both or neither.
 * Returns 0 or -ENOMEM. */
int outbox_put_body(struct outbox *, size_t head_len, struct body *);
size_t outbox_spans(const struct outbox *, struct rml_span *spans, size_t max);
void outbox_sent(struct outbox *, struct chunk_pool *, size_t n);
void outbox_clear(struct outbox *, struct chunk_pool *);
void chunk_pool_deinit(struct chunk_pool *);

#endif
