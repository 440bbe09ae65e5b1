/* SPDX-License-Identifier: MIT */
/*
 * What a broker, or somebody in its place, sends to the library. Byte 0 are the bits below, byte 1 the size of the
 * pieces in which the rest arrives. Whatever the bytes are: no callback runs twice or after its end, everything is
 * given back, and the library never asks more than is there.
 */
#include "client/conn_private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIT_UP 1u     /* after WELCOME; else the bytes answer HELLO */
#define BIT_FRAMED 2u /* each frame is one byte of length and its bytes; else the stream as it is */
#define BIT_BLOCK 4u  /* callbacks make blocking calls */
#define BIT_CANCEL 8u /* callbacks cancel what they belong to */
#define BIT_TCP 16u   /* the address is a TCP one, so that CHALLENGE is answered */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
        ramal_conn *conn;
        unsigned bits;
        unsigned ends[2]; /* of the call and the receipt */
        ramal_sub *sub;
        ramal_req *kept;
        int peer;
};

static void read_all_of(const ramal_msg *msg) {
        size_t cursor = 0, len;
        ramal_header header;
        volatile uint8_t sum = 0;
        const uint8_t *data = ramal_msg_data(msg, &len);

        for (size_t i = 0; i < len; i++)
                sum = (uint8_t)(sum + data[i]);
        while (ramal_msg_header_next(msg, &cursor, &header))
                sum = (uint8_t)(sum + header.name_len + header.value_len);
        sum = (uint8_t)(sum + strlen(ramal_msg_subject(msg)) + strlen(ramal_msg_type(msg)));
        sum = (uint8_t)(sum + strlen(ramal_msg_sender(msg)->identity));
}

static void on_msg(ramal_conn *conn, const ramal_msg *msg, void *user) {
        struct world *world = user;

        read_all_of(msg);
        ramal_msg *kept = ramal_msg_ref(msg);
        read_all_of(kept);
        ramal_msg_unref(kept);
        if (world->bits & BIT_BLOCK) {
                ramal_request(conn, "self", NULL, 0, ramal_now() + 1000, &kept, NULL);
                ramal_msg_unref(kept);
                read_all_of(msg);
        }
        if (world->bits & BIT_CANCEL)
                world->sub = ramal_sub_cancel(world->sub);
}

static void on_cancel(ramal_req *req, ramal_why why, void *user) {
        struct world *world = user;

        (void)why;
        rml_check(req == world->kept);
        world->kept = ramal_req_drop(req);
}

static void on_request(ramal_conn *conn, ramal_req *req, void *user) {
        struct world *world = user;

        (void)conn;
        read_all_of(ramal_req_msg(req));
        ramal_reply_more(req, "x", 1);
        if (world->kept) {
                ramal_reply(req, "y", 1);
                return;
        }
        world->kept = req;
        ramal_req_on_cancel(req, on_cancel, world);
}

static void on_reply(ramal_conn *conn, int result, const ramal_msg *reply, const ramal_error *error, void *user) {
        struct world *world = user;

        (void)conn;
        rml_check((result < 0) == (error != NULL));
        rml_check(world->ends[0] == 0);
        if (reply)
                read_all_of(reply);
        world->ends[0] += result != RAMAL_MORE;
}

static void on_receipt(ramal_conn *conn, const ramal_receipt *receipt, void *user) {
        struct world *world = user;

        (void)conn, (void)receipt;
        rml_check(world->ends[1]++ == 0);
}

static void on_owner(ramal_conn *conn, const char *name, uint64_t owner, void *user) {
        (void)conn, (void)name, (void)owner, (void)user;
}

static void on_gap(ramal_conn *conn, const ramal_gap *gap, void *user) {
        (void)conn, (void)gap, (void)user;
}

static void on_change(ramal_conn *conn, const ramal_sub_change *change, void *user) {
        (void)conn, (void)change, (void)user;
}

/* A connection whose socket ends here. */
static void connect_to_us(struct world *world, bool tcp) {
        ramal_options options = {
                .size = sizeof(options),
                .address = tcp ? "unix:@fuzz-tcp" : "unix:@fuzz",
                .no_reconnect = true,
                .no_spin = true,
        };
        int pair[2];

        rml_check(ramal_open_async(&options, &world->conn, NULL) == 0);
        rml_check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
        if (tcp)
                world->conn->targets[0].addr.kind = RML_ADDR_TCP;
        world->conn->timer_at = RAMAL_NEVER;
        world->conn->phase = RML_PHASE_HELLO;
        world->conn->ids = 1;
        rml_io_socket(world->conn, pair[0]);
        world->peer = pair[1];
}

