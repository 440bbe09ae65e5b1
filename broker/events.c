/* SPDX-License-Identifier: MIT */
#include "events.h"

#include <stdio.h>
#include <string.h>

#include "facts.h"

#define BURST 50u
#define REFILL_NS 100000000u /* one more line each: ten a second */
#define SOURCE_BURST 10u
#define SOURCE_REFILL_NS 1000000000u
#define TELL_NS 1000000000u
#define FIELDS_MAX 12u

enum { KIND_REFUSED = EVENTS_KINDS - 2, KIND_LOST };

static const struct {
        enum log_level level;
        const char *event;
        const char *text; /* what the event's text is called */
} kinds[EVENTS_KINDS] = {
        [CORE_EVENT_WELCOME] = {LOG_LEVEL_DEBUG, "welcome", "text"},
        [CORE_EVENT_GONE] = {LOG_LEVEL_DEBUG, "gone", "text"},
        [CORE_EVENT_DENIED] = {LOG_LEVEL_WARNING, "denied", "text"},
        [CORE_EVENT_GOAWAY] = {LOG_LEVEL_WARNING, "goaway", "text"},
        [CORE_EVENT_LIMIT] = {LOG_LEVEL_NOTICE, "limit", "text"},
        [CORE_EVENT_STALL] = {LOG_LEVEL_WARNING, "stall", "pattern"},
        [KIND_REFUSED] = {LOG_LEVEL_WARNING, "refused", "text"},
        [KIND_LOST] = {LOG_LEVEL_WARNING, "events-lost", "text"},
};
_Static_assert((unsigned)CORE_EVENT_STALL + 1 == (unsigned)KIND_REFUSED, "a line for each kind of event");

void events_init(struct events *events, struct log *log, uint64_t now) {
        *events = (struct events){.log = log, .tell_ns = CORE_NEVER};
        for (unsigned i = 0; i < EVENTS_KINDS; i++)
                events->rates[i] = (struct events_rate){.tokens = BURST, .refilled_ns = now};
}

static bool has_token(struct events_rate *rate, uint64_t burst, uint64_t refill_ns, uint64_t now) {
        uint64_t more = now > rate->refilled_ns ? (now - rate->refilled_ns) / refill_ns : 0;
        if (more > 0) {
                rate->tokens = more >= burst - rate->tokens ? burst : rate->tokens + more;
                rate->refilled_ns += more * refill_ns;
        }
        return rate->tokens > 0;
}

static struct events_source *find_source(struct events *events, const struct events_source *like, uint64_t now) {
        struct events_source *oldest = NULL;
        for (size_t i = 0; i < events->source_count; i++) {
                struct events_source *source = &events->sources[i];
                if (source->kind == like->kind && source->local == like->local && source->uid == like->uid &&
                    strcmp(source->cause, like->cause) == 0)
                        return source;
                if (!oldest || source->used_ns < oldest->used_ns)
                        oldest = source;
        }
        if (events->source_count < EVENTS_SOURCES)
                oldest = &events->sources[events->source_count++];
        else
                events->lost += oldest->suppressed;
        *oldest = *like;
        oldest->suppressed = 0;
        oldest->rate = (struct events_rate){.tokens = SOURCE_BURST, .refilled_ns = now};
        return oldest;
}

/* May one more line of this kind and source be written? */
static bool take_token(struct events *events, struct events_source *source, uint64_t now) {
        struct events_rate *all = &events->rates[source->kind];
        if (!has_token(&source->rate, SOURCE_BURST, SOURCE_REFILL_NS, now) || !has_token(all, BURST, REFILL_NS, now))
                return false;
        source->rate.tokens--;
        all->tokens--;
        return true;
}

/* Those of the debug level are asked for, and all of them: they have no source. *suppressed: so many were left out,
 * those that the core had left out before (like->suppressed) included. */
static bool pass(struct events *events, const struct events_source *like, uint64_t now, uint64_t *suppressed) {
        enum log_level level = kinds[like->kind].level;
        *suppressed = like->suppressed;
        if (level > events->log->level || level >= LOG_LEVEL_DEBUG)
                return level <= events->log->level;
        struct events_source *source = find_source(events, like, now);
        source->used_ns = now;
        if (!take_token(events, source, now)) {
                source->suppressed += 1 + like->suppressed;
                if (events->tell_ns == CORE_NEVER)
                        events->tell_ns = now + TELL_NS;
                return false;
        }
        *suppressed += source->suppressed;
        source->suppressed = 0;
        return true;
}

/* Who: what the kernel attests, and what the process calls itself. It is only read for a line that is written. */
static struct log_field *put_who(struct log_field *field, bool local, uint32_t uid, uint32_t pid, const char *address,
                                 char *process, size_t size) {
        if (!local) {
                *field++ = LOG_TEXT("address", address); /* all that is known of it */
                return field;
        }
        *field++ = LOG_NUMBER("uid", uid);
        *field++ = LOG_NUMBER("pid", pid);
        if (size > 0 && facts_process(pid, process, size))
                *field++ = LOG_TEXT("process", process);
        return field;
}

