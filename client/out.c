/* SPDX-License-Identifier: MIT */
/* What goes out: one contiguous buffer of frames that the socket has not taken, and the frames' making. */
#include "client/conn_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire.h"

#define OUT_ROOM_MIN (RML_BATCH_BYTES + 4096u)
#define OUT_ROOM_KEPT (512u << 10) /* a buffer that grew beyond that is given back when it is empty */

size_t rml_out_pending(const ramal_conn *conn) {
        return conn->out.len - conn->out.at;
}

/* Does the frame at `frame` (prefix included) carry a message? The head is ours, and whole. */
static bool is_message(const uint8_t *frame) {
        const uint8_t *at = frame + RML_PREFIX_BYTES;

        if (*at == 0x08) { /* Frame.id */
                at++;
                while (*at & 0x80)
                        at++;
                at++;
        }
        return (*at >> 3) < 16;
}

/* Walks to the first frame that begins at or behind `upto`; returns how many messages it passed. */
static uint64_t walk(struct rml_out *out, size_t upto) {
        uint64_t messages = 0;

        while (out->boundary < upto && out->boundary < out->len) {
                const uint8_t *frame = out->bytes + out->boundary;

                out->rest_counts = is_message(frame);
                messages += out->rest_counts;
                out->boundary += RML_PREFIX_BYTES + rml_get_prefix(frame);
        }
        return messages;
}

uint64_t rml_out_messages(const ramal_conn *conn) {
        struct rml_out out = conn->out;

        if (out.at == out.len)
                return 0;
        walk(&out, out.at);
        /* A frame that began before `at` is not sent whole. */
        uint64_t messages = out.boundary > out.at && out.rest_counts ? 1 : 0;
        return messages + walk(&out, out.len);
}

void rml_out_clear(ramal_conn *conn) {
        free(conn->out.bytes);
        conn->out = (struct rml_out){.bytes = NULL};
}

static void emptied(struct rml_out *out) {
        out->at = out->len = out->boundary = 0;
        out->rest_counts = false;
        if (out->room > OUT_ROOM_KEPT) {
                free(out->bytes);
                out->bytes = NULL;
                out->room = 0;
        }
}

static uint8_t *reserve_slow(ramal_conn *conn, size_t n) {
        struct rml_out *out = &conn->out;
        size_t pending = out->len - out->at;

        if (out->at > 0 && (pending == 0 || out->at >= out->room / 2)) {
                walk(out, out->at);
                out->boundary -= out->at;
                memmove(out->bytes, out->bytes + out->at, pending);
                out->at = 0;
                out->len = pending;
        }
        if (out->room - out->len >= n && out->bytes)
                return out->bytes + out->len;
        size_t room = out->room > OUT_ROOM_MIN ? out->room : OUT_ROOM_MIN;
        while (room - out->len < n) {
                if (room > SIZE_MAX / 2)
                        return NULL;
                room *= 2;
        }
        uint8_t *bytes = realloc(out->bytes, room);
        if (!bytes)
                return NULL;
        out->bytes = bytes;
        out->room = room;
        return out->bytes + out->len;
}

uint8_t *rml_out_reserve(ramal_conn *conn, size_t n) {
        struct rml_out *out = &conn->out;

        if (out->room - out->len >= n && out->bytes)
                return out->bytes + out->len;
        return reserve_slow(conn, n);
}

void rml_out_add(ramal_conn *conn, size_t n) {
        conn->out.len += n;
}

/* The socket is of no use for sending. What it holds to be read is read first. */
static int send_failed(ramal_conn *conn, int code) {
        conn->out_dead = true;
        rml_wake(conn);
        return code == -EPIPE ? -ECONNRESET : code;
}

/* The socket is full. Returns true if it takes more now. */
static bool widen(ramal_conn *conn) {
        bool wider = conn->wider && rml_wire_buffer(conn->sock, RML_SOCKET_BUFFER_BYTES) == 0;

        conn->wider = false;
        return wider;
}

int rml_out_send(ramal_conn *conn) {
        struct rml_out *out = &conn->out;

        if (conn->sock < 0 || conn->phase == RML_PHASE_CONNECT)
                return -ENOTCONN;
        if (conn->out_dead)
                return -ECONNRESET;
        while (out->at < out->len) {
                struct rml_span span = {out->bytes + out->at, out->len - out->at};
                ssize_t n = rml_wire_send(conn->sock, &span, 1);
                if ((n == -EAGAIN && !widen(conn)) || n == -ENOBUFS || n == -ENOMEM)
                        return 0;
                if (n < 0 && n != -EAGAIN)
                        return send_failed(conn, (int)n);
                if (n > 0)
                        out->at += (size_t)n;
                /* A short count means that the socket is full: asking again would only tell us so. */
                if (n > 0 && (size_t)n < span.len && !widen(conn))
                        break;
        }
        if (out->at == out->len)
                emptied(out);
        return 0;
}

