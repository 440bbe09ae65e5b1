/* SPDX-License-Identifier: MIT */
/* Taps: monitors that see publishes, calls and replies without receiving them. They slow nobody, count as nobody's
 * receiver, and are told of their own gaps. A reply is judged by its call's subject. */
#ifndef RAMAL_TAP_H
#define RAMAL_TAP_H

#include "message.h"
#include "state.h"

/* Shows a message that was accepted. flags: CALL or ANSWER, or none; token: of the call. */
void tap_show(struct core *, struct rml_span subject, const struct message *, uint32_t flags, uint64_t token);

/* Nobody pays for taps while there are none. */
static inline bool tap_wanted(const struct core *core) {
        return core->tap_count != 0;
}

#endif
