/* SPDX-License-Identifier: MIT */
/* Making, ending and asking a connection. */
#define _GNU_SOURCE /* MADV_WIPEONFORK, program_invocation_short_name */
#include "client/conn_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/wire.h"

/* ---- whose it is ---- */

/* A page that a fork wipes tells the child apart without a system call at each publish. */
static const volatile uint32_t *alive_new(void) {
        size_t size = (size_t)sysconf(_SC_PAGESIZE);
        void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (page == MAP_FAILED)
                return NULL;
        if (madvise(page, size, MADV_WIPEONFORK) < 0) {
                munmap(page, size);
                return NULL;
        }
        *(uint32_t *)page = 1;
        return page;
}

bool rml_alive_anywhere(const ramal_conn *conn) {
        return conn->pid == getpid();
}

/* Asking the system costs less than the page, for a connection of which little is asked. */
bool rml_alive_slow(const ramal_conn *conn) {
        if (!rml_alive_anywhere(conn))
                return false;
        if (++conn->self->asked == RML_ASKED_OFTEN)
                conn->self->alive = alive_new();
        return true;
}

static void alive_free(const volatile uint32_t *page) {
        if (page)
                munmap((void *)(uintptr_t)page, (size_t)sysconf(_SC_PAGESIZE));
}

void rml_set_state(ramal_conn *conn, ramal_state state, const ramal_error *error, uint64_t unconfirmed) {
        ramal_state_change change = {
                .state = state,
                .before = conn->state,
                .error = error,
                .unconfirmed = unconfirmed,
                .retry_at = state == RAMAL_CONNECTING ? conn->timer_at : 0,
        };

        conn->state = state;
        if (error)
                conn->error = *error;
        change.error = error ? &conn->error : NULL;
        if (conn->on_state && !conn->quiet)
                RML_CALLBACK(conn, conn->on_state(conn, &change, conn->user));
        else
                conn->ran++;
}

/* ---- making ---- */

static char *copy_text(const char *text, bool *failed) {
        char *copy = text ? strdup(text) : NULL;

        if (text && !copy)
                *failed = true;
        return copy;
}

/* A time span given by the program, short enough to be added to a time of day. */
static uint64_t span_or(uint64_t given, uint64_t otherwise) {
        return given ? rml_min64(given, RML_SPAN_NS_MAX) : otherwise;
}

static int take_spin(ramal_conn *conn, bool never, ramal_error *err) {
        const char *text = rml_wire_environment("RAMAL_SPIN");
        uint64_t budget = RML_SPIN_NS_DEFAULT;

        if (text && rml_spin_parse(text, &budget) < 0)
                return rml_error(err, -EINVAL, "RAMAL_SPIN=%.40s: say off, or a time like 50us, at most 100ms", text);
        rml_spin_init(&conn->spin, never ? 0 : budget);
        return 0;
}

static int take_options(ramal_conn *conn, const ramal_options *given, ramal_error *err) {
        ramal_options options;
        bool failed = false;

        if (RML_TAKE_OPTIONS(conn, &options, given) < 0)
                return rml_error_copy(err, &conn->error);
        const char *app = options.app ? options.app : program_invocation_short_name;
        struct rml_span app_span = rml_span_text(app);
        if (app_span.len > RML_APP_BYTES_MAX || !rml_utf8_valid(app_span)) {
                if (options.app)
                        return rml_error(err, -EINVAL, "app: at most %u bytes of UTF-8", RML_APP_BYTES_MAX);
                app = "";
        }
        if (options.bus > RAMAL_BUS_SYSTEM)
                return rml_error(err, -EINVAL, "bus: no such value");
        conn->app = copy_text(app, &failed);
        conn->address_option = copy_text(options.address, &failed);
        conn->token_file = copy_text(options.token_file, &failed);
        if (failed)
                return rml_error(err, -ENOMEM, "no memory left");
        conn->bus = options.bus;
        conn->out_max = options.out_bytes_max ? options.out_bytes_max : RML_OUT_BYTES_DEFAULT;
        conn->connect_timeout = span_or(options.connect_timeout_ns, 5 * RML_NS_PER_S);
        conn->backoff_min = span_or(options.backoff_min_ns, 50 * RML_NS_PER_MS);
        conn->backoff_max = span_or(options.backoff_max_ns, 5 * RML_NS_PER_S);
        conn->no_reconnect = options.no_reconnect;
        conn->wait_broker = options.wait_broker;
        conn->inspect = options.inspect;
        conn->on_state = options.on_state;
        conn->on_refused = options.on_refused;
        conn->on_writable = options.on_writable;
        conn->user = options.user;
        return take_spin(conn, options.no_spin, err);
}

