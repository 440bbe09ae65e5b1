/* SPDX-License-Identifier: MIT */
/*
 * What a stranger sends, through framer and scanner. The first byte says who speaks, the second is the seed of how the
 * rest is cut into pieces. Whatever the bytes are: the pieces give the same frames as the whole, spans lie within the
 * frame, and what was accepted can be written again and is read alike.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "bounds.h"
#include "control.h"
#include "encode.h"
#include "framer.h"
#include "scan.h"
#include "subject.h"

#define FRAME_BYTES_MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_within(struct rml_span part, struct rml_span whole) {
        if (!part.data) {
                rml_check(part.len == 0);
                return;
        }
        rml_check(part.data >= whole.data && part.len <= whole.len);
        rml_check((size_t)(part.data - whole.data) <= whole.len - part.len);
}

static void check_headers(const struct rml_data *data) {
        struct rml_span rest = data->headers, name, value;
        size_t bytes = 0;
        uint32_t count = 0;

        while (rml_header_next(&rest, &name, &value)) {
                check_within(name, data->headers);
                check_within(value, data->headers);
                rml_check(name.len > 0 && rml_utf8_valid(name));
                bytes += name.len + value.len;
                count++;
        }
        rml_check(rest.len == 0);
        rml_check(count == data->header_count && bytes == data->header_bytes);
}

static void check_spans(const struct rml_frame *frame, const struct rml_data *data) {
        check_within(data->tail, frame->body);
        rml_check(data->hop_len + data->tail.len == frame->body.len);
        rml_check(data->tail.data == frame->body.data + data->hop_len);
        check_within(data->text, (struct rml_span){frame->body.data, data->hop_len});
        check_within(data->key, (struct rml_span){frame->body.data, data->hop_len});
        check_within(data->sender.identity, (struct rml_span){frame->body.data, data->hop_len});
        check_within(data->subject, data->tail);
        check_within(data->type, data->tail);
        check_within(data->headers, data->tail);
        check_within(data->payload, data->tail);
        rml_check(data->envelope_len + data->payload.len <= data->tail.len);
        if (data->payload.len > 0)
                rml_check(data->payload.data + data->payload.len == data->tail.data + data->tail.len);
        rml_check(rml_utf8_valid(data->text) && rml_utf8_valid(data->key) && rml_utf8_valid(data->type));
        check_headers(data);
}

static void check_same(const struct rml_data *a, const struct rml_data *b) {
        rml_check(a->sid == b->sid && a->token == b->token && a->time_left_us == b->time_left_us);
        rml_check(a->seq == b->seq && a->replaced == b->replaced && a->flags == b->flags && a->code == b->code);
        rml_check(rml_span_equal(a->text, b->text) && rml_span_equal(a->key, b->key));
        rml_check(a->stream_credit == b->stream_credit && a->has_sender == b->has_sender);
        rml_check(a->sender.peer == b->sender.peer && a->sender.local == b->sender.local);
        rml_check(a->sender.uid == b->sender.uid && a->sender.gid == b->sender.gid && a->sender.pid == b->sender.pid);
        rml_check(rml_span_equal(a->sender.identity, b->sender.identity));
        rml_check(rml_span_equal(a->tail, b->tail) && a->envelope_len == b->envelope_len);
        rml_check(rml_span_equal(a->subject, b->subject) && rml_span_equal(a->type, b->type));
        rml_check(rml_span_equal(a->headers, b->headers) && rml_span_equal(a->payload, b->payload));
}

/* As a broker forwards it: a new hop header in front of the tail as it is. */
static void write_again(const struct rml_frame *frame, const struct rml_data *data) {
        const struct rml_hop hop = {
                .sid = data->sid,
                .token = data->token,
                .time_left_us = data->time_left_us,
                .seq = data->seq,
                .replaced = data->replaced,
                .flags = data->flags,
                .code = data->code,
                .sender = data->has_sender ? &data->sender : NULL,
                .text = data->text,
                .key = data->key,
                .stream_credit = data->stream_credit,
        };
        size_t room = RML_HEAD_BYTES_MAX + data->text.len + data->key.len + data->sender.identity.len;
        uint8_t *bytes = malloc(room + data->tail.len);
        struct rml_frame again;
        struct rml_data scanned;
        struct rml_fault fault;

        rml_check(bytes);
        size_t head = rml_put_head(bytes, (enum rml_kind)frame->kind, frame->id, &hop, data->tail.len);
        rml_check(head <= room);
        if (data->tail.len > 0)
                memcpy(bytes + head, data->tail.data, data->tail.len);
        size_t len = head + data->tail.len - RML_PREFIX_BYTES;
        rml_check(rml_get_prefix(bytes) == len);
        rml_check(rml_scan_frame((struct rml_span){bytes + RML_PREFIX_BYTES, len}, &again, &fault) == 0);
        rml_check(again.id == frame->id && again.kind == frame->kind);
        rml_check(rml_scan_data(&again, RML_FROM_BROKER, &scanned, &fault) == 0);
        check_same(data, &scanned);
        free(bytes);
}

