/* SPDX-License-Identifier: MIT */
/* The socket calls that both ends make. With resolve.c the only file of proto/ that is not pure. */
#ifndef RML_WIRE_H
#define RML_WIRE_H

#include <sys/types.h>

#include "addr.h"
#include "blob.h"

#define RML_SPANS_MAX 64u /* of one rml_wire_send() */

/* Kernel-attested identity of the other end of a Unix socket. */
struct rml_creds {
        uid_t uid;
        gid_t gid;
        pid_t pid;
        gid_t groups[64];
        unsigned group_count; /* complete, or 0 when unknown or too many */
        bool groups_known;
};

/* All return >= 0 or -errno; -EAGAIN where it would block, never a signal, EINTR is retried. */
ssize_t rml_wire_recv(int fd, uint8_t *buf, size_t size);              /* 0 = end of input */
ssize_t rml_wire_send(int fd, const struct rml_span *spans, size_t n); /* one sendmsg; bytes taken */
int rml_wire_creds(int fd, struct rml_creds *ret);                     /* -ENOTSUP for a TCP socket */
int rml_wire_user(int fd, struct rml_creds *ret);                      /* the same without the groups */
/* Non-blocking close-on-exec socket of that family; sets TCP_NODELAY and the like for TCP. */
int rml_wire_socket(int family);
/* What a Unix socket may hold that the other end has not read; TCP sizes its buffers better than we could. */
int rml_wire_buffer(int fd, unsigned buffer_bytes);
/* Small messages are sent at once, and a machine that is gone is found out. */
int rml_wire_tcp(int fd);
/* A variable of the environment. Unset, empty and set-uid are the same, NULL: nobody has said anything that we may
 * heed. */
const char *rml_wire_environment(const char *name);
/* Facts for rml_addr_defaults(): environment (ignored when set-uid) and directories. */
void rml_wire_place(struct rml_place *ret);

#endif
