/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "bounds.h"
#include "io/listener.h"
#include "io/session.h"
#include "values.h"

#define MANY (UINT64_C(1) << 48) /* more than any machine has of anything */
#define HOUR UINT64_C(3600000000000)
#define MS UINT64_C(1000000)

#define AT(field) offsetof(struct config, field)
#define LIMIT(key, flag, argument, kind, field, min, max, per_user, help)                                              \
        { "limits", key, "limit-" flag, NULL, argument, help, kind, AT(field), min, max, per_user }
#define LIMIT_BYTES(key, flag, field, min, help) LIMIT(key, flag, "SIZE", CONFIG_BYTES, field, min, MANY, false, help)
#define LIMIT_COUNT(key, flag, field, min, help) LIMIT(key, flag, "NUMBER", CONFIG_COUNT, field, min, MANY, false, help)
#define LIMIT_TIME(key, flag, field, min, help) LIMIT(key, flag, "TIME", CONFIG_TIME, field, min, HOUR, false, help)
#define USER_BYTES(key, flag, field, min, help) LIMIT(key, flag, "SIZE", CONFIG_BYTES, field, min, MANY, true, help)
#define USER_COUNT(key, flag, field, min, help) LIMIT(key, flag, "NUMBER", CONFIG_COUNT, field, min, MANY, true, help)
#define USER_TIME(key, flag, field, min, help) LIMIT(key, flag, "TIME", CONFIG_TIME, field, min, HOUR, true, help)

