/* SPDX-License-Identifier: MIT */
/* A peer's life:  HELLO -> (AUTH ->) OPEN -> (DRAINING ->) LEAVING -> CLOSED
 * LEAVING owns nothing any more but flushes what is queued for it and the terminals of its own calls; from CLOSED on
 * the core only waits for its socket to be closed. peer_end() and peer_shut() are the two doors. */
#include "peer.h"

#include <errno.h>
#include <stdlib.h>

#include "answer.h"
#include "call.h"
#include "commit.h"
#include "event.h"
#include "credit.h"
#include "departure.h"
#include "group.h"
#include "interest.h"

#define RESERVED_HELLO_NS UINT64_C(1000000000)

struct peer *peer_find(const struct core *core, uint64_t id) {
        struct rml_table_node *node =
                id ? rml_table_find(&core->peers_by_id, rml_hash_u64(&core->config.seed, id, 2)) : NULL;

        for (; node; node = rml_table_find_next(node)) {
                struct peer *peer = rml_container_of(node, struct peer, node);

                if (peer->id == id)
                        return peer->in && peer->state != PEER_LEAVING && peer->state != PEER_CLOSED ? peer : NULL;
        }
        return NULL;
}

void peer_reading_changed(struct peer *peer) {
        if (peer->state != PEER_CLOSED && !rml_list_linked(&peer->reading_link))
                rml_list_push_back(&peer->core->readings, &peer->reading_link);
}

bool peer_waits(const struct peer *peer) {
        return peer->state == PEER_LEAVING && departure_goes_on(peer);
}

void peer_commit(struct peer *peer) {
        struct rml_heap_node *top;

        if (peer_waits(peer))
                return;
        calls_tell_credit(peer);
        credit_tell(peer);
        while ((top = rml_heap_top(&peer->ready)) && peer_has_room(peer, 1)) {
                if (answers_next(peer, top)) {
                        if (!answer_commit(peer))
                                break;
                } else {
                        struct interest *interest = rml_container_of(top, struct backlog, ready)->interest;

                        if (group_holds(interest)) {
                                group_wait(interest);
                                return;
                        }
                        if (!interest_commit(interest))
                                break;
                }
        }
        /* With an empty output room cannot be the reason: it was memory, and nothing would ever wake this peer. */
        if (rml_heap_top(&peer->ready) && !peer->outbox.bytes) {
                peer->lost = true;
                peer_touch(peer);
        }
}

/* ---- marks ---- */

static void marks_shelve(struct core *core, struct mark_ring *ring) {
        if (ring->room == MARKS_MIN && core->spare_mark_count < RML_COUNT(core->spare_marks))
                core->spare_marks[core->spare_mark_count++] = ring->items;
        else
                free(ring->items);
}

void marks_free(struct peer *peer) {
        marks_shelve(peer->core, &peer->marks);
        peer->marks = (struct mark_ring){0};
}

/* One of the smallest kind is kept for whoever has something on its way next: most have it for one turn. */
bool marks_grow(struct peer *peer) {
        struct mark_ring *ring = &peer->marks;
        struct core *core = peer->core;
        uint32_t room = ring->room ? ring->room * 2 : MARKS_MIN;
        struct mark *items;

        if (room == MARKS_MIN && core->spare_mark_count)
                items = core->spare_marks[--core->spare_mark_count];
        else
                items = malloc(room * sizeof(*items));
        if (!items)
                return false;
        for (size_t i = 0; i < ring->count; i++)
                items[i] = ring->items[(ring->first + i) & (ring->room - 1)];
        marks_shelve(core, ring);
        *ring = (struct mark_ring){.items = items, .count = ring->count, .room = room};
        ring->last = ring->count ? &items[ring->count - 1] : NULL;
        return true;
}

void peer_forget_marks(struct peer *peer, const struct interest *interest) {
        struct mark_ring *ring = &peer->marks;

        for (size_t i = 0; i < ring->count; i++) {
                struct mark *mark = &ring->items[(ring->first + i) & (ring->room - 1)];

                if (mark->kind == MARK_DELIVERY && mark->interest == interest)
                        mark->interest = NULL;
        }
}

/* So many of a mark's deliveries have been taken. */
static uint32_t mark_part(const struct mark *mark, uint64_t taken) {
        uint64_t begin = mark->end - (uint64_t)mark->count * mark->len;

        return taken > begin ? (uint32_t)(taken - begin) / mark->len : 0; /* less than an output holds */
}

