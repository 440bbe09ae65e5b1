/* SPDX-License-Identifier: MIT */
/* Without TCP (RAMAL_TCP=OFF): nothing is proved, so no TCP address gets that far. */
#include <errno.h>
#include <string.h>

#include "client/conn_private.h"

bool rml_auth_available(void) {
        return false;
}

int rml_auth_nonce(uint8_t nonce[RML_NONCE_BYTES]) {
        memset(nonce, 0, RML_NONCE_BYTES);
        return -EOPNOTSUPP;
}

void rml_auth_proof(const uint8_t *token, enum rml_role role, const uint8_t *client_nonce, const uint8_t *broker_nonce,
                    uint8_t proof[RML_PROOF_BYTES]) {
        (void)token, (void)role, (void)client_nonce, (void)broker_nonce;
        memset(proof, 0, RML_PROOF_BYTES);
}

bool rml_auth_equal(const uint8_t *a, const uint8_t *b) {
        (void)a, (void)b;
        return false;
}

void rml_auth_forget(void *secret, size_t len) {
        explicit_bzero(secret, len);
}