static struct log_field *put_limit(struct log_field *field, const char *limit, uint64_t value, uint64_t suppressed) {
        if (limit && limit[0]) {
                *field++ = LOG_TEXT("limit", limit);
                *field++ = LOG_NUMBER("value", value);
        }
        if (suppressed > 0)
                *field++ = LOG_NUMBER("suppressed", suppressed);
        *field = (struct log_field){NULL, NULL, 0};
        return field;
}

static void write_event(struct events *events, const struct core_event *event, uint64_t now) {
        struct events_source like = {.kind = (unsigned)event->kind,
                                     .local = event->local,
                                     .uid = event->local ? event->uid : 0,
                                     .suppressed = event->suppressed};
        struct log_field fields[FIELDS_MAX], *field = fields;
        uint64_t suppressed;
        char process[32];
        if (like.kind >= KIND_REFUSED)
                return;
        if (event->kind != CORE_EVENT_STALL) /* a pattern is the client's choice: no cause of its own */
                snprintf(like.cause, sizeof(like.cause), "%.63s", event->limit[0] ? event->limit : event->text);
        if (!pass(events, &like, now, &suppressed))
                return;
        *field++ = LOG_NUMBER("peer", event->peer);
        if (event->app[0])
                *field++ = LOG_TEXT("app", event->app);
        /* Who is gone has no process any more; its number may be another's. */
        field = put_who(field, event->local, event->uid, event->pid, event->address, process,
                        event->kind == CORE_EVENT_GONE ? 0 : sizeof(process));
        if (event->text[0])
                *field++ = LOG_TEXT(kinds[like.kind].text, event->text);
        put_limit(field, event->limit, event->value, suppressed);
        log_write(events->log, kinds[like.kind].level, kinds[like.kind].event, fields);
}

/* What is still untold of each source, as lines of their own. */
static void tell_suppressed(struct events *events, uint64_t now) {
        bool more = false;
        for (size_t i = 0; i < events->source_count; i++) {
                struct events_source *source = &events->sources[i];
                if (source->suppressed == 0)
                        continue;
                if (!take_token(events, source, now)) {
                        more = true;
                        continue;
                }
                log_event(events->log, kinds[source->kind].level, kinds[source->kind].event,
                          source->local ? LOG_NUMBER("uid", source->uid) : LOG_TEXT("user", "(token)"),
                          LOG_NUMBER("suppressed", source->suppressed),
                          LOG_TEXT(source->cause[0] ? "cause" : NULL, source->cause));
                source->suppressed = 0;
        }
        events->tell_ns = more ? now + TELL_NS : CORE_NEVER;
}

static void tell_lost(struct events *events, uint64_t now) {
        struct events_rate *rate = &events->rates[KIND_LOST];
        if (events->lost == 0)
                return;
        if (!has_token(rate, BURST, REFILL_NS, now)) {
                if (events->tell_ns == CORE_NEVER)
                        events->tell_ns = now + TELL_NS;
                return;
        }
        rate->tokens--;
        log_event(events->log, kinds[KIND_LOST].level, kinds[KIND_LOST].event, LOG_NUMBER("count", events->lost));
        events->lost = 0;
}

void events_write(struct events *events, struct core *core, uint64_t now) {
        struct core_event event;
        uint64_t lost = 0;
        while (core_next_event(core, &event, &lost)) {
                write_event(events, &event, now);
                events->lost += lost;
        }
        events->lost += lost;
        if (events->tell_ns <= now)
                tell_suppressed(events, now);
        tell_lost(events, now);
}

uint64_t events_deadline(const struct events *events) {
        return events->tell_ns;
}

void events_write_refused(struct events *events, uint64_t now, const struct core_origin *origin, const char *text,
                          const struct core_refusal *limit) {
        struct events_source like = {.kind = KIND_REFUSED, .local = origin->local, .uid = origin->uid};
        struct log_field fields[FIELDS_MAX], *field = fields;
        uint64_t suppressed;
        char process[32];
        snprintf(like.cause, sizeof(like.cause), "%.63s", limit && limit->limit ? limit->limit : text);
        if (!pass(events, &like, now, &suppressed))
                return;
        if (origin->local) /* or it comes with who it is */
                *field++ = LOG_TEXT("address", origin->address);
        field = put_who(field, origin->local, origin->uid, origin->pid, origin->address, process, sizeof(process));
        *field++ = LOG_TEXT("text", text);
        put_limit(field, limit ? limit->limit : NULL, limit ? limit->value : 0, suppressed);
        log_write(events->log, kinds[KIND_REFUSED].level, kinds[KIND_REFUSED].event, fields);
}
