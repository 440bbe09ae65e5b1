/* SPDX-License-Identifier: MIT */
/* libramal with each of its allocations failing. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "client_scenes.h"
#include "ramald.h"

struct scene scene;
static struct ramald ramald; /* for the signal handler */

/* ---- the other end --------------------------------------------------------------------------------------------- */

/* help.echo, help.error, help.stream and help.silence do as they are called. */
static void on_help(ramal_conn *conn, ramal_req *req, void *user) {
        const char *subject = ramal_msg_subject(ramal_req_msg(req));
        size_t len;
        const void *data = ramal_msg_data(ramal_req_msg(req), &len);
        (void)conn;
        (void)user;
        if (strcmp(subject, "help.error") == 0) {
                ramal_fail(req, 7, "as you like");
        } else if (strcmp(subject, "help.stream") == 0) {
                for (unsigned i = 0; i < 4; i++)
                        ramal_reply_more(req, data, len);
                ramal_reply(req, data, len);
        } else if (strcmp(subject, "help.silence") != 0) {
                ramal_reply(req, data, len);
        } /* else it is kept until the connection ends, or the caller */
}

static void start_helper(void) {
        ramal_error error;
        ramal_options options = {.size = sizeof(options), .address = ramald.address, .app = "helper"};
        sweep_check(ramal_open(&options, ramal_in_ms(SCENE_MS), &scene.helper, &error) == 0, "%s", error.message);
        sweep_check(ramal_serve(scene.helper, "help.>", on_help, NULL, NULL) == 0, "the helper serves nothing");
        sweep_check(ramal_sync(scene.helper, ramal_in_ms(SCENE_MS)) == 0, "the helper is of no use");
}

/* ---- what the scenes share ------------------------------------------------------------------------------------- */

uint64_t scene_soon(void) {
        return ramal_in_ms(sweep_starving() ? 2 : sweep_failed() ? 30 : 500);
}

ramal_conn *scene_open(const ramal_options *more) {
        ramal_options options = {.size = sizeof(options)};
        ramal_error error = {.code = 0};
        ramal_conn *conn;
        int r;
        if (more)
                options = *more;
        options.address = options.address ? options.address : scene.address;
        options.app = "swept";
        options.backoff_min_ns = 1000000;
        options.backoff_max_ns = 2000000;
        IN(r = ramal_open(&options, scene_soon(), &conn, &error));
        sweep_check((r == 0) == (conn != NULL), "ramal_open: %d and %p", r, (void *)conn);
        if (r < 0)
                sweep_check(r == error.code && error.message[0], "ramal_open: %d, and the error says %d '%s'", r,
                            error.code, error.message);
        sweep_check(r == 0 || r == -ENOMEM || r == -ETIMEDOUT, "ramal_open: %d: %s", r, error.message);
        return conn;
}

static bool readable(const ramal_conn *a, const ramal_conn *b, int ms) {
        struct pollfd fds[2] = {{.fd = ramal_conn_fd(b), .events = POLLIN}, {.events = POLLIN}};
        if (a)
                fds[1].fd = ramal_conn_fd(a);
        return poll(fds, a ? 2 : 1, ms) > 0;
}

void scene_pump(ramal_conn *conn) {
        int r = 0;
        for (unsigned i = 0; i < 100 && readable(conn, scene.helper, 0); i++) {
                if (conn)
                        IN(r = ramal_dispatch(conn, 0));
                scene_fair(r, "ramal_dispatch");
                sweep_check(ramal_dispatch(scene.helper, 0) >= 0, "the helper is lost: %s",
                            ramal_conn_error(scene.helper)->message);
        }
}

static bool reaches(ramal_conn *conn, const unsigned *count, unsigned least, bool sure) {
        uint64_t began = ramal_now(), until = ramal_in_ms(SCENE_MS);
        while (*count < least && ramal_now() < until) {
                /* Nothing may come of it once memory has failed. */
                if (!sure && sweep_failed() && ramal_now() - began >= (sweep_starving() ? 2000000u : 30000000u))
                        break;
                readable(conn, scene.helper, 1);
                scene_pump(conn);
        }
        return *count >= least;
}

bool scene_reaches(ramal_conn *conn, const unsigned *count, unsigned least) {
        return reaches(conn, count, least, false);
}

bool scene_until(ramal_conn *conn, const unsigned *flag) {
        return reaches(conn, flag, 1, false);
}

bool scene_sure(ramal_conn *conn, const unsigned *flag) {
        return reaches(conn, flag, 1, true);
}

