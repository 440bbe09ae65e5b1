/* SPDX-License-Identifier: MIT */
/* sdbus.c - D-Bus through sd-bus: for dbus-daemon and dbus-broker.
 * A subject is a signal's interface (both brokers index match rules by it), the
 * payload one byte array. Requests are method calls to a well-known name. */
#define _GNU_SOURCE
#include "../peer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

#define PATH "/b"
struct peer_conn {
        sd_bus *bus;
        peer_cb cb;
        void *user;
};

static peer_conn *dconnect(const char *addr, enum peer_role role) {
        char a[256];
        const char *name;
        peer_conn *c = calloc(1, sizeof *c);
        if (!addr_is_unix(addr))
                return NULL;
        snprintf(a, sizeof a, "unix:path=%s", addr_path(addr));
        if (sd_bus_new(&c->bus) < 0 || sd_bus_set_address(c->bus, a) < 0 || sd_bus_set_bus_client(c->bus, 1) < 0 ||
            sd_bus_start(c->bus) < 0 || sd_bus_get_unique_name(c->bus, &name) < 0) {
                free(c);
                return NULL;
        }
        return c;
}
static void dclose(peer_conn *c) {
        sd_bus_unref(c->bus);
        free(c);
}

static int on_any(sd_bus_message *m, void *ud, sd_bus_error *e) {
        peer_conn *c = ud;
        peer_msg pm = {.ctx = m};
        if (sd_bus_message_is_method_error(m, NULL))
                return -1;
        if (sd_bus_message_read_array(m, 'y', &pm.data, &pm.len) < 0)
                return -1;
        c->cb(c->user, &pm);
        return 1;
}
static int dsubscribe(peer_conn *c, const char *s, peer_cb cb, void *user) {
        char r[256];
        c->cb = cb;
        c->user = user;
        snprintf(r, sizeof r, "type='signal',interface='%s'", s);
        return sd_bus_add_match(c->bus, NULL, r, on_any, c);
}
static int pump(peer_conn *c) {
        int k = 0, r;
        while ((r = sd_bus_process(c->bus, NULL)) > 0)
                k++;
        return r < 0 ? r : k;
}
static int dsync(peer_conn *c) { /* the broker answers in order */
        int r = sd_bus_call_method(c->bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                   "GetId", NULL, NULL, NULL);
        return r < 0 ? r : 0;
}
static int ignore(sd_bus_message *m, void *ud, sd_bus_error *e) {
        return 0;
}
static int installed(sd_bus_message *m, void *ud, sd_bus_error *e) {
        if (sd_bus_message_is_method_error(m, NULL)) {
                fprintf(stderr, "AddMatch: %s\n", sd_bus_message_get_error(m)->message);
                exit(1);
        }
        return 1;
}
static int dmany(peer_conn *c, const char *prefix, unsigned from, unsigned n) {
        char r[256];
        for (unsigned i = 0; i < n; i++) {
                snprintf(r, sizeof r, "type='signal',interface='%s%u'", prefix, from + i);
                int k = sd_bus_add_match_async(c->bus, NULL, r, ignore, installed, c);
                if (k < 0)
                        return k;
                if ((i & 127) == 127 && (dsync(c) < 0 || pump(c) < 0))
                        return -1;
        }
        return dsync(c) < 0 ? -1 : pump(c);
}
static int settle(peer_conn *c) { /* sd-bus queues what the socket does not take */
        uint64_t q = 0;
        sd_bus_get_n_queued_write(c->bus, &q);
        return q ? sd_bus_flush(c->bus) : 0;
}
static int send_bytes(peer_conn *c, sd_bus_message *m, const void *buf, size_t len) {
        int r = sd_bus_message_append_array(m, 'y', buf, len);
        if (r >= 0)
                r = sd_bus_send(c->bus, m, NULL);
        sd_bus_message_unref(m);
        return r < 0 ? r : settle(c);
}
static int dpublish(peer_conn *c, const char *s, const void *buf, size_t len) {
        sd_bus_message *m;
        int r = sd_bus_message_new_signal(c->bus, &m, PATH, s, "M");
        return r < 0 ? r : send_bytes(c, m, buf, len);
}
static int dflush(peer_conn *c) {
        return sd_bus_flush(c->bus);
}

static int mkcall(peer_conn *c, sd_bus_message **m, const char *s, const void *buf, size_t len) {
        int r = sd_bus_message_new_method_call(c->bus, m, s, PATH, "bench.I", "Echo");
        return r < 0 ? r : sd_bus_message_append_array(*m, 'y', buf, len);
}
static long dcall(peer_conn *c, const char *s, const void *buf, size_t len, void *rb, size_t rcap) {
        sd_bus_message *m, *rep;
        const void *p;
        size_t n;
        if (mkcall(c, &m, s, buf, len) < 0)
                return -1;
        int r = sd_bus_call(c->bus, m, 0, NULL, &rep);
        sd_bus_message_unref(m);
        if (r < 0)
                return r;
        r = sd_bus_message_read_array(rep, 'y', &p, &n);
        if (r >= 0 && n <= rcap)
                memcpy(rb, p, n);
        sd_bus_message_unref(rep);
        return r < 0 || n > rcap ? -1 : (long)n;
}
static int drequest(peer_conn *c, const char *s, const void *buf, size_t len, peer_cb cb, void *user) {
        sd_bus_message *m;
        c->cb = cb;
        c->user = user;
        if (mkcall(c, &m, s, buf, len) < 0)
                return -1;
        int r = sd_bus_call_async(c->bus, NULL, m, on_any, c, 0);
        sd_bus_message_unref(m);
        return r < 0 ? r : 0;
}
static int dserve(peer_conn *c, const char *s, peer_cb cb, void *user) {
        c->cb = cb;
        c->user = user;
        int r = sd_bus_add_object(c->bus, NULL, PATH, on_any, c);
        return r < 0 ? r : sd_bus_request_name(c->bus, s, 0) < 0 ? -1 : 0;
}
static int dreply(peer_conn *c, const peer_msg *q, const void *buf, size_t len) {
        sd_bus_message *m;
        int r = sd_bus_message_new_method_return(q->ctx, &m);
        if (r < 0)
                return r;
        r = sd_bus_message_append_array(m, 'y', buf, len);
        if (r >= 0)
                r = sd_bus_send(c->bus, m, NULL);
        sd_bus_message_unref(m);
        return r < 0 ? r : 0;
}
static int dloop(peer_conn *c, int ms) {
        int k = pump(c);
        if (k)
                return k;
        int r = sd_bus_wait(c->bus, (uint64_t)ms * 1000);
        return r < 0 ? r : pump(c);
}
const peer_adapter peer = {.name = "sdbus",
                           .win_msgs = 1024,
                           .win_bytes = 8u << 20,
                           .connect = dconnect,
                           .close = dclose,
                           .subscribe = dsubscribe,
                           .subscribe_many = dmany,
                           .sync = dsync,
                           .publish = dpublish,
                           .flush = dflush,
                           .call = dcall,
                           .request = drequest,
                           .serve = dserve,
                           .reply = dreply,
                           .loop = dloop};
