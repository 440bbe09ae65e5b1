/* SPDX-License-Identifier: MIT */
/* Publishing, receipts, and what comes back as refused. */
#include "client/conn_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TYPE_BYTES_MAX 255u
#define KEY_BYTES_MAX 255u

int rml_check_subject(ramal_conn *conn, const char *subject, size_t *ret_len) {
        if (!subject)
                return rml_error(&conn->error, -EINVAL, "there is no subject");
        size_t len = strlen(subject);
        /* Most programs say the same subject again and again. */
        if (len == conn->last_subject_len && len > 0 && memcmp(subject, conn->last_subject, len) == 0) {
                *ret_len = len;
                return 0;
        }
        const char *why = rml_subject_check((struct rml_span){(const uint8_t *)subject, len}, RML_SUBJECT);
        if (why)
                return rml_error(&conn->error, -EINVAL, "not a subject: %s", why);
        memcpy(conn->last_subject, subject, len);
        conn->last_subject_len = len;
        *ret_len = len;
        return 0;
}

int rml_error_subject(const ramal_conn *conn, ramal_error *err, int r, const char *subject) {
        return rml_error(err, r, "%s: %s", subject ? subject : "(no subject)",
                         r == -EINVAL && rml_usable(conn) == 0 ? conn->error.message : ramal_strerror(r));
}

/* Why these headers cannot be sent: the broker would close the connection for them. */
static const char *check_headers(const ramal_header *headers, size_t count) {
        size_t bytes = 0;

        if (count > RML_HEADERS_MAX)
                return "more than 64 headers";
        if (count > 0 && !headers)
                return "header_count without headers";
        for (size_t i = 0; i < count; i++) {
                const ramal_header *header = &headers[i];
                if (!header->name || (!header->value && header->value_len > 0))
                        return "a header without a name or a value";
                struct rml_span name = {(const uint8_t *)header->name,
                                        header->name_len ? header->name_len : strlen(header->name)};
                if (name.len == 0 || name.len > 255 || !rml_utf8_valid(name))
                        return "a header's name is not 1 to 255 bytes of UTF-8";
                if (header->value_len > RML_HEADERS_BYTES_MAX)
                        return "headers of more than 8 KiB";
                bytes += name.len + header->value_len;
        }
        return bytes > RML_HEADERS_BYTES_MAX ? "headers of more than 8 KiB" : NULL;
}

int rml_check_envelope(ramal_conn *conn, const char *type, const ramal_header *headers, size_t count) {
        const char *why = check_headers(headers, count);

        if (type && (strlen(type) > TYPE_BYTES_MAX || !rml_utf8_valid(rml_span_of(type))))
                why = "the type is not at most 255 bytes of UTF-8";
        return why ? rml_error(&conn->error, -EINVAL, "%s", why) : 0;
}

int rml_check_key(ramal_conn *conn, const char *key) {
        if (key && (strlen(key) > KEY_BYTES_MAX || !rml_utf8_valid(rml_span_of(key))))
                return rml_error(&conn->error, -EINVAL, "the key is not at most 255 bytes of UTF-8");
        return 0;
}

/* A publish was taken. */
static void count(ramal_conn *conn, const struct rml_letter *letter) {
        conn->published++;
        conn->credit_used += letter->frame_bytes;
        conn->probe_bytes += letter->tail_bytes;
        if (conn->probe_bytes >= RML_PROBE_BYTES)
                rml_probe_now(conn, ramal_now());
}

int ramal_publish(ramal_conn *conn, const char *subject, const void *data, size_t len) {
        struct rml_letter letter = {.kind = RML_PUBLISH, .want = &conn->wants};
        int r = rml_usable(conn);

        if (r < 0)
                return r;
        r = rml_check_subject(conn, subject, &letter.subject.len);
        if (r < 0)
                return r;
        letter.subject.data = (const uint8_t *)subject;
        letter.payload = (struct rml_span){data, len};
        r = rml_out_letter(conn, &letter);
        if (r == 0)
                count(conn, &letter);
        return r;
}

