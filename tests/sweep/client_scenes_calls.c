/* SPDX-License-Identifier: MIT */
/* Requests, services and names. */
#include "client_scenes.h"

#include <errno.h>
#include <string.h>

static const char payload[20000];

/* One end, and no reply after it. */
struct end {
        unsigned ends, replies;
};

static void on_reply(ramal_conn *conn, int result, const ramal_msg *reply, const ramal_error *error, void *user) {
        struct end *end = user;
        (void)conn;
        sweep_check(!end->ends, "a reply after the end of a call");
        sweep_check((result < 0) == (error != NULL) && (result < 0 || reply), "result %d with an error %p", result,
                    (const void *)error);
        end->replies += result >= 0;
        end->ends += result != RAMAL_MORE;
}

void scene_client_request(const void *user) {
        ramal_conn *conn = scene_open(NULL);
        ramal_error error = {.code = 0};
        ramal_msg *reply;
        (void)user;
        if (conn) {
                int r;
                IN(r = FAIR(ramal_request(conn, "$SYS.api.list", NULL, 0, scene_soon(), &reply, &error)));
                sweep_check((r == 0) == (reply != NULL) && (r == 0 || error.message[0]), "%d with a reply %p and '%s'", r,
                            (void *)reply, error.message);
                ramal_msg_unref(reply);
                IN(r = ramal_request(conn, "nobody.there", NULL, 0, scene_soon(), &reply, &error));
                sweep_check(r < 0, "nobody has answered");
                IN(FAIR(ramal_request(conn, "help.silence", NULL, 0, ramal_in_ms(1), &reply, &error)));
        }
        scene_close(conn);
}

/* Takes all replies. */
static void pull(ramal_conn *conn, ramal_call *call) {
        uint64_t until = scene_soon();
        ramal_error error;
        for (int r = RAMAL_MORE; call && r == RAMAL_MORE && ramal_now() < until;) {
                ramal_msg *msg;
                scene_pump(conn);
                IN(r = FAIR(ramal_call_next(call, 0, &msg, &error)));
                ramal_msg_unref(msg);
                if (r == -ETIMEDOUT && !ramal_call_ended(call))
                        r = RAMAL_MORE;
        }
}

void scene_client_calls(const void *user) {
        struct end echo = {0, 0}, bad = {0, 0}, stream = {0, 0};
        unsigned asked[3] = {0};
        ramal_conn *conn = scene_open(NULL);
        ramal_call *pulled = NULL, *refused = NULL, *silent = NULL;
        (void)user;
        if (conn) {
                IN(asked[0] = FAIR(ramal_request_async(conn, "help.echo", payload, 10, scene_soon(), on_reply, &echo, NULL)) == 0);
                IN(asked[1] = FAIR(ramal_request_async(conn, "help.error", payload, 10, scene_soon(), on_reply, &bad, NULL)) == 0);
                IN(asked[2] = FAIR(ramal_request_async(conn, "help.stream", payload, sizeof(payload), scene_soon(), on_reply, &stream, NULL)) == 0);
                IN(FAIR(ramal_request_async(conn, "help.stream", payload, 10, scene_soon(), NULL, NULL, &pulled)));
                IN(FAIR(ramal_request_async(conn, "help.error", payload, 10, scene_soon(), NULL, NULL, &refused)));
                IN(FAIR(ramal_request_async(conn, "help.silence", payload, 10, RAMAL_NEVER, NULL, NULL, &silent)));
                scene_pump(conn);
                pull(conn, pulled);
                pull(conn, refused);
                IN(ramal_call_cancel(refused));
                IN(ramal_call_cancel(pulled));
                IN(ramal_call_cancel(silent));
                scene_pump(conn);
        }
        sweep_memory_back();
        for (unsigned i = 0; i < 3; i++) {
                struct end *end = i == 0 ? &echo : i == 1 ? &bad : &stream;
                sweep_check(!asked[i] || scene_sure(conn, &end->ends), "call %u has no end", i);
        }
        scene_close(conn);
        sweep_check(!conn || (echo.ends == asked[0] && bad.ends == asked[1] && stream.ends == asked[2]),
                    "%u, %u and %u ends of calls", echo.ends, bad.ends, stream.ends);
}

