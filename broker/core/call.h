/* SPDX-License-Identifier: MIT */
/* Calls: remembered from CALL to their single terminal (rule 7). */
#ifndef RAMAL_CALL_H
#define RAMAL_CALL_H

#include "interest.h"

struct call {
        struct rml_table_node by_token, by_id;
        uint64_t token, id;
        struct peer *caller;
        struct rml_list caller_link;
        struct interest *interest;    /* it was given to; NULL once that is gone */
        struct peer *callee;          /* once committed */
        struct rml_list callee_link;
        struct delivery *queued;      /* while not committed */
        struct share *share;          /* of the interest's window, of a caller of another uid; NULL: it has none */
        size_t charge;
        struct pin *pin;              /* its key stays with this member; NULL: it has none */
        struct timer timer;           /* deadline */
        char *subject;                /* for taps of its replies; NULL where there was none when it began */
        uint64_t deadline_ns;         /* CORE_NEVER = none */
        uint64_t stream_credit;       /* the caller confirms; 0: the socket does */
        uint64_t replies;             /* REPLY frames passed on */
        uint64_t confirmed;           /* the highest of them that the caller confirmed */
        struct rml_list interest_link; /* interest->calls, once committed */
        struct rml_list credit_link;  /* callee->credits: to be told */
};

/* CALL that was scanned and whose sender may. Answers every way it can go. */
void call_start(struct peer *caller, uint64_t id, const struct rml_data *, struct message *);
void call_reply(struct peer *callee, const struct rml_data *, struct message *);
void call_cancel(struct peer *caller, uint64_t id);
void call_credit(struct peer *caller, uint64_t id, uint64_t seq);
/* The caller's socket took reply `seq` of that call. */
void call_reply_taken(struct core *, uint64_t token, uint64_t seq);
void call_expired(struct call *);

/* It is given to that interest, or (NULL) is no interest's any more. Returns false without memory. */
bool call_place(struct call *, struct interest *);
/* It went to the interest's connection. */
void call_committed(struct call *, struct interest *);
/* Ends with a STATUS. */
void call_fail(struct call *, Ramal__V1__Code code, const char *text, bool may_have_run);
/* Ends; the caller has been given its terminal. */
void call_over(struct call *);
/* Everything that a peer leaves behind. */
void calls_of_callee_gone(struct peer *callee);
void calls_of_caller_gone(struct peer *caller, Ramal__V1__Why why, bool tell_caller);
void calls_tell_credit(struct peer *callee);

#endif
