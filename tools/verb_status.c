/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "api.h"
#include "limits.h"
#include "table.h"
#include "text.h"
#include "units.h"

enum { STATUS_LIMITS, STATUS_USERS };

static const struct option_def options[] = {
        [STATUS_LIMITS] = {"limits", 'l', OPTION_FLAG, NULL,
                           "every limit, its value and its use: of PEER, else of this\ncommand's own connection", NULL},
        [STATUS_USERS] = {"users", 'u', OPTION_FLAG, NULL, "what all connections of each user hold together", NULL},
};

static const struct table_column ledger_columns[] = {
        {"SID", TABLE_RIGHT},
        {"KIND", 0},
        {"PATTERN", TABLE_SHRINK},
        {"GROUP", TABLE_SHRINK | TABLE_OPTIONAL},
        {"POLICY", TABLE_OPTIONAL},
        {"OVERFLOW", TABLE_OPTIONAL},
        {"STATE", 0},
        {"MATCHED", TABLE_RIGHT},
        {"QUEUED", TABLE_RIGHT},
        {"FLIGHT", TABLE_RIGHT},
        {"CONFIRMED", TABLE_RIGHT},
        {"EXPIRED", TABLE_RIGHT | TABLE_OPTIONAL},
        {"DROPPED", TABLE_RIGHT},
        {"REPLACED", TABLE_RIGHT | TABLE_OPTIONAL},
        {"MOVED", TABLE_RIGHT | TABLE_OPTIONAL},
        {"UNCONFIRMED", TABLE_RIGHT | TABLE_OPTIONAL},
        {"CALLS", TABLE_RIGHT | TABLE_OPTIONAL},
        {"WINDOW", TABLE_RIGHT | TABLE_OPTIONAL},
};

/* ---- text ---- */

__attribute__((format(printf, 2, 3))) static void fact(const char *name, const char *format, ...) {
        char line[1024];
        va_list list;
        va_start(list, format);
        int length = vsnprintf(line, sizeof(line), format, list);
        va_end(list);
        printf("%-12s", name);
        text_print(stdout, line,
                   length < 0                      ? 0
                   : (size_t)length < sizeof(line) ? (size_t)length
                                                   : sizeof(line) - 1,
                   TEXT_LINE);
        putchar('\n');
}

static void print_queued(uint64_t messages, uint64_t bytes) {
        char size[UNITS_TEXT];
        fact("queued", "%" PRIu64 " messages, %s", messages, units_size(size, bytes));
}

static void print_broker(const struct ctl *ctl, const Ramal__Api__V1__Broker *broker) {
        char text[UNITS_TEXT];
        fact("version", "%s", broker->version);
        fact("address", "%s", ramal_conn_address(ctl->conn));
        for (size_t i = 0; i < broker->n_listening; i++)
                fact(i == 0 ? "listening" : "", "%s", broker->listening[i]);
        fact("pid", "%" PRIu32, broker->pid);
        fact("epoch", "%" PRIx64, broker->epoch);
        fact("uptime", "%s", units_age(text, broker->uptime_us));
        fact("cpu", "%s", units_time(text, broker->cpu_us * 1000));
        if (broker->memory_bytes > 0)
                fact("memory", "%s", units_size(text, broker->memory_bytes));
        fact("peers", "%" PRIu64, broker->peers);
        fact("interests", "%" PRIu64, broker->interests);
        fact("names", "%" PRIu64, broker->names);
        fact("calls", "%" PRIu64, broker->calls);
        print_queued(broker->queued_messages, broker->queued_bytes);
}

static void print_peer(const struct ctl *ctl, const Ramal__Api__V1__Peer *peer) {
        char text[API_TEXT], age[UNITS_TEXT];
        char *names = api_names(peer);
        fact("peer", "%" PRIu64, peer->id);
        fact("app", "%s", peer->app);
        fact("library", "%s", peer->library);
        fact("names", "%s", names && *names ? names : "-");
        if (peer->local) {
                const char *process = api_process(ctl, text, peer);
                fact("pid", "%" PRIu32 "%s%s%s", peer->pid, *process ? " (" : "", process, *process ? ")" : "");
        }
        fact("user", "%s", api_peer_user(ctl, text, peer));
        fact("address", "%s", peer->address);
        fact("since", "%s (%s)", api_since(text, peer->age_us), units_age(age, peer->age_us));
        print_queued(peer->queued_messages, peer->queued_bytes);
        free(names);
}

