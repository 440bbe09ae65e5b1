/* SPDX-License-Identifier: MIT */
/* Receive credit. What was dealt with is confirmed, cumulatively, when half of the credit is used; when a sixteenth is
 * and the turn ends; for groups, services and streamed replies at the end of each turn; and the rest a few
 * milliseconds later, so that a message longer than what is left of the credit never waits for ever. */
#include "client/conn_private.h"

#include <errno.h>

void rml_confirm_reset(struct rml_confirm *confirm) {
        rml_list_remove(&confirm->link);
        confirm->seen = confirm->bytes = confirm->messages = 0;
}

bool rml_confirm_send(ramal_conn *conn, struct rml_confirm *confirm) {
        Ramal__V1__Credit credit = RAMAL__V1__CREDIT__INIT;

        if (confirm->messages == 0)
                return true;
        credit.sid = confirm->sid;
        credit.call = confirm->call;
        credit.seq = confirm->seen;
        int r = rml_out_control(conn, RML_CREDIT, 0, &credit.base);
        if (r == -ENOMEM) {
                if (conn->confirm_at == RAMAL_NEVER)
                        conn->confirm_at = 0;
                return false;
        }
        if (r < 0)
                return true; /* there is nobody to tell */
        rml_list_remove(&confirm->link);
        confirm->bytes = confirm->messages = 0;
        return true;
}

void rml_confirm_done(ramal_conn *conn, struct rml_confirm *confirm, uint64_t seq, size_t bytes) {
        confirm->seen = seq;
        confirm->bytes += bytes;
        confirm->messages++;
        bool half = (confirm->bytes_max && confirm->bytes >= confirm->bytes_max / 2) ||
                    (confirm->messages_max && confirm->messages >= (confirm->messages_max + 1) / 2);
        if (half && rml_confirm_send(conn, confirm))
                return;
        bool now = confirm->soon || conn->draining || confirm->bytes >= confirm->bytes_max / 16;
        if (rml_list_linked(&confirm->link)) {
                if (!now || confirm->listed_now)
                        return;
                rml_list_remove(&confirm->link);
        } else if (!now && conn->confirm_at == RAMAL_NEVER) {
                conn->confirm_at = 0; /* the turn sets the clock */
        }
        confirm->listed_now = now;
        rml_list_push_back(now ? &conn->confirm_now : &conn->confirm_later, &confirm->link);
}

/* Without memory the rest stays: the broker may be waiting for it, and nothing else may come before. Returns whether all
 * is sent. */
static bool send_list(ramal_conn *conn, struct rml_list *list) {
        while (!rml_list_empty(list)) {
                struct rml_confirm *confirm = rml_list_entry(rml_list_first(list), struct rml_confirm, link);
                if (!rml_confirm_send(conn, confirm))
                        return false;
                rml_list_remove(&confirm->link);
        }
        return true;
}

void rml_confirm_turn(ramal_conn *conn, uint64_t now) {
        if (!send_list(conn, &conn->confirm_now)) {
                conn->confirm_at = now + RML_CONFIRM_NS;
        } else if (rml_list_empty(&conn->confirm_later)) {
                conn->confirm_at = RAMAL_NEVER;
        } else if (conn->confirm_at == 0 || conn->confirm_at == RAMAL_NEVER) {
                conn->confirm_at = now + RML_CONFIRM_NS;
        } else if (now >= conn->confirm_at) {
                conn->confirm_at = send_list(conn, &conn->confirm_later) ? RAMAL_NEVER : now + RML_CONFIRM_NS;
        }
}

void rml_confirm_all(ramal_conn *conn) {
        bool all = send_list(conn, &conn->confirm_now) && send_list(conn, &conn->confirm_later);

        conn->confirm_at = all ? RAMAL_NEVER : ramal_now() + RML_CONFIRM_NS;
}
