/* SPDX-License-Identifier: MIT */
/* How the model's parties read and confirm, and how all comes to rest. */
#ifndef RAMAL_TEST_REST_H
#define RAMAL_TEST_REST_H

#include "model.h"

/* Tells the model whom the core has closed. */
void rest_closed(struct model *);
/* What one turn leaves undone, by its budgets, the next ones do. */
void rest_turns(struct model *);
/* To be called after each frame of the party, before the model is told of it: who had sent one that is worth more output
 * than a turn may have is not looked at before those turns are over. */
void rest_heard(struct model *, struct party *);
/* Takes at most max bytes and shows them to the model. Returns whether there were any. */
bool rest_take(struct model *, struct party *, size_t max);
/* All that was received of it. */
void rest_confirm(struct model *, struct interest *);
/* Everybody reads and confirms until nothing moves; then nothing may be left over, and nothing charged. */
void rest_settle(struct model *);

#endif
