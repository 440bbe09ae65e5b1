/* SPDX-License-Identifier: MIT */
/* The API when memory runs out, and its arena. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "api_calls.h"
#include "core/api_arena.h"

/* The linker puts these in the allocator's place: so many calls go well, then one fails, or all. */
static long calls_left = -1;
static bool fails_on;
static bool out_of_memory(void) {
        if (calls_left < 0)
                return false;
        if (calls_left > 0) {
                calls_left--;
                return false;
        }
        if (!fails_on)
                calls_left = -1;
        return true;
}
void *__real_calloc(size_t count, size_t size);
void *__real_malloc(size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_calloc(size_t count, size_t size) {
        return out_of_memory() ? NULL : __real_calloc(count, size);
}
void *__wrap_malloc(size_t size) {
        return out_of_memory() ? NULL : __real_malloc(size);
}
void *__wrap_realloc(void *old, size_t size) {
        return out_of_memory() ? NULL : __real_realloc(old, size);
}

/* Whatever allocation fails: a reply, a STATUS, or the connection's end; never a crash, a leak or silence. */
static void test_every_failing_allocation_is_answered_or_ends_the_connection(void **state) {
        static const char *const subjects[] = {"$SYS.api.list", "$SYS.api.names", "$SYS.api.who", "$SYS.api.status",
                                               "$SYS.api.limits"};
        unsigned replies = 0, refusals = 0, ends = 0;

        (void)state;
        for (int i = 0; i < 60; i++)
                fake_join(world, WORLD_UID); /* so that a list has to grow, and is shared instead of copied */
        for (size_t s = 0; s < RML_COUNT(subjects); s++)
                for (int on = 0; on < 2; on++)
                        for (long left = 0; left < 40; left++) {
                                uint8_t frame[256], tail[128];
                                struct rml_span none = {NULL, 0}, payload = {(const uint8_t *)"\x0a\x01p", 3};
                                struct fake *fake = fake_join(world, WORLD_UID);
                                bool asks = s == 2;
                                size_t n, len;
                                struct got *got;

                                SUBSCRIBE(fake, .sid = 1, .pattern = "p", .group = "g");
                                SUBSCRIBE(fake, .sid = 2, .pattern = "n", .name = true);
                                world_turn(world);
                                fake_skip(fake);
                                len = rml_put_tail_head(tail, rml_span_of(subjects[s]), none, none,
                                                        asks ? payload.len : 0);
                                if (asks) {
                                        memcpy(tail + len, payload.data, payload.len);
                                        len += payload.len;
                                }
                                n = rml_put_head(frame, RML_CALL, fake->next_id, &(struct rml_hop){0}, len);
                                memcpy(frame + n, tail, len);
                                fails_on = on;
                                calls_left = left;
                                core_peer_input(fake->peer, frame, n + len);
                                calls_left = -1;
                                world_turn(world);
                                got = fake_next(fake);
                                if (got) {
                                        assert_int_equal(got->id, fake->next_id);
                                        if (got->kind == RML_STATUS)
                                                refused(got, RAMAL__V1__CODE__CODE_OVER_LIMIT);
                                        else
                                                assert_int_equal(got->kind, RML_REPLY);
                                        replies += got->kind == RML_REPLY;
                                        refusals += got->kind == RML_STATUS;
                                        assert_null(fake_next(fake));
                                } else {
                                        assert_true(fake->closed);
                                        ends++;
                                }
                                fake_lost(fake);
                                world_reap(world);
                        }
        print_message("%u replies, %u refusals, %u connections ended\n", replies, refusals, ends);
        assert_true(replies > 0 && refusals > 2 * 2 * RML_COUNT(subjects));
}

static void test_arena_is_bounded_aligned_and_zeroed(void **state) {
        struct arena arena;
        unsigned char *big;
        size_t given = 0;

        (void)state;
        arena_init(&arena, 100000);
        assert_non_null(arena_alloc(&arena, 0));
        for (size_t n = 1; n < 300; n++) {
                unsigned char *piece = arena_alloc(&arena, n);

                assert_non_null(piece);
                assert_int_equal((uintptr_t)piece % sizeof(uint64_t), 0);
                for (size_t i = 0; i < n; i++)
                        assert_int_equal(piece[i], 0);
                memset(piece, 0xff, n);
                given += n;
        }
        assert_true(arena.bytes >= given);
        assert_false(arena.full);
        big = arena_alloc(&arena, 30000); /* larger than a block */
        assert_non_null(big);
        assert_int_equal(big[29999], 0);
        assert_null(arena_alloc(&arena, 100000));
        assert_true(arena.full);
        arena.full = false;
        assert_null(arena_array(&arena, SIZE_MAX / 2, 4));
        assert_true(arena.full);
        assert_non_null(arena_array(&arena, 10, 4));
        arena_deinit(&arena);

        arena_init(&arena, SIZE_MAX);
        calls_left = 0;
        assert_null(arena_alloc(&arena, 1));
        calls_left = -1;
        assert_false(arena.full);
        arena_deinit(&arena);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                WORLD_TEST(test_every_failing_allocation_is_answered_or_ends_the_connection),
                cmocka_unit_test(test_arena_is_bounded_aligned_and_zeroed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
