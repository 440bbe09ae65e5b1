/* SPDX-License-Identifier: MIT */
#include "core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "account.h"
#include "answer.h"
#include "call.h"
#include "group.h"
#include "interest.h"
#include "bounds.h"
#include "peer.h"
#include "presence.h"
#include "router.h"
#include "subject.h"

#define ROUTE_CACHE_BYTES (4u << 20)

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
        core->config.allow_uids = core->allow_uids = copy_ids(config->allow_uids, config->allow_uid_count);
        core->config.allow_gids = core->allow_gids = copy_ids(config->allow_gids, config->allow_gid_count);
        core->topics = topics_new(&config->seed, ROUTE_CACHE_BYTES);
        core->now_ns = core->started_ns = now_ns;
        rml_list_init(&core->peers);
        rml_list_init(&core->dirty);
        rml_list_init(&core->closed);
        rml_list_init(&core->resumed);
        rml_list_init(&core->evicted);
        rml_list_init(&core->changed_names);
        rml_list_init(&core->untold_groups);
        rml_list_init(&core->changed_peers);
        rml_table_init(&core->peers_by_id);
        rml_table_init(&core->accounts);
        rml_table_init(&core->groups);
        rml_table_init(&core->names);
        rml_table_init(&core->gangs);
        rml_table_init(&core->calls_by_token);
        rml_table_init(&core->calls_by_id);
        if (!core->topics || !core->allow_uids || !core->allow_gids)
                return core_free(core);
        return core;
}

struct core *core_free(struct core *core) {
        if (!core)
                return NULL;
        rml_check(rml_list_empty(&core->peers));
        rml_check(!core->interest_count && !core->name_count && !core->call_count && !core->queued_count &&
                  !core->queued_bytes && !core->bodies_bytes && !core->timers.count && !core->unauthenticated);
        topics_free(core->topics);
        rml_table_deinit(&core->peers_by_id);
        rml_table_deinit(&core->accounts);
        rml_table_deinit(&core->groups);
        rml_table_deinit(&core->names);
        rml_table_deinit(&core->gangs);
        rml_table_deinit(&core->calls_by_token);
        rml_table_deinit(&core->calls_by_id);
        chunk_pool_deinit(&core->pool);
        free(core->allow_uids);
        free(core->allow_gids);
        free(core);
        return NULL;
}

/* ---- time ---- */

uint64_t core_add_ns(uint64_t a, uint64_t b) {
        return a > CORE_NEVER - b ? CORE_NEVER : a + b;
}

void core_time(struct core *core, uint64_t now_ns) {
        if (now_ns > core->now_ns)
                core->now_ns = now_ns;
}

void timer_set(struct core *core, struct timer *timer, uint64_t at_ns) {
        if (timer->node.in_heap)
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

        if (!rml_list_empty(&core->resumed))
                return core->now_ns;
        if (core->stopping && core->stop_look_ns < at)
                at = core->stop_look_ns;
        return at;
}

/* ---- input ---- */

static bool peer_reads(const struct peer *peer) {
        return peer->state != PEER_LEAVING && peer->state != PEER_CLOSED && !peer->lost;
}

bool core_peer_reading(const struct peer *peer) {
        /* What waits in the stash is looked at in the next turn, without a call on this peer: it may not matter here. */
        return peer_reads(peer) && !peer->paused && !peer->eof;
}

/* Keeps what may not be looked at before some answers were read. */
static void peer_keep(struct peer *peer, struct rml_span rest) {
        uint8_t *stash = realloc(peer->stash, peer->stash_len + rest.len);

        if (!stash) {
                peer->lost = true;
                peer_touch(peer);
                return;
        }
        memcpy(stash + peer->stash_len, rest.data, rest.len);
        peer->stash = stash;
        peer->stash_len += rest.len;
}