static ramal_conn *conn_new(void) {
        ramal_conn *conn = calloc(1, sizeof(*conn));

        if (!conn)
                return NULL;
        conn->self = conn;
        conn->pid = getpid();
        conn->epoll = conn->timer = conn->event = conn->sock = -1;
        conn->phase = RML_PHASE_IDLE;
        conn->state = RAMAL_CONNECTING;
        conn->timer_at = conn->confirm_at = conn->probe_at = conn->timer_armed = RAMAL_NEVER;
        conn->in_room = RML_IN_BYTES_FEW;
        conn->in = malloc(conn->in_room);
        if (!conn->in) {
                free(conn);
                return NULL;
        }
        conn->payload_max = RML_PAYLOAD_BYTES_DEFAULT;
        rml_framer_init(&conn->framer, RML_CONTROL_BYTES_MAX);
        rml_table_init(&conn->pending);
        rml_table_init(&conn->sids);
        rml_table_init(&conn->tokens);
        struct rml_list *lists[] = {&conn->stash,       &conn->subs,          &conn->changed, &conn->calls,
                                    &conn->calls_ended, &conn->receipts,      &conn->reqs,    &conn->reqs_due,
                                    &conn->confirm_now, &conn->confirm_later, &conn->blocks};
        for (size_t i = 0; i < RML_COUNT(lists); i++)
                rml_list_init(lists[i]);
        return conn;
}

static void free_posts(ramal_conn *conn) {
        struct rml_post *post = atomic_exchange(&conn->posts, NULL);

        while (post) {
                struct rml_post *next = post->next;
                free(post);
                post = next;
        }
}

static void conn_free(ramal_conn *conn) {
        while (!rml_list_empty(&conn->subs))
                rml_sub_free(rml_list_entry(rml_list_first(&conn->subs), ramal_sub, link));
        rml_calls_free(conn);
        rml_reqs_free(conn);
        while (!rml_list_empty(&conn->receipts)) {
                struct rml_receipt *receipt = rml_list_entry(rml_list_first(&conn->receipts), struct rml_receipt, link);
                rml_list_remove(&receipt->link);
                free(receipt);
        }
        rml_stash_clear(conn);
        free_posts(conn);
        rml_io_deinit(conn);
        rml_framer_deinit(&conn->framer);
        rml_table_deinit(&conn->pending);
        rml_table_deinit(&conn->sids);
        rml_table_deinit(&conn->tokens);
        rml_out_clear(conn);
        rml_auth_forget(conn->token, sizeof(conn->token));
        alive_free(conn->alive);
        free(conn->in);
        free(conn->in_nested);
        free(conn->app);
        free(conn->address_option);
        free(conn->token_file);
        free(conn->server);
        free(conn);
}

void rml_enter(ramal_conn *conn) {
        conn->busy++;
}

bool rml_leave(ramal_conn *conn) {
        bool open = !conn->closed;

        if (--conn->busy > 0)
                return open;
        conn->spin_since = 0; /* it waited for nothing any more */
        if (open)
                rml_io_settle(conn);
        else
                conn_free(conn);
        return open;
}

int ramal_open_async(const ramal_options *options, ramal_conn **ret, ramal_error *err) {
        ramal_conn *conn = conn_new();

        *ret = NULL;
        if (!conn)
                return rml_error(err, -ENOMEM, "no memory left");
        int r = take_options(conn, options, err);
        if (r == 0)
                r = rml_targets_init(conn, err);
        if (r == 0) {
                r = rml_io_init(conn);
                if (r < 0)
                        rml_error(err, r, "%s", ramal_strerror(r));
        }
        if (r < 0) {
                conn_free(conn);
                return r;
        }
        conn->timer_at = 0; /* the first turn begins */
        *ret = conn;
        return 0;
}

int ramal_open(const ramal_options *options, uint64_t deadline, ramal_conn **ret, ramal_error *err) {
        ramal_conn *conn;
        int r = ramal_open_async(options, &conn, err);

        *ret = NULL;
        if (r < 0)
                return r;
        conn->quiet = true;
        while (conn->phase != RML_PHASE_UP && conn->state != RAMAL_CLOSED && r != -ETIMEDOUT)
                r = rml_block(conn, deadline);
        conn->quiet = false;
        if (conn->phase == RML_PHASE_UP) {
                *ret = conn;
                return 0;
        }
        if (conn->error.code)
                r = rml_error_copy(err, &conn->error);
        else
                r = rml_error(err, -ETIMEDOUT, "%s: no answer before the deadline", ramal_conn_address(conn));
        conn_free(conn);
        return r;
}

/* ---- ending ---- */

/* Sends BYE and waits, for at most a second in all, until the broker has answered: it has read everything then.
 * What it sends meanwhile is thrown away. Waiting also keeps a TCP socket with unread input from cutting off our
 * own last bytes. */
