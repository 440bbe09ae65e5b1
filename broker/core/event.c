/* SPDX-License-Identifier: MIT */
#include "event.h"

#include <string.h>

#define BRAKE_NS UINT64_C(1000000000)

/* NULL: there are too many already, which is counted. */
static struct core_event *event_new(struct core *core, enum core_event_kind kind, const struct peer *peer,
                                    const char *text) {
        struct core_event *event;

        if (core->event_count == EVENTS_MAX) {
                core->events_lost++;
                return NULL;
        }
        event = &core->events[(core->event_first + core->event_count++) % EVENTS_MAX];
        *event = (struct core_event){
                .kind = kind, .peer = peer->id, .local = peer->local, .uid = peer->uid, .pid = peer->pid};
        strncpy(event->app, papers_app(peer->papers), sizeof(event->app) - 1);
        strncpy(event->address, papers_address(peer->papers), sizeof(event->address) - 1);
        strncpy(event->text, text, sizeof(event->text) - 1);
        return event;
}

void event_add(struct core *core, enum core_event_kind kind, const struct peer *peer, const char *text) {
        event_new(core, kind, peer, text);
}

void event_limit(struct peer *peer, const char *text, const char *key, size_t at, uint64_t value) {
        struct core *core = peer->core;
        struct brake *brake = &peer->account->brakes[at];
        struct core_event *event;

        if (brake->at_ns && core->now_ns < core_add_ns(brake->at_ns, BRAKE_NS)) {
                brake->suppressed++;
                return;
        }
        event = event_new(core, CORE_EVENT_LIMIT, peer, text);
        if (!event)
                return;
        if (key)
                strncpy(event->limit, key, sizeof(event->limit) - 1);
        event->value = value;
        event->suppressed = brake->suppressed;
        *brake = (struct brake){.at_ns = core->now_ns ? core->now_ns : 1};
        peer->account->braked_ns = core_add_ns(core->now_ns, BRAKE_NS);
}

bool core_next_event(struct core *core, struct core_event *ret, uint64_t *lost) {
        *lost = core->events_lost;
        core->events_lost = 0;
        if (!core->event_count)
                return false;
        *ret = core->events[core->event_first];
        core->event_first = (core->event_first + 1) % EVENTS_MAX;
        core->event_count--;
        return true;
}
