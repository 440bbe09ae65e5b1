/* SPDX-License-Identifier: MIT */
/* Every short history of a small world: three clients, two subjects, all sequences of a few operations, each held
 * against the model after every step and brought to rest at its end. Clients do not differ until they have acted,
 * nor do the subjects: of sequences that are the same but for such names one is run.
 *
 *   test_sim_small                  what the test suite runs
 *   test_sim_small --depth N        deeper (or less deep)
 *   test_sim_small --theme N        one alphabet alone
 *   test_sim_small --all            every client may do everything: many more
 *   test_sim_small --replay A,B,..  one sequence, as a failure printed it; --trace shows what comes of it */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "model.h"
#include "rest.h"

#define CLIENTS 3u
#define SUBJECTS 2u
#define DEPTH_MAX 12u
#define SUBS_MAX 2u /* of one client */

typedef unsigned long long ull;

enum verb {
        PLAIN, /* subscribes with credit and window for one message */
        LATEST,
        BLOCK,   /* with publish credit for one message */
        GROUP,   /* the same in a group, to both subjects */
        PRIMARY, /* in another, whose members come in turn */
        SERVE,   /* in a group of servers */
        NAME,    /* claims the subject as a name */
        TAKE,    /* takes it over */
        PUBLISH,
        CALL,
        REPLY,
        CANCEL,
        READ,
        CONFIRM,
        UNSUBSCRIBE,
        DIE,
        BYE,
        VERBS
};
static const char *const verb_names[VERBS] = {"plain", "latest",  "block",       "group", "primary", "serve",
                                              "name",  "take",    "publish",     "call",  "reply",   "cancel",
                                              "read",  "confirm", "unsubscribe", "die",   "bye"};
#define WITH(verb) (1u << (verb))

/* Alphabets: small enough for all their words. */
static const struct {
        const char *name;
        unsigned verbs, depth;
        unsigned speakers, listeners; /* clients that publish and call, and that subscribe */
        bool turns;                   /* each operation has a turn of its own: what may be committed is */
} themes[] = {
        {"plain", WITH(PLAIN) | WITH(PUBLISH) | WITH(READ) | WITH(CONFIRM) | WITH(UNSUBSCRIBE), 6, 4, 3, false},
        {"latest", WITH(LATEST) | WITH(PUBLISH) | WITH(READ) | WITH(CONFIRM) | WITH(BYE), 6, 4, 3, false},
        {"block", WITH(BLOCK) | WITH(PUBLISH) | WITH(READ) | WITH(CONFIRM) | WITH(UNSUBSCRIBE) | WITH(DIE), 6, 4, 3,
         false},
        {"group", WITH(GROUP) | WITH(PUBLISH) | WITH(CONFIRM) | WITH(READ) | WITH(DIE), 6, 4, 3, false},
        {"again", WITH(GROUP) | WITH(PUBLISH) | WITH(CONFIRM) | WITH(DIE), 6, 4, 7, true},
        {"primary", WITH(PRIMARY) | WITH(PUBLISH) | WITH(READ) | WITH(UNSUBSCRIBE) | WITH(BYE), 6, 4, 7, false},
        {"calls", WITH(SERVE) | WITH(CALL) | WITH(REPLY) | WITH(CANCEL) | WITH(READ) | WITH(DIE), 6, 4, 3, false},
        {"names", WITH(NAME) | WITH(TAKE) | WITH(CALL) | WITH(UNSUBSCRIBE) | WITH(DIE), 5, 4, 3, false},
        {"alone", WITH(PLAIN) | WITH(SERVE) | WITH(PUBLISH) | WITH(CALL) | WITH(REPLY) | WITH(READ) | WITH(CONFIRM), 5,
         1, 1, false},
};

struct action {
        enum verb verb;
        unsigned client, subject;
};

struct small {
        struct world *world;
        struct model *model;
        struct party *clients[CLIENTS];
        unsigned subs[CLIENTS];
        uint64_t sid;
        unsigned acted;  /* clients that differ from the others of their sort by now */
        unsigned spoken; /* and subjects: so many */
        unsigned speakers, listeners;
        bool turns, trace;
};

static const char *const subjects[SUBJECTS] = {"a", "b"};

/* ---- what can be done ------------------------------------------------------------------------------------------ */

