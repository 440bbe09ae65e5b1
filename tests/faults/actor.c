/* SPDX-License-Identifier: MIT */
/* One client of the chaos test, on libramal: it does what its roles say over one connection, comes back when the
 * connection is lost, and writes down everything that happens to it, a line at a time and at once, so that what was
 * written is true however it ends. Each line begins with the nanoseconds of CLOCK_MONOTONIC.
 *
 *     fault_actor ADDRESS [name=NAME] [bytes=N] [deadline=MS] ROLE... [+ ROLE...]
 *
 *     pub SUBJECT MICROSECONDS    publishes numbered messages to SUBJECT.0 .1 .2 in turn, each with receipt
 *     call SUBJECT MICROSECONDS   calls it, with numbers
 *     sub PATTERN [group=G] [policy=N] [overflow=N] [window=N] [credit=N]
 *     serve PATTERN [group=G]     answers calls: most at once, some late, some with an error, some never
 *
 *     + EPOCH PEER                connected            - MICROSECONDS UNCONFIRMED    lost; the next attempt in so long
 *     w MICROSECONDS              an attempt has failed; the next one in so long
 *     p N SUBJECT                 about to publish     P N ERROR      what ramal_publish_with() returned
 *     A N RECEIVERS               receipt              R N ERROR      refused, or not known
 *     I SUB STATE                 an interest's state  G SUB FIRST LAST COUNT WHY
 *     D SUB PEER SEQ FLAGS REPLACED SUBJECT NAME N     delivered
 *     C N                         about to call        O N RESULT RAN
 *     X PEER FLAGS SUBJECT NAME N about to serve       Y NAME N       about to answer
 *     Q                           after "stop" on stdin: nothing of its own is open any more
 *     E UNSENT                    after the end of stdin: closed */
#define _GNU_SOURCE
#include <ramal/ramal.h>

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROLES_MAX 8u
#define HELD_MAX 256u
#define OPEN_MAX 200u
#define TICK_NS UINT64_C(20000000)

enum kind { PUB, CALL, SUB, SERVE };

struct actor;
struct role {
        struct actor *actor;
        enum kind kind;
        unsigned index;
        const char *subject, *group;
        uint64_t every_ns, next_ns;
        ramal_interest interest;
};

/* A request that is answered at a later tick, or never. */
struct held {
        ramal_req *req;
        uint64_t due_ns;
        char text[96];
};

/* A publish or a call on its way. */
struct errand {
        struct actor *actor; /* NULL = not one at present */
        uint64_t number;
};

struct actor {
        ramal_conn *conn;
        const char *name;
        struct role roles[ROLES_MAX];
        unsigned role_count;
        struct held held[HELD_MAX];
        unsigned held_count;
        size_t bytes;
        uint64_t deadline_ms, published, called;
        struct errand errands[OPEN_MAX];
        unsigned open; /* of them */
        bool stopped, quiet;
};

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *format, ...) {
        char line[1024];
        va_list args;
        int n = snprintf(line, sizeof(line), "%llu ", (unsigned long long)ramal_now());

        va_start(args, format);
        n += vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, args);
        va_end(args);
        if (n < 0 || n >= (int)sizeof(line) - 1)
                n = (int)sizeof(line) - 2;
        line[n++] = '\n';
        if (write(STDOUT_FILENO, line, (size_t)n) != n)
                _exit(9);
}

/* There is one: who asks has looked at `open` first. */
static struct errand *errand_new(struct actor *actor, uint64_t number) {
        struct errand *errand = actor->errands;

        while (errand->actor)
                errand++;
        *errand = (struct errand){actor, number};
        actor->open++;
        return errand;
}

static void errand_end(struct errand *errand) {
        errand->actor->open--;
        errand->actor = NULL;
}

/* "NAME N", then filling. */
static size_t compose(const struct actor *actor, uint64_t number, char *ret, size_t size) {
        int n = snprintf(ret, size, "%s %llu", actor->name, (unsigned long long)number);
        size_t len = (size_t)n + 1;

        if (actor->bytes > len && actor->bytes <= size) {
                memset(ret + len, 'x', actor->bytes - len);
                len = actor->bytes;
        }
        return len;
}

