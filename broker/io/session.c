/* SPDX-License-Identifier: MIT */
#include "session.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "wire.h"

/* One flush sends no more than this; the rest waits for the next turn, so that a reader as fast as we are does not
 * keep everybody else waiting. */
#define FLUSH_BYTES_MAX (1u << 20)
#define FLUSH_SENDS_MAX 32

int sessions_init(struct sessions *all, struct core *core, struct loop *loop) {
        *all = (struct sessions){.core = core, .loop = loop};
        rml_list_init(&all->list);
        rml_list_init(&all->writable);
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

/* What the loop should watch for. Where nothing goes out and nothing is read, nothing would ever change again. */
static void update(struct session *session) {
        bool reading = is_reading(session);
        unsigned events = (reading ? LOOP_READ : 0u) | (session->blocked ? LOOP_WRITE : 0u);
        if ((session->deaf && !reading) || loop_change(session->all->loop, &session->source, events) < 0)
                core_peer_lost(session->peer);
}

/* Reads once. */
static void receive(struct session *session) {
        ssize_t n = rml_wire_recv(session->fd, session->all->buffer, SESSION_READ_BYTES);
        if (n > 0) {
                core_peer_input(session->peer, session->all->buffer, (size_t)n);
        } else if (n == 0 && !session->deaf) {
                session->ended = true;
                core_peer_eof(session->peer);
        } else if (n != -EAGAIN) {
                session->ended = true;
                core_peer_lost(session->peer);
        }
}

static void on_event(void *user, unsigned events) {
        struct session *session = user;
        if ((events & LOOP_WRITE) && session->blocked) {
                session->blocked = false;
                rml_list_remove(&session->writable);
                rml_list_push_back(&session->all->writable, &session->writable);
        }
        if ((events & (LOOP_READ | LOOP_HANGUP)) && is_reading(session))
                receive(session);
        /* Nobody is there any more. What they sent before they went is read first, while the core still wants it. */
        if ((events & LOOP_HANGUP) && !is_reading(session))
                core_peer_lost(session->peer);
        update(session);
}

int session_new(struct sessions *all, int fd, const struct core_origin *origin) {
        struct session *session = calloc(1, sizeof(*session));
        if (!session)
                return -ENOMEM;
        session->all = all;
        session->fd = fd;
        int r = core_peer_add(all->core, origin, session, &session->peer);
        if (r < 0) {
                free(session);
                return r;
        }
        r = loop_add(all->loop, &session->source, fd, LOOP_READ, on_event, session);
        if (r < 0) {
                core_peer_lost(session->peer); /* it comes out as closed at the end of this turn */
                session->ended = true;
        }
        rml_list_push_back(&all->list, &session->link);
        rml_list_init(&session->writable);
        all->count++;
        return 0;
}

static size_t total(const struct rml_span *spans, size_t n) {
        size_t bytes = 0;
        for (size_t i = 0; i < n; i++)
                bytes += spans[i].len;
        return bytes;
}

void session_flush(struct session *session) {
        if (!session->source.added)
                return;
        size_t sent = 0;
        for (int i = 0; !session->blocked && !session->deaf; i++) {
                struct rml_span spans[RML_SPANS_MAX];
                size_t n = core_peer_output(session->peer, spans, RML_SPANS_MAX);
                if (n == 0)
                        break;
                if (i == FLUSH_SENDS_MAX || sent >= FLUSH_BYTES_MAX) {
                        session->blocked = true; /* it is writable: the next turn goes on */
                        break;
                }
                ssize_t r = rml_wire_send(session->fd, spans, n);
                if (r < 0 && r != -EAGAIN) {
                        session->deaf = true; /* a client that published and left at once is still read to its end */
                        break;
                }
                size_t taken = r < 0 ? 0 : (size_t)r;
                session->blocked = taken < total(spans, n);
                if (taken > 0)
                        core_peer_sent(session->peer, taken);
                sent += taken;
        }
        update(session);
}

void sessions_flush_writable(struct sessions *all) {
        struct rml_list *link;
        while ((link = rml_list_first(&all->writable))) {
                rml_list_remove(link);
                session_flush(rml_list_entry(link, struct session, writable));
        }
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
        loop_remove(session->all->loop, &session->source);
        rml_list_remove(&session->link);
        rml_list_remove(&session->writable);
        session->all->count--;
        core_peer_free(session->peer);
        end_connection(session);
        free(session);
        return NULL;
}
