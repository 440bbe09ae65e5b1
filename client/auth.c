/* SPDX-License-Identifier: MIT */
/* The proof of the token, from libsodium. auth_none.c stands here where the library is built without TCP. */
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "client/conn_private.h"

bool rml_auth_available(void) {
        return true;
}

int rml_auth_nonce(uint8_t nonce[RML_NONCE_BYTES]) {
        if (sodium_init() < 0)
                return -EIO;
        randombytes_buf(nonce, RML_NONCE_BYTES);
        return 0;
}

void rml_auth_proof(const uint8_t *token, enum rml_role role, const uint8_t *client_nonce, const uint8_t *broker_nonce,
                    uint8_t proof[RML_PROOF_BYTES]) {
        const char *text = role == RML_ROLE_BROKER ? "ramal broker" : "ramal client";
        crypto_auth_hmacsha256_state state;

        crypto_auth_hmacsha256_init(&state, token, RML_TOKEN_BYTES);
        crypto_auth_hmacsha256_update(&state, (const unsigned char *)text, strlen(text));
        crypto_auth_hmacsha256_update(&state, client_nonce, RML_NONCE_BYTES);
        crypto_auth_hmacsha256_update(&state, broker_nonce, RML_NONCE_BYTES);
        crypto_auth_hmacsha256_final(&state, proof);
        sodium_memzero(&state, sizeof(state));
}

bool rml_auth_equal(const uint8_t *a, const uint8_t *b) {
        return sodium_memcmp(a, b, RML_PROOF_BYTES) == 0;
}

void rml_auth_forget(void *secret, size_t len) {
        sodium_memzero(secret, len);
}
