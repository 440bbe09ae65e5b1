/* SPDX-License-Identifier: MIT */
/* Connections, publishing and subscribing. Calls and names are in client_scenes_calls.c. */
#include "client_scenes.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "client/conn_private.h"

static char bytes[800000];

static void count_msg(ramal_conn *conn, const ramal_msg *msg, void *user) {
        (void)conn;
        sweep_check(ramal_msg_subject(msg)[0], "a message without a subject");
        (*(unsigned *)user)++;
}

static void count_gap(ramal_conn *conn, const ramal_gap *gap, void *user) {
        (void)conn;
        (void)gap;
        (*(unsigned *)user)++;
}

static void count_state(ramal_conn *conn, const ramal_sub_change *change, void *user) {
        (void)conn;
        (void)change;
        (*(unsigned *)user)++;
}

/* Of the connection: what is lost has a reason. */
static void on_state(ramal_conn *conn, const ramal_state_change *change, void *user) {
        (void)conn;
        (void)user;
        bool lost = change->state == RAMAL_CONNECTING || change->state == RAMAL_CLOSED;
        sweep_check(!lost || (change->error && change->error->code && change->error->message[0]),
                    "a connection is lost, and nothing says why");
}

static void tell(const char *subject, size_t len) {
        sweep_check(ramal_publish(scene.helper, subject, bytes, len) == 0, "the helper cannot publish");
}

static void wait_connected(ramal_conn *conn) {
        uint64_t until = scene_soon();
        while (ramal_conn_state(conn) != RAMAL_CONNECTED && ramal_now() < until && !sweep_starving())
                IN(FAIR(ramal_wait(conn, ramal_in_ms(1))));
}

void scene_client_open(const void *user) {
        (void)user;
        scene_close(scene_open(NULL));
}

void scene_client_tcp(const void *user) {
        (void)user;
        if (!scene.tcp[0])
                scene_client_open(NULL);
        else
                scene_close(scene_open(RAMAL_OPTIONS(.address = scene.tcp, .token_file = scene.token)));
}

/* What was asked for before there is a connection. */
void scene_client_async(const void *user) {
        ramal_options options = {.size = sizeof(options),         .address = scene.address,  .on_state = on_state,
                                 .wait_broker = true,             .backoff_min_ns = 1000000, .backoff_max_ns = 2000000};
        ramal_error error;
        ramal_conn *conn;
        unsigned got = 0;
        int r;
        (void)user;
        IN(r = ramal_open_async(&options, &conn, &error));
        FAIR(r);
        if (r == 0) {
                IN(FAIR(ramal_subscribe(conn, "async.a", count_msg, &got, NULL)));
                wait_connected(conn);
                IN(FAIR(ramal_sync(conn, scene_soon())));
        }
        scene_close(r == 0 ? conn : NULL);
}

void scene_client_subscribe(const void *user) {
        unsigned got = 0, gaps = 0, states = 0;
        ramal_conn *conn = scene_open(NULL);
        ramal_sub *sub = NULL, *other = NULL;
        ramal_error error;
        int r = -1;
        (void)user;
        if (conn) {
                IN(r = FAIR(ramal_subscribe_with(conn,
                                                 RAMAL_INTEREST(.pattern = "s.*", .group = "g", .on_gap = count_gap,
                                                                .on_state = count_state, .user = &states),
                                                 count_msg, &got, &sub)));
                IN(FAIR(ramal_subscribe(conn, "s.>", count_msg, &got, &other)));
                IN(FAIR(ramal_subscribe(conn, "s.>", count_msg, &got, NULL)));
                IN(FAIR(ramal_on_peer(conn, count_msg, NULL, &got)));
                if (r == 0)
                        IN(FAIR(ramal_sub_confirm(sub, scene_soon(), &error)));
                tell("s.a", 10);
                tell("s.a", 3000);
                scene_until(conn, &got);
                IN(ramal_sub_cancel(other));
                tell("s.a", 10);
                scene_pump(conn);
                sweep_check(!got || gaps == 0, "a gap where nothing was dropped");
        }
        scene_close(conn);
}