static bool has_subject(enum verb verb) {
        return verb == PLAIN || verb == LATEST || verb == SERVE || verb == NAME || verb == TAKE || verb == PUBLISH ||
               verb == CALL;
}

static bool subscribes(enum verb verb) {
        return verb <= TAKE;
}

static struct call *open_call(const struct small *s, const struct party *party, bool serves) {
        for (size_t i = 0; i < s->model->call_count; i++) {
                struct call *call = s->model->calls[i];
                if (!call->ended && (serves ? call->token && call->server->party == party : call->caller == party))
                        return call;
        }
        return NULL;
}

static struct interest *live_interest(const struct small *s, const struct party *party, bool unconfirmed) {
        for (size_t i = 0; i < s->model->interest_count; i++) {
                struct interest *in = s->model->interests[i];
                if (in->party == party && in->live && (!unconfirmed || (in->flight.count && in->last_seq)))
                        return in;
        }
        return NULL;
}

static bool claims(const struct small *s, const struct party *party, const char *name) {
        for (size_t i = 0; i < s->model->interest_count; i++) {
                const struct interest *in = s->model->interests[i];
                if (in->party == party && in->live && in->line && strcmp(in->line->key, name) == 0)
                        return true;
        }
        return false;
}

/* Of clients that are alike the first is the next to act. */
static bool comes_too_early(const struct small *s, unsigned client) {
        for (unsigned i = 0; i < client; i++)
                if (!(s->acted & 1u << i) && (s->speakers >> i & 1) == (s->speakers >> client & 1) &&
                    (s->listeners >> i & 1) == (s->listeners >> client & 1))
                        return true;
        return false;
}

static bool possible(const struct small *s, const struct action *a) {
        const struct party *party = s->clients[a->client];
        if (party->end != PARTY_LIVE || comes_too_early(s, a->client) || a->subject > s->spoken)
                return false;
        if (!(s->listeners >> a->client & 1) && subscribes(a->verb))
                return false;
        if (!(s->speakers >> a->client & 1) && (a->verb == PUBLISH || a->verb == CALL))
                return false;
        if (subscribes(a->verb) && s->subs[a->client] == SUBS_MAX)
                return false;
        switch (a->verb) {
        case GROUP:
        case PRIMARY:
                return !claims(s, party, a->verb == GROUP ? "g" : "p");
        case SERVE:
        case NAME:
        case TAKE:
                return !claims(s, party, subjects[a->subject]);
        case REPLY:
                return open_call(s, party, true);
        case CANCEL:
                return open_call(s, party, false);
        case READ:
                return core_peer_has_output(party->fake->peer);
        case CONFIRM:
                return live_interest(s, party, true);
        case UNSUBSCRIBE:
                return live_interest(s, party, false);
        default:
                return true;
        }
}

/* ---- doing it -------------------------------------------------------------------------------------------------- */

static uint64_t send_data(struct small *s, struct party *party, enum rml_kind kind, struct say *say) {
        uint64_t number = model_next_number(s->model);
        uint8_t payload[8];
        memcpy(payload, &number, sizeof(payload));
        say->payload = payload;
        say->len = sizeof(payload);
        return fake_data(party->fake, kind, kind == RML_CALL, say);
}

static void subscribe(struct small *s, const struct action *a) {
        struct sub sub = {.sid = ++s->sid, .pattern = subjects[a->subject], .credit_messages = 1};
        sub.window_messages = a->verb == GROUP || a->verb == PRIMARY || a->verb == SERVE ? 2 : 1;
        switch (a->verb) {
        case LATEST:
                sub.overflow = RAMAL__V1__OVERFLOW__OVERFLOW_LATEST;
                sub.pattern = ">";
                break;
        case BLOCK:
                sub.overflow = RAMAL__V1__OVERFLOW__OVERFLOW_BLOCK;
                sub.pattern = ">";
                break;
        case GROUP:
                sub.group = "g";
                sub.pattern = ">";
                break;
        case PRIMARY:
                sub.group = "p";
                sub.pattern = ">";
                sub.policy = RAMAL__V1__POLICY__POLICY_PRIMARY;
                break;
        case SERVE:
                sub.serve = true;
                sub.group = a->subject ? "s.b" : "s.a";
                break;
        case NAME:
        case TAKE:
                sub.serve = sub.name = sub.allow_replace = true;
                sub.replace = a->verb == TAKE;
                break;
        default:
                break;
        }
        s->subs[a->client]++;
        model_subscribe(s->model, s->clients[a->client], fake_subscribe(s->clients[a->client]->fake, &sub), &sub);
}

