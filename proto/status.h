/* SPDX-License-Identifier: MIT */
/* Status codes, their names and their errno at the client. */
#ifndef RML_STATUS_H
#define RML_STATUS_H

#include "ramal.pb-c.h"

/* "NO_RESPONDER"; an unknown one is "UNKNOWN". Never NULL. */
const char *rml_code_name(Ramal__V1__Code code);
/* Negative errno that the client library returns for it; only BAD_SUBJECT and INVALID share one (the code itself
 * tells them apart):
 *   OK 0                    DENIED -EACCES          NO_RESPONDER -ENOENT    RESPONDER_GONE -EHOSTDOWN
 *   DEADLINE -ETIMEDOUT     CANCELLED -ECANCELED    WOULD_BLOCK -EAGAIN     OVER_LIMIT -EDQUOT
 *   TOO_LARGE -EMSGSIZE     BAD_SUBJECT -EINVAL     UNSUPPORTED -EOPNOTSUPP EXISTS -EEXIST
 *   NOT_FOUND -ENXIO        MALFORMED -EBADMSG      TIMEOUT -ETIME          INVALID -EINVAL
 *   a code that we do not know -EPROTO */
int rml_code_errno(Ramal__V1__Code code);
/* "window", "expired", ...: lower case, as printed in JSON; "unknown" for a number we do not know. Never NULL. */
const char *rml_why_name(Ramal__V1__Why why);
const char *rml_policy_name(Ramal__V1__Policy policy);   /* "least_pending" */
const char *rml_overflow_name(Ramal__V1__Overflow rule); /* "drop_old" */
const char *rml_state_name(Ramal__V1__State state);      /* "owner" */
/* The reverse, for options and configuration. Return 0 or -EINVAL. */
int rml_policy_parse(const char *text, Ramal__V1__Policy *ret);
int rml_overflow_parse(const char *text, Ramal__V1__Overflow *ret);

#endif
