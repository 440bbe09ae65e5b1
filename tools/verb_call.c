/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "input.h"
#include "show.h"

enum { CALL_RAW, CALL_FILE, CALL_HEADER, CALL_TYPE, CALL_KEY };

static const struct option_def options[] = {
        [CALL_RAW] = {"raw", 0, OPTION_FLAG, NULL, "print the reply's bytes and nothing else, no newline either", NULL},
        [CALL_FILE] = OPTION_DEF_FILE,
        [CALL_HEADER] = OPTION_DEF_HEADER,
        [CALL_TYPE] = OPTION_DEF_TYPE,
        [CALL_KEY] = OPTION_DEF_KEY,
};

static void show(const struct ctl *ctl, const ramal_msg *reply, bool more) {
        if (ctl->json) {
                struct json json = json_on(stdout);
                json_open_object(&json, NULL);
                json_bool(&json, "more", more);
                show_json(&json, reply);
                json_end(&json);
        } else if (ctl->values[CALL_RAW].given) {
                show_raw(ctl, reply);
        } else {
                show_payload(ctl, reply, TEXT_LINES);
        }
}

/* An error of the service's own is data, too: scripts that read JSON want its code. */
static int application_error(const struct ctl *ctl, const ramal_msg *reply, const ramal_error *err) {
        if (ctl->json) {
                struct json json = json_on(stdout);
                json_open_object(&json, NULL);
                json_open_object(&json, "error");
                json_number(&json, "code", err->remote);
                json_text(&json, "text", err->message);
                size_t len = 0;
                const void *data = reply ? ramal_msg_data(reply, &len) : NULL;
                if (len > 0)
                        json_bytes(&json, "payload", data, len);
                json_end(&json);
                json_end(&json);
        }
        return ctl_error(ctl, ctl->words[0], -EREMOTEIO, err);
}

/* Prints the replies as they come. */
static int take_replies(const struct ctl *ctl, ramal_call *call) {
        for (;;) {
                ramal_error err = {.code = 0};
                ramal_msg *reply = NULL;
                int r = ramal_call_next(call, RAMAL_NEVER, &reply, &err);
                int status = EXIT_OK;
                if (r >= 0)
                        show(ctl, reply, r == RAMAL_MORE);
                else if (r == -EREMOTEIO)
                        status = application_error(ctl, reply, &err);
                else
                        status = ctl_error(ctl, ctl->words[0], r, &err);
                ramal_msg_unref(reply);
                if (r != RAMAL_MORE || ctl_flush() < 0)
                        return status;
        }
}

static int call_subject(struct ctl *ctl, const struct payload *payload, const ramal_header *headers) {
        ramal_request_options with = {
                .size = sizeof(with),
                .type = ctl->values[CALL_TYPE].text,
                .headers = headers,
                .header_count = ctl->values[CALL_HEADER].count,
                .key = ctl->values[CALL_KEY].text,
        };
        ramal_call *call = NULL;
        int r = ramal_request_async_with(ctl->conn, ctl->words[0], payload->data, payload->len, &with,
                                         ctl_deadline(ctl), NULL, NULL, &call);
        if (r < 0)
                return ctl_error(ctl, ctl->words[0], r, ramal_conn_error(ctl->conn));
        int status = take_replies(ctl, call);
        ramal_call_cancel(call);
        return status;
}

static int run(struct ctl *ctl) {
        struct payload payload = {.data = ""};
        ramal_header *headers;
        if (ctl->json && ctl->values[CALL_RAW].given)
                return ctl_usage(ctl, "--json or --raw, not both");
        int status = input_headers(ctl, &ctl->values[CALL_HEADER], &headers);
        if (status == 0)
                status = ctl_connect(ctl, 0);
        if (status == 0)
                status = input_payload(ctl, ctl_word(ctl, 1), &ctl->values[CALL_FILE], false, &payload);
        if (status == 0)
                status = call_subject(ctl, &payload, headers);
        input_free(&payload);
        free(headers);
        return status;
}

const struct verb verb_call = {
        .name = "call",
        .words = "SUBJECT [DATA]",
        .summary = "ask a service for an answer",
        .about = "Calls SUBJECT and prints the reply, or the replies as they come where the service streams them,\n"
                 "each ended by a newline. DATA '-' is stdin; without DATA and --file the request is empty.\n"
                 "An error of the service's own goes to stderr, and the exit status is 1. That nobody serves SUBJECT,\n"
                 "or that the service died, is known at once: 69. --timeout is the call's deadline: 75.\n"
                 "--json: an object a reply: {\"more\", \"sender\", \"seq\", \"type\", \"headers\", \"payload\"}, or\n"
                 "\"payload_base64\" where it is not UTF-8; for an error of the service\n"
                 "{\"error\":{\"code\", \"text\"}}.\n",
        VERB_OPTIONS(options),
        .words_min = 1,
        .words_max = 2,
        .word = {WORD_SUBJECT, WORD_OTHER},
        .run = run,
};
