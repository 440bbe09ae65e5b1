/* SPDX-License-Identifier: MIT */
/* The ends of the bare relay: what a program does that knows nothing but its socket. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bench.h"
#include "bench_relay.h"

/* PATIENCE_MS: whoever sleeps looks that often whether the round is over. */
enum { PIECE = 65536, PATIENCE_MS = 5, HEAD = 4, SIDE_SOURCE = 0, SIDE_SINK = 1 };

struct end {
        struct bench_task *task;
        int fd;
        short events; /* what it waits for */
        struct bench_spin spin;
        unsigned char *in, *out;
        size_t in_at, in_len, in_max, out_at, out_len, out_max;
};

static int look(void *what, int timeout_ms) {
        struct end *end = what;
        struct pollfd fd = {.fd = end->fd, .events = end->events};
        return poll(&fd, 1, timeout_ms < 0 ? PATIENCE_MS : timeout_ms);
}

/* Waits until something of `events` may be done, or a moment. */
static void wait_end(struct end *end, short events) {
        end->events = events;
        bench_spin(&end->spin, look, end);
}

static int dial(const struct bench_relay *relay, bool *tcp) {
        struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
        memcpy(&address, relay->address, relay->address_len);
        *tcp = address.ss_family == AF_INET;
        int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        bench_relay_prepare(fd, *tcp);
        if (connect(fd, (struct sockaddr *)&address, relay->address_len) == 0)
                return fd;
        int r = -errno;
        close(fd);
        return r;
}

/* Connects and is greeted. */
static int dial_hello(const struct bench_relay *relay, uint32_t channel, uint32_t side) {
        unsigned char hello[BENCH_RELAY_HELLO], welcome[BENCH_RELAY_WELCOME];
        bool tcp;
        int fd = dial(relay, &tcp);
        if (fd < 0)
                return fd;
        bench_relay_put(hello, BENCH_RELAY_HELLO - HEAD);
        bench_relay_put(hello + 4, channel);
        bench_relay_put(hello + 8, side);
        if (send(fd, hello, sizeof(hello), MSG_NOSIGNAL) == (ssize_t)sizeof(hello) &&
            recv(fd, welcome, sizeof(welcome), MSG_WAITALL) == (ssize_t)sizeof(welcome))
                return fd;
        close(fd);
        return -ECONNRESET;
}

static int open_end(struct end *end, struct bench_task *task, uint32_t channel, uint32_t side) {
        *end = (struct end){.task = task, .fd = -1, .spin = {.on = task->job->plan->spin}};
        end->in_max = PIECE + HEAD + (size_t)task->job->point->size;
        end->out_max = end->in_max;
        end->in = malloc(end->in_max);
        end->out = malloc(end->out_max);
        if (!end->in || !end->out)
                return bench_task_fail(task, "no memory");
        int fd = dial_hello(task->job->relay, channel, side);
        if (fd < 0)
                return bench_task_fail(task, "cannot reach the relay: %s", strerror(-fd));
        end->fd = fd;
        return 0;
}

static void close_end(struct end *end) {
        if (end->fd >= 0)
                close(end->fd);
        free(end->in);
        free(end->out);
}

static int lost(struct end *end) {
        return bench_task_fail(end->task, "the relay has gone: %s", errno ? strerror(errno) : "end of input");
}

/* ---- output ---- */

