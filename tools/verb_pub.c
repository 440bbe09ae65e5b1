/* SPDX-License-Identifier: MIT */
/* Every message is published with a receipt: so the command knows, before it ends, that the broker has it and how many
 * got it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "input.h"
#include "json.h"
#include "text.h"

enum {
        PUB_FILE,
        PUB_COUNT,
        PUB_EVERY,
        PUB_RECEIPT,
        PUB_NEED_RECEIVER,
        PUB_NO_WAIT,
        PUB_TTL,
        PUB_KEY,
        PUB_HEADER,
        PUB_TYPE
};

static const struct option_def options[] = {
        [PUB_FILE] = OPTION_DEF_FILE,
        [PUB_COUNT] = {"count", 'n', OPTION_COUNT, "N", "publish N times (1; with --every: until Ctrl-C)", NULL},
        [PUB_EVERY] = {"every", 'e', OPTION_TIME, "TIME", "publish once every TIME, as 200ms", NULL},
        [PUB_RECEIPT] = {"receipt", 'r', OPTION_FLAG, NULL, "print for each message how many got it", NULL},
        [PUB_NEED_RECEIVER] = {"need-receiver", 0, OPTION_FLAG, NULL, "end with 69 at once where nobody listens", NULL},
        [PUB_NO_WAIT] = {"no-wait", 0, OPTION_FLAG, NULL, "end with 75 where receivers hold us back (--overflow block)",
                         NULL},
        [PUB_TTL] = {"ttl", 0, OPTION_TIME, "TIME", "nobody gets a message that is older than TIME, as 500ms", NULL},
        [PUB_KEY] = OPTION_DEF_KEY,
        [PUB_HEADER] = OPTION_DEF_HEADER,
        [PUB_TYPE] = OPTION_DEF_TYPE,
};

/* The broker is not read while more than 256 KiB of its answers wait for us; this many are far below. */
enum { UNANSWERED_MAX = 1024, CORK = 64 };

struct pub {
        struct ctl *ctl;
        const char *subject;
        uint64_t sent, answered, unheard;
        int code;     /* the first thing that went wrong, a negative errno */
        bool expired; /* it was -ETIMEDOUT of --ttl */
        ramal_error error;
};

static void note(struct pub *pub, uint64_t publish, uint64_t receivers) {
        pub->answered++;
        pub->unheard += receivers == 0;
        if (!pub->ctl->values[PUB_RECEIPT].given)
                return;
        if (pub->ctl->json) {
                struct json json = json_on(stdout);
                json_open_object(&json, NULL);
                json_number(&json, "publish", publish);
                json_text(&json, "subject", pub->subject);
                json_number(&json, "receivers", receivers);
                json_end(&json);
        } else {
                text_print(stdout, pub->subject, strlen(pub->subject), TEXT_LINE);
                printf(" %" PRIu64 "\n", receivers);
        }
}

static void on_receipt(ramal_conn *conn, const ramal_receipt *receipt, void *user) {
        struct pub *pub = user;
        (void)conn;
        if (!receipt->error) {
                note(pub, receipt->publish, receipt->receivers);
                return;
        }
        pub->answered++;
        if (pub->code == 0) {
                pub->code = receipt->error->code;
                pub->error = *receipt->error;
        }
}

/* Waits for one callback, and passes on what has gone wrong. */
static int turn(struct pub *pub, uint64_t deadline) {
        int r = ramal_wait(pub->ctl->conn, deadline);
        if (r >= 0 && pub->code < 0)
                return pub->code;
        return r;
}

static bool stopped(const struct pub *pub) {
        return pub->code < 0 || (pub->unheard > 0 && pub->ctl->values[PUB_NEED_RECEIVER].given);
}

/* Waits until no more than that are unanswered. */
static int settle(struct pub *pub, uint64_t unanswered) {
        uint64_t deadline = ctl_deadline(pub->ctl);
        int r = 1;
        while (r > 0 && pub->sent - pub->answered > unanswered)
                r = turn(pub, deadline);
        return r > 0 ? 0 : r < 0 ? r : -ETIMEDOUT;
}

