/* SPDX-License-Identifier: MIT */
#include "refuse.h"

#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "call.h"
#include "event.h"
#include "bounds.h"
#include "subject.h"

void refuse_status(struct peer *peer, uint64_t id, const struct refusal *refusal) {
        answer_limit(peer, id, refusal->code, refusal->text, refusal->limit, refusal->value);
}

/* A limit of the account's own configuration. */
static void refuse_quota(struct peer *peer, uint64_t id, const char *text, size_t at) {
        const char *key = quota_key(peer->account, at);
        uint64_t value = quota_value(peer->account->limits, at);

        event_limit(peer, text, key, at, value);
        answer_limit(peer, id, RAMAL__V1__CODE__CODE_OVER_LIMIT, text, key, value);
}

/* One of no account in particular. */
static void refuse_general(struct peer *peer, uint64_t id, const char *text, size_t at) {
        const char *key = quota_key(NULL, at);
        uint64_t value = quota_value(&peer->core->config.limits, at);

        event_limit(peer, text, key, at, value);
        answer_limit(peer, id, RAMAL__V1__CODE__CODE_OVER_LIMIT, text, key, value);
}

void refuse_limit(struct peer *peer, uint64_t id, enum limit limit) {
        static const struct {
                const char *text;
                size_t at;
        } quotas[] = {
                [LIMIT_CALLS] = {"too many calls in flight on this connection", QUOTA(calls)},
                [LIMIT_UID_CALLS] = {"too many calls in flight of this user", QUOTA(uid_calls)},
                [LIMIT_INTERESTS] = {"too many interests on this connection", QUOTA(interests)},
                [LIMIT_OWN_INTERESTS] = {"too many interests on this connection", QUOTA(own_interests)},
                [LIMIT_UID_INTERESTS] = {"too many interests of this user", QUOTA(uid_interests)},
                [LIMIT_NAMES] = {"too many names on this connection", QUOTA(names)},
                [LIMIT_UID_NAMES] = {"too many names of this user", QUOTA(uid_names)},
        };
        const char *memory = "the broker is out of memory";

        if (limit != LIMIT_MEMORY) {
                refuse_quota(peer, id, quotas[limit].text, quotas[limit].at);
                return;
        }
        event_limit(peer, memory, NULL, QUOTA_NONE, 0);
        answer_status(peer, id, RAMAL__V1__CODE__CODE_OVER_LIMIT, memory);
}

static void refuse_bound(struct peer *peer, uint64_t id, Ramal__V1__Why why, const char *connection, const char *uid) {
        switch (why) {
        case RAMAL__V1__WHY__WHY_CONNECTION:
                refuse_quota(peer, id, connection, QUOTA(connection_bytes));
                break;
        case RAMAL__V1__WHY__WHY_UID:
                refuse_quota(peer, id, uid, account_bytes_quota(peer->account));
                break;
        case RAMAL__V1__WHY__WHY_BROKER:
                refuse_quota(peer, id, "the broker has too much queued", QUOTA(broker_bytes));
                break;
        default: /* theirs, not the caller's */
                refuse_general(peer, id, "the windows of all responders are full, or this user's share of them",
                               QUOTA(interest_messages));
                break;
        }
}

void refuse_why(struct peer *caller, uint64_t id, Ramal__V1__Why why) {
        refuse_bound(caller, id, why, "too many calls of this connection wait for their responders",
                     "too many calls of this user wait for their responders");
}

void refuse_reply(struct peer *caller, uint64_t id, Ramal__V1__Why why) {
        refuse_bound(caller, id, why, "the reply does not fit what may be queued for this connection",
                     "the reply does not fit what may be queued for this user");
}