struct kept {
        ramal_req *req;
        unsigned served, cancelled;
};

static void on_cancel(ramal_req *req, ramal_why why, void *user) {
        (void)req;
        (void)why;
        ((struct kept *)user)->cancelled++;
}

/* The helper's already. */
static void on_refused(ramal_conn *conn, const ramal_sub_change *change, void *user) {
        (void)conn;
        (void)user;
        if (change->state == RAMAL_SUB_ENDED)
                sweep_check(!change->error || change->error->code == -EEXIST, "refused with %d", change->error->code);
}

static void on_request(ramal_conn *conn, ramal_req *req, void *user) {
        struct kept *kept = user;
        const char *subject = ramal_msg_subject(ramal_req_msg(req));
        (void)conn;
        kept->served++;
        if (strcmp(subject, "serve.later") == 0 && !kept->req) {
                kept->req = req;
                ramal_req_on_cancel(req, on_cancel, kept);
        } else if (strcmp(subject, "serve.fail") == 0) {
                ramal_fail(req, 3, "no");
        } else if (strcmp(subject, "serve.drop") == 0) {
                ramal_req_drop(req);
        } else {
                const ramal_header header = RAMAL_HEADER("name", "value");
                ramal_reply_with(req, payload, 5000,
                                 &(ramal_reply_options){.size = sizeof(ramal_reply_options), .type = "t",
                                                        .headers = &header, .header_count = 1});
        }
}

/* The helper asks. */
static ramal_call *ask(const char *subject, struct end *end) {
        ramal_call *call;
        int r = ramal_request_async(scene.helper, subject, "q", 1, ramal_in_ms(SCENE_MS), on_reply, end, &call);
        sweep_check(r == 0, "the helper cannot ask: %d", r);
        return call;
}

void scene_client_serve(const void *user) {
        struct kept kept = {NULL, 0, 0};
        struct end ends[4] = {{0, 0}};
        ramal_conn *conn = scene_open(NULL);
        (void)user;
        if (conn) {
                IN(FAIR(ramal_serve_with(conn, RAMAL_INTEREST(.pattern = "serve.*", .credit_messages = 2), on_request,
                                         &kept, NULL)));
                IN(FAIR(ramal_serve_with(conn, RAMAL_INTEREST(.pattern = "help.>", .on_state = on_refused), on_request,
                                         &kept, NULL)));
                IN(FAIR(ramal_sync(conn, scene_soon())));
                ask("serve.now", &ends[0]);
                ask("serve.fail", &ends[1]);
                ask("serve.drop", &ends[2]);
                ask("serve.later", &ends[3]);
                for (unsigned i = 0; i < 3; i++)
                        scene_until(conn, &ends[i].ends);
                scene_until(conn, &kept.served);
                scene_pump(conn);
                if (kept.req) {
                        const ramal_msg *msg = ramal_req_msg(kept.req);
                        sweep_check(!msg || strcmp(ramal_msg_subject(msg), "serve.later") == 0, "another message");
                        IN(FAIR(ramal_reply(kept.req, payload, sizeof(payload))));
                }
        }
        scene_close(conn);
        /* Each gets an answer, or hears that there is none. */
        for (unsigned i = 0; conn && i < 4; i++)
                sweep_check(scene_sure(NULL, &ends[i].ends), "call %u was not answered", i);
}

struct stream {
        ramal_req *req;
        unsigned sent, writable, served;
};

static void on_writable(ramal_req *req, void *user) {
        (void)req;
        ((struct stream *)user)->writable++;
}

static void on_stream(ramal_conn *conn, ramal_req *req, void *user) {
        struct stream *stream = user;
        (void)conn;
        stream->req = req;
        stream->served++;
        ramal_req_on_writable(req, on_writable, stream);
}

