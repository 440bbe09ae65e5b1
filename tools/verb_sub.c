/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "json.h"
#include "listen.h"
#include "show.h"

enum { SUB_COUNT, SUB_GROUP, SUB_POLICY, SUB_OVERFLOW, SUB_WINDOW, SUB_WINDOW_MESSAGES, SUB_RAW, SUB_VERBOSE };

/* In the order of ramal_overflow. */
static const char *const overflows[] = {"drop_old", "drop_new", "latest", "evict", "block", NULL};

static const struct option_def options[] = {
        [SUB_COUNT] = {"count", 'n', OPTION_COUNT, "N", "end after N messages", NULL},
        [SUB_GROUP] = {"group", 'g', OPTION_TEXT, "GROUP", "share the messages with the other members of GROUP", NULL},
        [SUB_POLICY] = {"policy", 0, OPTION_CHOICE, "POLICY",
                        "who of the group gets a message: least_pending,\nround_robin, primary, random or key",
                        listen_policies},
        [SUB_OVERFLOW] =
                {"overflow", 0, OPTION_CHOICE, "RULE",
                 "what goes when the window is full: drop_old,\ndrop_new, latest, evict; or block: publishers wait",
                 overflows},
        [SUB_WINDOW] = {"window", 0, OPTION_SIZE, "BYTES", "what the broker keeps for us, as 64K (8M)", NULL},
        [SUB_WINDOW_MESSAGES] = {"window-messages", 0, OPTION_COUNT, "N", "the same in messages (65536)", NULL},
        [SUB_RAW] = {"raw", 0, OPTION_FLAG, NULL, "the payloads alone, nothing between them", NULL},
        [SUB_VERBOSE] = {"verbose", 'v', OPTION_FLAG, NULL,
                         "begin each line with the subject, in any case;\nsay on stderr when it listens", NULL},
};

struct sub {
        struct ctl *ctl;
        ramal_sub **subs;
        size_t count;
        uint64_t left; /* messages to go, UINT64_MAX: no end */
        bool subjects; /* lines begin with the subject */
        bool ended;    /* an interest has */
        bool done;
};

static void cancel_all(struct sub *sub) {
        sub->done = true;
        for (size_t i = 0; i < sub->count; i++)
                sub->subs[i] = ramal_sub_cancel(sub->subs[i]);
}

static void on_message(ramal_conn *conn, const ramal_msg *msg, void *user) {
        struct sub *sub = user;
        (void)conn;
        if (sub->ctl->json) {
                struct json json = json_on(stdout);
                json_open_object(&json, NULL);
                json_text(&json, "subject", ramal_msg_subject(msg));
                show_json(&json, msg);
                json_end(&json);
        } else if (sub->ctl->values[SUB_RAW].given) {
                show_raw(sub->ctl, msg);
        } else {
                if (sub->subjects) {
                        text_print(stdout, ramal_msg_subject(msg), strlen(ramal_msg_subject(msg)), TEXT_LINE);
                        putchar(' ');
                }
                show_payload(sub->ctl, msg, TEXT_LINE);
        }
        if (sub->left != UINT64_MAX && --sub->left == 0)
                cancel_all(sub);
}

static void on_gap(ramal_conn *conn, const ramal_gap *gap, void *user) {
        struct sub *sub = user;
        (void)conn;
        if (!sub->ctl->json) {
                ctl_say(sub->ctl,
                        "%s: %" PRIu64 " messages of %" PRIu64 " bytes are missing between %" PRIu64 " and %" PRIu64
                        " (%s)",
                        gap->pattern, gap->count, gap->bytes, gap->first, gap->last, ramal_why_name(gap->why));
                return;
        }
        struct json json = json_on(stdout);
        json_open_object(&json, NULL);
        json_open_object(&json, "gap");
        json_number(&json, "first", gap->first);
        json_number(&json, "last", gap->last);
        json_number(&json, "count", gap->count);
        json_number(&json, "bytes", gap->bytes);
        json_text(&json, "why", ramal_why_name(gap->why));
        json_end(&json);
        if (sub->count > 1)
                json_text(&json, "pattern", gap->pattern);
        json_end(&json);
}

/* Its publishers do not wait for us any more. */
static void tell_demoted(const struct sub *sub, const ramal_sub_change *change) {
        const char *why = ramal_why_name(change->why);
        if (!sub->ctl->json) {
                ctl_say(sub->ctl,
                        "%s: too slow to hold its publishers back any longer: what does not fit is dropped now (%s)",
                        change->pattern, why);
                return;
        }
        struct json json = json_on(stdout);
        json_open_object(&json, NULL);
        json_open_object(&json, "demoted");
        json_text(&json, "why", why);
        json_end(&json);
        if (sub->count > 1)
                json_text(&json, "pattern", change->pattern);
        json_end(&json);
}

static void on_state(ramal_conn *conn, const ramal_sub_change *change, void *user) {
        struct sub *sub = user;
        (void)conn;
        if (change->demoted && change->why == RAMAL_WHY_STALLED)
                tell_demoted(sub, change);
        if (change->state != RAMAL_SUB_ENDED || sub->done)
                return;
        /* What was refused at first is told by ramal_sub_confirm(). */
        if (change->before != RAMAL_SUB_ASKED) {
                ctl_say(sub->ctl, "%s: the subscription has ended (%s)", change->pattern,
                        change->error ? change->error->message : ramal_why_name(change->why));
                sub->ended = true;
        }
}

