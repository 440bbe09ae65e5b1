/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "api.h"
#include "table.h"
#include "text.h"

static const struct table_column columns[] = {
        {"FOR", 0},
        {"NEXT", 0},
        {"PEER", TABLE_RIGHT},
        {"APP", TABLE_SHRINK},
        {"SID", TABLE_RIGHT},
        {"PATTERN", TABLE_SHRINK},
        {"GROUP", TABLE_SHRINK | TABLE_OPTIONAL},
        {"POLICY", TABLE_OPTIONAL},
        {"PENDING", TABLE_RIGHT},
        {"WHY", TABLE_SHRINK},
};

static void rows(struct table *table, const char *audience, Ramal__Api__V1__Receiver *const *receivers, size_t count) {
        for (size_t i = 0; i < count; i++) {
                const Ramal__Api__V1__Receiver *one = receivers[i];
                table_text(table, audience);
                table_text(table, one->chosen ? "yes" : NULL);
                table_number(table, one->peer);
                table_text(table, one->app);
                table_number(table, one->sid);
                table_text(table, one->pattern);
                table_text(table, one->group);
                table_text(table, one->policy);
                table_number(table, one->pending);
                table_text(table, one->why);
        }
}

static void array(struct json *json, const char *key, Ramal__Api__V1__Receiver *const *receivers, size_t count) {
        json_open_array(json, key);
        for (size_t i = 0; i < count; i++) {
                const Ramal__Api__V1__Receiver *one = receivers[i];
                json_open_object(json, NULL);
                json_bool(json, "chosen", one->chosen);
                json_number(json, "peer", one->peer);
                json_text(json, "app", one->app);
                json_number(json, "sid", one->sid);
                json_text(json, "pattern", one->pattern);
                json_text(json, "group", one->group);
                json_text(json, "policy", one->policy);
                json_number(json, "pending", one->pending);
                json_text(json, "why", one->why);
                json_end(json);
        }
        json_end(json);
}

static int run(struct ctl *ctl) {
        Ramal__Api__V1__WhoRequest request;
        size_t length = strlen(ctl->words[0]);
        char subject[1024];
        if (length >= sizeof(subject))
                return ctl_fail(ctl, EXIT_DATA, "the subject is too long: at most 255 bytes");
        if (!text_is_utf8(ctl->words[0], length))
                return ctl_fail(ctl, EXIT_DATA, "%s: it is not valid UTF-8", ctl->words[0]);
        memcpy(subject, ctl->words[0], length + 1);
        ramal__api__v1__who_request__init(&request);
        request.subject = subject;
        ProtobufCMessage *message;
        int status = api_call(ctl, "who", &request.base, &ramal__api__v1__who_reply__descriptor, &message);
        if (status != 0)
                return status;
        const Ramal__Api__V1__WhoReply *reply = (const void *)message;
        if (ctl->json) {
                struct json json = json_on(stdout);
                json_open_object(&json, NULL);
                json_text(&json, "subject", ctl->words[0]);
                array(&json, "publish", reply->publish, reply->n_publish);
                array(&json, "call", reply->call, reply->n_call);
                json_end(&json);
        } else {
                struct table *table = table_new(columns, sizeof(columns) / sizeof(*columns));
                if (table) {
                        rows(table, "publish", reply->publish, reply->n_publish);
                        rows(table, "call", reply->call, reply->n_call);
                }
                status = api_print_table(ctl, table);
        }
        if (reply->n_publish + reply->n_call == 0)
                ctl_say(ctl, "%s: nobody listens, and nobody serves it", ctl->words[0]);
        api_free(message);
        return status;
}

const struct verb verb_who = {
        .name = "who",
        .words = "SUBJECT",
        .summary = "who would get a message, in which order, and why",
        .about = "Asks the broker who would get a message on SUBJECT as things stand: the receivers of a publish,\n"
                 "then those of a call, in the order in which they would be tried. NEXT says who would get the next\n"
                 "one, WHY why or why not, PENDING what waits for it, is unconfirmed or not answered.\n"
                 "--json: {\"subject\":..., \"publish\":[...], \"call\":[...]}.\n",
        .words_min = 1,
        .words_max = 1,
        .word = {WORD_SUBJECT, WORD_SUBJECT},
        .run = run,
        .inspect = true,
};
