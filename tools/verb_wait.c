/* SPDX-License-Identifier: MIT */
/* Subscribes first and asks then, so that nothing can come between the two; asks again only when something has
 * changed. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "api.h"
#include "listen.h"
#include "show.h"

enum { WAIT_NAME, WAIT_MESSAGE, WAIT_BROKER };

static const struct option_def options[] = {
        [WAIT_NAME] = {"name", 0, OPTION_FLAG, NULL, "only for an owner of the name", NULL},
        [WAIT_MESSAGE] = {"message", 'm', OPTION_FLAG, NULL, "only for a message", NULL},
        [WAIT_BROKER] = {"broker", 'b', OPTION_FLAG, NULL, "for the broker, too, where it is not there yet", NULL},
};

enum { MESSAGES, NAMES, PEERS, SUBS };

struct wait {
        struct ctl *ctl;
        const char *word;
        ramal_sub *subs[SUBS];
        size_t count;
        bool asking, again; /* a question is under way; and one more is to follow */
        bool done;
        int status;
};

static void finish(struct wait *wait) {
        wait->done = true;
        for (size_t i = 0; i < wait->count; i++)
                wait->subs[i] = ramal_sub_cancel(wait->subs[i]);
}

static void found_peer(struct wait *wait, const char *what, const char *how, uint64_t peer) {
        if (wait->done)
                return;
        if (wait->ctl->json) {
                struct json json = json_on(stdout);
                json_open_object(&json, NULL);
                json_text(&json, "subject", wait->word);
                json_number(&json, what, peer);
                json_end(&json);
        } else {
                text_print(stdout, wait->word, strlen(wait->word), TEXT_LINE);
                printf(" is %s by peer %" PRIu64 "\n", how, peer);
        }
        finish(wait);
}

static void on_owner(ramal_conn *conn, const char *name, uint64_t owner, void *user) {
        (void)conn;
        (void)name;
        if (owner != 0)
                found_peer(user, "owner", "owned", owner);
}

static void on_message(ramal_conn *conn, const ramal_msg *msg, void *user) {
        struct wait *wait = user;
        (void)conn;
        if (wait->done)
                return;
        if (wait->ctl->json) {
                struct json json = json_on(stdout);
                json_open_object(&json, NULL);
                json_text(&json, "subject", ramal_msg_subject(msg));
                show_json(&json, msg);
                json_end(&json);
        } else {
                text_print(stdout, ramal_msg_subject(msg), strlen(ramal_msg_subject(msg)), TEXT_LINE);
                putchar(' ');
                show_payload(wait->ctl, msg, TEXT_LINE);
        }
        finish(wait);
}

/* ---- who serves it? ---- */

static void ask(struct wait *wait);

static void on_who(ramal_conn *conn, int result, const ramal_msg *reply, const ramal_error *error, void *user) {
        struct wait *wait = user;
        (void)conn;
        wait->asking = false;
        if (wait->done)
                return;
        if (result == -ECONNRESET || result == -ENOTCONN) /* on_state() asks anew when we are back */
                return;
        if (result < 0) {
                wait->status = ctl_error(wait->ctl, wait->word, result, error);
                finish(wait);
                return;
        }
        size_t len;
        const void *data = ramal_msg_data(reply, &len);
        Ramal__Api__V1__WhoReply *who = ramal__api__v1__who_reply__unpack(NULL, len, data);
        if (who && who->n_call > 0)
                found_peer(wait, "server", "served", who->call[0]->peer);
        if (who)
                ramal__api__v1__who_reply__free_unpacked(who, NULL);
        if (wait->again && !wait->done)
                ask(wait);
}

static void ask(struct wait *wait) {
        wait->again = wait->asking;
        if (wait->asking)
                return;
        char subject[256];
        uint8_t packed[300];
        snprintf(subject, sizeof(subject), "%s", wait->word);
        Ramal__Api__V1__WhoRequest request;
        ramal__api__v1__who_request__init(&request);
        request.subject = subject;
        size_t size = ramal__api__v1__who_request__pack(&request, packed);
        int r = ramal_request_async(wait->ctl->conn, "$SYS.api.who", packed, size, ctl_deadline(wait->ctl), on_who,
                                    wait, NULL);
        wait->asking = r == 0;
        if (r < 0 && r != -ENOTCONN) {
                wait->status = ctl_error(wait->ctl, wait->word, r, NULL);
                finish(wait);
        }
}