static void peer_input(struct peer *peer, struct rml_span in) {
        struct core *core = peer->core;
        bool fresh = false;
        int r = 1;

        while (peer_reads(peer) && !peer->paused) {
                struct rml_raw raw;

                r = rml_framer_next(&peer->framer, &in, &raw);
                if (r <= 0)
                        break;
                router_frame(peer, &raw);
                core_settle(core);
                fresh = true;
        }
        if (!peer_reads(peer))
                return;
        if (r == -EPROTO)
                peer_goaway(peer, RAMAL__V1__CODE__CODE_MALFORMED, "a frame of length 0", peer->framer.consumed);
        else if (r == -EMSGSIZE)
                peer_goaway(peer, RAMAL__V1__CODE__CODE_TOO_LARGE,
                            peer->in ? "a frame longer than WELCOME.limits.frame_bytes" : "a first frame longer than 4 KiB",
                            peer->framer.consumed);
        else if (r < 0)
                peer_goaway(peer, RAMAL__V1__CODE__CODE_OVER_LIMIT, "the broker is out of memory", peer->framer.consumed);
        else if (peer->paused && in.len)
                peer_keep(peer, in);
        else if (rml_framer_pending(&peer->framer)) {
                size_t have = rml_framer_pending(&peer->framer);

                if (fresh || !peer->progress_bytes || have - peer->progress_bytes >= PROGRESS_BYTES) {
                        peer->progress_ns = core->now_ns;
                        peer->progress_bytes = have;
                }
                if (!peer->timer.node.in_heap || peer->state == PEER_DRAINING)
                        peer_arm(peer);
        } else {
                peer->progress_bytes = 0;
        }
}

void core_peer_input(struct peer *peer, const uint8_t *data, size_t len) {
        struct rml_span in = {data, len};

        if (!peer_reads(peer) || !len)
                return;
        peer->heard_ns = peer->core->now_ns;
        if (peer->paused || peer->stash)
                peer_keep(peer, in);
        else
                peer_input(peer, in);
        core_settle(peer->core);
}

void core_peer_eof(struct peer *peer) {
        if (peer->stash) {
                peer->eof = true; /* first what came before it */
                return;
        }
        peer_end(peer, PEER_END_EOF, "end of input");
        core_settle(peer->core);
}

static void core_resume(struct core *core) {
        struct rml_list waiting, *first;

        /* Each gets one go: whoever pauses again comes back in another turn. */
        rml_list_init(&waiting);
        while ((first = rml_list_first(&core->resumed))) {
                rml_list_remove(first);
                rml_list_push_back(&waiting, first);
        }
        while ((first = rml_list_first(&waiting))) {
                struct peer *peer = rml_list_entry(first, struct peer, resumed_link);
                struct rml_span in = {peer->stash, peer->stash_len};

                rml_list_remove(first);
                peer->stash = NULL;
                peer->stash_len = 0;
                peer_input(peer, in);
                free((void *)(uintptr_t)in.data);
                if (peer->eof && !peer->stash && peer_reads(peer))
                        peer_end(peer, PEER_END_EOF, "end of input");
                core_settle(core);
        }
}

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

void core_expire(struct core *core) {
        struct rml_heap_node *top;

        core_resume(core);
        while ((top = rml_heap_top(&core->timers)) && top->key <= core->now_ns) {
                struct timer *timer = rml_container_of(top, struct timer, node);

                timer_clear(core, timer);
                if (timer->kind == TIMER_CALL)
                        call_expired(rml_container_of(timer, struct call, timer));
                else
                        peer_timer(rml_container_of(timer, struct peer, timer));
                core_settle(core);
        }
        if (core->stopping && core->stop_look_ns <= core->now_ns)
                stop_look(core);
}

/* ---- what waits until routing is over ---- */

