/* SPDX-License-Identifier: MIT */
/* The broker's own API: calls to $SYS.api.*, answered at once. include/ramal/api.proto says what each one takes and
 * gives. */
#ifndef RAMAL_API_H
#define RAMAL_API_H

#include "scan.h"
#include "peer.h"

/* Does the subject begin with "$SYS.api."? */
bool api_is_call(struct rml_span subject);
/* Is there such a method? `subject` as above. */
bool api_answers(struct rml_span subject);
/* A CALL whose subject api_is_call(). Answers it exactly once: with one REPLY, or with STATUS. */
void api_call(struct peer *caller, uint64_t id, const struct rml_data *data);

#endif
