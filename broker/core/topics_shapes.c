/* SPDX-License-Identifier: MIT */
/* The buckets grow and shrink one at a time (linear hashing), so no subscription waits for all others to be sorted
 * anew. Hashes are not kept: they are made of the text again where a bucket is split. */
#include "topics_shapes.h"

#include <stdlib.h>
#include <string.h>

#include "subject.h"

#define BUCKETS_MIN 16u
#define LOAD 2u /* patterns for each bucket */

static uint64_t join(const struct rml_seed *seed, uint64_t begin, uint64_t token) {
        return rml_hash_u64(seed, begin, token);
}

static uint64_t token_hash(const struct rml_seed *seed, struct rml_span token) {
        return rml_hash(seed, token.data, token.len);
}

void topic_cut_up(const struct rml_seed *seed, struct rml_span subject, struct topic_cut *ret) {
        size_t n = 0;

        ret->begins[0] = 0;
        while (n < RML_SUBJECT_TOKENS_MAX && rml_subject_token(&subject, &ret->tokens[n])) {
                ret->hashes[n] = token_hash(seed, ret->tokens[n]);
                ret->begins[n + 1] = join(seed, ret->begins[n], ret->hashes[n]);
                n++;
        }
        ret->count = n;
}

static bool is_token(struct rml_span token, char c) {
        return token.len == 1 && token.data[0] == c;
}

static uint64_t pattern_hash(const struct topic_shapes *shapes, struct rml_span pattern) {
        uint64_t hash = 0;
        struct rml_span token;

        while (rml_subject_token(&pattern, &token))
                hash = join(&shapes->seed, hash, token_hash(&shapes->seed, token));
        return hash;
}

/* ---- shapes ---- */

static struct topic_shape shape_of(struct rml_span pattern) {
        struct topic_shape shape = {0};
        struct rml_span token;

        while (rml_subject_token(&pattern, &token)) {
                if (is_token(token, '>')) {
                        shape.tail = true;
                        break;
                }
                if (is_token(token, '*'))
                        shape.stars |= UINT32_C(1) << shape.tokens;
                shape.tokens++;
        }
        return shape;
}

/* Of a pattern: NULL if there is none like it. */
static struct topic_shape *shape_find(struct topic_shapes *shapes, struct rml_span pattern) {
        struct topic_shape wanted = shape_of(pattern);

        for (size_t i = 0; i < shapes->shape_count; i++) {
                struct topic_shape *shape = &shapes->shapes[i];

                if (shape->stars == wanted.stars && shape->tokens == wanted.tokens && shape->tail == wanted.tail)
                        return shape;
        }
        return NULL;
}

static struct topic_shape *shape_need(struct topic_shapes *shapes, struct rml_span pattern) {
        struct topic_shape *shape = shape_find(shapes, pattern);

        if (shape || shapes->shape_count == TOPIC_SHAPES_MAX)
                return shape;
        shape = &shapes->shapes[shapes->shape_count++];
        *shape = shape_of(pattern);
        return shape;
}

/* ---- buckets ---- */

static size_t bucket_of(const struct topic_shapes *shapes, uint64_t hash) {
        size_t i = (size_t)hash & shapes->mask;

        return i < shapes->size ? i : i & shapes->mask >> 1;
}

static struct topic_slot **bucket_at(struct topic_shapes *shapes, size_t i) {
        return shapes->buckets ? &shapes->buckets[i] : &shapes->first;
}

static struct topic_slot *chain_of(const struct topic_shapes *shapes, uint64_t hash) {
        return shapes->buckets ? shapes->buckets[bucket_of(shapes, hash)] : shapes->first;
}

/* Room for so many, or all stays as it was. */
static bool buckets_room(struct topic_shapes *shapes, size_t room) {
        struct topic_slot **buckets;

        if (room > SIZE_MAX / sizeof(struct topic_slot *))
                return false;
        buckets = realloc(shapes->buckets, room * sizeof(struct topic_slot *));
        if (!buckets)
                return false;
        if (!shapes->buckets) {
                buckets[0] = shapes->first;
                shapes->first = NULL;
                shapes->size = 1;
                shapes->mask = 0;
        }
        shapes->buckets = buckets;
        return true;
}

/* One more, that takes its part out of another. Room is a power of two. */
static bool bucket_split(struct topic_shapes *shapes) {
        size_t fresh = shapes->buckets ? shapes->size : 1;
        struct topic_slot **from, **to;

        if (!shapes->buckets ? !buckets_room(shapes, BUCKETS_MIN)
                             : fresh > shapes->mask && fresh >= BUCKETS_MIN && !buckets_room(shapes, 2 * fresh))
                return false;
        if (fresh > shapes->mask)
                shapes->mask = 2 * shapes->mask + 1;
        shapes->size = fresh + 1;
        from = &shapes->buckets[fresh & shapes->mask >> 1];
        to = &shapes->buckets[fresh];
        *to = NULL;
        while (*from) {
                struct topic_slot *slot = *from;

                if (((size_t)pattern_hash(shapes, rml_span_of(slot->pattern)) & shapes->mask) != fresh) {
                        from = &slot->next;
                        continue;
                }
                *from = slot->next;
                slot->next = *to;
                *to = slot;
        }
        return true;
}