const struct config_option config_options[] = {
        {"listen", "address", "listen", NULL, "ADDRESS",
         "listen there: unix:/PATH, unix:@NAME, tcp:HOST:PORT (0: any port)", CONFIG_ADDRESSES, 0, 0, 0, false},
        {"listen", "tcp", "tcp", "yes", NULL, "also listen on TCP, 127.0.0.1 and [::1] port 7265", CONFIG_BOOL, AT(tcp),
         0, 0, false},
        {"listen", "scope", "user", "user", NULL, "listen on the user's bus (default unless root)", CONFIG_SCOPE, 0, 0,
         0, false},
        {"listen", "scope", "system", "system", NULL, "listen on the system bus, /run/ramal/bus (default of root)",
         CONFIG_SCOPE, 0, 0, 0, false},
        {"listen", "socket_mode", "socket-mode", NULL, "MODE", "mode of Unix sockets; the default directory's follows",
         CONFIG_MODE, 0, 0, 0, false},
        {"listen", "socket_group", "socket-group", NULL, "GROUP",
         "group of Unix sockets and the default directory; mode 0660 then", CONFIG_GROUP, 0, 0, 0, false},
        {"listen", "allow_uid", "allow-uid", NULL, "UID", "another user that may connect; again for more", CONFIG_UIDS,
         0, 0, 0, false},
        {"listen", "allow_group", "allow-group", NULL, "GROUP", "a group whose members may connect; again for more",
         CONFIG_GIDS, 0, 0, 0, false},
        {"listen", "token_file", "token-file", NULL, "FILE",
         "what TCP clients prove (default: token beside the Unix socket)", CONFIG_PATH, AT(token_file), 0, 0, false},
        {"listen", "ready_fd", "ready-fd", NULL, "N",
         "when listening, write one address a line to descriptor N and close it", CONFIG_FD, AT(ready_fd), 0, 1u << 20,
         false},

        USER_BYTES("interest_bytes", "interest-bytes", limits.interest_bytes, 1, "window of an interest"),
        USER_COUNT("interest_messages", "interest-messages", limits.interest_messages, 1, "the same in messages"),
        USER_BYTES("connection_bytes", "connection-bytes", limits.connection_bytes, 1, "queued for one connection"),
        USER_BYTES("uid_bytes", "uid-bytes", limits.uid_bytes, 1, "queued for another uid"),
        LIMIT_BYTES("broker_bytes", "broker-bytes", limits.broker_bytes, 1, "queued in all"),
        LIMIT_BYTES("reserve_bytes", "reserve-bytes", limits.reserve_bytes, 0, "of that, for replies alone"),
        LIMIT("payload_bytes", "payload-bytes", "SIZE", CONFIG_BYTES, limits.payload_bytes, 1,
              RML_PAYLOAD_BYTES_CEILING, true, "largest payload, at most 64M"),
        USER_BYTES("publish_credit_bytes", "publish-credit-bytes", limits.publish_credit_bytes, 1,
                   "publishes under way"),
        USER_BYTES("unread_answers_bytes", "unread-answers-bytes", limits.unread_answers_bytes, 1,
                   "broker's answers left unread, then input waits"),
        USER_BYTES("uid_unread_answers_bytes", "uid-unread-answers-bytes", limits.uid_unread_answers_bytes, 1,
                   "the same for another uid"),
        USER_BYTES("uid_input_bytes", "uid-input-bytes", limits.uid_input_bytes, 1,
                   "half-read frames above 64K of another uid"),
        USER_COUNT("uid_connections", "uid-connections", limits.uid_connections, 1, "connections of another uid"),
        LIMIT("uid_connect_rate", "uid-connect-rate", "NUMBER", CONFIG_COUNT, limits.uid_connect_rate, 1, 1000000, true,
              "new connections a second of another uid"),
        LIMIT_COUNT("own_connections", "own-connections", limits.own_connections, 1,
                    "of the broker's uid (default: descriptors less 64)"),
        LIMIT("reserved_connections", "reserved-connections", "NUMBER", CONFIG_COUNT, limits.reserved_connections, 0,
              LISTENER_KEPT_MAX, false, "beyond those, for ramal status and its like"),
        LIMIT_COUNT("unauthenticated", "unauthenticated", limits.unauthenticated, 1,
                    "TCP connections before their proof"),
        USER_COUNT("calls", "calls", limits.calls, 1, "calls in flight of a connection"),
        USER_COUNT("uid_calls", "uid-calls", limits.uid_calls, 1, "calls in flight of another uid"),
        USER_COUNT("interests", "interests", limits.interests, 1, "interests of another uid's connection"),
        USER_COUNT("uid_interests", "uid-interests", limits.uid_interests, 1, "interests of another uid"),
        LIMIT_COUNT("own_interests", "own-interests", limits.own_interests, 1, "interests of an own connection"),
        USER_COUNT("names", "names", limits.names, 0, "names of another uid's connection"),
        USER_COUNT("uid_names", "uid-names", limits.uid_names, 0, "names of another uid"),
        USER_TIME("stall_max", "stall-max", limits.stall_max_ns, MS, "that a `block` queue may hold up its publishers"),
        USER_COUNT("turn_frames", "turn-frames", limits.turn_frames, 1, "frames of one connection in a turn"),
        LIMIT("turn_bytes", "turn-bytes", "SIZE", CONFIG_BYTES, limits.turn_bytes, 1, SESSION_TURN_BYTES_MAX, false,
              "bytes read of one connection in a turn"),
        USER_TIME("hello_timeout", "hello-timeout", limits.hello_timeout_ns, MS, "from connect to HELLO and proof"),
        USER_TIME("frame_timeout", "frame-timeout", limits.frame_timeout_ns, MS,
                  "half a frame without 64K of progress"),
        USER_TIME("flush_timeout", "flush-timeout", limits.flush_timeout_ns, 0,
                  "for an ending connection to take its rest"),
        LIMIT_TIME("stop_grace", "stop-grace", stop_grace_ns, 0, "for clients to finish after SIGTERM"),
        LIMIT("spin", "spin", "TIME", CONFIG_TIME, spin_ns, 0, 100 * MS, false,
              "look for work before sleeping, when busy; or off"),
        {"limits", "uid", "limit-uid", NULL, "USER:KEY=VALUE", "a limit marked * for one user; again for more",
         CONFIG_USER_LIMITS, 0, 0, 0, false},

        {"log", "level", "log-level", NULL, "LEVEL", "error, warning, notice, info or debug", CONFIG_LEVEL, 0, 0, 0,
         false},
};
const size_t config_option_count = RML_COUNT(config_options);

