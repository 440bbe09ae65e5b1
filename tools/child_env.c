/* SPDX-License-Identifier: MIT */
#include "child_env.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OURS "RAMAL_"
#define HEADER "RAMAL_HEADER_"

struct list {
        char **items;
        size_t count;
        bool failed;
};

/* Takes `text`. */
static void push(struct list *list, char *text) {
        char **items = text ? reallocarray(list->items, list->count + 2, sizeof(*items)) : NULL;
        if (!items) {
                free(text);
                list->failed = true;
                return;
        }
        list->items = items;
        items[list->count++] = text;
        items[list->count] = NULL;
}

__attribute__((format(printf, 2, 3))) static void add(struct list *list, const char *format, ...) {
        char *text = NULL;
        va_list args;
        va_start(args, format);
        int length = vasprintf(&text, format, args);
        va_end(args);
        push(list, length < 0 ? NULL : text);
}

static char upper(char c) {
        if (c >= 'a' && c <= 'z')
                return (char)(c - 'a' + 'A');
        return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ? c : '_';
}

static bool there(const struct list *list, const char *name, size_t length) {
        for (size_t i = 0; i < list->count; i++)
                if (strncmp(list->items[i], name, length) == 0 && list->items[i][length] == '=')
                        return true;
        return false;
}

static void add_header(struct list *list, const ramal_header *header) {
        const size_t prefix = strlen(HEADER), length = prefix + header->name_len;
        if (header->value_len > 0 && memchr(header->value, 0, header->value_len))
                return;
        char *text = malloc(length + 1 + header->value_len + 1);
        if (!text) {
                list->failed = true;
                return;
        }
        memcpy(text, HEADER, prefix);
        for (size_t i = 0; i < header->name_len; i++)
                text[prefix + i] = upper(header->name[i]);
        text[length] = '=';
        if (header->value_len > 0)
                memcpy(text + length + 1, header->value, header->value_len);
        text[length + 1 + header->value_len] = 0;
        if (there(list, text, length))
                free(text);
        else
                push(list, text);
}

static void add_sender(struct list *list, const ramal_sender *sender) {
        add(list, "RAMAL_PEER=%" PRIu64, sender->peer);
        if (sender->local) {
                add(list, "RAMAL_UID=%lu", (unsigned long)sender->uid);
                add(list, "RAMAL_GID=%lu", (unsigned long)sender->gid);
                add(list, "RAMAL_PID=%lu", (unsigned long)sender->pid);
        } else {
                add(list, "RAMAL_IDENTITY=%s", sender->identity);
        }
}

char **child_env_new(const ramal_req *req) {
        const ramal_msg *msg = ramal_req_msg(req);
        struct list list = {.items = NULL};
        if (!msg)
                return NULL;
        for (size_t i = 0; environ && environ[i]; i++)
                if (strncmp(environ[i], OURS, strlen(OURS)) != 0)
                        add(&list, "%s", environ[i]);
        add(&list, "RAMAL_ADDRESS=%s", ramal_conn_address(ramal_req_conn(req)));
        add(&list, "RAMAL_SUBJECT=%s", ramal_msg_subject(msg));
        add(&list, "RAMAL_TYPE=%s", ramal_msg_type(msg));
        size_t size, cursor = 0;
        ramal_msg_data(msg, &size);
        add(&list, "RAMAL_SIZE=%zu", size);
        add_sender(&list, ramal_msg_sender(msg));
        uint64_t deadline = ramal_req_deadline(req), now = ramal_now();
        if (deadline != RAMAL_NEVER)
                add(&list, "RAMAL_TIME_LEFT_MS=%" PRIu64, deadline > now ? (deadline - now) / 1000000 : 0);
        ramal_header header;
        while (ramal_msg_header_next(msg, &cursor, &header))
                add_header(&list, &header);
        return list.failed ? child_env_free(list.items) : list.items;
}

char **child_env_free(char **env) {
        for (size_t i = 0; env && env[i]; i++)
                free(env[i]);
        free(env);
        return NULL;
}
