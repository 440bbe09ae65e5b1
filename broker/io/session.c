/* SPDX-License-Identifier: MIT */
#include "session.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "wire.h"

/* One turn sends about as much as this and half as much again as its frames were worth, to all together, each call
 * counted as some bytes more; who comes later gets it in the next turn, before those that have had some. So a large
 * message for many does not keep everybody else waiting, nor does a reader that is as fast as we are; and all that
 * comes in goes out. */
#define FLUSH_TURN_BYTES (256u << 10)
#define FLUSH_SEND_BYTES (1u << 10)
#define FLUSH_SENDS_MAX 32
#define FLUSH_SMALL_BYTES (16u << 10)
#define STARVED_NS UINT64_C(20000000)

static void on_event(void *user, unsigned events);

int sessions_init(struct sessions *all, struct core *core, struct loop *loop, uint64_t turn_bytes) {
        *all = (struct sessions){.core = core, .loop = loop, .turn_bytes = turn_bytes, .starved_ns = LOOP_NEVER};
        rml_list_init(&all->list);
        rml_list_init(&all->writable);
        rml_list_init(&all->starved);
        all->buffer = malloc(SESSION_READ_BYTES);
        return all->buffer ? 0 : -ENOMEM;
}

void sessions_deinit(struct sessions *all) {
        rml_check(all->count == 0);
        free(all->buffer);
        all->buffer = NULL;
}

static bool is_reading(const struct session *session) {
        return core_peer_reading(session->peer) && !session->ended;
}

/* The kernel has no memory for this call. That passes, but the socket stays ready meanwhile: we look away. */
static bool starve(struct session *session, ssize_t error) {
        struct sessions *all = session->all;
        if (error != -ENOMEM && error != -ENOBUFS)
                return false;
        if (rml_list_empty(&all->starved))
                all->starved_ns = loop_now() + STARVED_NS;
        if (!rml_list_linked(&session->starved))
                rml_list_push_back(&all->starved, &session->starved);
        return true;
}

static int watch(struct session *session, unsigned events) {
        struct loop *loop = session->all->loop;
        if (session->hung && !(events & LOOP_READ)) { /* its end comes unasked, again and again */
                loop_remove(loop, &session->source);
                return 0;
        }
        return session->source.added ? loop_change(loop, &session->source, events)
                                     : loop_add(loop, &session->source, session->fd, events, on_event, session);
}

/* What the loop should watch for. Where nothing goes out and nothing is read, nothing would ever change again. */
void session_update(struct session *session) {
        bool reading = is_reading(session);
        unsigned events = (reading ? LOOP_READ : 0u) | (session->blocked ? LOOP_WRITE : 0u);
        if (rml_list_linked(&session->starved))
                events = 0;
        bool stuck = !reading && (session->deaf || session->hung) && core_peer_needs_output(session->peer);
        if (stuck || watch(session, events) < 0)
                core_peer_lost(session->peer);
}

/* Reads what it may in one turn. The bytes of a long frame go straight to where they will stay; they make no work but
 * the kernel's copy of them, so that it may be more of them at once. */
static void receive(struct session *session) {
        struct sessions *all = session->all;
        uint64_t left = all->turn_bytes;
        while (left > 0 && is_reading(session)) {
                size_t want = left < SESSION_READ_BYTES ? (size_t)left : SESSION_READ_BYTES, room;
                uint8_t *place = core_peer_room(session->peer, &room);
                if (place)
                        want = room < SESSION_FRAME_BYTES ? room : SESSION_FRAME_BYTES;
                ssize_t n = rml_wire_recv(session->fd, place ? place : all->buffer, want);
                if (n > 0 && place) {
                        core_peer_filled(session->peer, (size_t)n);
                } else if (n > 0) {
                        core_peer_input(session->peer, all->buffer, (size_t)n);
                } else if (n == 0) {
                        session->ended = true;
                        core_peer_eof(session->peer);
                } else if (n != -EAGAIN && !starve(session, n)) {
                        session->ended = true;
                        core_peer_lost(session->peer);
                }
                if (n < (ssize_t)want)
                        return;
                left -= (uint64_t)n < left ? (uint64_t)n : left;
        }
        all->filled = true;
}

static void on_event(void *user, unsigned events) {
        struct session *session = user;
        if ((events & LOOP_WRITE) && session->blocked) {
                session->blocked = false;
                rml_list_remove(&session->writable);
                rml_list_push_back(&session->all->writable, &session->writable);
        }
        /* Nobody is there any more; what they sent before they went is read first, while the core still wants it. */
        if (events & LOOP_HANGUP)
                session->hung = true;
        if ((events & (LOOP_READ | LOOP_HANGUP)) && is_reading(session))
                receive(session);
        session_update(session);
}

