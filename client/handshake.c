/* SPDX-License-Identifier: MIT */
/* From nothing to WELCOME: the addresses in turn, the socket, who serves it, HELLO, and over TCP the proof of the
 * token. */
#include "client/conn_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/wire.h"

/* Pause where the server's queue of new connections is full: nothing wakes us when it is not any more. */
#define QUEUE_FULL_NS (2 * RML_NS_PER_MS)

static struct rml_target *target_of(ramal_conn *conn) {
        return &conn->targets[conn->target];
}

/* ---- where to ---- */

static void add_target(ramal_conn *conn, const struct rml_addr *addr, const struct rml_endpoint *endpoint) {
        struct rml_target *target = &conn->targets[conn->target_count++];

        memset(target, 0, sizeof(*target));
        target->addr = *addr;
        rml_addr_format(addr, target->text, sizeof(target->text));
        if (endpoint) {
                target->endpoint = *endpoint;
        } else {
                target->endpoint.family = AF_UNIX;
                target->endpoint.len = rml_addr_sockaddr_un(addr, &target->endpoint.sockaddr);
        }
}

static int add_tcp(ramal_conn *conn, const struct rml_addr *addr, ramal_error *err) {
        struct rml_endpoint endpoints[RML_TARGETS_MAX];
        char why[256];
        int n = rml_resolve(addr, false, endpoints, RML_TARGETS_MAX - conn->target_count, why, sizeof(why));

        if (n == -ENOMEM)
                return rml_error(err, n, "%s", why);
        if (n < 0) {
                char text[340];
                return rml_error(err, -ECONNREFUSED, "%s: %s", rml_addr_format(addr, text, sizeof(text)), why);
        }
        for (int i = 0; i < n; i++)
                add_target(conn, addr, &endpoints[i]);
        return 0;
}

static int add_addr(ramal_conn *conn, const struct rml_addr *addr, ramal_error *err) {
        char text[340];

        switch (addr->kind) {
        case RML_ADDR_TLS:
                return rml_error(err, -EOPNOTSUPP, "%s: TLS is not in this release; use tcp: or unix:",
                                 rml_addr_format(addr, text, sizeof(text)));
        case RML_ADDR_TCP:
                if (!rml_auth_available())
                        return rml_error(err, -EOPNOTSUPP,
                                         "%s: this libramal was built without TCP (RAMAL_TCP=OFF); use unix:",
                                         rml_addr_format(addr, text, sizeof(text)));
                return add_tcp(conn, addr, err);
        default:
                add_target(conn, addr, NULL);
                return 0;
        }
}

int rml_targets_init(ramal_conn *conn, ramal_error *err) {
        struct rml_addr addrs[4];
        struct rml_place place;
        char why[400];
        size_t n = 1;
        int r = 0;

        if (conn->address_option) {
                r = rml_addr_parse(conn->address_option, &addrs[0], why, sizeof(why));
        } else {
                rml_wire_place(&place);
                /* Parsed here too, so that a bad one is an error and not a bus elsewhere. */
                if (place.address && conn->bus == RAMAL_BUS_DEFAULT)
                        r = rml_addr_parse(place.address, &addrs[0], why, sizeof(why));
                else
                        n = rml_addr_defaults(&place, (enum rml_scope)conn->bus, false, addrs, RML_COUNT(addrs));
        }
        if (r < 0)
                return rml_error(err, -EINVAL, "%s", why);
        for (size_t i = 0; i < n && r == 0; i++)
                r = add_addr(conn, &addrs[i], err);
        /* Whoever waits for the broker waits for its token too. */
        if (r == 0 && conn->targets[0].addr.kind == RML_ADDR_TCP && !conn->wait_broker)
                r = rml_token_load(conn, err);
        return r;
}

/* ---- one attempt ---- */

