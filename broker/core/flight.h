/* SPDX-License-Identifier: MIT */
/* What was committed to an interest and not confirmed, in order of commit, and the receive credit that it uses. */
#ifndef RAMAL_FLIGHT_H
#define RAMAL_FLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct delivery;
struct interest;

struct flight {
        uint32_t seq_high, seq_low; /* halves, so that it takes twelve bytes */
        uint32_t bytes;
};
struct flights {
        uint64_t confirmed_last;     /* the number confirmed last */
        uint32_t first, count, room; /* room is a power of two */
        uint32_t stray_ms;           /* CREDITs for nothing while unordered, in that millisecond: bounds the */
        uint8_t stray;               /* searching */
        bool unordered;              /* a moved message is in flight: numbers do not ascend */
        bool exact;                  /* one was: a number may be above later ones, and confirms only itself */
        struct flight items[];
};

/* Room for one more. Returns false without memory. */
bool flights_grow(struct flights **);
static inline bool flights_room(const struct flights *ring) {
        return ring && ring->count < ring->room;
}
static inline bool flights_reserve(struct flights **ring) {
        return flights_room(*ring) || flights_grow(ring);
}
static inline void flights_push(struct flights *ring, uint64_t seq, size_t bytes) {
        ring->items[(ring->first + ring->count++) & (ring->room - 1)] =
                (struct flight){(uint32_t)(seq >> 32), (uint32_t)seq, (uint32_t)bytes};
}
/* The number of the i-th. */
static inline uint64_t flights_seq(const struct flights *ring, uint32_t i) {
        const struct flight *item = &ring->items[(ring->first + i) & (ring->room - 1)];

        return (uint64_t)item->seq_high << 32 | item->seq_low;
}

/* Accepts NULL. */
static inline void flights_clear(struct flights *ring) {
        if (ring)
                ring->first = ring->count = 0;
}

/* This one was committed. */
void flight_keep(struct interest *, struct delivery *);
/* Takes it out again: the caller frees it or queues it elsewhere. */
void flight_take(struct interest *, struct delivery *);
/* They are of no use any more; what is in flight stays so. */
void flights_forget(struct interest *);

/* CREDIT{sid, seq}: confirms that message and all that were committed before it. Returns false if nothing in flight
 * has that number. */
bool interest_confirm(struct interest *, uint64_t seq);
/* The socket took `count` of them, of so many bytes each (no credit was asked). */
void interest_taken(struct interest *, uint32_t count, uint32_t bytes);

#endif
