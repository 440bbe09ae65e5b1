/* SPDX-License-Identifier: MIT */
#include "input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "budget.h"
#include "event.h"
#include "peer.h"
#include "router.h"

#define FRAME_SMALL (64u << 10)      /* half-read frames up to this are not counted */
#define FRAME_BYTES 256u
#define OUTPUT_MAX (1u << 20)        /* of which one connection makes so much in a turn, or a message more */

void input_init(struct peer *peer, uint32_t frame_bytes_max) {
        struct input *input = &peer->input;

        rml_framer_init(&input->framer, frame_bytes_max);
        input->framer.collect_max = FRAME_SMALL;
        rml_list_init(&input->resumed_link);
        rml_list_init(&input->muffled_link);
        rml_list_init(&input->starved_link);
        input->stash_turn = CORE_NEVER;
}

static bool peer_reads(const struct peer *peer) {
        return peer->state != PEER_LEAVING && peer->state != PEER_CLOSED && !peer->lost;
}

static bool starved(const struct peer *peer) {
        return rml_list_linked(&peer->input.starved_link);
}

bool input_waits(const struct peer *peer) {
        return peer->input.paused || starved(peer);
}

bool core_peer_reading(const struct peer *peer) {
        return peer_reads(peer) && !input_waits(peer) && !peer->input.stash && !peer->input.eof;
}

bool core_peer_needs_output(const struct peer *peer) {
        return !peer_reads(peer) || peer->input.paused;
}

/* What kept it from being looked at is over. */
static void go_on(struct peer *peer) {
        struct input *input = &peer->input;

        if (input_waits(peer))
                return;
        input->progress_ns = peer->core->now_ns; /* the clock of its half-read frame stood still */
        if (input->stash && !rml_list_linked(&input->resumed_link))
                rml_list_push_back(&peer->core->resumed, &input->resumed_link);
        peer_reading_changed(peer);
}

/* ---- half-read frames ---- */

static bool reserve_fits(const struct account *account, uint64_t bytes) {
        return account->own || budget_open(account->input_bytes, bytes, account->limits->uid_input_bytes);
}

static void reserve(struct peer *peer, uint64_t bytes) {
        peer->input.reserved = (uint32_t)bytes; /* of one frame */
        peer->input.framer.collect_max = UINT32_MAX;
        peer->account->input_bytes += bytes;
        peer->core->input_bytes += bytes;
}

/* In the order in which they came: a large one is not passed over for ever. */
static void feed_starved(struct account *account) {
        struct rml_list *first;

        while ((first = rml_list_first(&account->starved))) {
                struct peer *peer = rml_container_of(first, struct peer, input.starved_link);

                if (!reserve_fits(account, peer->input.wanted))
                        break;
                rml_list_remove(first);
                reserve(peer, peer->input.wanted);
                go_on(peer);
        }
}

static void release(struct peer *peer) {
        uint64_t bytes = peer->input.reserved;

        if (!bytes)
                return;
        rml_check(peer->account->input_bytes >= bytes);
        peer->input.reserved = 0;
        peer->input.framer.collect_max = FRAME_SMALL;
        peer->account->input_bytes -= bytes;
        peer->core->input_bytes -= bytes;
        feed_starved(peer->account);
}

/* A large frame begins that is not whole: may its bytes be collected? Else it waits in line. */
static bool may_begin(struct peer *peer, const struct rml_span *in) {
        struct input *input = &peer->input;
        struct account *account = peer->account;
        uint64_t len = rml_framer_declared(&input->framer, in);

        if (rml_list_empty(&account->starved) && reserve_fits(account, len)) {
                reserve(peer, len);
                return true;
        }
        input->wanted = (uint32_t)len;
        peer->core->counters.frame_waits++;
        rml_list_push_back(&account->starved, &input->starved_link);
        event_limit(peer, "the half-read frames of this user are large together: one waits",
                    quota_key(account, QUOTA(uid_input_bytes)), QUOTA(uid_input_bytes),
                    account->limits->uid_input_bytes);
        return false;
}

/* ---- unread answers ---- */

void input_unread(struct peer *peer, size_t bytes) {
        struct input *input = &peer->input;
        struct account *account = peer->account;
        const struct core_limits *limits = account->limits;
        size_t at = QUOTA(unread_answers_bytes);

        peer->unread_answers += bytes;
        account->unread_answers += bytes;
        peer->core->unread_answers += bytes;
        if (input->paused)
                return;
        if (peer->unread_answers <= limits->unread_answers_bytes) {
                if (account->own || peer->unread_answers <= UNREAD_ALONE_MAX ||
                    account->unread_answers <= limits->uid_unread_answers_bytes)
                        return;
                at = QUOTA(uid_unread_answers_bytes);
                rml_list_push_back(&account->muffled, &input->muffled_link);
        }
        input->paused = true;
        peer->core->counters.pauses++;
        peer_reading_changed(peer); /* an answer may be to what it asked long ago */
        event_limit(peer, "does not read the broker's answers, and is not read either", quota_key(account, at), at,
                    quota_value(limits, at));
}

