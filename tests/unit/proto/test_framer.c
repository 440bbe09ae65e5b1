/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "encode.h"
#include "framer.h"
#include "bounds.h"
#include "rng.h"

#define LIMIT 100000u

/* Memory that runs out: realloc and malloc fail while this is set. */
static bool no_memory;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size) {
        return no_memory ? NULL : __real_malloc(size);
}

void *__wrap_realloc(void *old, size_t size) {
        return no_memory ? NULL : __real_realloc(old, size);
}

static const uint32_t lengths[] = {1, 2, 3, 4, 5, 100, 507, 508, 509, 510, 1, 4091, 4092, 4093, 1, 40000, 1, LIMIT};
#define FRAMES (sizeof(lengths) / sizeof(lengths[0]))

struct stream {
        size_t len;
        uint8_t *bytes;
        size_t next;     /* frame that comes next */
        uint64_t offset; /* where it begins, prefix included */
};

static uint8_t byte_of(size_t frame, size_t at) {
        return (uint8_t)(frame * 31 + at * 7 + (at >> 8));
}

static struct stream stream_new(void) {
        struct stream stream = {.len = 0};

        for (size_t i = 0; i < FRAMES; i++)
                stream.len += RML_PREFIX_BYTES + lengths[i];
        stream.bytes = malloc(stream.len);
        uint8_t *out = stream.bytes;
        for (size_t i = 0; i < FRAMES; i++) {
                rml_put_prefix(out, lengths[i]);
                out += RML_PREFIX_BYTES;
                for (size_t at = 0; at < lengths[i]; at++)
                        *out++ = byte_of(i, at);
        }
        return stream;
}

static void expect_frame(struct stream *stream, const struct rml_raw *raw) {
        assert_true(stream->next < FRAMES);
        assert_int_equal(raw->len, lengths[stream->next]);
        assert_int_equal(raw->offset, stream->offset + RML_PREFIX_BYTES);
        assert_memory_equal(raw->data, stream->bytes + raw->offset, raw->len);
        stream->offset += RML_PREFIX_BYTES + raw->len;
        stream->next++;
}

/* Gives the framer one piece, from memory of just its size. */
static void feed(struct rml_framer *framer, struct stream *stream, size_t at, size_t len) {
        uint8_t *piece = malloc(len > 0 ? len : 1);
        memcpy(piece, stream->bytes + at, len);
        struct rml_span in = {piece, len};
        struct rml_raw raw;
        int r;

        while ((r = rml_framer_next(framer, &in, &raw)) > 0) {
                if (!raw.blob)
                        assert_true(raw.data >= piece && raw.data + raw.len <= piece + len);
                else
                        assert_true(raw.data == raw.blob->bytes + RML_PREFIX_BYTES &&
                                    raw.blob->room >= RML_PREFIX_BYTES + raw.len);
                expect_frame(stream, &raw);
        }
        assert_int_equal(r, 0);
        assert_int_equal(in.len, 0);
        assert_int_equal(rml_framer_pending(framer), at + len - stream->offset);
        assert_int_equal(framer->consumed, stream->offset);
        /* Never more memory than twice what came, or a little. */
        if (framer->partial)
                assert_true(framer->partial->room <= 2 * framer->have + 512);
        else
                assert_int_equal(framer->have, 0);
        free(piece);
}

static void test_framer_whole_input_is_handed_out_in_place(void **state) {
        (void)state;
        struct stream stream = stream_new();
        struct rml_framer framer;
        struct rml_span in = {stream.bytes, stream.len};
        struct rml_raw raw;

        rml_framer_init(&framer, LIMIT);
        for (size_t i = 0; i < FRAMES; i++) {
                assert_int_equal(rml_framer_next(&framer, &in, &raw), 1);
                assert_null(raw.blob);
                assert_ptr_equal(raw.data, stream.bytes + raw.offset);
                expect_frame(&stream, &raw);
        }
        assert_int_equal(rml_framer_next(&framer, &in, &raw), 0);
        assert_null(framer.partial);
        rml_framer_deinit(&framer);
        free(stream.bytes);
}

static void test_framer_fault_A07_byte_by_byte_gives_the_same_frames(void **state) {
        (void)state;
        struct stream stream = stream_new();
        struct rml_framer framer;

        rml_framer_init(&framer, LIMIT);
        for (size_t at = 0; at < stream.len; at++)
                feed(&framer, &stream, at, 1);
        assert_int_equal(stream.next, FRAMES);
        rml_framer_deinit(&framer);
        free(stream.bytes);
}

