/* SPDX-License-Identifier: MIT */
/* What the bus should do, written from the contract alone: plain arrays, searched from end to end. The model is told
 * each operation after the core has had it, and each frame that a peer decoded. It predicts who gets what, what is
 * lost and why, every answer, every notice and every terminal. Two things it takes from the core, because the contract
 * leaves them open: when a queued message is committed to the output, and which member of a group is chosen; both are
 * read from the ledger and held against the bounds that the contract does set. */
#ifndef RAMAL_TEST_MODEL_H
#define RAMAL_TEST_MODEL_H

#include "world.h"

struct entry { /* a message in an interest */
        uint64_t seq, number, len, replaced;
        uint64_t last;     /* the highest number that it stands for */
        uint64_t op;       /* of its move, then of its commit, or of its loss */
        uint64_t since_ns; /* it waits there */
        Ramal__V1__Why why;
        bool moved, redelivered;
        bool held; /* and its publisher's credit with it */
};
struct entries {
        struct entry *items;
        size_t count, room;
};

struct notice {
        Ramal__V1__State state;
        uint64_t queued;
        Ramal__V1__Why why;
};

struct interest {
        struct party *party;
        struct sub sub; /* pattern and group point to the copies below */
        char pattern[256], group[64];
        struct line *line; /* its group; NULL for a plain one */
        bool live;         /* matches */
        bool told;         /* its peer knows that it ended */
        bool vague;        /* its peer is gone: what of the queue still comes is open */
        uint64_t matched, dropped, expired, replaced, moved; /* predicted */
        bool demoted, demote_due;
        uint64_t stall_ns; /* when it is looked at whether it has stalled; 0: nothing is held */
        uint64_t committed, confirmed, received, reported, replaced_told;
        struct entries queue;      /* not committed */
        struct entries flight;     /* committed, not confirmed */
        struct entries coming;     /* committed, not yet decoded */
        struct entries lost;       /* in order of loss, not yet reported */
        struct notice notices[64]; /* to come, oldest first */
        size_t notice_count;
        struct notice told_state; /* the last that its peer heard */
        uint64_t last_number;     /* order within itself: the lowest that may come next */
        uint64_t last_seq;        /* of what was received last: to be confirmed */
};

/* A group, a name, or the only server of a pattern. */
struct line {
        bool serve, name, primary;
        char key[256]; /* group of subscribers, pattern of servers, name */
        char group[64];
        Ramal__V1__Policy policy;
        struct interest *members[64]; /* in order */
        size_t count;
        struct { /* policy `key`: who had it last, since somebody came or went */
                const char *key, *subject;
                struct interest *owner;
        } keys[64];
        size_t key_count;
};

struct message {
        struct party *sender;
        char subject[64];
        const char *key; /* static text, or NULL */
        uint64_t len, expires_ns;
        struct call *call;
        bool maybe_held;    /* somewhere */
        unsigned delivered; /* group and call deliveries */
};

struct call {
        struct party *caller;
        uint64_t id, number, token, deadline_ns;
        struct interest *server;     /* who has it or had it; NULL when it was never queued */
        bool committed, ended, told; /* ended: the terminal is determined; told: its caller has it */
        bool cancel_due;             /* its server must get CANCEL */
        Ramal__V1__Why cancel_why;
        bool by_reply; /* the terminal is a REPLY */
        Ramal__V1__Code code;
        bool may_have_run;
        uint32_t app_code;
        uint64_t replies[64]; /* numbers of REPLY frames to come at the caller */
        size_t reply_count, replies_told, credited;
};

struct answer {
        uint64_t id;
        uint32_t kind;
        Ramal__V1__Code code;  /* STATUS */
        struct notice state;   /* SUBSCRIBED */
        uint64_t least, most;  /* ACCEPTED */
        struct interest *ends; /* whose last frame it is */
};

enum party_end { PARTY_LIVE, PARTY_EOF, PARTY_BYE, PARTY_LOST };

struct party {
        struct fake *fake;
        enum party_end end;
        uint64_t end_ns;
        bool closed;
        struct answer *answers;
        size_t answer_count;
        struct {
                uint64_t publish;
                Ramal__V1__Code code;
        } * refused;
        size_t refused_count;
        uint64_t published, told; /* bytes that took credit, and that came back */
        uint64_t last_number;     /* one order for the messages of all senders */
};

