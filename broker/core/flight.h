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
        uint32_t seq; /* low half */
        uint32_t bytes;
};
struct flight_ring {
        struct flight *items;
        uint32_t first, count, room; /* room is a power of two or 0 */
};

/* Did the receiver ask for credit? Else its socket confirms, and the ring stays empty. */
bool credit_asked(const struct interest *);
/* Would its credit let a message of that size through? */
bool credit_open(const struct interest *, size_t charge);

/* Room for one more. Returns false without memory. */
bool flights_grow(struct flight_ring *);
static inline bool flights_reserve(struct flight_ring *ring) {
        return ring->count < ring->room || flights_grow(ring);
}
static inline void flights_push(struct flight_ring *ring, uint64_t seq, size_t bytes) {
        ring->items[(ring->first + ring->count++) & (ring->room - 1)] = (struct flight){(uint32_t)seq, (uint32_t)bytes};
}

/* A group's subscriber keeps what is in flight, charged as what is queued, for the others in case that it dies. */
bool flight_kept(const struct interest *);
/* This one was committed. */
void flight_keep(struct interest *, struct delivery *);
/* Takes it out again: the caller frees it or queues it elsewhere. */
void flight_take(struct interest *, struct delivery *);
/* They are of no use any more; what is in flight stays so. */
void flights_forget(struct interest *);

/* CREDIT{sid, seq}: confirms that message and all that were committed before it. Returns false if nothing in flight
 * has that number. */
bool interest_confirm(struct interest *, uint64_t seq);
/* The socket took one (no credit was asked). */
void interest_taken(struct interest *, uint32_t bytes);

#endif
