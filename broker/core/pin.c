/* SPDX-License-Identifier: MIT */
/* Each gang has at most one pin of a key that counts. One that was left behind at a member that takes nothing any more
 * is stale, and goes with its last message. */
#include "pin.h"

#include <stdlib.h>

#include "call.h"
#include "group.h"
#include "queue.h"

static uint64_t pin_hash(const struct core *core, const struct gang *gang, uint64_t key) {
        return rml_hash_u64(&core->config.seed, key, (uintptr_t)gang);
}

static struct pin *pin_find(const struct core *core, const struct gang *gang, uint64_t key) {
        struct rml_table_node *node = rml_table_find(&core->pins, pin_hash(core, gang, key));

        for (; node; node = rml_table_find_next(node)) {
                struct pin *pin = rml_container_of(node, struct pin, node);

                if (interest_gang(pin->at) == gang && pin->key == key)
                        return pin;
        }
        return NULL;
}

bool pin_wanted(const struct interest *interest, const struct message *message) {
        return message->keyed && interest_gang(interest) &&
               interest_gang(interest)->group->policy == RAMAL__V1__POLICY__POLICY_KEY;
}

struct interest *pin_member(const struct core *core, const struct gang *gang, uint64_t key) {
        const struct pin *pin = pin_find(core, gang, key);

        return pin ? pin->at : NULL;
}

static void pin_list(struct core *core, struct pin *pin) {
        pin->stale = false;
        rml_table_put(&core->pins, &pin->node, pin_hash(core, interest_gang(pin->at), pin->key));
}

static void pin_unlist(struct core *core, struct pin *pin) {
        if (!pin->stale)
                rml_table_remove(&core->pins, &pin->node);
        pin->stale = true;
}

struct pin *pin_take(struct interest *interest, uint64_t key) {
        struct core *core = interest->peer->core;
        struct pin *old = pin_find(core, interest_gang(interest), key), *pin = old;

        if (!pin || pin->at != interest) {
                pin = malloc(sizeof(*pin));
                if (!pin)
                        return NULL;
                if (old)
                        pin_unlist(core, old);
                *pin = (struct pin){.at = interest, .key = key};
                pin_list(core, pin);
        }
        pin->count++;
        return pin;
}

void pin_drop(struct pin *pin) {
        if (!pin || --pin->count)
                return;
        pin_unlist(pin->at->peer->core, pin);
        free(pin);
}

struct pin *pin_move(struct pin *pin, const struct interest *from, struct interest *to) {
        struct core *core = to->peer->core;
        struct pin *there;

        if (!pin)
                return NULL;
        there = pin_find(core, interest_gang(to), pin->key);
        if (there == pin && pin->at == to)
                return pin;
        if (pin->at != from || (there && there->at == to)) {
                there = pin_take(to, pin->key);
                pin_drop(pin);
                return there;
        }
        /* The first one of its key takes the pin along: that needs no memory, and those behind it find it there. */
        pin_unlist(core, pin);
        if (there)
                pin_unlist(core, there);
        pin->at = to;
        pin_list(core, pin);
        return pin;
}

static void pin_forget(struct pin **pin) {
        pin_drop(*pin);
        *pin = NULL;
}

static void deliveries_forget(const struct rml_list *deliveries) {
        rml_list_each(at, deliveries) {
                struct delivery *delivery = rml_list_entry(at, struct delivery, link);

                pin_forget(delivery->call ? &delivery->call->pin : &delivery->pin);
        }
}

void pins_forget(struct interest *interest) {
        const struct member *member = interest->grouped ? member_of(interest) : NULL;

        if (!member || !member->gang || member->gang->group->policy != RAMAL__V1__POLICY__POLICY_KEY)
                return;
        deliveries_forget(&member->backlog.queue);
        deliveries_forget(&member->kept);
        rml_list_each(at, &member->calls)
                pin_forget(&rml_list_entry(at, struct call, interest_link)->pin);
}