void config_defaults(struct config *config) {
        *config = (struct config){
                .scope = RML_SCOPE_DEFAULT,
                .socket_mode = 0600,
                .ready_fd = -1,
                .stop_grace_ns = 5000 * MS,
                .spin_ns = MS / 20,
                .log_level = LOG_LEVEL_INFO,
        };
        core_limits_default(&config->limits);
        rml_check(config_option_count <= CONFIG_OPTIONS_MAX);
}

/* Options that share a key (--user, --system) share its source: that of the first. */
const struct config_option *config_find(const char *section, const char *key) {
        for (size_t i = 0; i < config_option_count; i++)
                if (strcmp(config_options[i].section, section) == 0 && strcmp(config_options[i].key, key) == 0)
                        return &config_options[i];
        return NULL;
}

static size_t row_of(const struct config_option *option) {
        return (size_t)(config_find(option->section, option->key) - config_options);
}

bool config_is_set(const struct config *config, const char *section, const char *key) {
        const struct config_option *option = config_find(section, key);
        return option && config->source[option - config_options] != CONFIG_BUILT_IN;
}

static void *field_of(struct config *config, const struct config_option *option) {
        return (char *)config + option->offset;
}

static const char *example_of(enum config_kind kind) {
        switch (kind) {
        case CONFIG_BYTES:
                return "a size such as 64K, 8M or 1G";
        case CONFIG_TIME:
                return "a time such as 5s, 200ms or 50us";
        case CONFIG_COUNT:
        case CONFIG_FD:
                return "a number";
        case CONFIG_BOOL:
                return "yes or no";
        case CONFIG_MODE:
                return "an octal mode such as 0660";
        case CONFIG_GROUP:
        case CONFIG_GIDS:
                return "the name or number of a group";
        case CONFIG_UIDS:
                return "the name or number of a user";
        case CONFIG_SCOPE:
                return "user or system";
        case CONFIG_LEVEL:
                return "error, warning, notice, info or debug";
        case CONFIG_USER_LIMITS:
                return "a limit of a user such as alice:calls=64";
        case CONFIG_ADDRESSES:
        case CONFIG_PATH:
                break;
        }
        return "something else";
}

static int out_of_range(const struct config_option *option, const char *text, const char *where,
                        struct failure *failure) {
        char low[32], high[32];
        switch (option->kind) {
        case CONFIG_BYTES:
                value_format_bytes(option->min, low, sizeof(low));
                value_format_bytes(option->max, high, sizeof(high));
                break;
        case CONFIG_TIME:
                value_format_time(option->min, low, sizeof(low));
                value_format_time(option->max, high, sizeof(high));
                break;
        case CONFIG_MODE:
                snprintf(low, sizeof(low), "0");
                snprintf(high, sizeof(high), "0777");
                break;
        case CONFIG_GROUP:
        case CONFIG_GIDS:
        case CONFIG_UIDS:
                snprintf(low, sizeof(low), "0");
                snprintf(high, sizeof(high), "%u", UINT32_MAX - 1);
                break;
        default:
                snprintf(low, sizeof(low), "%llu", (unsigned long long)option->min);
                snprintf(high, sizeof(high), "%llu", (unsigned long long)option->max);
                break;
        }
        return failure_set(failure, EXIT_USAGE, "%s: %s is out of range: it must be from %s to %s", where, text, low,
                           high);
}

/* What a parser's error means. Names that do not exist have an answer of their own. */
static int refuse(const struct config_option *option, int error, const char *text, const char *where,
                  struct failure *failure) {
        if (error == -ERANGE)
                return out_of_range(option, text, where, failure);
        if (error == -ENOENT)
                return failure_set(failure, EXIT_USAGE, "%s: there is no %s \"%s\" on this machine", where,
                                   option->kind == CONFIG_UIDS ? "user" : "group", text);
        if (error == -ENOSPC)
                return failure_set(failure, EXIT_USAGE, "%s: too many values, at most %u", where,
                                   option->kind == CONFIG_ADDRESSES     ? CONFIG_LISTEN_MAX
                                   : option->kind == CONFIG_USER_LIMITS ? CONFIG_USERS_MAX
                                                                        : CONFIG_IDS_MAX);
        return failure_set(failure, EXIT_USAGE, "%s: \"%s\" is not %s", where, text, example_of(option->kind));
}

