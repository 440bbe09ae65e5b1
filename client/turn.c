/* SPDX-License-Identifier: MIT */
/* The loop: one turn, and what blocks on it. */
#include "client/conn_private.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/wire.h"

bool rml_has_work(const ramal_conn *conn) {
        return conn->input.len > 0 || rml_framer_whole(&conn->framer) || !rml_list_empty(&conn->stash) ||
               !rml_list_empty(&conn->changed) || !rml_list_empty(&conn->reqs_due) || conn->broken || conn->out_dead ||
               conn->unheard_error || rml_out_writable(conn) ||
               atomic_load_explicit(&conn->posts, memory_order_relaxed) ||
               conn->state == RAMAL_CLOSED; /* as the end of a file: whoever looks, is told */
}

/* First the wake-up is taken, then the posts: whoever posts after that wakes us again. */
static struct rml_post *take_posts(ramal_conn *conn) {
        rml_io_take_wake(conn);
        if (!atomic_load(&conn->posts))
                return NULL;
        struct rml_post *newest = atomic_exchange(&conn->posts, NULL), *first = NULL;
        while (newest) {
                struct rml_post *next = newest->next;
                newest->next = first;
                first = newest;
                newest = next;
        }
        return first;
}

static void run_posts(ramal_conn *conn) {
        struct rml_post *post = take_posts(conn);

        while (post) {
                struct rml_post *next = post->next;
                if (!conn->closed)
                        RML_CALLBACK(conn, post->fn(conn, post->user));
                free(post);
                post = next;
        }
}

int ramal_post(ramal_conn *conn, ramal_conn_fn fn, void *user) {
        if (!rml_alive_anywhere(conn))
                return -ECHILD;
        struct rml_post *post = malloc(sizeof(*post));
        if (!post)
                return -ENOMEM;
        *post = (struct rml_post){.fn = fn, .user = user};
        post->next = atomic_load(&conn->posts);
        while (!atomic_compare_exchange_weak(&conn->posts, &post->next, post))
                ;
        rml_wake(conn);
        return 0;
}

void ramal_stop(ramal_conn *conn, int status) {
        if (!rml_alive_anywhere(conn))
                return;
        atomic_store(&conn->stop_status, status);
        atomic_store(&conn->stopping, true);
        rml_wake(conn);
}

/* Is there nothing left of the last recv? */
static bool used_up(const ramal_conn *conn) {
        return conn->input.len == 0 && !rml_framer_whole(&conn->framer);
}

/* One recv. The rest of a long frame goes straight to where it will stay. */
static bool receive(ramal_conn *conn, uint8_t *buffer, size_t room) {
        if (conn->sock < 0 || conn->phase < RML_PHASE_HELLO || conn->broken || !used_up(conn))
                return false;
        uint8_t *place = rml_framer_room(&conn->framer, &room);
        ssize_t n = rml_wire_recv(conn->sock, place ? place : buffer, room);
        conn->sock_empty = n == -EAGAIN || (n > 0 && n < (ssize_t)RML_IN_BYTES_FEW && (size_t)n < room);
        if (n > 0) {
                rml_io_found(conn);
                if (place)
                        rml_framer_filled(&conn->framer, (size_t)n);
                else
                        conn->input = (struct rml_span){buffer, (size_t)n};
                conn->received = true;
                if (conn->targets[conn->target].addr.kind == RML_ADDR_TCP)
                        conn->heard_at = ramal_now();
                return true;
        }
        if (n == 0)
                conn->broken = -ECONNRESET;
        else if (n == -EAGAIN && conn->out_dead)
                conn->broken = -ECONNRESET; /* nothing goes out, nothing comes in */
        else if (n != -EAGAIN && n != -ENOMEM && n != -ENOBUFS)
                conn->broken = n == -EPIPE ? -ECONNRESET : (int)n;
        return false;
}

/* How large the first buffer should be. It is small until that was too little: most connections are idle most of the
 * time. Frames about as long as it is would all be cut, and copied; much longer ones find their place by themselves. */