static void marks_pass(struct peer *peer) {
        struct mark_ring *ring = &peer->marks;
        uint64_t taken = peer->outbox.put - peer->outbox.bytes;

        while (ring->count && ring->items[ring->first].end <= taken) {
                struct mark mark = ring->items[ring->first];

                ring->first = (ring->first + 1) & (ring->room - 1);
                if (!--ring->count)
                        ring->last = NULL;
                switch (mark.kind) {
                case MARK_DELIVERY:
                        if (mark.interest)
                                interest_taken(mark.interest, mark.count, mark.bytes);
                        break;
                case MARK_REPLY:
                        call_reply_taken(peer->core, mark.token, mark.seq);
                        break;
                case MARK_ANSWER:
                        input_read(peer, mark.bytes);
                        break;
                }
        }
        if (!ring->count && ring->room) {
                marks_free(peer);
        } else if (ring->count && ring->items[ring->first].kind == MARK_DELIVERY) {
                struct mark *mark = &ring->items[ring->first];
                uint32_t part = mark_part(mark, taken);

                mark->count -= part;
                if (part && mark->interest)
                        interest_taken(mark->interest, part, mark->bytes);
        }
}

void core_peer_sent(struct peer *peer, size_t bytes) {
        struct core *core = peer->core;

        if (peer->state == PEER_CLOSED)
                return;
        outbox_sent(&peer->outbox, &core->pool, bytes);
        marks_pass(peer);
        input_check_unread(peer);
        peer_commit(peer);
        peer_check_flushed(peer);
        core_settle(core);
}

size_t core_peer_output(struct peer *peer, struct rml_span *spans, size_t max) {
        return outbox_spans(&peer->outbox, spans, max);
}

bool core_peer_has_output(const struct peer *peer) {
        return peer->outbox.bytes != 0;
}

struct peer *core_next_dirty(struct core *core) {
        struct rml_list *first;

        while ((first = rml_list_first(&core->dirty)) || groups_tell(core)) {
                struct peer *peer;

                if (!first)
                        continue;
                peer = rml_list_entry(first, struct peer, dirty_link);
                rml_list_remove(&peer->dirty_link);
                if (peer->lost && peer->state != PEER_CLOSED) {
                        peer_end(peer, PEER_END_LOST, "out of memory");
                        core_settle(core);
                        continue;
                }
                peer_commit(peer);
                peer_check_flushed(peer);
                core_settle(core);
                if (peer->state != PEER_CLOSED && peer->outbox.bytes)
                        return peer;
        }
        return NULL;
}

/* ---- timers ---- */

/* Since when is it being waited for? Not while the broker itself was kept from listening. */
static uint64_t waited_since(const struct peer *peer, uint64_t since_ns) {
        return since_ns > peer->core->patient_ns ? since_ns : peer->core->patient_ns;
}

/* A place that is kept for who only looks is not kept for who says nothing. */
static uint64_t hello_patience(const struct peer *peer) {
        uint64_t patience = peer->account->limits->hello_timeout_ns;

        return peer->reserved && patience > RESERVED_HELLO_NS ? RESERVED_HELLO_NS : patience;
}

void peer_arm(struct peer *peer) {
        struct core *core = peer->core;
        const struct core_limits *limits = peer->account->limits;
        uint64_t at = CORE_NEVER;

        switch (peer->state) {
        case PEER_HELLO:
        case PEER_AUTH:
                at = core_add_ns(waited_since(peer, peer->accepted_ns), hello_patience(peer));
                break;
        case PEER_OPEN:
        case PEER_DRAINING:
                if (rml_framer_pending(&peer->input.framer))
                        at = core_add_ns(waited_since(peer, peer->input.progress_ns), limits->frame_timeout_ns);
                if (peer->state == PEER_DRAINING && peer->flush_ns < at)
                        at = peer->flush_ns;
                break;
        case PEER_LEAVING:
                if (!peer_waits(peer))
                        at = peer->flush_ns;
                break;
        case PEER_CLOSED:
                break;
        }
        if (at == CORE_NEVER)
                timer_clear(core, &peer->timer);
        else if (!rml_heap_has(&peer->timer.node) || peer->timer.node.key != at)
                timer_set(core, &peer->timer, at);
}

static void peer_flush_over(struct peer *peer);