static int print_ledgers(const struct ctl *ctl, const Ramal__Api__V1__StatusReply *reply) {
        struct table *table = table_new(ledger_columns, sizeof(ledger_columns) / sizeof(*ledger_columns));
        for (size_t i = 0; table && i < reply->n_interests; i++) {
                const Ramal__Api__V1__InterestStatus *one = reply->interests[i];
                table_number(table, one->sid);
                table_text(table, one->serve ? "serve" : "subscribe");
                table_text(table, one->pattern);
                table_text(table, one->group);
                table_text(table, one->policy);
                table_text(table, one->overflow);
                table_text(table, one->state);
                const uint64_t numbers[] = {one->matched,     one->queued,        one->in_flight,   one->confirmed,
                                            one->expired,     one->dropped,       one->replaced,    one->moved,
                                            one->unconfirmed, one->pending_calls, one->window_bytes};
                for (size_t n = 0; n < sizeof(numbers) / sizeof(*numbers); n++)
                        table_number(table, numbers[n]);
        }
        return api_print_table(ctl, table);
}

static int print_status(const struct ctl *ctl, const Ramal__Api__V1__StatusReply *reply) {
        int status = EXIT_OK;
        if (reply->peer)
                print_peer(ctl, reply->peer);
        else if (reply->broker)
                print_broker(ctl, reply->broker);
        if (reply->n_interests > 0) {
                putchar('\n');
                status = print_ledgers(ctl, reply);
        }
        if (reply->n_counters > 0)
                putchar('\n');
        for (size_t i = 0; i < reply->n_counters; i++) {
                printf("%20" PRIu64 "  ", reply->counters[i]->value);
                text_print(stdout, reply->counters[i]->name, strlen(reply->counters[i]->name), TEXT_LINE);
                putchar('\n');
        }
        return status;
}

/* ---- JSON ---- */

static void json_broker(const struct ctl *ctl, struct json *json, const Ramal__Api__V1__Broker *broker) {
        char epoch[24];
        json_open_object(json, "broker");
        json_text(json, "version", broker->version);
        json_text(json, "address", ramal_conn_address(ctl->conn));
        json_open_array(json, "listening");
        for (size_t i = 0; i < broker->n_listening; i++)
                json_text(json, NULL, broker->listening[i]);
        json_end(json);
        json_number(json, "pid", broker->pid);
        /* Not a number to reckon with, and too large for many a JSON reader. */
        snprintf(epoch, sizeof(epoch), "%" PRIx64, broker->epoch);
        json_text(json, "epoch", epoch);
        json_number(json, "uptime_us", broker->uptime_us);
        json_number(json, "cpu_us", broker->cpu_us);
        json_number(json, "memory_bytes", broker->memory_bytes);
        json_number(json, "peers", broker->peers);
        json_number(json, "interests", broker->interests);
        json_number(json, "names", broker->names);
        json_number(json, "calls", broker->calls);
        json_number(json, "queued_messages", broker->queued_messages);
        json_number(json, "queued_bytes", broker->queued_bytes);
        json_end(json);
}

static void json_interest(struct json *json, const Ramal__Api__V1__InterestStatus *one) {
        json_open_object(json, NULL);
        json_number(json, "sid", one->sid);
        json_text(json, "kind", one->serve ? "serve" : "subscribe");
        json_text(json, "pattern", one->pattern);
        json_text(json, "group", one->group);
        json_text(json, "policy", one->policy);
        json_text(json, "overflow", one->overflow);
        json_text(json, "state", one->state);
        json_number(json, "matched", one->matched);
        json_number(json, "queued", one->queued);
        json_number(json, "in_flight", one->in_flight);
        json_number(json, "confirmed", one->confirmed);
        json_number(json, "expired", one->expired);
        json_number(json, "dropped", one->dropped);
        json_number(json, "replaced", one->replaced);
        json_number(json, "moved", one->moved);
        json_number(json, "unconfirmed", one->unconfirmed);
        json_number(json, "queued_bytes", one->queued_bytes);
        json_number(json, "in_flight_bytes", one->in_flight_bytes);
        json_number(json, "window_bytes", one->window_bytes);
        json_number(json, "window_messages", one->window_messages);
        json_number(json, "credit_bytes", one->credit_bytes);
        json_number(json, "credit_messages", one->credit_messages);
        json_number(json, "pending_calls", one->pending_calls);
        json_end(json);
}