/* Sends what the socket takes. Returns 0; -1 where the relay is gone. */
static int try_send(struct end *end) {
        while (end->out_len > 0) {
                ssize_t sent = send(end->fd, end->out + end->out_at, end->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (sent < 0 && (errno == EAGAIN || errno == EINTR))
                        return 0;
                if (sent < 0)
                        return lost(end);
                end->out_at += (size_t)sent;
                end->out_len -= (size_t)sent;
        }
        end->out_at = 0;
        return 0;
}

static int send_all(struct end *end) {
        int r = try_send(end);
        while (r == 0 && end->out_len > 0 && bench_task_phase(end->task) != BENCH_QUIT) {
                wait_end(end, POLLOUT);
                r = try_send(end);
        }
        return r;
}

/* The caller has seen that there is room. */
static void add(struct end *end, const struct bench_payload *payload) {
        if (end->out_len == 0)
                end->out_at = 0;
        unsigned char *at = end->out + end->out_at + end->out_len;
        bench_relay_put(at, (uint32_t)payload->size);
        memcpy(at + HEAD, payload->bytes, payload->size);
        end->out_len += HEAD + payload->size;
}

static bool has_room(const struct end *end, const struct bench_payload *payload) {
        return end->out_max - end->out_at - end->out_len >= HEAD + payload->size;
}

/* A large one is not copied first. */
static int send_large(struct end *end, const struct bench_payload *payload) {
        unsigned char head[HEAD];
        bench_relay_put(head, (uint32_t)payload->size);
        for (size_t done = 0, all = HEAD + payload->size; done < all;) {
                struct iovec parts[2] = {{head + done, done < HEAD ? HEAD - done : 0},
                                         {payload->bytes + (done < HEAD ? 0 : done - HEAD), 0}};
                parts[1].iov_len = all - done - parts[0].iov_len;
                if (done >= HEAD)
                        parts[0].iov_base = head;
                struct msghdr msg = {.msg_iov = parts, .msg_iovlen = 2};
                ssize_t sent = sendmsg(end->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (sent >= 0)
                        done += (size_t)sent;
                else if (errno != EAGAIN && errno != EINTR)
                        return lost(end);
                else if (bench_task_phase(end->task) == BENCH_QUIT)
                        return 0;
                else
                        wait_end(end, POLLOUT);
        }
        return 0;
}

/* ---- input ---- */

/* Reads what is there. Returns the bytes, 0: nothing, -1: the relay is gone. */
static ssize_t try_read(struct end *end) {
        /* What is left of a frame goes to the front. */
        if (end->in_at > 0) {
                memmove(end->in, end->in + end->in_at, end->in_len);
                end->in_at = 0;
        }
        errno = 0;
        ssize_t got = recv(end->fd, end->in + end->in_len, end->in_max - end->in_len, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (got <= 0)
                return lost(end);
        end->in_len += (size_t)got;
        return got;
}

/* The next whole frame that was read, or NULL. */
static const unsigned char *next_frame(struct end *end, size_t *len) {
        if (end->in_len < HEAD)
                return NULL;
        *len = bench_relay_get(end->in + end->in_at);
        if (end->in_len - HEAD < *len)
                return NULL;
        const unsigned char *frame = end->in + end->in_at + HEAD;
        end->in_at += HEAD + *len;
        end->in_len -= HEAD + *len;
        return frame;
}

/* ---- the roles ---- */

/* What was collected goes first. */
static int wait_room(struct end *end, uint64_t *room) {
        *room = bench_task_take_room(end->task, false);
        int r = *room == 0 ? send_all(end) : 0;
        while (r == 0 && *room == 0 && bench_task_phase(end->task) == BENCH_GO) {
                bench_task_pause();
                *room = bench_task_take_room(end->task, true);
        }
        return r;
}

static int publish_all(struct end *end, struct bench_payload *payload, uint64_t *sent) {
        struct bench_task *task = end->task;
        const struct bench_plan *plan = task->job->plan;
        uint64_t room = 0;
        int r = 0;
        atomic_store(&task->self->start_ns, bench_now());
        while (r == 0 && bench_task_may_send(task, *sent)) {
                if (room == 0)
                        r = wait_room(end, &room);
                if (r < 0 || room == 0)
                        break;
                uint64_t stamp = bench_payload_stamped(plan, payload->size, *sent) ? bench_now() : 0;
                bench_payload_mark(payload, task->index, *sent, stamp);
                if (payload->size >= PIECE) {
                        r = send_large(end, payload);
                } else {
                        add(end, payload);
                        if (!plan->batch || end->out_len >= PIECE)
                                r = send_all(end);
                }
                bench_count(&task->self->sent, 1);
                ++*sent;
                room--;
        }
        bench_task_return_room(task, room);
        return r == 0 ? send_all(end) : r;
}

static int run_source(struct bench_task *task) {
        struct end end;
        struct bench_payload payload = {.bytes = NULL};
        uint64_t sent = 0;
        int r = open_end(&end, task, 0, SIDE_SOURCE);
        if (r == 0 && bench_payload_new(&payload, (size_t)task->job->point->size) < 0)
                r = bench_task_fail(task, "no memory");
        bool go = r == 0 && bench_task_ready(task);
        while (go && r == 0) {
                uint64_t order = atomic_load(&task->shared->order);
                if (bench_task_may_send(task, sent)) {
                        r = publish_all(&end, &payload, &sent);
                        continue;
                }
                atomic_store(&task->self->done, order);
                go = bench_task_phase(task) != BENCH_QUIT;
                bench_task_pause();
        }
        bench_payload_free(&payload);
        close_end(&end);
        return r;
}

static int run_sink(struct bench_task *task) {
        struct end end;
        struct bench_track track = {.next = NULL};
        const unsigned char *frame;
        size_t len;
        const struct bench_point *point = task->job->point;
        int r = open_end(&end, task, 0, SIDE_SINK);
        if (r == 0 && bench_track_new(&track, (size_t)point->size, (unsigned)point->publishers) < 0)
                r = bench_task_fail(task, "no memory");
        bool go = r == 0 && bench_task_ready(task);
        while (go && bench_task_phase(task) != BENCH_QUIT) {
                ssize_t got = try_read(&end);
                if (got < 0)
                        break;
                if (got == 0)
                        wait_end(&end, POLLIN);
                while ((frame = next_frame(&end, &len)))
                        bench_track_receive(&track, task, frame, len);
        }
        bench_track_free(&track);
        close_end(&end);
        return r;
}

struct asker {
        struct end end;
        struct bench_payload payload;
        struct bench_track track;
        uint64_t sent, answered, in_flight;
        uint64_t *sent_at;
};

static void ask_more(struct asker *asker) {
        struct bench_task *task = asker->end.task;
        while (asker->sent - asker->answered < asker->in_flight && bench_task_may_send(task, asker->sent) &&
               has_room(&asker->end, &asker->payload)) {
                uint64_t now = bench_now();
                bench_payload_mark(&asker->payload, 0, asker->sent, now);
                add(&asker->end, &asker->payload);
                asker->sent_at[asker->sent++ % asker->in_flight] = now;
                bench_count(&task->self->sent, 1);
        }
}

static void take_answers(struct asker *asker) {
        const unsigned char *frame;
        size_t len;
        uint64_t stamp;
        while ((frame = next_frame(&asker->end, &len))) {
                if (bench_track_check(&asker->track, asker->end.task, frame, len, &stamp))
                        bench_track_answered(asker->end.task, asker->sent_at[asker->answered % asker->in_flight],
                                             bench_now());
                asker->answered++;
        }
}

static int ask_all(struct asker *asker) {
        struct bench_task *task = asker->end.task;
        int r = 0;
        atomic_store(&task->self->start_ns, bench_now());
        while (r == 0 && bench_task_phase(task) != BENCH_QUIT &&
               (asker->sent > asker->answered || bench_task_may_send(task, asker->sent))) {
                ask_more(asker);
                r = try_send(&asker->end);
                ssize_t got = r == 0 ? try_read(&asker->end) : -1;
                if (got < 0)
                        return -1;
                if (got == 0)
                        wait_end(&asker->end, asker->end.out_len > 0 ? POLLIN | POLLOUT : POLLIN);
                take_answers(asker);
        }
        return r;
}

static int run_asker(struct bench_task *task) {
        struct asker asker = {.in_flight = task->job->point->in_flight};
        size_t size = (size_t)task->job->point->size;
        int r = open_end(&asker.end, task, task->index, SIDE_SOURCE);
        asker.sent_at = calloc(asker.in_flight, sizeof(*asker.sent_at));
        if (r == 0 && (!asker.sent_at || bench_payload_new(&asker.payload, size) < 0 ||
                       bench_track_new(&asker.track, size, 1) < 0))
                r = bench_task_fail(task, "no memory");
        bool go = r == 0 && bench_task_ready(task);
        while (go && r == 0) {
                uint64_t order = atomic_load(&task->shared->order);
                if (bench_task_may_send(task, asker.sent)) {
                        r = ask_all(&asker);
                        continue;
                }
                atomic_store(&task->self->done, order);
                go = bench_task_phase(task) != BENCH_QUIT;
                bench_task_pause();
        }
        free(asker.sent_at);
        bench_payload_free(&asker.payload);
        bench_track_free(&asker.track);
        close_end(&asker.end);
        return r;
}

/* Sends back what comes, byte for byte. */
static int run_answerer(struct bench_task *task) {
        struct end end;
        int r = open_end(&end, task, task->index, SIDE_SINK);
        bool go = r == 0 && bench_task_ready(task);
        while (go && r == 0 && bench_task_phase(task) != BENCH_QUIT) {
                ssize_t got = recv(end.fd, end.out, PIECE, MSG_DONTWAIT);
                if (got > 0) {
                        end.out_at = 0;
                        end.out_len = (size_t)got;
                        r = send_all(&end);
                } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
                        break;
                } else {
                        wait_end(&end, POLLIN);
                }
        }
        close_end(&end);
        return r;
}

static int run_connector(struct bench_task *task) {
        uint64_t sent = 0;
        bool go = bench_task_ready(task);
        while (go) {
                uint64_t order = atomic_load(&task->shared->order);
                if (bench_task_may_send(task, sent))
                        atomic_store(&task->self->start_ns, bench_now());
                for (; bench_task_may_send(task, sent); sent++) {
                        uint64_t before = bench_now();
                        int fd = dial_hello(task->job->relay, 0, SIDE_SINK);
                        bench_count(&task->self->sent, 1);
                        if (fd < 0)
                                return bench_task_fail(task, "cannot reach the relay: %s", strerror(-fd));
                        bench_track_answered(task, before, bench_now());
                        close(fd);
                }
                atomic_store(&task->self->done, order);
                go = bench_task_phase(task) != BENCH_QUIT;
                bench_task_pause();
        }
        return 0;
}

const bench_role_fn bench_relay_roles[BENCH_ROLES] = {
        [BENCH_SOURCE] = run_source,     [BENCH_SINK] = run_sink,           [BENCH_ASKER] = run_asker,
        [BENCH_ANSWERER] = run_answerer, [BENCH_CONNECTOR] = run_connector,
};