/* After -ETIMEDOUT: was it --ttl? */
static bool is_over(struct pub *pub, const ramal_publish_options *with) {
        pub->expired = with->expires && ramal_now() >= with->expires;
        return pub->expired;
}

/* Receivers may hold us back for long; but a broker that does not answer at all is not waited for. */
static int wait_and_publish(struct pub *pub, const struct payload *payload, const ramal_publish_options *with) {
        ramal_conn *conn = pub->ctl->conn;
        uint64_t patience = ctl_patience(pub->ctl);
        int room = ramal_publish_with(conn, pub->subject, payload->data, payload->len, with);
        if (room != -EAGAIN)
                return room;
        /* It may take long: what is known so far is printed before. */
        int heard = settle(pub, 0);
        if (heard == 0)
                heard = ctl_flush();
        while (heard == 0) {
                uint64_t soon = ctl_deadline(pub->ctl);
                int r = ramal_publish_block(conn, pub->subject, payload->data, payload->len, with,
                                            soon < patience ? soon : patience, NULL);
                if (r != -ETIMEDOUT || pub->code < 0)
                        return pub->code < 0 ? pub->code : r;
                if (is_over(pub, with) || ramal_now() >= patience)
                        return r;
                heard = ramal_sync(conn, ctl_deadline(pub->ctl));
        }
        return heard;
}

static void set_expiry(const struct pub *pub, ramal_publish_options *with) {
        const struct option_value *ttl = &pub->ctl->values[PUB_TTL];
        uint64_t now = ramal_now();
        if (ttl->given)
                with->expires = ttl->number < RAMAL_NEVER - now ? now + ttl->number : RAMAL_NEVER;
}

/* Publishes one message; where there is no room, waits for some. */
static int publish(struct pub *pub, const struct payload *payload, ramal_publish_options *with) {
        int r = settle(pub, UNANSWERED_MAX - 1);
        if (r < 0)
                return r;
        set_expiry(pub, with);
        if (pub->ctl->values[PUB_NO_WAIT].given)
                r = ramal_publish_with(pub->ctl->conn, pub->subject, payload->data, payload->len, with);
        else
                r = wait_and_publish(pub, payload, with);
        pub->sent += r == 0;
        return r;
}

/* Sleeps until `next` and hears the answers meanwhile. */
static int pause_until(struct pub *pub, uint64_t next) {
        int r = 0;
        while (r >= 0 && !stopped(pub) && ramal_now() < next) {
                r = ctl_flush();
                if (r == 0)
                        r = turn(pub, next);
        }
        return r < 0 ? r : 0;
}

static int rest(struct pub *pub, uint64_t count, const struct payload *payload, ramal_publish_options *with) {
        const struct option_value *every = &pub->ctl->values[PUB_EVERY];
        uint64_t next = ramal_now();
        int r = 0;
        while (r == 0 && !stopped(pub) && pub->sent < count) {
                if (every->given) {
                        next += every->number;
                        r = pause_until(pub, next);
                        if (r == 0 && !stopped(pub))
                                r = publish(pub, payload, with);
                        continue;
                }
                /* In bunches: a system call for each would be slow. */
                ramal_cork(pub->ctl->conn);
                for (int i = 0; r == 0 && i < CORK && pub->sent < count && !stopped(pub); i++)
                        r = publish(pub, payload, with);
                int sent = ramal_uncork(pub->ctl->conn);
                r = r == 0 ? sent : r;
        }
        return r;
}