static void json_status(const struct ctl *ctl, const Ramal__Api__V1__StatusReply *reply) {
        struct json json = json_on(stdout);
        json_open_object(&json, NULL);
        if (reply->peer) {
                json_open_object(&json, "peer");
                api_json_peer(ctl, &json, reply->peer);
                json_end(&json);
                json_open_array(&json, "interests");
                for (size_t i = 0; i < reply->n_interests; i++)
                        json_interest(&json, reply->interests[i]);
                json_end(&json);
        } else if (reply->broker) {
                json_broker(ctl, &json, reply->broker);
        }
        json_open_object(&json, "counters");
        for (size_t i = 0; i < reply->n_counters; i++)
                json_number(&json, reply->counters[i]->name, reply->counters[i]->value);
        json_end(&json);
        json_end(&json);
}

/* ---- the verb ---- */

/* Finds the peer that the word means: its number, or a well-known name that it owns. */
static int find_peer(struct ctl *ctl, const char *word, uint64_t *peer) {
        if (units_parse_count(word, peer) == 0) {
                if (*peer == 0)
                        return ctl_fail(ctl, EXIT_DATA, "0 is no peer; see 'ramal list'");
                return 0;
        }
        Ramal__Api__V1__NamesRequest request = RAMAL__API__V1__NAMES_REQUEST__INIT;
        ProtobufCMessage *message;
        int status = api_call(ctl, "names", &request.base, &ramal__api__v1__names_reply__descriptor, &message);
        if (status != 0)
                return status;
        const Ramal__Api__V1__NamesReply *reply = (const void *)message;
        *peer = 0;
        for (size_t i = 0; i < reply->n_names; i++)
                if (strcmp(reply->names[i]->name, word) == 0)
                        *peer = reply->names[i]->owner;
        api_free(message);
        if (*peer == 0)
                return ctl_fail(ctl, EXIT_REFUSED,
                                "%s: neither the number of a peer nor a name that somebody owns; see "
                                "'ramal list'",
                                word);
        return 0;
}

static int show_status(struct ctl *ctl, uint64_t peer) {
        Ramal__Api__V1__StatusRequest request = RAMAL__API__V1__STATUS_REQUEST__INIT;
        ProtobufCMessage *message;
        request.peer = peer;
        int status = api_call(ctl, "status", &request.base, &ramal__api__v1__status_reply__descriptor, &message);
        if (status != 0)
                return status;
        if (ctl->json)
                json_status(ctl, (const void *)message);
        else
                status = print_status(ctl, (const void *)message);
        api_free(message);
        return status;
}

static int run(struct ctl *ctl) {
        uint64_t peer = 0;
        const char *word = ctl_word(ctl, 0);
        if (ctl->values[STATUS_USERS].given && (word || ctl->values[STATUS_LIMITS].given))
                return ctl_usage(ctl, "--users goes neither with PEER nor with --limits");
        int status = word ? find_peer(ctl, word, &peer) : 0;
        if (status != 0)
                return status;
        if (ctl->values[STATUS_USERS].given)
                return limits_show_users(ctl);
        return ctl->values[STATUS_LIMITS].given ? limits_show(ctl, peer) : show_status(ctl, peer);
}

const struct verb verb_status = {
        .name = "status",
        .words = "[PEER]",
        .summary = "the broker, or one peer with the ledger of its interests",
        .about = "Without PEER: the broker and its counters. With PEER, the number of a peer or a well-known name\n"
                 "that it owns: that peer, and for each of its interests where its messages are. Always:\n"
                 "  MATCHED = QUEUED + FLIGHT + CONFIRMED + EXPIRED + DROPPED + REPLACED + MOVED + UNCONFIRMED\n"
                 "On a terminal that is too narrow, columns of nothing but zeros are left out.\n"
                 "--json: {\"broker\":{...}, \"counters\":{...}} or {\"peer\":{...}, \"interests\":[...], "
                 "\"counters\":{...}};\n"
                 "with --limits and with --users an array of objects.\n",
        VERB_OPTIONS(options),
        .words_max = 1,
        .word = {WORD_PEER, WORD_PEER},
        .run = run,
        .inspect = true,
};
