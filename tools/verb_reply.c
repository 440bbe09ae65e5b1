/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "exec.h"
#include "input.h"
#include "listen.h"
#include "text.h"

enum {
        REPLY_ECHO,
        REPLY_EXEC,
        REPLY_PARALLEL,
        REPLY_COUNT,
        REPLY_NAME,
        REPLY_GROUP,
        REPLY_POLICY,
        REPLY_FILE,
        REPLY_HEADER,
        REPLY_TYPE,
        REPLY_VERBOSE
};

static const struct option_def options[] = {
        [REPLY_ECHO] = {"echo", 0, OPTION_FLAG, NULL, "answer with the request's own payload", NULL},
        [REPLY_EXEC] = {"exec", 'x', OPTION_TEXT, "COMMAND", "answer with what COMMAND prints", NULL},
        [REPLY_PARALLEL] = {"parallel", 0, OPTION_COUNT, "N", "run at most N commands at once (8)", NULL},
        [REPLY_COUNT] = {"count", 'n', OPTION_COUNT, "N", "end after N requests", NULL},
        [REPLY_NAME] = {"name", 0, OPTION_FLAG, NULL, "claim SUBJECT as a well-known name: serves it and\nall below it",
                        NULL},
        [REPLY_GROUP] = {"group", 'g', OPTION_TEXT, "GROUP", "share the requests with the other members of GROUP",
                         NULL},
        [REPLY_POLICY] = {"policy", 0, OPTION_CHOICE, "POLICY",
                          "who of the group gets a request: least_pending,\nround_robin or primary", listen_policies},
        [REPLY_FILE] = OPTION_DEF_FILE,
        [REPLY_HEADER] = OPTION_DEF_HEADER,
        [REPLY_TYPE] = OPTION_DEF_TYPE,
        [REPLY_VERBOSE] = {"verbose", 'v', OPTION_FLAG, NULL, "say on stderr when it serves, and each request", NULL},
};

struct reply {
        struct ctl *ctl;
        ramal_sub *sub;
        uint64_t left; /* requests to go, UINT64_MAX: no end */
        bool done;     /* takes no more requests */
        bool ended;    /* the service has, against our will */
        struct payload payload;
        ramal_reply_options with;
        struct exec *exec;
};

static void tell(const struct reply *reply, const ramal_msg *msg) {
        size_t len;
        if (!msg || !reply->ctl->values[REPLY_VERBOSE].given)
                return;
        ramal_msg_data(msg, &len);
        ctl_say(reply->ctl, "%s: %zu bytes from peer %" PRIu64, ramal_msg_subject(msg), len,
                ramal_msg_sender(msg)->peer);
}

static void on_request(ramal_conn *conn, ramal_req *req, void *user) {
        struct reply *reply = user;
        const ramal_msg *msg = ramal_req_msg(req);
        (void)conn;
        tell(reply, msg);
        if (reply->exec) {
                exec_request(reply->exec, req);
        } else if (reply->ctl->values[REPLY_ECHO].given) {
                size_t len = 0;
                const void *data = msg ? ramal_msg_data(msg, &len) : NULL;
                if (msg)
                        ramal_reply_with(req, data, len, &reply->with);
                else
                        ramal_fail(req, 1, "no memory");
        } else {
                ramal_reply_with(req, reply->payload.data, reply->payload.len, &reply->with);
        }
        if (reply->left != UINT64_MAX && --reply->left == 0) {
                reply->done = true;
                reply->sub = ramal_sub_cancel(reply->sub);
        }
}

static void on_state(ramal_conn *conn, const ramal_sub_change *change, void *user) {
        struct reply *reply = user;
        (void)conn;
        if (reply->done)
                return;
        if (change->state == RAMAL_SUB_QUEUED)
                ctl_say(reply->ctl, "%s: in line, %" PRIu64 " come first", change->pattern, change->queued);
        else if (change->state == RAMAL_SUB_OWNER && change->before == RAMAL_SUB_QUEUED)
                ctl_say(reply->ctl, "%s: ours now", change->pattern);
        if (change->state == RAMAL_SUB_ENDED && change->before != RAMAL_SUB_ASKED) {
                ctl_say(reply->ctl, "%s: the service has ended (%s)", change->pattern,
                        change->error ? change->error->message : ramal_why_name(change->why));
                reply->ended = true;
        }
}

static int serve(struct reply *reply) {
        struct ctl *ctl = reply->ctl;
        ramal_interest interest = {
                .size = sizeof(interest),
                .pattern = ctl->words[0],
                .group = ctl->values[REPLY_GROUP].text,
                .policy = (ramal_policy)ctl->values[REPLY_POLICY].number,
                /* Whoever answers only N requests must not take more from the other members, or from the next one. */
                .credit_messages = reply->left != UINT64_MAX ? 1 : 0,
                .on_state = on_state,
                .user = reply,
        };
        int r = ctl->values[REPLY_NAME].given ? ramal_claim_with(ctl->conn, &interest, on_request, reply, &reply->sub)
                                              : ramal_serve_with(ctl->conn, &interest, on_request, reply, &reply->sub);
        if (r < 0)
                return ctl_error(ctl, ctl->words[0], r, ramal_conn_error(ctl->conn));
        int status = listen_confirm(ctl, &reply->sub, &reply->done, 1);
        if (status == 0 && ctl->values[REPLY_VERBOSE].given)
                ctl_say(ctl, "serving %s on %s", ctl->words[0], ramal_conn_address(ctl->conn));
        return status;
}

