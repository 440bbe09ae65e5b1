/* SPDX-License-Identifier: MIT */
/* Publishing, receipts, and what comes back as refused. */
#include "client/conn_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TYPE_BYTES_MAX 255u

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

/* A publish was taken. */
static void count(ramal_conn *conn, size_t bytes) {
        conn->published++;
        conn->probe_bytes += bytes;
        if (conn->probe_bytes >= RML_PROBE_BYTES)
                rml_probe_now(conn, ramal_now());
}

int ramal_publish(ramal_conn *conn, const char *subject, const void *data, size_t len) {
        struct rml_letter letter = {.kind = RML_PUBLISH, .limited = true};
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
                count(conn, letter.tail_bytes);
        return r;
}

/* receipt: NULL: none is asked for. */
static int publish(ramal_conn *conn, const char *subject, const void *data, size_t len,
                   const ramal_publish_options *options, struct rml_receipt *receipt) {
        struct rml_letter letter = {
                .kind = RML_PUBLISH,
                .type = rml_span_text(options->type),
                .payload = {data, len},
                .headers = options->headers,
                .header_count = options->header_count,
                .limited = true,
        };
        int r = rml_check_subject(conn, subject, &letter.subject.len);

        if (r == 0)
                r = rml_check_envelope(conn, options->type, options->headers, options->header_count);
        if (r < 0)
                return r;
        letter.subject.data = (const uint8_t *)subject;
        if (receipt) {
                letter.id = rml_ask(conn, &receipt->pending, RML_ASK_RECEIPT);
                letter.hop.flags = RAMAL__V1__DATA_FLAG__DATA_FLAG_RECEIPT;
        }
        r = rml_out_letter(conn, &letter);
        if (r < 0) {
                if (receipt)
                        rml_ask_forget(conn, &receipt->pending);
                return r;
        }
        count(conn, letter.tail_bytes);
        if (receipt) {
                receipt->publish = receipt->pending.published = conn->published;
                rml_list_push_back(&conn->receipts, &receipt->link);
        }
        return 0;
}

int ramal_publish_with(ramal_conn *conn, const char *subject, const void *data, size_t len,
                       const ramal_publish_options *given) {
        ramal_publish_options options;
        struct rml_receipt *receipt = NULL;
        int r = rml_usable(conn);

        if (r == 0)
                r = RML_TAKE_OPTIONS(conn, &options, given);
        if (r < 0)
                return r;
        if (options.on_receipt) {
                receipt = calloc(1, sizeof(*receipt));
                if (!receipt)
                        return -ENOMEM;
                receipt->fn = options.on_receipt;
                receipt->user = options.user;
        }
        r = publish(conn, subject, data, len, &options, receipt);
        if (r < 0)
                free(receipt);
        return r;
}

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
                r = publish(conn, subject, data, len, &options, receipt);
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
