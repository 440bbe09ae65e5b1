/* SPDX-License-Identifier: MIT */
#include "hello.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "event.h"
#include "later.h"
#include "bounds.h"

static bool uid_allowed(const struct core *core, const struct peer *peer) {
        const struct core_config *config = &core->config;

        if (peer->uid == 0 || peer->uid == config->own_uid)
                return true;
        for (size_t i = 0; i < config->allow_uid_count; i++)
                if (config->allow_uids[i] == peer->uid)
                        return true;
        for (size_t i = 0; i < config->allow_gid_count; i++) {
                if (config->allow_gids[i] == peer->gid)
                        return true;
                for (size_t j = 0; j < peer->papers->group_count; j++)
                        if (config->allow_gids[i] == peer->papers->groups[j])
                                return true;
        }
        return false;
}

/* STATUS, then close. */
static void hello_deny(struct peer *peer, uint64_t id, Ramal__V1__Code code, const char *text) {
        peer->core->counters.denied++;
        event_add(peer->core, CORE_EVENT_DENIED, peer, text);
        answer_status(peer, id, code, text);
        peer_end(peer, PEER_END_BROKEN, text);
}

/* It came in on a place that is kept for who only looks, and wants more. Below the limit of connections it was the edge
 * that had no other place. */
static void hello_full(struct peer *peer, uint64_t id) {
        size_t at = account_connections_quota(peer->account);
        uint64_t value = quota_value(peer->account->limits, at);
        const char *key = quota_key(peer->account, at);
        const char *text = "too many connections: the last places are for who only looks (HELLO.inspect)";

        if (peer->account->connections < value) {
                text = "the broker has no descriptor left (raise LimitNOFILE or ulimit -n): the last places are for "
                       "who only looks (HELLO.inspect)";
                key = NULL;
                value = 0;
        }
        peer->core->counters.denied++;
        event_limit(peer, text, key, at, value);
        answer_limit(peer, id, RAMAL__V1__CODE__CODE_OVER_LIMIT, text, key, value);
        peer_end(peer, PEER_END_BROKEN, text);
}

/* All of it but who is welcomed. */
static void welcome_fill(const struct peer *peer, Ramal__V1__Welcome *welcome, Ramal__V1__Limits *said) {
        const struct core *core = peer->core;
        const struct core_limits *limits = peer->account->limits;

        ramal__v1__limits__init(said);
        said->payload_bytes = limits->payload_bytes;
        said->frame_bytes = core->config.limits.payload_bytes + RML_FRAME_EXTRA_BYTES; /* what comes is of that size */
        said->publish_credit_bytes = limits->publish_credit_bytes;
        said->interest_window_bytes = limits->interest_bytes;
        said->interest_window_messages = limits->interest_messages;
        said->interests = peer->account->own ? limits->own_interests : limits->interests;
        said->names = peer->account->own ? limits->own_interests : limits->names;
        said->calls = limits->calls;
        said->headers = RML_HEADERS_MAX;
        said->headers_bytes = RML_HEADERS_BYTES_MAX;
        said->subject_bytes = RML_SUBJECT_BYTES_MAX;
        said->subject_tokens = RML_SUBJECT_TOKENS_MAX;
        welcome->epoch = core->config.epoch;
        welcome->version = RML_VERSION;
        welcome->server = (char *)(uintptr_t)core->config.server;
        welcome->limits = said;
        welcome->features = (char **)(uintptr_t)later_features;
        while (later_features[welcome->n_features])
                welcome->n_features++;
}

/* It is the same for all of an account, and to pack it is most of what a connection costs here: so that is done once.
 * Returns false without memory. */
static bool welcome_prepare(struct peer *peer) {
        struct account *account = peer->account;
        Ramal__V1__Welcome welcome;
        Ramal__V1__Limits said;

        if (account->welcome)
                return true;
        ramal__v1__welcome__init(&welcome);
        welcome_fill(peer, &welcome, &said);
        account->welcome_len = protobuf_c_message_get_packed_size(&welcome.base);
        account->welcome = malloc(account->welcome_len);
        if (!account->welcome)
                return false;
        protobuf_c_message_pack(&welcome.base, account->welcome);
        rml_check(account->welcome[0] < 0x80);
        return true;
}