static void all_failed(ramal_conn *conn) {
        ramal_error error;
        size_t used = 0;

        rml_error(&error, -ECONNREFUSED, "no broker answers:");
        for (size_t i = 0; i < conn->target_count; i++) {
                used = strlen(error.message);
                snprintf(error.message + used, sizeof(error.message) - used, "\n  %s: %s", conn->targets[i].text,
                         conn->targets[i].why);
        }
        used = strlen(error.message);
        bool tcp = conn->targets[0].addr.kind == RML_ADDR_TCP;
        if (tcp || conn->address_option || conn->target_count == 1)
                snprintf(error.message + used, sizeof(error.message) - used, "\nstart one %swith: ramald --listen %s",
                         tcp ? "there " : "", conn->targets[0].text);
        else
                snprintf(error.message + used, sizeof(error.message) - used, "\nstart one with: ramald");
        conn->target = 0;
        rml_attempt_failed(conn, &error);
}

/* The message is whole in itself: one address, one reason. */
static void refuse(ramal_conn *conn, int code, const char *why) {
        ramal_error error;

        rml_error(&error, code, "%s: %s", target_of(conn)->text, why);
        rml_attempt_failed(conn, &error);
}

/* Whoever binds the socket first would get all that we send: it must be root's, ours, or belong to whom the
 * directory belongs. The kernel tells who called listen(). */
static int check_server(ramal_conn *conn, char *why, size_t size) {
        const struct rml_addr *addr = &target_of(conn)->addr;
        struct rml_creds creds;
        struct stat st;
        char path[sizeof(addr->path)];

        int r = rml_wire_user(conn->sock, &creds);
        if (r < 0) {
                snprintf(why, size, "the kernel does not say whose socket it is");
                return r;
        }
        if (creds.uid == 0 || creds.uid == geteuid())
                return 0;
        if (addr->kind == RML_ADDR_UNIX) {
                snprintf(path, sizeof(path), "%s", addr->path);
                char *slash = strrchr(path, '/');
                if (slash)
                        slash[slash == path ? 1 : 0] = '\0';
                if (stat(slash ? path : ".", &st) == 0 && st.st_uid == creds.uid)
                        return 0;
        }
        snprintf(why, size,
                 "it is served by uid %u, which is neither root nor you%s: it is not trusted with your messages",
                 (unsigned)creds.uid, addr->kind == RML_ADDR_UNIX ? " nor the owner of its directory" : "");
        return -EPERM;
}

static void connected(ramal_conn *conn) {
        bool tcp = target_of(conn)->addr.kind == RML_ADDR_TCP;
        Ramal__V1__Hello hello;
        char library[] = "libramal " RAMAL_VERSION, why[200];

        conn->phase = RML_PHASE_HELLO;
        if (!tcp && check_server(conn, why, sizeof(why)) < 0) {
                refuse(conn, -EPERM, why);
                return;
        }
        if (tcp && rml_auth_nonce(conn->nonce) < 0) {
                refuse(conn, -EPERM, "no random numbers to be had");
                return;
        }
        conn->ids = 1;
        ramal__v1__hello__init(&hello);
        hello.version_min = hello.version_max = RML_VERSION;
        hello.app = conn->app;
        hello.library = library;
        hello.inspect = conn->inspect;
        if (tcp) {
                hello.nonce.data = conn->nonce;
                hello.nonce.len = sizeof(conn->nonce);
        }
        if (rml_out_control(conn, RML_HELLO, conn->ids, &hello.base) == -ENOMEM) {
                refuse(conn, -ENOMEM, "no memory left");
                return;
        }
        rml_out_send(conn);
        rml_io_arm(conn);
}

