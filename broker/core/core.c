/* SPDX-License-Identifier: MIT */
#include "core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "account.h"
#include "block.h"
#include "call.h"
#include "departure.h"
#include "expiry.h"
#include "group.h"
#include "interest.h"
#include "bounds.h"
#include "peer.h"
#include "presence.h"
#include "router.h"
#include "share.h"
#include "subject.h"

#define ROUTE_CACHE_BYTES (4u << 20)
#define EXPIRE_MAX 256u /* timers in one turn: more of them wait for the next */

void core_limits_default(struct core_limits *limits) {
        *limits = (struct core_limits){
                .payload_bytes = RML_PAYLOAD_BYTES_DEFAULT,
                .interest_bytes = UINT64_C(8) << 20,
                .interest_messages = 65536,
                .connection_bytes = UINT64_C(16) << 20,
                .uid_bytes = UINT64_C(64) << 20,
                .broker_bytes = UINT64_C(256) << 20,
                .reserve_bytes = UINT64_C(16) << 20,
                .uid_connections = 256,
                .own_connections = 960,
                .unauthenticated = 64,
                .calls = 4096,
                .interests = 4096,
                .own_interests = UINT64_C(1) << 20,
                .names = 64,
                .publish_credit_bytes = UINT64_C(4) << 20,
                .hello_timeout_ns = UINT64_C(5000000000),
                .frame_timeout_ns = UINT64_C(30000000000),
                .flush_timeout_ns = UINT64_C(5000000000),
                .unread_answers_bytes = UINT64_C(256) << 10,
                .stall_max_ns = UINT64_C(5000000000),
                .turn_frames = 1024,
                .turn_bytes = UINT64_C(64) << 10,
                .reserved_connections = 4,
                .uid_interests = 65536,
                .uid_names = 1024,
                .uid_calls = 65536,
                .uid_input_bytes = UINT64_C(32) << 20,
                .uid_unread_answers_bytes = UINT64_C(16) << 20,
                .uid_connect_rate = 100,
        };
}

static uint32_t *copy_ids(const uint32_t *ids, size_t count) {
        uint32_t *copy = malloc((count ? count : 1) * sizeof(*copy));

        if (copy && count)
                memcpy(copy, ids, count * sizeof(*copy));
        return copy;
}

struct core *core_new(const struct core_config *config, uint64_t now_ns) {
        struct core *core = calloc(1, sizeof(*core));

        if (!core)
                return NULL;
        core->config = *config;
        core->config.uid_limits = NULL; /* quotas */
        core->config.allow_uids = core->allow_uids = copy_ids(config->allow_uids, config->allow_uid_count);
        core->config.allow_gids = core->allow_gids = copy_ids(config->allow_gids, config->allow_gid_count);
        core->topics = topics_new(&config->seed, ROUTE_CACHE_BYTES);
        core->now_ns = core->started_ns = now_ns;
        /* A server that still speaks to an earlier broker must not meet one of our calls. Six bytes on the wire. */
        core->token_last = rml_hash_u64(&config->seed, config->epoch, 4) >> 24;
        rml_list_init(&core->peers);
        rml_list_init(&core->dirty);
        rml_list_init(&core->closed);
        rml_list_init(&core->resumed);
        rml_list_init(&core->idle_accounts);
        rml_list_init(&core->spare_shares);
        rml_list_init(&core->readings);
        rml_list_init(&core->departing);
        rml_list_init(&core->moving);
        rml_list_init(&core->evicted);
        rml_list_init(&core->changed_names);
        rml_list_init(&core->untold_groups);
        rml_list_init(&core->changed_peers);
        rml_table_init(&core->peers_by_id);
        rml_table_init(&core->accounts);
        rml_table_init(&core->shares);
        rml_table_init(&core->groups);
        rml_table_init(&core->names);
        rml_table_init(&core->gangs);
        rml_table_init(&core->pins);
        rml_table_init(&core->terms);
        rml_table_init(&core->calls_by_token);
        rml_table_init(&core->calls_by_id);
        departures_renew(core);
        if (quotas_init(core, config) < 0 || !core->topics || !core->allow_uids || !core->allow_gids)
                return core_free(core);
        return core;
}