static void on_event(ramal_conn *conn, const ramal_msg *msg, void *user) {
        struct wait *wait = user;
        (void)conn;
        (void)msg;
        if (!wait->done)
                ask(wait);
}

static void on_state(ramal_conn *conn, const ramal_sub_change *change, void *user) {
        struct wait *wait = user;
        (void)conn;
        if (change->state == RAMAL_SUB_ACTIVE && !wait->done)
                ask(wait);
}

/* ---- the verb ---- */

static int follow(struct wait *wait, const char *pattern, ramal_msg_fn fn, ramal_sub_state_fn state) {
        ramal_interest interest = {.size = sizeof(interest), .pattern = pattern, .on_state = state, .user = wait};
        int r = ramal_subscribe_with(wait->ctl->conn, &interest, fn, wait, &wait->subs[wait->count]);
        wait->count += r == 0;
        return r;
}

static int begin(struct wait *wait) {
        const struct option_value *values = wait->ctl->values;
        if (values[WAIT_NAME].given) {
                int r = ramal_watch_name(wait->ctl->conn, wait->word, on_owner, wait, &wait->subs[0]);
                wait->count = r == 0;
                return r;
        }
        int r = follow(wait, wait->word, on_message, NULL);
        /* A pattern, and what the broker itself publishes, cannot be served. */
        if (r < 0 || values[WAIT_MESSAGE].given || listen_is_pattern(wait->word) || wait->word[0] == '$')
                return r;
        /* The last of the two to be confirmed asks for the last time. */
        r = follow(wait, "$SYS.name.>", on_event, on_state);
        return r < 0 ? r : follow(wait, "$SYS.peer.>", on_event, on_state);
}

static int run(struct ctl *ctl) {
        struct wait wait = {.ctl = ctl, .word = ctl->words[0], .status = EXIT_OK};
        if (ctl->values[WAIT_NAME].given && ctl->values[WAIT_MESSAGE].given)
                return ctl_usage(ctl, "--name or --message, not both");
        uint64_t deadline = ctl_patience(ctl);
        int status = ctl_connect(ctl, CTL_RECONNECT | (ctl->values[WAIT_BROKER].given ? CTL_WAIT_BROKER : 0));
        if (status != 0)
                return status;
        int r = begin(&wait);
        if (r < 0)
                return ctl_close(ctl, ctl_error(ctl, wait.word, r, ramal_conn_error(ctl->conn)));
        status = listen_confirm(ctl, wait.subs, &wait.done, wait.count);
        while (status == 0 && !wait.done) {
                r = ramal_wait(ctl->conn, deadline);
                if (r == 0)
                        status = ctl_fail(ctl, EXIT_LATER, "%s: nothing there in time", wait.word);
                else if (r < 0)
                        status = ctl_error(ctl, NULL, r, ramal_conn_error(ctl->conn));
        }
        return ctl_close(ctl, status ? status : wait.status);
}

const struct verb verb_wait = {
        .name = "wait",
        .words = "NAME|SUBJECT",
        .summary = "wait until somebody is there, or a message",
        .about = "Waits until the first of these: somebody owns NAME, somebody serves SUBJECT, a message is\n"
                 "published on SUBJECT. A pattern, and what begins with $, is waited for as a message. Without\n"
                 "--timeout it waits for ever; with it the status is 75 when the time is over.\n"
                 "Says what came: \"NAME is owned by peer 7\", \"SUBJECT is served by peer 7\", or the subject and\n"
                 "payload of the message.\n"
                 "--json: {\"subject\", \"owner\"} with --name, {\"subject\", \"server\"}, or the message as\n"
                 "'sub' prints it.\n",
        VERB_OPTIONS(options),
        .words_min = 1,
        .words_max = 1,
        .word = {WORD_NAME, WORD_NAME},
        .run = run,
};