void peer_timer(struct peer *peer) {
        struct core *core = peer->core;
        uint64_t now = core->now_ns;
        uint64_t offset = peer->input.framer.consumed + rml_framer_pending(&peer->input.framer);

        switch (peer->state) {
        case PEER_HELLO:
        case PEER_AUTH:
                if (core_add_ns(waited_since(peer, peer->accepted_ns), hello_patience(peer)) > now)
                        break;
                peer_goaway(peer, RAMAL__V1__CODE__CODE_TIMEOUT,
                            peer->state == PEER_HELLO ? "no HELLO came in time" : "no AUTH came in time", offset);
                return;
        case PEER_OPEN:
        case PEER_DRAINING:
                if (input_waits(peer))
                        peer->input.progress_ns = now;
                if (rml_framer_pending(&peer->input.framer) &&
                    core_add_ns(waited_since(peer, peer->input.progress_ns), peer->account->limits->frame_timeout_ns) <=
                            now) {
                        peer_goaway(peer, RAMAL__V1__CODE__CODE_TIMEOUT, "a frame was begun and did not go on", offset);
                        return;
                }
                if (peer->state == PEER_DRAINING && peer->flush_ns <= now) {
                        peer_end(peer, PEER_END_BYE, "bye, drain time over");
                        return;
                }
                break;
        case PEER_LEAVING:
                if (peer->flush_ns <= core->patient_ns) /* it was over before we could write */
                        peer->flush_ns = core_add_ns(core->patient_ns, peer->account->limits->flush_timeout_ns);
                if (peer->flush_ns <= now) {
                        peer_flush_over(peer);
                        return;
                }
                break;
        case PEER_CLOSED:
                return;
        }
        peer_arm(peer);
}

/* ---- ending ---- */

/* All that it holds is given back; its interests may need some turns for that. */
static void peer_shut(struct peer *peer) {
        struct core *core = peer->core;

        if (peer->state == PEER_CLOSED)
                return;
        peer->lost = true; /* nothing of what follows is said to it */
        calls_of_caller_gone(peer, RAMAL__V1__WHY__WHY_GONE, false);
        marks_free(peer);
        answers_clear(peer);
        outbox_clear(&peer->outbox, &core->pool);
        input_end(peer);
        input_read(peer, peer->unread_answers);
        input_check_unread(peer);
        timer_clear(core, &peer->timer);
        if (departure_begin(peer, DEPARTURE_FREES))
                peer_departed(peer, DEPARTURE_FREES);
}

void peer_departed(struct peer *peer, enum departure how) {
        if (how != DEPARTURE_FREES) {
                if (peer->state == PEER_LEAVING)
                        peer->flush_ns = core_add_ns(peer->core->now_ns, peer->account->limits->flush_timeout_ns);
                peer_arm(peer);
                peer_touch(peer);
                return;
        }
        peer->state = PEER_CLOSED;
        rml_list_remove(&peer->dirty_link);
        rml_list_remove(&peer->waiting_link);
        rml_list_remove(&peer->reading_link);
        rml_list_push_back(&peer->core->closed, &peer->closed_link);
}

/* The time to flush is over: what is still open is cancelled, and told if that can be written at once. */
static void peer_flush_over(struct peer *peer) {
        if (!peer->call_count) {
                peer_shut(peer);
                return;
        }
        calls_of_caller_gone(peer, RAMAL__V1__WHY__WHY_GONE, true);
        peer->flush_ns = core_add_ns(peer->core->now_ns, UINT64_C(100000000));
        peer_arm(peer);
        peer_touch(peer);
}

void peer_end(struct peer *peer, enum peer_end end, const char *how) {
        struct core *core = peer->core;
        bool last = end == PEER_END_LOST || end == PEER_END_STOP;

        if (peer->state == PEER_CLOSED || (departure_goes_on(peer) && peer->departure == DEPARTURE_FREES))
                return;
        if (end == PEER_END_LOST)
                peer->lost = true;
        if (peer->state != PEER_LEAVING) {
                if (peer->in) {
                        event_add(core, CORE_EVENT_GONE, peer, how);
                        peer->publish_gone = true;
                        rml_list_remove(&peer->presence_link);
                        core_settle_later(core, &core->changed_peers, &peer->presence_link);
                }
                peer->state = PEER_LEAVING;
                credit_forget(peer);
                input_end(peer);
                peer_reading_changed(peer);
                peer->flush_ns = core_add_ns(core->now_ns, peer->account->limits->flush_timeout_ns);
                if (end == PEER_END_LOST) /* before what is queued moves: nobody inherits a call that is over */
                        calls_of_caller_gone(peer, RAMAL__V1__WHY__WHY_GONE, false);
                rml_list_each(at, &peer->grouped_list)
                        group_mute(&rml_list_entry(at, struct member, grouped_link)->interest);
                departure_begin(peer, end == PEER_END_BYE    ? DEPARTURE_ENDS
                                      : end == PEER_END_STOP ? DEPARTURE_STOPS
                                                             : DEPARTURE_DIES);
                calls_of_callee_gone(peer);
        }
        if (last) {
                peer_shut(peer);
                return;
        }
        peer_arm(peer);
        peer_touch(peer);
}

