/* SPDX-License-Identifier: MIT */
/* Waits for descriptors: level-triggered epoll, one thread, one deadline. Everything else hangs on this narrow seam, so
 * that another mechanism could take its place.
 *
 * A turn is loop_wait(), then loop_dispatch(). A callback may add, change and remove any source, its own too: a removed
 * source is never called again, also when its event was already taken from the kernel. */
#ifndef RAMAL_LOOP_H
#define RAMAL_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#define LOOP_NEVER UINT64_MAX

enum {
        LOOP_READ = 1,
        LOOP_WRITE = 2,
        LOOP_HANGUP = 4, /* error or hang-up in both directions; comes unasked */
};

typedef void (*loop_fn)(void *user, unsigned events);

/* Embedded by its owner, who keeps it in place while it is added. All zero = not added. */
struct loop_source {
        int fd;
        uint32_t pending; /* its place among the events being dispatched, from 1; 0 = none */
        uint16_t events;
        bool added;
        loop_fn fn;
        void *user;
};

struct loop;

/* Returns 0 or -errno. spin_ns: how long a loop that is woken again and again looks for work before it sleeps (it
 * yields the processor between looks: proto/spin.h); 0 = never. */
int loop_new(uint64_t spin_ns, struct loop **ret);
struct loop *loop_free(struct loop *); /* its sources must be removed before */

/* Returns 0 or -errno (nothing changed). fd is the caller's. */
int loop_add(struct loop *, struct loop_source *, int fd, unsigned events, loop_fn fn, void *user);
int loop_change(struct loop *, struct loop_source *, unsigned events);
/* No-op for a source that is not added. Call it before the descriptor is closed. */
void loop_remove(struct loop *, struct loop_source *);
/* The same for a descriptor that is closed before the next loop_wait() and that nobody else holds: so the kernel
 * forgets it, too, without being told. */
void loop_forget(struct loop *, struct loop_source *);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t loop_now(void);

/* Waits until something is ready or the deadline is over. Returns how many sources are ready (0 = none), or -errno.
 * *now is the time after the wait. */
int loop_wait(struct loop *, uint64_t deadline_ns, uint64_t *now);
/* Calls those that loop_wait() found. Returns true if it could not hold all of them: some that were ready have not been
 * called yet. They come first in the next turns, so that each gets its turn before anybody gets two. */
bool loop_dispatch(struct loop *);

#endif