int scene_fair(int r, const char *what) {
        static const int known[] = {ENOMEM,    ENOTCONN, ECONNRESET, ETIMEDOUT, EAGAIN,
                                    ESHUTDOWN, ENODATA,  ECANCELED,  EREMOTEIO, EHOSTDOWN};
        if (r >= 0)
                return r;
        for (size_t i = 0; i < RML_COUNT(known); i++)
                if (r == -known[i])
                        return r;
        sweep_fail(__FILE__, __LINE__, "%s: %d (%s)", what, r, ramal_strerror(r));
}

static void on_usable(ramal_conn *conn, const ramal_msg *msg, void *user) {
        (void)conn;
        (void)msg;
        (*(unsigned *)user)++;
}

void scene_revive(ramal_conn *conn) {
        unsigned got = 0, connected = 0;
        ramal_error error;
        ramal_sub *sub;
        for (uint64_t until = ramal_in_ms(SCENE_MS); !connected && ramal_now() < until;) {
                scene_pump(conn);
                connected = ramal_conn_state(conn) == RAMAL_CONNECTED;
                if (!connected)
                        readable(conn, scene.helper, 1);
        }
        sweep_check(connected, "memory is back, and it does not connect again: %s", ramal_conn_error(conn)->message);
        sweep_check(ramal_subscribe(conn, "after.the.end", on_usable, &got, &sub) == 0, "it cannot subscribe");
        /* Losses and refusals of before are told here at the latest. */
        for (unsigned i = 0; ramal_sync(conn, ramal_in_ms(SCENE_MS)) < 0; i++) {
                sweep_check(i < 20, "memory is back, and it is of no use: %s", ramal_conn_error(conn)->message);
                ramal_wait(conn, ramal_in_ms(5));
        }
        sweep_check(ramal_publish(scene.helper, "after.the.end", "x", 1) == 0, "the helper cannot publish");
        sweep_check(scene_sure(conn, &got), "memory is back, and nothing is received");
        int r = ramal_request(conn, "$SYS.api.status", NULL, 0, ramal_in_ms(SCENE_MS), NULL, &error);
        sweep_check(r == 0, "memory is back, and nothing is answered: %s", error.message);
        ramal_sub_cancel(sub);
}

void scene_close(ramal_conn *conn) {
        sweep_memory_back();
        if (!conn)
                return;
        scene_revive(conn);
        ramal_close(conn);
        scene_pump(NULL);
}

/* ---- main ------------------------------------------------------------------------------------------------------ */

static void kill_ramald(void) {
        if (ramald.pid > 0)
                kill(ramald.pid, SIGKILL);
}

int main(int argc, char **argv) {
        static const struct sweep_scenario scenes[] = {
                {.name = "open", .run = scene_client_open, .loose = true},
                {.name = "tcp", .run = scene_client_tcp, .loose = true},
                {.name = "async", .run = scene_client_async, .loose = true},
                {.name = "subscribe", .run = scene_client_subscribe, .loose = true},
                {.name = "pull", .run = scene_client_pull, .loose = true},
                {.name = "publish", .run = scene_client_publish, .loose = true},
                {.name = "large", .run = scene_client_large, .loose = true},
                {.name = "block", .run = scene_client_block, .loose = true},
                {.name = "request", .run = scene_client_request, .loose = true},
                {.name = "calls", .run = scene_client_calls, .loose = true},
                {.name = "serve", .run = scene_client_serve, .loose = true},
                {.name = "stream", .run = scene_client_stream, .loose = true},
                {.name = "nested", .run = scene_client_nested, .loose = true},
                {.name = "names", .run = scene_client_names, .loose = true},
                {.name = "reconnect", .run = scene_client_reconnect, .loose = true},
                {.name = "drain", .run = scene_client_drain, .loose = true},
                {.name = "post", .run = scene_client_post, .loose = true},
        };
#if RAMAL_WITH_TCP
        static const char *const arguments[] = {"--listen", "tcp:127.0.0.1:0", NULL};
#else
        static const char *const arguments[] = {NULL};
#endif
        sweep_on_failure(kill_ramald);
        atexit(kill_ramald);
        ramald_start(&ramald, arguments);
        scene.address = ramald.address;
        scene.tcp = ramald.tcp;
        scene.token = ramald.token;
        start_helper();
        int status = sweep_main(scenes, RML_COUNT(scenes), argc, argv);
        ramal_close(scene.helper);
        ramald_stop(&ramald);
        return status;
}
