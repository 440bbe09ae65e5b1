/* SPDX-License-Identifier: MIT */
/* `ramal bench`: what is measured, by whom, and what came of it.
 *
 * A *point* is one row of the result: a scenario with its sizes. A *round* runs a point once, on one of two *sides*:
 * the bus, through libramal, or the bare relay, through sockets. In a round each source and each sink is a process of
 * its own; they share one mapping with us, in which each writes what it did into a place of its own. */
#ifndef RAMAL_TOOLS_BENCH_H
#define RAMAL_TOOLS_BENCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench_histogram.h"

enum bench_scenario {
        BENCH_RTT,
        BENCH_PUB,
        BENCH_FANOUT,
        BENCH_CALLS,
        BENCH_CONNECT,
        BENCH_INTERESTS,
        BENCH_IDLE,
        BENCH_RELAY,
        BENCH_SCENARIOS
};

struct bench_scenario_def {
        const char *name;
        const char *summary;
        const char *unit; /* what its rate counts */
};
extern const struct bench_scenario_def bench_scenarios[BENCH_SCENARIOS];

enum { BENCH_ROUNDS_MAX = 99, BENCH_WORKERS_MAX = 192, BENCH_IN_FLIGHT_MAX = 65536, BENCH_TEXT = 320 };

/* Where the processes run. */
enum bench_place { BENCH_AT_BROKER, BENCH_AT_SOURCE, BENCH_AT_SINK, BENCH_PLACES };

struct bench_pin {
        char name[32];         /* "any", or as it was given: "0", "0,1,1" */
        int cpu[BENCH_PLACES]; /* -1: any */
};

/* One row. What a scenario has no use for is 0. */
struct bench_point {
        enum bench_scenario scenario;
        uint64_t size, subscribers, publishers, in_flight, connections, interests;
        struct bench_pin pin;
};

struct bench_plan {
        enum bench_scenario scenario; /* as it was asked for */
        struct bench_point *points;
        size_t point_count;
        const char *swept; /* the option that was given as a list, or NULL */
        uint64_t count;    /* messages of each source in a round; 0: for `duration_ns` */
        uint64_t duration_ns;
        uint64_t rounds;
        uint64_t window; /* messages under way at most; 0: as many as the bus or the sockets take */
        bool batch, spin, relay, tcp;
};

/* ---- what the processes of a round share ---- */

enum bench_phase { BENCH_WAIT, BENCH_GO, BENCH_STOP, BENCH_QUIT };

/* Written by one process, read by us. */
struct bench_worker {
        _Alignas(64) _Atomic uint64_t messages; /* received and right; for askers, calls answered; connections made */
        _Atomic uint64_t sent;
        _Atomic uint64_t missing;  /* holes in the numbers */
        _Atomic uint64_t gaps;     /* missing by the broker's own word */
        _Atomic uint64_t wrong;    /* not what was sent, repeated, or out of order */
        _Atomic uint64_t refused;  /* publishes */
        _Atomic uint64_t start_ns; /* the first message after the latest order */
        _Atomic uint64_t last_ns;  /* the last one that the latest order asked for */
        _Atomic uint64_t done;     /* number of the order that it has carried out */
        _Atomic bool ready, failed;
        _Atomic int code;      /* the library's errno for it, or 0 */
        char text[BENCH_TEXT]; /* why it failed */
        struct bench_histogram histogram;
};

struct bench_shared {
        _Alignas(64) _Atomic uint64_t order; /* counts the changes of phase, limit and hold */
        _Atomic uint64_t limit;              /* a source stops when it has sent so many */
        _Atomic uint64_t room;               /* that the sources have taken so far, in messages */
        _Atomic int phase;
        _Atomic bool record; /* latencies */
        _Atomic bool hold;   /* the holder of many interests shall subscribe them */
        struct bench_worker workers[BENCH_WORKERS_MAX];
};

struct bench_relay;

/* What a round is told. */
struct bench_job {
        const struct bench_plan *plan;
        const struct bench_point *point;
        const char *address; /* of the bus */
        const char *token_file;
        const struct bench_relay *relay; /* NULL: the bus */
        char subject[48];                /* nobody else's */
};