/* Begins with conn->target; goes on to the next where one fails at once. */
static void try_targets(ramal_conn *conn) {
        for (; conn->target < conn->target_count; conn->target++) {
                struct rml_target *target = target_of(conn);
                char buf[32];
                int fd = rml_wire_socket(target->endpoint.family), r = fd;

                if (fd >= 0)
                        r = connect(fd, (const struct sockaddr *)&target->endpoint.sockaddr, target->endpoint.len) < 0
                                    ? -errno
                                    : 0;
                if (r == 0 || r == -EINPROGRESS) {
                        conn->timer_at = conn->attempt_until;
                        conn->phase = RML_PHASE_CONNECT;
                        conn->heard_at = ramal_now();
                        rml_io_socket(conn, fd);
                        if (r == 0)
                                connected(conn);
                        return;
                }
                if (fd >= 0)
                        close(fd);
                if (r == -EAGAIN && ramal_now() < conn->attempt_until) {
                        conn->again = true;
                        conn->phase = RML_PHASE_IDLE;
                        conn->timer_at = ramal_now() + QUEUE_FULL_NS;
                        return;
                }
                snprintf(target->why, sizeof(target->why), "%s", rml_errno_text(r, buf));
        }
        all_failed(conn);
}

void rml_attempt(ramal_conn *conn) {
        ramal_error error;

        if (conn->again) {
                conn->again = false;
                try_targets(conn);
                return;
        }
        conn->target = 0;
        conn->attempt_until = ramal_now() + conn->connect_timeout;
        conn->goaway.code = 0;
        /* Each time anew: the broker may have made another one since. */
        if (conn->targets[0].addr.kind == RML_ADDR_TCP && rml_token_load(conn, &error) < 0) {
                rml_attempt_failed(conn, &error);
                return;
        }
        try_targets(conn);
}

void rml_target_failed(ramal_conn *conn, int code, const char *why) {
        struct rml_target *target = target_of(conn);
        char buf[32];

        snprintf(target->why, sizeof(target->why), "%s", why ? why : rml_errno_text(code, buf));
        rml_io_close_socket(conn);
        rml_out_clear(conn);
        rml_framer_deinit(&conn->framer);
        rml_framer_init(&conn->framer, RML_CONTROL_BYTES_MAX);
        conn->input.len = 0;
        conn->broken = 0;
        conn->out_dead = false;
        conn->attempt_until = ramal_now() + conn->connect_timeout;
        conn->target++;
        try_targets(conn);
}

void rml_handshake_timeout(ramal_conn *conn) {
        char why[64];

        if (conn->phase == RML_PHASE_UP || conn->phase == RML_PHASE_DOWN)
                return;
        snprintf(why, sizeof(why), "no answer within %llu ms",
                 (unsigned long long)(conn->connect_timeout / RML_NS_PER_MS));
        rml_target_failed(conn, -ETIMEDOUT, why);
}