/* The text at the beginning of a payload of compose(), or "? 0". */
static const char *text_of(const ramal_msg *msg, char *ret, size_t size) {
        size_t len;
        const char *data = ramal_msg_data(msg, &len);

        if (len == 0 || !memchr(data, '\0', len < size ? len : size))
                return "? 0";
        memcpy(ret, data, strlen(data) + 1);
        return ret;
}

/* ---- publishing and calling ---- */

static void on_receipt(ramal_conn *conn, const ramal_receipt *receipt, void *user) {
        struct errand *errand = user;

        (void)conn;
        if (receipt->error)
                note("R %llu %d", (unsigned long long)errand->number, receipt->error->code);
        else
                note("A %llu %llu", (unsigned long long)errand->number, (unsigned long long)receipt->receivers);
        errand_end(errand);
}

static void publish(struct role *role) {
        struct actor *actor = role->actor;
        uint64_t number = ++actor->published;
        struct errand *errand = errand_new(actor, number);
        ramal_publish_options options = {.size = sizeof(options), .on_receipt = on_receipt, .user = errand};
        static char payload[70000];
        char subject[256];

        snprintf(subject, sizeof(subject), "%s.%u", role->subject, (unsigned)(number % 3));
        note("p %llu %s", (unsigned long long)number, subject);
        int r = ramal_publish_with(actor->conn, subject, payload, compose(actor, number, payload, sizeof(payload)),
                                   &options);
        note("P %llu %d", (unsigned long long)number, r);
        if (r < 0)
                errand_end(errand);
}

static void on_reply(ramal_conn *conn, int result, const ramal_msg *reply, const ramal_error *error, void *user) {
        struct errand *errand = user;

        (void)conn, (void)reply;
        note("O %llu %d %d", (unsigned long long)errand->number, result, error && error->may_have_run);
        if (result != RAMAL_MORE)
                errand_end(errand);
}

static void call(struct role *role) {
        struct actor *actor = role->actor;
        char payload[256];

        if (actor->open >= OPEN_MAX || ramal_conn_state(actor->conn) != RAMAL_CONNECTED)
                return;
        uint64_t number = ++actor->called;
        struct errand *errand = errand_new(actor, number);
        note("C %llu", (unsigned long long)number);
        int n = snprintf(payload, sizeof(payload), "%s %llu", actor->name, (unsigned long long)number);
        int r = ramal_request_async(actor->conn, role->subject, payload, (size_t)n + 1, ramal_in_ms(actor->deadline_ms),
                                    on_reply, errand, NULL);
        if (r < 0) {
                note("O %llu %d 0", (unsigned long long)number, r);
                errand_end(errand);
        }
}

/* ---- subscribing and serving ---- */

static void on_message(ramal_conn *conn, const ramal_msg *msg, void *user) {
        const struct role *role = user;
        char text[96];

        (void)conn;
        note("D %u %llu %llu %u %llu %s %s", role->index, (unsigned long long)ramal_msg_sender(msg)->peer,
             (unsigned long long)ramal_msg_seq(msg), ramal_msg_flags(msg), (unsigned long long)ramal_msg_replaced(msg),
             ramal_msg_subject(msg), text_of(msg, text, sizeof(text)));
}

static void on_gap(ramal_conn *conn, const ramal_gap *gap, void *user) {
        const struct role *role = user;

        (void)conn;
        note("G %u %llu %llu %llu %d", role->index, (unsigned long long)gap->first, (unsigned long long)gap->last,
             (unsigned long long)gap->count, (int)gap->why);
}

static void on_interest(ramal_conn *conn, const ramal_sub_change *change, void *user) {
        const struct role *role = user;

        (void)conn;
        note("I %u %d", role->index, (int)change->state);
}

static void answer(ramal_req *req, const char *text, unsigned long long number) {
        note("Y %s", text);
        if (number % 11 == 3)
                ramal_fail(req, 7, "no");
        else
                ramal_reply(req, text, strlen(text) + 1);
}

