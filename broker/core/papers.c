/* SPDX-License-Identifier: MIT */
#include "papers.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "bounds.h"
#include "core.h"
#include "encode.h"

_Static_assert(CORE_GROUPS_MAX + PAPERS_ADDRESS_MAX + 2 * (RML_APP_BYTES_MAX + 1) < UINT16_MAX, "places fit");
_Static_assert(RML_SENDER_BYTES_MAX <= UINT8_MAX, "its length fits");

/* Returns the place behind it. */
static size_t put(char *texts, size_t at, const void *data, size_t len) {
        if (len)
                memcpy(texts + at, data, len);
        return at + len;
}

struct papers *papers_new(const uint32_t *groups, size_t group_count, const char *address, const char *app,
                          const char *library, struct rml_span sender) {
        size_t address_len = strnlen(address, PAPERS_ADDRESS_MAX), app_len = app ? strlen(app) : 0;
        size_t library_len = library ? strlen(library) : 0, groups_len = group_count * sizeof(groups[0]);
        size_t len = sender.len + address_len + app_len + library_len + 3, at;
        struct papers *papers;
        char *texts;

        rml_check(group_count <= CORE_GROUPS_MAX && app_len <= RML_APP_BYTES_MAX && library_len <= RML_APP_BYTES_MAX &&
                  sender.len <= RML_SENDER_BYTES_MAX);
        papers = calloc(1, sizeof(*papers) + groups_len + (len > RML_SENDER_BYTES_MAX ? len : RML_SENDER_BYTES_MAX));
        if (!papers)
                return NULL;
        papers->group_count = (uint16_t)group_count;
        if (group_count)
                memcpy(papers->groups, groups, groups_len);
        texts = (char *)(papers->groups + group_count);
        papers->sender_len = (uint8_t)sender.len;
        texts += put(texts, 0, sender.data, sender.len);
        at = put(texts, 0, address, address_len) + 1;
        papers->app = (uint16_t)at;
        at = put(texts, at, app, app_len) + 1;
        papers->library = (uint16_t)at;
        put(texts, at, library, library_len);
        return papers;
}