/* Taken one by one, with gaps between. */
void scene_client_pull(const void *user) {
        unsigned gaps = 0, missed = 0, taken = 0;
        ramal_conn *conn = scene_open(NULL);
        ramal_sub *sub = NULL;
        int r = -1;
        (void)user;
        if (conn) {
                IN(r = FAIR(ramal_subscribe_with(conn,
                                                 RAMAL_INTEREST(.pattern = "pull.*", .credit_messages = 1,
                                                                .window_messages = 1, .on_gap = count_gap, .user = &gaps),
                                                 NULL, NULL, &sub)));
                IN(FAIR(ramal_sync(conn, scene_soon())));
                for (unsigned i = 0; i < 5; i++)
                        tell("pull.a", 10);
                scene_pump(conn);
        }
        for (unsigned i = 0; r == 0 && i < 3; i++) {
                ramal_msg *msg;
                int n;
                IN(n = ramal_sub_next(sub, scene_soon(), &msg));
                FAIR(n);
                taken += n == 0;
                missed += n == -ENOMEM;
                ramal_msg_unref(msg);
                if (n < 0 && n != -ENOMEM)
                        break;
                if (taken + missed == 2)
                        break;
        }
        scene_close(conn);
}

static void on_receipt(ramal_conn *conn, const ramal_receipt *receipt, void *user) {
        (void)conn;
        (void)receipt;
        (*(unsigned *)user)++;
}

void scene_client_publish(const void *user) {
        unsigned receipts = 0, asked = 0;
        ramal_header header = RAMAL_HEADER("name", "value");
        ramal_conn *conn = scene_open(NULL);
        ramal_error error;
        uint64_t receivers = 0;
        (void)user;
        if (conn) {
                IN(FAIR(ramal_publish(conn, "p.a", bytes, 10)));
                IN(asked = ramal_publish_with(conn, "p.a", bytes, 10,
                                              &(ramal_publish_options){.size = sizeof(ramal_publish_options),
                                                                       .type = "t", .headers = &header, .header_count = 1,
                                                                       .key = "k", .on_receipt = on_receipt,
                                                                       .user = &receipts}) == 0);
                IN(FAIR(ramal_publish_wait(conn, "p.a", bytes, 10, NULL, scene_soon(), &receivers, &error)));
                IN(FAIR(ramal_publish_block(conn, "p.a", bytes, 10, NULL, scene_soon(), &error)));
                IN(ramal_cork(conn));
                for (unsigned i = 0; i < 100; i++)
                        IN(FAIR(ramal_publish(conn, "p.a", bytes, 2000)));
                IN(FAIR(ramal_uncork(conn)));
                IN(FAIR(ramal_flush(conn, scene_soon())));
        }
        sweep_memory_back();
        sweep_check(!asked || scene_sure(conn, &receipts), "a receipt that never comes");
        scene_close(conn);
        sweep_check(!asked || !conn || receipts == 1, "%u receipts for one publish", receipts);
}

/* Buffers that grow, and are given back: what comes then needs a new one. */
void scene_client_large(const void *user) {
        unsigned got = 0, subscribed = 0;
        ramal_conn *conn = scene_open(NULL);
        ramal_sub *other = NULL;
        uint64_t receivers;
        (void)user;
        if (conn) {
                IN(FAIR(ramal_subscribe(conn, "large.other", count_msg, &got, &other)));
                IN(subscribed = FAIR(ramal_subscribe_with(conn, RAMAL_INTEREST(.pattern = "large", .credit_messages = 1),
                                                          count_msg, &got, NULL)) == 0);
                IN(FAIR(ramal_sync(conn, scene_soon())));
                for (unsigned i = 0; i < 3; i++) {
                        IN(ramal_cork(conn));
                        IN(FAIR(ramal_publish(conn, "elsewhere", bytes, sizeof(bytes))));
                        IN(FAIR(ramal_uncork(conn)));
                        IN(FAIR(ramal_flush(conn, scene_soon())));
                        if (i == 2)
                                IN(other = ramal_sub_cancel(other));
                        unsigned before = got;
                        tell("large", i == 1 ? sizeof(bytes) : 10);
                        scene_reaches(conn, &got, before + 1);
                }
        }
        sweep_memory_back();
        if (conn) {
                scene_revive(conn);
                /* What a connection had sent before it was given up is still read. */
                uint64_t until = ramal_in_ms(SCENE_MS);
                int r;
                do
                        r = ramal_publish_wait(scene.helper, "large.other", bytes, 1, NULL, until, &receivers, NULL);
                while (r == 0 && receivers && ramal_now() < until);
                sweep_check(r == 0 && receivers == 0, "a cancelled subscription is there still: %d", r);
        }
        if (subscribed) { /* whatever could not be confirmed: it does not wait for ever */
                got = 0;
                tell("large", 10);
                sweep_check(scene_sure(conn, &got), "the subscription has dried up");
        }
        ramal_close(conn);
        scene_pump(NULL);
}