/* receipt: NULL: none is asked for.  want: gets what is needed with -EAGAIN. */
static int publish(ramal_conn *conn, const char *subject, struct rml_span payload, const ramal_publish_options *options,
                   struct rml_receipt *receipt, struct rml_want *want) {
        struct rml_hop hop = {.key = rml_span_text(options->key)};
        struct rml_letter letter = {
                .kind = RML_PUBLISH,
                .hop = &hop,
                .type = rml_span_text(options->type),
                .payload = payload,
                .headers = options->headers,
                .header_count = options->header_count,
                .want = want,
        };
        int r = rml_check_subject(conn, subject, &letter.subject.len);

        if (r == 0)
                r = rml_check_envelope(conn, options->type, options->headers, options->header_count);
        if (r == 0)
                r = rml_check_key(conn, options->key);
        if (r < 0)
                return r;
        if (options->expires && options->expires != RAMAL_NEVER) {
                uint64_t now = ramal_now();
                if (options->expires <= now)
                        return -ETIMEDOUT;
                hop.time_left_us = rml_time_left_us(options->expires, now);
        }
        letter.subject.data = (const uint8_t *)subject;
        if (receipt) {
                letter.id = rml_ask(conn, &receipt->pending, RML_ASK_RECEIPT);
                hop.flags = RAMAL__V1__DATA_FLAG__DATA_FLAG_RECEIPT;
        }
        r = rml_out_letter(conn, &letter);
        if (r < 0) {
                if (receipt)
                        rml_ask_forget(conn, &receipt->pending);
                return r;
        }
        count(conn, &letter);
        if (receipt) {
                receipt->publish = receipt->pending.published = conn->published;
                rml_list_push_back(&conn->receipts, &receipt->link);
        }
        return 0;
}

/* Makes the receipt that is asked for. */
static int publish_once(ramal_conn *conn, const char *subject, struct rml_span payload,
                        const ramal_publish_options *options, struct rml_want *want) {
        struct rml_receipt *receipt = NULL;

        if (options->on_receipt) {
                receipt = calloc(1, sizeof(*receipt));
                if (!receipt)
                        return -ENOMEM;
                receipt->fn = options->on_receipt;
                receipt->user = options->user;
        }
        int r = publish(conn, subject, payload, options, receipt, want);
        if (r < 0)
                free(receipt);
        return r;
}

int ramal_publish_with(ramal_conn *conn, const char *subject, const void *data, size_t len,
                       const ramal_publish_options *given) {
        ramal_publish_options options;
        int r = rml_usable(conn);

        if (r == 0)
                r = RML_TAKE_OPTIONS(conn, &options, given);
        return r < 0 ? r : publish_once(conn, subject, (struct rml_span){data, len}, &options, &conn->wants);
}

/* ---- waiting for room ---- */

/* Room in the output comes by itself, as the broker always reads. Credit comes back when others read: not inside a
 * callback while these may be waiting for us. Returns the subscription for which they may be, or NULL. */
static const ramal_sub *in_the_way(const ramal_conn *conn, const struct rml_want *want) {
        bool lacking = want->credit > 0 && !rml_credit_fits(conn, want->credit);

        return lacking && conn->in_callback ? rml_credit_holder(conn) : NULL;
}

static void want_too(ramal_conn *conn, const struct rml_want *want) {
        if (conn->wants.room < want->room)
                conn->wants.room = want->room;
        if (conn->wants.credit < want->credit)
                conn->wants.credit = want->credit;
}

/* What is free we may not have been told, or not have read: the broker itself answers, whoever waits for whom. */
static int check_deadlock(ramal_conn *conn, const struct rml_want *want, uint64_t deadline, ramal_error *err) {
        int r = in_the_way(conn, want) ? ramal_sync(conn, deadline) : 0;
        const ramal_sub *holder = r == 0 ? in_the_way(conn, want) : NULL;

        if (!holder)
                return r;
        want_too(conn, want); /* on_writable says when to try again */
        return rml_error(err, -EDEADLK,
                         "no publish credit, and this callback must not wait for it: others may be waiting for our own "
                         "`block` subscription to '%s'",
                         holder->pattern);
}

/* Returns 0 when there is room; err is set where it is to say more than the number. */
static int wait_room(ramal_conn *conn, const struct rml_want *want, uint64_t deadline, ramal_error *err) {
        int r;

        do {
                r = check_deadlock(conn, want, deadline, err);
                if (r < 0)
                        return r;
                r = rml_credit_ask(conn);
                if (r == -ENOMEM)
                        return r;
                r = rml_block_for(conn, deadline, want);
                if (conn->closed)
                        return -ESHUTDOWN;
        } while (r == 0 && !rml_out_has_room(conn, want));
        return r == -ETIMEDOUT && rml_out_has_room(conn, want) ? 0 : r;
}

