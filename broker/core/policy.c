/* SPDX-License-Identifier: MIT */
/* Every policy but two is a heap of members by whose turn it is: least_pending by (pending, last turn), round_robin by
 * last turn, primary by rank. Those whose window is full stand in a heap of their own. So choosing costs no more with a
 * thousand members than with two, and no more when all of them are full.
 *
 * `random` draws a number below the count of members that are not full, which come first in an array. The numbers are
 * hashes of the group's turn: the same until somebody was given a message, so that whoever asks twice for one message
 * is told the same.
 *
 * `key` has one point for each member on a ring and looks for the key at several places; the member that stands closest
 * after one of them has it (multi-probe consistent hashing, Appleton and O'Reilly 2015). Who joins takes over only what
 * it is closest to now; what a member had that left goes to the next ones; nothing else moves. Several patterns are
 * several rings, and the closest of all is the one that a single ring of all members would yield. A key in progress
 * stays where it is (pin.h). */
#include "policy.h"

#include <errno.h>
#include <stdlib.h>

#include "pin.h"
#include "ring.h"

#define PASSED_MAX 256u /* members that may be passed over for one message */
#define DRAWS_MAX 32u   /* so often `random` draws before it looks at one after the other */
#define PROBES 21u      /* places where a key is looked for: nobody has much more than its share of the keys */

/* A member's point on the ring of its gang. */
struct seat {
        struct ring_node spot;
        struct interest *interest;
};

static Ramal__V1__Policy policy_of(const struct interest *interest) {
        return interest_gang(interest)->group->policy;
}

bool policy_takes(const struct interest *interest) {
        const struct peer *peer = interest->peer;

        return peer->state == PEER_OPEN && !peer->lost && !interest->evicting && !interest->detached;
}

/* ---- the order of turns ---- */

static void member_key(const struct interest *interest, uint64_t turn, uint64_t *key, uint64_t *tie) {
        *tie = 0;
        switch (policy_of(interest)) {
        case RAMAL__V1__POLICY__POLICY_PRIMARY:
                *key = member_of(interest)->rank;
                break;
        case RAMAL__V1__POLICY__POLICY_ROUND_ROBIN:
                *key = turn;
                break;
        case RAMAL__V1__POLICY__POLICY_RANDOM:
                *key = 0;
                break;
        default:
                *key = interest_pending(interest);
                *tie = turn;
                break;
        }
}

static uint64_t member_turn(const struct interest *interest) {
        const struct rml_heap_node *turn = &member_of(interest)->turn;

        return policy_of(interest) == RAMAL__V1__POLICY__POLICY_ROUND_ROBIN ? turn->key : turn->tie;
}

/* Will its window take nothing more, however small? Of a `primary` group the head is chosen, full or not. */
static bool member_is_full(const struct interest *interest) {
        uint64_t messages = interest_queued(interest) + interest->in_flight;
        uint64_t bytes = interest_queued_bytes(interest) + interest->in_flight_bytes;

        return messages && (messages >= interest->terms->window_messages || bytes >= interest->terms->window_bytes) &&
               policy_of(interest) != RAMAL__V1__POLICY__POLICY_PRIMARY;
}

static struct rml_heap *member_heap(const struct interest *interest) {
        return member_of(interest)->full ? &interest_gang(interest)->full : &interest_gang(interest)->members;
}

/* ---- the array of `random`: first those in gang->members, then those in gang->full ---- */

static int crowd_reserve(struct gang *gang) {
        size_t room = gang->crowd_room ? gang->crowd_room * 2 : 4;
        struct interest **crowd;

        if (gang->members.count + gang->full.count < gang->crowd_room)
                return 0;
        if (room > SIZE_MAX / sizeof(struct interest *))
                return -ENOMEM;
        crowd = realloc(gang->crowd, room * sizeof(struct interest *));
        if (!crowd)
                return -ENOMEM;
        gang->crowd = crowd;
        gang->crowd_room = room;
        return 0;
}

static void crowd_put(struct gang *gang, size_t place, struct interest *interest) {
        gang->crowd[place] = interest;
        member_of(interest)->place = place;
}

static void crowd_swap(struct gang *gang, struct interest *one, size_t place) {
        struct interest *other = gang->crowd[place];

        crowd_put(gang, member_of(one)->place, other);
        crowd_put(gang, place, one);
}

/* Before it is counted in gang->members. */
static void crowd_enter(struct interest *interest) {
        struct gang *gang = interest_gang(interest);

        crowd_put(gang, gang->members.count + gang->full.count, interest);
        crowd_swap(gang, interest, gang->members.count);
}

/* While it is still counted where it was. */
static void crowd_quit(struct interest *interest) {
        struct gang *gang = interest_gang(interest);

        if (!member_of(interest)->full)
                crowd_swap(gang, interest, gang->members.count - 1);
        crowd_swap(gang, interest, gang->members.count + gang->full.count - 1);
}

