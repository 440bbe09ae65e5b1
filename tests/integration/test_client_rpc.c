/* SPDX-License-Identifier: MIT */
#include "client.h"

#include <pthread.h>
#include <unistd.h>

/* A service in a thread of its own, so that blocking calls can be tested. */
struct service {
        const struct ramald *ramald;
        ramal_conn *conn;
        pthread_t thread;
        ramal_req *kept;
        unsigned requests, cancelled;
        ramal_why why;
        size_t streamed, stream_bytes;
        unsigned stalls;
};

static void on_cancel(ramal_req *req, ramal_why why, void *user) {
        struct service *service = user;

        service->cancelled++;
        service->why = why;
        service->kept = ramal_req_drop(req);
}

static void stream(ramal_req *req, void *user) {
        struct service *service = user;
        char piece[8192];

        memset(piece, 'x', sizeof(piece));
        while (service->streamed < service->stream_bytes) {
                int r = ramal_reply_more(req, piece, sizeof(piece));
                if (r == -EAGAIN) {
                        service->stalls++;
                        return; /* called again */
                }
                if (r < 0)
                        break;
                service->streamed += sizeof(piece);
        }
        ramal_reply(req, "end", 3);
}

static void on_request(ramal_conn *conn, ramal_req *req, void *user) {
        struct service *service = user;
        const char *subject = ramal_msg_subject(ramal_req_msg(req));
        size_t len;

        service->requests++;
        if (strcmp(subject, "svc.echo") == 0) {
                const void *data = ramal_msg_data(ramal_req_msg(req), &len);
                ramal_reply(req, data, len);
        } else if (strcmp(subject, "svc.fail") == 0) {
                ramal_fail(req, 17, "no %s today", "cake");
        } else if (strcmp(subject, "svc.stream") == 0) {
                service->streamed = 0;
                ramal_req_on_writable(req, stream, service);
                stream(req, service);
        } else if (strcmp(subject, "svc.die") == 0) {
                ramal_stop(conn, 1);
        } else {
                service->kept = req; /* never answered */
                ramal_req_on_cancel(req, on_cancel, service);
        }
}

static void *serve(void *user) {
        struct service *service = user;

        return ramal_run(service->conn) == 1 ? NULL : service;
}

static void service_start(struct service *service, const struct ramald *ramald) {
        ramal_sub *sub;

        memset(service, 0, sizeof(*service));
        service->ramald = ramald;
        service->stream_bytes = 2 << 20;
        service->conn = open_conn(ramald);
        assert_int_equal(ramal_serve(service->conn, "svc.>", on_request, service, &sub), 0);
        assert_int_equal(ramal_sub_confirm(sub, ramal_in_ms(WAIT_MS), NULL), 0);
        assert_int_equal(pthread_create(&service->thread, NULL, serve, service), 0);
}

static void service_join(struct service *service) {
        void *failed;

        pthread_join(service->thread, &failed);
        assert_null(failed);
        ramal_close(service->conn);
}

static void service_stop(struct service *service) {
        ramal_stop(service->conn, 1);
        service_join(service);
}

static void test_rpc_request_is_answered(void **state) {
        struct bus *bus = *state;
        ramal_conn *conn = open_conn(&bus->ramald);
        struct service service;
        ramal_error error;
        ramal_msg *reply;
        size_t len;

        service_start(&service, &bus->ramald);
        for (int i = 0; i < 200; i++) {
                assert_int_equal(ramal_request(conn, "svc.echo", "hello", 5, ramal_in_ms(WAIT_MS), &reply, &error), 0);
                assert_memory_equal(ramal_msg_data(reply, &len), "hello", 5);
                assert_int_equal(len, 5);
                assert_int_equal(ramal_msg_sender(reply)->peer, ramal_conn_peer(service.conn));
                ramal_msg_unref(reply);
        }
        assert_int_equal(ramal_request(conn, "svc.fail", NULL, 0, ramal_in_ms(WAIT_MS), &reply, &error), -EREMOTEIO);
        assert_int_equal(error.remote, 17);
        assert_string_equal(error.message, "no cake today");
        assert_null(reply);
        assert_int_equal(ramal_request(conn, "nobody", NULL, 0, ramal_in_ms(WAIT_MS), NULL, &error), -ENOENT);
        service_stop(&service);
        assert_int_equal(ramal_request(conn, "svc.echo", NULL, 0, ramal_in_ms(WAIT_MS), NULL, &error), -ENOENT);
        ramal_close(conn);
}

static void test_rpc_large_request_and_reply(void **state) {
        struct bus *bus = *state;
        ramal_conn *conn = open_conn(&bus->ramald);
        struct service service;
        ramal_error error;
        ramal_msg *reply;
        size_t len, size = 6 << 20;
        char *data = malloc(size);

        for (size_t i = 0; i < size; i++)
                data[i] = (char)(i * 31 >> 3);
        service_start(&service, &bus->ramald);
        assert_int_equal(ramal_request(conn, "svc.echo", data, size, ramal_in_ms(WAIT_MS), &reply, &error), 0);
        const void *answer = ramal_msg_data(reply, &len);
        assert_int_equal(len, size);
        assert_memory_equal(answer, data, size);
        ramal_msg_unref(reply);
        free(data);
        service_stop(&service);
        ramal_close(conn);
}

