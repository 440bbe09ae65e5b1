/* SPDX-License-Identifier: MIT */
/* Fake peers around a real core: each writes frames as a client library would, in any split, takes its output in any
 * portion or not at all, and decodes what it took. Shared by the simulation, the scenario tests and the fuzz target. */
#ifndef RAMAL_TEST_WORLD_H
#define RAMAL_TEST_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bounds.h"
#include "control.h"
#include "core/core.h"
#include "encode.h"
#include "framer.h"
#include "rng.h"
#include "scan.h"
#include "subject.h"

#define WORLD_UID 1000u         /* the broker's own */
#define WORLD_ALLOWED_UID 2000u /* another one that is let in */
#define WORLD_ALLOWED_GID 3000u
#define WORLD_OTHER_UID 4000u /* one that is not */
#define WORLD_START_NS 1000000000u
#define MS(n) ((uint64_t)(n)*1000000u)

static inline bool rng_chance(struct rng *rng, unsigned one_in) {
        return rng_below(rng, one_in) == 0;
}

/* A frame that a fake peer received. Spans of `data` and `control` point into `bytes`. */
struct got {
        struct got *next;
        uint32_t kind;
        uint64_t id;
        struct rml_data data;       /* of a data kind */
        struct rml_control control; /* of a control kind */
        size_t len;
        uint8_t bytes[];
};

/* The control message of a received frame: GOT(got, Status)->code. */
#define GOT(got, type) ((const Ramal__V1__##type *)(const void *)(got)->control.message)

struct fake {
        struct world *world;
        struct fake *next;
        struct peer *peer;  /* NULL after its close */
        uint64_t id, epoch; /* as WELCOME will tell */
        bool local, in;     /* in: got WELCOME */
        uint32_t uid, gid, pid;
        unsigned index;
        bool reads;  /* what an edge would know: core_peer_reading() when it last had to ask */
        bool hold;   /* what it sends is kept until fake_release() */
        bool stuck;  /* takes no output */
        bool dirty;  /* the core said that there is output */
        bool ended;  /* its input ended (EOF, lost) */
        bool closed; /* the core wanted its socket closed, or it was lost */
        struct rml_framer framer;
        uint64_t next_id, publishes; /* frame ids and PUBLISH frames so far */
        size_t last_len;             /* length prefix of the last frame it sent */
        uint64_t taken, fed;         /* bytes */
        uint8_t *held;
        size_t held_len;
        struct got *first, **last, *cursor; /* received frames; cursor: the next to look at */
        void *user;
};

struct world {
        struct core *core;
        uint64_t now, epoch;
        struct rng rng;
        struct fake *fakes;
        unsigned count;
        bool split;          /* feed frames in random pieces */
        bool forget;         /* frames are freed when the next one is looked at */
        uint64_t seed, step; /* printed on failure */
        char again[128];     /* and how to have it once more, when that is not by the seed */
        uint64_t events[16]; /* by kind */
        struct core_limits limits;
        const struct core_uid_limits *uid_limits; /* borrowed */
        size_t uid_limit_count;
        bool closed;                 /* nobody but the own uid and root may come in */
        void (*inside)(bool inside); /* told before and after each call on the core: where memory may run out */
};

static inline void world_inside(const struct world *world, bool inside) {
        if (world->inside)
                world->inside(inside);
}

/* Prints where we are and aborts. */
_Noreturn void world_fail(const struct world *, const char *file, int line, const char *format, ...)
        __attribute__((format(printf, 4, 5)));
#define world_check(world, condition, ...)                                                                             \
        do {                                                                                                           \
                if (!(condition))                                                                                      \
                        world_fail((world), __FILE__, __LINE__, __VA_ARGS__);                                          \
        } while (0)

/* limits: NULL = default. */
struct world *world_new(uint64_t seed, const struct core_limits *limits);
/* The same with default limits and bytes fed in random pieces. */
struct world *world_start(void);
/* The two halves of world_new(), for who wants to set more of *world between them. */
struct world *world_alone(uint64_t seed, const struct core_limits *limits);
void world_begin(struct world *);
/* What the core is made with. */
void world_config(const struct world *, struct core_config *ret);
/* Everybody is lost, all charges must be zero. */
void world_end(struct world *);
void world_free(struct world *);
/* The broker ends and another begins, with an epoch of its own. */
void world_restart(struct world *);
void world_expire(struct world *);
/* Has the core more to do at this time? */
bool world_due(const struct world *);
/* Expires, takes all output (but of stuck peers), closes what is to be closed, until nothing moves. */
void world_turn(struct world *);
/* One turn and no more, whatever waits for the next. */
void world_one_turn(struct world *);
struct core_charges world_charges(const struct world *);
struct core_limits world_defaults(void);
/* Only the closing part of a turn, and the events. */
void world_reap(struct world *);
/* Asks the core who has output. */
void world_collect_dirty(struct world *);
void world_advance(struct world *, uint64_t ns);

