/* SPDX-License-Identifier: MIT */
/*
 * Reads frames (with prefixes) on stdin and says on stdout how our scanner and how protobuf-c understand each, two lines
 * a frame, for differential.py to compare:
 *
 *   S <fields>  or  S ! <reason> at <offset>      our scanner, as a client hears a broker
 *   C <fields>  or  C !                           protobuf-c
 *
 * A third column in front of <fields> is "odd" where a subject is not UTF-8 or has a NUL in it, else "-": those get
 * through the scan and are refused by the grammar.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "encode.h"
#include "framer.h"
#include "scan.h"
#include "subject.h"

/* ---- what protobuf-c has unpacked: any message, by its descriptor ---- */

static void print_hex(const uint8_t *bytes, size_t len) {
        for (size_t i = 0; i < len; i++)
                printf("%02x", bytes[i]);
}

static void print_message(const ProtobufCMessage *message);

static size_t element_size(ProtobufCType type) {
        switch (type) {
        case PROTOBUF_C_TYPE_UINT64:
                return sizeof(uint64_t);
        case PROTOBUF_C_TYPE_UINT32:
                return sizeof(uint32_t);
        case PROTOBUF_C_TYPE_ENUM:
                return sizeof(int);
        case PROTOBUF_C_TYPE_BOOL:
                return sizeof(protobuf_c_boolean);
        case PROTOBUF_C_TYPE_BYTES:
                return sizeof(ProtobufCBinaryData);
        default:
                return sizeof(void *);
        }
}

static uint64_t number_of(ProtobufCType type, const void *member) {
        switch (type) {
        case PROTOBUF_C_TYPE_UINT64:
                return *(const uint64_t *)member;
        case PROTOBUF_C_TYPE_UINT32:
                return *(const uint32_t *)member;
        case PROTOBUF_C_TYPE_ENUM:
                return (uint64_t) * (const int *)member;
        case PROTOBUF_C_TYPE_BOOL:
                return (uint64_t) * (const protobuf_c_boolean *)member;
        default:
                fprintf(stderr, "scan_dump: the schema has a type that is not known here\n");
                exit(2);
        }
}

/* Whether these are there means nothing, only what is in them. */
static bool presence_means_nothing(const char *name) {
        return strcmp(name, "hop_ext") == 0 || strcmp(name, "ext") == 0;
}

static bool is_empty(const ProtobufCMessage *message) {
        /* Unknown fields count for nothing. */
        ProtobufCMessage *copy = malloc(message->descriptor->sizeof_message);

        if (!copy)
                abort();
        memcpy(copy, message, message->descriptor->sizeof_message);
        copy->n_unknown_fields = 0;
        bool empty = protobuf_c_message_get_packed_size(copy) == 0;
        free(copy);
        return empty;
}

/* member: of a singular field, or an element of a repeated one, which is printed even when it is zero. */
static void print_value(const ProtobufCFieldDescriptor *field, const void *member, bool element) {
        if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
                const ProtobufCMessage *inner = *(ProtobufCMessage *const *)member;
                if (!inner || (presence_means_nothing(field->name) && is_empty(inner)))
                        return;
                printf(" %s{", field->name);
                print_message(inner);
                printf(" }");
        } else if (field->type == PROTOBUF_C_TYPE_STRING) {
                const char *text = *(char *const *)member;
                if (!element && !text[0])
                        return;
                printf(" %s=", field->name);
                print_hex((const uint8_t *)text, strlen(text));
        } else if (field->type == PROTOBUF_C_TYPE_BYTES) {
                const ProtobufCBinaryData *bytes = member;
                if (!element && bytes->len == 0)
                        return;
                printf(" %s=", field->name);
                print_hex(bytes->data, bytes->len);
        } else {
                uint64_t value = number_of(field->type, member);
                if (element || value != 0)
                        printf(" %s=%llu", field->name, (unsigned long long)value);
        }
}

static void print_message(const ProtobufCMessage *message) {
        const ProtobufCMessageDescriptor *type = message->descriptor;

        for (unsigned i = 0; i < type->n_fields; i++) {
                const ProtobufCFieldDescriptor *field = &type->fields[i];
                const char *member = (const char *)message + field->offset;
                const void *quantifier = (const char *)message + field->quantifier_offset;
                if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) && *(const uint32_t *)quantifier != field->id)
                        continue;
                if (field->label != PROTOBUF_C_LABEL_REPEATED) {
                        print_value(field, member, false);
                        continue;
                }
                size_t count = *(const size_t *)quantifier;
                const char *elements = *(char *const *)(const void *)member;
                for (size_t at = 0; at < count; at++)
                        print_value(field, elements + at * element_size(field->type), true);
        }
}

/* ---- what our scanner has found in a data frame ---- */

static void print_number(const char *name, uint64_t value) {
        if (value != 0)
                printf(" %s=%llu", name, (unsigned long long)value);
}

static void print_span(const char *name, struct rml_span span) {
        if (span.len == 0)
                return;
        printf(" %s=", name);
        print_hex(span.data, span.len);
}

