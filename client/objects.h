/* SPDX-License-Identifier: MIT */
/* What a program has handles on, and the numbers of the library. Private, as conn_private.h, which says how all of
 * it works together. */
#ifndef RAMAL_OBJECTS_H
#define RAMAL_OBJECTS_H

#include <ramal/ramal.h>
#include <stdatomic.h>

#include "proto/addr.h"
#include "proto/base/heap.h"
#include "proto/base/list.h"
#include "proto/base/table.h"
#include "proto/control.h"
#include "proto/encode.h"
#include "proto/framer.h"
#include "proto/bounds.h"
#include "proto/resolve.h"
#include "proto/scan.h"
#include "proto/spin.h"
#include "proto/status.h"
#include "proto/subject.h"

#define RML_NS_PER_MS UINT64_C(1000000)
#define RML_NS_PER_S UINT64_C(1000000000)

#define RML_IN_BYTES (64u << 10)      /* of one recv */
#define RML_IN_BYTES_BIG (256u << 10) /* for frames about as long as that */
#define RML_IN_BYTES_FEW (4u << 10)   /* at first; and after a recv of less, hardly anything has come since */
#define RML_BATCH_BYTES (64u << 10)   /* a batch is sent when it is that long */
#define RML_OUT_BYTES_DEFAULT (4u << 20)
#define RML_DIRECT_BYTES (16u << 10) /* payloads from here on are sent from where they lie */
#define RML_SOCKET_BUFFER_BYTES (1u << 20)
#define RML_CREDIT_BYTES_DEFAULT (4u << 20)
#define RML_STREAM_BYTES (256u << 10) /* unconfirmed replies of one call */
#define RML_STREAM_FRAMES_MAX 65536u
#define RML_TARGETS_MAX 8u
#define RML_ASKED_OFTEN 32u
#define RML_PROBE_BYTES (256u << 10) /* so many bytes of publishes, then the broker is asked whether it has them */
#define RML_CONFIRM_NS (5 * RML_NS_PER_MS)
#define RML_PROBE_NS (100 * RML_NS_PER_MS)
#define RML_IDLE_NS (30 * RML_NS_PER_S) /* TCP: silence after which the broker is asked whether it is there */
#define RML_CLOSE_NS RML_NS_PER_S
#define RML_DRAIN_NS_MAX (3600 * RML_NS_PER_S)
#define RML_SPAN_NS_MAX (UINT64_C(1) << 62) /* RAMAL_NEVER given as a time span */

/* ---- messages ---- */

/* What accessors of a borrowed message make on demand. */
struct rml_msg_text {
        bool has_subject, has_type, has_sender;
        ramal_sender sender;
        char subject[RML_SUBJECT_BYTES_MAX + 1];
        char type[256];
        char identity[64];
};

struct ramal_msg {
        struct rml_span payload, subject, type, headers;
        uint32_t header_count, flags;
        uint64_t seq, replaced, expires;
        struct rml_sender from;
        struct rml_msg_text *text; /* NULL: owned, and all of the following are there */
        const char *subject_z, *type_z;
        ramal_sender sender;
        atomic_uint refs; /* of an owned one; behind it lies what its spans point into */
};

/* On the stack of whoever calls back. */
struct rml_msg_view {
        struct ramal_msg msg;
        struct rml_msg_text text;
};
/* arrived: when it was read; 0: just now. */
ramal_msg *rml_msg_view(struct rml_msg_view *, const struct rml_data *, uint64_t arrived);
/* Returns owned, or NULL without memory. */
ramal_msg *rml_msg_copy(const struct rml_data *, uint64_t arrived);
/* What is left of its time, as a time of day; RAMAL_NEVER where it has no end. */
uint64_t rml_expiry(const struct rml_data *, uint64_t arrived);

/* ---- what is waited for ---- */

enum rml_ask { RML_ASK_PING, RML_ASK_SUBSCRIBE, RML_ASK_CALL, RML_ASK_RECEIPT, RML_ASK_BYE };

/* A frame of ours that has an id and waits for its answer. */
struct rml_pending {
        struct rml_table_node node; /* conn->pending */
        uint64_t id;
        uint64_t published; /* publishes before it: its answer proves them accepted */
        enum rml_ask ask;
        bool waiting; /* it is in the table */
};

/* A PING or BYE. */
struct rml_ping {
        struct rml_pending pending;
        int result; /* 1 = none yet */
};

