/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* strnlen */
#include "addr.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/check.h"
#include "bounds.h"
#include "subject.h"

#define SHAPES "an address is unix:/path, unix:@name, tcp:host:port or tcp:[ipv6]:port"
#define SHOWN_MAX 128 /* of a text that an error repeats */

static_assert(sizeof(((struct rml_addr *)0)->path) == RML_UNIX_PATH_MAX + 1, "a path and its end");
static_assert(sizeof(((struct sockaddr_un *)0)->sun_path) >= RML_UNIX_PATH_MAX + 1, "what Linux takes");

/* "address 'TEXT': " and the reason; control bytes never reach a terminal. Returns the error. */
__attribute__((format(printf, 5, 6))) static int refuse(int error, const char *text, char *err, size_t err_size,
                                                        const char *format, ...) {
        char shown[SHOWN_MAX + 4], reason[256];
        size_t n = 0;

        for (; text[n] && n < SHOWN_MAX; n++)
                shown[n] = (unsigned char)text[n] < ' ' || text[n] == 0x7f ? '?' : text[n];
        snprintf(shown + n, sizeof(shown) - n, "%s", text[n] ? "..." : "");

        va_list args;
        va_start(args, format);
        vsnprintf(reason, sizeof(reason), format, args);
        va_end(args);
        snprintf(err, err_size, "address '%s': %s", shown, reason);
        return error;
}

static bool has_control(const char *text) {
        for (; *text; text++)
                if ((unsigned char)*text < ' ' || *text == 0x7f)
                        return true;
        return false;
}

static int parse_unix(const char *text, const char *path, struct rml_addr *ret, char *err, size_t err_size) {
        bool abstract = path[0] == '@';
        size_t len;

        ret->kind = abstract ? RML_ADDR_ABSTRACT : RML_ADDR_UNIX;
        path += abstract;
        len = strlen(path);
        if (len == 0)
                return refuse(-EINVAL, text, err, err_size, "there is no %s in it; " SHAPES,
                              abstract ? "name" : "path");
        if (len > RML_UNIX_PATH_MAX)
                return refuse(-ENAMETOOLONG, text, err, err_size,
                              "its %s has %zu bytes, and a Unix socket's may have %u; choose a shorter one",
                              abstract ? "name" : "path", len, RML_UNIX_PATH_MAX);
        if (!abstract && path[0] != '/' && strncmp(path, "./", 2) != 0 && strncmp(path, "../", 3) != 0)
                return refuse(-EINVAL, text, err, err_size,
                              "a path begins with / or ./ (or with @ for an abstract name)");
        memcpy(ret->path, path, len + 1);
        return 0;
}

/* A number is made canonical; a name is left to getaddrinfo, but for bytes that no service name has. */
static int parse_service(const char *text, const char *service, struct rml_addr *ret, char *err, size_t err_size) {
        size_t len = strlen(service);

        if (len == 0)
                return refuse(-EINVAL, text, err, err_size, "there is no port in it; ramal's own is %u", RML_TCP_PORT);
        if (strspn(service, "0123456789") == len) {
                unsigned long port = 0;
                for (size_t i = 0; i < len && port <= UINT16_MAX; i++)
                        port = port * 10 + (unsigned long)(service[i] - '0');
                if (port > UINT16_MAX)
                        return refuse(-EINVAL, text, err, err_size, "a port is a number from 0 to 65535");
                snprintf(ret->service, sizeof(ret->service), "%lu", port);
                return 0;
        }
        if (len >= sizeof(ret->service))
                return refuse(-ENAMETOOLONG, text, err, err_size, "its service name is longer than %zu bytes",
                              sizeof(ret->service) - 1);
        if (strpbrk(service, ":[]/ ") || service[0] == '-' || service[0] == '+')
                return refuse(-EINVAL, text, err, err_size, "its port is neither a number nor a service's name");
        memcpy(ret->service, service, len + 1);
        return 0;
}

