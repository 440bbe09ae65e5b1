/* SPDX-License-Identifier: MIT */
/* A scripted broker in the test's own process: it says what the test wants, and shows what the client sent. */
#ifndef TEST_FAKE_H
#define TEST_FAKE_H

#include <ramal/ramal.h>

#include "proto/control.h"
#include "proto/encode.h"
#include "proto/framer.h"
#include "proto/subject.h"

/* What cmocka.h needs in front of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define FAKE_MS 5000 /* the longest that anything waits */

struct fake {
        int listener, sock;
        char address[64];
        struct rml_framer framer;
        uint8_t in[65536];
        struct rml_span input;
        uint64_t last_seq;
        uint64_t publish_credit; /* told in WELCOME, 0: none */
        /* the last frame that fake_expect() returned */
        struct rml_frame frame;
        struct rml_control control; /* of a control frame */
        struct rml_data data;       /* of a data frame */
        struct rml_blob *kept;
        size_t frame_len; /* the value of its length prefix */
};

void fake_start(struct fake *); /* listens on an abstract address of its own */
void fake_stop(struct fake *);

/* Accepts, takes HELLO and answers WELCOME. */
void fake_welcome(struct fake *, ramal_conn *);
/* ramal_open_async() and fake_welcome(). options may be NULL; its address is ignored. */
ramal_conn *fake_open(struct fake *, const ramal_options *options);
void fake_accept(struct fake *, ramal_conn *);
/* Closes the connection from the broker's side. */
void fake_hang_up(struct fake *);

/* Dispatches the client until it has nothing to do. */
void fake_settle(ramal_conn *);
/* The next frame of the client (but for its PINGs, which come when they please) must be of that kind; it is in frame,
 * and in control or data. */
void fake_expect(struct fake *, enum rml_kind);
/* Is there another frame? (The client must have settled.) Does not take it. */
bool fake_has_frame(struct fake *);
#define fake_control(fake, type) ((const Ramal__V1__##type *)(const void *)(fake)->control.message)

void fake_send(struct fake *, enum rml_kind, uint64_t id, const ProtobufCMessage *);
void fake_bytes(struct fake *, const void *data, size_t len);
/* DELIVER, or REPLY to a call: fields of hop, subject (NULL: none) and payload. */
void fake_data(struct fake *, enum rml_kind, uint64_t id, const struct rml_hop *hop, const char *subject,
               const char *payload);
void fake_deliver(struct fake *, uint64_t sid, uint64_t seq, const char *subject, const char *payload);
/* A request to us: token and time left in microseconds. */
void fake_request(struct fake *, uint64_t sid, uint64_t seq, uint64_t token, uint64_t time_left_us, const char *subject,
                  const char *payload);
void fake_reply(struct fake *, uint64_t id, uint64_t seq, bool more, const char *payload);
void fake_status(struct fake *, uint64_t id, Ramal__V1__Code code, const char *text);
void fake_subscribed(struct fake *, uint64_t sid, Ramal__V1__State state, uint64_t queued);
void fake_credit(struct fake *, uint64_t publish_bytes);
/* Takes the next frame, a PING, and answers it. */
void fake_pong(struct fake *);
void fake_gap(struct fake *, uint64_t sid, uint64_t first, uint64_t last, uint64_t count);

#endif