static void test_framer_any_split_in_two_gives_the_same_frames(void **state) {
        (void)state;
        struct stream stream = stream_new();
        size_t interesting = 16000; /* the first frames, at every byte; then in steps */

        for (size_t cut = 0; cut <= stream.len; cut += cut < interesting ? 1 : 977) {
                struct rml_framer framer;
                rml_framer_init(&framer, LIMIT);
                stream.next = 0;
                stream.offset = 0;
                feed(&framer, &stream, 0, cut);
                feed(&framer, &stream, cut, stream.len - cut);
                assert_int_equal(stream.next, FRAMES);
                rml_framer_deinit(&framer);
        }
        free(stream.bytes);
}

static void test_framer_random_splits_give_the_same_frames(void **state) {
        (void)state;
        struct stream stream = stream_new();

        for (uint64_t seed = 1; seed <= 300; seed++) {
                struct rng rng = {seed};
                struct rml_framer framer;
                rml_framer_init(&framer, LIMIT);
                stream.next = 0;
                stream.offset = 0;
                for (size_t at = 0; at < stream.len;) {
                        static const uint64_t most[] = {8, 600, 9000, 70000};
                        size_t len = (size_t)rng_below(&rng, most[rng_below(&rng, 4)]);
                        len = len < stream.len - at ? len : stream.len - at;
                        feed(&framer, &stream, at, len);
                        at += len;
                }
                assert_int_equal(stream.next, FRAMES);
                rml_framer_deinit(&framer);
        }
        free(stream.bytes);
}

/* Offers a prefix, all at once or byte by byte; returns what the framer says last. */
static int offer(struct rml_framer *framer, uint32_t len, bool bytewise) {
        uint8_t prefix[RML_PREFIX_BYTES];
        struct rml_raw raw;
        int r = 0;

        rml_put_prefix(prefix, len);
        for (size_t i = 0; i < RML_PREFIX_BYTES && r == 0; i += bytewise ? 1 : RML_PREFIX_BYTES) {
                struct rml_span in = {prefix + i, bytewise ? 1 : RML_PREFIX_BYTES};
                r = rml_framer_next(framer, &in, &raw);
        }
        return r;
}

static void expect_refused(uint32_t limit, uint32_t len, int expected) {
        for (int bytewise = 0; bytewise < 2; bytewise++) {
                struct rml_framer framer;
                rml_framer_init(&framer, limit);
                assert_int_equal(offer(&framer, len, bytewise), expected);
                /* Nothing was made room for. */
                if (framer.partial)
                        assert_true(framer.partial->room <= 512);
                assert_int_equal(framer.consumed, 0);
                rml_framer_deinit(&framer);
        }
}

static void test_framer_fault_A01_length_zero_is_refused(void **state) {
        (void)state;
        expect_refused(LIMIT, 0, -EPROTO);
}

static void test_framer_fault_A02_length_above_the_limit_is_refused_before_memory(void **state) {
        (void)state;
        expect_refused(1 << 20, (1 << 20) + 1, -EMSGSIZE);
        expect_refused(4096, 1 << 20, -EMSGSIZE);
}

static void test_framer_fault_A03_huge_lengths_do_not_overflow(void **state) {
        (void)state;
        expect_refused(LIMIT, UINT32_MAX, -EMSGSIZE);
        expect_refused(LIMIT, UINT32_MAX - 3, -EMSGSIZE);
        expect_refused(LIMIT, UINT32_C(1) << 31, -EMSGSIZE);
        expect_refused(LIMIT, INT32_MAX, -EMSGSIZE);
}

static void test_framer_fault_A04_exact_limit_passes_one_more_does_not(void **state) {
        (void)state;
        expect_refused(1000, 1000, 0);
        expect_refused(1000, 1001, -EMSGSIZE);

        uint8_t bytes[RML_PREFIX_BYTES + 1000] = {0};
        struct rml_span in = {bytes, sizeof(bytes)};
        struct rml_framer framer;
        struct rml_raw raw;
        rml_put_prefix(bytes, 1000);
        rml_framer_init(&framer, 1000);
        assert_int_equal(rml_framer_next(&framer, &in, &raw), 1);
        assert_int_equal(raw.len, 1000);
        rml_framer_deinit(&framer);
}