struct stream_reader {
        size_t bytes;
        int result;
        bool done;
};

static void on_piece(ramal_conn *conn, int result, const ramal_msg *reply, const ramal_error *error, void *user) {
        struct stream_reader *reader = user;
        size_t len = 0;

        (void)conn, (void)error;
        if (reply)
                ramal_msg_data(reply, &len);
        reader->bytes += len;
        reader->result = result;
        reader->done = result != RAMAL_MORE;
}

static void test_rpc_stream_flows_as_it_is_read(void **state) {
        struct bus *bus = *state;
        ramal_conn *conn = open_conn(&bus->ramald);
        struct stream_reader reader = {0};
        struct service service;
        ramal_call *call;
        ramal_error error;
        ramal_msg *reply;
        size_t bytes = 0, len;
        int r;

        service_start(&service, &bus->ramald);
        assert_int_equal(
                ramal_request_async(conn, "svc.stream", NULL, 0, ramal_in_ms(WAIT_MS), on_piece, &reader, NULL), 0);
        WAIT_UNTIL(conn, reader.done);
        assert_int_equal(reader.result, 0);
        assert_int_equal(reader.bytes, service.stream_bytes + 3);

        assert_int_equal(ramal_request_async(conn, "svc.stream", NULL, 0, ramal_in_ms(WAIT_MS), NULL, NULL, &call), 0);
        do {
                r = ramal_call_next(call, ramal_in_ms(WAIT_MS), &reply, &error);
                assert_true(r >= 0);
                ramal_msg_data(reply, &len);
                bytes += len;
                ramal_msg_unref(reply);
        } while (r == RAMAL_MORE);
        assert_int_equal(bytes, service.stream_bytes + 3);
        ramal_call_cancel(call);
        assert_int_equal(ramal_request(conn, "svc.stream", NULL, 0, ramal_in_ms(WAIT_MS), NULL, &error), -EPROTOTYPE);
        service_stop(&service);
        assert_true(service.stalls > 0);
        ramal_close(conn);
}

static void test_rpc_deadline_and_cancel_reach_the_service(void **state) {
        struct bus *bus = *state;
        ramal_conn *conn = open_conn(&bus->ramald), *server = open_conn(&bus->ramald);
        struct service service = {.requests = 0};
        struct stream_reader reader = {0};
        ramal_call *call;
        ramal_sub *sub;

        ramal_serve(server, "svc.>", on_request, &service, &sub);
        assert_int_equal(ramal_sub_confirm(sub, ramal_in_ms(WAIT_MS), NULL), 0);
        assert_int_equal(ramal_request_async(conn, "svc.never", NULL, 0, ramal_in_ms(100), on_piece, &reader, NULL), 0);
        WAIT_UNTIL(server, service.requests == 1);
        WAIT_UNTIL(conn, reader.done);
        assert_int_equal(reader.result, -ETIMEDOUT);
        WAIT_UNTIL(server, service.cancelled == 1);

        assert_int_equal(ramal_request_async(conn, "svc.never", NULL, 0, RAMAL_NEVER, on_piece, &reader, &call), 0);
        WAIT_UNTIL(server, service.requests == 2);
        ramal_call_cancel(call);
        ramal_flush(conn, ramal_in_ms(WAIT_MS));
        WAIT_UNTIL(server, service.cancelled == 2);
        assert_int_equal(service.why, RAMAL_WHY_CANCELLED);

        assert_int_equal(ramal_request_async(conn, "svc.never", NULL, 0, RAMAL_NEVER, on_piece, &reader, NULL), 0);
        WAIT_UNTIL(server, service.requests == 3);
        ramal_close(conn);
        WAIT_UNTIL(server, service.cancelled == 3);
        assert_int_equal(service.why, RAMAL_WHY_GONE);
        ramal_close(server);
}

static void test_rpc_service_that_dies_is_told_at_once(void **state) {
        struct bus *bus = *state;
        ramal_conn *conn = open_conn(&bus->ramald);
        struct stream_reader reader = {0};
        struct service service;
        ramal_error error;
        ramal_call *call;
        ramal_msg *reply;

        service_start(&service, &bus->ramald);
        assert_int_equal(ramal_request_async(conn, "svc.die", NULL, 0, RAMAL_NEVER, NULL, NULL, &call), 0);
        service_join(&service);
        assert_int_equal(ramal_call_next(call, ramal_in_ms(WAIT_MS), &reply, &error), -EHOSTDOWN);
        assert_true(error.may_have_run);
        ramal_call_cancel(call);
        (void)reader;
        ramal_close(conn);
}

/* ---- a connection that calls itself ---- */

struct self {
        int inside;
        bool done;
};