struct model {
        struct world *world;
        uint64_t op;
        struct party *parties[512];
        size_t party_count;
        struct interest **interests;
        size_t interest_count;
        struct line **lines;
        size_t line_count;
        struct message **messages; /* by number */
        size_t message_count;
        struct call **calls;
        size_t call_count;
        uint64_t gaps, moved, redelivered, demoted, ended[16]; /* how much happened, for the summary */
        uint64_t hash;                                         /* of all that came out */
        bool trace;                                            /* print it */
        bool parts;                                            /* turns are small: much needs several */
        bool lost_track; /* of who took over what: nothing can be predicted any more */
};

struct model *model_new(struct world *);
void model_free(struct model *);

/* Each is called after the core has had the frame. */
struct party *model_join(struct model *, struct fake *);
void model_subscribe(struct model *, struct party *, uint64_t id, const struct sub *);
void model_unsubscribe(struct model *, struct party *, uint64_t id, struct interest *);
void model_confirm(struct model *, struct interest *, uint64_t seq);
/* The number that the next message's payload must carry. */
uint64_t model_next_number(const struct model *);
/* receipt: the frame's id or 0. refusal: CODE_OK when the subject is fine. say->key: static text. */
void model_publish(struct model *, struct party *, const struct say *, uint64_t receipt, Ramal__V1__Code refusal);
void model_call(struct model *, struct party *, const char *subject, uint64_t id, uint64_t deadline_ns);
void model_reply(struct model *, struct call *, bool more, uint32_t app_code);
void model_cancel(struct model *, struct call *);
void model_ping(struct party *, uint64_t id);
void model_bye(struct model *, struct party *, uint64_t id);
void model_end(struct model *, struct party *, enum party_end);
/* Time has come to world->now and core_expire() ran. */
void model_expire(struct model *);

/* model_check.c: compares every ledger with the prediction. Called after each operation. */
void model_sync(struct model *);
/* A frame that the party decoded. */
void model_got(struct model *, struct party *, const struct got *);
/* The core has closed it. */
void model_closed(struct model *, struct party *);
/* Everything was taken and confirmed: nothing may be left over. */
void model_settled(struct model *);

/* Between the files. */
void *model_grown(void *array, size_t count, size_t size);
void *model_fresh(size_t size);
void entries_push(struct entries *, const struct entry *);
struct entry entries_take(struct entries *, size_t at);
void entries_insert(struct entries *, size_t at, const struct entry *);
uint64_t entries_bytes(const struct entries *);
struct answer *model_expect(struct party *, uint64_t id, uint32_t kind);
void model_end_call(struct model *, struct call *, Ramal__V1__Code, bool may_have_run, Ramal__V1__Why why);
/* model_check.c */
uint64_t model_number_of(const struct model *, const struct rml_data *);
void model_check_order(const struct model *, struct party *, struct interest *, uint64_t number, const struct entry *);
void model_check_told(const struct model *, const struct interest *);
void model_got_deliver(struct model *, struct party *, const struct got *);
void model_got_gap(struct model *, struct party *, const struct got *);
void model_got_interest(struct model *, struct party *, const struct got *);
/* model_queue.c */
void model_lose(struct model *, struct interest *, struct entry, Ramal__V1__Why);
void model_notify(struct model *, struct interest *, Ramal__V1__State, uint64_t queued, Ramal__V1__Why);
bool model_same_uid(const struct party *, const struct party *);
/* Would the window take so many bytes more? */
bool model_fits(const struct model *, const struct interest *, uint64_t len);
/* Rule 3. Returns false when the message itself was lost. */
bool model_admit(struct model *, struct interest *, uint64_t number);
/* Bytes of publish credit that are in `block` queues. */
uint64_t model_credit_used(const struct model *, const struct party *);
void model_watch_stalls(struct model *);
void model_expire_queues(struct model *);
void model_hand_over(struct model *, struct interest *);
void model_end_interest(struct model *, struct interest *, bool dies);
/* model_line.c */
bool model_takes(const struct interest *, const char *subject);
void model_leave_line(struct model *, struct interest *);
/* The member that the core has chosen, told by its ledger; whether it may have been. NULL: all are full. */
struct interest *model_chosen(struct model *, struct line *, const struct message *);

#endif
