/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "subject.h"
#include "tcp.h"

#define ACCEPTS_PER_TURN 16 /* so that a flood of connections leaves room for those that are there */
#define PAUSE_NS UINT64_C(1000000000)

/* Any descriptor will do, and this one is there everywhere. Returns true when none is missing. */
static bool fill_reserves(struct listeners *all) {
        size_t want = LISTENER_RESERVES + all->kept - all->kept_used;
        while (all->reserve_count < want) {
                int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (fd < 0)
                        return false;
                all->reserves[all->reserve_count++] = fd;
        }
        while (all->reserve_count > want)
                close(all->reserves[--all->reserve_count]);
        return true;
}

void listeners_keep(struct listeners *all, size_t kept) {
        all->kept = kept < LISTENER_KEPT_MAX ? kept : LISTENER_KEPT_MAX;
        fill_reserves(all);
}

int listeners_init(struct listeners *all, struct loop *loop, struct log *log, struct failure *failure) {
        char why[80];
        *all = (struct listeners){.loop = loop, .log = log, .resume_ns = LOOP_NEVER};
        rml_list_init(&all->list);
        fill_reserves(all);
        if (all->reserve_count == 0)
                return failure_set(failure, EXIT_SYSTEM, "cannot open /: %s", failure_errno(errno, why, sizeof(why)));
        return 0;
}

static void name_listener(struct listener *listener) {
        struct sockaddr_storage sockaddr = {0};
        socklen_t len = sizeof(sockaddr);
        if (getsockname(listener->fd, (struct sockaddr *)&sockaddr, &len) < 0)
                len = sizeof(sa_family_t);
        rml_addr_from_sockaddr((const struct sockaddr *)&sockaddr, len, listener->address, sizeof(listener->address));
        listener->local = sockaddr.ss_family == AF_UNIX;
        if (listener->local && len > offsetof(struct sockaddr_un, sun_path)) {
                struct sockaddr_un sun;
                memcpy(&sun, &sockaddr, sizeof(sun));
                snprintf(listener->file, sizeof(listener->file), "%.*s", (int)sizeof(sun.sun_path), sun.sun_path);
        }
}

/* An address that was given is told as it was, so that clients can use what we tell; unless it is no UTF-8, which no
 * reply to them can hold. */
static void name_as_given(struct listener *listener, const struct rml_addr *addr) {
        char text[LISTENER_ADDRESS_BYTES];
        if (rml_utf8_valid(rml_span_of(rml_addr_format(addr, text, sizeof(text)))))
                memcpy(listener->address, text, sizeof(text));
}

/* Takes the descriptor, also when it fails. */
static int add_listener(struct listeners *all, int fd, struct listener **ret, struct failure *failure) {
        if (all->count == LISTENERS_MAX) {
                close(fd);
                return failure_set(failure, EXIT_USAGE, "more than %u addresses to listen on", LISTENERS_MAX);
        }
        struct listener *listener = calloc(1, sizeof(*listener));
        if (!listener) {
                close(fd);
                return failure_set(failure, EXIT_SYSTEM, "out of memory");
        }
        listener->all = all;
        listener->fd = fd;
        listener->path.lock_fd = -1;
        name_listener(listener);
        rml_list_push_back(&all->list, &listener->link);
        all->count++;
        *ret = listener;
        return 0;
}

static int open_path(struct listeners *all, const struct rml_addr *addr, const struct unixpath_rules *rules,
                     struct failure *failure) {
        struct unixpath path;
        struct listener *listener;
        char why[80];
        int fd;
        int r = unixpath_open(&path, addr->path, rules, &fd, failure);
        if (r < 0)
                return r;
        r = add_listener(all, fd, &listener, failure);
        if (r < 0) {
                unixpath_close(&path, true);
                return r;
        }
        listener->has_path = true;
        listener->path = path;
        name_as_given(listener, addr);
        if (listen(fd, SOMAXCONN) < 0)
                return failure_set(failure, EXIT_SYSTEM, "cannot listen on %s: %s", listener->address,
                                   failure_errno(errno, why, sizeof(why)));
        return 0;
}

