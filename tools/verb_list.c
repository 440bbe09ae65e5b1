/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "api.h"
#include "table.h"

static const struct table_column columns[] = {
        {"ID", TABLE_RIGHT},
        {"APP", TABLE_SHRINK},
        {"NAMES", TABLE_SHRINK | TABLE_OPTIONAL},
        {"PID", TABLE_RIGHT},
        {"PROCESS", TABLE_SHRINK},
        {"USER", TABLE_SHRINK},
        {"ADDRESS", TABLE_SHRINK},
        {"SINCE", 0},
        {"INTERESTS", TABLE_RIGHT},
        {"QUEUED", TABLE_RIGHT},
};

static void row(const struct ctl *ctl, struct table *table, const Ramal__Api__V1__Peer *peer) {
        char text[API_TEXT];
        char *names = api_names(peer);
        table_number(table, peer->id);
        table_text(table, peer->app);
        table_text(table, names);
        if (peer->local && peer->pid > 0)
                table_number(table, peer->pid);
        else
                table_text(table, NULL);
        table_text(table, api_process(ctl, text, peer));
        table_text(table, api_peer_user(ctl, text, peer));
        table_text(table, peer->address);
        table_text(table, api_since(text, peer->age_us));
        table_number(table, peer->interests);
        table_number(table, peer->queued_messages);
        free(names);
}

static int run(struct ctl *ctl) {
        Ramal__Api__V1__ListRequest request = RAMAL__API__V1__LIST_REQUEST__INIT;
        ProtobufCMessage *message;
        int status = api_call(ctl, "list", &request.base, &ramal__api__v1__list_reply__descriptor, &message);
        if (status != 0)
                return status;
        const Ramal__Api__V1__ListReply *reply = (const void *)message;
        if (ctl->json) {
                struct json json = json_on(stdout);
                json_open_array(&json, NULL);
                for (size_t i = 0; i < reply->n_peers; i++) {
                        json_open_object(&json, NULL);
                        api_json_peer(ctl, &json, reply->peers[i]);
                        json_end(&json);
                }
                json_end(&json);
        } else {
                struct table *table = table_new(columns, sizeof(columns) / sizeof(*columns));
                for (size_t i = 0; table && i < reply->n_peers; i++)
                        row(ctl, table, reply->peers[i]);
                status = api_print_table(ctl, table);
        }
        api_free(message);
        return status;
}

const struct verb verb_list = {
        .name = "list",
        .words = "",
        .summary = "the peers: who is connected",
        .about = "Lists the peers in the order of their coming. A user in parentheses tells how a peer over TCP\n"
                 "proved itself; QUEUED is the number of messages that wait for it in the broker.\n"
                 "--json: an array of objects.\n",
        .run = run,
        .inspect = true,
};