static size_t fitting_room(const ramal_conn *conn) {
        const struct rml_span none = {NULL, 0};
        size_t frame = rml_framer_pending(&conn->framer) > 0 ? rml_framer_declared(&conn->framer, &none) : 0;

        if (frame > RML_IN_BYTES / 2 && frame <= 3 * RML_IN_BYTES)
                return RML_IN_BYTES_BIG;
        return conn->in_filled && conn->in_room < RML_IN_BYTES ? RML_IN_BYTES : conn->in_room;
}

static bool receive_first(ramal_conn *conn) {
        size_t room = fitting_room(conn);

        if (room > conn->in_room && used_up(conn)) {
                uint8_t *bigger = realloc(conn->in, room);
                if (bigger) {
                        conn->in = bigger;
                        conn->in_room = room;
                }
        }
        bool any = receive(conn, conn->in, conn->in_room);
        conn->in_filled = any && conn->input.len == conn->in_room;
        return any;
}

/* What it reads is used up when it returns. In a callback it reads into another buffer: the message that the callback
 * has lies in the first. Without memory for it a little at a time; what was left in the socket would wake us for ever. */
bool rml_read_quietly(ramal_conn *conn) {
        bool outer = conn->in_callback;
        uint64_t arrived = conn->arrived;
        uint8_t spare[2048];

        conn->arrived = 0;
        conn->in_callback = true; /* whatever comes runs nothing */
        rml_io_take_wake(conn);   /* what was posted waits for the next turn; the descriptor must not keep us awake */
        bool any = !used_up(conn);
        rml_frames(conn, true); /* what the callback's own turn had not come to */
        if (outer && !conn->in_nested)
                conn->in_nested = malloc(RML_IN_BYTES);
        if (!outer)
                any = receive_first(conn) || any;
        else if (conn->in_nested)
                any = receive(conn, conn->in_nested, RML_IN_BYTES) || any;
        else
                any = receive(conn, spare, sizeof(spare)) || any;
        rml_frames(conn, true);
        conn->in_callback = outer;
        conn->arrived = arrived;
        return any;
}

void rml_callbacks_due(ramal_conn *conn) {
        while (!conn->closed && !conn->in_callback && !rml_list_empty(&conn->changed))
                rml_sub_tell(rml_list_entry(rml_list_first(&conn->changed), ramal_sub, changed));
        if (!conn->closed && !conn->in_callback)
                rml_reqs_due(conn);
}

/* What was put aside while a callback blocked. */
static void run_stash(ramal_conn *conn) {
        while (!conn->closed && !rml_list_empty(&conn->stash) && conn->ran < conn->budget) {
                struct rml_stashed *stashed = rml_list_entry(rml_list_first(&conn->stash), struct rml_stashed, link);
                struct rml_raw raw = {stashed->blob ? stashed->blob->bytes + RML_PREFIX_BYTES : stashed->bytes,
                                      stashed->len, stashed->blob, 0};
                rml_list_remove(&stashed->link);
                conn->arrived = stashed->arrived;
                rml_frame(conn, &raw, false);
                conn->arrived = 0;
                rml_blob_unref(stashed->blob);
                free(stashed);
        }
}

static bool emptied(const ramal_conn *conn) {
        return used_up(conn) && rml_list_empty(&conn->stash);
}

static void due(ramal_conn *conn) {
        uint64_t now = ramal_now();

        if (now >= conn->timer_at) {
                conn->timer_at = RAMAL_NEVER;
                if (conn->phase == RML_PHASE_IDLE)
                        rml_attempt(conn);
                else
                        rml_handshake_timeout(conn);
        }
        if (!conn->closed)
                rml_calls_expire(conn, now);
        if (!conn->closed)
                rml_confirm_turn(conn, now);
        if (!conn->closed)
                rml_probe(conn, now);
        if (now >= conn->timer_armed) {
                uint64_t count;
                ssize_t n = read(conn->timer, &count, sizeof(count));
                (void)n; /* it may have been read */
                conn->timer_armed = RAMAL_NEVER;
        }
}

static void tell_writable(ramal_conn *conn) {
        if (!rml_out_writable(conn))
                return;
        conn->wants = (struct rml_want){0, 0};
        if (conn->on_writable)
                RML_CALLBACK(conn, conn->on_writable(conn, conn->user));
        else
                conn->ran++; /* whoever waits may wait for this */
}

