/* SPDX-License-Identifier: MIT */
/* Connections come and go: who is let in at all, before a byte was read. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "departure.h"
#include "peer.h"
#include "subject.h"

static struct peer *peer_new(struct core *core, const struct core_origin *origin, void *user) {
        struct peer *peer = calloc(1, sizeof(*peer));
        uint8_t field[RML_SENDER_BYTES_MAX];
        struct rml_span sender = {field, 0};

        if (!peer)
                return NULL;
        peer->core = core;
        peer->user = user;
        peer->local = origin->local;
        peer->uid = origin->uid;
        peer->gid = origin->gid;
        peer->pid = origin->pid;
        peer->accepted_ns = core->now_ns;
        peer->timer.kind = TIMER_PEER;
        input_init(peer, RML_HELLO_BYTES_MAX);
        rml_table_init(&peer->interests);
        rml_list_init(&peer->interest_list);
        rml_list_init(&peer->grouped_list);
        rml_list_init(&peer->departing_link);
        rml_list_init(&peer->waiting_link);
        rml_list_init(&peer->calls);
        rml_list_init(&peer->served);
        rml_list_init(&peer->credits);
        rml_list_init(&peer->answers);
        rml_list_init(&peer->held);
        rml_list_init(&peer->dirty_link);
        rml_list_init(&peer->reading_link);
        rml_list_init(&peer->presence_link);
        rml_list_init(&peer->link);
        peer->id = core->peer_last + 1;
        sender.len = rml_put_sender(field, &(struct rml_sender){
                .peer = peer->id, .local = peer->local, .uid = peer->uid, .gid = peer->gid, .pid = peer->pid,
                .identity = peer_identity(peer)});
        peer->papers = papers_new(origin->groups, origin->group_count, origin->address ? origin->address : "", NULL,
                                  NULL, sender);
        if (!peer->papers) {
                free(peer);
                return NULL;
        }
        core->peer_last = peer->id;
        peer->sender = papers_sender(peer->papers);
        return peer;
}

static int refuse(struct core *core, struct core_refusal *refusal, const struct account *account, size_t at) {
        core->counters.connections_refused++;
        *refusal = (struct core_refusal){quota_key(account, at), quota_value(account->limits, at)};
        return -EDQUOT;
}

/* May one more of that account come in? *reserved: on one of the places that are kept for who only looks. */
static int connect_check(struct core *core, const struct core_origin *origin, const struct account *account,
                         bool *reserved, struct core_refusal *refusal) {
        size_t at = account_connections_quota(account);
        bool full = account->connections >= quota_value(account->limits, at);

        *reserved = false;
        if (full || origin->reserved) {
                if (!origin->local || (!account->own && origin->uid != 0))
                        return refuse(core, refusal, account, full ? at : QUOTA(reserved_connections));
                if (core->reserved >= core->config.limits.reserved_connections)
                        return refuse(core, refusal, account, full ? at : QUOTA(reserved_connections));
                *reserved = true;
                return 0;
        }
        return account_may_connect(core, account) ? 0 : refuse(core, refusal, account, QUOTA(uid_connect_rate));
}

int core_peer_add(struct core *core, const struct core_origin *origin, void *user, struct peer **ret,
                  struct core_refusal *refusal) {
        struct core_refusal unwanted;
        struct account *account;
        struct peer *peer;
        bool reserved;
        int r;

        if (!refusal)
                refusal = &unwanted;
        if (core->stopping)
                return -ESHUTDOWN;
        account = account_get(core, origin->local, origin->uid);
        if (!account)
                return -ENOMEM;
        if (!origin->local && core->unauthenticated >= core->config.limits.unauthenticated)
                r = refuse(core, refusal, account, QUOTA(unauthenticated));
        else
                r = connect_check(core, origin, account, &reserved, refusal);
        peer = r == 0 ? peer_new(core, origin, user) : NULL;
        if (!peer) {
                account_unref(core, account);
                return r < 0 ? r : -ENOMEM;
        }
        peer->account = account;
        account->peers++;
        peer->reserved = reserved;
        if (reserved) {
                core->reserved++;
        } else {
                account->connections++;
                account_connected(core, account);
        }
        if (!peer->local)
                core->unauthenticated++;
        rml_list_push_back(&core->peers, &peer->link);
        rml_table_put(&core->peers_by_id, &peer->node, rml_hash_u64(&core->config.seed, peer->id, 2));
        core->counters.connections++;
        peer_arm(peer);
        *ret = peer;
        return 0;
}

struct peer *core_peer_free(struct peer *peer) {
        struct core *core;

        if (!peer)
                return NULL;
        core = peer->core;
        if (peer->state != PEER_CLOSED) {
                peer_end(peer, PEER_END_LOST, "connection lost");
                departure_finish(peer);
                core_settle(core);
        }
        rml_check(!peer->spent.deliveries && !peer->spent.calls && !peer->spent.replies && !peer->strangers &&
                  !peer->input.reserved && !peer->unread_answers && !peer->queued_bytes);
        if (!peer->local && !peer->in)
                core->unauthenticated--;
        peer->account->peers--;
        if (peer->reserved)
                core->reserved--;
        else
                peer->account->connections--;
        rml_list_remove(&peer->closed_link);
        rml_list_remove(&peer->presence_link);
        rml_list_remove(&peer->link);
        rml_table_remove(&core->peers_by_id, &peer->node);
        account_unref(core, peer->account);
        rml_table_deinit(&peer->interests);
        free(peer->challenge);
        free(peer->papers);
        free(peer);
        return NULL;
}
