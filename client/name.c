/* SPDX-License-Identifier: MIT */
/* Well-known names: claiming, following and waiting for them; and what is sent to this very connection. */
#include "client/conn_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.pb-c.h"

#define NAMES_API "$SYS.api.names"
#define ASK_MS 10000

int ramal_claim_with(ramal_conn *conn, const ramal_interest *given, ramal_req_fn fn, void *user, ramal_sub **ret) {
        ramal_interest interest;
        ramal_sub *sub;

        int r = rml_usable(conn);
        if (r == 0)
                r = RML_TAKE_OPTIONS(conn, &interest, given);
        if (r == 0)
                r = rml_sub_new(conn, &interest, true, true, &sub);
        if (r < 0)
                return r;
        sub->req_fn = fn;
        sub->user = user;
        return rml_sub_start(sub, ret);
}

int ramal_claim(ramal_conn *conn, const char *name, unsigned flags, ramal_req_fn fn, void *user, ramal_sub **ret) {
        ramal_interest interest = {.size = sizeof(interest), .pattern = name, .name_flags = flags};

        return ramal_claim_with(conn, &interest, fn, user, ret);
}

/* ---- what the broker says about names ---- */

static bool subject_of(const char *name, char *buf, size_t size) {
        if (!name || rml_subject_check(rml_span_of(name), RML_NAME))
                return false;
        snprintf(buf, size, "$SYS.name.%s", name);
        return true;
}

/* The owner in a NameEvent. Returns 0; -EBADMSG: it is none, or of another name; -ENOMEM. */
static int read_event(const ramal_msg *msg, const char *name, uint64_t *owner) {
        size_t len;
        const uint8_t *data = ramal_msg_data(msg, &len);
        struct rml_fault fault;

        if (rml_scan_message(&ramal__api__v1__name_event__descriptor, (struct rml_span){data, len}, &fault) < 0)
                return -EBADMSG;
        Ramal__Api__V1__NameEvent *event = ramal__api__v1__name_event__unpack(NULL, len, data);
        if (!event)
                return -ENOMEM; /* the scan left it no other reason */
        bool ours = event->name && strcmp(event->name->name, name) == 0;
        if (ours)
                *owner = event->name->owner;
        ramal__api__v1__name_event__free_unpacked(event, NULL);
        return ours ? 0 : -EBADMSG;
}

/* The owner in a NamesReply, 0 where the name is not in it. Returns 0; -EBADMSG; -ENOMEM. */
static int read_names(const ramal_msg *msg, const char *name, uint64_t *owner) {
        size_t len;
        const uint8_t *data = ramal_msg_data(msg, &len);
        struct rml_fault fault;

        if (rml_scan_message(&ramal__api__v1__names_reply__descriptor, (struct rml_span){data, len}, &fault) < 0)
                return -EBADMSG;
        Ramal__Api__V1__NamesReply *reply = ramal__api__v1__names_reply__unpack(NULL, len, data);
        if (!reply)
                return -ENOMEM;
        *owner = 0;
        for (size_t i = 0; i < reply->n_names; i++)
                if (strcmp(reply->names[i]->name, name) == 0)
                        *owner = reply->names[i]->owner;
        ramal__api__v1__names_reply__free_unpacked(reply, NULL);
        return 0;
}

/* ---- following ---- */

/* Inside a callback already: the library's own of the subscription or the call. */
static void tell_owner(ramal_sub *sub, uint64_t owner) {
        struct rml_watch *watch = sub->watch;

        if (sub->dead || (watch->told && watch->owner == owner))
                return;
        watch->told = true;
        watch->owner = owner;
        watch->fn(sub->conn, watch->name, owner, watch->user);
}

static void on_event(ramal_conn *conn, const ramal_msg *msg, void *user) {
        ramal_sub *sub = user;
        uint64_t owner;

        int r = read_event(msg, sub->watch->name, &owner);
        if (r == 0)
                tell_owner(sub, owner);
        else if (r == -ENOMEM) /* a change must not be missed: it is asked for again */
                rml_starved(conn, "to read who owns a name");
}

static void on_names(ramal_conn *conn, int result, const ramal_msg *reply, const ramal_error *error, void *user) {
        ramal_sub *sub = user;
        ramal_error streamed;
        uint64_t owner;

        if (result == RAMAL_MORE) { /* no broker streams this answer: and the call would go on without us */
                ramal_call_cancel(sub->watch->call);
                result = rml_error(&streamed, -EPROTO, "the broker's answer about names cannot be read");
                error = &streamed;
        }
        sub->watch->call = NULL;
        sub->running++; /* it may be cancelled in here */
        int r = result == 0 ? read_names(reply, sub->watch->name, &owner) : result;
        if (r == 0)
                tell_owner(sub, owner);
        else if (r == -ENOMEM)
                rml_starved(conn, "to read who owns a name");
        else if (result == -ETIMEDOUT && !sub->dead && conn->phase == RML_PHASE_UP)
                rml_watch_subscribed(sub); /* a slow broker: ask again */
        else if (!sub->dead && conn->phase == RML_PHASE_UP) {
                rml_sub_unsubscribe(sub);
                rml_sub_set_state(sub, RAMAL_SUB_ENDED, 0, RAMAL_WHY_NONE, error);
        }
        rml_sub_release(sub);
}

/* The subscription is in place, so no change after the answer can be missed. */
void rml_watch_subscribed(ramal_sub *sub) {
        struct rml_watch *watch = sub->watch;

        if (watch->call)
                ramal_call_cancel(watch->call);
        watch->call = rml_request_internal(sub->conn, NAMES_API, ramal_in_ms(ASK_MS), on_names, sub);
        if (!watch->call && sub->conn->phase == RML_PHASE_UP && !sub->conn->out_dead)
                rml_starved(sub->conn, "to ask who owns a name");
}