void input_read(struct peer *peer, size_t bytes) {
        rml_check(peer->unread_answers >= bytes && peer->account->unread_answers >= bytes);
        peer->unread_answers -= bytes;
        peer->account->unread_answers -= bytes;
        peer->core->unread_answers -= bytes;
}

static void unpause(struct peer *peer) {
        peer->input.paused = false;
        rml_list_remove(&peer->input.muffled_link);
        go_on(peer);
}

void input_check_unread(struct peer *peer) {
        struct account *account = peer->account;
        bool muffled = rml_list_linked(&peer->input.muffled_link);
        uint64_t max = muffled ? UNREAD_ALONE_MAX : account->limits->unread_answers_bytes;
        struct rml_list *first;

        if (peer->input.paused && peer->unread_answers <= max / 2)
                unpause(peer);
        while (account->unread_answers <= account->limits->uid_unread_answers_bytes / 2 &&
               (first = rml_list_first(&account->muffled)))
                unpause(rml_container_of(first, struct peer, input.muffled_link));
}

/* ---- the stash ---- */

struct stash {
        size_t at, len; /* looked at up to here; bytes in it */
        uint8_t bytes[];
};

static void stash_free(struct input *input) {
        free(input->stash);
        input->stash = NULL;
}

/* Keeps what may not be looked at yet. */
static void stash_add(struct peer *peer, struct rml_span rest) {
        struct input *input = &peer->input;
        struct stash *stash = input->stash;
        size_t left = stash ? stash->len - stash->at : 0;

        if (left && stash->at) {
                memmove(stash->bytes, stash->bytes + stash->at, left);
                stash->at = 0;
                stash->len = left;
        }
        stash = realloc(stash, sizeof(*stash) + left + rest.len);
        if (!stash) {
                peer_goaway(peer, RAMAL__V1__CODE__CODE_OVER_LIMIT, "the broker is out of memory",
                            input->framer.consumed);
                return;
        }
        memcpy(stash->bytes + left, rest.data, rest.len);
        stash->at = 0;
        stash->len = left + rest.len;
        input->stash = stash;
}

void input_end(struct peer *peer) {
        struct input *input = &peer->input;

        stash_free(input);
        rml_list_remove(&input->resumed_link);
        rml_list_remove(&input->muffled_link);
        input->paused = false;
        if (!input->running)
                rml_framer_deinit(&input->framer);
        if (starved(peer)) {
                rml_list_remove(&input->starved_link);
                feed_starved(peer->account); /* it may have kept a smaller one waiting */
        }
        release(peer);
}

/* ---- frames ---- */

static void input_failed(struct peer *peer, int error) {
        uint64_t offset = peer->input.framer.consumed;

        if (error == -EPROTO)
                peer_goaway(peer, RAMAL__V1__CODE__CODE_MALFORMED, "a frame of length 0", offset);
        else if (error == -EMSGSIZE)
                peer_goaway(peer, RAMAL__V1__CODE__CODE_TOO_LARGE,
                            peer->in ? "a frame longer than WELCOME.limits.frame_bytes"
                                     : "a first frame longer than 4 KiB",
                            offset);
        else
                peer_goaway(peer, RAMAL__V1__CODE__CODE_OVER_LIMIT, "the broker is out of memory", offset);
}

/* The clock of a half-read frame. fresh: it was begun just now. */
static void input_progress(struct peer *peer, bool fresh) {
        struct input *input = &peer->input;
        size_t have = rml_framer_pending(&input->framer);

        if (!have) {
                input->progress_bytes = 0;
                if (rml_heap_has(&peer->timer.node))
                        peer_arm(peer); /* nothing is waited for: no timer */
                return;
        }
        if (fresh || !input->progress_bytes || have - input->progress_bytes >= PROGRESS_BYTES) {
                input->progress_ns = peer->core->now_ns;
                input->progress_bytes = (uint32_t)have;
        }
        if (!rml_heap_has(&peer->timer.node) || peer->state == PEER_DRAINING)
                peer_arm(peer);
}

void input_looked_much(struct peer *peer, uint64_t things) {
        uint64_t frames = things / INPUT_FRAME_THINGS;

        peer->input.left -= frames < peer->input.left ? frames : peer->input.left;
}

void input_made(struct peer *peer, uint64_t bytes) {
        input_looked(peer, bytes / FRAME_BYTES * INPUT_FRAME_THINGS);
}

void input_moved(struct peer *peer, uint64_t messages) {
        input_looked(peer, messages * INPUT_FRAME_THINGS);
}

void input_sends_much(struct peer *peer, uint64_t bytes) {
        uint64_t now = bytes < OUTPUT_MAX ? bytes : OUTPUT_MAX;

        input_looked(peer, now / INPUT_OUTPUT_BYTES * INPUT_FRAME_THINGS);
        peer->core->output += now;
        if (bytes > now) {
                peer->input.owed += bytes - now;
                peer->input.stash_turn = peer->core->turn;
        }
}