static void print_sender(const struct rml_sender *sender) {
        printf(" sender{");
        print_number("peer", sender->peer);
        if (sender->local) {
                printf(" local{");
                print_number("uid", sender->uid);
                print_number("gid", sender->gid);
                print_number("pid", sender->pid);
                printf(" }");
        }
        print_span("identity", sender->identity);
        printf(" }");
}

static void print_hop_ext(const struct rml_data *data) {
        bool any = data->key.len || data->stream_credit || data->revision || data->must_not_exist || data->owned ||
                   data->nfds || data->everyone || data->origin || data->hops;

        if (!any)
                return;
        printf(" hop_ext{");
        print_span("key", data->key);
        print_number("stream_credit", data->stream_credit);
        print_number("revision", data->revision);
        print_number("must_not_exist", data->must_not_exist);
        print_number("owned", data->owned);
        print_number("nfds", data->nfds);
        print_number("everyone", data->everyone);
        print_number("origin", data->origin);
        print_number("hops", data->hops);
        printf(" }");
}

static void print_data(const struct rml_data *data) {
        struct rml_span rest = data->headers, name, value;

        print_number("sid", data->sid);
        print_number("token", data->token);
        print_number("flags", data->flags);
        print_number("time_left_us", data->time_left_us);
        print_number("seq", data->seq);
        if (data->has_sender)
                print_sender(&data->sender);
        print_number("replaced", data->replaced);
        print_number("code", data->code);
        print_span("text", data->text);
        print_hop_ext(data);
        print_span("subject", data->subject);
        print_span("type", data->type);
        while (rml_header_next(&rest, &name, &value)) {
                printf(" headers{");
                print_span("name", name);
                print_span("value", value);
                printf(" }");
        }
        print_span("payload", data->payload);
}

/* ---- both ---- */

static bool odd_subscribe(const Ramal__V1__Subscribe *subscribe) {
        return strcmp(subscribe->pattern, " ") == 0 || strcmp(subscribe->group, " ") == 0 ||
               (subscribe->sender && strcmp(subscribe->sender->name, " ") == 0);
}

static bool is_odd(const struct rml_control *control) {
        if (control->kind == RML_SUBSCRIBE)
                return odd_subscribe((const Ramal__V1__Subscribe *)control->message);
        if (control->kind == RML_WILL) {
                const Ramal__V1__Will *will = (const Ramal__V1__Will *)control->message;
                return will->message && strcmp(will->message->subject, " ") == 0;
        }
        return false;
}

/* "WELCOME" -> "welcome", as the schema has it. */
static void print_kind(uint32_t kind) {
        char buf[24];

        for (const char *name = rml_kind_name(kind, buf); *name; name++)
                putchar(*name >= 'A' && *name <= 'Z' ? *name - 'A' + 'a' : *name);
}

static void scan(struct rml_span bytes) {
        struct rml_frame frame;
        struct rml_fault fault = {0, ""};
        int r = rml_scan_frame(bytes, &frame, &fault);

        if (r == 0 && rml_control_descriptor(frame.kind)) {
                struct rml_control control;
                r = rml_control_unpack(&frame, &control, &fault);
                if (r == 0) {
                        printf("S %s", is_odd(&control) ? "odd" : "-");
                        print_number("id", frame.id);
                        printf(" ");
                        print_kind(frame.kind);
                        printf("{");
                        print_message(control.message);
                        printf(" }\n");
                        rml_control_free(&control);
                }
        } else if (r == 0 && frame.kind >= RML_PUBLISH && frame.kind <= RML_DELIVER) {
                struct rml_data data;
                r = rml_scan_data(&frame, RML_FROM_BROKER, &data, &fault);
                if (r == 0) {
                        printf("S %s", rml_utf8_valid(data.subject) ? "-" : "odd");
                        print_number("id", frame.id);
                        printf(" ");
                        print_kind(frame.kind);
                        printf("{");
                        print_data(&data);
                        printf(" }\n");
                }
        } else if (r == 0) {
                printf("S -");
                print_number("id", frame.id);
                printf("\n");
        }
        if (r < 0)
                printf("S ! %s at %zu (%d)\n", fault.reason, fault.offset, r);
}

static void unpack(struct rml_span bytes) {
        Ramal__V1__Frame *frame = ramal__v1__frame__unpack(NULL, bytes.len, bytes.data);

        if (!frame) {
                printf("C !\n");
                return;
        }
        printf("C -");
        print_message(&frame->base);
        printf("\n");
        ramal__v1__frame__free_unpacked(frame, NULL);
}

int main(void) {
        static uint8_t input[65536];
        struct rml_framer framer;
        struct rml_raw raw;
        size_t n;
        int r = 0;

        rml_framer_init(&framer, 1 << 20);
        while (r == 0 && (n = fread(input, 1, sizeof(input), stdin)) > 0) {
                struct rml_span in = {input, n};
                while ((r = rml_framer_next(&framer, &in, &raw)) > 0) {
                        scan((struct rml_span){raw.data, raw.len});
                        unpack((struct rml_span){raw.data, raw.len});
                }
        }
        size_t pending = rml_framer_pending(&framer);
        rml_framer_deinit(&framer);
        if (r < 0 || pending > 0) {
                fprintf(stderr, "scan_dump: the input is no sequence of frames\n");
                return 2;
        }
        return 0;
}
