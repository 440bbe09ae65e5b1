/* SPDX-License-Identifier: MIT */
/* Counted bytes: what a frame that arrived in pieces is collected in, and what several queues share. Not atomic:
 * a blob never leaves its thread. */
#ifndef RML_BLOB_H
#define RML_BLOB_H

#include <stddef.h>
#include <stdint.h>

struct rml_blob {
        size_t refs;
        size_t room; /* bytes[] holds so many */
        uint8_t bytes[];
};

/* Bytes somewhere else, borrowed. */
struct rml_span {
        const uint8_t *data;
        size_t len;
};

/* Returns owned, or NULL without memory. */
struct rml_blob *rml_blob_new(size_t room);
/* Grows (or shrinks) a blob of one reference; on failure the old one is untouched and NULL returned. */
struct rml_blob *rml_blob_resize(struct rml_blob *, size_t room);
struct rml_blob *rml_blob_ref(struct rml_blob *);
struct rml_blob *rml_blob_unref(struct rml_blob *); /* accepts NULL, returns NULL */

#endif