static int parse_tcp(const char *text, const char *rest, struct rml_addr *ret, char *err, size_t err_size) {
        const char *host = rest, *end, *colon;

        if (host[0] == '[') {
                end = strchr(++host, ']');
                if (!end || (end[1] != ':' && end[1] != '\0'))
                        return refuse(-EINVAL, text, err, err_size, "a bracket is not closed before the port; " SHAPES);
                colon = end + 1;
        } else {
                colon = strchr(host, ':');
                end = colon ? colon : host + strlen(host);
                if (colon && strchr(colon + 1, ':'))
                        return refuse(-EINVAL, text, err, err_size,
                                      "an IPv6 address stands in brackets, as in tcp:[::1]:%u", RML_TCP_PORT);
        }
        size_t len = (size_t)(end - host);
        if (len == 0)
                return refuse(-EINVAL, text, err, err_size, "there is no host in it; " SHAPES);
        if (len >= sizeof(ret->host))
                return refuse(-ENAMETOOLONG, text, err, err_size, "its host is longer than %zu bytes",
                              sizeof(ret->host) - 1);
        memcpy(ret->host, host, len);
        ret->host[len] = '\0';
        if (strpbrk(ret->host, "[]/ "))
                return refuse(-EINVAL, text, err, err_size, "its host is neither a name nor a number; " SHAPES);
        return parse_service(text, colon && *colon ? colon + 1 : "", ret, err, err_size);
}

int rml_addr_parse(const char *text, struct rml_addr *ret, char *err, size_t err_size) {
        *ret = (struct rml_addr){.kind = RML_ADDR_UNIX};
        if (has_control(text))
                return refuse(-EINVAL, text, err, err_size, "it has a control byte in it");
        if (strncmp(text, "unix:", 5) == 0)
                return parse_unix(text, text + 5, ret, err, err_size);
        if (text[0] == '/' || strncmp(text, "./", 2) == 0)
                return parse_unix(text, text, ret, err, err_size);
        if (strncmp(text, "tcp:", 4) == 0) {
                ret->kind = RML_ADDR_TCP;
                return parse_tcp(text, text + 4, ret, err, err_size);
        }
        if (strncmp(text, "tls:", 4) == 0) {
                ret->kind = RML_ADDR_TLS;
                return parse_tcp(text, text + 4, ret, err, err_size);
        }
        return refuse(-EINVAL, text, err, err_size, SHAPES);
}

char *rml_addr_format(const struct rml_addr *addr, char *buf, size_t size) {
        const char *scheme = addr->kind == RML_ADDR_TLS ? "tls" : "tcp";

        switch (addr->kind) {
        case RML_ADDR_UNIX:
                snprintf(buf, size, "unix:%s", addr->path);
                break;
        case RML_ADDR_ABSTRACT:
                snprintf(buf, size, "unix:@%s", addr->path);
                break;
        default:
                if (strchr(addr->host, ':'))
                        snprintf(buf, size, "%s:[%s]:%s", scheme, addr->host, addr->service);
                else
                        snprintf(buf, size, "%s:%s:%s", scheme, addr->host, addr->service);
        }
        return buf;
}

socklen_t rml_addr_sockaddr_un(const struct rml_addr *addr, struct sockaddr_storage *ret) {
        struct sockaddr_un sun = {.sun_family = AF_UNIX};
        size_t len = strlen(addr->path), skip = addr->kind == RML_ADDR_ABSTRACT ? 1 : 0;

        rml_check((addr->kind == RML_ADDR_UNIX || skip) && len <= RML_UNIX_PATH_MAX && len > 0);
        memcpy(sun.sun_path + skip, addr->path, len);
        memset(ret, 0, sizeof(*ret));
        memcpy(ret, &sun, sizeof(sun));
        /* A path counts with its NUL, an abstract name has one in front and none behind. */
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
}