int session_new(struct sessions *all, int fd, const struct core_origin *origin, struct core_refusal *refusal) {
        struct session *session = calloc(1, sizeof(*session));
        if (!session)
                return -ENOMEM;
        session->all = all;
        session->fd = fd;
        session->reserved = origin->reserved;
        session->wider = origin->local && (origin->uid == all->own_uid || origin->uid == 0);
        rml_list_init(&session->writable);
        rml_list_init(&session->starved);
        int r = loop_add(all->loop, &session->source, fd, LOOP_READ, on_event, session);
        if (r == 0)
                r = core_peer_add(all->core, origin, session, &session->peer, refusal);
        if (r < 0) {
                loop_remove(all->loop, &session->source);
                free(session);
                return r;
        }
        rml_list_push_back(&all->list, &session->link);
        all->count++;
        all->reserved += session->reserved;
        return 0;
}

static size_t total(const struct rml_span *spans, size_t n) {
        size_t bytes = 0;
        for (size_t i = 0; i < n; i++)
                bytes += spans[i].len;
        return bytes;
}

/* Counts a call of so many bytes. */
static void flush_count(struct sessions *all, size_t bytes) {
        uint64_t cost = (uint64_t)bytes + FLUSH_SEND_BYTES;
        all->flush_left -= cost < all->flush_left ? cost : all->flush_left;
}

/* Has this turn sent enough? Whoever gets a little gets it all the same: it is no more than what was let in, and must
 * not stand in line behind those who get much. */
static bool flush_over(const struct sessions *all, size_t bytes) {
        return all->flush_left == 0 && bytes > FLUSH_SMALL_BYTES;
}

static void postpone(struct session *session) {
        if (!rml_list_linked(&session->writable))
                rml_list_push_back(&session->all->writable, &session->writable);
}

/* It is full. Returns true if it takes more now. Not for other users, whose unread bytes would lie in the kernel beyond
 * every limit of ours. */
static bool widen(struct session *session) {
        bool wider = session->wider && rml_wire_buffer(session->fd, SESSION_BUFFER_BYTES) == 0;
        session->wider = false;
        return wider;
}

void session_flush(struct session *session) {
        bool starved = rml_list_linked(&session->starved);
        for (int i = 0; !session->blocked && !session->deaf && !session->hung && !starved; i++) {
                struct rml_span spans[RML_SPANS_MAX];
                size_t n = core_peer_output(session->peer, spans, RML_SPANS_MAX);
                if (n == 0)
                        break;
                if (i == FLUSH_SENDS_MAX || flush_over(session->all, total(spans, n))) {
                        postpone(session);
                        break;
                }
                ssize_t r = rml_wire_send(session->fd, spans, n);
                starved = starve(session, r);
                if (r < 0 && r != -EAGAIN && !starved) {
                        session->deaf = true; /* a client that published and left at once is still read to its end */
                        break;
                }
                size_t taken = r < 0 ? 0 : (size_t)r;
                session->blocked = !starved && taken < total(spans, n) && !widen(session);
                flush_count(session->all, taken);
                if (taken > 0)
                        core_peer_sent(session->peer, taken);
        }
        session_update(session);
}

static void retry_starved(struct sessions *all) {
        struct rml_list *link, again;
        rml_list_init(&again);
        while ((link = rml_list_first(&all->starved))) {
                rml_list_remove(link);
                rml_list_push_back(&again, link);
        }
        all->starved_ns = LOOP_NEVER;
        while ((link = rml_list_first(&again))) {
                rml_list_remove(link);
                session_flush(rml_list_entry(link, struct session, starved));
        }
}

void sessions_flush_writable(struct sessions *all, uint64_t now) {
        uint64_t output = core_turn_output(all->core);
        all->flush_left = FLUSH_TURN_BYTES + output + output / 2;
        if (all->starved_ns <= now)
                retry_starved(all);
        /* Who is put back comes last, and not before the next turn. */
        struct rml_list *link, *last = all->writable.prev;
        bool more = !rml_list_empty(&all->writable);
        while (more && all->flush_left > 0) {
                link = rml_list_first(&all->writable);
                more = link != last;
                rml_list_remove(link);
                session_flush(rml_list_entry(link, struct session, writable));
        }
}

bool sessions_flush_later(const struct sessions *all) {
        return !rml_list_empty(&all->writable);
}

/* Where we are the first to go: what nobody has read makes the kernel end a connection with a reset, which may overtake
 * what we said last. So the output is ended first, and what has come is read and thrown away. */
static void end_connection(const struct session *session) {
        if (!session->ended && shutdown(session->fd, SHUT_WR) == 0)
                for (int i = 0; i < FLUSH_SENDS_MAX; i++)
                        if (rml_wire_recv(session->fd, session->all->buffer, SESSION_READ_BYTES) <= 0)
                                break;
        close(session->fd);
}

struct session *session_free(struct session *session) {
        if (!session)
                return NULL;
        loop_forget(session->all->loop, &session->source);
        rml_list_remove(&session->link);
        rml_list_remove(&session->writable);
        rml_list_remove(&session->starved);
        if (rml_list_empty(&session->all->starved))
                session->all->starved_ns = LOOP_NEVER;
        session->all->count--;
        session->all->reserved -= session->reserved;
        core_peer_free(session->peer);
        end_connection(session);
        free(session);
        return NULL;
}
