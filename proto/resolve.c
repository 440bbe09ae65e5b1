/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* getaddrinfo, EAI_NODATA */
#include "resolve.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

static int explain(int code, int error, const struct rml_addr *addr, char *err, size_t err_size) {
        switch (code) {
        case EAI_NONAME:
        case EAI_NODATA:
        case EAI_ADDRFAMILY:
                snprintf(err, err_size, "no such host: '%s' (look at its spelling, /etc/hosts and DNS)", addr->host);
                return -ENOENT;
        case EAI_SERVICE:
                snprintf(err, err_size, "no such service: '%s' is no TCP port number and not in /etc/services",
                         addr->service);
                return -ESRCH;
        case EAI_AGAIN:
                snprintf(err, err_size, "no name server answered for host '%s'; try again or write its number",
                         addr->host);
                return -EAGAIN;
        case EAI_MEMORY:
                snprintf(err, err_size, "no memory to look up host '%s'", addr->host);
                return -ENOMEM;
        default:
                snprintf(err, err_size, "host '%s' cannot be looked up: %s", addr->host,
                         code == EAI_SYSTEM ? strerror(error) : gai_strerror(code));
                return -EIO;
        }
}

/* A host that /etc/hosts names twice is answered twice; its second bind would meet the first. */
static bool is_among(const struct rml_endpoint *known, size_t n, const struct addrinfo *each) {
        for (size_t i = 0; i < n; i++)
                if (known[i].len == each->ai_addrlen && memcmp(&known[i].sockaddr, each->ai_addr, known[i].len) == 0)
                        return true;
        return false;
}

int rml_resolve(const struct rml_addr *addr, bool passive, struct rml_endpoint *ret, size_t max, char *err,
                size_t err_size) {
        struct addrinfo *list = NULL, hints = {
                                              .ai_family = AF_UNSPEC,
                                              .ai_socktype = SOCK_STREAM,
                                              .ai_flags = passive ? AI_PASSIVE : 0,
                                      };
        size_t n = 0;

        rml_check((addr->kind == RML_ADDR_TCP || addr->kind == RML_ADDR_TLS) && max > 0);
        int code = getaddrinfo(addr->host, addr->service, &hints, &list);
        if (code != 0)
                return explain(code, errno, addr, err, err_size);
        for (const struct addrinfo *each = list; each && n < max; each = each->ai_next) {
                bool inet = each->ai_family == AF_INET || each->ai_family == AF_INET6;
                if (!inet || each->ai_addrlen > sizeof(ret[n].sockaddr) || is_among(ret, n, each))
                        continue;
                ret[n] = (struct rml_endpoint){.family = each->ai_family, .len = each->ai_addrlen};
                memcpy(&ret[n].sockaddr, each->ai_addr, each->ai_addrlen);
                n++;
        }
        freeaddrinfo(list);
        return n > 0 ? (int)n : explain(EAI_NODATA, 0, addr, err, err_size);
}
