/* SPDX-License-Identifier: MIT */
/* What happens between connections: the loss, the pauses, and the return of everything that was asked for. */
#include "client/conn_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Doubled for each attempt, less a random part of up to half: a restarted broker is not met by everybody at once. */
static uint64_t backoff(ramal_conn *conn) {
        uint64_t pause = conn->backoff_min;
        uint32_t random = 0;

        for (unsigned i = 0; i < conn->attempts && pause < conn->backoff_max; i++)
                pause *= 2;
        pause = rml_min64(pause, conn->backoff_max);
        if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
                random = 0;
        conn->attempts++;
        return pause - (uint64_t)((double)pause / 2 * ((double)random / UINT32_MAX));
}

/* Takes the socket and all that belongs to it away. */
static void disconnect(ramal_conn *conn) {
        rml_io_close_socket(conn);
        rml_out_clear(conn);
        rml_stash_clear(conn);
        rml_framer_deinit(&conn->framer);
        rml_framer_init(&conn->framer, RML_CONTROL_BYTES_MAX);
        conn->input.len = 0;
        conn->broken = 0;
        conn->out_dead = false;
        conn->losses++;
        conn->confirm_at = conn->probe_at = RAMAL_NEVER;
        conn->probe_bytes = conn->probed = 0;
        conn->credit_used = 0;
        rml_ask_forget(conn, &conn->probe.pending);
}

static void pause_and_retry(ramal_conn *conn) {
        conn->phase = RML_PHASE_IDLE;
        conn->timer_at = ramal_now() + backoff(conn);
        rml_io_arm(conn);
}

/* Everybody who waits for something that this connection owed. error: borrowed, not conn->error. */
static void fail_everything(ramal_conn *conn, const ramal_error *error) {
        if (!conn->closed)
                rml_calls_fail(conn, error);
        if (!conn->closed)
                rml_receipts_fail(conn, error);
        if (!conn->closed)
                rml_reqs_lost(conn);
        if (!conn->closed)
                rml_subs_lost(conn);
}

void rml_end(ramal_conn *conn, const ramal_error *error) {
        ramal_error copy = *error, lost;
        uint64_t unconfirmed = conn->published - conn->accepted;

        disconnect(conn);
        conn->phase = RML_PHASE_DOWN;
        conn->timer_at = RAMAL_NEVER;
        conn->published = conn->accepted = 0;
        rml_error(&lost, -ECONNRESET, "%s", copy.message);
        if (conn->state != RAMAL_CLOSED)
                rml_set_state(conn, RAMAL_CLOSED, &copy, unconfirmed);
        fail_everything(conn, &lost);
}

void rml_attempt_failed(ramal_conn *conn, const ramal_error *error) {
        ramal_error copy = *error;
        bool again = conn->ever ? !conn->no_reconnect : conn->wait_broker;

        disconnect(conn);
        if (!again) {
                rml_end(conn, &copy);
                return;
        }
        pause_and_retry(conn);
        rml_set_state(conn, RAMAL_CONNECTING, &copy, 0);
}

void rml_lost(ramal_conn *conn) {
        ramal_error error;
        uint64_t unconfirmed = conn->published - conn->accepted;

        if (conn->phase != RML_PHASE_UP) {
                if (conn->broken == -ENOMEM) { /* rml_starved(): no other address would help */
                        error = conn->goaway;
                        conn->broken = 0;
                        rml_attempt_failed(conn, &error);
                        return;
                }
                if (conn->phase == RML_PHASE_HELLO || conn->phase == RML_PHASE_AUTH) {
                        bool garbage = conn->broken == -EBADMSG;
                        rml_target_failed(conn, conn->broken,
                                          garbage ? "what answers there is not a broker of ramal" : NULL);
                }
                conn->broken = 0;
                return;
        }
        if (conn->drained)
                rml_error(&error, -ESHUTDOWN, "the connection was drained");
        else if (conn->goaway.code)
                error = conn->goaway;
        else
                rml_error(&error, conn->broken == -ETIMEDOUT ? -ETIMEDOUT : -ECONNRESET, "%s: the connection was lost",
                          ramal_conn_address(conn));
        if (conn->no_reconnect || conn->draining) {
                rml_end(conn, &error);
                return;
        }
        /* Sent away for cause: it may happen again at once, so the pauses go on growing. */
        if (!conn->goaway.code || conn->goaway.code == -ECONNRESET)
                conn->attempts = 0;
        disconnect(conn);
        conn->published = conn->accepted = 0;
        pause_and_retry(conn);
        rml_set_state(conn, RAMAL_CONNECTING, &error, unconfirmed);
        rml_error(&error, -ECONNRESET, "%s: the connection was lost while this was under way",
                  ramal_conn_address(conn));
        fail_everything(conn, &error);
}

void rml_welcomed(ramal_conn *conn) {
        conn->phase = RML_PHASE_UP;
        conn->timer_at = RAMAL_NEVER;
        conn->ever = true;
        conn->published = conn->accepted = 0;
        conn->error.code = 0;
        conn->error.message[0] = '\0';
        conn->goaway.code = 0;
        /* First what was asked for before, so that what the program does now finds it in place. */
        rml_subs_again(conn);
        rml_set_state(conn, RAMAL_CONNECTED, NULL, 0);
}