int ramal_publish_block(ramal_conn *conn, const char *subject, const void *data, size_t len,
                        const ramal_publish_options *given, uint64_t deadline, ramal_error *err) {
        ramal_publish_options options;
        ramal_error why; /* its message is written only with a code */
        int r = rml_usable(conn);

        if (r == 0)
                r = RML_TAKE_OPTIONS(conn, &options, given);
        if (r < 0)
                return rml_error_subject(conn, err, r, subject);
        why.code = 0;
        const struct rml_want *outer = conn->blocked;
        struct rml_want want = {0, 0};
        rml_enter(conn);
        while ((r = publish_once(conn, subject, (struct rml_span){data, len}, &options, &want)) == -EAGAIN ||
               r == -ENOTCONN) {
                conn->blocked = &want;
                r = wait_room(conn, &want, options.expires ? rml_min64(deadline, options.expires) : deadline, &why);
                conn->blocked = outer;
                if (r < 0)
                        break;
                want = (struct rml_want){0, 0};
        }
        if (!conn->closed && r < 0 && why.code == 0)
                rml_error_subject(conn, err, r, subject);
        else if (!conn->closed && r < 0)
                rml_error(err, r, "%s: %s", subject, why.message);
        return rml_leave(conn) ? r : rml_error(err, -ESHUTDOWN, "%s", ramal_strerror(-ESHUTDOWN));
}

/* ---- receipts ---- */

int ramal_publish_wait(ramal_conn *conn, const char *subject, const void *data, size_t len,
                       const ramal_publish_options *given, uint64_t deadline, uint64_t *receivers, ramal_error *err) {
        struct rml_receipt_wait wait = {.done = false};
        ramal_publish_options options;
        int r = rml_usable(conn);

        if (r == 0)
                r = RML_TAKE_OPTIONS(conn, &options, given);
        struct rml_receipt *receipt = r < 0 ? NULL : calloc(1, sizeof(*receipt));
        if (r == 0 && !receipt)
                r = -ENOMEM;
        if (r == 0) {
                receipt->wait = &wait;
                r = publish(conn, subject, (struct rml_span){data, len}, &options, receipt, &conn->wants);
        }
        if (r < 0) {
                free(receipt);
                return rml_error_subject(conn, err, r, subject);
        }
        rml_enter(conn);
        while (!wait.done && r == 0 && !conn->closed)
                r = rml_block(conn, deadline);
        if (conn->closed) {
                r = -ESHUTDOWN;
        } else if (!wait.done) {
                rml_ask_forget(conn, &receipt->pending);
                rml_list_remove(&receipt->link);
                free(receipt);
        }
        if (!rml_leave(conn) || !wait.done)
                return rml_error(err, r, "%s: %s", subject, ramal_strerror(r));
        if (receivers)
                *receivers = wait.receivers;
        return wait.error.code ? rml_error_copy(err, &wait.error) : 0;
}

void rml_receipt_end(ramal_conn *conn, struct rml_receipt *receipt, uint64_t receivers, const ramal_error *error) {
        ramal_receipt result = {.publish = receipt->publish, .receivers = receivers, .error = error};

        rml_ask_forget(conn, &receipt->pending);
        rml_list_remove(&receipt->link);
        if (error)
                conn->refused += error->status != RAMAL_CODE_OK;
        if (receipt->wait) {
                receipt->wait->done = true;
                receipt->wait->receivers = receivers;
                if (error)
                        receipt->wait->error = *error;
        } else {
                RML_CALLBACK(conn, receipt->fn(conn, &result, receipt->user));
        }
        free(receipt);
}

void rml_receipts_fail(ramal_conn *conn, const ramal_error *error) {
        while (!conn->closed && !rml_list_empty(&conn->receipts))
                rml_receipt_end(conn, rml_list_entry(rml_list_first(&conn->receipts), struct rml_receipt, link), 0,
                                error);
}

/* To whoever wants to hear it; else the next dispatch returns it. */
void rml_refusal(ramal_conn *conn, const ramal_refusal *refusal) {
        conn->error = *refusal->error;
        if (!conn->on_refused) {
                conn->unheard_error = refusal->error->code;
                return;
        }
        RML_CALLBACK(conn, conn->on_refused(conn, refusal, conn->user));
}

void rml_publish_refused(ramal_conn *conn, const Ramal__V1__Status *status) {
        ramal_refusal refusal = {
                .publish = status->publish,
                .count = status->count ? status->count : 1,
                .pattern = "",
        };
        ramal_error error;

        rml_error_status(&error, status);
        refusal.error = &error;
        conn->refused += refusal.count;
        rml_refusal(conn, &refusal);
}
