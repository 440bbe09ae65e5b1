/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "refusal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"
#include "wire.h"

#define TEXT_BYTES 200u
#define STAYING_MAX 32u
#define STAY_NS 1000000000u

struct refusal {
        struct rml_list link;
        struct loop_source source;
        struct refusals *all;
        uint64_t end_ns;
        int fd;
};

void refusals_init(struct refusals *all, struct loop *loop) {
        *all = (struct refusals){.loop = loop};
        rml_list_init(&all->list);
}

static void drop(struct refusal *refusal) {
        loop_remove(refusal->all->loop, &refusal->source);
        rml_list_remove(&refusal->link);
        refusal->all->count--;
        refusal->all->dropped = true;
        close(refusal->fd);
        free(refusal);
}

void refusals_drop(struct refusals *all) {
        rml_list_each_safe(link, &all->list) drop(rml_list_entry(link, struct refusal, link));
}

void refusals_deinit(struct refusals *all) {
        if (all->loop)
                refusals_drop(all);
}

static void send_goaway(int fd, Ramal__V1__Code reason, const char *text) {
        Ramal__V1__Goaway goaway;
        char copy[TEXT_BYTES];
        uint8_t frame[TEXT_BYTES + 64];
        snprintf(copy, sizeof(copy), "%s", text);
        ramal__v1__goaway__init(&goaway);
        goaway.reason = reason;
        goaway.text = copy;
        if (rml_control_size(RML_GOAWAY, 0, &goaway.base) > sizeof(frame))
                return;
        struct rml_span span = {frame, rml_control_pack(frame, RML_GOAWAY, 0, &goaway.base)};
        /* Whoever does not get it sees the end of the connection, which says no less than that. */
        if (rml_wire_send(fd, &span, 1) > 0)
                shutdown(fd, SHUT_WR);
}

static void on_event(void *user, unsigned events) {
        struct refusal *refusal = user;
        uint8_t ignored[4096];
        ssize_t n = rml_wire_recv(refusal->fd, ignored, sizeof(ignored));
        if ((n <= 0 && n != -EAGAIN) || (n == -EAGAIN && (events & LOOP_HANGUP)))
                drop(refusal);
}

void refusals_add(struct refusals *all, int fd, Ramal__V1__Code reason, const char *text, uint64_t now) {
        send_goaway(fd, reason, text);
        if (all->count == STAYING_MAX)
                drop(rml_list_entry(rml_list_first(&all->list), struct refusal, link));
        struct refusal *refusal = calloc(1, sizeof(*refusal));
        if (!refusal || loop_add(all->loop, &refusal->source, fd, LOOP_READ, on_event, refusal) < 0) {
                free(refusal);
                close(fd);
                return;
        }
        refusal->all = all;
        refusal->fd = fd;
        refusal->end_ns = now + STAY_NS;
        rml_list_push_back(&all->list, &refusal->link);
        all->count++;
}

uint64_t refusals_deadline(const struct refusals *all) {
        struct rml_list *first = rml_list_first(&all->list);
        return first ? rml_list_entry(first, struct refusal, link)->end_ns : LOOP_NEVER;
}

void refusals_expire(struct refusals *all, uint64_t now) {
        while (refusals_deadline(all) <= now)
                drop(rml_list_entry(rml_list_first(&all->list), struct refusal, link));
}