/* Reads a number as this option wants it. */
static int read_number(const struct config_option *option, const char *text, uint64_t *ret) {
        uint64_t value;
        int r = option->kind == CONFIG_BYTES  ? value_bytes(text, &value)
                : option->kind == CONFIG_TIME ? value_time(text, &value)
                                              : value_count(text, &value);
        if (r < 0)
                return r;
        if (value < option->min || value > option->max)
                return -ERANGE;
        *ret = value;
        return 0;
}

static int set_number(struct config *config, const struct config_option *option, const char *text) {
        uint64_t value;
        int r = read_number(option, text, &value);
        if (r < 0)
                return r;
        if (option->kind == CONFIG_FD) {
                int fd = (int)value;
                memcpy(field_of(config, option), &fd, sizeof(fd));
        } else {
                memcpy(field_of(config, option), &value, sizeof(value));
        }
        return 0;
}

static int add_id(uint32_t *list, size_t *count, uint32_t id) {
        if (*count == CONFIG_IDS_MAX)
                return -ENOSPC;
        list[(*count)++] = id;
        return 0;
}

static int add_address(struct config *config, const char *text, const char *where, struct failure *failure) {
        char why[512];
        if (config->listen_count == CONFIG_LISTEN_MAX)
                return -ENOSPC;
        int r = rml_addr_parse(text, &config->listen[config->listen_count], why, sizeof(why));
        if (r < 0)
                return failure_set(failure, EXIT_USAGE, "%s: %s", where, why);
        config->listen_count++;
        return 0;
}

static int set_path(struct config *config, const struct config_option *option, const char *text) {
        size_t len = strlen(text);
        if (len == 0 || len >= CONFIG_PATH_BYTES)
                return -EINVAL;
        memcpy(field_of(config, option), text, len + 1);
        return 0;
}

static int set_scope(struct config *config, const char *text) {
        if (strcmp(text, "user") == 0)
                config->scope = RML_SCOPE_USER;
        else if (strcmp(text, "system") == 0)
                config->scope = RML_SCOPE_SYSTEM;
        else
                return -EINVAL;
        return 0;
}

/* USER:KEY=VALUE */
static int set_user_limit(struct config *config, const char *text, enum config_source source, const char *where,
                          struct failure *failure) {
        const char *colon = strchr(text, ':'), *equals = colon ? strchr(colon, '=') : NULL;
        char name[64], key[64], place[CONFIG_WHERE_BYTES];
        uint32_t uid;
        size_t user;
        if (!equals || (size_t)(colon - text) >= sizeof(name) || (size_t)(equals - colon) > sizeof(key))
                return -EINVAL;
        snprintf(name, sizeof(name), "%.*s", (int)(colon - text), text);
        snprintf(key, sizeof(key), "%.*s", (int)(equals - colon - 1), colon + 1);
        int r = config_read_user(name, where, &uid, failure);
        if (r < 0)
                return r;
        const struct config_option *option = config_find("limits", key);
        if (!option || !option->per_user)
                return config_refuse_key(option, key, where, failure);
        r = config_user(config, uid, &user);
        if (r < 0)
                return r;
        snprintf(place, sizeof(place), "%.300s: %s of uid %u", where, key, uid);
        return config_set_for(config, user, option, equals + 1, source, place, failure);
}

static int set_value(struct config *config, const struct config_option *option, const char *text,
                     enum config_source source, const char *where, struct failure *failure) {
        uint32_t id;
        int r;
        switch (option->kind) {
        case CONFIG_BYTES:
        case CONFIG_COUNT:
        case CONFIG_TIME:
        case CONFIG_FD:
                return set_number(config, option, text);
        case CONFIG_BOOL:
                return value_bool(text, field_of(config, option));
        case CONFIG_MODE:
                return value_mode(text, &config->socket_mode);
        case CONFIG_GROUP:
                r = value_gid(text, &config->socket_group);
                config->has_socket_group = r == 0;
                return r;
        case CONFIG_UIDS:
                r = value_uid(text, &id);
                return r < 0 ? r : add_id(config->allow_uids, &config->allow_uid_count, id);
        case CONFIG_GIDS:
                r = value_gid(text, &id);
                return r < 0 ? r : add_id(config->allow_gids, &config->allow_gid_count, id);
        case CONFIG_ADDRESSES:
                return add_address(config, text, where, failure);
        case CONFIG_SCOPE:
                return set_scope(config, text);
        case CONFIG_PATH:
                return set_path(config, option, text);
        case CONFIG_LEVEL:
                return log_level_parse(text, &config->log_level);
        case CONFIG_USER_LIMITS:
                return set_user_limit(config, text, source, where, failure);
        }
        return -EINVAL;
}

