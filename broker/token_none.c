/* SPDX-License-Identifier: MIT */
#include "token.h"

#include <string.h>

int token_load(struct token *token, const char *path, struct failure *failure) {
        (void)token;
        return failure_set(failure, EXIT_USAGE,
                           "cannot use the token %s: this ramald was built without TCP (RAMAL_TCP=OFF)", path);
}

void token_drop(struct token *token, bool failed) {
        (void)token, (void)failed;
}

void token_challenge(const struct token *token, const uint8_t *client_nonce, uint8_t *nonce, uint8_t *proof) {
        (void)token, (void)client_nonce;
        memset(nonce, 0, RML_NONCE_BYTES);
        memset(proof, 0, RML_PROOF_BYTES);
}

/* Without a token nobody has one. */
bool token_check(const struct token *token, const uint8_t *client_nonce, const uint8_t *nonce, const uint8_t *proof) {
        (void)token, (void)client_nonce, (void)nonce, (void)proof;
        return false;
}

const char *token_library(void) {
        return NULL;
}