static int follow(struct reply *reply, uint64_t deadline) {
        struct ctl *ctl = reply->ctl;
        while (!reply->ended && (!reply->done || (reply->exec && exec_busy(reply->exec)))) {
                int r = reply->exec ? exec_turn(reply->exec, deadline) : ramal_wait(ctl->conn, deadline);
                if (r == -ETIMEDOUT || (r == 0 && !reply->exec)) {
                        if (reply->left == UINT64_MAX)
                                return EXIT_OK;
                        return ctl_fail(ctl, EXIT_LATER,
                                        "%" PRIu64 " of %" PRIu64 " requests had not come when the time was over",
                                        reply->left, ctl->values[REPLY_COUNT].number);
                }
                if (r < 0)
                        return ctl_error(ctl, NULL, r, ramal_conn_error(ctl->conn));
        }
        if (reply->ended)
                return EXIT_REFUSED;
        /* The last replies are on their way; nobody may lose one because we leave. */
        int r = ramal_drain(ctl->conn, ctl_deadline(ctl));
        return r < 0 && r != -ESHUTDOWN ? ctl_error(ctl, NULL, r, ramal_conn_error(ctl->conn)) : EXIT_OK;
}

static int start(struct reply *reply) {
        struct ctl *ctl = reply->ctl;
        const struct option_value *values = ctl->values;
        int status = ctl_connect(ctl, CTL_RECONNECT);
        if (status == 0 && !values[REPLY_ECHO].given && !values[REPLY_EXEC].given)
                status = input_payload(ctl, ctl_word(ctl, 1), &values[REPLY_FILE], false, &reply->payload);
        if (status == 0 && values[REPLY_EXEC].given) {
                size_t parallel = values[REPLY_PARALLEL].given ? (size_t)values[REPLY_PARALLEL].number : EXEC_PARALLEL;
                int r = exec_new(ctl, values[REPLY_EXEC].text, parallel, &reply->with, &reply->exec);
                if (r < 0)
                        status = ctl_fail(ctl, EXIT_LATER, "cannot prepare for commands: %s", strerror(-r));
        }
        return status;
}

static int check(const struct ctl *ctl) {
        const struct option_value *values = ctl->values;
        int ways = (ctl_word(ctl, 1) != NULL) + values[REPLY_FILE].given + values[REPLY_ECHO].given +
                   values[REPLY_EXEC].given;
        if (ways == 0)
                return ctl_usage(ctl, "say what to answer: DATA, --file, --echo or --exec");
        if (ways > 1)
                return ctl_usage(ctl, "DATA, --file, --echo or --exec, only one of them");
        if (values[REPLY_PARALLEL].given && !values[REPLY_EXEC].given)
                return ctl_usage(ctl, "--parallel needs --exec");
        if (values[REPLY_PARALLEL].number > EXEC_PARALLEL_MAX)
                return ctl_usage(ctl, "--parallel is at most %d", EXEC_PARALLEL_MAX);
        if (values[REPLY_NAME].given && (values[REPLY_GROUP].given || values[REPLY_POLICY].given))
                return ctl_usage(ctl, "a name is a group of its own: --name without --group and --policy");
        if (values[REPLY_POLICY].given && !values[REPLY_GROUP].given)
                return ctl_usage(ctl, "--policy needs --group");
        return 0;
}

static int run(struct ctl *ctl) {
        struct reply reply = {
                .ctl = ctl,
                .left = ctl->values[REPLY_COUNT].given ? ctl->values[REPLY_COUNT].number : UINT64_MAX,
                .payload = {.data = ""},
        };
        ramal_header *headers = NULL;
        int status = check(ctl);
        if (status == 0)
                status = input_headers(ctl, &ctl->values[REPLY_HEADER], &headers);
        reply.with = (ramal_reply_options){
                .size = sizeof(reply.with),
                .type = ctl->values[REPLY_TYPE].text,
                .headers = headers,
                .header_count = ctl->values[REPLY_HEADER].count,
        };
        uint64_t deadline = ctl_patience(ctl);
        if (status == 0)
                status = start(&reply);
        if (status == 0)
                status = serve(&reply);
        if (status == 0)
                status = follow(&reply, deadline);
        status = ctl_close(ctl, status);
        exec_free(reply.exec);
        input_free(&reply.payload);
        free(headers);
        return status;
}

const struct verb verb_reply = {
        .name = "reply",
        .words = "SUBJECT [DATA]",
        .summary = "serve a subject: answer calls",
        .about = "Serves SUBJECT (or a pattern, or with --name a well-known name) and answers each request with DATA\n"
                 "('-': stdin), a file, its own payload, or the output of a command, until Ctrl-C or --count.\n"
                 "--exec runs /bin/sh -c COMMAND for each request. Its stdin is the payload; in its environment are\n"
                 "RAMAL_SUBJECT, RAMAL_TYPE, RAMAL_SIZE, RAMAL_PEER, RAMAL_UID, RAMAL_GID, RAMAL_PID (or\n"
                 "RAMAL_IDENTITY for a caller over TCP), RAMAL_TIME_LEFT_MS, RAMAL_HEADER_<NAME> and RAMAL_ADDRESS.\n"
                 "Exit status 0: its stdout is the reply. Another: the caller gets an error with that code and the\n"
                 "first line of its stderr. When the caller gives up, the command is ended (SIGTERM, 1 s later\n"
                 "SIGKILL).\n"
                 "The connection is made again when it is lost. --timeout: end after that time; with --count, 75\n"
                 "where not all N requests have come by then.\n",
        VERB_OPTIONS(options),
        .words_min = 1,
        .words_max = 2,
        .word = {WORD_SUBJECT, WORD_OTHER},
        .run = run,
};