void core_settle(struct core *core) {
        struct rml_list *first;

        if (core->settling)
                return;
        core->settling = true;
        for (;;) {
                if ((first = rml_list_first(&core->evicted))) {
                        rml_list_remove(first);
                        interest_end(rml_list_entry(first, struct interest, evict_link), RAMAL__V1__WHY__WHY_EVICTED);
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
        core->settling = false;
}

/* ---- peers ---- */

static struct peer *peer_new(struct core *core, const struct core_origin *origin, void *user) {
        struct peer *peer = calloc(1, sizeof(*peer));

        if (!peer)
                return NULL;
        peer->core = core;
        peer->user = user;
        peer->local = origin->local;
        peer->uid = origin->uid;
        peer->gid = origin->gid;
        peer->pid = origin->pid;
        peer->address = strdup(origin->address ? origin->address : "");
        peer->groups = copy_ids(origin->groups, origin->group_count);
        peer->group_count = origin->group_count;
        peer->accepted_ns = core->now_ns;
        peer->timer.kind = TIMER_PEER;
        rml_framer_init(&peer->framer, RML_HELLO_BYTES_MAX);
        rml_table_init(&peer->interests);
        rml_list_init(&peer->interest_list);
        rml_list_init(&peer->calls);
        rml_list_init(&peer->served);
        rml_list_init(&peer->credits);
        rml_list_init(&peer->answers);
        rml_list_init(&peer->dirty_link);
        rml_list_init(&peer->closed_link);
        rml_list_init(&peer->resumed_link);
        rml_list_init(&peer->presence_link);
        rml_list_init(&peer->link);
        return peer;
}

struct peer *core_peer_free(struct peer *peer) {
        struct core *core;

        if (!peer)
                return NULL;
        core = peer->core;
        if (peer->state != PEER_CLOSED) {
                peer_end(peer, PEER_END_LOST, "connection lost");
                core_settle(core);
        }
        if (!peer->local && !peer->in)
                core->unauthenticated--;
        rml_list_remove(&peer->closed_link);
        rml_list_remove(&peer->presence_link);
        rml_list_remove(&peer->link);
        rml_table_remove(&core->peers_by_id, &peer->node);
        account_leave(core, peer->account);
        rml_table_deinit(&peer->interests);
        free(peer->groups);
        free(peer->app);
        free(peer->library);
        free(peer->address);
        free(peer);
        return NULL;
}

int core_peer_add(struct core *core, const struct core_origin *origin, void *user, struct peer **ret) {
        struct peer *peer;

        if (core->stopping)
                return -ESHUTDOWN;
        if (!origin->local && core->unauthenticated >= core->config.limits.unauthenticated)
                return -EDQUOT;
        peer = peer_new(core, origin, user);
        if (!peer)
                return -ENOMEM;
        peer->account = account_join(core, origin->local, origin->uid);
        if (!peer->account || !peer->address || !peer->groups ||
            peer->account->connections > account_connections_max(core, peer->account)) {
                bool full = peer->account && peer->address && peer->groups;

                if (peer->account)
                        account_leave(core, peer->account);
                free(peer->address);
                free(peer->groups);
                free(peer);
                return full ? -EDQUOT : -ENOMEM;
        }
        peer->id = ++core->peer_last;
        if (!peer->local) {
                peer->identity = rml_span_of("token");
                core->unauthenticated++;
        }
        peer->sender_len = (uint8_t)rml_put_sender(peer->sender_field, &(struct rml_sender){
                .peer = peer->id, .local = peer->local, .uid = peer->uid, .gid = peer->gid, .pid = peer->pid,
                .identity = peer->identity});
        rml_list_push_back(&core->peers, &peer->link);
        rml_table_put(&core->peers_by_id, &peer->node, rml_hash_u64(&core->config.seed, peer->id, 2));
        core->counters.connections++;
        peer_arm(peer);
        *ret = peer;
        return 0;
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

void event_add(struct core *core, enum core_event_kind kind, const struct peer *peer, const char *text) {
        struct core_event *event;

        if (kind == CORE_EVENT_LIMIT) {
                struct peer *limited = (struct peer *)(uintptr_t)peer;

                if (limited->limit_text == text && core->now_ns < core_add_ns(limited->limit_ns, UINT64_C(1000000000)))
                        return;
                limited->limit_text = text;
                limited->limit_ns = core->now_ns;
        }
        if (core->event_count == EVENTS_MAX) {
                core->events_lost++;
                return;
        }
        event = &core->events[(core->event_first + core->event_count++) % EVENTS_MAX];
        *event = (struct core_event){.kind = kind, .peer = peer->id, .local = peer->local, .uid = peer->uid, .pid = peer->pid};
        if (peer->app)
                strncpy(event->app, peer->app, sizeof(event->app) - 1);
        strncpy(event->address, peer->address, sizeof(event->address) - 1);
        strncpy(event->text, text, sizeof(event->text) - 1);
}

bool core_next_event(struct core *core, struct core_event *ret, uint64_t *lost) {
        *lost = core->events_lost;
        core->events_lost = 0;
        if (!core->event_count)
                return false;
        *ret = core->events[core->event_first];
        core->event_first = (core->event_first + 1) % EVENTS_MAX;
        core->event_count--;
        return true;
}

void core_charges(const struct core *core, struct core_charges *ret) {
        *ret = (struct core_charges){
                .interests = core->interest_count,
                .names = core->name_count,
                .calls = core->call_count,
                .queued_messages = core->queued_count,
                .queued_bytes = core->queued_bytes,
                .bodies_bytes = core->bodies_bytes,
                .timers = core->timers.count,
        };
        rml_list_each(at, &core->peers)
                ret->peers++;
}

int core_interest_ledger(const struct peer *peer, uint64_t sid, struct core_ledger *ret) {
        const struct interest *interest = interest_find(peer, sid);

        if (!interest)
                return -ENOENT;
        *ret = interest->ledger;
        return 0;
}