static void act(struct small *s, const struct action *a) {
        struct party *party = s->clients[a->client];
        struct say say = {.subject = subjects[a->subject]};
        struct interest *in;
        struct call *call;
        if (s->trace)
                printf("client %u: %s %s\n", a->client, verb_names[a->verb],
                       has_subject(a->verb) ? subjects[a->subject] : "");
        switch (a->verb) {
        case PUBLISH:
                send_data(s, party, RML_PUBLISH, &say);
                model_publish(s->model, party, &say, 0, RAMAL__V1__CODE__CODE_OK);
                break;
        case CALL:
                model_call(s->model, party, say.subject, send_data(s, party, RML_CALL, &say), 0);
                break;
        case REPLY:
                call = open_call(s, party, true);
                say = (struct say){.token = call->token};
                send_data(s, party, RML_REPLY, &say);
                model_reply(s->model, call, false, 0);
                break;
        case CANCEL:
                call = open_call(s, party, false);
                fake_cancel(party->fake, call->id);
                model_cancel(s->model, call);
                break;
        case READ:
                rest_take(s->model, party, SIZE_MAX);
                break;
        case CONFIRM:
                in = live_interest(s, party, true);
                fake_confirm(party->fake, in->sub.sid, in->last_seq);
                model_confirm(s->model, in, in->last_seq);
                break;
        case UNSUBSCRIBE:
                in = live_interest(s, party, false);
                model_unsubscribe(s->model, party, fake_unsubscribe(party->fake, in->sub.sid), in);
                s->subs[a->client]--;
                break;
        case DIE:
                fake_lost(party->fake);
                model_end(s->model, party, PARTY_LOST);
                break;
        case BYE:
                model_bye(s->model, party, fake_bye(party->fake, false, 0));
                break;
        default:
                subscribe(s, a);
                break;
        }
        rest_closed(s->model);
        if (!s->model->lost_track)
                model_sync(s->model);
        if (s->turns && !s->model->lost_track) {
                world_collect_dirty(s->world);
                model_sync(s->model);
        }
        s->acted |= 1u << a->client;
        if (has_subject(a->verb) && a->subject == s->spoken)
                s->spoken++;
}

/* ---- all words ------------------------------------------------------------------------------------------------- */

struct walk {
        struct action word[DEPTH_MAX];
        unsigned theme, depth;
        uint64_t words, steps;
        bool all, trace;
};

static void say_word(const struct walk *walk, unsigned len, char *buf, size_t size) {
        size_t n = (size_t)snprintf(buf, size, "--theme %u --replay ", walk->theme);
        for (unsigned i = 0; i < len && n < size; i++)
                n += (size_t)snprintf(buf + n, size - n, "%s%u.%u.%u", i ? "," : "", walk->word[i].verb,
                                      walk->word[i].client, walk->word[i].subject);
}

static void begin(struct small *s, const struct walk *walk) {
        struct core_limits limits;
        core_limits_default(&limits);
        limits.publish_credit_bytes = 40;
        *s = (struct small){.world = world_new(1, &limits), .trace = walk->trace};
        s->turns = themes[walk->theme].turns;
        s->speakers = walk->all ? ~0u : themes[walk->theme].speakers;
        s->listeners = walk->all ? ~0u : themes[walk->theme].listeners;
        s->model = model_new(s->world);
        s->model->trace = walk->trace;
        s->world->forget = true;
        for (unsigned i = 0; i < CLIENTS; i++)
                s->clients[i] = model_join(s->model, fake_join(s->world, WORLD_UID));
}

static void end(struct small *s) {
        if (!s->model->lost_track)
                rest_settle(s->model);
        world_free(s->world);
        model_free(s->model);
}

/* The next action after *a in the theme's order. */
static bool next_action(const struct walk *walk, struct action *a) {
        for (;;) {
                if (has_subject(a->verb) && ++a->subject < SUBJECTS)
                        return true;
                a->subject = 0;
                if (++a->client < CLIENTS)
                        return true;
                a->client = 0;
                do
                        a->verb++;
                while (a->verb < VERBS && !(themes[walk->theme].verbs & WITH(a->verb)));
                if (a->verb == VERBS)
                        return false;
                return true;
        }
}

