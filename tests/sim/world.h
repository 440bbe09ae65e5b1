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
        struct peer *peer; /* NULL after its close */
        uint64_t id;       /* from WELCOME */
        uint32_t uid;
        unsigned index;
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
        uint64_t now;
        struct rng rng;
        struct fake *fakes;
        unsigned count;
        bool split;          /* feed frames in random pieces */
        bool forget;         /* frames are freed when the next one is looked at */
        uint64_t seed, step; /* printed on failure */
        uint64_t events[CORE_EVENT_LIMIT + 1];
        struct core_limits limits;
};

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
/* Everybody is lost, all charges must be zero. */
void world_free(struct world *);
/* Expires, takes all output (but of stuck peers), closes what is to be closed, until nothing moves. */
void world_turn(struct world *);
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
        const char *subject, *type, *text;
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