static void crowd_turn(struct interest *interest) {
        struct gang *gang = interest_gang(interest);

        crowd_swap(gang, interest, member_of(interest)->full ? gang->members.count : gang->members.count - 1);
}

/* ---- a member's place ---- */

static int seat_take(struct interest *interest) {
        const struct rml_seed *seed = &interest->peer->core->config.seed;
        uint64_t point = rml_hash_u64(seed, interest->peer->id, interest->sid);
        struct member *member = member_of(interest);
        struct seat *seat = malloc(sizeof(*seat));

        if (!seat)
                return -ENOMEM;
        seat->interest = interest;
        ring_put(&member->gang->ring, &seat->spot, point, member->rank, rml_hash_u64(seed, point, member->rank));
        member->seat = seat;
        return 0;
}

int policy_enter(struct interest *interest) {
        struct gang *gang = interest_gang(interest);
        uint64_t key, tie;
        int r = 0;

        if (policy_of(interest) == RAMAL__V1__POLICY__POLICY_RANDOM)
                r = crowd_reserve(gang);
        else if (policy_of(interest) == RAMAL__V1__POLICY__POLICY_KEY)
                r = seat_take(interest);
        if (r < 0)
                return r;
        if (policy_of(interest) == RAMAL__V1__POLICY__POLICY_RANDOM)
                crowd_enter(interest);
        member_key(interest, 0, &key, &tie);
        rml_heap_push(&gang->members, &member_of(interest)->turn, key, tie);
        return 0;
}

void policy_quit(struct interest *interest) {
        if (!rml_heap_has(&member_of(interest)->turn))
                return;
        if (policy_of(interest) == RAMAL__V1__POLICY__POLICY_RANDOM)
                crowd_quit(interest);
        if (policy_of(interest) == RAMAL__V1__POLICY__POLICY_KEY) {
                ring_remove(&interest_gang(interest)->ring, &member_of(interest)->seat->spot);
                free(member_of(interest)->seat);
                member_of(interest)->seat = NULL;
        }
        rml_heap_remove(member_heap(interest), &member_of(interest)->turn);
}

static void member_place(struct interest *interest, uint64_t turn) {
        struct member *member = member_of(interest);
        bool full = member_is_full(interest);
        uint64_t key, tie;

        member_key(interest, turn, &key, &tie);
        if (member->full == full && member->turn.key == key && member->turn.tie == tie)
                return;
        if (member->full == full) {
                rml_heap_move(member_heap(interest), &member->turn, key, tie);
                return;
        }
        if (policy_of(interest) == RAMAL__V1__POLICY__POLICY_RANDOM)
                crowd_turn(interest);
        rml_heap_remove(member_heap(interest), &member->turn);
        member->full = full;
        rml_heap_push(member_heap(interest), &member->turn, key, tie);
}

void group_changed_member(struct interest *interest) {
        if (rml_heap_has(&member_of(interest)->turn) && !interest->detached)
                member_place(interest, member_turn(interest));
}

void group_turned_member(struct interest *interest) {
        if (rml_heap_has(&member_of(interest)->turn))
                member_place(interest, ++interest_gang(interest)->group->turns);
}

/* ---- choosing ---- */

/* What is asked of a group: its gangs in the route from index on, all of them before end. */
struct choice {
        const struct topic_route *route;
        size_t index, end;
        const struct group *group;
        const struct message *message; /* for which there must be room; NULL: room or not */
        size_t passed;
        Ramal__V1__Why *why;
};

/* The gang of slot i, if it is one of the group. Servers of others may stand between. */
static struct gang *choice_gang(const struct choice *choice, size_t i) {
        const struct topic_slot *slot = choice->route->slots[i];
        struct gang *gang = slot_gang(slot);

        return gang && gang->group == choice->group ? gang : NULL;
}

static bool choice_fits(const struct choice *choice, const struct interest *interest) {
        return policy_takes(interest) &&
               (!choice->message || interest_has_room(interest, choice->message, choice->why));
}

static bool member_before(const struct interest *a, const struct interest *b) {
        const struct rml_heap_node *one = &member_of(a)->turn, *other = &member_of(b)->turn;

        return one->key < other->key || (one->key == other->key && one->tie < other->tie);
}

/* Whose turn is it in this heap, if it comes before `best`? */
static struct interest *heap_pick(struct choice *choice, const struct rml_heap *heap, struct interest *best) {
        struct interest *found = NULL;

        for (struct rml_heap_node *node = rml_heap_top(heap); node; node = rml_heap_next(heap, node)) {
                struct interest *interest = &rml_container_of(node, struct member, turn)->interest;

                if ((!found || member_before(interest, found)) && choice_fits(choice, interest))
                        found = interest;
                if ((found && node == rml_heap_top(heap)) || choice->passed == PASSED_MAX)
                        break;
                choice->passed++;
        }
        return !best || (found && member_before(found, best)) ? found : best;
}

static struct interest *turn_pick(struct choice *choice) {
        struct interest *best = NULL;