static int open_abstract(struct listeners *all, const struct rml_addr *addr, struct failure *failure) {
        struct sockaddr_storage sockaddr;
        struct listener *listener;
        char address[LISTENER_ADDRESS_BYTES], why[80];
        socklen_t len = rml_addr_sockaddr_un(addr, &sockaddr);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd >= 0 && bind(fd, (const struct sockaddr *)&sockaddr, len) == 0 && listen(fd, SOMAXCONN) == 0) {
                int r = add_listener(all, fd, &listener, failure);
                if (r == 0)
                        name_as_given(listener, addr);
                return r;
        }
        int error = errno;
        if (fd >= 0)
                close(fd);
        rml_addr_format(addr, address, sizeof(address));
        if (error == EADDRINUSE)
                return failure_set(failure, EXIT_SYSTEM,
                                   "cannot listen on %s: another program has this name; stop it, or choose another",
                                   address);
        return failure_set(failure, EXIT_SYSTEM, "cannot listen on %s: %s", address,
                           failure_errno(error, why, sizeof(why)));
}

static int open_tcp(struct listeners *all, const struct rml_addr *addr, bool optional, struct failure *failure) {
        int fds[TCP_ENDPOINTS_MAX];
        int n = tcp_listen(addr, optional, all->log, fds, failure);
        int r = n < 0 ? n : 0;
        for (int i = 0; i < n; i++) {
                struct listener *listener;
                if (r == 0)
                        r = add_listener(all, fds[i], &listener, failure);
                else
                        close(fds[i]);
        }
        return r;
}

int listeners_open(struct listeners *all, const struct rml_addr *addr, const struct unixpath_rules *rules,
                   bool optional, struct failure *failure) {
        switch (addr->kind) {
        case RML_ADDR_UNIX:
                return open_path(all, addr, rules, failure);
        case RML_ADDR_ABSTRACT:
                return open_abstract(all, addr, failure);
        case RML_ADDR_TCP:
                return open_tcp(all, addr, optional, failure);
        case RML_ADDR_TLS:
                break;
        }
        return failure_set(failure, EXIT_USAGE,
                           "cannot listen on tls:%s:%s: this version has no TLS; use tcp: on a loopback address",
                           addr->host, addr->service);
}

/* What may come over from a service manager: a listening stream socket, Unix or TCP. */
static int check_inherited(int fd, struct failure *failure) {
        int type = 0, listening = 0, domain = 0;
        socklen_t len = sizeof(int);
        char why[80];
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
                return failure_set(failure, EXIT_CONFIG, "LISTEN_FDS: descriptor %d is no socket: %s", fd,
                                   failure_errno(errno, why, sizeof(why)));
        len = sizeof(int);
        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
            (domain != AF_UNIX && domain != AF_INET && domain != AF_INET6) || type != SOCK_STREAM)
                return failure_set(failure, EXIT_CONFIG, "LISTEN_FDS: descriptor %d is no Unix or TCP stream socket",
                                   fd);
        len = sizeof(int);
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0 || !listening)
                return failure_set(
                        failure, EXIT_CONFIG,
                        "LISTEN_FDS: the socket at descriptor %d does not listen (a connection? use Accept=no)", fd);
        if (domain != AF_UNIX && !tcp_supported())
                return failure_set(failure, EXIT_CONFIG,
                                   "LISTEN_FDS: descriptor %d is a TCP socket, and this ramald was built without TCP "
                                   "(RAMAL_TCP=OFF)",
                                   fd);
        int flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
                return failure_set(failure, EXIT_SYSTEM, "LISTEN_FDS: cannot set up descriptor %d: %s", fd,
                                   failure_errno(errno, why, sizeof(why)));
        return 0;
}

int listeners_inherit(struct listeners *all, int first, int count, struct failure *failure) {
        for (int fd = first; fd < first + count; fd++) {
                struct listener *listener;
                int r = check_inherited(fd, failure);
                if (r == 0)
                        r = add_listener(all, fd, &listener, failure);
                if (r < 0)
                        return r;
                listener->inherited = true;
        }
        return 0;
}

static void pause_all(struct listeners *all) {
        rml_list_each(link, &all->list) loop_remove(all->loop, &rml_list_entry(link, struct listener, link)->source);
        all->paused = true;
        all->resume_ns = loop_now() + PAUSE_NS;
}

