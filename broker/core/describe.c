/* SPDX-License-Identifier: MIT */
#include "describe.h"

#include <errno.h>
#include <string.h>

bool describe_shows(const struct peer *peer) {
        return peer->state != PEER_LEAVING && peer->state != PEER_CLOSED;
}

static bool owns(const struct interest *interest) {
        return interest->gang && group_head(interest->gang->group) == interest;
}

/* The names that it owns; those that it only waits for are in the names' queues. */
static int describe_names(const struct peer *peer, struct arena *arena, Ramal__Api__V1__Peer *ret) {
        size_t count = 0;

        if (!peer->name_count)
                return 0;
        rml_list_each(at, &peer->name_list)
                count += owns(rml_list_entry(at, struct interest, name_link));
        ret->names = arena_array(arena, count, sizeof(*ret->names));
        if (!ret->names)
                return -ENOMEM;
        rml_list_each(at, &peer->name_list) {
                const struct interest *interest = rml_list_entry(at, struct interest, name_link);

                if (owns(interest))
                        ret->names[ret->n_names++] = describe_text(interest->pattern);
        }
        return 0;
}

int describe_peer(const struct peer *peer, struct arena *arena, Ramal__Api__V1__Peer *ret) {
        ramal__api__v1__peer__init(ret);
        ret->id = peer->id;
        ret->app = describe_text(peer->app);
        ret->library = describe_text(peer->library);
        ret->local = peer->local;
        if (peer->local) {
                ret->uid = peer->uid;
                ret->gid = peer->gid;
                ret->pid = peer->pid;
                ret->groups = peer->groups;
                ret->n_groups = peer->group_count;
        } else if (peer->in && peer->identity.len) {
                char *identity = arena_alloc(arena, peer->identity.len + 1);

                if (!identity)
                        return -ENOMEM;
                memcpy(identity, peer->identity.data, peer->identity.len);
                ret->identity = identity;
        }
        ret->address = describe_text(peer->address);
        ret->age_us = (peer->core->now_ns - peer->accepted_ns) / 1000;
        ret->interests = peer->interest_count;
        ret->queued_messages = peer->queued_count;
        ret->queued_bytes = peer->queued_bytes;
        ret->welcomed = peer->in;
        return describe_names(peer, arena, ret);
}

int describe_name(const struct group *group, struct arena *arena, Ramal__Api__V1__Name *ret) {
        const struct interest *head = group_head(group);

        ramal__api__v1__name__init(ret);
        ret->name = describe_text(group->name);
        if (!head)
                return 0;
        ret->owner = head->peer->id;
        ret->local = head->peer->local;
        if (head->peer->local)
                ret->uid = head->peer->uid;
        ret->queue = arena_array(arena, group->member_count - 1, sizeof(*ret->queue));
        if (!ret->queue)
                return -ENOMEM;
        rml_list_each(at, &group->members) {
                const struct interest *interest = rml_list_entry(at, struct interest, member_link);

                if (interest != head && ret->n_queue < group->member_count - 1)
                        ret->queue[ret->n_queue++] = interest->peer->id;
        }
        return 0;
}