        for (size_t i = choice->index; i < choice->end; i++) {
                const struct gang *gang = choice_gang(choice, i);

                if (!gang)
                        continue;
                best = heap_pick(choice, &gang->members, best);
                if (!choice->message)
                        best = heap_pick(choice, &gang->full, best);
        }
        return best;
}

/* Of the members that are not full, or of all if there need be no room. */
static size_t crowd_count(const struct choice *choice, const struct gang *gang) {
        return gang->members.count + (choice->message ? 0 : gang->full.count);
}

static struct interest *crowd_at(const struct choice *choice, size_t place) {
        for (size_t i = choice->index;; i++) {
                const struct gang *gang = choice_gang(choice, i);

                if (!gang)
                        continue;
                if (place < crowd_count(choice, gang))
                        return gang->crowd[place];
                place -= crowd_count(choice, gang);
        }
}

static struct interest *random_pick(struct choice *choice, const struct core *core) {
        size_t total = 0, place = 0, draws;

        for (size_t i = choice->index; i < choice->end; i++) {
                const struct gang *gang = choice_gang(choice, i);

                total += gang ? crowd_count(choice, gang) : 0;
        }
        /* Drawn again whoever has no room for just this message: so all that have are equally likely. Where those are
         * few it goes around from the last one, a bounded way. */
        draws = total < DRAWS_MAX / 4 ? 4 * total : DRAWS_MAX;
        for (size_t n = 0; total && n < draws + PASSED_MAX && n < draws + total; n++) {
                uint64_t nth = choice->group->turns * DRAWS_MAX + n;
                struct interest *interest;

                place = n < draws ? (size_t)(rml_hash_u64(&core->config.seed, choice->group->ordinal, nth) % total)
                                  : (place + 1) % total;
                interest = crowd_at(choice, place);
                if (choice_fits(choice, interest))
                        return interest;
        }
        return NULL;
}

/* The first one at or after a place on the ring that takes anything. */
static struct interest *ring_pick(struct choice *choice, const struct ring *ring, uint64_t place, uint64_t *distance) {
        struct ring_node *begin = ring_at(ring, place), *node = begin;

        while (node) {
                struct interest *interest = rml_container_of(node, struct seat, spot)->interest;

                if (policy_takes(interest)) {
                        *distance = node->point - place;
                        return interest;
                }
                node = ring_next(ring, node);
                if (node == begin || choice->passed == PASSED_MAX)
                        break;
                choice->passed++;
        }
        return NULL;
}

static struct interest *key_pick(struct choice *choice, const struct core *core) {
        uint64_t key = choice->message->key, nearest = UINT64_MAX;
        struct interest *best = NULL;

        for (size_t i = choice->index; i < choice->end; i++) {
                const struct gang *gang = choice_gang(choice, i);
                struct interest *pinned = gang ? pin_member(core, gang, key) : NULL;

                if (pinned && policy_takes(pinned))
                        return pinned;
        }
        for (size_t i = choice->index; i < choice->end; i++) {
                const struct gang *gang = choice_gang(choice, i);

                for (unsigned probe = 0; gang && probe < PROBES; probe++) {
                        uint64_t distance;
                        struct interest *interest =
                                ring_pick(choice, &gang->ring, rml_hash_u64(&core->config.seed, key, probe), &distance);

                        if (interest && (!best || distance < nearest)) {
                                best = interest;
                                nearest = distance;
                        }
                }
        }
        return best;
}

/* The one whose turn it is, among those with room for choice->message, or among all. */
static struct interest *any_pick(struct choice *choice, const struct core *core) {
        return choice->group->policy == RAMAL__V1__POLICY__POLICY_RANDOM ? random_pick(choice, core)
                                                                         : turn_pick(choice);
}

struct interest *group_choose(const struct topic_route *route, size_t index, const struct message *message,
                              bool full_too, Ramal__V1__Why *why) {
        const struct group *group = slot_gang(route->slots[index])->group;
        struct choice choice = {.route = route, .index = index, .end = index + 1, .group = group, .message = message,
                                .why = why};
        struct interest *best = NULL;

        /* Those of subscribers stand together. */
        while (choice.end < route->count &&
               (group->serve || topic_gang_of(route->slots[choice.end])->kin == group->ordinal))
                choice.end++;
        if (group->policy == RAMAL__V1__POLICY__POLICY_KEY && message->keyed)
                best = key_pick(&choice, group->core);
        else if (group->policy != RAMAL__V1__POLICY__POLICY_PRIMARY && (best = any_pick(&choice, group->core)))
                return best;
        *why = RAMAL__V1__WHY__WHY_NONE;
        /* The head of a primary group, or who has the key, full or not. Of the others all are full: the rule of the
         * next one decides. */
        choice.message = NULL;
        if (!best)
                best = any_pick(&choice, group->core);
        return best && (full_too || interest_has_room(best, message, why)) ? best : NULL;
}