/* Errors of the connection that came, not of the listener: the next one may be good. */
static bool of_the_connection(int error) {
        switch (error) {
        case EINTR:
        case ECONNABORTED:
        case EPROTO:
        case EPERM: /* a firewall's */
        case ENETDOWN:
        case ENOPROTOOPT:
        case EHOSTDOWN:
        case ENONET:
        case EHOSTUNREACH:
        case EOPNOTSUPP:
        case ENETUNREACH:
                return true;
        default:
                return false;
        }
}

/* What to do about it; *value: of the limit of descriptors, where it is that one. */
static const char *hint_of(int error, uint64_t *value) {
        struct rlimit limit;
        *value = 0;
        if (error == EMFILE && getrlimit(RLIMIT_NOFILE, &limit) == 0)
                *value = limit.rlim_cur;
        return error == EMFILE   ? "new connections are refused; raise LimitNOFILE or ulimit -n"
               : error == ENFILE ? "new connections are refused; raise fs.file-max"
                                 : "new connections wait";
}

/* When it begins, and then no more often than once a second, however often it comes and goes. */
static void tell_full(struct listener *listener, int error) {
        struct listeners *all = listener->all;
        uint64_t now = loop_now(), value;
        char why[80];
        if (!all->full && (all->told_ns == 0 || now - all->told_ns >= PAUSE_NS)) {
                const char *hint = hint_of(error, &value);
                log_event(all->log, LOG_LEVEL_WARNING,
                          error == EMFILE || error == ENFILE ? "no-descriptors" : "no-accept",
                          LOG_TEXT("address", listener->address),
                          LOG_TEXT("error", failure_errno(error, why, sizeof(why))), LOG_TEXT("hint", hint),
                          LOG_TEXT(value ? "limit" : NULL, "RLIMIT_NOFILE"), LOG_NUMBER("value", value));
                all->told_ns = now;
        }
        all->full = error;
}

/* No descriptor for a connection that may wait (the kernel asks for one before it looks whether there is any). A
 * reserve makes room to see it: then it gets the place of somebody who only lingers, or a kept one, or is told. Returns
 * false when there is nothing more to do, or nothing to do it with. */
static bool accept_on_reserve(struct listener *listener, int error) {
        struct listeners *all = listener->all;
        struct sockaddr_storage from;
        socklen_t len = sizeof(from);
        if (all->reserve_count == 0)
                return false;
        close(all->reserves[--all->reserve_count]);
        int fd = accept4(listener->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
                int second = errno;
                fill_reserves(all);
                errno = second;
                return false;
        }
        all->room(all->user);
        enum listener_place place = LISTENER_FREE;
        if (!fill_reserves(all)) {
                tell_full(listener, error);
                place = all->kept_used < all->kept && all->reserve_count > 0 ? LISTENER_KEPT : LISTENER_NONE;
                if (all->reserve_count > 0) /* so that who it is can be looked up in /proc */
                        close(all->reserves[--all->reserve_count]);
        }
        all->kept_used += all->accept(all->user, listener, fd, (const struct sockaddr *)&from, len, place);
        fill_reserves(all);
        return true;
}

/* An error of the listener itself. Returns true if it can go on. When nothing helps we look away for a while, or the
 * loop would spin on a socket that stays readable. */
static bool accept_failed(struct listener *listener, int error) {
        struct listeners *all = listener->all;
        errno = error;
        if ((error == EMFILE || error == ENFILE) && accept_on_reserve(listener, error))
                return true;
        if (errno == EAGAIN)
                return false;
        if (of_the_connection(errno))
                return true;
        tell_full(listener, error);
        pause_all(all);
        return false;
}

/* It would only report its end for ever. */
static void give_up(struct listener *listener) {
        log_event(listener->all->log, LOG_LEVEL_ERROR, "listener-lost", LOG_TEXT("address", listener->address),
                  LOG_TEXT("hint", "another process has shut the socket down; restart the broker"));
        loop_remove(listener->all->loop, &listener->source);
        listener->dead = true;
}