/* Must it wait because of what an earlier frame of it was worth? One turn's part of that is over now. */
static bool owes(struct peer *peer) {
        struct input *input = &peer->input;
        uint64_t now = input->owed < OUTPUT_MAX ? input->owed : OUTPUT_MAX;

        if (now && input->stash_turn != peer->core->turn) {
                input->owed -= now;
                peer->core->output += now;
        }
        return now != 0;
}

uint64_t core_turn_output(struct core *core) {
        uint64_t output = core->output;

        core->output = 0;
        return output;
}

/* Looks at as much as may be looked at in one turn; *in is advanced. */
static void input_run(struct peer *peer, struct rml_span *in) {
        struct input *input = &peer->input;
        bool fresh = false;
        int r = 0;

        input->running = true;
        input->left = peer->account->limits->turn_frames;
        while (peer_reads(peer) && !input_waits(peer)) {
                struct rml_raw raw;

                if (in->len && (fresh ? !input->left || input->owed : owes(peer))) {
                        input->stash_turn = peer->core->turn;
                        break;
                }
                r = rml_framer_next(&input->framer, in, &raw);
                if (r == -EAGAIN && !input->eof && may_begin(peer, in))
                        continue;
                if (r <= 0)
                        break;
                input->left -= input->left != 0;
                if (input->reserved)
                        release(peer);
                router_frame(peer, &raw);
                core_settle(peer->core);
                fresh = true;
        }
        input->running = false;
        if (!peer_reads(peer)) {
                rml_framer_deinit(&input->framer);
                in->len = 0;
        } else if (r == -EAGAIN && input->eof) {
                in->len = 0; /* it will never be whole */
        } else if (r < 0 && r != -EAGAIN) {
                in->len = 0;
                input_failed(peer, r);
        } else {
                input_progress(peer, fresh);
        }
}

void core_peer_input(struct peer *peer, const uint8_t *data, size_t len) {
        struct input *input = &peer->input;
        struct rml_span in = {data, len};

        if (!peer_reads(peer) || !len)
                return;
        input->heard_ns = peer->core->now_ns;
        if (!input_waits(peer) && !input->stash)
                input_run(peer, &in);
        if (in.len)
                stash_add(peer, in);
        if (input->stash && !input_waits(peer) && !rml_list_linked(&input->resumed_link))
                rml_list_push_back(&peer->core->resumed, &input->resumed_link);
        core_settle(peer->core);
}

uint8_t *core_peer_room(struct peer *peer, size_t *room) {
        return core_peer_reading(peer) ? rml_framer_room(&peer->input.framer, room) : NULL;
}

void core_peer_filled(struct peer *peer, size_t len) {
        struct rml_span none = {NULL, 0};

        rml_framer_filled(&peer->input.framer, len);
        peer->input.heard_ns = peer->core->now_ns;
        input_run(peer, &none);
        core_settle(peer->core);
}

void core_peer_eof(struct peer *peer) {
        struct input *input = &peer->input;

        if (!input->stash) {
                peer_end(peer, PEER_END_EOF, "end of input");
                core_settle(peer->core);
                return;
        }
        input->eof = true; /* first what came before it */
        if (starved(peer)) {
                rml_list_remove(&input->starved_link);
                feed_starved(peer->account);
                go_on(peer);
        }
}

/* One turn of what waited. The bytes are ours meanwhile: the peer may end in the midst of them. */
static void input_turn(struct peer *peer) {
        struct input *input = &peer->input;
        struct stash *stash = input->stash;
        struct rml_span in = {stash->bytes + stash->at, stash->len - stash->at};

        input->stash = NULL;
        input_run(peer, &in);
        if (in.len) {
                input->stash = stash;
                stash->at = stash->len - in.len;
                if (!input_waits(peer))
                        rml_list_push_back(&peer->core->resumed, &input->resumed_link);
        } else {
                free(stash);
                if (input->eof && peer_reads(peer))
                        peer_end(peer, PEER_END_EOF, "end of input");
        }
        peer_reading_changed(peer);
        core_settle(peer->core);
}

void input_resume(struct core *core) {
        struct rml_list now, *first;

        /* Each gets one go: whoever has to wait again comes back in another turn. */
        rml_list_init(&now);
        while ((first = rml_list_first(&core->resumed))) {
                rml_list_remove(first);
                rml_list_push_back(&now, first);
        }
        while ((first = rml_list_first(&now))) {
                struct peer *peer = rml_container_of(first, struct peer, input.resumed_link);

                rml_list_remove(first);
                if (peer->input.stash_turn == core->turn)
                        rml_list_push_back(&core->resumed, first); /* it had its turn already */
                else if (peer->input.stash && !input_waits(peer))
                        input_turn(peer);
        }
        core->turn++;
}