/* Which of them is too large? */
bool refuse_size(const struct peer *from, const struct rml_data *data, struct refusal *ret) {
        const struct account *account = from->account;
        struct refusal refusal = {.code = RAMAL__V1__CODE__CODE_TOO_LARGE};

        if (data->payload.len > account->limits->payload_bytes) {
                refusal.text = "the payload is too large";
                refusal.limit = quota_key(account, QUOTA(payload_bytes));
                refusal.value = account->limits->payload_bytes;
        } else if (data->header_count > RML_HEADERS_MAX) {
                refusal.text = "too many headers (this limit is fixed)";
                refusal.value = RML_HEADERS_MAX;
        } else if (data->header_bytes > RML_HEADERS_BYTES_MAX) {
                refusal.text = "the headers are too long (this limit is fixed)";
                refusal.value = RML_HEADERS_BYTES_MAX;
        } else if (data->envelope_len > RML_ENVELOPE_BYTES_MAX) {
                refusal.text = "subject, type and headers together are too long (this limit is fixed)";
                refusal.value = RML_ENVELOPE_BYTES_MAX;
        } else if (data->hop_len > RML_HOP_BYTES_MAX) {
                refusal.text = "the hop header is too long (this limit is fixed)";
                refusal.value = RML_HOP_BYTES_MAX;
        } else {
                refusal.code = RAMAL__V1__CODE__CODE_INVALID;
                refusal.text = "the key is too long (this limit is fixed)";
                refusal.value = RML_KEY_BYTES_MAX;
        }
        if (ret)
                *ret = refusal;
        return true;
}

void refuse_unread(struct peer *caller, uint64_t id) {
        refuse_quota(caller, id,
                     "this user leaves too much unread of what the broker answered for one more large reply",
                     QUOTA(uid_unread_answers_bytes));
}

/* "$PEER.<id>" or "$PEER.<id>.…" in canonical decimal: the id, or 0. */
static uint64_t unicast_id(struct rml_span text) {
        struct rml_span rest = text, token;
        uint64_t id = 0;

        if (!rml_subject_token(&rest, &token) || !rml_subject_token(&rest, &token) || token.len > 20 ||
            token.data[0] == '0')
                return 0;
        for (size_t i = 0; i < token.len; i++) {
                unsigned digit = (unsigned)token.data[i] - '0';

                if (digit > 9 || id > (UINT64_MAX - digit) / 10)
                        return 0;
                id = id * 10 + digit;
        }
        return id;
}

static bool first_token_is(struct rml_span text, const char *word) {
        struct rml_span rest = text, token;

        return rml_subject_token(&rest, &token) && rml_span_equal(token, rml_span_of(word));
}

/* A caller's own calls are bounded; what one peer serves is not. */
static bool calls_between(const struct peer *caller, const struct peer *callee) {
        if (!callee->served_count)
                return false;
        rml_list_each(at, &caller->calls)
                if (rml_list_entry(at, struct call, caller_link)->callee == callee)
                        return true;
        return false;
}

static bool refuse(struct refusal *ret, Ramal__V1__Code code, const char *text) {
        *ret = (struct refusal){.code = code, .text = text};
        return true;
}

bool refuse_inspect(struct refusal *ret) {
        return refuse(ret, RAMAL__V1__CODE__CODE_DENIED,
                      "this connection only looks (HELLO.inspect): it calls $SYS.api.* and nothing else");
}

/* By who only looks, or to what begins with '$'. */
bool refuse_special(const struct peer *peer, struct rml_span subject, bool call, struct refusal *ret) {
        if (call && api_is_call(subject))
                return false;
        if (peer->inspect)
                return refuse_inspect(ret);
        if (first_token_is(subject, "$PEER")) {
                const struct peer *to = peer_find(peer->core, unicast_id(subject));

                if (!to || to == peer || account_same(to->account, peer->account) || calls_between(to, peer) ||
                    calls_between(peer, to))
                        return false; /* nobody there: unheard or NO_RESPONDER, as everywhere */
                return refuse(ret, RAMAL__V1__CODE__CODE_DENIED,
                              "a peer of another user can only be addressed while a call with it is in progress");
        }
        return refuse(ret, RAMAL__V1__CODE__CODE_DENIED, "subjects that begin with '$' are the broker's own");
}

bool refuse_pattern(const struct peer *peer, struct rml_span pattern, bool serve, struct refusal *ret) {
        if (!pattern.len || pattern.data[0] != '$')
                return false;
        if (first_token_is(pattern, "$PEER")) {
                if (unicast_id(pattern) == peer->id)
                        return false;
                return refuse(ret, RAMAL__V1__CODE__CODE_DENIED,
                              "only the peer itself may listen below its $PEER.<id>");
        }
        if (!serve && first_token_is(pattern, "$SYS"))
                return false;
        return refuse(ret, RAMAL__V1__CODE__CODE_DENIED, "subjects that begin with '$' are the broker's own");
}