int rml_turn(ramal_conn *conn, unsigned budget) {
        conn->ran = 0;
        conn->received = false;
        conn->budget = budget ? budget : UINT_MAX;
        conn->corked++; /* all that is published in this turn goes in one send */

        run_posts(conn);
        if (!conn->closed && conn->phase == RML_PHASE_CONNECT)
                rml_handshake_writable(conn);
        rml_callbacks_due(conn);
        run_stash(conn);
        if (!conn->closed && rml_list_empty(&conn->stash))
                rml_frames(conn, false);
        if (!conn->closed && emptied(conn) && conn->ran < conn->budget && receive_first(conn))
                rml_frames(conn, false);
        if (!conn->closed && conn->broken && emptied(conn))
                rml_lost(conn);
        if (!conn->closed)
                due(conn);
        if (!conn->closed && conn->broken && emptied(conn))
                rml_lost(conn);
        rml_callbacks_due(conn);

        conn->corked--;
        if (conn->closed)
                return -ESHUTDOWN;
        /* What the program has corked too: it may be about to wait for an answer. */
        if (rml_out_pending(conn) > 0)
                rml_out_send(conn);
        tell_writable(conn);
        if (conn->closed)
                return -ESHUTDOWN;
        if (conn->ran == 0 && conn->state == RAMAL_CLOSED && emptied(conn))
                return -ESHUTDOWN;
        return conn->ran > INT_MAX ? INT_MAX : (int)conn->ran;
}

/* A refusal that nobody was told of, once. */
static int take_unheard(ramal_conn *conn) {
        int r = conn->unheard_error;

        conn->unheard_error = 0;
        return r;
}

int ramal_dispatch(ramal_conn *conn, unsigned budget) {
        int r = rml_alive(conn) ? 0 : -ECHILD;

        if (r < 0)
                return r;
        if (conn->in_callback)
                return conn->closed ? -ESHUTDOWN : -EDEADLK;
        rml_enter(conn);
        r = rml_turn(conn, budget);
        if (!conn->closed && conn->unheard_error)
                r = take_unheard(conn);
        return rml_leave(conn) ? r : -ESHUTDOWN;
}

/* Before somebody waits: is there nothing that a turn could do now? Then it is a system call less to sleep first. */
static bool is_idle(const ramal_conn *conn) {
        return conn->sock_empty && rml_out_pending(conn) == 0 && rml_list_empty(&conn->confirm_now) &&
               !rml_has_work(conn);
}

int rml_block_for(ramal_conn *conn, uint64_t deadline, const struct rml_want *want) {
        bool progress;

        if (atomic_load_explicit(&conn->stopping, memory_order_relaxed))
                return -EINTR;
        if (conn->in_callback) {
                /* No turn runs here that would connect again. */
                if (conn->phase != RML_PHASE_UP)
                        return -ENOTCONN;
                if (rml_out_pending(conn) > 0)
                        rml_out_send(conn);
                progress = rml_read_quietly(conn);
                if (!progress && (conn->broken || conn->out_dead))
                        return -ECONNRESET;
                if (!progress) { /* no turn comes that would do it */
                        rml_confirm_all(conn);
                        rml_out_send(conn);
                }
        } else {
                if (is_idle(conn) && !(want && rml_out_has_room(conn, want)))
                        rml_io_sleep(conn, rml_min64(deadline, rml_next_deadline(conn)));
                int r = rml_turn(conn, 0);
                if (r < 0)
                        return r;
                progress = r > 0 || conn->received;
        }
        if (deadline != RAMAL_NEVER && (deadline == 0 || ramal_now() >= deadline))
                return -ETIMEDOUT;
        if (want && rml_out_has_room(conn, want))
                return 0;
        if (!progress && !atomic_load_explicit(&conn->stopping, memory_order_relaxed))
                rml_io_sleep(conn, conn->in_callback ? deadline : rml_min64(deadline, rml_next_deadline(conn)));
        return 0;
}

int rml_block(ramal_conn *conn, uint64_t deadline) {
        return rml_block_for(conn, deadline, NULL);
}

