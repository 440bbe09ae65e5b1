/* SPDX-License-Identifier: MIT */
#include "expect.h"

#include <stdio.h>
#include <string.h>

#include "status.h"

/* Fails in the test's own line. */
#define demand(condition, ...)                                                                                         \
        do {                                                                                                           \
                if (!(condition)) {                                                                                    \
                        print_error(__VA_ARGS__);                                                                      \
                        print_error("\n");                                                                             \
                        _fail(file, line);                                                                             \
                }                                                                                                      \
        } while (0)

typedef unsigned long long ull;

static const struct got *peek(struct fake *fake) {
        if (!fake->cursor)
                world_turn(fake->world);
        return fake->cursor;
}

const struct got *expect_kind(struct fake *fake, uint32_t kind, const char *file, int line) {
        char text[256], name[24];
        const struct got *got = peek(fake);
        demand(got && got->kind == kind, "peer %u: %s, not %s", fake->index, got_text(got, text, sizeof(text)),
               rml_kind_name(kind, name));
        return fake_next(fake);
}

void expect_none(struct fake *fake, const char *file, int line) {
        char text[256];
        world_turn(fake->world);
        demand(!fake->cursor, "peer %u: %s, not nothing", fake->index, got_text(fake->cursor, text, sizeof(text)));
}

static bool same_text(struct rml_span span, const char *text) {
        return span.len == strlen(text) && (!span.len || memcmp(span.data, text, span.len) == 0);
}

const struct got *expect_delivery(struct fake *fake, uint64_t sid, uint64_t seq, const char *payload, const char *file,
                                  int line) {
        char text[256];
        const struct got *got = expect_kind(fake, RML_DELIVER, file, line);
        demand(got->data.sid == sid && got->data.seq == seq && (!payload || same_text(got->data.payload, payload)),
               "peer %u: %s, not sid %llu seq %llu '%s'", fake->index, got_text(got, text, sizeof(text)), (ull)sid,
               (ull)seq, payload ? payload : "...");
        return got;
}

uint64_t expect_call_of(struct fake *fake, uint64_t sid, const char *payload, const char *file, int line) {
        char text[256];
        const struct got *got = expect_kind(fake, RML_DELIVER, file, line);
        demand(got->data.sid == sid && got->data.token && got->data.flags & FLAG(CALL) &&
                       same_text(got->data.payload, payload),
               "peer %u: %s, not a call to sid %llu '%s'", fake->index, got_text(got, text, sizeof(text)), (ull)sid,
               payload);
        return got->data.token;
}

void expect_gap_of(struct fake *fake, uint64_t sid, uint64_t first, uint64_t last, uint64_t count, Ramal__V1__Why why,
                   const char *file, int line) {
        char text[256];
        const struct got *got = expect_kind(fake, RML_GAP, file, line);
        const Ramal__V1__Gap *gap = GOT(got, Gap);
        demand(gap->sid == sid && gap->first == first && gap->last == last && gap->count == count && gap->why == why &&
                       gap->bytes,
               "peer %u: %s, not sid %llu %llu..%llu count %llu %s", fake->index, got_text(got, text, sizeof(text)),
               (ull)sid, (ull)first, (ull)last, (ull)count, rml_why_name(why));
}

const Ramal__V1__Status *expect_status_of(struct fake *fake, uint64_t id, Ramal__V1__Code code, const char *file,
                                          int line) {
        char text[256];
        const struct got *got = expect_kind(fake, RML_STATUS, file, line);
        const Ramal__V1__Status *status = GOT(got, Status);
        demand(got->id == id && status->code == code, "peer %u: %s, not id %llu %s", fake->index,
               got_text(got, text, sizeof(text)), (ull)id, rml_code_name(code));
        return status;
}

void expect_subscribed_as(struct fake *fake, uint64_t id, Ramal__V1__State state, uint64_t queued, const char *file,
                          int line) {
        const struct got *got = expect_kind(fake, RML_SUBSCRIBED, file, line);
        const Ramal__V1__Subscribed *m = GOT(got, Subscribed);
        demand(got->id == id && m->state == state && m->queued == queued,
               "peer %u: SUBSCRIBED id %llu %s queued %llu, not id %llu %s queued %llu", fake->index, (ull)got->id,
               rml_state_name(m->state), (ull)m->queued, (ull)id, rml_state_name(state), (ull)queued);
}

void expect_notice_of(struct fake *fake, uint64_t sid, Ramal__V1__State state, uint64_t queued, Ramal__V1__Why why,
                      const char *file, int line) {
        char text[256];
        const struct got *got = expect_kind(fake, RML_INTEREST, file, line);
        const Ramal__V1__Interest *m = GOT(got, Interest);
        demand(m->sid == sid && m->state == state && m->queued == queued && m->why == why,
               "peer %u: %s, not sid %llu %s queued %llu %s", fake->index, got_text(got, text, sizeof(text)), (ull)sid,
               rml_state_name(state), (ull)queued, rml_why_name(why));
}

const struct got *expect_reply_of(struct fake *fake, uint64_t id, uint64_t seq, const char *payload, bool more,
                                  const char *file, int line) {
        char text[256];
        const struct got *got = expect_kind(fake, RML_REPLY, file, line);
        demand(got->id == id && got->data.seq == seq && same_text(got->data.payload, payload) &&
                       more == !!(got->data.flags & FLAG(MORE)),
               "peer %u: %s, not id %llu seq %llu '%s' more %d", fake->index, got_text(got, text, sizeof(text)),
               (ull)id, (ull)seq, payload, more);
        return got;
}

const Ramal__V1__Cancel *expect_cancel_of(struct fake *fake, uint64_t token, Ramal__V1__Why why, const char *file,
                                          int line) {
        const struct got *got = expect_kind(fake, RML_CANCEL, file, line);
        const Ramal__V1__Cancel *m = GOT(got, Cancel);
        demand(m->token == token && m->why == why, "peer %u: CANCEL %llu %s, not %llu %s", fake->index, (ull)m->token,
               rml_why_name(m->why), (ull)token, rml_why_name(why));
        return m;
}

void expect_closed_now(struct fake *fake, const char *file, int line) {
        expect_none(fake, file, line);
        demand(fake->closed, "peer %u is not closed", fake->index);
}

void expect_ledger_of(struct fake *fake, uint64_t sid, const struct core_ledger *want, const char *file, int line) {
        struct core_ledger l;
        int r = core_interest_ledger(fake->peer, sid, &l);
        demand(r == 0, "peer %u: no ledger of sid %llu: %d", fake->index, (ull)sid, r);
        demand(memcmp(&l, want, sizeof(l)) == 0,
               "peer %u sid %llu: matched %llu queued %llu in flight %llu confirmed %llu expired %llu dropped %llu "
               "replaced %llu moved %llu unconfirmed %llu",
               fake->index, (ull)sid, (ull)l.matched, (ull)l.queued, (ull)l.in_flight, (ull)l.confirmed, (ull)l.expired,
               (ull)l.dropped, (ull)l.replaced, (ull)l.moved, (ull)l.unconfirmed);
        demand(l.matched == l.queued + l.in_flight + l.confirmed + l.expired + l.dropped + l.replaced + l.moved +
                                    l.unconfirmed,
               "peer %u sid %llu: the ledger does not balance", fake->index, (ull)sid);
}
