/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#define HEX_BYTES (2 * RML_TOKEN_BYTES)
#define FILE_BYTES_MAX 256u /* digits and the white space around them */

static int check_file(int fd, const char *path, struct failure *failure) {
        struct stat st;
        char why[80];
        if (fstat(fd, &st) < 0)
                return failure_set(failure, EXIT_SYSTEM, "cannot look at the token file %s: %s", path,
                                   failure_errno(errno, why, sizeof(why)));
        if (!S_ISREG(st.st_mode))
                return failure_set(failure, EXIT_CONFIG, "the token file %s is no regular file", path);
        if (st.st_uid != geteuid() && st.st_uid != 0)
                return failure_set(
                        failure, EXIT_DENIED,
                        "the token file %s belongs to uid %u, who knows the token then; it must be ours (uid %u)", path,
                        (unsigned)st.st_uid, (unsigned)geteuid());
        if (st.st_mode & 0077)
                return failure_set(failure, EXIT_DENIED,
                                   "others can read or change the token file %s (mode %04o); remove it, so that a new "
                                   "one is made, or chmod 600 it",
                                   path, (unsigned)st.st_mode & 07777);
        return 0;
}

static int parse(struct token *token, const char *text, size_t len, struct failure *failure) {
        const char *end = text;
        size_t start = strspn(text, " \t\r\n"), n = 0;
        if (sodium_hex2bin(token->secret, sizeof(token->secret), text + start, len - start, NULL, &n, &end) == 0 &&
            n == sizeof(token->secret) && end[strspn(end, " \t\r\n")] == '\0' &&
            end + strspn(end, " \t\r\n") == text + len)
                return 0;
        return failure_set(
                failure, EXIT_CONFIG,
                "the token file %s does not hold a token (%u hexadecimal digits); remove it, so that a new one is made",
                token->path, HEX_BYTES);
}

static int read_token(struct token *token, int fd, struct failure *failure) {
        char text[FILE_BYTES_MAX + 1], why[80];
        int r = check_file(fd, token->path, failure);
        if (r < 0)
                return r;
        ssize_t n = read(fd, text, FILE_BYTES_MAX);
        if (n < 0)
                return failure_set(failure, EXIT_SYSTEM, "cannot read the token file %s: %s", token->path,
                                   failure_errno(errno, why, sizeof(why)));
        text[n] = '\0';
        r = parse(token, text, (size_t)n, failure);
        sodium_memzero(text, sizeof(text));
        return r;
}

static int make_token(struct token *token, struct failure *failure) {
        char text[HEX_BYTES + 2], why[80];
        int fd = open(token->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return failure_set(failure, errno == EACCES ? EXIT_DENIED : EXIT_CONFIG,
                                   "cannot create the token file %s: %s; say where it may be with --token-file",
                                   token->path, failure_errno(errno, why, sizeof(why)));
        randombytes_buf(token->secret, sizeof(token->secret));
        sodium_bin2hex(text, HEX_BYTES + 1, token->secret, sizeof(token->secret));
        text[HEX_BYTES] = '\n';
        ssize_t n = fchmod(fd, 0600) == 0 ? write(fd, text, HEX_BYTES + 1) : -1;
        int error = n < 0 ? errno : EIO;
        sodium_memzero(text, sizeof(text));
        if (close(fd) == 0 && n == HEX_BYTES + 1) {
                token->made = true;
                return 0;
        }
        unlink(token->path);
        return failure_set(failure, EXIT_SYSTEM, "cannot write the token file %s: %s", token->path,
                           failure_errno(error, why, sizeof(why)));
}

int token_load(struct token *token, const char *path, struct failure *failure) {
        char why[80];
        *token = (struct token){.made = false};
        if (sodium_init() < 0)
                return failure_set(failure, EXIT_SYSTEM, "libsodium does not start");
        if ((size_t)snprintf(token->path, sizeof(token->path), "%s", path) >= sizeof(token->path))
                return failure_set(failure, EXIT_CONFIG, "the path of the token file is too long");
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 && errno == ENOENT)
                return make_token(token, failure);
        if (fd < 0 && errno == ELOOP)
                return failure_set(failure, EXIT_DENIED, "the token file %s is a symbolic link; name the file itself",
                                   path);
        if (fd < 0)
                return failure_set(failure, errno == EACCES ? EXIT_DENIED : EXIT_CONFIG,
                                   "cannot open the token file %s: %s", path, failure_errno(errno, why, sizeof(why)));
        int r = read_token(token, fd, failure);
        close(fd);
        return r;
}

void token_drop(struct token *token, bool failed) {
        if (failed && token->made)
                unlink(token->path);
        token->made = false;
        sodium_memzero(token->secret, sizeof(token->secret));
}

/* HMAC-SHA256(token, role ‖ client nonce ‖ broker nonce) */
static void prove(const struct token *token, const char *role, const uint8_t *client_nonce, const uint8_t *nonce,
                  uint8_t *proof) {
        crypto_auth_hmacsha256_state state;
        crypto_auth_hmacsha256_init(&state, token->secret, sizeof(token->secret));
        crypto_auth_hmacsha256_update(&state, (const unsigned char *)role, strlen(role));
        crypto_auth_hmacsha256_update(&state, client_nonce, RML_NONCE_BYTES);
        crypto_auth_hmacsha256_update(&state, nonce, RML_NONCE_BYTES);
        crypto_auth_hmacsha256_final(&state, proof);
        sodium_memzero(&state, sizeof(state));
}

void token_challenge(const struct token *token, const uint8_t *client_nonce, uint8_t *nonce, uint8_t *proof) {
        randombytes_buf(nonce, RML_NONCE_BYTES);
        prove(token, "ramal broker", client_nonce, nonce, proof);
}

bool token_check(const struct token *token, const uint8_t *client_nonce, const uint8_t *nonce, const uint8_t *proof) {
        uint8_t want[RML_PROOF_BYTES];
        prove(token, "ramal client", client_nonce, nonce, want);
        return sodium_memcmp(want, proof, sizeof(want)) == 0;
}

const char *token_library(void) {
        return sodium_version_string();
}