struct core *core_free(struct core *core) {
        if (!core)
                return NULL;
        rml_check(rml_list_empty(&core->peers));
        rml_check(!core->interest_count && !core->name_count && !core->call_count && !core->queued_count &&
                  !core->queued_bytes && !core->bodies_bytes && !core->timers.count && !core->unauthenticated &&
                  !core->credit_bytes && !core->input_bytes && !core->unread_answers && !core->reserved);
        topics_free(core->topics);
        rml_table_deinit(&core->peers_by_id);
        shares_deinit(core);
        accounts_deinit(core);
        quotas_deinit(core);
        rml_table_deinit(&core->groups);
        rml_table_deinit(&core->names);
        rml_table_deinit(&core->gangs);
        rml_table_deinit(&core->pins);
        rml_table_deinit(&core->calls_by_token);
        rml_table_deinit(&core->calls_by_id);
        rml_check(core->terms.count == 0);
        rml_table_deinit(&core->terms);
        core_trim(core);
        free(core->allow_uids);
        free(core->allow_gids);
        free(core);
        return NULL;
}

void core_trim(struct core *core) {
        chunk_pool_deinit(&core->pool);
        shelf_clear(&core->shelf);
        while (core->spare_mark_count)
                free(core->spare_marks[--core->spare_mark_count]);
}

/* ---- time ---- */

uint64_t core_add_ns(uint64_t a, uint64_t b) {
        return a > CORE_NEVER - b ? CORE_NEVER : a + b;
}

void core_time(struct core *core, uint64_t now_ns) {
        if (now_ns > core->now_ns)
                core->now_ns = now_ns;
}

void core_absent(struct core *core) {
        core->patient_ns = core->now_ns;
}

void timer_set(struct core *core, struct timer *timer, uint64_t at_ns) {
        if (rml_heap_has(&timer->node))
                rml_heap_move(&core->timers, &timer->node, at_ns, ++core->ordinal);
        else
                rml_heap_push(&core->timers, &timer->node, at_ns, ++core->ordinal);
}

void timer_clear(struct core *core, struct timer *timer) {
        rml_heap_remove(&core->timers, &timer->node);
}

uint64_t core_deadline(const struct core *core) {
        struct rml_heap_node *top = rml_heap_top(&core->timers);
        uint64_t at = top ? top->key : CORE_NEVER;

        if (!rml_list_empty(&core->resumed) || !rml_list_empty(&core->departing) || !rml_list_empty(&core->moving))
                return core->now_ns;
        if (core->stopping && core->stop_look_ns < at)
                at = core->stop_look_ns;
        return at > core->now_ns ? at : core->now_ns; /* what one turn could not expire, the next one does at once */
}

/* ---- the end ---- */

/* Who has nothing more to say or to get may go; at the end of the grace time all must. */
static void stop_look(struct core *core) {
        bool over = core->stop_ns <= core->now_ns;

        rml_list_each_safe(at, &core->peers) {
                struct peer *peer = rml_list_entry(at, struct peer, link);

                if (over)
                        peer_end(peer, PEER_END_STOP, "the broker stops");
                else
                        peer_touch(peer);
        }
        core->stop_look_ns = core_add_ns(core->now_ns, STOP_QUIET_NS);
        if (core->stop_look_ns > core->stop_ns && !over)
                core->stop_look_ns = core->stop_ns;
        core_settle(core);
}

static void timer_fire(struct timer *timer) {
        switch (timer->kind) {
        case TIMER_PEER:
                peer_timer(rml_container_of(timer, struct peer, timer));
                break;
        case TIMER_CALL:
                call_expired(rml_container_of(timer, struct call, timer));
                break;
        case TIMER_STALL:
                block_stalled(rml_container_of(timer, struct block, stall));
                break;
        case TIMER_EXPIRY:
                expiry_due(rml_container_of(timer, struct expiry, timer));
                break;
        }
}

