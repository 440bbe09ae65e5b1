/* SPDX-License-Identifier: MIT */
#include "departure.h"

#include "group.h"
#include "interest.h"
#include "move.h"
#include "queue.h"

/* In one turn, of all peers together: so many interests, or messages of theirs, as four connections may send frames. */
#define TURNS 4u
#define SLICES 16u /* of these; one peer or group has one, then it is the next one's turn */

static size_t departures_max(const struct core *core) {
        uint64_t frames = core->config.limits.turn_frames;

        return frames > SIZE_MAX / TURNS ? SIZE_MAX : frames ? (size_t)frames * TURNS : TURNS;
}

void departures_renew(struct core *core) {
        core->departures_left = departures_max(core);
}

void departures_count(struct core *core, uint64_t work) {
        core->departures_left -= work < core->departures_left ? (size_t)work : core->departures_left;
}

static enum interest_going going(enum departure how) {
        switch (how) {
        case DEPARTURE_DRAINS:
                return GOING_DRAINS;
        case DEPARTURE_ENDS:
                return GOING_LEAVES;
        case DEPARTURE_DIES:
                return GOING_DIES;
        case DEPARTURE_STOPS:
        case DEPARTURE_FREES:
                break;
        }
        return GOING_STOPS;
}

static void depart(struct interest *interest, enum departure how) {
        if (how == DEPARTURE_ENDS)
                interest_end(interest, RAMAL__V1__WHY__WHY_ENDED);
        else if (how == DEPARTURE_FREES)
                interest_free(interest);
        else
                interest_detach(interest, going(how));
}

/* Does what is queued for them go with the interests? */
static bool drops(enum departure how) {
        return how == DEPARTURE_ENDS || how == DEPARTURE_FREES;
}

/* Drops what is queued, as far as this turn allows. Returns false if some is left. */
static bool shed(struct interest *interest) {
        struct core *core = interest->peer->core;

        for (; core->departures_left && queue_front(interest); core->departures_left--)
                queue_drop(interest, queue_front(interest), RAMAL__V1__WHY__WHY_ENDED);
        return !queue_front(interest);
}

bool departure_goes_on(const struct peer *peer) {
        return rml_list_linked(&peer->departing_link) || peer->movers;
}

void departure_goes(struct peer *peer) {
        if (!rml_list_linked(&peer->departing_link))
                rml_list_push_back(&peer->core->departing, &peer->departing_link);
}

bool departure_begin(struct peer *peer, enum departure how) {
        struct core *core = peer->core;
        size_t work = peer->interest_count + (drops(how) ? (size_t)peer->queued_count : 0);

        peer->departure = how;
        peer->departures = peer->interest_count;
        rml_list_remove(&peer->departing_link);
        if (how != DEPARTURE_FREES)
                rml_list_each(at, &peer->grouped_list)
                        interest_withdraw(&rml_list_entry(at, struct member, grouped_link)->interest, going(how));
        if (peer->movers)
                return false;
        if (work > core->departures_left) {
                departure_goes(peer);
                return false;
        }
        departures_count(core, work);
        peer->departures = 0;
        rml_list_each_safe(at, &peer->interest_list)
                depart(rml_list_entry(at, struct interest, link), how);
        return true;
}

/* Those that stay listed, to be flushed, go around: in the end they stand as they stood. */
static void departure_slice(struct peer *peer, size_t max) {
        struct core *core = peer->core;
        struct rml_list *all = &peer->interest_list, *first;

        for (; max && core->departures_left && peer->departures && (first = rml_list_first(all)); max--) {
                struct interest *interest = rml_list_entry(first, struct interest, link);

                core->departures_left--;
                if (drops(peer->departure) && !shed(interest))
                        return;
                peer->departures--;
                rml_list_remove(first);
                rml_list_push_back(all, first);
                depart(interest, peer->departure);
        }
        if (peer->departures && !rml_list_empty(all))
                return;
        peer->departures = 0;
        rml_list_remove(&peer->departing_link);
        peer_departed(peer, peer->departure);
}

void departure_finish(struct peer *peer) {
        struct core *core = peer->core;
        size_t left = core->departures_left;

        core->departures_left = SIZE_MAX;
        while (peer->movers)
                move_part(rml_list_entry(rml_list_first(&core->moving), struct group, moving_link), SIZE_MAX);
        while (departure_goes_on(peer))
                departure_slice(peer, SIZE_MAX);
        core->departures_left = left;
}

void departures_turn(struct core *core) {
        size_t slice = departures_max(core) / SLICES + 1;
        struct rml_list *first;

        departures_renew(core);
        while (core->departures_left && (first = rml_list_first(&core->moving))) {
                rml_list_remove(first);
                rml_list_push_back(&core->moving, first);
                departures_count(core, move_part(rml_list_entry(first, struct group, moving_link), slice));
        }
        while (core->departures_left && (first = rml_list_first(&core->departing))) {
                rml_list_remove(first);
                rml_list_push_back(&core->departing, first);
                departure_slice(rml_list_entry(first, struct peer, departing_link), slice);
        }
}