void rml_watch_free(ramal_sub *sub) {
        if (!sub->watch)
                return;
        if (sub->watch->call && !sub->conn->closed)
                ramal_call_cancel(sub->watch->call);
        free(sub->watch->name);
        free(sub->watch);
}

int ramal_watch_name(ramal_conn *conn, const char *name, ramal_owner_fn fn, void *user, ramal_sub **ret) {
        char subject[RML_SUBJECT_BYTES_MAX + 1];
        ramal_interest interest = {.size = sizeof(interest), .pattern = subject};
        ramal_sub *sub;

        int r = rml_usable(conn);
        if (r < 0)
                return r;
        if (!fn || !subject_of(name, subject, sizeof(subject)))
                return rml_error(&conn->error, -EINVAL, "%s", fn ? "no name that a service can have" : "no function");
        struct rml_watch *watch = calloc(1, sizeof(*watch));
        if (!watch)
                return -ENOMEM;
        watch->name = strdup(name);
        r = watch->name ? rml_sub_new(conn, &interest, false, false, &sub) : -ENOMEM;
        if (r < 0) {
                free(watch->name);
                free(watch);
                return r;
        }
        watch->fn = fn;
        watch->user = user;
        sub->watch = watch;
        sub->msg_fn = on_event;
        sub->user = sub;
        return rml_sub_start(sub, ret);
}

/* ---- waiting ---- */

/* Reads events until somebody owns the name, or the connection is lost, and events with it. */
static int wait_event(ramal_sub *sub, const char *name, uint64_t deadline, uint64_t *owner) {
        ramal_conn *conn = sub->conn;
        uint64_t losses = conn->losses;
        int r = 0;

        while (r == 0 && *owner == 0 && conn->losses == losses) {
                ramal_msg *msg;
                r = ramal_sub_next(sub, 0, &msg);
                if (r == 0)
                        r = read_event(msg, name, owner) == -ENOMEM ? -ENOMEM : 0;
                else if (r == -ETIMEDOUT)
                        r = rml_block(conn, deadline);
                ramal_msg_unref(msg);
        }
        return *owner ? 0 : r;
}

/* Asks who owns the name, and follows what happens to it from there. Returns 0 with owner 0 where it is to be asked
 * again: the connection was lost. */
static int wait_owner(ramal_sub *sub, const char *name, uint64_t deadline, uint64_t *owner, ramal_error *err) {
        ramal_conn *conn = sub->conn;
        ramal_msg *reply = NULL;

        int r = ramal_sub_confirm(sub, deadline, err);
        if (r < 0)
                return r;
        r = ramal_request(conn, NAMES_API, NULL, 0, deadline, &reply, err);
        if ((r == -ECONNRESET || r == -ENOTCONN) && !conn->in_callback)
                return 0;
        int read = r == 0 ? read_names(reply, name, owner) : 0;
        if (read < 0)
                r = rml_error(err, read == -ENOMEM ? read : -EPROTO, "the broker's answer about names cannot be read");
        ramal_msg_unref(reply);
        if (r < 0 || *owner)
                return r;
        r = wait_event(sub, name, deadline, owner);
        return r < 0 ? rml_error(err, r, "%s: %s", name, r == -ETIMEDOUT ? "nobody owns that name" : ramal_strerror(r))
                     : 0;
}

int ramal_wait_name(ramal_conn *conn, const char *name, uint64_t deadline, uint64_t *ret_owner, ramal_error *err) {
        char subject[RML_SUBJECT_BYTES_MAX + 1];
        uint64_t owner = 0;
        ramal_sub *sub;

        if (!subject_of(name, subject, sizeof(subject)))
                return rml_error(err, -EINVAL, "%s: no name that a service can have", name ? name : "(no name)");
        int r = ramal_subscribe(conn, subject, NULL, NULL, &sub);
        if (r < 0)
                return rml_error(err, r, "%s: %s", name, ramal_strerror(r));
        rml_enter(conn);
        while (r == 0 && owner == 0 && !conn->closed)
                r = wait_owner(sub, name, deadline, &owner, err);
        if (r == 0 && ret_owner)
                *ret_owner = owner;
        if (!conn->closed)
                ramal_sub_cancel(sub);
        return rml_leave(conn) ? r : rml_error(err, -ESHUTDOWN, "%s", ramal_strerror(-ESHUTDOWN));
}

/* ---- to this very connection ---- */

static int unicast(ramal_conn *conn, bool serve, ramal_sub **ret) {
        /* The pattern is made anew at each welcome, with the number that we have then. */
        ramal_interest interest = {.size = sizeof(interest), .pattern = "$PEER.>"};
        int r = rml_sub_new(conn, &interest, false, serve, ret);

        if (r == 0)
                (*ret)->unicast = true;
        return r;
}

int ramal_on_peer(ramal_conn *conn, ramal_msg_fn on_message, ramal_req_fn on_request, void *user) {
        ramal_sub *sub = NULL, *srv = NULL;
        int r = rml_usable(conn);

        if (r == 0 && on_message)
                r = unicast(conn, false, &sub);
        if (r == 0 && on_request)
                r = unicast(conn, true, &srv);
        if (r < 0) {
                if (sub)
                        rml_sub_free(sub);
                return r;
        }
        conn->peer_sub = ramal_sub_cancel(conn->peer_sub);
        conn->peer_srv = ramal_sub_cancel(conn->peer_srv);
        if (sub) {
                sub->msg_fn = on_message;
                sub->user = user;
                rml_sub_start(sub, &conn->peer_sub);
        }
        if (srv) {
                srv->req_fn = on_request;
                srv->user = user;
                rml_sub_start(srv, &conn->peer_srv);
        }
        return 0;
}