static void accept_some(void *user, unsigned events) {
        struct listener *listener = user;
        struct listeners *all = listener->all;
        for (int i = 0; i < ACCEPTS_PER_TURN && !all->paused; i++) {
                struct sockaddr_storage from;
                socklen_t len = sizeof(from);
                if (all->full) /* what was given back since then is a reserve first */
                        fill_reserves(all);
                int fd = accept4(listener->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (fd >= 0) {
                        all->full = 0;
                        all->accept(all->user, listener, fd, (const struct sockaddr *)&from, len, LISTENER_FREE);
                } else if ((events & LOOP_HANGUP) && (errno == EAGAIN || errno == EINVAL)) {
                        give_up(listener);
                        return;
                } else if (errno == EAGAIN) {
                        return;
                } else if (!of_the_connection(errno) && !accept_failed(listener, errno)) {
                        return;
                }
        }
}

/* Something has happened to one of the paths. Connections go on, but nobody finds us any more. */
static void on_watch(void *user, unsigned events) {
        struct listeners *all = user;
        char ignored[4096];
        (void)events;
        while (read(all->watch.fd, ignored, sizeof(ignored)) > 0)
                ;
        rml_list_each(link, &all->list) {
                struct listener *listener = rml_list_entry(link, struct listener, link);
                if (!listener->has_path || listener->gone || unixpath_in_place(&listener->path))
                        continue;
                listener->gone = true;
                log_event(all->log, LOG_LEVEL_WARNING, "socket-gone", LOG_TEXT("address", listener->address),
                          LOG_TEXT("hint", "somebody has removed or replaced the socket; connections go on, and "
                                           "newcomers need a restart of the broker"));
        }
}

static void watch_paths(struct listeners *all) {
        if (all->watch.added)
                return;
        int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (fd < 0)
                return;
        if (loop_add(all->loop, &all->watch, fd, LOOP_READ, on_watch, all) < 0) {
                close(fd);
                return;
        }
        rml_list_each(link, &all->list) {
                const struct listener *listener = rml_list_entry(link, struct listener, link);
                if (listener->has_path)
                        inotify_add_watch(fd, listener->path.path, IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF);
        }
}

static void unwatch_paths(struct listeners *all) {
        if (!all->watch.added)
                return;
        loop_remove(all->loop, &all->watch);
        close(all->watch.fd);
}

int listeners_start(struct listeners *all, struct failure *failure) {
        rml_list_each(link, &all->list) {
                struct listener *listener = rml_list_entry(link, struct listener, link);
                char why[80];
                if (listener->dead)
                        continue;
                int r = loop_add(all->loop, &listener->source, listener->fd, LOOP_READ, accept_some, listener);
                if (r < 0)
                        return failure_set(failure, EXIT_SYSTEM, "cannot wait for %s: %s", listener->address,
                                           failure_errno(r, why, sizeof(why)));
        }
        watch_paths(all);
        return 0;
}

void listeners_resume(struct listeners *all, uint64_t now, bool closed, size_t kept_used) {
        all->kept_used = kept_used;
        if (closed)
                fill_reserves(all);
        if (!all->paused || (!closed && now < all->resume_ns))
                return;
        struct failure ignored;
        fill_reserves(all);
        all->paused = false;
        all->resume_ns = LOOP_NEVER;
        if (listeners_start(all, &ignored) < 0)
                pause_all(all);
}

void listeners_stop(struct listeners *all) {
        unwatch_paths(all);
        rml_list_each(link, &all->list) {
                struct listener *listener = rml_list_entry(link, struct listener, link);
                loop_remove(all->loop, &listener->source);
                if (listener->has_path)
                        unixpath_hide(&listener->path);
                if (listener->fd >= 0)
                        close(listener->fd);
                listener->fd = -1;
        }
        all->paused = false;
        all->resume_ns = LOOP_NEVER;
}

void listeners_deinit(struct listeners *all, bool failed) {
        if (!all->list.next)
                return;
        listeners_stop(all);
        rml_list_each_safe(link, &all->list) {
                struct listener *listener = rml_list_entry(link, struct listener, link);
                if (listener->has_path)
                        unixpath_close(&listener->path, failed);
                rml_list_remove(link);
                free(listener);
        }
        all->count = 0;
        while (all->reserve_count > 0)
                close(all->reserves[--all->reserve_count]);
}

const char *listeners_first_path(const struct listeners *all) {
        rml_list_each(link, &all->list) {
                const struct listener *listener = rml_list_entry(link, struct listener, link);
                if (listener->file[0] == '/' || listener->has_path)
                        return listener->file;
        }
        return NULL;
}

bool listeners_has_tcp(const struct listeners *all) {
        rml_list_each(link, &all->list) if (!rml_list_entry(link, struct listener, link)->local) return true;
        return false;
}
