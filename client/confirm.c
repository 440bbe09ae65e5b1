/* SPDX-License-Identifier: MIT */
/* Receive credit. What was dealt with is confirmed, cumulatively, when half of the credit is used; when a sixteenth is
 * and the turn ends; for groups, services and streamed replies at the end of each turn; and the rest a few
 * milliseconds later, so that a message longer than what is left of the credit never waits for ever. */
#include "client/conn_private.h"

void rml_confirm_reset(struct rml_confirm *confirm) {
        rml_list_remove(&confirm->link);
        confirm->seen = confirm->bytes = confirm->messages = 0;
}

void rml_confirm_send(ramal_conn *conn, struct rml_confirm *confirm) {
        Ramal__V1__Credit credit = RAMAL__V1__CREDIT__INIT;

        if (confirm->messages == 0)
                return;
        credit.sid = confirm->sid;
        credit.call = confirm->call;
        credit.seq = confirm->seen;
        /* Without memory it stays unconfirmed, and is with the next. */
        if (rml_out_control(conn, RML_CREDIT, 0, &credit.base) < 0)
                return;
        rml_list_remove(&confirm->link);
        confirm->bytes = confirm->messages = 0;
}

void rml_confirm_done(ramal_conn *conn, struct rml_confirm *confirm, uint64_t seq, size_t bytes) {
        confirm->seen = seq;
        confirm->bytes += bytes;
        confirm->messages++;
        if ((confirm->bytes_max && confirm->bytes >= confirm->bytes_max / 2) ||
            (confirm->messages_max && confirm->messages >= (confirm->messages_max + 1) / 2)) {
                rml_confirm_send(conn, confirm);
                return;
        }
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

static void send_list(ramal_conn *conn, struct rml_list *list) {
        while (!rml_list_empty(list)) {
                struct rml_confirm *confirm = rml_list_entry(rml_list_first(list), struct rml_confirm, link);
                rml_confirm_send(conn, confirm);
                rml_list_remove(&confirm->link);
        }
}

void rml_confirm_turn(ramal_conn *conn, uint64_t now) {
        send_list(conn, &conn->confirm_now);
        if (rml_list_empty(&conn->confirm_later)) {
                conn->confirm_at = RAMAL_NEVER;
        } else if (conn->confirm_at == 0 || conn->confirm_at == RAMAL_NEVER) {
                conn->confirm_at = now + RML_CONFIRM_NS;
        } else if (now >= conn->confirm_at) {
                send_list(conn, &conn->confirm_later);
                conn->confirm_at = RAMAL_NEVER;
        }
}

void rml_confirm_all(ramal_conn *conn) {
        send_list(conn, &conn->confirm_now);
        send_list(conn, &conn->confirm_later);
        conn->confirm_at = RAMAL_NEVER;
}