bool core_catch_up(struct core *core) {
        bool waits = !rml_list_empty(&core->resumed);

        input_resume(core);
        return waits;
}

void core_expire(struct core *core) {
        struct rml_heap_node *top;

        input_resume(core);
        for (unsigned i = 0; i < EXPIRE_MAX && (top = rml_heap_top(&core->timers)) && top->key <= core->now_ns; i++) {
                struct timer *timer = rml_container_of(top, struct timer, node);

                timer_clear(core, timer);
                timer_fire(timer);
                core_settle(core);
        }
        departures_turn(core);
        core_settle(core);
        if (core->stopping && core->stop_look_ns <= core->now_ns)
                stop_look(core);
}

/* ---- what waits until routing is over ---- */

void core_settle_now(struct core *core) {
        struct rml_list *first;

        if (core->settling)
                return;
        core->settling = true;
        for (;;) {
                if ((first = rml_list_first(&core->evicted))) {
                        rml_list_remove(first);
                        interest_end(rml_list_entry(first, struct backlog, evict_link)->interest,
                                     RAMAL__V1__WHY__WHY_EVICTED);
                } else if ((first = rml_list_first(&core->changed_peers))) {
                        struct peer *peer = rml_list_entry(first, struct peer, presence_link);

                        rml_list_remove(first);
                        presence_peer(core, peer, peer->publish_gone);
                } else if ((first = rml_list_first(&core->changed_names))) {
                        struct group *group = rml_list_entry(first, struct group, changed_link);

                        rml_list_remove(first);
                        presence_name(core, group);
                        group_free_if_empty(group);
                } else {
                        break;
                }
        }
        core->settling = core->unsettled = false;
}

void core_stop(struct core *core, uint64_t grace_ns) {
        if (core->stopping)
                return;
        core->stopping = true;
        core->stop_began_ns = core->now_ns;
        core->stop_ns = core_add_ns(core->now_ns, grace_ns);
        core->stop_look_ns = grace_ns < STOP_QUIET_NS ? core->stop_ns : core_add_ns(core->now_ns, STOP_QUIET_NS);
        rml_list_each_safe(at, &core->peers) {
                struct peer *peer = rml_list_entry(at, struct peer, link);

                if (!peer->in)
                        peer_end(peer, PEER_END_STOP, "the broker stops");
                else if (peer->state != PEER_CLOSED)
                        peer_say_goaway(peer, RAMAL__V1__CODE__CODE_OK, "the broker stops", 0, grace_ns);
        }
        core_settle(core);
}

bool core_stopped(const struct core *core) {
        return core->stopping && rml_list_empty(&core->peers);
}

/* ---- what the caller may want to know ---- */

void core_charges(const struct core *core, struct core_charges *ret) {
        *ret = (struct core_charges){
                .interests = core->interest_count,
                .names = core->name_count,
                .calls = core->call_count,
                .queued_messages = core->queued_count,
                .queued_bytes = core->queued_bytes,
                .bodies_bytes = core->bodies_bytes,
                .timers = core->timers.count,
                .publish_credit_bytes = core->credit_bytes,
                .input_bytes = core->input_bytes,
                .unread_bytes = core->unread_answers,
                .shares = core->shares.count,
                .reserved = core->reserved,
                .accounts = core->accounts.count - core->idle_account_count,
        };
        rml_list_each(at, &core->peers)
                ret->peers++;
}

uint64_t core_held(const struct core *core) {
        return core->bodies_bytes;
}

int core_interest_ledger(const struct peer *peer, uint64_t sid, struct core_ledger *ret) {
        const struct interest *interest = interest_find(peer, sid);

        if (!interest)
                return -ENOENT;
        interest_ledger(interest, ret);
        return 0;
}
