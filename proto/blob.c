/* SPDX-License-Identifier: MIT */
#include "blob.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/check.h"

static bool fits(size_t room) {
        return room <= SIZE_MAX - sizeof(struct rml_blob);
}

struct rml_blob *rml_blob_new(size_t room) {
        if (!fits(room))
                return NULL;
        struct rml_blob *blob = malloc(sizeof(*blob) + room);
        if (!blob)
                return NULL;
        blob->refs = 1;
        blob->room = room;
        return blob;
}

struct rml_blob *rml_blob_resize(struct rml_blob *blob, size_t room) {
        rml_check(blob->refs == 1);
        if (!fits(room))
                return NULL;
        struct rml_blob *moved = realloc(blob, sizeof(*blob) + room);
        if (!moved)
                return NULL;
        moved->room = room;
        return moved;
}

struct rml_blob *rml_blob_ref(struct rml_blob *blob) {
        rml_check(blob->refs > 0 && blob->refs < SIZE_MAX);
        blob->refs++;
        return blob;
}

struct rml_blob *rml_blob_unref(struct rml_blob *blob) {
        if (!blob)
                return NULL;
        rml_check(blob->refs > 0);
        if (--blob->refs == 0)
                free(blob);
        return NULL;
}
