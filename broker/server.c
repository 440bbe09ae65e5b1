/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bindings.h"
#include "core/core.h"
#include "events.h"
#include "facts.h"
#include "io/loop.h"
#include "io/session.h"
#include "io/signals.h"
#include "io/tcp.h"
#include "memory.h"
#include "notify.h"
#include "refusal.h"
#include "wire.h"

#define DESCRIPTORS_KEPT 64u         /* for listeners, the log and what libraries open */
#define RESERVED_WITHIN 4u           /* so many of limits.reserved_connections, too */
#define DESCRIPTORS_MAX (1u << 20)   /* when the hard limit has none */
#define LATE_NS UINT64_C(1000000000) /* behind a deadline: somebody has kept us from running */
#define CATCH_UP_TURNS_MAX 64u       /* what the sockets held meanwhile is read by then */

struct server {
        const struct config *config;
        struct log *log;
        struct loop *loop;
        struct core *core;
        struct core_prover prover;
        struct core_limits limits;
        struct bindings bindings;
        struct sessions sessions;
        struct signals signals;
        struct events events;
        struct refusals refusals;
        struct memory memory;
        char name[64];
        const char *notify_socket;
        struct core_uid_limits uid_limits[CONFIG_USERS_MAX];
        uint32_t own_uid;
        uint64_t now_ns;
        unsigned catch_up; /* turns that may still go by before anything expires */
        bool stopping, stop_now;
        int status;
};

/* ---- what the core asks of its edge ---- */

static void challenge(void *user, const uint8_t *client_nonce, uint8_t *nonce, uint8_t *proof) {
        const struct server *server = user;
        token_challenge(&server->bindings.token, client_nonce, nonce, proof);
}

static bool check_proof(void *user, const uint8_t *client_nonce, const uint8_t *nonce, const uint8_t *proof) {
        const struct server *server = user;
        return token_check(&server->bindings.token, client_nonce, nonce, proof);
}

static void tell_facts(void *user, struct core_facts *ret) {
        const struct server *server = user;
        *ret = (struct core_facts){
                .pid = (uint32_t)getpid(),
                .cpu_us = facts_cpu_us(),
                .memory_bytes = facts_memory_bytes(),
                .listening = server->bindings.addresses,
        };
}

/* ---- connections ---- */

/* What the kernel attests about the other end. Returns 0 or -errno. */
static int attest(int fd, const struct listener *listener, struct core_origin *origin) {
        struct rml_creds creds;
        if (!listener->local)
                return rml_wire_tcp(fd);
        int r = rml_wire_creds(fd, &creds);
        if (r < 0)
                return r;
        origin->local = true;
        origin->uid = creds.uid;
        origin->gid = creds.gid;
        origin->pid = (uint32_t)creds.pid;
        for (unsigned i = 0; i < creds.group_count && i < CORE_GROUPS_MAX; i++)
                origin->groups[origin->group_count++] = creds.groups[i];
        return 0;
}

static void refuse_for_limit(const struct core_refusal *limit, char *text, size_t size) {
        size_t len = limit->limit ? strlen(limit->limit) : 0;
        static const char rate[] = "connect_rate";
        if (!limit->limit)
                snprintf(text, size, "too many connections");
        else if (len >= strlen(rate) && strcmp(limit->limit + len - strlen(rate), rate) == 0)
                snprintf(text, size, "too many new connections: %s is %llu a second", limit->limit,
                         (unsigned long long)limit->value);
        else
                snprintf(text, size, "too many connections: %s is %llu", limit->limit,
                         (unsigned long long)limit->value);
}

/* Why there is no place for it, and which limit of the system says so. */
static void refuse_for_descriptors(int error, struct core_refusal *limit, char *text, size_t size) {
        struct rlimit descriptors;
        *limit = (struct core_refusal){NULL, 0};
        if (error == EMFILE && getrlimit(RLIMIT_NOFILE, &descriptors) == 0)
                *limit = (struct core_refusal){"RLIMIT_NOFILE", descriptors.rlim_cur};
        if (limit->limit)
                snprintf(text, size, "the broker has no descriptor left: %s is %llu (raise LimitNOFILE or ulimit -n)",
                         limit->limit, (unsigned long long)limit->value);
        else
                snprintf(text, size, "the machine has no descriptor left (raise fs.file-max)");
}

/* At the end of all descriptors only who may look after the broker gets one of those that are kept. */
static bool may_keep(const struct server *server, const struct core_origin *origin, enum listener_place place) {
        return place == LISTENER_KEPT && origin->local && (origin->uid == 0 || origin->uid == server->own_uid);
}