/* No credit, and then it comes back. */
void scene_client_block(const void *user) {
        unsigned got = 0;
        ramal_conn *conn = scene_open(NULL);
        ramal_error error;
        ramal_sub *sub;
        (void)user;
        sweep_check(ramal_subscribe_with(scene.helper,
                                         RAMAL_INTEREST(.pattern = "block", .overflow = RAMAL_OVERFLOW_BLOCK,
                                                        .credit_messages = 1),
                                         count_msg, &got, &sub) == 0,
                    "the helper cannot subscribe");
        sweep_check(ramal_sync(scene.helper, ramal_in_ms(SCENE_MS)) == 0, "the helper is of no use");
        for (unsigned i = 0; conn && i < 8; i++) {
                int r;
                IN(r = FAIR(ramal_publish(conn, "block", bytes, sizeof(bytes))));
                if (r == -EAGAIN)
                        scene_pump(conn);
        }
        if (conn)
                IN(FAIR(ramal_publish_block(conn, "block", bytes, 10, NULL, ramal_in_ms(1), &error)));
        ramal_sub_cancel(sub);
        scene_pump(conn);
        scene_close(conn);
}

/* The socket breaks: all that was asked for is asked for again. */
void scene_client_reconnect(const void *user) {
        unsigned got = 0, lost = 0;
        ramal_conn *conn = scene_open(RAMAL_OPTIONS(.on_state = on_state));
        (void)user;
        if (conn) {
                IN(FAIR(ramal_subscribe(conn, "again.a", count_msg, &got, NULL)));
                IN(FAIR(ramal_subscribe(conn, "again.>", count_msg, &got, NULL)));
                IN(FAIR(ramal_sync(conn, scene_soon())));
                uint64_t losses = conn->losses;
                if (conn->sock >= 0)
                        shutdown(conn->sock, SHUT_RDWR);
                for (uint64_t until = scene_soon(); ramal_now() < until && !lost; lost = conn->losses > losses)
                        IN(FAIR(ramal_wait(conn, ramal_in_ms(1))));
                wait_connected(conn);
                IN(FAIR(ramal_sync(conn, scene_soon())));
                tell("again.a", 10);
                scene_until(conn, &got);
        }
        scene_close(conn);
}

/* It ends for good; what was queued can still be taken. */
void scene_client_drain(const void *user) {
        ramal_conn *conn = scene_open(NULL);
        ramal_sub *sub = NULL;
        unsigned got = 0;
        int r = -1, drained = -1;
        (void)user;
        if (conn) {
                IN(r = FAIR(ramal_subscribe(conn, "drain.a", NULL, NULL, &sub)));
                IN(FAIR(ramal_subscribe(conn, "drain.*", count_msg, &got, NULL)));
                IN(FAIR(ramal_sync(conn, scene_soon())));
                tell("drain.a", 10);
                tell("drain.a", 20);
                scene_until(conn, &got);
                IN(drained = FAIR(ramal_drain(conn, scene_soon())));
                sweep_check(drained == -ENOTCONN || ramal_conn_state(conn) == RAMAL_CLOSED,
                            "ramal_drain: %d, and it is not closed", drained);
        }
        for (unsigned i = 0; r == 0 && i < 3; i++) {
                ramal_msg *msg;
                IN(FAIR(ramal_sub_next(sub, 0, &msg)));
                ramal_msg_unref(msg);
        }
        if (conn && drained == -ENOTCONN) {
                scene_close(conn);
                return;
        }
        scene_close(NULL);
        ramal_close(conn);
}

static void on_post(ramal_conn *conn, void *user) {
        (void)conn;
        (*(unsigned *)user)++;
}

void scene_client_post(const void *user) {
        ramal_conn *conn = scene_open(NULL);
        unsigned posted = 0, ran = 0;
        (void)user;
        if (conn) {
                for (unsigned i = 0; i < 4; i++)
                        IN(posted += FAIR(ramal_post(conn, on_post, &ran)) == 0);
                scene_pump(conn);
                sweep_check(ran == posted, "%u posts taken, %u run", posted, ran);
                IN(FAIR(ramal_post(conn, on_post, &ran)));
        }
        scene_close(conn);
}
