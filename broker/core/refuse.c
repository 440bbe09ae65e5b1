/* SPDX-License-Identifier: MIT */
#include "refuse.h"

#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "call.h"
#include "bounds.h"
#include "subject.h"

void refuse_status(struct peer *peer, uint64_t id, const struct refusal *refusal) {
        answer_limit(peer, id, refusal->code, refusal->text, refusal->limit, refusal->value);
}

void refuse_limit(struct peer *peer, uint64_t id, enum limit limit) {
        const struct core_limits *limits = &peer->core->config.limits;
        struct refusal refusal = {.code = RAMAL__V1__CODE__CODE_OVER_LIMIT};

        switch (limit) {
        case LIMIT_CALLS:
                refusal.text = "too many calls in flight on this connection";
                refusal.limit = "limits.calls";
                refusal.value = limits->calls;
                break;
        case LIMIT_INTERESTS:
                refusal.text = "too many interests on this connection";
                refusal.limit = peer->account->own ? "limits.own_interests" : "limits.interests";
                refusal.value = peer->account->own ? limits->own_interests : limits->interests;
                break;
        case LIMIT_NAMES:
                refusal.text = "too many names on this connection";
                refusal.limit = "limits.names";
                refusal.value = limits->names;
                break;
        case LIMIT_MEMORY:
                refusal.text = "the broker is out of memory";
                break;
        }
        event_add(peer->core, CORE_EVENT_LIMIT, peer, refusal.text);
        refuse_status(peer, id, &refusal);
}

static void refuse_bound(struct peer *peer, uint64_t id, Ramal__V1__Why why, const char *connection, const char *uid) {
        const struct core_limits *limits = &peer->core->config.limits;
        struct refusal refusal = {.code = RAMAL__V1__CODE__CODE_OVER_LIMIT};

        switch (why) {
        case RAMAL__V1__WHY__WHY_CONNECTION:
                refusal.text = connection;
                refusal.limit = "limits.connection_bytes";
                refusal.value = limits->connection_bytes;
                break;
        case RAMAL__V1__WHY__WHY_UID:
                refusal.text = uid;
                refusal.limit = "limits.uid_bytes";
                refusal.value = limits->uid_bytes;
                break;
        case RAMAL__V1__WHY__WHY_BROKER:
                refusal.text = "the broker has too much queued";
                refusal.limit = "limits.broker_bytes";
                refusal.value = limits->broker_bytes;
                break;
        default:
                refusal.text = "the windows of all responders are full";
                refusal.limit = "limits.interest_messages";
                refusal.value = limits->interest_messages;
                break;
        }
        event_add(peer->core, CORE_EVENT_LIMIT, peer, refusal.text);
        refuse_status(peer, id, &refusal);
}

void refuse_why(struct peer *peer, uint64_t id, Ramal__V1__Why why) {
        refuse_bound(peer, id, why, "the connections of all responders are full",
                     "the user of the responder has too much queued");
}

void refuse_reply(struct peer *caller, uint64_t id, Ramal__V1__Why why) {
        refuse_bound(caller, id, why, "the reply does not fit what may be queued for this connection",
                     "the reply does not fit what may be queued for this user");
}

bool refuse_sizes(const struct core *core, const struct rml_data *data, struct refusal *ret) {
        struct refusal refusal = {.code = RAMAL__V1__CODE__CODE_TOO_LARGE};

        if (data->payload.len > core->config.limits.payload_bytes) {
                refusal.text = "the payload is too large";
                refusal.limit = "limits.payload_bytes";
                refusal.value = core->config.limits.payload_bytes;
        } else if (data->header_count > RML_HEADERS_MAX) {
                refusal.text = "too many headers";
                refusal.value = RML_HEADERS_MAX;
        } else if (data->header_bytes > RML_HEADERS_BYTES_MAX) {
                refusal.text = "the headers are too long";
                refusal.value = RML_HEADERS_BYTES_MAX;
        } else if (data->envelope_len > RML_ENVELOPE_BYTES_MAX) {
                refusal.text = "subject, type and headers together are too long";
                refusal.value = RML_ENVELOPE_BYTES_MAX;
        } else if (data->hop_len > RML_HOP_BYTES_MAX) {
                refusal.text = "the hop header is too long";
                refusal.value = RML_HOP_BYTES_MAX;
        } else {
                return false;
        }
        if (ret)
                *ret = refusal;
        return true;
}

/* "$PEER.<id>" or "$PEER.<id>.…" in canonical decimal: the id, or 0. */
static uint64_t unicast_id(struct rml_span text) {
        struct rml_span rest = text, token;
        uint64_t id = 0;

        if (!rml_subject_token(&rest, &token) || !rml_subject_token(&rest, &token) || token.len > 20 || token.data[0] == '0')
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

bool refuse_send(const struct peer *peer, struct rml_span subject, bool call, struct refusal *ret) {
        if (!subject.len || subject.data[0] != '$')
                return false;
        if (call && api_is_call(subject))
                return false;
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
                return refuse(ret, RAMAL__V1__CODE__CODE_DENIED, "only the peer itself may listen below its $PEER.<id>");
        }
        if (!serve && first_token_is(pattern, "$SYS"))
                return false;
        return refuse(ret, RAMAL__V1__CODE__CODE_DENIED, "subjects that begin with '$' are the broker's own");
}