struct rml_receipt {
        struct rml_pending pending;
        struct rml_list link; /* conn->receipts */
        ramal_receipt_fn fn;
        void *user;
        uint64_t publish;
        struct rml_receipt_wait *wait; /* of ramal_publish_wait(), instead of fn */
};
struct rml_receipt_wait {
        bool done;
        uint64_t receivers;
        ramal_error error;
};

/* What a pull queue holds. */
struct rml_item {
        struct rml_list link;
        ramal_msg *msg; /* NULL: a gap */
        uint64_t seq;
        size_t bytes;
        bool stale; /* not to be confirmed: of a connection that was lost, or confirmed by ramal_drain() */
        struct {
                uint64_t first, last, count, bytes;
                ramal_why why;
        } gap;
};

/* What was received and is to be confirmed, of an interest or a call. */
struct rml_confirm {
        struct rml_list link; /* conn->confirm_now or confirm_later */
        uint64_t seen;        /* the latest number whose message was dealt with */
        uint64_t bytes, messages;
        uint64_t bytes_max, messages_max; /* credit that was asked; 0: none of that kind */
        uint64_t sid, call;               /* which of both it is */
        bool soon;                        /* at the end of the turn, however little it is */
        bool listed_now;                  /* it is in confirm_now */
};

struct rml_watch {
        char *name;
        ramal_owner_fn fn;
        void *user;
        ramal_call *call; /* asks who owns it */
        uint64_t owner;
        bool told;
};

struct ramal_sub {
        ramal_conn *conn;
        struct rml_table_node node; /* conn->sids */
        struct rml_list link;       /* conn->subs, in order of making */
        struct rml_list changed;    /* conn->changed: state was not told yet */
        struct rml_list blocks;     /* conn->blocks, where its overflow rule is `block` */
        struct rml_pending pending;
        struct rml_confirm confirm;
        uint64_t sid;
        char *pattern, *group;
        uint64_t window_bytes, window_messages;
        ramal_policy policy;
        ramal_overflow overflow;
        unsigned name_flags;
        bool serve, name, unicast;
        bool floating; /* nobody has the handle */
        bool dead;     /* cancelled: lives only until nothing of it runs */
        bool starved;  /* without memory for something that ramal_sub_next() would have given */
        bool demoted;  /* its `block` is `drop_old`, until it is asked for again */
        unsigned running;
        ramal_msg_fn msg_fn;
        ramal_req_fn req_fn;
        void *user;
        ramal_gap_fn on_gap;
        ramal_sub_state_fn on_state;
        void *event_user;
        ramal_sub_state state, told;
        uint64_t queued;
        ramal_why why;
        ramal_error *error;    /* why it was refused */
        struct rml_list items; /* without msg_fn */
        struct rml_item *held; /* handed out by the last ramal_sub_next(), not confirmed yet */
        uint64_t delivered, dropped;
        struct rml_watch *watch;
};

struct ramal_call {
        ramal_conn *conn;
        struct rml_pending pending;
        struct rml_heap_node timer; /* conn->timers */
        struct rml_list link;       /* conn->calls, or calls_ended while there is a handle */
        struct rml_confirm confirm;
        ramal_reply_fn fn;
        void *user;
        bool ended;    /* nothing comes any more */
        bool told;     /* its end was handed out */
        bool internal; /* not waited for by ramal_drain() */
        bool dead;     /* cancelled while ramal_call_next() waits */
        bool stuck;    /* a callback waits for it */
        unsigned waiting;
        int result;
        ramal_error *error;
        struct rml_list items; /* without fn */
};

struct ramal_req {
        ramal_conn *conn;
        struct rml_table_node node; /* conn->tokens */
        struct rml_list link;       /* conn->reqs */
        uint64_t token, deadline;
        ramal_msg *msg; /* borrowed during the callback, then owned */
        bool cancelled, consumed, lost;
        unsigned running; /* callbacks of it that have not returned */
        ramal_why why;
        ramal_cancelled_fn on_cancel;
        void *cancel_user;
        bool cancel_due;
        ramal_req_writable_fn on_writable;
        void *writable_user;
        bool wants_room, writable_due;
        struct rml_list due; /* conn->reqs_due */
        uint32_t *sizes;     /* of the replies that are not confirmed: a ring */
        size_t sizes_room, sizes_first, sizes_count;
        uint64_t confirmed, unconfirmed_bytes;
};

#endif