static void empty_list(struct config *config, enum config_kind kind) {
        if (kind == CONFIG_UIDS)
                config->allow_uid_count = 0;
        else if (kind == CONFIG_GIDS)
                config->allow_gid_count = 0;
        else if (kind == CONFIG_ADDRESSES)
                config->listen_count = 0;
}

static bool is_list(enum config_kind kind) {
        return kind == CONFIG_UIDS || kind == CONFIG_GIDS || kind == CONFIG_ADDRESSES || kind == CONFIG_USER_LIMITS;
}

int config_set(struct config *config, const struct config_option *option, const char *text, enum config_source source,
               const char *where, struct failure *failure) {
        size_t row = row_of(option);
        if (!*text)
                return failure_set(failure, EXIT_USAGE, "%s: a value is missing", where);
        if (config->source[row] == source && !is_list(option->kind))
                return failure_set(failure, EXIT_USAGE,
                                   option->kind == CONFIG_SCOPE ? "%s: the bus is chosen already; --listen adds another"
                                                                : "%s: given twice",
                                   where);
        if (config->source[row] < source)
                empty_list(config, option->kind);
        int r = set_value(config, option, text, source, where, failure);
        if (r == -ECANCELED) /* told already */
                return r;
        if (r == -ENOMEM)
                return failure_set(failure, EXIT_SYSTEM, "out of memory");
        if (r < 0)
                return refuse(option, r, text, where, failure);
        config->source[row] = source;
        return 0;
}

int config_set_for(struct config *config, size_t user, const struct config_option *option, const char *text,
                   enum config_source source, const char *where, struct failure *failure) {
        struct core_uid_limits *limits = &config->uid_limits[user];
        uint64_t bit = config_bit(option), value;
        bool from_arguments = config->users[user].from_arguments & bit;
        if (!*text)
                return failure_set(failure, EXIT_USAGE, "%s: a value is missing", where);
        if ((limits->overridden & bit) && from_arguments == (source == CONFIG_ARGUMENT))
                return failure_set(failure, EXIT_USAGE, "%s: given twice", where);
        int r = read_number(option, text, &value);
        if (r < 0)
                return refuse(option, r, text, where, failure);
        memcpy((char *)&limits->limits + (option->offset - AT(limits)), &value, sizeof(value));
        limits->overridden |= bit;
        if (source == CONFIG_ARGUMENT)
                config->users[user].from_arguments |= bit;
        return 0;
}

int config_check(struct config *config, struct failure *failure) {
        const struct core_limits *limits = &config->limits;
        char a[32], b[32];
        if (limits->reserve_bytes >= limits->broker_bytes)
                return failure_set(failure, EXIT_CONFIG,
                                   "limits.reserve_bytes (%s) leaves nothing of limits.broker_bytes (%s); raise that "
                                   "with --limit-broker-bytes",
                                   value_format_bytes(limits->reserve_bytes, a, sizeof(a)),
                                   value_format_bytes(limits->broker_bytes, b, sizeof(b)));
        config_fill_users(config->uid_limits, config->user_count, limits);
        /* What one user may send all others must be able to get. */
        for (size_t i = 0; i < config->user_count; i++)
                if (config->uid_limits[i].limits.payload_bytes > limits->payload_bytes)
                        return failure_set(
                                failure, EXIT_CONFIG,
                                "limits uid %u.payload_bytes is more than limits.payload_bytes (%s); raise that "
                                "with --limit-payload-bytes",
                                config->uid_limits[i].uid, value_format_bytes(limits->payload_bytes, a, sizeof(a)));
        return 0;
}
