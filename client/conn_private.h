/* SPDX-License-Identifier: MIT */
/* The connection and everything inside the library; objects.h has what programs hold handles on.
 *
 * A turn (turn.c) is: what was posted, what was put aside, what lies in the input buffer, one recv, what is due, and
 * at its end one send. Callbacks run only in a turn, and never one inside another: a function that blocks inside a
 * callback reads on, takes what it waits for and puts all other frames aside (`stash`), in order, for the next turn.
 *
 * The memory of a connection that is closed inside a callback, and of interests that are cancelled there, lives until
 * the callback has returned (`busy`, `running`). */
#ifndef RAMAL_CONN_PRIVATE_H
#define RAMAL_CONN_PRIVATE_H

#include "client/objects.h"

#include <errno.h>
#include <string.h>

/* ---- the connection ---- */

enum rml_phase {
        RML_PHASE_IDLE,    /* until timer_at */
        RML_PHASE_CONNECT, /* TCP: waits for the socket to be writable */
        RML_PHASE_HELLO,   /* HELLO is sent */
        RML_PHASE_AUTH,    /* AUTH is sent */
        RML_PHASE_UP,
        RML_PHASE_DOWN
};

struct rml_target {
        struct rml_addr addr;
        struct rml_endpoint endpoint;
        char text[340];
        char why[200]; /* it failed */
};

struct rml_out {
        uint8_t *bytes;
        size_t at, len, room;
        size_t boundary;  /* where the first frame that begins in here begins; before it is the rest of one */
        bool rest_counts; /* that rest is of a message */
};

/* A frame that was read inside a callback. */
struct rml_stashed {
        struct rml_list link;
        struct rml_blob *blob;
        uint64_t arrived;
        size_t len;
        uint8_t bytes[];
};

/* Room for what was refused with -EAGAIN. All zero: for nothing. */
struct rml_want {
        size_t room;     /* in the output */
        uint64_t credit; /* publish credit */
};

struct rml_post {
        struct rml_post *next;
        ramal_conn_fn fn;
        void *user;
};

struct ramal_conn {
        ramal_conn *self;               /* where a const pointer must note something */
        const volatile uint32_t *alive; /* a page that fork() wipes; NULL: none (yet): compare pid */
        pid_t pid;
        unsigned asked; /* so often whose it is, without that page */
        unsigned busy;  /* public functions under way that need the memory afterwards */
        bool in_callback, closed, quiet, foreign;

        /* options */
        char *app, *token_file, *address_option;
        ramal_bus bus;
        size_t out_max;
        uint64_t connect_timeout, backoff_min, backoff_max;
        bool no_reconnect, wait_broker, inspect;
        ramal_state_fn on_state;
        ramal_refused_fn on_refused;
        ramal_conn_fn on_writable;
        void *user;

        /* descriptors */
        int epoll, timer, event, sock;
        uint32_t sock_events; /* as registered with epoll */
        bool wider;           /* the socket may be given room for more, once it is full */
        uint64_t timer_armed; /* as set in the timerfd */
        atomic_bool woken;    /* the eventfd is, or is about to be, readable */
        _Atomic(struct rml_post *) posts;
        atomic_bool stopping;
        atomic_int stop_status;
        struct rml_spin spin;
        uint64_t spin_since; /* it is under way; 0: none is */
        unsigned spin_yields;
        bool sock_empty; /* the last look took all that there was: who waits need not look again before */

        /* where to */
        struct rml_target targets[RML_TARGETS_MAX];
        size_t target_count, target;
        enum rml_phase phase;
        ramal_state state;
        uint64_t timer_at; /* IDLE: next attempt; else until WELCOME: give this one up. RAMAL_NEVER = none */
        uint64_t attempt_until;
        bool again; /* IDLE: the listen queue was full: the same target again */
        unsigned attempts;
        bool ever;       /* was connected once */
        uint64_t losses; /* how often it was lost since */
        uint8_t token[RML_TOKEN_BYTES], nonce[RML_NONCE_BYTES];
        ramal_error error;
        ramal_error goaway; /* code 0: none came */
        uint64_t peer, epoch;
        char *server;
        uint64_t payload_max, frame_max;