static void say_goodbye(ramal_conn *conn) {
        uint64_t until = ramal_now() + RML_CLOSE_NS;
        Ramal__V1__Bye bye = RAMAL__V1__BYE__INIT;
        struct rml_ping answer = {.result = 1};

        rml_confirm_all(conn);
        if (rml_out_control(conn, RML_BYE, rml_ask(conn, &answer.pending, RML_ASK_BYE), &bye.base) == 0) {
                while (answer.result > 0 && !conn->broken && !conn->out_dead && ramal_now() < until) {
                        rml_out_send(conn);
                        if (conn->sock_empty || !rml_read_quietly(conn))
                                rml_io_sleep(conn, until);
                        rml_stash_clear(conn);
                }
        }
        rml_ask_forget(conn, &answer.pending);
}

uint64_t ramal_close(ramal_conn *conn) {
        uint64_t unsent = 0;

        if (!conn || conn->closed)
                return 0;
        if (rml_alive(conn)) {
                if (conn->phase == RML_PHASE_UP && !conn->out_dead && !conn->broken && !conn->draining)
                        say_goodbye(conn);
                unsent = rml_out_messages(conn);
                rml_io_close_socket(conn);
        } else {
                conn->busy = 0; /* the functions under way are the parent's */
        }
        conn->closed = true;
        if (conn->busy == 0)
                conn_free(conn);
        return unsent;
}

/* Waits for the calls of our own: BYE would cancel them. */
static int finish_calls(ramal_conn *conn, uint64_t deadline) {
        int r = 0;

        for (;;) {
                bool open = false;
                rml_list_each(node, &conn->calls) open = open || !rml_list_entry(node, ramal_call, link)->internal;
                if (!open || r < 0)
                        return r;
                r = rml_block(conn, deadline);
                if (conn->closed)
                        return -ESHUTDOWN;
        }
}

static int drain(ramal_conn *conn, uint64_t deadline) {
        uint64_t now = ramal_now();
        Ramal__V1__Bye bye = RAMAL__V1__BYE__INIT;
        struct rml_ping answer = {.result = 1};

        deadline = rml_min64(deadline, now + RML_DRAIN_NS_MAX);
        int r = finish_calls(conn, deadline);
        if (r < 0 && r != -ETIMEDOUT)
                return r;
        now = ramal_now();
        bye.drain = 1;
        bye.drain_us = deadline > now ? (deadline - now) / 1000 + 1 : 1;
        conn->draining = true;
        rml_list_each(node, &conn->subs) rml_sub_confirm_queued(rml_list_entry(node, ramal_sub, link));
        rml_confirm_all(conn);
        int asked = rml_out_control(conn, RML_BYE, rml_ask(conn, &answer.pending, RML_ASK_BYE), &bye.base);
        while (asked == 0 && answer.result > 0) {
                int waited = rml_block(conn, deadline);
                if (conn->closed)
                        return -ESHUTDOWN;
                if (waited < 0) {
                        r = waited;
                        break;
                }
        }
        rml_ask_forget(conn, &answer.pending);
        if (asked < 0 || answer.result < 0)
                r = asked < 0 ? asked : answer.result;
        return answer.result == 0 && r != -ETIMEDOUT ? 0 : r;
}

int ramal_drain(ramal_conn *conn, uint64_t deadline) {
        ramal_error over;
        int r = rml_usable(conn);

        if (r < 0)
                return r;
        if (conn->in_callback)
                return -EDEADLK;
        if (conn->phase != RML_PHASE_UP)
                return -ENOTCONN;
        rml_enter(conn);
        r = drain(conn, deadline);
        /* -EINTR: the program changed its mind; it may drain or close once more. */
        if (!conn->closed && r != -EINTR && conn->state != RAMAL_CLOSED) {
                rml_error(&over, -ESHUTDOWN, "the connection was drained");
                rml_end(conn, &over);
        }
        return rml_leave(conn) ? r : -ESHUTDOWN;
}

/* ---- asking ---- */

ramal_state ramal_conn_state(const ramal_conn *conn) {
        return conn->state;
}

const ramal_error *ramal_conn_error(const ramal_conn *conn) {
        return &conn->error;
}

uint64_t ramal_conn_peer(const ramal_conn *conn) {
        return conn->phase == RML_PHASE_UP ? conn->peer : 0;
}

uint64_t ramal_conn_epoch(const ramal_conn *conn) {
        return conn->epoch;
}

const char *ramal_conn_server(const ramal_conn *conn) {
        return conn->server ? conn->server : "";
}

const char *ramal_conn_address(const ramal_conn *conn) {
        return conn->targets[conn->target < conn->target_count ? conn->target : 0].text;
}

size_t ramal_conn_payload_max(const ramal_conn *conn) {
        return (size_t)conn->payload_max;
}

size_t ramal_conn_unsent(const ramal_conn *conn) {
        return rml_out_pending(conn);
}

uint64_t ramal_conn_published(const ramal_conn *conn) {
        return conn->published;
}

uint64_t ramal_conn_refused(const ramal_conn *conn) {
        return conn->refused;
}