/* More than the caller has confirmed, and many small ones. */
void scene_client_stream(const void *user) {
        struct stream stream = {.req = NULL};
        struct end end = {0, 0};
        ramal_conn *conn = scene_open(NULL);
        (void)user;
        if (conn) {
                IN(FAIR(ramal_serve(conn, "stream", on_stream, &stream, NULL)));
                IN(FAIR(ramal_sync(conn, scene_soon())));
                ask("stream", &end);
                scene_until(conn, &stream.served);
                for (unsigned i = 0; stream.req && i < 60; i++) {
                        int r;
                        IN(r = FAIR(ramal_reply_more(stream.req, payload, i < 40 ? 10 : sizeof(payload))));
                        if (r == -EAGAIN)
                                scene_until(conn, &stream.writable);
                }
                if (stream.req)
                        IN(FAIR(ramal_reply(stream.req, payload, 10)));
                scene_until(conn, &end.ends);
        }
        scene_close(conn);
        sweep_check(!conn || scene_sure(NULL, &end.ends), "the stream has no end");
}

/* A callback that blocks: what comes meanwhile is kept. */
struct nested {
        unsigned calls, others;
};

static void on_other(ramal_conn *conn, const ramal_msg *msg, void *user) {
        (void)conn;
        (void)msg;
        ((struct nested *)user)->others++;
}

static void on_nest(ramal_conn *conn, const ramal_msg *msg, void *user) {
        struct nested *nested = user;
        ramal_error error;
        (void)msg;
        if (nested->calls++)
                return;
        /* Its answer comes behind what was published before. */
        ramal_publish(conn, "nest.other", payload, 10);
        ramal_publish(conn, "nest.other", payload, sizeof(payload));
        ramal_request(conn, "$SYS.api.status", NULL, 0, scene_soon(), NULL, &error);
}

void scene_client_nested(const void *user) {
        struct nested nested = {0, 0};
        ramal_conn *conn = scene_open(NULL);
        (void)user;
        if (conn) {
                IN(FAIR(ramal_subscribe(conn, "nest.it", on_nest, &nested, NULL)));
                IN(FAIR(ramal_subscribe(conn, "nest.other", on_other, &nested, NULL)));
                IN(FAIR(ramal_sync(conn, scene_soon())));
                sweep_check(ramal_publish(scene.helper, "nest.it", "x", 1) == 0, "the helper cannot publish");
                scene_until(conn, &nested.calls);
                scene_pump(conn);
        }
        scene_close(conn);
}

static void on_owner(ramal_conn *conn, const char *name, uint64_t owner, void *user) {
        (void)conn;
        (void)owner;
        sweep_check(strcmp(name, "name.a") == 0, "the owner of '%s'", name);
        (*(unsigned *)user)++;
}

void scene_client_names(const void *user) {
        struct kept kept = {NULL, 0, 0};
        unsigned owners = 0, watched = 0;
        ramal_conn *conn = scene_open(NULL);
        ramal_sub *name = NULL, *watch = NULL;
        ramal_error error;
        uint64_t owner;
        (void)user;
        if (conn) {
                IN(watched = FAIR(ramal_watch_name(conn, "name.a", on_owner, &owners, &watch)) == 0);
                IN(FAIR(ramal_claim(conn, "name.a", 0, on_request, &kept, &name)));
                if (name)
                        IN(FAIR(ramal_sub_confirm(name, scene_soon(), &error)));
                if (name)
                        IN(FAIR(ramal_wait_name(conn, "name.a", scene_soon(), &owner, &error)));
                IN(ramal_sub_cancel(name));
                scene_pump(conn);
        }
        sweep_memory_back();
        if (watched) {
                scene_revive(conn);
                sweep_check(ramal_sub_state_of(watch) == RAMAL_SUB_ENDED || scene_sure(conn, &owners),
                            "nobody says who owns the name");
        }
        oom_inside(true);
        ramal_sub_cancel(watch);
        oom_inside(false);
        scene_close(conn);
}