        /* in */
        struct rml_framer framer;
        uint8_t *in, *in_nested;
        size_t in_room;        /* of `in`: RML_IN_BYTES_FEW, RML_IN_BYTES or RML_IN_BYTES_BIG */
        bool in_filled;        /* by the last recv */
        struct rml_span input; /* what is left of the last recv */
        struct rml_list stash;
        uint64_t arrived;  /* when the frame that is looked at was read, where it was put aside since; else 0 */
        int broken;        /* the connection is lost, for that reason; the next turn cleans up */
        bool out_dead;     /* nothing can be sent; what was received is still read */
        uint64_t heard_at; /* last input (TCP) */

        /* out */
        struct rml_out out;
        unsigned corked;
        struct rml_want wants;            /* of whoever got -EAGAIN: on_writable is due when there is room */
        const struct rml_want *blocked;   /* of ramal_publish_block(), which comes before them; NULL: none waits */
        bool thwarted;                    /* the latest publish was refused for want of credit */
        uint64_t credit_max, credit_used; /* publish credit: what the broker gave, and our copy of its count */
        uint64_t ids;                     /* last Frame.id */
        uint64_t published, accepted, refused;
        uint64_t probe_bytes, probe_at;
        struct rml_ping probe;
        uint64_t probed;                              /* publishes before the latest probe */
        char last_subject[RML_SUBJECT_BYTES_MAX + 1]; /* known to be well-formed */
        size_t last_subject_len;

        /* what hangs on it */
        struct rml_table pending, sids, tokens;
        uint64_t last_sid;
        ramal_sub *recent; /* the last one that got something */
        struct rml_list subs, blocks, changed, calls, calls_ended, receipts, reqs, reqs_due, confirm_now, confirm_later;
        struct rml_heap timers;
        uint64_t timer_ties;
        uint64_t confirm_at;
        bool draining, drained; /* BYE was sent, was answered */
        int unheard_error;      /* a refusal that nobody was told of */
        ramal_sub *peer_sub, *peer_srv;

        /* this turn */
        unsigned ran, budget;
        bool received;
};

/* conn.c */
bool rml_alive_slow(const ramal_conn *);
bool rml_alive_anywhere(const ramal_conn *); /* for other threads and signal handlers */
/* Not carried over fork()? */
static inline bool rml_alive(const ramal_conn *conn) {
        return conn->alive ? *conn->alive != 0 : rml_alive_slow(conn);
}
/* 0, or -ECHILD / -ESHUTDOWN: the first line of every public function. */
static inline int rml_usable(const ramal_conn *conn) {
        if (!rml_alive(conn))
                return -ECHILD;
        return conn->closed || conn->state == RAMAL_CLOSED ? -ESHUTDOWN : 0;
}
void rml_enter(ramal_conn *);
/* Returns false when the connection was closed meanwhile, and is freed now. */
bool rml_leave(ramal_conn *);
void rml_set_state(ramal_conn *, ramal_state, const ramal_error *, uint64_t unconfirmed);
static inline void rml_callback_begin(ramal_conn *conn) {
        conn->in_callback = true;
        conn->ran++;
}
static inline void rml_callback_end(ramal_conn *conn) {
        conn->in_callback = false;
}