static void test_framer_fault_A11_foreign_protocols_are_refused_at_once(void **state) {
        (void)state;
        static const char *const greetings[] = {"GET / HTTP/1.1\r\n", "SSH-2.0-OpenSSH_9.2\r\n",
                                                "\x16\x03\x01\x02\x05"};

        for (size_t i = 0; i < sizeof(greetings) / sizeof(greetings[0]); i++) {
                struct rml_span in = {(const uint8_t *)greetings[i], strlen(greetings[i])};
                struct rml_framer framer;
                struct rml_raw raw;
                rml_framer_init(&framer, RML_PAYLOAD_BYTES_CEILING + RML_FRAME_EXTRA_BYTES);
                assert_int_equal(rml_framer_next(&framer, &in, &raw), -EMSGSIZE);
                rml_framer_deinit(&framer);
        }
}

static void test_framer_fault_A12_announced_length_takes_no_memory(void **state) {
        (void)state;
        struct rml_framer framer;

        rml_framer_init(&framer, 64u << 20);
        assert_int_equal(offer(&framer, 64u << 20, false), 0);
        assert_true(framer.partial->room <= 512);
        rml_framer_deinit(&framer);
}

static void test_framer_memory_grows_with_the_bytes_received(void **state) {
        (void)state;
        static uint8_t chunk[1000];
        uint32_t total = 1 << 20;
        struct rml_framer framer;
        struct rml_raw raw;
        size_t sent = 0;
        int r = 0;

        rml_framer_init(&framer, total);
        assert_int_equal(offer(&framer, total, false), 0);
        while (r == 0) {
                struct rml_span in = {chunk, total - sent < sizeof(chunk) ? total - sent : sizeof(chunk)};
                sent += in.len;
                r = rml_framer_next(&framer, &in, &raw);
                assert_int_equal(in.len, 0);
                assert_true(framer.partial->room <= 2 * (RML_PREFIX_BYTES + sent) + 512);
        }
        assert_int_equal(r, 1);
        assert_int_equal(raw.len, total);
        /* Whole, in one blob, without a byte to spare. */
        assert_ptr_equal(raw.data, raw.blob->bytes + RML_PREFIX_BYTES);
        assert_int_equal(raw.blob->room, RML_PREFIX_BYTES + total);
        assert_int_equal(rml_framer_pending(&framer), 0);

        /* Idle again it keeps nothing. */
        struct rml_span nothing = {chunk, 0};
        assert_int_equal(rml_framer_next(&framer, &nothing, &raw), 0);
        assert_null(framer.partial);
        rml_framer_deinit(&framer);
}

static void test_framer_kept_blob_is_not_written_again(void **state) {
        (void)state;
        const uint8_t bytes[] = {0, 0, 0, 3, 'a', 'b', 'c', 0, 0, 0, 3, 'x', 'y', 'z'};
        struct rml_blob *kept[2];
        struct rml_framer framer;
        struct rml_raw raw;
        size_t frames = 0;

        rml_framer_init(&framer, LIMIT);
        for (size_t i = 0; i < sizeof(bytes); i++) {
                struct rml_span in = {bytes + i, 1};
                if (rml_framer_next(&framer, &in, &raw) == 1)
                        kept[frames++] = rml_blob_ref(raw.blob);
        }
        assert_int_equal(frames, 2);
        rml_framer_deinit(&framer);
        assert_ptr_not_equal(kept[0], kept[1]);
        assert_memory_equal(kept[0]->bytes + RML_PREFIX_BYTES, "abc", 3);
        assert_memory_equal(kept[1]->bytes + RML_PREFIX_BYTES, "xyz", 3);
        assert_int_equal(kept[0]->refs, 1);
        rml_blob_unref(kept[0]);
        rml_blob_unref(kept[1]);
}

static void test_framer_without_memory_takes_nothing_and_goes_on_later(void **state) {
        (void)state;
        struct stream stream = stream_new();
        struct rml_framer framer;
        struct rml_raw raw;
        struct rml_span in = {stream.bytes, 3};

        rml_framer_init(&framer, LIMIT);
        no_memory = true;
        assert_int_equal(rml_framer_next(&framer, &in, &raw), -ENOMEM);
        no_memory = false;
        assert_int_equal(in.len, 3);
        assert_int_equal(rml_framer_pending(&framer), 0);
        feed(&framer, &stream, 0, 3);

        /* In the middle of the last and largest one. */
        feed(&framer, &stream, 3, stream.len - 3 - 50000);
        size_t have = rml_framer_pending(&framer);
        in = (struct rml_span){stream.bytes + stream.len - 50000, 50000};
        no_memory = true;
        assert_int_equal(rml_framer_next(&framer, &in, &raw), -ENOMEM);
        no_memory = false;
        assert_int_equal(in.len, 50000);
        assert_int_equal(rml_framer_pending(&framer), have);
        feed(&framer, &stream, stream.len - 50000, 50000);
        assert_int_equal(stream.next, FRAMES);
        rml_framer_deinit(&framer);
        free(stream.bytes);
}

