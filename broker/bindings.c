/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* unsetenv */
#include "bindings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access.h"
#include "io/tcp.h"
#include "values.h"
#include "wire.h"

#define FIRST_INHERITED 3

/* How many sockets a service manager has handed to this very process. Returns failure_set() on nonsense. */
static int inherited_count(struct failure *failure) {
        const char *pid_text = getenv("LISTEN_PID"), *fds_text = getenv("LISTEN_FDS");
        uint64_t pid, count;
        if (!pid_text || !fds_text || value_count(pid_text, &pid) < 0 || pid != (uint64_t)getpid())
                return 0; /* meant for somebody else, whose environment we got */
        if (value_count(fds_text, &count) < 0 || count > LISTENERS_MAX)
                return failure_set(failure, EXIT_CONFIG, "LISTEN_FDS=%.32s is no number from 0 to %u", fds_text,
                                   LISTENERS_MAX);
        unsetenv("LISTEN_PID");
        unsetenv("LISTEN_FDS");
        unsetenv("LISTEN_FDNAMES");
        return (int)count;
}

/* A group without a mode means that its members may connect. */
static struct unixpath_rules rules_of(const struct config *config, bool make_directory) {
        bool for_group = config->has_socket_group && !config_is_set(config, "listen", "socket_mode");
        return (struct unixpath_rules){
                .mode = for_group ? 0660 : config->socket_mode,
                .has_group = config->has_socket_group,
                .group = config->socket_group,
                .make_directory = make_directory,
        };
}

/* The address of the bus when --listen does not say it. *fixed: RAMAL_ADDRESS does, and its directory is not ours. */
static int default_address(const struct config *config, struct rml_addr *ret, bool *fixed, struct failure *failure) {
        struct rml_place place;
        char why[512];
        rml_wire_place(&place);
        *fixed = config->scope == RML_SCOPE_DEFAULT && place.address;
        if (*fixed && rml_addr_parse(place.address, ret, why, sizeof(why)) < 0)
                return failure_set(failure, EXIT_USAGE, "RAMAL_ADDRESS: %s", why);
        if (!*fixed && rml_addr_defaults(&place, config->scope, true, ret, 1) == 0)
                return failure_set(failure, EXIT_SOCKET_PATH,
                                   "there is no default address here; choose one with --listen");
        return 0;
}

static int open_default(struct bindings *bindings, const struct config *config, struct failure *failure) {
        struct rml_addr addr;
        bool fixed;
        int r = default_address(config, &addr, &fixed, failure);
        if (r < 0)
                return r;
        struct unixpath_rules rules = rules_of(config, !fixed);
        return listeners_open(&bindings->listeners, &addr, &rules, false, failure);
}

/* 127.0.0.1 there must be; a machine without IPv6 is none the worse for it. */
static int open_tcp(struct bindings *bindings, struct failure *failure) {
        struct rml_addr v4 = {.kind = RML_ADDR_TCP, .host = "127.0.0.1"};
        struct rml_addr v6 = {.kind = RML_ADDR_TCP, .host = "::1"};
        snprintf(v4.service, sizeof(v4.service), "%u", RML_TCP_PORT);
        snprintf(v6.service, sizeof(v6.service), "%u", RML_TCP_PORT);
        int r = listeners_open(&bindings->listeners, &v4, NULL, false, failure);
        return r < 0 ? r : listeners_open(&bindings->listeners, &v6, NULL, true, failure);
}

static int open_listeners(struct bindings *bindings, const struct config *config, int inherited,
                          struct failure *failure) {
        struct unixpath_rules rules = rules_of(config, false);
        int r = listeners_inherit(&bindings->listeners, FIRST_INHERITED, inherited, failure);
        for (size_t i = 0; i < config->listen_count && r == 0; i++)
                r = listeners_open(&bindings->listeners, &config->listen[i], &rules, false, failure);
        bool nothing_said = config->listen_count == 0 && inherited == 0;
        if (r == 0 && (nothing_said || config->scope != RML_SCOPE_DEFAULT))
                r = open_default(bindings, config, failure);
        if (r == 0 && config->tcp)
                r = open_tcp(bindings, failure);
        return r;
}

/* Beside the first Unix socket in the file system; without one, where the default's would be, for clients look there
 * too. */