static void call_in_callback(ramal_conn *conn, const ramal_msg *msg, void *user) {
        struct self *self = user;
        ramal_error error;

        (void)msg;
        self->inside = ramal_request(conn, "svc.echo", "x", 1, ramal_in_ms(WAIT_MS), NULL, &error);
        self->done = true;
}

static void test_rpc_own_service_answers_outside_a_callback_and_deadlocks_inside(void **state) {
        struct bus *bus = *state;
        ramal_conn *conn = open_conn(&bus->ramald);
        struct service service = {.requests = 0};
        struct self self = {.inside = 1};
        ramal_error error;
        ramal_sub *sub;

        ramal_serve(conn, "svc.>", on_request, &service, &sub);
        assert_int_equal(ramal_sub_confirm(sub, ramal_in_ms(WAIT_MS), NULL), 0);
        ramal_subscribe(conn, "go", call_in_callback, &self, NULL);
        assert_int_equal(ramal_request(conn, "svc.echo", "x", 1, ramal_in_ms(WAIT_MS), NULL, &error), 0);
        ramal_publish(conn, "go", NULL, 0);
        WAIT_UNTIL(conn, self.done);
        assert_int_equal(self.inside, -EDEADLK);
        /* And it goes on: also with another who serves the same call inside a callback. */
        assert_int_equal(ramal_request(conn, "svc.echo", "x", 1, ramal_in_ms(WAIT_MS), NULL, &error), 0);
        ramal_sub_cancel(sub);
        ramal_sync(conn, ramal_in_ms(WAIT_MS));
        struct service other;
        service_start(&other, &bus->ramald);
        self.done = false;
        ramal_publish(conn, "go", NULL, 0);
        WAIT_UNTIL(conn, self.done);
        assert_int_equal(self.inside, 0);
        service_stop(&other);
        ramal_close(conn);
}

static void test_rpc_many_in_flight_all_end(void **state) {
        struct bus *bus = *state;
        ramal_conn *conn = open_conn(&bus->ramald);
        struct service service;
        struct stream_reader readers[1000] = {0};
        unsigned done = 0;

        service_start(&service, &bus->ramald);
        ramal_cork(conn);
        for (size_t i = 0; i < 1000; i++)
                assert_int_equal(ramal_request_async(conn, "svc.echo", "x", 1, ramal_in_ms(WAIT_MS), on_piece,
                                                     &readers[i], NULL),
                                 0);
        ramal_uncork(conn);
        while (done < 1000) {
                done = 0;
                assert_true(ramal_wait(conn, ramal_in_ms(WAIT_MS)) > 0);
                for (size_t i = 0; i < 1000; i++)
                        done += readers[i].done;
        }
        for (size_t i = 0; i < 1000; i++)
                assert_int_equal(readers[i].result, 0);
        service_stop(&service);
        ramal_close(conn);
}

/* ---- unicast ---- */

static void on_unicast(ramal_conn *conn, const ramal_msg *msg, void *user) {
        (void)conn, (void)msg;
        ++*(unsigned *)user;
}

static void answer_unicast(ramal_conn *conn, ramal_req *req, void *user) {
        (void)conn;
        ++*(unsigned *)user;
        ramal_reply(req, "me", 2);
}

static void test_rpc_peer_is_reached_by_its_number(void **state) {
        struct bus *bus = *state;
        ramal_conn *conn = open_conn(&bus->ramald), *other = open_conn(&bus->ramald);
        struct stream_reader reader = {0};
        unsigned count = 0;
        char subject[64];

        assert_int_equal(ramal_on_peer(other, on_unicast, answer_unicast, &count), 0);
        assert_int_equal(ramal_sync(other, ramal_in_ms(WAIT_MS)), 0);
        snprintf(subject, sizeof(subject), "$PEER.%llu.hello", (unsigned long long)ramal_conn_peer(other));
        assert_int_equal(ramal_publish(conn, subject, NULL, 0), 0);
        assert_int_equal(ramal_request_async(conn, subject, NULL, 0, ramal_in_ms(WAIT_MS), on_piece, &reader, NULL), 0);
        WAIT_UNTIL(other, count == 2);
        WAIT_UNTIL(conn, reader.done);
        assert_int_equal(reader.result, 0);
        assert_int_equal(reader.bytes, 2);
        assert_int_equal(ramal_on_peer(other, NULL, NULL, NULL), 0);
        assert_int_equal(ramal_sync(other, ramal_in_ms(WAIT_MS)), 0);
        assert_int_equal(ramal_request(conn, subject, NULL, 0, ramal_in_ms(WAIT_MS), NULL, NULL), -ENOENT);
        ramal_close(other);
        ramal_close(conn);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_rpc_request_is_answered),
                TEST(test_rpc_large_request_and_reply),
                TEST(test_rpc_stream_flows_as_it_is_read),
                TEST(test_rpc_deadline_and_cancel_reach_the_service),
                TEST(test_rpc_service_that_dies_is_told_at_once),
                TEST(test_rpc_own_service_answers_outside_a_callback_and_deadlocks_inside),
                TEST(test_rpc_many_in_flight_all_end),
                TEST(test_rpc_peer_is_reached_by_its_number),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
