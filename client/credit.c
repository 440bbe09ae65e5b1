/* SPDX-License-Identifier: MIT */
/* Publish credit. The broker counts the bytes of our PUBLISH frames that it holds in queues of receivers that would
 * rather have us wait than lose anything; we keep a copy of its count, and send nothing that it would refuse.
 *
 * Ours is never behind: it grows when we send, before the broker hears of it, and shrinks when the broker tells us,
 * after it has done so itself. What came back is told at once where somebody waited in a queue; else when half of the
 * credit is free, and before the answer to a PING. So whoever finds no room sends one PING, unless one was sent after
 * the last publish: what is not free then, is told by itself. */
#include "client/conn_private.h"

#include <string.h>

bool rml_credit_fits(const ramal_conn *conn, uint64_t bytes) {
        /* One that is longer than the whole goes when nothing else is under way. */
        return conn->credit_used == 0 || (bytes <= conn->credit_max && conn->credit_used <= conn->credit_max - bytes);
}

static bool lacks(const ramal_conn *conn, const struct rml_want *want) {
        return want && want->credit > 0 && !rml_credit_fits(conn, want->credit);
}

bool rml_credit_lacking(const ramal_conn *conn) {
        return lacks(conn, &conn->wants) || lacks(conn, conn->blocked);
}

int rml_credit_ask(ramal_conn *conn) {
        if (!rml_credit_lacking(conn))
                return 0;
        /* Under way: its answer asks again where that is of use. Or all is asked that can be. */
        if (conn->probe.pending.waiting || conn->probed == conn->published)
                return 0;
        return rml_probe_now(conn, ramal_now());
}

void rml_credit_returned(ramal_conn *conn, uint64_t bytes) {
        conn->credit_used -= rml_min64(bytes, conn->credit_used);
}

/* "limits.publish_credit_bytes", or "limits uid 1000.publish_credit_bytes". */
static bool is_credit_key(const char *limit) {
        const char *name = limit ? strrchr(limit, '.') : NULL;
        return name && strcmp(name, ".publish_credit_bytes") == 0;
}

/* The two counts differ, which they cannot between a broker and a library that are right. From 0 ours falls in with
 * the broker's again by itself: it is too low until the broker's has been 0 once, and what is refused until then is
 * told like any refusal. */
void rml_credit_refused(ramal_conn *conn, const Ramal__V1__Status *status) {
        if (status->code == RAMAL__V1__CODE__CODE_WOULD_BLOCK && is_credit_key(status->limit))
                conn->credit_used = 0;
}

const ramal_sub *rml_credit_holder(const ramal_conn *conn) {
        rml_list_each(node, &conn->blocks) {
                const ramal_sub *sub = rml_list_entry(node, ramal_sub, blocks);
                if (!sub->dead && !sub->demoted && sub->state != RAMAL_SUB_ENDED)
                        return sub;
        }
        return NULL;
}
