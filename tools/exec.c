/* SPDX-License-Identifier: MIT */
/* A request is in one of two places: in `waiting`, a ring, or in a slot with its command. One that is cancelled is
 * dropped at once: its place in the ring stays empty, its command is asked to end, and the slot is free when it has. */
#define _GNU_SOURCE
#include "exec.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "interrupt.h"
#include "text.h"

enum { CODE_NOT_RUN = 127, CODE_TOO_LARGE = 126, CODE_BUSY = 125 }; /* as a shell would end */

#define SOON_NS UINT64_C(10000000)

struct slot {
        struct child child;
        ramal_req *req; /* NULL: nobody waits for the answer any more, or the slot is free */
        bool taken;
};

struct exec {
        struct ctl *ctl;
        const char *command;
        const ramal_reply_options *with;
        struct slot *slots;
        size_t slot_count, running;
        ramal_req *waiting[EXEC_WAITING_MAX];
        size_t first, count;
        int ended;     /* signalfd of SIGCHLD */
        sigset_t mask; /* as it was */
        struct pollfd *polls;
};

int exec_new(struct ctl *ctl, const char *command, size_t parallel, const ramal_reply_options *with,
             struct exec **ret) {
        sigset_t child;
        struct exec *exec = calloc(1, sizeof(*exec));
        if (!exec)
                return -ENOMEM;
        *exec = (struct exec){.ctl = ctl, .command = command, .with = with, .slot_count = parallel, .ended = -1};
        exec->slots = calloc(parallel, sizeof(*exec->slots));
        exec->polls = calloc(2 + 2 * parallel, sizeof(*exec->polls));
        sigemptyset(&child);
        sigaddset(&child, SIGCHLD);
        int r = exec->slots && exec->polls ? 0 : -ENOMEM;
        if (r == 0 && sigprocmask(SIG_BLOCK, &child, &exec->mask) < 0)
                r = -errno;
        if (r == 0 && (exec->ended = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
                r = -errno;
        if (r < 0) {
                exec_free(exec);
                return r;
        }
        *ret = exec;
        return 0;
}

struct exec *exec_free(struct exec *exec) {
        if (!exec)
                return NULL;
        for (size_t i = 0; exec->slots && i < exec->slot_count; i++) {
                if (!exec->slots[i].taken)
                        continue;
                child_end(&exec->slots[i].child);
                child_clear(&exec->slots[i].child);
        }
        if (exec->ended >= 0)
                close(exec->ended);
        free(exec->slots);
        free(exec->polls);
        free(exec);
        return NULL;
}

bool exec_busy(const struct exec *exec) {
        return exec->running > 0 || exec->count > 0;
}

/* ---- answers ---- */

static void answer(struct exec *exec, struct slot *slot) {
        struct child *child = &slot->child;
        int status = child->status;
        char text[CHILD_TEXT * 4 + 1];
        text_copy(text, sizeof(text), child->text, child->text_len, TEXT_LINE);
        if (child->too_large)
                ramal_fail(slot->req, CODE_TOO_LARGE, "the command wrote more than a reply can hold (%zu bytes)",
                           child->max);
        else if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                ramal_reply_with(slot->req, child->data ? child->data : "", child->len, exec->with);
        else if (WIFEXITED(status))
                ramal_fail(slot->req, (uint32_t)WEXITSTATUS(status), text[0] ? "%s" : "the command failed%s", text);
        else
                ramal_fail(slot->req, 128 + (uint32_t)WTERMSIG(status), "the command was ended by signal %d%s%s",
                           WTERMSIG(status), text[0] ? ": " : "", text);
        slot->req = NULL;
}

static void on_cancelled(ramal_req *req, ramal_why why, void *user) {
        struct exec *exec = user;
        (void)why;
        for (size_t i = 0; i < exec->slot_count; i++) {
                if (exec->slots[i].req != req)
                        continue;
                exec->slots[i].req = NULL;
                child_kill(&exec->slots[i].child, ramal_now());
        }
        for (size_t i = 0; i < exec->count; i++)
                if (exec->waiting[(exec->first + i) % EXEC_WAITING_MAX] == req)
                        exec->waiting[(exec->first + i) % EXEC_WAITING_MAX] = NULL;
        ramal_req_drop(req);
}

static void start(struct exec *exec, struct slot *slot, ramal_req *req) {
        int r = child_start(&slot->child, exec->command, req, &exec->mask, ramal_conn_payload_max(exec->ctl->conn));
        if (r < 0) {
                ctl_say(exec->ctl, "cannot run the command: %s", strerror(-r));
                ramal_fail(req, CODE_NOT_RUN, "the command cannot be run");
                child_clear(&slot->child);
                return;
        }
        slot->req = req;
        slot->taken = true;
        exec->running++;
        ramal_req_on_cancel(req, on_cancelled, exec);
}

static struct slot *free_slot(struct exec *exec) {
        for (size_t i = 0; i < exec->slot_count; i++)
                if (!exec->slots[i].taken)
                        return &exec->slots[i];
        return NULL;
}

void exec_request(struct exec *exec, ramal_req *req) {
        struct slot *slot = exec->count == 0 ? free_slot(exec) : NULL;
        if (slot) {
                start(exec, slot, req);
        } else if (exec->count == EXEC_WAITING_MAX) {
                ramal_fail(req, CODE_BUSY, "too many requests are waiting");
        } else {
                exec->waiting[(exec->first + exec->count++) % EXEC_WAITING_MAX] = req;
                ramal_req_on_cancel(req, on_cancelled, exec);
        }
}

static void start_waiting(struct exec *exec) {
        while (exec->count > 0) {
                ramal_req *req = exec->waiting[exec->first];
                struct slot *slot = free_slot(exec);
                if (req && !slot)
                        return;
                exec->first = (exec->first + 1) % EXEC_WAITING_MAX;
                exec->count--;
                if (req)
                        start(exec, slot, req);
        }
}

/* ---- the loop ---- */

static void reap(struct exec *exec) {
        uint64_t now = ramal_now();
        for (size_t i = 0; i < exec->slot_count; i++) {
                struct slot *slot = &exec->slots[i];
                if (!slot->taken || !child_reap(&slot->child, now))
                        continue;
                if (slot->req)
                        answer(exec, slot);
                child_clear(&slot->child);
                slot->taken = false;
                exec->running--;
        }
        start_waiting(exec);
}

/* Kills those that were asked to end and did not. Returns when to come back, at the latest. */
static uint64_t deal_with_time(struct exec *exec, uint64_t deadline) {
        uint64_t now = ramal_now();
        for (size_t i = 0; i < exec->slot_count; i++) {
                struct child *child = &exec->slots[i].child;
                if (!exec->slots[i].taken)
                        continue;
                if (child->kill_at > 0 || child->too_large)
                        child_kill(child, now);
                /* Killed: what is left of it can be reaped soon. */
                uint64_t next = child->kill_at == RAMAL_NEVER ? now + SOON_NS : child->kill_at;
                if (next > 0 && next < deadline)
                        deadline = next;
        }
        return deadline;
}

static nfds_t fill_polls(struct exec *exec) {
        nfds_t n = 0;
        exec->polls[n++] = (struct pollfd){.fd = ramal_conn_fd(exec->ctl->conn), .events = POLLIN};
        exec->polls[n++] = (struct pollfd){.fd = exec->ended, .events = POLLIN};
        for (size_t i = 0; i < exec->slot_count; i++) {
                if (!exec->slots[i].taken)
                        continue;
                /* Negative descriptors are passed over by poll(). */
                exec->polls[n++] = (struct pollfd){.fd = exec->slots[i].child.out, .events = POLLIN};
                exec->polls[n++] = (struct pollfd){.fd = exec->slots[i].child.err, .events = POLLIN};
        }
        return n;
}

static int milliseconds_until(uint64_t deadline) {
        if (deadline == RAMAL_NEVER)
                return -1;
        uint64_t now = ramal_now(), ms = deadline > now ? (deadline - now + 999999) / 1000000 : 0;
        return ms > 60000 ? 60000 : (int)ms;
}

int exec_turn(struct exec *exec, uint64_t deadline) {
        struct signalfd_siginfo info;
        uint64_t until = deal_with_time(exec, deadline);
        int r = ramal_conn_fd(exec->ctl->conn);
        if (r < 0)
                return r;
        fflush(stderr);
        r = poll(exec->polls, fill_polls(exec), milliseconds_until(until));
        if (interrupt_signal())
                return -EINTR;
        if (r < 0 && errno != EINTR)
                return -errno;
        /* The connection first: a request that is cancelled needs no answer any more. */
        r = ramal_dispatch(exec->ctl->conn, 0);
        for (size_t i = 0; i < exec->slot_count; i++)
                if (exec->slots[i].taken)
                        child_read(&exec->slots[i].child);
        while (read(exec->ended, &info, sizeof(info)) > 0)
                ;
        reap(exec);
        if (r < 0)
                return r;
        return ramal_now() >= deadline ? -ETIMEDOUT : 0;
}
