/* SPDX-License-Identifier: MIT */
/* What a fake peer must have received, as cmocka assertions. Each takes a turn first when nothing is there. */
#ifndef RAMAL_TEST_EXPECT_H
#define RAMAL_TEST_EXPECT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/check.h"
#include "world.h"

#define CODE(name) RAMAL__V1__CODE__CODE_##name
#define WHY(name) RAMAL__V1__WHY__WHY_##name
#define STATE(name) RAMAL__V1__STATE__STATE_##name
#define OVERFLOW_RULE(name) RAMAL__V1__OVERFLOW__OVERFLOW_##name
#define POLICY(name) RAMAL__V1__POLICY__POLICY_##name
#define FLAG(name) RAMAL__V1__DATA_FLAG__DATA_FLAG_##name

/* The next frame, which must be of that kind. */
const struct got *expect_kind(struct fake *, uint32_t kind, const char *file, int line);
void expect_none(struct fake *, const char *file, int line);
const struct got *expect_delivery(struct fake *, uint64_t sid, uint64_t seq, const char *payload, const char *file,
                                  int line);
void expect_gap_of(struct fake *, uint64_t sid, uint64_t first, uint64_t last, uint64_t count, Ramal__V1__Why,
                   const char *file, int line);
const Ramal__V1__Status *expect_status_of(struct fake *, uint64_t id, Ramal__V1__Code, const char *file, int line);
void expect_subscribed_as(struct fake *, uint64_t id, Ramal__V1__State, uint64_t queued, const char *file, int line);
void expect_notice_of(struct fake *, uint64_t sid, Ramal__V1__State, uint64_t queued, Ramal__V1__Why, const char *file,
                      int line);
const struct got *expect_reply_of(struct fake *, uint64_t id, uint64_t seq, const char *payload, bool more,
                                  const char *file, int line);
const Ramal__V1__Cancel *expect_cancel_of(struct fake *, uint64_t token, Ramal__V1__Why, const char *file, int line);
void expect_closed_now(struct fake *, const char *file, int line);
void expect_ledger_of(struct fake *, uint64_t sid, const struct core_ledger *, const char *file, int line);

#define expect(fake, kind) expect_kind((fake), (kind), __FILE__, __LINE__)
#define expect_nothing(fake) expect_none((fake), __FILE__, __LINE__)
#define expect_deliver(fake, sid, seq, payload) expect_delivery((fake), (sid), (seq), (payload), __FILE__, __LINE__)
#define expect_gap(fake, sid, first, last, count, why)                                                                 \
        expect_gap_of((fake), (sid), (first), (last), (count), WHY(why), __FILE__, __LINE__)
#define expect_status(fake, id, code) expect_status_of((fake), (id), CODE(code), __FILE__, __LINE__)
#define expect_subscribed(fake, id, state, queued)                                                                     \
        expect_subscribed_as((fake), (id), STATE(state), (queued), __FILE__, __LINE__)
#define expect_notice(fake, sid, state, queued, why)                                                                   \
        expect_notice_of((fake), (sid), STATE(state), (queued), WHY(why), __FILE__, __LINE__)
#define expect_reply(fake, id, seq, payload, more)                                                                     \
        expect_reply_of((fake), (id), (seq), (payload), (more), __FILE__, __LINE__)
#define expect_cancel(fake, token, why) expect_cancel_of((fake), (token), WHY(why), __FILE__, __LINE__)
#define expect_closed(fake) expect_closed_now((fake), __FILE__, __LINE__)
/* expect_ledger(fake, sid, .matched = 3, .queued = 2, .in_flight = 1): terms that are not named are 0. */
#define expect_ledger(fake, sid, ...)                                                                                  \
        expect_ledger_of((fake), (sid), &(struct core_ledger){__VA_ARGS__}, __FILE__, __LINE__)

/* Subscribes and takes the answer: ACTIVE. */
#define subscribed(fake, ...) expect_subscribed((fake), SUBSCRIBE((fake), __VA_ARGS__), ACTIVE, 0)
/* The token of a call that came, with this payload. */
uint64_t expect_call_of(struct fake *, uint64_t sid, const char *payload, const char *file, int line);
#define expect_call(fake, sid, payload) expect_call_of((fake), (sid), (payload), __FILE__, __LINE__)

#endif