/* TCP: has the connection come about? */
void rml_handshake_writable(ramal_conn *conn) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof(int), peer_len = sizeof(peer);
        int error = 0;

        if (getsockopt(conn->sock, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
                error = errno;
        if (error != 0) {
                rml_target_failed(conn, -error, NULL);
                return;
        }
        if (getpeername(conn->sock, (struct sockaddr *)&peer, &peer_len) == 0)
                connected(conn);
}

/* ---- what the broker answers ---- */

static void challenged(ramal_conn *conn, const Ramal__V1__Challenge *challenge) {
        uint8_t proof[RML_PROOF_BYTES];
        Ramal__V1__Auth auth = RAMAL__V1__AUTH__INIT;

        if (challenge->nonce.len != RML_NONCE_BYTES || challenge->proof.len != RML_PROOF_BYTES ||
            target_of(conn)->addr.kind != RML_ADDR_TCP || conn->phase != RML_PHASE_HELLO) {
                refuse(conn, -EPROTO, "what answers there is not a broker of ramal");
                return;
        }
        rml_auth_proof(conn->token, RML_ROLE_BROKER, conn->nonce, challenge->nonce.data, proof);
        if (!rml_auth_equal(proof, challenge->proof.data)) {
                refuse(conn, -EPERM,
                       "the server there does not know the token: another program has the port, "
                       "or the token file is another broker's");
                return;
        }
        rml_auth_proof(conn->token, RML_ROLE_CLIENT, conn->nonce, challenge->nonce.data, proof);
        auth.proof.data = proof;
        auth.proof.len = sizeof(proof);
        conn->phase = RML_PHASE_AUTH;
        conn->ids = 2;
        if (rml_out_control(conn, RML_AUTH, conn->ids, &auth.base) == -ENOMEM)
                refuse(conn, -ENOMEM, "no memory left");
        else
                rml_out_send(conn);
}

static void welcomed(ramal_conn *conn, const Ramal__V1__Welcome *welcome) {
        const Ramal__V1__Limits *limits = welcome->limits;
        const uint64_t payload_ceiling = RML_PAYLOAD_BYTES_CEILING,
                       frame_ceiling = payload_ceiling + RML_FRAME_EXTRA_BYTES;

        /* Over TCP a server that lets us in without a proof of its own may be anybody. */
        if (target_of(conn)->addr.kind == RML_ADDR_TCP && conn->phase != RML_PHASE_AUTH) {
                refuse(conn, -EPERM, "the server there did not prove that it knows the token");
                return;
        }
        if (welcome->version != RML_VERSION || welcome->peer == 0) {
                refuse(conn, -EPROTO, "what answers there is not a broker of this version of the protocol");
                return;
        }
        char *server = strdup(welcome->server ? welcome->server : "");
        if (!server) {
                refuse(conn, -ENOMEM, "no memory left");
                return;
        }
        free(conn->server);
        conn->server = server;
        conn->peer = welcome->peer;
        conn->epoch = welcome->epoch;
        conn->payload_max = limits && limits->payload_bytes ? limits->payload_bytes : RML_PAYLOAD_BYTES_DEFAULT;
        conn->frame_max =
                limits && limits->frame_bytes ? limits->frame_bytes : conn->payload_max + RML_FRAME_EXTRA_BYTES;
        conn->payload_max = rml_min64(conn->payload_max, payload_ceiling);
        conn->frame_max = rml_min64(conn->frame_max, frame_ceiling);
        if (conn->frame_max < RML_CONTROL_BYTES_MAX)
                conn->frame_max = RML_CONTROL_BYTES_MAX;
        conn->framer.frame_bytes_max = (uint32_t)conn->frame_max;
        /* A broker that tells of no publish credit knows of none. */
        conn->credit_max = limits && limits->publish_credit_bytes ? limits->publish_credit_bytes : UINT64_MAX;
        conn->credit_used = 0;
        rml_welcomed(conn);
}

void rml_handshake_frame(ramal_conn *conn, const struct rml_control *control) {
        const Ramal__V1__Status *status;
        const Ramal__V1__Goaway *goaway;
        ramal_error error;
        char why[1024];

        switch (control->kind) {
        case RML_CHALLENGE:
                challenged(conn, (const Ramal__V1__Challenge *)control->message);
                return;
        case RML_WELCOME:
                welcomed(conn, (const Ramal__V1__Welcome *)control->message);
                return;
        case RML_STATUS:
                status = (const Ramal__V1__Status *)control->message;
                rml_error_status(&error, status);
                snprintf(why, sizeof(why), "%s: %.600s", target_of(conn)->text, error.message);
                snprintf(error.message, sizeof(error.message), "%s", why);
                rml_attempt_failed(conn, &error);
                return;
        case RML_GOAWAY:
                goaway = (const Ramal__V1__Goaway *)control->message;
                snprintf(why, sizeof(why), "%s",
                         goaway->text && goaway->text[0] ? goaway->text : "the broker sent us away");
                refuse(conn, goaway->reason ? rml_code_errno(goaway->reason) : -ECONNREFUSED, why);
                return;
        default:
                refuse(conn, -EPROTO, "what answers there is not a broker of ramal");
        }
}