static void on_request(ramal_conn *conn, ramal_req *req, void *user) {
        struct role *role = user;
        struct actor *actor = role->actor;
        const ramal_msg *msg = ramal_req_msg(req);
        char buffer[96];
        unsigned long long number = 0;

        (void)conn;
        if (!msg)
                _exit(8);
        const char *text = text_of(msg, buffer, sizeof(buffer));
        const char *space = strchr(text, ' ');
        if (space)
                number = strtoull(space, NULL, 10);
        note("X %llu %u %s %s", (unsigned long long)ramal_msg_sender(msg)->peer, ramal_msg_flags(msg),
             ramal_msg_subject(msg), text);
        if ((number % 7 == 5 || number % 13 == 7) && actor->held_count < HELD_MAX) {
                struct held *held = &actor->held[actor->held_count++];

                *held = (struct held){req, number % 13 == 7 ? RAMAL_NEVER : ramal_now() + TICK_NS, ""};
                snprintf(held->text, sizeof(held->text), "%s", text);
                return;
        }
        answer(req, text, number);
}

/* Answers what is due, and gives up what nobody waits for. */
static void answer_held(struct actor *actor, uint64_t now) {
        for (unsigned i = 0; i < actor->held_count;) {
                struct held *held = &actor->held[i];

                if (ramal_req_cancelled(held->req)) {
                        ramal_req_drop(held->req);
                } else if (held->due_ns <= now) {
                        answer(held->req, held->text, 0);
                } else {
                        i++;
                        continue;
                }
                actor->held[i] = actor->held[--actor->held_count];
        }
}

/* ---- the connection ---- */

static void on_state(ramal_conn *conn, const ramal_state_change *change, void *user) {
        (void)user;
        uint64_t now = ramal_now();

        if (change->state == RAMAL_CONNECTED)
                note("+ %llu %llu", (unsigned long long)ramal_conn_epoch(conn),
                     (unsigned long long)ramal_conn_peer(conn));
        else if (change->before == RAMAL_CONNECTED || change->before == RAMAL_STOPPING)
                note("- %llu %llu", (unsigned long long)(change->retry_at > now ? (change->retry_at - now) / 1000 : 0),
                     (unsigned long long)change->unconfirmed);
        else if (change->state == RAMAL_CONNECTING)
                note("w %llu", (unsigned long long)(change->retry_at > now ? (change->retry_at - now) / 1000 : 0));
}

static void begin(struct role *role) {
        ramal_interest *interest = &role->interest;
        int r = 0;

        interest->size = sizeof(*interest);
        interest->pattern = role->subject;
        interest->group = role->group;
        interest->on_gap = on_gap;
        interest->on_state = on_interest;
        interest->user = role;
        if (role->kind == SUB)
                r = ramal_subscribe_with(role->actor->conn, interest, on_message, role, NULL);
        else if (role->kind == SERVE)
                r = ramal_serve_with(role->actor->conn, interest, on_request, role, NULL);
        if (r < 0)
                note("I %u %d", role->index, r);
}

static uint64_t act(struct actor *actor) {
        uint64_t now = ramal_now(), next = now + TICK_NS;

        answer_held(actor, now);
        for (unsigned i = 0; i < actor->role_count && !actor->stopped; i++) {
                struct role *role = &actor->roles[i];

                if (role->kind > CALL)
                        continue;
                if (now >= role->next_ns) {
                        if (role->kind == PUB && actor->open < OPEN_MAX)
                                publish(role);
                        else if (role->kind == CALL)
                                call(role);
                        role->next_ns = now + role->every_ns;
                }
                if (role->next_ns < next)
                        next = role->next_ns;
        }
        if (actor->stopped && !actor->open && !actor->quiet) {
                actor->quiet = true;
                note("Q");
        }
        return next;
}

/* Returns false at the end of input. */
static bool obey(struct actor *actor) {
        char word[64];
        ssize_t n = read(STDIN_FILENO, word, sizeof(word));

        if (n > 0)
                actor->stopped = true;
        return n > 0 || (n < 0 && errno == EINTR);
}