static int token_path(const struct bindings *bindings, const struct config *config, char *ret, size_t size,
                      struct failure *failure) {
        struct rml_addr addr;
        bool fixed;
        const char *file = listeners_first_path(&bindings->listeners);
        if (config->token_file[0]) {
                snprintf(ret, size, "%s", config->token_file);
                return 0;
        }
        if (!file) {
                int r = default_address(config, &addr, &fixed, failure);
                if (r < 0)
                        return r;
                if (addr.kind != RML_ADDR_UNIX)
                        return failure_set(
                                failure, EXIT_USAGE,
                                "TCP needs a token, and there is no Unix socket to put it beside; name a file "
                                "with --token-file");
                struct unixpath_rules rules = rules_of(config, !fixed);
                r = unixpath_directory(addr.path, &rules, failure);
                if (r < 0)
                        return r;
                file = addr.path;
        }
        const char *slash = strrchr(file, '/');
        snprintf(ret, size, "%.*stoken", slash ? (int)(slash - file) + 1 : 0, file);
        return 0;
}

static int open_token(struct bindings *bindings, const struct config *config, struct log *log,
                      struct failure *failure) {
        char path[TOKEN_PATH_BYTES];
        if (!listeners_has_tcp(&bindings->listeners)) {
                if (config->token_file[0])
                        return failure_set(failure, EXIT_USAGE,
                                           "--token-file is for TCP, and nothing listens there; add --tcp or --listen "
                                           "tcp:HOST:PORT");
                return 0;
        }
        int r = token_path(bindings, config, path, sizeof(path), failure);
        if (r == 0)
                r = token_load(&bindings->token, path, failure);
        if (r < 0)
                return r;
        bindings->has_token = true;
        log_event(log, LOG_LEVEL_INFO, bindings->token.made ? "token-made" : "token-read", LOG_TEXT("path", path));
        return 0;
}

/* One way in is enough; abstract names have no modes, and those of inherited sockets are the service manager's. */
static int check_reachable(const struct bindings *bindings, const struct access_who *who, const char *option,
                           uint32_t id, struct failure *failure) {
        char blocked[400] = "", first[400] = "";
        rml_list_each(link, &bindings->listeners.list) {
                const struct listener *listener = rml_list_entry(link, struct listener, link);
                if (!listener->local)
                        continue;
                if (!listener->has_path || access_check(who, listener->path.path, blocked, sizeof(blocked)))
                        return 0;
                if (!first[0])
                        memcpy(first, blocked, sizeof(first));
        }
        if (!first[0])
                return 0; /* TCP alone, where nobody has a uid */
        return failure_set(
                failure, EXIT_CONFIG,
                "%s %u: %s keeps them out; use --socket-mode 0666, or --socket-group with --socket-mode 0660, "
                "in a directory that they can reach",
                option, id, first);
}

static int check_allowed(const struct bindings *bindings, const struct config *config, struct failure *failure) {
        struct access_who who;
        int r = 0;
        for (size_t i = 0; i < config->allow_uid_count && r == 0; i++) {
                access_of_uid(&who, config->allow_uids[i]);
                r = check_reachable(bindings, &who, "--allow-uid", config->allow_uids[i], failure);
        }
        for (size_t i = 0; i < config->allow_gid_count && r == 0; i++) {
                access_of_group(&who, config->allow_gids[i]);
                r = check_reachable(bindings, &who, "--allow-group", config->allow_gids[i], failure);
        }
        return r;
}

int bindings_open(struct bindings *bindings, const struct config *config, struct loop *loop, struct log *log,
                  struct failure *failure) {
        *bindings = (struct bindings){.has_token = false};
        int inherited = inherited_count(failure);
        if (inherited < 0)
                return inherited;
        if (config->ready_fd >= FIRST_INHERITED && config->ready_fd < FIRST_INHERITED + inherited)
                return failure_set(failure, EXIT_USAGE, "--ready-fd: descriptor %d is one of the %d of LISTEN_FDS",
                                   config->ready_fd, inherited);
        int r = listeners_init(&bindings->listeners, loop, log, failure);
        if (r == 0)
                r = open_listeners(bindings, config, inherited, failure);
        if (r == 0)
                r = open_token(bindings, config, log, failure);
        if (r == 0)
                r = check_allowed(bindings, config, failure);
        if (r < 0) {
                bindings_close(bindings, true);
                return r;
        }
        rml_list_each(link, &bindings->listeners.list) bindings->addresses[bindings->address_count++] =
                rml_list_entry(link, struct listener, link)->address;
        return 0;
}

void bindings_close(struct bindings *bindings, bool failed) {
        if (bindings->has_token)
                token_drop(&bindings->token, failed);
        bindings->has_token = false;
        listeners_deinit(&bindings->listeners, failed);
        bindings->address_count = 0;
}
