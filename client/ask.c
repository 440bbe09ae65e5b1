/* SPDX-License-Identifier: MIT */
/* Frames of ours that the broker answers: which id is whose. */
#include "client/conn_private.h"

#include <errno.h>

/* We chose the ids, so that no secret is needed against chosen ones. */
static uint64_t hash_id(uint64_t id) {
        return id * UINT64_C(0x9e3779b97f4a7c15);
}

uint64_t rml_ask(ramal_conn *conn, struct rml_pending *pending, enum rml_ask ask) {
        pending->id = ++conn->ids;
        pending->ask = ask;
        pending->published = conn->published;
        pending->waiting = true;
        rml_table_put(&conn->pending, &pending->node, hash_id(pending->id));
        return pending->id;
}

void rml_ask_forget(ramal_conn *conn, struct rml_pending *pending) {
        if (pending->waiting)
                rml_table_remove(&conn->pending, &pending->node);
        pending->waiting = false;
}

struct rml_pending *rml_ask_find(const ramal_conn *conn, uint64_t id) {
        struct rml_table_node *node = id ? rml_table_find(&conn->pending, hash_id(id)) : NULL;

        for (; node; node = rml_table_find_next(node)) {
                struct rml_pending *pending = rml_container_of(node, struct rml_pending, node);
                if (pending->id == id)
                        return pending;
        }
        return NULL;
}

/* The broker takes frames in order: what was published before is accepted, or its refusal has come already. */
void rml_ask_answered(ramal_conn *conn, struct rml_pending *pending) {
        if (pending->published > conn->accepted)
                conn->accepted = pending->published;
}

int rml_ping(ramal_conn *conn, struct rml_ping *ping) {
        Ramal__V1__Ping message = RAMAL__V1__PING__INIT;

        if (conn->phase != RML_PHASE_UP || conn->out_dead)
                return -ENOTCONN;
        ping->result = 1;
        int r = rml_out_control(conn, RML_PING, rml_ask(conn, &ping->pending, RML_ASK_PING), &message.base);
        if (r < 0)
                rml_ask_forget(conn, &ping->pending);
        return r;
}

/* Asks for the library itself. Silence is counted from here, however long nobody has looked at the socket. */
int rml_probe_now(ramal_conn *conn, uint64_t now) {
        conn->probe_bytes = 0;
        conn->probe_at = RAMAL_NEVER;
        if (conn->probe.pending.waiting)
                return 0;
        int r = rml_ping(conn, &conn->probe);
        if (r < 0) {
                conn->probe_at = now + RML_PROBE_NS; /* somebody may wait for what it would tell */
                return r;
        }
        conn->heard_at = now;
        conn->probed = conn->published;
        return 0;
}

/* Called once a turn: asks the broker now and then what it has, so that a loss can be told apart from success; and,
 * over TCP, whether it is still there. */
void rml_probe(ramal_conn *conn, uint64_t now) {
        bool tcp = conn->phase == RML_PHASE_UP && conn->targets[conn->target].addr.kind == RML_ADDR_TCP;
        bool unsure = conn->published > conn->accepted;

        if (conn->phase != RML_PHASE_UP || (!tcp && !unsure)) {
                conn->probe_at = RAMAL_NEVER;
                return;
        }
        if (conn->probe.pending.waiting) {
                /* Under way. Over TCP there may be nobody to answer. */
                conn->probe_at = tcp ? conn->heard_at + 2 * RML_IDLE_NS : RAMAL_NEVER;
                if (now >= conn->probe_at && !conn->broken)
                        conn->broken = -ETIMEDOUT;
                return;
        }
        if (now >= conn->probe_at) {
                if (rml_probe_now(conn, now) == 0 && tcp)
                        conn->probe_at = now + 2 * RML_IDLE_NS;
        } else if (conn->probe_at == RAMAL_NEVER) {
                conn->probe_at = unsure ? now + RML_PROBE_NS : rml_min64(now, conn->heard_at) + RML_IDLE_NS;
        } else if (!unsure && tcp) {
                conn->probe_at = conn->heard_at + RML_IDLE_NS;
        }
}
