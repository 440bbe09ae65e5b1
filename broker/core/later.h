/* SPDX-License-Identifier: MIT */
/* What the protocol names already and this release does not do yet. One table: a field of it is answered UNSUPPORTED
 * by its name and its feature is absent from WELCOME.features. */
#ifndef RAMAL_LATER_H
#define RAMAL_LATER_H

#include "scan.h"

/* The dotted name of the first field that asks for something later ("subscribe.tap"), or NULL. */
const char *later_in_data_named(enum rml_kind, const struct rml_data *);
/* Most ask for nothing that could be. */
static inline const char *later_in_data(enum rml_kind kind, const struct rml_data *data) {
        return data->flags || data->revision || data->nfds || data->origin || data->hops || data->must_not_exist ||
                               data->owned || data->everyone
                       ? later_in_data_named(kind, data)
                       : NULL;
}
const char *later_in_control(enum rml_kind, const ProtobufCMessage *);

/* What this release does: for WELCOME.features. NULL-terminated. */
extern const char *const later_features[];

struct later {
        enum rml_kind kind;
        const char *field;
        bool (*in_data)(const struct rml_data *); /* of a data kind this, of others the next */
        bool (*in_control)(const ProtobufCMessage *);
};
extern const struct later later_table[];
extern const size_t later_count;

#endif