static void hello_welcome(struct peer *peer, uint64_t id) {
        struct core *core = peer->core;
        ProtobufCMessageUnknownField rest;
        Ramal__V1__Welcome welcome;
        Ramal__V1__Limits said;

        ramal__v1__welcome__init(&welcome);
        welcome.peer = peer->id;
        if (welcome_prepare(peer)) {
                /* What follows the peer goes behind it as it is, as one field that we do not know: the tag of its
                 * first (of one byte), and all the rest. */
                rest.tag = peer->account->welcome[0] >> 3;
                rest.wire_type = (ProtobufCWireType)(peer->account->welcome[0] & 7);
                rest.len = peer->account->welcome_len - 1;
                rest.data = peer->account->welcome + 1;
                welcome.base.n_unknown_fields = 1;
                welcome.base.unknown_fields = &rest;
        } else {
                welcome_fill(peer, &welcome, &said);
        }
        if (!peer->local)
                core->unauthenticated--;
        free(peer->challenge);
        peer->challenge = NULL;
        peer->in = true;
        peer->state = PEER_OPEN;
        peer->input.framer.frame_bytes_max = (uint32_t)(core->config.limits.payload_bytes + RML_FRAME_EXTRA_BYTES);
        peer_arm(peer);
        answer_control(peer, RML_WELCOME, id, &welcome.base);
        event_add(core, CORE_EVENT_WELCOME, peer, "");
        core_settle_later(core, &core->changed_peers, &peer->presence_link);
}

/* With what it says of itself. */
static bool hello_papers(struct peer *peer, const Ramal__V1__Hello *hello) {
        struct papers *old = peer->papers;
        struct papers *papers = papers_new(old->groups, old->group_count, papers_address(old), hello->app,
                                           hello->library, peer->sender);

        if (!papers)
                return false;
        peer->papers = papers;
        peer->sender = papers_sender(papers);
        free(old);
        return true;
}

/* It is to prove that it knows the token. */
static void hello_challenge(struct peer *peer, uint64_t id, const Ramal__V1__Hello *hello) {
        struct core *core = peer->core;
        struct challenge *nonces = malloc(sizeof(*nonces));
        Ramal__V1__Challenge challenge = RAMAL__V1__CHALLENGE__INIT;
        uint8_t proof[RML_PROOF_BYTES];

        if (!nonces) {
                hello_deny(peer, id, RAMAL__V1__CODE__CODE_OVER_LIMIT, "the broker is out of memory");
                return;
        }
        memcpy(nonces->client_nonce, hello->nonce.data, RML_NONCE_BYTES);
        core->config.prover->challenge(core->config.user, nonces->client_nonce, nonces->nonce, proof);
        peer->challenge = nonces;
        peer->state = PEER_AUTH;
        challenge.nonce = (ProtobufCBinaryData){.len = sizeof(nonces->nonce), .data = nonces->nonce};
        challenge.proof = (ProtobufCBinaryData){.len = sizeof(proof), .data = proof};
        answer_control(peer, RML_CHALLENGE, id, &challenge.base);
}

void hello_start(struct peer *peer, uint64_t id, const Ramal__V1__Hello *hello) {
        struct core *core = peer->core;
        const char *later = later_in_control(RML_HELLO, &hello->base);

        if (hello->version_min > RML_VERSION || hello->version_max < RML_VERSION) {
                hello_deny(peer, id, RAMAL__V1__CODE__CODE_UNSUPPORTED,
                           "this broker speaks version 1 of the protocol only");
                return;
        }
        if (later) {
                hello_deny(peer, id, RAMAL__V1__CODE__CODE_UNSUPPORTED, later);
                return;
        }
        if (strlen(hello->app) > RML_APP_BYTES_MAX || strlen(hello->library) > RML_APP_BYTES_MAX) {
                hello_deny(peer, id, RAMAL__V1__CODE__CODE_INVALID,
                           "HELLO.app and HELLO.library are at most 255 bytes long");
                return;
        }
        peer->inspect = hello->inspect;
        if (!hello_papers(peer, hello)) {
                hello_deny(peer, id, RAMAL__V1__CODE__CODE_OVER_LIMIT, "the broker is out of memory");
                return;
        }
        if (peer->reserved && !hello->inspect) {
                hello_full(peer, id);
                return;
        }
        if (peer->local) {
                if (uid_allowed(core, peer))
                        hello_welcome(peer, id);
                else
                        hello_deny(peer, id, RAMAL__V1__CODE__CODE_DENIED,
                                   "this user may not connect: start ramald with --allow-uid or --allow-group");
                return;
        }
        if (!core->config.prover || hello->nonce.len != RML_NONCE_BYTES) {
                hello_deny(peer, id, RAMAL__V1__CODE__CODE_DENIED,
                           "a TCP connection must prove the token: send HELLO.nonce with 32 random bytes");
                return;
        }
        hello_challenge(peer, id, hello);
}

void hello_auth(struct peer *peer, uint64_t id, const Ramal__V1__Auth *auth) {
        struct core *core = peer->core;

        if (auth->proof.len == RML_PROOF_BYTES &&
            core->config.prover->check(core->config.user, peer->challenge->client_nonce, peer->challenge->nonce,
                                        auth->proof.data))
                hello_welcome(peer, id);
        else
                hello_deny(peer, id, RAMAL__V1__CODE__CODE_DENIED,
                           "wrong token: both ends must read the same token file");
}
