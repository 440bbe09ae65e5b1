/* SPDX-License-Identifier: MIT */
/* Addresses as text: unix:/path, unix:@abstract, tcp:host:port, tcp:[v6]:port, tls:host:port; and where the bus is
 * when nobody says. Pure: the environment and the directories' state are given. */
#ifndef RML_ADDR_H
#define RML_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum rml_addr_kind { RML_ADDR_UNIX, RML_ADDR_ABSTRACT, RML_ADDR_TCP, RML_ADDR_TLS };

struct rml_addr {
        enum rml_addr_kind kind;
        char path[108];   /* unix: the path; abstract: the name without '@' */
        char host[256];   /* tcp: name or number, without brackets */
        char service[64]; /* tcp: number or service name */
};

/* Returns 0, or -EINVAL / -ENAMETOOLONG with one line in err that says what is wrong and what an address looks
 * like. "/path" and "./path" are accepted as unix:. No host, service or path has a control byte. */
int rml_addr_parse(const char *text, struct rml_addr *ret, char *err, size_t err_size);
/* The text again, canonical. Returns ret. */
char *rml_addr_format(const struct rml_addr *, char *buf, size_t size);
/* Fills sun; returns its length. Only for UNIX and ABSTRACT. */
socklen_t rml_addr_sockaddr_un(const struct rml_addr *, struct sockaddr_storage *ret);
/* "tcp:127.0.0.1:7265", "unix:/run/ramal/bus", "unix:@x", "unix:" (unnamed) from what the kernel says; valid UTF-8,
 * for spaces and control bytes of a Unix socket's name, and all above 0x7f where they are no UTF-8, become "\x0a".
 * Returns buf. */
char *rml_addr_from_sockaddr(const struct sockaddr *, socklen_t len, char *buf, size_t size);

/* The facts that decide about default paths; wire.h fills them in from the process. */
struct rml_place {
        const char *address;     /* RAMAL_ADDRESS, NULL where unset or set-uid */
        const char *runtime_dir; /* XDG_RUNTIME_DIR, NULL where unset or set-uid */
        unsigned uid;
        bool run_user_exists; /* /run/user/UID is a directory */
};
enum rml_scope { RML_SCOPE_DEFAULT, RML_SCOPE_USER, RML_SCOPE_SYSTEM };
/* Writes at most `max` addresses to try, best first; the first is where a broker of that scope listens. RAMAL_ADDRESS
 * decides alone where it is set and scope is DEFAULT. Returns how many: 0 only if RAMAL_ADDRESS is no address, and
 * rml_addr_parse() says why. */
size_t rml_addr_defaults(const struct rml_place *, enum rml_scope, bool broker, struct rml_addr *ret, size_t max);

#endif