void peer_drain(struct peer *peer, uint64_t bye_id, uint64_t drain_ns) {
        peer->bye = true;
        peer->bye_id = bye_id;
        peer->state = PEER_DRAINING;
        peer->flush_ns = core_add_ns(peer->core->now_ns, drain_ns);
        departure_begin(peer, DEPARTURE_DRAINS);
        peer_arm(peer);
        peer_touch(peer);
}

static bool peer_idle(const struct peer *peer) {
        return !peer->outbox.bytes && !peer->queued_count && rml_list_empty(&peer->answers) &&
               !rml_heap_top(&peer->ready);
}

static bool peer_drained(const struct peer *peer) {
        return !peer->served_count && !peer->queued_count && !peer->in_flight;
}

/* The broker stops: is there nothing more to expect from this peer? What it had sent when it was told is read first. */
static bool peer_stopped(const struct peer *peer) {
        const struct core *core = peer->core;

        return core->stopping && peer_idle(peer) && !peer->call_count && peer_drained(peer) &&
               core_add_ns(peer->input.heard_ns, STOP_QUIET_NS) <= core->now_ns &&
               core_add_ns(core->stop_began_ns, STOP_QUIET_NS) <= core->now_ns;
}

void peer_check_flushed(struct peer *peer) {
        if (peer->state == PEER_DRAINING && peer_drained(peer))
                peer_end(peer, PEER_END_BYE, "bye, drained");
        if (peer->state == PEER_OPEN && peer_stopped(peer)) {
                peer_end(peer, PEER_END_STOP, "the broker stops");
                return;
        }
        if (peer->state != PEER_LEAVING || peer_waits(peer) || peer->call_count || !rml_list_empty(&peer->answers) ||
            peer->queued_count)
                return;
        if (peer->bye_id) {
                uint64_t id = peer->bye_id;

                peer->bye_id = 0;
                answer_status(peer, id, RAMAL__V1__CODE__CODE_OK, NULL); /* the last word */
                return;
        }
        if (peer_idle(peer))
                peer_shut(peer);
}

void peer_say_goaway(struct peer *peer, Ramal__V1__Code reason, const char *text, uint64_t offset, uint64_t grace_ns) {
        Ramal__V1__Goaway goaway;

        ramal__v1__goaway__init(&goaway);
        goaway.reason = reason;
        goaway.text = (char *)(uintptr_t)text;
        goaway.offset = offset;
        goaway.grace_us = grace_ns / 1000;
        answer_now(peer, RML_GOAWAY, 0, &goaway.base);
}

void peer_goaway(struct peer *peer, Ramal__V1__Code reason, const char *text, uint64_t offset) {
        if (peer->state == PEER_LEAVING || peer->state == PEER_CLOSED)
                return;
        peer->core->counters.goaways++;
        event_add(peer->core, CORE_EVENT_GOAWAY, peer, text);
        peer_say_goaway(peer, reason, text, offset, 0);
        peer_end(peer, PEER_END_BROKEN, text);
}

void core_peer_lost(struct peer *peer) {
        peer_end(peer, PEER_END_LOST, "connection lost");
        core_settle(peer->core);
}

struct peer *core_next_reading(struct core *core) {
        struct rml_list *first = rml_list_first(&core->readings);

        if (!first)
                return NULL;
        rml_list_remove(first);
        return rml_list_entry(first, struct peer, reading_link);
}

struct peer *core_next_closed(struct core *core) {
        struct rml_list *first = rml_list_first(&core->closed);

        if (!first)
                return NULL;
        rml_list_remove(first);
        return rml_list_entry(first, struct peer, closed_link);
}

void *core_peer_user(const struct peer *peer) {
        return peer->user;
}

uint64_t core_peer_id(const struct peer *peer) {
        return peer->id;
}
