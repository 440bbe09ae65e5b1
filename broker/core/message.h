/* SPDX-License-Identifier: MIT */
/* One message inside the broker: while it is routed it lies on the stack and points into what was read; what has to
 * wait becomes a counted body that all its queues share. */
#ifndef RAMAL_MESSAGE_H
#define RAMAL_MESSAGE_H

#include "base/list.h"
#include "encode.h"

struct account;
struct core;
struct peer;

/* Above this a body is referenced from the outputs instead of copied into each: the crossover was measured between 1
 * and 2 KiB. */
#define MESSAGE_COPY_MAX 2048u
/* One that is in the read buffer and has one receiver is copied up to here: a copy it needs in any case. */
#define MESSAGE_COPY_ALONE_MAX 65536u

/* What a message costs beside its bytes: the budgets of connection, uid and broker bound memory, so these count there;
 * windows and credits count bytes of the wire alone. The same on every machine, so that limits mean the same. */
#define MESSAGE_QUEUED_BYTES 144u /* for each queue that holds it */
#define MESSAGE_EXPIRY_BYTES 80u  /* and if it expires there */
#define MESSAGE_BODY_BYTES 208u   /* once */

struct body {
        size_t refs;
        size_t charge; /* with MESSAGE_BODY_BYTES counted once in the broker's total */
        struct core *core;
        struct rml_span tail;     /* fields 11-15 as the sender wrote them */
        struct rml_span subject;  /* inside tail */
        struct rml_blob *blob;    /* tail lies in here, or NULL: below */
        struct account *account;  /* the sender's, or NULL: the broker's own. Shared */
        struct peer *publisher;   /* whose publish credit it holds while it is in `block` queues; NULL: nobody's */
        struct rml_list held_link; /* publisher->held */
        uint32_t blocks;          /* `block` queues that it is in and holds credit for */
        bool keyed;
        uint64_t key;             /* hash of its key, if it has one */
        uint64_t expires_ns;      /* CORE_NEVER = never */
        struct rml_span sender;   /* as its message's: in here */
        uint8_t sender_field[RML_SENDER_BYTES_MAX];
        uint8_t bytes[];
};

/* The broker itself: a Sender with nothing in it. */
extern const struct rml_span message_sender_broker;

/* One of these is made for every frame: small, and what was just stored in it is not copied but pointed at. */
struct message {
        const struct rml_span *sender; /* the field, as deliveries bear it */
        struct rml_span tail;
        struct rml_span subject;
        size_t charge;          /* value of the sender's length prefix: what windows, credits and budgets count */
        struct rml_blob *blob;  /* tail lies in it, borrowed; or NULL */
        uint32_t flags;         /* TAPPED and what goes with it */
        uint64_t token;         /* of the call that is tapped */
        struct peer *from;      /* who sent it, NULL: the broker itself, or somebody who is gone */
        struct account *account; /* the sender's, NULL: the broker */
        bool keyed;
        uint64_t key;           /* hash of its key, if it has one */
        uint64_t expires_ns;    /* 0 and CORE_NEVER = never */
        bool held;              /* publish credit was taken for it */
        bool plain;             /* a publish of a peer, small enough to be copied, without an end: commit_plain() */
        size_t receivers;       /* so many may get it: a large one for several is shared */
        struct body *body;      /* NULL until something has to wait; one reference is the message's */
};

/* The body of a message, made at the first call. Borrowed from the message. NULL without memory. */
struct body *message_body(struct core *, struct message *);
/* Would its body fit into the broker's budget? */
bool message_fits(const struct core *, const struct message *, uint64_t budget);
/* May it be written to an output at once? A large one is shared with that and counts in the broker's budget until the
 * socket has taken it: *share is its body. A small one is copied (*share is NULL), as is a larger one that lies in the
 * read buffer and has one receiver. */
bool message_share(struct core *, struct message *, struct body **share);
bool message_share_reply(struct core *, struct message *, struct body **share); /* the reserve is for these */
/* Does the broker's budget keep a reply from being written at once? */
bool message_lacks_room(const struct core *, const struct message *reply);
/* The message that a body was made of, to be routed again. Borrows it: no message_done(). */
struct message message_again(struct body *);

static inline struct body *body_ref(struct body *body) {
        body->refs++;
        return body;
}
void body_free(struct body *);
/* Accepts NULL, returns NULL. */
static inline struct body *body_unref(struct body *body) {
        if (body && !--body->refs)
                body_free(body);
        return NULL;
}

static inline void message_done(struct message *message) {
        if (message->body)
                message->body = body_unref(message->body);
}

#endif