/* A local peer that has not said HELLO; NULL and *error when the core refuses it. */
struct fake *fake_connect(struct world *, const struct core_origin *, int *error);
struct fake *fake_local(struct world *, uint32_t uid);
/* The same, through HELLO and WELCOME. */
struct fake *fake_join(struct world *, uint32_t uid);
struct fake *fake_join_as(struct world *, uint32_t uid, const char *app);
struct fake *fake_join_tcp(struct world *);
uint64_t fake_hello(struct fake *, const char *app);
/* nonce: RML_NONCE_BYTES, or NULL. */
uint64_t fake_hello_as(struct fake *, const char *app, bool inspect, const uint8_t *nonce);
/* The edge looks whether it may be read; after each call that is about it. */
void fake_reads(struct fake *);
/* The right answer to a CHALLENGE. */
uint64_t fake_auth(struct fake *, const uint8_t *nonce, const Ramal__V1__Challenge *);
void fake_free(struct fake *);
/* Frees what it received before `until`; NULL: all. */
void fake_forget(struct fake *, const struct got *until);

/* Takes at most `max` bytes of what there is; returns how many. The core may have more then. */
size_t fake_take_once(struct fake *, size_t max);
/* Takes at most `max` bytes of output; returns how many there were. */
size_t fake_take(struct fake *, size_t max);
/* The next received frame that was not looked at, or NULL. */
struct got *fake_next(struct fake *);
/* Forgets all that was received. */
void fake_skip(struct fake *);
void fake_eof(struct fake *);
void fake_lost(struct fake *);
/* Any bytes. */
void fake_raw(struct fake *, const void *bytes, size_t len);
/* Feeds all that was held, at most `step` bytes at a time. */
void fake_release(struct fake *, size_t step);
/* Feeds the first bytes of what was held, and goes on holding. Returns how many are left. */
size_t fake_release_part(struct fake *, size_t max);

struct sub {
        uint64_t sid;
        const char *pattern, *group;
        Ramal__V1__Policy policy;
        bool serve, name, replace, allow_replace, no_queue, no_local, tap;
        Ramal__V1__Start start;
        uint64_t window_bytes, window_messages;
        Ramal__V1__Overflow overflow;
        uint64_t credit_bytes, credit_messages;
};
/* Each returns the frame's id, 0 where it has none. */
uint64_t fake_subscribe(struct fake *, const struct sub *);
#define SUBSCRIBE(fake, ...) fake_subscribe((fake), &(struct sub){__VA_ARGS__})
uint64_t fake_unsubscribe(struct fake *, uint64_t sid);
uint64_t fake_ping(struct fake *);
uint64_t fake_bye(struct fake *, bool drain, uint64_t drain_us);
void fake_confirm(struct fake *, uint64_t sid, uint64_t seq);
void fake_confirm_replies(struct fake *, uint64_t call, uint64_t seq);
void fake_cancel(struct fake *, uint64_t call);
uint64_t fake_control(struct fake *, enum rml_kind, bool with_id, const ProtobufCMessage *);

struct say {
        const char *subject, *type, *text, *key;
        const void *payload;
        size_t len;
        uint32_t flags, code;
        uint64_t token, time_left_us, stream_credit;
        struct rml_span headers; /* encoded */
};
uint64_t fake_data(struct fake *, enum rml_kind, bool with_id, const struct say *);
void fake_publish(struct fake *, const char *subject, const char *text);
/* A payload of `len` bytes. */
void fake_publish_bytes(struct fake *, const char *subject, size_t len);
uint64_t fake_publish_receipt(struct fake *, const char *subject, const char *text);
uint64_t fake_call(struct fake *, const char *subject, const char *text, uint64_t time_left_us);
void fake_reply(struct fake *, uint64_t token, const char *text);
void fake_reply_more(struct fake *, uint64_t token, const char *text);
void fake_reply_error(struct fake *, uint64_t token, uint32_t code, const char *text);

/* A line about a frame, for messages. Returns buf. */
char *got_text(const struct got *, char *buf, size_t size);

#endif
