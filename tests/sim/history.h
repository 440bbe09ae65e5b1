/* SPDX-License-Identifier: MIT */
/* What must be true of any history, however memory fails and whoever misbehaves: judged by the bytes that fake peers
 * sent and got, and by the ledgers. Nothing is predicted here (model.h does that where it can be). The promises are
 *   P1 one order: what all receivers saw, and what senders had seen before they spoke, fits one order of messages
 *   P2 nothing is lost in silence: received + reported + replaced = matched, and what nobody refused is among it
 *   P3 a call ends exactly once, and only by who got it
 *   P4 nobody pays for others: who behaves is not sent away, nor left without an answer
 *   P5 the broker goes on: whatever it refuses, memory that is there again is enough
 *   P7 nothing of an earlier broker is taken by a later one
 *   P8 a message bears who its connection is
 *   P9 who was not let in says nothing and hears nothing */
#ifndef RAMAL_TEST_HISTORY_H
#define RAMAL_TEST_HISTORY_H

#include "world.h"

#define ACTORS_MAX 400u
#define READERS_MAX 24u /* of one actor, at one time or another */
#define TOKENS_MAX 128u
#define DUES_MAX 1024u
#define GROUPS_MAX 8u

enum letter_sort { LETTER_PUBLISH, LETTER_CALL, LETTER_REPLY };

/* A message of an actor that behaves. Its number is in its payload. */
struct letter {
        struct actor *sender;
        struct dialog *dialog;
        enum letter_sort sort;
        const char *subject;
        uint64_t len;     /* of the payload */
        uint64_t charge;  /* length prefix */
        uint64_t publish; /* which of its sender's publishes */
        bool refused, expires;
        bool unsure; /* it is not known when it was routed, or whether */
        bool stale;  /* may reach nobody: it comes from a stranger, or is about an earlier broker */
        uint8_t deliveries[GROUPS_MAX][2]; /* by group; redelivered ones */
};

struct dialog { /* a call */
        struct actor *caller, *server;
        uint64_t id, number, token;
        unsigned terminals, replies;
        uint64_t last_reply;
        bool withdrawn; /* and got CANCEL */
};

struct reader { /* an interest, as its peer counts */
        struct actor *actor;
        struct sub sub;
        int group; /* index, -1: none */
        bool active, refused;
        bool ending; /* UNSUBSCRIBE was sent */
        bool ended;  /* the core has it no more */
        bool told;   /* and the peer knows */
        bool demoted;
        bool checked;
        uint64_t since, until; /* letters between may match */
        uint64_t received, reported, replaced, last_seq, confirmed_seq, matched;
        uint64_t chain; /* order within itself */
        uint8_t *seen;  /* by number of the letter */
        size_t seen_room;
};

enum due_kind { DUE_STATUS, DUE_SUBSCRIBED, DUE_ENDED, DUE_ACCEPTED, DUE_PONG, DUE_CALL, DUE_HELLO, DUE_BYE, DUE_API };
struct due { /* an answer that must come */
        uint64_t id;
        enum due_kind kind;
        struct reader *reader;
        struct dialog *dialog;
        uint64_t number; /* of the letter, for receipts */
};

struct actor {
        struct fake *fake;
        unsigned place; /* in history.actors */
        bool good;      /* says nothing but what the protocol allows */
        bool stranger;  /* may not come in */
        bool leaving;   /* has asked to go */
        bool half;      /* has fed half a frame */
        bool closed;
        struct reader readers[READERS_MAX];
        size_t reader_count;
        struct due dues[DUES_MAX];
        size_t due_count;
        struct {
                uint64_t token;
                struct dialog *dialog; /* NULL: of somebody whose messages are not known */
                bool done;
        } tokens[TOKENS_MAX];
        size_t token_count;
        uint64_t chain, said;  /* the letters that it got and sent last */
        uint64_t credit, used; /* of publishes */
};

struct history {
        struct world *world;
        struct letter *letters; /* by number, from 1 */
        size_t letter_count, letter_room;
        struct actor *actors[ACTORS_MAX];
        size_t actor_count;
        struct dialog **dialogs;
        size_t dialog_count, dialog_room;
        struct {
                uint64_t from, to;
        } * edges; /* what came before what, since the last history_settled() */
        size_t edge_count, edge_room;
        uint64_t window;      /* the first letter since then */
        bool hostile;         /* there was somebody whose messages are not known */
        bool failing, failed; /* memory failed since then, or ever */
        uint64_t old_tokens[TOKENS_MAX];
        size_t old_token_count;
        uint64_t deliveries, gaps, reported, terminals, replied, refusals, restarts, ends, moved, redelivered, demoted;
};

struct history *history_new(struct world *);
void history_free(struct history *);
struct actor *history_join(struct history *, struct fake *, bool good, bool stranger);
/* The core was exchanged for a new one. */
void history_restarted(struct history *);

/* The number that the next letter bears. */
uint64_t history_number(const struct history *);
/* Each before the frame is fed. */
struct letter *history_says(struct history *, struct actor *, enum letter_sort, const char *subject, size_t len);
struct dialog *history_calls(struct history *, struct actor *, struct letter *);
void history_due(struct history *, struct actor *, const struct due *);
/* payload: `len` bytes to fill with what a receiver will check; at least 8. */
void history_fill(uint64_t number, uint8_t *payload, size_t len);
/* Each after it. */
struct reader *history_subscribed(struct history *, struct actor *, const struct sub *, int group);
void history_looked(struct history *);

/* history_got.c: a frame that came. */
void history_got(struct history *, struct actor *, const struct got *);
/* The core closed a connection. */
void history_closed(struct history *, struct actor *);

/* history_end.c: every ledger; after each step. */
void history_ledgers(struct history *);
/* Everybody has read what there was: servers know which calls are over. */
void history_withdrawn(const struct history *);
/* Everybody has read, confirmed, answered: nothing may be open. A new window begins. */
void history_settled(struct history *);

/* Between the files. */
void history_edge(struct history *, uint64_t from, uint64_t to);
struct letter *history_letter(const struct history *, uint64_t number);
bool reader_takes(const struct reader *, const char *subject);
bool reader_plain(const struct reader *);
bool reader_saw(const struct reader *, uint64_t number);
void reader_sees(struct reader *, uint64_t number);

#endif