/* Packed again, a control message is scanned and unpacked to what packs to the same bytes. */
static void pack_again(const struct rml_control *control) {
        size_t size = rml_control_size(control->kind, control->id, control->message);
        uint8_t *first = malloc(size), *second = malloc(size);
        struct rml_frame frame;
        struct rml_control again;
        struct rml_fault fault;

        rml_check(first && second);
        rml_check(rml_control_pack(first, control->kind, control->id, control->message) == size);
        rml_check(rml_scan_frame((struct rml_span){first + RML_PREFIX_BYTES, size - RML_PREFIX_BYTES}, &frame,
                                 &fault) == 0);
        rml_check(rml_control_unpack(&frame, &again, &fault) == 0);
        rml_check(rml_control_size(again.kind, again.id, again.message) == size);
        rml_check(rml_control_pack(second, again.kind, again.id, again.message) == size);
        rml_check(memcmp(first, second, size) == 0);
        rml_control_free(&again);
        free(first);
        free(second);
}

static void scan(const struct rml_raw *raw, enum rml_from from) {
        struct rml_span bytes = {raw->data, raw->len};
        struct rml_frame frame;
        struct rml_data data;
        struct rml_control control = {.message = NULL};
        struct rml_fault fault = {SIZE_MAX, NULL};
        int r = rml_scan_frame(bytes, &frame, &fault);

        if (r == 0) {
                check_within(frame.body, bytes);
                rml_check(frame.kind >= 2 && frame.body.data == bytes.data + frame.body_offset);
                if (rml_control_descriptor(frame.kind)) {
                        r = rml_control_unpack(&frame, &control, &fault);
                        if (r == 0)
                                pack_again(&control);
                        rml_control_free(&control);
                } else if (frame.kind <= RML_DELIVER) {
                        r = rml_scan_data(&frame, from, &data, &fault);
                        if (r == 0) {
                                check_spans(&frame, &data);
                                write_again(&frame, &data);
                        }
                }
        }
        rml_check(r == 0 || r == -EBADMSG);
        if (r < 0)
                rml_check(fault.reason && fault.offset <= raw->len);
}

/* Ends of frames, one after the other, mixed to one number. */
static uint64_t mix(uint64_t sum, const struct rml_raw *raw) {
        for (size_t i = 0; i < raw->len; i++)
                sum = (sum ^ raw->data[i]) * UINT64_C(0x100000001b3);
        return (sum ^ raw->offset) * UINT64_C(0x100000001b3);
}

/* Everything at once. Returns how it ended and what came out. */
static int run_whole(struct rml_span in, uint64_t *sum) {
        struct rml_framer framer;
        struct rml_raw raw;
        int r;

        rml_framer_init(&framer, FRAME_BYTES_MAX);
        while ((r = rml_framer_next(&framer, &in, &raw)) > 0)
                *sum = mix(*sum, &raw);
        rml_framer_deinit(&framer);
        return r;
}

static int run_pieces(struct rml_span in, uint32_t seed, enum rml_from from, uint64_t *sum) {
        struct rml_framer framer;
        struct rml_raw raw;
        int r = 0;

        rml_framer_init(&framer, FRAME_BYTES_MAX);
        while (r == 0 && in.len > 0) {
                seed = seed * 1664525u + 1013904223u;
                size_t len = 1 + (seed >> 16) % (seed & 0x8000 ? 7 : 300);
                len = len < in.len ? len : in.len;
                /* Of just that size, so that the sanitizer sees a read past the end. */
                uint8_t *piece = malloc(len);
                rml_check(piece);
                memcpy(piece, in.data, len);
                struct rml_span rest = {piece, len};
                while ((r = rml_framer_next(&framer, &rest, &raw)) > 0) {
                        *sum = mix(*sum, &raw);
                        scan(&raw, from);
                }
                rml_check(r < 0 || rest.len == 0);
                rml_check(!framer.partial || framer.partial->room <= 2 * framer.have + 512);
                free(piece);
                in.data += len;
                in.len -= len;
        }
        rml_framer_deinit(&framer);
        return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (size < 2)
                return 0;
        struct rml_span stream = {data + 2, size - 2};
        uint64_t whole = 1, pieces = 1;
        int end_whole = run_whole(stream, &whole);
        int end_pieces = run_pieces(stream, data[1], data[0] & 1 ? RML_FROM_BROKER : RML_FROM_CLIENT, &pieces);

        rml_check(end_whole == end_pieces && whole == pieces);
        return 0;
}
