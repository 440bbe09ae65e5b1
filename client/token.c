/* SPDX-License-Identifier: MIT */
/* The token file: 64 hexadecimal digits that only we can read. The broker makes it beside its Unix socket. */
#include "client/conn_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/wire.h"

#define FILE_BYTES_MAX 256u

static int digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool parse(const char *text, uint8_t token[RML_TOKEN_BYTES]) {
        text += strspn(text, " \t\r\n");
        for (size_t i = 0; i < RML_TOKEN_BYTES; i++) {
                int high = digit(text[2 * i]), low = high < 0 ? -1 : digit(text[2 * i + 1]);
                if (low < 0)
                        return false;
                token[i] = (uint8_t)(high << 4 | low);
        }
        text += (size_t)2 * RML_TOKEN_BYTES;
        return text[strspn(text, " \t\r\n")] == '\0';
}

static int check_file(int fd, const char *path, ramal_error *err) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return rml_error(err, -ENOKEY, "token file %s: cannot be looked at", path);
        if (!S_ISREG(st.st_mode))
                return rml_error(err, -ENOKEY, "token file %s: not a regular file", path);
        if (st.st_uid != 0 && st.st_uid != geteuid())
                return rml_error(err, -ENOKEY, "token file %s: belongs to uid %u, who knows it then; it must be yours",
                                 path, (unsigned)st.st_uid);
        if (st.st_mode & 0077)
                return rml_error(err, -ENOKEY, "token file %s: others can read or change it (mode %04o); chmod 600 it",
                                 path, (unsigned)st.st_mode & 07777);
        return 0;
}

static int load(const char *path, uint8_t token[RML_TOKEN_BYTES], ramal_error *err) {
        char text[FILE_BYTES_MAX + 1], buf[32];
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

        if (fd < 0 && errno == ENOENT)
                return rml_error(err, -ENOKEY, "token file %s: there is none; ramald --tcp makes one", path);
        if (fd < 0)
                return rml_error(err, -ENOKEY, "token file %s: cannot be opened: %s", path,
                                 errno == EACCES ? "no permission" : rml_errno_text(-errno, buf));
        int r = check_file(fd, path, err);
        ssize_t n = r == 0 ? read(fd, text, FILE_BYTES_MAX) : -1;
        close(fd);
        if (r < 0)
                return r;
        text[n > 0 ? n : 0] = '\0';
        if (n < 0 || (size_t)n != strlen(text) || !parse(text, token))
                r = rml_error(err, -ENOKEY, "token file %s: does not hold a token (%u hexadecimal digits)", path,
                              2 * RML_TOKEN_BYTES);
        rml_auth_forget(text, sizeof(text));
        return r;
}

/* `token` beside the Unix socket of the bus: the first of the default places that has one. */
static int load_beside(ramal_conn *conn, ramal_error *err) {
        struct rml_addr addrs[4];
        struct rml_place place;
        char path[sizeof(addrs[0].path) + 8], first[sizeof(path)] = "";

        rml_wire_place(&place);
        place.address = NULL;
        size_t n = rml_addr_defaults(&place, (enum rml_scope)conn->bus, false, addrs, RML_COUNT(addrs));
        for (size_t i = 0; i < n; i++) {
                char *slash = addrs[i].kind == RML_ADDR_UNIX ? strrchr(addrs[i].path, '/') : NULL;
                if (!slash)
                        continue;
                *slash = '\0';
                snprintf(path, sizeof(path), "%s/token", addrs[i].path);
                if (!first[0])
                        memcpy(first, path, sizeof(first));
                if (access(path, F_OK) == 0)
                        return load(path, conn->token, err);
        }
        return rml_error(err, -ENOKEY,
                         "TCP needs the broker's token, and there is none in %s; name the file (token_file)",
                         first[0] ? first : "any default place");
}

int rml_token_load(ramal_conn *conn, ramal_error *err) {
        return conn->token_file ? load(conn->token_file, conn->token, err) : load_beside(conn, err);
}
