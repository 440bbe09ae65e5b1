/* SPDX-License-Identifier: MIT */
/* Control frames: strict scan, then protobuf-c. */
#ifndef RML_CONTROL_H
#define RML_CONTROL_H

#include "scan.h"

/* A control message that was taken apart. Valid until rml_control_free(), and where it is: not to be copied. */
struct rml_control {
        enum rml_kind kind;
        uint64_t id;
        ProtobufCMessage *message; /* of the kind's type: cast it, e.g. (Ramal__V1__Hello *) */
        Ramal__V1__Credit credit;  /* most often it is this one */
};

/* The descriptor of a kind's message, NULL if the kind is unknown or a data kind. */
const ProtobufCMessageDescriptor *rml_control_descriptor(uint32_t kind);
/* "SUBSCRIBE", or "kind 77" for an unknown one (static, or written into buf). */
const char *rml_kind_name(uint32_t kind, char buf[24]);

/* Scans strictly and unpacks. Returns 0; -EBADMSG with *fault (offset in the frame); -EMSGSIZE above
 * RML_CONTROL_BYTES_MAX; -EINVAL for a kind without a descriptor; -ENOMEM. An enum value that we do not know is not a
 * fault here: the receiver refuses it. Nor is a bad subject (Subscribe.pattern and .group, SenderFilter.name): one that
 * is not UTF-8 or has a NUL in it is unpacked as " ", which no grammar accepts. */
int rml_control_unpack(const struct rml_frame *, struct rml_control *ret, struct rml_fault *fault);
void rml_control_free(struct rml_control *); /* may be called on an all-zero one */

/* Bytes of the whole frame, prefix included. message: an initialised message of the kind's type. */
size_t rml_control_size(enum rml_kind, uint64_t id, const ProtobufCMessage *message);
/* Writes exactly that many. */
size_t rml_control_pack(uint8_t *out, enum rml_kind, uint64_t id, const ProtobufCMessage *message);

#endif