static void test_framer_raised_limit_holds_for_the_next_frame(void **state) {
        (void)state;
        struct rml_framer framer;

        rml_framer_init(&framer, 10);
        assert_int_equal(offer(&framer, 10, false), 0);
        uint8_t body[10] = {0};
        struct rml_span in = {body, sizeof(body)};
        struct rml_raw raw;
        assert_int_equal(rml_framer_next(&framer, &in, &raw), 1);
        framer.frame_bytes_max = 20;
        assert_int_equal(offer(&framer, 20, false), 0);
        rml_framer_deinit(&framer);
}

/* Who takes the memory first asks for it: a large frame that is not whole is not begun before. */
static void test_framer_collects_a_large_frame_only_when_it_may(void **state) {
        (void)state;
        struct rml_framer framer;
        struct rml_raw raw;
        uint8_t bytes[2 * (RML_PREFIX_BYTES + 1000)] = {0};
        struct rml_span in = {bytes, sizeof(bytes)};
        rml_framer_init(&framer, LIMIT);
        framer.collect_max = 999;
        rml_put_prefix(bytes, 1000);
        rml_put_prefix(bytes + RML_PREFIX_BYTES + 1000, 1000);
        assert_int_equal(rml_framer_declared(&framer, &in), 1000);
        in.len -= 1;
        assert_int_equal(rml_framer_next(&framer, &in, &raw), 1); /* a whole one needs no memory */
        assert_int_equal(rml_framer_next(&framer, &in, &raw), -EAGAIN);
        assert_int_equal(in.len, RML_PREFIX_BYTES + 999);
        assert_int_equal(rml_framer_pending(&framer), 0);

        /* The same when its prefix comes in pieces. */
        struct rml_span piece = {in.data, 3};
        assert_int_equal(rml_framer_declared(&framer, &piece), 0);
        assert_int_equal(rml_framer_next(&framer, &piece, &raw), 0);
        assert_int_equal(rml_framer_pending(&framer), 3);
        in = (struct rml_span){in.data + 3, in.len - 3};
        assert_int_equal(rml_framer_declared(&framer, &in), 1000);
        assert_int_equal(rml_framer_next(&framer, &in, &raw), -EAGAIN);
        assert_int_equal(in.len, 1000);
        framer.collect_max = 1000;
        assert_int_equal(rml_framer_next(&framer, &in, &raw), 0);
        assert_int_equal(in.len, 0);
        framer.collect_max = 10; /* what was begun goes on */
        in = (struct rml_span){bytes + sizeof(bytes) - 1, 1};
        assert_int_equal(rml_framer_next(&framer, &in, &raw), 1);
        assert_int_equal(raw.len, 1000);
        rml_framer_deinit(&framer);
}

/* A long frame may be received straight to its place; whatever comes how, the frames are the same. */
static void test_framer_bytes_put_in_place_give_the_same_frames(void **state) {
        (void)state;
        unsigned placed = 0;
        for (uint64_t seed = 1; seed <= 200; seed++) {
                struct rng rng = {seed};
                struct stream stream = stream_new();
                struct rml_framer framer;
                struct rml_raw raw;
                rml_framer_init(&framer, LIMIT);
                for (size_t at = 0; at < stream.len;) {
                        size_t len = 1 + (size_t)rng_below(&rng, 60000), room = 0;
                        size_t left = stream.len - at, have = framer.have;
                        uint8_t *place = rml_framer_room(&framer, &room);
                        len = len < left ? len : left;
                        if (!place) {
                                struct rml_span in = {stream.bytes + at, len};
                                while (rml_framer_next(&framer, &in, &raw) > 0)
                                        expect_frame(&stream, &raw);
                                assert_int_equal(in.len, 0);
                                at += len;
                                continue;
                        }
                        assert_in_range(room, RML_FRAMER_DIRECT_BYTES, 15 * have);
                        assert_true(have + room <= RML_PREFIX_BYTES + lengths[stream.next]);
                        len = len < room ? len : room;
                        memcpy(place, stream.bytes + at, len);
                        rml_framer_filled(&framer, len);
                        at += len;
                        placed++;
                        bool whole = framer.have == RML_PREFIX_BYTES + lengths[stream.next];
                        assert_int_equal(rml_framer_whole(&framer), whole);
                        struct rml_span none = {NULL, 0};
                        assert_int_equal(rml_framer_next(&framer, &none, &raw), whole);
                        if (whole) {
                                assert_ptr_equal(raw.blob, framer.partial);
                                expect_frame(&stream, &raw);
                        }
                        assert_false(rml_framer_whole(&framer));
                }
                assert_int_equal(stream.next, FRAMES);
                rml_framer_deinit(&framer);
                free(stream.bytes);
        }
        assert_true(placed > 200);
}