static int subscribe(struct sub *sub) {
        struct ctl *ctl = sub->ctl;
        bool grouped = ctl->values[SUB_GROUP].given;
        for (size_t i = 0; i < ctl->word_count; i++) {
                ramal_interest interest = {
                        .size = sizeof(interest),
                        .pattern = ctl->words[i],
                        .group = ctl->values[SUB_GROUP].text,
                        .policy = (ramal_policy)ctl->values[SUB_POLICY].number,
                        .window_bytes = ctl->values[SUB_WINDOW].number,
                        .window_messages = ctl->values[SUB_WINDOW_MESSAGES].number,
                        .overflow = (ramal_overflow)ctl->values[SUB_OVERFLOW].number,
                        /* A worker that takes N must not carry more away from the other members. */
                        .credit_messages = grouped && sub->left != UINT64_MAX ? 1 : 0,
                        .on_gap = on_gap,
                        .on_state = on_state,
                        .user = sub,
                };
                int r = ramal_subscribe_with(ctl->conn, &interest, on_message, sub, &sub->subs[i]);
                if (r < 0)
                        return ctl_error(ctl, ctl->words[i], r, ramal_conn_error(ctl->conn));
                sub->count++;
        }
        return listen_confirm(ctl, sub->subs, &sub->done, sub->count);
}

static int follow(struct sub *sub, uint64_t deadline) {
        struct ctl *ctl = sub->ctl;
        while (!sub->done && !sub->ended) {
                int r = ctl_flush();
                if (r < 0)
                        return r == -EINTR ? ctl_exit_status(r) : EXIT_OK; /* ctl_close() says it */
                r = ramal_wait(ctl->conn, deadline);
                if (r < 0)
                        return ctl_error(ctl, NULL, r, ramal_conn_error(ctl->conn));
                if (r == 0 && sub->left != UINT64_MAX)
                        return ctl_fail(ctl, EXIT_LATER,
                                        "%" PRIu64 " of %" PRIu64 " messages had not come when the time was over",
                                        sub->left, ctl->values[SUB_COUNT].number);
                if (r == 0)
                        return EXIT_OK;
        }
        return sub->ended ? EXIT_REFUSED : EXIT_OK;
}

static int run(struct ctl *ctl) {
        struct sub sub = {
                .ctl = ctl,
                .left = ctl->values[SUB_COUNT].given ? ctl->values[SUB_COUNT].number : UINT64_MAX,
                .subjects = ctl->values[SUB_VERBOSE].given || ctl->word_count > 1 || listen_is_pattern(ctl->words[0]),
        };
        if (ctl->values[SUB_POLICY].given && !ctl->values[SUB_GROUP].given)
                return ctl_usage(ctl, "--policy needs --group");
        if (ctl->values[SUB_RAW].given && (ctl->json || ctl->values[SUB_VERBOSE].given))
                return ctl_usage(ctl, "--raw goes neither with --json nor with --verbose");
        sub.subs = calloc(ctl->word_count, sizeof(ramal_sub *));
        if (!sub.subs)
                return ctl_error(ctl, NULL, -ENOMEM, NULL);
        uint64_t deadline = ctl_patience(ctl);
        int status = ctl_connect(ctl, CTL_RECONNECT);
        if (status == 0)
                status = subscribe(&sub);
        if (status == 0) {
                if (ctl->values[SUB_VERBOSE].given)
                        ctl_say(ctl, "listening on %s", ramal_conn_address(ctl->conn));
                status = follow(&sub, deadline);
        }
        status = ctl_close(ctl, status);
        free(sub.subs);
        return status;
}

const struct verb verb_sub = {
        .name = "sub",
        .words = "PATTERN...",
        .summary = "print what is published",
        .about =
                "Prints what is published on PATTERN, a message a line. A line begins with the subject where the\n"
                "patterns can match more than one: several PATTERNs, or one with * (one token) or > (the rest).\n"
                "On a terminal control characters are shown as \\n, \\x1b, ...; else the bytes come as they are.\n"
                "What was lost because we did not read fast enough is said on stderr, in order.\n"
                "The connection is made again when it is lost.\n"
                "--timeout: end after that time; with --count, 75 where not all N have come by then.\n"
                "--json: an object a line: {\"subject\", \"sender\", \"seq\", \"type\", \"headers\", \"payload\"}, or\n"
                "\"payload_base64\" where it is not UTF-8; and for what is missing\n"
                "{\"gap\":{\"first\", \"last\", \"count\", \"bytes\", \"why\"}}.\n"
                "With --overflow block nothing is lost: publishers of the same user wait for us. If we are too slow\n"
                "for that, too (the broker's limits.stall_max, 5s), it is drop_old from then on, and said: on stderr,\n"
                "or {\"demoted\":{\"why\":\"stalled\"}}.\n",
        VERB_OPTIONS(options),
        .words_min = 1,
        .words_max = SIZE_MAX,
        .word = {WORD_SUBJECT, WORD_SUBJECT},
        .run = run,
};
