/* SPDX-License-Identifier: MIT */
#include "presence.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "describe.h"
#include "bounds.h"
#include "publish.h"
#include "subject.h"

/* What an event may need beside its packed form: with more than that its payload would be too large as well. */
static size_t arena_max(const struct core *core) {
        uint64_t payload = core->config.limits.payload_bytes;

        return (size_t)(payload < RML_PAYLOAD_BYTES_CEILING ? payload : RML_PAYLOAD_BYTES_CEILING) * 8;
}

/* made: whether there was memory to describe it. An event that cannot be published is counted: a watcher's own list is
 * then out of date until it asks again. */
static void publish_event(struct core *core, struct rml_span subject, bool made, const ProtobufCMessage *event) {
        if (made && protobuf_c_message_get_packed_size(event) <= core->config.limits.payload_bytes)
                publish_own(core, subject, event->descriptor->name, event);
        else
                core->counters.unpublished++;
}

void presence_peer(struct core *core, struct peer *peer, bool gone) {
        Ramal__Api__V1__PeerEvent event;
        Ramal__Api__V1__Peer line;
        struct arena arena;
        char subject[64];
        bool made;

        ramal__api__v1__peer_event__init(&event);
        snprintf(subject, sizeof(subject), "$SYS.peer.%" PRIu64, peer->id);
        if (!publish_own_wanted(core, rml_span_of(subject)))
                return;
        arena_init(&arena, arena_max(core));
        made = describe_peer(peer, &arena, &line) == 0;
        event.peer = &line;
        event.gone = gone;
        publish_event(core, rml_span_of(subject), made, &event.base);
        arena_deinit(&arena);
}

void presence_name(struct core *core, struct group *group) {
        Ramal__Api__V1__NameEvent event;
        const struct interest *head = group_head(group);
        uint64_t owner = head ? head->peer->id : 0;
        Ramal__Api__V1__Name line;
        struct arena arena;
        char subject[RML_SUBJECT_BYTES_MAX + 1];
        bool made;

        ramal__api__v1__name_event__init(&event);
        if (owner == group->owner_told)
                return;
        group->owner_told = owner;
        snprintf(subject, sizeof(subject), "$SYS.name.%s", group->name); /* a name is at most 200 bytes, 28 tokens */
        if (!publish_own_wanted(core, rml_span_of(subject)))
                return;
        arena_init(&arena, arena_max(core));
        made = describe_name(group, &arena, &line) == 0;
        event.name = &line;
        publish_event(core, rml_span_of(subject), made, &event.base);
        arena_deinit(&arena);
}

void presence_stall(struct core *core, const struct interest *interest, uint64_t waited_ns) {
        Ramal__Api__V1__StallEvent event;
        Ramal__Api__V1__Peer line;
        struct arena arena;
        char subject[64];
        bool made;

        ramal__api__v1__stall_event__init(&event);
        snprintf(subject, sizeof(subject), "$SYS.stall.%" PRIu64, interest->peer->id);
        if (!describe_shows(interest->peer) || !publish_own_wanted(core, rml_span_of(subject)))
                return;
        arena_init(&arena, arena_max(core));
        made = describe_peer(interest->peer, &arena, &line) == 0;
        event.peer = &line;
        event.sid = interest->sid;
        event.pattern = describe_text(interest_pattern(interest));
        event.queued_messages = interest_queued(interest);
        event.queued_bytes = interest_queued_bytes(interest);
        event.waited_us = waited_ns / 1000;
        publish_event(core, rml_span_of(subject), made, &event.base);
        arena_deinit(&arena);
}