/* One less: what it has goes back to where it came from. */
static void bucket_merge(struct topic_shapes *shapes) {
        size_t last = shapes->size - 1;
        struct topic_slot **at = &shapes->buckets[last & shapes->mask >> 1];

        while (*at)
                at = &(*at)->next;
        *at = shapes->buckets[last];
        shapes->size = last;
        if (last == (shapes->mask >> 1) + 1) {
                shapes->mask >>= 1;
                buckets_room(shapes, 2 * last);
        }
}

void topic_shapes_deinit(struct topic_shapes *shapes) {
        free(shapes->buckets);
        *shapes = (struct topic_shapes){.seed = shapes->seed};
}

/* ---- slots ---- */

struct topic_slot *topic_shapes_at(const struct topic_shapes *shapes, struct rml_span pattern) {
        struct topic_slot *slot = chain_of(shapes, pattern_hash(shapes, pattern));

        while (slot && !rml_span_equal(rml_span_of(slot->pattern), pattern))
                slot = slot->next;
        return slot;
}

bool topic_shapes_put(struct topic_shapes *shapes, struct topic_slot *slot) {
        struct rml_span pattern = rml_span_of(slot->pattern);
        struct topic_shape *shape = shape_need(shapes, pattern);
        struct topic_slot *other, **bucket;

        if (!shape)
                return false;
        other = topic_shapes_at(shapes, pattern);
        if (other) {
                rml_list_insert_before(&slot->link, &other->link);
                slot->chained = false;
                return true;
        }
        if (shapes->count >= LOAD * (shapes->buckets ? shapes->size : BUCKETS_MIN / 4))
                bucket_split(shapes);
        bucket = bucket_at(shapes, shapes->buckets ? bucket_of(shapes, pattern_hash(shapes, pattern)) : 0);
        rml_list_init(&slot->link);
        slot->chained = true;
        slot->next = *bucket;
        *bucket = slot;
        shapes->count++;
        shape->patterns++;
        return true;
}

/* The pattern has no slot any more. */
static void pattern_gone(struct topic_shapes *shapes, struct rml_span pattern) {
        struct topic_shape *shape = shape_find(shapes, pattern);

        if (!--shape->patterns)
                *shape = shapes->shapes[--shapes->shape_count];
        if (!--shapes->count)
                topic_shapes_deinit(shapes);
        else if (shapes->buckets && shapes->size > BUCKETS_MIN && shapes->count < shapes->size / 8)
                bucket_merge(shapes);
}

void topic_shapes_remove(struct topic_shapes *shapes, struct topic_slot *slot) {
        struct rml_span pattern = rml_span_of(slot->pattern);
        struct topic_slot **at, *heir;

        if (!slot->chained) {
                rml_list_remove(&slot->link);
                return;
        }
        at = bucket_at(shapes, shapes->buckets ? bucket_of(shapes, pattern_hash(shapes, pattern)) : 0);
        while (*at != slot)
                at = &(*at)->next;
        heir = rml_list_linked(&slot->link) ? rml_list_entry(slot->link.next, struct topic_slot, link) : NULL;
        if (heir) {
                heir->chained = true;
                heir->next = slot->next;
        }
        *at = heir ? heir : slot->next;
        rml_list_remove(&slot->link);
        if (!heir)
                pattern_gone(shapes, pattern);
}

/* ---- subjects ---- */

static bool shape_fits(const struct topic_shape *shape, const struct topic_cut *cut) {
        if (shape->tail ? cut->count <= shape->tokens : cut->count != shape->tokens)
                return false;
        /* What begins with '$' is the broker's own: no wildcard reaches it by chance. */
        return cut->tokens[0].data[0] != '$' || !(shape->stars & 1 || !shape->tokens);
}

static bool shape_has(const struct topic_shape *shape, size_t token) {
        return shape->stars >> token & 1;
}

/* Is that pattern of this shape what the subject's tokens make of it? */
static bool pattern_fits(const char *pattern, const struct topic_shape *shape, const struct topic_cut *cut) {
        for (size_t i = 0; i < shape->tokens; i++) {
                struct rml_span star = {(const uint8_t *)"*", 1}, token = shape_has(shape, i) ? star : cut->tokens[i];

                if (i && *pattern++ != '.')
                        return false;
                if (strncmp(pattern, (const char *)token.data, token.len) != 0)
                        return false;
                pattern += token.len;
        }
        return strcmp(pattern, !shape->tail ? "" : shape->tokens ? ".>" : ">") == 0;
}

struct topic_slot *topic_shapes_match(const struct topic_shapes *shapes, size_t i, const struct topic_cut *cut) {
        const struct rml_seed *seed = &shapes->seed;
        const struct topic_shape *shape = &shapes->shapes[i];
        size_t token = shape->stars ? (size_t)__builtin_ctz(shape->stars) : shape->tokens;
        struct topic_slot *slot;
        uint64_t hash;

        if (!shape_fits(shape, cut))
                return NULL;
        for (hash = cut->begins[token]; token < shape->tokens; token++)
                hash = join(seed, hash, shape_has(shape, token) ? rml_hash(seed, "*", 1) : cut->hashes[token]);
        if (shape->tail)
                hash = join(seed, hash, rml_hash(seed, ">", 1));
        slot = chain_of(shapes, hash);
        while (slot && !pattern_fits(slot->pattern, shape, cut))
                slot = slot->next;
        return slot;
}
