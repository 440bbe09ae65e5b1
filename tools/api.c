/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "api.h"

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "table.h"

/* Answers are lists; there is no type in them that nests. */
int api_call(struct ctl *ctl, const char *verb, const ProtobufCMessage *request,
             const ProtobufCMessageDescriptor *descriptor, ProtobufCMessage **reply) {
        *reply = NULL;
        if (!ctl->conn) {
                int status = ctl_connect(ctl, 0);
                if (status != 0)
                        return status;
        }
        char subject[64];
        snprintf(subject, sizeof(subject), "$SYS.api.%s", verb);
        size_t size = protobuf_c_message_get_packed_size(request);
        uint8_t *packed = malloc(size + 1);
        if (!packed)
                return ctl_error(ctl, NULL, -ENOMEM, NULL);
        protobuf_c_message_pack(request, packed);
        ramal_error err = {.code = 0};
        ramal_request_options options = {.size = sizeof(options), .type = request->descriptor->name};
        ramal_msg *msg = NULL;
        int r = ramal_request_with(ctl->conn, subject, packed, size, &options, ctl_deadline(ctl), &msg, &err);
        free(packed);
        if (r < 0)
                /* It is the verb's word that is no subject or no peer. */
                return ctl_error(ctl, r == -EINVAL || r == -ENXIO ? ctl_word(ctl, 0) : subject, r, &err);
        size_t len;
        const void *data = ramal_msg_data(msg, &len);
        *reply = protobuf_c_message_unpack(descriptor, NULL, len, data);
        ramal_msg_unref(msg);
        if (!*reply)
                return ctl_fail(ctl, EXIT_UNAVAILABLE, "the broker's answer cannot be read: is it of another version?");
        return 0;
}

void api_free(ProtobufCMessage *message) {
        if (message)
                protobuf_c_message_free_unpacked(message, NULL);
}

int api_print_table(const struct ctl *ctl, struct table *table) {
        int r = table ? table_print(table, stdout, table_width(stdout)) : -ENOMEM;
        table_free(table);
        return r < 0 ? ctl_error(ctl, NULL, r, NULL) : EXIT_OK;
}

/* Do uids and pids mean the same here as where the broker runs? */
static bool same_machine(const struct ctl *ctl) {
        return strncmp(ramal_conn_address(ctl->conn), "unix:", 5) == 0;
}

const char *api_user(const struct ctl *ctl, char text[API_TEXT], uint32_t uid) {
        const struct passwd *user = same_machine(ctl) ? getpwuid(uid) : NULL;
        if (user)
                snprintf(text, API_TEXT, "%s", user->pw_name);
        else
                snprintf(text, API_TEXT, "%" PRIu32, uid);
        return text;
}

const char *api_peer_user(const struct ctl *ctl, char text[API_TEXT], const Ramal__Api__V1__Peer *peer) {
        if (peer->local)
                return api_user(ctl, text, peer->uid);
        snprintf(text, API_TEXT, "%s%s%s", *peer->identity ? "(" : "", peer->identity, *peer->identity ? ")" : "");
        return text;
}

const char *api_process(const struct ctl *ctl, char text[API_TEXT], const Ramal__Api__V1__Peer *peer) {
        char path[64];
        struct stat about;
        text[0] = 0;
        if (!peer->local || peer->pid == 0 || !same_machine(ctl))
                return text;
        /* The pid may have been given to another process since, and is another one in another pid namespace: at least
         * the uid must fit. */
        snprintf(path, sizeof(path), "/proc/%" PRIu32, peer->pid);
        if (stat(path, &about) < 0 || about.st_uid != peer->uid)
                return text;
        snprintf(path, sizeof(path), "/proc/%" PRIu32 "/comm", peer->pid);
        FILE *file = fopen(path, "re");
        if (!file)
                return text;
        if (!fgets(text, API_TEXT, file))
                text[0] = 0;
        fclose(file);
        text[strcspn(text, "\n")] = 0;
        return text;
}

static time_t started(uint64_t age_us) {
        return time(NULL) - (time_t)(age_us / 1000000);
}

const char *api_since(char text[API_TEXT], uint64_t age_us) {
        time_t then = started(age_us), now = time(NULL);
        struct tm a, b;
        if (!localtime_r(&then, &a) || !localtime_r(&now, &b))
                return strcpy(text, "");
        bool today = a.tm_year == b.tm_year && a.tm_yday == b.tm_yday;
        strftime(text, API_TEXT, today ? "%H:%M:%S" : "%Y-%m-%d %H:%M", &a);
        return text;
}

char *api_names(const Ramal__Api__V1__Peer *peer) {
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        if (!out)
                return NULL;
        for (size_t i = 0; i < peer->n_names; i++)
                fprintf(out, "%s%s", i > 0 ? "," : "", peer->names[i]);
        if (fclose(out) != 0) {
                free(text);
                return NULL;
        }
        return text;
}

void api_json_peer(const struct ctl *ctl, struct json *json, const Ramal__Api__V1__Peer *peer) {
        char text[API_TEXT];
        time_t then = started(peer->age_us);
        struct tm utc;
        json_number(json, "id", peer->id);
        json_text(json, "app", peer->app);
        json_text(json, "library", peer->library);
        json_open_array(json, "names");
        for (size_t i = 0; i < peer->n_names; i++)
                json_text(json, NULL, peer->names[i]);
        json_end(json);
        json_bool(json, "local", peer->local);
        if (peer->local) {
                json_number(json, "pid", peer->pid);
                json_text(json, "process", api_process(ctl, text, peer));
                json_text(json, "user", api_user(ctl, text, peer->uid));
                json_number(json, "uid", peer->uid);
                json_number(json, "gid", peer->gid);
                json_open_array(json, "groups");
                for (size_t i = 0; i < peer->n_groups; i++)
                        json_number(json, NULL, peer->groups[i]);
                json_end(json);
        } else {
                json_text(json, "identity", peer->identity);
        }
        json_text(json, "address", peer->address);
        if (gmtime_r(&then, &utc) && strftime(text, API_TEXT, "%Y-%m-%dT%H:%M:%SZ", &utc) > 0)
                json_text(json, "since", text);
        json_number(json, "age_us", peer->age_us);
        json_number(json, "interests", peer->interests);
        json_number(json, "queued_messages", peer->queued_messages);
        json_number(json, "queued_bytes", peer->queued_bytes);
}