static void test_framer_has_no_place_for_little_or_without_memory(void **state) {
        (void)state;
        static uint8_t bytes[RML_PREFIX_BYTES + LIMIT];
        struct rml_framer framer;
        struct rml_raw raw;
        struct rml_span in = {bytes, 3};
        size_t room = 7;
        rml_framer_init(&framer, LIMIT);
        rml_put_prefix(bytes, LIMIT);
        assert_null(rml_framer_room(&framer, &room));
        assert_int_equal(rml_framer_next(&framer, &in, &raw), 0); /* a part of the prefix */
        assert_null(rml_framer_room(&framer, &room));
        in = (struct rml_span){bytes + 3, 1000};
        assert_int_equal(rml_framer_next(&framer, &in, &raw), 0);
        assert_null(rml_framer_room(&framer, &room)); /* fifteen times that is too little */
        in = (struct rml_span){bytes + 1003, 9000};
        assert_int_equal(rml_framer_next(&framer, &in, &raw), 0);
        no_memory = true;
        assert_null(rml_framer_room(&framer, &room));
        no_memory = false;
        assert_int_equal(room, 7);
        assert_int_equal(framer.have, 10003);
        assert_non_null(rml_framer_room(&framer, &room));
        in = (struct rml_span){bytes + 10003, LIMIT - 20000}; /* who has bytes may still give them */
        assert_int_equal(rml_framer_next(&framer, &in, &raw), 0);
        assert_null(rml_framer_room(&framer, &room)); /* too few are missing */
        in = (struct rml_span){bytes + 10003 + LIMIT - 20000, RML_PREFIX_BYTES + 20000 - 10003};
        assert_int_equal(rml_framer_next(&framer, &in, &raw), 1);
        assert_int_equal(raw.len, LIMIT);
        assert_null(rml_framer_room(&framer, &room)); /* it was handed out */
        rml_framer_deinit(&framer);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_framer_whole_input_is_handed_out_in_place),
                cmocka_unit_test(test_framer_fault_A07_byte_by_byte_gives_the_same_frames),
                cmocka_unit_test(test_framer_any_split_in_two_gives_the_same_frames),
                cmocka_unit_test(test_framer_random_splits_give_the_same_frames),
                cmocka_unit_test(test_framer_fault_A01_length_zero_is_refused),
                cmocka_unit_test(test_framer_fault_A02_length_above_the_limit_is_refused_before_memory),
                cmocka_unit_test(test_framer_fault_A03_huge_lengths_do_not_overflow),
                cmocka_unit_test(test_framer_fault_A04_exact_limit_passes_one_more_does_not),
                cmocka_unit_test(test_framer_fault_A11_foreign_protocols_are_refused_at_once),
                cmocka_unit_test(test_framer_fault_A12_announced_length_takes_no_memory),
                cmocka_unit_test(test_framer_memory_grows_with_the_bytes_received),
                cmocka_unit_test(test_framer_kept_blob_is_not_written_again),
                cmocka_unit_test(test_framer_without_memory_takes_nothing_and_goes_on_later),
                cmocka_unit_test(test_framer_raised_limit_holds_for_the_next_frame),
                cmocka_unit_test(test_framer_collects_a_large_frame_only_when_it_may),
                cmocka_unit_test(test_framer_bytes_put_in_place_give_the_same_frames),
                cmocka_unit_test(test_framer_has_no_place_for_little_or_without_memory),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