/* The first message is waited for: it finds a bad subject, or one that is not allowed, before the rest is sent. */
static int publish_all(struct pub *pub, const struct payload *payload, ramal_publish_options *with) {
        const struct option_value *count = &pub->ctl->values[PUB_COUNT];
        uint64_t total = count->given ? count->number : pub->ctl->values[PUB_EVERY].given ? UINT64_MAX : 1;
        uint64_t receivers = 0;
        set_expiry(pub, with);
        int r = ramal_publish_wait(pub->ctl->conn, pub->subject, payload->data, payload->len, with,
                                   ctl_deadline(pub->ctl), &receivers, &pub->error);
        if (r == -ETIMEDOUT)
                is_over(pub, with);
        if (r < 0)
                return r;
        pub->sent = 1;
        note(pub, ramal_conn_published(pub->ctl->conn), receivers);
        r = rest(pub, total, payload, with);
        /* What was taken is answered, though there was no room for more. */
        int heard = r == 0 || r == -EAGAIN || r == -ETIMEDOUT ? settle(pub, 0) : 0;
        if (pub->code < 0)
                return pub->code;
        return r < 0 ? r : heard;
}

static int verdict(const struct pub *pub, int r) {
        if (r < 0 && r != -EINTR && ferror(stdout))
                r = 0; /* ctl_close() says it */
        if (r < 0 && pub->expired)
                return ctl_fail(pub->ctl, EXIT_LATER, "%s: expired before there was room for it (--ttl)", pub->subject);
        if (r < 0 && r != -EINTR)
                return ctl_error(pub->ctl, pub->subject, r, pub->error.code == r ? &pub->error : NULL);
        if (pub->unheard > 0) {
                if (pub->sent == 1)
                        ctl_say(pub->ctl, "%s: nobody listens", pub->subject);
                else
                        ctl_say(pub->ctl, "%s: nobody listened to %" PRIu64 " of %" PRIu64 " messages", pub->subject,
                                pub->unheard, pub->answered);
        }
        if (r < 0)
                return ctl_exit_status(r);
        return pub->unheard > 0 && pub->ctl->values[PUB_NEED_RECEIVER].given ? EXIT_UNAVAILABLE : EXIT_OK;
}

static int run(struct ctl *ctl) {
        struct payload payload = {.data = ""};
        ramal_header *headers;
        int status = input_headers(ctl, &ctl->values[PUB_HEADER], &headers);
        if (status == 0)
                status = ctl_connect(ctl, 0);
        if (status == 0)
                status = input_payload(ctl, ctl_word(ctl, 1), &ctl->values[PUB_FILE], true, &payload);
        if (status == 0) {
                struct pub pub = {.ctl = ctl, .subject = ctl->words[0]};
                ramal_publish_options with = {
                        .size = sizeof(with),
                        .type = ctl->values[PUB_TYPE].text,
                        .headers = headers,
                        .header_count = ctl->values[PUB_HEADER].count,
                        .key = ctl->values[PUB_KEY].text,
                        .on_receipt = on_receipt,
                        .user = &pub,
                };
                status = verdict(&pub, publish_all(&pub, &payload, &with));
                /* No receipt may come after `pub` is gone. */
                status = ctl_close(ctl, status);
        }
        input_free(&payload);
        free(headers);
        return status;
}

const struct verb verb_pub = {
        .name = "pub",
        .words = "SUBJECT [DATA]",
        .summary = "publish a message",
        .about = "Publishes DATA on SUBJECT. DATA '-' is stdin; without DATA and --file it is stdin, too, unless\n"
                 "that is a terminal: then the message is empty. The bytes go as they are, a newline at the end\n"
                 "included.\n"
                 "Ends when the broker has answered. That nobody listens is said on stderr, and is no error\n"
                 "without --need-receiver.\n"
                 "Where receivers would rather have us wait than lose anything ('ramal sub --overflow block') it\n"
                 "waits: for --timeout, else as long as it takes.\n"
                 "--json: with --receipt an object a message: {\"publish\":1, \"subject\":..., \"receivers\":2}.\n",
        VERB_OPTIONS(options),
        .words_min = 1,
        .words_max = 2,
        .word = {WORD_SUBJECT, WORD_OTHER},
        .run = run,
};
