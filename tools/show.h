/* SPDX-License-Identifier: MIT */
/* How messages that came are printed. */
#ifndef RAMAL_TOOLS_SHOW_H
#define RAMAL_TOOLS_SHOW_H

#include "ctl.h"
#include "json.h"
#include "text.h"

/* The payload, ended by a newline unless it has one. On a terminal without raw control characters; `keep` says what
 * happens to newlines inside. */
void show_payload(const struct ctl *ctl, const ramal_msg *msg, enum text_keep keep);
/* The payload and nothing else; on a terminal still without control characters. */
void show_raw(const struct ctl *ctl, const ramal_msg *msg);
/* Members of a JSON object: sender, seq, type, headers, payload or payload_base64. */
void show_json(struct json *json, const ramal_msg *msg);

#endif