static bool is_batched(const ramal_conn *conn) {
        return conn->in_callback || conn->corked > 0;
}

void rml_out_kick(ramal_conn *conn) {
        if (is_batched(conn) && rml_out_pending(conn) < RML_BATCH_BYTES)
                return;
        rml_out_send(conn);
        if (rml_out_pending(conn) > 0)
                rml_io_arm(conn);
}

static size_t headers_len(const ramal_header *headers, size_t count) {
        size_t len = 0;

        for (size_t i = 0; i < count; i++) {
                size_t name_len = headers[i].name_len ? headers[i].name_len : strlen(headers[i].name);
                len += rml_header_len(name_len, headers[i].value_len);
        }
        return len;
}

static size_t field_len(size_t len) {
        return len > 0 ? 1 + rml_varint_len(len) + len : 0;
}

/* Fields 11 to 14 and the head of 15. */
static size_t tail_head_len(const struct rml_letter *letter) {
        size_t headers = letter->header_count > 0 ? headers_len(letter->headers, letter->header_count) : 0;

        return field_len(letter->subject.len) + field_len(letter->type.len) + headers + field_len(letter->payload.len) -
               letter->payload.len;
}

static size_t put_with_headers(uint8_t *out, const struct rml_letter *letter) {
        uint8_t encoded[RML_HEADERS_BYTES_MAX + RML_HEADERS_MAX * 16];
        size_t len = 0;

        for (size_t i = 0; i < letter->header_count; i++) {
                const ramal_header *header = &letter->headers[i];
                struct rml_span name = {(const uint8_t *)header->name,
                                        header->name_len ? header->name_len : strlen(header->name)};
                struct rml_span value = {header->value, header->value_len};
                len += rml_put_header(encoded + len, name, value);
        }
        return rml_put_tail_head(out, letter->subject, letter->type, (struct rml_span){encoded, len},
                                 letter->payload.len);
}

/* All of the frame but the payload's bytes; sets tail_bytes. */
static size_t put_head(uint8_t *out, struct rml_letter *letter) {
        static const struct rml_hop nothing = {.sid = 0};
        const size_t tail = tail_head_len(letter) + letter->payload.len;

        letter->tail_bytes = tail;
        size_t len = letter->hop ? rml_put_head(out, letter->kind, letter->id, letter->hop, tail)
                                 : rml_put_head_here(out, letter->kind, letter->id, &nothing, tail);
        if (letter->header_count > 0)
                return len + put_with_headers(out + len, letter);
        return len + rml_put_tail_head(out + len, letter->subject, letter->type, (struct rml_span){NULL, 0},
                                       letter->payload.len);
}

/* One that is longer than the whole is taken when nothing else waits. */
static bool fits(const ramal_conn *conn, size_t bytes) {
        size_t pending = rml_out_pending(conn);

        return pending == 0 || (bytes <= conn->out_max && pending <= conn->out_max - bytes);
}

static bool has_room(ramal_conn *conn, size_t bytes) {
        if (fits(conn, bytes))
                return true;
        rml_out_send(conn);
        return fits(conn, bytes);
}

static bool has_credit(const ramal_conn *conn, const struct rml_want *want) {
        return want->credit == 0 || rml_credit_fits(conn, want->credit);
}

bool rml_out_has_room(const ramal_conn *conn, const struct rml_want *want) {
        return conn->phase == RML_PHASE_UP && !conn->out_dead && (want->room == 0 || fits(conn, want->room)) &&
               has_credit(conn, want);
}

bool rml_out_writable(const ramal_conn *conn) {
        const struct rml_want *want = &conn->wants;

        /* Whoever blocks comes first, else those who are called back might leave nothing, time and again. */
        if ((want->room == 0 && want->credit == 0) || conn->blocked)
                return false;
        return rml_out_has_room(conn, want) && (want->room == 0 || rml_out_pending(conn) <= conn->out_max / 2);
}