static bool on_accept(void *user, struct listener *listener, int fd, const struct sockaddr *from, socklen_t len,
                      enum listener_place place) {
        struct server *server = user;
        struct core_origin origin = {.address = listener->address};
        struct core_refusal limit = {NULL, 0};
        char address[2 * LISTENER_ADDRESS_BYTES + 8], text[160], why[80];
        int r = attest(fd, listener, &origin);
        if (!listener->local) {
                int n = snprintf(address, sizeof(address), "%s from ", listener->address);
                rml_addr_from_sockaddr(from, len, address + n, sizeof(address) - (size_t)n);
                origin.address = address;
        }
        origin.reserved = may_keep(server, &origin, place);
        if (r == 0 && place != LISTENER_FREE && !origin.reserved)
                r = -EMFILE;
        if (r == 0)
                r = session_new(&server->sessions, fd, &origin, &limit);
        if (r == 0)
                return origin.reserved;
        if (r == -EDQUOT)
                refuse_for_limit(&limit, text, sizeof(text));
        else if (r == -EMFILE)
                refuse_for_descriptors(server->bindings.listeners.full, &limit, text, sizeof(text));
        else
                snprintf(text, sizeof(text), "the broker cannot take a connection now: %s",
                         failure_errno(r, why, sizeof(why)));
        events_write_refused(&server->events, server->now_ns, &origin, text, &limit);
        refusals_add(&server->refusals, fd,
                     r == -EDQUOT || r == -EMFILE || r == -ENOMEM || r == -ENOSPC ? RAMAL__V1__CODE__CODE_OVER_LIMIT
                                                                                  : RAMAL__V1__CODE__CODE_DENIED,
                     text, server->now_ns);
        return false;
}

static void on_room(void *user) {
        struct server *server = user;
        refusals_drop(&server->refusals);
}

/* ---- the end ---- */

static void stop(struct server *server) {
        server->stopping = true;
        listeners_stop(&server->bindings.listeners);
        core_stop(server->core, server->config->stop_grace_ns);
}

static void on_signal(void *user, int signal) {
        struct server *server = user;
        if (signal == SIGHUP) {
                log_event(server->log, LOG_LEVEL_NOTICE, "signal", LOG_TEXT("name", "SIGHUP"),
                          LOG_TEXT("hint", "ignored: the configuration is read at the start only"));
                return;
        }
        server->status = signal == SIGINT ? EXIT_INTERRUPTED : EXIT_OK;
        log_event(server->log, LOG_LEVEL_NOTICE, "stopping",
                  LOG_TEXT("signal", signal == SIGINT ? "SIGINT" : "SIGTERM"),
                  LOG_NUMBER("peers", server->sessions.count),
                  LOG_TEXT("how", server->stopping ? "at once" : "with grace"));
        if (server->stopping) {
                server->stop_now = true;
                return;
        }
        notify_manager(server->log, server->notify_socket, "STOPPING=1\nSTATUS=stopping\n");
        stop(server);
}

/* ---- the turn ---- */

/* Sends what there is and closes what is over, until neither leads to more of the other. */
static void flush(struct server *server) {
        struct peer *peer;
        bool closed = false;
        sessions_flush_writable(&server->sessions, server->now_ns);
        for (;;) {
                if ((peer = core_next_dirty(server->core))) {
                        session_flush(core_peer_user(peer));
                } else if ((peer = core_next_closed(server->core))) {
                        session_free(core_peer_user(peer));
                        closed = true;
                } else if ((peer = core_next_reading(server->core))) {
                        session_update(core_peer_user(peer));
                } else {
                        break;
                }
        }
        refusals_expire(&server->refusals, server->now_ns);
        listeners_resume(&server->bindings.listeners, server->now_ns, closed || server->refusals.dropped,
                         server->sessions.reserved);
        memory_note(&server->memory, core_held(server->core), closed, server->now_ns);
        if (memory_deadline(&server->memory) <= server->now_ns)
                core_trim(server->core);
        memory_expire(&server->memory, server->now_ns);
        server->refusals.dropped = false;
}

static uint64_t next_deadline(const struct server *server) {
        const uint64_t all[] = {
                core_deadline(server->core), server->bindings.listeners.resume_ns, refusals_deadline(&server->refusals),
                server->sessions.starved_ns, events_deadline(&server->events),
                memory_deadline(&server->memory), sessions_flush_later(&server->sessions) ? server->now_ns : LOOP_NEVER,
        };
        uint64_t first = LOOP_NEVER;
        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
                first = all[i] < first ? all[i] : first;
        return first;
}

/* Far behind a deadline we were stopped, or the machine slept: nobody could be heard meanwhile. What has come is read
 * first, all of it, and idle times begin anew. */
