/* SPDX-License-Identifier: MIT */
#include "topics_scratch.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"

#define ROOM_MIN 16u

static int grow(struct topics_scratch *scratch) {
        size_t room = scratch->room ? 2 * scratch->room : ROOM_MIN;
        struct topic_route *route;

        if (room > (SIZE_MAX - sizeof(*route)) / sizeof(struct topic_slot *))
                return -ENOMEM;
        route = realloc(scratch->route, sizeof(*route) + room * sizeof(struct topic_slot *));
        if (!route)
                return -ENOMEM;
        scratch->route = route;
        scratch->room = room;
        return 0;
}

int topics_scratch_begin(struct topics_scratch *scratch) {
        int r = scratch->route ? 0 : grow(scratch);

        if (r == 0)
                scratch->route->count = 0;
        return r;
}

int topics_scratch_take(struct topics_scratch *scratch, struct topic_slot *slot) {
        int r = scratch->route->count < scratch->room ? 0 : grow(scratch);

        if (r == 0)
                scratch->route->slots[scratch->route->count++] = slot;
        return r;
}

int topics_scratch_take_list(struct topics_scratch *scratch, const struct rml_list *slots) {
        int r = 0;

        for (struct rml_list *at = slots->next; r == 0 && at != slots; at = at->next)
                r = topics_scratch_take(scratch, rml_list_entry(at, struct topic_slot, link));
        return r;
}

int topics_scratch_take_ring(struct topics_scratch *scratch, struct topic_slot *first) {
        struct topic_slot *slot = first;
        int r = 0;

        if (!first)
                return 0;
        do {
                r = topics_scratch_take(scratch, slot);
                slot = rml_list_entry(slot->link.next, struct topic_slot, link);
        } while (r == 0 && slot != first);
        return r;
}

static bool slot_after(const struct topic_slot *left, const struct topic_slot *right) {
        if (left->role == TOPIC_SUBSCRIBER_GANG) {
                uint64_t kin = topic_gang_of(left)->kin, other = topic_gang_of(right)->kin;

                if (kin != other)
                        return kin > other;
        }
        return left->ordinal > right->ordinal;
}

static int by_kin(const void *a, const void *b) {
        const struct topic_slot *left = *(struct topic_slot *const *)a, *right = *(struct topic_slot *const *)b;

        return slot_after(left, right) - slot_after(right, left);
}

void topics_scratch_sort(struct topics_scratch *scratch, size_t first) {
        struct topic_slot **slots = scratch->route->slots;
        size_t count = scratch->route->count;

        for (size_t i = first + 1; i < count; i++) {
                if (slot_after(slots[i - 1], slots[i])) {
                        qsort(slots + first, count - first, sizeof(struct topic_slot *), by_kin);
                        return;
                }
        }
}

void topics_scratch_drop(struct topics_scratch *scratch) {
        free(scratch->route);
        *scratch = (struct topics_scratch){0};
}
