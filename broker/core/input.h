/* SPDX-License-Identifier: MIT */
/* What a peer has sent and nobody has looked at yet, and why not:
 *   paused   it leaves too much unread of what the broker itself answered, alone or with the others of its uid
 *   starved  its next frame is large, and the half-read ones of its uid use all that they may
 *   stashed  it has had its turn: the rest goes on in the next one, or (owed) when what its last message made for
 *            others has been as many turns' worth
 * Meanwhile its socket is not read and the clock of its half-read frame stands still. */
#ifndef RAMAL_INPUT_H
#define RAMAL_INPUT_H

#include "base/list.h"
#include "framer.h"

struct core;
struct peer;

struct input {
        struct rml_framer framer;
        struct stash *stash;         /* NULL: nothing waits */
        uint64_t stash_turn;         /* core->turn in which it had its turn */
        struct rml_list resumed_link; /* core->resumed: the stash may go on */
        uint64_t left;               /* frames in this turn */
        uint64_t owed;               /* bytes that it made for others beyond what it may in one turn */
        struct rml_list muffled_link; /* account->muffled: paused because of all of its uid */
        struct rml_list starved_link; /* account->starved */
        uint64_t heard_ns;           /* when input came last */
        uint64_t progress_ns;        /* of the half-read frame */
        uint32_t progress_bytes;
        uint32_t wanted, reserved;   /* of uid_input_bytes: what the half-read frame waits for, or has */
        bool paused, eof;            /* eof: came while the stash waited */
        bool running;                /* a frame of it is being routed: its bytes are in use */
};

#define UNREAD_ALONE_MAX (16u << 10) /* of the broker's answers, whatever others of the uid leave unread */
#define PROGRESS_BYTES (64u << 10) /* of a half-read frame within frame_timeout_ns, or it is closed */

void input_init(struct peer *, uint32_t frame_bytes_max);
/* It is not listened to any more: gives everything back. */
void input_end(struct peer *);
/* Is its clock to stand still? */
bool input_waits(const struct peer *);

/* The frame at hand made the broker look at so many things, or make so many bytes of an answer: what is much of that
 * counts as several frames of the turn. */
void input_looked_much(struct peer *, uint64_t things);
#define INPUT_FRAME_THINGS 16u /* as much work as a frame */
static inline void input_looked(struct peer *peer, uint64_t things) {
        if (things >= INPUT_FRAME_THINGS)
                input_looked_much(peer, things);
}
void input_made(struct peer *, uint64_t bytes);
/* Or so many older messages were dropped for it: two are as much work as a frame. */
static inline void input_dropped(struct peer *peer, uint64_t messages) {
        input_looked(peer, messages * (INPUT_FRAME_THINGS / 2));
}
/* Or so many bytes are to be sent to others: that many of one frame that many turns go by before the next one. */
#define INPUT_OUTPUT_BYTES 1024u /* as much work as a frame */
void input_sends_much(struct peer *, uint64_t bytes);
static inline void input_sends(struct peer *, uint64_t bytes); /* peer.h */
/* Or so many messages go to other members of a group: each is as much work as a frame. */
void input_moved(struct peer *, uint64_t messages);

/* So many bytes of the broker's own answers became unread, or were read (or forgotten). */
void input_unread(struct peer *, size_t bytes);
void input_read(struct peer *, size_t bytes);
/* Who was paused and has read enough goes on: after input_read(). */
void input_check_unread(struct peer *);

/* Goes on with what waited, where it may: each peer for one turn. */
void input_resume(struct core *);

#endif