int ramal_wait(ramal_conn *conn, uint64_t deadline) {
        int r = rml_alive(conn) ? 0 : -ECHILD;

        if (r < 0)
                return r;
        if (conn->in_callback)
                return conn->closed ? -ESHUTDOWN : -EDEADLK;
        rml_enter(conn);
        for (;;) {
                if (atomic_load(&conn->stopping)) {
                        r = -EINTR;
                        break;
                }
                if (is_idle(conn))
                        rml_io_sleep(conn, rml_min64(deadline, rml_next_deadline(conn)));
                r = rml_turn(conn, 0);
                if (!conn->closed && conn->unheard_error)
                        r = take_unheard(conn);
                if (r != 0 || (deadline != RAMAL_NEVER && ramal_now() >= deadline))
                        break;
                if (!conn->received && !atomic_load(&conn->stopping))
                        rml_io_sleep(conn, rml_min64(deadline, rml_next_deadline(conn)));
        }
        return rml_leave(conn) ? r : -ESHUTDOWN;
}

int ramal_run(ramal_conn *conn) {
        int r;

        do
                r = ramal_wait(conn, RAMAL_NEVER);
        while (r >= 0);
        if (r == -EINTR && atomic_exchange(&conn->stopping, false))
                return atomic_load(&conn->stop_status);
        return r;
}

/* Is everything in the socket, or nothing to be had by waiting? */
static int flushed(ramal_conn *conn) {
        if (conn->out_dead || conn->broken)
                return -ECONNRESET;
        if (conn->phase != RML_PHASE_UP)
                return conn->state == RAMAL_CLOSED ? -ESHUTDOWN : -ENOTCONN;
        int r = rml_out_send(conn);
        return r < 0 ? r : rml_out_pending(conn) == 0;
}

int ramal_flush(ramal_conn *conn, uint64_t deadline) {
        int r = rml_usable(conn);

        if (r < 0)
                return r;
        rml_enter(conn);
        rml_confirm_all(conn);
        /* Whoever flushes after a -EAGAIN publishes again: credit is heard of only by reading. */
        bool hear = conn->thwarted;
        conn->thwarted = false;
        while ((r = flushed(conn)) == 0 || (r > 0 && hear && rml_credit_lacking(conn))) {
                if (atomic_load(&conn->stopping))
                        r = -EINTR;
                else if (deadline != RAMAL_NEVER && (deadline == 0 || ramal_now() >= deadline))
                        r = r > 0 ? r : -ETIMEDOUT;
                else
                        r = 0;
                if (r != 0)
                        break;
                /* The broker may wait for us to take its answers before it reads on. */
                if (rml_read_quietly(conn))
                        hear = false;
                else
                        rml_io_sleep(conn, deadline);
        }
        rml_leave(conn);
        return r < 0 ? r : 0;
}

int ramal_sync(ramal_conn *conn, uint64_t deadline) {
        struct rml_ping ping = {.result = 1};
        int r = rml_usable(conn);

        if (r < 0)
                return r;
        rml_enter(conn);
        uint64_t losses = conn->losses;
        r = rml_ping(conn, &ping);
        while (r == 0 && ping.result > 0) {
                r = rml_block(conn, deadline);
                if (conn->closed)
                        break;
                if (ping.result <= 0) /* it came, whatever else */
                        r = 0;
                else if (conn->losses != losses) /* nobody knows of it any more */
                        r = -ECONNRESET;
        }
        if (!conn->closed) {
                rml_ask_forget(conn, &ping.pending);
                if (r == 0)
                        r = ping.result;
                if (r == 0 && !conn->in_callback && conn->unheard_error)
                        r = take_unheard(conn);
        }
        return rml_leave(conn) ? r : -ESHUTDOWN;
}

void ramal_cork(ramal_conn *conn) {
        if (rml_usable(conn) == 0)
                conn->corked++;
}

int ramal_uncork(ramal_conn *conn) {
        int r = rml_usable(conn);

        if (r < 0)
                return r;
        if (conn->corked > 0)
                conn->corked--;
        if (conn->corked > 0 || conn->in_callback || rml_out_pending(conn) == 0)
                return 0;
        r = rml_out_send(conn);
        rml_io_arm(conn);
        return r;
}