/* error.c */
int rml_error(ramal_error *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
int rml_error_copy(ramal_error *err, const ramal_error *from); /* returns its code */
int rml_error_status(ramal_error *err, const Ramal__V1__Status *);
/* What an errno of the system says, in our words or as a number. */
const char *rml_errno_text(int code, char buf[32]);

/* io.c */
int rml_io_init(ramal_conn *);
void rml_io_deinit(ramal_conn *);
void rml_io_socket(ramal_conn *, int fd); /* takes it */
void rml_io_close_socket(ramal_conn *);
void rml_io_arm(ramal_conn *);    /* for foreign loops: epoll's interest and the timer */
void rml_io_settle(ramal_conn *); /* and readable, where a turn has something to do */
void rml_io_take_wake(ramal_conn *);
void rml_wake(ramal_conn *);
/* Sleeps until input, room for output, a wake-up or the deadline; or, where that pays off, only yields the processor:
 * the caller looks again in any case. */
void rml_io_sleep(ramal_conn *, uint64_t deadline);
void rml_io_found(ramal_conn *); /* input came: if it was while spinning, that was worth it */
uint64_t rml_next_deadline(const ramal_conn *);

/* out.c */
/* Room for n more bytes at the end; NULL without memory. rml_out_add() takes what was written there. */
uint8_t *rml_out_reserve(ramal_conn *, size_t n);
void rml_out_add(ramal_conn *, size_t n);
/* A frame was added (or all of a batch): sends it unless it is to be batched. */
void rml_out_kick(ramal_conn *);
/* Sends what the socket takes. Returns 0 (all, or as much as it takes), or -errno: nothing can be sent any more. */
int rml_out_send(ramal_conn *);
size_t rml_out_pending(const ramal_conn *);
uint64_t rml_out_messages(const ramal_conn *); /* not sent */
bool rml_out_has_room(const ramal_conn *, const struct rml_want *);
bool rml_out_writable(const ramal_conn *); /* is on_writable due? */
void rml_out_clear(ramal_conn *);
/* One data frame. Returns 0, -EAGAIN, -ENOMEM, -ENOTCONN, -EMSGSIZE. */
struct rml_letter {
        enum rml_kind kind;
        uint64_t id;
        const struct rml_hop *hop; /* NULL: there is nothing in it */
        struct rml_span subject, type, payload;
        const ramal_header *headers;
        size_t header_count;
        struct rml_want *want; /* obeys out_max, and a publish its credit; gets what is needed with -EAGAIN. NULL: no */
        size_t tail_bytes;     /* set: payload and envelope */
        size_t frame_bytes;    /* set: the value of its length prefix */
};
int rml_out_letter(ramal_conn *, struct rml_letter *);
/* A control frame. Returns 0, -ENOMEM, -ENOTCONN. */
int rml_out_control(ramal_conn *, enum rml_kind, uint64_t id, const ProtobufCMessage *);
/* Type and headers, the key or the subject, as the wire demands them? 0, or -EINVAL and why in conn->error. */
int rml_check_envelope(ramal_conn *, const char *type, const ramal_header *, size_t count);
int rml_check_key(ramal_conn *, const char *key);
int rml_check_subject(ramal_conn *, const char *subject, size_t *len);
/* Why that subject could not be published or called: r, which is returned. */
int rml_error_subject(const ramal_conn *, ramal_error *err, int r, const char *subject);

/* turn.c */
/* One turn. Returns the number of callbacks, or -ESHUTDOWN. Not in a callback. */
int rml_turn(ramal_conn *, unsigned budget);
/* Anything that a turn could do without the socket? */
bool rml_has_work(const ramal_conn *);
/* Reads and does what one blocking function needs: a turn, or inside a callback only what has no callback; then
 * waits until something happens, the deadline at the latest. Returns 0 to look again; -ETIMEDOUT, -EINTR,
 * -ESHUTDOWN. */
int rml_block(ramal_conn *, uint64_t deadline);
/* The same for somebody who waits for room, and need not sleep where it is there. */
int rml_block_for(ramal_conn *, uint64_t deadline, const struct rml_want *);
/* Reads once without running callbacks. Returns true when anything came. */
bool rml_read_quietly(ramal_conn *);
void rml_callbacks_due(ramal_conn *); /* state changes and requests' events, where none is running */

/* input.c */
enum rml_took { RML_TOOK, RML_TOOK_LATER /* needs a callback: put it aside */ };
/* One frame. nested: no callback may run. */
enum rml_took rml_frame(ramal_conn *, const struct rml_raw *, bool nested);
/* All whole frames in conn->input; nested ones that need a callback are put aside. */
void rml_frames(ramal_conn *, bool nested);
void rml_stash_clear(ramal_conn *);
void rml_protocol_error(ramal_conn *, const char *reason);
/* Something cannot be done for want of memory, and forgetting it would leave somebody waiting for ever: the connection
 * is lost, and begun again. */
void rml_starved(ramal_conn *, const char *what);

/* handshake.c */
int rml_targets_init(ramal_conn *, ramal_error *err);
void rml_attempt(ramal_conn *);
void rml_target_failed(ramal_conn *, int code, const char *why);
void rml_handshake_writable(ramal_conn *);
void rml_handshake_frame(ramal_conn *, const struct rml_control *);
void rml_handshake_timeout(ramal_conn *);

/* reconnect.c */
void rml_attempt_failed(ramal_conn *, const ramal_error *);
void rml_welcomed(ramal_conn *);
/* Cleans up after conn->broken. */
void rml_lost(ramal_conn *);
void rml_end(ramal_conn *, const ramal_error *); /* RAMAL_CLOSED */

/* token.c, auth.c or auth_none.c */
int rml_token_load(ramal_conn *, ramal_error *err);
bool rml_auth_available(void);
int rml_auth_nonce(uint8_t nonce[RML_NONCE_BYTES]);
enum rml_role { RML_ROLE_BROKER, RML_ROLE_CLIENT };
void rml_auth_proof(const uint8_t *token, enum rml_role, const uint8_t *client_nonce, const uint8_t *broker_nonce,
                    uint8_t proof[RML_PROOF_BYTES]);
bool rml_auth_equal(const uint8_t *a, const uint8_t *b);
void rml_auth_forget(void *secret, size_t len);

/* ask.c */
uint64_t rml_ask(ramal_conn *, struct rml_pending *, enum rml_ask); /* returns the id for the frame */
void rml_ask_forget(ramal_conn *, struct rml_pending *);
struct rml_pending *rml_ask_find(const ramal_conn *, uint64_t id);
void rml_ask_answered(ramal_conn *, struct rml_pending *);
int rml_ping(ramal_conn *, struct rml_ping *);
int rml_probe_now(ramal_conn *, uint64_t now);
void rml_probe(ramal_conn *, uint64_t now);

/* credit.c */
bool rml_credit_fits(const ramal_conn *, uint64_t bytes);
bool rml_credit_lacking(const ramal_conn *); /* was somebody refused for want of it, and is it wanting still? */
/* Somebody finds no room: asks the broker what is free, unless it tells by itself. Returns 0, -ENOMEM, -ENOTCONN. */
int rml_credit_ask(ramal_conn *);
void rml_credit_returned(ramal_conn *, uint64_t bytes);
void rml_credit_refused(ramal_conn *, const Ramal__V1__Status *);
/* The `block` subscription of ours for which the broker may be holding others back, so that they wait for what our
 * callbacks do; NULL: there is none. */
const ramal_sub *rml_credit_holder(const ramal_conn *);

/* publish.c */
void rml_receipt_end(ramal_conn *, struct rml_receipt *, uint64_t receivers, const ramal_error *);
void rml_receipts_fail(ramal_conn *, const ramal_error *);
void rml_publish_refused(ramal_conn *, const Ramal__V1__Status *);
void rml_refusal(ramal_conn *, const ramal_refusal *);

/* subscribe.c */
int rml_sub_new(ramal_conn *, const ramal_interest *, bool name, bool serve, ramal_sub **ret);
/* Starts it and gives it away to *ret, if there is one. */
int rml_sub_start(ramal_sub *, ramal_sub **ret);
void rml_sub_ask(ramal_sub *);
void rml_sub_unsubscribe(ramal_sub *);
ramal_sub *rml_sub_find_slow(ramal_conn *, uint64_t sid);
static inline ramal_sub *rml_sub_find(ramal_conn *conn, uint64_t sid) {
        return conn->recent && conn->recent->sid == sid ? conn->recent : rml_sub_find_slow(conn, sid);
}
void rml_sub_set_state(ramal_sub *, ramal_sub_state, uint64_t queued, ramal_why, const ramal_error *);
void rml_sub_tell(ramal_sub *);
void rml_sub_subscribed(ramal_conn *, ramal_sub *, const Ramal__V1__Subscribed *);
void rml_sub_free(ramal_sub *);
void rml_sub_release(ramal_sub *); /* after a callback of it */
void rml_subs_lost(ramal_conn *);
void rml_subs_again(ramal_conn *);

/* deliver.c */
enum rml_took rml_deliver(ramal_conn *, const struct rml_frame *, const struct rml_raw *, bool nested);
enum rml_took rml_gap(ramal_conn *, const Ramal__V1__Gap *, bool nested);
enum rml_took rml_interest(ramal_conn *, const Ramal__V1__Interest *, bool nested);
void rml_item_free(struct rml_item *);
void rml_sub_confirm_queued(ramal_sub *); /* as if it was taken: the broker need not wait for that */

/* confirm.c */
void rml_confirm_done(ramal_conn *, struct rml_confirm *, uint64_t seq, size_t bytes);
/* Returns false where there is no memory for it: it is to be sent again. */
bool rml_confirm_send(ramal_conn *, struct rml_confirm *);
void rml_confirm_turn(ramal_conn *, uint64_t now);
void rml_confirm_all(ramal_conn *);
void rml_confirm_reset(struct rml_confirm *);

/* request.c */
/* The library's own: not waited for by ramal_drain(), nor kept back by out_bytes_max. NULL: no memory, or not UP. */
ramal_call *rml_request_internal(ramal_conn *, const char *subject, uint64_t deadline, ramal_reply_fn, void *user);
enum rml_took rml_reply(ramal_conn *, const struct rml_frame *, const struct rml_raw *, bool nested);
void rml_call_status(ramal_conn *, ramal_call *, const Ramal__V1__Status *);
void rml_call_end(ramal_call *, const ramal_error *);
void rml_calls_fail(ramal_conn *, const ramal_error *);
void rml_calls_expire(ramal_conn *, uint64_t now);
void rml_calls_free(ramal_conn *);

/* serve.c */
/* Answers a request that nobody is there to handle. */
void rml_serve_refuse(ramal_conn *, uint64_t token, const char *why);
void rml_serve_deliver(ramal_conn *, ramal_sub *, const struct rml_data *, size_t bytes);
enum rml_took rml_serve_cancel(ramal_conn *, const Ramal__V1__Cancel *, bool nested);
void rml_serve_credit(ramal_conn *, const Ramal__V1__Credit *);
void rml_reqs_due(ramal_conn *);
void rml_reqs_lost(ramal_conn *);
void rml_reqs_free(ramal_conn *);

/* name.c */
void rml_watch_subscribed(ramal_sub *);
void rml_watch_free(ramal_sub *);

/* Callbacks go through this, one at a time. `free` things only after it. */
#define RML_CALLBACK(conn, call)                                                                                       \
        do {                                                                                                           \
                rml_callback_begin(conn);                                                                              \
                call;                                                                                                  \
                rml_callback_end(conn);                                                                                \
        } while (0)

/* Microseconds that are left until a deadline, rounded up, so that it never reads as none. */
static inline uint64_t rml_time_left_us(uint64_t deadline, uint64_t now) {
        return deadline == RAMAL_NEVER ? 0 : (deadline - now + 999) / 1000;
}
static inline uint64_t rml_min64(uint64_t a, uint64_t b) {
        return a < b ? a : b;
}
static inline struct rml_span rml_span_text(const char *text) {
        return text ? rml_span_of(text) : (struct rml_span){NULL, 0};
}
/* Copies what the caller's version of a growing structure has; the rest is zero. -EINVAL where `size` was forgotten:
 * all that the caller asks for would be ignored. */
#define RML_TAKE_OPTIONS(conn, to, from) rml_take_options((conn), (to), sizeof(*(to)), 1 ? (from) : (to))
static inline int rml_take_options(ramal_conn *conn, void *to, size_t to_size, const void *from) {
        size_t size;

        memset(to, 0, to_size);
        if (!from)
                return 0;
        memcpy(&size, from, sizeof(size));
        if (size <= sizeof(size))
                return rml_error(&conn->error, -EINVAL, "`size` of the options is not set");
        memcpy(to, from, size < to_size ? size : to_size);
        return 0;
}

#endif