static int run(struct actor *actor) {
        struct pollfd fds[] = {{.fd = ramal_conn_fd(actor->conn), .events = POLLIN},
                               {.fd = STDIN_FILENO, .events = POLLIN}};

        for (;;) {
                uint64_t next = act(actor), now = ramal_now();
                int ms = next > now ? (int)((next - now + 999999) / 1000000) : 0;

                if (poll(fds, 2, ms) < 0 && errno != EINTR)
                        return 1;
                if ((fds[1].revents & (POLLIN | POLLHUP)) && !obey(actor))
                        break;
                int r = ramal_dispatch(actor->conn, 0);
                if (r == -ESHUTDOWN)
                        break;
        }
        note("E %llu", (unsigned long long)ramal_close(actor->conn));
        return 0;
}

/* ---- the command line ---- */

static bool is(const char *word, const char *key, const char **value) {
        size_t len = strlen(key);

        if (strncmp(word, key, len) != 0)
                return false;
        *value = word + len;
        return true;
}

static bool option(struct actor *actor, struct role *role, const char *word) {
        const char *value;

        if (is(word, "name=", &value))
                actor->name = value;
        else if (is(word, "bytes=", &value))
                actor->bytes = strtoul(value, NULL, 10);
        else if (is(word, "deadline=", &value))
                actor->deadline_ms = strtoull(value, NULL, 10);
        else if (role && is(word, "group=", &value))
                role->group = value;
        else if (role && is(word, "policy=", &value))
                role->interest.policy = (ramal_policy)atoi(value);
        else if (role && is(word, "overflow=", &value))
                role->interest.overflow = (ramal_overflow)atoi(value);
        else if (role && is(word, "window=", &value))
                role->interest.window_messages = strtoull(value, NULL, 10);
        else if (role && is(word, "credit=", &value))
                role->interest.credit_messages = strtoull(value, NULL, 10);
        else
                return false;
        return true;
}

static const char *const kinds[] = {[PUB] = "pub", [CALL] = "call", [SUB] = "sub", [SERVE] = "serve"};

/* Returns how many words it took, 0 for nonsense. */
static int take_role(struct actor *actor, char **words) {
        for (unsigned kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
                struct role *role = &actor->roles[actor->role_count];
                bool active = kind == PUB || kind == CALL;

                if (strcmp(words[0], kinds[kind]) != 0)
                        continue;
                if (actor->role_count == ROLES_MAX || !words[1] || (active && !words[2]))
                        return 0;
                *role = (struct role){.actor = actor, .kind = (enum kind)kind, .index = actor->role_count};
                role->subject = words[1];
                if (active)
                        role->every_ns = strtoull(words[2], NULL, 10) * 1000;
                actor->role_count++;
                return active ? 3 : 2;
        }
        return 0;
}

static bool parse(struct actor *actor, char **words) {
        for (; *words; words++) {
                struct role *last = actor->role_count ? &actor->roles[actor->role_count - 1] : NULL;

                if (strcmp(*words, "+") == 0 || option(actor, last, *words))
                        continue;
                int taken = take_role(actor, words);
                if (taken == 0)
                        return false;
                words += taken - 1;
        }
        return actor->role_count > 0;
}

int main(int argc, char **argv) {
        struct actor actor = {.name = "actor", .deadline_ms = 3000};
        ramal_error error;

        if (argc < 3 || !parse(&actor, argv + 2)) {
                fprintf(stderr, "usage: fault_actor ADDRESS [OPTION=VALUE...] ROLE...; see actor.c\n");
                return 64;
        }
        if (ramal_open_async(RAMAL_OPTIONS(.address = argv[1], .app = actor.name, .wait_broker = true,
                                           .backoff_max_ns = 500000000, .on_state = on_state, .user = &actor),
                             &actor.conn, &error) < 0) {
                fprintf(stderr, "fault_actor: %s\n", error.message);
                return 1;
        }
        for (unsigned i = 0; i < actor.role_count; i++)
                begin(&actor.roles[i]);
        return run(&actor);
}
