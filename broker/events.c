/* SPDX-License-Identifier: MIT */
#include "events.h"

#define BURST 50u
#define REFILL_NS 100000000u /* one more line each: ten a second */
#define REFUSED_KIND (EVENTS_KINDS - 1u)

static const struct {
        enum log_level level;
        const char *event;
} kinds[] = {
        [CORE_EVENT_WELCOME] = {LOG_LEVEL_DEBUG, "welcome"}, [CORE_EVENT_GONE] = {LOG_LEVEL_DEBUG, "gone"},
        [CORE_EVENT_DENIED] = {LOG_LEVEL_WARNING, "denied"}, [CORE_EVENT_GOAWAY] = {LOG_LEVEL_WARNING, "goaway"},
        [CORE_EVENT_LIMIT] = {LOG_LEVEL_NOTICE, "limit"},
};

void events_init(struct events *events, struct log *log, uint64_t now) {
        *events = (struct events){.log = log};
        for (unsigned i = 0; i < EVENTS_KINDS; i++)
                events->rates[i] = (struct events_rate){.tokens = BURST, .refilled_ns = now};
}

/* May one more line of this kind be written? Those of the debug level are asked for, and all of them. */
static bool pass(struct events *events, unsigned kind, enum log_level level, uint64_t now) {
        struct events_rate *rate = &events->rates[kind];
        if (level > events->log->level)
                return false;
        if (level >= LOG_LEVEL_DEBUG)
                return true;
        uint64_t more = (now - rate->refilled_ns) / REFILL_NS;
        if (more > 0) {
                rate->tokens = more >= BURST - rate->tokens ? BURST : rate->tokens + more;
                rate->refilled_ns += more * REFILL_NS;
        }
        if (rate->tokens == 0) {
                rate->suppressed++;
                return false;
        }
        rate->tokens--;
        return true;
}

static uint64_t take_suppressed(struct events *events, unsigned kind) {
        uint64_t suppressed = events->rates[kind].suppressed;
        events->rates[kind].suppressed = 0;
        return suppressed;
}

static void write_event(struct events *events, const struct core_event *event, uint64_t now) {
        unsigned kind = (unsigned)event->kind;
        if (kind >= sizeof(kinds) / sizeof(kinds[0]) || !pass(events, kind, kinds[kind].level, now))
                return;
        struct log_field fields[8], *field = fields;
        uint64_t suppressed = take_suppressed(events, kind);
        *field++ = LOG_NUMBER("peer", event->peer);
        if (event->app[0])
                *field++ = LOG_TEXT("app", event->app);
        if (event->local) {
                *field++ = LOG_NUMBER("uid", event->uid);
                *field++ = LOG_NUMBER("pid", event->pid);
        } else {
                *field++ = LOG_TEXT("address", event->address); /* all that is known of it */
        }
        if (event->text[0])
                *field++ = LOG_TEXT("text", event->text);
        if (suppressed > 0)
                *field++ = LOG_NUMBER("suppressed", suppressed);
        *field = (struct log_field){NULL, NULL, 0};
        log_write(events->log, kinds[kind].level, kinds[kind].event, fields);
}

void events_write(struct events *events, struct core *core, uint64_t now) {
        struct core_event event;
        uint64_t lost = 0, lost_in_all = 0;
        while (core_next_event(core, &event, &lost)) {
                write_event(events, &event, now);
                lost_in_all += lost;
        }
        lost_in_all += lost;
        if (lost_in_all > 0)
                log_event(events->log, LOG_LEVEL_WARNING, "events-lost", LOG_NUMBER("count", lost_in_all));
}

void events_write_refused(struct events *events, uint64_t now, const char *address, const char *text) {
        if (!pass(events, REFUSED_KIND, LOG_LEVEL_WARNING, now))
                return;
        uint64_t suppressed = take_suppressed(events, REFUSED_KIND);
        log_event(events->log, LOG_LEVEL_WARNING, "refused", LOG_TEXT("address", address), LOG_TEXT("text", text),
                  LOG_NUMBER(suppressed > 0 ? "suppressed" : NULL, suppressed));
}