static struct action first_action(const struct walk *walk) {
        struct action a = {0};
        while (!(themes[walk->theme].verbs & WITH(a.verb)))
                a.verb++;
        return a;
}

/* A core cannot be copied: each word is run from its beginning, as far as it differs from the one before. */
static bool run_word(struct walk *walk, unsigned *len) {
        struct small s;
        unsigned at = 0;
        begin(&s, walk);
        s.world->step = walk->words;
        for (; at < walk->depth && !s.model->lost_track; at++) {
                struct action *a = &walk->word[at];
                if (at >= *len)
                        *a = first_action(walk);
                bool more = true;
                while (more && !possible(&s, a))
                        more = next_action(walk, a);
                if (!more)
                        break;
                if (at >= *len)
                        *len = at + 1;
                say_word(walk, at + 1, s.world->again, sizeof(s.world->again));
                act(&s, a);
                walk->steps++;
        }
        bool whole = at == walk->depth;
        unsigned dead = at;
        end(&s);
        /* To the next one: the last action that has a successor. */
        *len = whole ? walk->depth : dead;
        walk->words += whole;
        while (*len && !next_action(walk, &walk->word[*len - 1]))
                --*len;
        return *len != 0;
}

static void run_theme(struct walk *walk) {
        unsigned len = 0;
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        walk->words = walk->steps = 0;
        while (run_word(walk, &len))
                ;
        clock_gettime(CLOCK_MONOTONIC, &to);
        printf("%s: %llu words of %u operations, %llu steps, %.1f s\n", themes[walk->theme].name, (ull)walk->words,
               walk->depth, (ull)walk->steps,
               (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9);
        fflush(stdout);
}

static int replay(struct walk *walk, const char *word) {
        struct small s;
        begin(&s, walk);
        while (*word) {
                struct action a = {0};
                unsigned verb, n = 0;
                if (sscanf(word, "%u.%u.%u%n", &verb, &a.client, &a.subject, (int *)&n) != 3 || verb >= VERBS ||
                    a.client >= CLIENTS || a.subject >= SUBJECTS) {
                        fprintf(stderr, "test_sim_small: '%s' is no action: verb.client.subject\n", word);
                        return 64;
                }
                a.verb = (enum verb)verb;
                act(&s, &a);
                word += n;
                word += *word == ',';
        }
        end(&s);
        return EXIT_SUCCESS;
}

static uint64_t number_arg(const char *text) {
        char *end;
        errno = 0;
        unsigned long long value = strtoull(text, &end, 10);
        if (errno || *end || end == text) {
                fprintf(stderr, "test_sim_small: '%s' is no number\n", text);
                exit(64);
        }
        return value;
}

int main(int argc, char **argv) {
        struct walk walk = {0};
        uint64_t depth = 0, theme = RML_COUNT(themes);
        const char *word = NULL;
        for (int i = 1; i < argc; i++) {
                bool more = i + 1 < argc;
                if (strcmp(argv[i], "--depth") == 0 && more)
                        depth = number_arg(argv[++i]);
                else if (strcmp(argv[i], "--theme") == 0 && more)
                        theme = number_arg(argv[++i]);
                else if (strcmp(argv[i], "--replay") == 0 && more)
                        word = argv[++i];
                else if (strcmp(argv[i], "--all") == 0)
                        walk.all = true;
                else if (strcmp(argv[i], "--trace") == 0)
                        walk.trace = true;
                else
                        depth = DEPTH_MAX + 1;
        }
        if (depth > DEPTH_MAX || theme > RML_COUNT(themes)) {
                fprintf(stderr,
                        "usage: test_sim_small [--depth 1..%u] [--theme 0..%zu] [--all] [--replay WORD] [--trace]\n",
                        DEPTH_MAX, RML_COUNT(themes) - 1);
                return 64;
        }
        if (word) {
                walk.theme = theme < RML_COUNT(themes) ? (unsigned)theme : 0;
                return replay(&walk, word);
        }
        for (unsigned i = 0; i < RML_COUNT(themes); i++) {
                walk.theme = i;
                walk.depth = depth ? (unsigned)depth : themes[i].depth;
                if (theme == RML_COUNT(themes) || theme == i)
                        run_theme(&walk);
        }
        return EXIT_SUCCESS;
}
