/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
        NUMBER_BYTES = 6,
        HEAD = 8,          /* number and sender */
        STAMPED = 16,      /* and the time */
        WHOLE = 4096,      /* payloads up to this size are compared byte by byte, each of them, */
        WHOLE_EVERY = 64,  /* larger ones one of so many, and of the others */
        PIECE = 64,        /* so many bytes at both ends and in the middle */
        STAMP_EVERY = 16,  /* where messages are sent in batches, one of so many bears a time, */
        STAMP_ALL = 20000, /* but for runs that are as short as this */
};

uint64_t bench_now(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int bench_payload_new(struct bench_payload *payload, size_t size) {
        payload->size = size;
        payload->bytes = malloc(size);
        if (!payload->bytes)
                return -ENOMEM;
        for (size_t i = 0; i < size; i++)
                payload->bytes[i] = (unsigned char)(i * 31 + 7);
        return 0;
}

void bench_payload_free(struct bench_payload *payload) {
        free(payload->bytes);
        payload->bytes = NULL;
}

/* All processes are of one machine: numbers are written as it has them. This must cost little beside the message. */
static void put(unsigned char *at, uint64_t value) {
        memcpy(at, &value, sizeof(value));
}

static uint64_t get(const unsigned char *at) {
        uint64_t value;
        memcpy(&value, at, sizeof(value));
        return value;
}

/* Of a number as many of its lowest bytes as there is room for. */
static void put_short(unsigned char *at, uint64_t value, size_t bytes) {
        for (size_t i = 0; i < bytes; i++)
                at[i] = (unsigned char)(value >> 8 * i);
}

static uint64_t get_short(const unsigned char *at, size_t bytes) {
        uint64_t value = 0;
        for (size_t i = 0; i < bytes; i++)
                value |= (uint64_t)at[i] << 8 * i;
        return value;
}

static uint64_t mask_of(size_t size) {
        return (UINT64_C(1) << 8 * (size < NUMBER_BYTES ? size : NUMBER_BYTES)) - 1;
}

void bench_payload_mark(struct bench_payload *payload, unsigned source, uint64_t number, uint64_t stamp) {
        if (payload->size < HEAD) {
                put_short(payload->bytes, number, payload->size < NUMBER_BYTES ? payload->size : NUMBER_BYTES);
                return;
        }
        put(payload->bytes, (number & mask_of(HEAD)) | (uint64_t)source << 8 * NUMBER_BYTES);
        if (payload->size >= STAMPED)
                put(payload->bytes + HEAD, stamp);
}

bool bench_payload_stamped(const struct bench_plan *plan, size_t size, uint64_t number) {
        if (size < STAMPED)
                return false;
        return !plan->batch || size > WHOLE || (plan->count > 0 && plan->count <= STAMP_ALL) ||
               number % STAMP_EVERY == 0;
}

int bench_track_new(struct bench_track *track, size_t size, unsigned sources) {
        *track = (struct bench_track){.sources = sources};
        track->next = calloc(sources, sizeof(*track->next));
        return track->next ? bench_payload_new(&track->pattern, size) : -ENOMEM;
}

void bench_track_free(struct bench_track *track) {
        free(track->next);
        bench_payload_free(&track->pattern);
}

static bool same_pattern(const struct bench_track *track, const unsigned char *bytes) {
        size_t size = track->pattern.size, from = size < STAMPED ? size < HEAD ? size : HEAD : STAMPED;
        const unsigned char *pattern = track->pattern.bytes;
        if (size <= WHOLE || track->seen % WHOLE_EVERY == 0)
                return memcmp(bytes + from, pattern + from, size - from) == 0;
        return memcmp(bytes + from, pattern + from, PIECE) == 0 &&
               memcmp(bytes + size / 2, pattern + size / 2, PIECE) == 0 &&
               memcmp(bytes + size - PIECE, pattern + size - PIECE, PIECE) == 0;
}

bool bench_track_check(struct bench_track *track, struct bench_task *task, const void *data, size_t len,
                       uint64_t *stamp) {
        const unsigned char *bytes = data;
        size_t size = track->pattern.size;
        uint64_t mask = mask_of(size), head = 0, source = 0, ahead = 0;
        bool right = len == size;
        track->seen++;
        if (right) {
                head = size < HEAD ? get_short(bytes, size < NUMBER_BYTES ? size : NUMBER_BYTES) : get(bytes);
                source = size < HEAD ? 0 : head >> 8 * NUMBER_BYTES;
                right = source < track->sources && same_pattern(track, bytes);
        }
        if (right) {
                ahead = (head - track->next[source]) & mask;
                /* More than half of all numbers ahead is behind. */
                right = ahead <= mask / 2;
        }
        *stamp = right && size >= STAMPED ? get(bytes + HEAD) : 0;
        if (!right) {
                bench_count(&task->self->wrong, 1);
                return false;
        }
        if (ahead > 0)
                bench_count(&task->self->missing, ahead);
        track->next[source] += ahead + 1;
        return true;
}

/* The last message of an order that has an end says when that was. */
static void note_end(struct bench_task *task, uint64_t per_source, uint64_t sources, uint64_t now) {
        uint64_t limit = atomic_load_explicit(&task->shared->limit, memory_order_relaxed), all;
        if (per_source > 0 && !__builtin_mul_overflow(limit, sources, &all) &&
            atomic_load_explicit(&task->self->messages, memory_order_relaxed) == all)
                atomic_store(&task->self->last_ns, now ? now : bench_now());
}

void bench_track_receive(struct bench_track *track, struct bench_task *task, const void *data, size_t len) {
        uint64_t stamp, now = 0;
        if (!bench_track_check(track, task, data, len, &stamp))
                return;
        if (stamp != 0 && atomic_load_explicit(&task->shared->record, memory_order_relaxed)) {
                now = bench_now();
                bench_histogram_add(&task->self->histogram, now > stamp ? now - stamp : 0);
        }
        bench_count(&task->self->messages, 1);
        note_end(task, task->job->plan->count, task->job->point->publishers, now);
}

void bench_track_answered(struct bench_task *task, uint64_t sent_at, uint64_t now) {
        if (atomic_load_explicit(&task->shared->record, memory_order_relaxed))
                bench_histogram_add(&task->self->histogram, now - sent_at);
        bench_count(&task->self->messages, 1);
        note_end(task, task->job->plan->count, 1, now);
}