/* Everything that a broker may answer: sids 1 to 5, ids 2 and up. */
static void fill_world(struct world *world, ramal_sub **pull, ramal_call **pulled) {
        ramal_conn *conn = world->conn;
        ramal_interest interest = {.size = sizeof(interest), .pattern = "p", .on_gap = on_gap, .on_state = on_change};
        ramal_publish_options options = {.size = sizeof(options), .on_receipt = on_receipt, .user = world};

        if (world->bits & BIT_UP) {
                conn->payload_max = 1 << 20;
                conn->framer.frame_bytes_max = 1 << 20;
                conn->peer = 9;
                rml_welcomed(conn);
        }
        ramal_subscribe(conn, "a", on_msg, world, &world->sub);
        ramal_subscribe_with(conn, &interest, NULL, NULL, pull);
        ramal_serve(conn, "s", on_request, world, NULL);
        ramal_claim(conn, "n", 0, NULL, NULL, NULL);
        ramal_watch_name(conn, "w", on_owner, NULL, NULL);
        *pulled = NULL;
        if (!(world->bits & BIT_UP))
                return;
        ramal_request_async(conn, "c", NULL, 0, RAMAL_NEVER, on_reply, world, NULL);
        ramal_request_async(conn, "c", NULL, 0, RAMAL_NEVER, NULL, NULL, pulled);
        ramal_publish_with(conn, "r", NULL, 0, &options);
}

static void drain_peer(int peer) {
        char buf[4096];

        while (recv(peer, buf, sizeof(buf), MSG_DONTWAIT) > 0)
                ;
}

static void feed(struct world *world, const uint8_t *data, size_t size, size_t piece) {
        while (size > 0) {
                size_t n = size < piece ? size : piece;
                ssize_t sent = send(world->peer, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (ramal_dispatch(world->conn, 0) < 0 && ramal_conn_state(world->conn) == RAMAL_CLOSED)
                        return;
                drain_peer(world->peer);
                if (sent <= 0)
                        continue; /* its socket is full: it has read some now */
                data += sent;
                size -= (size_t)sent;
        }
}

static void feed_frames(struct world *world, const uint8_t *data, size_t size, size_t piece) {
        uint8_t frame[RML_PREFIX_BYTES + 255];

        while (size > 0) {
                size_t len = data[0] < size - 1 ? data[0] : size - 1;
                rml_put_prefix(frame, (uint32_t)len);
                memcpy(frame + RML_PREFIX_BYTES, data + 1, len);
                feed(world, frame, RML_PREFIX_BYTES + len, piece);
                data += 1 + len;
                size -= 1 + len;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct world world = {.peer = -1};
        ramal_sub *pull;
        ramal_call *pulled;
        ramal_msg *msg;

        if (size < 2)
                return 0;
        world.bits = data[0];
        size_t piece = data[1] ? data[1] : 65536;
        connect_to_us(&world, rml_auth_available() && (world.bits & BIT_TCP));
        fill_world(&world, &pull, &pulled);
        if (world.bits & BIT_FRAMED)
                feed_frames(&world, data + 2, size - 2, piece);
        else
                feed(&world, data + 2, size - 2, piece);
        for (unsigned i = 0; i < 64 && ramal_sub_next(pull, 0, &msg) == 0; i++) {
                read_all_of(msg);
                ramal_msg_unref(msg);
        }
        for (unsigned i = 0; pulled && i < 64 && !ramal_call_ended(pulled); i++) {
                ramal_call_next(pulled, 0, &msg, NULL);
                ramal_msg_unref(msg);
        }
        close(world.peer);
        /* The loss ends what is left, once. */
        while (ramal_dispatch(world.conn, 0) >= 0 || ramal_conn_state(world.conn) != RAMAL_CLOSED)
                ;
        rml_check(!(world.bits & BIT_UP) || (world.ends[0] == 1 && world.ends[1] == 1));
        ramal_close(world.conn);
        return 0;
}
