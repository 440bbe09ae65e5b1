/* SPDX-License-Identifier: MIT */
/* Memory that comes and goes with every message that waits. What is given back is kept, up to a bound, for the next
 * piece of about the same size: malloc() and free() of a queued message cost as much as half of all else that is done
 * with it. */
#ifndef RAMAL_SHELF_H
#define RAMAL_SHELF_H

#include <stddef.h>
#include <stdlib.h>

#define SHELF_STEP 48u  /* a queued delivery is three of them */
#define SHELF_SIZES 21u /* larger ones are not kept */
/* Of all sizes together: some hundred messages, as many as one turn brings. A sanitizer is to see what is used after it
 * was given back: there nothing is kept. */
#if defined(__SANITIZE_ADDRESS__)
#define SHELF_BYTES_MAX 0u
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SHELF_BYTES_MAX 0u
#endif
#endif
#ifndef SHELF_BYTES_MAX
#define SHELF_BYTES_MAX (512u << 10)
#endif

struct shelf_piece {
        struct shelf_piece *next;
};
/* All zero = empty. */
struct shelf {
        struct shelf_piece *pieces[SHELF_SIZES]; /* [i]: of (i + 1) * SHELF_STEP bytes */
        size_t bytes;
};

/* What the piece really takes. */
static inline size_t shelf_size(size_t size) {
        return (size + SHELF_STEP - 1) / SHELF_STEP * SHELF_STEP;
}
void *shelf_malloc(size_t size);

/* As malloc(). */
static inline void *shelf_take(struct shelf *shelf, size_t size) {
        size_t at = (size - 1) / SHELF_STEP;
        struct shelf_piece *piece = at < SHELF_SIZES ? shelf->pieces[at] : NULL;

        if (!piece)
                return shelf_malloc(size);
        shelf->pieces[at] = piece->next;
        shelf->bytes -= (at + 1) * SHELF_STEP;
        return piece;
}
/* size: as it was taken. */
static inline void shelf_give(struct shelf *shelf, void *memory, size_t size) {
        size_t at = (size - 1) / SHELF_STEP;
        struct shelf_piece *piece = memory;

        if (at >= SHELF_SIZES || shelf->bytes + (at + 1) * SHELF_STEP > SHELF_BYTES_MAX) {
                free(memory);
                return;
        }
        piece->next = shelf->pieces[at];
        shelf->pieces[at] = piece;
        shelf->bytes += (at + 1) * SHELF_STEP;
}
void shelf_clear(struct shelf *);

#endif