/* One process of a round. */
struct bench_task {
        const struct bench_job *job;
        struct bench_shared *shared;
        struct bench_worker *self;
        unsigned index; /* among those with the same role, from 0 */
        unsigned share; /* idle: so many connections are this one's */
};

enum bench_role {
        BENCH_SOURCE,    /* publishes */
        BENCH_SINK,      /* subscribes */
        BENCH_ASKER,     /* calls */
        BENCH_ANSWERER,  /* answers with what it was asked */
        BENCH_CONNECTOR, /* connects and goes, again and again */
        BENCH_IDLER,     /* holds connections */
        BENCH_HOLDER,    /* holds interests */
        BENCH_ROLES
};

/* Runs until BENCH_QUIT. Returns 0, or -1 after bench_task_fail(). */
typedef int (*bench_role_fn)(struct bench_task *task);
/* NULL: that side has no such role. */
extern const bench_role_fn bench_bus_roles[BENCH_ROLES], bench_relay_roles[BENCH_ROLES];

/* ---- for the processes: bench_task.c ---- */

/* Says why it cannot go on. Returns -1. */
int bench_task_fail(struct bench_task *task, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Says that it is there, and waits for the first order. Returns false for BENCH_QUIT. */
bool bench_task_ready(struct bench_task *task);
enum bench_phase bench_task_phase(const struct bench_task *task);
/* May a source that has sent so many send another one? */
bool bench_task_may_send(const struct bench_task *task, uint64_t sent);
/* A pause of a source that may not send, so short that nobody waits for it. */
void bench_task_pause(void);
/* Takes room for messages from the plan's window, which all publishers share: it is what is under way to the slowest
 * sink and what others have taken. Even without a window there is a bound over the bus: more than the broker holds for
 * a connection would be refused. waits: the sender waits already. Returns for how many, 0: there is none now. */
uint64_t bench_task_take_room(const struct bench_task *task, bool waits);
/* What was not used. */
void bench_task_return_room(const struct bench_task *task, uint64_t room);

static inline void bench_count(_Atomic uint64_t *counter, uint64_t more) {
        /* Only its own process writes it. */
        atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more,
                              memory_order_relaxed);
}

/* ---- payloads: bench_payload.c ---- */

/* As much of it as there is room for: the number (6 bytes) and the sender (2), the time of sending (8), a pattern. */
struct bench_payload {
        unsigned char *bytes;
        size_t size;
};

int bench_payload_new(struct bench_payload *payload, size_t size);
void bench_payload_free(struct bench_payload *payload);
/* stamp: CLOCK_MONOTONIC, 0: none. */
void bench_payload_mark(struct bench_payload *payload, unsigned source, uint64_t number, uint64_t stamp);
/* Is a clock to be read for the message? For each where that costs little beside the sending. */
bool bench_payload_stamped(const struct bench_plan *plan, size_t size, uint64_t number);

/* What a sink has had so far. */
struct bench_track {
        struct bench_payload pattern;
        uint64_t *next; /* number of the next message of each source */
        unsigned sources;
        uint64_t seen;
};

int bench_track_new(struct bench_track *track, size_t size, unsigned sources);
void bench_track_free(struct bench_track *track);
/* Holds a message against what should come. Returns false where it is not right, and counts it as wrong; else what
 * is missing before it is counted as missing. stamp: gets the time that it bears, or 0. */
bool bench_track_check(struct bench_track *track, struct bench_task *task, const void *data, size_t len,
                       uint64_t *stamp);
/* The same for a sink: and counts it, and how long it took. */
void bench_track_receive(struct bench_track *track, struct bench_task *task, const void *data, size_t len);
/* How long a call took, and that it is answered. */
void bench_track_answered(struct bench_task *task, uint64_t sent_at, uint64_t now);

uint64_t bench_now(void);
/* pid: 0: this process. Below 0 is no CPU, and nothing happens. */
void bench_pin_to(pid_t pid, int cpu);

#endif
