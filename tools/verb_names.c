/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api.h"
#include "table.h"

static const struct table_column columns[] = {
        {"NAME", TABLE_SHRINK},
        {"OWNER", TABLE_RIGHT},
        {"USER", TABLE_SHRINK},
        {"QUEUE", TABLE_SHRINK},
};

static void row(const struct ctl *ctl, struct table *table, const Ramal__Api__V1__Name *name) {
        char user[API_TEXT];
        char *queue = NULL;
        size_t size = 0;
        table_text(table, name->name);
        if (name->owner > 0)
                table_number(table, name->owner);
        else
                table_text(table, NULL);
        table_text(table, name->local ? api_user(ctl, user, name->uid) : NULL);
        FILE *out = open_memstream(&queue, &size);
        for (size_t i = 0; out && i < name->n_queue; i++)
                fprintf(out, "%s%" PRIu64, i > 0 ? "," : "", name->queue[i]);
        if (out)
                fclose(out);
        table_text(table, queue);
        free(queue);
}

static void object(const struct ctl *ctl, struct json *json, const Ramal__Api__V1__Name *name) {
        char user[API_TEXT];
        json_open_object(json, NULL);
        json_text(json, "name", name->name);
        json_number(json, "owner", name->owner);
        json_bool(json, "local", name->local);
        if (name->local) {
                json_number(json, "uid", name->uid);
                json_text(json, "user", api_user(ctl, user, name->uid));
        }
        json_open_array(json, "queue");
        for (size_t i = 0; i < name->n_queue; i++)
                json_number(json, NULL, name->queue[i]);
        json_end(json);
        json_end(json);
}

static int run(struct ctl *ctl) {
        Ramal__Api__V1__NamesRequest request = RAMAL__API__V1__NAMES_REQUEST__INIT;
        ProtobufCMessage *message;
        int status = api_call(ctl, "names", &request.base, &ramal__api__v1__names_reply__descriptor, &message);
        if (status != 0)
                return status;
        const Ramal__Api__V1__NamesReply *reply = (const void *)message;
        if (ctl->json) {
                struct json json = json_on(stdout);
                json_open_array(&json, NULL);
                for (size_t i = 0; i < reply->n_names; i++)
                        object(ctl, &json, reply->names[i]);
                json_end(&json);
        } else {
                struct table *table = table_new(columns, sizeof(columns) / sizeof(*columns));
                for (size_t i = 0; table && i < reply->n_names; i++)
                        row(ctl, table, reply->names[i]);
                status = api_print_table(ctl, table);
        }
        api_free(message);
        return status;
}

const struct verb verb_names = {
        .name = "names",
        .words = "",
        .summary = "the well-known names and who owns them",
        .about = "Lists the well-known names. OWNER is the peer that has the name now, QUEUE are the peers that\n"
                 "take over when it goes, in order.\n"
                 "--json: an array of objects.\n",
        .run = run,
        .inspect = true,
};
