/* SPDX-License-Identifier: MIT */
#include "describe.h"

#include <errno.h>
#include <string.h>

bool describe_shows(const struct peer *peer) {
        return peer->state != PEER_LEAVING && peer->state != PEER_CLOSED;
}

static bool owns(const struct interest *interest) {
        return interest_gang(interest) && group_head(interest_gang(interest)->group) == interest;
}

/* The names that it owns; those that it only waits for are in the names' queues. */
static int describe_names(const struct peer *peer, struct arena *arena, Ramal__Api__V1__Peer *ret) {
        const struct member *member = peer->names;
        size_t count = 0;

        if (!member)
                return 0;
        do {
                count += owns(&member->interest);
                member = rml_list_entry(member->name_link.next, struct member, name_link);
        } while (member != peer->names);
        ret->names = arena_array(arena, count, sizeof(*ret->names));
        if (!ret->names)
                return -ENOMEM;
        do {
                if (owns(&member->interest))
                        ret->names[ret->n_names++] = describe_text(interest_pattern(&member->interest));
                member = rml_list_entry(member->name_link.next, struct member, name_link);
        } while (member != peer->names);
        return 0;
}

int describe_peer(const struct peer *peer, struct arena *arena, Ramal__Api__V1__Peer *ret) {
        ramal__api__v1__peer__init(ret);
        ret->id = peer->id;
        ret->app = describe_text(papers_app(peer->papers));
        ret->library = describe_text(papers_library(peer->papers));
        ret->local = peer->local;
        if (peer->local) {
                ret->uid = peer->uid;
                ret->gid = peer->gid;
                ret->pid = peer->pid;
                ret->groups = peer->papers->groups;
                ret->n_groups = peer->papers->group_count;
        } else if (peer->in) {
                struct rml_span identity = peer_identity(peer);
                char *text = arena_alloc(arena, identity.len + 1);

                if (!text)
                        return -ENOMEM;
                memcpy(text, identity.data, identity.len);
                ret->identity = text;
        }
        ret->address = describe_text(papers_address(peer->papers));
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
                const struct interest *interest = &rml_list_entry(at, struct member, member_link)->interest;

                if (interest != head && ret->n_queue < group->member_count - 1)
                        ret->queue[ret->n_queue++] = interest->peer->id;
        }
        return 0;
}
