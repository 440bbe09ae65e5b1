/* SPDX-License-Identifier: MIT */
#include "departure.h"

#include "interest.h"

#define SLICE 256u /* of one peer, then it is the next one's turn; as few as that always go at once */

static void depart(struct interest *interest, enum departure how) {
        switch (how) {
        case DEPARTURE_DRAINS:
                interest_detach(interest, GOING_DRAINS);
                break;
        case DEPARTURE_STOPS:
                interest_detach(interest, GOING_STOPS);
                break;
        case DEPARTURE_DIES:
                interest_detach(interest, GOING_DIES);
                break;
        case DEPARTURE_ENDS:
                interest_end(interest, RAMAL__V1__WHY__WHY_ENDED);
                break;
        case DEPARTURE_FREES:
                interest_free(interest);
                break;
        }
}

bool departure_goes_on(const struct peer *peer) {
        return rml_list_linked(&peer->departing_link);
}

bool departure_begin(struct peer *peer, enum departure how) {
        struct core *core = peer->core;
        size_t count = peer->interest_count;

        peer->departure = how;
        peer->departures = 0;
        rml_list_remove(&peer->departing_link);
        if (count <= SLICE || count <= core->departures_left) {
                core->departures_left -= count < core->departures_left ? count : core->departures_left;
                rml_list_each_safe(at, &peer->interest_list)
                        depart(rml_list_entry(at, struct interest, link), how);
                return true;
        }
        rml_list_each_safe(at, &peer->grouped_list)
                depart(rml_list_entry(at, struct interest, grouped_link), how);
        peer->departures = peer->interest_count;
        rml_list_push_back(&core->departing, &peer->departing_link);
        return false;
}

/* Those that stay listed, to be flushed, go around: in the end they stand as they stood. */
static void departure_slice(struct peer *peer, size_t max) {
        struct rml_list *first = NULL;

        while (max-- && peer->departures && (first = rml_list_first(&peer->interest_list))) {
                struct interest *interest = rml_list_entry(first, struct interest, link);

                peer->departures--;
                rml_list_remove(first);
                rml_list_push_back(&peer->interest_list, first);
                if (!interest->grouped)
                        depart(interest, peer->departure);
        }
        if (peer->departures && !rml_list_empty(&peer->interest_list))
                return;
        peer->departures = 0;
        rml_list_remove(&peer->departing_link);
        peer_departed(peer, peer->departure);
}

void departure_finish(struct peer *peer) {
        while (departure_goes_on(peer))
                departure_slice(peer, SIZE_MAX);
}

void departures_turn(struct core *core) {
        struct rml_list *first;

        core->departures_left = DEPARTURES_MAX;
        while (core->departures_left && (first = rml_list_first(&core->departing))) {
                struct peer *peer = rml_list_entry(first, struct peer, departing_link);
                size_t max = core->departures_left < SLICE ? core->departures_left : SLICE;

                rml_list_remove(first);
                rml_list_push_back(&core->departing, first);
                core->departures_left -= max;
                departure_slice(peer, max);
        }
}
