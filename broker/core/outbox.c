/* SPDX-License-Identifier: MIT */
#include "outbox.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "message.h"

/* A reader that is stuck with a few bytes holds a small chunk; whoever gets more gets large ones. */
#define CHUNK_SMALL (4096u - sizeof(struct piece))
#define CHUNK_LARGE ((64u << 10) - sizeof(struct piece))
#define POOL_SMALL_MAX 64u
#define POOL_LARGE_MAX 32u

static struct piece *chunk_take(struct chunk_pool *pool, size_t room) {
        struct piece **shelf = room == CHUNK_SMALL ? &pool->small : room == CHUNK_LARGE ? &pool->large : NULL;
        struct piece *piece = shelf ? *shelf : NULL;

        if (piece) {
                *shelf = piece->next;
                if (room == CHUNK_SMALL)
                        pool->small_count--;
                else
                        pool->large_count--;
        } else {
                piece = malloc(sizeof(*piece) + room);
                if (!piece)
                        return NULL;
                piece->body = NULL;
                piece->room = room;
        }
        piece->next = NULL;
        piece->data = piece->bytes;
        piece->len = piece->sent = 0;
        return piece;
}

static void piece_drop(struct chunk_pool *pool, struct piece *piece) {
        if (!piece->body && piece->room == CHUNK_SMALL && pool->small_count < POOL_SMALL_MAX) {
                piece->next = pool->small;
                pool->small = piece;
                pool->small_count++;
        } else if (!piece->body && piece->room == CHUNK_LARGE && pool->large_count < POOL_LARGE_MAX) {
                piece->next = pool->large;
                pool->large = piece;
                pool->large_count++;
        } else {
                body_unref(piece->body);
                free(piece);
        }
}

static void outbox_append(struct outbox *outbox, struct piece *piece) {
        if (outbox->last)
                outbox->last->next = piece;
        else
                outbox->first = piece;
        outbox->last = piece;
}

/* In another chunk. */
uint8_t *outbox_reserve_more(struct outbox *outbox, struct chunk_pool *pool, size_t n) {
        size_t room = !outbox->first && n <= CHUNK_SMALL ? CHUNK_SMALL : n <= CHUNK_LARGE ? CHUNK_LARGE : n;
        struct piece *piece = chunk_take(pool, room);

        if (!piece)
                return NULL;
        outbox_append(outbox, piece);
        return piece->bytes;
}

int outbox_put_body(struct outbox *outbox, size_t head_len, struct body *body) {
        struct piece *piece = malloc(sizeof(*piece));

        if (!piece)
                return -ENOMEM;
        outbox_advance(outbox, head_len);
        *piece = (struct piece){.body = body_ref(body), .data = body->tail.data, .len = body->tail.len,
                               .room = body->tail.len};
        outbox_append(outbox, piece);
        outbox->bytes += body->tail.len;
        outbox->put += body->tail.len;
        return 0;
}

size_t outbox_spans(const struct outbox *outbox, struct rml_span *spans, size_t max) {
        size_t n = 0;

        for (const struct piece *piece = outbox->first; piece && n < max; piece = piece->next)
                if (piece->len > piece->sent)
                        spans[n++] = (struct rml_span){piece->data + piece->sent, piece->len - piece->sent};
        return n;
}

void outbox_sent(struct outbox *outbox, struct chunk_pool *pool, size_t n) {
        rml_check(n <= outbox->bytes);
        outbox->bytes -= n;
        while (outbox->first) {
                struct piece *piece = outbox->first;
                size_t left = piece->len - piece->sent;

                if (left > n) {
                        piece->sent += n;
                        return;
                }
                n -= left;
                outbox->first = piece->next;
                if (!outbox->first)
                        outbox->last = NULL;
                piece_drop(pool, piece);
        }
}

void outbox_clear(struct outbox *outbox, struct chunk_pool *pool) {
        outbox_sent(outbox, pool, outbox->bytes);
}

void chunk_pool_deinit(struct chunk_pool *pool) {
        struct piece *shelves[2] = {pool->small, pool->large};

        for (size_t i = 0; i < RML_COUNT(shelves); i++)
                while (shelves[i]) {
                        struct piece *next = shelves[i]->next;

                        free(shelves[i]);
                        shelves[i] = next;
                }
        *pool = (struct chunk_pool){0};
}
