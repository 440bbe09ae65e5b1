/* SPDX-License-Identifier: MIT */
/* The secret that TCP clients share with the broker: 32 bytes, as 64 hexadecimal digits in a file that only its owner
 * can read. Both ends prove that they know it, and it is never sent. CMake takes token.c, or token_none.c without
 * TCP. */
#ifndef RAMAL_TOKEN_H
#define RAMAL_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "bounds.h"
#include "io/failure.h"

#define TOKEN_PATH_BYTES 4096u

struct token {
        uint8_t secret[RML_TOKEN_BYTES];
        char path[TOKEN_PATH_BYTES];
        bool made; /* by this process */
};

/* Reads the file, or creates it when it is not there. Returns 0 or failure_set(). */
int token_load(struct token *, const char *path, struct failure *);
/* Wipes the secret. failed: the start failed, a file that was made goes too. */
void token_drop(struct token *, bool failed);

/* As struct core_prover wants them. */
void token_challenge(const struct token *, const uint8_t *client_nonce, uint8_t *nonce, uint8_t *proof);
bool token_check(const struct token *, const uint8_t *client_nonce, const uint8_t *nonce, const uint8_t *proof);

/* Of the library behind it, for --version; NULL without TCP. */
const char *token_library(void);

#endif
