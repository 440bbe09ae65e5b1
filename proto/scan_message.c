/* SPDX-License-Identifier: MIT */
/* Control messages, held against the descriptors that protoc-c generates. */
#include "fields.h"
#include "bounds.h"
#include "subject.h"

#define DEPTH_MAX 8u

static int scan_fields(struct rml_fields *fields, const ProtobufCMessageDescriptor *type, unsigned depth);

/* A subject, a pattern or a name: its grammar is checked where it is used, and a bad one is no broken frame. */
static bool is_subject(const ProtobufCMessageDescriptor *type, uint32_t number) {
        return (type == &ramal__v1__subscribe__descriptor && (number == 2 || number == 4)) ||
               (type == &ramal__v1__sender_filter__descriptor && number == 1) ||
               (type == &ramal__v1__data__descriptor && number == 11);
}

/* What is forwarded to others as it is: nothing unknown can be taken out of it. */
static bool is_forwarded(const ProtobufCMessageDescriptor *type) {
        return type == &ramal__v1__data__descriptor || type == &ramal__v1__header__descriptor ||
               type == &ramal__v1__ext__descriptor;
}

static uint32_t wire_of(ProtobufCType type) {
        switch (type) {
        case PROTOBUF_C_TYPE_FIXED64:
        case PROTOBUF_C_TYPE_SFIXED64:
        case PROTOBUF_C_TYPE_DOUBLE:
                return RML_WIRE_FIXED64;
        case PROTOBUF_C_TYPE_FIXED32:
        case PROTOBUF_C_TYPE_SFIXED32:
        case PROTOBUF_C_TYPE_FLOAT:
                return RML_WIRE_FIXED32;
        case PROTOBUF_C_TYPE_STRING:
        case PROTOBUF_C_TYPE_BYTES:
        case PROTOBUF_C_TYPE_MESSAGE:
                return RML_WIRE_BYTES;
        default:
                return RML_WIRE_VARINT;
        }
}

/* Runtimes differ in how they cut off what does not fit the type. */
static bool number_fits(ProtobufCType type, uint64_t value) {
        switch (type) {
        case PROTOBUF_C_TYPE_BOOL:
                return value <= 1;
        case PROTOBUF_C_TYPE_UINT32:
        case PROTOBUF_C_TYPE_SINT32:
                return value <= UINT32_MAX;
        case PROTOBUF_C_TYPE_INT32:
                return value <= INT32_MAX || value >= UINT64_C(0xffffffff80000000);
        case PROTOBUF_C_TYPE_ENUM:
                return value <= INT32_MAX;
        default:
                return true;
        }
}

/* All elements of a packed field. */
static int scan_packed(const struct rml_fields *fields, const ProtobufCFieldDescriptor *known,
                       const struct rml_field *field) {
        static const char *const fault = "a packed field holds a number that does not fit";
        uint32_t wire = wire_of(known->type);

        if (wire == RML_WIRE_FIXED64 || wire == RML_WIRE_FIXED32) {
                size_t size = wire == RML_WIRE_FIXED64 ? 8 : 4;
                return field->bytes.len % size == 0 ? 0 : rml_fault_at(fields->origin, field->tag, fault);
        }
        struct rml_fields elements = rml_fields_of(field->bytes, fields->origin);
        while (elements.at != elements.end) {
                const uint8_t *start = elements.at;
                uint64_t value;
                int r = rml_fields_varint(&elements, &value);
                if (r < 0)
                        return r;
                if (!number_fits(known->type, value))
                        return rml_fault_at(fields->origin, start, fault);
        }
        return 0;
}

static int scan_known(const struct rml_fields *fields, const ProtobufCMessageDescriptor *type,
                      const ProtobufCFieldDescriptor *known, const struct rml_field *field, unsigned depth) {
        uint32_t wire = wire_of(known->type);

        if (known->label == PROTOBUF_C_LABEL_REPEATED) {
                if (wire != RML_WIRE_BYTES && field->wire == RML_WIRE_BYTES)
                        return scan_packed(fields, known, field);
        } else if (field->again) {
                return rml_fault_at(fields->origin, field->tag, "a field is there twice");
        }
        if (field->wire != wire)
                return rml_fault_at(fields->origin, field->tag, "a field has the wrong wire type");
        if (known->type == PROTOBUF_C_TYPE_MESSAGE) {
                if (depth == DEPTH_MAX)
                        return rml_fault_at(fields->origin, field->tag, "messages are nested too deep");
                struct rml_fields inner = rml_fields_of(field->bytes, fields->origin);
                return scan_fields(&inner, known->descriptor, depth + 1);
        }
        if (known->type == PROTOBUF_C_TYPE_STRING && !is_subject(type, field->number) && !rml_utf8_valid(field->bytes))
                return rml_fault_at(fields->origin, field->tag, "a text is not valid UTF-8 without NUL");
        if (wire == RML_WIRE_VARINT && !number_fits(known->type, field->value))
                return rml_fault_at(fields->origin, field->tag, "a number does not fit its field");
        return 0;
}

/* Fields ascend on the wire and in the descriptor: one walk along both. */
static int scan_fields(struct rml_fields *fields, const ProtobufCMessageDescriptor *type, unsigned depth) {
        struct rml_field field;
        struct rml_unknown unknown = {0, 0};
        unsigned i = 0;
        int r;

        while ((r = rml_fields_next(fields, &field)) > 0) {
                while (i < type->n_fields && type->fields[i].id < field.number)
                        i++;
                if (i < type->n_fields && type->fields[i].id == field.number)
                        r = scan_known(fields, type, &type->fields[i], &field, depth);
                else if (is_forwarded(type))
                        r = rml_fault_at(fields->origin, field.tag, "there is an unknown field in what is forwarded");
                else
                        r = rml_fields_unknown(fields, &field, &unknown);
                if (r < 0)
                        return r;
        }
        return r;
}

int rml_scan_message(const ProtobufCMessageDescriptor *type, struct rml_span message, struct rml_fault *fault) {
        const struct rml_origin origin = {message.data, 0, fault};
        struct rml_fields fields = rml_fields_of(message, &origin);

        return scan_fields(&fields, type, 1);
}
