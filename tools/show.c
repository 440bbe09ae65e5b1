/* SPDX-License-Identifier: MIT */
#include "show.h"

#include <stdio.h>

void show_payload(const struct ctl *ctl, const ramal_msg *msg, enum text_keep keep) {
        size_t len;
        const char *data = ramal_msg_data(msg, &len);
        bool ended = len > 0 && data[len - 1] == '\n';
        if (ctl->terminal)
                text_print(stdout, data, len - ended, keep);
        else
                fwrite(data, 1, len - ended, stdout);
        putchar('\n');
}

void show_raw(const struct ctl *ctl, const ramal_msg *msg) {
        size_t len;
        const void *data = ramal_msg_data(msg, &len);
        if (ctl->terminal)
                text_print(stdout, data, len, TEXT_LINES);
        else
                fwrite(data, 1, len, stdout);
}

static void json_sender(struct json *json, const ramal_sender *sender) {
        json_open_object(json, "sender");
        json_number(json, "peer", sender->peer);
        json_bool(json, "local", sender->local);
        if (sender->local) {
                json_number(json, "uid", (uint64_t)sender->uid);
                json_number(json, "gid", (uint64_t)sender->gid);
                json_number(json, "pid", (uint64_t)sender->pid);
        } else {
                json_text(json, "identity", sender->identity);
        }
        json_end(json);
}

void show_json(struct json *json, const ramal_msg *msg) {
        size_t len, cursor = 0;
        ramal_header header;
        json_sender(json, ramal_msg_sender(msg));
        json_number(json, "seq", ramal_msg_seq(msg));
        if (ramal_msg_replaced(msg) > 0)
                json_number(json, "replaced", ramal_msg_replaced(msg));
        if (ramal_msg_flags(msg) & RAMAL_MSG_MOVED)
                json_bool(json, "moved", true);
        if (ramal_msg_flags(msg) & RAMAL_MSG_REDELIVERED)
                json_bool(json, "redelivered", true);
        if (ramal_msg_flags(msg) & RAMAL_MSG_RETAINED)
                json_bool(json, "retained", true);
        if (ramal_msg_expires(msg) != RAMAL_NEVER) {
                uint64_t now = ramal_now(), expires = ramal_msg_expires(msg);
                json_number(json, "time_left_us", expires > now ? (expires - now) / 1000 : 0);
        }
        json_text(json, "type", ramal_msg_type(msg));
        json_open_array(json, "headers");
        while (ramal_msg_header_next(msg, &cursor, &header)) {
                json_open_object(json, NULL);
                json_text_len(json, "name", header.name, header.name_len);
                json_bytes(json, "value", header.value, header.value_len);
                json_end(json);
        }
        json_end(json);
        const void *data = ramal_msg_data(msg, &len);
        json_bytes(json, "payload", data, len);
}
