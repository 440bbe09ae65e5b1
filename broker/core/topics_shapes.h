/* SPDX-License-Identifier: MIT */
/* Patterns by their shape: how many tokens, which of them '*', and whether '>' follows. There are many patterns and few
 * shapes; so what fits a subject is looked up once for each shape, with the subject's own tokens in its gaps, and a
 * pattern costs one bucket, for its slot is its node. Only so many shapes are taken: whoever thinks up more makes
 * nobody else's lookups longer. */
#ifndef RAMAL_TOPICS_SHAPES_H
#define RAMAL_TOPICS_SHAPES_H

#include "bounds.h"
#include "topics.h"

#define TOPIC_SHAPES_MAX 32u

/* A subject, cut up. */
struct topic_cut {
        size_t count;
        struct rml_span tokens[RML_SUBJECT_TOKENS_MAX];
        uint64_t hashes[RML_SUBJECT_TOKENS_MAX];       /* of each */
        uint64_t begins[RML_SUBJECT_TOKENS_MAX + 1];   /* of so many from the first on */
};
void topic_cut_up(const struct rml_seed *, struct rml_span subject, struct topic_cut *ret);

struct topic_shape {
        uint32_t stars; /* bit i: token i is '*' */
        uint8_t tokens; /* so many, '>' not counted */
        bool tail;      /* '>' follows */
        size_t patterns;
};

/* All zero but for the seed = empty. Each bucket is a chain of different patterns; slots of one pattern are a ring, of
 * which one is in the chain. */
struct topic_shapes {
        struct rml_seed seed;
        struct topic_slot **buckets; /* NULL = &first, one bucket */
        struct topic_slot *first;
        size_t size, mask;           /* buckets in use, and the bits that count in a hash */
        size_t count;                /* patterns */
        struct topic_shape shapes[TOPIC_SHAPES_MAX];
        size_t shape_count;
};

void topic_shapes_deinit(struct topic_shapes *);
/* By slot->pattern. Returns false for one shape too many. Never fails for want of memory. */
bool topic_shapes_put(struct topic_shapes *, struct topic_slot *);
void topic_shapes_remove(struct topic_shapes *, struct topic_slot *);
/* One of the ring of exactly this pattern, the oldest one, or NULL. */
struct topic_slot *topic_shapes_at(const struct topic_shapes *, struct rml_span pattern);
/* The same of the pattern of shape i that fits the subject: no more than one does. */
struct topic_slot *topic_shapes_match(const struct topic_shapes *, size_t i, const struct topic_cut *);

#endif