static void notice_absence(struct server *server, uint64_t deadline) {
        if (deadline >= server->now_ns || server->now_ns - deadline < LATE_NS)
                return;
        core_absent(server->core);
        server->catch_up = CATCH_UP_TURNS_MAX;
}

static int turn(struct server *server) {
        uint64_t deadline = next_deadline(server);
        int n = loop_wait(server->loop, deadline, &server->now_ns);
        if (n < 0)
                return n;
        core_time(server->core, server->now_ns);
        notice_absence(server, deadline);
        server->sessions.filled = false;
        bool more = loop_dispatch(server->loop);
        /* A turn reads all that is ready before it expires anything. */
        if (server->catch_up > 0) {
                more = core_catch_up(server->core) || more || server->sessions.filled;
                server->catch_up = more ? server->catch_up - 1 : 0;
        }
        if (!more)
                core_expire(server->core);
        flush(server);
        events_write(&server->events, server->core, server->now_ns);
        return 0;
}

/* ---- the start ---- */

/* As many descriptors as we may have; *ret is how many. */
static int raise_descriptors(uint64_t *ret) {
        struct rlimit limit;
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return -errno;
        if (limit.rlim_cur < limit.rlim_max) {
                rlim_t before = limit.rlim_cur;
                limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? DESCRIPTORS_MAX : limit.rlim_max;
                if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                        limit.rlim_cur = before;
        }
        *ret = limit.rlim_cur > DESCRIPTORS_MAX ? DESCRIPTORS_MAX : limit.rlim_cur;
        return 0;
}

static int set_limits(struct server *server, struct failure *failure) {
        const struct config *config = server->config;
        uint64_t descriptors = 0;
        char why[80];
        int r = raise_descriptors(&descriptors);
        if (r < 0)
                return failure_set(failure, EXIT_SYSTEM, "cannot read the limit of descriptors: %s",
                                   failure_errno(r, why, sizeof(why)));
        uint64_t kept = DESCRIPTORS_KEPT;
        if (config->limits.reserved_connections > RESERVED_WITHIN)
                kept += config->limits.reserved_connections - RESERVED_WITHIN;
        uint64_t most = descriptors < 2 * kept ? descriptors / 2 : descriptors - kept;
        server->limits = config->limits;
        if (config_is_set(config, "limits", "own_connections") && config->limits.own_connections > most)
                log_event(server->log, LOG_LEVEL_WARNING, "limit-lowered", LOG_TEXT("limit", "own_connections"),
                          LOG_NUMBER("value", most), LOG_TEXT("hint", "more need a higher ulimit -n"));
        if (!config_is_set(config, "limits", "own_connections") || server->limits.own_connections > most)
                server->limits.own_connections = most > 0 ? most : 1;
        listeners_keep(&server->bindings.listeners, (size_t)server->limits.reserved_connections);
        memcpy(server->uid_limits, config->uid_limits, sizeof(server->uid_limits));
        config_fill_users(server->uid_limits, config->user_count, &server->limits);
        return 0;
}

static int new_core(struct server *server, struct failure *failure) {
        const struct config *config = server->config;
        struct core_config core = {
                .limits = server->limits,
                .uid_limits = server->uid_limits,
                .uid_limit_count = config->user_count,
                .server = server->name,
                .own_uid = server->own_uid,
                .allow_uids = config->allow_uids,
                .allow_uid_count = config->allow_uid_count,
                .allow_gids = config->allow_gids,
                .allow_gid_count = config->allow_gid_count,
                .facts = tell_facts,
                .user = server,
        };
        if (server->bindings.has_token) {
                server->prover = (struct core_prover){.challenge = challenge, .check = check_proof};
                core.prover = &server->prover;
        }
        while (core.epoch == 0)
                if (getrandom(&core.epoch, sizeof(core.epoch), 0) != (ssize_t)sizeof(core.epoch))
                        return failure_set(failure, EXIT_SYSTEM, "the kernel gives no random numbers");
        if (getrandom(&core.seed, sizeof(core.seed), 0) != (ssize_t)sizeof(core.seed))
                return failure_set(failure, EXIT_SYSTEM, "the kernel gives no random numbers");
        server->now_ns = loop_now();
        server->core = core_new(&core, server->now_ns);
        if (!server->core ||
            sessions_init(&server->sessions, server->core, server->loop, server->limits.turn_bytes) < 0)
                return failure_set(failure, EXIT_SYSTEM, "out of memory");
        server->sessions.own_uid = server->own_uid;
        return 0;
}