/* What the kernel says about a Unix socket: names may hold any byte, and are another process's choice. */
static void from_unix(const struct sockaddr_un *sun, size_t len, char *buf, size_t size) {
        bool utf8;
        size_t at = 0, used = (size_t)snprintf(buf, size, "unix:");

        if (len > 0 && sun->sun_path[0] == '\0') {
                at = 1;
                used += (size_t)snprintf(buf + used, used < size ? size - used : 0, "@");
        } else {
                len = strnlen(sun->sun_path, len);
        }
        utf8 = rml_utf8_valid((struct rml_span){(const uint8_t *)sun->sun_path + at, len - at});
        for (; at < len && used + 4 < size; at++) {
                unsigned char byte = (unsigned char)sun->sun_path[at];
                bool plain = byte < 0x80 ? byte > ' ' && byte != 0x7f : utf8;
                used += (size_t)snprintf(buf + used, size - used, plain ? "%c" : "\\x%02x", byte);
        }
}

char *rml_addr_from_sockaddr(const struct sockaddr *sockaddr, socklen_t len, char *buf, size_t size) {
        union {
                struct sockaddr_un un;
                struct sockaddr_in in;
                struct sockaddr_in6 in6;
        } any = {.un = {.sun_family = AF_UNSPEC}};
        char host[INET6_ADDRSTRLEN] = "?";

        memcpy(&any, sockaddr, len < sizeof(any) ? len : sizeof(any));
        switch (any.un.sun_family) {
        case AF_UNIX: {
                size_t head = offsetof(struct sockaddr_un, sun_path), most = sizeof(any.un.sun_path);
                size_t path = len > head ? len - head : 0;
                if (size >= sizeof("unix:@"))
                        from_unix(&any.un, path < most ? path : most, buf, size);
                else
                        snprintf(buf, size, "unix:");
                break;
        }
        case AF_INET:
                inet_ntop(AF_INET, &any.in.sin_addr, host, sizeof(host));
                snprintf(buf, size, "tcp:%s:%u", host, ntohs(any.in.sin_port));
                break;
        case AF_INET6:
                inet_ntop(AF_INET6, &any.in6.sin6_addr, host, sizeof(host));
                if (any.in6.sin6_scope_id)
                        snprintf(buf, size, "tcp:[%s%%%u]:%u", host, (unsigned)any.in6.sin6_scope_id,
                                 ntohs(any.in6.sin6_port));
                else
                        snprintf(buf, size, "tcp:[%s]:%u", host, ntohs(any.in6.sin6_port));
                break;
        default:
                snprintf(buf, size, "family %u", any.un.sun_family);
        }
        return buf;
}

static bool unix_path(struct rml_addr *ret, const char *directory, const char *rest) {
        *ret = (struct rml_addr){.kind = RML_ADDR_UNIX};
        int n = snprintf(ret->path, sizeof(ret->path), "%s%s", directory, rest);

        return n > 0 && (size_t)n < sizeof(ret->path);
}

/* A relative or far too long runtime directory is as good as none, for all who ask alike. */
static void user_bus(const struct rml_place *place, struct rml_addr *ret) {
        char directory[64];

        if (place->runtime_dir && place->runtime_dir[0] == '/' && !has_control(place->runtime_dir) &&
            unix_path(ret, place->runtime_dir, "/ramal/bus"))
                return;
        snprintf(directory, sizeof(directory), place->run_user_exists ? "/run/user/%u/ramal" : "/tmp/ramal-%u",
                 place->uid);
        rml_check(unix_path(ret, directory, "/bus"));
}

size_t rml_addr_defaults(const struct rml_place *place, enum rml_scope scope, bool broker, struct rml_addr *ret,
                         size_t max) {
        size_t n = 0;

        if (max == 0)
                return 0;
        if (scope == RML_SCOPE_DEFAULT && place->address) {
                char err[1];
                return rml_addr_parse(place->address, ret, err, sizeof(err)) == 0 ? 1 : 0;
        }
        bool root = broker && scope == RML_SCOPE_DEFAULT && place->uid == 0;
        if (scope != RML_SCOPE_SYSTEM && !root)
                user_bus(place, &ret[n++]);
        /* A broker of a user is never the system's; a client looks there when the user has none. */
        if ((scope == RML_SCOPE_SYSTEM || root || (scope == RML_SCOPE_DEFAULT && !broker)) && n < max)
                rml_check(unix_path(&ret[n++], "/run/ramal", "/bus"));
        return n;
}