/* Keeps what the socket did not take of a frame: its head lies at the end of the output, or is sent. */
static int keep_rest(ramal_conn *conn, size_t head_len, struct rml_span rest, bool begun) {
        struct rml_out *out = &conn->out;
        bool head_sent = out->at == out->len;

        if (head_sent)
                emptied(out);
        uint8_t *to = rml_out_reserve(conn, rest.len);
        if (!to && begun)
                return send_failed(conn, -ENOMEM); /* half a frame: the stream is lost */
        if (!to) {
                out->len -= head_len;
                return -ENOMEM;
        }
        memcpy(to, rest.data, rest.len);
        rml_out_add(conn, rest.len);
        if (head_sent) {
                out->boundary = out->len; /* no frame begins here */
                out->rest_counts = true;
        }
        if (widen(conn))
                rml_out_send(conn);
        rml_io_arm(conn);
        return 0;
}

/* What waits, the head and the payload in one send, without a copy of the payload. */
static int send_direct(ramal_conn *conn, size_t head_len, struct rml_span payload) {
        struct rml_out *out = &conn->out;
        rml_out_add(conn, head_len);
        size_t before = rml_out_pending(conn);
        struct rml_span spans[2] = {{out->bytes + out->at, before}, payload};
        ssize_t n = rml_wire_send(conn->sock, spans, 2);
        size_t sent = n > 0 ? (size_t)n : 0;

        if (n < 0 && n != -EAGAIN && n != -ENOBUFS && n != -ENOMEM) {
                out->len -= head_len; /* it was not taken: nobody counts it as unsent */
                return send_failed(conn, (int)n);
        }
        if (sent == before + payload.len) {
                emptied(out);
                return 0;
        }
        size_t body_sent = sent > before ? sent - before : 0;
        struct rml_span rest = {payload.data + body_sent, payload.len - body_sent};
        out->at += sent - body_sent;
        return keep_rest(conn, head_len, rest, sent > before - head_len);
}

/* Sets frame_bytes. Is there publish credit for it? */
static int check_credit(ramal_conn *conn, struct rml_letter *letter, size_t head_len) {
        letter->frame_bytes = head_len - RML_PREFIX_BYTES + letter->payload.len;
        if (letter->kind != RML_PUBLISH)
                return 0;
        conn->thwarted = !rml_credit_fits(conn, letter->frame_bytes);
        if (!conn->thwarted)
                return 0;
        if (letter->want->credit < letter->frame_bytes)
                letter->want->credit = letter->frame_bytes;
        int r = rml_credit_ask(conn);
        return r < 0 ? r : -EAGAIN;
}

int rml_out_letter(ramal_conn *conn, struct rml_letter *letter) {
        if (conn->phase != RML_PHASE_UP || conn->out_dead)
                return -ENOTCONN;
        if (letter->payload.len > conn->payload_max)
                return -EMSGSIZE;

        size_t head_max = RML_HEAD_BYTES_MAX + RML_TAIL_HEAD_BYTES_MAX + letter->subject.len + letter->type.len;
        if (letter->hop)
                head_max += letter->hop->text.len + letter->hop->key.len;
        if (letter->header_count > 0)
                head_max += headers_len(letter->headers, letter->header_count);
        if (letter->want && !has_room(conn, head_max + letter->payload.len)) {
                if (letter->want->room < head_max + letter->payload.len)
                        letter->want->room = head_max + letter->payload.len;
                return -EAGAIN;
        }
        bool direct = letter->payload.len >= RML_DIRECT_BYTES &&
                      (!is_batched(conn) || rml_out_pending(conn) + letter->payload.len >= RML_BATCH_BYTES);
        uint8_t *to = rml_out_reserve(conn, head_max + (direct ? 0 : letter->payload.len));
        if (!to)
                return -ENOMEM;

        size_t len = put_head(to, letter);
        int r = check_credit(conn, letter, len);
        if (r < 0)
                return r;
        if (direct)
                return send_direct(conn, len, letter->payload);
        if (letter->payload.len > 0)
                memcpy(to + len, letter->payload.data, letter->payload.len);
        rml_out_add(conn, len + letter->payload.len);
        rml_out_kick(conn);
        return 0;
}

int rml_out_control(ramal_conn *conn, enum rml_kind kind, uint64_t id, const ProtobufCMessage *message) {
        size_t len = rml_control_size(kind, id, message);

        if (conn->sock < 0 || conn->out_dead)
                return -ENOTCONN;
        uint8_t *to = rml_out_reserve(conn, len);
        if (!to)
                return -ENOMEM;
        rml_out_add(conn, rml_control_pack(to, kind, id, message));
        rml_out_kick(conn);
        return 0;
}