static void log_start(struct server *server) {
        const char *tcp = "on";
        const char *hint = NULL;
        if (!listeners_has_tcp(&server->bindings.listeners)) {
                tcp = "off";
                hint = tcp_supported() ? "--tcp listens on 127.0.0.1 and [::1] port 7265"
                                       : "built without TCP (RAMAL_TCP=OFF)";
        }
        struct log_field fields[] = {
                LOG_TEXT("version", RAMAL_BUILD_VERSION),
                LOG_NUMBER("pid", (uint64_t)getpid()),
                LOG_NUMBER("uid", geteuid()),
                LOG_TEXT("tcp", tcp),
                LOG_TEXT(hint ? "hint" : NULL, hint),
                {NULL, NULL, 0},
        };
        log_write(server->log, LOG_LEVEL_NOTICE, "start", fields);
}

static void log_listening(struct server *server) {
        rml_list_each(link, &server->bindings.listeners.list) {
                const struct listener *listener = rml_list_entry(link, struct listener, link);
                struct sockaddr_storage sockaddr = {0};
                socklen_t len = sizeof(sockaddr);
                log_event(server->log, LOG_LEVEL_NOTICE, "listening", LOG_TEXT("address", listener->address),
                          LOG_TEXT("socket", listener->inherited ? "inherited" : "own"));
                if (getsockname(listener->fd, (struct sockaddr *)&sockaddr, &len) == 0 &&
                    tcp_exposed((const struct sockaddr *)&sockaddr))
                        log_event(server->log, LOG_LEVEL_WARNING, "exposed", LOG_TEXT("address", listener->address),
                                  LOG_TEXT("hint",
                                           "other machines can reach this; the token keeps them out, but nothing "
                                           "is encrypted"));
        }
}

static void tell_ready(struct server *server) {
        const struct bindings *bindings = &server->bindings;
        char text[512];
        snprintf(text, sizeof(text), "READY=1\nSTATUS=listening on %.400s%s\n", bindings->addresses[0],
                 bindings->address_count > 1 ? " and others" : "");
        notify_manager(server->log, server->notify_socket, text);
        if (server->config->ready_fd >= 0)
                notify_ready_fd(server->log, server->config->ready_fd, bindings->addresses, bindings->address_count);
}

static int start(struct server *server, struct failure *failure) {
        const struct config *config = server->config;
        char why[80];
        int r = loop_new(config->spin_ns, &server->loop);
        if (r == 0)
                r = signals_init(&server->signals, server->loop, on_signal, server);
        refusals_init(&server->refusals, server->loop);
        memory_init(&server->memory);
        if (r < 0)
                return failure_set(failure, EXIT_SYSTEM, "cannot start: %s", failure_errno(r, why, sizeof(why)));
        r = config_check_own(config, server->own_uid, failure);
        if (r == 0)
                r = bindings_open(&server->bindings, config, server->loop, server->log, failure);
        if (r < 0)
                return r;
        server->bindings.listeners.accept = on_accept;
        server->bindings.listeners.room = on_room;
        server->bindings.listeners.user = server;
        log_start(server);
        r = set_limits(server, failure);
        if (r == 0)
                r = new_core(server, failure);
        if (r == 0)
                r = listeners_start(&server->bindings.listeners, failure);
        return r;
}

/* Everything goes, in the reverse order. Peers that are still there are cut off. */
static void finish(struct server *server, bool failed) {
        if (server->core) {
                rml_list_each(link, &server->sessions.list)
                        core_peer_lost(rml_list_entry(link, struct session, link)->peer);
                struct peer *peer;
                while ((peer = core_next_closed(server->core)))
                        session_free(core_peer_user(peer));
                events_write(&server->events, server->core, server->now_ns);
                sessions_deinit(&server->sessions);
                server->core = core_free(server->core);
        }
        refusals_deinit(&server->refusals);
        bindings_close(&server->bindings, failed);
        signals_deinit(&server->signals);
        server->loop = loop_free(server->loop);
}

int server_run(const struct config *config, struct log *log, struct failure *failure) {
        struct server server = {
                .config = config,
                .log = log,
                .own_uid = geteuid(),
                .name = "ramald " RAMAL_BUILD_VERSION,
                .notify_socket = getenv("NOTIFY_SOCKET"),
                .signals = {.fd = -1},
        };
        events_init(&server.events, log, loop_now());
        int r = start(&server, failure);
        if (r < 0) {
                finish(&server, true);
                return (int)failure->status;
        }
        log_listening(&server);
        tell_ready(&server);
        while (r == 0 && !server.stop_now && !core_stopped(server.core))
                r = turn(&server);
        finish(&server, false);
        if (r < 0) {
                char why[80];
                failure_set(failure, EXIT_SYSTEM, "cannot wait for events: %s", failure_errno(r, why, sizeof(why)));
                return EXIT_SYSTEM;
        }
        log_event(log, LOG_LEVEL_NOTICE, "stopped", LOG_NUMBER("pid", (uint64_t)getpid()));
        return server.status;
}
