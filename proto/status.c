/* SPDX-License-Identifier: MIT */
#include "status.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"

struct code {
        const char *name;
        int error;
};

static const struct code codes[] = {
        [RAMAL__V1__CODE__CODE_OK] = {"OK", 0},
        [RAMAL__V1__CODE__CODE_DENIED] = {"DENIED", -EACCES},
        [RAMAL__V1__CODE__CODE_NO_RESPONDER] = {"NO_RESPONDER", -ENOENT},
        [RAMAL__V1__CODE__CODE_RESPONDER_GONE] = {"RESPONDER_GONE", -EHOSTDOWN},
        [RAMAL__V1__CODE__CODE_DEADLINE] = {"DEADLINE", -ETIMEDOUT},
        [RAMAL__V1__CODE__CODE_CANCELLED] = {"CANCELLED", -ECANCELED},
        [RAMAL__V1__CODE__CODE_WOULD_BLOCK] = {"WOULD_BLOCK", -EAGAIN},
        [RAMAL__V1__CODE__CODE_OVER_LIMIT] = {"OVER_LIMIT", -EDQUOT},
        [RAMAL__V1__CODE__CODE_TOO_LARGE] = {"TOO_LARGE", -EMSGSIZE},
        [RAMAL__V1__CODE__CODE_BAD_SUBJECT] = {"BAD_SUBJECT", -EINVAL},
        [RAMAL__V1__CODE__CODE_UNSUPPORTED] = {"UNSUPPORTED", -EOPNOTSUPP},
        [RAMAL__V1__CODE__CODE_EXISTS] = {"EXISTS", -EEXIST},
        [RAMAL__V1__CODE__CODE_NOT_FOUND] = {"NOT_FOUND", -ENXIO},
        [RAMAL__V1__CODE__CODE_MALFORMED] = {"MALFORMED", -EBADMSG},
        [RAMAL__V1__CODE__CODE_TIMEOUT] = {"TIMEOUT", -ETIME},
        [RAMAL__V1__CODE__CODE_INVALID] = {"INVALID", -EINVAL},
};

static const char *const whys[] = {
        [RAMAL__V1__WHY__WHY_NONE] = "none",
        [RAMAL__V1__WHY__WHY_WINDOW] = "window",
        [RAMAL__V1__WHY__WHY_CONNECTION] = "connection",
        [RAMAL__V1__WHY__WHY_UID] = "uid",
        [RAMAL__V1__WHY__WHY_BROKER] = "broker",
        [RAMAL__V1__WHY__WHY_ENDED] = "ended",
        [RAMAL__V1__WHY__WHY_EXPIRED] = "expired",
        [RAMAL__V1__WHY__WHY_CANCELLED] = "cancelled",
        [RAMAL__V1__WHY__WHY_GONE] = "gone",
        [RAMAL__V1__WHY__WHY_REPLACED] = "replaced",
        [RAMAL__V1__WHY__WHY_EVICTED] = "evicted",
        [RAMAL__V1__WHY__WHY_OUTAGE] = "outage",
        [RAMAL__V1__WHY__WHY_TOO_LARGE] = "too_large",
        [RAMAL__V1__WHY__WHY_MOVED] = "moved",
        [RAMAL__V1__WHY__WHY_STALLED] = "stalled",
};

static const char *const policies[] = {
        [RAMAL__V1__POLICY__POLICY_LEAST_PENDING] = "least_pending",
        [RAMAL__V1__POLICY__POLICY_ROUND_ROBIN] = "round_robin",
        [RAMAL__V1__POLICY__POLICY_PRIMARY] = "primary",
        [RAMAL__V1__POLICY__POLICY_RANDOM] = "random",
        [RAMAL__V1__POLICY__POLICY_KEY] = "key",
};

static const char *const overflows[] = {
        [RAMAL__V1__OVERFLOW__OVERFLOW_DROP_OLD] = "drop_old", [RAMAL__V1__OVERFLOW__OVERFLOW_DROP_NEW] = "drop_new",
        [RAMAL__V1__OVERFLOW__OVERFLOW_LATEST] = "latest",     [RAMAL__V1__OVERFLOW__OVERFLOW_EVICT] = "evict",
        [RAMAL__V1__OVERFLOW__OVERFLOW_BLOCK] = "block",
};

static const char *const states[] = {
        [RAMAL__V1__STATE__STATE_ACTIVE] = "active",   [RAMAL__V1__STATE__STATE_OWNER] = "owner",
        [RAMAL__V1__STATE__STATE_QUEUED] = "queued",   [RAMAL__V1__STATE__STATE_LOST] = "lost",
        [RAMAL__V1__STATE__STATE_DEMOTED] = "demoted", [RAMAL__V1__STATE__STATE_ENDED] = "ended",
};

/* The enums come from the wire: any number may be in them. */
static const char *name_of(const char *const *names, size_t count, int64_t value) {
        return value >= 0 && (uint64_t)value < count && names[value] ? names[value] : "unknown";
}

static int value_of(const char *const *names, size_t count, const char *text) {
        for (size_t i = 0; i < count; i++)
                if (names[i] && strcmp(names[i], text) == 0)
                        return (int)i;
        return -EINVAL;
}

static const struct code *find_code(Ramal__V1__Code code) {
        int64_t value = (int64_t)code;

        return value >= 0 && (uint64_t)value < RML_COUNT(codes) && codes[value].name ? &codes[value] : NULL;
}

const char *rml_code_name(Ramal__V1__Code code) {
        const struct code *found = find_code(code);

        return found ? found->name : "UNKNOWN";
}

int rml_code_errno(Ramal__V1__Code code) {
        const struct code *found = find_code(code);

        return found ? found->error : -EPROTO;
}

const char *rml_why_name(Ramal__V1__Why why) {
        return name_of(whys, RML_COUNT(whys), (int64_t)why);
}

const char *rml_policy_name(Ramal__V1__Policy policy) {
        return name_of(policies, RML_COUNT(policies), (int64_t)policy);
}

const char *rml_overflow_name(Ramal__V1__Overflow rule) {
        return name_of(overflows, RML_COUNT(overflows), (int64_t)rule);
}

const char *rml_state_name(Ramal__V1__State state) {
        return name_of(states, RML_COUNT(states), (int64_t)state);
}

int rml_policy_parse(const char *text, Ramal__V1__Policy *ret) {
        int value = value_of(policies, RML_COUNT(policies), text);

        if (value < 0)
                return value;
        *ret = (Ramal__V1__Policy)value;
        return 0;
}

int rml_overflow_parse(const char *text, Ramal__V1__Overflow *ret) {
        int value = value_of(overflows, RML_COUNT(overflows), text);

        if (value < 0)
                return value;
        *ret = (Ramal__V1__Overflow)value;
        return 0;
}
