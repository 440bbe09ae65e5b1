/* SPDX-License-Identifier: MIT */
#include "limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "table.h"
#include "units.h"

static const struct table_column limit_columns[] = {
        {"LIMIT", TABLE_SHRINK},
        {"VALUE", TABLE_RIGHT},
        {"USED", TABLE_RIGHT},
        {"%", TABLE_RIGHT},
        {"OF", 0},
};

static const struct table_column user_columns[] = {
        {"USER", TABLE_SHRINK},
        {"CONNECTIONS", TABLE_RIGHT},
        {"INTERESTS", TABLE_RIGHT},
        {"NAMES", TABLE_RIGHT},
        {"CALLS", TABLE_RIGHT},
        {"QUEUED", TABLE_RIGHT},
        {"CALLED", TABLE_RIGHT | TABLE_OPTIONAL},
        {"REPLIES", TABLE_RIGHT | TABLE_OPTIONAL},
        {"INPUT", TABLE_RIGHT | TABLE_OPTIONAL},
        {"UNREAD", TABLE_RIGHT | TABLE_OPTIONAL},
};

static int ask(struct ctl *ctl, uint64_t peer, ProtobufCMessage **reply) {
        Ramal__Api__V1__LimitsRequest request = RAMAL__API__V1__LIMITS_REQUEST__INIT;
        request.peer = peer;
        return api_call(ctl, "limits", &request.base, &ramal__api__v1__limits_reply__descriptor, reply);
}

/* From what concerns the one connection to what concerns all. */
static const char *const scopes[] = {"message", "interest", "connection", "uid", "broker"};
enum { SCOPES = sizeof(scopes) / sizeof(*scopes) };

static size_t rank(const char *scope) {
        size_t i = 0;
        while (i < SCOPES && strcmp(scopes[i], scope) != 0)
                i++;
        return i;
}

/* As people write it; a plain number's unit is told with `named`. */
static const char *amount(char text[API_TEXT], const Ramal__Api__V1__Limit *one, uint64_t value, bool named) {
        if (strcmp(one->unit, "bytes") == 0)
                return units_size(text, value);
        if (strcmp(one->unit, "ns") == 0)
                return units_time(text, value);
        snprintf(text, API_TEXT, "%" PRIu64 "%s%s", value, named ? " " : "", named ? one->unit : "");
        return text;
}

static const char *percent(char text[API_TEXT], uint64_t used, uint64_t value) {
        double part = value == 0 ? 0 : 100.0 * (double)used / (double)value;
        snprintf(text, API_TEXT, used > 0 && part < 1 ? "<1" : "%.0f", part);
        return text;
}

static void add_limit(struct table *table, const Ramal__Api__V1__Limit *one) {
        char text[API_TEXT];
        table_text(table, one->key);
        table_text(table, amount(text, one, one->value, true));
        table_text(table, one->counted ? amount(text, one, one->used, false) : NULL);
        table_text(table, one->counted ? percent(text, one->used, one->value) : NULL);
        table_text(table, one->scope);
}

static int print_limits(const struct ctl *ctl, const Ramal__Api__V1__LimitsReply *reply) {
        struct table *table = table_new(limit_columns, sizeof(limit_columns) / sizeof(*limit_columns));
        /* The last round takes the scopes of a later broker. */
        for (size_t round = 0; table && round <= SCOPES; round++)
                for (size_t i = 0; i < reply->n_limits; i++)
                        if (rank(reply->limits[i]->scope) == round)
                                add_limit(table, reply->limits[i]);
        return api_print_table(ctl, table);
}

static void json_limits(const Ramal__Api__V1__LimitsReply *reply) {
        struct json json = json_on(stdout);
        json_open_array(&json, NULL);
        for (size_t i = 0; i < reply->n_limits; i++) {
                json_open_object(&json, NULL);
                json_text(&json, "key", reply->limits[i]->key);
                json_number(&json, "value", reply->limits[i]->value);
                json_number(&json, "used", reply->limits[i]->used);
                json_text(&json, "unit", reply->limits[i]->unit);
                json_text(&json, "scope", reply->limits[i]->scope);
                json_bool(&json, "counted", reply->limits[i]->counted);
                json_end(&json);
        }
        json_end(&json);
}

int limits_show(struct ctl *ctl, uint64_t peer) {
        ProtobufCMessage *message;
        int status = ask(ctl, peer, &message);
        if (status != 0)
                return status;
        if (ctl->json)
                json_limits((const void *)message);
        else
                status = print_limits(ctl, (const void *)message);
        api_free(message);
        return status;
}

/* ---- users ---- */

static const char *user_name(const struct ctl *ctl, char text[API_TEXT], const Ramal__Api__V1__User *user) {
        if (user->local)
                return api_user(ctl, text, user->uid);
        return strcpy(text, "(token)");
}

static int print_users(const struct ctl *ctl, const Ramal__Api__V1__LimitsReply *reply) {
        struct table *table = table_new(user_columns, sizeof(user_columns) / sizeof(*user_columns));
        for (size_t i = 0; table && i < reply->n_users; i++) {
                const Ramal__Api__V1__User *user = reply->users[i];
                char text[API_TEXT];
                table_text(table, user_name(ctl, text, user));
                const uint64_t numbers[] = {user->connections, user->interests,    user->names,
                                            user->calls,       user->queued_bytes, user->call_bytes,
                                            user->reply_bytes, user->input_bytes,  user->unread_bytes};
                for (size_t n = 0; n < sizeof(numbers) / sizeof(*numbers); n++)
                        table_number(table, numbers[n]);
        }
        return api_print_table(ctl, table);
}

static void json_users(const struct ctl *ctl, const Ramal__Api__V1__LimitsReply *reply) {
        struct json json = json_on(stdout);
        json_open_array(&json, NULL);
        for (size_t i = 0; i < reply->n_users; i++) {
                const Ramal__Api__V1__User *user = reply->users[i];
                char text[API_TEXT];
                json_open_object(&json, NULL);
                json_bool(&json, "local", user->local);
                if (user->local) {
                        json_text(&json, "user", user_name(ctl, text, user));
                        json_number(&json, "uid", user->uid);
                        json_bool(&json, "own", user->own);
                }
                json_number(&json, "connections", user->connections);
                json_number(&json, "interests", user->interests);
                json_number(&json, "names", user->names);
                json_number(&json, "calls", user->calls);
                json_number(&json, "queued_bytes", user->queued_bytes);
                json_number(&json, "call_bytes", user->call_bytes);
                json_number(&json, "reply_bytes", user->reply_bytes);
                json_number(&json, "input_bytes", user->input_bytes);
                json_number(&json, "unread_bytes", user->unread_bytes);
                json_end(&json);
        }
        json_end(&json);
}

int limits_show_users(struct ctl *ctl) {
        ProtobufCMessage *message;
        int status = ask(ctl, 0, &message);
        if (status != 0)
                return status;
        if (ctl->json)
                json_users(ctl, (const void *)message);
        else
                status = print_users(ctl, (const void *)message);
        api_free(message);
        return status;
}
