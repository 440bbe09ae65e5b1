/* SPDX-License-Identifier: MIT */
/* What a connection is known by: its groups, its Sender field, and what it is called. One piece of memory, made when it
 * connects and made anew by HELLO; it does not change after that. */
#ifndef RAMAL_PAPERS_H
#define RAMAL_PAPERS_H

#include "blob.h"

#define PAPERS_ADDRESS_MAX 1023u

struct papers {
        uint16_t group_count, app, library; /* these two: where in the texts they begin */
        uint8_t sender_len;
        uint32_t groups[];       /* then the Sender field, and behind it the texts, each with its NUL: address, app,
                                  * library. From the field on there are RML_SENDER_BYTES_MAX bytes in any case */
};

/* app, library: NULL = not known yet. Returns owned, or NULL without memory. */
struct papers *papers_new(const uint32_t *groups, size_t group_count, const char *address, const char *app,
                          const char *library, struct rml_span sender);

static inline struct rml_span papers_sender(const struct papers *papers) {
        return (struct rml_span){(const uint8_t *)(papers->groups + papers->group_count), papers->sender_len};
}
static inline const char *papers_texts(const struct papers *papers) {
        return (const char *)(papers->groups + papers->group_count) + papers->sender_len;
}
static inline const char *papers_address(const struct papers *papers) {
        return papers_texts(papers);
}
static inline const char *papers_app(const struct papers *papers) {
        return papers_texts(papers) + papers->app;
}
static inline const char *papers_library(const struct papers *papers) {
        return papers_texts(papers) + papers->library;
}

#endif
